/* SPDX-License-Identifier: Apache-2.0 */
/* A reader for the outline of ssh_config(5): Host lines, Match, Include, and who mentions what.
 * In doubt it says so, and then every host is asked for by itself. */
#include "ssh_class.h"

#include "ssh_conf.h"
#include "ssh_hosts.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/vec.h"

#include <ctype.h>
#include <glob.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define CONFIG_FILE_MAX ((size_t) 16 << 20)
#define INCLUDE_DEPTH 16 /* as ssh */
#define BLOCK_ALWAYS -1  /* before the first Host line */
#define BLOCK_MAYBE -2   /* in a Match part */

struct block {
    struct strv patterns;
    int outer; /* the part that the file with this one was included in */
};
struct mention {
    int block;
    char *keyword, *value;
    const char *file; /* of struct watched */
    unsigned line;
};
/* Where the scan is. */
struct place {
    const char *file, *dir;
    unsigned line;
    int block, depth;
    int outer; /* the block that the file was included in */
};
struct watched {
    char *path;
    bool there;
    struct stat st;
};

struct scan {
    int refs; /* atomic */
    bool per_host, has_match;
    struct block *blocks;
    size_t n_blocks, cap_blocks;
    struct mention *mentions;
    size_t n_mentions, cap_mentions;
    struct watched *watched;
    size_t n_watched, cap_watched;
};

static const char *watch(struct scan *s, const char *path)
{
    struct watched w = {.path = x_strdup(path)};

    w.there = stat(path, &w.st) == 0;
    X_GROW(s->watched, s->cap_watched, s->n_watched + 1);
    s->watched[s->n_watched++] = w;
    return w.path;
}

/* The next word of a line, without its quotes; NULL at its end. Cuts the line in place. */
static char *next_word(char **at, bool *quoted)
{
    char *p = *at;

    while (*p == ' ' || *p == '\t' || *p == '=')
        p++;
    if (!*p || *p == '#')
        return NULL;

    char end = *p == '"' ? '"' : '\0';
    char *word = end ? p + 1 : p;

    for (p = word; *p && (end ? *p != end : *p != ' ' && *p != '\t'); p++)
        if (strchr("\\\"'", *p))
            *quoted = true;
    *quoted |= end != '\0';
    if (*p)
        *p++ = '\0';
    *at = p;
    return word;
}

static void scan_file(struct scan *s, const char *path, const struct place *from);

static void scan_include(struct scan *s, char *rest, const struct place *at)
{
    bool quoted = false;

    for (char *word; (word = next_word(&rest, &quoted));) {
        CLEANUP_FREE char *home = conf_home();
        CLEANUP_FREE char *path = *word == '/'                 ? x_strdup(word)
                                  : strncmp(word, "~/", 2) == 0 ? io_join(home, word + 2)
                                                                : io_join(at->dir, word);
        CLEANUP_FREE char *folder = io_dirname(path);
        glob_t g;

        /* Newer versions of ssh expand these; which of them, depends on the version. */
        if (strchr(word, '%') || strstr(word, "${") || (*word == '~' && word[1] != '/'))
            s->per_host = true;
        watch(s, folder);
        if (at->depth >= INCLUDE_DEPTH || glob(path, 0, NULL, &g) != 0)
            continue;
        for (size_t i = 0; i < g.gl_pathc; i++)
            scan_file(s, g.gl_pathv[i], at);
        globfree(&g);
    }
    s->per_host |= quoted;
}

static int add_block(struct scan *s, struct block b)
{
    X_GROW(s->blocks, s->cap_blocks, s->n_blocks + 1);
    s->blocks[s->n_blocks] = b;
    return (int) s->n_blocks++;
}

static int scan_host(struct scan *s, char *rest, const struct place *at)
{
    struct block b = {.outer = at->outer};
    bool quoted = false;

    for (char *word; (word = next_word(&rest, &quoted));)
        strv_push(&b.patterns, word);
    s->per_host |= quoted;
    return add_block(s, b);
}

/* What stands in such a value depends on more than the host, and `ssh -G` fills it in. */
static bool fills_in(const char *keyword, const char *value)
{
    return strchr(value, '%') && (strcasecmp(keyword, "userknownhostsfile") == 0 ||
                                  strcasecmp(keyword, "identityagent") == 0);
}

