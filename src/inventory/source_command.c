/* SPDX-License-Identifier: Apache-2.0 */
/* The sources "command" (a shell line of the user's) and "script" (a program called with --list):
 * what they print is names (one a line, or a list of JSON), Ansible's JSON, or muster's own inventory. */
#include "ansible.h"
#include "run.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/core/json.h"

#include <ctype.h>
#include <string.h>

static bool is_own_json(const char *text, size_t n)
{
    struct json *root = json_parse(text, n, NULL);
    bool own = root && !json_get(root, "_meta") &&
               (json_get(root, "nodes") || json_get(root, "defaults") ||
                (json_get(root, "groups") && !json_get(json_get(root, "groups"), "hosts")));

    json_free(root);
    return own;
}

/* "[2001:db8::1]:22" begins as a list does. */
static bool is_address(const char *s)
{
    size_t n = strcspn(s + 1, "]");

    return s[n + 1] == ']' && memchr(s, ':', n + 1) && !memchr(s, '"', n + 1) &&
           !memchr(s, '\n', n + 1);
}

/* "[3-5,web]" of a range, as a line may begin, is no JSON either, but no name begins so. */
static int read_names(struct build *b, const char *what, const struct strbuf *out, struct err *e)
{
    struct json *root = json_parse(out->s, out->len, e);
    struct source_input in = {.path = what, .part = "item"};
    struct strbuf lines;
    int rc = 0;

    if (!root) {
        err_prefix(e, "%s: what it prints is no JSON: ", what);
        return -ERR_VALIDATION;
    }
    strbuf_init(&lines, INVENTORY_FILE_MAX);
    if (json_len(root) == 0)
        rc = err_set(e, ERR_VALIDATION, "%s: it prints an empty list: a list of names is wanted, or "
                                        "{} where there are none", what);
    for (size_t i = 0; !rc && i < json_len(root); i++) {
        const char *name = json_str(json_at(root, i));
        if (!name || *name == '\0' || *name == '#' || strchr(name, '\n'))
            rc = err_set(e, ERR_VALIDATION, "%s: item %zu: %s is no name of a node: a list of names is "
                                            "wanted", what, i + 1, json_text(json_at(root, i), NULL));
        else
            strbuf_addf(&lines, "%s\n", name);
    }
    in.text = lines.s;
    in.n = lines.len;
    if (!rc)
        rc = source_hosts.load(b, &in, e);
    strbuf_free(&lines);
    json_free(root);
    return rc;
}

static int read_output(struct build *b, const struct ansible_input *from, const struct strbuf *out,
                       struct err *e)
{
    const struct source_input in = {.path = from->what, .text = out->s, .n = out->len};
    const struct source_input nameless = {.path = "", .text = out->s, .n = out->len};
    struct ansible_input json = *from;
    const char *s = out->s;

    while (isspace((unsigned char) *s))
        s++;
    if (*s == '\0')
        return err_set(e, ERR_VALIDATION, "%s: it prints nothing: names of nodes are wanted, one a "
                                          "line, or {} where there are none", from->what);
    if (*s == '[' && from->from == ANSIBLE_COMMAND && !is_address(s))
        return read_names(b, from->what, out, e);
    if ((*s == '{' && !is_own_json(out->s, out->len)) || (*s == '[' && !is_address(s))) {
        json.text = out->s;
        json.n = out->len;
        return ansible_json(b, &json, e);
    }
    return *s == '{' || source_muster.sniff(&nameless) ? source_muster.load(b, &in, e)
                                                       : source_hosts.load(b, &in, e);
}

static int run(struct build *b, const char *const *argv, const struct ansible_input *from,
               struct err *e)
{
    const struct run_options o = {.dir = NULL};
    struct strbuf out;
    int rc;

    strbuf_init(&out, INVENTORY_FILE_MAX);
    rc = run_program(argv, &o, &out, e);
    if (rc)
        err_prefix(e, "%s: ", from->what);
    else
        rc = read_output(b, from, &out, e);
    strbuf_free(&out);
    return rc;
}

static int command_load(struct build *b, const struct source_input *in, struct err *e)
{
    const char *const argv[] = {"/bin/sh", "-c", in->path, NULL};
    const struct ansible_input from = {.from = ANSIBLE_COMMAND, .what = in->path};

    return run(b, argv, &from, e);
}

static int script_load(struct build *b, const struct source_input *in, struct err *e)
{
    CLEANUP_FREE char *path = strchr(in->path, '/') ? x_strdup(in->path)
                                                    : x_asprintf("./%s", in->path);
    const char *const argv[] = {path, "--list", NULL};
    struct ansible_config config;
    const struct ansible_input from = {
        .from = ANSIBLE_SCRIPT, .what = in->path, .script = path, .config = &config};
    int rc = ansible_config_load(&config, in, e);

    if (rc)
        err_prefix(e, "%s: ", in->path);
    ansible_config_warn(b, &config);
    if (!rc)
        rc = run(b, argv, &from, e);
    ansible_config_clear(&config);
    return rc;
}

const struct inventory_source_ops source_command = {
    .name = "command", .load = command_load, .is_explicit = true, .runs = true, .no_file = true};
const struct inventory_source_ops source_script = {
    .name = "script", .load = script_load, .is_explicit = true, .runs = true};
