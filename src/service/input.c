/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of what a command gets besides its line, and the copy of standard input that nodes read. */
#include "input.h"

#include "work.h"

#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/fleet.h"
#include "muster/core/words.h"
#include "muster/exec/engine.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENV_MAX 1000        /* variables */
#define ENV_BYTES_MAX 65536 /* of all together: they travel in a command line */
#define CHDIR_MAX 4096
#define MISSING_SHOWN 5 /* nodes in the message itself; the details have all */

/* --- environment and folder --- */

static bool is_variable(const char *text, size_t n)
{
    if (n == 0 || isdigit((unsigned char) text[0]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!(isascii((unsigned char) text[i]) && isalnum((unsigned char) text[i])) &&
            text[i] != '_')
            return false;
    return true;
}

int service_check_env(const char *item, struct err *e)
{
    static const char *const own[] = {"MUSTER_NODE", "MUSTER_HOST", "MUSTER_USER", TASK_WAY};
    size_t n = strcspn(item, "=");
    if (item[n] != '=')
        return err_set(e, ERR_VALIDATION, "environment: %s: NAME=VALUE is wanted", item);
    if (!is_variable(item, n))
        return err_set(e, ERR_VALIDATION, "environment: %.*s is no name of a variable: letters, digits "
                       "and _, no digit first", (int) n, item);
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (strlen(own[i]) == n && memcmp(own[i], item, n) == 0)
            return err_set(e, ERR_VALIDATION, "environment: %s is muster's own to set: take another "
                           "name", own[i]);
    if (!utf8_valid(item, strlen(item)))
        return err_set(e, ERR_VALIDATION, "environment: the value of %.*s is not valid UTF-8", (int) n,
                       item);
    return 0;
}

static int check_env(const struct strv *env, struct err *e)
{
    size_t bytes = 0;
    int rc = 0;
    for (size_t i = 0; env && i < env->n && rc == 0; i++) {
        rc = service_check_env(env->v[i], e);
        bytes += strlen(env->v[i]) + 1;
    }
    if (rc == 0 && env && (env->n > ENV_MAX || bytes > ENV_BYTES_MAX))
        return err_set(e, ERR_VALIDATION, "environment: %zu variables of %zu bytes in all; at most %d of "
                       "%d bytes are possible: put them into a file", env->n, bytes, ENV_MAX,
                       ENV_BYTES_MAX);
    return rc;
}

static int check_chdir(const char *dir, struct err *e)
{
    if (!dir)
        return 0;
    if (*dir == '\0' || strlen(dir) > CHDIR_MAX || !utf8_valid(dir, strlen(dir)))
        return err_set(e, ERR_VALIDATION, "working folder: a path of 1 to %d bytes in UTF-8 is wanted",
                       CHDIR_MAX);
    return 0;
}

/* --- the input file --- */

char *service_stdin_path(const char *typed)
{
    CLEANUP_FREE char *path = io_expand_tilde(typed);
    if (*path == '/' || strcmp(path, "-") == 0)
        return X_STEAL(path);
    CLEANUP_FREE char *here = getcwd(NULL, 0);
    return here ? io_join(here, path) : X_STEAL(path);
}

/* The letters of the template that are used, as a string; NULL and e on an unknown one. */
static int template_letters(const char *path, char used[4], struct err *e)
{
    size_t n = 0;
    used[0] = '\0';
    for (const char *p = path; (p = strchr(p, '%')) != NULL; p += 2) {
        if (p[1] == '\0' || !strchr("nhu%", p[1]))
            return err_set(e, ERR_VALIDATION, "input file %s: after %% comes n (the node), h (its host), "
                           "u (its user) or %% itself", path);
        if (p[1] == '%' || strchr(used, p[1]))
            continue;
        used[n++] = p[1];
        used[n] = '\0';
    }
    return 0;
}

/* The template with a node's own names in it. */
static char *input_name(const char *path, const char *node, const char *host, const char *user)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    for (const char *p = path; *p; p++) {
        if (*p != '%')
            strbuf_addch(&b, *p);
        else if (*++p == '%')
            strbuf_addch(&b, '%');
        else
            strbuf_adds(&b, *p == 'n' ? node : *p == 'h' ? host : user);
    }
    return strbuf_steal(&b);
}

static int check_file(const char *path, struct err *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int rc = fd < 0 || fstat(fd, &st) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    if (rc)
        return err_set(e, ERR_VALIDATION, "input file %s: %s", path, strerror(rc));
    if (S_ISDIR(st.st_mode))
        return err_set(e, ERR_VALIDATION, "input file %s: it is a folder", path);
    if (!S_ISREG(st.st_mode) && strcmp(path, "/dev/null") != 0)
        return err_set(e, ERR_VALIDATION, "input file %s: it is no plain file, and each node reads it from "
                       "its start: give it as standard input (--stdin -)", path);
    return 0;
}

