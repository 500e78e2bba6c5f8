/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks over the transport `local`: what they read, which of their scripts runs where, what they answer,
 * what is refused before anything runs, and what never gets into the database. */
#include "fixture.h"

#include "tasks.h"

#include "muster/base/io.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/core/json.h"
#include "muster/service/tasks.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ODD "a 'b' \"c\"\n$(touch \"$HOME/pwned\")`touch $HOME/pwned`\\n \xc3\xa9\xe2\x82\xac \\ %s $x\n"

static void put_str(struct task_ask *a, const char *name, const char *text)
{
    json_put_str(task_params(a), name, text);
}

/* --- what it reads --- */

static void test_environment(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    add_task(f, "show.json",
             "{\"input_method\": \"environment\", \"parameters\": {\"text\": {\"type\": \"String\"}, "
             "\"list\": {\"type\": \"Array[String]\"}, \"n\": {\"type\": \"Integer\", \"default\": 7}, "
             "\"none\": {\"type\": \"Optional[String]\"}}}");
    add_task(f, "show.sh", "#!/bin/sh\ncat; printf '%s|%s|%s|%s|%s' \"$PT_text\" \"$PT_list\" \"$PT_n\" "
                           "\"${PT_none-unset}\" \"$PT__task\"\n");
    ask_task(&a, "show", LIST("n01"));
    put_str(&a, "text", ODD);
    json_put(task_params(&a), "list", json_parse("[\"x y\",\"'\"]", 11, NULL));
    int64_t n = run_task(f, &a);
    assert_output(f, n, 0, ODD "|[\"x y\",\"'\"]|7|unset|show");
    assert_int_equal(stats_of(f, n).success, 1);
    assert_no_file(f, "pwned");
}

static void test_stdin(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    add_task(f, "show.json", "{\"input_method\": \"stdin\", \"parameters\": {\"text\": {\"type\": \"String\"}"
                             ", \"list\": {\"type\": \"Array[Integer]\", \"default\": [1, 2]}}}");
    add_task(f, "show.sh", "#!/bin/sh\ncat; env | grep -c ^PT_\nexit 0\n");
    ask_task(&a, "show", LIST("n01"));
    put_str(&a, "text", ODD);
    int64_t n = run_task(f, &a);
    size_t len;
    CLEANUP_FREE char *out = output_of(f, n, 0, &len);
    char *end = strchr(out, '}');
    assert_non_null(end);
    assert_string_equal(end, "}\n0\n");
    struct json *o = json_parse(out, (size_t) (end + 1 - out), NULL);
    assert_non_null(o);
    assert_string_equal(json_str(json_get(o, "text")), ODD);
    assert_int_equal(json_len(json_get(o, "list")), 2);
    assert_string_equal(json_str(json_get(o, "_task")), "show");
    json_free(o);
    assert_no_file(f, "pwned");
}

/* Without metadata all is taken, as text, both ways. */
static void test_both(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    add_task(f, "bare.sh", "#!/bin/sh\necho \"$PT_n:$PT_s\"; cat\n");
    ask_task(&a, "bare", LIST("n01"));
    task_set(f, &a, "n=5");
    task_set(f, &a, "s=a=b");
    int64_t n = run_task(f, &a);
    size_t len;
    CLEANUP_FREE char *out = output_of(f, n, 0, &len);
    char *line = strchr(out, '\n');
    assert_non_null(line);
    *line = '\0';
    assert_string_equal(out, "5:a=b");
    struct json *o = json_parse(line + 1, strlen(line + 1), NULL);
    assert_string_equal(json_str(json_get(o, "n")), "5");
    assert_string_equal(json_str(json_get(o, "s")), "a=b");
    json_free(o);
}

/* What a variable of the node's own is called is no trap. */
static void test_own_names(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"d", "e", "f", "j", "l", "n", "rc", "s", "t", "w", "x"};
    struct task_ask a;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        setenv(names[i], "exported", 1);
    add_task(f, "show.sh", "#!/bin/sh\nenv | grep -E '^([a-z]|rc|MUSTER_TASK)='; echo \"$PT_v$LC_ALL\"\n");
    ask_task(&a, "show", LIST("n01"));
    task_set(f, &a, "v=one\ntwo");
    setenv("LC_ALL", "C.UTF-8", 1);
    int64_t n = run_task(f, &a);
    unsetenv("LC_ALL");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        unsetenv(names[i]);
    assert_output(f, n, 0, "one\ntwoC.UTF-8\n");
}

