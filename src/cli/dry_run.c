/* SPDX-License-Identifier: Apache-2.0 */
/* --dry-run: what would run, and where. */
#include "dry_run.h"

#include "work.h"

#include "muster/base/alloc.h"
#include "muster/base/text.h"
#include "muster/core/json.h"

#include <stdio.h>
#include <string.h>

static struct json *json_list(const struct strv *v)
{
    struct json *a = json_array();
    for (size_t i = 0; i < v->n; i++)
        json_add_str(a, v->v[i]);
    return a;
}

/* Who runs it, where a flag (or what a rerun had) says so. */
static char *become_text(const struct cli *c, const struct batch_request *r)
{
    const struct settings *o = &r->over;
    bool password = c->set[OPT_ASK_SUDO_PASSWORD] || c->set[OPT_SUDO_PASSWORD_FD] ||
                    r->wants_become_password;
    if (!o->become && !o->become_user && !password)
        return NULL;
    if (o->become && strcmp(o->become, become_name(BECOME_NONE)) == 0)
        return x_strdup("none: the login user runs it");
    return x_asprintf("%s, as %s%s", o->become ? o->become : "sudo (or the node's own way)",
                      o->become_user ? o->become_user : "root (or the node's own)",
                      password ? ", with a password" : "");
}

/* Of a rerun: the steps that its nodes begin at. */
static void print_first_steps(const struct work *w, size_t n_nodes)
{
    for (size_t s = 0; w->request->first_step && s < w->plan.n_steps; s++) {
        size_t n = 0;
        for (size_t i = 0; i < n_nodes; i++)
            n += w->request->first_step[i] == s;
        if (n)
            printf("begin at step %zu: %zu node%s\n", s + 1, n, n == 1 ? "" : "s");
    }
}

int dry_run(const struct cli *c, const struct batch_request *r, const struct batch_review *v,
            const struct work *w)
{
    if (cli_json(c)) {
        struct json *o = json_object();
        json_put_bool(o, "dryRun", true);
        json_put_str(o, "action", r->action);
        if (w)
            work_describe_json(w, o);
        json_put_int(o, "targetCount", (int64_t) v->nodes.n);
        json_put(o, "expandedNodeIds", json_list(&v->nodes));
        json_put(o, "targetGroups", json_list(&v->groups));
        json_put(o, "protectedGroups", json_list(&v->protected_groups));
        json_put_int(o, "fanout", v->fanout);
        json_put_str(o, "stages", v->stages);
        json_put(o, "warnings", json_list(&v->warnings));
        puts(json_text(o, NULL));
        json_free(o);
        return 0;
    }
    CLEANUP_FREE char *nodes = text_clean(v->folded);
    CLEANUP_FREE char *action = text_clean(r->action);
    printf("would run on %zu node%s: %s\nfanout %u\n", v->nodes.n, v->nodes.n == 1 ? "" : "s", nodes,
           v->fanout);
    if (w)
        work_describe(w);
    if (w && w->is_plan)
        print_first_steps(w, v->nodes.n);
    if (!w)
        printf("command: %s\n", action);
    CLEANUP_FREE char *stages = text_clean(v->stages);
    if (*stages)
        printf("stages: %s\n", stages);
    CLEANUP_FREE char *become = become_text(c, r);
    if (become)
        printf("become: %s\n", become);
    for (size_t i = 0; i < v->protected_groups.n; i++)
        printf("protected: @%s (wants --expect %zu)\n", v->protected_groups.v[i], v->nodes.n);
    return 0;
}
