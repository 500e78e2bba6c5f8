/* SPDX-License-Identifier: Apache-2.0 */
/* A pull by sftp. It hands out what the script on a node would print (service/copy_script.c), but
 * that the list of sums is the last entry of the tar: each file is read once, and its sum is of what
 * came. First the tree is listed, then file by file is read. Names are the server's: one that is no
 * name ends it. */
#include "ssh_sftp.h"

#include "muster/base/alloc.h"
#include "muster/base/hash.h"
#include "muster/core/batch.h"

#include <stdio.h>
#include <string.h>

#define TAR_BLOCK 512
#define OUT_ENOUGH ((size_t) 64 << 10)  /* held for the session: no more is read from the server */
#define ENTRIES_MAX 1000000             /* LIMIT: of one pull */
#define NAMES_MAX ((size_t) 128 << 20)  /* LIMIT: bytes of their names */
#define DEPTH_MAX 120                   /* LIMIT: folders below each other; the writer has one too */
#define NAME_MAX_PART 255

enum pull_step {
    PULL_TARGET,
    PULL_NAME,    /* of the folder that "." is */
    PULL_OPENDIR,
    PULL_READDIR,
    PULL_LEFT,    /* the folder is closed */
    PULL_LINK,
    PULL_OPEN,
    PULL_SIZE,
    PULL_READ,
    PULL_CLOSE,
    PULL_SENT     /* all is written, and goes out */
};

struct pull_entry {
    char *path; /* below the folder; "" itself */
    uint32_t mode, mtime;
    uint64_t size;
    unsigned depth;
};

struct pull {
    enum pull_step step;
    bool folder;
    char *name;
    struct pull_entry *v;
    size_t n, cap, at, names;
    uint64_t total, size; /* of all; of the file that is read */
    struct sha256 *hash;
    struct strbuf out, sums;
    size_t out_at;
};

void pull_free(struct pull *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        free(p->v[i].path);
    free(p->v);
    free(p->name);
    sha256_abandon(p->hash);
    strbuf_free(&p->out);
    strbuf_free(&p->sums);
    free(p);
}

/* --- the tar --- */

/* Octal as long as it fits, else as GNU tar writes what is larger: base 256. */
static void number(char *field, size_t width, uint64_t v)
{
    if (v < (uint64_t) 1 << (3 * (width - 1))) {
        char text[32];

        snprintf(text, sizeof text, "%0*llo", (int) width - 1, (unsigned long long) v);
        memcpy(field, text, width);
        return;
    }
    memset(field, 0, width);
    for (size_t i = 0; i < 8 && i < width - 1; i++)
        field[width - 1 - i] = (char) (v >> (8 * i));
    field[0] = (char) 0x80;
}

static void pad(struct strbuf *out, uint64_t size)
{
    static const char zero[TAR_BLOCK];

    if (size % TAR_BLOCK)
        strbuf_add(out, zero, (size_t) (TAR_BLOCK - size % TAR_BLOCK));
}

static void header(struct strbuf *out, char type, const char *name, const char *link, uint32_t mode,
                   uint64_t size, uint32_t mtime)
{
    char h[TAR_BLOCK] = {0};
    unsigned sum = 0;
    size_t n = strlen(name), link_len = link ? strlen(link) : 0;

    memcpy(h, name, n < 100 ? n : 100);
    number(h + 100, 8, mode & 0777);
    number(h + 108, 8, 0);
    number(h + 116, 8, 0);
    number(h + 124, 12, size);
    number(h + 136, 12, mtime);
    memset(h + 148, ' ', 8);
    h[156] = type;
    if (link)
        memcpy(h + 157, link, link_len < 100 ? link_len : 100);
    memcpy(h + 257, "ustar  ", 8); /* GNU's */
    for (size_t i = 0; i < sizeof h; i++)
        sum += (unsigned char) h[i];
    snprintf(h + 148, 8, "%06o", sum);
    strbuf_add(out, h, sizeof h);
}