static void note(struct scan *s, const char *keyword, const char *rest, const struct place *at)
{
    size_t start = strspn(rest, " \t=");
    size_t len = strlen(rest + start);

    while (len && strchr(" \t\r", rest[start + len - 1]))
        len--;

    struct mention m = {
        .block = at->block,
        .keyword = x_strdup(keyword),
        .value = x_strndup(rest + start, len),
        .file = at->file,
        .line = at->line,
    };

    if (fills_in(keyword, m.value))
        s->per_host = s->has_match = true;
    X_GROW(s->mentions, s->cap_mentions, s->n_mentions + 1);
    s->mentions[s->n_mentions++] = m;
}

static void scan_match(struct scan *s, char *rest, struct place *at)
{
    struct block b = {.outer = at->outer};
    bool quoted = false;
    const char *first = next_word(&rest, &quoted);

    if (first && strcasecmp(first, "all") == 0 && !next_word(&rest, &quoted)) {
        strv_push(&b.patterns, "*");
        at->block = add_block(s, b);
        return;
    }
    s->per_host = s->has_match = true;
    at->block = BLOCK_MAYBE;
}

/* A keyword may stand in quotes. Where one has them, or is none that could be one, nothing is taken for
 * sure: hosts that share no class cannot get each other's settings. */
static void scan_line(struct scan *s, char *line, struct place *at)
{
    size_t start = strspn(line, " \t"), len;
    char *rest;

    if (line[start] == '"') {
        s->per_host = true;
        len = strcspn(line + ++start, "\"\r");
    } else {
        len = strcspn(line + start, " \t=\r");
    }
    rest = line + start + len;
    if (!len || line[start] == '#')
        return;
    if (*rest)
        *rest++ = '\0';
    line += start;
    for (size_t i = 0; i < len; i++)
        s->per_host |= !isalnum((unsigned char) line[i]);
    rest[strcspn(rest, "\r")] = '\0';
    if (strcasecmp(line, "host") == 0) {
        at->block = scan_host(s, rest, at);
    } else if (strcasecmp(line, "match") == 0) {
        CLEANUP_FREE char *whole = x_strdup(rest);

        scan_match(s, rest, at);
        if (at->block == BLOCK_MAYBE)
            note(s, line, whole, at);
    } else if (strcasecmp(line, "include") == 0) {
        scan_include(s, rest, at);
    } else {
        if (strcasecmp(line, "canonicalizehostname") == 0)
            s->per_host = true;
        note(s, line, rest, at);
    }
}

/* A Host line in an included file ends with that file. */
static void scan_file(struct scan *s, const char *path, const struct place *from)
{
    struct place at = *from;
    struct strbuf b;
    char *text;

    at.file = watch(s, path);
    at.outer = from->block;
    at.line = 0;
    at.depth++;
    strbuf_init(&b, CONFIG_FILE_MAX);
    if (io_read_file(path, CONFIG_FILE_MAX, &b, NULL) == 0)
        for (text = b.s; text;) {
            char *line = strsep(&text, "\n");

            at.line++;
            scan_line(s, line, &at);
        }
    strbuf_free(&b);
}

struct scan *scan_files(const char *config)
{
    struct scan *s = x_calloc(1, sizeof *s);
    CLEANUP_FREE char *home = conf_home();
    CLEANUP_FREE char *user_dir = io_join(home, ".ssh");
    CLEANUP_FREE char *user_file = io_join(user_dir, "config");
    struct place at = {.dir = user_dir, .block = BLOCK_ALWAYS};

    s->refs = 1;
    if (config) {
        CLEANUP_FREE char *path = io_expand_tilde(config);

        if (strcmp(config, "none") != 0)
            scan_file(s, path, &at);
        return s;
    }
    scan_file(s, user_file, &at);
    at.dir = "/etc/ssh";
    scan_file(s, "/etc/ssh/ssh_config", &at);
    return s;
}

struct scan *scan_ref(struct scan *s)
{
    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void scan_unref(struct scan *s)
{
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < s->n_blocks; i++)
        strv_clear(&s->blocks[i].patterns);
    for (size_t i = 0; i < s->n_mentions; i++) {
        free(s->mentions[i].keyword);
        free(s->mentions[i].value);
    }
    for (size_t i = 0; i < s->n_watched; i++)
        free(s->watched[i].path);
    free(s->blocks);
    free(s->mentions);
    free(s->watched);
    free(s);
}

