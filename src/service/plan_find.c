/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue of plans, and one plan by its name or path. */
#include "work.h"

#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"

#include <string.h>

#define PLAN_BYTES_MAX ((size_t) 4 << 20) /* LIMIT: bytes of a plan */

static int load(const struct action_found *f, struct plan *out, struct err *e)
{
    struct strbuf b;
    const char *dot = strrchr(f->meta, '.');
    memset(out, 0, sizeof *out);
    if (dot && strcmp(dot, ".pp") == 0)
        return err_set(e, ERR_VALIDATION, "%s is a plan in the Puppet language: muster runs YAML plans only",
                       f->name);
    strbuf_init(&b, PLAN_BYTES_MAX);
    int rc = io_read_file(f->meta, PLAN_BYTES_MAX, &b, e);
    if (rc == 0)
        rc = plan_parse(f->name, f->meta, b.s, b.len, out, e);
    strbuf_free(&b);
    return rc;
}

int service_plan(struct service *s, const char *name, struct plan *out, struct err *e)
{
    struct action_found f;
    memset(out, 0, sizeof *out);
    int rc = action_lookup(s, true, name, &f, e);
    if (rc == 0)
        rc = load(&f, out, e);
    action_found_clear(&f);
    return rc;
}

int service_plans(struct service *s, struct action_list *out, struct err *e)
{
    struct action_founds l;
    memset(out, 0, sizeof *out);
    action_find(s, true, &l);
    out->v = x_calloc(l.n + 1, sizeof *out->v);
    for (size_t i = 0; i < l.n; i++) {
        struct action_entry *x = &out->v[out->n];
        CLEANUP_ERR struct err why = ERR_INIT;
        struct plan p;
        if (load(&l.v[i], &p, &why) == 0) {
            /* As Bolt: not listed, yet shown and run by its name. */
            if (p.is_private) {
                plan_clear(&p);
                continue;
            }
            x->description = X_STEAL(p.description);
            plan_clear(&p);
        } else {
            x->error = X_STEAL(why.msg);
        }
        x->name = X_STEAL(l.v[i].name);
        x->path = X_STEAL(l.v[i].meta);
        out->n++;
    }
    action_founds_clear(&l);
    action_list_sort(out);
    return 0;
}
