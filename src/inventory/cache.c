/* SPDX-License-Identifier: Apache-2.0 */
/* The copies of what programs gave: which serves, and when it is made anew. See cache.h. */
#include "cache.h"

#include "ansible.h"
#include "run.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/inventory/inventory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT "muster-inventory 2"
#define AGAIN_MS 60000      /* until a refresh that failed is tried again */
#define STAMP_FILES_MAX 2000 /* LIMIT: files of a folder whose times are looked at */
#define STAMP_DEPTH_MAX 6

struct cache {
    struct build *b;
    const struct inventory_source_ops *ops;
    const struct source_input *in;
    const struct cache_options *o;
    char *file, *why_file, *lock_file;
    char stamp[17]; /* of what it is made from, as it is now */
    struct strbuf text;
    const char *body;   /* in text: the records of the copy, or NULL: there is none */
    int64_t saved_ms;
    bool same;          /* the copy has the stamp of now */
};

/* --- what it is made from --- */

static void stamp_file(struct cache *c, struct sha256 *h, const char *path, unsigned depth,
                       unsigned *left)
{
    struct stat st;
    struct dirent *d;
    DIR *dir;

    if (*left == 0 || stat(path, &st) != 0)
        return;
    --*left;
    watch_file(c->b->watch, path);
    sha256_add(h, path, strlen(path) + 1);
    sha256_add(h, &st.st_mtim, sizeof st.st_mtim);
    sha256_add(h, &st.st_size, sizeof st.st_size);
    sha256_add(h, &st.st_ino, sizeof st.st_ino);
    if (!S_ISDIR(st.st_mode) || depth >= STAMP_DEPTH_MAX || !(dir = opendir(path)))
        return;
    while ((d = readdir(dir))) {
        CLEANUP_FREE char *inner = io_join(path, d->d_name);
        if (d->d_name[0] != '.')
            stamp_file(c, h, inner, depth + 1, left);
    }
    closedir(dir);
}

/* Ansible reads the variables beside an inventory too. */
static void stamp_beside(struct cache *c, struct sha256 *h, const char *path, unsigned *left)
{
    static const char *const names[] = {"group_vars", "host_vars"};
    CLEANUP_FREE char *dir = io_dirname(path), *whole = realpath(dir, NULL);

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        CLEANUP_FREE char *beside = io_join(whole ? whole : dir, names[i]);
        stamp_file(c, h, beside, 0, left);
    }
}

/* Sources that read Ansible's configuration. */
static bool is_configured(const struct cache *c)
{
    return c->ops == &source_ansible || c->ops == &source_script;
}

static void make_stamp(struct cache *c)
{
    struct sha256 *h = sha256_new();
    unsigned left = STAMP_FILES_MAX;
    uint8_t sum[SHA256_LEN];

    for (const char *p = c->ops->no_file ? "" : c->in->path; *p;) {
        size_t n = strcspn(p, ",");
        CLEANUP_FREE char *one = x_strndup(p, n), *whole = realpath(one, NULL);
        stamp_file(c, h, whole ? whole : one, 0, &left); /* one file, however it is named */
        stamp_beside(c, h, one, &left);
        p += n + (p[n] == ',');
    }
    if (is_configured(c)) {
        CLEANUP_FREE char *config = ansible_config_path(c->in->etc_dir ? c->in->etc_dir : "/etc",
                                                        !c->in->found, c->b->watch, NULL);
        if (config)
            stamp_file(c, h, config, 0, &left);
    }
    sha256_end(h, sum);
    for (size_t i = 0; i < 8; i++)
        snprintf(c->stamp + 2 * i, 3, "%02x", sum[i]);
}

static void add_text(struct sha256 *h, const char *s)
{
    sha256_add(h, s ? s : "", s ? strlen(s) + 1 : 1);
}

