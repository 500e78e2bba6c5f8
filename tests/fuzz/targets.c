/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzz targets: everything that reads what others wrote. Each checks what its subject promises
 * for any input, beyond not crashing. */
#include "fuzz.h"

#include "ssh_conf.h"
#include "ssh_hosts.h"
#include "ssh_key.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/fleet.h"
#include "muster/core/json.h"
#include "muster/core/nodeset.h"
#include "muster/core/plan.h"
#include "muster/core/target.h"
#include "muster/core/task.h"
#include "muster/core/yaml.h"
#include "muster/inventory/inventory.h"

#include <string.h>
#include <unistd.h>

/* Whatever comes in, what goes to a terminal is valid UTF-8 without controls, and stays so. */
static void fuzz_text(const char *p, size_t n)
{
    struct strbuf once, twice;
    strbuf_init(&once, 0);
    strbuf_init(&twice, 0);
    text_sanitise(&once, p, n, 0);
    FUZZ_CHECK(utf8_valid(once.s, once.len));
    for (size_t i = 0; i < once.len; i++)
        FUZZ_CHECK((unsigned char) once.s[i] >= 0x20 && once.s[i] != 0x7f);
    text_sanitise(&twice, once.s, once.len, 0);
    FUZZ_CHECK(once.len == twice.len && memcmp(once.s, twice.s, once.len) == 0);
    struct strbuf fit;
    strbuf_init(&fit, 0);
    text_fit(&fit, once.s, n % 40, true);
    FUZZ_CHECK(text_width(fit.s) == n % 40);
    strbuf_free(&fit);
    strbuf_free(&once);
    strbuf_free(&twice);
}

/* Names as inventories have them; an expression reads a comma or a bracket as its own. */
static bool plain_names(const struct nodeset *s)
{
    for (size_t i = 0; i < nodeset_count(s); i++)
        if (strpbrk(nodeset_at(s, i), ",[]") || *nodeset_at(s, i) == '-')
            return false;
    return true;
}

