/* SPDX-License-Identifier: Apache-2.0 */
/* A live ControlMaster: the user has a connection to this host that is authenticated already, maybe
 * by a one-time code. Only ssh itself can go over it. */
#include "ssh_prepare.h"

#include "muster/base/alloc.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define GREETING_MS 2000

/* A master greets whoever connects; one that is stopped or hangs has its connections taken by the
 * kernel all the same, and an ssh that went by it would wait for ever. */
static bool greets(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte;

    return poll(&p, 1, GREETING_MS) == 1 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

enum control_state control_state(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    struct stat st;

    if (!len || len >= sizeof addr.sun_path || stat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return CONTROL_NONE;
    memcpy(addr.sun_path, path, len);

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    enum control_state state = CONTROL_DEAD;

    if (fd >= 0 && connect(fd, (struct sockaddr *) &addr, sizeof addr) == 0)
        state = greets(fd) ? CONTROL_LIVE : CONTROL_SILENT;
    else if (fd >= 0 && errno == EAGAIN)
        state = CONTROL_SILENT; /* so many wait there already */
    if (fd >= 0)
        close(fd);
    return state;
}

/* Whether the jump hosts count in %C depends on ssh's version: both ways are tried. */
char *control_live(const struct strv *paths, const struct conf_tokens *from, const char *jump)
{
    const char *const jumps[] = {NULL, jump};

    for (size_t i = 0; i < paths->n; i++) {
        for (size_t j = 0; j < ARRAY_LEN(jumps) && (j == 0 || jumps[j]); j++) {
            struct conf_tokens tokens = *from;

            tokens.jump = jumps[j];

            char *path = conf_expand(paths->v[i], &tokens);

            if (path && control_state(path) == CONTROL_LIVE)
                return path;
            free(path);
        }
    }
    return NULL;
}

void prepare_control(struct prepared *p, const struct strv *paths)
{
    CLEANUP_FREE char *path = control_live(paths, &p->tokens, p->conf->proxy_jump);

    if (path)
        prepare_fallback(p, "a live ControlMaster at %s", path);
}
