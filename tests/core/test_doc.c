/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON shapes, and CSV that a spreadsheet does not run. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/doc.h"
#include "muster/core/json.h"

#include "../base/rnd.h"

#include <string.h>

#define AT 1769860800000 /* 2026-01-31T12:00:00Z */

static struct batch make_batch(void)
{
    struct batch b = {
        .number = 42,
        .id = "0b8c9d3e-0000-4000-8000-000000000042",
        .action = x_strdup("uptime"),
        .parameters = x_strdup("{\"fanout\":64}"),
        .targets = x_strdup("web[1-2]"),
        .status = BATCH_PARTIAL,
        .created_ms = AT,
        .started_ms = AT + 5,
        .completed_ms = AT + 1005,
        .user_id = x_strdup("ops"),
        .stats = {.total = 2, .success = 1, .failed = 1, .by_reason = {[REASON_EXIT] = 1}},
    };

    strv_push(&b.target_groups, "web");
    strv_push(&b.warnings, "unknown group @nix");
    return b;
}

static void check_text(struct json *j, const char *want)
{
    assert_string_equal(json_text(j, NULL), want);
    json_free(j);
}

#define REASONS                                                                                \
    "\"reasons\":{\"exit\":1,\"signal\":0,\"timeout\":0,\"unreachable\":0,\"unsupported\":0,"      \
    "\"hostkey\":0,\"auth\":0,\"lost\":0,\"cancelled\":0,\"skipped\":0,\"internal\":0}"

static void test_batch(void **state)
{
    static const char *const nodes[] = {"web1", "web2"};
    struct batch b = make_batch();

    check_text(doc_batch(&b, nodes, 2),
               "{\"id\":\"0b8c9d3e-0000-4000-8000-000000000042\",\"number\":42,"
               "\"type\":\"command\",\"action\":\"uptime\",\"parameters\":{\"fanout\":64},"
               "\"targets\":\"web[1-2]\",\"targetGroups\":[\"web\"],\"status\":\"partial\","
               "\"createdAt\":\"2026-01-31T12:00:00.000Z\","
               "\"startedAt\":\"2026-01-31T12:00:00.005Z\","
               "\"completedAt\":\"2026-01-31T12:00:01.005Z\",\"duration\":1000,"
               "\"userId\":\"ops\",\"label\":null,\"single\":false,\"rerunOf\":null,"
               "\"cancelRequested\":false,\"paused\":false,\"owner\":null,"
               "\"warnings\":[\"unknown group @nix\"],"
               "\"stats\":{\"total\":2,\"queued\":0,\"running\":0,\"success\":1,\"failed\":1,"
               REASONS "},\"targetNodes\":[\"web1\",\"web2\"],"
               "\"executionIds\":[\"0b8c9d3e-0000-4000-8000-000000000042-0001\","
               "\"0b8c9d3e-0000-4000-8000-000000000042-0002\"]}");
    batch_clear(&b);
}

static void test_running_batch(void **state)
{
    struct batch b = make_batch();
    struct json *j;

    b.status = BATCH_RUNNING;
    b.completed_ms = 0;
    b.owner = OWNER_ALIVE;
    b.owner_text = x_strdup("pid 1234 on box");
    b.rerun_of = 41;
    free(b.parameters);
    b.parameters = x_strdup("no JSON");
    j = doc_batch(&b, NULL, 0);
    assert_int_equal(json_type(json_get(j, "completedAt")), JSON_NULL);
    assert_int_equal(json_type(json_get(j, "duration")), JSON_NULL);
    assert_int_equal(json_int(json_get(j, "rerunOf")), 41);
    assert_string_equal(json_str(json_get(json_get(j, "owner"), "state")), "alive");
    assert_string_equal(json_str(json_get(json_get(j, "owner"), "process")), "pid 1234 on box");
    assert_string_equal(json_str(json_get(j, "parameters")), "no JSON");
    assert_null(json_get(j, "executionIds"));
    assert_null(json_get(j, "targetNodes"));
    json_free(j);
    batch_clear(&b);
}

