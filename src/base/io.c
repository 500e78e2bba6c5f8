/* SPDX-License-Identifier: Apache-2.0 */
/* Files, descriptors and the standard folders. */
#include "muster/base/io.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int io_read_fd(int fd, size_t max, struct strbuf *out, struct err *e)
{
    char buf[65536];
    size_t total = 0;

    for (;;) {
        ssize_t n = read(fd, buf, sizeof buf);

        if (n < 0) {
            if (errno == EINTR)
                continue;
            return err_set(e, ERR_VALIDATION, "cannot read it: %s", strerror(errno));
        }
        if (!n)
            return 0;
        if ((size_t) n > max - total)
            return err_set(e, ERR_VALIDATION, "it is larger than %zu bytes", max);
        total += (size_t) n;
        strbuf_add(out, buf, (size_t) n);
        if (out->truncated)
            return err_set(e, ERR_VALIDATION, "it is larger than %zu bytes", out->max);
    }
}

int io_read_file(const char *path, size_t max, struct strbuf *out, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    int rc;

    if (fd < 0)
        return err_set(e, ERR_VALIDATION, "%s: cannot open it: %s", path, strerror(errno));
    if (!fstat(fd, &st) && S_ISDIR(st.st_mode))
        rc = err_set(e, ERR_VALIDATION, "it is a folder, not a file");
    else
        rc = io_read_fd(fd, max, out, e);
    close(fd);
    if (rc)
        err_prefix(e, "%s: ", path);
    return rc;
}

int io_write_all(int fd, const void *p, size_t n)
{
    const char *s = p;

    while (n) {
        ssize_t done = write(fd, s, n);

        if (done < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        s += done;
        n -= (size_t) done;
    }
    return 0;
}

static int make_folder(const char *path, mode_t mode)
{
    struct stat st;
    int code;

    if (!mkdir(path, mode))
        return 0;
    code = errno;
    /* A parent that cannot be written gives EACCES or EROFS even where the folder exists. */
    if (stat(path, &st))
        return -code;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int io_mkdirs(const char *path, mode_t mode)
{
    char *copy = x_strdup(path);
    int rc = 0;

    for (char *p = copy + 1; *copy && *p && !rc; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        rc = make_folder(copy, mode);
        *p = '/';
    }
    if (!rc)
        rc = make_folder(copy, mode);
    free(copy);
    return rc;
}

/* One field of the user's passwd entry, copied; NULL when there is none. */
static char *from_passwd(bool home)
{
    char buf[4096];
    struct passwd pw, *found = NULL;

    if (getpwuid_r(getuid(), &pw, buf, sizeof buf, &found) || !found)
        return NULL;
    return x_strdup(home ? pw.pw_dir : pw.pw_name);
}

char *io_expand_tilde(const char *path)
{
    const char *env;
    char *home, *full;

    if (path[0] != '~' || (path[1] && path[1] != '/'))
        return x_strdup(path);
    env = getenv("HOME");
    home = env && *env ? x_strdup(env) : from_passwd(true);
    full = x_asprintf("%s%s", home ? home : "", path + 1);
    free(home);
    if (!*full) {
        free(full);
        return x_strdup("/");
    }
    return full;
}

char *io_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);

    if (*name == '/' || !n)
        return x_strdup(name);
    return x_asprintf("%s%s%s", dir, dir[n - 1] == '/' ? "" : "/", name);
}

char *io_dirname(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    return n ? x_strndup(path, n) : x_strdup(".");
}

/* The XDG specification says that a relative value is to be ignored. */
static char *xdg_dir(const char *variable, const char *fallback)
{
    const char *env = getenv(variable);
    char *base = env && *env == '/' ? x_strdup(env) : io_expand_tilde(fallback);
    char *dir = io_join(base, "muster");

    free(base);
    return dir;
}

char *io_state_dir(void)
{
    return xdg_dir("XDG_STATE_HOME", "~/.local/state");
}

char *io_config_dir(void)
{
    return xdg_dir("XDG_CONFIG_HOME", "~/.config");
}

/* Written once, under pthread_once, and never after. */
static char user_name[256];

static void find_user_name(void)
{
    char *name = from_passwd(false);

    if (name)
        snprintf(user_name, sizeof user_name, "%s", name);
    else
        snprintf(user_name, sizeof user_name, "uid%u", (unsigned) getuid());
    free(name);
}

const char *io_user_name(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, find_user_name);
    return user_name;
}

int io_set_nonblock(int fd)
{
    int fl = fcntl(fd, F_GETFL);

    if (fl < 0 || fcntl(fd, F_SETFL, fl | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    return 0;
}
