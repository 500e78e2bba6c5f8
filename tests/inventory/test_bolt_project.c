/* SPDX-License-Identifier: Apache-2.0 */
/* The project of Bolt that is found by itself: where it is looked for, what of it counts, and that a
 * folder which others may have written is not used. */
#include "fixture.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/inventory/bolt_project.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void go(struct fixture *f, const char *name)
{
    CLEANUP_FREE char *path = io_join(f->home, name);

    assert_int_equal(io_mkdirs(path, 0755), 0);
    assert_int_equal(chdir(path), 0);
}

static int leave(void **state)
{
    assert_int_equal(chdir("/"), 0);
    unsetenv("BOLT_INVENTORY");
    unsetenv("BOLT_PROJECT");
    return fixture_teardown(state);
}

/* The source of the type "bolt" of the load without -i, or NULL. */
static const struct fleet_source *found(struct fixture *f)
{
    assert_int_equal(fixture_load(f, NULL), 0);
    for (size_t i = 0; i < f->fleet->n_sources; i++)
        if (strcmp(f->fleet->sources[i].type, "bolt") == 0)
            return &f->fleet->sources[i];
    return NULL;
}

static void nearest_upward(void **state)
{
    struct fixture *f = *state;
    const struct fleet_source *s;

    go(f, "p/tasks/deep");
    fixture_write(f, "p/inventory.yaml", "targets: [h1, h2]\n");
    assert_null(found(f)); /* an inventory.yaml alone makes no project */
    CLEANUP_FREE char *file = x_strdup(fixture_write(f, "p/bolt-project.yaml", "name: site\n"));
    s = found(f);
    assert_non_null(s);
    assert_int_equal(s->state, SOURCE_OK);
    assert_int_equal(s->n_nodes, 2);
    assert_false(s->named);
    expect_members(f, "all", "h1,h2");
    assert_false(inventory_changed(f->watch));
    fixture_write(f, "p/bolt-project.yaml", "name: site\ninventoryfile: data/own.yaml\n");
    assert_true(inventory_changed(f->watch));
    s = found(f);
    assert_int_equal(s->state, SOURCE_FAILED);
    assert_non_null(strstr(s->error, "\"inventoryfile\" names a file that is not there"));
    fixture_write(f, "p/data/own.yaml", "targets: [h3]\n");
    assert_int_equal(found(f)->state, SOURCE_OK);
    expect_members(f, "all", "h3");
    fixture_write(f, "p/tasks/Boltdir/bolt-project.yaml", "{}\n");
    fixture_write(f, "p/tasks/Boltdir/inventory.yaml", "targets: [inner]\n");
    assert_int_equal(found(f)->state, SOURCE_OK);
    expect_members(f, "all", "inner");
    /* what is named replaces it */
    assert_int_equal(fixture_load(f, fixture_write(f, "x.yaml", "targets: [h9]\n"), NULL), 0);
    expect_members(f, "all", "h9");
}

static void broken_is_only_its_own(void **state)
{
    struct fixture *f = *state;

    go(f, "p");
    fixture_write(f, "p/bolt-project.yaml", "name: [a\n");
    assert_int_equal(found(f)->state, SOURCE_FAILED);
    assert_non_null(fleet_node(f->fleet, "localhost"));
    fixture_write(f, "p/bolt-project.yaml", "name: My-Site\n");
    assert_int_equal(found(f)->state, SOURCE_FAILED);
    assert_non_null(strstr(found(f)->error, "line 1: \"name\" is to be lowercase letters"));
    fixture_write(f, "p/bolt-project.yaml", "name: site\n");
    fixture_write(f, "p/inventory.yaml", "targets: [ok, {name: bad, config: {ssh: {port: x}}}]\n");
    assert_int_equal(found(f)->state, SOURCE_FAILED);
    assert_int_equal(found(f)->n_nodes, 0);
    assert_null(fleet_node(f->fleet, "ok")); /* no half of it */
}

static void home_is_last(void **state)
{
    struct fixture *f = *state;

    go(f, "elsewhere");
    fixture_write(f, ".puppetlabs/etc/bolt/inventory.yaml", "targets: [e1]\n");
    assert_int_equal(found(f)->state, SOURCE_OK);
    expect_members(f, "all", "e1");
    fixture_write(f, ".puppetlabs/bolt/inventory.yaml", "targets: [e2]\n");
    assert_int_equal(found(f)->state, SOURCE_OK);
    expect_members(f, "all", "e2");
}

