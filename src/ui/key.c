/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and their names. */
#include "muster/ui/key.h"

#include "muster/base/alloc.h"
#include "muster/base/text.h"

#include <stdio.h>
#include <string.h>

static const struct {
    enum key_code code;
    const char *name;
} names[] = {
    {KEY_CODE_ENTER, "Enter"}, {KEY_CODE_ESC, "Esc"},     {KEY_CODE_TAB, "Tab"},
    {KEY_CODE_BTAB, "S-Tab"},  {KEY_CODE_BS, "BS"},       {KEY_CODE_DEL, "Del"},
    {KEY_CODE_INS, "Ins"},     {KEY_CODE_UP, "Up"},       {KEY_CODE_DOWN, "Down"},
    {KEY_CODE_LEFT, "Left"},   {KEY_CODE_RIGHT, "Right"}, {KEY_CODE_HOME, "Home"},
    {KEY_CODE_END, "End"},     {KEY_CODE_PGUP, "PgUp"},   {KEY_CODE_PGDN, "PgDn"},
};

bool key_parse(const char *name, struct key *k)
{
    size_t n = strlen(name);
    uint32_t cp;

    *k = (struct key) {KEY_CODE_CHAR, 0, false, NULL};
    if (strcmp(name, "Space") == 0) {
        k->cp = ' ';
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i].name) == 0) {
            k->code = names[i].code;
            return true;
        }
    if (name[0] == 'F' && n >= 2 && n <= 3) {
        int f = 0;
        char end;
        if (sscanf(name + 1, "%2d%c", &f, &end) == 1 && f >= 1 && f <= 12) {
            k->code = KEY_CODE_F1 + f - 1;
            return true;
        }
        return false;
    }
    if (n == 3 && name[0] == 'C' && name[1] == '-') {
        if (name[2] < 'a' || name[2] > 'z')
            return false;
        k->ctrl = true;
        k->cp = (uint32_t) name[2];
        return true;
    }
    if (n == 0 || utf8_decode(name, n, &cp) != n || cp <= ' ' || cp == 0x7f)
        return false;
    k->cp = cp;
    return true;
}

static size_t encode(uint32_t cp, char *out)
{
    if (cp < 0x80) {
        out[0] = (char) cp;
        return 1;
    }
    int more = cp < 0x800 ? 1 : cp < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char) (lead[more] | cp >> (6 * more));
    for (int i = 1; i <= more; i++)
        out[i] = (char) (0x80 | (cp >> (6 * (more - i)) & 0x3f));
    return (size_t) more + 1;
}

char *key_label(const struct key *k, char *buf)
{
    buf[0] = '\0';
    if (k->code == KEY_CODE_CHAR) {
        if (k->cp == ' ' && !k->ctrl) {
            snprintf(buf, 16, "Space");
        } else {
            size_t at = 0;
            if (k->ctrl) {
                buf[at++] = 'C';
                buf[at++] = '-';
            }
            at += encode(k->cp, buf + at);
            buf[at] = '\0';
        }
    } else if (k->code >= KEY_CODE_F1 && k->code <= KEY_CODE_F12) {
        snprintf(buf, 16, "F%d", (int) k->code - KEY_CODE_F1 + 1);
    } else {
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            if (names[i].code == k->code)
                snprintf(buf, 16, "%s", names[i].name);
    }
    return buf;
}

bool key_equal(const struct key *a, const struct key *b)
{
    return a->code == b->code &&
           (a->code != KEY_CODE_CHAR || (a->cp == b->cp && a->ctrl == b->ctrl));
}
