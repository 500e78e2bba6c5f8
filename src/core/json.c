/* SPDX-License-Identifier: Apache-2.0 */
/* JSON by json-c. A struct json is json-c's object under another name; JSON's null is NULL, as
 * json-c has it. */
#include "muster/core/json.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/strmap.h"
#include "muster/base/text.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Some of our names are types of json-c: there they get other names. */
#define json_type jsonc_type
#define json_object jsonc_object
#define json_bool jsonc_bool
#include <json-c/json.h>
#undef json_type
#undef json_object
#undef json_bool

#define DEPTH_MAX 64

static struct jsonc_object *in(const struct json *j)
{
    return (struct jsonc_object *) (uintptr_t) j;
}

static struct json *out(struct jsonc_object *o)
{
    return (struct json *) o;
}

/* json-c returns NULL for want of memory alone. */
static struct jsonc_object *sure(struct jsonc_object *o)
{
    if (!o)
        abort();
    return o;
}

struct json *json_object(void)
{
    return out(sure(json_object_new_object()));
}

struct json *json_array(void)
{
    return out(sure(json_object_new_array()));
}

void json_free(struct json *j)
{
    json_object_put(in(j));
}

void json_put(struct json *obj, const char *key, struct json *value)
{
    if (json_object_object_add(in(obj), key, in(value)))
        abort();
}

/* Text as a JSON string. A name or a command may hold bytes that are not UTF-8, which JSON cannot:
 * each becomes U+FFFD. */
static struct jsonc_object *string(const char *s, size_t n)
{
    struct jsonc_object *value;
    struct strbuf fixed;

    if (n > INT_MAX)
        n = INT_MAX;
    if (utf8_valid(s, n))
        return sure(json_object_new_string_len(s, (int) n));
    strbuf_init(&fixed, INT_MAX);
    while (n) {
        uint32_t cp;
        size_t len = utf8_decode(s, n, &cp);

        if (len)
            strbuf_add(&fixed, s, len);
        else
            strbuf_adds(&fixed, "\xef\xbf\xbd");
        len += !len;
        s += len;
        n -= len;
    }
    value = sure(json_object_new_string_len(fixed.s, (int) fixed.len));
    strbuf_free(&fixed);
    return value;
}

struct json *json_of_str(const char *s, size_t n)
{
    return out(string(s, n));
}

struct json *json_of_int(int64_t n)
{
    return out(sure(json_object_new_int64(n)));
}

static int copy_member(const char *key, struct json *value, void *ctx)
{
    json_put(ctx, key, json_copy(value));
    return 0;
}

/* json-c's own copy fails where json_text() left a text. */
struct json *json_copy(const struct json *j)
{
    struct json *copy = NULL;
    struct jsonc_object *scalar = NULL;

    switch (json_type(j)) {
    case JSON_NULL:
        return NULL;
    case JSON_STRING:
        return out(sure(json_object_new_string_len(json_object_get_string(in(j)),
                                                   json_object_get_string_len(in(j)))));
    case JSON_ARRAY:
        copy = json_array();
        for (size_t i = 0; i < json_len(j); i++)
            json_add(copy, json_copy(json_at(j, i)));
        return copy;
    case JSON_OBJECT:
        copy = json_object();
        json_each(j, copy_member, copy);
        return copy;
    default:
        json_object_deep_copy(in(j), &scalar, NULL);
        return out(sure(scalar));
    }
}

void json_put_str(struct json *obj, const char *key, const char *s)
{
    json_put(obj, key, s ? out(string(s, strlen(s))) : NULL);
}

void json_put_bytes(struct json *obj, const char *key, const char *p, size_t n)
{
    json_put(obj, key, out(string(p, n)));
}

void json_put_int(struct json *obj, const char *key, int64_t n)
{
    json_put(obj, key, out(sure(json_object_new_int64(n))));
}

void json_put_bool(struct json *obj, const char *key, bool b)
{
    json_put(obj, key, out(sure(json_object_new_boolean(b))));
}

void json_put_null(struct json *obj, const char *key)
{
    json_put(obj, key, NULL);
}

