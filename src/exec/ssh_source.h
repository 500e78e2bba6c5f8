/* SPDX-License-Identifier: Apache-2.0 */
/* Which line of ssh_config a value of `ssh -G` comes from, as far as that can be known. */
#ifndef MUSTER_EXEC_SSH_SOURCE_H
#define MUSTER_EXEC_SSH_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

/* A line that applies to the host, or stands in a Match part, where only ssh knows whether it does. */
struct mention {
    char *keyword, *value, *where; /* where: "FILE:LINE" or "FILE:LINE (Match)" */
    bool unsure;
};
struct sources {
    char *host;
    struct mention *v;
    size_t n, cap;
};
void sources_read(struct sources *s, const char *config, const char *host);
void sources_clear(struct sources *s);
bool sources_name(const struct sources *s, const char *keyword);

/* value: what ssh answers; usual: what it answers without any file, or NULL. NULL: the value is
 * OpenSSH's own. Where more than one line may be meant, all of them are named. Caller frees. */
char *sources_of(const struct sources *s, const char *keyword, const char *value,
                 const char *usual);
/* No line has it: ssh has worked it out. */
#define SOURCE_WORKED_OUT "worked out by ssh -G"

#endif
