/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue of tasks, and one task by its name or path. */
#include "work.h"

#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/suggest.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define META_MAX ((size_t) 1 << 20) /* LIMIT: bytes of a task's metadata */
#define NEAR_MAX 5

static void entry_clear(struct action_entry *x)
{
    free(x->name);
    free(x->description);
    free(x->path);
    free(x->error);
}

void action_list_clear(struct action_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        entry_clear(&l->v[i]);
    free(l->v);
    memset(l, 0, sizeof *l);
}

/* --- reading one --- */

static bool for_windows(const char *name)
{
    static const char *const endings[] = {".ps1", ".bat", ".cmd", ".exe"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < ARRAY_LEN(endings); i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

/* The one file that is it, where the metadata names none. */
static int one_script(const struct action_found *f, struct task *t, struct err *e)
{
    const char *script = NULL;
    size_t n = 0;
    for (size_t i = 0; i < f->scripts.n; i++)
        if (!for_windows(f->scripts.v[i]) && n++ == 0)
            script = f->scripts.v[i];
    CLEANUP_FREE char *all = strv_join(&f->scripts, ", ");
    if (n > 1)
        return err_set(e, ERR_VALIDATION, "task %s: which of %s is it? Its metadata is to name them as "
                       "\"implementations\"", f->name, all);
    if (!script)
        return err_set(e, ERR_VALIDATION, f->scripts.n ? "task %s: %s is for Windows alone"
                                                       : "task %s: there is no script beside its metadata%s",
                       f->name, all);
    t->impls = x_calloc(1, sizeof *t->impls);
    t->n_impls = 1;
    t->impls[0] = (struct task_impl){.name = x_strdup(script), .input = -1};
    return 0;
}

static int find_impls(const struct action_found *f, struct task *t, struct err *e)
{
    struct strbuf faults;
    strbuf_init(&faults, 0);
    for (size_t i = 0; i < t->n_impls; i++) {
        struct task_impl *m = &t->impls[i];
        struct stat st;
        if (strchr(m->name, '/'))
            strbuf_addf(&faults, "%simplementation %s: a name in the same folder is wanted",
                        faults.len ? "\n" : "", m->name);
        m->path = io_join(f->dir, m->name);
        if (stat(m->path, &st) != 0 || !S_ISREG(st.st_mode) || access(m->path, R_OK) != 0)
            strbuf_addf(&faults, "%simplementation %s: %s cannot be read", faults.len ? "\n" : "",
                        m->name, m->path);
    }
    CLEANUP_FREE char *what = x_asprintf("task %s", f->name);
    return work_faults(&faults, what, e);
}

static int read_meta(const char *path, struct task *t, struct err *e)
{
    struct strbuf b;
    strbuf_init(&b, META_MAX);
    int rc = io_read_file(path, META_MAX, &b, e);
    if (rc == 0) {
        rc = task_parse(b.s, b.len, t, e);
        if (rc != 0)
            err_prefix(e, "%s: ", path);
    }
    strbuf_free(&b);
    return rc;
}

static int load(const struct action_found *f, struct task *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    int rc = 0;
    if (f->meta)
        rc = read_meta(f->meta, out, e);
    else
        out->params.any = true;
    if (rc == 0 && out->n_impls == 0)
        rc = one_script(f, out, e);
    if (rc == 0)
        rc = find_impls(f, out, e);
    if (rc != 0) {
        task_clear(out);
        return rc;
    }
    out->name = x_strdup(f->name);
    out->dir = x_strdup(f->module);
    out->path = x_strdup(f->meta ? f->meta : out->impls[0].path);
    return 0;
}

/* --- one by name --- */

/* Names that are near: of the same last part, or by edits. */
static int no_such(const struct action_founds *l, const char *what, const char *name, struct err *e)
{
    CLEANUP_FREE const char **names = x_calloc(l->n + 1, sizeof *names);
    struct strv near = STRV_INIT;
    for (size_t i = 0; i < l->n; i++) {
        names[i] = l->v[i].name;
        const char *last = strstr(names[i], "::");
        if (near.n < NEAR_MAX && *name &&
            (text_find(names[i], name) || (last && strcmp(last + 2, name) == 0)))
            strv_push(&near, names[i]);
    }
    const char *nearest = suggest_nearest(name, names, l->n);
    if (nearest && !strv_has(&near, nearest))
        strv_push(&near, nearest);
    CLEANUP_FREE char *clean = text_clean(name);
    CLEANUP_FREE char *list = strv_join(&near, ", ");
    int rc = err_set(e, ERR_VALIDATION, near.n ? "there is no %s %s (did you mean %s?)"
                                               : "there is no %s %s%s (muster %ss lists them)",
                     what, clean, list, what);
    strv_clear(&near);
    return rc;
}

int action_lookup(struct service *s, bool plan, const char *name, struct action_found *out,
                  struct err *e)
{
    const char *what = plan ? "plan" : "task";
    memset(out, 0, sizeof *out);
    if (!name || !*name)
        return err_set(e, ERR_VALIDATION, "no %s: name one (muster %ss lists them)", what, what);
    if (action_find_file(name, plan, out))
        return 0;
    if (strchr(name, '/')) {
        CLEANUP_FREE char *clean = text_clean(name);
        return err_set(e, ERR_VALIDATION, "there is no file %s: name a %s, or its file", clean, what);
    }
    struct action_founds l;
    action_find(s, plan, &l);
    int rc = -ERR_VALIDATION;
    for (size_t i = 0; i < l.n && rc != 0; i++)
        if (strcmp(l.v[i].name, name) == 0) {
            *out = l.v[i];
            memset(&l.v[i], 0, sizeof l.v[i]);
            rc = 0;
        }
    if (rc != 0)
        no_such(&l, what, name, e);
    action_founds_clear(&l);
    return rc;
}

int service_task(struct service *s, const char *name, struct task *out, struct err *e)
{
    struct action_found f;
    memset(out, 0, sizeof *out);
    int rc = action_lookup(s, false, name, &f, e);
    if (rc == 0)
        rc = load(&f, out, e);
    action_found_clear(&f);
    return rc;
}

/* --- the list --- */

static int by_name(const void *a, const void *b)
{
    return text_natcmp(((const struct action_entry *) a)->name,
                       ((const struct action_entry *) b)->name);
}

void action_list_sort(struct action_list *l)
{
    if (l->n)
        qsort(l->v, l->n, sizeof *l->v, by_name);
}

/* Paths of scripts that another's metadata names. */
static void note_impls(const struct task *t, const struct action_found *f, struct strv *out)
{
    for (size_t i = 0; i < t->n_impls; i++)
        if (f->scripts.n != 1 || strcmp(f->scripts.v[0], t->impls[i].name) != 0)
            strv_push(out, t->impls[i].path);
}

int service_tasks(struct service *s, struct action_list *out, struct err *e)
{
    struct action_founds l;
    struct strv parts = STRV_INIT;
    memset(out, 0, sizeof *out);
    action_find(s, false, &l);
    out->v = x_calloc(l.n + 1, sizeof *out->v);
    bool *hidden = x_calloc(l.n + 1, sizeof *hidden);
    struct action_entry *v = x_calloc(l.n + 1, sizeof *v);
    for (size_t i = 0; i < l.n; i++) {
        CLEANUP_ERR struct err why = ERR_INIT;
        struct task t;
        if (load(&l.v[i], &t, &why) == 0) {
            hidden[i] = t.is_private;
            if (task_files_check(s, &t, TASK_FILES_ALL, &why) != 0)
                v[i].error = X_STEAL(why.msg);
            v[i].description = X_STEAL(t.description);
            v[i].path = X_STEAL(t.path);
            if (l.v[i].meta)
                note_impls(&t, &l.v[i], &parts);
            task_clear(&t);
        } else {
            v[i].error = X_STEAL(why.msg);
            v[i].path = l.v[i].meta ? x_strdup(l.v[i].meta)
                                    : io_join(l.v[i].dir, l.v[i].scripts.v[0]);
        }
        v[i].name = X_STEAL(l.v[i].name);
    }
    for (size_t i = 0; i < l.n; i++) {
        if (!hidden[i] && (l.v[i].meta || !strv_has(&parts, v[i].path))) {
            out->v[out->n++] = v[i];
            continue;
        }
        entry_clear(&v[i]);
    }
    free(v);
    free(hidden);
    strv_clear(&parts);
    action_founds_clear(&l);
    action_list_sort(out);
    return 0;
}
