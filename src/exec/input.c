/* SPDX-License-Identifier: Apache-2.0 */
/* What a command reads: opening, reading by offset, when progress is due. */
#include "input.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRESS_MS 250

void input_init(struct input *in)
{
    memset(in, 0, sizeof *in);
    in->fd = -1;
    in->told_at = -1;
}

void input_clear(struct input *in)
{
    free(in->rest);
    secret_unref(in->secret);
    if (in->ours)
        close(in->fd);
    input_init(in);
}

void input_set_rest(struct input *in, char *rest)
{
    in->rest = rest;
    in->rest_len = rest ? strlen(rest) : 0;
}

void input_set_secret(struct input *in, struct secret *s)
{
    in->secret = secret_ref(s);
}

static char *fill_in(const char *template, const char *node, const char *host, const char *user)
{
    struct strbuf out;

    strbuf_init(&out, 0);
    for (; *template; template++) {
        const char *value = NULL;

        if (*template == '%')
            value = template[1] == 'n'   ? node
                    : template[1] == 'h' ? host
                    : template[1] == 'u' ? user
                    : template[1] == '%' ? "%"
                                         : NULL;
        if (value)
            template++;
        if (value)
            strbuf_adds(&out, value);
        else
            strbuf_addch(&out, *template);
    }
    return strbuf_steal(&out);
}

/* What can block for ever (a FIFO, a terminal) is refused, and opened so that it does not. */
static int check_file(int fd, const char *path, struct err *e)
{
    struct stat st, null;

    if (fd < 0 || fstat(fd, &st) != 0)
        return err_set(e, ERR_VALIDATION, "cannot read the input file %s: %s", path,
                       strerror(errno));
    if (S_ISREG(st.st_mode) || (S_ISCHR(st.st_mode) && stat("/dev/null", &null) == 0 &&
                                st.st_rdev == null.st_rdev))
        return 0;
    return err_set(e, ERR_VALIDATION, "the input %s is no regular file: give a file, or - for the "
                   "standard input", path);
}

static uint64_t size_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t) st.st_size : 0;
}

int input_open(struct input *in, const char *template, const char *node, const char *host,
               const char *user, struct err *e)
{
    CLEANUP_FREE char *path = fill_in(template, node, host ? host : "", user ? user : "");
    CLEANUP_FREE char *shown = text_clean(path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int rc = check_file(fd, shown, e);

    if (rc && fd >= 0)
        close(fd);
    if (rc)
        return rc;
    in->fd = fd;
    in->ours = true;
    in->size = size_of(fd);
    return 0;
}

void input_share(struct input *in, int fd)
{
    in->fd = fd;
    in->size = size_of(fd);
}

static size_t read_rest(struct input *in, char *buf, size_t n)
{
    size_t left = in->rest_len - in->rest_at;
    size_t part = left < n ? left : n;

    memcpy(buf, in->rest + in->rest_at, part);
    in->rest_at += part;
    if (in->rest_at == in->rest_len)
        free(X_STEAL(in->rest));
    return part;
}

static size_t read_secret(struct input *in, char *buf, size_t n)
{
    size_t len = secret_len(in->secret), got = 0;

    for (; got < n && in->secret_at <= len; in->secret_at++)
        buf[got++] = in->secret_at < len ? secret_text(in->secret)[in->secret_at] : '\n';
    if (in->secret_at > len)
        secret_unref(X_STEAL(in->secret));
    return got;
}

static int read_file(struct input *in, char *buf, size_t n, size_t *got)
{
    ssize_t r;

    do
        r = pread(in->fd, buf, n, (off_t) in->at);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    in->at += (uint64_t) r;
    *got += (size_t) r;
    in->ended = r == 0;
    return 0;
}

int input_read(struct input *in, char *buf, size_t n, size_t *got, bool *end)
{
    *got = 0;
    *end = in->ended;
    if (!n || *end)
        return 0;
    if (in->rest)
        *got = read_rest(in, buf, n);
    if (in->secret && *got < n)
        *got += read_secret(in, buf + *got, n - *got);
    if (*got == n)
        return 0;
    if (in->fd < 0)
        in->ended = true;
    while (!in->ended && *got < n) {
        int rc = read_file(in, buf + *got, n - *got, got);
        if (rc)
            return rc;
    }
    *end = in->ended;
    return 0;
}

bool input_tells(struct input *in, int64_t now)
{
    if (in->fd < 0 || in->told_end)
        return false;
    if (!in->ended && in->told_at >= 0 &&
        (now - in->told_at < PROGRESS_MS || in->at == in->told))
        return false;
    in->told_at = now;
    in->told = in->at;
    in->told_end = in->ended;
    return true;
}

int64_t input_tells_in(const struct input *in, int64_t now)
{
    if (in->fd < 0 || in->told_end || in->told_at < 0 || in->at == in->told)
        return -1;
    return now - in->told_at < PROGRESS_MS ? in->told_at + PROGRESS_MS - now : 0;
}