static void test_files(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    make_dirs(f, "muster/modules/app/tasks");
    make_dirs(f, "muster/modules/app/files/lib");
    make_dirs(f, "muster/modules/app/lib");
    write_file(f, "muster/modules/app/files/one.txt", "one\n");
    write_file(f, "muster/modules/app/files/lib/two words.txt", "two\n");
    write_file(f, "muster/modules/app/tasks/init.json",
               "{\"files\": [\"app/files/one.txt\", \"app/files/lib/\"], "
               "\"parameters\": {}}");
    write_file(f, "muster/modules/app/tasks/init.sh",
               "#!/bin/sh\ncat \"$PT__installdir/app/files/one.txt\" "
               "\"$PT__installdir/app/files/lib/two words.txt\"; "
               "in=$(cat); case $in in *\"\\\"_installdir\\\":\\\"$PT__installdir\\\"}\") echo same;; esac\n"
               "ls -A \"$PT__installdir\"; stat -c %a \"$PT__installdir\"\n");
    ask_task(&a, "app", LIST("n01", "n02"));
    int64_t n = run_task(f, &a);
    assert_output(f, n, 0, "one\ntwo\nsame\napp\n700\n");
    assert_output(f, n, 1, "one\ntwo\nsame\napp\n700\n");
    assert_int_equal(left_behind(f), 0);

    write_file(f, "muster/modules/app/tasks/init.json", "{\"files\": [\"app/files/gone\"]}");
    ask_task(&a, "app", LIST("n01"));
    assert_task_refused(f, &a, ERR_VALIDATION, "app/files/gone is in no folder of modules");
}

/* --- which of its scripts --- */

static void add_two_ways(struct fixture *f)
{
    add_task(f, "way.json",
             "{\"implementations\": [{\"name\": \"way_a.sh\", \"requirements\": [\"apt\"], "
             "\"input_method\": \"environment\"}, {\"name\": \"way_b.sh\", \"requirements\": [\"dnf\"], "
             "\"input_method\": \"stdin\"}]}");
    add_task(f, "way_a.sh", "#!/bin/sh\necho \"a$PT_v $(cat)\"\n");
    add_task(f, "way_b.sh", "#!/bin/sh\necho \"b$PT_v $(cat | grep -c '\"v\":\"1\"')\"\n");
    write_file(f, "inventory.yaml",
               "defaults: {transport: local}\nnodes:\n  n01: {vars: {feature.apt: true}}\n"
               "  n02: {vars: {feature.dnf: true}}\n  n03: {vars: {feature.apt: false}}\n  n04: {}\n");
    fixture_reopen(f);
}

static void test_implementations(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    add_two_ways(f);
    ask_task(&a, "way", LIST("n01", "n02"));
    put_str(&a, "v", "1");
    int64_t n = run_task(f, &a);
    assert_output(f, n, 0, "a1 \n");
    assert_output(f, n, 1, "b 1\n");
    /* One alone needs no archive. */
    ask_task(&a, "way", LIST("n02"));
    put_str(&a, "v", "1");
    assert_output(f, run_task(f, &a), 0, "b 1\n");
    assert_int_equal(left_behind(f), 0);
}

static void test_no_implementation(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    add_two_ways(f);
    ask_task(&a, "way", LIST("n01", "n03", "n04"));
    put_str(&a, "v", "1");
    struct batch_created c;
    fill_text(f, &a);
    int rc = batch_create(f->s, &a.r, &c, &f->e);
    assert_non_null(f->e.details);
    assert_string_equal(f->e.details, "n03\nn04");
    assert_refused(f, rc, ERR_VALIDATION, "no implementation for n03, n04");
    task_ask_clear(&a);
    assert_int_equal(count_batches(f), 0);
}

/* --- what is refused --- */