/* Folding what was expanded, and evaluating that, gives the same set. */
static void fuzz_nodeset(const char *p, size_t n)
{
    static const char harmless[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "._[],-";
    struct err e = ERR_INIT;
    struct nodeset *s = nodeset_new();
    if (nodeset_expand(s, p, &e) == 0 && nodeset_count(s) < 500 && strspn(p, harmless) == n &&
        n > 0 && plain_names(s)) {
        struct fleet *f = fleet_new();
        const struct target_env env = {.fleet = f, .any_host = true, .stdin_taken = true};
        struct target_set out;
        struct strbuf folded;
        strbuf_init(&folded, 0);
        nodeset_fold(&folded, s, 0);
        target_set_init(&out);
        FUZZ_CHECK(target_eval(&env, folded.s, &out, &e) == 0);
        FUZZ_CHECK(nodeset_count(out.nodes) == nodeset_count(s));
        for (size_t i = 0; i < nodeset_count(s); i++)
            FUZZ_CHECK(nodeset_has(out.nodes, nodeset_at(s, i)));
        target_set_clear(&out);
        strbuf_free(&folded);
        fleet_free(f);
    }
    err_clear(&e);
    nodeset_free(s);
}

static int saved_by_name(void *ctx, const char *name, char **out, struct err *e)
{
    *out = x_asprintf("x,@saved:%s", *name == 'a' ? "b" : *name == 'b' ? "c&x" : "a");
    return 0;
}

/* A known fleet is not needed to read an expression: any name is taken as it is. */
static void fuzz_target(const char *p, size_t n)
{
    if (memchr(p, '^', n))
        return; /* would read files of this machine */
    struct err e = ERR_INIT;
    struct fleet *f = fleet_new();
    const struct target_env env = {.fleet = f, .any_host = true, .stdin_taken = true,
                                   .saved = saved_by_name};
    struct target_set out;
    target_set_init(&out);
    if (target_eval(&env, p, &out, &e) == 0)
        for (size_t i = 0; i < nodeset_count(out.nodes); i++)
            FUZZ_CHECK(*nodeset_at(out.nodes, i));
    target_set_clear(&out);
    err_clear(&e);
    fleet_free(f);
}

/* What was read and written is read again, and written the same. */
static void fuzz_json(const char *p, size_t n)
{
    struct err e = ERR_INIT;
    struct json *j = json_parse(p, n, &e);
    if (j) {
        size_t len = 0, again_len = 0;
        char *text = x_strdup(json_text(j, &len));
        struct json *again = json_parse(text, strlen(text), &e);
        FUZZ_CHECK(again);
        FUZZ_CHECK(strcmp(json_text(again, &again_len), text) == 0);
        json_free(again);
        json_free(json_parse_member(text, "a.b"));
        free(text);
    } else {
        FUZZ_CHECK(e.code != ERR_NONE);
    }
    json_free(j);
    err_clear(&e);
}

/* What a path leads to is the same in the part as in the whole; and no text is too odd to look for it. */
static void fuzz_member(const char *p, size_t n)
{
    struct json *part = json_parse_member(p, "a"), *whole = json_parse(p, n, NULL);
    struct json *x = whole ? json_get(whole, "a") : NULL;
    if (x) {
        CLEANUP_FREE char *text = x_strdup(json_text(x, NULL));
        FUZZ_CHECK(part);
        FUZZ_CHECK(strcmp(json_text(json_get(part, "a"), NULL), text) == 0);
    }
    json_free(part);
    json_free(whole);
}

/* A type, and the value behind the first newline. */
static void fuzz_type(const char *p, size_t n)
{
    struct err e = ERR_INIT;
    const char *line = memchr(p, '\n', n);
    CLEANUP_FREE char *type = x_strndup(p, line ? (size_t) (line - p) : n);
    struct ptype *t = ptype_parse(type, &e);
    FUZZ_CHECK((t == NULL) == (e.code != ERR_NONE));
    if (t) {
        const char *typed = line ? line + 1 : "";
        struct json *value = utf8_valid(typed, strlen(typed)) ? ptype_value(t, typed) : NULL;
        free(ptype_fault(t, value));
        free(ptype_expects(t));
        json_free(value);
    }
    ptype_free(t);
    err_clear(&e);
}

static void fuzz_task(const char *p, size_t n)
{
    struct err e = ERR_INIT;
    struct task t;
    struct task_output said;
    if (task_parse(p, n, &t, &e) == 0)
        task_clear(&t);
    else
        FUZZ_CHECK(e.code == ERR_VALIDATION);
    if (task_output_parse(p, n, &said))
        task_output_clear(&said);
    free(task_output_text(p, n));
    err_clear(&e);
}

static void fuzz_plan(const char *p, size_t n)
{
    struct err e = ERR_INIT;
    struct plan plan;
    if (plan_parse("fuzz", "fuzz.yaml", p, n, &plan, &e) == 0)
        plan_clear(&plan);
    else
        FUZZ_CHECK(e.code == ERR_VALIDATION);
    err_clear(&e);
}

static void fuzz_yaml(const char *p, size_t n)
{
    struct err e = ERR_INIT;
    struct yaml_node *y = yaml_parse("fuzz.yaml", p, n, &e);
    if (y)
        free(yaml_to_json(y));
    yaml_free(y);
    err_clear(&e);
}

/* The first byte picks the type of the source. */
static void fuzz_inventory(const char *p, size_t n)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/muster-fuzz-%d", (int) getpid());
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f);
    if (n > 1)
        fwrite(p + 1, 1, n - 1, f);
    fclose(f);
    struct inventory_options o = INVENTORY_OPTIONS_INIT;
    char named[96];
    o.ssh_config = "none";
    if (n && *p == 's') {
        o.ssh_config = path;
        o.config_dir = "/nonexistent";
    } else {
        snprintf(named, sizeof named, "%s:%s", n && *p == 'h' ? "hosts" : "muster", path);
        strv_push(&o.files, named);
    }
    struct fleet *fleet = NULL;
    struct inventory_watch *w = NULL;
    struct err e = ERR_INIT;
    int rc = inventory_load(&o, &fleet, &w, &e);
    FUZZ_CHECK((rc == 0) == (fleet != NULL));
    FUZZ_CHECK((rc != 0) == (e.code != ERR_NONE));
    fleet_free(fleet);
    inventory_watch_free(w);
    err_clear(&e);
    strv_clear(&o.files);
    unlink(path);
}

