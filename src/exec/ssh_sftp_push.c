/* SPDX-License-Identifier: Apache-2.0 */
/* A push by sftp, as the script on a node does it (service/copy_script.c): everything goes to a new
 * folder beside the target, is read back and checked, and only then gets its final name.
 *
 * Temporaries are numbered in that folder, and folders are made at their final place only, so that
 * to remove what is left is one request a file. */
#include "ssh_sftp.h"

#include "muster/base/alloc.h"
#include "muster/base/hash.h"

#include <string.h>

#define TIDY_REQUESTS 64
#define PRIVATE 0700
#define WRITES_QUEUED (2 * SFTP_CHUNK) /* what may wait for the channel */

enum push_step {
    PUSH_TARGET,  /* is it a folder? */
    PUSH_PARENT,  /* is the folder that it is in there? */
    PUSH_STAGE,   /* the folder of temporaries */
    PUSH_CREATE,
    PUSH_WRITE,
    PUSH_ATTRS,
    PUSH_SETSTAT, /* the same by its name, where that is not had of what is open */
    PUSH_CHECK,   /* read back */
    PUSH_CLOSE,
    PUSH_LINK,
    PUSH_LOOK,    /* what is in a part's place? */
    PUSH_FOLDER,
    PUSH_MODE,
    PUSH_RENAME,
    PUSH_ASIDE,   /* the old file, where a rename does not replace it */
    PUSH_REPLACE, /* the new one again */
    PUSH_OLD,     /* the old one goes */
    PUSH_BACK,    /* or comes back */
    PUSH_LEFT     /* the folder of temporaries goes */
};

struct push {
    enum push_step step;
    bool into;        /* the target is a folder to put it in */
    char *stage;
    bool stage_made;  /* maybe: it has been asked for */
    size_t part;      /* that is being staged, or placed */
    size_t staged;    /* temporaries 0..staged may be there */
    size_t placed;    /* but these */
    size_t tidied;
    uint64_t sent, before; /* of this file; of those before, each twice: written and read */
    size_t writes;    /* without an answer yet */
    struct sha256 *hash;
    char *fault;      /* why the new file did not get its name */
    size_t unset;     /* files and folders whose permissions could not be set */
    char *unset_name; /* of the first */
};

void push_free(struct push *p)
{
    if (!p)
        return;
    sha256_abandon(p->hash);
    free(p->stage);
    free(p->fault);
    free(p->unset_name);
    free(p);
}

static char *temporary(const struct push *p, size_t i)
{
    return x_asprintf("%s/%zu", p->stage, i);
}

/* Where the old file of a part is meanwhile. */
static char *aside(const struct push *p)
{
    return x_asprintf("%s/%zu.old", p->stage, p->part);
}

char *push_between(struct sftp *f)
{
    enum push_step step = f->push->step;

    return step == PUSH_ASIDE || step == PUSH_REPLACE || step == PUSH_BACK ? aside(f->push) : NULL;
}

/* Where a part goes to. */
static char *target(const struct sftp *f, const struct copy_part *part)
{
    if (!f->push->into)
        return x_asprintf("%s%s", f->remote, part->path + strlen(f->what->name));
    return x_asprintf("%s%s%s", f->remote, strcmp(f->remote, "/") == 0 ? "" : "/", part->path);
}

static char *parent(const struct sftp *f)
{
    const char *slash = strrchr(f->remote, '/');

    if (f->push->into)
        return x_strdup(f->remote);
    if (!slash)
        return x_strdup(".");
    return slash == f->remote ? x_strdup("/") : x_strndup(f->remote, (size_t) (slash - f->remote));
}

static void tell(struct conn *c)
{
    const struct sftp *f = c->sftp;
    const struct push *p = f->push;
    uint64_t open = (uint64_t) p->writes * SFTP_CHUNK;
    uint64_t done = p->before + (p->sent > open ? p->sent - open : 0) + f->reads.came;

    session_progress(c->session, done / 2, f->what->bytes);
}

