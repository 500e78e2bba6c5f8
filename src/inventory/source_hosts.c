/* SPDX-License-Identifier: Apache-2.0 */
/* The source "hosts": a plain file as pssh and pdsh read it, `[user@]host[:port]` a line, ranges
 * and comma lists allowed, # comments.
 *
 * A node is named after its host. Where a file has one host with several ports or users, each of
 * these lines is a node of its own, named as it is written ("10.0.0.1:2201"), so that none hides
 * another. */
#include "source.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strmap.h"
#include "muster/core/nodeset.h"

#include <string.h>

struct host_line {
    char *user, *host, *port; /* user and port may be NULL */
    unsigned line;
};

struct host_file {
    const char *path, *part;
    struct host_line *v;
    size_t n, cap;
    struct strmap *first; /* host -> index of its first line, or CONFLICT */
};
#define CONFLICT ((intptr_t) -1)

static bool same_text(const char *a, const char *b)
{
    return a ? b && strcmp(a, b) == 0 : !b;
}

static int add_host(struct host_file *h, const char *user, const char *host, const char *port,
                    unsigned line, struct err *e)
{
    intptr_t first;

    if (h->n >= INVENTORY_NODES_MAX)
        return err_set(e, ERR_VALIDATION, "more than %zu hosts", INVENTORY_NODES_MAX);
    if (strmap_get_num(h->first, host, &first)) {
        if (first != CONFLICT && same_text(h->v[first].user, user) &&
            same_text(h->v[first].port, port))
            return 0;
        strmap_set_num(h->first, host, CONFLICT);
    } else {
        strmap_set_num(h->first, host, (intptr_t) h->n);
    }
    X_GROW(h->v, h->cap, h->n + 1);
    h->v[h->n++] = (struct host_line){x_strdup(user), x_strdup(host), x_strdup(port), line};
    return 0;
}

/* Cuts ":port" off. A bare IPv6 address has more than one colon and no port; in brackets it may
 * have one, and the brackets go. */
static int cut_port(char **host, char **port, struct err *e)
{
    char *s = *host, *colon, *close = strchr(s, ']');

    *port = NULL;
    if (*s == '[' && close && memchr(s, ':', (size_t) (close - s))) {
        if (close[1] != '\0' && close[1] != ':')
            return err_set(e, ERR_VALIDATION,
                           "\"%s\" is no host: after \"]\" only \":PORT\" may follow", s);
        if (close[1] == ':')
            *port = close + 2;
        *close = '\0';
        *host = s + 1;
        return 0;
    }
    colon = strchr(s, ':');
    if (!colon || strchr(colon + 1, ':'))
        return 0;
    *colon = '\0';
    *port = colon + 1;
    return 0;
}

static int read_piece(struct host_file *h, char *piece, unsigned line, struct err *e)
{
    struct nodeset *names;
    struct settings check;
    char *at = strrchr(piece, '@'), *host = piece, *user = NULL, *port;
    int rc;

    if (at) {
        *at = '\0';
        user = piece;
        host = at + 1;
        if (*user == '\0')
            return err_set(e, ERR_VALIDATION, "no user before \"@%s\"", host);
    }
    rc = cut_port(&host, &port, e);
    if (!rc && *host == '\0')
        rc = err_set(e, ERR_VALIDATION, "no host before the port");
    settings_init(&check);
    if (!rc && port)
        rc = setting_set(&check, SETTING_PORT, port, e);
    if (!rc && user)
        rc = setting_set(&check, SETTING_USER, user, e);
    settings_clear(&check);
    if (rc)
        return rc;
    names = nodeset_new();
    rc = names_expand(names, host, e);
    for (size_t i = 0; !rc && i < nodeset_count(names); i++)
        rc = add_host(h, user, nodeset_at(names, i), port, line, e);
    nodeset_free(names);
    return rc;
}

/* What follows the first word without a comma between them, or NULL. */
static const char *second_word(const char *text)
{
    for (const char *s = text; (s = strpbrk(s, " \t"));) {
        const char *next = s + strspn(s, " \t");
        if (s > text && s[-1] != ',' && *next != ',')
            return next;
        s = next;
    }
    return NULL;
}

