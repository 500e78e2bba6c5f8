/* SPDX-License-Identifier: Apache-2.0 */
/* Questions that only the user can answer while a batch runs: the passphrase of a key, a one-time code.
 * Helper threads ask and wait; the face's main thread shows one question at a time and answers. The
 * time that a question waits is on nobody's connect timeout.
 *
 * Threads: asker_next, asker_answer and asker_close are the face's; the rest is any thread's. */
#ifndef MUSTER_EXEC_ASK_H
#define MUSTER_EXEC_ASK_H

#include <stdbool.h>
#include <stdint.h>

struct asker;
struct secret;

/* A question, as the face shows it: "Passphrase for /home/ops/.ssh/id_ed25519". Text from a server is
 * sanitised already. */
struct question {
    uint64_t id;
    char *about; /* the node, which the face shows before the text; "": the text says all */
    char *text;
    bool echo;   /* what is typed may be seen */
};
void question_clear(struct question *q); /* frees what asker_next() gave */

/* wake(ctx) is called, on a helper's thread, when asker_next() may have another answer. Counted
 * references, since helpers that were left behind may still hold one. */
struct asker *asker_new(void (*wake)(void *ctx), void *ctx);
struct asker *asker_ref(struct asker *a);
void asker_unref(struct asker *a); /* NULL allowed */
/* The oldest question that waits, as a copy. It may go away unanswered, when its session ends. */
bool asker_next(struct asker *a, struct question *out);
/* NULL: the user declines. Takes no reference over; an id that has gone is no error. */
void asker_answer(struct asker *a, uint64_t id, struct secret *answer);
/* From now on every question is declined, the waiting ones too; wake() is not called any more. */
void asker_close(struct asker *a);

/* Asks and waits; gone(ctx) is looked at several times a second and true gives up. The caller owns
 * the reference; NULL: declined, given up, or a is NULL. */
struct secret *asker_ask(struct asker *a, const char *about, const char *text, bool echo,
                         bool (*gone)(void *ctx), void *ctx);

#endif
