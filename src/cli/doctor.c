/* SPDX-License-Identifier: Apache-2.0 */
/* muster doctor: checks of the set-up, each good or with its remedy. One row a check. */
#include "cli.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/text.h"
#include "muster/core/config.h"
#include "muster/core/fleet.h"
#include "muster/core/json.h"
#include "muster/service/service.h"
#include "muster/store/reader.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum verdict { GOOD, ADVICE, BAD };

struct finding {
    enum verdict verdict;
    char *text;   /* what is so */
    char *remedy; /* what to do, or NULL */
};

static struct finding find(enum verdict v, char *text, const char *remedy)
{
    return (struct finding){v, text, x_strdup(remedy)};
}

/* --- the checks --- */

static struct finding check_config(struct service *s)
{
    CLEANUP_FREE char *files = strv_join(&service_config(s)->files, ", ");
    return find(GOOD, x_asprintf("%s", *files ? files : "none: defaults"), NULL);
}

static struct finding check_inventory(struct service *s)
{
    CLEANUP_ERR struct err e = ERR_INIT;
    const struct fleet *f = service_fleet(s, &e);
    if (!f)
        return find(BAD, x_strdup(e.msg), "mend that file");
    size_t explicit_nodes = 0;
    for (size_t i = 0; i < f->n_nodes; i++)
        explicit_nodes += f->nodes[i].explicit_node;
    for (size_t i = 0; i < f->n_sources; i++)
        if (f->sources[i].state == SOURCE_FAILED)
            return find(ADVICE, x_asprintf("%s: %s", f->sources[i].type, f->sources[i].error),
                        "mend that file; the other sources serve");
    if (!explicit_nodes)
        return find(ADVICE, x_strdup("no node of an inventory: only localhost and ssh_config names"),
                    "write inventory.yaml in the config folder, or give -i FILE");
    return find(GOOD, x_asprintf("%zu nodes, %zu groups", f->n_nodes, f->n_groups), NULL);
}

static struct finding check_database(struct service *s)
{
    const char *path = service_db_path(s);
    CLEANUP_ERR struct err e = ERR_INIT;
    struct reader *r = reader_open(path, &e);
    if (!r)
        return find(BAD, x_strdup(e.msg), "move the file away, or name another by --db");
    reader_close(r);
    CLEANUP_FREE char *dir = io_dirname(path);
    if (access(path, F_OK) == 0 ? access(path, W_OK) != 0
                                : access(dir, F_OK) == 0 && access(dir, W_OK) != 0)
        return find(BAD, x_asprintf("%s cannot be written", path),
                    "give yourself the right to write it, or name another by --db");
    return find(GOOD, x_strdup(path), NULL);
}

static struct finding check_ssh(struct service *s)
{
    const char *path = getenv("PATH");
    CLEANUP_FREE char *copy = x_strdup(path ? path : "/usr/bin:/bin");
    char *rest = copy;
    for (char *dir; (dir = strsep(&rest, ":")) != NULL;) {
        CLEANUP_FREE char *full = io_join(dir, "ssh");
        if (access(full, X_OK) == 0)
            return find(GOOD, x_strdup(full), NULL);
    }
    return find(ADVICE, x_strdup("no ssh program: ssh_config is not read"),
                "install OpenSSH's client (package openssh-client)");
}

static struct finding check_agent(struct service *s)
{
    const char *path = getenv("SSH_AUTH_SOCK");
    if (!path || !*path)
        return find(ADVICE, x_strdup("no agent (SSH_AUTH_SOCK is not set)"),
                    "start one and add your keys (eval $(ssh-agent); ssh-add); encrypted keys need "
                    "it");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path)
        return find(BAD, x_asprintf("SSH_AUTH_SOCK is too long: %s", path), "start a new agent");
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = connect(fd, (struct sockaddr *) &a, sizeof a) == 0 ? 0 : errno;
    close(fd);
    if (rc != 0)
        return find(BAD, x_asprintf("the agent at %s does not answer: %s", path, strerror(rc)),
                    "start a new one, or unset SSH_AUTH_SOCK");
    return find(GOOD, x_strdup(path), NULL);
}