static int check_input(const struct batch_request *r, struct err *e)
{
    char used[4];
    if (r->stdin_lost && !r->stdin_path && !r->stdin_fd)
        return err_set(e, ERR_VALIDATION, "batch #%lld read standard input, which is not kept: give it "
                       "again with --stdin FILE (- for standard input)", (long long) r->rerun_of);
    if (!r->stdin_path)
        return 0;
    if (!utf8_valid(r->stdin_path, strlen(r->stdin_path)))
        return err_set(e, ERR_VALIDATION, "input file: its name is not valid UTF-8");
    if (template_letters(r->stdin_path, used, e) != 0)
        return -ERR_VALIDATION;
    if (used[0])
        return 0; /* the nodes' files are looked at when the nodes are known */
    CLEANUP_FREE char *path = input_name(r->stdin_path, "", "", "");
    return check_file(path, e);
}

int input_check(const struct batch_request *r, struct err *e)
{
    int rc = check_env(r->env, e);
    if (rc == 0)
        rc = check_chdir(r->chdir, e);
    if (rc == 0)
        rc = check_input(r, e);
    if (rc == 0 && r->become_password && r->over.become && strcmp(r->over.become, "none") == 0)
        rc = err_set(e, ERR_VALIDATION, "a sudo password with become none: nobody would read it");
    return rc;
}

/* What %h and %u are, where flags or the node say so themselves: what ssh_config makes of the rest is
 * known only later. "": not known. */
static const char *known(const struct service *s, const struct batch_request *r, const char *node,
                         char letter)
{
    const struct fleet_node *f = fleet_node(s->fleet, node);
    if (letter == 'u')
        return r->over.user ? r->over.user : f && f->over.user ? f->over.user : "";
    return f && f->over.host ? f->over.host : "";
}

int input_check_nodes(const struct service *s, const struct batch_request *r,
                      const struct strv *nodes, struct err *e)
{
    char used[4];
    struct strbuf all;
    struct strv shown = STRV_INIT;
    size_t missing = 0;
    if (!r->stdin_path || template_letters(r->stdin_path, used, e) != 0 || !used[0])
        return 0;
    strbuf_init(&all, 0);
    for (size_t i = 0; i < nodes->n; i++) {
        const char *host = known(s, r, nodes->v[i], 'h'), *user = known(s, r, nodes->v[i], 'u');
        if ((strchr(used, 'h') && !*host) || (strchr(used, 'u') && !*user))
            continue;
        CLEANUP_FREE char *path = input_name(r->stdin_path, nodes->v[i], host, user);
        CLEANUP_ERR struct err why = ERR_INIT;
        if (check_file(path, &why) == 0)
            continue;
        strbuf_addf(&all, "%s%s: %s", missing++ ? "\n" : "", nodes->v[i], why.msg);
        if (shown.n < MISSING_SHOWN)
            strv_push(&shown, path);
    }
    int rc = 0;
    if (missing) {
        CLEANUP_FREE char *list = strv_join(&shown, ", ");
        rc = err_set(e, ERR_VALIDATION, "%zu of %zu input files cannot be read: %s%s", missing, nodes->n,
                     list, missing > shown.n ? ", .." : "");
        err_details(e, strbuf_steal(&all));
    } else {
        strbuf_free(&all);
    }
    strv_clear(&shown);
    return rc;
}

/* --- the way to a node --- */

/* As the session will see them: flags, then the node, then the defaults. */
static const char *pick(const char *flag, const char *over, const char *base)
{
    return flag ? flag : over ? over : base;
}

static bool asks_for_user(const char *template)
{
    static const struct template_values nobody = {"node", "host", NULL, "command"};
    struct strv words = STRV_INIT;
    bool asks = template_fill(template, &nobody, &words, NULL) != 0;
    strv_clear(&words);
    return asks;
}

/* A flag that would change nothing where no ssh goes: by the template of exec, or (NULL) on this machine.
 * What the inventory has is not asked for by this run, and stays. NULL: none. Caller frees. */
static char *lost_flag(const struct settings *flags, const char *template)
{
    const char *user = template && asks_for_user(template) ? NULL : flags->user;
    const char *me = io_user_name();
    if (!template && user && strcmp(user, me) != 0)
        return x_asprintf("user %s is asked for, but the transport local runs commands as you (%s): "
                          "leave the user out, use --sudo=%s, or use the transport ssh", user, me, user);
    const char *lost = flags->port                                        ? "--port"
                       : flags->jump && strcasecmp(flags->jump, "none") != 0 ? "--jump"
                       : flags->identity.n                                ? "--identity"
                                                                          : NULL;
    if (template && user)
        return x_strdup("--user has no effect: the command template of the transport exec has no {user}");
    return lost ? x_asprintf("%s has no effect: the transport %s uses no ssh; leave it out, or leave these "
                             "nodes out (-x)", lost, template ? "exec" : "local")
                : NULL;
}

