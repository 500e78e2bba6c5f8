/* SPDX-License-Identifier: Apache-2.0 */
/* The engine with the ssh transport and a sink that prints: one line of JSON for each execution
 * as it ends, for test_ssh.py. Every claim is granted from a thread of its own, as the store's
 * writer does.
 *
 *   client [options] -- COMMAND
 *   -n COUNT -f FANOUT -l USER -p PORT -i IDENTITY -k KNOWN_HOSTS -s STRICT -F CONFIG -o OPTION
 *   -J JUMP -t CONNECT_MS -u COMMAND_MS -H HOST -r RETRIES -m MAX_OUTPUT
 *   -w (cancel once each has written)
 *   -W PASSWORD (as -A) -P ANSWER (to the user's questions: the first to the first and so on, the last
 *   to all that follow; an empty one declines, "-" lets it stand; each is a line in $CLIENT_QUESTIONS)
 *   -2 PASSWORD (then all once more, as batch 2, with this one instead, or with none when
 *   it is empty)
 *   -T (trace lines on standard error)
 *   -c MS (cancel after that) -d (a default under ssh_config: KEY=VALUE) -g GRACE_MS
 *   -I FILE (its standard input) -Y (a terminal) -X TRANSPORT (ssh alone, without it) */
#include "muster/base/alloc.h"
#include "muster/base/bqueue.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/base/log.h"
#include "muster/base/secret.h"
#include "muster/base/thread.h"
#include "muster/core/event.h"
#include "muster/exec/ask.h"
#include "muster/exec/askpass.h"
#include "muster/exec/engine.h"
#include "muster/exec/transport.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct result {
    char *out[2];
    size_t len[2], cap[2];
    bool counted;
};

struct client {
    struct engine *engine;
    struct bqueue *events;
    struct result *results;
    size_t n, ended, written;
    bool cancel_when_written, cancelled;
    int64_t cancel_at; /* 0: never */
};

static bool emit(void *ctx, struct event *ev)
{
    struct client *c = ctx;

    return bqueue_push(c->events, ev, event_weight(ev), ev->kind != EVENT_OUTPUT);
}

static void print_text(const char *key, const char *value)
{
    if (!value) {
        printf(", \"%s\": null", key);
        return;
    }
    printf(", \"%s\": \"", key);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\' || (unsigned char) *value < ' ')
            printf("\\u%04x", (unsigned char) *value);
        else
            putchar(*value);
    }
    putchar('"');
}

static void print_end(const struct client *c, const struct event *ev)
{
    const struct result *r = &c->results[ev->position];

    printf("{\"position\": %u, \"ok\": %s, \"exit\": %d, \"attempts\": %u, \"ms\": %lld, "
           "\"port\": %d",
           ev->position, ev->status == EXEC_SUCCESS ? "true" : "false", ev->exit_code,
           ev->attempts, (long long) ev->duration_ms, ev->port);
    print_text("reason", reason_name(ev->reason));
    print_text("error", ev->error);
    print_text("signal", ev->signal);
    print_text("remote", remote_process_name(ev->remote));
    print_text("host", ev->host);
    print_text("user", ev->user);
    for (int i = 0; i < 2; i++) {
        CLEANUP_FREE char *b64 = base64_encode(r->out[i] ? r->out[i] : "", r->len[i]);

        print_text(i ? "err" : "out", b64);
        printf(", \"%s\": %s", i ? "err_cut" : "out_cut", ev->truncated[i] ? "true" : "false");
    }
    printf("}\n");
    fflush(stdout);
}

static void keep(struct client *c, const struct event *ev)
{
    struct result *r = &c->results[ev->position];

    for (int i = 0; i < 2; i++) {
        if (!ev->len[i])
            continue;
        X_GROW(r->out[i], r->cap[i], r->len[i] + ev->len[i]);
        memcpy(r->out[i] + r->len[i], ev->data[i], ev->len[i]);
        r->len[i] += ev->len[i];
    }
    if (r->len[0] && !r->counted) {
        r->counted = true;
        c->written++;
    }
}

static void take(struct client *c, struct event *ev)
{
    keep(c, ev);
    if (ev->kind == EVENT_CLAIM)
        engine_claimed(c->engine, ev->batch, ev->position, true);
    if (ev->kind == EVENT_FINISH) {
        c->ended++;
        print_end(c, ev);
    }
    event_free(ev);
}

static void usage(void)
{
    fprintf(stderr, "client: see the top of client.c\n");
    exit(2);
}

