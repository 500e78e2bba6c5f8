/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one table of verbs, one of options, one file a verb. */
#ifndef MUSTER_CLI_CLI_H
#define MUSTER_CLI_CLI_H

#include <stdbool.h>

struct err;
struct service;

/* What the command line may call but must not include. */
struct cli_hooks {
    /* The screen (ui_main). Called before any thread was started. */
    int (*screen)(struct service *s, bool read_only, struct err *e);
    const char *(*screen_library_version)(void);
    const char *libexec_dir; /* where demo-fleet lies once installed */
};

/* Runs the program. Returns its exit status. */
int cli_main(int argc, char **argv, const struct cli_hooks *hooks);

#endif
