/* SPDX-License-Identifier: Apache-2.0 */
/* YAML by libyaml, event by event, into a tree that knows its lines.
 *
 * An alias is followed by copying what its anchor holds, so that every node has one owner. The
 * limit on nodes counts copies, which is what stops a file of aliases of aliases. */
#include "muster/core/yaml.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/strmap.h"
#include "muster/base/text.h"

#include <yaml.h>

#include <string.h>
#include <strings.h>

#define DEPTH_MAX 64
#define NODES_MAX 1000000
#define BYTES_MAX ((size_t) 64 << 20) /* LIMIT: of all scalars, copies by aliases included */

struct reader {
    yaml_parser_t parser;
    const char *name;
    struct err *e;
    struct strmap *anchors; /* name -> node, borrowed from the tree */
    size_t n_nodes, n_bytes;
    int depth;
};

static int fail_at(struct reader *r, yaml_mark_t mark, const char *what)
{
    return err_set(r->e, ERR_VALIDATION, "%s: line %lu, column %lu: %s", r->name,
                   (unsigned long) mark.line + 1, (unsigned long) mark.column + 1, what);
}

static int fail_scan(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;

    if (p->error == YAML_READER_ERROR)
        return err_set(r->e, ERR_VALIDATION, "%s: byte %lu: %s", r->name,
                       (unsigned long) p->problem_offset + 1, p->problem);
    return fail_at(r, p->problem_mark, p->problem ? p->problem : "this is not YAML");
}

static void tree_free(struct yaml_node *node)
{
    if (!node)
        return;
    for (size_t i = 0; i < node->n; i++) {
        tree_free(node->items[i]);
        if (node->keys)
            tree_free(node->keys[i]);
    }
    free(node->items);
    free(node->keys);
    free(node->scalar);
    free(node);
}

void yaml_free(struct yaml_node *root)
{
    tree_free(root);
}

/* scalar is copied; NULL for what is none. */
static struct yaml_node *new_node(struct reader *r, enum yaml_kind kind, const char *scalar,
                                  yaml_mark_t mark)
{
    struct yaml_node *node;

    r->n_bytes += scalar ? strlen(scalar) : 0;
    if (++r->n_nodes > NODES_MAX || r->n_bytes > BYTES_MAX) {
        fail_at(r, mark, "it has more than 1,000,000 values or 64 MiB, aliases followed");
        return NULL;
    }
    node = x_calloc(1, sizeof *node);
    node->kind = kind;
    node->scalar = x_strdup(scalar);
    node->line = (unsigned) mark.line + 1;
    node->col = (unsigned) mark.column + 1;
    return node;
}

/* Items grow by doubling; the room is known from n alone. */
static void append(struct yaml_node *parent, struct yaml_node *key, struct yaml_node *value)
{
    size_t n = parent->n;

    if (!(n & (n - 1))) {
        parent->items = x_array(parent->items, n ? n * 2 : 1, sizeof(struct yaml_node *));
        if (parent->kind == YAML_MAPPING)
            parent->keys = x_array(parent->keys, n ? n * 2 : 1, sizeof(struct yaml_node *));
    }
    parent->items[n] = value;
    if (key)
        parent->keys[n] = key;
    parent->n++;
}

static struct yaml_node *copy_tree(struct reader *r, const struct yaml_node *from,
                                   yaml_mark_t mark, int depth)
{
    struct yaml_node *node;

    if (depth > DEPTH_MAX) {
        fail_at(r, mark, "it is nested more than 64 levels deep");
        return NULL;
    }
    node = new_node(r, from->kind, from->scalar, mark);
    if (!node)
        return NULL;
    node->line = from->line;
    node->col = from->col;
    node->plain = from->plain;
    node->style = from->style;
    for (size_t i = 0; i < from->n; i++) {
        struct yaml_node *key = NULL, *value;

        if (from->keys && !(key = copy_tree(r, from->keys[i], mark, depth + 1)))
            break;
        value = copy_tree(r, from->items[i], mark, depth + 1);
        if (!value) {
            tree_free(key);
            break;
        }
        append(node, key, value);
    }
    if (node->n == from->n)
        return node;
    tree_free(node);
    return NULL;
}

static struct yaml_node *read_node(struct reader *r, yaml_event_t *ev);

/* The next event into *ev; false and an error when there is none. */
static bool next_event(struct reader *r, yaml_event_t *ev)
{
    if (yaml_parser_parse(&r->parser, ev))
        return true;
    fail_scan(r);
    return false;
}

static enum yaml_style style_of(yaml_scalar_style_t style)
{
    switch (style) {
    case YAML_SINGLE_QUOTED_SCALAR_STYLE:
        return YAML_STYLE_SINGLE;
    case YAML_DOUBLE_QUOTED_SCALAR_STYLE:
        return YAML_STYLE_DOUBLE;
    case YAML_FOLDED_SCALAR_STYLE:
        return YAML_STYLE_FOLDED;
    case YAML_LITERAL_SCALAR_STYLE:
        return YAML_STYLE_BLOCK;
    default:
        return YAML_STYLE_PLAIN;
    }
}

