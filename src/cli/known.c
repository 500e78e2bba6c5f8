/* SPDX-License-Identifier: Apache-2.0 */
/* What was learned and written down, shown and kept: facts, notes, saved targets; the verb note. */
#include "known.h"
#include "table.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/text.h"
#include "muster/core/fleet.h"
#include "muster/core/doc.h"
#include "muster/core/json.h"
#include "muster/service/service.h"
#include "muster/store/reader.h"

#include <stdio.h>
#include <string.h>

/* "3h12m ago"; buf of 48 bytes. */
static const char *age_text(int64_t ms, char *buf)
{
    char took[24];
    int64_t now = wall_ms(clock_system());
    text_duration(now > ms ? now - ms : 0, took);
    snprintf(buf, 48, "%s ago", took);
    return buf;
}

/* --- saved targets --- */

static void saved_json(const struct saved_targets *v, size_t n)
{
    struct json *o = json_object(), *list = json_array();
    for (size_t i = 0; i < n; i++) {
        struct json *row = json_object();
        json_put_str(row, "name", v[i].name);
        json_put_str(row, "targets", v[i].targets);
        json_put_str(row, "userId", v[i].user_id);
        json_put_time(row, "savedAt", v[i].saved_ms);
        json_add(list, row);
    }
    json_put(o, "saved", list);
    puts(json_text(o, NULL));
    json_free(o);
}

static void saved_table(const struct saved_targets *v, size_t n)
{
    struct table t = {.columns = 4};
    static const char *const head[] = {"NAME", "SAVED", "USER", "TARGETS"};
    table_row(&t, head);
    for (size_t i = 0; i < n; i++) {
        char age[48];
        CLEANUP_FREE char *name = x_asprintf("@saved:%s", v[i].name);
        const char *const cells[] = {name, age_text(v[i].saved_ms, age), v[i].user_id, v[i].targets};
        table_row(&t, cells);
    }
    table_print(&t);
    table_free(&t);
}

int known_saved(struct cli *c, struct service *s, struct err *e)
{
    struct reader *r = reader_open(service_db_path(s), e);
    if (!r)
        return -ERR_STORE;
    struct saved_targets *v;
    size_t n;
    int rc = reader_saved(r, NULL, &v, &n, e);
    if (rc == 0) {
        if (c->set[OPT_JSON])
            saved_json(v, n);
        else if (n)
            saved_table(v, n);
        else
            fprintf(stderr, "no targets are saved yet (muster nodes TARGETS --save NAME)\n");
        saved_targets_free(v, n);
    }
    reader_close(r);
    return rc;
}

/* --- facts and notes --- */

static struct json *facts_json(const struct node_facts *f)
{
    struct json *o = json_object();
    json_put_time(o, "learnedAt", f->learned_ms);
    json_put_int(o, "batch", f->batch);
    json_put(o, "values", json_parse(f->facts, strlen(f->facts), NULL));
    return o;
}

int known_put(struct reader *r, const char *node, struct json *o, struct err *e)
{
    struct node_facts *f;
    struct note *notes;
    size_t n;
    int rc = reader_facts(r, node, &f, &n, e);
    if (rc != 0)
        return rc;
    if (n)
        json_put(o, "facts", facts_json(&f[0]));
    else
        json_put_null(o, "facts");
    node_facts_free(f, n);
    rc = reader_notes(r, node, 0, &notes, &n, e);
    if (rc != 0)
        return rc;
    struct json *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_add(list, doc_note(notes[i].text, notes[i].user_id, notes[i].written_ms));
    json_put(o, "notes", list);
    notes_free(notes, n);
    return 0;
}

static int fact_row(const char *key, struct json *value, void *ctx)
{
    struct table *t = ctx;
    const char *text = json_str(value);
    const char *const cells[] = {key, text ? text : value ? json_text(value, NULL) : "null"};
    table_row(t, cells);
    return 0;
}

int known_print_facts(struct reader *r, const char *node, struct err *e)
{
    struct node_facts *f;
    size_t n;
    int rc = reader_facts(r, node, &f, &n, e);
    if (rc != 0)
        return rc;
    struct json *j = n ? json_parse(f[0].facts, strlen(f[0].facts), NULL) : NULL;
    if (j) {
        char age[48];
        struct table t = {.columns = 2};
        printf("\nfacts, learned %s by #%lld\n", age_text(f[0].learned_ms, age),
               (long long) f[0].batch);
        json_each(j, fact_row, &t);
        table_print(&t);
        table_free(&t);
        json_free(j);
    }
    node_facts_free(f, n);
    return 0;
}

int known_print_notes(struct reader *r, const char *node, int64_t batch, struct err *e)
{
    struct note *v;
    size_t n;
    int rc = reader_notes(r, node, batch, &v, &n, e);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < n; i++) {
        char age[48];
        CLEANUP_FREE char *text = text_clean(v[i].text);
        CLEANUP_FREE char *user = text_clean(v[i].user_id);
        printf("note, %s, %s: %s\n", age_text(v[i].written_ms, age), user, text);
    }
    notes_free(v, n);
    return 0;
}

/* --- note --- */

/* What is written like a batch is one, unless a node is called so. */
static int note(struct cli *c, struct service *s, struct err *e)
{
    const char *about = c->args.v[0];
    const struct fleet *f = service_fleet(s, e);
    if (!f)
        return -ERR_VALIDATION;
    int64_t number = 0;
    int rc = 0;
    if (!fleet_node(f, about)) {
        struct reader *r = reader_open(service_db_path(s), e);
        if (!r)
            return -ERR_STORE;
        rc = reader_resolve(r, about, &number, e);
        reader_close(r);
    }
    if (rc == -ERR_STORE)
        return rc;
    bool digits = about[*about == '#'] && !about[strspn(about, "#0123456789")];
    if (rc != 0 && (digits || strcmp(about, "last") == 0))
        return rc;
    if (rc != 0)
        err_clear(e); /* no batch: then a node, which the service knows or refuses */
    struct strv words = {.v = c->args.v + 1, .n = c->args.n - 1};
    CLEANUP_FREE char *text = strv_join(&words, " ");
    return service_note(s, number ? NULL : about, number, text, e);
}

int verb_note(struct cli *c, struct err *e)
{
    if (c->args.n < 2)
        return err_set(e, ERR_VALIDATION, "say what the note is on, and the note: muster note BATCH|NODE "
                       "TEXT");
    struct service *s = cli_service(c, e);
    if (!s)
        return -(int) e->code;
    int rc = note(c, s, e);
    service_close(s);
    return rc;
}
