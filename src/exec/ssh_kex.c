/* SPDX-License-Identifier: Apache-2.0 */
/* Name lists of algorithms (RFC 4253, section 7.1). */
#include "ssh_kex.h"

#include "ssh_wire.h"

#include "muster/base/alloc.h"
#include "muster/base/text.h"

#define KEXINIT 20
#define LIST_SHOWN 300

/* No ETM and no chacha20: the library has none of them, so Terrapin does not apply either. Group 18
 * is left out because one exchange takes a reactor a quarter of a second. */
static const struct {
    const char *own, *setting, *what;
} kinds[KEX_KINDS] = {
    [KEX_EXCHANGE] = {"curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,"
                      "ecdh-sha2-nistp521,ecdh-sha2-nistp384,diffie-hellman-group14-sha256,"
                      "diffie-hellman-group-exchange-sha256,diffie-hellman-group16-sha512",
                      "KexAlgorithms", "key exchange"},
    [KEX_HOST_KEY] = {"ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
                      "HostKeyAlgorithms", "host key type"},
    [KEX_CIPHER] = {"aes128-ctr,aes256-ctr,aes192-ctr", "Ciphers", "cipher"},
    [KEX_MAC] = {"hmac-sha2-256,hmac-sha2-512", "MACs", "MAC"},
};

const char *kex_own(enum kex_kind kind)
{
    return kinds[kind].own;
}

const char *kex_setting(enum kex_kind kind)
{
    return kinds[kind].setting;
}

static bool list_has(const char *list, size_t list_len, const char *name, size_t n)
{
    for (const char *p = list, *end = list + list_len; p < end;) {
        const char *comma = memchr(p, ',', (size_t) (end - p));
        size_t len = (size_t) ((comma ? comma : end) - p);

        if (len == n && memcmp(p, name, n) == 0)
            return true;
        p += len + 1;
    }
    return false;
}

bool kex_lists(const char *list, const char *name)
{
    return list_has(list, strlen(list), name, strlen(name));
}

/* Appends the names of ours that are (or are not) in `other`. */
static void append_cut(struct strbuf *out, const char *ours, const char *other, bool in)
{
    for (const char *p = ours; *p;) {
        size_t len = strcspn(p, ",");

        if (len && list_has(other, strlen(other), p, len) == in) {
            if (out->len)
                strbuf_addch(out, ',');
            strbuf_add(out, p, len);
        }
        p += len + (p[len] == ',');
    }
}

char *kex_cut(const char *ours, const char *allowed)
{
    struct strbuf b;

    if (!allowed)
        return x_strdup(ours);
    strbuf_init(&b, 0);
    append_cut(&b, ours, allowed, true);
    return strbuf_steal(&b);
}

char *kex_known_first(const char *ours, const char *known)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    append_cut(&b, ours, known, true);
    append_cut(&b, ours, known, false);
    return strbuf_steal(&b);
}

static bool any_common(const char *ours, const uint8_t *theirs, size_t n)
{
    for (const char *p = ours; *p;) {
        size_t len = strcspn(p, ",");

        if (len && list_has((const char *) theirs, n, p, len))
            return true;
        p += len + (p[len] == ',');
    }
    return false;
}

/* What follows the line that starts with "SSH-". */
static const uint8_t *after_banner(const uint8_t *p, size_t *n)
{
    while (*n) {
        const uint8_t *nl = memchr(p, '\n', *n);

        if (!nl)
            return NULL;

        bool banner = *n > 4 && memcmp(p, "SSH-", 4) == 0;

        *n -= (size_t) (nl + 1 - p);
        p = nl + 1;
        if (banner)
            return p;
    }
    return NULL;
}

char *kex_explain(const void *rx, size_t n, char *const prefs[KEX_KINDS])
{
    const uint8_t *p = after_banner(rx, &n);

    if (!p)
        return NULL;

    struct wire w = wire_of(p, n);
    uint32_t packet = wire_u32(&w);

    wire_u8(&w); /* padding's length; the lists say themselves where they end */
    if (packet > 35000 || wire_u8(&w) != KEXINIT)
        return NULL;
    wire_bytes(&w, 16); /* cookie */

    /* key exchange, host key, cipher and MAC, the latter two for each direction */
    static const enum kex_kind order[] = {KEX_EXCHANGE, KEX_HOST_KEY, KEX_CIPHER,
                                          KEX_CIPHER,   KEX_MAC,      KEX_MAC};

    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        size_t len;
        const uint8_t *list = wire_string(&w, &len);
        struct strbuf shown;

        if (w.bad)
            return NULL;
        if (any_common(prefs[order[i]], list, len))
            continue;
        strbuf_init(&shown, LIST_SHOWN * 2);
        text_sanitise(&shown, list, len < LIST_SHOWN ? len : LIST_SHOWN, 0);

        char *text = x_asprintf("no common %s: the server offers only %s%s; the ssh transport has "
                                "%s", kinds[order[i]].what, shown.s, len > LIST_SHOWN ? "..." : "",
                                prefs[order[i]]);

        strbuf_free(&shown);
        return text;
    }
    return NULL;
}
