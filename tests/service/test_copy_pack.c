/* SPDX-License-Identifier: Apache-2.0 */
/* Copies to nodes: what is packed of local files, and what is refused before anything is begun. */
#include "fixture.h"

#include "copy.h"

#include "muster/base/io.h"

#include <sys/stat.h>
#include <unistd.h>

struct unpacked {
    struct strbuf list; /* a name a line */
    struct strbuf data; /* of the last file */
};

static int see_entry(void *ctx, const struct copy_entry *x, struct err *e)
{
    struct unpacked *u = ctx;

    strbuf_addf(&u->list, "%s%s%s\n", x->name, x->link ? " -> " : "", x->link ? x->link : "");
    strbuf_reset(&u->data);
    return 0;
}

static int see_data(void *ctx, const void *p, size_t n, struct err *e)
{
    strbuf_add(&((struct unpacked *) ctx)->data, p, n);
    return 0;
}

static int see_end(void *ctx, struct err *e)
{
    return 0;
}

static void test_pack(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    struct strv local = STRV_INIT;
    struct copy_list l;
    uint64_t size;

    CLEANUP_FREE char *tree = io_join(f->dir, "tree");
    CLEANUP_FREE char *link = io_join(f->dir, "tree/link");
    CLEANUP_FREE char *top = io_join(f->dir, "top");
    assert_int_equal(mkdir(tree, 0755), 0);
    write_file(f, "tree/a b", "spaced");
    write_file(f, "tree/back\\slash", "odd");
    assert_int_equal(symlink("a b", link), 0);
    assert_int_equal(symlink("tree/a b", top), 0); /* given by name: it is followed */
    strv_push(&local, tree);
    strv_push(&local, top);
    assert_int_equal(copy_walk(&local, &l, &e), 0);
    assert_int_equal(l.files, 3);
    assert_int_equal(l.bytes, 15);
    int fd = copy_pack(&l, &size, &e);
    assert_true(fd >= 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_nlink, 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, size);
    struct unpacked u;
    strbuf_init(&u.list, 0);
    strbuf_init(&u.data, 0);
    const struct copy_reader r = {&u, see_entry, see_data, see_end};
    assert_int_equal(copy_unpack(fd, &r, &e), 0);
    assert_string_equal(u.list.s, "tree/\ntree/a b\ntree/back\\slash\ntree/link -> a b\ntop\n"
                                  COPY_SUMS_ODD "\n" COPY_SUMS "\n");
    assert_non_null(strstr(u.data.s, "  ./tree/a b\n"));
    assert_null(strstr(u.data.s, "slash"));
    strbuf_free(&u.list);
    strbuf_free(&u.data);
    close(fd);
    copy_list_clear(&l);
    strv_clear(&local);
}

static void test_cannot_pack(void **state)
{
    struct fixture *f = *state;
    struct strv local = STRV_INIT;
    struct copy_list l;

    CLEANUP_FREE char *tree = io_join(f->dir, "tree");
    CLEANUP_FREE char *pipe = io_join(f->dir, "tree/pipe");
    CLEANUP_FREE char *none = io_join(f->dir, "none");
    CLEANUP_FREE char *inventory = io_join(f->dir, "inventory.yaml");
    CLEANUP_FREE char *same = io_join(tree, "inventory.yaml");
    assert_int_equal(mkdir(tree, 0755), 0);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    write_file(f, "tree/inventory.yaml", "");
    write_file(f, "tree/new\nline", "");
    strv_push(&local, tree);
    strv_push(&local, none);
    strv_push(&local, inventory);
    strv_push(&local, same);
    strv_push(&local, "/");
    assert_int_equal(copy_walk(&local, &l, &f->e), -ERR_VALIDATION);
    static const char *const words[] = {"tree/pipe: a device", "none: No such file",
                                        "new^Jline: a newline",
                                        "another one has this name", "whole file system"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (!strstr(f->e.msg, words[i]))
            fail_msg("\"%s\" is not in: %s", words[i], f->e.msg);
    strv_clear(&local);
    assert_int_equal(count_batches(f), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pack),
        TEST(test_cannot_pack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
