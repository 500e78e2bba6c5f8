/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys are offered, in which order: the agent's that match an identity file, the agent's
 * others (unless IdentitiesOnly), then files. What is passed over leaves a note for the error
 * text; what only ssh itself could offer is kept apart, for it may be asked to. */
#include "ssh_prepare.h"

#include "helpers.h"
#include "ssh_agent.h"
#include "ssh_key.h"
#include "ssh_keyring.h"
#include "ssh_shared.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/exec/transport.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#define AGENT_MS 3000
#define IDENTITIES_MAX 16
#define RSA_MIN_BITS 1024 /* as OpenSSH */

/* Loaded identity files. */
struct files {
    struct ssh_key *v[IDENTITIES_MAX];
    bool in_agent[IDENTITIES_MAX]; /* the agent has its private half */
    bool done[IDENTITIES_MAX];     /* it has been offered */
    size_t n, own;                 /* own: how many of them go first */
};

static void note(struct prepared *p, const char *what, const char *text)
{
    strv_push_own(&p->notes, x_asprintf("%s %s", what, text));
}

/* The signature that an RSA key is offered with, of those that the user's list allows. */
static const char *rsa_algorithm(const struct prepared *p)
{
    static const char *const best_first[] = {"rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"};

    for (size_t i = 0; i < ARRAY_LEN(best_first); i++)
        if (!p->conf->key_algs || kex_lists(p->conf->key_algs, best_first[i]))
            return best_first[i];
    return NULL;
}

static bool type_allowed(struct prepared *p, const char *what, const char *type,
                         const void *blob, size_t n)
{
    unsigned bits = ssh_rsa_bits(blob, n);
    unsigned least = p->conf->required_rsa > 0 ? (unsigned) p->conf->required_rsa : RSA_MIN_BITS;

    if (bits && bits < least) {
        CLEANUP_FREE char *text = x_asprintf("is an RSA key of %u bits, and RequiredRSASize is %u",
                                             bits, least);

        note(p, what, text);
        return false;
    }
    if (bits ? rsa_algorithm(p) != NULL
             : !p->conf->key_algs || kex_lists(p->conf->key_algs, type))
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

static void note_too_many(struct prepared *p, const char *label)
{
    CLEANUP_FREE char *text = x_asprintf("comes after the %zu that are offered (a server ends the "
                                         "connection after a few)", p->max_cand);

    note(p, label, text);
}

/* Takes the label over. */
static void offer(struct prepared *p, const uint8_t *blob, size_t n, struct ssh_key *key,
                  char *label)
{
    bool twice = offered(p, blob, n) != NULL;

    if (!twice && p->n_cand >= p->max_cand)
        note_too_many(p, label);
    if (twice || p->n_cand >= p->max_cand) {
        free(label);
        return;
    }
    p->cand[p->n_cand++] = (struct candidate) {
        .blob = x_memdup(blob, n),
        .blob_len = n,
        .alg = ssh_rsa_bits(blob, n) ? rsa_algorithm(p) : NULL,
        .key = key ? ssh_key_ref(key) : NULL,
        .label = label,
    };
}

/* ssh would offer it before the key. */
static void look_for_certificate(struct prepared *p, const char *key_path)
{
    CLEANUP_FREE char *path = x_asprintf("%s-cert.pub", key_path);

    if (access(path, F_OK) == 0)
        prepare_fallback(p, "%s is a certificate, which only ssh itself can offer", path);
}

static void load_files(struct prepared *p, const struct strv *list, size_t own,
                       bool explicit_keys, struct files *f)
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
        f->own += i < own;
        look_for_certificate(p, path);
    }
}

static bool is_certificate(const char *type)
{
    return type && strstr(type, "-cert-v0");
}

static void offer_agent_key(struct prepared *p, const struct agent_key *k)
{
    CLEANUP_FREE char *print = ssh_fingerprint(k->blob, k->blob_len);
    CLEANUP_FREE char *label = x_asprintf("agent %s %s", ssh_type_short(k->type), print);

    if (is_certificate(k->type)) {
        prepare_fallback(p, "the agent %s has a certificate (%s), which only ssh itself can offer",
                         p->agent_path, k->type);
    } else if (!ssh_type_usable(k->type)) {
        note(p, label, "is of a type that only ssh itself can use");
        strv_push(&p->only_ssh, label);
    } else if (type_allowed(p, label, k->type, k->blob, k->blob_len)) {
        offer(p, k->blob, k->blob_len, NULL, X_STEAL(label));
    }
}

