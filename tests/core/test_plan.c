/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: what is read, what references mean, and all that is refused, by its name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/core/json.h"
#include "muster/core/plan.h"

#include <string.h>

#define HEAD "parameters:\n  svc: {type: String}\n  nodes: {type: TargetSpec}\n  list:\n    default: [1, b]\n"

static struct plan parse(const char *text)
{
    struct err e = ERR_INIT;
    struct plan p;

    if (plan_parse("site::p", "p.yaml", text, strlen(text), &p, &e))
        fail_msg("%s\n%s", e.msg, e.details ? e.details : "");
    return p;
}

static void check_broken(const char *text, const char *part)
{
    struct err e = ERR_INIT;
    struct plan p;

    if (!plan_parse("site::p", "p.yaml", text, strlen(text), &p, &e))
        fail_msg("taken: %s", text);
    if (!strstr(e.details ? e.details : e.msg, part))
        fail_msg("%s: \"%s\" lacks \"%s\"", text, e.details ? e.details : e.msg, part);
    assert_null(p.steps);
    err_clear(&e);
}

static void test_form(void **state)
{
    struct plan p = parse(HEAD
        "description: Rolls it\nprivate: true\non_failure: stop\n"
        "steps:\n"
        "  - name: up\n    command: uptime\n    target: $nodes\n    env_vars: {LANG: C}\n"
        "  - task: service\n    description: \"Restart \\e[1m it\"\n    targets: [a, \"$svc-1\"]\n"
        "    parameters: {name: $svc, action: restart, n: 5, _run_as: root, _catch_errors: true}\n"
        "  - script: mod/x.sh\n    arguments: [--all, $list]\n    run_as: app\n"
        "  - upload: mod/a\n    destination: /tmp/a\n"
        "  - source: mod/a\n    destination: /tmp/a\n"
        "  - download: /etc/motd\n    destination: motds\n"
        "  - message: \"done $svc\"\n"
        "  - name: v\n    eval: $up['stdout']\n"
        "return: {out: $v, list: $list}\n");

    assert_string_equal(p.name, "site::p");
    assert_string_equal(p.description, "Rolls it");
    assert_true(p.is_private);
    assert_int_equal(p.on_failure, PLAN_STOP);
    assert_int_equal(p.params.n, 3);
    assert_true(p.params.v[0].required);
    assert_false(p.params.v[2].required);
    assert_int_equal(p.n_steps, 8);
    assert_int_equal(p.steps[0].kind, PLAN_STEP_COMMAND);
    assert_string_equal(p.steps[0].title, "up");
    assert_int_equal(p.steps[0].line, 10);
    assert_non_null(p.steps[0].env);
    assert_string_equal(p.steps[1].run_as, "root");
    assert_true(p.steps[1].catch_errors);
    assert_string_equal(p.steps[1].title, "Restart ^[[1m it");
    assert_string_equal(p.steps[2].title, "script mod/x.sh");
    assert_string_equal(p.steps[2].run_as, "app");
    assert_int_equal(p.steps[4].kind, PLAN_STEP_UPLOAD);
    assert_int_equal(p.steps[7].kind, PLAN_STEP_EVAL);
    assert_true(plan_value_by_node(p.ret));
    assert_true(plan_value_by_node(p.steps[7].what));
    assert_false(plan_value_by_node(p.steps[1].parameters));
    assert_false(plan_value_by_node(NULL));
    assert_true(plan_step_on_nodes(PLAN_STEP_UPLOAD));
    assert_false(plan_step_on_nodes(PLAN_STEP_EVAL));
    plan_clear(&p);
    (void) state;
}

static struct json *json_of(const char *text)
{
    struct json *j = json_parse(text, strlen(text), NULL);

    assert_non_null(j);
    return j;
}

/* What the last step's text is; NULL want: an error with `part`. */
static void check_value(const char *step, bool as_json, const char *want, const char *part)
{
    char *text = x_asprintf(HEAD "steps:\n  - name: up\n    task: uptime\n  - %s\n", step), *got = NULL;
    struct plan p = parse(text);
    struct json *params = json_of("{\"svc\":\"my svc\",\"nodes\":[\"a\",\"b\"],\"list\":[1,\"b\"],"
                                  "\"targets\":\"web[1-3]\"}");
    struct json *results = json_of("{\"up\":{\"stdout\":\"$(rm) 'x'\",\"n\":[1,{\"k\":null}],"
                                   "\"exit_code\":0}}");
    struct plan_scope scope = {params, results, !as_json};
    struct plan_value *v = p.steps[1].what;
    struct err e = ERR_INIT;

    if (as_json) {
        struct json *j = NULL;

        if (!plan_value_json(v, &scope, &j, &e))
            got = x_strdup(j ? json_text(j, NULL) : "undef");
        json_free(j);
    } else {
        got = plan_value_text(v, &scope, &e);
    }
    if (want && !got)
        fail_msg("%s: %s", step, e.msg);
    if (want) {
        assert_string_equal(got, want);
    } else {
        assert_null(got);
        assert_non_null(strstr(e.msg, part));
    }
    free(got);
    err_clear(&e);
    json_free(params);
    json_free(results);
    plan_clear(&p);
    free(text);
}

