/* SPDX-License-Identifier: Apache-2.0 */
/* Where it starts: what must happen once and before any thread, then the command line. */
#include "muster/base/err.h"
#include "muster/cli/cli.h"
#include "muster/exec/askpass.h"
#include "muster/exec/engine.h"
#include "muster/ui/app.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef MUSTER_SANITIZED
const char *__lsan_default_suppressions(void);

/* What libssh2 1.10 forgets when a session is freed in the middle of something is not ours: as in
 * tests/ssh/lsan.supp, and whatever environment a test starts us in. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libssh2.so\n";
}
#endif

/* Descriptors 0 to 2 are open, and children can be waited for, whatever the caller left us with. */
static void sane_start(void)
{
    int fd;
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= 2)
        ;
    if (fd > 2)
        close(fd);
    signal(SIGCHLD, SIG_DFL);
}

int main(int argc, char **argv)
{
    sane_start();
    /* Keys pass through this memory: no core dump holds them, and no other process of this user
     * attaches to it. */
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
#ifndef MUSTER_SANITIZED
    prctl(PR_SET_DUMPABLE, 0);
#endif
    /* An ssh child of ours wants to ask: then this is no more than its mouth. */
    if (askpass_wanted())
        return askpass_main(argc, argv);

    struct err e = ERR_INIT;
    if (engine_global_init(&e) != 0) {
        fprintf(stderr, "muster: %s\n", e.msg);
        err_clear(&e);
        return 1;
    }
    const struct cli_hooks hooks = {
        .screen = ui_main,
        .screen_library_version = ui_library_version,
        .libexec_dir = MUSTER_LIBEXEC_DIR,
    };
    return cli_main(argc, argv, &hooks);
}
