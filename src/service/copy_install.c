/* SPDX-License-Identifier: Apache-2.0 */
/* The head of what a pull sends, and putting what came in its place. */
#include "copy_head.h"

#include "copy.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MOST ((size_t) 16 << 10) /* LIMIT: a sum and a name, escaped */
#define SUMS_MAX 1000000            /* LIMIT */
#define NAMES_MAX ((size_t) 64 << 20) /* LIMIT: bytes of their names */
#define JUNK_MAX ((size_t) 64 << 10) /* what a login shell may print before it begins */

/* --- the head --- */

void copy_head_clear(struct copy_head *h)
{
    for (size_t i = 0; i < h->n_sums; i++)
        free(h->sums[i].name);
    free(h->sums);
    free(h->name);
    memset(h, 0, sizeof *h);
}

static int bad_head(struct err *e)
{
    return err_set(e, ERR_VALIDATION, "what came does not begin as a copy does: is there a login "
                   "script on the node that prints something?");
}

/* "muster-pull 1 TOTAL folder NAME". False: another line. */
static bool parse_first(const char *line, struct copy_head *h)
{
    static const char magic[] = COPY_PULL_MAGIC " ", late[] = COPY_PULL_LATE " ";
    char *end;
    h->late = strncmp(line, late, sizeof late - 1) == 0;
    if (!h->late && strncmp(line, magic, sizeof magic - 1) != 0)
        return false;
    errno = 0;
    h->total = strtoull(line + sizeof magic - 1, &end, 10);
    if (errno || line[sizeof magic - 1] == '-')
        return false;
    if (strncmp(end, " folder ", 8) == 0) {
        h->folder = true;
        end += 8;
    } else if (strncmp(end, " file ", 6) == 0) {
        end += 6;
    } else {
        return false;
    }
    bool plain = *end && strcmp(end, ".") != 0 && strcmp(end, "..") != 0 && !strchr(end, '/') &&
                 strlen(end) <= 255;
    h->name = plain ? x_strdup(end) : NULL;
    return plain;
}

