/* SPDX-License-Identifier: Apache-2.0 */
/* From --canary, --waves, --max-fail and --serial-by to numbers. */
#include "stage_plan.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/strmap.h"
#include "muster/base/text.h"
#include "muster/base/vec.h"
#include "muster/core/batch.h"
#include "muster/core/fleet.h"
#include "muster/service/service.h"

#include <stdarg.h>
#include <string.h>

#define WAVES_SHOWN 12

/* Everything that is wrong, in one text. */
struct faults {
    struct strbuf text;
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void fault(struct faults *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (f->n++)
        strbuf_adds(&f->text, "; ");
    char *text = x_vasprintf(fmt, ap);
    strbuf_adds(&f->text, text);
    free(text);
    va_end(ap);
}

/* "12" or "12%". False: neither, or above most. */
static bool read_amount(const char *text, size_t len, unsigned long most, unsigned long *value,
                        bool *percent)
{
    *percent = len > 1 && text[len - 1] == '%';
    size_t digits = *percent ? len - 1 : len;
    *value = 0;
    if (!digits || digits > 9)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *value = *value * 10 + (unsigned long) (text[i] - '0');
    }
    return *value <= (*percent ? 100 : most);
}

/* --- waves --- */

static void add_stage(struct stage_plan *p, unsigned long until, unsigned total)
{
    unsigned before = p->n ? p->limits[p->n - 1] : 0;
    if (before >= total || p->n == STAGES_MAX)
        return;
    if (until <= before)
        until = before + 1;
    p->limits[p->n++] = until < total ? (unsigned) until : total;
}

static void read_waves(const char *waves, unsigned total, struct stage_plan *p, struct faults *f)
{
    size_t count = 0;
    unsigned long last[2] = {0, 0};
    for (const char *at = waves;; at++) {
        size_t len = strcspn(at, ",");
        unsigned long value;
        bool percent;
        if (!read_amount(at, len, BATCH_TARGETS_MAX, &value, &percent) || value == 0)
            fault(f, "--waves %s: `%.*s` is no count (1 to %d) and no percentage (1%% to 100%%)",
                  waves, (int) (len < 40 ? len : 40), at, BATCH_TARGETS_MAX);
        else if (value <= last[percent])
            fault(f, "--waves %s: `%.*s` is no more than the wave before it: each says how many nodes are "
                  "done in all by then, so they grow, as 1,10,50", waves, (int) len, at);
        else
            add_stage(p, percent ? (value * total + 99) / 100 : value, total);
        last[percent] = value > last[percent] ? value : last[percent];
        count++;
        at += len;
        if (!*at)
            break;
    }
    if (count >= STAGES_MAX)
        fault(f, "--waves: %zu waves; at most %d are possible", count, STAGES_MAX - 1);
}

/* --- serial-by --- */

/* The names of --serial-by, and at most how many of each; false: it cannot be read. */
static bool split_serial(const char *text, struct strv *names, unsigned *at_most)
{
    const char *colon = strrchr(text, ':');
    unsigned long value = 1;
    bool percent;
    if (colon && (!read_amount(colon + 1, strlen(colon + 1), FANOUT_MAX, &value, &percent) ||
                  percent || value == 0))
        return false;
    *at_most = (unsigned) value;
    CLEANUP_FREE char *list = colon ? x_strndup(text, (size_t) (colon - text)) : x_strdup(text);
    char *save = NULL;
    for (char *name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save))
        strv_push(names, name);
    return names->n > 0;
}

static const char *var_of(const struct fleet_node *node, const char *name)
{
    for (size_t i = 0; node && i < node->n_vars; i++)
        if (strcmp(node->vars[i].name, name) == 0)
            return node->vars[i].value;
    return NULL;
}

static bool in_group(const struct fleet *f, const struct fleet_node *node, const char *name)
{
    for (size_t i = 0; node && i < node->n_groups; i++)
        if (strcmp(f->groups[node->groups[i]].name, name) == 0)
            return true;
    return false;
}

static const char *plain(const char *name)
{
    return *name == '@' ? name + 1 : name;
}

/* One name that is no group is a variable's. */
static bool by_variable(const struct fleet *f, const struct strv *names)
{
    return names->n == 1 && *names->v[0] != '@' && !fleet_group(f, names->v[0]);
}

static void check_serial(const char *text, const struct strv *nodes, const struct fleet *f,
                         struct stage_plan *p, struct faults *faults)
{
    struct strv names = STRV_INIT;
    if (!split_serial(text, &names, &p->per_key)) {
        fault(faults, "--serial-by %s: a variable, or groups between commas, is wanted, then perhaps "
              ":N (1 to %d)", text, FANOUT_MAX);
    } else if (by_variable(f, &names)) {
        bool any = false;
        for (size_t i = 0; i < nodes->n && !any; i++)
            any = var_of(fleet_node(f, nodes->v[i]), names.v[0]) != NULL;
        if (!any)
            fault(faults, "--serial-by %s: there is no group of that name, and none of the targets has "
                  "such a variable", names.v[0]);
    } else {
        for (size_t i = 0; i < names.n; i++)
            if (!fleet_group(f, plain(names.v[i])))
                fault(faults, "--serial-by: unknown group: @%s", plain(names.v[i]));
    }
    strv_clear(&names);
}