/* What does not fit stands before it, as the data of an entry of its own. */
static void long_name(struct strbuf *out, char type, const char *name)
{
    size_t n = strlen(name) + 1;

    if (n <= 100)
        return;
    header(out, type, "././@LongLink", NULL, 0644, n, 0);
    strbuf_add(out, name, n);
    pad(out, n);
}

static void add_header(struct pull *p, const struct pull_entry *x, char type, uint64_t size,
                       const char *link)
{
    CLEANUP_FREE char *name = x_asprintf("./%s%s", x->path, type == '5' && *x->path ? "/" : "");

    if (link)
        long_name(&p->out, 'K', link);
    long_name(&p->out, 'L', name);
    header(&p->out, type, name, link, x->mode, size, x->mtime);
}

/* --- the tree --- */

static char *remote_of(const struct sftp *f, const struct pull_entry *x)
{
    if (!f->pull->folder || !*x->path)
        return x_strdup(f->remote);
    return x_asprintf("%s%s%s", f->remote, strcmp(f->remote, "/") == 0 ? "" : "/", x->path);
}

static bool is_kind(uint32_t mode, uint32_t kind)
{
    return (mode & 0170000) == kind;
}

static bool is_folder(const struct pull_entry *x)
{
    return is_kind(x->mode, 0040000);
}

static bool is_file(const struct pull_entry *x)
{
    return is_kind(x->mode, 0100000);
}

static bool is_name(const char *s, size_t n)
{
    return n > 0 && n <= NAME_MAX_PART && !memchr(s, '/', n) && !memchr(s, '\0', n) &&
           !(n == 1 && *s == '.') && !(n == 2 && s[0] == '.' && s[1] == '.');
}

static void add_entry(struct pull *p, char *path, const struct attrs *t, unsigned depth)
{
    X_GROW(p->v, p->cap, p->n + 1);
    p->v[p->n++] = (struct pull_entry){.path = path, .mode = t->mode, .mtime = t->mtime,
                                       .size = t->size, .depth = depth};
    p->names += strlen(path);
    if (is_kind(t->mode, 0100000))
        p->total += t->size;
}

static void next_entry(struct conn *c);

/* The head: what comes is known. */
static void tree_known(struct conn *c)
{
    struct pull *p = c->sftp->pull;

    strbuf_addf(&p->out, COPY_PULL_LATE " %llu %s %s\n\n", (unsigned long long) p->total,
                p->folder ? "folder" : "file", p->name);
    p->at = 0;
    next_entry(c);
}

/* The next folder to be listed, in the order in which they were found. */
static void next_folder(struct conn *c)
{
    struct sftp *f = c->sftp;
    struct pull *p = f->pull;

    while (p->at < p->n && !is_folder(&p->v[p->at]))
        p->at++;
    if (p->at == p->n) {
        tree_known(c);
        return;
    }

    CLEANUP_FREE char *path = remote_of(f, &p->v[p->at]);

    if (p->v[p->at].depth > DEPTH_MAX) {
        sftp_end(c, COPY_EXIT_WRITE, "%s: more than %d folders below each other", path, DEPTH_MAX);
        return;
    }
    p->step = PULL_OPENDIR;
    sftp_ask_path(f, FXP_OPENDIR, path);
}

static void ask_names(struct sftp *f)
{
    f->pull->step = PULL_READDIR;
    sftp_ask_handle(f, FXP_READDIR);
    wire_end(&f->wire);
}

/* One of a folder's names. false: it has been ended by it. */
static bool take_name(struct conn *c, const char *name, size_t n, const struct attrs *t)
{
    struct sftp *f = c->sftp;
    struct pull *p = f->pull;
    const struct pull_entry *in = &p->v[p->at];
    CLEANUP_FREE char *folder = remote_of(f, in);

    if ((n == 1 && *name == '.') || (n == 2 && name[0] == '.' && name[1] == '.'))
        return true;
    if (!is_name(name, n)) {
        sftp_end(c, COPY_EXIT_WRITE, "%s: the server gave a name in it that is none", folder);
        return false;
    }
    /* Some tell nothing with a list, or no more than permissions: nothing is to be left out for that. */
    if (!(t->mode & 0170000)) {
        sftp_end(c, COPY_EXIT_WRITE, "%s: the server does not say which of its names are folders",
                 folder);
        return false;
    }
    if (p->n >= ENTRIES_MAX || p->names >= NAMES_MAX) {
        sftp_end(c, COPY_EXIT_WRITE, "%s: more than a million files, or too many long names",
                 f->remote);
        return false;
    }
    add_entry(p, x_asprintf("%s%s%.*s", in->path, *in->path ? "/" : "", (int) n, name), t,
              in->depth + 1);
    return true;
}