static void fuzz_ssh_conf(const char *p, size_t n)
{
    (void) n;
    char *text = x_strdup(p);
    conf_unref(conf_parse(text));
    free(text);
}

/* A file never makes an unknown host known. */
static void fuzz_known_hosts(const char *p, size_t n)
{
    struct hosts_file *f = hosts_parse("/nonexistent/known_hosts", p, n);
    struct hosts_known k = {0};
    hosts_lookup(f, "[host.example.com]:2222", "host.example.com", &k);
    const struct hosts_match *where = NULL;
    static const char blob[] = "\0\0\0\013ssh-ed25519\0\0\0 no key of anybody that could be here";
    FUZZ_CHECK(hosts_check(&k, "ssh-ed25519", blob, sizeof blob - 1, &where) != HOSTS_OK);
    hosts_known_clear(&k);
    hosts_unref(f);
}

static void fuzz_key(const char *p, size_t n)
{
    struct ssh_key *k = ssh_key_parse("/nonexistent/key", p, n);
    FUZZ_CHECK(k);
    uint8_t *sig = NULL;
    size_t len = 0;
    if (!k->problem && ssh_key_sign(k, "rsa-sha2-512", p, n, &sig, &len) == 0)
        FUZZ_CHECK(len > 0);
    free(sig);
    ssh_key_unref(k);
}

#define SEEDS(...) ((const char *const[]) {__VA_ARGS__, NULL})

/* Made for this file; nobody has authorised it. */
static const char ed25519[] =
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
    "QyNTUxOQAAACCGqRHeREyf0AbcSeNUUIV3YwHBAPbEU4GxbN+2bw5YjgAAAIjLqTcgy6k3\n"
    "IAAAAAtzc2gtZWQyNTUxOQAAACCGqRHeREyf0AbcSeNUUIV3YwHBAPbEU4GxbN+2bw5Yjg\n"
    "AAAEAkYyqOjeUODAaiMPq9LXnrMc6v3T71+r+jpZjuG43HKoapEd5ETJ/QBtxJ41RQhXdj\n"
    "AcEA9sRTgbFs37ZvDliOAAAABGZ1enoB\n"
    "-----END OPENSSH PRIVATE KEY-----\n";

