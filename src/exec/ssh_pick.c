/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys are offered, in which order: the agent's that match an identity file, the agent's
 * others (unless IdentitiesOnly), then files. What is passed over leaves a note for the error
 * text. */
#include "ssh_prepare.h"

#include "ssh_agent.h"
#include "ssh_key.h"
#include "ssh_shared.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/exec/transport.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#define AGENT_MS 3000
#define IDENTITIES_MAX 16

/* Loaded identity files. */
struct files {
    struct ssh_key *v[IDENTITIES_MAX];
    size_t n;
};

static void note(struct prepared *p, const char *what, const char *text)
{
    strv_push_own(&p->notes, x_asprintf("%s %s", what, text));
}

/* A name in a comma list. */
static bool listed(const char *list, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = list; at && (at = strstr(at, name)); at += n)
        if ((at == list || at[-1] == ',') && (at[n] == ',' || !at[n]))
            return true;
    return false;
}

static bool type_allowed(struct prepared *p, const char *what, const char *type)
{
    if (!p->conf->key_algs || listed(p->conf->key_algs, type))
        return true;
    note(p, what, "is of a type that PubkeyAcceptedAlgorithms leaves out");
    return false;
}

static const struct candidate *offered(const struct prepared *p, const uint8_t *blob, size_t n)
{
    for (size_t i = 0; i < p->n_cand; i++)
        if (p->cand[i].blob_len == n && memcmp(p->cand[i].blob, blob, n) == 0)
            return &p->cand[i];
    return NULL;
}

static void offer(struct prepared *p, const uint8_t *blob, size_t n, struct ssh_key *key,
                  char *label)
{
    if (p->n_cand == OFFERED_MAX || offered(p, blob, n)) {
        free(label);
        return;
    }
    p->cand[p->n_cand++] =
        (struct candidate) {x_memdup(blob, n), n, key ? ssh_key_ref(key) : NULL, label};
}

/* ssh would offer it beside the key. */
static void note_certificate(struct prepared *p, const char *key_path)
{
    CLEANUP_FREE char *path = x_asprintf("%s-cert.pub", key_path);

    if (access(path, F_OK) == 0)
        note(p, path, "is a certificate, which the ssh transport cannot use");
}

static void load_files(struct prepared *p, const struct strv *list, bool explicit_keys,
                       struct files *f)
{
    for (size_t i = 0; i < list->n && f->n < IDENTITIES_MAX; i++) {
        CLEANUP_FREE char *path = conf_expand(list->v[i], &p->tokens);

        if (!path) {
            note(p, list->v[i], "has a %-token or variable that muster does not know");
            continue;
        }

        struct ssh_key *key = shared_key(p->shared, path);

        if (key->absent && !key->blob) {
            if (explicit_keys)
                note(p, path, "does not exist");
            ssh_key_unref(key);
            continue;
        }
        f->v[f->n++] = key;
        note_certificate(p, path);
    }
}

static void offer_agent_key(struct prepared *p, const struct agent_key *k)
{
    CLEANUP_FREE char *print = ssh_fingerprint(k->blob, k->blob_len);
    CLEANUP_FREE char *label = x_asprintf("agent %s %s", ssh_type_short(k->type), print);

    if (!ssh_type_usable(k->type))
        note(p, label, "is of a type that the ssh transport cannot use (only ed25519 and ECDSA)");
    else if (type_allowed(p, label, k->type))
        offer(p, k->blob, k->blob_len, NULL, X_STEAL(label));
}

static bool same(const struct agent_key *a, const struct ssh_key *k)
{
    return k->blob && a->blob_len == k->blob_len && memcmp(a->blob, k->blob, k->blob_len) == 0;
}

/* First those that belong to identity files, in the files' order, then the rest; some places are
 * kept for files that can sign themselves. */
static void offer_agent(struct prepared *p, const struct agent_keys *keys, const struct files *f,
                        bool only)
{
    size_t keep = 0;

    for (size_t i = 0; i < f->n; i++) {
        bool found = false;

        for (size_t j = 0; j < keys->n; j++)
            if (same(&keys->v[j], f->v[i])) {
                offer_agent_key(p, &keys->v[j]);
                found = true;
            }
        keep += !found && f->v[i]->pkey && keep < 2;
    }
    for (size_t j = 0; !only && j < keys->n && p->n_cand + keep < OFFERED_MAX; j++) {
        bool matched = false;

        for (size_t i = 0; i < f->n; i++)
            matched |= same(&keys->v[j], f->v[i]);
        if (!matched)
            offer_agent_key(p, &keys->v[j]);
    }
}

static char *agent_path(const struct prepared *p)
{
    const char *set = p->conf->identity_agent;

    if (set && strcasecmp(set, "none") == 0)
        return NULL;
    if (!set || strcmp(set, "SSH_AUTH_SOCK") == 0)
        set = getenv("SSH_AUTH_SOCK");
    else if (*set == '$' && set[1] != '{')
        set = getenv(set + 1);
    else
        return conf_expand(set, &p->tokens);
    return set && *set ? x_strdup(set) : NULL;
}

static void ask_agent(struct prepared *p, const struct files *f)
{
    bool only = p->conf->identities_only, needed = !only;
    struct err e = ERR_INIT;

    /* With IdentitiesOnly, and each file able to sign, the agent has nothing to add. */
    for (size_t i = 0; i < f->n; i++)
        needed |= !f->v[i]->pkey;
    if (!needed)
        return;
    p->agent_path = agent_path(p);
    if (!p->agent_path)
        return;

    struct agent_keys *keys =
        shared_agent(p->shared, p->agent_path, p->agent_ms < AGENT_MS ? p->agent_ms : AGENT_MS, &e);

    if (keys)
        offer_agent(p, keys, f, only);
    else
        strv_push(&p->notes, e.msg);
    agent_keys_unref(keys);
    err_clear(&e);
}

void prepare_keys(struct prepared *p, const struct strv *list, bool explicit_keys)
{
    struct files f = {.n = 0};
    int64_t limit = p->over.connect_timeout_ms > 0   ? p->over.connect_timeout_ms
                    : p->connect_ms > 0              ? p->connect_ms
                    : p->base.connect_timeout_ms > 0 ? p->base.connect_timeout_ms
                                                     : 15000;

    /* A hung agent must show as such, and not as a server that takes too long. */
    p->agent_ms = limit / 3;
    load_files(p, list, explicit_keys, &f);
    ask_agent(p, &f);
    for (size_t i = 0; i < f.n; i++) {
        struct ssh_key *k = f.v[i];
        const struct candidate *by_agent = k->blob ? offered(p, k->blob, k->blob_len) : NULL;

        if (!by_agent && !k->pkey)
            note(p, k->path, k->problem);
        else if (!by_agent && type_allowed(p, k->path, k->type))
            offer(p, k->blob, k->blob_len, k, x_strdup(k->path));
        ssh_key_unref(k);
    }
}
