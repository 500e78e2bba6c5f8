/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor's checks of what SSH needs: the program, the agent, keys, known hosts. */
#include "doctor.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/vec.h"
#include "muster/core/fleet.h"
#include "muster/service/service.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define AGENT_MS 2000
#define SSH_MS 3000
#define CAUSE_LINES 3
#define SAID_MAX ((size_t) 1 << 20)
/* LIMIT: of a key's file, only its head is looked at; of known_hosts, this much. */
#define HEAD_MAX 64
#define HOSTS_MAX ((size_t) 64 << 20)

/* --- the program --- */

/* Up to the end, or to the deadline: a Match exec of the user's may hang. */
static bool read_all(int fd, struct strbuf *out)
{
    int64_t until = mono_ms(clock_system()) + SSH_MS;
    char buf[4096];
    ssize_t n = -1;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = until - mono_ms(clock_system());
        if (left <= 0 || poll(&p, 1, (int) left) <= 0)
            return false;
        n = read(fd, buf, sizeof buf);
        if (n <= 0)
            return n == 0;
        strbuf_add(out, buf, (size_t) n);
    }
}

struct said {
    char *text; /* NULL: there is no ssh that runs */
    bool hung, good;
};

/* A group of its own, so that the program of a Match exec ends with it. */
static int spawn_ssh(const char *const argv[], int out, int err, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (out >= 0)
        posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attr, 0);
    int rc = posix_spawnp(pid, "ssh", &actions, &attr, (char *const *) argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* What ssh prints: on both streams, or its complaints alone. */
static struct said ask_ssh(const char *const argv[], bool complaints)
{
    struct said said = {0};
    struct strbuf b;
    int fds[2], status = 0;
    pid_t pid;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return said;
    int rc = spawn_ssh(argv, complaints ? -1 : fds[1], fds[1], &pid);
    close(fds[1]);
    strbuf_init(&b, SAID_MAX);
    if (rc == 0) {
        said.hung = !read_all(fds[0], &b);
        if (said.hung)
            kill(-pid, SIGKILL);
        waitpid(pid, &status, 0);
        said.good = !said.hung && WIFEXITED(status) && WEXITSTATUS(status) == 0;
        said.text = strbuf_steal(&b);
    }
    close(fds[0]);
    strbuf_free(&b);
    return said;
}

/* NULL: there is none that runs, or it failed. */
static char *ssh_says(const char *const argv[])
{
    struct said said = ask_ssh(argv, false);
    if (said.good && *said.text)
        return said.text;
    free(said.text);
    return NULL;
}

/* The first line of `ssh -V`. */
static char *ssh_version(void)
{
    static const char *const argv[] = {"ssh", "-V", NULL};
    char *said = ssh_says(argv);
    if (said)
        said[strcspn(said, "\r\n")] = '\0';
    return said;
}

/* Its first lines, as one. */
static char *first_lines(char *text)
{
    struct strbuf b;
    char *save = NULL;
    int n = 0;
    strbuf_init(&b, 0);
    for (char *l = strtok_r(text, "\r\n", &save); l && n < CAUSE_LINES; l = strtok_r(NULL, "\r\n", &save))
        if (strncmp(l, "Pseudo-terminal ", 16) != 0 && !strstr(l, ": terminating, "))
            strbuf_addf(&b, "%s%s", n++ ? "; " : "", l);
    return strbuf_steal(&b);
}

/* The file that -F names, or the user's own, as ssh takes it for a usual host. */
static struct finding judge_config(const struct service *s, char *version)
{
    const char *config = service_ssh_config(s);
    const char *const argv[] = {"ssh", "-G", config ? "-F" : "localhost",
                                config ? config : NULL, "localhost", NULL};
    struct said said = ask_ssh(argv, true);
    CLEANUP_FREE char *text = said.text;
    if (said.good || !text)
        return finding(GOOD, version, NULL);
    free(version);
    if (said.hung)
        return finding(BAD, x_asprintf("`ssh -G localhost` took more than %d s: a Match exec of "
                                       "ssh_config hangs, and every host waits for it", SSH_MS / 1000),
                       "mend that Match, or name another file by -F");
    CLEANUP_FREE char *why = first_lines(text);
    return finding(BAD, x_asprintf("ssh does not take its configuration, so no host can be reached by "
                                   "it: %s", *why ? why : "it does not say why"),
                   strstr(why, "Bad owner or permissions")
                       ? "own that file, and chmod 600 it"
                       : "mend that line (ssh -G localhost shows more), or name another file by -F");
}

struct finding check_ssh(struct service *s)
{
    char *version = ssh_version();
    if (version)
        return judge_config(s, version);
    return finding(ADVICE, x_strdup("no ssh program: only the common keywords of ssh_config are read, and "
                                    "nothing goes by the transport openssh (certificates, FIDO keys, "
                                    "GSSAPI)"),
                   "install OpenSSH's client (package openssh-client)");
}

/* --- the agent --- */

static bool is_ours(const char *type)
{
    return strcmp(type, "ssh-ed25519") == 0 || strcmp(type, "ssh-rsa") == 0 ||
           (strncmp(type, "ecdsa-sha2-nistp", 16) == 0 && !strchr(type, '@'));
}

/* Certificates, and keys in FIDO hardware. */
static bool is_opensshs(const char *type)
{
    return strstr(type, "-cert-v01@openssh.com") || strncmp(type, "sk-", 3) == 0;
}

struct finding check_agent(struct service *s)
{
    const char *path = getenv("SSH_AUTH_SOCK");
    CLEANUP_ERR struct err e = ERR_INIT;
    struct strv types = STRV_INIT;
    size_t ours = 0, opensshs = 0;
    if (!path || !*path)
        return finding(ADVICE, x_strdup("no agent (SSH_AUTH_SOCK is not set)"),
                       "start one and add your keys (eval $(ssh-agent); ssh-add), else passphrases are "
                       "asked for in every run");
    if (service_agent_types(path, AGENT_MS, &types, &e) != 0)
        return finding(BAD, x_strdup(e.msg),
                       "start a new one (eval $(ssh-agent); ssh-add), or unset SSH_AUTH_SOCK");
    size_t n = types.n;
    for (size_t i = 0; i < n; i++) {
        ours += is_ours(types.v[i]);
        opensshs += is_opensshs(types.v[i]);
    }
    strv_clear(&types);
    if (n == 0)
        return finding(ADVICE, x_asprintf("%s holds no key", path), "ssh-add adds yours");
    CLEANUP_FREE char *others =
        x_asprintf(", %zu through openssh (certificates, FIDO keys)", opensshs);
    return finding(GOOD, x_asprintf("%s: %zu key%s, %zu usable as ed25519, ECDSA or RSA%s", path, n,
                                    n == 1 ? "" : "s", ours, opensshs ? others : ""), NULL);
}

/* --- keys --- */

static bool is_private_key(const char *path)
{
    char head[HEAD_MAX + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == EACCES && !strstr(path, ".pub");
    ssize_t n = read(fd, head, HEAD_MAX);
    close(fd);
    head[n > 0 ? n : 0] = '\0';
    return strncmp(head, "-----BEGIN ", 11) == 0 && strstr(head, "PRIVATE KEY");
}

static void add_key(struct strv *keys, const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && !strv_has(keys, path) && is_private_key(path))
        strv_push(keys, path);
}

static void keys_of_folder(const char *dir, struct strv *keys)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    while (d && (entry = readdir(d)) != NULL) {
        CLEANUP_FREE char *path = io_join(dir, entry->d_name);
        add_key(keys, path);
    }
    if (d)
        closedir(d);
}

