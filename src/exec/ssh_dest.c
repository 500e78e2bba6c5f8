/* SPDX-License-Identifier: Apache-2.0 */
/* A destination into its parts. */
#include "ssh_dest.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/core/settings.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME "ssh://"
#define PORT_MAX 65535

char *dest_fill(const char *host, const char *node)
{
    struct strbuf b;

    strbuf_init(&b, 1024);
    for (const char *c = host; *c; c++) {
        if (c[0] == '%' && (c[1] == 'n' || c[1] == '%')) {
            strbuf_adds(&b, c[1] == 'n' ? node : "%");
            c++;
        } else {
            strbuf_addch(&b, *c);
        }
    }
    return strbuf_steal(&b);
}

void dest_clear(struct dest *d)
{
    free(d->host);
    free(d->user);
    *d = (struct dest) {0};
}

static bool set_port(struct dest *out, const char *digits)
{
    size_t n = strspn(digits, "0123456789");
    long port = n && n <= 5 && !digits[n] ? strtol(digits, NULL, 10) : 0;

    if (port < 1 || port > PORT_MAX)
        return false;
    out->port = (int) port;
    return true;
}

/* A name never starts with what ssh would take for an option. */
static bool good_host(const char *host)
{
    if (!*host || *host == '-')
        return false;
    for (const char *p = host; *p; p++)
        if ((unsigned char) *p <= ' ' || *p == 0x7f || strchr("[]@/", *p))
            return false;
    return true;
}

static bool set_host(struct dest *out, const char *text)
{
    const char *colon = strchr(text, ':');

    if (*text == '[') {
        const char *end = strchr(text, ']');

        if (!end || (end[1] && end[1] != ':'))
            return false;
        out->host = x_strndup(text + 1, (size_t) (end - text - 1));
        return good_host(out->host) && (!end[1] || set_port(out, end + 2));
    }
    /* One colon stands before a port, more of them are an address. */
    if (colon && !strchr(colon + 1, ':')) {
        out->host = x_strndup(text, (size_t) (colon - text));
        return good_host(out->host) && set_port(out, colon + 1);
    }
    out->host = x_strdup(text);
    return good_host(out->host);
}

static int hex(char c)
{
    return isdigit((unsigned char) c) ? c - '0' : isxdigit((unsigned char) c) ? (c | 32) - 'a' + 10 : -1;
}

/* %40 and its like. */
static void decode(char *s)
{
    char *to = s;

    for (; *s; s++) {
        if (*s == '%' && hex(s[1]) >= 0 && hex(s[2]) >= 0 && (hex(s[1]) || hex(s[2]))) {
            *to++ = (char) (hex(s[1]) * 16 + hex(s[2]));
            s += 2;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

bool dest_parse(const char *text, struct dest *out)
{
    bool uri = strncmp(text, SCHEME, strlen(SCHEME)) == 0;
    CLEANUP_FREE char *copy = x_strdup(uri ? text + strlen(SCHEME) : text);
    char *at = strrchr(copy, '@'), *host = copy;
    size_t len = strlen(copy);

    *out = (struct dest) {0};
    if (uri && len && copy[len - 1] == '/')
        copy[len - 1] = '\0';
    if (at) {
        *at = '\0';
        host = at + 1;
        if (uri) {
            copy[strcspn(copy, ";")] = '\0';
            decode(copy);
        }
        out->user = x_strdup(copy);
    }
    if ((!at || (*out->user && *out->user != '-')) && set_host(out, host))
        return true;
    dest_clear(out);
    return false;
}

char *dest_of_node(const char *node, struct settings *base, struct settings *over, bool *good)
{
    struct settings *place = !over->host && base->host ? base : over;
    char *text = place->host ? dest_fill(place->host, node) : x_strdup(node), *host;
    struct dest d;

    *good = dest_parse(text, &d);
    if (!*good)
        return text;
    free(text);
    host = X_STEAL(d.host);
    if (d.user && !place->user)
        place->user = x_strdup(d.user);
    if (d.port && !place->port)
        place->port = d.port;
    dest_clear(&d);
    return host;
}
