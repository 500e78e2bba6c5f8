/* SPDX-License-Identifier: Apache-2.0 */
/* The app: the state that all views share (the open batch, the selection, the action form, toasts,
 * prompts) and the loop. It needs no terminal: app_key() and app_draw() are all that a test calls.
 * Main thread only. */
#ifndef MUSTER_UI_APP_H
#define MUSTER_UI_APP_H

#include "muster/core/batch.h"
#include "muster/ui/field.h"
#include "muster/ui/key.h"
#include "muster/ui/selection.h"
#include "muster/ui/surface.h"
#include "muster/ui/view.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct exec_filter;
struct fleet;
struct form_work;
struct mclock;
struct reader;
struct secret;
struct service;

enum pane { PANE_TARGETS, PANE_ACTION, PANE_PROGRESS, PANE_RESULTS, PANE_HISTORY, PANE_COUNT };
#define OVERLAY_MAX 8

/* FORM(ID, label of at most 9 columns, kind, what an empty one means; "": as configured). What stands
 * behind MORE is folded away until that is opened. TEXT, a SWITCH that Enter turns, a CHOICE of some
 * words, the PICK of a task or plan, or the FOLD. COMMAND or WORK is shown, by the type; after it come
 * the fields of WORK's parameters; ON_FAILURE is a plan's alone. */
#define FORM_TABLE(FORM)                                                                       \
    FORM(TYPE, "Type", CHOICE, "")                                                             \
    FORM(COMMAND, "Command", TEXT, "(a shell line; e edits, Up and C-r recall)")               \
    FORM(WORK, "", PICK, "(none yet: Enter shows what there is)")                              \
    FORM(USER, "User", TEXT, "(each node's)")                                                  \
    FORM(FANOUT, "Fan-out", TEXT, "")                                                          \
    FORM(CONNECT, "Connect", TEXT, "")                                                         \
    FORM(TIMEOUT, "Run limit", TEXT, "")                                                       \
    FORM(LABEL, "Label", TEXT, "(none)")                                                       \
    FORM(MORE, "More", FOLD, "(Enter: sudo, input, ..)")                                       \
    FORM(ASK_LOGIN, "Password", SWITCH, "(keys only)")                                         \
    FORM(RUN_AS, "Run as", TEXT, "(the login user)")                                           \
    FORM(BECOME, "By", TEXT, "(sudo, or the node's)")                                          \
    FORM(ASK_BECOME, "Sudo pass", SWITCH, "(none)")                                            \
    FORM(CHDIR, "Folder", TEXT, "(the login's)")                                               \
    FORM(ENV, "Environ", TEXT, "(A=b C='d e')")                                                \
    FORM(STDIN, "Input", TEXT, "(a file; %n: the node)")                                       \
    FORM(PTY, "Terminal", SWITCH, "(none)")                                                    \
    FORM(TRANSPORT, "Transport", TEXT, "(each node's)")                                        \
    FORM(JUMP, "Jump", TEXT, "(each node's)")                                                  \
    FORM(CANARY, "Canary", TEXT, "(none; 5: a question after 5)")                              \
    FORM(CANARY_OK, "Canary ok", TEXT, "(asks; 100: % without one)")                           \
    FORM(WAVES, "Waves", TEXT, "(1,10%,50%: nodes in all)")                                    \
    FORM(WAVE_PAUSE, "Pause", TEXT, "(between waves: none)")                                   \
    FORM(PROBE, "Probe", TEXT, "(run here between waves)")                                     \
    FORM(MAX_FAIL, "Max fail", TEXT, "(2 or 5%: then stop)")                                   \
    FORM(SERIAL_BY, "Serial by", TEXT, "(a variable, @groups)")                                \
    FORM(ON_FAILURE, "On fail", CHOICE, "(as the plan says)")

enum form_id {
#define FORM(id, label, kind, empty) FORM_##id,
    FORM_TABLE(FORM)
#undef FORM
        FORM_COUNT
};
enum form_kind { FORM_KIND_TEXT, FORM_KIND_SWITCH, FORM_KIND_CHOICE, FORM_KIND_PICK, FORM_KIND_FOLD };
struct form_row {
    const char *label;
    enum form_kind kind;
    const char *empty;
};

