/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as values. */
#include "muster/base/err.h"

#include "muster/base/alloc.h"

#include <stddef.h>

struct row {
    const char *json;
    int exit_status;
};

static const struct row rows[] = {
    [ERR_NONE] = {"INTERNAL_ERROR", 0},
#define ERR(id, json_name, status) [ERR_##id] = {json_name, status},
    ERR_TABLE(ERR)
#undef ERR
};

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    va_list ap;
    char *msg;

    if (!e)
        return -(int) code;
    /* The old message may be among the arguments: it goes only once the new one is made. */
    va_start(ap, fmt);
    msg = x_vasprintf(fmt, ap);
    va_end(ap);
    err_clear(e);
    e->code = code;
    e->msg = msg;
    return -(int) code;
}

void err_prefix(struct err *e, const char *fmt, ...)
{
    char *before, *msg;
    va_list ap;

    if (!e || e->code == ERR_NONE)
        return;
    va_start(ap, fmt);
    before = x_vasprintf(fmt, ap);
    va_end(ap);
    msg = x_asprintf("%s%s", before, e->msg ? e->msg : "");
    free(before);
    free(e->msg);
    e->msg = msg;
}

void err_details(struct err *e, char *details)
{
    if (!e) {
        free(details);
        return;
    }
    free(e->details);
    e->details = details;
}

void err_clear(struct err *e)
{
    if (!e)
        return;
    free(e->msg);
    free(e->details);
    *e = (struct err) ERR_INIT;
}

const char *err_json_code(enum err_code code)
{
    return (size_t) code < ARRAY_LEN(rows) ? rows[code].json : "INTERNAL_ERROR";
}

int err_exit_status(enum err_code code)
{
    return (size_t) code < ARRAY_LEN(rows) ? rows[code].exit_status : 1;
}
