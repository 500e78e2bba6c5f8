/* SPDX-License-Identifier: Apache-2.0 */
/* A vector of owned strings. Other vectors are plain arrays grown with X_GROW. */
#ifndef MUSTER_BASE_VEC_H
#define MUSTER_BASE_VEC_H

#include <stdbool.h>
#include <stddef.h>

struct strv {
    char **v; /* n strings, each owned; v[n] is NULL once anything was pushed */
    size_t n, cap;
};
#define STRV_INIT {NULL, 0, 0}

void strv_push(struct strv *v, const char *s);     /* copies */
void strv_push_own(struct strv *v, char *s);       /* takes over */
void strv_copy(struct strv *dst, const struct strv *src); /* dst is cleared first */
bool strv_has(const struct strv *v, const char *s); /* linear: for short ones */
char *strv_join(const struct strv *v, const char *sep); /* caller frees; "" when empty */
void strv_clear(struct strv *v);                   /* frees everything; may be called twice */
#define CLEANUP_STRV __attribute__((cleanup(strv_clear)))

#endif
