/* SPDX-License-Identifier: Apache-2.0 */
/* States, reasons and their legal transitions. Each is one row of one table: names in the store and
 * in JSON, glyphs and words on the screen, classes of exit status are all made from these. Pure. */
#ifndef MUSTER_CORE_STATE_H
#define MUSTER_CORE_STATE_H

#include <stdbool.h>
#include <stdint.h>

/* EXEC(ID, name in store and JSON, glyph, word of at most 7 columns for a narrow screen) */
#define EXEC_STATUS_TABLE(EXEC)                                                                \
    EXEC(QUEUED, "queued", "-", "wait")                                                        \
    EXEC(RUNNING, "running", "o", "run")                                                       \
    EXEC(SUCCESS, "success", ".", "ok")                                                        \
    EXEC(FAILED, "failed", "!", "FAIL")

enum exec_status {
#define EXEC(id, name, glyph, word) EXEC_##id,
    EXEC_STATUS_TABLE(EXEC)
#undef EXEC
        EXEC_STATUS_COUNT
};

/* REASON(ID, name, glyph, word, exit status of `run` (0: none), meaning) */
#define REASON_TABLE(REASON)                                                                   \
    REASON(NONE, "", " ", "", 0, "")                                                           \
    REASON(EXIT, "exit", "!", "FAIL", 5, "the command ended with a non-zero code")             \
    REASON(SIGNAL, "signal", "!", "SIGNAL", 5, "a signal ended the command")                   \
    REASON(TIMEOUT, "timeout", "T", "TIMEOUT", 3, "its time ran out")                          \
    REASON(UNREACHABLE, "unreachable", "?", "UNREACH", 4,                                      \
           "no name, no route, refused, or dropped before the command started")                \
    REASON(UNSUPPORTED, "unsupported", "?", "UNSUPP", 4,                                       \
           "its settings ask for what no available transport can do")                          \
    REASON(HOSTKEY, "hostkey", "K", "HOSTKEY", 4, "the host's key is unknown or differs")      \
    REASON(AUTH, "auth", "A", "AUTH", 4, "no method of authentication was accepted")           \
    REASON(LOST, "lost", "L", "LOST", 3,                                                       \
           "the connection, or muster itself, went away after the command may have started")   \
    REASON(CANCELLED, "cancelled", "x", "CANCEL", 3, "cancelled by the user")                  \
    REASON(SKIPPED, "skipped", "s", "SKIP", 3, "never started: the batch stopped first")       \
    REASON(INTERNAL, "internal", "#", "INTERN", 1, "muster's own fault")

enum reason {
#define REASON(id, name, glyph, word, status, meaning) REASON_##id,
    REASON_TABLE(REASON)
#undef REASON
        REASON_COUNT
};

/* BATCH(ID, name, glyph, word) */
#define BATCH_STATUS_TABLE(BATCH)                                                              \
    BATCH(RUNNING, "running", "o", "RUN")                                                      \
    BATCH(SUCCESS, "success", ".", "ok")                                                       \
    BATCH(FAILED, "failed", "!", "FAIL")                                                       \
    BATCH(PARTIAL, "partial", "%", "PART")                                                     \
    BATCH(CANCELLED, "cancelled", "x", "CANCEL")

enum batch_status {
#define BATCH(id, name, glyph, word) BATCH_##id,
    BATCH_STATUS_TABLE(BATCH)
#undef BATCH
        BATCH_STATUS_COUNT
};

/* What cancelling (or a time limit) did to the process on the node. */
enum remote_process { REMOTE_NONE, REMOTE_STOPPED, REMOTE_RUNNING, REMOTE_UNKNOWN, REMOTE_COUNT };

/* Names as in the store and JSON; *_parse returns -1 when it is none. */
const char *exec_status_name(enum exec_status s);
const char *exec_status_glyph(enum exec_status s);
const char *exec_status_word(enum exec_status s);
int exec_status_parse(const char *name);
const char *reason_name(enum reason r);
const char *reason_glyph(enum reason r);
const char *reason_word(enum reason r);
const char *reason_meaning(enum reason r);
int reason_exit_status(enum reason r);
int reason_parse(const char *name);
const char *batch_status_name(enum batch_status s);
const char *batch_status_glyph(enum batch_status s);
const char *batch_status_word(enum batch_status s);
int batch_status_parse(const char *name);
const char *remote_process_name(enum remote_process r); /* "still running"; REMOTE_NONE: NULL */
int remote_process_parse(const char *name);             /* NULL: REMOTE_NONE */

/* queued -> running -> success | failed, and queued -> failed. Nothing leaves a final state. */
bool exec_transition_ok(enum exec_status from, enum exec_status to);
static inline bool exec_is_final(enum exec_status s)
{
    return s == EXEC_SUCCESS || s == EXEC_FAILED;
}

/* total == queued + running + success + failed, and failed == the sum of by_reason, always. */
struct batch_stats {
    uint32_t total, queued, running, success, failed;
    uint32_t by_reason[REASON_COUNT];
};

/* Running while any is queued or running; then cancelled when cancelling stopped something
 * (by_reason[CANCELLED] > 0); else success, failed or partial. */
enum batch_status batch_status_of(const struct batch_stats *s);
/* Of final ones, 0 to 100, rounded down: 100 only when nothing is left. total 0 gives 0. */
unsigned batch_progress(const struct batch_stats *s);
/* Moves one execution between states in the counters. Returns false, changing nothing, when the
 * transition is not legal. `reason` counts when to is EXEC_FAILED. */
bool batch_stats_move(struct batch_stats *s, enum exec_status from, enum exec_status to,
                      enum reason reason);
/* The exit status of run, rerun and watch: 0 when all succeeded; 1, then 4, 3, 5 where several
 * apply. A batch that still runs gives 3. */
int batch_exit_status(const struct batch_stats *s);

#endif
