/* SPDX-License-Identifier: Apache-2.0 */
/* Cancelling and pausing: the request is recorded in the store, so that it works from any process; the
 * owner of the batch acts on it. */
#include "service.h"

#include "plans.h"
#include "stages.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/core/json.h"
#include "muster/exec/engine.h"
#include "muster/store/reader.h"
#include "muster/store/writer.h"

#include <stdio.h>
#include <string.h>

static int batch_id(const struct service *s, int64_t number, char *id, struct err *e)
{
    struct reader *r = reader_open(s->db_path, e);
    if (!r)
        return -ERR_STORE;
    struct batch b;
    int rc = reader_batch(r, number, &b, e);
    if (rc == 0) {
        memcpy(id, b.id, sizeof b.id);
        batch_clear(&b);
    }
    reader_close(r);
    return rc;
}

static const char *is_are(size_t n)
{
    return n == 1 ? "is" : "are";
}

static void describe(const struct cancel_result *res, struct cancel_answer *out)
{
    if (res->ended)
        snprintf(out->message, sizeof out->message,
                 "batch #%lld has ended already: nothing was changed", (long long) out->number);
    else if (res->owner_dead)
        snprintf(out->message, sizeof out->message,
                 "batch #%lld: its process is gone; %zu queued and %zu running are settled now",
                 (long long) out->number, res->queued, res->running);
    else
        snprintf(out->message, sizeof out->message,
                 "batch #%lld: %zu queued cancelled, %zu running %s being stopped",
                 (long long) out->number, res->queued, res->running, is_are(res->running));
}

/* The store cannot take it, but what this process runs can be stopped all the same: what became of it
 * is written when that is possible again. */
static int cancel_unwritten(struct service *s, int64_t number, struct cancel_answer *out)
{
    stages_cancelled(s->stages, number);
    size_t running = s->engine ? engine_cancel(s->engine, number) : 0;
    plans_cancelled(s->plans, number);
    if (running == 0)
        return -ERR_STORE;
    X_GROW(s->unwritten, s->cap_unwritten, s->n_unwritten + 1);
    s->unwritten[s->n_unwritten++] = number;
    out->number = number;
    out->cancelled = running;
    snprintf(out->message, sizeof out->message,
             "batch #%lld: %zu running %s being stopped; the database cannot be written, so "
             "that is on record only once it can", (long long) number, running, is_are(running));
    return 0;
}

void service_write_cancels(struct service *s)
{
    size_t left = 0;
    for (size_t i = 0; i < s->n_unwritten; i++) {
        CLEANUP_ERR struct err e = ERR_INIT;
        struct cancel_result res;
        int rc = writer_cancel(s->writer, s->unwritten[i], &res, &e);
        if (rc == -ERR_STORE)
            s->unwritten[left++] = s->unwritten[i];
    }
    s->n_unwritten = left;
}

/* What every change of a batch needs: leave to make it, its id, the writer. 0, or -code. */
static int begin(struct service *s, int64_t number, char *id, struct writer **w, struct err *e)
{
    int rc = service_may_change(s, e);
    if (rc == 0)
        rc = batch_id(s, number, id, e);
    if (rc != 0)
        return rc;
    *w = service_writer(s, e);
    return *w ? 0 : -ERR_STORE;
}

int batch_cancel(struct service *s, int64_t number, struct cancel_answer *out, struct err *e)
{
    struct writer *w;
    memset(out, 0, sizeof *out);
    int rc = begin(s, number, out->id, &w, e);
    if (rc != 0)
        return rc;
    struct cancel_result res = {0};
    rc = writer_cancel(w, number, &res, e);
    if (rc == -ERR_STORE && cancel_unwritten(s, number, out) == 0) {
        err_clear(e);
        return 0;
    }
    if (rc != 0)
        return rc;
    if (res.owned_here && s->engine) {
        stages_cancelled(s->stages, number);
        engine_cancel(s->engine, number);
        plans_cancelled(s->plans, number);
    }
    out->number = number;
    out->cancelled = res.ended ? 0 : res.queued + res.running;
    out->ended = res.ended;
    describe(&res, out);
    return 0;
}

int batch_pause(struct service *s, int64_t number, bool on, struct pause_answer *out, struct err *e)
{
    struct writer *w;
    memset(out, 0, sizeof *out);
    int rc = begin(s, number, out->id, &w, e);
    if (rc != 0)
        return rc;
    struct pause_result res = {0};
    rc = writer_pause(w, number, on, &res, e);
    if (rc != 0)
        return rc;
    if (res.owned_here && s->engine)
        engine_pause(s->engine, number, on);
    out->number = number;
    out->ended = res.ended;
    out->paused = on && !res.ended;
    if (res.ended)
        snprintf(out->message, sizeof out->message,
                 "batch #%lld has ended already: nothing was changed", (long long) number);
    else if (!res.changed)
        snprintf(out->message, sizeof out->message, "batch #%lld %s", (long long) number,
                 on ? "is paused already" : "is not paused");
    else if (on)
        snprintf(out->message, sizeof out->message,
                 "batch #%lld: paused, %zu waiting; what runs goes on", (long long) number,
                 res.queued);
    else
        snprintf(out->message, sizeof out->message, "batch #%lld: resumed, %zu waiting",
                 (long long) number, res.queued);
    return 0;
}

struct json *pause_answer_json(const struct pause_answer *a)
{
    struct json *o = json_object();
    json_put_str(o, "batchId", a->id);
    json_put_int(o, "number", a->number);
    json_put_bool(o, "paused", a->paused);
    json_put_str(o, "message", a->message);
    return o;
}

int batch_delete(struct service *s, int64_t number, struct err *e)
{
    int rc = service_may_change(s, e);
    if (rc != 0)
        return rc;
    struct writer *w = service_writer(s, e);
    return w ? writer_delete(w, number, e) : -ERR_STORE;
}

struct json *cancel_answer_json(const struct cancel_answer *a)
{
    struct json *o = json_object();
    json_put_str(o, "batchId", a->id);
    json_put_int(o, "number", a->number);
    json_put_int(o, "cancelledCount", (int64_t) a->cancelled);
    json_put_str(o, "message", a->message);
    return o;
}
