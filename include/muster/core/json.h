/* SPDX-License-Identifier: Apache-2.0 */
/* JSON (RFC 8259) by json-c, behind a small face so that json-c's header is included in one file.
 * A value has one owner; adding it to an object or array passes it on. One thread a value. */
#ifndef MUSTER_CORE_JSON_H
#define MUSTER_CORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct json;

struct json *json_object(void);
struct json *json_array(void);
void json_free(struct json *j); /* NULL allowed */
/* Values that stand alone. Text that is not UTF-8 gets U+FFFD for each bad byte. */
struct json *json_of_str(const char *s, size_t n);
struct json *json_of_int(int64_t n);
struct json *json_copy(const struct json *j); /* deep */
void json_put(struct json *obj, const char *key, struct json *value);
void json_put_str(struct json *obj, const char *key, const char *s); /* NULL: null */
/* A string of any valid UTF-8 bytes, NULs included. */
void json_put_bytes(struct json *obj, const char *key, const char *p, size_t n);
void json_put_int(struct json *obj, const char *key, int64_t n);
void json_put_bool(struct json *obj, const char *key, bool b);
void json_put_null(struct json *obj, const char *key);
void json_put_time(struct json *obj, const char *key, int64_t wall_ms); /* 0: null */
void json_add(struct json *arr, struct json *value);
void json_add_str(struct json *arr, const char *s);
/* One line, no spaces, '/' not escaped; what a terminal would act on (text_is_hidden) is, so that
 * it comes back when it is parsed. Valid until j changes or is freed, or the next call on it. */
const char *json_text(struct json *j, size_t *len);
/* "\uXXXX", or two of them above U+FFFF; buf of 13 bytes. Returns its length. */
size_t json_escape(uint32_t cp, char *buf);
const char *json_library_version(void); /* the one it runs with */

/* Parses a whole document, at most 64 levels deep; trailing bytes, and duplicate or non-UTF-8 text
 * are errors. NULL and e (-ERR_VALIDATION with line and column) when it is not JSON. */
struct json *json_parse(const char *text, size_t n, struct err *e);
/* Of an object that was parsed before, as text: an object with at least those of its members that a path
 * of names with dots between can lead through. NULL: there is none. */
struct json *json_parse_member(const char *text, const char *path);
enum json_type { JSON_NULL, JSON_BOOL, JSON_INT, JSON_NUMBER, JSON_STRING, JSON_ARRAY,
                 JSON_OBJECT };
enum json_type json_type(const struct json *j); /* NULL: JSON_NULL */
struct json *json_get(const struct json *obj, const char *key); /* borrowed, or NULL */
bool json_has(const struct json *obj, const char *key); /* also where it is null */
const char *json_str(const struct json *j);  /* NULL when it is not a string */
int64_t json_int(const struct json *j);      /* 0 when it is not a number */
double json_double(const struct json *j);    /* 0 when it is not a number */
bool json_bool(const struct json *j);
size_t json_len(const struct json *arr);
struct json *json_at(const struct json *arr, size_t i); /* borrowed */
/* The bytes of its texts and names, and one for each value. */
size_t json_weight(const struct json *j);
/* Calls fn for each member; stops and returns what fn returns when that is not 0. */
int json_each(const struct json *obj, int (*fn)(const char *key, struct json *value, void *ctx),
              void *ctx);

#endif
