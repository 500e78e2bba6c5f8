/* SPDX-License-Identifier: Apache-2.0 */
/* Writing and reading tar, by libarchive: the one file that includes it. GNU's form is written: what
 * is old or small (busybox) reads long names in it, which it does not in the form of POSIX. */
#include "copy.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/base/io.h"
#include "muster/base/text.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PIECE ((size_t) 128 << 10)

/* --- writing --- */

struct pack {
    struct archive *a;
    struct strbuf sums[2]; /* by sha256sum, and those of odd names */
    char *piece;
    struct err *e;
};

static int cannot_write(struct pack *p, const char *what)
{
    CLEANUP_FREE char *clean = text_clean(what);
    return err_set(p->e, ERR_INTERNAL, "the archive to send cannot be written (at %s): %s", clean,
                   archive_error_string(p->a));
}

static int put_header(struct pack *p, const char *name, mode_t type, mode_t mode, uint64_t size,
                      int64_t mtime, const char *link)
{
    struct archive_entry *x = archive_entry_new();
    archive_entry_copy_pathname(x, name);
    archive_entry_set_filetype(x, type);
    archive_entry_set_perm(x, mode);
    archive_entry_set_mtime(x, mtime, 0);
    if (link)
        archive_entry_copy_symlink(x, link);
    archive_entry_set_size(x, (int64_t) size);
    int rc = archive_write_header(p->a, x);
    archive_entry_free(x);
    return rc < ARCHIVE_WARN ? cannot_write(p, name) : 0;
}

static int put_data(struct pack *p, const char *name, const void *data, size_t n)
{
    return archive_write_data(p->a, data, n) == (la_ssize_t) n ? 0 : cannot_write(p, name);
}

static void hex(const uint8_t sum[SHA256_LEN], char out[2 * SHA256_LEN + 1])
{
    for (size_t i = 0; i < SHA256_LEN; i++)
        snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

/* Exactly the bytes that the header promised: what grew meanwhile is sent as it was. */
static int put_content(struct pack *p, const struct copy_item *x, int fd, struct sha256 *h)
{
    for (uint64_t left = x->size; left;) {
        ssize_t n = read(fd, p->piece, left < PIECE ? (size_t) left : PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            CLEANUP_FREE char *clean = text_clean(x->path);
            return err_set(p->e, ERR_VALIDATION, "cannot push %s: %s", clean,
                           n < 0 ? strerror(errno) : "it became shorter while it was read");
        }
        sha256_add(h, p->piece, (size_t) n);
        int rc = put_data(p, x->name, p->piece, (size_t) n);
        if (rc != 0)
            return rc;
        left -= (uint64_t) n;
    }
    return 0;
}

static int put_file(struct pack *p, struct copy_item *x)
{
    /* It may have become a pipe since it was looked at. */
    int fd = open(x->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        CLEANUP_FREE char *clean = text_clean(x->path);
        return err_set(p->e, ERR_VALIDATION, "cannot push %s: %s", clean, strerror(errno));
    }
    struct sha256 *h = sha256_new();
    int rc = put_header(p, x->name, AE_IFREG, x->mode & 0777, x->size, x->mtime, NULL);
    x->at = (uint64_t) archive_filter_bytes(p->a, 0); /* what it has taken, written or not */
    if (rc == 0)
        rc = put_content(p, x, fd, h);
    close(fd);
    char text[2 * SHA256_LEN + 1];
    sha256_end(h, x->sum);
    hex(x->sum, text);
    strbuf_addf(&p->sums[strpbrk(x->name, "\\\r") != NULL], "%s  ./%s\n", text, x->name);
    return rc;
}

static int put_item(struct pack *p, struct copy_item *x)
{
    if (x->link)
        return put_header(p, x->name, AE_IFLNK, 0777, 0, x->mtime, x->link);
    /* The owner has to be able to put something into it, and to move it to its place. */
    if (S_ISDIR(x->mode))
        return put_header(p, x->name, AE_IFDIR, (x->mode & 0777) | 0700, 0, x->mtime, NULL);
    return put_file(p, x);
}

static int put_sums(struct pack *p)
{
    static const char *const names[] = {COPY_SUMS_ODD, COPY_SUMS};
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        const struct strbuf *b = &p->sums[i == 0];
        if (i == 0 && b->len == 0)
            continue;
        if (b->truncated)
            return err_set(p->e, ERR_VALIDATION, "too many files for one copy");
        rc = put_header(p, names[i], AE_IFREG, 0600, b->len, 0, NULL);
        if (rc == 0 && b->len)
            rc = put_data(p, names[i], b->s, b->len);
    }
    return rc;
}

static int pack_into(int fd, struct copy_list *l, struct err *e)
{
    struct pack p = {.a = archive_write_new(), .e = e};
    p.piece = x_malloc(PIECE);
    for (int i = 0; i < 2; i++)
        strbuf_init(&p.sums[i], (size_t) 512 << 20);
    archive_write_set_format_gnutar(p.a);
    archive_write_add_filter_none(p.a);
    archive_write_set_bytes_in_last_block(p.a, 1);
    int rc = archive_write_open_fd(p.a, fd) == ARCHIVE_OK ? 0 : cannot_write(&p, "the beginning");
    for (size_t i = 0; i < l->n && rc == 0; i++)
        rc = put_item(&p, &l->v[i]);
    if (rc == 0)
        rc = put_sums(&p);
    if (rc == 0 && archive_write_close(p.a) != ARCHIVE_OK)
        rc = cannot_write(&p, "the end");
    archive_write_free(p.a);
    for (int i = 0; i < 2; i++)
        strbuf_free(&p.sums[i]);
    free(p.piece);
    return rc;
}

