/* SPDX-License-Identifier: Apache-2.0 */
/* The diagnostic log: what a line looks like, levels, rotation, threads. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/log.h"
#include "muster/base/strbuf.h"
#include "muster/base/thread.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/muster-test-log-XXXXXX";
static char *path, *old;

static int set_up(void **state)
{
    if (!mkdtemp(root))
        return -1;
    path = x_asprintf("%s/state/muster.log", root);
    old = x_asprintf("%s.1", path);
    return 0;
}

static int tear_down(void **state)
{
    char *cmd = x_asprintf("rm -rf '%s'", root);
    int rc = system(cmd);

    free(cmd);
    free(path);
    free(old);
    return rc;
}

static void read_log(struct strbuf *b, const char *name)
{
    strbuf_init(b, 0);
    assert_int_equal(io_read_file(name, STRBUF_MAX_DEFAULT, b, NULL), 0);
}

static void test_lines(void **state)
{
    struct strbuf b;
    struct stat st;

    log_line(LOG_ERROR, "x", 0, NULL, "before it is open: dropped");
    assert_false(log_enabled(LOG_ERROR));
    assert_int_equal(log_open(path, LOG_INFO), 0);
    assert_true(log_enabled(LOG_INFO));
    assert_false(log_enabled(LOG_DEBUG));
    log_line(LOG_WARN, "exec", 42, "web1", "it said \"%s\"", "\x1b[31mred\nforged line");
    log_debug("exec", "not at this level");
    log_close();
    log_info("exec", "after it was closed: dropped");
    read_log(&b, path);
    assert_non_null(strstr(b.s, "Z warn  exec: batch=42 node=web1 it said "
                                "\"^[[31mred^Jforged line\"\n"));
    assert_null(strstr(b.s, "dropped"));
    assert_null(strstr(b.s, "not at this level"));
    assert_int_equal(strcspn(b.s, "\n"), b.len - 1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    strbuf_free(&b);
}

static void test_rotation(void **state)
{
    char *big = x_malloc(8001);
    struct stat st;

    memset(big, 'x', 8000);
    big[8000] = '\0';
    assert_int_equal(log_open(path, LOG_INFO), 0);
    assert_int_equal(access(old, F_OK), -1);
    for (int i = 0; i < 600; i++)
        log_info("test", "%s", big);
    log_close();
    free(big);
    assert_int_equal(stat(old, &st), 0);
    assert_in_range(st.st_size, 4 << 20, (4 << 20) + 10000);
    assert_int_equal(stat(path, &st), 0);
    assert_in_range(st.st_size, 1, 1 << 20);
}

static void *write_lines(void *arg)
{
    for (int i = 0; i < 500; i++)
        log_info("thread", "a whole line, never mixed with another");
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t t[3];
    struct strbuf b;
    size_t lines = 0;

    unlink(path);
    assert_int_equal(log_open(path, LOG_INFO), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(thread_start(&t[i], "log", write_lines, NULL), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    log_close();
    read_log(&b, path);
    for (char *s = b.s; *s; s = strchr(s, '\n') + 1, lines++) {
        char *end = strchr(s, '\n');

        assert_non_null(end);
        assert_memory_equal(end - 8, " another", 8);
    }
    assert_int_equal(lines, 1500);
    strbuf_free(&b);
}

static void test_cannot_open(void **state)
{
    assert_true(log_open("/proc/nothing/here/muster.log", LOG_INFO) < 0);
    assert_false(log_enabled(LOG_ERROR));
    log_info("x", "still works, without a log");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_cannot_open),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
