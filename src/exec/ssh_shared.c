/* SPDX-License-Identifier: Apache-2.0 */
/* The caches of the ssh transport.
 *
 * Theory of operation: one mutex guards the maps; it is never held while a file is read or a
 * program runs. Who finds a slot empty marks it as busy, works without the lock, fills it and
 * wakes those who wait for it, so a thousand sessions of one class make one `ssh -G`. A slot is
 * stale when its files have changed since. */
#include "ssh_shared.h"

#include "helpers.h"
#include "ssh_agent.h"
#include "ssh_class.h"
#include "ssh_hosts.h"
#include "ssh_jump.h"
#include "ssh_key.h"
#include "ssh_keyring.h"
#include "ssh_lists.h"
#include "ssh_reader.h"
#include "ssh_side.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/log.h"
#include "muster/base/strbuf.h"
#include "muster/base/strmap.h"

#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define AGENT_FRESH_MS 10000
#define AGENT_HUNG_MS 15000
#define FAILURE_FRESH_MS 10000

struct conf_slot {
    bool busy;
    struct scan *scan; /* what it was asked under */
    struct ssh_conf *conf;
    char *host, *rule; /* who was asked for, and the class's HostName (NULL: each by itself) */
    char *error;
    int64_t at_ms;
};
struct key_slot {
    struct ssh_key *key;
    struct stat st;
};
struct agent_slot {
    bool busy;
    struct agent_keys *keys;
    char *error;
    int64_t until_ms;
};

struct ssh_shared {
    int refs; /* atomic */
    struct side *side;
    struct jumps *jumps;
    struct keyring *keyring;
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct strmap *scans, *confs, *hosts, *revoked, *keys, *agents;
    struct strmap *said; /* warnings that the log has */
    bool said_no_ssh;
    pthread_mutex_t accepting; /* one writer of known_hosts in this process; taken alone */
};

static int64_t now(void)
{
    return mono_ms(clock_system());
}

void *ssh_shared_new(const struct engine_config *cfg)
{
    struct ssh_shared *s = x_calloc(1, sizeof *s);

    s->refs = 1;
    s->side = side_new(s, cfg);
    s->jumps = jumps_new(s);
    s->keyring = cfg->keyring ? keyring_ref(cfg->keyring) : keyring_new();
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->accepting, NULL);
    pthread_cond_init(&s->filled, NULL);
    s->scans = strmap_new();
    s->confs = strmap_new();
    s->hosts = strmap_new();
    s->revoked = strmap_new();
    s->said = strmap_new();
    s->keys = strmap_new();
    s->agents = strmap_new();
    return s;
}

