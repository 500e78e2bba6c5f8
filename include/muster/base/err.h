/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as values. A function that can fail returns 0 or -code and takes a `struct err *` last
 * (NULL allowed); on success it never touches it. What happens on a host is not an error of this
 * kind but data (see core/state.h). Libraries return errors; only service and main log them. */
#ifndef MUSTER_BASE_ERR_H
#define MUSTER_BASE_ERR_H

/* ERR(ID, JSON code, exit status of the command line) */
#define ERR_TABLE(ERR)                                                                         \
    ERR(VALIDATION, "VALIDATION_ERROR", 2)       /* bad input: says what and what to do */     \
    ERR(INVALID_NODES, "INVALID_NODES", 2)       /* unknown nodes: details has one a line */   \
    ERR(FORBIDDEN, "FORBIDDEN", 2)               /* a rule or read-only refuses it */          \
    ERR(QUEUE_FULL, "QUEUE_FULL", 7)                                                           \
    ERR(NOT_FOUND, "BATCH_NOT_FOUND", 6)                                                       \
    ERR(STORE, "STORE_ERROR", 1)                                                               \
    ERR(INTERNAL, "INTERNAL_ERROR", 1)

enum err_code {
    ERR_NONE = 0,
#define ERR(id, json, exit) ERR_##id,
    ERR_TABLE(ERR)
#undef ERR
};

struct err {
    enum err_code code;
    char *msg;     /* one sentence or two: what is wrong, with its name, and what to do */
    char *details; /* more, one item a line (the unknown nodes, say), or NULL */
};
#define ERR_INIT {ERR_NONE, NULL, NULL}

/* Sets the error (freeing what was there) and returns -code, so `return err_set(...)`. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts text before the message of an error that is set: "inventory.yaml: " and so on. */
void err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Takes over `details` (owned from here on). */
void err_details(struct err *e, char *details);
void err_clear(struct err *e);
const char *err_json_code(enum err_code code); /* "INTERNAL_ERROR" for what is unknown */
int err_exit_status(enum err_code code);
#define CLEANUP_ERR __attribute__((cleanup(err_clear)))

#endif
