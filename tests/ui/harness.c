/* SPDX-License-Identifier: Apache-2.0 */
/* The harness of the screen's tests. */
#include "harness.h"

#include "app_private.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/core/event.h"
#include "muster/core/nodeset.h"
#include "muster/service/service.h"
#include "muster/store/writer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define START_WALL_MS INT64_C(1773153123000) /* 2026-03-10 14:32:03 UTC */

struct harness_sync {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned claimed, finished, committed;
};

static void count(struct harness_sync *s, unsigned *what)
{
    pthread_mutex_lock(&s->lock);
    ++*what;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->lock);
}

static void on_claimed(void *ctx, int64_t batch, uint32_t position, bool granted)
{
    count(ctx, &((struct harness_sync *) ctx)->claimed);
}

static void on_finished(void *ctx, const struct event *ev)
{
    count(ctx, &((struct harness_sync *) ctx)->finished);
}

static void on_committed(void *ctx)
{
    count(ctx, &((struct harness_sync *) ctx)->committed);
}

static void on_cancel(void *ctx, int64_t batch)
{
}

static void on_failed(void *ctx, const struct err *e)
{
    fprintf(stderr, "the writer failed: %s\n", e->msg);
}

static void on_recovered(void *ctx)
{
}

static unsigned read_count(struct harness_sync *s, const unsigned *what)
{
    pthread_mutex_lock(&s->lock);
    unsigned n = *what;
    pthread_mutex_unlock(&s->lock);
    return n;
}

static void await(struct harness_sync *s, const unsigned *what, unsigned want)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&s->lock);
    while (*what < want)
        if (pthread_cond_timedwait(&s->moved, &s->lock, &until) != 0)
            break;
    bool ok = *what >= want;
    pthread_mutex_unlock(&s->lock);
    assert_true(ok);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
    close(fd);
}

static const char default_inventory[] = "nodes:\n"
                                        "  \"web[01-20]\": {host: 127.0.0.1}\n"
                                        "  \"db[01-04]\": {host: 127.0.0.1}\n"
                                        "  \"stage[1-3]\": {host: 127.0.0.1}\n"
                                        "groups:\n"
                                        "  web: {nodes: \"web[01-20]\"}\n"
                                        "  db: {nodes: \"db[01-04]\", protected: true}\n"
                                        "  prod: {groups: [web, db]}\n"
                                        "  staging: {nodes: \"stage[1-3]\"}\n";

struct harness *harness_new(const char *inventory)
{
    struct harness *h = x_calloc(1, sizeof *h);
    char dir[] = "/tmp/muster-ui-XXXXXX";
    struct err e = ERR_INIT;

    assert_non_null(mkdtemp(dir));
    h->dir = x_strdup(dir);
    h->db = io_join(dir, "fleet.db");
    char *inv = io_join(dir, "inventory.yaml");
    write_file(inv, inventory ? inventory : default_inventory);
    free(inv);
    setenv("HOME", dir, 1);
    setenv("TZ", "UTC", 1);
    tzset();
    static const char *const gone[] = {"XDG_STATE_HOME", "XDG_CONFIG_HOME", "MUSTER_DB",
                                       "MUSTER_CONFIG",  "MUSTER_INVENTORY"};
    for (size_t i = 0; i < ARRAY_LEN(gone); i++)
        unsetenv(gone[i]);

    clock_virtual_init(&h->clock, START_WALL_MS);
    h->sync = x_calloc(1, sizeof *h->sync);
    pthread_mutex_init(&h->sync->lock, NULL);
    pthread_cond_init(&h->sync->moved, NULL);
    struct writer_callbacks cb = {h->sync,   on_claimed, on_finished, on_committed,
                                  on_cancel, NULL, on_failed, on_recovered};
    h->writer = writer_open(h->db, &h->clock.clock, &cb, &e);
    if (!h->writer)
        fail_msg("%s", e.msg);
    return h;
}