static bool same(const struct agent_key *a, const struct ssh_key *k)
{
    return k->blob && a->blob_len == k->blob_len && memcmp(a->blob, k->blob, k->blob_len) == 0;
}

/* A file with a passphrase is offered by its public half, and opened when a server takes it: not
 * before, unless that half is hidden too. */
static void offer_locked(struct prepared *p, struct ssh_key *k)
{
    struct keyring *ring = shared_keyring(p->shared);
    CLEANUP_FREE char *why = NULL;
    struct ssh_key *open = keyring_look(ring, k, &why);

    if (!open && !why && (p->conf->batch_mode || !help_can_ask(p->help))) {
        note(p, k->path, k->problem);
        return;
    }
    if (!open && !why && !k->blob)
        open = keyring_unlock(ring, k, p->help, &why);

    struct ssh_key *key = open ? open : k;

    if (why)
        note(p, k->path, why);
    else if (key->blob && !ssh_type_usable(key->type))
        note(p, k->path, "is of a type that the ssh transport cannot use");
    else if (key->blob && type_allowed(p, k->path, key->type, key->blob, key->blob_len))
        offer(p, key->blob, key->blob_len, key, x_strdup(k->path));
    ssh_key_unref(open);
}

/* Only an agent could have signed for it. */
static void note_public(struct prepared *p, const struct ssh_key *k)
{
    CLEANUP_FREE char *text =
        x_asprintf("%s, and %s its private half",
                   k->public_only ? "is a public key" : "does not exist, though its .pub does",
                   !p->agent_path      ? "there is no agent that could hold"
                   : p->agent_keys < 0 ? "the agent cannot be asked for"
                                       : "the agent does not hold");

    note(p, k->path, text);
}

static void offer_file(struct prepared *p, struct ssh_key *k, bool in_agent)
{
    bool only_public = k->public_only || k->absent;

    if (only_public && in_agent)
        return; /* offered, or noted, as the agent's */
    if (k->blob && offered(p, k->blob, k->blob_len))
        return; /* by the agent */
    if (k->locked) {
        offer_locked(p, k);
    } else if (!k->pkey) {
        if (only_public)
            note_public(p, k);
        else
            note(p, k->path, k->problem);
        if (!k->public_only && k->type && strncmp(k->type, "sk-", 3) == 0)
            strv_push(&p->only_ssh, k->path);
    } else if (type_allowed(p, k->path, k->type, k->blob, k->blob_len)) {
        offer(p, k->blob, k->blob_len, k, x_strdup(k->path));
    }
}

/* First those that belong to identity files, and muster's own files, in the files' order, then the
 * rest; some places are kept for files that can sign themselves. */
static void offer_agent(struct prepared *p, const struct agent_keys *keys, struct files *f,
                        bool only)
{
    size_t keep = 0;

    p->agent_keys = (int) keys->n;
    for (size_t i = 0; i < f->n; i++) {
        for (size_t j = 0; j < keys->n; j++)
            if (same(&keys->v[j], f->v[i])) {
                offer_agent_key(p, &keys->v[j]);
                f->in_agent[i] = true;
            }
        if (i < f->own && !f->in_agent[i])
            offer_file(p, f->v[i], false);
        f->done[i] = i < f->own;
        keep += !f->done[i] && !f->in_agent[i] && (f->v[i]->pkey || f->v[i]->locked) && keep < 2;
    }
    p->max_cand -= keep;
    for (size_t j = 0; !only && j < keys->n; j++) {
        bool matched = false;

        for (size_t i = 0; i < f->n; i++)
            matched |= same(&keys->v[j], f->v[i]);
        if (!matched)
            offer_agent_key(p, &keys->v[j]);
    }
    p->max_cand += keep;
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

static void ask_agent(struct prepared *p, struct files *f)
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

void prepare_keys(struct prepared *p, const struct strv *list, size_t own, bool explicit_keys)
{
    struct files f = {.n = 0};

    /* A hung agent must show as such, and not as a server that takes too long. */
    p->agent_ms = prepare_limit_ms(p) / 3;
    if (p->conf->no_pubkey) {
        strv_push(&p->notes, "any key (PubkeyAuthentication is off)");
        return;
    }
    load_files(p, list, own, explicit_keys, &f);
    ask_agent(p, &f);
    for (size_t i = 0; i < f.n; i++) {
        if (!f.done[i])
            offer_file(p, f.v[i], f.in_agent[i]);
        ssh_key_unref(f.v[i]);
    }
}
