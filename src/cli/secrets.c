/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the passwords of a run, once, before anything runs. */
#include "secrets.h"

#include "ask_tty.h"
#include "cli.h"

#include "muster/base/alloc.h"
#include "muster/service/service.h"
#include "muster/service/tasks.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* --- from a descriptor --- */

/* One line, byte by byte: what comes behind it is somebody else's (the other password's, say). */
static int read_line(enum option_id id, int fd, struct secret **out, struct err *e)
{
    char line[SECRET_MAX];
    size_t n = 0;
    ssize_t got;
    int rc = 0;
    for (;;) {
        char c = 0;
        got = read(fd, &c, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || c == '\n')
            break;
        if (n == sizeof line) {
            rc = err_set(e, ERR_VALIDATION, "--%s %d: its line is longer than %d bytes",
                         option_row(id)->name, fd, SECRET_MAX);
            break;
        }
        line[n++] = c;
    }
    if (rc == 0 && got < 0)
        rc = err_set(e, ERR_VALIDATION, "--%s %d: cannot read that descriptor: %s (in a shell: %d<FILE)",
                     option_row(id)->name, fd, strerror(errno), fd);
    else if (rc == 0 && n == 0)
        rc = err_set(e, ERR_VALIDATION, "--%s %d: its line is empty", option_row(id)->name, fd);
    if (rc == 0)
        *out = secret_new(line, n);
    secret_wipe(line, sizeof line);
    return rc;
}

int secrets_read(const struct cli *c, struct secrets *s, struct err *e)
{
    static const enum option_id ids[] = {OPT_PASSWORD_FD, OPT_SUDO_PASSWORD_FD};
    struct secret **out[] = {&s->password, &s->become};
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(ids) && rc == 0; i++)
        if (c->set[ids[i]])
            rc = read_line(ids[i], (int) c->number[ids[i]], out[i], e);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        if (c->set[ids[i]] && c->number[ids[i]] > STDERR_FILENO)
            close((int) c->number[ids[i]]);
    return rc;
}

/* --- from the terminal --- */

static struct secret *ask(const char *prompt, const char *flag, struct err *e)
{
    struct secret *answer = ask_tty_line(prompt, e);
    if (!answer && e->msg && strstr(e->msg, "no terminal"))
        err_set(e, ERR_VALIDATION, "%sthere is no terminal to ask on: give it by --%s N, one line from that "
                "descriptor", prompt, flag);
    return answer;
}

static int ask_password(struct batch_request *r, struct err *e)
{
    r->password = ask("SSH password: ", option_row(OPT_PASSWORD_FD)->name, e);
    if (!r->password)
        return -ERR_VALIDATION;
    if (secret_len(r->password))
        return 0;
    return err_set(e, ERR_VALIDATION, "no SSH password was given: nothing was run");
}

/* Whose password it is: su wants the other user's, sudo and doas the login's own. */
static int ask_become(struct batch_request *r, struct err *e)
{
    const char *how = r->over.become ? r->over.become : become_name(BECOME_SUDO);
    const char *other = r->over.become_user ? r->over.become_user : "root";
    const char *who = strcmp(how, become_name(BECOME_SU)) == 0 ? other : r->over.user;
    CLEANUP_FREE char *prompt =
        x_asprintf("%s password%s%s%s: ", how, who ? " for " : "", who ? who : "",
                   r->password ? " [defaults to SSH password]" : "");
    r->become_password = ask(prompt, option_row(OPT_SUDO_PASSWORD_FD)->name, e);
    if (!r->become_password)
        return -ERR_VALIDATION;
    if (secret_len(r->become_password))
        return 0;
    if (!r->password)
        return err_set(e, ERR_VALIDATION, "no %s password was given: nothing was run", how);
    secret_unref(r->become_password);
    r->become_password = secret_ref(r->password);
    return 0;
}

int secrets_ask(const struct cli *c, struct secrets *s, struct batch_request *r, struct err *e)
{
    int rc = 0;
    r->password = X_STEAL(s->password);
    r->become_password = X_STEAL(s->become);
    if (!r->password && (c->set[OPT_ASK_PASSWORD] || r->wants_password))
        rc = ask_password(r, e);
    if (rc == 0 && !r->become_password && (c->set[OPT_ASK_SUDO_PASSWORD] || r->wants_become_password))
        rc = ask_become(r, e);
    return rc;
}

void secrets_lock_again(struct batch_request *r)
{
    struct secret *none = NULL;
    struct secret **all[] = {&r->password, &r->become_password, r->work ? &r->work->secret : &none};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct secret *old = *all[i];
        if (!old)
            continue;
        *all[i] = secret_new(secret_text(old), secret_len(old));
        secret_unref(old);
    }
}

void secrets_clear(struct secrets *s)
{
    secret_unref(X_STEAL(s->password));
    secret_unref(X_STEAL(s->become));
}
