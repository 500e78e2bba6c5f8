/* SPDX-License-Identifier: Apache-2.0 */
/* Giving the terminal back when the program dies of a fault: handlers on a stack of their own write a
 * string that was made beforehand, set the modes back, and die of the same signal.
 *
 * What they need is in static variables, since a handler is given nothing else; they are written
 * before the handlers are installed and not changed after. */
#include "tty_crash.h"

#include "muster/base/alloc.h"

#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static char reset[256];
static size_t reset_len;
static struct termios modes;
static int crash_fd = -1;

static const int fatal[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
static struct sigaction old_actions[ARRAY_LEN(fatal)];
static stack_t stack, old_stack;

static void on_crash(int sig)
{
    size_t done = 0;

    while (done < reset_len) {
        ssize_t n = write(crash_fd, reset + done, reset_len - done);
        if (n <= 0)
            break;
        done += (size_t) n;
    }
    tcsetattr(crash_fd, TCSANOW, &modes);
    signal(sig, SIG_DFL);
    raise(sig);
}

void tty_crash_arm(int fd, const struct termios *t, const char *text)
{
    struct sigaction sa = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_RESETHAND};

    crash_fd = fd;
    modes = *t;
    reset_len = strlen(text) < sizeof reset ? strlen(text) : sizeof reset;
    memcpy(reset, text, reset_len);
    stack = (stack_t) {.ss_sp = x_malloc(64 << 10), .ss_size = 64 << 10};
    sigaltstack(&stack, &old_stack);
    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        sigaction(fatal[i], &sa, &old_actions[i]);
}

void tty_crash_disarm(void)
{
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        sigaction(fatal[i], &old_actions[i], NULL);
    if (sigaltstack(&old_stack, NULL) == 0)
        free(stack.ss_sp);
}