static struct execution make_execution(void)
{
    return (struct execution) {
        .position = 1,
        .node = x_strdup("web2"),
        .status = EXEC_FAILED,
        .reason = REASON_EXIT,
        .started_ms = AT,
        .completed_ms = AT + 250,
        .duration_ms = 249,
        .attempts = 1,
        .transport = x_strdup("ssh"),
        .host = x_strdup("10.0.0.2"),
        .user = x_strdup("ops"),
        .port = 22,
        .exit_code = 3,
    };
}

static void test_execution(void **state)
{
    struct execution x = make_execution();
    struct doc_output out = {{"a\0b\n", NULL}, {4, 0}};

    check_text(doc_execution("B", &x, &out),
               "{\"id\":\"B-0002\",\"batchId\":\"B\",\"batchPosition\":1,\"nodeId\":\"web2\","
               "\"nodeName\":\"web2\",\"status\":\"failed\",\"reason\":\"exit\",\"error\":null,"
               "\"startedAt\":\"2026-01-31T12:00:00.000Z\","
               "\"completedAt\":\"2026-01-31T12:00:00.250Z\",\"duration\":249,\"attempts\":1,"
               "\"transport\":\"ssh\",\"host\":\"10.0.0.2\",\"port\":22,\"user\":\"ops\","
               "\"remoteProcess\":null,\"result\":{\"exitCode\":3,\"signal\":null,"
               "\"stdout\":\"a\\u0000b\\n\",\"stderr\":\"\",\"truncated\":false}}");
    execution_clear(&x);
}

/* A plan: titles in the batch, the step in the execution, each step a document of its own. */
static void test_plan(void **state)
{
    struct batch b = make_batch();
    struct execution x = make_execution();
    struct doc_output out = {{"{}", NULL}, {2, 0}};
    struct step_run s = {.step = 2, .status = EXEC_FAILED, .reason = REASON_EXIT,
                         .error = x_strdup("exit status 3"), .started_ms = AT,
                         .completed_ms = AT + 250, .duration_ms = 249, .exit_code = 3,
                         .truncated = {false, true}};
    struct json *j;

    b.type = ACTION_TYPE_PLAN;
    strv_push(&b.step_titles, "stop");
    strv_push(&b.step_titles, "start \"it\"");
    b.n_steps = 2;
    j = doc_batch(&b, NULL, 0);
    assert_int_equal(json_len(json_get(j, "steps")), 2);
    assert_string_equal(json_str(json_get(json_at(json_get(j, "steps"), 1), "title")),
                        "start \"it\"");
    json_free(j);
    j = doc_execution("B", &x, NULL);
    assert_null(json_get(j, "step"));
    json_free(j);
    x.step = 2;
    j = doc_execution("B", &x, NULL);
    assert_int_equal(json_int(json_get(j, "step")), 2);
    json_free(j);
    check_text(doc_step(&s, b.step_titles.v[1], &out),
               "{\"step\":2,\"title\":\"start \\\"it\\\"\",\"status\":\"failed\","
               "\"reason\":\"exit\",\"error\":\"exit status 3\","
               "\"startedAt\":\"2026-01-31T12:00:00.000Z\","
               "\"completedAt\":\"2026-01-31T12:00:00.250Z\",\"duration\":249,"
               "\"remoteProcess\":null,\"exitCode\":3,\"signal\":null,\"truncated\":true,"
               "\"stdout\":\"{}\",\"stderr\":\"\"}");
    free(s.error);
    execution_clear(&x);
    batch_clear(&b);
}