void json_put_time(struct json *obj, const char *key, int64_t wall_ms)
{
    char buf[32];

    json_put_str(obj, key, wall_ms > 0 ? clock_iso8601(wall_ms, buf) : NULL);
}

void json_add(struct json *arr, struct json *value)
{
    if (json_object_array_add(in(arr), in(value)))
        abort();
}

void json_add_str(struct json *arr, const char *s)
{
    json_add(arr, s ? out(string(s, strlen(s))) : NULL);
}

size_t json_escape(uint32_t cp, char *buf)
{
    if (cp < 0x10000)
        return (size_t) snprintf(buf, 13, "\\u%04x", (unsigned) cp);
    cp -= 0x10000;
    return (size_t) snprintf(buf, 13, "\\u%04x\\u%04x", 0xd800U | (unsigned) cp >> 10,
                             0xdc00U | ((unsigned) cp & 0x3ff));
}

/* How many bytes come before the first character that is to be escaped. They stand in strings only:
 * all else in JSON is ASCII, and json-c escapes what is below a blank. */
static size_t plain_length(const char *s, size_t n)
{
    size_t at = 0;

    while (at < n) {
        uint32_t cp = (unsigned char) s[at];
        size_t len = cp < 0x7f ? 1 : utf8_decode(s + at, n - at, &cp);

        if (cp >= 0x7f && len && text_is_hidden(cp))
            break;
        at += len + !len;
    }
    return at;
}

static void free_text(struct jsonc_object *o, void *text)
{
    (void) o;
    free(text);
}

const char *json_text(struct json *j, size_t *len)
{
    size_t n;
    const char *s = json_object_to_json_string_length(
        in(j), JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);

    if (!s)
        abort();
    size_t plain = plain_length(s, n);
    if (len)
        *len = n;
    if (plain == n)
        return s;

    struct strbuf text;
    strbuf_init(&text, SIZE_MAX / 2);
    while (n) {
        char escaped[13];
        uint32_t cp;

        strbuf_add(&text, s, plain);
        s += plain;
        n -= plain;
        if (!n)
            break;
        size_t width = utf8_decode(s, n, &cp);
        strbuf_add(&text, escaped, json_escape(cp, escaped));
        s += width;
        n -= width;
        plain = plain_length(s, n);
    }
    if (len)
        *len = text.len;
    char *owned = strbuf_steal(&text);
    json_object_set_userdata(in(j), owned, free_text); /* it goes with j */
    return owned;
}

const char *json_library_version(void)
{
    return json_c_version();
}

/* Sets the error at a place of the text. */
static int fail_at(const char *text, size_t at, const char *what, struct err *e)
{
    unsigned long line = 1, col = 1;

    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            line++;
            col = 1;
        } else if (((unsigned char) text[i] & 0xc0) != 0x80) {
            col++;
        }
    }
    return err_set(e, ERR_VALIDATION, "line %lu, column %lu: %s", line, col, what);
}

static size_t skip_blanks(const char *text, size_t n, size_t at)
{
    while (at < n && memchr(" \t\r\n", text[at], 4))
        at++;
    return at;
}

/* The keys seen so far in each object that is open; arrays have NULL. */
struct key_check {
    struct strmap *open[DEPTH_MAX + 1];
    int depth;
};

/* Looks at the string from text[at] to text[end], quotes included; text[end] is what follows. */
static const char *check_key(struct strmap *seen, const char *text, size_t at, size_t end)
{
    struct jsonc_object *key;
    const char *wrong = NULL;
    char *quoted = x_strndup(text + at, end - at);

    key = json_tokener_parse(quoted);
    if (!key || strlen(json_object_get_string(key)) != (size_t) json_object_get_string_len(key))
        wrong = "a key holds a NUL";
    else if (!strmap_set_num(seen, json_object_get_string(key), 0))
        wrong = "this key stands twice in its object";
    json_object_put(key);
    free(quoted);
    return wrong;
}

/* To the closing quote of the string at text[i]. Sets wrong for a control character, which json-c
 * lets pass. */
static size_t string_end(const char *text, size_t i, const char **wrong)
{
    for (i++; text[i] != '"'; i++) {
        if ((unsigned char) text[i] < ' ')
            *wrong = "a control character stands in a string; write it as \\u00XX";
        i += text[i] == '\\';
    }
    return i;
}