static void test_values(void **state)
{
    check_value("eval: $list", true, "[1,\"b\"]", NULL);
    check_value("eval: ${list}", true, "[1,\"b\"]", NULL);
    check_value("eval: $list[-1]", true, "\"b\"", NULL);
    check_value("eval: $up['n'][1]['k']", true, "undef", NULL);
    check_value("eval: '$list'", true, "\"$list\"", NULL);
    check_value("eval: \"${list[0]}-$svc\"", true, "\"1-my svc\"", NULL);
    check_value("eval: \"\\\\$svc \\\\\\\\ $5 $(x) $\"", true, "\"$svc \\\\ $5 $(x) $\"", NULL);
    check_value("eval: {a: 5, b: [true, ~, '5', 1.5], c: $svc}", true,
                "{\"a\":5,\"b\":[true,null,\"5\",1.5],\"c\":\"my svc\"}", NULL);
    check_value("eval: $up['none']", true, NULL, "there is no ['none']");
    check_value("eval: $list[7]", true, NULL, "there is no [7]");
    check_value("eval: $list[-3]", true, NULL, "there is no [-3]");
    check_value("eval: $svc['a']", true, NULL, "no hash");
    check_value("message: yes", false, "yes", NULL);
    check_value("command: echo $targets", false, "echo web[1-3]", NULL);
    check_value("command: \"echo $nodes\"", false, "echo a,b", NULL);
    check_value("command: \"echo $list\"", false, "echo [1,\"b\"]", NULL);
    check_value("command: \"echo $svc ${up['stdout']}; x\"", false,
                "echo my svc '$(rm) '\\''x'\\'''; x", NULL);
    check_value("command: \"echo $up['n']\"", false, "echo '[1,{\"k\":null}]'", NULL);
    /* Plain text is the shell's but for what the plan has. */
    check_value("command: echo $HOME ${X:-y} $(id) $svc", false,
                "echo $HOME ${X:-y} $(id) my svc", NULL);
    check_value("command: 'echo $svc'", false, "echo $svc", NULL);
    check_value("command: nods=1; echo $nods; for tagets in a; do echo $tagets; done", false,
                "nods=1; echo $nods; for tagets in a; do echo $tagets; done", NULL);
    /* A folded block is taken as it is, and what env_vars sets is the shell's. */
    check_value("command: >-\n      echo\n      $svc", false, "echo $svc", NULL);
    check_value("{command: echo $svc $nodes, env_vars: {svc: $svc}}", false, "echo $svc a,b", NULL);
    (void) state;
}

static void test_missing_result(void **state)
{
    struct plan p = parse("steps:\n  - {name: a, command: id}\n  - message: \"$a\"\n");
    struct json *none = json_object();
    struct plan_scope scope = {none, none, false};
    struct err e = ERR_INIT;

    assert_null(plan_value_text(p.steps[1].what, &scope, &e));
    assert_non_null(strstr(e.msg, "$a: the step has no result"));
    err_clear(&e);
    json_free(none);
    plan_clear(&p);
    (void) state;
}

#define STEP(text) HEAD "steps:\n  - {name: up, command: id}\n  - " text "\n"

