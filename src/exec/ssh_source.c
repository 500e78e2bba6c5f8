/* SPDX-License-Identifier: Apache-2.0 */
/* Which line of ssh_config a value of `ssh -G` comes from: ssh takes the first that applies, but does
 * not say which one that was. A line in a Match part is the one when its value is the answer's. */
#include "ssh_source.h"

#include "ssh_class.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/vec.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAMED_MAX 3

/* Other names that ssh still takes, and what it prints them as. */
static const char *current_name(const char *keyword)
{
    static const char *const names[][2] = {
        {"ChallengeResponseAuthentication", "KbdInteractiveAuthentication"},
        {"PubkeyAcceptedKeyTypes", "PubkeyAcceptedAlgorithms"},
        {"HostbasedKeyTypes", "HostbasedAcceptedAlgorithms"},
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcasecmp(keyword, names[i][0]) == 0)
            return names[i][1];
    return keyword;
}

static void keep(void *ctx, const struct scan_mention *m)
{
    struct sources *s = ctx;
    size_t len = strlen(m->value);
    bool quoted = len > 1 && m->value[0] == '"' && m->value[len - 1] == '"';

    if (strcasecmp(m->keyword, "match") == 0)
        return;
    X_GROW(s->v, s->cap, s->n + 1);
    s->v[s->n++] = (struct mention) {
        .keyword = x_strdup(current_name(m->keyword)),
        .value = quoted ? x_strndup(m->value + 1, len - 2) : x_strdup(m->value),
        .where = x_asprintf("%s:%u%s", m->file, m->line, m->unsure ? " (Match)" : ""),
        .unsure = m->unsure,
    };
}

void sources_read(struct sources *s, const char *config, const char *host)
{
    struct scan *scan = scan_files(config);
    CLEANUP_FREE char *class_key = scan_class(scan, host);

    *s = (struct sources) {.host = x_strdup(host)};
    scan_each(scan, class_key, keep, s);
    scan_unref(scan);
}

void sources_clear(struct sources *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->v[i].keyword);
        free(s->v[i].value);
        free(s->v[i].where);
    }
    free(s->v);
    free(s->host);
    *s = (struct sources) {0};
}

bool sources_name(const struct sources *s, const char *keyword)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcasecmp(s->v[i].keyword, keyword) == 0)
            return true;
    return false;
}

/* Each line adds to those before it; for all others the first counts. */
static bool adds_up(const char *keyword)
{
    static const char *const names[] = {"identityfile", "certificatefile", "localforward",
                                        "remoteforward", "dynamicforward", "sendenv"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcasecmp(keyword, names[i]) == 0)
            return true;
    return false;
}

/* 1: a yes, 0: a no, -1: neither. */
static int truth(const char *v)
{
    return strcasecmp(v, "yes") == 0 || strcasecmp(v, "true") == 0   ? 1
           : strcasecmp(v, "no") == 0 || strcasecmp(v, "false") == 0 ? 0
                                                                     : -1;
}

/* "2m" as ssh prints it: in seconds. -1: it is no such time. */
static long seconds(const char *v)
{
    static const char units[] = "smhdw";
    static const long each[] = {1, 60, 3600, 86400, 604800};
    char *end;
    long n = strtol(v, &end, 10);
    const char *unit = *end ? strchr(units, *end | 32) : units;

    if (end == v || n < 0 || n > 1000000 || !unit || (*end && end[1]))
        return -1;
    return n * each[unit - units];
}

/* ssh prints a path with its ~ filled in. */
static bool same_text(const char *written, const char *printed)
{
    size_t n = strlen(written), m = strlen(printed);

    if (strncmp(written, "~/", 2) == 0 && m >= n && strcmp(printed + m - n + 1, written + 1) == 0)
        return true;
    return strchr(written, '/') ? strcmp(written, printed) == 0 : strcasecmp(written, printed) == 0;
}

static bool fits(const struct sources *s, const struct mention *m, const char *value)
{
    if (same_text(m->value, value) || (truth(m->value) >= 0 && truth(m->value) == truth(value)) ||
        (seconds(m->value) >= 0 && seconds(m->value) == seconds(value)))
        return true;
    if (strcasecmp(m->keyword, "hostname") != 0)
        return false;

    CLEANUP_FREE char *name = scan_hostname(m->value, s->host);

    return strcasecmp(name, value) == 0;
}

/* One of the values, which ", " parts, begins as the line does. */
static bool is_among(const struct mention *m, const char *values)
{
    CLEANUP_FREE char *first = x_strndup(m->value, strcspn(m->value, " \t"));

    for (const char *p = values; p; p = strstr(p, ", ")) {
        p += strncmp(p, ", ", 2) == 0 ? 2 : 0;

        CLEANUP_FREE char *piece = x_strndup(p, strcspn(p, ", "));

        if (same_text(first, piece))
            return true;
    }
    return false;
}

static char *all_of(const struct sources *s, const char *keyword, const char *value)
{
    CLEANUP_STRV struct strv places = STRV_INIT;

    for (size_t i = 0; i < s->n; i++)
        if (strcasecmp(s->v[i].keyword, keyword) == 0 && !strv_has(&places, s->v[i].where) &&
            (!s->v[i].unsure || is_among(&s->v[i], value)))
            strv_push(&places, s->v[i].where);
    return places.n ? strv_join(&places, ", ") : NULL;
}

static char *one_of(const struct strv *places)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    for (size_t i = 0; i < places->n && i < NAMED_MAX; i++)
        strbuf_addf(&b, "%s%s", i ? " or " : "", places->v[i]);
    if (places->n > NAMED_MAX)
        strbuf_adds(&b, " or a later one");
    return strbuf_steal(&b);
}

char *sources_of(const struct sources *s, const char *keyword, const char *value, const char *usual)
{
    CLEANUP_STRV struct strv fitting = STRV_INIT, possible = STRV_INIT;
    const struct mention *sure = NULL;

    if (adds_up(keyword)) {
        char *all = all_of(s, keyword, value);

        if (all || (usual && strcmp(usual, value) == 0))
            return all;
    }
    for (size_t i = 0; i < s->n && !sure; i++) {
        const struct mention *m = &s->v[i];

        if (strcasecmp(m->keyword, keyword) != 0)
            continue;
        strv_push(&possible, m->where);
        if (fits(s, m, value))
            strv_push(&fitting, m->where);
        if (!m->unsure)
            sure = m;
    }
    if (fitting.n)
        return one_of(&fitting);
    if (!sure && usual && strcmp(usual, value) == 0)
        return NULL;
    return possible.n ? one_of(&possible) : x_strdup(SOURCE_WORKED_OUT);
}
