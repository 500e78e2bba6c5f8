/* SPDX-License-Identifier: Apache-2.0 */
/* muster doctor: checks of the set-up, each good or with its remedy. One row a check. */
#include "cli.h"
#include "doctor.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/text.h"
#include "muster/core/config.h"
#include "muster/core/fleet.h"
#include "muster/core/json.h"
#include "muster/service/service.h"
#include "muster/store/reader.h"

#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_BAD 1
#define INTEGRITY_MAX ((off_t) 256 << 20)
#define MEMLOCK_NEEDED ((rlim_t) 64 << 10) /* the pages of some keys and passwords */

struct finding finding(enum verdict v, char *text, const char *remedy)
{
    return (struct finding){v, text, x_strdup(remedy)};
}

/* --- the checks --- */

static struct finding check_config(struct service *s)
{
    CLEANUP_FREE char *files = strv_join(&service_config(s)->files, ", ");
    return finding(GOOD, x_asprintf("%s", *files ? files : "none: defaults"), NULL);
}

static struct finding check_inventory(struct service *s)
{
    CLEANUP_ERR struct err e = ERR_INIT;
    const struct fleet *f = service_fleet(s, &e);
    if (!f)
        return finding(BAD, x_strdup(e.msg), "mend that file");
    size_t explicit_nodes = 0;
    for (size_t i = 0; i < f->n_nodes; i++)
        explicit_nodes += f->nodes[i].explicit_node;
    for (size_t i = 0; i < f->n_sources; i++)
        if (f->sources[i].state == SOURCE_FAILED)
            return finding(ADVICE, x_asprintf("%s: %s", f->sources[i].type, f->sources[i].error),
                        "mend that file; the other sources serve");
    if (!explicit_nodes)
        return finding(ADVICE, x_strdup("no node of an inventory: only localhost and ssh_config names"),
                    "write inventory.yaml in the config folder, or give -i FILE");
    return finding(GOOD, x_asprintf("%zu nodes, %zu groups", f->n_nodes, f->n_groups), NULL);
}

/* The nearest folder above that is there: what is missing below it is made by the first run. */
static bool can_be_made(const char *path)
{
    char *dir = io_dirname(path);
    struct stat st;
    while (stat(dir, &st) != 0 && strcmp(dir, "/") != 0 && strcmp(dir, ".") != 0) {
        char *above = io_dirname(dir);
        free(dir);
        dir = above;
    }
    bool can = stat(dir, &st) == 0 && S_ISDIR(st.st_mode) && access(dir, W_OK | X_OK) == 0;
    free(dir);
    return can;
}

/* The reader's text ends with what to do: that is the remedy. */
static struct finding database_error(const char *said)
{
    for (const char *p = strstr(said, ". "); p; p = strstr(p + 1, ". "))
        if (p[2] >= 'A' && p[2] <= 'Z')
            return finding(BAD, x_strndup(said, (size_t) (p - said)), p + 2);
    return finding(BAD, x_strdup(said), "move the file away, or name another by --db");
}

/* The pages of a large one are not looked at: that takes minutes. */
static struct finding check_database(struct service *s)
{
    const char *path = service_db_path(s);
    CLEANUP_ERR struct err e = ERR_INIT;
    struct stat st;
    bool there = stat(path, &st) == 0, whole = there && st.st_size <= INTEGRITY_MAX;
    if (there && !S_ISREG(st.st_mode))
        return finding(BAD, x_asprintf("%s is not a file", path), "name a file by --db");
    if (there ? access(path, W_OK) != 0 || !can_be_made(path) : !can_be_made(path))
        return finding(BAD, x_asprintf(there ? "%s cannot be written, or its folder cannot"
                                             : "%s cannot be made", path),
                       "give yourself the right to write it and its folder, or name another by --db");
    struct reader *r = reader_open(path, &e);
    int rc = r && whole ? reader_integrity(r, &e) : 0;
    reader_close(r);
    if (!r || rc != 0)
        return database_error(e.msg);
    char size[24];
    return finding(GOOD, there ? x_asprintf("%s, %s, %s, on a local disk", path,
                                            text_size((uint64_t) st.st_size, size),
                                            whole ? "whole" : "too large to be looked through")
                               : x_asprintf("%s, made by the first run", path), NULL);
}

static struct finding check_limits(struct service *s)
{
    struct rlimit r;
    getrlimit(RLIMIT_NOFILE, &r);
    unsigned fanout = service_config(s)->fanout;
    unsigned long need = service_files_needed(fanout);
    if (r.rlim_max != RLIM_INFINITY && r.rlim_max < need)
        return finding(BAD, x_asprintf("%llu open files allowed, fanout %u needs %lu",
                                    (unsigned long long) r.rlim_max, fanout, need),
                    "raise the hard limit (ulimit -Hn), or lower the fanout");
    if (r.rlim_max == RLIM_INFINITY)
        return finding(GOOD, x_strdup("any number of open files allowed"), NULL);
    return finding(GOOD, x_asprintf("%llu open files allowed",
                                 (unsigned long long) r.rlim_max), NULL);
}