static struct finding check_keys(struct service *s)
{
    static const char *const names[] = {"~/.ssh/id_ed25519", "~/.ssh/id_ecdsa"};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        CLEANUP_FREE char *path = io_expand_tilde(names[i]);
        struct stat st;
        if (stat(path, &st) != 0)
            continue;
        n++;
        if (st.st_mode & 077)
            return find(BAD, x_asprintf("%s can be read by others", path), "chmod 600 it");
        if (access(path, R_OK) != 0)
            return find(BAD, x_asprintf("%s cannot be read", path), "chmod 600 it, and own it");
    }
    if (n == 0)
        return find(ADVICE, x_strdup("no ed25519 or ECDSA key in ~/.ssh"),
                    "ssh-keygen -t ed25519, or an agent, or identity in the inventory");
    return find(GOOD, x_asprintf("%zu in ~/.ssh", n), NULL);
}

static struct finding check_known_hosts(struct service *s)
{
    CLEANUP_FREE char *path = io_expand_tilde("~/.ssh/known_hosts");
    if (access(path, F_OK) != 0)
        return find(ADVICE, x_asprintf("%s is not there: every host is unknown", path),
                    "connect once by ssh, use ssh-keyscan, or -o StrictHostKeyChecking=accept-new");
    if (access(path, R_OK) != 0)
        return find(BAD, x_asprintf("%s cannot be read", path), "own it, and chmod 600 it");
    return find(GOOD, X_STEAL(path), NULL);
}

static struct finding check_limits(struct service *s)
{
    struct rlimit r;
    getrlimit(RLIMIT_NOFILE, &r);
    unsigned fanout = service_config(s)->fanout;
    unsigned long need = service_files_needed(fanout);
    if (r.rlim_max != RLIM_INFINITY && r.rlim_max < need)
        return find(BAD, x_asprintf("%llu open files allowed, fanout %u needs %lu",
                                    (unsigned long long) r.rlim_max, fanout, need),
                    "raise the hard limit (ulimit -Hn), or lower the fanout");
    return find(GOOD, x_asprintf("%llu open files allowed",
                                 (unsigned long long) r.rlim_max), NULL);
}

static struct finding check_terminal(struct service *s)
{
    const char *term = getenv("TERM");
    setlocale(LC_CTYPE, "");
    bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    setlocale(LC_CTYPE, "C");
    if (!term || !*term || strcmp(term, "dumb") == 0)
        return find(ADVICE, x_asprintf("TERM is %s: no screen", term && *term ? term : "not set"),
                    "set TERM to what your terminal is; the verbs work without");
    if (!utf8)
        return find(ADVICE, x_strdup("the locale is not UTF-8"),
                    "set LANG=C.UTF-8 or another UTF-8 locale");
    return find(GOOD, x_asprintf("%s, UTF-8", term), NULL);
}

static const struct {
    const char *name;
    struct finding (*check)(struct service *s);
} checks[] = {
    {"configuration", check_config}, {"inventory", check_inventory},
    {"database", check_database},    {"ssh", check_ssh},
    {"agent", check_agent},          {"keys", check_keys},
    {"known_hosts", check_known_hosts}, {"limits", check_limits},
    {"terminal", check_terminal},
};

/* --- the verb --- */

static const char *const words[] = {"ok", "advice", "BAD"};

static void print_finding(const char *name, const struct finding *f)
{
    CLEANUP_FREE char *clean = text_clean(f->text);
    printf("%-14s %-7s %s\n", name, words[f->verdict], clean);
    if (f->remedy)
        printf("%-14s %-7s -> %s\n", "", "", f->remedy);
}

int verb_doctor(struct cli *c, struct err *e)
{
    int rc = cli_at_most(c, 0, e);
    if (rc != 0)
        return rc;
    struct service *s = cli_service(c, e);
    if (!s)
        return -(int) e->code;
    struct json *list = json_array();
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        struct finding f = checks[i].check(s);
        if (c->set[OPT_JSON]) {
            struct json *o = json_object();
            json_put_str(o, "check", checks[i].name);
            json_put_str(o, "verdict", words[f.verdict]);
            json_put_str(o, "text", f.text);
            json_put_str(o, "remedy", f.remedy);
            json_add(list, o);
        } else {
            print_finding(checks[i].name, &f);
        }
        free(f.text);
        free(f.remedy);
    }
    if (c->set[OPT_JSON])
        puts(json_text(list, NULL));
    json_free(list);
    service_close(s);
    return 0;
}
