/* SPDX-License-Identifier: Apache-2.0 */
/* ProxyCommand: a program of the user's whose input and output are the connection. Reactor's
 * thread. */
#ifndef MUSTER_EXEC_SSH_PROXY_H
#define MUSTER_EXEC_SSH_PROXY_H

struct err;
struct proxy;
struct session;

/* *fd is the connection, the caller's. NULL with *e. */
struct proxy *proxy_start(struct session *s, const char *command, int *fd, struct err *e);
void proxy_step(struct proxy *p); /* what it writes to standard error: the first 2 KiB are kept */
const char *proxy_errors(struct proxy *p); /* one clean line, maybe empty; the proxy's */
/* Ends it and all it started; it is reaped by a thread of its own. NULL allowed. */
void proxy_close(struct proxy *p);

#endif