/* Who answers the user's questions: a thread, as the face is one. */
struct answers {
    struct asker *asker;
    struct strv list;
    sem_t wake;
    pthread_t thread;
    bool quit;
};

static void wake_answers(void *ctx)
{
    sem_post(&((struct answers *) ctx)->wake);
}

static void *answer(void *arg)
{
    struct answers *a = arg;
    struct question q;
    size_t n = 0;
    FILE *f = getenv("CLIENT_QUESTIONS") ? fopen(getenv("CLIENT_QUESTIONS"), "a") : NULL;

    while (sem_wait(&a->wake) == 0 && !__atomic_load_n(&a->quit, __ATOMIC_ACQUIRE)) {
        while (asker_next(a->asker, &q)) {
            const char *text = a->list.v[n < a->list.n - 1 ? n : a->list.n - 1];
            struct secret *s = *text ? secret_new(text, strlen(text)) : NULL;

            bool stands = strcmp(text, "-") == 0;

            n++;
            if (f) {
                fprintf(f, "%s|%s|%s\n", q.about, q.text, q.echo ? "echo" : "");
                fflush(f);
            }
            if (!stands)
                asker_answer(a->asker, q.id, s);
            secret_unref(s);
            question_clear(&q);
            if (stands)
                break; /* it is the next one for ever */
        }
    }
    if (f)
        fclose(f);
    return NULL;
}

static void answers_begin(struct answers *a)
{
    if (!a->list.n)
        return;
    sem_init(&a->wake, 0, 0);
    a->asker = asker_new(wake_answers, a);
    pthread_create(&a->thread, NULL, answer, a);
}

static void answers_end(struct answers *a)
{
    if (!a->asker)
        return;
    asker_close(a->asker);
    __atomic_store_n(&a->quit, true, __ATOMIC_RELEASE);
    sem_post(&a->wake);
    pthread_join(a->thread, NULL);
    sem_destroy(&a->wake);
    asker_unref(a->asker);
    strv_clear(&a->list);
}

static void trace(void *ctx, const char *node, int64_t ms, const char *text)
{
    fprintf(stderr, "%s: %s\n", node, text);
}

struct arguments {
    struct answers answers;
    struct engine_config cfg;
    struct engine_batch batch;
    struct settings base, over;
    struct strv options;
    size_t n;
    bool cancel;
    int64_t cancel_ms;
    const char *second;
};

static void set(struct settings *s, enum setting_id id, const char *value)
{
    struct err e = ERR_INIT;

    if (setting_set(s, id, value, &e) != 0) {
        fprintf(stderr, "client: %s\n", e.msg);
        exit(2);
    }
}

static void set_default(struct settings *s, const char *pair)
{
    const char *eq = strchr(pair, '=');
    CLEANUP_FREE char *key = eq ? x_strndup(pair, (size_t) (eq - pair)) : NULL;
    int id = key ? setting_find(key) : -1;

    if (id < 0)
        usage();
    set(s, (enum setting_id) id, eq + 1);
}

static void parse(struct arguments *a, int argc, char **argv)
{
    int opt;

    while ((opt = getopt(argc, argv, "J:n:f:l:p:i:k:s:F:o:t:u:H:r:m:d:g:c:I:YX:wW:2:P:T")) != -1) {
        switch (opt) {
        case 'n': a->n = strtoul(optarg, NULL, 10); break;
        case 'f': a->cfg.fanout = (unsigned) atoi(optarg); break;
        case 'l': set(&a->over, SETTING_USER, optarg); break;
        case 'p': set(&a->over, SETTING_PORT, optarg); break;
        case 'i': set(&a->over, SETTING_IDENTITY, optarg); break;
        case 'k': set(&a->over, SETTING_KNOWN_HOSTS, optarg); break;
        case 's': set(&a->over, SETTING_STRICT, optarg); break;
        case 'H': set(&a->over, SETTING_HOST, optarg); break;
        case 'J': set(&a->over, SETTING_JUMP, optarg); break;
        case 'F': a->batch.ssh_config = optarg; break;
        case 'o': strv_push(&a->options, optarg); break;
        case 't': a->over.connect_timeout_ms = atoi(optarg); break;
        case 'u': a->over.command_timeout_ms = atoi(optarg); break;
        case 'r': a->batch.retries = (unsigned) atoi(optarg); break;
        case 'm': a->batch.max_output = strtoull(optarg, NULL, 10); break;
        case 'd': set_default(&a->base, optarg); break;
        case 'g': a->cfg.stop_grace_ms = atoi(optarg); break;
        case 'c': a->cancel_ms = atoi(optarg); break;
        case 'I': a->batch.stdin_path = optarg; break;
        case 'Y': a->batch.pty = true; break;
        case 'X':
            set(&a->over, SETTING_TRANSPORT, optarg);
            a->cfg.transports = NULL; /* all */
            break;
        case 'w': a->cancel = true; break;
        case 'W': a->batch.password = secret_new(optarg, strlen(optarg)); break;
        case '2': a->second = optarg; break;
        case 'P': strv_push(&a->answers.list, optarg); break;
        case 'T': a->batch.trace = trace; break;
        default: usage();
        }
    }
    if (optind != argc - 1)
        usage();
    a->batch.command = argv[optind];
}