static void test_all_faults_at_once(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    add_task(f, "pick.json",
             "{\"parameters\": {\"name\": {\"type\": \"String[1]\"}, "
             "\"count\": {\"type\": \"Integer[1,5]\"}, "
             "\"mode\": {\"type\": \"Enum[on,off]\", \"default\": \"on\"}, "
             "\"pw\": {\"type\": \"String\", \"sensitive\": true}}}");
    add_task(f, "pick.sh", "#!/bin/sh\ntouch \"$HOME/ran\"\n");
    ask_task(&a, "pick", LIST("n01"));
    task_set(f, &a, "count=9");
    task_set(f, &a, "mode=of");
    task_set(f, &a, "nmae=x");
    struct batch_created c;
    fill_text(f, &a);
    int rc = batch_create(f->s, &a.r, &c, &f->e);
    static const char *const wanted[] = {"count", "mode", "nmae", "name", "pw"};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (!f->e.details || !strstr(f->e.details, wanted[i]))
            fail_msg("%s is not in: %s", wanted[i], f->e.details ? f->e.details : "");
    assert_refused(f, rc, ERR_VALIDATION, "task pick");
    task_ask_clear(&a);
    assert_int_equal(count_batches(f), 0);
    assert_no_file(f, "ran");
}

static void test_refused(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    struct strv env = STRV_INIT;
    add_task(f, "hello.sh", "#!/bin/sh\necho hello\n");
    add_task(f, "far.json", "{\"remote\": true}");
    add_task(f, "far.sh", "#!/bin/sh\n");
    add_task(f, "empty.sh", "");
    ask_task(&a, "hello", LIST("n01"));
    a.r.pty = true;
    assert_task_refused(f, &a, ERR_VALIDATION, "no terminal");
    ask_task(&a, "hello", LIST("n01"));
    a.r.stdin_path = "/etc/hostname";
    assert_task_refused(f, &a, ERR_VALIDATION, "no input but its parameters");
    ask_task(&a, "helo", LIST("n01"));
    assert_task_refused(f, &a, ERR_VALIDATION, "did you mean hello?");
    ask_task(&a, "far", LIST("n01"));
    assert_task_refused(f, &a, ERR_VALIDATION, "remote");
    ask_task(&a, "empty", LIST("n01"));
    assert_task_refused(f, &a, ERR_VALIDATION, "empty");
    ask_task(&a, "hello", LIST("n01"));
    strv_push(&env, "MUSTER_TASK=e::../../x");
    a.r.env = &env;
    assert_task_refused(f, &a, ERR_VALIDATION, "MUSTER_TASK is muster's own");
    strv_clear(&env);
    ask_task(&a, "hello", LIST("n01"));
    json_put(task_params(&a), "v", json_of_str("a\0b", 3));
    assert_task_refused(f, &a, ERR_VALIDATION, "NUL");
    ask_task(&a, "hello", LIST("n01"));
    char *big = x_calloc(1, (64 << 10) + 1);
    memset(big, 'x', 64 << 10);
    put_str(&a, "v", big);
    free(big);
    assert_task_refused(f, &a, ERR_VALIDATION, "muster push");
    assert_int_equal(count_batches(f), 0);
}

/* doas asks on a terminal, and a task has none. */
static void test_doas(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    add_task(f, "hello.sh", "#!/bin/sh\necho hello\n");
    ask_task(&a, "hello", LIST("n01"));
    a.r.over.become = x_strdup("doas");
    a.r.become_password = secret_new("x", 1);
    assert_task_refused(f, &a, ERR_VALIDATION, "doas asks for its password on a terminal");
}

static void test_rules(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    add_task(f, "wipe_all.sh", "#!/bin/sh\necho hello\n");
    add_task(f, "hello.sh", "#!/bin/sh\necho hello\n");
    write_file(f, "muster/config.yaml",
               "deny: ['wipe_all\\.sh$', 'hello .*bad']\nconfirm: ['hello\\.sh$']\n");
    fixture_reopen(f);
    ask_task(&a, "wipe_all", LIST("n01"));
    assert_task_refused(f, &a, ERR_FORBIDDEN, "wipe_all.sh");
    ask_task(&a, "hello", LIST("n01"));
    a.r.action = "hello v=bad";
    assert_task_refused(f, &a, ERR_FORBIDDEN, "deny: hello");
    ask_task(&a, "hello", LIST("n01"));
    assert_task_refused(f, &a, ERR_FORBIDDEN, "confirm with -y");
    ask_task(&a, "hello", LIST("n01"));
    a.r.confirmed = true;
    assert_output(f, run_task(f, &a), 0, "hello\n");
}

/* --- sensitive ones, and running again --- */

