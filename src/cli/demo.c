/* SPDX-License-Identifier: Apache-2.0 */
/* muster demo: a throw-away fleet on the loopback, and the screen (or, headless, one planned run) on
 * it. The fleet is a script's work; it lives as long as the other end of its standard input is open,
 * so it goes with this process however that ends. */
#include "cli.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/core/state.h"
#include "muster/service/service.h"
#include "muster/store/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct fleet_process {
    char *dir;
    pid_t pid;
    int keep_fd; /* closing it ends the fleet */
};

static char *script_path(const struct cli *c)
{
    const char *given = getenv("MUSTER_DEMO_FLEET");
    return given && *given ? x_strdup(given) : io_join(c->hooks->libexec_dir, "demo-fleet");
}

static int make_dir(struct fleet_process *p, struct err *e)
{
    const char *tmp = getenv("TMPDIR");
    p->dir = x_asprintf("%s/muster-demo.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (mkdtemp(p->dir))
        return 0;
    return err_set(e, ERR_INTERNAL, "cannot make a folder for the fleet (%s): %s", p->dir,
                   strerror(errno));
}

/* Waits for the script's one line. */
static int wait_ready(int fd, struct err *e)
{
    char line[64];
    size_t n = 0;
    ssize_t got;
    while (n < sizeof line - 1 && ((got = read(fd, line + n, sizeof line - 1 - n)) > 0 ||
                                   (got < 0 && errno == EINTR))) {
        n += got > 0 ? (size_t) got : 0;
        line[n] = '\0';
        if (strstr(line, "ready\n"))
            return 0;
    }
    return err_set(e, ERR_INTERNAL, "the fleet did not start; what it said stands above "
                   "(it needs bash and OpenSSH's sshd: package openssh-server)");
}

static int start(struct cli *c, struct fleet_process *p, struct err *e)
{
    CLEANUP_FREE char *script = script_path(c);
    if (access(script, X_OK) != 0)
        return err_set(e, ERR_INTERNAL, "%s: %s (MUSTER_DEMO_FLEET names another)", script,
                       strerror(errno));
    int rc = make_dir(p, e);
    if (rc != 0)
        return rc;
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        return err_set(e, ERR_INTERNAL, "cannot make a pipe: %s", strerror(errno));
    p->pid = fork();
    if (p->pid < 0)
        return err_set(e, ERR_INTERNAL, "cannot start a process: %s", strerror(errno));
    if (p->pid == 0) {
        setsid(); /* a Ctrl-C meant for us must not end the fleet under us */
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execl(script, script, "run", p->dir, (char *) NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    p->keep_fd = in[1];
    rc = wait_ready(out[0], e);
    close(out[0]);
    return rc;
}

static void stop(struct fleet_process *p)
{
    if (p->keep_fd >= 0)
        close(p->keep_fd);
    if (p->pid > 0)
        waitpid(p->pid, NULL, 0);
    if (p->dir)
        rmdir(p->dir); /* where the script could not take it away itself */
    free(p->dir);
}

/* The fleet's inventory and settings, and nothing of the user's. */
static void use_fleet(struct cli *c, const struct fleet_process *p)
{
    CLEANUP_FREE char *inventory = io_join(p->dir, "inventory.yaml");
    CLEANUP_FREE char *config = io_join(p->dir, "config");
    CLEANUP_FREE char *state = io_join(p->dir, "state");
    CLEANUP_FREE char *db = io_join(p->dir, "muster.db");
    setenv("XDG_CONFIG_HOME", config, 1);
    setenv("XDG_STATE_HOME", state, 1);
    unsetenv("MUSTER_CONFIG");
    unsetenv("MUSTER_INVENTORY");
    strv_push(&c->list[OPT_INVENTORY], inventory);
    c->set[OPT_INVENTORY] = true;
    free(c->text[OPT_SSH_CONFIG]);
    c->text[OPT_SSH_CONFIG] = io_join(p->dir, "ssh_config");
    c->set[OPT_SSH_CONFIG] = true;
    if (!c->set[OPT_DB]) {
        c->text[OPT_DB] = x_strdup(db);
        c->set[OPT_DB] = true;
    }
}

/* --- headless --- */

static int read_text(const struct fleet_process *p, const char *name, char **out, struct err *e)
{
    CLEANUP_FREE char *path = io_join(p->dir, name);
    struct strbuf b;
    strbuf_init(&b, 0);
    int rc = io_read_file(path, 1 << 20, &b, e);
    if (rc == 0)
        *out = strbuf_steal(&b);
    strbuf_free(&b);
    return rc;
}

/* One line of the plan against what happened. */
static bool as_planned(struct reader *r, int64_t number, const char *node, const char *what,
                       const char *code)
{
    const struct exec_filter f = {.node = node};
    struct execution *x = NULL;
    size_t n = 0;
    if (reader_executions(r, number, &f, SORT_POSITION, false, 0, 1, &x, &n, NULL, NULL) != 0)
        n = 0;
    const char *got = n == 0                          ? "absent"
                      : x->status == EXEC_SUCCESS     ? "success"
                                                      : reason_name(x->reason);
    bool ok = strcmp(got, what) == 0;
    if (ok && *code) {
        char text[16];
        snprintf(text, sizeof text, "%d", x->exit_code);
        ok = strcmp(text, code) == 0;
    }
    if (!ok)
        fprintf(stderr, "muster demo: %s: planned %s %s, got %s%s%s\n", node, what, code, got,
                n && x->error ? ": " : "", n && x->error ? x->error : "");
    executions_free(x, n);
    return ok;
}

static int compare(struct cli *c, char *plan, struct err *e)
{
    struct reader *r = reader_open(c->text[OPT_DB], e);
    int64_t number;
    int rc = r ? reader_resolve(r, "last", &number, e) : -ERR_STORE;
    size_t good = 0, bad = 0;
    for (char *line, *rest = plan; rc == 0 && (line = strsep(&rest, "\n")) != NULL;) {
        char node[256], what[32], code[16] = "";
        if (sscanf(line, "%255s %31s %15s", node, what, code) < 2)
            continue;
        if (as_planned(r, number, node, what, code))
            good++;
        else
            bad++;
    }
    reader_close(r);
    if (rc != 0)
        return rc;
    fprintf(stderr, "muster demo: %zu of %zu nodes ended as planned\n", good, good + bad);
    return bad || !good ? 1 : 0;
}

static int headless(struct cli *c, const struct fleet_process *p, struct err *e)
{
    CLEANUP_FREE char *command = NULL;
    CLEANUP_FREE char *plan = NULL;
    int rc = read_text(p, "command", &command, e);
    if (rc == 0)
        rc = read_text(p, "expected", &plan, e);
    if (rc != 0)
        return rc;
    command[strcspn(command, "\n")] = '\0';
    c->verb = VERB_RUN;
    c->set[OPT_ALL] = c->set[OPT_FOLD] = true;
    strv_push(&c->args, command);
    rc = verb_run(c, e);
    c->verb = VERB_DEMO;
    return rc < 0 || rc == 130 ? rc : compare(c, plan, e);
}

/* --- the verb --- */

static int on_fleet(struct cli *c, const struct fleet_process *p, struct err *e)
{
    use_fleet(c, p);
    if (c->set[OPT_HEADLESS])
        return headless(c, p, e);
    struct service *s = cli_service(c, e);
    if (!s)
        return -(int) e->code;
    int rc = c->hooks->screen(s, c->set[OPT_READ_ONLY], e);
    service_close(s);
    return rc;
}

int verb_demo(struct cli *c, struct err *e)
{
    int rc = cli_at_most(c, 0, e);
    if (rc == 0 && !c->set[OPT_HEADLESS] && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)))
        rc = err_set(e, ERR_VALIDATION,
                     "the screen needs a terminal; --headless runs the demo without one");
    if (rc != 0)
        return rc;
    struct fleet_process p = {.keep_fd = -1};
    rc = start(c, &p, e);
    if (rc == 0)
        rc = on_fleet(c, &p, e);
    stop(&p);
    return rc;
}
