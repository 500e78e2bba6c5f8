/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the app share. */
#ifndef MUSTER_UI_APP_PRIVATE_H
#define MUSTER_UI_APP_PRIVATE_H

#include "tty.h"

#include "muster/base/secret.h"
#include "muster/service/service.h"
#include "muster/service/tasks.h"
#include "muster/store/reader.h"
#include "muster/ui/app.h"

struct nodeset;

#define MESSAGES_MAX 200
#define POLL_MS 100
#define TOAST_MS 5000

/* One key out of some. */
struct choice {
    const char *keys;     /* at most six; n, q and Esc leave it */
    const char *words[6]; /* what each does, for the footer */
    const char *esc;      /* and Esc */
    void (*chosen)(struct app *a, char key); /* key 0: closed */
    bool (*moot)(struct app *a); /* true: there is nothing to ask any more; NULL: never */
};

/* A question on the status row: a line of text, or a choice. */
struct question {
    bool active;
    char *text;
    struct field field;
    void (*done)(struct app *a, const char *text); /* of a line of text */
    const struct choice *choice;
    /* Of an answer that is not shown: */
    void (*got)(struct app *a, struct secret *answer);
    size_t n;
    char secret[SECRET_MAX];
    uint64_t user_question; /* one of the service's; 0: of the app's own */
};

/* What the picker lists. */
enum pick_kind { PICK_TASK, PICK_PLAN, PICK_SAVED };

/* What `pending` borrows from. */
struct pending_hold {
    struct work_request work;
    struct batch_request request;
    struct strv nodes, groups, env;
    char *command, *label, *chdir, *stdin_path;
    char *waves, *max_fail, *serial_by, *probe;
    struct rerun_hold *rerun;
};

/* What views are loaded for; when it moves, all are loaded again. */
struct app_state {
    int64_t batch, data_generation, node_batch, node_position;
    uint64_t selection;
    enum pane focus;
    size_t n_overlays;
};

struct app_private {
    struct question question;
    char *messages[MESSAGES_MAX]; /* the newest last */
    size_t n_messages;
    char *who; /* "ops@bastion" */
    bool toast_new;           /* since the key that is being handled */
    uint64_t toast_selection; /* a toast that tells of this selection, 0: of something else */
    enum tty_burst burst;     /* of the key that is being handled */

    int64_t poll_at, poll_gap; /* of the store, on the monotonic clock */
    int64_t fleet_at;          /* when to look at the inventory's files again */
    int64_t second_at;         /* when times on the screen move on */
    bool woken;                /* this process committed something since the last poll */
    bool any_running;          /* a batch, of any process */
    bool any_batch;
    bool run_visible;          /* Progress or Results was on the last screen */
    char *trouble;             /* as last told */
    char *reader_error;
    int64_t fleet_loaded_ms;
    size_t fleet_nodes;

    struct app_state loaded;
    int cols, rows; /* of the last screen, 0: none yet */
    bool too_small; /* it was */
    /* Overlays that were closed, until their own code has surely returned. */
    struct view *closed[OVERLAY_MAX * 2];
    size_t n_closed;
    bool stale_panes[PANE_COUNT], stale_overlays[OVERLAY_MAX];
    struct rect pane_sizes[PANE_COUNT], overlay_sizes[OVERLAY_MAX]; /* as loaded for */

    struct pending_hold *hold;
    enum pick_kind pick; /* what the picker shows */
    char *note_node;     /* what a note is asked for; NULL: the batch `ask_number` */
    struct strv asked;   /* the sensitive parameters of a rerun that are still to be asked for */
    enum rerun_which rerun_which; /* what was chosen, of which more is asked */
    int64_t ask_number; /* the batch that the prompt is about */
    int64_t asked_generation; /* of the data when it was looked at for the prompt */
    char *ask_path;     /* of an export that would overwrite */
    struct exec_filter export_filter;
    char *export_text;
    bool export_filtered;
    int64_t tell_cancel; /* the batch whose cancel has still to be told */

    bool form_open;   /* the fields of the form that are folded away at first are shown .. */
    bool form_zoomed; /* .. and for that their pane has been made the only one */
    int64_t key_ms;      /* of the last key */
    int64_t ask_stage;   /* the batch whose canary the prompt is about .. */
    int64_t later_stage; /* .. or whose question was put off */
    uint64_t ask_user;   /* the service's question that the prompt is about */
    bool question_waits; /* one of a batch, which would take the keys of what is being typed */
    bool leave;          /* quit, and let the batches run on */
    bool quit_when_idle; /* they were cancelled; quit when they have stopped */
};

/* --- app.c --- */
void app_refresh_fleet(struct app *a);
void app_stale_all(struct app *a);
void app_bury(struct app *a); /* frees what was closed */
void app_pop_all(struct app *a);
/* This process committed something (service_wake_fd). */
void app_woken(struct app *a);
const char *app_clock_text(int64_t wall_ms, const char *fmt, char *buf, size_t n);

/* --- app_draw.c --- */
/* Several keys may come between two frames: a view is to act on what it would show by now. */
void app_catch_up(struct app *a, struct view *v);

/* --- app_form.c --- */
/* Fills the request but for its targets. 0 or -ERR_VALIDATION. */
int form_request(const struct form *f, struct pending_hold *h, struct err *e);

/* --- form_fill.c --- */
/* The form and the selection say what the request does, so that it can be changed. */
void form_fill(struct app *a, const struct batch_request *r, const char *label);

/* --- view_action.c --- */
/* The cursor goes to a parameter. */
void action_show_param(struct view *v, size_t i);

/* --- view_pick.c --- */
void app_pick(struct app *a, enum pick_kind kind);

/* --- app_batch.c --- */
struct pending_hold *app_hold_new(struct app *a);
void app_review(struct app *a); /* of what is held */
/* Reads the batch a question is about. False, with a toast, when it cannot be. */
bool app_read_asked(struct app *a, int64_t number, struct batch *b);
void app_choose_free(struct app *a, char *question, const struct choice *choice);
/* What is selected now, as the nodes and groups of the request. */
void app_take_selection(struct app *a, struct pending_hold *h);

/* --- view_review.c --- */
/* The run was agreed to and its passwords are there: goes on, if the review is still open. */
void review_go_on(struct app *a);

/* --- view_history.c --- */
/* The cursor goes to this batch, where the filter shows it. */
void history_show(struct view *v, int64_t number);

/* --- app_question.c --- */
/* `choice` has to live as long as the question. */
void app_choose(struct app *a, const char *question, const struct choice *choice);
void question_key(struct app *a, const struct key *k);
void question_close(struct app *a);
/* Closes a question that time has answered, and shows one of a batch that waits. */
void question_tick(struct app *a);
void question_draw(struct app *a, struct surface *s, struct rect row);

/* --- app_batch.c --- */
void app_pending_clear(struct app *a);
void app_quit_ask(struct app *a);
/* Tells what a cancel did, once the batch has ended. */
void app_tell_cancel(struct app *a);

#endif
