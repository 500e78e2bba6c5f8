/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Progress pane share: what is known of the open batch, and the lines that say it.
 * Main thread. */
#ifndef MUSTER_UI_VIEW_PROGRESS_H
#define MUSTER_UI_VIEW_PROGRESS_H

#include "exec_list.h"

#include "muster/core/batch.h"
#include "muster/store/reader.h"
#include "muster/ui/view.h"

enum { TAB_NODES, TAB_SLOWEST, TAB_ERRORS, TAB_COUNT };
#define SAMPLES 32
#define SLOWEST 3
#define PROGRESS_LINES 24

struct progress_view {
    struct view v;
    int tab;
    struct exec_list lists[TAB_COUNT];
    int64_t batch;
    int64_t generation, read_ms; /* of the store, and when the facts below were read */
    /* Ends at times: the rate is that of the last seconds. */
    struct {
        int64_t at_ms;
        uint32_t done;
    } samples[SAMPLES];
    size_t n_samples;
    int64_t p50, p95;
    struct execution slowest[SLOWEST];
    size_t n_slowest;
    struct execution last_failed;
    uint64_t bytes_done, bytes_total; /* of a copy */
    size_t n_tail; /* running for longer than p95, once nothing waits */
    size_t remote[REMOTE_COUNT];
    bool with_remote;
    struct step_stats *steps; /* of a plan */
    size_t n_steps;
    char *lines[PROGRESS_LINES]; /* what stands above the list, most important first; owned */
    enum role roles[PROGRESS_LINES];
    size_t n_lines;
    size_t n_must;  /* so many of them are shown however low the pane is */
};

void progress_clear_facts(struct progress_view *p);
/* What the lines tell; read again when the store changed, or a second later for what depends on the
 * time. */
void progress_load_facts(struct progress_view *p, const struct batch *b);
void progress_sample(struct progress_view *p);
void progress_make_lines(struct progress_view *p, const struct batch *b);
uint32_t progress_done(const struct batch_stats *s);
/* Ends a second: of the last seconds where they are known, else of the whole run. */
double progress_rate(const struct progress_view *p, const struct batch *b);
/* "ETA 0:46", once enough has ended to tell; "" before that, and when it has ended. */
char *progress_eta(const struct progress_view *p, const struct batch *b, char *buf, size_t n);

#endif