#define LOCKED                                                                                 \
    "{\"parameters\": {\"pw\": {\"type\": \"String\", \"sensitive\": true}, "                  \
    "\"v\": {\"type\": \"String\", \"default\": \"d\"}}}"
#define SECRET "hunter2-correct-horse"

static void give_secret(struct fixture *f, struct work_request *w)
{
    struct task t;
    struct secret *pw = secret_new(SECRET, strlen(SECRET));
    assert_int_equal(service_task(f->s, "login", &t, &f->e), 0);
    assert_int_equal(work_set(w, &t.params, "pw=" SECRET, &f->e), -ERR_VALIDATION);
    err_clear(&f->e);
    assert_int_equal(work_set_secret(w, &t.params, "pw", pw, &f->e), 0);
    secret_unref(pw);
    task_clear(&t);
}

static void test_sensitive(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    struct batch b;
    add_task(f, "login.json", LOCKED);
    add_task(f, "login.sh",
             "#!/bin/sh\n[ \"$PT_pw\" = " SECRET " ] && grep -q " SECRET " && echo in $PT_v\n");
    ask_task(&a, "login", LIST("n01"));
    task_set(f, &a, "v=one");
    give_secret(f, a.r.work);
    int64_t n = run_task(f, &a);
    assert_output(f, n, 0, "in one\n");
    get_batch(f, n, &b);
    assert_null(strstr(b.parameters, SECRET));
    assert_null(strstr(b.action, SECRET));
    assert_non_null(strstr(b.action, "pw=***"));
    batch_clear(&b);
    service_close(f->s);
    f->s = NULL;
    assert_false(database_has(f, SECRET));
    fixture_reopen(f);
}

static void test_again(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    struct batch_request r;
    struct rerun_hold *hold;
    struct batch_created c;
    add_task(f, "login.json", LOCKED);
    add_task(f, "login.sh", "#!/bin/sh\necho \"$PT_v $PT_pw\" | sed s/" SECRET "/right/\n");
    ask_task(&a, "login", LIST("n01"));
    task_set(f, &a, "v=kept");
    give_secret(f, a.r.work);
    int64_t n = run_task(f, &a);
    assert_output(f, n, 0, "kept right\n");

    assert_int_equal(batch_rerun_request(f->s, n, RERUN_ALL, REASON_NONE, NULL, &r, &hold, &f->e), 0);
    assert_non_null(r.work);
    assert_int_equal(r.work->secret_names.n, 1);
    assert_refused(f, batch_create(f->s, &r, &c, &f->e), ERR_VALIDATION, "pw is sensitive");
    give_secret(f, r.work);
    int64_t again = create(f, &r);
    wait_idle(f->s);
    assert_output(f, again, 0, "kept right\n");

    add_task(f, "login.sh", "#!/bin/sh\necho \"new $PT_v\"\n");
    assert_int_equal(batch_create(f->s, &r, &c, &f->e), 0);
    assert_int_equal(c.warnings.n, 1);
    assert_non_null(strstr(c.warnings.v[0], "has changed since #1"));
    wait_idle(f->s);
    assert_output(f, c.number, 0, "new kept\n");
    batch_created_clear(&c);
    batch_request_clear(&r);
    rerun_hold_free(hold);
}

/* --- what it answers --- */

/* The first node failed with this in its error; what is told of it, to be cleared. */
static struct execution failed_with(struct fixture *f, int64_t number, const char *text)
{
    struct execution x;

    assert_int_equal(reader_execution(f->r, number, 0, &x, &f->e), 0);
    assert_int_equal(x.status, EXEC_FAILED);
    if (!strstr(x.error, text))
        fail_msg("\"%s\" is not in: %s", text, x.error);
    return x;
}

static void test_error_of_a_task(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    add_task(f, "fail.sh",
             "#!/bin/sh\necho '{\"_error\": {\"msg\": \"disk is full\", \"kind\": \"a/b\"}}'\n");
    ask_task(&a, "fail", LIST("n01"));
    int64_t n = run_task(f, &a);
    struct execution x = failed_with(f, n, "disk is full");
    assert_int_equal(x.reason, REASON_EXIT);
    assert_int_equal(x.exit_code, 0);
    execution_clear(&x);
    assert_output(f, n, 0, "{\"_error\": {\"msg\": \"disk is full\", \"kind\": \"a/b\"}}\n");
}

