/* SPDX-License-Identifier: Apache-2.0 */
/* Writing what came from a node. Nothing in it is believed: names are taken apart and walked from a
 * folder of our own, one part at a time and never through a link; files are made anew or not at all;
 * links are made last, when nothing is written any more, and only those that stay inside. What is no
 * file, folder or link is left out. Only when every file has the sum that the node told does anything
 * get its final name. */
#include "copy.h"

#include "copy_head.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/base/io.h"
#include "muster/base/log.h"
#include "muster/base/strmap.h"
#include "muster/base/text.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES_MAX 1000000 /* LIMIT: of one node */
#define LEFT_MAX 20         /* of what was left out, so many are named */
#define NAMES_MAX ((size_t) 64 << 20) /* LIMIT: bytes of names and links, of one node */
#define SUMS_MAX (2 * NAMES_MAX) /* LIMIT: of a list that comes last: names, and as many sums */
#define PARTS_MAX 128       /* folders below each other */

struct link_later {
    char *name, *target;
};

struct extract {
    struct copy_head head;
    const atomic_bool *stop;
    uint64_t max_bytes; /* of all files here: a few bytes can claim any size */
    size_t names;       /* bytes of those that are kept */
    struct copy_result *out;
    int root; /* of the part folder */
    struct strmap *seen; /* file -> its sum in hex, owned */
    struct link_later *links;
    size_t n_links, cap_links, entries, left;
    bool in_sums; /* the entry at hand is the list of sums */
    struct strbuf sums;
    /* the file that is being written */
    int fd;
    char *name;
    struct sha256 *h;
    uint64_t size, hashed;
    int64_t mtime;
};

/* --- names --- */

/* What the name is below our folder, without "./" before it. NULL and e: it leads out of it. "": the
 * folder itself. Caller frees. */
static char *inner_name(const char *name, struct err *e)
{
    struct strbuf b;
    size_t parts = 0;
    bool bad = *name == '/';
    strbuf_init(&b, 0);
    for (const char *p = name; *p && !bad;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && strncmp(p, "..", 2) == 0)
            bad = true;
        else if (n && !(n == 1 && *p == '.')) {
            strbuf_addf(&b, "%s%.*s", b.len ? "/" : "", (int) n, p);
            bad = ++parts > PARTS_MAX || n > 255;
        }
        p += n + (p[n] == '/');
    }
    if (bad) {
        CLEANUP_FREE char *clean = text_clean(name);
        strbuf_free(&b);
        err_set(e, ERR_VALIDATION, "the node sent a name that leads out of the folder: %.200s", clean);
        return NULL;
    }
    return strbuf_steal(&b);
}

/* A link from `name` to `target` stays inside. Only the text counts, so no ".." may stand behind a
 * part that could be another link, and lead elsewhere than its name says. */
static bool stays_inside(const char *name, const char *target)
{
    int depth = 0;
    bool down = false;
    if (*target == '/' || !*target)
        return false;
    for (const char *p = name; (p = strchr(p, '/')) != NULL; p++)
        depth++;
    for (const char *p = target; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && strncmp(p, "..", 2) == 0) {
            if (down || --depth < 0)
                return false;
        } else if (n && !(n == 1 && *p == '.')) {
            down = true;
        }
        p += n + (p[n] == '/');
    }
    return true;
}

static int disk_error(const char *name, struct err *e)
{
    int sys = errno;
    CLEANUP_FREE char *clean = text_clean(name);
    return err_set(e, ERR_INTERNAL, "cannot write %.200s here: %s", clean, strerror(sys));
}

/* The folder that a name is in, made where it is missing; *last its last part, within name. -1 and
 * errno. */
static int open_parent(struct extract *x, const char *name, const char **last)
{
    int at = dup(x->root);
    const char *p = name, *slash;
    while (at >= 0 && (slash = strchr(p, '/')) != NULL) {
        CLEANUP_FREE char *part = x_strndup(p, (size_t) (slash - p));
        if (mkdirat(at, part, 0777) == 0) {
            x->entries++; /* a name can have a hundred of them */
        } else if (errno != EEXIST) {
            int sys = errno;
            close(at);
            errno = sys;
            return -1;
        }
        int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int sys = errno;
        close(at);
        errno = sys;
        at = next;
        p = slash + 1;
    }
    *last = p;
    return at;
}

/* --- entries --- */

static void leave_out(struct extract *x, const char *name, const char *why)
{
    CLEANUP_FREE char *clean = text_clean(name);
    if (x->left++ < LEFT_MAX)
        strv_push_own(&x->out->left, x_asprintf("not taken: %.300s (%s)", clean, why));
}

/* So many bytes of text are to be kept. */
static int keep_text(struct extract *x, size_t n, struct err *e)
{
    x->names += n;
    return x->names <= NAMES_MAX ? 0 : err_set(e, ERR_VALIDATION, "the node sent more than 64 MB of names");
}