static void expect_untrusted(struct fixture *f, const char *why)
{
    const struct fleet_source *s = found(f);

    assert_non_null(s);
    assert_int_equal(s->state, SOURCE_ABSENT);
    assert_int_equal(s->warnings.n, 1);
    assert_non_null(strstr(s->warnings.v[0], why));
    assert_non_null(strstr(s->warnings.v[0], "set BOLT_PROJECT="));
    assert_null(fleet_node(f->fleet, "evil"));
}

static void others_may_not_have_written_it(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *dir = io_join(f->home, "p");

    go(f, "p/sub");
    fixture_write(f, "p/bolt-project.yaml", "name: site\n");
    fixture_write(f, "p/inventory.yaml", "targets: [evil]\n");
    assert_int_equal(chmod(dir, 01777), 0);
    expect_untrusted(f, "/p can be written by anybody");
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(chmod("../inventory.yaml", 0666), 0);
    expect_untrusted(f, "inventory.yaml can be written by anybody");
    assert_int_equal(chmod("../inventory.yaml", 0644), 0);
    assert_int_equal(chmod("../bolt-project.yaml", 0666), 0);
    expect_untrusted(f, "bolt-project.yaml can be written by anybody");
    setenv("BOLT_PROJECT", dir, 1);
    assert_int_equal(found(f)->state, SOURCE_OK);
    assert_non_null(fleet_node(f->fleet, "evil"));
    unsetenv("BOLT_PROJECT");
    assert_int_equal(chmod("../bolt-project.yaml", 0644), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(dir, 65534, 65534), 0);
        expect_untrusted(f, "/p belongs to another user");
    }
    setenv("BOLT_PROJECT", f->home, 1);
    assert_int_equal(found(f)->state, SOURCE_FAILED);
    assert_non_null(strstr(found(f)->error, "has no bolt-project.yaml"));
}

static void content_in_the_environment(void **state)
{
    struct fixture *f = *state;

    go(f, "p");
    fixture_write(f, "p/bolt-project.yaml", "name: site\n");
    fixture_write(f, "p/inventory.yaml", "targets: [file]\n");
    setenv("BOLT_INVENTORY", "groups: [{name: env, targets: [e1, e2]}]", 1);
    const struct fleet_source *s = found(f);
    assert_int_equal(s->state, SOURCE_OK);
    assert_string_equal(s->path, "BOLT_INVENTORY");
    expect_members(f, "env", "e1,e2");
    assert_null(fleet_node(f->fleet, "file"));
    setenv("BOLT_INVENTORY", "groups: [", 1);
    assert_int_equal(found(f)->state, SOURCE_FAILED);
}

static void where_modules_lie(void **state)
{
    struct fixture *f = *state;
    struct bolt_project p;

    go(f, "p");
    fixture_write(f, "p/bolt-project.yaml", "name: site_2\n");
    assert_true(bolt_project_find(&p));
    assert_string_equal(p.name, "site_2");
    assert_int_equal(p.modulepath.n, 3);
    assert_non_null(strstr(p.modulepath.v[0], "/p/modules"));
    assert_non_null(strstr(p.modulepath.v[2], "/p/.modules"));
    bolt_project_clear(&p);
    fixture_write(f, "p/bolt-project.yaml", "modulepath: [own, /abs, ~/m]\n");
    assert_true(bolt_project_find(&p));
    assert_null(p.name);
    assert_int_equal(p.modulepath.n, 4);
    assert_non_null(strstr(p.modulepath.v[0], "/p/own"));
    assert_string_equal(p.modulepath.v[1], "/abs");
    assert_non_null(strstr(p.modulepath.v[2], f->home));
    bolt_project_clear(&p);
    fixture_write(f, "p/bolt-project.yaml", "modulepath: a:b\n");
    assert_true(bolt_project_find(&p));
    assert_int_equal(p.modulepath.n, 3);
    bolt_project_clear(&p);
    fixture_write(f, "p/bolt-project.yaml", "modulepath: {a: b}\n");
    assert_true(bolt_project_find(&p));
    assert_non_null(strstr(p.error, "\"modulepath\" is to be a list of folders"));
    bolt_project_clear(&p);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, leave)
    const struct CMUnitTest tests[] = {
        TEST(nearest_upward),
        TEST(broken_is_only_its_own),
        TEST(home_is_last),
        TEST(others_may_not_have_written_it),
        TEST(content_in_the_environment),
        TEST(where_modules_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