void *ssh_shared_again(const struct engine_config *cfg)
{
    struct ssh_shared *s = cfg->shared_ctx;

    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void ssh_shared_stop(void *shared)
{
    side_stop(((struct ssh_shared *) shared)->side);
}

struct keyring *shared_keyring(struct ssh_shared *s)
{
    return s->keyring;
}

struct side *shared_side(struct ssh_shared *s)
{
    return s->side;
}

struct jumps *shared_jumps(struct ssh_shared *s)
{
    return s->jumps;
}

static void drop_scan(const char *key, void *value, void *ctx)
{
    scan_unref(value);
}

static void drop_hosts(const char *key, void *value, void *ctx)
{
    hosts_unref(value);
}

static void conf_slot_clear(struct conf_slot *c)
{
    scan_unref(c->scan);
    conf_unref(c->conf);
    free(c->host);
    free(c->rule);
    free(c->error);
    *c = (struct conf_slot) {0};
}

static void drop_conf(const char *key, void *value, void *ctx)
{
    conf_slot_clear(value);
    free(value);
}

static void drop_key(const char *key, void *value, void *ctx)
{
    struct key_slot *k = value;

    ssh_key_unref(k->key);
    free(k);
}

static void drop_agent(const char *key, void *value, void *ctx)
{
    struct agent_slot *a = value;

    agent_keys_unref(a->keys);
    free(a->error);
    free(a);
}

void ssh_shared_free(void *shared)
{
    struct ssh_shared *s = shared;

    if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    side_free(s->side);
    jumps_free(s->jumps);
    keyring_unref(s->keyring);
    strmap_each(s->scans, drop_scan, NULL);
    strmap_each(s->confs, drop_conf, NULL);
    strmap_each(s->hosts, drop_hosts, NULL);
    strmap_each(s->revoked, drop_hosts, NULL);
    strmap_each(s->keys, drop_key, NULL);
    strmap_each(s->agents, drop_agent, NULL);
    strmap_free(s->scans);
    strmap_free(s->confs);
    strmap_free(s->hosts);
    strmap_free(s->revoked);
    strmap_free(s->said);
    strmap_free(s->keys);
    strmap_free(s->agents);
    pthread_cond_destroy(&s->filled);
    pthread_mutex_destroy(&s->accepting);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* The outline of the configuration, read again when a file has changed. A reference. */
static struct scan *fresh_scan(struct ssh_shared *s, const char *config)
{
    const char *key = config ? config : "";
    void *found = NULL;
    struct scan *scan = NULL;

    pthread_mutex_lock(&s->lock);
    if (strmap_get(s->scans, key, &found))
        scan = scan_ref(found);
    pthread_mutex_unlock(&s->lock);
    if (scan && scan_fresh(scan))
        return scan;

    struct scan *made = scan_files(config);

    pthread_mutex_lock(&s->lock);
    if (strmap_get(s->scans, key, &found) && found != scan) {
        /* Another helper was first. */
        scan_unref(made);
        made = found;
    } else {
        if (scan)
            scan_unref(found);
        strmap_set(s->scans, key, made);
    }
    scan_ref(made);
    pthread_mutex_unlock(&s->lock);
    scan_unref(scan);
    return made;
}

static void log_no_ssh(struct ssh_shared *s)
{
    pthread_mutex_lock(&s->lock);
    bool first = !s->said_no_ssh;

    s->said_no_ssh = true;
    pthread_mutex_unlock(&s->lock);
    if (first)
        log_warn("ssh", "no ssh program in PATH: muster reads ssh_config by itself");
}

/* Nobody waits for the answer any more: who else wants it asks again. */
static void give_up_conf(struct ssh_shared *s, struct conf_slot *slot)
{
    pthread_mutex_lock(&s->lock);
    conf_slot_clear(slot);
    pthread_cond_broadcast(&s->filled);
    pthread_mutex_unlock(&s->lock);
}

/* Once each, however many hosts they are true of. */
static void log_warnings(struct ssh_shared *s, const struct strv *warnings, const char *host)
{
    for (size_t i = 0; i < warnings->n; i++) {
        void *found;

        pthread_mutex_lock(&s->lock);

        bool first = !strmap_get(s->said, warnings->v[i], &found);

        strmap_set(s->said, warnings->v[i], NULL);
        pthread_mutex_unlock(&s->lock);
        if (first)
            log_warn("ssh", "ssh_config for %s: %s", host, warnings->v[i]);
    }
}

/* Fills a slot that is marked busy; without the lock but for its last lines. */
static void fill_conf(struct ssh_shared *s, struct conf_slot *slot, struct scan *scan,
                      const char *class_key, const struct conf_query *q)
{
    struct ssh_conf *conf = NULL;
    struct err e = ERR_INIT;

    if (!help_heavy_begin(q->help)) {
        give_up_conf(s, slot);
        return;
    }

    int rc = conf_run(q, &conf, &e);

    help_heavy_end(q->help);
    if (help_abandoned(q->help)) {
        conf_unref(conf);
        err_clear(&e);
        give_up_conf(s, slot);
        return;
    }
    if (rc == 1) {
        log_no_ssh(s);
        reader_conf(scan, class_key, q, &conf, &e);
    }
    if (conf && !conf->hostname)
        conf->hostname = x_strdup(q->host);

    if (conf) {
        conf_settle_lists(conf, scan, class_key, q);
        log_warnings(s, &conf->warnings, q->host);
    }

    char *rule = conf ? scan_hostname_rule(scan, class_key, q->host, conf->hostname) : NULL;

    pthread_mutex_lock(&s->lock);
    conf_slot_clear(slot);
    slot->scan = scan_ref(scan);
    slot->conf = conf;
    slot->host = x_strdup(q->host);
    slot->rule = rule;
    slot->error = conf ? NULL : x_strdup(e.msg ? e.msg : "ssh -G failed");
    slot->at_ms = now();
    pthread_cond_broadcast(&s->filled);
    pthread_mutex_unlock(&s->lock);
    err_clear(&e);
}

static bool slot_good(const struct conf_slot *slot, const struct scan *scan)
{
    return slot->scan == scan && (slot->conf || now() - slot->at_ms < FAILURE_FRESH_MS);
}

/* The slot of a key, filled by this thread or by another. Returns with the lock held. */
static struct conf_slot *filled_slot(struct ssh_shared *s, const char *key, struct scan *scan,
                                     const char *class_key, const struct conf_query *q)
{
    void *found = NULL;

    pthread_mutex_lock(&s->lock);
    if (!strmap_get(s->confs, key, &found)) {
        found = x_calloc(1, sizeof(struct conf_slot));
        strmap_set(s->confs, key, found);
    }

    struct conf_slot *slot = found;

    while (!slot_good(slot, scan)) {
        if (slot->busy) {
            pthread_cond_wait(&s->filled, &s->lock);
            continue;
        }
        slot->busy = true;
        pthread_mutex_unlock(&s->lock);
        fill_conf(s, slot, scan, class_key, q);
        pthread_mutex_lock(&s->lock);
        break; /* what was just asked is good, even when the files change this moment */
    }
    return slot;
}

static bool names(const struct scan *scan, const char *class_key, const struct strv *options,
                  const char *keyword)
{
    return conf_options_name(options, keyword) || scan_mentions(scan, class_key, keyword);
}

static void control_paths(const struct scan *scan, const char *class_key,
                          const struct strv *options, struct strv *out)
{
    for (size_t i = 0; options && i < options->n; i++) {
        CLEANUP_FREE char *k = NULL;
        const char *v;

        if (conf_option(options->v[i], &k, &v) && strcasecmp(k, "controlpath") == 0)
            strv_push(out, v);
    }
    if (!out->n)
        scan_values(scan, class_key, "controlpath", out);
}

const char *conf_strict_word(const struct settings *base, const struct settings *over,
                             const struct strv *options, const struct conf_named *named)
{
    if (over->strict_host_key && !conf_options_name(options, "stricthostkeychecking"))
        return over->strict_host_key;
    return named->strict ? NULL : base->strict_host_key;
}

void conf_named_clear(struct conf_named *named)
{
    strv_clear(&named->control);
}

static char *slot_key(const struct conf_query *q, bool per_host, const char *class_key)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    strbuf_addf(&b, "%s\n", q->config ? q->config : "");
    for (size_t i = 0; q->options && i < q->options->n; i++)
        strbuf_addf(&b, "%s\n", q->options->v[i]);
    if (per_host)
        strbuf_addf(&b, "%s@%s:%d", q->user ? q->user : "", q->host, q->port);
    else
        strbuf_addf(&b, "=%s", class_key);
    return strbuf_steal(&b);
}

/* -o options that make the answer depend on the host in ways that a class does not tell. */
static bool options_per_host(const struct strv *options)
{
    static const char *const which[] = {
        "canonicalizehostname", "hostname", "identityagent", "include", "match",
        "userknownhostsfile",
    };

    for (size_t i = 0; i < ARRAY_LEN(which); i++)
        if (conf_options_name(options, which[i]))
            return true;
    return false;
}

int shared_conf(struct ssh_shared *s, const struct conf_query *query, struct ssh_conf **conf,
                char **hostname, struct conf_named *named, struct err *e)
{
    struct scan *scan = fresh_scan(s, query->config);
    CLEANUP_FREE char *class_key = scan_class(scan, query->host);
    bool per_host = scan_per_host(scan) || options_per_host(query->options);
    struct conf_query q = *query;
    int ret = 0;

    if (!q.user && !names(scan, class_key, q.options, "user"))
        q.user = q.base_user;
    if (!q.port && !names(scan, class_key, q.options, "port"))
        q.port = q.base_port;
    if (!scan_has_match(scan)) {
        q.user = NULL;
        q.port = 0;
    }
    *conf = NULL;
    while (!*conf && ret == 0) {
        CLEANUP_FREE char *key = slot_key(&q, per_host, class_key);
        struct conf_slot *slot = filled_slot(s, key, scan, class_key, &q);

        if (!slot->conf) {
            ret = err_set(e, ERR_VALIDATION, "%s", slot->error ? slot->error : "given up");
        } else if (per_host || strcmp(slot->host, q.host) == 0) {
            *conf = conf_ref(slot->conf);
            *hostname = x_strdup(slot->conf->hostname);
        } else if (slot->rule) {
            *conf = conf_ref(slot->conf);
            *hostname = scan_hostname(slot->rule, q.host);
        } else {
            per_host = true;
        }
        pthread_mutex_unlock(&s->lock);
    }
    *named = (struct conf_named) {
        .user = names(scan, class_key, q.options, "user"),
        .port = names(scan, class_key, q.options, "port"),
        .identity = names(scan, class_key, q.options, "identityfile"),
        .known_hosts = names(scan, class_key, q.options, "userknownhostsfile"),
        .strict = names(scan, class_key, q.options, "stricthostkeychecking"),
        .timeout = names(scan, class_key, q.options, "connecttimeout"),
        .jump = names(scan, class_key, q.options, "proxyjump") ||
                names(scan, class_key, q.options, "proxycommand"),
    };
    if (*conf && (*conf)->control_path)
        control_paths(scan, class_key, q.options, &named->control);
    scan_unref(scan);
    return ret;
}

static struct hosts_file *cached_hosts(struct ssh_shared *s, struct strmap *map, const char *path,
                                       struct hosts_file *(*load)(const char *path))
{
    void *found = NULL;
    struct hosts_file *f = NULL;

    pthread_mutex_lock(&s->lock);
    if (strmap_get(map, path, &found))
        f = hosts_ref(found);
    pthread_mutex_unlock(&s->lock);
    if (f && hosts_fresh(f))
        return f;
    hosts_unref(f);
    f = load(path);
    pthread_mutex_lock(&s->lock);
    if (strmap_get(map, path, &found))
        hosts_unref(found);
    strmap_set(map, path, hosts_ref(f));
    pthread_mutex_unlock(&s->lock);
    return f;
}

struct hosts_file *shared_hosts(struct ssh_shared *s, const char *path)
{
    return cached_hosts(s, s->hosts, path, hosts_load);
}

struct hosts_file *shared_revoked(struct ssh_shared *s, const char *path)
{
    return cached_hosts(s, s->revoked, path, hosts_load_revoked);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

struct ssh_key *shared_key(struct ssh_shared *s, const char *path)
{
    struct stat st = {0};
    void *found = NULL;
    struct ssh_key *key = NULL;

    (void) stat(path, &st); /* absent: all zero, which is a state like another */
    pthread_mutex_lock(&s->lock);
    if (strmap_get(s->keys, path, &found) && same_file(&((struct key_slot *) found)->st, &st))
        key = ssh_key_ref(((struct key_slot *) found)->key);
    pthread_mutex_unlock(&s->lock);
    if (key)
        return key;
    key = ssh_key_load(path);
    pthread_mutex_lock(&s->lock);
    if (strmap_get(s->keys, path, &found) && same_file(&((struct key_slot *) found)->st, &st)) {
        /* Another helper was first, and a locked key must be one for all: it is asked for once. */
        ssh_key_unref(key);
        key = ssh_key_ref(((struct key_slot *) found)->key);
    } else {
        struct key_slot *slot = x_calloc(1, sizeof *slot);

        if (strmap_get(s->keys, path, &found))
            drop_key(NULL, found, NULL);
        slot->key = ssh_key_ref(key);
        slot->st = st;
        strmap_set(s->keys, path, slot);
    }
    pthread_mutex_unlock(&s->lock);
    return key;
}

/* With the lock held. */
static struct agent_slot *agent_slot(struct ssh_shared *s, const char *path)
{
    void *found = NULL;

    if (!strmap_get(s->agents, path, &found)) {
        found = x_calloc(1, sizeof(struct agent_slot));
        strmap_set(s->agents, path, found);
    }
    return found;
}

struct agent_keys *shared_agent(struct ssh_shared *s, const char *path, int64_t timeout_ms,
                                struct err *e)
{
    struct agent_keys *keys = NULL;

    pthread_mutex_lock(&s->lock);

    struct agent_slot *slot = agent_slot(s, path);

    while (slot->busy)
        pthread_cond_wait(&s->filled, &s->lock);
    if (now() >= slot->until_ms) {
        struct err why = ERR_INIT;

        slot->busy = true;
        pthread_mutex_unlock(&s->lock);
        keys = agent_list(path, timeout_ms, &why);
        pthread_mutex_lock(&s->lock);
        agent_keys_unref(slot->keys);
        free(slot->error);
        slot->keys = keys;
        slot->error = keys ? NULL : x_strdup(why.msg);
        slot->until_ms = now() + (keys ? AGENT_FRESH_MS : AGENT_HUNG_MS);
        slot->busy = false;
        pthread_cond_broadcast(&s->filled);
        err_clear(&why);
    }
    keys = slot->keys && !slot->error ? agent_keys_ref(slot->keys) : NULL;
    if (!keys)
        err_set(e, ERR_VALIDATION, "%s", slot->error);
    pthread_mutex_unlock(&s->lock);
    return keys;
}

void shared_agent_hung(struct ssh_shared *s, const char *path, const char *why)
{
    pthread_mutex_lock(&s->lock);

    struct agent_slot *slot = agent_slot(s, path);

    if (!slot->busy) {
        free(slot->error);
        slot->error = x_strdup(why);
        slot->until_ms = now() + AGENT_HUNG_MS;
    }
    pthread_mutex_unlock(&s->lock);
}

int shared_accept(struct ssh_shared *s, const char *path, const char *name, bool hashed,
                  const char *type, const void *blob, size_t n, unsigned *line, struct err *e)
{
    pthread_mutex_lock(&s->accepting);

    int rc = hosts_append(path, name, hashed, type, blob, n, line, e);

    pthread_mutex_unlock(&s->accepting);
    return rc;
}
