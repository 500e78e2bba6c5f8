/* SPDX-License-Identifier: Apache-2.0 */
/* Algorithms: what the ssh transport offers, cut to what the user allows, and what to say when a
 * server has none of it. Pure. */
#ifndef MUSTER_EXEC_SSH_KEX_H
#define MUSTER_EXEC_SSH_KEX_H

#include <stdbool.h>
#include <stddef.h>

enum kex_kind { KEX_EXCHANGE, KEX_HOST_KEY, KEX_CIPHER, KEX_MAC, KEX_KINDS };

/* What the library can do and muster wants to use, best first. */
const char *kex_own(enum kex_kind kind);
const char *kex_setting(enum kex_kind kind); /* "KexAlgorithms", ... */
/* Names of `ours` that are in `allowed` too (NULL: all), in our order. Caller frees. */
char *kex_cut(const char *ours, const char *allowed);
bool kex_lists(const char *list, const char *name); /* a comma list has it */
/* Puts the host key algorithms in `known` (a list) first. Caller frees. */
char *kex_known_first(const char *ours, const char *known);

/* From the bytes that a server has sent (banner and KEXINIT): the first kind for which it has none
 * of `prefs`, as a sentence: "no common cipher: the server offers only ...". NULL when that cannot
 * be told. Caller frees; the text is sanitised. */
char *kex_explain(const void *rx, size_t n, char *const prefs[KEX_KINDS]);

#endif
