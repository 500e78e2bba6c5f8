/* SPDX-License-Identifier: Apache-2.0 */
/* Files and descriptors. Any thread. Errors name the path and what the system said. */
#ifndef MUSTER_BASE_IO_H
#define MUSTER_BASE_IO_H

#include <stddef.h>
#include <sys/types.h>

struct err;
struct strbuf;

/* Reads a whole file of at most max bytes into out. 0 or -ERR_VALIDATION (absent, unreadable, too
 * large, a folder). */
int io_read_file(const char *path, size_t max, struct strbuf *out, struct err *e);
int io_read_fd(int fd, size_t max, struct strbuf *out, struct err *e);
/* Writes all, through EINTR and short writes. 0 or -errno. */
int io_write_all(int fd, const void *p, size_t n);
/* Makes the folder and its parents with this mode. 0 or -errno. */
int io_mkdirs(const char *path, mode_t mode);
char *io_expand_tilde(const char *path); /* "~" and "~/x" with $HOME, else getpwuid; caller frees */
char *io_join(const char *dir, const char *name); /* caller frees */
char *io_dirname(const char *path);               /* caller frees */
/* $XDG_STATE_HOME/muster, $XDG_CONFIG_HOME/muster with the defaults of the XDG specification.
 * Callers free. */
char *io_state_dir(void);
char *io_config_dir(void);
const char *io_user_name(void); /* the login name; a static of first use, never NULL; any thread */
int io_set_nonblock(int fd);    /* and close-on-exec. 0 or -errno */

#endif
