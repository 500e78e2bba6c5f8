/* SPDX-License-Identifier: Apache-2.0 */
/* What ssh's own words mean when it ends with 255 before the command has begun. They are English
 * whatever the locale: ssh has no translations. */
#include "openssh.h"

#include "relay.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define LOG_TAIL ((off_t) 16 << 10)

/* The first that is found decides; so what must never be retried stands first. */
static const struct says {
    const char *text;
    enum reason reason;
    bool retry;
} table[] = {
    {"IDENTIFICATION HAS CHANGED", REASON_HOSTKEY, false},
    {"REVOKED HOST KEY", REASON_HOSTKEY, false},
    {"was revoked", REASON_HOSTKEY, false},
    {"host key is known for", REASON_HOSTKEY, false},
    {"Host key verification failed", REASON_HOSTKEY, false},
    {"Permission denied (", REASON_AUTH, false},
    {"Too many authentication failures", REASON_AUTH, false},
    {"No more authentication methods", REASON_AUTH, false},
    {"Unable to negotiate", REASON_UNSUPPORTED, false},
    {"no matching ", REASON_UNSUPPORTED, false},
    {"Bad configuration option", REASON_UNSUPPORTED, false},
    {"Bad owner or permissions", REASON_UNSUPPORTED, false},
    {"terminating, ", REASON_UNSUPPORTED, false},
    {"Temporary failure in name resolution", REASON_UNREACHABLE, true},
    {"Could not resolve hostname", REASON_UNREACHABLE, false},
    {"Connection refused", REASON_UNREACHABLE, false},
    {"timed out", REASON_UNREACHABLE, false},
    {"No route to host", REASON_UNREACHABLE, false},
    {"Network is unreachable", REASON_UNREACHABLE, false},
    {"kex_exchange_identification", REASON_UNREACHABLE, true},
    {"banner exchange", REASON_UNREACHABLE, true},
    {"Connection reset", REASON_UNREACHABLE, true},
    {"Connection closed", REASON_UNREACHABLE, true},
};

/* Lines that say nothing which another line does not say better. */
static const char *const noise[] = {
    "@", "IT IS POSSIBLE", "Someone could be", "It is also possible", "The fingerprint for",
    "SHA256:", "MD5:", "Please contact", "Add correct host key", "  remove with:", "  ssh-keygen",
    "Warning: Permanently added", "This could mean", "impersonate this host", "** ", "debug",
    "Pseudo-terminal will not",
};

char *openssh_read_log(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char *buf = x_calloc(1, (size_t) LOG_TAIL + 1);

    if (fd < 0)
        return buf;

    off_t size = lseek(fd, 0, SEEK_END);
    ssize_t n = pread(fd, buf, (size_t) LOG_TAIL, size > LOG_TAIL ? size - LOG_TAIL : 0);

    buf[n > 0 ? n : 0] = '\0';
    close(fd);
    return buf;
}

/* What ssh says of a proxy that has ended, and said why itself. */
static const char *const echo[] = {
    "kex_exchange_identification: ", "Connection closed by UNKNOWN port ",
};

static bool begins_with(const char *line, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strncmp(line, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

static void keep_lines(struct strbuf *out, const char *text, bool told)
{
    while (*text) {
        size_t n = strcspn(text, "\n");

        if (strspn(text, " \t\r") < n && !begins_with(text, noise, ARRAY_LEN(noise)) &&
            !(told && begins_with(text, echo, ARRAY_LEN(echo)))) {
            strbuf_add(out, text, n);
            strbuf_addch(out, '\n');
        }
        text += n + (text[n] == '\n');
    }
}

void openssh_explain(const char *log, const char *proxy, struct openssh_why *out)
{
    struct strbuf lines;

    *out = (struct openssh_why) {.reason = REASON_UNREACHABLE};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (!strstr(log, table[i].text) && !(proxy && strstr(proxy, table[i].text)))
            continue;
        out->reason = table[i].reason;
        out->retry = table[i].retry;
        break;
    }
    strbuf_init(&lines, 0);
    if (proxy)
        keep_lines(&lines, proxy, false); /* what came first is the cause */
    keep_lines(&lines, log, lines.len > 0);

    CLEANUP_FREE char *said = relay_last_lines(lines.s, lines.len);

    out->text = !*said                            ? x_strdup("ssh ended (255) without a word")
                : strncmp(said, "ssh: ", 5) == 0 ? x_strdup(said)
                                                  : x_asprintf("ssh: %s", said);
    strbuf_free(&lines);
}

void openssh_blame(const struct openssh_prep *p, struct openssh_why *why)
{
    CLEANUP_FREE char *said = why->text;
    CLEANUP_FREE char *unread = strv_join(&p->unread, ", ");
    CLEANUP_FREE char *clean = text_clean(unread);
    CLEANUP_FREE char *preferred = text_clean(p->conf->preferred ? p->conf->preferred : "");
    bool host_key = why->reason == REASON_HOSTKEY && p->unread.n;
    bool methods = why->reason == REASON_AUTH && p->conf->preferred;
    size_t n = strlen(said);

    if ((host_key || methods) && n && said[n - 1] == '.')
        said[n - 1] = '\0';
    why->text = x_asprintf("%s%s%s%s%s", said, host_key ? "; not read: " : "", host_key ? clean : "",
                           methods ? "; it may use (PreferredAuthentications): " : "",
                           methods ? preferred : "");
}

bool openssh_wants_password(const char *log)
{
    const char *at = strstr(log, "Permission denied (");
    CLEANUP_FREE char *methods = at ? x_strndup(at, strcspn(at, "\n")) : NULL;

    return methods && (strstr(methods, "password") || strstr(methods, "keyboard-interactive"));
}

bool openssh_lost_log(const char *log)
{
    static const char *const words[] = {
        "Timeout, server ", "Connection reset", "Broken pipe", "Connection closed",
        "closed by remote host", "Corrupted MAC", "message authentication code incorrect",
        "Connection corrupted",
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strstr(log, words[i]))
            return true;
    return false;
}

bool openssh_lost(const char *err, size_t n)
{
    static const char tail[] = " closed by remote host.\r\n", head[] = "Connection to ";

    if (n < sizeof tail - 1 || memcmp(err + n - (sizeof tail - 1), tail, sizeof tail - 1) != 0)
        return false;
    return memmem(err, n, head, sizeof head - 1) != NULL;
}