void push_begin(struct conn *c)
{
    struct sftp *f = c->sftp;

    f->push = x_calloc(1, sizeof *f->push);
    f->push->into = f->remote_slash || !*f->what->name;
    sftp_ask_path(f, FXP_STAT, f->remote);
}

static bool is_folder(struct answer *a)
{
    struct answer copy = *a;
    struct attrs t = {0};

    if (a->type == FXP_ATTRS)
        answer_attrs(&copy, &t);
    return !copy.bad && t.has_mode && (t.mode & 0170000) == 0040000;
}

/* --- staging --- */

static void make_stage(struct sftp *f)
{
    struct push *p = f->push;
    CLEANUP_FREE char *in = parent(f);
    char id[17];

    random_hex(id, 8);
    p->stage = x_asprintf("%s%s.muster-%s", in, strcmp(in, "/") == 0 ? "" : "/", id);
    p->stage_made = true;
    p->step = PUSH_STAGE;
    sftp_ask(f, FXP_MKDIR);
    wire_text(&f->wire, p->stage);
    wire_mode(&f->wire, PRIVATE);
    wire_end(&f->wire);
}

static void place_next(struct conn *c);

static void stage_next(struct conn *c)
{
    struct sftp *f = c->sftp;
    struct push *p = f->push;

    while (p->part < f->what->n && f->what->v[p->part].kind == PART_FOLDER)
        p->part++;
    if (p->part == f->what->n) {
        p->part = 0;
        place_next(c);
        return;
    }

    const struct copy_part *part = &f->what->v[p->part];
    CLEANUP_FREE char *name = temporary(p, p->part);

    p->staged = p->part + 1;
    if (part->kind == PART_LINK) {
        p->step = PUSH_LINK;
        sftp_ask(f, FXP_SYMLINK);
        wire_text(&f->wire, part->link); /* OpenSSH's order, which became everybody's */
        wire_text(&f->wire, name);
        wire_end(&f->wire);
        return;
    }
    p->step = PUSH_CREATE;
    sftp_ask(f, FXP_OPEN);
    wire_text(&f->wire, name);
    wire_u32(&f->wire, FXF_READ | FXF_WRITE | FXF_CREAT | FXF_EXCL);
    wire_mode(&f->wire, part->mode | 0600); /* nobody comes into that folder; some set it only here */
    wire_end(&f->wire);
}

static void write_more(struct conn *c)
{
    struct sftp *f = c->sftp;
    struct push *p = f->push;
    const struct copy_part *part = &f->what->v[p->part];
    char buf[SFTP_CHUNK];

    while (p->sent < part->size && p->writes < SFTP_REQUESTS && f->wire.out.len < WRITES_QUEUED) {
        uint64_t left = part->size - p->sent;
        size_t n = left < SFTP_CHUNK ? (size_t) left : SFTP_CHUNK;

        if (session_copy_read(c->session, buf, n, part->at + p->sent) != n) {
            sftp_end(c, COPY_EXIT_TAR, "%s: it cannot be read any more here", part->path);
            return;
        }
        sftp_ask_handle(f, FXP_WRITE);
        wire_u64(&f->wire, p->sent);
        wire_bytes(&f->wire, buf, n);
        wire_end(&f->wire);
        p->sent += n;
        p->writes++;
    }
    if (p->sent < part->size || p->writes)
        return;
    p->step = PUSH_ATTRS;
    sftp_ask_handle(f, FXP_FSETSTAT);
    wire_times(&f->wire, part->mode, part->mtime);
    wire_end(&f->wire);
}

/* Some have no attributes of what is open, some none at all: then the file has those of the server. */
static void by_name(struct sftp *f)
{
    const struct copy_part *part = &f->what->v[f->push->part];
    CLEANUP_FREE char *name = temporary(f->push, f->push->part);

    f->push->step = PUSH_SETSTAT;
    sftp_ask(f, FXP_SETSTAT);
    wire_text(&f->wire, name);
    wire_times(&f->wire, part->mode, part->mtime);
    wire_end(&f->wire);
}