const struct fuzz_target fuzz_targets[] = {
    {"text", fuzz_text, SEEDS("plain", "tab\there\r\nline\n", "\x1b[31mred\x1b[0m", "caf\xc3\xa9",
                              "\xe4\xb8\xad\xe6\x96\x87", "\xe2\x80\xae rlo", "\xf0\x9f\x98\x80")},
    {"nodeset", fuzz_nodeset, SEEDS("web[01-20]", "a[1-2]b[3,5-9/2]", "[::1]", "plain", "n[1-10/3]x")},
    {"target", fuzz_target, SEEDS("web[01-20],db1!web03", "a,b&b", "@web!@db", "/^web/", "web*?",
                                  "@last:failed", "@42:rc=3", "@saved:a!x", "os=deb*&@web",
                                  "os.name~[de]b,disks.1!=\"x y\"", "facts.disks.0=1")},
    {"json", fuzz_json, SEEDS("{\"a\": [1, 2.5, -3e4, \"x\\u00e9\", null, true]}", "[]", "\"\"",
                              "{\"command\": \"uptime\", \"targets\": [\"web1\"]}")},
    {"member", fuzz_member, SEEDS("{\"a\": {\"b\": [1, \"}\"]}, \"c\": null}", "{\"c\":\"\\\"a\",\"a\":-1.5}",
                                  "[{\"a\": 1}]", "{\"\\u0061\": true}")},
    {"type", fuzz_type,
     SEEDS("Optional[Enum[a, 'b c']]\na", "Integer[1, default]\n12",
           "Hash[String[1], Array[Integer, 1, 3]]\n{}",
           "Struct[{a => String, Optional['b'] => Variant[Float, Boolean]}]\n{\"a\": \"x\"}",
           "Pattern[/^a[b-d]+$/]\nabc", "Tuple[Integer, String, 1, 5]\n[1]", "Sensitive[TargetSpec]\nx")},
    {"task", fuzz_task,
     SEEDS("{\"description\": \"x\", \"parameters\": {\"a\": {\"type\": \"Enum[x, y]\"}}, "
           "\"input_method\": \"stdin\", \"files\": [\"m/files/x/\"]}",
           "{\"implementations\": [{\"name\": \"a.sh\", \"requirements\": [\"shell\"]}]}",
           "{\"_output\": \"x\", \"_error\": {\"msg\": \"m\", \"kind\": \"k\"}, \"rest\": [1]}")},
    {"plan", fuzz_plan,
     SEEDS("parameters: {a: {type: String, default: x}}\nsteps:\n- name: one\n  command: \"echo $a\"\n"
           "  targets: $targets\n- message: \"${one['stdout']} ${a}\"\nreturn: $one\n",
           "steps:\n- task: t\n  targets: [a, b]\n  parameters: {x: [1, $y]}\n  catch_errors: true\n"
           "- upload: a\n  destination: /b\n  targets: c\n", "steps:\n- eval: [1, {a: $b}]\n  name: b\n")},
    {"yaml", fuzz_yaml, SEEDS("a: {b: [1, 2], c: 'x'}\n", "- a\n- b: |\n    text\n", "&a [*a]",
                              "\"q\": \"\\x41\"\n")},
    {"inventory", fuzz_inventory,
     SEEDS("mdefaults: {user: ops, port: 22}\nnodes:\n  db1: {host: 10.0.0.5, vars: {dc: fra}}\n"
           "  \"web[01-05]\": {host: \"%n.example.com\"}\ngroups:\n  web: {nodes: \"web[01-05]\"}\n"
           "  prod: {nodes: [db1], groups: [web], protected: true}\n",
           "hweb1\nweb[2-4] # three\n10.0.0.1\n[::1]\n",
           "sHost web1 web2\n  HostName 10.0.0.1\n  Port 2222\nHost *\n  User ops\n")},
    {"ssh-conf", fuzz_ssh_conf,
     SEEDS("host web1\nuser ops\nhostname 10.0.0.1\nport 22\nidentityfile ~/.ssh/id_ed25519\n"
           "stricthostkeychecking true\nuserknownhostsfile ~/.ssh/known_hosts\n"
           "kexalgorithms curve25519-sha256\nproxyjump bastion\n")},
    {"known-hosts", fuzz_known_hosts,
     SEEDS("host.example.com ssh-ed25519 "
           "AAAAC3NzaC1lZDI1NTE5AAAAIMXVf6EHWKagHGDidZ8volDW0wzqm/fjSITBLnC7HPuh\n",
           "[host.example.com]:2222,10.0.0.1 ssh-ed25519 "
           "AAAAC3NzaC1lZDI1NTE5AAAAIMXVf6EHWKagHGDidZ8volDW0wzqm/fjSITBLnC7HPuh\n",
           "@revoked *.example.com ssh-ed25519 "
           "AAAAC3NzaC1lZDI1NTE5AAAAIMXVf6EHWKagHGDidZ8volDW0wzqm/fjSITBLnC7HPuh\n",
           "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-rsa AAAAB3NzaC1yc2E=\n",
           "!bad.example.com,* ssh-dss AAAAB3NzaC1kc3M=\n")},
    {"key", fuzz_key, SEEDS(ed25519, "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA==\n"
                                     "-----END EC PRIVATE KEY-----\n")},
    {NULL, NULL, NULL},
};