static void make_names(struct cache *c)
{
    CLEANUP_FREE char *cwd = c->in->found ? NULL : realpath(".", NULL);
    CLEANUP_FREE char *full = c->ops->no_file ? NULL : realpath(c->in->path, NULL);
    struct sha256 *h = sha256_new();
    uint8_t sum[SHA256_LEN];
    char hex[33];

    add_text(h, FORMAT);
    add_text(h, c->ops->name);
    add_text(h, full ? full : c->in->path);
    add_text(h, cwd);
    add_text(h, getenv("ANSIBLE_CONFIG"));
    for (size_t i = 0; is_configured(c) && ansible_config_env(i); i++)
        add_text(h, getenv(ansible_config_env(i)));
    sha256_end(h, sum);
    for (size_t i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    c->file = x_asprintf("%s/%s.cache", c->o->dir, hex);
    c->why_file = x_asprintf("%s/%s.why", c->o->dir, hex);
    c->lock_file = x_asprintf("%s/%s.lock", c->o->dir, hex);
}

/* --- the file --- */

/* Only a file of ours that no one else can write is believed. */
static bool read_own_file(const char *path, struct strbuf *out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool good = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
                st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH)) &&
                io_read_fd(fd, INVENTORY_FILE_MAX, out, NULL) == 0;

    if (fd >= 0)
        close(fd);
    return good;
}

/* First line: the format, the time, the stamp. */
static void read_copy(struct cache *c)
{
    const char *nl;
    char stamp[17] = "";

    strbuf_reset(&c->text);
    c->body = NULL;
    if (!read_own_file(c->file, &c->text))
        return;
    nl = strchr(c->text.s, '\n');
    if (!nl || sscanf(c->text.s, FORMAT " %" SCNd64 " %16s", &c->saved_ms, stamp) != 2)
        return;
    c->body = nl + 1;
    c->same = strcmp(stamp, c->stamp) == 0;
}

static int write_own_file(const char *path, const char *head, const struct strbuf *body)
{
    CLEANUP_FREE char *tmp = x_asprintf("%s.XXXXXX", path);
    int fd = mkostemp(tmp, O_CLOEXEC), rc;

    if (fd < 0)
        return -errno;
    rc = io_write_all(fd, head, strlen(head));
    if (rc == 0 && body)
        rc = io_write_all(fd, body->s, body->len);
    if (close(fd) != 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(tmp, path) != 0)
        rc = -errno;
    if (rc != 0)
        unlink(tmp);
    return rc;
}

/* --- making it anew --- */

/* First line: when. */
static void write_why(const struct cache *c, const char *why)
{
    CLEANUP_FREE char *text = x_asprintf("%" PRId64 "\n%s", wall_ms(clock_system()), why);

    write_own_file(c->why_file, text, NULL);
}

/* Runs the program into a builder of its own, so that half of an answer never serves. */
static int run_source(struct cache *c, struct strbuf *body, struct err *e)
{
    struct inventory_watch *none = watch_new();
    struct build own;
    int rc;

    build_init(&own, none);
    build_source(&own, c->ops->name, c->in->path, false);
    rc = c->ops->load(&own, c->in, e);
    if (!rc)
        cache_write(&own, body);
    if (!rc && body->truncated)
        rc = err_set(e, ERR_VALIDATION, "%s: the inventory is larger than %zu MiB", c->in->path,
                     INVENTORY_FILE_MAX >> 20);
    build_clear(&own);
    inventory_watch_free(none);
    return rc;
}

