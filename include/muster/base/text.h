/* SPDX-License-Identifier: Apache-2.0 */
/* Text for people: width in columns, making remote bytes harmless, cutting, natural order.
 * Pure; any thread. Needs no locale: UTF-8 and a width table of its own. */
#ifndef MUSTER_BASE_TEXT_H
#define MUSTER_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf;

/* Decodes one UTF-8 sequence (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF) at s
 * of n bytes. Returns its length and sets *cp, or 0 when s does not start with a valid one. */
size_t utf8_decode(const char *s, size_t n, uint32_t *cp);
bool utf8_valid(const void *p, size_t n);
int text_cp_width(uint32_t cp);                  /* 0, 1 or 2 columns; combining marks 0 */
size_t text_width(const char *s);                /* columns of sanitised text */
size_t text_nwidth(const char *s, size_t n);

enum text_flags {
    TEXT_KEEP_NL = 1,   /* newlines stay; else they become "^J" */
    TEXT_EXPAND_TAB = 2 /* tabs become spaces up to the next multiple of 8; else "^I" */
};
/* Makes bytes harmless for a terminal: C0, DEL to ^X; C1 to <9b>; CR to ^M (a CR right before a
 * newline is dropped with TEXT_KEEP_NL); bidi controls, zero-width, tag characters, variation
 * selectors, U+2028/9, BOM to <U+202E>; invalid bytes to \xNN. After it no byte of the result is a
 * control (but LF as asked), and the result is valid UTF-8. Idempotent. */
void text_sanitise(struct strbuf *out, const void *p, size_t n, enum text_flags flags);
/* A code point that text_sanitise() does not let pass: a control, or one that nobody can see. */
bool text_is_hidden(uint32_t cp);
char *text_clean(const char *s);                 /* one line, sanitised; caller frees; NULL: "" */

/* Appends s (already sanitised) cut to at most `cols` columns ('~' in the last when it was cut),
 * padded with spaces to `cols` when pad is set. */
void text_fit(struct strbuf *out, const char *s, size_t cols, bool pad);

/* Natural order: runs of digits compare as numbers (web2 < web10; equal numbers: fewer leading
 * zeros first), the rest by bytes. A total order: 0 only for equal strings. */
int text_natcmp(const char *a, const char *b);

/* "0.4s", "12.3s", "2:05", "1:02:03"; buf at least 24 bytes; negative: "-". Returns buf. */
char *text_duration(int64_t ms, char *buf);
/* "512 B", "1.5 KiB", "10 MiB"; buf at least 24 bytes. Returns buf. */
char *text_size(uint64_t bytes, char *buf);
/* "1,842"; buf at least 32 bytes. Returns buf. */
char *text_count(uint64_t n, char *buf);
/* Parses "10", "10k", "10M", "1G" (powers of 1024). Returns false when it is none. */
bool text_parse_size(const char *s, uint64_t *bytes);
/* Parses a duration "15", "15s", "2m", "1h", "500ms", decimals allowed, into ms; false if none,
 * negative or above 30 days. A bare number is in seconds. */
bool text_parse_duration(const char *s, int64_t *ms);
/* Smart-case substring: case-sensitive only when the needle has an upper-case letter (ASCII). */
const char *text_find(const char *hay, const char *needle);
/* Appends s quoted for sh(1): 'it'\''s'. */
void text_sh_quote(struct strbuf *out, const char *s);
/* Quoted as every login shell reads it alike, those of the csh family and fish too: quotes, backslashes
 * and "!" stand outside of the quotes behind a backslash. Without a newline in s. */
void text_login_quote(struct strbuf *out, const char *s);

#endif
