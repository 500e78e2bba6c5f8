/* SPDX-License-Identifier: Apache-2.0 */
/* Showing the service's questions on the terminal. */
#include "questions.h"

#include "muster/base/alloc.h"
#include "muster/service/service.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

bool questions_possible(void)
{
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

void questions_hide(struct questions *q)
{
    if (q->asked)
        ask_tty_close(&q->tty);
    q->asked = 0;
}

void questions_end(struct questions *q, struct secret *answer)
{
    uint64_t id = q->asked;
    questions_hide(q);
    if (id)
        service_answer(q->service, id, answer);
}

static void start(struct questions *q, const struct user_question *u)
{
    if (!ask_tty_ready()) {
        if (!q->told_background)
            fputs("\nmuster: a question waits: bring this job to the foreground (fg) to answer it\n",
                  stderr);
        q->told_background = true;
        return;
    }
    if (q->clear)
        q->clear(q->ctx);
    q->told_background = false;
    CLEANUP_FREE char *prompt = user_question_text(u);
    if (ask_tty_open(&q->tty, prompt, u->echo, q->all_signals, NULL) == 0)
        q->asked = u->id;
    else
        service_set_can_ask(q->service, false);
}

void questions_check(struct questions *q)
{
    struct user_question u;
    if (!service_question(q->service, &u)) {
        questions_end(q, NULL);
        return;
    }
    if (q->asked && q->asked != u.id)
        questions_end(q, NULL);
    if (!q->asked)
        start(q, &u);
    user_question_clear(&u);
}

void questions_fds(const struct questions *q, struct pollfd fds[2])
{
    fds[0] = fds[1] = (struct pollfd){.fd = -1};
    if (q->asked)
        ask_tty_fds(&q->tty, fds);
}

void questions_read(struct questions *q)
{
    int got = q->asked ? ask_tty_read(&q->tty) : 0;
    if (got == 0)
        return;
    struct secret *answer = got > 0 ? ask_tty_take(&q->tty) : NULL;
    questions_end(q, answer);
    secret_unref(answer);
}
