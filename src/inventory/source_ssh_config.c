/* SPDX-License-Identifier: Apache-2.0 */
/* The source "ssh_config": the concrete Host names of the user's ssh_config and of what it
 * includes, in the group `ssh_config` and one group an included file. Only names are read here:
 * what they mean is ssh's own business. */
#include "source.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/vec.h"

#include <glob.h>
#include <string.h>
#include <unistd.h>

/* LIMIT: as deep as ssh itself goes; files bound what a careless glob can read. */
#define INCLUDE_DEPTH_MAX 16
#define INCLUDE_FILES_MAX 1000

struct found {
    char *name;
    char *group; /* base name of the included file; NULL: the file itself */
};

struct ssh_reader {
    struct inventory_watch *watch;
    struct found *v;
    size_t n, cap, files, bytes;
};

static int read_text(struct ssh_reader *r, const char *path, const char *group, const char *text,
                     unsigned depth, struct err *e);

static void found_add(struct ssh_reader *r, const char *name, const char *group)
{
    X_GROW(r->v, r->cap, r->n + 1);
    r->v[r->n++] = (struct found){x_strdup(name), x_strdup(group)};
}

/* Cuts the next argument from *p, as ssh does: quotes hold spaces, a # begins a comment. 1: there
 * was one, 0: none, negative: a quote has no end. */
static int next_arg(const char **p, struct strbuf *out, struct err *e)
{
    const char *s = *p;
    char quote = '\0';
    bool any = false;

    strbuf_reset(out);
    s += strspn(s, " \t");
    if (*s == '#' || *s == '\0')
        return 0;
    for (; *s && (quote || !strchr(" \t", *s)); s++) {
        any = true;
        if (*s == '\\' && (s[1] == '"' || s[1] == '\'' || s[1] == '\\'))
            strbuf_addch(out, *++s);
        else if (quote && *s == quote)
            quote = '\0';
        else if (!quote && (*s == '"' || *s == '\''))
            quote = *s;
        else
            strbuf_addch(out, *s);
    }
    *p = s;
    if (quote)
        return err_set(e, ERR_VALIDATION, "a quote (%c) has no end", quote);
    return any;
}

/* The group of an included file: its base name, without ".conf". */
static char *group_of(const char *path)
{
    const char *base = strrchr(path, '/');
    size_t n;

    base = base ? base + 1 : path;
    n = strlen(base);
    if (n > 5 && strcmp(base + n - 5, ".conf") == 0)
        n -= 5;
    return x_strndup(base, n);
}

static int read_included(struct ssh_reader *r, const char *path, unsigned depth, struct err *e)
{
    CLEANUP_FREE char *group = group_of(path);
    struct strbuf text;
    int rc;

    watch_file(r->watch, path);
    /* ssh itself passes over what it may not read, and so does this list of names. */
    if (access(path, R_OK) != 0)
        return 0;
    if (++r->files > INCLUDE_FILES_MAX)
        return err_set(e, ERR_VALIDATION, "more than %d files are included", INCLUDE_FILES_MAX);
    strbuf_init(&text, INVENTORY_FILE_MAX);
    rc = io_read_file(path, INVENTORY_FILE_MAX - r->bytes, &text, e);
    r->bytes += text.len;
    if (!rc)
        rc = read_text(r, path, group, text.s, depth + 1, e);
    strbuf_free(&text);
    return rc;
}

static int include(struct ssh_reader *r, const char *arg, unsigned depth, struct err *e)
{
    CLEANUP_FREE char *path = NULL;
    glob_t g = {0};
    int rc = 0;

    if (*arg == '~') {
        path = io_expand_tilde(arg);
    } else if (*arg == '/') {
        path = x_strdup(arg);
    } else {
        CLEANUP_FREE char *dir = io_expand_tilde("~/.ssh");
        path = io_join(dir, arg);
    }
    if (depth + 1 > INCLUDE_DEPTH_MAX)
        return err_set(e, ERR_VALIDATION, "Include goes more than %d files deep",
                       INCLUDE_DEPTH_MAX);
    watch_glob(r->watch, path);
    if (glob(path, 0, NULL, &g) == 0)
        for (size_t i = 0; !rc && i < g.gl_pathc; i++)
            rc = read_included(r, g.gl_pathv[i], depth, e);
    globfree(&g);
    return rc;
}

static int read_line(struct ssh_reader *r, const char *group, const char *line, unsigned depth,
                     struct err *e)
{
    struct strbuf arg;
    bool host, inc;
    size_t key;
    int more;

    line += strspn(line, " \t");
    key = strcspn(line, " \t=");
    host = key == 4 && strncasecmp(line, "Host", 4) == 0;
    inc = key == 7 && strncasecmp(line, "Include", 7) == 0;
    if (!host && !inc)
        return 0;
    line += key;
    line += strspn(line, " \t");
    if (*line == '=')
        line++;
    strbuf_init(&arg, 4096);
    while ((more = next_arg(&line, &arg, e)) > 0) {
        int rc = 0;
        if (inc)
            rc = include(r, arg.s, depth, e);
        else if (!strpbrk(arg.s, "*?!") && name_check("node", arg.s, NULL) == 0)
            found_add(r, arg.s, group);
        if (rc) {
            more = rc;
            break;
        }
    }
    strbuf_free(&arg);
    return more;
}

static int read_text(struct ssh_reader *r, const char *path, const char *group, const char *text,
                     unsigned depth, struct err *e)
{
    unsigned line = 1;

    for (const char *p = text; *p; line++) {
        size_t n = strcspn(p, "\n");
        CLEANUP_FREE char *one = x_strndup(p, n && p[n - 1] == '\r' ? n - 1 : n);
        int rc;
        rc = read_line(r, group, one, depth, e);
        if (rc) {
            err_prefix(e, "%s: line %u: ", path, line);
            return rc;
        }
        p += p[n] ? n + 1 : n;
    }
    return 0;
}

static int add_found(struct build *b, const struct found *f, struct err *e)
{
    uint32_t all, node, group;
    int rc = build_group(b, "ssh_config", &all, e);

    if (!rc)
        rc = build_node(b, f->name, &node, e);
    if (rc)
        return rc;
    build_group_node(b, all, node);
    if (!f->group || name_check("group", f->group, NULL) != 0)
        return 0;
    rc = build_group(b, f->group, &group, e);
    if (!rc)
        build_group_node(b, group, node);
    return rc;
}

/* Everything is read before anything is added, so a broken file adds nothing. */
static int ssh_config_load(struct build *b, const struct source_input *in, struct err *e)
{
    struct ssh_reader r = {.watch = b->watch, .bytes = in->n};
    int rc = read_text(&r, in->path, NULL, in->text, 0, e);

    for (size_t i = 0; !rc && i < r.n; i++)
        rc = add_found(b, &r.v[i], e);
    for (size_t i = 0; i < r.n; i++) {
        free(r.v[i].name);
        free(r.v[i].group);
    }
    free(r.v);
    return rc;
}

const struct inventory_source_ops source_ssh_config = {
    .name = "ssh_config",
    .load = ssh_config_load,
};
