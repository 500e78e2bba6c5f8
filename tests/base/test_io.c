/* SPDX-License-Identifier: Apache-2.0 */
/* Files, folders and paths. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/muster-test-io-XXXXXX";

static int set_up(void **state)
{
    return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
    char *cmd = x_asprintf("rm -rf '%s'", root);
    int rc = system(cmd);

    free(cmd);
    return rc;
}

static char *write_file(const char *name, const char *text)
{
    char *path = io_join(root, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
    close(fd);
    return path;
}

static void test_read(void **state)
{
    char *path = write_file("a", "0123456789");
    struct err e = ERR_INIT;
    struct strbuf b;

    strbuf_init(&b, 0);
    assert_int_equal(io_read_file(path, 10, &b, &e), 0);
    assert_string_equal(b.s, "0123456789");
    strbuf_reset(&b);
    assert_int_equal(io_read_file(path, 9, &b, &e), -ERR_VALIDATION);
    assert_non_null(strstr(e.msg, path));
    assert_non_null(strstr(e.msg, "larger than 9"));
    assert_int_equal(io_read_file(root, 9, &b, &e), -ERR_VALIDATION);
    assert_non_null(strstr(e.msg, "folder"));
    assert_int_equal(io_read_file("/nonexistent/x", 9, &b, &e), -ERR_VALIDATION);
    assert_non_null(strstr(e.msg, "/nonexistent/x"));
    assert_non_null(strstr(e.msg, "No such file"));
    err_clear(&e);
    strbuf_free(&b);
    free(path);
}

static void test_mkdirs(void **state)
{
    char *deep = io_join(root, "x/y//z/"), *file = write_file("plain", ""), *under;
    struct stat st;

    assert_int_equal(io_mkdirs(deep, 0700), 0);
    assert_int_equal(io_mkdirs(deep, 0700), 0);
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(io_mkdirs(file, 0700), -ENOTDIR);
    under = io_join(file, "sub");
    assert_true(io_mkdirs(under, 0700) < 0);
    assert_int_equal(io_mkdirs("/", 0700), 0);
    assert_true(io_mkdirs("", 0700) < 0);
    free(under);
    free(deep);
    free(file);
}

static void check(char *got, const char *want)
{
    assert_string_equal(got, want);
    free(got);
}

static void test_paths(void **state)
{
    check(io_join("/a", "b"), "/a/b");
    check(io_join("/a/", "b"), "/a/b");
    check(io_join("/a", "/b"), "/b");
    check(io_join("", "b"), "b");
    check(io_dirname("/a/b"), "/a");
    check(io_dirname("/a"), "/");
    check(io_dirname("a"), ".");
    check(io_dirname("a/b/"), "a");
    check(io_dirname("/"), "/");
    check(io_dirname(""), ".");
    setenv("HOME", "/home/me", 1);
    check(io_expand_tilde("~"), "/home/me");
    check(io_expand_tilde("~/x"), "/home/me/x");
    check(io_expand_tilde("~other/x"), "~other/x");
    check(io_expand_tilde("a~"), "a~");
}

static void test_standard_folders(void **state)
{
    setenv("HOME", "/home/me", 1);
    unsetenv("XDG_STATE_HOME");
    unsetenv("XDG_CONFIG_HOME");
    check(io_state_dir(), "/home/me/.local/state/muster");
    check(io_config_dir(), "/home/me/.config/muster");
    setenv("XDG_STATE_HOME", "/state", 1);
    setenv("XDG_CONFIG_HOME", "relative/is/ignored", 1);
    check(io_state_dir(), "/state/muster");
    check(io_config_dir(), "/home/me/.config/muster");
}

static void test_descriptors(void **state)
{
    int p[2];

    assert_int_equal(pipe(p), 0);
    assert_int_equal(io_set_nonblock(p[0]), 0);
    assert_true(fcntl(p[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(p[0], F_GETFD) & FD_CLOEXEC);
    close(p[0]);
    close(p[1]);
    assert_int_equal(io_set_nonblock(p[0]), -EBADF);
    assert_int_equal(io_write_all(p[1], "x", 1), -EBADF);
    assert_true(*io_user_name());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_mkdirs),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_standard_folders),
        cmocka_unit_test(test_descriptors),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
