/* SPDX-License-Identifier: Apache-2.0 */
/* known_hosts, as sshd(8) describes it: an index by name for plain lines, lists for lines with
 * patterns and for hashed names. */
#include "ssh_hosts.h"

#include "ssh_key.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/strmap.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOSTS_FILE_MAX ((size_t) 64 << 20)
#define KRL_MAGIC "SSHKRL\n" /* and the NUL behind it */

/* Lines of one plain name. */
struct chain {
    size_t entry;
    struct chain *next;
};

struct hosts_file {
    int refs; /* atomic */
    char *path, *problem;
    struct stat st;
    bool absent, krl;
    struct hosts_entry *entries;
    size_t n, cap;
    struct strmap *by_name; /* struct chain *, in the order of the lines */
    size_t *patterns, n_patterns, cap_patterns;
    size_t *hashed, n_hashed, cap_hashed;
};

bool hosts_pattern(const char *p, const char *s)
{
    const char *star = NULL, *from = NULL;

    while (*s) {
        if (*p == '*') {
            star = ++p;
            from = s;
        } else if (*p == '?' || *p == *s) {
            p++;
            s++;
        } else if (star) {
            p = star;
            s = ++from;
        } else {
            return false;
        }
    }
    while (*p == '*')
        p++;
    return *p == '\0';
}

static void chain_add(struct hosts_file *f, const char *name, size_t entry)
{
    void *head = NULL;
    struct chain *c = x_calloc(1, sizeof *c);

    c->entry = entry;
    if (!strmap_get(f->by_name, name, &head)) {
        strmap_set(f->by_name, name, c);
        return;
    }

    struct chain *at = head;

    while (at->next)
        at = at->next;
    at->next = c;
}

static void index_entry(struct hosts_file *f, size_t i)
{
    const char *names = f->entries[i].names;

    if (names[0] == '|') {
        X_GROW(f->hashed, f->cap_hashed, f->n_hashed + 1);
        f->hashed[f->n_hashed++] = i;
        return;
    }
    if (strpbrk(names, "*?!")) {
        X_GROW(f->patterns, f->cap_patterns, f->n_patterns + 1);
        f->patterns[f->n_patterns++] = i;
        return;
    }

    CLEANUP_FREE char *copy = x_strdup(names);
    char *save = NULL;

    for (char *t = strtok_r(copy, ",", &save); t; t = strtok_r(NULL, ",", &save))
        chain_add(f, t, i);
}

/* "ssh-ed25519" and "AAAA...", which say the same type. */
static bool parse_key(const char *type, const char *b64, struct hosts_entry *e)
{
    if (!type || !b64)
        return false;
    e->blob = base64_decode(b64, strlen(b64), &e->blob_len);
    e->type = e->blob ? ssh_blob_type(e->blob, e->blob_len) : NULL;
    if (e->type && strcmp(e->type, type) == 0)
        return true;
    free(e->type);
    free(e->blob);
    return false;
}

/* One line, cut at spaces in place. What is not understood is passed over, as ssh does. */
static void parse_line(struct hosts_file *f, char *line, unsigned number)
{
    char *save = NULL;
    char *tok = strtok_r(line, " \t\r", &save);
    struct hosts_entry e = {.line = number};

    if (!tok || *tok == '#')
        return;
    if (*tok == '@') {
        if (strcmp(tok, "@revoked") == 0)
            e.mark = HOSTS_REVOKED;
        else if (strcmp(tok, "@cert-authority") == 0)
            e.mark = HOSTS_CA;
        else
            return;
        tok = strtok_r(NULL, " \t\r", &save);
    }

    char *type = strtok_r(NULL, " \t\r", &save), *b64 = strtok_r(NULL, " \t\r", &save);

    if (!tok || !parse_key(type, b64, &e))
        return;
    e.names = x_strdup(tok);
    if (tok[0] != '|')
        for (char *p = e.names; *p; p++)
            *p = (char) tolower((unsigned char) *p);
    X_GROW(f->entries, f->cap, f->n + 1);
    f->entries[f->n] = e;
    index_entry(f, f->n++);
}

static struct hosts_file *file_new(const char *path)
{
    struct hosts_file *f = x_calloc(1, sizeof *f);

