/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of states and reasons, their transitions, and the counters of a batch. */
#include "muster/core/state.h"

#include <stddef.h>
#include <string.h>

struct state_row {
    const char *name, *glyph, *word;
};

static const struct state_row execs[EXEC_STATUS_COUNT] = {
#define EXEC(id, name, glyph, word) [EXEC_##id] = {name, glyph, word},
    EXEC_STATUS_TABLE(EXEC)
#undef EXEC
};

static const struct state_row batches[BATCH_STATUS_COUNT] = {
#define BATCH(id, name, glyph, word) [BATCH_##id] = {name, glyph, word},
    BATCH_STATUS_TABLE(BATCH)
#undef BATCH
};

static const struct state_row reasons[REASON_COUNT] = {
#define REASON(id, name, glyph, word, status, meaning) [REASON_##id] = {name, glyph, word},
    REASON_TABLE(REASON)
#undef REASON
};

static const struct {
    int exit_status;
    const char *meaning;
} reason_more[REASON_COUNT] = {
#define REASON(id, name, glyph, word, status, meaning) [REASON_##id] = {status, meaning},
    REASON_TABLE(REASON)
#undef REASON
};

static const char *const remotes[REMOTE_COUNT] = {
    [REMOTE_STOPPED] = "stopped",
    [REMOTE_RUNNING] = "still running",
    [REMOTE_UNKNOWN] = "unknown",
};

static int find_row(const struct state_row *rows, int n, const char *name)
{
    for (int i = 0; name && i < n; i++) {
        if (!strcmp(rows[i].name, name))
            return i;
    }
    return -1;
}

const char *exec_status_name(enum exec_status s)
{
    return execs[s].name;
}

const char *exec_status_glyph(enum exec_status s)
{
    return execs[s].glyph;
}

const char *exec_status_word(enum exec_status s)
{
    return execs[s].word;
}

int exec_status_parse(const char *name)
{
    return find_row(execs, EXEC_STATUS_COUNT, name);
}

const char *reason_name(enum reason r)
{
    return reasons[r].name;
}

const char *reason_glyph(enum reason r)
{
    return reasons[r].glyph;
}

const char *reason_word(enum reason r)
{
    return reasons[r].word;
}

const char *reason_meaning(enum reason r)
{
    return reason_more[r].meaning;
}

int reason_exit_status(enum reason r)
{
    return reason_more[r].exit_status;
}

int reason_parse(const char *name)
{
    return find_row(reasons, REASON_COUNT, name);
}

const char *batch_status_name(enum batch_status s)
{
    return batches[s].name;
}

const char *batch_status_glyph(enum batch_status s)
{
    return batches[s].glyph;
}

const char *batch_status_word(enum batch_status s)
{
    return batches[s].word;
}

int batch_status_parse(const char *name)
{
    return find_row(batches, BATCH_STATUS_COUNT, name);
}

const char *remote_process_name(enum remote_process r)
{
    return remotes[r];
}

int remote_process_parse(const char *name)
{
    if (!name)
        return REMOTE_NONE;
    for (int i = 0; i < REMOTE_COUNT; i++) {
        if (remotes[i] && !strcmp(remotes[i], name))
            return i;
    }
    return -1;
}

bool exec_transition_ok(enum exec_status from, enum exec_status to)
{
    static const bool legal[EXEC_STATUS_COUNT][EXEC_STATUS_COUNT] = {
        [EXEC_QUEUED] = {[EXEC_RUNNING] = true, [EXEC_FAILED] = true},
        [EXEC_RUNNING] = {[EXEC_SUCCESS] = true, [EXEC_FAILED] = true},
    };

    return (unsigned) from < EXEC_STATUS_COUNT && (unsigned) to < EXEC_STATUS_COUNT &&
           legal[from][to];
}

enum batch_status batch_status_of(const struct batch_stats *s)
{
    if (s->queued || s->running)
        return BATCH_RUNNING;
    if (s->by_reason[REASON_CANCELLED])
        return BATCH_CANCELLED;
    if (!s->success)
        return BATCH_FAILED;
    return s->failed ? BATCH_PARTIAL : BATCH_SUCCESS;
}

unsigned batch_progress(const struct batch_stats *s)
{
    uint64_t ended = (uint64_t) s->success + s->failed;

    return s->total ? (unsigned) (ended * 100 / s->total) : 0;
}

static uint32_t *counter(struct batch_stats *s, enum exec_status status)
{
    switch (status) {
    case EXEC_QUEUED:
        return &s->queued;
    case EXEC_RUNNING:
        return &s->running;
    case EXEC_SUCCESS:
        return &s->success;
    case EXEC_FAILED:
        return &s->failed;
    case EXEC_STATUS_COUNT:
        break;
    }
    return NULL;
}

bool batch_stats_move(struct batch_stats *s, enum exec_status from, enum exec_status to,
                      enum reason reason)
{
    if (!exec_transition_ok(from, to) || !*counter(s, from))
        return false;
    if (to == EXEC_FAILED && (unsigned) reason >= REASON_COUNT)
        return false;
    --*counter(s, from);
    ++*counter(s, to);
    if (to == EXEC_FAILED)
        s->by_reason[reason]++;
    return true;
}

int batch_exit_status(const struct batch_stats *s)
{
    static const int order[] = {1, 4, 3, 5}; /* the weightiest first */

    if (s->queued || s->running)
        return 3;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        for (int r = 0; r < REASON_COUNT; r++) {
            if (s->by_reason[r] && reason_more[r].exit_status == order[i])
                return order[i];
        }
    }
    /* A failure without a reason would be a fault of ours: never 0 then. */
    return s->failed ? 1 : 0;
}
