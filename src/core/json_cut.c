/* SPDX-License-Identifier: Apache-2.0 */
/* One member of a document that is known to be JSON, without reading the rest of it as such: of ten
 * thousand nodes' facts a target needs one each. */
#include "muster/core/json.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"

#include <string.h>

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

/* Past the string that begins here; NULL: it does not end. */
static const char *skip_string(const char *p)
{
    for (p++; *p && *p != '"'; p++)
        if (*p == '\\' && !*++p)
            return NULL;
    return *p ? p + 1 : NULL;
}

/* Past the value that begins here; NULL: it does not end, or is none. */
static const char *skip_value(const char *p)
{
    size_t depth = 0;
    const char *start = p;

    while (*p) {
        if (*p == '"') {
            p = skip_string(p);
            if (!p)
                return NULL;
            if (!depth)
                return p;
            continue;
        }
        if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            if (!depth)
                break;
            if (--depth == 0)
                return p + 1;
        } else if (*p == ',' && !depth) {
            break;
        }
        p++;
    }
    return depth || p == start ? NULL : p;
}

/* A path goes through the member of this name. */
static bool leads_to(const char *path, const char *key, size_t n)
{
    return strncmp(path, key, n) == 0 && (path[n] == '\0' || path[n] == '.');
}

/* Adds the members that the path goes through. False: it is not as it should be, or a name has escapes. */
static bool cut(const char *p, const char *path, struct strbuf *out)
{
    p = skip_blanks(p);
    if (*p++ != '{')
        return false;
    for (p = skip_blanks(p); *p == '"'; p = skip_blanks(p + 1)) {
        const char *key = p, *key_end = skip_string(p);
        const char *value = key_end ? skip_blanks(key_end) : NULL;
        if (!value || *value != ':' || memchr(key, '\\', (size_t) (key_end - key)))
            return false;
        p = skip_value(skip_blanks(value + 1));
        if (!p)
            return false;
        if (leads_to(path, key + 1, (size_t) (key_end - key) - 2)) {
            strbuf_adds(out, out->len > 1 ? "," : "");
            strbuf_add(out, key, (size_t) (p - key));
        }
        p = skip_blanks(p);
        if (*p != ',')
            break;
    }
    return *p == '}';
}

struct json *json_parse_member(const char *text, const char *path)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    strbuf_addch(&b, '{');
    struct json *j = NULL;
    if (!cut(text, path, &b)) {
        j = json_parse(text, strlen(text), NULL);
    } else if (b.len > 1) {
        strbuf_addch(&b, '}');
        j = json_parse(b.s, b.len, NULL);
    }
    strbuf_free(&b);
    return j;
}