static void test_refused(void **state)
{
    static const char *const cases[][2] = {
        {STEP("plan: other"), "a step `plan`"},
        {STEP("resources: [{package: nginx}]"), "a step `resources`"},
        {STEP("apply: x"), "a step `apply`"},
        {STEP("verbose: x"), "a step `verbose`"},
        {STEP("{command: id, description: [a]}"), "description has to be a text"},
        {STEP("{command: id, run_as: [a]}"), "run_as has to be a text"},
        {STEP("{command: id, env_vars: [a]}"), "env_vars has to be a mapping"},
        {STEP("{script: m/x, pwsh_params: {}}"), "pwsh_params: PowerShell"},
        {STEP("{task: x, noop: true}"), "noop:"},
        {STEP("command: |\n      \"id\""), "p.yaml:8: a block behind |"},
        {STEP("eval: $list.first"), "functions"},
        {STEP("eval: $list.filter |$n| { $n > 5 }"), "functions"},
        {STEP("eval: $svc + 1"), "operators"},
        {STEP("eval: $list[$svc]"), "nothing that is computed"},
        {STEP("message: \"${list.join(',')}\""), "functions"},
        {STEP("message: \"${1 + 1}\""), "code is not known"},
        {STEP("command: echo ${upcase($svc)}"), "${upcase(..)}: functions"},
        {STEP("command: $svc --all"), "operators"},
        {STEP("command: $(which x)"), "begins with $"},
        {STEP("message: \"$HOME\""), "$HOME: there is no parameter and no earlier step"},
        {STEP("message: \"$nods\""), "did you mean nodes?"},
        {STEP("eval: $later"), "$later: there is no"},
        {STEP("eval: $up[0]"), "p.yaml:8: $up[0]: a step's result is of the node itself"},
        {STEP("message: \"${up[0]['stdout']}\""), "leave [0] out"},
        {STEP("command: echo $up[0]"), "leave [0] out"},
        {STEP("eval: $up['stdot']"), "'exit_code' (did you mean stdout?)"},
        {STEP("eval: $up['stdout'][0]"), "it is a text"},
        {STEP("eval: $up['exit_code']['x']"), "it is a number"},
        {STEP("{name: t, task: t}\n  - eval: $t[0]"), "leave [0] out"},
        {STEP("message: \"$b\"\n  - {name: b, command: id}"), "p.yaml:8: $b: the step of that name comes "
                                                              "later (line 9)"},
        {STEP("command: echo ${b['stdout']}\n  - {name: b, command: id}"), "comes later (line 9)"},
        {STEP("command: echo $nods $svc"), "p.yaml:8: $nods: there is no parameter and no earlier step of "
                                            "that name (did you mean nodes?)"},
        {STEP("{command: id, targets: $up}"), "targets cannot come from a step's result"},
        {STEP("{task: $up}"), "task cannot come from"},
        {STEP("{script: \"m/${up['x']}\"}"), "script cannot come from"},
        {STEP("{download: /x, destination: \"$up\"}"), "cannot come from a step's result"},
        {STEP("{upload: /x}"), "needs a destination"},
        {STEP("{command: id, task: x}"), "and not two"},
        {STEP("{name: x}"), "one of command"},
        {STEP("id"), "has to be a mapping"},
        {STEP("{command: ''}"), "command is empty"},
        {STEP("{command: [id]}"), "has to be a text"},
        {STEP("{comand: id}"), "one of command"},
        {STEP("{command: id, argumnts: []}"), "did you mean arguments?"},
        {STEP("{command: id, arguments: [x]}"), "a step `command` has no arguments"},
        {STEP("{message: x, targets: a}"), "a step `message` has no targets"},
        {STEP("{command: id, parameters: {a: 1}}"), "has no parameters"},
        {STEP("{task: x, parameters: {_noop: true}}"), "_noop: runs that change nothing"},
        {STEP("{command: id, env_vars: {a-b: 1}}"), "no name of a variable"},
        {STEP("{command: id, catch_errors: maybe}"), "true or false"},
        {STEP("{command: id, run_as: $svc}"), "without references"},
        {STEP("{name: up, command: id}"), "taken"},
        {STEP("{name: svc, command: id}"), "taken"},
        {STEP("{name: Bad-1, command: id}"), "lower-case"},
        {STEP("{command: id, target: a, targets: b}"), "stand both"},
        {"steps: []\n", "a list of 1 to 200"},
        {"parameters: {}\n", "needs `steps`"},
        {"- a\n", "has to be a mapping with `steps`"},
        {"stps: []\n", "did you mean steps?"},
        {"on_failure: wait\nsteps: [{command: id}]\n", "stop or continue"},
        {"parameters: {a: {type: Strng}}\nsteps: [{command: id}]\n", "did you mean String?"},
        {"parameters: {a: {type: Integer, default: x}}\nsteps: [{command: id}]\n", "its default"},
        {"steps: [{command: id}]\nreturn: $nope\n", "$nope: there is no"},
        {"steps: [{command: \"\xff\"}]\n", "UTF-8"},
        {"steps: {", "line"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_broken(cases[i][0], cases[i][1]);
    (void) state;
}

/* What a node said may not stand where quoting does not hold it. */
static void test_shell_places(void **state)
{
    static const char *const cases[][2] = {
        {STEP("command: 'x'\n  - command: \"echo \\\"$up\\\"\""), "within quotes"},
        {STEP("command: \"echo '$up'\""), "within quotes"},
        {STEP("command: \"echo `cat $up`\""), "within `..`"},
        {STEP("command: \"x # $up\""), "in a comment"},
        {STEP("command: \"cat <<E\\n$up\\nE\""), "behind <<"},
        {STEP("command: \"echo $(( $up + 1 ))\""), "within ((..))"},
        {STEP("command: \"echo \\\\\\\\$up\""), "behind a backslash"},
        {STEP("command: \"echo $'a' $up\""), "behind $'..'"},
        {STEP("command: echo ${x:-$up}"), "within ${..}"},
        {STEP("command: $up"), "as the whole command"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_broken(cases[i][0], cases[i][1]);
    check_value("command: \"echo 'a' \\\"b\\\" $(cat $up['n']) a#b $svc\"", false,
                "echo 'a' \"b\" $(cat '[1,{\"k\":null}]') a#b my svc", NULL);
    check_value("command: \"cat <<< $up['n']\"", false, "cat <<< '[1,{\"k\":null}]'", NULL);
    (void) state;
}

static void test_all_at_once(void **state)
{
    static const char text[] = "steps:\n  - plan: a\n  - command: \"$x\"\n  - task: t\n    noop: true\n";
    struct err e = ERR_INIT;
    struct plan p;

    assert_int_equal(plan_parse("p", "/d/p.yaml", text, strlen(text), &p, &e), -ERR_VALIDATION);
    assert_non_null(strstr(e.msg, "/d/p.yaml:2: a step `plan`"));
    assert_non_null(strstr(e.msg, "(and 2 more)"));
    assert_non_null(strstr(e.details, "/d/p.yaml:3: $x"));
    assert_non_null(strstr(e.details, "/d/p.yaml:5: noop"));
    err_clear(&e);
    (void) state;
}

static void test_limits(void **state)
{
    struct err e = ERR_INIT;
    struct strbuf text;
    struct plan p;
    char *big;

    strbuf_init(&text, 0);
    strbuf_adds(&text, "steps:\n");
    for (int i = 0; i < 201; i++)
        strbuf_adds(&text, "  - command: id\n");
    check_broken(text.s, "a list of 1 to 200");
    strbuf_reset(&text);
    strbuf_adds(&text, "steps:\n  - eval: [&a [1,1,1,1,1,1,1,1,1,1], &b [*a,*a,*a,*a,*a,*a,*a,*a,*a],"
                       " &c [*b,*b,*b,*b,*b,*b,*b,*b,*b], &d [*c,*c,*c,*c,*c,*c,*c,*c,*c],"
                       " [*d,*d,*d,*d,*d,*d,*d,*d]]\n");
    check_broken(text.s, "more than 20000 values");
    strbuf_reset(&text);
    strbuf_adds(&text, "steps:\n  - eval: $up");
    for (int i = 0; i < 1000; i++)
        strbuf_adds(&text, "[0]");
    check_broken(text.s, "$up: there is no");
    strbuf_reset(&text);
    strbuf_adds(&text, "steps:\n");
    for (int i = 0; i < 150; i++)
        strbuf_adds(&text, "  - {command: \"$x\", nope: 1}\n");
    check_broken(text.s, "p.yaml:2: ");
    strbuf_free(&text);
    big = x_malloc((size_t) 2 << 20);
    memset(big, '[', (size_t) 2 << 20);
    assert_int_equal(plan_parse("p", NULL, big, (size_t) 2 << 20, &p, &e), -ERR_VALIDATION);
    assert_non_null(strstr(e.msg, "1 MiB"));
    assert_int_equal(plan_parse("p", NULL, big, 10000, &p, &e), -ERR_VALIDATION);
    assert_non_null(strstr(e.msg, "64 levels"));
    err_clear(&e);
    free(big);
    (void) state;
}

static void test_version(void **state)
{
    static const char *const wrong[] = {"3", "'2'", "[2]", "two", "2.0"};

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char *text = x_asprintf("version: %s\nsteps:\n- command: uptime\n", wrong[i]);

        check_broken(text, "p.yaml:1: version has to be 1 or 2");
        free(text);
    }
    struct plan p = parse("version: 2\nsteps:\n- command: uptime\n");

    plan_clear(&p);
    (void) state;
}

/* What is known of a script's arguments before anything has run. */
static void test_template_items(void **state)
{
    struct plan p = parse(HEAD "steps:\n  - name: up\n    command: uptime\n"
                          "  - script: a.sh\n    arguments: [-f, $svc, \"${svc}:${up['stdout']}\", 5, $up, "
                          "[$up, x]]\n"
                          "  - script: a.sh\n    arguments: $list\n"
                          "  - script: a.sh\n    arguments: $up['stdout']\n");
    struct json *params = json_of("{\"svc\":\"my svc\",\"list\":[1,\"b\"]}");
    const struct plan_scope scope = {params, NULL, false};
    static const char *const wanted[] = {"-f|my svc|my svc:$up|5|$up|[$up, x]", "1|b", "$up"};

    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        struct strv items = STRV_INIT;
        char *all;

        plan_value_template_items(p.steps[i + 1].arguments, &scope, &items);
        all = strv_join(&items, "|");
        assert_string_equal(all, wanted[i]);
        free(all);
        strv_clear(&items);
    }
    json_free(params);
    plan_clear(&p);
    (void) state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_missing_result),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_shell_places),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_template_items),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