/* Why there is no way to this node, or NULL. Caller frees. */
static char *no_way(const struct batch_request *r, const struct fleet_node *node)
{
    static const struct settings none = {0};
    const struct settings *over = node ? &node->over : &none, *base = node ? &node->base : &none;
    const char *transport = pick(r->over.transport, over->transport, base->transport);
    const char *jump = pick(r->over.jump, over->jump, base->jump);
    if (transport && strcmp(transport, "exec") == 0) {
        const char *template = pick(r->over.exec, over->exec, base->exec);
        return template ? lost_flag(&r->over, template)
                        : x_strdup("the transport exec needs a command template: set `exec` for the node or "
                                   "its group, as in exec: \"docker exec {node} sh -c {command}\"");
    }
    if (transport && strcmp(transport, "local") == 0)
        return lost_flag(&r->over, NULL);
    /* Tokens are filled in for each attempt. */
    if (!jump || strchr(jump, '%'))
        return NULL;
    CLEANUP_FREE char *bad = engine_bad_hop(jump);
    return bad ? x_asprintf("\"%s\" is not a jump host: [USER@]HOST[:PORT], several parted by commas, or "
                            "none", bad)
               : NULL;
}

char *input_unused_block(const struct service *s, const struct batch_request *r, const char *node)
{
    const struct fleet *f = s->fleet;
    const struct fleet_node *n = strcmp(node, "localhost") == 0 ? fleet_node(f, node) : NULL;
    const char *transport = n ? pick(NULL, n->over.transport, n->base.transport) : NULL;
    bool named = false;
    /* A transport that the run names was meant. */
    if (!transport || strcmp(transport, "local") != 0 || r->over.transport)
        return NULL;
    for (size_t i = 0; i < f->n_sources && i < 31; i++)
        named |= (n->sources & 1u << i) && strcmp(f->sources[i].type, "ssh_config") == 0;
    return named ? x_strdup("what ssh_config says of localhost is not used: localhost is this machine, "
                            "without ssh (--transport ssh goes by ssh_config)")
                 : NULL;
}

int input_check_ways(const struct service *s, const struct batch_request *r,
                     const struct strv *nodes, struct err *e)
{
    CLEANUP_FREE char *first = NULL;
    struct strbuf all;
    struct strv shown = STRV_INIT;
    size_t bad = 0;
    int rc = 0;
    strbuf_init(&all, 0);
    for (size_t i = 0; i < nodes->n; i++) {
        CLEANUP_FREE char *why = no_way(r, fleet_node(s->fleet, nodes->v[i]));
        if (!why)
            continue;
        strbuf_addf(&all, "%s%s: %s", bad++ ? "\n" : "", nodes->v[i], why);
        if (shown.n < MISSING_SHOWN)
            strv_push(&shown, nodes->v[i]);
        if (!first)
            first = X_STEAL(why);
    }
    if (bad) {
        CLEANUP_FREE char *list = strv_join(&shown, ", ");
        rc = err_set(e, ERR_VALIDATION, "%s%s: %s", list, bad > shown.n ? ", .." : "", first);
        err_details(e, strbuf_steal(&all));
    } else {
        strbuf_free(&all);
    }
    strv_clear(&shown);
    return rc;
}

int service_stdin_spool(int fd, struct err *e)
{
    const char *dirs[] = {getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp"};
    char buf[65536];
    int out = -1;
    for (size_t i = 0; i < ARRAY_LEN(dirs) && out < 0; i++)
        if (dirs[i] && *dirs[i])
            out = open(dirs[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (out < 0)
        return err_set(e, ERR_INTERNAL, "standard input needs a temporary file, and none can be made in "
                       "TMPDIR: %s", strerror(errno));
    for (;;) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        int rc = n < 0 ? -errno : io_write_all(out, buf, (size_t) n);
        if (rc != 0) {
            close(out);
            return err_set(e, ERR_VALIDATION, "standard input cannot be kept for the nodes: %s",
                           strerror(-rc));
        }
        if (n == 0)
            return out;
    }
}

/* --- another user --- */

int input_check_secrets(const struct batch_request *r, struct err *e)
{
    if (r->wants_password && !r->password)
        return err_set(e, ERR_VALIDATION, "batch #%lld had a password, which is never kept: give it again "
                       "with -A or --password-fd N", (long long) r->rerun_of);
    if (r->wants_become_password && !r->become_password)
        return err_set(e, ERR_VALIDATION, "batch #%lld had a sudo password, which is never kept: give it "
                       "again with -K or --sudo-password-fd N", (long long) r->rerun_of);
    const char *unasked = r->work ? work_unasked(r->work) : NULL;
    if (unasked)
        return err_set(e, ERR_VALIDATION, "parameter %s is sensitive, and was never kept: give it again "
                       "with --ask-param %s or --params FILE", unasked, unasked);
    return 0;
}

void input_imply_become(const struct batch_request *r, const struct settings *base,
                        struct settings *over)
{
    if (!r->become_password && !r->over.become_user)
        return;
    if (!base->become && !over->become)
        over->become = x_strdup(become_name(BECOME_SUDO));
}