static struct finding check_memory(struct service *s)
{
    struct rlimit r;
    char size[24];
    getrlimit(RLIMIT_MEMLOCK, &r);
    if (r.rlim_cur == RLIM_INFINITY)
        return finding(GOOD, x_strdup("memory may be locked: secrets are never swapped out"), NULL);
    char *text = x_asprintf("%s of memory may be locked", text_size(r.rlim_cur, size));
    if (r.rlim_cur >= MEMLOCK_NEEDED)
        return finding(GOOD, text, NULL);
    return finding(ADVICE, text, "raise it (ulimit -l 64, or memlock in limits.conf): until then "
                   "passwords and keys may be swapped out");
}

static struct finding check_rights(struct service *s)
{
    const char *name = io_user_name();
    return finding(GOOD, x_asprintf("runs as %s%s; needs no sudo here (--sudo is for the nodes)", name,
                                    geteuid() == 0 && strcmp(name, "root") != 0 ? " (root)" : ""),
                   NULL);
}

/* Where ncurses looks for what a terminal can do. */
static bool is_described(const char *term)
{
    const char *own = getenv("TERMINFO"), *more = getenv("TERMINFO_DIRS");
    CLEANUP_FREE char *home = io_expand_tilde("~/.terminfo");
    CLEANUP_FREE char *dirs = x_asprintf("%s:%s:%s:/etc/terminfo:/lib/terminfo:/usr/share/terminfo:"
                                         "/usr/local/share/terminfo:/usr/lib/terminfo",
                                         own ? own : "", home, more ? more : "");
    char *rest = dirs, *dir;
    while (!strchr(term, '/') && (dir = strsep(&rest, ":")) != NULL) {
        CLEANUP_FREE char *by_letter = x_asprintf("%s/%c/%s", dir, *term, term);
        CLEANUP_FREE char *by_code = x_asprintf("%s/%02x/%s", dir, (unsigned char) *term, term);
        if (*dir && (access(by_letter, R_OK) == 0 || access(by_code, R_OK) == 0))
            return true;
    }
    return false;
}

static struct finding check_terminal(struct service *s)
{
    const char *term = getenv("TERM");
    setlocale(LC_CTYPE, "");
    bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    setlocale(LC_CTYPE, "C");
    if (!term || !*term || strcmp(term, "dumb") == 0)
        return finding(ADVICE, x_asprintf("TERM is %s: no screen", term && *term ? term : "not set"),
                    "set TERM to what your terminal is; the verbs work without");
    if (!is_described(term))
        return finding(ADVICE, x_asprintf("TERM is %s, which this machine has no description of: no "
                                          "screen", term),
                       "install it (package ncurses-term), or set TERM=xterm-256color; the verbs work "
                       "without");
    if (!utf8)
        return finding(ADVICE, x_strdup("the locale is not UTF-8"),
                    "set LANG=C.UTF-8 or another UTF-8 locale");
    const char *no_color = getenv("NO_COLOR");
    struct winsize w = {0};
    int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0) {
        ioctl(fd, TIOCGWINSZ, &w);
        close(fd);
    }
    CLEANUP_FREE char *size = w.ws_col ? x_asprintf(", %ux%u", w.ws_col, w.ws_row) : x_strdup("");
    if (w.ws_col && (w.ws_col < 40 || w.ws_row < 10))
        return finding(ADVICE, x_asprintf("%s, UTF-8%s", term, size),
                       "make it at least 40x10 for the screen; the verbs work without");
    return finding(GOOD, x_asprintf("%s, UTF-8%s%s", term, size,
                                    no_color && *no_color ? ", no colours (NO_COLOR)" : ""), NULL);
}

static const struct {
    const char *name;
    struct finding (*check)(struct service *s);
} checks[] = {
    {"configuration", check_config}, {"inventory", check_inventory},
    {"database", check_database},    {"ssh", check_ssh},
    {"agent", check_agent},          {"keys", check_keys},
    {"known_hosts", check_known_hosts}, {"limits", check_limits},
    {"memory", check_memory},        {"rights", check_rights},
    {"terminal", check_terminal},
};

/* --- the verb --- */

static const char *const words[] = {"ok", "advice", "BAD"};

static void print_finding(const char *name, const struct finding *f)
{
    CLEANUP_FREE char *clean = text_clean(f->text);
    CLEANUP_FREE char *remedy = f->remedy ? text_clean(f->remedy) : NULL;
    printf("%-14s %-7s %s\n", name, words[f->verdict], clean);
    if (remedy)
        printf("%-14s %-7s -> %s\n", "", "", remedy);
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
    bool bad = false;
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        struct finding f = checks[i].check(s);
        bad |= f.verdict == BAD;
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
    return bad ? EXIT_BAD : 0;
}
