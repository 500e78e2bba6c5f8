/* SPDX-License-Identifier: Apache-2.0 */
/* The question after a canary, and what else a staged batch has to tell. */
#include "canary.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/service/service.h"
#include "muster/store/reader.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CLASSES_MAX 10

/* "  3 n[01-03]: exit 2: no such file" */
static void print_class_line(const struct output_class *c)
{
    CLEANUP_FREE char *nodes = text_clean(c->nodes);
    CLEANUP_FREE char *raw = x_strndup(c->first_line ? c->first_line : "", c->first_line_len);
    CLEANUP_FREE char *line = text_clean(raw);
    struct strbuf b;
    strbuf_init(&b, 0);
    if (c->status == EXEC_SUCCESS)
        strbuf_adds(&b, "ok");
    else if (c->exit_code >= 0)
        strbuf_addf(&b, "exit code %d", c->exit_code);
    else
        strbuf_adds(&b, reason_name(c->reason));
    fprintf(stderr, "  %zu %s: %s%s%s\n", c->count, nodes, b.s, *line ? ": " : "", line);
    strbuf_free(&b);
}

static void print_outcome(const struct canary *c, struct reader *r, const struct stage_info *i)
{
    struct output_class *classes = NULL;
    size_t n = 0, total = 0;
    CLEANUP_ERR struct err e = ERR_INIT;
    fprintf(stderr, "batch #%lld: the canary has ended: %u of %u succeeded\n",
            (long long) c->number, i->success, i->nodes);
    if (reader_classes(r, c->number, 0, CLASSES_MAX, &classes, &n, &total, &e) != 0)
        return;
    for (size_t k = 0; k < n; k++)
        if (exec_is_final(classes[k].status))
            print_class_line(&classes[k]);
    if (total > n)
        fprintf(stderr, "  and %zu other outcomes (muster results %lld -b)\n", total - n,
                (long long) c->number);
    classes_free(classes, n);
}

static void ask(struct canary *c, struct reader *r, const struct stage_info *i)
{
    if (!ask_tty_ready()) {
        if (!c->told_background)
            fputs("\nmuster: a question waits: bring this job to the foreground (fg) to answer it\n",
                  stderr);
        c->told_background = true;
        return;
    }
    c->told_background = false;
    c->clear(c->ctx);
    print_outcome(c, r, i);
    CLEANUP_FREE char *prompt =
        x_asprintf("Go on with the other %u node%s? [y/N] ", i->total - i->nodes,
                   i->total - i->nodes == 1 ? "" : "s");
    if (ask_tty_open(&c->tty, prompt, true, false, NULL) == 0)
        c->asked = true;
    else
        service_stage_answer(c->service, c->number, false);
}

void canary_check(struct canary *c, struct reader *r)
{
    struct stage_info i;
    if (!service_stage(c->service, c->number, &i))
        return;
    bool wanted = service_stage_question(c->service) == c->number;
    if (!wanted)
        canary_end(c);
    else if (!c->asked)
        ask(c, r, &i);
    if (i.state != STAGE_STOPPED || c->told_stop)
        return;
    c->told_stop = true;
    if (c->quiet)
        return;
    c->clear(c->ctx);
    CLEANUP_FREE char *why = text_clean(i.why);
    fprintf(stderr, "batch #%lld stops: %s\n", (long long) c->number, why);
}

void canary_fds(const struct canary *c, struct pollfd fds[2])
{
    if (c->asked)
        ask_tty_fds(&c->tty, fds);
}

static bool is_yes(const struct secret *s)
{
    return (secret_len(s) == 1 && strncasecmp(secret_text(s), "y", 1) == 0) ||
           (secret_len(s) == 3 && strncasecmp(secret_text(s), "yes", 3) == 0);
}

void canary_read(struct canary *c)
{
    int got = c->asked ? ask_tty_read(&c->tty) : 0;
    if (got == 0)
        return;
    struct secret *answer = got > 0 ? ask_tty_take(&c->tty) : NULL;
    bool yes = answer && is_yes(answer);
    canary_end(c);
    secret_unref(answer);
    service_stage_answer(c->service, c->number, yes);
}

void canary_end(struct canary *c)
{
    if (c->asked)
        ask_tty_close(&c->tty);
    c->asked = false;
}

void canary_line(const struct canary *c, bool paused, struct strbuf *b)
{
    struct stage_info i;
    char time[24];
    if (service_stage(c->service, c->number, &i) && i.stages > 1) {
        strbuf_addf(b, "  wave %u/%u", i.stage, i.stages);
        if (i.state == STAGE_PROBING)
            strbuf_adds(b, ", probe");
        else if (i.state == STAGE_WAITING && i.wait_ms)
            strbuf_addf(b, ", next in %s", text_duration(i.wait_ms, time));
        else if (i.state == STAGE_STOPPED)
            strbuf_adds(b, ", stopped");
    }
    if (paused)
        strbuf_adds(b, "  paused");
}
