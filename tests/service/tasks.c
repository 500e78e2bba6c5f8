/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of tasks share. */
#include "tasks.h"

#include "muster/base/clock.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/core/json.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int tasks_setup(void **state)
{
    fixture_setup(state);
    struct fixture *f = *state;
    CLEANUP_FREE char *tmp = io_join(f->dir, "tmp");
    make_dirs(f, "tmp");
    make_dirs(f, "muster/tasks");
    setenv("TMPDIR", tmp, 1);
    return 0;
}

void make_dirs(struct fixture *f, const char *name)
{
    CLEANUP_FREE char *path = io_join(f->dir, name);
    for (char *p = path + strlen(f->dir) + 1; p; p = strchr(p + 1, '/')) {
        char at = *p == '/' ? *p : '\0';
        if (at)
            *p = '\0';
        assert_true(mkdir(path, 0755) == 0 || errno == EEXIST || !at);
        if (at)
            *p = at;
    }
    assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
}

void add_task(struct fixture *f, const char *name, const char *text)
{
    CLEANUP_FREE char *path = io_join("muster/tasks", name);
    write_file(f, path, text);
}

void ask_task(struct task_ask *a, const char *task, const char *const *nodes)
{
    ask(&a->r, NULL, nodes, NULL);
    work_request_init(&a->w);
    a->w.name = x_strdup(task);
    a->text = NULL;
    a->r.type = ACTION_TYPE_TASK;
    a->r.work = &a->w;
}

struct json *task_params(struct task_ask *a)
{
    if (!a->w.params)
        a->w.params = json_object();
    return a->w.params;
}

void task_set(struct fixture *f, struct task_ask *a, const char *item)
{
    struct task t;
    assert_int_equal(service_task(f->s, a->w.name, &t, &f->e), 0);
    assert_int_equal(work_set(&a->w, &t.params, item, &f->e), 0);
    task_clear(&t);
}

void task_ask_clear(struct task_ask *a)
{
    batch_request_clear(&a->r);
    work_request_clear(&a->w);
    free(a->text);
}

void fill_text(struct fixture *f, struct task_ask *a)
{
    struct task t;
    if (a->r.action)
        return;
    if (service_task(f->s, a->w.name, &t, &f->e) == 0)
        a->text = work_text(&a->w, &t.params);
    else
        a->text = x_strdup(a->w.name);
    err_clear(&f->e);
    task_clear(&t);
    a->r.action = a->text;
}

int64_t start_task(struct fixture *f, struct task_ask *a)
{
    fill_text(f, a);
    int64_t number = create(f, &a->r);
    task_ask_clear(a);
    return number;
}

int64_t run_task(struct fixture *f, struct task_ask *a)
{
    int64_t number = start_task(f, a);
    wait_idle(f->s);
    return number;
}

void assert_task_refused(struct fixture *f, struct task_ask *a, enum err_code code,
                         const char *word)
{
    struct batch_created c;
    fill_text(f, a);
    assert_refused(f, batch_create(f->s, &a->r, &c, &f->e), code, word);
    task_ask_clear(a);
}

char *output_of(struct fixture *f, int64_t number, uint32_t position, size_t *n)
{
    struct execution x;
    char *p;
    assert_int_equal(reader_execution(f->r, number, position, &x, &f->e), 0);
    assert_int_equal(reader_output_all(f->r, x.out_id[0], 1 << 20, &p, n, &f->e), 0);
    if (x.status != EXEC_SUCCESS && x.out_id[1]) {
        char *said;
        size_t len;
        assert_int_equal(reader_output_all(f->r, x.out_id[1], 1 << 20, &said, &len, &f->e), 0);
        print_message("#%d %s: %s\n", (int) number, x.node, said);
        free(said);
    }
    execution_clear(&x);
    return p;
}

void assert_output(struct fixture *f, int64_t number, uint32_t position, const char *wanted)
{
    size_t n;
    CLEANUP_FREE char *p = output_of(f, number, position, &n);
    assert_string_equal(p, wanted);
    assert_int_equal(n, strlen(wanted));
}

void assert_no_file(struct fixture *f, const char *name)
{
    CLEANUP_FREE char *path = io_join(f->dir, name);
    assert_int_equal(access(path, F_OK), -1);
}

size_t left_behind(struct fixture *f)
{
    CLEANUP_FREE char *tmp = io_join(f->dir, "tmp");
    DIR *d = opendir(tmp);
    size_t n = 0;
    assert_non_null(d);
    for (const struct dirent *x; (x = readdir(d)) != NULL;)
        n += strncmp(x->d_name, ".muster-", 8) == 0;
    closedir(d);
    return n;
}

void wait_left(struct fixture *f, size_t n)
{
    int64_t end = mono_ms(clock_system()) + DEADLINE_MS;
    while (left_behind(f) != n) {
        assert_true(mono_ms(clock_system()) < end);
        poll(NULL, 0, 10);
    }
}

bool database_has(struct fixture *f, const char *text)
{
    static const char *const endings[] = {"", "-wal", "-journal"};
    bool has = false;
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        CLEANUP_FREE char *path = x_asprintf("%s%s", f->db, endings[i]);
        struct strbuf b;
        strbuf_init(&b, (size_t) 64 << 20);
        if (io_read_file(path, (size_t) 64 << 20, &b, NULL) == 0)
            has |= memmem(b.s, b.len, text, strlen(text)) != NULL;
        else
            assert_true(i > 0);
        strbuf_free(&b);
    }
    return has;
}
