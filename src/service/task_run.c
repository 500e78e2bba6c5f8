/* SPDX-License-Identifier: Apache-2.0 */
/* A task made ready for nodes: found, its parameters checked, an implementation for each node, and what
 * the nodes are sent. */
#include "work.h"

#include "copy.h"
#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/hash.h"
#include "muster/base/io.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/fleet.h"
#include "muster/core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX ((uint64_t) 1 << 30) /* LIMIT: bytes of a task's files */
#define SHOWN_MAX 5
#define RETRY_FOR_MAX ((int64_t) 7 * 86400) /* LIMIT: seconds */
#define FIRST_LINE 256

void task_run_clear(struct task_run *r)
{
    for (size_t i = 0; r->env && i < r->task.n_impls; i++)
        free(r->env[i]);
    free(r->env);
    free(r->impl);
    free(r->command);
    if (r->stdin_fd)
        close(r->stdin_fd);
    secret_unref(r->input);
    task_clear(&r->task);
    memset(r, 0, sizeof *r);
}

/* --- finding and checking --- */

static int hash_file(struct sha256 *h, const char *path, struct err *e)
{
    char piece[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n = -1;
    while (fd >= 0 && ((n = read(fd, piece, sizeof piece)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0)
            sha256_add(h, piece, (size_t) n);
    int rc = n < 0 ? err_set(e, ERR_VALIDATION, "cannot read %s: %s", path, strerror(errno)) : 0;
    if (fd >= 0)
        close(fd);
    return rc;
}

static void to_hex(struct sha256 *h, char hex[65])
{
    uint8_t sum[SHA256_LEN];
    sha256_end(h, sum);
    for (size_t i = 0; i < sizeof sum; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
}

int work_file_hash(const char *path, char hex[65], struct err *e)
{
    struct sha256 *h = sha256_new();
    int rc = hash_file(h, path, e);
    to_hex(h, hex);
    return rc;
}

static int hash_task(struct task_run *r, struct err *e)
{
    struct sha256 *h = sha256_new();
    int rc = hash_file(h, r->task.path, e);
    for (size_t i = 0; i < r->task.n_impls && rc == 0; i++)
        if (strcmp(r->task.impls[i].path, r->task.path) != 0)
            rc = hash_file(h, r->task.impls[i].path, e);
    to_hex(h, r->hash);
    return rc;
}

int task_run_find(struct service *s, const struct work_request *w, struct task_run *out,
                  struct err *e)
{
    struct param_faults faults;
    memset(out, 0, sizeof *out);
    int rc = service_task(s, w->name, &out->task, e);
    if (rc != 0)
        return rc;
    work_check(w, &out->task.params, &faults);
    CLEANUP_FREE char *what = x_asprintf("task %s", out->task.name);
    rc = param_faults_err(&faults, what, e);
    param_faults_clear(&faults);
    if (rc == 0 && out->task.remote)
        rc = err_set(e, ERR_VALIDATION, "task %s is a \"remote\" one, which runs on another machine for its "
                     "targets: these cannot be run here", out->task.name);
    if (rc == 0)
        rc = task_files_check(s, &out->task, TASK_FILES_OWN, e);
    if (rc == 0)
        rc = hash_task(out, e);
    if (rc != 0)
        task_run_clear(out);
    return rc;
}

/* --- an implementation for each node --- */

static bool has_feature(const struct fleet_node *node, const char *feature)
{
    if (strcmp(feature, "shell") == 0)
        return true;
    CLEANUP_FREE char *name = x_asprintf("feature.%s", feature);
    for (size_t i = 0; node && i < node->n_vars; i++)
        if (strcmp(node->vars[i].name, name) == 0)
            return strcmp(node->vars[i].value, "false") != 0;
    return false;
}

/* n_impls: none. */
static size_t pick(const struct task *t, const struct fleet_node *node)
{
    size_t i = 0;
    for (; i < t->n_impls; i++) {
        const struct strv *wants = &t->impls[i].requirements;
        size_t j = 0;
        while (j < wants->n && has_feature(node, wants->v[j]))
            j++;
        if (j == wants->n)
            break;
    }
    return i;
}

static char *wanted(const struct task *t)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    for (size_t i = 0; i < t->n_impls; i++) {
        CLEANUP_FREE char *list = strv_join(&t->impls[i].requirements, ", ");
        strbuf_addf(&b, "%s%s for %s", i ? "; " : "", list, t->impls[i].name);
    }
    return strbuf_steal(&b);
}

int task_run_pick(struct service *s, struct task_run *r, const struct strv *nodes, struct err *e)
{
    struct strv shown = STRV_INIT, all = STRV_INIT;
    r->n = nodes->n;
    r->impl = x_calloc(nodes->n + 1, sizeof *r->impl);
    for (size_t i = 0; i < nodes->n; i++) {
        r->impl[i] = pick(&r->task, fleet_node(s->fleet, nodes->v[i]));
        if (r->impl[i] < r->task.n_impls)
            continue;
        strv_push(&all, nodes->v[i]);
        if (shown.n < SHOWN_MAX)
            strv_push(&shown, nodes->v[i]);
    }
    int rc = 0;
    if (all.n) {
        CLEANUP_FREE char *list = strv_join(&shown, ", ");
        CLEANUP_FREE char *features = wanted(&r->task);
        rc = err_set(e, ERR_VALIDATION, "task %s has no implementation for %s%s: it wants the features %s "
                     "(a node has `feature.NAME: true` in its vars)", r->task.name, list,
                     all.n > shown.n ? ", .." : "", features);
        err_details(e, strv_join(&all, "\n"));
    }
    strv_clear(&shown);
    strv_clear(&all);
    return rc;
}

/* --- what goes there --- */

/* By what a script is run where the system itself may not: "" for what is no script. Caller frees. */
static char *interpreter_of(const char *path)
{
    char line[FIRST_LINE];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n = fd >= 0 ? read(fd, line, sizeof line - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return x_strdup("");
    line[n] = '\0';
    if (strncmp(line, "#!", 2) != 0)
        return x_strdup(memchr(line, '\0', (size_t) n) ? "" : "/bin/sh");
    line[strcspn(line, "\r\n")] = '\0';
    size_t at = 2 + strspn(line + 2, " \t"), end = strlen(line);
    while (end > at && (line[end - 1] == ' ' || line[end - 1] == '\t'))
        line[--end] = '\0';
    return x_strdup(strchr(line, ':') ? "" : line + at);
}

static enum task_input input_of(const struct task *t, size_t impl)
{
    return t->impls[impl].input >= 0 ? (enum task_input) t->impls[impl].input : t->input;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Where a script lies in the folder on a node. Caller frees. */
static char *place_of(const struct task *t, size_t impl, bool archive)
{
    const char *name = t->impls[impl].name;
    if (!archive)
        return x_strdup(name);
    return t->dir ? x_asprintf("%s/tasks/%s", last_part(t->dir), name)
                  : x_asprintf("tasks/%s", name);
}

static void files_of(const struct task_run *r, const bool *used, struct strv *out)
{
    strv_copy(out, &r->task.files);
    for (size_t i = 0; i < r->task.n_impls; i++)
        for (size_t j = 0; used[i] && j < r->task.impls[i].files.n; j++)
            if (!strv_has(out, r->task.impls[i].files.v[j]))
                strv_push(out, r->task.impls[i].files.v[j]);
}

/* What lies at path, as `name` in the archive. */
static int add_path(struct copy_list *l, const char *path, const char *name, struct err *e)
{
    struct strv one = STRV_INIT;
    struct copy_list part;
    strv_push(&one, path);
    int rc = copy_walk(&one, &part, e);
    strv_clear(&one);
    if (rc != 0)
        return rc;
    size_t top = part.n ? strlen(part.v[0].name) : 0;
    X_GROW(l->v, l->cap, l->n + part.n);
    for (size_t i = 0; i < part.n; i++) {
        struct copy_item *x = &part.v[i];
        char *as = x_asprintf("%s%s", name, x->name + top);
        free(x->name);
        x->name = as;
        l->v[l->n++] = *x;
    }
    l->files += part.files;
    l->bytes += part.bytes;
    free(part.v);
    return 0;
}

/* Where a file that goes with it lies, and *name as the archive has it. NULL: it is nowhere. Caller frees. */
static char *file_of(struct service *s, const struct task *t, const char *typed, char **name)
{
    *name = x_strdup(typed);
    for (size_t n = strlen(*name); n && (*name)[n - 1] == '/'; n--)
        (*name)[n - 1] = '\0';
    return strstr(*name, "..") || **name == '/' || !**name ? NULL : task_file_path(s, t, *name);
}

static void no_file(struct strbuf *faults, const char *typed)
{
    strbuf_addf(faults, "%s%s is in no folder of modules", faults->len ? "\n" : "", typed);
}

static int files_err(struct strbuf *faults, const struct task *t, struct err *e)
{
    CLEANUP_FREE char *what = x_asprintf("task %s: a file that goes with it", t->name);
    return work_faults(faults, what, e);
}

static int add_files(struct service *s, const struct task *t, const struct strv *files,
                     struct copy_list *l, struct err *e)
{
    struct strbuf faults;
    strbuf_init(&faults, 0);
    for (size_t i = 0; i < files->n; i++) {
        CLEANUP_ERR struct err why = ERR_INIT;
        CLEANUP_FREE char *name = NULL;
        CLEANUP_FREE char *path = file_of(s, t, files->v[i], &name);
        if (!path)
            no_file(&faults, files->v[i]);
        else if (add_path(l, path, name, &why) != 0)
            strbuf_addf(&faults, "%s%s", faults.len ? "\n" : "", why.msg);
    }
    return files_err(&faults, t, e);
}

static void check_files(struct service *s, const struct task *t, const struct strv *files,
                        struct strbuf *faults)
{
    for (size_t i = 0; i < files->n; i++) {
        CLEANUP_FREE char *name = NULL;
        CLEANUP_FREE char *path = file_of(s, t, files->v[i], &name);
        if (!path)
            no_file(faults, files->v[i]);
    }
}

int task_files_check(struct service *s, const struct task *t, enum task_files which, struct err *e)
{
    struct strbuf faults;
    size_t plain = which == TASK_FILES_SHELL ? pick(t, NULL) : t->n_impls;
    strbuf_init(&faults, 0);
    check_files(s, t, &t->files, &faults);
    for (size_t i = 0; i < t->n_impls; i++)
        if (which == TASK_FILES_ALL || i == plain)
            check_files(s, t, &t->impls[i].files, &faults);
    return files_err(&faults, t, e);
}

static int pack(struct service *s, struct task_run *r, const bool *used, const struct strv *files,
                struct err *e)
{
    struct copy_list l = {0};
    int rc = 0;
    for (size_t i = 0; i < r->task.n_impls && rc == 0; i++) {
        CLEANUP_FREE char *name = place_of(&r->task, i, true);
        if (used[i])
            rc = add_path(&l, r->task.impls[i].path, name, e);
    }
    if (rc == 0)
        rc = add_files(s, &r->task, files, &l, e);
    char size[24];
    if (rc == 0 && l.bytes > FILES_MAX)
        rc = err_set(e, ERR_VALIDATION, "task %s: its files have %s; at most 1 GiB are possible",
                     r->task.name, text_size(l.bytes, size));
    uint64_t bytes;
    if (rc == 0) {
        rc = copy_pack(&l, &bytes, e);
        r->stdin_fd = rc > 0 ? rc : 0;
        rc = rc > 0 ? 0 : rc;
    }
    copy_list_clear(&l);
    return rc;
}

/* A copy of its own: the file may change while nodes read it. */
static int take_script(struct task_run *r, size_t impl, uint64_t *size, struct err *e)
{
    const char *path = r->task.impls[impl].path;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_set(e, ERR_VALIDATION, "cannot read %s: %s", path, strerror(errno));
    int copy = service_stdin_spool(fd, e);
    struct stat st;
    close(fd);
    if (copy < 0)
        return copy;
    r->stdin_fd = copy;
    if (fstat(copy, &st) != 0 || st.st_size == 0)
        return err_set(e, ERR_VALIDATION, "%s is empty", path);
    *size = (uint64_t) st.st_size;
    return 0;
}

static int make_input(struct task_run *r, const struct work_request *w, struct err *e)
{
    struct json *values = work_values(w);
    params_defaults(&r->task.params, values);
    json_put_str(values, "_task", r->task.name);
    int rc = task_script_input(values, &r->input, e);
    work_wipe(values);
    return rc;
}

static char *way_of(const struct task_run *r, size_t impl, bool archive)
{
    CLEANUP_FREE char *place = place_of(&r->task, impl, archive);
    CLEANUP_FREE char *interpreter = interpreter_of(r->task.impls[impl].path);
    return task_script_way(input_of(&r->task, impl), interpreter, place);
}

static void make_ways(struct task_run *r, const bool *used)
{
    r->env = x_calloc(r->task.n_impls, sizeof *r->env);
    for (size_t i = 0; i < r->task.n_impls; i++) {
        CLEANUP_FREE char *way = used[i] ? way_of(r, i, true) : NULL;
        r->env[i] = way ? x_asprintf(TASK_WAY "=%s", way) : NULL;
    }
}

int task_run_build(struct service *s, struct task_run *r, const struct work_request *w,
                   struct err *e)
{
    CLEANUP_FREE bool *used = x_calloc(r->task.n_impls + 1, sizeof *used);
    size_t n_used = 0, first = r->n ? r->impl[0] : 0;
    uint64_t size = 0;
    struct strv files = STRV_INIT;
    for (size_t i = 0; i < r->n; i++) {
        n_used += !used[r->impl[i]];
        used[r->impl[i]] = true;
    }
    files_of(r, used, &files);
    bool archive = files.n || n_used > 1;
    int rc = make_input(r, w, e);
    if (rc == 0)
        rc = archive ? pack(s, r, used, &files, e) : take_script(r, first, &size, e);
    if (rc == 0 && n_used > 1)
        make_ways(r, used);
    CLEANUP_FREE char *way = rc == 0 && n_used <= 1 ? way_of(r, first, archive) : NULL;
    if (rc == 0)
        r->command = task_script(way, size, files.n > 0);
    strv_clear(&files);
    return rc;
}

const char *task_run_env(const struct task_run *r, size_t node)
{
    return r->env ? r->env[r->impl[node]] : NULL;
}

int64_t task_retry_ms(const struct task *t, const struct json *values)
{
    int64_t seconds = t->retry_for ? json_int(json_get(values, t->retry_for)) : 0;
    return seconds <= 0 ? 0 : seconds < RETRY_FOR_MAX ? seconds * 1000 : RETRY_FOR_MAX * 1000;
}

int64_t task_run_retry_ms(const struct task_run *r, const struct work_request *w)
{
    if (!r->task.retry_for)
        return 0;
    struct json *values = work_values(w);
    params_defaults(&r->task.params, values);
    int64_t ms = task_retry_ms(&r->task, values);
    work_wipe(values);
    return ms;
}
