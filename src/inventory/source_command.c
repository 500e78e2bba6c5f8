/* SPDX-License-Identifier: Apache-2.0 */
/* The sources "command" (a shell line of the user's) and "script" (a program called with --list):
 * what they print is a list of names, Ansible's JSON, or muster's own inventory. */
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

static int read_output(struct build *b, const char *what, const struct strbuf *out, struct err *e)
{
    const struct source_input in = {.path = what, .text = out->s, .n = out->len};
    const struct source_input nameless = {.path = "", .text = out->s, .n = out->len};
    const char *s = out->s;

    while (isspace((unsigned char) *s))
        s++;
    if (*s == '{')
        return is_own_json(out->s, out->len) ? source_muster.load(b, &in, e)
                                             : ansible_json(b, what, out->s, out->len, e);
    return source_muster.sniff(&nameless) ? source_muster.load(b, &in, e)
                                          : source_hosts.load(b, &in, e);
}

static int run(struct build *b, const char *const *argv, const char *what, struct err *e)
{
    const struct run_options o = {.dir = NULL};
    struct strbuf out;
    int rc;

    strbuf_init(&out, INVENTORY_FILE_MAX);
    rc = run_program(argv, &o, &out, e);
    if (rc)
        err_prefix(e, "%s: ", what);
    else
        rc = read_output(b, what, &out, e);
    strbuf_free(&out);
    return rc;
}

static int command_load(struct build *b, const struct source_input *in, struct err *e)
{
    const char *const argv[] = {"/bin/sh", "-c", in->path, NULL};

    return run(b, argv, in->path, e);
}

static int script_load(struct build *b, const struct source_input *in, struct err *e)
{
    CLEANUP_FREE char *path = strchr(in->path, '/') ? x_strdup(in->path)
                                                    : x_asprintf("./%s", in->path);
    const char *const argv[] = {path, "--list", NULL};

    return run(b, argv, in->path, e);
}

const struct inventory_source_ops source_command = {
    .name = "command", .load = command_load, .is_explicit = true, .runs = true, .no_file = true};
const struct inventory_source_ops source_script = {
    .name = "script", .load = script_load, .is_explicit = true, .runs = true};