static void note_unset(struct push *p, const struct copy_part *part)
{
    if (!p->unset++)
        p->unset_name = x_strdup(part->path);
}

static void check_more(struct conn *c)
{
    struct sftp *f = c->sftp;
    struct push *p = f->push;
    const struct copy_part *part = &f->what->v[p->part];
    uint8_t sum[SHA256_LEN];
    const char *data;
    size_t n;

    while ((data = reads_take(f, &n)) != NULL)
        sha256_add(p->hash, data, n);
    reads_ask(f);
    if (!reads_over(f))
        return;
    sha256_end(X_STEAL(p->hash), sum);
    if (memcmp(sum, part->sum, sizeof sum) != 0) {
        sftp_end(c, COPY_EXIT_SUM, "%s: what arrived is not what was sent", part->path);
        return;
    }
    p->before += 2 * part->size;
    p->sent = 0;
    reads_clear(f);
    p->step = PUSH_CLOSE;
    sftp_ask_handle(f, FXP_CLOSE);
    wire_end(&f->wire);
    free(X_STEAL(f->handle));
}

/* --- placing --- */

static void place_next(struct conn *c)
{
    struct sftp *f = c->sftp;
    struct push *p = f->push;

    p->placed = p->part;
    if (f->cancelled) {
        f->phase = SFTP_TIDY;
        return;
    }
    if (p->part < f->what->n) {
        CLEANUP_FREE char *to = target(f, &f->what->v[p->part]);

        p->step = PUSH_LOOK;
        sftp_ask_path(f, FXP_STAT, to);
        return;
    }
    p->step = PUSH_LEFT;
    p->stage_made = false;
    sftp_ask_path(f, FXP_RMDIR, p->stage);
}

static void ask_rename(struct sftp *f, enum push_step step, const char *from, const char *to)
{
    f->push->step = step;
    sftp_ask(f, f->posix_rename ? FXP_EXTENDED : FXP_RENAME);
    if (f->posix_rename)
        wire_text(&f->wire, "posix-rename@openssh.com");
    wire_text(&f->wire, from);
    wire_text(&f->wire, to);
    wire_end(&f->wire);
}

static void looked(struct conn *c, struct answer *a)
{
    struct sftp *f = c->sftp;
    const struct copy_part *part = &f->what->v[f->push->part];
    CLEANUP_FREE char *to = target(f, part);
    bool folder = is_folder(a);

    if (part->kind == PART_FOLDER && folder) {
        f->push->part++;
        place_next(c);
    } else if (part->kind == PART_FOLDER && a->type == FXP_ATTRS) {
        sftp_end(c, COPY_EXIT_PLACE, "%s is in the way: it is no folder", to);
    } else if (part->kind == PART_FOLDER) {
        f->push->step = PUSH_FOLDER;
        sftp_ask(f, FXP_MKDIR);
        wire_text(&f->wire, to);
        wire_mode(&f->wire, part->mode | PRIVATE);
        wire_end(&f->wire);
    } else if (folder) {
        sftp_end(c, COPY_EXIT_PLACE, "%s is in the way: it is a folder", to);
    } else {
        CLEANUP_FREE char *from = temporary(f->push, f->push->part);

        ask_rename(f, PUSH_RENAME, from, to);
    }
}

/* Plain version 3 need not replace by a rename. The moment without a file is the price of a server that has
 * no other way: the new one has been checked before, and the old one is kept until it is in its place. */
