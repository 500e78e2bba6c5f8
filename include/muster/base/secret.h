/* SPDX-License-Identifier: Apache-2.0 */
/* A password or a passphrase: in pages of its own that are locked (mlock(2)), left out of core dumps
 * (MADV_DONTDUMP) and wiped when the last reference goes. Never printed, logged or stored. Counted
 * references; any thread. */
#ifndef MUSTER_BASE_SECRET_H
#define MUSTER_BASE_SECRET_H

#include <stddef.h>

#define SECRET_MAX 1024 /* bytes; longer ones are cut */
#define SECRET_LARGE_MAX ((size_t) 2 << 20)

struct secret;

/* Copies; the caller wipes its own. Where memory cannot be locked (RLIMIT_MEMLOCK) it is used
 * unlocked. Never NULL. */
struct secret *secret_new(const void *p, size_t n);
/* The same for what no one types: parameters of tasks, keys. */
struct secret *secret_new_large(const void *p, size_t n);
struct secret *secret_ref(struct secret *s); /* NULL gives NULL */
void secret_unref(struct secret *s);         /* NULL allowed */
const char *secret_text(const struct secret *s); /* with a NUL; valid while the reference is held */
size_t secret_len(const struct secret *s);
void secret_wipe(void *p, size_t n); /* not optimised away */

#endif
