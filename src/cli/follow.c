/* SPDX-License-Identifier: Apache-2.0 */
/* Following a batch. Everything that is printed was read from the store after its commit: own
 * commits wake the loop by an eventfd, those of other processes are found by looking. */
#include "follow.h"

#include "live.h"
#include "print_steps.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/service/service.h"
#include "muster/store/reader.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define PAGE 256
#define LINE_EVERY_MS 200
#define LOOK_OWN_MS 250
#define LOOK_MIN_MS 100
#define LOOK_MAX_MS 1000
#define STUCK_MAX_MS 10000
#define STUCK_CANCELLED_MS 1000

static void signal_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

void follow_block_signals(void)
{
    sigset_t set;
    signal_set(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

enum follow_format follow_format_of(const struct cli *c)
{
    if (c->set[OPT_JSON])
        return FOLLOW_JSON;
    const char *f = c->text[OPT_FORMAT];
    if (!f || strcmp(f, "human") == 0)
        return FOLLOW_HUMAN;
    return strcmp(f, "json") == 0 ? FOLLOW_JSON : strcmp(f, "jsonl") == 0 ? FOLLOW_JSONL
                                                                          : FOLLOW_CSV;
}

/* --- the live line --- */

static void hide_line(struct follow *f)
{
    if (f->line_shown)
        fputs("\r\033[K", stderr);
    f->line_shown = false;
}

static void show_line(struct follow *f)
{
    const struct batch_stats *st = &f->batch.stats;
    int64_t now = mono_ms(clock_system());
    if (!f->printer.err_tty || f->cli->set[OPT_QUIET] || f->questions.asked ||
        f->canary.asked || now - f->shown_ms < LINE_EVERY_MS)
        return;
    f->shown_ms = now;
    struct winsize w;
    unsigned cols = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
    char time[24];
    struct strbuf b, fit;
    strbuf_init(&b, 0);
    strbuf_init(&fit, 0);
    unsigned done = st->success + st->failed;
    strbuf_addf(&b, "#%lld %u/%u %u%%  ok %u  failed %u  running %u  waiting %u  %s",
                (long long) f->number, done, st->total,
                f->batch.is_copy ? reader_copy_progress(f->reader, &f->batch)
                                   : batch_progress(st), st->success,
                st->failed, st->running, st->queued,
                text_duration(batch_duration_ms(&f->batch, wall_ms(clock_system())), time));
    uint64_t sent, total;
    char bytes[64];
    if (f->batch.is_copy &&
        reader_bytes(f->reader, f->number, &sent, &total, NULL) == 0 && sent)
        strbuf_addf(&b, "  %s", bytes_progress(sent, total, bytes));
    canary_line(&f->canary, f->batch.paused, &b);
    text_fit(&fit, b.s, cols - 1, false);
    fprintf(stderr, "\r\033[K%s", fit.s);
    f->line_shown = true;
    strbuf_free(&b);
    strbuf_free(&fit);
}

/* --- what is new --- */

/* An output that cannot be written is told at the end: it is no reason to stop the batch. */
static int print_jsonl(struct follow *f, const struct execution *x, struct err *e)
{
    if (f->printer.gone)
        return 0;
    int rc = execution_write(f->reader, f->batch.id, x, STDOUT_FILENO, e);
    if (rc != -ERR_INTERNAL)
        return rc;
    f->printer.gone = true;
    f->printer.lost = *e;
    *e = (struct err) ERR_INIT;
    return 0;
}

static int print_one(struct follow *f, const struct execution *x, struct err *e)
{
    if (f->format == FOLLOW_JSONL)
        return print_jsonl(f, x, e);
    if (f->format != FOLLOW_HUMAN || f->cli->set[OPT_FOLD])
        return 0;
    if (!f->live && f->printer.steps.n && f->cli->set[OPT_VERBOSE])
        return print_steps(&f->printer, 0, false, x->node, e);
    if (!f->live)
        return print_execution(&f->printer, x, e);
    int rc = live_print(f->live, &f->printer, x, e);
    struct execution rest = *x; /* its outputs are printed: what went wrong is left */
    rest.out_id[0] = rest.out_id[1] = 0;
    return rc == 0 ? print_execution(&f->printer, &rest, e) : rc;
}

static int print_running(struct follow *f, struct err *e)
{
    const struct exec_filter running = {.status_mask = 1u << EXEC_RUNNING};
    struct execution *x = NULL;
    size_t n = 0;
    int rc = reader_executions(f->reader, f->number, &running, SORT_POSITION, false, 0,
                               FANOUT_MAX, &x, &n, NULL, e);
    hide_line(f); /* what is printed stands on lines of its own; the live line comes after it */
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = live_print(f->live, &f->printer, &x[i], e);
    executions_free(x, n);
    return rc;
}

static int print_new(struct follow *f, struct err *e)
{
    int rc = f->live ? print_running(f, e) : 0;
    while (rc == 0) {
        struct execution *x = NULL;
        size_t n = 0;
        rc = reader_finished_since(f->reader, f->number, f->seq, PAGE, &x, &n, e);
        if (rc == 0 && n)
            hide_line(f);
        for (size_t i = 0; i < n && rc == 0; i++) {
            rc = print_one(f, &x[i], e);
            f->seq = x[i].finished_seq;
        }
        executions_free(x, n);
        if (n < PAGE)
            break;
    }
    return rc;
}

/* A question on the terminal that the results go to: they would land on its line. */
static bool question_stands(const struct follow *f)
{
    return (f->questions.asked || f->canary.asked) && (f->printer.out_tty || f->printer.err_tty);
}

static int look(struct follow *f, struct err *e)
{
    /* The batch first: what ends after it was read is printed now and counted the next time. */
    struct batch b;
    int rc = reader_batch(f->reader, f->number, &b, e);
    if (rc != 0)
        return rc;
    batch_clear(&f->batch);
    f->batch = b;
    f->have_batch = true;
    f->held = question_stands(f);
    return f->held ? 0 : print_new(f, e);
}

/* --- questions --- */

static void clear_line(void *ctx)
{
    hide_line(ctx);
}

static void check_question(struct follow *f)
{
    if (!f->own)
        return;
    if (f->interrupts)
        service_set_can_ask(f->service, false);
    /* One at a time: the other waits. */
    if (!f->canary.asked)
        questions_check(&f->questions);
    if (!f->questions.asked)
        canary_check(&f->canary, f->reader);
}

/* --- signals --- */

/* Tears down what runs and puts that on record, so that the last lines tell the truth. */
static int leave(struct follow *f, struct err *e)
{
    service_leave(f->service);
    f->left = true;
    int rc = look(f, e);
    return rc == 0 ? 1 : rc;
}

static int interrupt(struct follow *f, struct err *e)
{
    hide_line(f);
    if (!f->own) {
        fprintf(stderr, "batch #%lld goes on (muster cancel %lld stops it)\n",
                (long long) f->number, (long long) f->number);
        return 1;
    }
    if (f->interrupts > 1) {
        fprintf(stderr, "leaving at once: what still runs is recorded as lost%s\n",
                f->trouble ? ", by the next muster that can write the database" : "");
        return leave(f, e);
    }
    struct cancel_answer a;
    int rc = batch_cancel(f->service, f->number, &a, e);
    if (rc != 0)
        return rc;
    fprintf(stderr, "%s (Ctrl-C again leaves at once)\n", a.message);
    return 0;
}

/* The terminal is gone: the batch goes on to its end without anyone to tell. A file or a pipe that
 * takes the results is still there. */
static void lose_terminal(struct follow *f)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    questions_end(&f->questions, NULL);
    canary_end(&f->canary);
    service_set_can_ask(f->service, false);
    if (null < 0)
        return;
    dup2(null, STDIN_FILENO);
    if (f->printer.out_tty)
        dup2(null, STDOUT_FILENO);
    if (f->printer.err_tty)
        dup2(null, STDERR_FILENO);
    close(null);
    f->printer.out_tty = f->printer.err_tty = false;
    f->line_shown = false;
}

/* Returns 1 to leave the loop, 0 to go on, -code on an error. */
static int read_signals(struct follow *f, struct err *e)
{
    struct signalfd_siginfo si;
    while (read(f->signal_fd, &si, sizeof si) == (ssize_t) sizeof si) {
        if (si.ssi_signo == SIGHUP) {
            lose_terminal(f);
            continue;
        }
        /* It goes unanswered: to decline it would fail the nodes that are to be cancelled. */
        questions_hide(&f->questions);
        canary_end(&f->canary);
        f->interrupts++;
        int rc = interrupt(f, e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* --- the loop --- */

static bool ended(struct follow *f)
{
    return f->batch.status != BATCH_RUNNING && (!f->own || service_idle(f->service));
}

/* A batch whose process has died is settled by whoever sees it. Nothing is committed by a death, so
 * it has to be looked for. */
static int settle(struct follow *f, struct err *e)
{
    if (f->own || !reader_has_dead_owner(f->reader))
        return 0;
    int rc = look(f, e);
    if (rc != 0 || f->batch.owner != OWNER_DEAD)
        return rc;
    rc = service_settle(f->service, e);
    return rc == 0 ? look(f, e) : rc;
}

/* Says once that the store fails and once that it does no more. When nothing runs any more it is given
 * some time, and then the run ends with what is on record. */
static int check_store(struct follow *f, struct err *e)
{
    const char *trouble = f->own ? service_trouble(f->service) : NULL;
    if (!trouble) {
        if (f->trouble)
            fputs("the database can be written again: going on\n", stderr);
        f->trouble = false;
        return 0;
    }
    int64_t now = mono_ms(clock_system());
    if (!f->trouble) {
        hide_line(f);
        CLEANUP_FREE char *clean = text_clean(trouble);
        fprintf(stderr, "muster: %s\nNothing more is started, and nodes with much output wait, until "
                "it can be written (Ctrl-C cancels)\n", clean);
        f->trouble = true;
        f->stuck_ms = now;
    }
    if (!service_stuck(f->service))
        f->stuck_ms = now;
    if (now - f->stuck_ms < (f->interrupts ? STUCK_CANCELLED_MS : STUCK_MAX_MS))
        return 0;
    return err_set(e, ERR_STORE, "%s; what had not started stays undone, and what ended since is "
                   "recorded as lost, by the next muster that can write it", trouble);
}

static int wait_for_more(struct follow *f, int64_t *gap, struct err *e)
{
    struct pollfd fds[] = {{.fd = f->signal_fd, .events = POLLIN},
                           {.fd = service_wake_fd(f->service), .events = POLLIN},
                           {.fd = -1},
                           {.fd = -1}};
    questions_fds(&f->questions, &fds[2]);
    canary_fds(&f->canary, &fds[2]);
    poll(fds, ARRAY_LEN(fds), (int) *gap);
    if (fds[1].revents)
        service_wake_drain(f->service);
    if (fds[2].revents || fds[3].revents) {
        questions_read(&f->questions);
        canary_read(&f->canary);
    }
    return fds[0].revents ? read_signals(f, e) : 0;
}

static int loop(struct follow *f, struct err *e)
{
    int64_t gap = f->own ? LOOK_OWN_MS : LOOK_MIN_MS;
    for (;;) {
        int rc = 0;
        bool held = f->held && !question_stands(f);
        if (reader_changed(f->reader) || !f->have_batch || held) {
            rc = look(f, e);
            gap = f->own ? LOOK_OWN_MS : LOOK_MIN_MS;
        } else if (!f->own && gap < LOOK_MAX_MS) {
            gap += gap / 2;
        }
        if (rc == 0)
            rc = settle(f, e);
        if (rc == 0)
            rc = check_store(f, e);
        if (rc != 0 || ended(f))
            return rc;
        check_question(f);
        show_line(f);
        rc = wait_for_more(f, &gap, e);
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
}

/* --- the end --- */

static int signal_number(const char *name)
{
    for (int s = 1; name && s < NSIG; s++) {
        const char *abbrev = sigabbrev_np(s);
        if (abbrev && strcmp(abbrev, name) == 0)
            return s;
    }
    return 127; /* one that this system does not know */
}

/* -S: the largest exit code; a signal counts 128+n, no code at all 255. */
static int largest_code(struct follow *f, int *code, struct err *e)
{
    static const struct exec_filter any = EXEC_FILTER_ANY;
    *code = 0;
    for (size_t from = 0;; from += PAGE) {
        struct execution *x = NULL;
        size_t n = 0;
        int rc = reader_executions(f->reader, f->number, &any, SORT_POSITION, false, from, PAGE,
                                   &x, &n, NULL, e);
        for (size_t i = 0; i < n; i++) {
            int c = x[i].status == EXEC_SUCCESS        ? 0
                    : x[i].reason == REASON_SIGNAL     ? 128 + signal_number(x[i].signal)
                    : x[i].reason == REASON_EXIT       ? x[i].exit_code
                                                       : 255;
            *code = c > *code ? c : *code;
        }
        executions_free(x, n);
        if (rc != 0 || n < PAGE)
            return rc;
    }
}

static int finish(struct follow *f, struct err *e)
{
    int rc = 0;
    if (f->format == FOLLOW_JSON)
        rc = batch_status_write(f->service, f->number, NULL, SORT_NAME, false, 0, 0, f->created,
                                STDOUT_FILENO, e);
    else if (f->format == FOLLOW_CSV)
        rc = batch_export(f->service, f->number, EXPORT_CSV, NULL, NULL, STDOUT_FILENO, e);
    else if (f->format == FOLLOW_HUMAN && f->cli->set[OPT_FOLD])
        rc = f->printer.steps.n && f->cli->set[OPT_VERBOSE]
                 ? print_steps(&f->printer, 0, true, NULL, e)
                 : print_classes(&f->printer, e);
    if (rc == 0 && f->have_batch && !f->cli->set[OPT_QUIET])
        rc = print_step_stats(&f->printer, &f->batch, e);
    if (rc == 0 && f->have_batch)
        rc = print_reasons(&f->printer, &f->batch, e);
    if (rc != 0)
        return rc;
    if (f->interrupts)
        return 130;
    int code = batch_exit_status(&f->batch.stats);
    if (f->cli->set[OPT_MAX_RC])
        rc = largest_code(f, &code, e);
    return rc != 0 ? rc : code;
}

int follow_run(struct follow *f, struct err *e)
{
    sigset_t set;
    signal_set(&set);
    follow_block_signals();
    f->questions = (struct questions){.service = f->service, .clear = clear_line, .ctx = f};
    f->canary = (struct canary){.service = f->service,
                                .number = f->number,
                                .quiet = f->cli->set[OPT_QUIET],
                                .clear = clear_line,
                                .ctx = f};
    f->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    f->reader = reader_open(service_db_path(f->service), e);
    if (!f->reader) {
        close(f->signal_fd);
        return -ERR_STORE;
    }
    printer_init(&f->printer, f->reader, f->number, !f->cli->set[OPT_NO_LABEL]);
    if (f->cli->set[OPT_LIVE])
        f->live = live_new();
    int rc = loop(f, e);
    questions_end(&f->questions, NULL);
    if (rc == 0 && f->held)
        rc = print_new(f, e);
    if (f->own && !f->left)
        canary_check(&f->canary, f->reader); /* a stop may have been the last thing */
    canary_end(&f->canary);
    hide_line(f);
    if (rc == 0)
        rc = finish(f, e);
    rc = printer_close(&f->printer, rc, e);
    live_free(f->live);
    batch_clear(&f->batch);
    reader_close(f->reader);
    close(f->signal_fd);
    if (f->left) {
        fflush(NULL);
        _exit(130); /* see service_leave() */
    }
    return rc;
}