/* In many pieces, and as it is. */
static void test_output_is_kept(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    add_task(f, "say.sh",
             "#!/bin/sh\nprintf '{\"_output\": '; sleep 0.3; echo '\"hi\\u001b[0m\", \"n\": 1}'\n");
    ask_task(&a, "say", LIST("n01", "n02"));
    a.r.live = true;
    int64_t n = run_task(f, &a);
    assert_output(f, n, 0, "{\"_output\": \"hi\\u001b[0m\", \"n\": 1}\n");
    assert_int_equal(stats_of(f, n).success, 2);
}

static void test_facts(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    struct node_facts *v;
    size_t n;
    add_task(f, "facts.sh", "#!/bin/sh\n[ $MUSTER_NODE = n02 ] && { echo no; exit 1; }\n"
                            "[ $MUSTER_NODE = n03 ] && { echo '[1]'; exit 0; }\n"
                            "echo '{\"os\": {\"name\": \"debian\"}}'\n");
    ask_task(&a, "facts", LIST("n01", "n02", "n03"));
    int64_t number = run_task(f, &a);
    assert_int_equal(reader_facts(f->r, NULL, &v, &n, &f->e), 0);
    assert_int_equal(n, 1);
    assert_string_equal(v[0].node, "n01");
    assert_non_null(strstr(v[0].facts, "debian"));
    assert_int_equal(v[0].batch, number);
    node_facts_free(v, n);
}

/* What a task begun again said before is no part of its answer. */
static void test_again_for_a_while(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    add_task(f, "wait.json", "{\"parameters\": {\"max\": {\"type\": \"Integer\", \"default\": 20}}, "
                             "\"muster\": {\"retry_for\": \"max\"}}");
    add_task(f, "wait.sh",
             "#!/bin/sh\n[ -e \"$HOME/once\" ] && { echo '{\"_error\": {\"msg\": \"at last\"}}';"
             " exit 0; }\n: >\"$HOME/once\"\necho '{\"n\": 1}'; sleep 0.5\nexit 75\n");
    ask_task(&a, "wait", LIST("n01"));
    a.r.live = true;
    int64_t n = run_task(f, &a);
    struct execution x = failed_with(f, n, "at last");
    assert_int_equal(x.attempts, 2);
    execution_clear(&x);
    assert_output(f, n, 0, "{\"_error\": {\"msg\": \"at last\"}}\n");
}

/* Who leaves between two tries leaves a node where it has run, which is no node that was skipped. */
static void test_left_between_tries(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    struct execution x;
    add_task(f, "wait.json", "{\"parameters\": {\"max\": {\"type\": \"Integer\", \"default\": 600}}, "
                             "\"muster\": {\"retry_for\": \"max\"}}");
    add_task(f, "wait.sh", "#!/bin/sh\n[ -e \"$HOME/once\" ] && : >\"$HOME/twice\"\n"
                           ": >\"$HOME/once\"; exit 75\n");
    ask_task(&a, "wait", LIST("n01"));
    int64_t n = start_task(f, &a);
    CLEANUP_FREE char *twice = io_join(f->dir, "twice");
    for (int i = 0; i < 3000 && access(twice, F_OK) != 0; i++)
        usleep(10000);
    assert_int_equal(access(twice, F_OK), 0);
    wait_left(f, 0);
    service_abort(f->s);
    wait_idle(f->s);
    assert_int_equal(reader_execution(f->r, n, 0, &x, &f->e), 0);
    assert_int_equal(x.reason, REASON_LOST);
    assert_non_null(strstr(x.error, "muster left"));
    execution_clear(&x);
}

