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
#include "muster/core/target.h"
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

/* A known fleet is not needed to read an expression: any name is taken as it is. */
static void fuzz_target(const char *p, size_t n)
{
    if (memchr(p, '^', n))
        return; /* would read files of this machine */
    struct err e = ERR_INIT;
    struct fleet *f = fleet_new();
    const struct target_env env = {.fleet = f, .any_host = true, .stdin_taken = true};
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
        free(text);
    } else {
        FUZZ_CHECK(e.code != ERR_NONE);
    }
    json_free(j);
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
                                  "@last:failed", "@42:rc=3")},
    {"json", fuzz_json, SEEDS("{\"a\": [1, 2.5, -3e4, \"x\\u00e9\", null, true]}", "[]", "\"\"",
                              "{\"command\": \"uptime\", \"targets\": [\"web1\"]}")},
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
