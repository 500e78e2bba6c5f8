/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: which process runs a batch, and whether it still lives. */
#include "lease.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void read_line(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

    if (fd >= 0)
        close(fd);
    buf[n > 0 ? n : 0] = 0;
    buf[strcspn(buf, "\n")] = 0;
}

/* The state letter and the start time of a process. False when there is none (or /proc is away). */
static bool process_stat(int64_t pid, char *state, int64_t *start_time)
{
    char path[64], buf[1024];

    snprintf(path, sizeof path, "/proc/%lld/stat", (long long) pid);
    read_line(path, buf, sizeof buf);
    /* The name in parentheses may hold anything: fields count from the last one's end. */
    char *p = strrchr(buf, ')');
    if (!p || p[1] != ' ')
        return false;
    *state = p[2];
    p += 2;
    for (int field = 3; field < 22; field++) {
        p = strchr(p, ' ');
        if (!p)
            return false;
        p++;
    }
    *start_time = strtoll(p, NULL, 10);
    return true;
}

void lease_self(struct lease *l)
{
    char state;

    memset(l, 0, sizeof *l);
    if (gethostname(l->host, sizeof l->host - 1))
        snprintf(l->host, sizeof l->host, "localhost");
    read_line("/proc/sys/kernel/random/boot_id", l->boot_id, sizeof l->boot_id);
    ssize_t n = readlink("/proc/self/ns/pid", l->pid_ns, sizeof l->pid_ns - 1);
    l->pid_ns[n > 0 ? n : 0] = 0;
    l->pid = getpid();
    if (!process_stat(l->pid, &state, &l->start_time))
        l->start_time = 0;
}

static bool alive(const struct lease *l)
{
    char state;
    int64_t start;

    if (kill((pid_t) l->pid, 0) && errno == ESRCH)
        return false;
    if (!process_stat(l->pid, &state, &start))
        /* Gone in between, or /proc is not there to ask: then the signal's answer stands. */
        return l->start_time == 0;
    if (state == 'Z' || state == 'X')
        return false;
    return l->start_time == 0 || l->start_time == start;
}

enum owner_state lease_state(const struct lease *l, const struct lease *self)
{
    /* The boot id names the running kernel whatever the host is called now. */
    if (!strcmp(l->boot_id, self->boot_id)) {
        if (strcmp(l->pid_ns, self->pid_ns))
            return OWNER_OTHER_HOST;
        if (l->pid == self->pid && l->start_time == self->start_time)
            return OWNER_SELF;
        return alive(l) ? OWNER_ALIVE : OWNER_DEAD;
    }
    return strcmp(l->host, self->host) ? OWNER_OTHER_HOST : OWNER_DEAD;
}