static bool has_room(const char *dir, uint64_t need)
{
    struct statvfs v;
    return dir && *dir && access(dir, W_OK) == 0 && statvfs(dir, &v) == 0 &&
           (uint64_t) v.f_bavail * v.f_frsize > need;
}

/* A file that only its descriptor leads to: whatever ends us, it is gone. */
static int spool_open(uint64_t need, struct err *e)
{
    const char *dirs[] = {getenv("TMPDIR"), "/var/tmp", "/tmp", getenv("XDG_RUNTIME_DIR")};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        if (!has_room(dirs[i], need))
            continue;
        CLEANUP_FREE char *path = io_join(dirs[i], ".muster-push-XXXXXX");
        int fd = mkostemp(path, O_CLOEXEC);
        if (fd < 0)
            continue;
        unlink(path);
        return fd;
    }
    char size[24];
    return err_set(e, ERR_VALIDATION, "no folder for temporary files has %s free for what is to be "
                   "sent: name one with TMPDIR", text_size(need, size));
}

int copy_pack(struct copy_list *l, uint64_t *size, struct err *e)
{
    /* A header a file, its last block, its sum. */
    int fd = spool_open(l->bytes + (uint64_t) l->n * 2048 + ((uint64_t) 1 << 20), e);
    if (fd < 0)
        return fd;
    int rc = pack_into(fd, l, e);
    off_t end = rc == 0 ? lseek(fd, 0, SEEK_END) : -1;
    if (rc == 0 && (end < 0 || lseek(fd, 0, SEEK_SET) != 0))
        rc = err_set(e, ERR_INTERNAL, "the archive to send: %s", strerror(errno));
    if (rc != 0) {
        close(fd);
        return rc;
    }
    *size = (uint64_t) end;
    return fd;
}

/* --- reading --- */

static enum copy_kind kind_of(struct archive_entry *x)
{
    if (archive_entry_hardlink(x))
        return COPY_HARDLINK;
    switch (archive_entry_filetype(x)) {
    case AE_IFREG:
        return COPY_FILE;
    case AE_IFDIR:
        return COPY_FOLDER;
    case AE_IFLNK:
        return COPY_SYMLINK;
    default:
        return COPY_OTHER;
    }
}

/* A name of a pax header may not be one of our locale's. */
static const char *name_of(struct archive_entry *x)
{
    const char *name = archive_entry_pathname(x);
    return name ? name : archive_entry_pathname_utf8(x);
}

static int bad_archive(struct archive *a, struct err *e)
{
    const char *said = archive_error_string(a);
    CLEANUP_FREE char *clean = text_clean(said ? said : "it makes no sense");
    return err_set(e, ERR_VALIDATION, "what came is no whole archive: %s", clean);
}

static int read_data(struct archive *a, const struct copy_reader *r, char *piece, struct err *e)
{
    for (;;) {
        la_ssize_t n = archive_read_data(a, piece, PIECE);
        if (n < 0)
            return bad_archive(a, e);
        if (n == 0)
            return r->end(r->ctx, e);
        int rc = r->data(r->ctx, piece, (size_t) n, e);
        if (rc != 0)
            return rc;
    }
}

static int read_entry(struct archive *a, struct archive_entry *x, const struct copy_reader *r,
                      char *piece, struct err *e)
{
    struct copy_entry out = {.kind = kind_of(x),
                             .name = name_of(x),
                             .mode = archive_entry_perm(x) & 0777,
                             .mtime = archive_entry_mtime(x)};
    out.link = out.kind == COPY_HARDLINK   ? archive_entry_hardlink(x)
               : out.kind == COPY_SYMLINK ? archive_entry_symlink(x)
                                          : NULL;
    bool link = out.kind == COPY_HARDLINK || out.kind == COPY_SYMLINK;
    if (!out.name || (link && !out.link))
        return err_set(e, ERR_VALIDATION, "what came has an entry without a name");
    int rc = r->entry(r->ctx, &out, e);
    return rc == 0 && out.kind == COPY_FILE ? read_data(a, r, piece, e) : rc;
}

int copy_unpack(int fd, const struct copy_reader *r, struct err *e)
{
    struct archive *a = archive_read_new();
    struct archive_entry *x;
    CLEANUP_FREE char *piece = x_malloc(PIECE);
    archive_read_support_filter_none(a);
    archive_read_support_format_tar(a);
    archive_read_support_format_empty(a);
    int rc = archive_read_open_fd(a, fd, PIECE) == ARCHIVE_OK ? 0 : bad_archive(a, e);
    while (rc == 0) {
        int got = archive_read_next_header(a, &x);
        if (got == ARCHIVE_EOF)
            break;
        rc = got < ARCHIVE_WARN ? bad_archive(a, e) : read_entry(a, x, r, piece, e);
    }
    archive_read_free(a);
    return rc;
}
