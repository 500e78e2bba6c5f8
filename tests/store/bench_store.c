/* SPDX-License-Identifier: Apache-2.0 */
/* What the store costs: events a second, CPU an execution, pages, a history of 1,000,000
 * executions. Not a test: it prints. Usage: bench-store [EXECUTIONS], 1,000,000 by default. */
#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/store/reader.h"
#include "muster/store/writer.h"

#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct bench {
    char dir[64], path[96];
    struct writer *w;
    struct reader *r;
    atomic_size_t claimed, finished, commits;
    struct err e;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double) (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void on_claimed(void *ctx, int64_t batch, uint32_t position, bool granted)
{
    atomic_fetch_add(&((struct bench *) ctx)->claimed, 1);
}

static void on_finished(void *ctx, const struct event *ev)
{
    atomic_fetch_add(&((struct bench *) ctx)->finished, 1);
}

static void on_committed(void *ctx)
{
    atomic_fetch_add(&((struct bench *) ctx)->commits, 1);
}

static void die(struct bench *b)
{
    fprintf(stderr, "%s\n", b->e.msg);
    exit(1);
}

static void wait_for(atomic_size_t *n, size_t want)
{
    while (atomic_load(n) < want)
        usleep(200);
}

static int64_t create(struct bench *b, const char *const *names, size_t n)
{
    struct batch_new new = {.type = ACTION_TYPE_COMMAND, .action = "uname -a", .user_id = "bench",
                            .fanout = 64, .nodes = names, .n_nodes = n};
    struct batch_ref ref;

    if (writer_create(b->w, &new, &ref, &b->e))
        die(b);
    return ref.number;
}

static void claim(struct bench *b, int64_t number, uint32_t position)
{
    struct event *ev = event_new(EVENT_CLAIM, number, position);
    ev->wall_ms = wall_ms(clock_system());
    writer_emit(b->w, ev);
}

static void finish(struct bench *b, int64_t number, uint32_t position, size_t bytes)
{
    struct event *ev = event_new(EVENT_FINISH, number, position);

    ev->wall_ms = wall_ms(clock_system());
    ev->duration_ms = (int64_t) (position * 7919U % 5000U);
    ev->status = position % 20 ? EXEC_SUCCESS : EXEC_FAILED;
    ev->reason = position % 20 ? REASON_NONE : REASON_EXIT;
    ev->exit_code = position % 20 ? 0 : 1;
    ev->attempts = 1;
    ev->transport = x_strdup("ssh");
    ev->host = x_asprintf("10.0.%u.%u", position / 256, position % 256);
    ev->user = x_strdup("ops");
    ev->port = 22;
    if (bytes) {
        ev->data[0] = x_malloc(bytes);
        memset(ev->data[0], 'a', bytes);
        memcpy(ev->data[0], &position, sizeof position);
        ev->len[0] = bytes;
    }
    writer_emit(b->w, ev);
}

static int64_t run_batch(struct bench *b, const char *const *names, size_t n, size_t bytes,
                         bool print)
{
    size_t claimed = atomic_load(&b->claimed), finished = atomic_load(&b->finished);
    size_t commits = atomic_load(&b->commits);
    double began = now_s(), cpu = cpu_s();

    int64_t number = create(b, names, n);
    double created = now_s();
    for (size_t i = 0; i < n; i++)
        claim(b, number, (uint32_t) i);
    wait_for(&b->claimed, claimed + n);
    for (size_t i = 0; i < n; i++)
        finish(b, number, (uint32_t) i, bytes);
    wait_for(&b->finished, finished + n);
    double ended = now_s();
    if (print)
        printf("%5zu executions, %5zu different bytes each: created in %.1f ms; %.0f events/s, "
               "%.1f us CPU an execution, %zu commits\n", n, bytes, (created - began) * 1e3,
               (double) n * 2 / (ended - created), (cpu_s() - cpu) * 1e6 / (double) n,
               atomic_load(&b->commits) - commits);
    return number;
}

#define TIMED(what, call)                                                                      \
    do {                                                                                       \
        double best_ = 1e9, first_ = 0;                                                        \
        for (int i_ = 0; i_ < 5; i_++) {                                                       \
            double t_ = now_s();                                                               \
            if (call)                                                                          \
                die(b);                                                                        \
            t_ = now_s() - t_;                                                                 \
            first_ = i_ ? first_ : t_;                                                         \
            best_ = t_ < best_ ? t_ : best_;                                                   \
        }                                                                                      \
        printf("%-58s %8.2f ms (first %.2f)\n", what, best_ * 1e3, first_ * 1e3);              \
    } while (0)

static int page(struct bench *b, int64_t number, enum exec_sort sort, size_t offset, size_t limit,
                unsigned status_mask)
{
    struct exec_filter f = {.status_mask = status_mask};
    struct execution *x;
    size_t n, total;

    int rc = reader_executions(b->r, number, &f, sort, false, offset, limit, &x, &n, &total,
                               &b->e);
    if (!rc)
        executions_free(x, n);
    return rc;
}

static int classes(struct bench *b, int64_t number)
{
    struct output_class *c;
    size_t n, total;

    int rc = reader_classes(b->r, number, 0, 50, &c, &n, &total, &b->e);
    if (!rc)
        classes_free(c, n);
    return rc;
}

static int history(struct bench *b, int status, const char *text, bool with_total)
{
    struct batch_filter f = BATCH_FILTER_ANY;
    struct batch *v;
    size_t n, total;

    f.status = status;
    f.text = text;
    int rc = reader_batches(b->r, &f, 0, 0, 50, &v, &n, with_total ? &total : NULL, &b->e);
    if (!rc)
        batches_free(v, n);
    return rc;
}

static int node_runs(struct bench *b, const char *node)
{
    struct node_run *v;
    size_t n, total;

    int rc = reader_node_runs(b->r, node, 0, 0, 50, &v, &n, &total, &b->e);
    if (!rc)
        node_runs_free(v, n);
    return rc;
}

static void bench_pages(struct bench *b, int64_t number)
{
    printf("pages of a batch of 10,000:\n");
    TIMED("  by name, first 50", page(b, number, SORT_NAME, 0, 50, 0));
    TIMED("  by name, 50 from the middle", page(b, number, SORT_NAME, 5000, 50, 0));
    TIMED("  by name, failed only", page(b, number, SORT_NAME, 0, 50, 1U << EXEC_FAILED));
    TIMED("  by name, running only (none)", page(b, number, SORT_NAME, 0, 50, 1U << EXEC_RUNNING));
    TIMED("  by duration", page(b, number, SORT_DURATION, 0, 50, 0));
    TIMED("  by status", page(b, number, SORT_STATUS, 0, 50, 0));
    TIMED("  all of it by name", page(b, number, SORT_NAME, 0, SIZE_MAX, 0));
    TIMED("  classes (all different)", classes(b, number));
}

static void bench_history(struct bench *b)
{
    printf("screenfuls of the history:\n");
    TIMED("  newest 50, with the total", history(b, -1, NULL, true));
    TIMED("  those that failed, with the total", history(b, BATCH_FAILED, NULL, true));
    TIMED("  those that run, with the total", history(b, BATCH_RUNNING, NULL, true));
    TIMED("  with a text that most have, without the total", history(b, -1, "uname", false));
    TIMED("  with a text that none has, with the total", history(b, -1, "absent", true));
    TIMED("  runs of one node", node_runs(b, "web00007.example.com"));
}

static void bench_open(struct bench *b)
{
    double began = now_s();

    reader_close(X_STEAL(b->r));
    writer_close(b->w);
    double closed = now_s();
    b->w = writer_open(b->path, NULL, NULL, &b->e);
    b->r = b->w ? reader_open(b->path, &b->e) : NULL;
    if (!b->r)
        die(b);
    printf("closing, with the log written back: %.1f ms; opening: %.1f ms\n",
           (closed - began) * 1e3, (now_s() - closed) * 1e3);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

static void fill_history(struct bench *b, const char *const *names, size_t executions)
{
    size_t done = 0, large = executions / 20 * 19, batches = 0;
    double began = now_s();

    /* Most in large batches, and very many of one node. */
    for (; done < large; done += 1000, batches++)
        run_batch(b, names + done % 9000, 1000, 0, false);
    for (; done < executions; done++, batches++) {
        int64_t number = create(b, names + done % 9000, 1);
        claim(b, number, 0);
        finish(b, number, 0, 0);
    }
    wait_for(&b->finished, executions);
    printf("a history of %zu executions in %zu batches, made in %.0f s\n", executions, batches,
           now_s() - began);
}

int main(int argc, char **argv)
{
    size_t executions = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    struct bench *b = x_calloc(1, sizeof *b);
    const struct writer_callbacks cb = {.ctx = b, .claimed = on_claimed, .finished = on_finished,
                                        .committed = on_committed};
    static char name[BATCH_TARGETS_MAX][32];
    static const char *names[BATCH_TARGETS_MAX];
    struct stat st;

    snprintf(b->dir, sizeof b->dir, "%s/muster-bench-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(b->dir))
        return 1;
    snprintf(b->path, sizeof b->path, "%s/muster.db", b->dir);
    for (size_t i = 0; i < BATCH_TARGETS_MAX; i++) {
        snprintf(name[i], sizeof name[i], "web%05zu.example.com", i);
        names[i] = name[i];
    }
    b->w = writer_open(b->path, NULL, &cb, &b->e);
    b->r = b->w ? reader_open(b->path, &b->e) : NULL;
    if (!b->r)
        die(b);
    fill_history(b, names, executions);
    bench_history(b);
    run_batch(b, names, 1000, 64, true);
    run_batch(b, names, 10000, 0, true);
    run_batch(b, names, 1000, 65536, true);
    bench_pages(b, run_batch(b, names, 10000, 1024, true));
    bench_history(b);
    bench_open(b);
    if (!stat(b->path, &st))
        printf("the file has %.0f MB\n", (double) st.st_size / 1e6);
    reader_close(b->r);
    writer_close(b->w);
    nftw(b->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(b);
    return 0;
}
