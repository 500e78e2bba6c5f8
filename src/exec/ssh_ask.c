/* SPDX-License-Identifier: Apache-2.0 */
/* Runs `ssh -G`: the user's own ssh knows best what its configuration means. */
#include "ssh_conf.h"

#include "helpers.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/spawn.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MAX (256 * 1024)
#define ANSWER_TIME_MS 20000 /* Match exec may take a while */
#define CAUSE_LINES 3
#define CAUSE_MAX 600

/* Reads both pipes to their ends. false: it took too long. */
static bool drain(int out, int err, int64_t limit_ms, struct strbuf *text, struct strbuf *errors)
{
    struct pollfd p[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
    struct strbuf *to[2] = {text, errors};
    int64_t deadline = mono_ms(clock_system()) + limit_ms;

    while (p[0].fd >= 0 || p[1].fd >= 0) {
        int64_t left = deadline - mono_ms(clock_system());

        if (left <= 0)
            return false;
        if (poll(p, 2, (int) left) <= 0)
            continue;
        for (int i = 0; i < 2; i++) {
            char buf[8192];

            if (p[i].fd < 0 || !p[i].revents)
                continue;

            ssize_t n = read(p[i].fd, buf, sizeof buf);

            if (n > 0)
                strbuf_add(to[i], buf, (size_t) n);
            else if (n == 0 || errno != EINTR)
                p[i].fd = -1;
        }
    }
    return true;
}

/* Its end, not yet reaped: until then nobody else has its number, and it can be killed by that. */
static void wait_end(pid_t pid)
{
    siginfo_t si;

    while (waitid(P_PID, (id_t) pid, &si, WEXITED | WNOWAIT) < 0 && errno == EINTR)
        ;
}

static int run(char *const *argv, struct help *help, int64_t limit_ms, struct strbuf *text,
               struct strbuf *errors, int *status)
{
    int out[2], err[2];
    pid_t pid;

    if (pipe2(out, O_CLOEXEC) != 0)
        return -errno;
    if (pipe2(err, O_CLOEXEC) != 0) {
        int saved = errno;

        close(out[0]);
        close(out[1]);
        return -saved;
    }

    const struct spawn child = {
        .file = "ssh", .argv = argv, .in = -1, .out = out[1], .err = err[1]};
    int rc = spawn_child(&child, &pid);

    close(out[1]);
    close(err[1]);
    if (rc == 0) {
        if (!help_child(help, pid))
            kill(-pid, SIGKILL);
        if (!drain(out[0], err[0], limit_ms, text, errors)) {
            kill(-pid, SIGKILL);
            rc = ETIMEDOUT;
        }
        wait_end(pid);
        help_child(help, 0);
        while (waitpid(pid, status, 0) < 0 && errno == EINTR)
            ;
    }
    close(out[0]);
    close(err[0]);
    return -rc;
}

/* Lines of ssh's that are no cause of anything. */
static bool is_noise(const char *line)
{
    static const char *const starts[] = {"Pseudo-terminal will not be allocated", "debug1: ",
                                         "debug2: ", "debug3: ", "Warning: Permanently added"};

    for (size_t i = 0; i < ARRAY_LEN(starts); i++)
        if (strncmp(line, starts[i], strlen(starts[i])) == 0)
            return true;
    return strstr(line, ": terminating, ") != NULL; /* counts what stands before it */
}

/* The first lines that tell why. Cuts the text; caller frees. */
static char *cause_of(char *said)
{
    struct strbuf b;
    char *save = NULL;
    int n = 0;

    strbuf_init(&b, CAUSE_MAX);
    for (char *l = strtok_r(said, "\r\n", &save); l && n < CAUSE_LINES;
         l = strtok_r(NULL, "\r\n", &save)) {
        CLEANUP_FREE char *clean = text_clean(l);

        if (!is_noise(l))
            strbuf_addf(&b, "%s%s", n++ ? "; " : "", clean);
    }
    if (!n)
        strbuf_adds(&b, "it does not say why");
    return strbuf_steal(&b);
}

static void words_of(const struct conf_query *q, bool no_fork, struct strv *args)
{
    strv_push(args, "ssh");
    /* Not -T as well: it would hide what RequestTTY says. */
    strv_push(args, "-G");
    if (no_fork) {
        strv_push(args, "-o");
        strv_push(args, "ForkAfterAuthentication=no");
    }
    if (q->config) {
        strv_push(args, "-F");
        strv_push(args, q->config);
    }
    for (size_t i = 0; q->options && i < q->options->n; i++) {
        strv_push(args, "-o");
        strv_push(args, q->options->v[i]);
    }
    if (q->user) {
        strv_push(args, "-l");
        strv_push(args, q->user);
    }
    if (q->port) {
        strv_push(args, "-p");
        strv_push_own(args, x_asprintf("%d", q->port));
    }
    strv_push(args, "--");
    strv_push(args, q->host);
}

static bool ended_badly(int status)
{
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

/* Without a command ssh does not go into the background, and with ForkAfterAuthentication that is an
 * error even here. Only versions that say so know the option against it. */
static int run_query(const struct conf_query *q, int64_t limit_ms, struct strbuf *text,
                     struct strbuf *errors, int *status)
{
    int rc = 0;

    for (int no_fork = 0; no_fork < 2; no_fork++) {
        CLEANUP_STRV struct strv args = STRV_INIT;

        words_of(q, no_fork, &args);
        strbuf_reset(text);
        strbuf_reset(errors);
        rc = run(args.v, q->help, limit_ms, text, errors, status);
        if (rc != 0 || !ended_badly(*status) || !strstr(errors->s, "fork into background"))
            break;
    }
    return rc;
}

char *conf_ask(const struct conf_query *q, int *ret, struct err *e)
{
    struct strbuf text, errors;
    char *answer = NULL;
    int status = 0;

    strbuf_init(&text, ANSWER_MAX);
    strbuf_init(&errors, 4096);

    int64_t limit_ms = q->limit_ms && q->limit_ms < ANSWER_TIME_MS ? q->limit_ms : ANSWER_TIME_MS;
    int rc = run_query(q, limit_ms, &text, &errors, &status);

    *ret = 0;
    if (rc == -ENOENT) {
        *ret = 1;
    } else if (rc == -ETIMEDOUT) {
        *ret = err_set(e, ERR_VALIDATION, "`ssh -G %s` took more than %g s: does a Match exec of "
                       "ssh_config hang?", q->host, (double) limit_ms / 1000);
    } else if (rc < 0) {
        *ret = err_set(e, ERR_INTERNAL, "`ssh -G %s`: %s", q->host, strerror(-rc));
    } else if (ended_badly(status)) {
        CLEANUP_FREE char *cause = cause_of(errors.s);

        *ret = err_set(e, ERR_VALIDATION, "`ssh -G %s` failed: %s", q->host, cause);
    } else {
        answer = x_strdup(text.s);
    }
    strbuf_free(&text);
    strbuf_free(&errors);
    return answer;
}

int conf_run(const struct conf_query *q, struct ssh_conf **out, struct err *e)
{
    int ret;
    CLEANUP_FREE char *text = conf_ask(q, &ret, e);

    if (text)
        *out = conf_parse(text);
    return ret;
}

bool conf_names_askers(struct help *help)
{
    char name[] = "ssh", flag[] = "-V";
    char *argv[] = {name, flag, NULL};
    struct strbuf text, errors;
    int status = 0, major = 0, minor = 0;

    strbuf_init(&text, 4096);
    strbuf_init(&errors, 4096);

    bool known = run(argv, help, ANSWER_TIME_MS, &text, &errors, &status) == 0 &&
                 sscanf(errors.s, "OpenSSH_%d.%d", &major, &minor) == 2;

    strbuf_free(&text);
    strbuf_free(&errors);
    return known && (major > 8 || (major == 8 && minor >= 5));
}