static void test_execution_before_its_end(void **state)
{
    struct execution x = make_execution();
    struct json *j;

    x.status = EXEC_RUNNING;
    x.completed_ms = 0;
    x.duration_ms = -1;
    x.port = 0;
    j = doc_execution("B", &x, NULL);
    assert_int_equal(json_type(json_get(j, "result")), JSON_NULL);
    assert_int_equal(json_type(json_get(j, "duration")), JSON_NULL);
    assert_int_equal(json_type(json_get(j, "port")), JSON_NULL);
    assert_null(json_get(j, "note"));
    json_free(j);
    x.note = x_strdup("openssh, because of a certificate");
    j = doc_execution("B", &x, NULL);
    assert_string_equal(json_str(json_get(j, "note")), x.note);
    json_free(j);
    x.status = EXEC_FAILED;
    x.reason = REASON_CANCELLED;
    x.remote = REMOTE_RUNNING;
    x.exit_code = -1;
    j = doc_execution("B", &x, NULL); /* without the streams */
    assert_string_equal(json_str(json_get(j, "remoteProcess")), "still running");
    assert_int_equal(json_type(json_get(json_get(j, "result"), "exitCode")), JSON_NULL);
    assert_null(json_get(json_get(j, "result"), "stdout"));
    json_free(j);
    execution_clear(&x);
}

/* Whatever bytes a host sends, the document is JSON and gives them back exactly. */
static void test_output_comes_back(void **state)
{
    struct rnd r = {17};
    struct execution x = make_execution();

    for (int round = 0; round < 2000; round++) {
        char raw[64];
        struct doc_output out = {{raw, raw}, {rnd_below(&r, 64), rnd_below(&r, 64)}};
        struct json *j, *result;
        const char *text, *stdout_text;
        size_t len;
        void *back;

        for (size_t i = 0; i < sizeof raw; i++)
            raw[i] = (char) (rnd_below(&r, 2) ? rnd_below(&r, 128) : rnd_next(&r));
        for (size_t i = 0; round % 2 && i < sizeof raw; i++)
            raw[i] = (char) (1 + (raw[i] & 0x7e));
        j = doc_execution("B", &x, &out);
        text = json_text(j, &len);
        assert_true(utf8_valid(text, len));
        result = json_parse(text, len, NULL);
        assert_non_null(result);
        json_free(j);
        stdout_text = json_str(json_get(json_get(result, "result"), "stdout"));
        if (json_get(json_get(result, "result"), "stdoutEncoding")) {
            back = base64_decode(stdout_text, strlen(stdout_text), &len);
            assert_non_null(back);
            assert_int_equal(len, out.len[0]);
            assert_memory_equal(back, raw, len);
            assert_false(utf8_valid(raw, len));
            free(back);
        } else {
            assert_memory_equal(stdout_text, raw, out.len[0]);
        }
        json_free(result);
    }
    execution_clear(&x);
}

static void test_error(void **state)
{
    struct err e = ERR_INIT;

    err_set(&e, ERR_INVALID_NODES, "2 unknown nodes");
    err_details(&e, x_strdup("a\nb"));
    check_text(doc_error(&e), "{\"error\":{\"code\":\"INVALID_NODES\","
                              "\"message\":\"2 unknown nodes\",\"details\":[\"a\",\"b\"]}}");
    err_clear(&e);
    err_set(&e, ERR_STORE, "disk full");
    check_text(doc_error(&e), "{\"error\":{\"code\":\"STORE_ERROR\",\"message\":\"disk full\","
                              "\"details\":null}}");
    err_clear(&e);
}

static void check_cell(const char *in, size_t n, const char *want)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    doc_csv_cell(&b, in, n);
    assert_string_equal(b.s, want);
    strbuf_free(&b);
}

#define CELL(in, want) check_cell(in, sizeof(in) - 1, want)

