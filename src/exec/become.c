/* SPDX-License-Identifier: Apache-2.0 */
/* The talk with sudo, su and doas. */
#include "become.h"

#include "muster/base/alloc.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

#include <ctype.h>
#include <string.h>

#define SHOWN_MAX 200 /* bytes of what it said in an error's text */
#define NOT_FOUND 127 /* of a shell that cannot exec */

struct become *become_new(enum become_method method, const char *user, struct secret *password)
{
    struct become *b = x_calloc(1, sizeof *b);

    b->method = method;
    b->user = x_strdup(user);
    b->password = secret_ref(password);
    return b;
}

void become_free(struct become *b)
{
    if (!b)
        return;
    become_clear_said(b);
    secret_unref(b->password);
    free(b->user);
    free(b);
}

void become_reset(struct become *b)
{
    become_clear_said(b);
    b->state = BECOME_WAITING;
    b->used = false;
    b->sent = 0;
}

size_t become_hear(struct become *b, int stream, const char *p, size_t n)
{
    size_t room = SAID_MAX - b->nsaid[stream];
    size_t part = n < room ? n : room;

    if (!part)
        return n;
    if (!b->said[stream])
        b->said[stream] = x_malloc(SAID_MAX);
    memcpy(b->said[stream] + b->nsaid[stream], p, part);
    b->nsaid[stream] += part;
    return n - part;
}

/* The bytes after the last line's end. */
static size_t last_line(const struct become *b, int stream)
{
    size_t n = 0, all = b->nsaid[stream];

    while (n < all && b->said[stream][all - n - 1] != '\n' && b->said[stream][all - n - 1] != '\r')
        n++;
    return n;
}

void become_look(struct become *b, int stream)
{
    size_t all = b->nsaid[stream], n;

    /* sudo is told what to ask with, so nothing else is its prompt. */
    if (b->method == BECOME_SUDO || all < 2 || memcmp(b->said[stream] + all - 2, ": ", 2) != 0)
        return;
    n = last_line(b, stream);
    const char *line = b->said[stream] + all - n;
    if ((n >= 4 && !memcmp(line, "su: ", 4)) || (n >= 6 && !memcmp(line, "doas: ", 6)))
        return; /* the beginning of a message */
    b->nsaid[stream] -= n;
    become_prompted(b);
}

void become_prompted(struct become *b)
{
    if (b->state != BECOME_WAITING)
        b->state = b->state == BECOME_LOCKED ? BECOME_LOCKED : BECOME_REFUSED;
    else
        b->state = b->password ? BECOME_ASKED : BECOME_LOCKED;
}

void become_started(struct become *b)
{
    b->state = BECOME_STARTED;
}

/* A terminal may have shown it. */
static void scrub(struct become *b, int stream)
{
    const char *secret = b->password ? secret_text(b->password) : "";
    size_t len = b->password ? secret_len(b->password) : 0;
    char *at = b->said[stream];

    if (!b->used || !len || !at)
        return;
    while ((at = memmem(at, b->nsaid[stream] - (size_t) (at - b->said[stream]), secret, len))) {
        memset(at, '*', len);
        at += len; /* a password may be asterisks itself */
    }
}

const char *become_said(struct become *b, int stream, size_t *n)
{
    const char *said = b->said[stream];

    scrub(b, stream);
    *n = b->nsaid[stream];
    /* The end of the line that the prompt was in. */
    while (*n && isspace((unsigned char) *said)) {
        said++;
        --*n;
    }
    return said ? said : "";
}

void become_clear_said(struct become *b)
{
    for (int i = 0; i < 2; i++) {
        if (b->said[i])
            secret_wipe(b->said[i], SAID_MAX);
        free(X_STEAL(b->said[i]));
        b->nsaid[i] = 0;
    }
}

size_t become_answer(struct become *b, char *buf, size_t n)
{
    size_t len = b->password ? secret_len(b->password) : 0, got = 0;

    if (b->state != BECOME_ASKED)
        return 0;
    b->used = true;
    while (got < n && b->sent <= len) {
        buf[got++] = b->sent < len ? secret_text(b->password)[b->sent] : '\n';
        b->sent++;
    }
    if (b->sent > len)
        b->state = BECOME_SENT;
    return got;
}

static bool says(const char *said, const char *const *texts)
{
    for (; *texts; texts++)
        if (strcasestr(said, *texts))
            return true;
    return false;
}

/* Both streams in one line of what people can read, stderr first; the last lines when it is long. */
static char *all_said(const struct become *b)
{
    struct strbuf raw;

    strbuf_init(&raw, 0);
    for (int i = 1; i >= 0; i--) {
        for (size_t k = 0; k < b->nsaid[i]; k++) {
            char c = b->said[i][k];
            bool space = c == '\n' || c == '\r' || !c;
            if (!space || (raw.len && raw.s[raw.len - 1] != ' '))
                strbuf_addch(&raw, space ? ' ' : c);
        }
        if (raw.len && raw.s[raw.len - 1] != ' ')
            strbuf_addch(&raw, ' ');
    }
    while (raw.len && raw.s[raw.len - 1] == ' ')
        raw.s[--raw.len] = '\0';
    if (raw.len > SHOWN_MAX) {
        strbuf_consume(&raw, raw.len - SHOWN_MAX);
        while (raw.len && ((unsigned char) raw.s[0] & 0xc0) == 0x80)
            strbuf_consume(&raw, 1);
    }
    char *clean = text_clean(raw.s);
    strbuf_free(&raw);
    return clean;
}

static const char *const tty_texts[] = {"must have a tty", NULL};
static const char *const denied_texts[] = {
    "not in the sudoers file", "is not allowed to", "may not run sudo", "not allowed to run",
    "Operation not permitted", "must be run from a terminal", "must be suid",
    NULL};
static const char *const locked_texts[] = {
    "a password is required", "authentication is required", "a terminal is required to",
    "Authentication required", "Authorization required", "no tty present", "a tty is required",
    NULL};
static const char *const wrong_texts[] = {
    "incorrect password", "Sorry, try again", "Authentication fail", "Authorization fail",
    "Authentication error", "no password was provided", "Permission denied", NULL};

char *become_why(struct become *b, int exit_code)
{
    CLEANUP_FREE char *said = NULL;
    CLEANUP_FREE char *user = text_clean(b->user);
    const char *name = become_name(b->method);

    for (int i = 0; i < 2; i++)
        scrub(b, i);
    said = all_said(b);
    if (b->state == BECOME_LOCKED || (!b->used && says(said, locked_texts)))
        return x_asprintf("%s asks for a password to become %s: give -K", name, user);
    if (says(said, tty_texts))
        return x_asprintf("%s on this node wants a terminal (requiretty): use --pty", name);
    if (says(said, denied_texts))
        return x_asprintf("%s does not allow this user to become %s: %s", name, user, said);
    if (b->state == BECOME_REFUSED || (b->used && says(said, wrong_texts)))
        return x_asprintf("wrong password for %s to become %s%s%s", name, user, *said ? ": " : "",
                          said);
    if (exit_code == NOT_FOUND)
        return x_asprintf("there is no %s on this node (or not in its PATH)", name);
    if (*said)
        return x_asprintf("%s did not become %s: %s", name, user, said);
    return x_asprintf("%s did not become %s and said nothing%s", name, user,
                      exit_code > 0 ? "; see its log on the node" : "");
}