static int begin_file(struct extract *x, const char *name, const struct copy_entry *in, struct err *e)
{
    const char *last;
    int at = open_parent(x, name, &last);
    if (at < 0)
        return disk_error(name, e);
    /* Its mode from the start, so that the umask takes from it what it takes from any new file. */
    x->fd = openat(at, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, in->mode | 0400);
    int sys = errno;
    close(at);
    errno = sys;
    if (x->fd < 0)
        return disk_error(name, e);
    x->name = x_strdup(name);
    x->h = sha256_new();
    x->size = x->hashed = 0;
    x->mtime = in->mtime;
    return 0;
}

static int make_folder(struct extract *x, const char *name, const struct copy_entry *in, struct err *e)
{
    /* As the parent of something in it; the folder itself is there. */
    CLEANUP_FREE char *inside = x_asprintf("%s%s", name, *name ? "/" : "");
    const char *last;
    int at = open_parent(x, inside, &last);
    if (at < 0)
        return disk_error(name, e);
    /* Only taken away: the umask stands. Whoever pulls it has to be able to fill it, and to delete it. */
    struct stat st;
    if (fstat(at, &st) != 0 || fchmod(at, st.st_mode & (07000 | 0700 | in->mode)) != 0)
        log_debug("copy", "mode of a folder: %s", strerror(errno));
    close(at);
    return 0;
}

/* Another name of a file that is there already. */
static int make_hardlink(struct extract *x, const char *name, const struct copy_entry *in, struct err *e)
{
    CLEANUP_FREE char *target = inner_name(in->link, e);
    if (!target)
        return -ERR_VALIDATION;
    void *sum;
    if (!strmap_get(x->seen, target, &sum))
        return err_set(e, ERR_VALIDATION, "the node sent a link to a file that it did not send");
    const char *from_last, *last;
    int from = open_parent(x, target, &from_last);
    int at = open_parent(x, name, &last);
    int rc = from < 0 || at < 0 || linkat(from, from_last, at, last, 0) != 0 ? disk_error(name, e) : 0;
    if (from >= 0)
        close(from);
    if (at >= 0)
        close(at);
    if (rc == 0) {
        strmap_set(x->seen, name, x_strdup(sum));
        x->out->files++;
    }
    return rc;
}

static int on_entry(void *ctx, const struct copy_entry *in, struct err *e)
{
    struct extract *x = ctx;
    if (atomic_load(x->stop))
        return err_set(e, ERR_INTERNAL, "muster left before it was written");
    if (++x->entries > ENTRIES_MAX)
        return err_set(e, ERR_VALIDATION, "the node sent more than a million files");
    CLEANUP_FREE char *name = inner_name(in->name, e);
    if (!name)
        return -ERR_VALIDATION;
    if (in->kind == COPY_FOLDER)
        return make_folder(x, name, in, e);
    if (x->head.late && in->kind == COPY_FILE && strcmp(in->name, COPY_SUMS) == 0) {
        x->in_sums = true;
        return 0;
    }
    if (!*name || (!x->head.folder && strcmp(name, x->head.name) != 0))
        return err_set(e, ERR_VALIDATION, "the node sent what was not asked for");
    if (keep_text(x, strlen(name) + (in->link ? strlen(in->link) : 0), e) != 0)
        return -ERR_VALIDATION;
    switch (in->kind) {
    case COPY_FILE:
        return begin_file(x, name, in, e);
    case COPY_HARDLINK:
        return make_hardlink(x, name, in, e);
    case COPY_SYMLINK:
        if (!stays_inside(name, in->link)) {
            leave_out(x, name, "a link that leads out of the folder");
            return 0;
        }
        X_GROW(x->links, x->cap_links, x->n_links + 1);
        x->links[x->n_links++] = (struct link_later){x_strdup(name), x_strdup(in->link)};
        return 0;
    default:
        leave_out(x, name, "a device or a pipe");
        return 0;
    }
}

static int on_data(void *ctx, const void *p, size_t n, struct err *e)
{
    struct extract *x = ctx;
    if (atomic_load(x->stop))
        return err_set(e, ERR_INTERNAL, "muster left before it was written");
    if (x->in_sums) {
        strbuf_add(&x->sums, p, n);
        return x->sums.truncated ? err_set(e, ERR_VALIDATION, "the node sent a list of sums that is "
                                           "too long") : 0;
    }
    if (n > x->max_bytes || x->out->bytes + x->size > x->max_bytes - n) {
        char size[24];
        return err_set(e, ERR_VALIDATION, "what came is more than %s once it is unpacked: allow more "
                       "with --max-output", text_size(x->max_bytes, size));
    }
    if (io_write_all(x->fd, p, n) != 0)
        return disk_error(x->name, e);
    uint64_t want = x->head.folder ? UINT64_MAX : x->head.total;
    size_t part = want - x->hashed < n ? (size_t) (want - x->hashed) : n;
    sha256_add(x->h, p, part);
    x->hashed += part;
    x->size += n;
    return 0;
}

static void drop_file(struct extract *x)
{
    if (x->fd >= 0)
        close(x->fd);
    x->fd = -1;
    sha256_abandon(X_STEAL(x->h));
    free(X_STEAL(x->name));
}