static void swap(struct conn *c, struct answer *a)
{
    struct sftp *f = c->sftp;
    struct push *p = f->push;
    CLEANUP_FREE char *to = target(f, &f->what->v[p->part]);
    CLEANUP_FREE char *new = temporary(p, p->part);
    CLEANUP_FREE char *old = aside(p);
    bool good = sftp_status(a) == FX_OK;

    switch (p->step) {
    case PUSH_RENAME:
        p->fault = sftp_why(to, a);
        ask_rename(f, PUSH_ASIDE, to, old);
        break;
    case PUSH_ASIDE:
        if (good)
            ask_rename(f, PUSH_REPLACE, new, to);
        else if (sftp_status(a) == FX_NO_SUCH_FILE) /* so that was not why */
            sftp_end(c, COPY_EXIT_MOVE, "%s", p->fault);
        else
            sftp_refused(c, COPY_EXIT_MOVE, to, a);
        break;
    case PUSH_REPLACE:
        free(X_STEAL(p->fault));
        if (!good)
            p->fault = sftp_why(to, a);
        if (good) {
            p->step = PUSH_OLD;
            sftp_ask_path(f, FXP_REMOVE, old);
        } else {
            ask_rename(f, PUSH_BACK, old, to);
        }
        break;
    case PUSH_BACK:
        sftp_end(c, COPY_EXIT_MOVE, "%s%s%s", p->fault, good ? "" : "; what was there is now ",
                 good ? "" : old);
        break;
    default: /* what is still there is told with the folder that it is in */
        p->part++;
        place_next(c);
        break;
    }
}

/* --- answers --- */

static void target_known(struct conn *c, struct answer *a)
{
    struct sftp *f = c->sftp;
    struct push *p = f->push;

    if (is_folder(a)) {
        p->into = true;
        make_stage(f);
    } else if (sftp_denied(a)) {
        sftp_refused(c, COPY_EXIT_WRITE, f->remote, a);
    } else if (p->into) {
        sftp_end(c, COPY_EXIT_PLACE, "%s: no such folder", f->remote);
    } else {
        CLEANUP_FREE char *up = parent(f);

        p->step = PUSH_PARENT;
        sftp_ask_path(f, FXP_STAT, up);
    }
}

/* A step of staging whose answer is good: what now? */
static void staged(struct conn *c, struct answer *a)
{
    struct sftp *f = c->sftp;
    struct push *p = f->push;
    const struct copy_part *part = &f->what->v[p->part];

    switch (p->step) {
    case PUSH_CREATE:
        if (!sftp_take_handle(f, a)) {
            sftp_refused(c, COPY_EXIT_TAR, part->path, a);
            return;
        }
        p->step = PUSH_WRITE;
        p->sent = 0;
        write_more(c);
        break;
    case PUSH_WRITE:
        p->writes--;
        write_more(c);
        break;
    case PUSH_ATTRS:
    case PUSH_SETSTAT:
        p->step = PUSH_CHECK;
        p->hash = sha256_new();
        reads_begin(f, part->size);
        check_more(c);
        break;
    case PUSH_STAGE:
        stage_next(c);
        break;
    default: /* closed, or a link made */
        p->part++;
        stage_next(c);
        break;
    }
    tell(c);
}

static void placing(struct conn *c, struct answer *a)
{
    struct sftp *f = c->sftp;
    struct push *p = f->push;
    const struct copy_part *part = &f->what->v[p->part];
    CLEANUP_FREE char *to = target(f, part);

    if (p->step == PUSH_MODE && sftp_status(a) == FX_UNSUPPORTED) {
        note_unset(p, part);
        p->part++;
        place_next(c);
    } else if (p->step == PUSH_RENAME && sftp_status(a) != FX_OK && !sftp_denied(a) && !f->posix_rename) {
        swap(c, a);
    } else if (sftp_status(a) != FX_OK) {
        sftp_refused(c, COPY_EXIT_MOVE, to, a);
    } else if (p->step == PUSH_FOLDER) {
        p->step = PUSH_MODE; /* the umask had a part in it */
        sftp_ask(f, FXP_SETSTAT);
        wire_text(&f->wire, to);
        wire_mode(&f->wire, part->mode | PRIVATE);
        wire_end(&f->wire);
    } else {
        p->part++;
        place_next(c);
    }
}

static void check_answer(struct conn *c, struct answer *a)
{
    struct sftp *f = c->sftp;

    if (reads_answer(f, a)) {
        check_more(c);
        tell(c);
    } else {
        sftp_refused(c, COPY_EXIT_SUM, f->what->v[f->push->part].path, a);
    }
}