static struct yaml_node *read_scalar(struct reader *r, const yaml_event_t *ev)
{
    const char *s = (const char *) ev->data.scalar.value;
    struct yaml_node *node;

    if (memchr(s, '\0', ev->data.scalar.length)) {
        fail_at(r, ev->start_mark, "a value holds a NUL");
        return NULL;
    }
    node = new_node(r, YAML_SCALAR, s, ev->start_mark);
    if (!node)
        return NULL;
    node->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->style = style_of(ev->data.scalar.style);
    return node;
}

static struct yaml_node *read_alias(struct reader *r, const yaml_event_t *ev)
{
    void *to;

    if (!strmap_get(r->anchors, (const char *) ev->data.alias.anchor, &to)) {
        fail_at(r, ev->start_mark, "this alias has no anchor before it");
        return NULL;
    }
    return copy_tree(r, to, ev->start_mark, r->depth);
}

static int read_items(struct reader *r, struct yaml_node *node)
{
    yaml_event_t ev;

    for (;;) {
        struct yaml_node *item;

        if (!next_event(r, &ev))
            return -1;
        if (ev.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&ev);
            return 0;
        }
        item = read_node(r, &ev);
        if (!item)
            return -1;
        append(node, NULL, item);
    }
}

/* Reads a key into *key (NULL at the end of the mapping). */
static int read_key(struct reader *r, struct strmap *seen, struct yaml_node **key)
{
    yaml_event_t ev;
    yaml_mark_t mark;

    *key = NULL;
    if (!next_event(r, &ev))
        return -1;
    if (ev.type == YAML_MAPPING_END_EVENT) {
        yaml_event_delete(&ev);
        return 0;
    }
    mark = ev.start_mark;
    *key = read_node(r, &ev);
    if (!*key)
        return -1;
    if ((*key)->kind != YAML_SCALAR)
        fail_at(r, mark, "a key must be a plain word or text, not a list or a mapping");
    else if (!strmap_set_num(seen, (*key)->scalar, 0)) {
        char *shown = text_clean((*key)->scalar);

        err_set(r->e, ERR_VALIDATION, "%s: line %lu, column %lu: the key \"%.100s\" stands twice",
                r->name, (unsigned long) mark.line + 1, (unsigned long) mark.column + 1, shown);
        free(shown);
    } else {
        return 0;
    }
    tree_free(*key);
    *key = NULL;
    return -1;
}

static int read_members(struct reader *r, struct yaml_node *node)
{
    struct strmap *seen = strmap_new();
    struct yaml_node *key = NULL, *value;
    yaml_event_t ev;
    int rc;

    while (!(rc = read_key(r, seen, &key)) && key) {
        value = next_event(r, &ev) ? read_node(r, &ev) : NULL;
        if (!value) {
            tree_free(key);
            rc = -1;
            break;
        }
        append(node, key, value);
    }
    strmap_free(seen);
    return rc;
}

/* Reads the node that begins with ev, and deletes ev. */
static struct yaml_node *read_node(struct reader *r, yaml_event_t *ev)
{
    struct yaml_node *node = NULL;
    const yaml_char_t *anchor = NULL;
    int rc = 0;

    if (++r->depth > DEPTH_MAX) {
        fail_at(r, ev->start_mark, "it is nested more than 64 levels deep");
    } else if (ev->type == YAML_SCALAR_EVENT) {
        anchor = ev->data.scalar.anchor;
        node = read_scalar(r, ev);
    } else if (ev->type == YAML_ALIAS_EVENT) {
        node = read_alias(r, ev);
    } else if (ev->type == YAML_SEQUENCE_START_EVENT) {
        anchor = ev->data.sequence_start.anchor;
        node = new_node(r, YAML_SEQUENCE, NULL, ev->start_mark);
        rc = node ? read_items(r, node) : 0;
    } else if (ev->type == YAML_MAPPING_START_EVENT) {
        anchor = ev->data.mapping_start.anchor;
        node = new_node(r, YAML_MAPPING, NULL, ev->start_mark);
        rc = node ? read_members(r, node) : 0;
    } else {
        fail_at(r, ev->start_mark, "a value is missing");
    }
    if (rc) {
        tree_free(node);
        node = NULL;
    }
    /* Only now, so that an alias inside its own anchor is unknown and never a loop. */
    if (node && anchor)
        strmap_set(r->anchors, (const char *) anchor, node);
    r->depth--;
    yaml_event_delete(ev);
    return node;
}

/* Reads the document whose start was seen, and what must follow it. */
static struct yaml_node *read_document(struct reader *r)
{
    struct yaml_node *root;
    yaml_event_t ev;
    bool one = false;