    f->refs = 1;
    f->path = x_strdup(path);
    f->by_name = strmap_new();
    return f;
}

static void parse_lines(struct hosts_file *f, const char *text, size_t n,
                        void (*parse)(struct hosts_file *f, char *line, unsigned number))
{
    unsigned number = 0;

    for (const char *p = text, *end = text + n; p < end;) {
        const char *nl = memchr(p, '\n', (size_t) (end - p));
        size_t len = (size_t) ((nl ? nl : end) - p);
        CLEANUP_FREE char *line = x_strndup(p, len);

        parse(f, line, ++number);
        p += len + 1;
    }
}

struct hosts_file *hosts_parse(const char *path, const char *text, size_t n)
{
    struct hosts_file *f = file_new(path);

    parse_lines(f, text, n, parse_line);
    return f;
}

/* Returns the problem, or NULL; an absent file is none, and what is no file is an empty one. */
static char *read_file(const char *path, struct strbuf *b, struct stat *st, bool *absent)
{
    struct err e = ERR_INIT;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *problem = NULL;

    *st = (struct stat) {0};
    *absent = fd < 0;
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? NULL : x_asprintf("%s: %s", path, strerror(errno));
    fstat(fd, st);
    /* /dev/null is a common way to say "none". */
    if (S_ISDIR(st->st_mode)) {
        problem = x_asprintf("%s: is not a file", path);
    } else if (S_ISREG(st->st_mode) && io_read_fd(fd, HOSTS_FILE_MAX, b, &e) != 0) {
        problem = x_asprintf("%s: %s", path, e.msg);
        strbuf_reset(b);
    }
    close(fd);
    err_clear(&e);
    return problem;
}

struct hosts_file *hosts_load(const char *path)
{
    struct strbuf b;
    struct stat st;
    bool absent;

    strbuf_init(&b, HOSTS_FILE_MAX);

    char *problem = read_file(path, &b, &st, &absent);
    struct hosts_file *f = hosts_parse(path, b.s, b.len);

    f->st = st;
    f->absent = absent;
    f->problem = problem;
    strbuf_free(&b);
    return f;
}

/* "ssh-ed25519 AAAA... comment". A certificate would stand for more than the bytes of its blob. */
static void parse_revoked(struct hosts_file *f, char *line, unsigned number)
{
    char *save = NULL;
    char *type = strtok_r(line, " \t\r", &save), *b64 = strtok_r(NULL, " \t\r", &save);
    struct hosts_entry e = {.mark = HOSTS_REVOKED, .line = number};

    if (!type || *type == '#')
        return;
    if (strstr(type, "-cert-v01@") || !parse_key(type, b64, &e)) {
        if (!f->problem)
            f->problem = x_asprintf("%s:%u: not a public key", f->path, number);
        return;
    }
    X_GROW(f->entries, f->cap, f->n + 1);
    f->entries[f->n++] = e;
}

struct hosts_file *hosts_load_revoked(const char *path)
{
    struct hosts_file *f = file_new(path);
    struct strbuf b;

    strbuf_init(&b, HOSTS_FILE_MAX);
    f->problem = read_file(path, &b, &f->st, &f->absent);
    f->krl = b.len >= sizeof KRL_MAGIC && memcmp(b.s, KRL_MAGIC, sizeof KRL_MAGIC) == 0;
    if (!f->problem && f->absent)
        f->problem = x_asprintf("%s: does not exist", path);
    else if (!f->problem && !S_ISREG(f->st.st_mode) && !S_ISCHR(f->st.st_mode))
        f->problem = x_asprintf("%s: is not a file", path);
    if (!f->krl)
        parse_lines(f, b.s, b.len, parse_revoked);
    strbuf_free(&b);
    return f;
}

bool hosts_is_krl(const struct hosts_file *f)
{
    return f->krl;
}

unsigned hosts_revokes(const struct hosts_file *f, const void *blob, size_t n)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->entries[i].blob_len == n && memcmp(f->entries[i].blob, blob, n) == 0)
            return f->entries[i].line;
    return 0;
}

struct hosts_file *hosts_ref(struct hosts_file *f)
{
    __atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
    return f;
}

