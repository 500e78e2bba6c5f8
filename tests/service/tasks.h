/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of tasks share: putting tasks into a home, asking for them, and what came of it. */
#ifndef MUSTER_TESTS_SERVICE_TASKS_H
#define MUSTER_TESTS_SERVICE_TASKS_H

#include "fixture.h"

#include "muster/service/tasks.h"

/* A fixture with TMPDIR in its home, where tasks' folders are counted. */
int tasks_setup(void **state);
/* Folders below the fixture's, with all above them. */
void make_dirs(struct fixture *f, const char *name);
/* A file beside the user's own tasks. */
void add_task(struct fixture *f, const char *name, const char *text);

/* A request; its action is put in by fill_text(), which the functions below call, where none is set. */
struct task_ask {
    struct batch_request r;
    struct work_request w;
    char *text;
};
void ask_task(struct task_ask *a, const char *task, const char *const *nodes);
struct json *task_params(struct task_ask *a);
void task_set(struct fixture *f, struct task_ask *a, const char *item);
void fill_text(struct fixture *f, struct task_ask *a);
void task_ask_clear(struct task_ask *a);
/* Creates it, which must succeed, and clears the request. start_task() does not wait. */
int64_t start_task(struct fixture *f, struct task_ask *a);
int64_t run_task(struct fixture *f, struct task_ask *a);
/* Clears the request. */
void assert_task_refused(struct fixture *f, struct task_ask *a, enum err_code code,
                         const char *word);

char *output_of(struct fixture *f, int64_t number, uint32_t position, size_t *n);
void assert_output(struct fixture *f, int64_t number, uint32_t position, const char *wanted);
void assert_no_file(struct fixture *f, const char *name);
/* Folders of tasks in TMPDIR now; and waiting until there are so many. */
size_t left_behind(struct fixture *f);
void wait_left(struct fixture *f, size_t n);
/* Of the database, its log too. */
bool database_has(struct fixture *f, const char *text);

#endif