/* What `ssh -G` says of a host that ssh_config says nothing particular of. NULL: it says nothing. */
static char *usual_settings(const struct service *s)
{
    const char *config = service_ssh_config(s);
    const char *const argv[] = {"ssh", "-G", config ? "-F" : "localhost",
                                config ? config : NULL, "localhost", NULL};
    return ssh_says(argv);
}

/* Those that ssh_config names for all hosts. */
static void keys_of_config(const struct service *s, struct strv *keys)
{
    static const char keyword[] = "identityfile ";
    CLEANUP_FREE char *said = usual_settings(s);
    char *rest = said, *line;
    while (rest && (line = strsep(&rest, "\r\n")) != NULL)
        if (strncmp(line, keyword, sizeof keyword - 1) == 0) {
            CLEANUP_FREE char *path = io_expand_tilde(line + sizeof keyword - 1);
            add_key(keys, path);
        }
}

/* Those that the inventory names. */
static void keys_of_inventory(struct service *s, struct strv *keys)
{
    const struct fleet *f = service_fleet(s, NULL);
    for (size_t i = 0; f && i < f->n_nodes; i++) {
        const struct strv *lists[] = {&f->nodes[i].base.identity, &f->nodes[i].over.identity};
        for (size_t k = 0; k < ARRAY_LEN(lists); k++)
            for (size_t j = 0; j < lists[k]->n; j++) {
                CLEANUP_FREE char *path = io_expand_tilde(lists[k]->v[j]);
                add_key(keys, path);
            }
    }
}

static struct finding judge_keys(const struct strv *keys)
{
    struct strbuf open_ones, unreadable;
    struct stat st;
    strbuf_init(&open_ones, 4096);
    strbuf_init(&unreadable, 4096);
    for (size_t i = 0; i < keys->n; i++) {
        if (stat(keys->v[i], &st) == 0 && (st.st_mode & 077))
            strbuf_addf(&open_ones, " %s", keys->v[i]);
        if (access(keys->v[i], R_OK) != 0)
            strbuf_addf(&unreadable, " %s", keys->v[i]);
    }
    struct finding f;
    if (open_ones.len) {
        CLEANUP_FREE char *remedy = x_asprintf("chmod 600%s", open_ones.s);
        f = finding(BAD, x_asprintf("can be read by others, so ssh refuses them:%s", open_ones.s), remedy);
    } else if (unreadable.len) {
        CLEANUP_FREE char *remedy = x_asprintf("own them, and chmod 600%s", unreadable.s);
        f = finding(BAD, x_asprintf("cannot be read:%s", unreadable.s), remedy);
    } else if (keys->n == 0) {
        f = finding(ADVICE, x_strdup("no private key in ~/.ssh, none in the inventory, and none that "
                                     "ssh_config has for all hosts"),
                    "ssh-keygen -t ed25519, or an agent, or identity in the inventory, or -A");
    } else {
        f = finding(GOOD, x_asprintf("%zu private key file%s, read by you alone", keys->n,
                                     keys->n == 1 ? "" : "s"), NULL);
    }
    strbuf_free(&open_ones);
    strbuf_free(&unreadable);
    return f;
}

