/* SPDX-License-Identifier: Apache-2.0 */
/* What the service's tests share. */
#include "fixture.h"

#include "muster/base/clock.h"
#include "muster/base/io.h"

#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char inventory[] =
    "defaults: {transport: local}\n"
    "nodes: {\"n[01-40]\": {}, db1: {}, db2: {}, key1: {}}\n"
    "groups:\n"
    "  web: {nodes: \"n[01-04]\"}\n"
    "  db: {nodes: [db2, db1]}\n"
    "  both: {groups: [web, db]}\n"
    "  prod: {nodes: [key1], protected: true}\n";

void write_file(struct fixture *f, const char *name, const char *text)
{
    CLEANUP_FREE char *path = io_join(f->dir, name);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

void open_gate(struct fixture *f)
{
    write_file(f, "gate", "");
}

void fixture_reopen(struct fixture *f)
{
    service_close(f->s);
    f->s = service_open(&f->options, &f->e);
    if (!f->s)
        fail_msg("%s", f->e.msg);
}

int fixture_setup(void **state)
{
    struct fixture *f = x_calloc(1, sizeof *f);

    snprintf(f->dir, sizeof f->dir, "/tmp/muster-service-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    static const char *const homes[] = {"HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"};
    for (size_t i = 0; i < ARRAY_LEN(homes); i++)
        setenv(homes[i], f->dir, 1);
    setenv("SHELL", "/bin/sh", 1);
    unsetenv("MUSTER_CONFIG");
    unsetenv("MUSTER_INVENTORY");
    unsetenv("MUSTER_DB");
    write_file(f, "inventory.yaml", inventory);
    f->db = io_join(f->dir, "muster.db");
    CLEANUP_FREE char *path = io_join(f->dir, "inventory.yaml");
    strv_push(&f->inventories, path);
    f->options = (struct service_options){.db_path = f->db, .inventories = &f->inventories};
    fixture_reopen(f);
    f->r = reader_open(f->db, &f->e);
    assert_non_null(f->r);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    open_gate(f);
    service_close(f->s);
    reader_close(f->r);
    nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    strv_clear(&f->inventories);
    err_clear(&f->e);
    free(f->db);
    free(f);
    return 0;
}

static size_t count(const char *const *list)
{
    size_t n = 0;

    while (list && list[n])
        n++;
    return n;
}

void ask(struct batch_request *r, const char *action, const char *const *nodes,
         const char *const *groups)
{
    batch_request_init(r);
    r->action = action;
    r->node_ids = nodes;
    r->n_node_ids = count(nodes);
    r->group_ids = groups;
    r->n_group_ids = count(groups);
}

int64_t create(struct fixture *f, const struct batch_request *r)
{
    struct batch_created c;

    if (batch_create(f->s, r, &c, &f->e) != 0)
        fail_msg("%s", f->e.msg);
    int64_t number = c.number;
    batch_created_clear(&c);
    return number;
}

int64_t create_simple(struct fixture *f, const char *action, const char *const *nodes)
{
    struct batch_request r;

    ask(&r, action, nodes, NULL);
    return create(f, &r);
}

void get_batch(struct fixture *f, int64_t number, struct batch *b)
{
    if (reader_batch(f->r, number, b, &f->e) != 0)
        fail_msg("%s", f->e.msg);
}

struct batch_stats stats_of(struct fixture *f, int64_t number)
{
    struct batch b;

    get_batch(f, number, &b);
    struct batch_stats st = b.stats;
    batch_clear(&b);
    return st;
}

size_t count_batches(struct fixture *f)
{
    const struct batch_filter any = BATCH_FILTER_ANY;
    struct batch *b = NULL;
    size_t n = 0, total = 0;

    assert_int_equal(reader_batches(f->r, &any, 0, 0, 1, &b, &n, &total, &f->e), 0);
    batches_free(b, n);
    return total;
}

static void pause_on(struct service *s)
{
    struct pollfd fd = {.fd = service_wake_fd(s), .events = POLLIN};

    poll(&fd, 1, 20);
    service_wake_drain(s);
}

void wait_idle(struct service *s)
{
    int64_t end = mono_ms(clock_system()) + DEADLINE_MS;

    while (!service_idle(s)) {
        assert_true(mono_ms(clock_system()) < end);
        pause_on(s);
    }
}

void wait_running(struct fixture *f, int64_t number, unsigned n)
{
    int64_t end = mono_ms(clock_system()) + DEADLINE_MS;

    while (stats_of(f, number).running != n) {
        assert_true(mono_ms(clock_system()) < end);
        pause_on(f->s);
    }
}

void wait_held(struct fixture *f, const char *node)
{
    int64_t end = mono_ms(clock_system()) + DEADLINE_MS;
    CLEANUP_FREE char *path = x_asprintf("%s/up.%s", f->dir, node);

    while (access(path, F_OK) != 0) {
        assert_true(mono_ms(clock_system()) < end);
        pause_on(f->s);
    }
}
