/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's tests share. */
#include "fixture.h"

#include "sql.h"

#include "muster/base/clock.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t now_ms(void)
{
    return mono_ms(clock_system());
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

int fixture_setup(void **state)
{
    struct fixture *f = x_calloc(1, sizeof *f);

    snprintf(f->dir, sizeof f->dir, "/tmp/muster-store-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->path, sizeof f->path, "%s/state/muster.db", f->dir);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->report_fd = -1;
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    fixture_close(f);
    nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f->finished_pos);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return 0;
}

static void on_claimed(void *ctx, int64_t batch, uint32_t position, bool granted)
{
    struct fixture *f = ctx;

    pthread_mutex_lock(&f->lock);
    if (granted)
        f->n.granted++;
    else
        f->n.denied++;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void on_finished(void *ctx, const struct event *ev)
{
    struct fixture *f = ctx;

    pthread_mutex_lock(&f->lock);
    X_GROW(f->finished_pos, f->cap_finished, f->n.finished + 1);
    f->finished_pos[f->n.finished++] = ev->position;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    if (f->report_fd >= 0 && write(f->report_fd, &ev->position, sizeof ev->position) < 0)
        abort();
}

#define COUNTER(name)                                                                          \
    pthread_mutex_lock(&f->lock);                                                              \
    f->n.name++;                                                                               \
    pthread_cond_broadcast(&f->changed);                                                       \
    pthread_mutex_unlock(&f->lock)

static void on_committed(void *ctx)
{
    struct fixture *f = ctx;
    COUNTER(committed);
}

static void on_cancel(void *ctx, int64_t batch)
{
    struct fixture *f = ctx;
    COUNTER(cancels);
}

static void on_pause(void *ctx, int64_t batch, bool on)
{
    struct fixture *f = ctx;
    if (on) {
        COUNTER(pauses);
    } else {
        COUNTER(resumes);
    }
}

static void on_failed(void *ctx, const struct err *e)
{
    struct fixture *f = ctx;
    pthread_mutex_lock(&f->lock);
    snprintf(f->failed_text, sizeof f->failed_text, "%s", e->msg);
    pthread_mutex_unlock(&f->lock);
    COUNTER(failed);
}

static void on_recovered(void *ctx)
{
    struct fixture *f = ctx;
    COUNTER(recovered);
}

void fixture_open(struct fixture *f)
{
    const struct writer_callbacks cb = {f, on_claimed, on_finished, on_committed, on_cancel,
                                        on_pause, on_failed, on_recovered};
    struct err e = ERR_INIT;

    f->w = writer_open(f->path, NULL, &cb, &e);
    if (!f->w)
        fail_msg("%s", e.msg);
    f->r = reader_open(f->path, &e);
    if (!f->r)
        fail_msg("%s", e.msg);
}

void fixture_close(struct fixture *f)
{
    writer_close(f->w);
    reader_close(f->r);
    f->w = NULL;
    f->r = NULL;
}

struct counts fixture_counts(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    struct counts n = f->n;
    pthread_mutex_unlock(&f->lock);
    return n;
}

void fixture_wait(struct fixture *f, size_t offset, size_t n)
{
    const size_t *counter = (const size_t *) ((const char *) &f->n + offset);
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_MS / 1000;
    pthread_mutex_lock(&f->lock);
    int rc = 0;
    while (*counter < n && !rc)
        rc = pthread_cond_timedwait(&f->changed, &f->lock, &until);
    size_t got = *counter;
    pthread_mutex_unlock(&f->lock);
    if (got < n)
        fail_msg("waited in vain: %zu of %zu", got, n);
}

int64_t make_batch(struct fixture *f, size_t n, const char *action)
{
    char **names = x_calloc(n, sizeof *names);
    struct err e = ERR_INIT;
    struct batch_ref ref;

    for (size_t i = 0; i < n; i++)
        names[i] = x_asprintf("node%zu", n - i);
    struct batch_new b = {.type = ACTION_TYPE_COMMAND, .action = action, .user_id = "tester",
                          .fanout = 64, .nodes = (const char *const *) names, .n_nodes = n};
    if (writer_create(f->w, &b, &ref, &e))
        fail_msg("%s", e.msg);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return ref.number;
}

void emit_claim(struct fixture *f, int64_t batch, uint32_t position)
{
    struct event *ev = event_new(EVENT_CLAIM, batch, position);
    ev->wall_ms = wall_ms(clock_system());
    assert_true(writer_emit(f->w, ev));
}

bool emit_output(struct fixture *f, int64_t batch, uint32_t position, int stream, const void *p,
                 size_t n)
{
    struct event *ev = event_new(EVENT_OUTPUT, batch, position);
    ev->data[stream] = x_memdup(p, n);
    ev->len[stream] = n;
    if (writer_emit(f->w, ev))
        return true;
    event_free(ev);
    return false;
}

static struct event *finish_event(int64_t batch, uint32_t position)
{
    struct event *ev = event_new(EVENT_FINISH, batch, position);
    ev->wall_ms = wall_ms(clock_system());
    ev->duration_ms = 7;
    ev->exit_code = -1;
    ev->attempts = 1;
    ev->note = x_strdup("local, because this is a test");
    ev->transport = x_strdup("local");
    ev->host = x_strdup("127.0.0.1");
    ev->user = x_strdup("ops");
    ev->port = 22;
    return ev;
}

void emit_finish(struct fixture *f, int64_t batch, uint32_t position, int exit_code,
                 const char *out, const char *err)
{
    struct event *ev = finish_event(batch, position);
    const char *text[2] = {out, err};

    ev->status = exit_code ? EXEC_FAILED : EXEC_SUCCESS;
    ev->reason = exit_code ? REASON_EXIT : REASON_NONE;
    ev->exit_code = exit_code;
    for (int s = 0; s < 2; s++)
        if (text[s]) {
            ev->data[s] = x_strdup(text[s]);
            ev->len[s] = strlen(text[s]);
        }
    assert_true(writer_emit(f->w, ev));
}

void emit_failure(struct fixture *f, int64_t batch, uint32_t position, enum reason reason,
                  const char *error)
{
    struct event *ev = finish_event(batch, position);

    ev->status = EXEC_FAILED;
    ev->reason = reason;
    ev->error = x_strdup(error);
    assert_true(writer_emit(f->w, ev));
}

struct batch get_batch(struct fixture *f, int64_t number)
{
    struct err e = ERR_INIT;
    struct batch b;

    if (reader_batch(f->r, number, &b, &e))
        fail_msg("%s", e.msg);
    return b;
}

struct execution get_execution(struct fixture *f, int64_t number, uint32_t position)
{
    struct err e = ERR_INIT;
    struct execution x;

    if (reader_execution(f->r, number, position, &x, &e))
        fail_msg("%s", e.msg);
    return x;
}

void check_counters(struct fixture *f, int64_t number)
{
    const struct exec_filter any = EXEC_FILTER_ANY;
    struct batch_stats s = {0};
    struct execution *x;
    size_t n, total;
    struct err e = ERR_INIT;

    struct batch b = get_batch(f, number);
    if (reader_executions(f->r, number, &any, SORT_FINISHED, false, 0, SIZE_MAX, &x, &n, &total,
                          &e))
        fail_msg("%s", e.msg);
    assert_int_equal(n, total);
    s.total = (uint32_t) n;
    for (size_t i = 0; i < n; i++) {
        s.queued += x[i].status == EXEC_QUEUED;
        s.running += x[i].status == EXEC_RUNNING;
        s.success += x[i].status == EXEC_SUCCESS;
        s.failed += x[i].status == EXEC_FAILED;
        if (x[i].status == EXEC_FAILED)
            s.by_reason[x[i].reason]++;
        if (exec_is_final(x[i].status)) {
            assert_int_equal(x[i].finished_seq, i + 1);
            assert_true(x[i].completed_ms > 0);
        } else {
            assert_int_equal(x[i].finished_seq, 0);
        }
    }
    assert_memory_equal(&s, &b.stats, sizeof s);
    assert_int_equal(b.status, batch_status_of(&s));
    assert_int_equal(b.completed_ms != 0, b.status != BATCH_RUNNING);
    executions_free(x, n);
    batch_clear(&b);
}

char *get_output(struct fixture *f, int64_t id, size_t *n)
{
    struct err e = ERR_INIT;
    char *p;

    if (reader_output_all(f->r, id, (size_t) 256 << 20, &p, n, &e))
        fail_msg("%s", e.msg);
    return p;
}

int64_t query_int_of(struct fixture *f, const char *sql)
{
    struct sql s;

    assert_int_equal(sql_open(&s, f->path, SQLITE_OPEN_READONLY), SQLITE_OK);
    int64_t n = sql_int(&s, sql, -1);
    sql_close(&s);
    return n;
}
