/* SPDX-License-Identifier: Apache-2.0 */
/* What people want kept: targets under a name, notes on nodes and batches. */
#include "remember.h"
#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/text.h"
#include "muster/core/batch.h"
#include "muster/store/reader.h"
#include "muster/store/writer.h"

#include <string.h>

#define NAME_MAX_BYTES 64 /* LIMIT: of the name of saved targets */

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

static int check_name(const char *name, struct err *e)
{
    size_t n = strlen(name);
    if (n && n <= NAME_MAX_BYTES && strspn(name, letters) == n)
        return 0;
    return err_set(e, ERR_VALIDATION, "\"%s\" cannot be a name: it is one word of at most %d letters, "
                   "digits, _ - and dots", name, NAME_MAX_BYTES);
}

/* What can be read but once, or means something else elsewhere, is no use later. */
static int check_sources(const char *targets, struct err *e)
{
    for (const char *at = targets; *at;) {
        at += strspn(at, " \t\r\n");
        size_t n = strcspn(at, ",");
        while (n && strchr(" \t\r\n", at[n - 1]))
            n--;
        if (n == 1 && *at == '-')
            return err_set(e, ERR_VALIDATION, "what is saved cannot be read from standard input: give "
                           "the names, or a file as ^/PATH");
        if (*at == '^' && at[1] != '/' && at[1] != '~')
            return err_set(e, ERR_VALIDATION, "%.*s: give the file with its whole path, as it is read "
                           "anew each time", (int) n, at);
        at += strcspn(at, ",");
        at += *at == ',';
    }
    return 0;
}

int service_save_targets(struct service *s, const char *name, const char *targets, struct err *e)
{
    int rc = service_may_change(s, e);
    if (rc == 0)
        rc = check_name(name, e);
    if (rc == 0 && targets)
        rc = check_sources(targets, e);
    if (rc == 0 && targets)
        rc = targets_check(s, name, targets, e);
    if (rc != 0)
        return rc;
    struct writer *w = service_writer(s, e);
    return w ? writer_save_targets(w, name, targets, io_user_name(), e) : -ERR_STORE;
}

/* One that is gone from the inventories still has its history. */
static int check_node(struct service *s, const char *node, struct err *e)
{
    const struct fleet *f = service_fleet(s, e);
    if (!f)
        return -ERR_VALIDATION;
    if (fleet_node(f, node))
        return 0;
    struct reader *r = reader_open(s->db_path, e);
    if (!r)
        return -ERR_STORE;
    struct node_run *runs;
    size_t n, total = 0;
    int rc = reader_node_runs(r, node, 0, 0, 1, &runs, &n, &total, e);
    if (rc == 0)
        node_runs_free(runs, n);
    reader_close(r);
    if (rc == 0 && total == 0)
        rc = err_set(e, ERR_INVALID_NODES, "unknown node: %s (muster nodes -a lists them)", node);
    return rc;
}

int service_note(struct service *s, const char *node, int64_t batch, const char *text, struct err *e)
{
    size_t n = strlen(text);
    int rc = service_may_change(s, e);
    if (rc != 0)
        return rc;
    if (text[strspn(text, " \t\r\n")] == '\0')
        return err_set(e, ERR_VALIDATION, "the note is empty: say what is to be kept");
    if (n > NOTE_MAX)
        return err_set(e, ERR_VALIDATION, "the note has %zu bytes; at most %d are possible", n,
                       NOTE_MAX);
    if (!utf8_valid(text, n))
        return err_set(e, ERR_VALIDATION, "the note is not valid UTF-8");
    if (node)
        rc = check_node(s, node, e);
    if (rc != 0)
        return rc;
    const struct fleet_node *known = node ? fleet_node(s->fleet, node) : NULL;
    struct writer *w = service_writer(s, e);
    return w ? writer_note(w, known ? known->name : node, batch, text, io_user_name(), e)
             : -ERR_STORE;
}