static int read_line(struct host_file *h, const char *text, unsigned line, struct err *e)
{
    const char *second = second_word(text);
    int rc = 0;
    char *piece;

    if (second)
        return err_set(e, ERR_VALIDATION,
                       "one host a line is allowed ([user@]host[:port]), but after it comes \"%s\"",
                       second);
    while (!rc && (piece = names_next(&text))) {
        rc = read_piece(h, piece, line, e);
        free(piece);
    }
    return rc;
}

/* A comment starts at a # that begins the line or follows a space. */
static void cut_comment(char *line)
{
    size_t n;

    for (char *s = line; *s; s++) {
        if (*s == '#' && (s == line || s[-1] == ' ' || s[-1] == '\t')) {
            *s = '\0';
            break;
        }
    }
    n = strlen(line);
    while (n && strchr(" \t\r", line[n - 1]))
        line[--n] = '\0';
}

static int read_lines(struct host_file *h, const struct source_input *in, struct err *e)
{
    const char *p = in->text, *end = in->text + in->n;
    unsigned line = 1;
    int rc = 0;

    for (; !rc && p < end; line++) {
        const char *nl = memchr(p, '\n', (size_t) (end - p));
        size_t n = (size_t) ((nl ? nl : end) - p);
        CLEANUP_FREE char *text = x_strndup(p, n);
        if (memchr(p, '\0', n)) {
            rc = err_set(e, ERR_VALIDATION, "holds a NUL byte: this is no text file");
        } else {
            cut_comment(text);
            rc = read_line(h, text + strspn(text, " \t"), line, e);
        }
        if (rc)
            err_prefix(e, "%s: %s %u: ", h->path, h->part, line);
        p += n + 1;
    }
    return rc;
}

static int make_node(struct build *b, const struct host_file *h, const struct host_line *l,
                     struct err *e)
{
    intptr_t first = CONFLICT;
    struct entry *own;
    uint32_t at;
    int rc;

    strmap_get_num(h->first, l->host, &first);
    if (first == CONFLICT && (l->user || l->port)) {
        bool v6 = l->port && strchr(l->host, ':');
        CLEANUP_FREE char *name =
            x_asprintf("%s%s%s%s%s%s%s", l->user ? l->user : "", l->user ? "@" : "",
                       v6 ? "[" : "", l->host, v6 ? "]" : "", l->port ? ":" : "",
                       l->port ? l->port : "");
        rc = build_node(b, name, &at, e);
    } else {
        rc = build_node(b, l->host, &at, e);
    }
    if (rc)
        return rc;
    own = &b->nodes[at].own;
    if (strcmp(b->nodes[at].name, l->host) != 0) {
        own->any_set = true;
        rc = setting_set(&own->set, SETTING_HOST, l->host, e);
    }
    if (!rc && l->port) {
        own->any_set = true;
        rc = setting_set(&own->set, SETTING_PORT, l->port, e);
    }
    if (!rc && l->user) {
        own->any_set = true;
        rc = setting_set(&own->set, SETTING_USER, l->user, e);
    }
    if (rc)
        err_prefix(e, "%s: %s %u: ", h->path, h->part, l->line);
    return rc;
}

static int hosts_load(struct build *b, const struct source_input *in, struct err *e)
{
    struct host_file h = {.path = in->path, .part = in->part ? in->part : "line",
                          .first = strmap_new()};
    int rc = read_lines(&h, in, e);

    for (size_t i = 0; !rc && i < h.n; i++)
        rc = make_node(b, &h, &h.v[i], e);
    for (size_t i = 0; i < h.n; i++) {
        free(h.v[i].user);
        free(h.v[i].host);
        free(h.v[i].port);
    }
    free(h.v);
    strmap_free(h.first);
    return rc;
}

/* Whatever no other source takes. */
static bool hosts_sniff(const struct source_input *in)
{
    return true;
}

const struct inventory_source_ops source_hosts = {
    .name = "hosts",
    .sniff = hosts_sniff,
    .load = hosts_load,
    .is_explicit = true,
};