static void free_chain(const char *key, void *value, void *ctx)
{
    for (struct chain *c = value, *next; c; c = next) {
        next = c->next;
        free(c);
    }
}

void hosts_unref(struct hosts_file *f)
{
    if (!f || __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < f->n; i++) {
        free(f->entries[i].type);
        free(f->entries[i].blob);
        free(f->entries[i].names);
    }
    strmap_each(f->by_name, free_chain, NULL);
    strmap_free(f->by_name);
    free(f->entries);
    free(f->patterns);
    free(f->hashed);
    free(f->path);
    free(f->problem);
    free(f);
}

const char *hosts_path(const struct hosts_file *f)
{
    return f->path;
}

const char *hosts_problem(const struct hosts_file *f)
{
    return f->problem;
}

bool hosts_fresh(const struct hosts_file *f)
{
    struct stat st;

    if (stat(f->path, &st) != 0)
        return f->absent;
    return !f->absent && st.st_ino == f->st.st_ino && st.st_dev == f->st.st_dev &&
           st.st_size == f->st.st_size && st.st_mtim.tv_sec == f->st.st_mtim.tv_sec &&
           st.st_mtim.tv_nsec == f->st.st_mtim.tv_nsec;
}

/* "a,*.b,!c": some positive pattern, and no negated one. */
static bool list_matches(const char *names, const char *name)
{
    CLEANUP_FREE char *copy = x_strdup(names);
    char *save = NULL;
    bool found = false;

    for (char *t = strtok_r(copy, ",", &save); t; t = strtok_r(NULL, ",", &save)) {
        bool no = *t == '!';

        if (!hosts_pattern(t + no, name))
            continue;
        if (no)
            return false;
        found = true;
    }
    return found;
}

/* "|1|salt|hash" */
static bool hash_matches(const char *names, const char *name)
{
    const char *salt = names + 3, *bar;
    size_t salt_len, sum_len;
    uint8_t sum[SSH_SHA1_LEN];

    if (strncmp(names, "|1|", 3) != 0 || !(bar = strchr(salt, '|')))
        return false;

    CLEANUP_FREE uint8_t *s = base64_decode(salt, (size_t) (bar - salt), &salt_len);
    CLEANUP_FREE uint8_t *want = base64_decode(bar + 1, strlen(bar + 1), &sum_len);

    if (!s || !want || sum_len != SSH_SHA1_LEN)
        return false;
    ssh_hmac_sha1(s, salt_len, name, strlen(name), sum);
    return memcmp(sum, want, sizeof sum) == 0;
}

static void known_add(struct hosts_known *k, struct hosts_file *f, size_t i, bool plain)
{
    X_GROW(k->v, k->cap, k->n + 1);
    k->v[k->n++] = (struct hosts_match) {&f->entries[i], hosts_ref(f), plain};
}

static void lookup_one(struct hosts_file *f, const char *name, bool plain,
                       struct hosts_known *out)
{
    void *head = NULL;

    if (strmap_get(f->by_name, name, &head))
        for (struct chain *c = head; c; c = c->next)
            known_add(out, f, c->entry, plain);
    for (size_t i = 0; i < f->n_patterns; i++)
        if (list_matches(f->entries[f->patterns[i]].names, name))
            known_add(out, f, f->patterns[i], plain);
    for (size_t i = 0; i < f->n_hashed; i++)
        if (hash_matches(f->entries[f->hashed[i]].names, name))
            known_add(out, f, f->hashed[i], plain);
}

void hosts_lookup(struct hosts_file *f, const char *name, const char *plain_name,
                  struct hosts_known *out)
{
    lookup_one(f, name, false, out);
    if (plain_name)
        lookup_one(f, plain_name, true, out);
}

void hosts_known_clear(struct hosts_known *k)
{
    for (size_t i = 0; i < k->n; i++)
        hosts_unref(k->v[i].file);
    free(k->v);
    *k = (struct hosts_known) {0};
}

