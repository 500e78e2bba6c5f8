/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal: shows surfaces, reads keys. The one user of curses. Main thread only; one at a time in
 * a process, because a crash handler has to find it. */
#ifndef MUSTER_UI_TTY_H
#define MUSTER_UI_TTY_H

#include <stdbool.h>

struct err;
struct key;
struct surface;
struct tty;

/* Whether there is a terminal here that can show a screen; takes nothing over. *reset is what brings
 * it back to its usual state, for whoever has to tidy up after a process that died; caller frees.
 * -ERR_VALIDATION with the remedy. */
int tty_check(char **reset, struct err *e);
/* Takes the terminal over; a crash gives it back, with `reset`. NULL on -ERR_VALIDATION. */
struct tty *tty_open(const char *reset, struct err *e);
void tty_close(struct tty *t); /* gives it back; NULL allowed */
/* As tty_close where the terminal is somebody else's already: its modes are left alone. */
void tty_abandon(struct tty *t);
void tty_size(struct tty *t, int *cols, int *rows); /* as the terminal says now */
/* Writes what differs from what is shown; all of it with repaint. */
void tty_show(struct tty *t, const struct surface *s, bool repaint);
/* The next key that has come; false: none. Never waits, but for the rest of a sequence. A key's text
 * is valid until the next call. */
bool tty_key(struct tty *t, struct key *k);
/* Whether the key that tty_key() gave last came alone, or in a heap with others, as no hand types
 * them but on a slow line; or is an Enter in the midst of such a heap, which is then text pasted into
 * a terminal that does not bracket pastes. */
enum tty_burst { BURST_NONE, BURST_HEAP, BURST_LINE };
enum tty_burst tty_burst(const struct tty *t);
/* Gives the terminal back for a while, and takes it again (then everything is painted anew). */
void tty_suspend(struct tty *t);
void tty_resume(struct tty *t);

#endif
