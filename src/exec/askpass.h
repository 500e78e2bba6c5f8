/* SPDX-License-Identifier: Apache-2.0 */
/* Answers what an ssh child asks. ssh runs this very program as its SSH_ASKPASS (muster/exec/askpass.h),
 * which brings the question over a socket in a folder of ours; nothing secret is in any environment or
 * argument. */
#ifndef MUSTER_EXEC_ASKPASS_H
#define MUSTER_EXEC_ASKPASS_H

#include "muster/exec/askpass.h"

#include "muster/base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct help;
struct openssh_shared;
struct secret;

#define ASKPASS_PROMPT_MAX 1024
#define ASKPASS_FORMS 3 /* what prompts of one host begin with */

/* A listening socket at this path, 0600, that does not block. -1 with errno. */
int askpass_listen(const char *path);

/* One question; filled in on the reactor, answered on a helper's thread. */
struct question_work {
    int conn;
    struct openssh_shared *shared;
    struct secret *password; /* a reference, or NULL */
    char *node;
    struct strv askers; /* openssh_askers() */
    uint64_t given;     /* a bit for each of those hosts that had the password */
    bool others;        /* a ProxyCommand of the user's may run an ssh with options of its own */
    char *phrase;            /* the prompt whose answer was given untried, or NULL */
    char *why;               /* what came of a key that was not opened, for the end; or NULL */
};
void question_free(void *arg); /* struct question_work * */
void question_answer(void *arg, struct help *help);

#endif