enum hosts_answer hosts_check(const struct hosts_known *k, const char *type, const void *blob,
                              size_t n, const struct hosts_match **where)
{
    enum hosts_answer answer = HOSTS_UNKNOWN;
    bool same_type = false;

    for (size_t i = 0; i < k->n; i++) {
        const struct hosts_match *m = &k->v[i];
        bool equal = m->entry->blob_len == n && memcmp(m->entry->blob, blob, n) == 0;

        if (m->entry->mark == HOSTS_REVOKED) {
            if (equal) {
                *where = m;
                return HOSTS_IS_REVOKED;
            }
        } else if (m->entry->mark == HOSTS_CA) {
            if (answer == HOSTS_UNKNOWN && !m->by_plain_name) {
                *where = m;
                answer = HOSTS_ONLY_CA;
            }
        } else if (equal) {
            *where = m;
            answer = HOSTS_OK;
        } else if (answer != HOSTS_OK && !m->by_plain_name && !same_type) {
            /* The line of the same type is the one people want to see. */
            same_type = strcmp(m->entry->type, type) == 0;
            *where = m;
            answer = HOSTS_CHANGED;
        }
    }
    return answer;
}

static char *append_line(const char *name, bool hashed, const char *type, const void *blob,
                         size_t n)
{
    CLEANUP_FREE char *key = base64_encode(blob, n);

    if (!hashed)
        return x_asprintf("%s %s %s\n", name, type, key);

    uint8_t salt[SSH_SHA1_LEN], sum[SSH_SHA1_LEN];

    random_bytes(salt, sizeof salt);
    ssh_hmac_sha1(salt, sizeof salt, name, strlen(name), sum);

    CLEANUP_FREE char *s = base64_encode(salt, sizeof salt);
    CLEANUP_FREE char *h = base64_encode(sum, sizeof sum);

    return x_asprintf("|1|%s|%s %s %s\n", s, h, type, key);
}

/* The file as it is under the lock. */
static enum hosts_answer recheck(const char *path, const struct strbuf *b, const char *name,
                                 const char *type, const void *blob, size_t n, unsigned *line)
{
    struct hosts_file *f = hosts_parse(path, b->s, b->len);
    struct hosts_known k = {0};
    const struct hosts_match *where = NULL;

    hosts_lookup(f, name, NULL, &k);

    enum hosts_answer a = hosts_check(&k, type, blob, n, &where);

    *line = where ? where->entry->line : 0;
    hosts_known_clear(&k);
    hosts_unref(f);
    return a;
}

/* One write(2), so that a reader never sees half a line. A file that somebody left without a last
 * newline must not lose its last line. */
static int append_text(int fd, const char *path, const struct strbuf *b, const char *line,
                       struct err *e)
{
    CLEANUP_FREE char *whole = x_asprintf("%s%s", b->len && b->s[b->len - 1] != '\n' ? "\n" : "",
                                          line);
    size_t n = strlen(whole);
    ssize_t put = write(fd, whole, n);

    if (put != (ssize_t) n)
        return err_set(e, ERR_VALIDATION, "%s: %s", path, put < 0 ? strerror(errno) : "disk full");
    return 0;
}

int hosts_append(const char *path, const char *name, bool hashed, const char *type,
                 const void *blob, size_t n, unsigned *line, struct err *e)
{
    CLEANUP_FREE char *dir = io_dirname(path);
    struct strbuf b;
    int ret = 0;

    if (!*name || strpbrk(name, " \t\r\n,*?!|#@"))
        return err_set(e, ERR_VALIDATION, "known_hosts cannot hold a host of this name");
    io_mkdirs(dir, 0700);

    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);

    if (fd < 0)
        return err_set(e, ERR_VALIDATION, "%s: %s", path, strerror(errno));
    while (flock(fd, LOCK_EX) != 0 && errno == EINTR)
        ;
    strbuf_init(&b, HOSTS_FILE_MAX);
    if (io_read_fd(fd, HOSTS_FILE_MAX, &b, e) != 0) {
        ret = -ERR_VALIDATION;
    } else {
        enum hosts_answer a = recheck(path, &b, name, type, blob, n, line);

        if (a == HOSTS_UNKNOWN) {
            CLEANUP_FREE char *text = append_line(name, hashed, type, blob, n);

            ret = append_text(fd, path, &b, text, e);
        } else if (a != HOSTS_OK) {
            ret = 1;
        }
    }
    strbuf_free(&b);
    close(fd);
    return ret;
}