/* As a step of a plan: its answers count there too, and results get to it as they are. */
static void test_in_a_plan(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    struct node_facts *v;
    size_t n_facts;
    add_task(f, "facts.sh", "#!/bin/sh\necho '{\"os\": \"debian\"}'\n");
    add_task(f, "wait.json", "{\"parameters\": {\"max\": {\"type\": \"Integer\"}}, "
                             "\"muster\": {\"retry_for\": \"max\"}}");
    add_task(f, "wait.sh", "#!/bin/sh\n[ -e \"$HOME/once\" ] && exit 0; : >\"$HOME/once\"; exit 75\n");
    add_task(f, "fail.sh", "#!/bin/sh\necho '{\"_error\": {\"msg\": \"no:'\"$PT_v\"'\"}}'\n");
    make_dirs(f, "muster/plans");
    write_file(f, "muster/plans/p.yaml",
               "steps:\n- task: facts\n  targets: $targets\n"
               "- task: wait\n  targets: $targets\n  parameters: {max: 20}\n"
               "- name: said\n  command: printf %s \"it's\"\n  targets: $targets\n"
               "- task: fail\n  targets: $targets\n  parameters: {v: \"x ${said['stdout']}\"}\n");
    ask_task(&a, "p", LIST("n01"));
    a.r.type = ACTION_TYPE_PLAN;
    a.r.action = "p";
    int64_t n = run_task(f, &a);
    struct execution x = failed_with(f, n, "no:x it's");
    assert_int_equal(x.step, 4);
    execution_clear(&x);
    assert_int_equal(reader_facts(f->r, "n01", &v, &n_facts, &f->e), 0);
    assert_int_equal(n_facts, 1);
    node_facts_free(v, n_facts);
}

static struct json *export_of(struct fixture *f, int64_t number)
{
    CLEANUP_FREE char *path = x_asprintf("%s/out.json", f->dir);
    struct strbuf b;
    if (batch_export(f->s, number, EXPORT_JSON, NULL, path, -1, &f->e) != 0)
        fail_msg("%s", f->e.msg);
    strbuf_init(&b, 1 << 20);
    assert_int_equal(io_read_file(path, 1 << 20, &b, &f->e), 0);
    struct json *o = json_parse(b.s, b.len, &f->e);
    if (!o)
        fail_msg("%s: %s", f->e.msg, b.s);
    strbuf_free(&b);
    return o;
}

static void assert_step(const struct json *steps, size_t i, const char *status, const char *out)
{
    const struct json *step = json_at(steps, i);
    assert_string_equal(json_str(json_get(step, "status")), status);
    const char *said = json_str(json_get(json_get(step, "result"), "stdout"));
    if (!said)
        said = json_str(json_get(step, "stdout"));
    assert_string_equal(said ? said : "", out);
}

/* While one node has ended and another is in its second step. */
static void test_export_of_a_plan(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    make_dirs(f, "muster/plans");
    write_file(f, "muster/plans/p.yaml",
               "steps:\n- command: echo \"one $MUSTER_NODE\"\n  targets: $targets\n"
               "- targets: $targets\n  command: '[ $MUSTER_NODE = n01 ] && exit 3; " HELD "'\n");
    ask_task(&a, "p", LIST("n01", "n02"));
    a.r.type = ACTION_TYPE_PLAN;
    a.r.action = "p";
    int64_t n = start_task(f, &a);
    wait_held(f, "n02");
    while (stats_of(f, n).failed != 1)
        wait_running(f, n, 1);
    struct json *o = export_of(f, n);
    const struct json *all = json_get(o, "executions");
    assert_int_equal(json_len(all), 2);
    const struct json *ended = json_at(all, 0), *runs = json_at(all, 1);
    assert_string_equal(json_str(json_get(ended, "status")), "failed");
    assert_int_equal(json_len(json_get(ended, "steps")), 2);
    assert_step(json_get(ended, "steps"), 0, "success", "one n01\n");
    assert_step(json_get(ended, "steps"), 1, "failed", "");
    assert_string_equal(json_str(json_get(runs, "status")), "running");
    assert_int_equal(json_len(json_get(runs, "steps")), 2);
    assert_step(json_get(runs, "steps"), 0, "success", "one n02\n");
    assert_step(json_get(runs, "steps"), 1, "running", "");
    assert_int_equal(json_len(json_get(json_get(o, "batch"), "steps")), 2);
    json_free(o);
    open_gate(f);
    wait_idle(f->s);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, tasks_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_environment),
        TEST(test_stdin),
        TEST(test_both),
        TEST(test_own_names),
        TEST(test_files),
        TEST(test_implementations),
        TEST(test_no_implementation),
        TEST(test_all_faults_at_once),
        TEST(test_refused),
        TEST(test_doas),
        TEST(test_rules),
        TEST(test_sensitive),
        TEST(test_again),
        TEST(test_error_of_a_task),
        TEST(test_output_is_kept),
        TEST(test_facts),
        TEST(test_again_for_a_while), TEST(test_left_between_tries),
        TEST(test_in_a_plan),
        TEST(test_export_of_a_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