bool scan_fresh(const struct scan *s)
{
    for (size_t i = 0; i < s->n_watched; i++) {
        const struct watched *w = &s->watched[i];
        struct stat st;

        if ((stat(w->path, &st) == 0) != w->there)
            return false;
        if (w->there && (st.st_ino != w->st.st_ino || st.st_size != w->st.st_size ||
                         st.st_mtim.tv_sec != w->st.st_mtim.tv_sec ||
                         st.st_mtim.tv_nsec != w->st.st_mtim.tv_nsec))
            return false;
    }
    return true;
}

bool scan_per_host(const struct scan *s)
{
    return s->per_host;
}

bool scan_has_match(const struct scan *s)
{
    return s->has_match;
}

static bool block_applies(const struct block *b, const char *host)
{
    bool applies = false;

    for (size_t i = 0; i < b->patterns.n; i++) {
        const char *p = b->patterns.v[i];
        bool no = *p == '!';

        if (!hosts_pattern(p + no, host))
            continue;
        if (no)
            return false;
        applies = true;
    }
    return applies;
}

/* A part that may apply is taken as if it did: a default of the inventory loses its place at worst. */
static bool part_applies(const char *class_key, int block)
{
    return block < 0 || class_key[block] == '1';
}

char *scan_class(const struct scan *s, const char *host)
{
    char *key = x_malloc(s->n_blocks + 1);

    for (size_t i = 0; i < s->n_blocks; i++)
        key[i] = part_applies(key, s->blocks[i].outer) && block_applies(&s->blocks[i], host) ? '1'
                                                                                              : '0';
    key[s->n_blocks] = '\0';
    return key;
}

static bool mention_applies(const struct mention *m, const char *class_key, const char *keyword)
{
    return part_applies(class_key, m->block) && strcasecmp(m->keyword, keyword) == 0;
}

bool scan_mentions(const struct scan *s, const char *class_key, const char *keyword)
{
    for (size_t i = 0; i < s->n_mentions; i++)
        if (mention_applies(&s->mentions[i], class_key, keyword))
            return true;
    return false;
}

void scan_values(const struct scan *s, const char *class_key, const char *keyword,
                 struct strv *out)
{
    for (size_t i = 0; i < s->n_mentions; i++) {
        if (!mention_applies(&s->mentions[i], class_key, keyword))
            continue;

        CLEANUP_FREE char *value = x_strdup(s->mentions[i].value);
        char *rest = value;
        bool quoted = false;
        const char *word = next_word(&rest, &quoted);

        if (word && !strv_has(out, word))
            strv_push(out, word);
    }
}

static bool part_unsure(const struct scan *s, int block)
{
    while (block >= 0)
        block = s->blocks[block].outer;
    return block == BLOCK_MAYBE;
}

void scan_each(const struct scan *s, const char *class_key,
               void (*fn)(void *ctx, const struct scan_mention *m), void *ctx)
{
    for (size_t i = 0; i < s->n_mentions; i++) {
        const struct mention *m = &s->mentions[i];
        const struct scan_mention said = {
            .keyword = m->keyword,
            .value = m->value,
            .file = m->file,
            .line = m->line,
            .unsure = part_unsure(s, m->block),
        };

        if (part_applies(class_key, m->block))
            fn(ctx, &said);
    }
}

char *scan_hostname(const char *rule, const char *host)
{
    struct strbuf b;

    strbuf_init(&b, 1024);
    for (const char *p = rule; *p; p++) {
        if (p[0] == '%' && p[1] == 'h') {
            strbuf_adds(&b, host);
            p++;
        } else if (p[0] == '%' && p[1] == '%') {
            strbuf_addch(&b, '%');
            p++;
        } else {
            strbuf_addch(&b, *p);
        }
    }
    for (char *p = b.s; *p; p++)
        *p = (char) tolower((unsigned char) *p);
    return strbuf_steal(&b);
}

/* Within a class the rule is the same for all its hosts; only which one of those written down it is
 * must be found. More than one explanation of the answer is no explanation. */
char *scan_hostname_rule(const struct scan *s, const char *class_key, const char *host,
                         const char *resolved)
{
    CLEANUP_STRV struct strv rules = STRV_INIT;
    char *found = NULL;

    strv_push(&rules, "%h");
    scan_values(s, class_key, "hostname", &rules);
    for (size_t i = 0; i < rules.n; i++) {
        CLEANUP_FREE char *gives = scan_hostname(rules.v[i], host);

        if (strcmp(gives, resolved) != 0)
            continue;
        if (found) {
            free(found);
            return NULL;
        }
        found = x_strdup(rules.v[i]);
    }
    return found;
}
