/* SPDX-License-Identifier: Apache-2.0 */
/* Batches and executions as values; the names of action types. */
#include "muster/core/batch.h"

#include "muster/base/alloc.h"
#include "muster/base/text.h"

#include <stdio.h>
#include <string.h>

static const char *const action_names[ACTION_TYPE_COUNT] = {
#define ACTION(id, name, help) [ACTION_TYPE_##id] = name,
    ACTION_TYPE_TABLE(ACTION)
#undef ACTION
};

const char *action_type_name(enum action_type t)
{
    return action_names[t];
}

int action_type_parse(const char *name)
{
    for (int i = 0; name && i < ACTION_TYPE_COUNT; i++) {
        if (!strcmp(action_names[i], name))
            return i;
    }
    return -1;
}

void batch_clear(struct batch *b)
{
    free(b->action);
    free(b->parameters);
    strv_clear(&b->target_groups);
    free(b->targets);
    free(b->user_id);
    free(b->label);
    strv_clear(&b->step_titles);
    strv_clear(&b->warnings);
    free(b->owner_text);
    memset(b, 0, sizeof *b);
}

/* The wall clock may be set back in between: a duration is never negative for that. */
static int64_t span(int64_t from, int64_t to)
{
    return to > from ? to - from : 0;
}

int64_t batch_duration_ms(const struct batch *b, int64_t now_wall_ms)
{
    if (!b->started_ms)
        return -1;
    return span(b->started_ms, b->completed_ms ? b->completed_ms : now_wall_ms);
}

void execution_clear(struct execution *x)
{
    free(x->node);
    free(x->error);
    free(x->note);
    free(x->transport);
    free(x->host);
    free(x->user);
    free(x->signal);
    memset(x, 0, sizeof *x);
}

void step_runs_free(struct step_run *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(v[i].error);
        free(v[i].note);
        free(v[i].signal);
    }
    free(v);
}

int64_t execution_duration_ms(const struct execution *x, int64_t now_wall_ms)
{
    if (x->duration_ms >= 0 && exec_is_final(x->status))
        return x->duration_ms;
    if (!x->started_ms)
        return -1;
    return span(x->started_ms, x->completed_ms ? x->completed_ms : now_wall_ms);
}

char *bytes_progress(uint64_t done, uint64_t total, char *buf)
{
    char of[24], so_far[24];

    text_size(done, so_far);
    if (total)
        snprintf(buf, 64, "%s of %s", so_far, text_size(total, of));
    else
        snprintf(buf, 64, "%s", so_far);
    return buf;
}

char *execution_id(const char *batch_id, uint32_t position, char *buf)
{
    snprintf(buf, 64, "%s-%04lu", batch_id, (unsigned long) position + 1);
    return buf;
}
