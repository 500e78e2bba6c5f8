/* SPDX-License-Identifier: Apache-2.0 */
/* The password of -A, and what a server asks besides it (keyboard-interactive).
 *
 * Theory of operation: the library wants the answers to a server's questions at once, and the user
 * may take his time; so a helper has the connection for the whole of that method, and the reactor
 * does not touch it meanwhile. The helper holds a reference to the connection: when the session
 * goes, it is left with it and frees it. */
#include "ssh_conn.h"

#include "helpers.h"

#include "muster/base/alloc.h"
#include "muster/base/secret.h"
#include "muster/base/text.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define LOOK_MS 100
#define PROMPT_MAX 300
#define TOO_MANY "too many authentication failures"
#define EXPIRED_TEXT "the password has expired: log in with ssh and change it"

/* Once a password or an answer has gone out: a server that has had enough of wrong ones says so. */
static enum go lost(struct conn *c, int rc, const char *method, const char *doing)
{
    if (!c->given || !c->farewell || !strcasestr(c->farewell, TOO_MANY))
        return conn_lost(c, rc, doing);
    c->pending = x_strdup(method);
    return conn_hung_up(c);
}

enum go conn_password(struct conn *c)
{
    const struct secret *password = session_password(c->session);
    const char *user = c->prep->user;

    c->given = true;

    int rc = libssh2_userauth_password_ex(c->ssh, user, (unsigned) strlen(user),
                                          secret_text(password), (unsigned) secret_len(password),
                                          NULL);

    if (rc == 0)
        return conn_authenticated(c, "password");
    if (rc == LIBSSH2_ERROR_EAGAIN && !c->rx_ended && !c->io_errno)
        return GO_WAIT;
    if (rc == LIBSSH2_ERROR_PASSWORD_EXPIRED)
        return conn_auth_failed(c, EXPIRED_TEXT);
    if (rc != LIBSSH2_ERROR_AUTHENTICATION_FAILED)
        return lost(c, rc, "password", "authentication by password");
    c->pending = x_strdup("password");
    c->state = CONN_METHODS;
    return GO_ON;
}

void kbdint_work_free(void *arg)
{
    struct kbdint_work *w = arg;

    if (!w)
        return;
    secret_unref(w->password);
    free(w->error);
    conn_unref(w->conn);
    free(w);
}

static bool has_word(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcasestr(text, *words))
            return true;
    return false;
}

/* "Password: ", "(user@host) Password for user:", and not "One-time password (OATH) for user:". */
static bool asks_password(const char *prompt)
{
    static const char *const yes[] = {"password", "passwort", "mot de passe", "contrase",
                                      "senha", "wachtwoord", NULL};
    static const char *const no[] = {"one-time", "one time", "onetime", "otp", "code", "token",
                                     "new ", "again", "retype", NULL};

    return has_word(prompt, yes) && !has_word(prompt, no);
}

static bool asks_new_password(const char *prompt)
{
    static const char *const words[] = {"new password", "new unix password", "retype", NULL};

    return has_word(prompt, words);
}

/* The answer to one question: NULL, with w->error, breaks the method off. */
static struct secret *answer(struct kbdint_work *w, const char *prompt, bool echo)
{
    if (!echo && asks_new_password(prompt)) {
        w->error = x_strdup(EXPIRED_TEXT);
        return NULL;
    }
    if (!echo && asks_password(prompt)) {
        if (w->sent)
            w->error = x_strdup("password refused (the server asks for it again)");
        else
            w->sent = true;
        return w->error ? NULL : secret_ref(w->password);
    }

    struct secret *s = NULL;

    w->asked = true;
    if (!w->conn->prep->conf->batch_mode)
        s = help_ask(w->help, w->conn->prep->node, prompt, echo);
    if (!s)
        w->error = x_asprintf("the server asks \"%s\", and %s", prompt,
                              help_can_ask(w->help) && !w->conn->prep->conf->batch_mode
                                  ? "it was not answered" : "nobody can be asked here");
    return s;
}

/* What it asks is a stranger's text. The instruction of the round goes before its first question. */
static char *clean_prompt(const char *text, size_t n, const char *before, size_t before_len)
{
    struct strbuf b;

    strbuf_init(&b, PROMPT_MAX * 8);
    text_sanitise(&b, before, before_len < PROMPT_MAX ? before_len : PROMPT_MAX, 0);
    if (b.len)
        strbuf_addch(&b, ' ');
    text_sanitise(&b, text, n < PROMPT_MAX ? n : PROMPT_MAX, 0);
    while (b.len && b.s[b.len - 1] == ' ')
        b.s[--b.len] = '\0';
    return strbuf_steal(&b);
}

static void respond(const char *name, int name_len, const char *instruction, int instruction_len,
                    int n, const LIBSSH2_USERAUTH_KBDINT_PROMPT *prompts,
                    LIBSSH2_USERAUTH_KBDINT_RESPONSE *responses, void **abstract)
{
    struct conn *c = *abstract;
    struct kbdint_work *w = c->kbdint;

    for (int i = 0; i < n && !w->error; i++) {
        CLEANUP_FREE char *prompt =
            clean_prompt((const char *) prompts[i].text, prompts[i].length, instruction,
                         i || instruction_len < 0 ? 0 : (size_t) instruction_len);
        struct secret *s = answer(w, prompt, prompts[i].echo);

        if (!s)
            break;
        c->given = true;
        responses[i].text = x_strndup(secret_text(s), secret_len(s));
        responses[i].length = (unsigned) secret_len(s);
        secret_unref(s);
    }
    /* Nothing more goes out: an empty answer would count as a wrong one. */
    if (w->error)
        c->io_errno = ECANCELED;
}

static void kbdint_work(void *arg, struct help *help)
{
    struct kbdint_work *w = arg;
    struct conn *c = w->conn;
    const char *user = c->prep->user;

    w->help = help;
    for (;;) {
        w->rc = libssh2_userauth_keyboard_interactive_ex(c->ssh, user, (unsigned) strlen(user),
                                                         respond);
        if (w->rc != LIBSSH2_ERROR_EAGAIN || c->rx_ended || c->io_errno || help_abandoned(help))
            break;

        struct pollfd p = {.fd = c->fd, .events = (short) (POLLIN | (c->out_len ? POLLOUT : 0))};

        poll(&p, 1, LOOK_MS);
        conn_flush(c);
    }
    w->help = NULL;
}

enum go conn_kbdint(struct conn *c)
{
    struct kbdint_work *w = x_calloc(1, sizeof *w);

    w->password = secret_ref(session_password(c->session));
    w->conn = c;
    __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    c->kbdint = w;
    c->state = CONN_KBDINT;
    session_help(c->session, kbdint_work, kbdint_work_free, w);
    return GO_WAIT;
}

enum go conn_kbdint_done(struct conn *c)
{
    struct kbdint_work *w = X_STEAL(c->kbdint);
    int rc = w->rc;
    enum go go = GO_ON;

    c->state = CONN_METHODS;
    c->asked = w->asked;
    if (rc == 0) {
        go = conn_authenticated(c, "keyboard-interactive");
    } else if (w->error) {
        conn_tried(c, "keyboard-interactive", "");
        go = conn_auth_failed(c, w->error);
    } else if (rc == LIBSSH2_ERROR_AUTHENTICATION_FAILED) {
        c->pending = x_strdup("keyboard-interactive");
    } else {
        go = lost(c, rc, "keyboard-interactive", "keyboard-interactive authentication");
    }
    kbdint_work_free(w);
    return go;
}
