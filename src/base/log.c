/* SPDX-License-Identifier: Apache-2.0 */
/* The diagnostic log: one file, appended to under one lock, rotated by size.
 *
 * Several processes may share the file. Each line is one write(2) with O_APPEND, so lines never
 * mix. Whoever finds it full renames it; the others notice that the name is another file by now
 * and open that one. The lock is a leaf. */
#include "muster/base/log.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_FILE_MAX ((off_t) 4 << 20)
#define LOG_LINE_MAX ((size_t) 16 << 10)

static struct {
    pthread_mutex_t lock; /* guards path, fd and size */
    char *path;
    int fd;
    off_t size;
    atomic_int level; /* -1: closed; read without the lock */
} the_log = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1, .level = -1};

/* Opens the_log.path; the lock is held. */
static int open_file(void)
{
    struct stat st;
    int fd = open(the_log.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return -errno;
    the_log.fd = fd;
    the_log.size = fstat(fd, &st) ? 0 : st.st_size;
    return 0;
}

static void close_file(void)
{
    if (the_log.fd >= 0)
        close(the_log.fd);
    the_log.fd = -1;
}

int log_open(const char *path, enum log_level level)
{
    char *dir = io_dirname(path);
    int rc = io_mkdirs(dir, 0700);

    free(dir);
    if (rc)
        return rc;
    pthread_mutex_lock(&the_log.lock);
    close_file();
    free(the_log.path);
    the_log.path = x_strdup(path);
    rc = open_file();
    if (rc) {
        free(the_log.path);
        the_log.path = NULL;
    }
    atomic_store(&the_log.level, rc ? -1 : (int) level);
    pthread_mutex_unlock(&the_log.lock);
    return rc;
}

void log_close(void)
{
    pthread_mutex_lock(&the_log.lock);
    atomic_store(&the_log.level, -1);
    close_file();
    free(the_log.path);
    the_log.path = NULL;
    pthread_mutex_unlock(&the_log.lock);
}

int log_enabled(enum log_level level)
{
    return (int) level <= atomic_load_explicit(&the_log.level, memory_order_relaxed);
}

static void rotate(void)
{
    char *old = x_asprintf("%s.1", the_log.path);
    struct stat ours, named;
    int rc;

    if (!fstat(the_log.fd, &ours) && !stat(the_log.path, &named) &&
        ours.st_dev == named.st_dev && ours.st_ino == named.st_ino &&
        ours.st_size >= LOG_FILE_MAX)
        rc = rename(the_log.path, old);
    else
        rc = 0;
    free(old);
    if (rc) {
        /* It cannot be renamed: better a file that grows than no log; asked again much later. */
        the_log.size = 0;
        return;
    }
    close_file();
    open_file();
}

static void write_line(const char *s, size_t n)
{
    pthread_mutex_lock(&the_log.lock);
    if (the_log.fd >= 0 && the_log.size >= LOG_FILE_MAX)
        rotate();
    if (the_log.fd >= 0 && !io_write_all(the_log.fd, s, n))
        the_log.size += (off_t) n;
    pthread_mutex_unlock(&the_log.lock);
}

void log_line(enum log_level level, const char *module, int64_t batch, const char *node,
              const char *fmt, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug", "trace"};
    struct strbuf raw, line;
    char when[32];
    va_list ap;

    if (!log_enabled(level))
        return;
    strbuf_init(&raw, LOG_LINE_MAX);
    if (batch)
        strbuf_addf(&raw, "batch=%lld ", (long long) batch);
    if (node)
        strbuf_addf(&raw, "node=%s ", node);
    va_start(ap, fmt);
    strbuf_vaddf(&raw, fmt, ap);
    va_end(ap);
    strbuf_init(&line, 0);
    strbuf_addf(&line, "%s %-5s %s: ", clock_iso8601(wall_ms(clock_system()), when),
                names[level], module);
    text_sanitise(&line, raw.s, raw.len, 0);
    strbuf_addch(&line, '\n');
    write_line(line.s, line.len);
    strbuf_free(&line);
    strbuf_free(&raw);
}