/* sha256sum puts a backslash before a line whose name it has escaped. */
static char *unescape(const char *s)
{
    char *out = x_strdup(s), *to = out;
    for (; *s; s++) {
        if (*s == '\\' && s[1]) {
            s++;
            *to++ = *s == 'n' ? '\n' : *s == 'r' ? '\r' : *s;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
    return out;
}

static int parse_sum(const char *line, struct copy_head *h, struct err *e)
{
    bool escaped = *line == '\\';
    line += escaped;
    if (strspn(line, "0123456789abcdef") != 64 || line[64] != ' ' || !line[65] || h->n_sums >= SUMS_MAX)
        return err_set(e, ERR_VALIDATION, "what came has a bad list of sums (a newline in a name, or "
                       "more than a million files)");
    const char *name = line + 66;
    name += strncmp(name, "./", 2) == 0 ? 2 : 0;
    h->names += strlen(name);
    if (h->names > NAMES_MAX)
        return err_set(e, ERR_VALIDATION, "what came has a list of sums with more than 64 MB of names");
    X_GROW(h->sums, h->cap_sums, h->n_sums + 1);
    struct copy_sum *s = &h->sums[h->n_sums++];
    memcpy(s->hex, line, 64);
    s->hex[64] = '\0';
    s->name = escaped ? unescape(name) : x_strdup(name);
    return 0;
}

int copy_head_sums(struct copy_head *h, char *text, struct err *e)
{
    int rc = 0;
    for (char *line, *save = NULL; rc == 0 && (line = strtok_r(save ? NULL : text, "\n", &save));)
        rc = parse_sum(line, h, e);
    return rc;
}

/* Reads lines; *at is where the next one begins. */
struct lines {
    int fd;
    off_t at;
    struct strbuf held;
};

/* The next line without its newline, to be freed; NULL: there is none, or it is too long. */
static char *next_line(struct lines *l)
{
    for (;;) {
        char *nl = memchr(l->held.s, '\n', l->held.len);
        if (nl) {
            size_t n = (size_t) (nl - l->held.s);
            char *line = x_strndup(l->held.s, n);
            strbuf_consume(&l->held, n + 1);
            l->at += (off_t) n + 1;
            return line;
        }
        if (l->held.len > LINE_MOST)
            return NULL;
        char piece[4096];
        ssize_t n = pread(l->fd, piece, sizeof piece, l->at + (off_t) l->held.len);
        if (n <= 0)
            return NULL;
        strbuf_add(&l->held, piece, (size_t) n);
    }
}

static int read_lines(struct lines *l, struct copy_head *h, struct err *e)
{
    char *line = NULL;
    do {
        free(line);
        line = next_line(l);
    } while (line && !parse_first(line, h) && l->at < (off_t) JUNK_MAX);
    bool begun = line && h->name;
    free(line);
    if (!begun)
        return bad_head(e);
    for (;;) {
        line = next_line(l);
        if (!line)
            return err_set(e, ERR_VALIDATION, "what came was cut in its list of sums");
        int rc = *line ? parse_sum(line, h, e) : 1;
        free(line);
        if (rc != 0)
            return rc > 0 ? 0 : rc;
    }
}

int copy_head_read(int fd, struct copy_head *h, struct err *e)
{
    struct lines l = {.fd = fd};
    strbuf_init(&l.held, 0);
    int rc = read_lines(&l, h, e);
    strbuf_free(&l.held);
    if (rc == 0 && lseek(fd, l.at, SEEK_SET) < 0)
        rc = err_set(e, ERR_INTERNAL, "cannot read back what came: %s", strerror(errno));
    return rc;
}

uint64_t copy_head_total(const char *p, size_t n)
{
    static const char magic[] = COPY_PULL_MAGIC " ", late[] = COPY_PULL_LATE " ";
    const char *at = memmem(p, n, magic, sizeof magic - 1);
    if (!at)
        at = memmem(p, n, late, sizeof late - 1);
    uint64_t total = 0;
    if (!at)
        return 0;
    for (at += sizeof magic - 1; at < p + n && *at >= '0' && *at <= '9' && total < UINT64_MAX / 20; at++)
        total = total * 10 + (uint64_t) (*at - '0');
    return total;
}

/* --- into its place --- */

static int cannot_place(const char *name, struct err *e)
{
    int sys = errno;
    CLEANUP_FREE char *clean = text_clean(name);
    return err_set(e, ERR_INTERNAL, "cannot replace %.200s here: %s", clean, strerror(sys));
}

static int place(int from, const char *name, int to, const char *as, struct err *e);

/* Everything in the folder `from` into the folder `to`. Takes both over. */
static int merge(int from, int to, const char *name, struct err *e)
{
    DIR *d = from >= 0 && to >= 0 ? fdopendir(from) : NULL;
    int rc = d ? 0 : cannot_place(name, e);
    for (struct dirent *x; d && rc == 0 && (x = readdir(d)) != NULL;)
        if (strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0)
            rc = place(dirfd(d), x->d_name, to, x->d_name, e);
    if (d)
        closedir(d);
    else if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return rc;
}

static int place(int from, const char *name, int to, const char *as, struct err *e)
{
    const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if (renameat(from, name, to, as) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return cannot_place(as, e);
    int source = openat(from, name, how);
    return merge(source, openat(to, as, how), as, e);
}

int copy_install(int root, const char *part, const char *final, const struct copy_head *h,
                 struct err *e)
{
    bool made = mkdir(final, 0777) == 0;
    int to = made || errno == EEXIST ? open(final, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (to < 0)
        return cannot_place(final, e);
    int rc = h->folder ? place(AT_FDCWD, part, to, h->name, e) : place(root, h->name, to, h->name, e);
    close(to);
    if (rc != 0 && made)
        rmdir(final);
    return rc;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    remove(path); /* what cannot go stays under a name that says what it is */
    return 0;
}

void copy_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