static int64_t now(void)
{
    return mono_ms(clock_system());
}

static void maybe_cancel(struct client *c)
{
    bool due = (c->cancel_when_written && c->written == c->n) ||
               (c->cancel_at && now() >= c->cancel_at);

    if (c->cancelled || !due)
        return;
    c->cancelled = true;
    engine_cancel(c->engine, 1);
}

static void run(struct client *c, const struct arguments *a)
{
    struct engine_job *jobs = x_calloc(a->n, sizeof *jobs);
    char **names = x_calloc(a->n, sizeof *names);
    void *items[64];

    for (size_t i = 0; i < a->n; i++) {
        names[i] = x_asprintf("n%zu", i + 1);
        jobs[i] = (struct engine_job) {
            .position = (uint32_t) i, .node = names[i], .base = &a->base, .over = &a->over};
    }
    if (engine_reserve(c->engine, a->n, NULL) != 0)
        exit(1);
    engine_submit(c->engine, &a->batch, jobs, a->n);
    c->cancel_at = a->cancel_ms ? now() + a->cancel_ms : 0;
    while (c->ended < a->n) {
        size_t got = bqueue_pop(c->events, items, 64, c->cancel_at && !c->cancelled ? 1 : -1);

        maybe_cancel(c);
        for (size_t i = 0; i < got; i++)
            take(c, items[i]);
        maybe_cancel(c);
    }
    for (size_t i = 0; i < a->n; i++)
        free(names[i]);
    free(names);
    free(jobs);
}

/* The last event leaves before its slot is free. */
static void wait_idle(struct client *c)
{
    struct engine_counts n = {.running = 1};

    while (n.running) {
        usleep(1000);
        engine_counts(c->engine, &n);
    }
}

int main(int argc, char **argv)
{
    if (askpass_wanted())
        return askpass_main(argc, argv);

    static const struct transport_ops *const transports[] = {&transport_ssh, NULL};
    struct arguments a = {
        .cfg = {.fanout = 64, .max_queue = 100000, .transports = transports},
        .batch = {.number = 1, .max_output = 10 << 20, .retries = 2, .live = true},
        .n = 1,
    };
    struct client c = {.events = bqueue_new(4096, 8 << 20)};
    struct event_sink sink = {emit, &c};
    struct err e = ERR_INIT;

    settings_init(&a.base);
    settings_init(&a.over);
    parse(&a, argc, argv);
    a.batch.ssh_options = a.options.n ? &a.options : NULL;
    if (getenv("CLIENT_LOG"))
        log_open(getenv("CLIENT_LOG"), LOG_DEBUG);
    answers_begin(&a.answers);
    a.cfg.asker = a.answers.asker;
    if (engine_global_init(&e) != 0 || !(c.engine = engine_new(&a.cfg, &sink, &e))) {
        fprintf(stderr, "client: %s\n", e.msg);
        return 1;
    }
    c.n = a.n;
    c.cancel_when_written = a.cancel;
    c.results = x_calloc(a.n, sizeof *c.results);
    run(&c, &a);
    if (a.second) {
        wait_idle(&c);
        secret_unref(a.batch.password);
        a.batch.password = *a.second ? secret_new(a.second, strlen(a.second)) : NULL;
        a.batch.number = 2;
        c.ended = 0;
        run(&c, &a);
    }
    engine_free(c.engine);
    answers_end(&a.answers);
    secret_unref(a.batch.password);
    for (size_t i = 0; i < a.n; i++) {
        free(c.results[i].out[0]);
        free(c.results[i].out[1]);
    }
    free(c.results);
    bqueue_free(c.events);
    settings_clear(&a.base);
    settings_clear(&a.over);
    strv_clear(&a.options);
    return 0;
}
