/* SPDX-License-Identifier: Apache-2.0 */
/* Each class of stdout against the largest class that succeeded, by diff(1). */
#include "print.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/store/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define CLASSES_MAX 1000

/* An output in memory that diff can open by name; made harmless first when it is for a terminal. */
static int output_file(struct printer *p, int64_t id, struct err *e)
{
    CLEANUP_FREE char *text = NULL;
    size_t n = 0;
    if (reader_output_all(p->reader, id, OUTPUT_MAX_DEFAULT, &text, &n, e) != 0)
        return -1;
    int fd = memfd_create("output", 0);
    if (fd < 0) {
        err_set(e, ERR_INTERNAL, "cannot make a file in memory: %s", strerror(errno));
        return -1;
    }
    struct strbuf b;
    strbuf_init(&b, 0);
    if (p->out_tty)
        text_sanitise(&b, text, n, TEXT_KEEP_NL | TEXT_EXPAND_TAB);
    else
        strbuf_add(&b, text, n);
    io_write_all(fd, b.s, b.len);
    strbuf_free(&b);
    return fd;
}

static int run_diff(int base, const char *base_label, int other, const char *label, struct err *e)
{
    char base_path[32], path[32];
    snprintf(base_path, sizeof base_path, "/proc/self/fd/%d", base);
    snprintf(path, sizeof path, "/proc/self/fd/%d", other);
    char *const argv[] = {(char *) "diff", (char *) "-u", (char *) "-a",
                          (char *) "--label", (char *) base_label,
                          (char *) "--label", (char *) label, base_path, path, NULL};
    pid_t pid;
    int rc = posix_spawnp(&pid, "diff", NULL, NULL, argv, environ);
    if (rc != 0)
        return err_set(e, ERR_VALIDATION, "cannot run diff: %s (install diffutils)", strerror(rc));
    int how = 0;
    waitpid(pid, &how, 0);
    if (WIFEXITED(how) && WEXITSTATUS(how) < 2)
        return 0;
    return err_set(e, ERR_INTERNAL, "diff failed on %s", label);
}

static char *label_of(const struct output_class *c)
{
    CLEANUP_FREE char *nodes = text_clean(c->nodes);
    return x_asprintf("%s (%zu)", nodes, c->count);
}

static size_t base_of(const struct output_class *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c[i].exit_code == 0)
            return i;
    return 0;
}

/* A comparison that stops early must not look like a whole one. */
static void say_cut(const struct output_class *c, const char *label)
{
    char all[32], some[24];
    if (c->out_size[0] > OUTPUT_MAX_DEFAULT)
        fprintf(stderr, "muster: %s: only the first %s of its %s bytes are compared\n", label,
                text_size(OUTPUT_MAX_DEFAULT, some), text_count(c->out_size[0], all));
}

static int diff_all(struct printer *p, const struct output_class *c, size_t n, struct err *e)
{
    size_t base = base_of(c, n);
    int base_fd = output_file(p, c[base].out_id[0], e);
    if (base_fd < 0)
        return -(int) e->code;
    CLEANUP_FREE char *base_label = label_of(&c[base]);
    int rc = 0;
    size_t shown = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (c[i].out_id[0] == c[base].out_id[0])
            continue;
        int fd = output_file(p, c[i].out_id[0], e);
        CLEANUP_FREE char *label = label_of(&c[i]);
        if (!shown)
            say_cut(&c[base], base_label);
        say_cut(&c[i], label);
        rc = fd < 0 ? -(int) e->code : run_diff(base_fd, base_label, fd, label, e);
        if (fd >= 0)
            close(fd);
        shown++;
    }
    if (rc == 0 && !shown)
        fprintf(stderr, "every node has the same standard output\n");
    close(base_fd);
    return rc;
}

int print_diff(struct printer *p, struct err *e)
{
    struct output_class *c = NULL;
    size_t n = 0;
    int rc = reader_classes(p->reader, p->number, 0, CLASSES_MAX, &c, &n, NULL, e);
    if (rc == 0 && n == 0)
        rc = err_set(e, ERR_VALIDATION, "nothing has ended yet: there is no output to compare");
    fflush(stdout);
    if (rc == 0)
        rc = diff_all(p, c, n, e);
    classes_free(c, n);
    return rc;
}