static size_t digits(const char *s, const char *end)
{
    size_t n = 0;

    while (s + n < end && s[n] >= '0' && s[n] <= '9')
        n++;
    return n;
}

/* The length of the number at s by RFC 8259, 0 when it is none. */
static size_t number_length(const char *s, const char *end)
{
    const char *start = s;
    size_t n;

    s += *s == '-';
    n = digits(s, end);
    if (!n || (n > 1 && *s == '0'))
        return 0;
    s += n;
    if (s < end && *s == '.') {
        n = digits(++s, end);
        if (!n)
            return 0;
        s += n;
    }
    if (s < end && (*s == 'e' || *s == 'E')) {
        s++;
        s += s < end && (*s == '+' || *s == '-');
        n = digits(s, end);
        if (!n)
            return 0;
        s += n;
    }
    return (size_t) (s - start);
}

/* What json-c allows and RFC 8259 does not: keys that stand twice, control characters in strings,
 * a comma before a closing brace, single quotes, NaN, numbers as "1." and "01". json-c has taken
 * the text by then, so its brackets match and its strings end. */
static int check_rest(const char *text, size_t n, struct err *e)
{
    struct key_check c = {{NULL}, 0};
    const char *wrong = NULL;
    size_t at = 0;
    char last = '\0';

    for (size_t i = 0; i < n && !wrong; i++) {
        if (memchr(" \t\r\n", text[i], 4))
            continue;
        at = i;
        if (text[i] == '{' || text[i] == '[') {
            c.open[c.depth++] = text[i] == '{' ? strmap_new() : NULL;
        } else if (text[i] == '}' || text[i] == ']') {
            strmap_free(c.open[--c.depth]);
            wrong = last == ',' ? "a comma stands before this" : NULL;
        } else if (text[i] == '-' || digits(text + i, text + n)) {
            size_t len = number_length(text + i, text + n);

            wrong = len ? NULL : "this is no number of JSON's";
            i += len ? len - 1 : 0;
        } else if (memchr("'/NI", text[i], 4)) {
            wrong = "JSON has double quotes, no comments, and no NaN or Infinity";
        } else if (text[i] == '"') {
            size_t next;

            i = string_end(text, i, &wrong);
            next = skip_blanks(text, n, i + 1);
            if (!wrong && next < n && text[next] == ':')
                wrong = check_key(c.open[c.depth - 1], text, at, i + 1);
        }
        last = text[i];
    }
    while (c.depth > 0)
        strmap_free(c.open[--c.depth]);
    return wrong ? fail_at(text, at, wrong, e) : 0;
}

static struct jsonc_object *parse_strict(const char *text, size_t n, struct err *e)
{
    struct json_tokener *tok = json_tokener_new_ex(DEPTH_MAX);
    struct jsonc_object *o;
    enum json_tokener_error rc;
    size_t end;

    if (!tok)
        abort();
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
    o = json_tokener_parse_ex(tok, text, (int) n);
    rc = json_tokener_get_error(tok);
    /* A number at the very end may go on for all that the tokener knows. */
    if (rc == json_tokener_continue) {
        end = n;
        o = json_tokener_parse_ex(tok, "", 1);
        rc = json_tokener_get_error(tok);
    } else {
        end = json_tokener_get_parse_end(tok);
    }
    if (rc == json_tokener_success) {
        end = skip_blanks(text, n, end);
        if (end < n)
            fail_at(text, end, "something follows the end of the document", e);
        else if (!o)
            fail_at(text, 0, "the document is null", e);
    } else if (rc == json_tokener_continue || rc == json_tokener_error_parse_eof) {
        fail_at(text, n, "the text ends too early", e);
    } else {
        fail_at(text, end, json_tokener_error_desc(rc), e);
    }
    json_tokener_free(tok);
    if (rc == json_tokener_success && end == n)
        return o;
    json_object_put(o);
    return NULL;
}