static void take_names(struct conn *c, struct answer *a)
{
    struct sftp *f = c->sftp;
    CLEANUP_FREE char *folder = remote_of(f, &f->pull->v[f->pull->at]);
    uint32_t count;
    size_t n, rest;

    if (sftp_status(a) == FX_EOF) {
        f->pull->step = PULL_LEFT;
        sftp_ask_handle(f, FXP_CLOSE);
        wire_end(&f->wire);
        return;
    }
    if (a->type != FXP_NAME) {
        sftp_refused(c, COPY_EXIT_WRITE, folder, a);
        return;
    }
    count = answer_u32(a);
    for (uint32_t i = 0; i < count && !a->bad; i++) {
        struct attrs t;
        const char *name = answer_bytes(a, &n);

        answer_bytes(a, &rest); /* as ls -l would show it */
        answer_attrs(a, &t);
        if (!a->bad && !take_name(c, name, n, &t))
            return;
    }
    if (a->bad)
        sftp_end(c, COPY_EXIT_WRITE, "%s: the server's list of it makes no sense", folder);
    else
        ask_names(f);
}

/* --- what is wanted --- */

void pull_begin(struct conn *c)
{
    struct sftp *f = c->sftp;

    f->pull = x_calloc(1, sizeof *f->pull);
    strbuf_init(&f->pull->out, 0);
    strbuf_init(&f->pull->sums, (size_t) 512 << 20);
    sftp_ask_path(f, FXP_STAT, f->remote);
}

static void begin_tree(struct conn *c, const char *name, size_t n)
{
    struct sftp *f = c->sftp;

    if (memchr(name, '\n', n)) {
        sftp_end(c, COPY_EXIT_PLACE, "the folder has a newline in its name: pull the one that it is in");
        return;
    }
    if (!is_name(name, n)) {
        sftp_end(c, COPY_EXIT_PLACE, "the whole file system is no folder to copy: name one in it");
        return;
    }
    f->pull->name = x_strndup(name, n);
    if (f->pull->folder) {
        next_folder(c);
        return;
    }
    free(f->pull->v[0].path);
    f->pull->v[0].path = x_strdup(f->pull->name);
    tree_known(c);
}

static void target_known(struct conn *c, struct answer *a)
{
    struct sftp *f = c->sftp;
    struct pull *p = f->pull;
    const char *slash = strrchr(f->remote, '/');
    const char *last = slash ? slash + 1 : f->remote;
    struct attrs t = {0};

    if (a->type == FXP_ATTRS)
        answer_attrs(a, &t);
    if (a->type != FXP_ATTRS) {
        sftp_refused(c, sftp_denied(a) ? COPY_EXIT_WRITE : COPY_EXIT_PLACE, f->remote, a);
        return;
    }
    p->folder = is_kind(t.mode, 0040000);
    if (a->bad || (!p->folder && (!is_kind(t.mode, 0100000) || f->remote_slash))) {
        sftp_end(c, COPY_EXIT_PLACE, "%s is neither a file nor a folder", f->remote);
        return;
    }
    if (!p->folder && !t.has_size) { /* which is as much of it as counts */
        sftp_end(c, COPY_EXIT_PLACE, "%s: the server does not say how large it is", f->remote);
        return;
    }
    add_entry(p, x_strdup(""), &t, 0);
    if (is_name(last, strlen(last))) {
        begin_tree(c, last, strlen(last));
        return;
    }
    p->step = PULL_NAME;
    sftp_ask_path(f, FXP_REALPATH, f->remote);
}