/* The action form: text as typed; checked by service_review(). A switch that is on has a text. */
struct form {
    struct field fields[FORM_COUNT];
    enum action_type type;
    struct form_work *work; /* the task or plan that was picked last, or NULL */
    int64_t rerun_of;       /* the batch that this was made from, to be edited; 0: none */
};
const struct form_row *form_row(enum form_id id);
/* What is wrong with a field, as a static text that fits beside it; NULL: nothing. */
const char *form_error(const struct form *f, enum form_id id);
/* What the folded fields say, "" where they say nothing; caller frees. */
char *form_more_text(const struct form *f);

struct app {
    struct service *service;
    struct reader *reader;
    const struct mclock *clock;
    const struct fleet *fleet; /* as of now; NULL: it could not be read (fleet_error) */
    char *fleet_error;
    bool read_only;

    struct view *panes[PANE_COUNT];
    enum pane focus;
    bool zoomed;
    bool unseen_failures;
    struct view *overlays[OVERLAY_MAX]; /* the last one is on top and has the keys */
    size_t n_overlays;

    struct selection sel;
    struct form form;

    int64_t batch;           /* number of the open one, 0: none */
    struct batch open;       /* as last read */
    int64_t node_batch;      /* what the output overlay shows: a batch (0: the open one) .. */
    int64_t node_position;   /* .. and a position in it */
    char *node_name;         /* what the node overlay shows */
    /* What the review overlay shows, or NULL. The app frees it, and what it borrows from, when that
     * overlay closes. */
    struct batch_request *pending;

    char toast[256];
    int64_t toast_until_ms;
    int64_t data_generation; /* moves when the store changed */
    bool dirty, quit, repaint, suspend;
    /* --- the rest is the app's own --- */
    struct app_private *priv;
};

struct app *app_new(struct service *s, const struct mclock *clock, bool read_only,
                    struct err *e);
void app_free(struct app *a);
/* Handles a key: prompt, then overlay, then pane, then the app itself. */
void app_key(struct app *a, const struct key *k);
/* Reads what changed in the store, settles toasts. Returns ms until it wants to be called again. */
int64_t app_tick(struct app *a);
/* Loads what is visible and draws everything. */
void app_draw(struct app *a, struct surface *s);

/* --- for views --- */
void app_focus(struct app *a, enum pane p);
void app_open_batch(struct app *a, int64_t number); /* Progress while it runs, else Results */
void app_push(struct app *a, const struct view_ops *ops);
void app_pop(struct app *a);
/* A message for 5 s in the status row, kept in the messages. */
void app_toast(struct app *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void app_toast_err(struct app *a, const struct err *e);
const char *app_message(const struct app *a, size_t i); /* newest first; NULL past the end */
/* Asks a question on the status row. done(app, text) gets what was typed on Enter (text NULL when it
 * was closed by Esc). */
void app_ask(struct app *a, const char *question, const char *initial,
             void (*done)(struct app *a, const char *text));
/* The same with an answer that is not shown: done(app, secret) gets a reference of its own (NULL: Esc). */
void app_ask_secret(struct app *a, const char *question,
                    void (*done)(struct app *a, struct secret *answer));
/* Starts the review of what the form and the selection say (x), or of a rerun. */
void app_review_form(struct app *a);
void app_review_rerun(struct app *a, int64_t number);
void app_cancel_batch(struct app *a, int64_t number); /* asks first */
/* Pauses it, or resumes it; shows the question of its canary again. */
void app_pause_batch(struct app *a, int64_t number);
/* Asks for a note on a node, or with NULL on a batch. */
void app_note(struct app *a, const char *node, int64_t number);
/* Asks for a name to save the selection under; shows the saved ones. */
void app_save_selection(struct app *a);
void app_recall_selection(struct app *a);
void app_export_batch(struct app *a, int64_t number);
/* Only what the filter lets through (its `node` is ignored); it is copied. */
void app_export_filtered(struct app *a, int64_t number, const struct exec_filter *f);
void app_delete_batch(struct app *a, int64_t number);

/* Runs the screen on this terminal until the user leaves: the exit status, or -code when it cannot.
 * Forks, so the caller has no threads yet; it returns in both processes. */
int ui_main(struct service *s, bool read_only, struct err *e);
/* "ncurses 6.4.20221231"; static. */
const char *ui_library_version(void);

#endif
