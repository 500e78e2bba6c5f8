/* SPDX-License-Identifier: Apache-2.0 */
/* Gives the terminal back when the program dies of a fault. */
#ifndef MUSTER_UI_TTY_CRASH_H
#define MUSTER_UI_TTY_CRASH_H

struct termios;

/* From now on a fatal signal writes `text` (at most 256 bytes) to fd and sets these modes before it
 * kills. */
void tty_crash_arm(int fd, const struct termios *t, const char *text);
void tty_crash_disarm(void);

#endif