/* Everything is in its place, and the folder of temporaries is gone, or stays. */
static void placed(struct conn *c, struct answer *a)
{
    struct sftp *f = c->sftp;
    const struct push *p = f->push;
    uint32_t status = sftp_status(a);

    if (p->unset)
        sftp_tell(c, "the server sets no permissions and times: %zu that came %s those it gives itself, "
                  "the first is %s", p->unset, p->unset == 1 ? "has" : "have", p->unset_name);
    if (status != FX_OK && status != FX_NO_SUCH_FILE) {
        CLEANUP_FREE char *why = sftp_why(p->stage, a);

        sftp_tell(c, "a folder of temporary files could not be removed: %s", why);
    }
    session_progress(c->session, f->what->bytes, f->what->bytes);
    sftp_end(c, 0, "%s, by sftp", f->what->text);
}

/* The attributes of a file were refused, in one of two ways. */
static void unset(struct conn *c, struct answer *a)
{
    struct push *p = c->sftp->push;
    const struct copy_part *part = &c->sftp->what->v[p->part];

    if (p->step == PUSH_ATTRS) {
        by_name(c->sftp);
    } else if (sftp_status(a) == FX_UNSUPPORTED) {
        note_unset(p, part);
        staged(c, a);
    } else {
        sftp_refused(c, COPY_EXIT_TAR, part->path, a);
    }
}

void push_answer(struct conn *c, struct answer *a)
{
    struct sftp *f = c->sftp;
    struct push *p = f->push;

    switch (p->step) {
    case PUSH_TARGET:
        target_known(c, a);
        break;
    case PUSH_PARENT: {
        CLEANUP_FREE char *up = parent(f);

        if (is_folder(a))
            make_stage(f);
        else if (sftp_denied(a))
            sftp_refused(c, COPY_EXIT_WRITE, up, a);
        else
            sftp_end(c, COPY_EXIT_PLACE, "%s: no such folder", up);
        break;
    }
    case PUSH_CHECK:
        check_answer(c, a);
        break;
    case PUSH_LOOK:
        looked(c, a);
        break;
    case PUSH_FOLDER:
    case PUSH_MODE:
    case PUSH_RENAME:
        placing(c, a);
        break;
    case PUSH_ASIDE:
    case PUSH_REPLACE:
    case PUSH_OLD:
    case PUSH_BACK:
        swap(c, a);
        break;
    case PUSH_LEFT:
        placed(c, a);
        break;
    default:
        if (sftp_status(a) == FX_OK) {
            staged(c, a);
        } else if (p->step == PUSH_ATTRS || p->step == PUSH_SETSTAT) {
            unset(c, a);
        } else if (p->step == PUSH_STAGE) {
            CLEANUP_FREE char *up = parent(f);

            p->stage_made = false;
            sftp_refused(c, COPY_EXIT_WRITE, up, a);
        } else {
            sftp_refused(c, COPY_EXIT_TAR, f->what->v[p->part].path, a);
        }
        break;
    }
}

void push_more(struct conn *c)
{
    if (c->sftp->push->step == PUSH_WRITE && c->sftp->push->sent)
        write_more(c);
}

bool push_tidy(struct sftp *f)
{
    struct push *p = f->push;

    if (!p->stage_made)
        return false;
    if (f->handle) { /* some servers keep what is open */
        sftp_ask_handle(f, FXP_CLOSE);
        wire_end(&f->wire);
        free(X_STEAL(f->handle));
    }
    p->tidied = p->tidied < p->placed ? p->placed : p->tidied;
    for (; p->tidied < p->staged; p->tidied++) {
        if (f->waiting >= TIDY_REQUESTS)
            return true;
        if (f->what->v[p->tidied].kind == PART_FOLDER)
            continue;

        CLEANUP_FREE char *name = temporary(p, p->tidied);

        sftp_ask_path(f, FXP_REMOVE, name);
    }
    sftp_ask_path(f, FXP_RMDIR, p->stage);
    p->stage_made = false;
    return true;
}