/* How many bytes are valid UTF-8; json-c's own check takes surrogates. */
static size_t valid_length(const char *text, size_t n)
{
    size_t at = 0, len = 1;
    uint32_t cp;

    for (; at < n && len; at += len)
        len = utf8_decode(text + at, n - at, &cp);
    return at;
}

struct json *json_parse(const char *text, size_t n, struct err *e)
{
    const char *nul = memchr(text, '\0', n);
    struct jsonc_object *o;
    size_t good;

    if (n > INT_MAX - 1) {
        err_set(e, ERR_VALIDATION, "the JSON text is larger than 2 GiB");
        return NULL;
    }
    if (nul) {
        fail_at(text, (size_t) (nul - text), "a NUL byte stands in the text", e);
        return NULL;
    }
    good = valid_length(text, n);
    if (good < n) {
        fail_at(text, good, "this byte is not UTF-8", e);
        return NULL;
    }
    if (skip_blanks(text, n, 0) == n) {
        err_set(e, ERR_VALIDATION, "line 1, column 1: the document is empty");
        return NULL;
    }
    o = parse_strict(text, n, e);
    if (o && check_rest(text, n, e)) {
        json_object_put(o);
        o = NULL;
    }
    return out(o);
}

enum json_type json_type(const struct json *j)
{
    switch (json_object_get_type(in(j))) {
    case json_type_boolean:
        return JSON_BOOL;
    case json_type_int:
        return JSON_INT;
    case json_type_double:
        return JSON_NUMBER;
    case json_type_string:
        return JSON_STRING;
    case json_type_array:
        return JSON_ARRAY;
    case json_type_object:
        return JSON_OBJECT;
    case json_type_null:
        break;
    }
    return JSON_NULL;
}

struct json *json_get(const struct json *obj, const char *key)
{
    struct jsonc_object *value = NULL;

    if (json_type(obj) != JSON_OBJECT || !json_object_object_get_ex(in(obj), key, &value))
        return NULL;
    return out(value);
}

bool json_has(const struct json *obj, const char *key)
{
    return json_type(obj) == JSON_OBJECT && json_object_object_get_ex(in(obj), key, NULL);
}

const char *json_str(const struct json *j)
{
    return json_type(j) == JSON_STRING ? json_object_get_string(in(j)) : NULL;
}

int64_t json_int(const struct json *j)
{
    enum json_type type = json_type(j);

    return type == JSON_INT || type == JSON_NUMBER ? json_object_get_int64(in(j)) : 0;
}

double json_double(const struct json *j)
{
    enum json_type type = json_type(j);

    return type == JSON_INT || type == JSON_NUMBER ? json_object_get_double(in(j)) : 0;
}

bool json_bool(const struct json *j)
{
    return json_type(j) == JSON_BOOL && json_object_get_boolean(in(j));
}

size_t json_len(const struct json *arr)
{
    return json_type(arr) == JSON_ARRAY ? json_object_array_length(in(arr)) : 0;
}

struct json *json_at(const struct json *arr, size_t i)
{
    return i < json_len(arr) ? out(json_object_array_get_idx(in(arr), i)) : NULL;
}

int json_each(const struct json *obj, int (*fn)(const char *key, struct json *value, void *ctx),
              void *ctx)
{
    struct json_object_iterator it, end;
    int rc = 0;

    if (json_type(obj) != JSON_OBJECT)
        return 0;
    it = json_object_iter_begin(in(obj));
    end = json_object_iter_end(in(obj));
    while (!rc && !json_object_iter_equal(&it, &end)) {
        rc = fn(json_object_iter_peek_name(&it), out(json_object_iter_peek_value(&it)), ctx);
        json_object_iter_next(&it);
    }
    return rc;
}

static int add_weight(const char *key, struct json *value, void *ctx)
{
    *(size_t *) ctx += strlen(key) + 1 + json_weight(value);
    return 0;
}

size_t json_weight(const struct json *j)
{
    size_t n = 1;

    if (json_type(j) == JSON_STRING)
        n += (size_t) json_object_get_string_len(in(j));
    for (size_t i = 0; json_type(j) == JSON_ARRAY && i < json_len(j); i++)
        n += json_weight(json_at(j, i));
    json_each(j, add_weight, &n);
    return n;
}