struct finding check_keys(struct service *s)
{
    CLEANUP_FREE char *dir = io_expand_tilde("~/.ssh");
    struct stat st;
    struct strv keys = STRV_INIT;
    if (stat(dir, &st) == 0 && (st.st_mode & 022)) {
        CLEANUP_FREE char *remedy = x_asprintf("chmod 700 %s", dir);
        return finding(BAD, x_asprintf("%s can be written by others", dir), remedy);
    }
    keys_of_folder(dir, &keys);
    keys_of_inventory(s, &keys);
    keys_of_config(s, &keys);
    struct finding f = judge_keys(&keys);
    strv_clear(&keys);
    return f;
}

/* --- known hosts --- */

/* Lines that say something; -1: it cannot be read. */
static long count_entries(const char *path)
{
    struct stat st;
    /* A pipe would keep its reader waiting. */
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return S_ISCHR(st.st_mode) ? 0 : -1;
    struct strbuf text;
    strbuf_init(&text, HOSTS_MAX);
    long n = io_read_file(path, HOSTS_MAX, &text, NULL) == 0 ? 0 : -1;
    for (char *line, *rest = text.s; n >= 0 && rest && (line = strsep(&rest, "\n")) != NULL;) {
        line += strspn(line, " \t\r");
        n += *line && *line != '#';
    }
    strbuf_free(&text);
    return n;
}

/* Those of a host that ssh_config says nothing particular of. */
static void known_hosts_files(const struct service *s, struct strv *out)
{
    static const char *const usual[] = {"~/.ssh/known_hosts", "~/.ssh/known_hosts2",
                                        "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"};
    static const char *const keywords[] = {"userknownhostsfile ", "globalknownhostsfile "};
    CLEANUP_FREE char *said = usual_settings(s);
    char *rest = said, *line;
    while (rest && (line = strsep(&rest, "\r\n")) != NULL)
        for (size_t i = 0; i < ARRAY_LEN(keywords); i++) {
            char *words = line + strlen(keywords[i]), *word;
            if (strncmp(line, keywords[i], strlen(keywords[i])) != 0)
                continue;
            while ((word = strsep(&words, " ")) != NULL)
                if (*word && strcmp(word, "none") != 0 && !strchr(word, '%'))
                    strv_push_own(out, io_expand_tilde(word));
        }
    for (size_t i = 0; !said && i < ARRAY_LEN(usual); i++)
        strv_push_own(out, io_expand_tilde(usual[i]));
}

/* NULL: all that are there can be read, and are told in `told`. Else the one that cannot. */
static const char *count_all(const struct strv *files, struct strbuf *told, long *all)
{
    for (size_t i = 0; i < files->n; i++) {
        const char *path = files->v[i];
        if (access(path, F_OK) != 0)
            continue;
        long n = count_entries(path);
        if (n < 0)
            return path;
        *all += n;
        strbuf_addf(told, "%s%s: %ld host key%s", told->len ? ", " : "", path, n, n == 1 ? "" : "s");
    }
    return NULL;
}

struct finding check_known_hosts(struct service *s)
{
    struct strv files = STRV_INIT;
    struct strbuf b;
    struct finding f;
    long all = 0;
    known_hosts_files(s, &files);
    strbuf_init(&b, 0);
    const char *bad = count_all(&files, &b, &all);
    struct stat st;
    if (bad && stat(bad, &st) == 0 && !S_ISREG(st.st_mode)) {
        CLEANUP_FREE char *remedy = x_asprintf("move %s away; the first host that is known makes a "
                                               "file of it", bad);
        f = finding(BAD, x_asprintf("%s is not a file: no host is known by it, and none can be "
                                    "added", bad), remedy);
    } else if (bad) {
        CLEANUP_FREE char *remedy = x_asprintf("chmod %s %s, as its owner",
                                               strncmp(bad, "/etc/", 5) == 0 ? "644" : "600", bad);
        f = finding(BAD, x_asprintf("%s cannot be read: its hosts are unknown", bad), remedy);
    } else if (all) {
        f = finding(GOOD, x_strdup(b.s), NULL);
    } else {
        f = finding(ADVICE, x_strdup("no known host: every one is unknown, and refused"),
                    "connect once by ssh, use ssh-keyscan, or -o StrictHostKeyChecking=accept-new");
    }
    strbuf_free(&b);
    strv_clear(&files);
    return f;
}
