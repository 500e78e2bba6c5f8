/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as the back end reads them and as the key table writes them: "j", "C-d", "Enter", "F1",
 * "Down", "Space", "?". Pure. */
#ifndef MUSTER_UI_KEY_H
#define MUSTER_UI_KEY_H

#include <stdbool.h>
#include <stdint.h>

enum key_code {
    KEY_CODE_CHAR = 0, /* cp is a character */
    KEY_CODE_ENTER, KEY_CODE_ESC, KEY_CODE_TAB, KEY_CODE_BTAB, KEY_CODE_BS, KEY_CODE_DEL,
    KEY_CODE_INS, KEY_CODE_UP, KEY_CODE_DOWN, KEY_CODE_LEFT, KEY_CODE_RIGHT, KEY_CODE_HOME,
    KEY_CODE_END, KEY_CODE_PGUP, KEY_CODE_PGDN, KEY_CODE_F1, KEY_CODE_F12 = KEY_CODE_F1 + 11,
    KEY_CODE_RESIZE,
    KEY_CODE_PASTE /* text holds what was pasted, owned by the reader of keys until the next */
};
struct key {
    enum key_code code;
    uint32_t cp;  /* for CHAR: the character; with ctrl the lower-case letter */
    bool ctrl;
    const char *text;
};
/* "C-d" to a key. False when it is none. */
bool key_parse(const char *name, struct key *k);
/* Into buf of 16 bytes; returns buf. */
char *key_label(const struct key *k, char *buf);
bool key_equal(const struct key *a, const struct key *b);

#endif
