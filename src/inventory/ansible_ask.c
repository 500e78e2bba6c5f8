/* SPDX-License-Identifier: Apache-2.0 */
/* Asks a script for the variables of its hosts, one by one: `script --host NAME`.
 *
 * Theory of operation: a few threads take the next name each from one counter and run the script for it;
 * each answer is written by one thread alone, and read after all have been joined. The first error that
 * counts stops them. No lock is held while a script runs. */
#include "ansible.h"
#include "run.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/thread.h"

#include <stdatomic.h>
#include <string.h>

#define ASKERS 8
#define ASK_ALL_MS 60000                    /* LIMIT: for all names together */
#define ASK_ONE_MS 10000
#define ANSWER_MAX ((size_t) 1 << 20)       /* LIMIT: what is printed for one name */

struct asking {
    const char *script;
    const char *const *names;
    size_t n;
    char **answers;
    int64_t until;
    atomic_size_t next, bytes, mute; /* mute: it failed and printed nothing */
    atomic_bool stop;
    pthread_mutex_t lock; /* of the errors */
    struct err failed, muted;
};

static void keep_first(struct asking *a, struct err *to, struct err *from)
{
    pthread_mutex_lock(&a->lock);
    if (!to->msg) {
        *to = *from;
        *from = (struct err) ERR_INIT;
    }
    pthread_mutex_unlock(&a->lock);
    err_clear(from);
}

static void ask_one(struct asking *a, size_t i)
{
    const char *const argv[] = {a->script, "--host", a->names[i], NULL};
    int64_t left = a->until - mono_ms(clock_system());
    int code = -1, rc;
    struct run_options o = {.timeout_ms = left < ASK_ONE_MS ? left : ASK_ONE_MS, .exit_code = &code};
    struct err why = ERR_INIT;
    struct strbuf out;

    if (left <= 0) {
        err_set(&why, ERR_VALIDATION,
                "it prints no \"_meta\", and to ask for its %zu hosts one by one takes more than %d s "
                "(%zu were asked): let it print \"_meta\" with --list", a->n, ASK_ALL_MS / 1000, i);
        keep_first(a, &a->failed, &why);
        atomic_store(&a->stop, true);
        return;
    }
    strbuf_init(&out, ANSWER_MAX);
    rc = run_program(argv, &o, &out, &why);
    if (!rc && atomic_fetch_add(&a->bytes, out.len) + out.len > INVENTORY_FILE_MAX)
        rc = err_set(&why, ERR_VALIDATION, "all answers are more than %zu MiB",
                     INVENTORY_FILE_MAX >> 20);
    if (!rc) {
        a->answers[i] = strbuf_steal(&out);
    } else if (code > 0 && out.len == 0) {
        atomic_fetch_add(&a->mute, 1);
        keep_first(a, &a->muted, &why);
    } else {
        err_prefix(&why, "asked with --host \"%s\": ", a->names[i]);
        keep_first(a, &a->failed, &why);
        atomic_store(&a->stop, true);
    }
    strbuf_free(&out);
}

static void *ask_some(void *arg)
{
    struct asking *a = arg;
    size_t i;

    while (!atomic_load(&a->stop) && (i = atomic_fetch_add(&a->next, 1)) < a->n)
        ask_one(a, i);
    return NULL;
}

static void ask_all(struct asking *a)
{
    pthread_t t[ASKERS];
    size_t started = 0;

    while (started < ASKERS && started < a->n &&
           thread_start(&t[started], "inventory-ask", ask_some, a) == 0)
        started++;
    if (started == 0)
        ask_some(a);
    for (size_t i = 0; i < started; i++)
        pthread_join(t[i], NULL);
}

int ansible_ask(struct build *b, const char *script, const char *const *names, size_t n,
                char **answers, struct err *e)
{
    struct asking a = {.script = script, .names = names, .n = n, .answers = answers,
                       .until = mono_ms(clock_system()) + ASK_ALL_MS,
                       .lock = PTHREAD_MUTEX_INITIALIZER};
    size_t mute;
    int rc = 0;

    ask_all(&a);
    mute = atomic_load(&a.mute);
    if (a.failed.msg)
        rc = err_set(e, ERR_VALIDATION, "%s", a.failed.msg);
    else if (mute && mute == n)
        build_warn(b, "it prints no \"_meta\", and asked with --host it fails (%s): variables of "
                      "hosts are not known", a.muted.msg);
    else if (mute)
        rc = err_set(e, ERR_VALIDATION, "asked with --host it fails for %zu of %zu hosts: %s", mute,
                     n, a.muted.msg);
    err_clear(&a.failed);
    err_clear(&a.muted);
    pthread_mutex_destroy(&a.lock);
    return rc;
}