    if (!next_event(r, &ev))
        return NULL;
    root = read_node(r, &ev);
    if (!root || !next_event(r, &ev)) { /* the end of the document */
        tree_free(root);
        return NULL;
    }
    yaml_event_delete(&ev);
    if (next_event(r, &ev)) {
        one = ev.type == YAML_STREAM_END_EVENT;
        if (!one)
            fail_at(r, ev.start_mark, "a second document begins here; one file has one");
        yaml_event_delete(&ev);
    }
    if (one)
        return root;
    tree_free(root);
    return NULL;
}

static struct yaml_node *read_stream(struct reader *r)
{
    struct yaml_node *root = NULL;
    yaml_event_t ev;

    if (!next_event(r, &ev)) /* the start of the stream */
        return NULL;
    yaml_event_delete(&ev);
    if (!next_event(r, &ev))
        return NULL;
    if (ev.type == YAML_STREAM_END_EVENT) {
        yaml_event_delete(&ev);
        return new_node(r, YAML_MAPPING, NULL, (yaml_mark_t) {0, 0, 0});
    }
    yaml_event_delete(&ev);
    root = read_document(r);
    if (root && yaml_is_null(root)) { /* comments after a "---" alone */
        tree_free(root);
        root = new_node(r, YAML_MAPPING, NULL, (yaml_mark_t) {0, 0, 0});
    }
    return root;
}

struct yaml_node *yaml_parse(const char *name, const char *text, size_t n, struct err *e)
{
    struct reader r = {.name = name, .e = e};
    struct yaml_node *root;

    if (!yaml_parser_initialize(&r.parser))
        abort();
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *) text, n);
    r.anchors = strmap_new();
    root = read_stream(&r);
    strmap_free(r.anchors);
    yaml_parser_delete(&r.parser);
    return root;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    if (!map || map->kind != YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < map->n; i++) {
        if (!strcmp(map->keys[i]->scalar, key))
            return map->items[i];
    }
    return NULL;
}

bool yaml_is_null(const struct yaml_node *n)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};

    for (size_t i = 0; n && n->kind == YAML_SCALAR && n->plain && i < ARRAY_LEN(words); i++) {
        if (!strcmp(n->scalar, words[i]))
            return true;
    }
    return false;
}

int yaml_bool(const struct yaml_node *n)
{
    static const struct {
        const char *word;
        int value;
    } words[] = {{"true", 1}, {"yes", 1}, {"on", 1}, {"false", 0}, {"no", 0}, {"off", 0}};

    for (size_t i = 0; n && n->kind == YAML_SCALAR && n->plain && i < ARRAY_LEN(words); i++) {
        if (!strcasecmp(n->scalar, words[i].word))
            return words[i].value;
    }
    return -1;
}

/* Whether a plain scalar is a number that JSON would write in the same way. */
static bool is_number(const char *s)
{
    size_t len;

    s += *s == '-';
    len = strspn(s, "0123456789");
    if (!len || len > 18 || (*s == '0' && len > 1))
        return false;
    s += len;
    if (*s == '.') {
        len = strspn(++s, "0123456789");
        if (!len || len > 18)
            return false;
        s += len;
    }
    return !*s;
}

static void write_string(struct strbuf *out, const char *s)
{
    strbuf_addch(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            strbuf_addch(out, '\\');
        if ((unsigned char) *s < ' ')
            strbuf_addf(out, "\\u%04x", (unsigned) *s);
        else
            strbuf_addch(out, *s);
    }
    strbuf_addch(out, '"');
}

static void write_json(struct strbuf *out, const struct yaml_node *n)
{
    if (n->kind == YAML_SCALAR) {
        int truth = yaml_bool(n);

        if (yaml_is_null(n))
            strbuf_adds(out, "null");
        else if (truth >= 0)
            strbuf_adds(out, truth ? "true" : "false");
        else if (n->plain && is_number(n->scalar))
            strbuf_adds(out, n->scalar);
        else
            write_string(out, n->scalar);
        return;
    }
    strbuf_addch(out, n->kind == YAML_MAPPING ? '{' : '[');
    for (size_t i = 0; i < n->n; i++) {
        if (i)
            strbuf_addch(out, ',');
        if (n->kind == YAML_MAPPING) {
            write_string(out, n->keys[i]->scalar);
            strbuf_addch(out, ':');
        }
        write_json(out, n->items[i]);
    }
    strbuf_addch(out, n->kind == YAML_MAPPING ? '}' : ']');
}

char *yaml_to_json(const struct yaml_node *n)
{
    struct strbuf out;

    strbuf_init(&out, 0);
    write_json(&out, n);
    return strbuf_steal(&out);
}

const char *yaml_library_version(void)
{
    return yaml_get_version_string();
}