unsigned *stage_plan_keys(const struct stage_request *q, const struct strv *nodes,
                          const struct fleet *f)
{
    struct strv names = STRV_INIT;
    unsigned at_most;
    if (!q->serial_by || !split_serial(q->serial_by, &names, &at_most)) {
        strv_clear(&names);
        return NULL;
    }
    unsigned *keys = x_calloc(nodes->n, sizeof *keys), last = 0;
    bool variable = by_variable(f, &names);
    struct strmap *seen = strmap_new();
    for (size_t i = 0; i < nodes->n; i++) {
        const struct fleet_node *node = fleet_node(f, nodes->v[i]);
        const char *value = variable ? var_of(node, names.v[0]) : NULL;
        for (size_t k = 0; !variable && !value && k < names.n; k++)
            if (in_group(f, node, plain(names.v[k])))
                value = names.v[k];
        if (!value)
            continue;
        intptr_t key;
        if (!strmap_get_num(seen, value, &key)) {
            key = ++last;
            strmap_set_num(seen, value, key);
        }
        keys[i] = (unsigned) key;
    }
    strmap_free(seen);
    strv_clear(&names);
    return keys;
}

/* --- all of it --- */

static void read_max_fail(const char *text, unsigned total, struct stage_plan *p, struct faults *f)
{
    unsigned long value;
    bool percent;
    if (!read_amount(text, strlen(text), BATCH_TARGETS_MAX, &value, &percent))
        fault(f, "--max-fail %s: a count (0 to %d) or a percentage (0%% to 100%%) is wanted", text,
              BATCH_TARGETS_MAX);
    else
        p->max_fail = (int64_t) (percent ? value * total / 100 : value);
}

static void check_between(const struct stage_request *q, struct faults *f)
{
    bool staged = q->canary || q->waves;
    if (q->canary_ok >= 0 && !q->canary)
        fault(f, "--canary-ok: there is no canary without --canary");
    if (q->canary_ok > 100)
        fault(f, "--canary-ok %d: 0 to 100 percent are possible", q->canary_ok);
    if (q->pause_ms && !staged)
        fault(f, "--pause: there is no pause without --waves or --canary");
    if (q->probe && !staged)
        fault(f, "--probe: it runs between waves, and there are none without --waves or --canary");
    if (q->probe && strlen(q->probe) > COMMAND_MAX)
        fault(f, "--probe: a command has at most %d bytes", COMMAND_MAX);
}

int stage_plan_make(const struct stage_request *q, const struct strv *nodes, const struct fleet *f,
                    struct stage_plan *out, struct err *e)
{
    struct faults faults = {.n = 0};
    unsigned total = (unsigned) nodes->n;

    *out = (struct stage_plan){.max_fail = -1};
    strbuf_init(&faults.text, 0);
    if (q->faults)
        fault(&faults, "%s", q->faults);
    check_between(q, &faults);
    if (q->canary && q->canary < total) {
        out->canary = q->canary;
        add_stage(out, q->canary, total);
    }
    if (q->waves)
        read_waves(q->waves, total, out, &faults);
    if (!out->n || out->limits[out->n - 1] < total) {
        /* The rest is always a stage of its own. */
        out->n -= out->n == STAGES_MAX;
        out->limits[out->n++] = total;
    }
    if (q->max_fail)
        read_max_fail(q->max_fail, total, out, &faults);
    if (q->serial_by)
        check_serial(q->serial_by, nodes, f, out, &faults);
    int rc = faults.n ? err_set(e, ERR_VALIDATION, "%s", faults.text.s) : 0;
    strbuf_free(&faults.text);
    return rc;
}

static void part(struct strbuf *b)
{
    if (b->len)
        strbuf_adds(b, "; ");
}

static void add_waves(struct strbuf *b, const struct stage_plan *p)
{
    strbuf_adds(b, "in waves of ");
    for (unsigned i = 0; i < p->n; i++) {
        if (p->n > WAVES_SHOWN && i == WAVES_SHOWN - 2) {
            strbuf_adds(b, ", ..");
            i = p->n - 2;
            continue;
        }
        strbuf_addf(b, "%s%u", i ? ", " : "", p->limits[i]);
    }
}

char *stage_plan_text(const struct stage_request *q, const struct stage_plan *p)
{
    struct strbuf b;
    char time[32];
    strbuf_init(&b, 0);
    if (p->canary && q->canary_ok >= 0)
        strbuf_addf(&b, "%u first, the rest when %d%% of them succeed", p->canary, q->canary_ok);
    else if (p->canary)
        strbuf_addf(&b, "%u first, then a question", p->canary);
    if (q->waves && p->n > 1) {
        part(&b);
        add_waves(&b, p);
    }
    if (q->pause_ms && p->n > 1)
        strbuf_addf(&b, ", %s between them", text_duration(q->pause_ms, time));
    if (q->probe && p->n > 1)
        strbuf_addf(&b, "; between them here: %s", q->probe);
    if (p->max_fail >= 0) {
        part(&b);
        strbuf_addf(&b, "stops at more than %lld failure%s", (long long) p->max_fail,
                    p->max_fail == 1 ? "" : "s");
    }
    if (p->per_key) {
        part(&b);
        strbuf_addf(&b, "at most %u at once by %.*s", p->per_key,
                    (int) strcspn(q->serial_by, ":"), q->serial_by);
    }
    if (b.len)
        return strbuf_steal(&b);
    strbuf_free(&b);
    return NULL;
}