static int lock(const struct cache *c)
{
    int fd = open(c->lock_file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    while (fd >= 0 && flock(fd, LOCK_EX) != 0 && errno == EINTR)
        continue;
    return fd;
}

static char *last_failure(const struct cache *c, int64_t *when);

/* Whoever waited for another process that did the same uses what that one has made, or why it has not: a
 * program that hangs is not waited for by one after the other. */
static int renew(struct cache *c, struct err *e)
{
    int64_t asked_ms = wall_ms(clock_system());
    int64_t failed_ms = 0;
    int made = io_mkdirs(c->o->dir, 0700), fd = made == 0 ? lock(c) : -1, rc;
    CLEANUP_FREE char *head = NULL, *why = fd >= 0 ? last_failure(c, &failed_ms) : NULL;
    struct strbuf body;

    read_copy(c);
    if (c->body && c->same && c->saved_ms > asked_ms) {
        close(fd);
        return 0;
    }
    if (why && failed_ms > asked_ms) {
        close(fd);
        return err_set(e, ERR_VALIDATION, "%s", why);
    }
    strbuf_init(&body, INVENTORY_FILE_MAX);
    rc = run_source(c, &body, e);
    if (rc == 0) {
        c->saved_ms = wall_ms(clock_system());
        head = x_asprintf(FORMAT " %" PRId64 " %s\n", c->saved_ms, c->stamp);
        made = write_own_file(c->file, head, &body);
        if (made != 0)
            build_warn(c->b, "no copy of it can be kept in %s (%s): its program runs each time",
                       c->o->dir, strerror(-made));
        unlink(c->why_file);
        strbuf_reset(&c->text);
        strbuf_add(&c->text, body.s, body.len);
        c->body = c->text.s;
        c->same = true;
    } else if (e && e->msg) {
        write_why(c, e->msg);
    }
    strbuf_free(&body);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* The copy serves although the program failed; *why is owned by the caller. */
static void mark_stale(struct cache *c, const char *why, int64_t now)
{
    struct fleet_source *s = build_current(c->b);
    char age[24];

    s->state = SOURCE_STALE;
    free(s->error);
    s->error = x_asprintf("the copy of %s ago serves: %s", text_duration(now - c->saved_ms, age),
                          why);
    s->due_ms = now + AGAIN_MS;
}

/* Why the last try to make it anew has failed: each success takes that file away. */
static char *last_failure(const struct cache *c, int64_t *when)
{
    struct strbuf text;
    char *why = NULL;
    const char *nl;

    strbuf_init(&text, 65536);
    if (read_own_file(c->why_file, &text) && (nl = strchr(text.s, '\n')) &&
        sscanf(text.s, "%" SCNd64, when) == 1)
        why = x_strdup(nl + 1);
    strbuf_free(&text);
    return why;
}

static int serve(struct cache *c, struct err *e)
{
    struct fleet_source *s = build_current(c->b);
    int rc = cache_read(c->b, c->body, c->text.len - (size_t) (c->body - c->text.s), e);

    if (rc) {
        unlink(c->file);
        err_prefix(e, "%s was damaged and is gone now, try again: ", c->file);
    }
    s->loaded_ms = c->saved_ms;
    if (s->state == SOURCE_OK)
        s->due_ms = c->saved_ms + c->o->ttl_ms;
    return rc;
}

static int load(struct cache *c, struct err *e)
{
    int64_t now = wall_ms(clock_system()), failed_ms = 0;
    struct err why = ERR_INIT;
    bool run;
    int rc;

    make_stamp(c);
    make_names(c);
    read_copy(c);
    run = c->o->refresh || !c->body || !c->same || c->saved_ms > now + 1000;
    if (run && renew(c, &why) != 0) {
        if (!c->body) {
            rc = err_set(e, why.code, "%s", why.msg);
            err_clear(&why);
            return rc;
        }
        mark_stale(c, why.msg, now);
    } else if (!run) {
        CLEANUP_FREE char *text = last_failure(c, &failed_ms);
        if (text) {
            mark_stale(c, text, now);
            build_current(c->b)->due_ms = failed_ms + AGAIN_MS;
        }
    }
    err_clear(&why);
    watch_file(c->b->watch, c->file);
    watch_file(c->b->watch, c->why_file);
    if (!run) { /* what is read after the watch began cannot be older than it */
        read_copy(c);
        if (!c->body)
            return err_set(e, ERR_VALIDATION, "%s has just gone; try again", c->file);
    }
    return serve(c, e);
}

int cache_load(struct build *b, const struct inventory_source_ops *ops,
               const struct source_input *in, const struct cache_options *o, struct err *e)
{
    struct cache c = {.b = b, .ops = ops, .in = in, .o = o};
    int rc;

    strbuf_init(&c.text, 2 * INVENTORY_FILE_MAX);
    rc = load(&c, e);
    strbuf_free(&c.text);
    free(c.file);
    free(c.why_file);
    free(c.lock_file);
    return rc;
}
