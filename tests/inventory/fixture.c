/* SPDX-License-Identifier: Apache-2.0 */
/* The home folder of the inventory's tests. */
#include "fixture.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/vec.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int fixture_setup(void **state)
{
    struct fixture *f = x_calloc(1, sizeof *f);

    f->home = x_strdup("/tmp/muster-inventory-XXXXXX");
    assert_non_null(mkdtemp(f->home));
    setenv("HOME", f->home, 1);
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("MUSTER_INVENTORY");
    unsetenv("ANSIBLE_INVENTORY");
    unsetenv("ANSIBLE_CONFIG");
    unsetenv("ANSIBLE_REMOTE_USER");
    unsetenv("ANSIBLE_PRIVATE_KEY_FILE");
    unsetenv("BOLT_INVENTORY");
    unsetenv("BOLT_PROJECT");
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

static void forget(struct fixture *f)
{
    fleet_free(f->fleet);
    f->fleet = NULL;
    inventory_watch_free(f->watch);
    f->watch = NULL;
    err_clear(&f->err);
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    forget(f);
    nftw(f->home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f->home);
    free(f);
    return 0;
}

const char *fixture_write(struct fixture *f, const char *name, const char *text)
{
    static char path[4096];
    CLEANUP_FREE char *dir = NULL;
    int fd;

    snprintf(path, sizeof path, "%s/%s", f->home, name);
    dir = io_dirname(path);
    assert_int_equal(io_mkdirs(dir, 0700), 0);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
    close(fd);
    return path;
}

int fixture_load(struct fixture *f, ...)
{
    struct inventory_options opts = INVENTORY_OPTIONS_INIT;
    CLEANUP_FREE char *etc = x_asprintf("%s/etc", f->home);
    const char *file;
    va_list ap;
    int rc;

    forget(f);
    va_start(ap, f);
    while ((file = va_arg(ap, const char *)))
        strv_push(&opts.files, file);
    va_end(ap);
    opts.etc_dir = etc;
    opts.ttl_ms = f->ttl_ms;
    opts.refresh = f->refresh;
    rc = inventory_load(&opts, &f->fleet, &f->watch, &f->err);
    strv_clear(&opts.files);
    assert_non_null(f->watch);
    if (rc) {
        assert_null(f->fleet);
        assert_int_equal(rc, -(int) f->err.code);
    } else {
        assert_null(f->err.msg);
    }
    return rc;
}

void expect_error(struct fixture *f, const char *text, const char *message)
{
    const char *path = fixture_write(f, "inv.yaml", text);
    CLEANUP_FREE char *whole = x_asprintf("%s: %s", path, message);

    assert_int_equal(fixture_load(f, path, NULL), -ERR_VALIDATION);
    assert_string_equal(f->err.msg, whole);
}

const struct fleet_node *node_of(struct fixture *f, const char *name)
{
    const struct fleet_node *n = fleet_node(f->fleet, name);

    if (!n)
        fail_msg("no node %s", name);
    return n;
}

const struct fleet_group *group_of(struct fixture *f, const char *name)
{
    const struct fleet_group *g = fleet_group(f->fleet, name);

    if (!g)
        fail_msg("no group %s", name);
    return g;
}

char *members(struct fixture *f, const char *group)
{
    const struct fleet_group *g = group_of(f, group);
    CLEANUP_STRV struct strv v = STRV_INIT;

    for (size_t i = 0; i < g->n_all; i++)
        strv_push(&v, f->fleet->nodes[g->all[i]].name);
    return strv_join(&v, ",");
}

void expect_members(struct fixture *f, const char *group, const char *names)
{
    CLEANUP_FREE char *got = members(f, group);

    assert_string_equal(got, names);
}

const char *var_of(const struct fleet_node *n, const char *name)
{
    for (size_t i = 0; i < n->n_vars; i++)
        if (strcmp(n->vars[i].name, name) == 0)
            return n->vars[i].value;
    return NULL;
}

void need_program(const char *name)
{
    CLEANUP_FREE char *command = x_asprintf("command -v %s >/dev/null", name);

    if (system(command) != 0)
        fail_msg("%s is missing: ./dev setup installs it", name);
}

bool warned(const struct fixture *f, const char *text)
{
    const struct fleet_source *s = &f->fleet->sources[0];

    for (size_t i = 0; i < s->warnings.n; i++)
        if (strstr(s->warnings.v[i], text))
            return true;
    return false;
}
