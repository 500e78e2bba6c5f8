/* SPDX-License-Identifier: Apache-2.0 */
/* The documents: batches and executions in the seed's JSON shapes, and rows of CSV (RFC 4180).
 * Pure: the caller brings the outputs. */
#ifndef MUSTER_CORE_DOC_H
#define MUSTER_CORE_DOC_H

#include "muster/core/batch.h"

struct err;
struct json;
struct strbuf;

/* {id, number, type, action, parameters, targets (folded), targetNodes?, targetGroups, status,
 * createdAt, startedAt, completedAt, duration, userId, label, single, rerunOf, cancelRequested,
 * owner, warnings, stats{total, queued, running, success, failed, reasons{...}}, steps? [{title}],
 * executionIds}. steps are a plan's.
 * executionIds are left out (and targetNodes) when nodes is NULL; nodes are the names in target
 * order. */
struct json *doc_batch(const struct batch *b, const char *const *nodes, size_t n_nodes);

struct doc_output {
    const char *data[2]; /* stdout, stderr; NULL: empty */
    size_t len[2];
};
/* {id, batchId, batchPosition, nodeId, nodeName, status, reason, error, startedAt, completedAt,
 * duration, attempts, transport, host, port, user, remoteProcess, result}. result is null until the
 * end, else {exitCode, signal, stdout, stderr, truncated}; a stream that is not UTF-8 is base64 with
 * stdoutEncoding or stderrEncoding "base64". out NULL: result without the streams.
 * note is there when the transport is not the usual one, step when one of a plan has begun; bytesDone
 * and bytesTotal are a copy's. */
struct json *doc_execution(const char *batch_id, const struct execution *x,
                           const struct doc_output *out);
/* {step, title, status, reason, error, startedAt, completedAt, duration, remoteProcess, exitCode, signal,
 * truncated, stdout, stderr}: a member of an execution's `steps`. Streams, note and out as above. */
struct json *doc_step(const struct step_run *s, const char *title, const struct doc_output *out);
/* {text, userId, writtenAt}: of `notes` of a node or batch. */
struct json *doc_note(const char *text, const char *user_id, int64_t written_ms);
/* {error: {code, message, details}}; details null or an array of lines. */
struct json *doc_error(const struct err *e);

/* The header row and one row, each ended by CRLF; of a plan with a column Step: "2 install" in the row of a
 * step, "" in the node's own (step NULL: there is no such column). Control characters are made visible (a
 * newline inside a cell stays, quoted), and a cell that a spreadsheet would run (= + - @ TAB CR) gets a '
 * before. */
void doc_csv_header(struct strbuf *out, bool steps);
void doc_csv_row(struct strbuf *out, const struct execution *x, const struct doc_output *o,
                 const char *step);
void doc_csv_cell(struct strbuf *out, const char *p, size_t n);

#endif