static void test_csv_cells(void **state)
{
    CELL("", "");
    CELL("plain text", "plain text");
    CELL("a,b", "\"a,b\"");
    CELL("say \"hi\"", "\"say \"\"hi\"\"\"");
    CELL("one\r\ntwo\n", "\"one\ntwo\n\"");
    CELL("\x1b[31mred\x07", "^[[31mred^G");
    CELL("a\0b", "a^@b");
    CELL("\xff", "\\xff");
    CELL("=1+1", "\"'=1+1\"");
    CELL("+1", "\"'+1\"");
    CELL("-1", "\"'-1\"");
    CELL("@SUM(A1)", "\"'@SUM(A1)\"");
    CELL("\t=1", "\"'^I=1\"");
    CELL("\rx", "\"'^Mx\"");
    CELL(" =1", "\"' =1\"");
    CELL("\n=1", "\"'\n=1\"");
    CELL("\xef\xbc\x9d" "1", "\"'\xef\xbc\x9d" "1\"");
    CELL("a=b", "a=b");
}

static void test_csv_row(void **state)
{
    struct execution x = make_execution();
    struct doc_output out = {{"ok\n", "-v"}, {3, 2}};
    struct strbuf b;

    strbuf_init(&b, 0);
    doc_csv_header(&b, false);
    assert_string_equal(b.s, "Node Name,Status,Reason,Duration (ms),Exit Code,Started At,"
                             "Completed At,Stdout,Stderr,Error\r\n");
    strbuf_reset(&b);
    x.error = x_strdup("exit code 3, see stderr");
    doc_csv_row(&b, &x, &out, NULL);
    assert_string_equal(b.s, "web2,failed,exit,249,3,2026-01-31T12:00:00.000Z,"
                             "2026-01-31T12:00:00.250Z,\"ok\n\",\"'-v\","
                             "\"exit code 3, see stderr\"\r\n");
    strbuf_reset(&b);
    execution_clear(&x);
    x = (struct execution) {.node = x_strdup("w"), .duration_ms = -1, .exit_code = -1};
    doc_csv_row(&b, &x, NULL, NULL);
    assert_string_equal(b.s, "w,queued,,,,,,,,\r\n");
    strbuf_reset(&b);
    doc_csv_header(&b, true);
    doc_csv_row(&b, &x, NULL, "");
    doc_csv_row(&b, &x, NULL, "2 say, two");
    assert_non_null(strstr(b.s, ",Error,Step\r\nw,queued,,,,,,,,,\r\nw,queued,,,,,,,,,\"2 say, two\"\r\n"));
    strbuf_free(&b);
    execution_clear(&x);
}

/* Reads one RFC 4180 record of n cells. */
static void check_record(const char *s, size_t n_cells)
{
    size_t cells = 1;
    bool quoted = false;

    for (; *s; s++) {
        assert_true((unsigned char) *s >= ' ' || *s == '\n' || *s == '\r');
        if (*s == '"')
            quoted = !quoted; /* a doubled one toggles twice */
        else if (*s == ',' && !quoted)
            cells++;
        else if (*s == '\r') /* only the record's own end has one */
            assert_string_equal(s, "\r\n");
        else if (*s == '\n' && !quoted)
            assert_string_equal(s, "\n");
    }
    assert_false(quoted);
    assert_int_equal(cells, n_cells);
}

static void test_csv_property(void **state)
{
    struct rnd r = {23};

    for (int round = 0; round < 3000; round++) {
        struct execution x = make_execution();
        char raw[48];
        struct doc_output out = {{raw, raw}, {rnd_below(&r, 48), rnd_below(&r, 48)}};
        struct strbuf b;

        for (size_t i = 0; i < sizeof raw; i++)
            raw[i] = rnd_below(&r, 2) ? "\",\r\n=\t'\x1b"[rnd_below(&r, 8)] : (char) rnd_next(&r);
        strbuf_init(&b, 0);
        doc_csv_row(&b, &x, &out, NULL);
        assert_true(utf8_valid(b.s, b.len));
        check_record(b.s, 10);
        strbuf_free(&b);
        execution_clear(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_running_batch),
        cmocka_unit_test(test_execution),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_execution_before_its_end),
        cmocka_unit_test(test_output_comes_back),
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_csv_cells),
        cmocka_unit_test(test_csv_row),
        cmocka_unit_test(test_csv_property),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
