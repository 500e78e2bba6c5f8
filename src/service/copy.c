/* SPDX-License-Identifier: Apache-2.0 */
/* The request of a copy: checking it, its text, its place in the store, and what a batch of it runs. */
#include "copy.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/text.h"
#include "muster/core/batch.h"
#include "muster/core/json.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORD_PLAIN                                                                             \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%~"

void copy_request_clear(struct copy_request *c)
{
    strv_clear(&c->local);
    free(c->remote);
    free(c->action);
    memset(c, 0, sizeof *c);
}

static void add_word(struct strbuf *b, const char *s)
{
    strbuf_addch(b, ' ');
    if (*s && strspn(s, WORD_PLAIN) == strlen(s))
        strbuf_adds(b, s);
    else
        text_sh_quote(b, s);
}

/* As it was typed: push a.conf 'b c' /etc/app/ */
static char *action_text(bool pull, const char *const *local, size_t n, const char *remote)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    strbuf_adds(&b, pull ? "pull" : "push");
    if (pull)
        add_word(&b, remote);
    for (size_t i = 0; i < n; i++)
        add_word(&b, local[i]);
    if (!pull)
        add_word(&b, remote);
    return strbuf_steal(&b);
}

/* --- checking --- */

static int check_name(const char *what, const char *name, struct err *e)
{
    CLEANUP_FREE char *clean = text_clean(name);
    if (!name || !*name)
        return err_set(e, ERR_VALIDATION, "%s is empty", what);
    if (strchr(name, '\n') || !utf8_valid(name, strlen(name)))
        return err_set(e, ERR_VALIDATION, "%s %s: a newline, or what is not UTF-8, cannot stand in a "
                       "name given here: give its folder", what, clean);
    return 0;
}

static int check_folder(const char *dir, struct err *e)
{
    struct stat st;
    CLEANUP_FREE char *clean = text_clean(dir);
    if (stat(dir, &st) == 0 && !S_ISDIR(st.st_mode))
        return err_set(e, ERR_VALIDATION, "%s is no folder: name one that takes what comes", clean);
    if (access(dir, W_OK | X_OK) == 0)
        return 0;
    if (errno != ENOENT)
        return err_set(e, ERR_VALIDATION, "cannot write into %s: %s", clean, strerror(errno));
    /* It will be made; that is possible where the next one above it can be written. */
    CLEANUP_FREE char *up = x_strdup(dir);
    while (access(up, F_OK) != 0 && strcmp(up, "/") != 0 && strcmp(up, ".") != 0) {
        char *next = io_dirname(up);
        free(up);
        up = next;
    }
    if (access(up, W_OK | X_OK) != 0)
        return err_set(e, ERR_VALIDATION, "cannot make %s: %s", clean, strerror(errno));
    return 0;
}

int copy_check(const struct copy_request *c, struct err *e)
{
    int rc = check_name("REMOTE", c->remote, e);
    for (size_t i = 0; i < c->local.n && rc == 0; i++)
        rc = check_name(c->pull ? "LOCALDIR" : "LOCAL", c->local.v[i], e);
    if (rc != 0)
        return rc;
    if (c->local.n == 0 || (c->pull && c->local.n != 1))
        return err_set(e, ERR_VALIDATION, c->pull ? "a pull has one folder here that takes what comes"
                                                  : "nothing to push: name a file or a folder");
    if (c->pull)
        return check_folder(c->local.v[0], e);
    struct copy_list l;
    rc = copy_walk(&c->local, &l, e);
    if (rc == 0)
        copy_list_clear(&l);
    return rc;
}

/* What is in the archive, for who sends it file by file. */
static struct copy_files *files_of(const struct copy_request *c, const struct copy_list *l)
{
    struct copy_files *f = copy_files_new(false, c->remote);
    f->name = x_strdup(l->tops == 1 ? l->v[0].name : "");
    f->text = copy_count_text(l->files, l->bytes);
    f->bytes = l->bytes;
    for (size_t i = 0; i < l->n; i++) {
        const struct copy_item *x = &l->v[i];
        struct copy_part *p = copy_files_add(f, x->link              ? PART_LINK
                                                : S_ISDIR(x->mode) ? PART_FOLDER
                                                                   : PART_FILE, x->name);
        p->link = x_strdup(x->link);
        p->mode = x->mode & 0777;
        p->mtime = x->mtime;
        p->size = x->size;
        p->at = x->at;
        memcpy(p->sum, x->sum, sizeof p->sum);
    }
    return f;
}

int copy_prepare(const struct copy_request *c, char **command, int *stdin_fd,
                 struct copy_files **files, struct err *e)
{
    *stdin_fd = 0;
    if (c->pull) {
        *files = copy_files_new(true, c->remote);
        *command = copy_pull_script(c);
        return 0;
    }
    struct copy_list l;
    uint64_t size;
    int rc = copy_walk(&c->local, &l, e);
    if (rc != 0)
        return rc;
    rc = copy_pack(&l, &size, e);
    if (rc >= 0) {
        *stdin_fd = rc;
        *command = copy_push_script(c, &l);
        *files = files_of(c, &l);
        rc = 0;
    }
    copy_list_clear(&l);
    return rc;
}

/* --- the store --- */

struct json *copy_encode(const struct copy_request *c)
{
    struct json *o = json_object(), *local = json_array();
    for (size_t i = 0; i < c->local.n; i++)
        json_add_str(local, c->local.v[i]);
    json_put_str(o, "direction", c->pull ? "pull" : "push");
    json_put(o, "local", local);
    json_put_str(o, "remote", c->remote);
    if (c->max_bytes)
        json_put_int(o, "maxBytes", (int64_t) c->max_bytes);
    return o;
}

bool copy_decode(const struct json *o, struct copy_request *c)
{
    const char *direction = json_str(json_get(o, "direction"));
    const char *remote = json_str(json_get(o, "remote"));
    const struct json *local = json_get(o, "local");
    memset(c, 0, sizeof *c);
    if (!direction || !remote || !local || json_type(local) != JSON_ARRAY)
        return false;
    c->pull = strcmp(direction, "pull") == 0;
    c->remote = x_strdup(remote);
    for (size_t i = 0; i < json_len(local); i++)
        if (json_str(json_at(local, i)))
            strv_push(&c->local, json_str(json_at(local, i)));
    c->max_bytes = (uint64_t) json_int(json_get(o, "maxBytes"));
    return true;
}

/* Typed names stay true when the batch is run again from another folder. */
int copy_request_make(struct copy_request *c, bool pull, const char *const *local, size_t n,
                      const char *remote, struct err *e)
{
    memset(c, 0, sizeof *c);
    int rc = check_name("REMOTE", remote, e);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = check_name(pull ? "LOCALDIR" : "LOCAL", local[i], e);
    if (rc != 0)
        return rc;
    c->pull = pull;
    c->remote = x_strdup(remote);
    c->action = action_text(pull, local, n, remote);
    CLEANUP_FREE char *here = getcwd(NULL, 0);
    for (size_t i = 0; i < n; i++) {
        if (*local[i] && *local[i] != '/' && !here) {
            copy_request_clear(c);
            return err_set(e, ERR_VALIDATION, "the current folder is gone: give %s from / on",
                           local[i]);
        }
        strv_push_own(&c->local, *local[i] == '/' || !*local[i] ? x_strdup(local[i])
                                                                : io_join(here, local[i]));
    }
    return 0;
}
