/* SPDX-License-Identifier: Apache-2.0 */
/* Names of nodes and groups: which are allowed, and lists of range patterns. */
#include "source.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/text.h"
#include "muster/core/nodeset.h"

#include <string.h>

/* LIMIT: a DNS name has at most 255 bytes. */
#define NAME_MAX_BYTES 255

/* Signs that mean something in a target expression, or that no host name has. */
static const char reserved[] = " ,!&^*?/\"'\\@#=<>|;$`(){}";

static bool name_is_plain(const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char) *s;
        if (c <= ' ' || c >= 0x7f)
            return false;
    }
    return true;
}

int name_check(const char *what, const char *name, struct err *e)
{
    CLEANUP_FREE char *clean = NULL;
    const char *bad;

    if (*name == '\0')
        return err_set(e, ERR_VALIDATION, "a %s has an empty name", what);
    if (strlen(name) > NAME_MAX_BYTES)
        return err_set(e, ERR_VALIDATION, "the %s name \"%.40s...\" is longer than %d bytes", what,
                       name, NAME_MAX_BYTES);
    if (!name_is_plain(name)) {
        clean = text_clean(name);
        if (strcmp(clean, name) != 0)
            return err_set(e, ERR_VALIDATION,
                           "the %s name \"%s\" holds control or invisible characters", what,
                           clean);
    }
    bad = strpbrk(name, reserved);
    if (bad)
        return err_set(e, ERR_VALIDATION,
                       "\"%s\" cannot be a %s name: \"%c\" has a meaning of its own in targets",
                       name, what, *bad);
    if (*name == '-')
        return err_set(e, ERR_VALIDATION, "the %s name \"%s\" begins with \"-\"", what, name);
    return 0;
}

char *names_next(const char **p)
{
    const char *s = *p, *start;
    int depth = 0;

    while (*s == ',' || *s == ' ' || *s == '\t' || *s == '\n')
        s++;
    start = s;
    for (; *s; s++) {
        if (*s == '[')
            depth++;
        else if (*s == ']' && depth > 0)
            depth--;
        else if (depth == 0 && (*s == ',' || *s == ' ' || *s == '\t' || *s == '\n'))
            break;
    }
    *p = s;
    return s > start ? x_strndup(start, (size_t) (s - start)) : NULL;
}

/* The pattern without what stands in its brackets, so that the rest can be checked once for all
 * the names it writes. */
static char *outside_brackets(const char *pattern)
{
    char *out = x_strdup(pattern), *w = out;
    int depth = 0;

    for (const char *s = pattern; *s; s++) {
        if (*s == '[') {
            depth++;
        } else if (*s == ']' && depth > 0) {
            depth--;
            *w++ = '0';
        } else if (depth == 0) {
            *w++ = *s;
        }
    }
    *w = '\0';
    return out;
}

int names_expand(struct nodeset *out, const char *text, struct err *e)
{
    char *piece;

    while ((piece = names_next(&text))) {
        CLEANUP_FREE char *pattern = piece;
        CLEANUP_FREE char *outside = outside_brackets(pattern);
        int rc;

        if (*pattern == '@')
            return err_set(e, ERR_VALIDATION,
                           "\"%s\" is a group: list it under `groups`, without the \"@\"",
                           pattern);
        rc = name_check("node", outside, e);
        if (rc) {
            if (strcmp(pattern, outside) != 0) {
                CLEANUP_FREE char *clean = text_clean(pattern);
                err_prefix(e, "in \"%s\": ", clean);
            }
            return rc;
        }
        rc = nodeset_expand(out, pattern, e);
        if (rc)
            return rc;
    }
    return 0;
}