static void name_known(struct conn *c, struct answer *a)
{
    size_t n = 0;

    if (a->type != FXP_NAME || answer_u32(a) != 1) {
        sftp_refused(c, COPY_EXIT_PLACE, c->sftp->remote, a);
        return;
    }

    const char *path = answer_bytes(a, &n);
    const char *slash = memrchr(path, '/', n);
    const char *last = slash ? slash + 1 : path;

    begin_tree(c, last, n - (size_t) (last - path));
}

/* --- what is in it --- */

static void finish(struct conn *c)
{
    static const char zero[2 * TAR_BLOCK];
    struct pull *p = c->sftp->pull;

    header(&p->out, '0', COPY_SUMS, NULL, 0600, p->sums.len, 0);
    strbuf_add(&p->out, p->sums.s, p->sums.len);
    pad(&p->out, p->sums.len);
    strbuf_add(&p->out, zero, sizeof zero);
    p->step = PULL_SENT;
}

/* As far as no answer is needed. */
static void next_entry(struct conn *c)
{
    struct sftp *f = c->sftp;
    struct pull *p = f->pull;

    p->step = PULL_CLOSE; /* and goes on from here when there is room */
    for (; p->at < p->n && p->out.len < OUT_ENOUGH; p->at++) {
        const struct pull_entry *x = &p->v[p->at];
        bool link = is_kind(x->mode, 0120000);

        if (is_folder(x)) {
            add_header(p, x, '5', 0, NULL);
        } else if (link || is_file(x)) {
            CLEANUP_FREE char *path = remote_of(f, x);

            p->step = link ? PULL_LINK : PULL_OPEN;
            sftp_ask(f, link ? FXP_READLINK : FXP_OPEN);
            wire_text(&f->wire, path);
            if (!link) {
                wire_u32(&f->wire, FXF_READ);
                wire_u32(&f->wire, 0);
            }
            wire_end(&f->wire);
            return;
        } else {
            add_header(p, x, '6', 0, NULL); /* the writer tells that it takes none */
        }
    }
    if (p->at == p->n)
        finish(c);
}

static void link_known(struct conn *c, struct answer *a)
{
    struct pull *p = c->sftp->pull;
    const struct pull_entry *x = &p->v[p->at];
    CLEANUP_FREE char *path = remote_of(c->sftp, x);
    size_t n = 0;

    if (a->type != FXP_NAME || answer_u32(a) != 1) {
        sftp_refused(c, COPY_EXIT_TAR, path, a);
        return;
    }

    const char *to = answer_bytes(a, &n);

    if (a->bad || !n || n > SFTP_NAME_MAX || memchr(to, '\0', n)) {
        sftp_end(c, COPY_EXIT_TAR, "%s: a link that makes no sense", path);
        return;
    }

    CLEANUP_FREE char *link = x_strndup(to, n);

    add_header(p, x, '2', 0, link);
    p->at++;
    next_entry(c);
}

/* The size counts as it is now: what grows meanwhile comes as it was. */
static void size_known(struct conn *c, struct answer *a)
{
    struct sftp *f = c->sftp;
    struct pull *p = f->pull;
    struct pull_entry *x = &p->v[p->at];
    struct attrs t = {0};

    if (a->type == FXP_ATTRS)
        answer_attrs(a, &t);
    if (a->type != FXP_ATTRS || a->bad || !t.has_size || !is_kind(t.mode, 0100000)) {
        CLEANUP_FREE char *path = remote_of(f, x);

        sftp_refused(c, COPY_EXIT_TAR, path, a);
        return;
    }
    /* The head has told how many bytes of a single file count. */
    p->size = !p->folder && t.size > x->size ? x->size : t.size;
    x->mtime = t.mtime;
    add_header(p, x, '0', p->size, NULL);
    p->hash = sha256_new();
    p->step = PULL_READ;
    reads_begin(f, p->size);
    pull_more(c);
}