static int on_end(void *ctx, struct err *e)
{
    struct extract *x = ctx;
    uint8_t sum[SHA256_LEN];
    if (x->in_sums) {
        x->in_sums = false;
        return copy_head_sums(&x->head, x->sums.s, e);
    }
    char *text = x_malloc(2 * SHA256_LEN + 1);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = x->mtime}};
    sha256_end(X_STEAL(x->h), sum);
    for (size_t i = 0; i < SHA256_LEN; i++)
        snprintf(text + 2 * i, 3, "%02x", sum[i]);
    int rc = 0;
    if (futimens(x->fd, times) != 0)
        rc = disk_error(x->name, e);
    strmap_set(x->seen, x->name, text); /* it is new: O_EXCL */
    x->out->files++;
    x->out->bytes += x->size;
    drop_file(x);
    return rc;
}

/* --- the whole --- */

static int make_links(struct extract *x, struct err *e)
{
    for (size_t i = 0; i < x->n_links; i++) {
        const char *last;
        int at = open_parent(x, x->links[i].name, &last);
        int rc = at < 0 || symlinkat(x->links[i].target, at, last) != 0;
        rc = rc ? disk_error(x->links[i].name, e) : 0;
        if (at >= 0)
            close(at);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Each file has the sum that was told, and each that was told of has come. */
static int check_sums(const struct extract *x, struct err *e)
{
    for (size_t i = 0; i < x->head.n_sums; i++) {
        const struct copy_sum *s = &x->head.sums[i];
        void *got;
        CLEANUP_FREE char *clean = text_clean(s->name);
        if (!strmap_get(x->seen, s->name, &got))
            return err_set(e, ERR_VALIDATION, "%.200s did not arrive", clean);
        if (strcmp(got, s->hex) != 0)
            return err_set(e, ERR_VALIDATION, "%.200s differs from what was read on the node at "
                           "first: it changes while it is copied", clean);
    }
    if (strmap_count(x->seen) != x->head.n_sums)
        return err_set(e, ERR_VALIDATION, "%zu files came, and %zu have a sum: files were added "
                       "or taken away while they were copied", strmap_count(x->seen), x->head.n_sums);
    return 0;
}

static int unpack(struct extract *x, int fd, struct err *e)
{
    const struct copy_reader r = {.ctx = x, .entry = on_entry, .data = on_data, .end = on_end};
    int rc = copy_head_read(fd, &x->head, e);
    if (rc == 0)
        rc = copy_unpack(fd, &r, e);
    if (rc == 0)
        rc = check_sums(x, e);
    return rc == 0 ? make_links(x, e) : rc;
}

static void free_sum(const char *key, void *value, void *ctx)
{
    free(value);
}

static void extract_clear(struct extract *x)
{
    drop_file(x);
    strbuf_free(&x->sums);
    for (size_t i = 0; i < x->n_links; i++) {
        free(x->links[i].name);
        free(x->links[i].target);
    }
    free(x->links);
    strmap_each(x->seen, free_sum, NULL);
    strmap_free(x->seen);
    copy_head_clear(&x->head);
}

int copy_extract(int fd, const char *dir, const char *node, uint64_t max_bytes,
                 const atomic_bool *stop, struct copy_result *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    CLEANUP_FREE char *folder = copy_node_folder(node);
    CLEANUP_FREE char *final = io_join(dir, folder);
    char id[17];
    random_hex(id, 4);
    CLEANUP_FREE char *part = x_asprintf("%s.part-%s", final, id);
    struct extract x = {.stop = stop, .max_bytes = max_bytes, .out = out, .fd = -1};
    if (mkdir(part, 0777) != 0)
        return disk_error(part, e);
    x.seen = strmap_new();
    strbuf_init(&x.sums, SUMS_MAX);
    x.root = open(part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int rc = x.root < 0 ? disk_error(part, e) : unpack(&x, fd, e);
    if (x.left > LEFT_MAX)
        strv_push_own(&out->left, x_asprintf("and %zu more were not taken", x.left - LEFT_MAX));
    if (rc == 0)
        rc = copy_install(x.root, part, final, &x.head, e);
    if (rc == 0)
        out->place = io_join(final, x.head.name);
    out->by_sftp = x.head.late;
    if (x.root >= 0)
        close(x.root);
    copy_remove(part);
    extract_clear(&x);
    return rc;
}

void copy_result_clear(struct copy_result *r)
{
    strv_clear(&r->left);
    free(r->place);
    memset(r, 0, sizeof *r);
}

/* A node's name may be an address, or what a shell could trip over. */
char *copy_node_folder(const char *node)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    for (const char *p = node; *p; p++) {
        unsigned char c = (unsigned char) *p;
        bool plain = c >= 0x80 || isalnum(c) || strchr("_-+=.:,@", c);
        if (plain && !(p == node && (c == '.' || c == '-')))
            strbuf_addch(&b, *p);
        else
            strbuf_addf(&b, "%%%02x", c);
    }
    return strbuf_steal(&b);
}
