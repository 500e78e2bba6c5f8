/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of a node: one table row each, and merging. */
#include "muster/core/settings.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/text.h"
#include "muster/core/words.h"

#include <stddef.h>
#include <string.h>

static const struct row {
    const char *key;
    enum setting_type type;
    size_t offset;
} rows[SETTING_COUNT] = {
#define SETTING(id, member, key_text, kind, help)                                              \
    [SETTING_##id] = {key_text, SETTING_TYPE_##kind, offsetof(struct settings, member)},
    SETTING_TABLE(SETTING)
#undef SETTING
};

/* The member that a row describes, as the type that its kind has. */
static void *member(const struct settings *s, enum setting_id id)
{
    return (char *) s + rows[id].offset;
}

static char **text_of(const struct settings *s, enum setting_id id)
{
    return member(s, id);
}

void settings_init(struct settings *s)
{
    memset(s, 0, sizeof *s);
    s->connect_timeout_ms = s->command_timeout_ms = -1;
}

void settings_clear(struct settings *s)
{
    for (int id = 0; id < SETTING_COUNT; id++) {
        if (rows[id].type == SETTING_TYPE_TEXT || rows[id].type == SETTING_TYPE_PATH)
            free(*text_of(s, (enum setting_id) id));
        else if (rows[id].type == SETTING_TYPE_LIST)
            strv_clear(member(s, (enum setting_id) id));
    }
    settings_init(s);
}

void settings_merge(struct settings *s, const struct settings *over)
{
    for (int i = 0; i < SETTING_COUNT; i++) {
        enum setting_id id = (enum setting_id) i;

        if (s == over || !setting_is_set(over, id))
            continue;
        switch (rows[id].type) {
        case SETTING_TYPE_TEXT:
        case SETTING_TYPE_PATH:
            free(*text_of(s, id));
            *text_of(s, id) = x_strdup(*text_of(over, id));
            break;
        case SETTING_TYPE_PORT:
            *(int *) member(s, id) = *(int *) member(over, id);
            break;
        case SETTING_TYPE_TIME:
            *(int64_t *) member(s, id) = *(int64_t *) member(over, id);
            break;
        case SETTING_TYPE_LIST:
            strv_copy(member(s, id), member(over, id));
            break;
        }
    }
}

void settings_merge_flags(struct settings *s, const struct settings *flags)
{
    CLEANUP_STRV struct strv had = STRV_INIT;

    strv_copy(&had, &s->identity);
    settings_merge(s, flags);
    for (size_t i = 0; i < had.n; i++)
        if (!strv_has(&s->identity, had.v[i]))
            strv_push(&s->identity, had.v[i]);
}

const char *setting_key(enum setting_id id)
{
    return rows[id].key;
}

enum setting_type setting_type(enum setting_id id)
{
    return rows[id].type;
}

int setting_find(const char *key)
{
    for (int id = 0; id < SETTING_COUNT; id++) {
        if (!strcmp(rows[id].key, key))
            return id;
    }
    return -1;
}

bool transport_known(const char *name)
{
    static const char *const names[] = {
#define TRANSPORT(id, text, help) text,
        TRANSPORT_TABLE(TRANSPORT)
#undef TRANSPORT
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

static const char *const become_names[BECOME_COUNT] = {
#define BECOME(id, text, help) [BECOME_##id] = text,
    BECOME_TABLE(BECOME)
#undef BECOME
};

int become_parse(const char *name)
{
    for (int i = 0; i < BECOME_COUNT; i++)
        if (!strcmp(name, become_names[i]))
            return i;
    return -1;
}

const char *become_name(enum become_method m)
{
    return become_names[m];
}

static int refuse(enum setting_id id, const char *value, const char *allowed, struct err *e)
{
    return err_set(e, ERR_VALIDATION, "%s: \"%s\" is not allowed: %s", rows[id].key, value,
                   allowed);
}

/* Host and user names reach ssh's command line and the server: no option, no blank. */
static bool is_name(const char *value)
{
    if (!*value || *value == '-')
        return false;
    for (; *value; value++) {
        if ((unsigned char) *value <= ' ' || *value == 0x7f)
            return false;
    }
    return true;
}

static int check_text(enum setting_id id, const char *value, struct err *e)
{
    switch (id) {
    case SETTING_HOST:
    case SETTING_USER:
    case SETTING_BECOME_USER:
        if (is_name(value))
            return 0;
        return refuse(id, value, "give a name without blanks that does not start with '-'", e);
    case SETTING_TRANSPORT:
        if (transport_known(value))
            return 0;
        return refuse(id, value, "give one of " TRANSPORT_CHOICES, e);
    case SETTING_BECOME:
        if (become_parse(value) >= 0)
            return 0;
        return refuse(id, value, "give one of " BECOME_CHOICES, e);
    case SETTING_STRICT:
        if (!strcmp(value, "yes") || !strcmp(value, "accept-new"))
            return 0;
        return refuse(id, value, "give yes or accept-new", e);
    case SETTING_EXEC: {
        int rc = exec_template_check(value, e);

        if (rc)
            err_prefix(e, "exec: \"%s\": ", value);
        return rc;
    }
    default:
        return *value ? 0 : refuse(id, value, "give a value", e);
    }
}

static int set_port(int *port, enum setting_id id, const char *value, struct err *e)
{
    long n = 0;
    const char *p = value;

    for (; *p >= '0' && *p <= '9' && n <= 65535; p++)
        n = n * 10 + (*p - '0');
    if (p == value || *p || n < 1 || n > 65535)
        return refuse(id, value, "give a number from 1 to 65535", e);
    *port = (int) n;
    return 0;
}

static int set_time(int64_t *ms, enum setting_id id, const char *value, struct err *e)
{
    bool may_be_zero = id == SETTING_COMMAND_TIMEOUT;
    int64_t parsed;

    if (!text_parse_duration(value, &parsed) || (!parsed && !may_be_zero))
        return refuse(id, value,
                      may_be_zero ? "give seconds, or 500ms, 15s, 2m, 1h, at most 30 days; "
                                    "0 is no limit"
                                  : "give seconds, or 500ms, 15s, 2m, 1h, above 0 and at most "
                                    "30 days",
                      e);
    *ms = parsed;
    return 0;
}

int setting_set(struct settings *s, enum setting_id id, const char *value, struct err *e)
{
    int rc;

    switch (rows[id].type) {
    case SETTING_TYPE_PORT:
        return set_port(member(s, id), id, value, e);
    case SETTING_TYPE_TIME:
        return set_time(member(s, id), id, value, e);
    case SETTING_TYPE_LIST:
        rc = check_text(id, value, e);
        if (!rc)
            strv_push(member(s, id), value);
        return rc;
    case SETTING_TYPE_TEXT:
    case SETTING_TYPE_PATH:
        break;
    }
    rc = check_text(id, value, e);
    if (!rc) {
        char *copy = x_strdup(value); /* value may be the member itself */

        free(*text_of(s, id));
        *text_of(s, id) = copy;
    }
    return rc;
}

static char *time_text(int64_t ms)
{
    return ms % 1000 ? x_asprintf("%lldms", (long long) ms)
                     : x_asprintf("%llds", (long long) (ms / 1000));
}

char *setting_get(const struct settings *s, enum setting_id id)
{
    if (!setting_is_set(s, id))
        return x_strdup("");
    switch (rows[id].type) {
    case SETTING_TYPE_PORT:
        return x_asprintf("%d", *(int *) member(s, id));
    case SETTING_TYPE_TIME:
        return time_text(*(int64_t *) member(s, id));
    case SETTING_TYPE_LIST:
        return strv_join(member(s, id), ", ");
    case SETTING_TYPE_TEXT:
    case SETTING_TYPE_PATH:
        break;
    }
    return x_strdup(*text_of(s, id));
}

const struct strv *setting_list(const struct settings *s, enum setting_id id)
{
    return member(s, id);
}

bool setting_is_set(const struct settings *s, enum setting_id id)
{
    switch (rows[id].type) {
    case SETTING_TYPE_PORT:
        return *(int *) member(s, id) != 0;
    case SETTING_TYPE_TIME:
        return *(int64_t *) member(s, id) >= 0;
    case SETTING_TYPE_LIST:
        return ((struct strv *) member(s, id))->n != 0;
    case SETTING_TYPE_TEXT:
    case SETTING_TYPE_PATH:
        break;
    }
    return *text_of(s, id) != NULL;
}