void harness_open(struct harness *h, int cols, int rows, bool read_only)
{
    struct err e = ERR_INIT;
    struct strv inv = STRV_INIT;

    strv_push_own(&inv, io_join(h->dir, "inventory.yaml"));
    struct service_options o = {.db_path = h->db, .inventories = &inv, .read_only = read_only};
    h->service = service_open(&o, &e);
    if (!h->service)
        fail_msg("%s", e.msg);
    strv_clear(&inv);
    h->app = app_new(h->service, &h->clock.clock, read_only, &e);
    if (!h->app)
        fail_msg("%s", e.msg);
    free(h->app->priv->who);
    h->app->priv->who = x_strdup("ops@bastion");
    surface_init(&h->surface, cols, rows);
    harness_draw(h);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void harness_free(struct harness *h)
{
    app_free(h->app);
    service_close(h->service);
    writer_close(h->writer);
    surface_free(&h->surface);
    nftw(h->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    pthread_mutex_destroy(&h->sync->lock);
    pthread_cond_destroy(&h->sync->moved);
    free(h->sync);
    free(h->dir);
    free(h->db);
    free(h);
}

/* --- fixtures --- */

int64_t harness_batch(struct harness *h, const char *action, const char *nodes)
{
    struct nodeset *set = nodeset_new();
    struct err e = ERR_INIT;
    struct batch_ref ref;

    char *copy = x_strdup(nodes), *save = NULL;
    for (char *part = strtok_r(copy, " ", &save); part; part = strtok_r(NULL, " ", &save))
        assert_int_equal(nodeset_expand(set, part, &e), 0);
    free(copy);
    size_t n = nodeset_count(set);
    const char **names = x_calloc(n, sizeof *names);
    for (size_t i = 0; i < n; i++)
        names[i] = nodeset_at(set, i);
    struct batch_new b = {.type = ACTION_TYPE_COMMAND,
                          .action = action,
                          .user_id = "ops",
                          .fanout = 64,
                          .nodes = names,
                          .n_nodes = n};
    if (writer_create(h->writer, &b, &ref, &e) != 0)
        fail_msg("%s", e.msg);
    free(names);
    nodeset_free(set);
    return ref.number;
}

void harness_start(struct harness *h, int64_t batch, uint32_t position)
{
    unsigned before = read_count(h->sync, &h->sync->claimed);
    struct event *ev = event_new(EVENT_CLAIM, batch, position);

    ev->wall_ms = wall_ms(&h->clock.clock);
    assert_true(writer_emit(h->writer, ev));
    await(h->sync, &h->sync->claimed, before + 1);
}

static void set_data(struct event *ev, const char *out, const char *err)
{
    const char *text[2] = {out, err};

    for (int i = 0; i < 2; i++) {
        if (!text[i])
            continue;
        ev->data[i] = x_strdup(text[i]);
        ev->len[i] = strlen(text[i]);
    }
}

void harness_output(struct harness *h, int64_t batch, uint32_t position, const char *out,
                    const char *err)
{
    unsigned before = read_count(h->sync, &h->sync->committed);
    struct event *ev = event_new(EVENT_OUTPUT, batch, position);

    set_data(ev, out, err);
    assert_true(writer_emit(h->writer, ev));
    await(h->sync, &h->sync->committed, before + 1);
}

void harness_end(struct harness *h, int64_t batch, uint32_t position, int64_t duration_ms, int rc,
                 enum reason reason, const char *error, const char *out, const char *err)
{
    unsigned before = read_count(h->sync, &h->sync->finished);
    struct event *ev = event_new(EVENT_FINISH, batch, position);

    if (reason == REASON_NONE && rc != 0)
        reason = REASON_EXIT;
    ev->wall_ms = wall_ms(&h->clock.clock) + duration_ms;
    ev->duration_ms = duration_ms;
    ev->status = reason == REASON_NONE ? EXEC_SUCCESS : EXEC_FAILED;
    ev->reason = reason;
    ev->error = x_strdup(error);
    ev->attempts = 1;
    ev->note = x_strdup(h->note);
    ev->transport = x_strdup("ssh");
    ev->host = x_strdup("127.0.0.1");
    ev->user = x_strdup("ops");
    ev->port = 22;
    ev->exit_code = reason == REASON_NONE || reason == REASON_EXIT ? rc : -1;
    set_data(ev, out, err);
    assert_true(writer_emit(h->writer, ev));
    await(h->sync, &h->sync->finished, before + 1);
}

void harness_run(struct harness *h, int64_t batch, uint32_t position, int64_t duration_ms, int rc,
                 const char *out, const char *err)
{
    harness_start(h, batch, position);
    harness_end(h, batch, position, duration_ms, rc, REASON_NONE, NULL, out, err);
}

/* --- the screen --- */

void harness_draw(struct harness *h)
{
    app_tick(h->app);
    app_draw(h->app, &h->surface);
}

void harness_wait(struct harness *h, int64_t ms)
{
    while (ms > 0) {
        int64_t step = ms < 100 ? ms : 100;
        h->clock.now_ms += step;
        ms -= step;
        app_tick(h->app);
    }
    if (h->app->dirty)
        app_draw(h->app, &h->surface);
}

static void press(struct harness *h, const struct key *k)
{
    app_key(h->app, k);
    harness_draw(h);
}

void harness_keys(struct harness *h, const char *script)
{
    char word[32];
    struct key k;

    while (*script) {
        if (*script == ' ') {
            script++;
        } else if (*script == '\'') {
            for (script++; *script && *script != '\''; script++)
                press(h, &(struct key) {KEY_CODE_CHAR, (unsigned char) *script, false, NULL});
            if (*script)
                script++;
        } else {
            size_t n = strcspn(script, " ");
            assert_true(n < sizeof word);
            memcpy(word, script, n);
            word[n] = '\0';
            if (!key_parse(word, &k))
                fail_msg("`%s` is no key", word);
            press(h, &k);
            script += n;
        }
    }
}

void harness_size(struct harness *h, int cols, int rows)
{
    surface_resize(&h->surface, cols, rows);
    press(h, &(struct key) {KEY_CODE_RESIZE, 0, false, NULL});
}

bool harness_shows(struct harness *h, const char *text)
{
    char *dump = surface_dump(&h->surface);
    bool found = strstr(dump, text) != NULL;

    free(dump);
    return found;
}

static void expect(struct harness *h, const char *text, bool want)
{
    if (harness_shows(h, text) == want)
        return;
    char *dump = surface_dump(&h->surface);
    fprintf(stderr, "%s", dump);
    free(dump);
    fail_msg("the screen %s `%s`", want ? "does not show" : "shows", text);
}

void harness_expect(struct harness *h, const char *text)
{
    expect(h, text, true);
}

void harness_expect_not(struct harness *h, const char *text)
{
    expect(h, text, false);
}

void harness_golden(struct harness *h, const char *name)
{
    const char *dir = getenv("MUSTER_GOLDEN_DIR");
    char *dump = surface_dump(&h->surface);
    char path[512];
    struct strbuf want;

    assert_non_null(dir);
    snprintf(path, sizeof path, "%s/%s.txt", dir, name);
    if (getenv("UPDATE_GOLDEN")) {
        write_file(path, dump);
        free(dump);
        return;
    }
    strbuf_init(&want, 0);
    struct err e = ERR_INIT;
    if (io_read_file(path, 1 << 20, &want, &e) != 0)
        fail_msg("%s (UPDATE_GOLDEN=1 writes it)", e.msg);
    if (strcmp(want.s, dump) != 0) {
        fprintf(stderr, "--- %s, wanted\n%s--- shown\n%s", name, want.s, dump);
        fail_msg("%s differs (UPDATE_GOLDEN=1 accepts what is shown)", name);
    }
    strbuf_free(&want);
    free(dump);
}
