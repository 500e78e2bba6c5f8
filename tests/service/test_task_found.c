/* SPDX-License-Identifier: Apache-2.0 */
/* Where tasks are found in a project of Bolt, and those whose types are not all known. */
#include "fixture.h"

#include "tasks.h"

#include "muster/base/io.h"
#include "muster/core/json.h"
#include "muster/service/tasks.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Its task runs all the same, and the request says what is not checked. */
static void test_a_type_of_a_module(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    struct batch_review v;
    add_task(f, "odd.json", "{\"parameters\": {\"p\": {\"type\": \"Mine::Shape\"}, "
                            "\"q\": {\"type\": \"Optional[Mine::Other]\"}}}");
    add_task(f, "odd.sh", "printf '%s\\n' \"$PT_p\"\n");
    ask_task(&a, "odd", LIST("n01"));
    task_set(f, &a, "p={\"a\": [1]}");
    fill_text(f, &a);
    assert_int_equal(service_review(f->s, &a.r, &v, &f->e), 0);
    assert_int_equal(v.warnings.n, 1);
    assert_string_equal(v.warnings.v[0], "the type Mine::Shape is not known: the parameter p is passed "
                                         "on unchecked");
    batch_review_clear(&v);
    assert_output(f, run_task(f, &a), 0, "{\"a\":[1]}\n");
    make_dirs(f, "muster/plans");
    write_file(f, "muster/plans/p.yaml", "parameters: {p: {type: 'Mine::Shape'}}\n"
                                         "steps: [{command: 'true', targets: $targets}]\n");
    ask_task(&a, "p", LIST("n01"));
    a.r.type = ACTION_TYPE_PLAN;
    a.r.action = "p";
    json_put_str(task_params(&a), "p", "x");
    assert_int_equal(service_review(f->s, &a.r, &v, &f->e), 0);
    assert_int_equal(v.warnings.n, 1);
    assert_non_null(strstr(v.warnings.v[0], "the type Mine::Shape is not known"));
    batch_review_clear(&v);
    task_ask_clear(&a);
}

static bool is_listed(struct fixture *f, const char *name)
{
    struct action_list l = {0};
    bool has = false;
    assert_int_equal(service_tasks(f->s, &l, &f->e), 0);
    for (size_t i = 0; i < l.n; i++)
        has |= strcmp(l.v[i].name, name) == 0;
    action_list_clear(&l);
    return has;
}

/* Its name is before that of its own tasks, wherever in it one stands, and it is the module of their
 * files; a folder that anybody can write is none. */
static void test_bolt_project(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *was = getcwd(NULL, 0), *dir = io_join(f->dir, "work/deep");
    CLEANUP_FREE char *top = io_join(f->dir, "work");
    struct task_ask a;
    make_dirs(f, "work/deep");
    make_dirs(f, "work/tasks");
    make_dirs(f, "work/files");
    make_dirs(f, "work/.modules/inst/tasks");
    make_dirs(f, "work/own/mine/tasks");
    write_file(f, "work/bolt-project.yaml", "name: site\nmodulepath: [own]\n");
    write_file(f, "work/files/x.txt", "of the project\n");
    write_file(f, "work/tasks/init.sh", "echo init\n");
    write_file(f, "work/tasks/say.json", "{\"files\": [\"site/files/x.txt\"]}");
    write_file(f, "work/tasks/say.sh", "cat \"$PT__installdir/site/files/x.txt\"\n");
    write_file(f, "work/own/mine/tasks/t.sh", "echo t\n");
    write_file(f, "work/.modules/inst/tasks/t.sh", "echo t\n");
    assert_int_equal(chdir(dir), 0);
    assert_true(is_listed(f, "site"));
    assert_true(is_listed(f, "site::say"));
    assert_false(is_listed(f, "say"));
    assert_true(is_listed(f, "mine::t"));
    assert_true(is_listed(f, "inst::t"));
    ask_task(&a, "site::say", LIST("n01"));
    assert_output(f, run_task(f, &a), 0, "of the project\n");
    assert_int_equal(chmod(top, 01777), 0);
    assert_false(is_listed(f, "site::say"));
    assert_false(is_listed(f, "mine::t"));
    assert_int_equal(chmod(top, 0755), 0);
    assert_int_equal(chdir(was), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, tasks_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_bolt_project),
        TEST(test_a_type_of_a_module),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