/* As sha256sum writes it: a backslash before the line says that there are some in the name. */
static void add_sum(struct strbuf *out, const uint8_t sum[SHA256_LEN], const char *name)
{
    bool odd = strchr(name, '\n');

    strbuf_adds(out, odd ? "\\" : "");
    for (size_t i = 0; i < SHA256_LEN; i++)
        strbuf_addf(out, "%02x", sum[i]);
    strbuf_adds(out, "  ./");
    for (; *name; name++) {
        if (odd && (*name == '\n' || *name == '\\'))
            strbuf_addf(out, "\\%c", *name == '\n' ? 'n' : '\\');
        else
            strbuf_addch(out, *name);
    }
    strbuf_addch(out, '\n');
}

static void file_read(struct conn *c)
{
    struct sftp *f = c->sftp;
    struct pull *p = f->pull;
    const struct pull_entry *x = &p->v[p->at];
    uint8_t sum[SHA256_LEN];

    if (f->reads.came != p->size) {
        CLEANUP_FREE char *path = remote_of(f, x);

        sftp_end(c, COPY_EXIT_TAR, "%s became shorter while it was read", path);
        return;
    }
    sha256_end(X_STEAL(p->hash), sum);
    add_sum(&p->sums, sum, x->path);
    pad(&p->out, p->size);
    p->at++;
    p->step = PULL_CLOSE;
    sftp_ask_handle(f, FXP_CLOSE);
    wire_end(&f->wire);
}

/* Hands on what is held. Room is made when the session has taken it. */
static void give(struct conn *c)
{
    struct pull *p = c->sftp->pull;
    size_t left = p->out.len - p->out_at;

    p->out_at += session_output(c->session, STREAM_STDOUT, p->out.s + p->out_at, left);
    if (p->out_at == p->out.len) {
        strbuf_reset(&p->out);
        p->out_at = 0;
    }
}

void pull_more(struct conn *c)
{
    struct sftp *f = c->sftp;
    struct pull *p = f->pull;
    const char *data;
    size_t n;

    for (;;) {
        if (p->out.len)
            give(c);
        if (p->out.len)
            break;
        while (p->step == PULL_READ && p->out.len < OUT_ENOUGH && (data = reads_take(f, &n))) {
            sha256_add(p->hash, data, n);
            strbuf_add(&p->out, data, n);
        }
        if (!p->out.len)
            break;
    }
    if (p->step == PULL_READ && p->out.len < OUT_ENOUGH) {
        reads_ask(f);
        if (reads_over(f))
            file_read(c);
    } else if (p->step == PULL_CLOSE && !f->waiting && p->out.len < OUT_ENOUGH) {
        next_entry(c);
    } else if (p->step == PULL_SENT && !p->out.len) {
        sftp_end(c, 0, "%s", "");
    }
}

void pull_answer(struct conn *c, struct answer *a)
{
    struct sftp *f = c->sftp;
    struct pull *p = f->pull;
    CLEANUP_FREE char *path = p->at < p->n ? remote_of(f, &p->v[p->at]) : NULL;

    switch (p->step) {
    case PULL_TARGET:
        target_known(c, a);
        break;
    case PULL_NAME:
        name_known(c, a);
        break;
    case PULL_OPENDIR:
        if (sftp_take_handle(f, a))
            ask_names(f);
        else
            sftp_refused(c, COPY_EXIT_WRITE, path, a);
        break;
    case PULL_READDIR:
        take_names(c, a);
        break;
    case PULL_LEFT:
        p->at++;
        next_folder(c);
        break;
    case PULL_LINK:
        link_known(c, a);
        break;
    case PULL_OPEN:
        if (sftp_take_handle(f, a)) {
            p->step = PULL_SIZE;
            sftp_ask_handle(f, FXP_FSTAT);
            wire_end(&f->wire);
        } else {
            sftp_refused(c, COPY_EXIT_WRITE, path, a);
        }
        break;
    case PULL_SIZE:
        size_known(c, a);
        break;
    case PULL_READ:
        if (!reads_answer(f, a))
            sftp_refused(c, COPY_EXIT_TAR, path, a);
        break;
    case PULL_CLOSE: /* pull_more() goes on */
    case PULL_SENT:
        break;
    }
}
