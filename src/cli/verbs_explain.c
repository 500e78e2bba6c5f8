/* SPDX-License-Identifier: Apache-2.0 */
/* muster explain: how a host would be reached, setting by setting, for people and as JSON. */
#include "cli.h"
#include "questions.h"
#include "request.h"
#include "secrets.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"
#include "muster/core/nodeset.h"
#include "muster/service/explain.h"
#include "muster/service/service.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define WIDTH 80
#define LABEL 12 /* columns of the labels of the summary */
#define INDENT 4
#define EXIT_UNREACHED 4

/* Harmless text in lines of at most WIDTH columns, the first of which begins at `at`, the others at
 * `indent`; a word that is too long for a line stands in one by itself. */
static void put_folded(const char *text, size_t at, size_t indent)
{
    CLEANUP_FREE char *clean = text_clean(text);
    char *rest = clean;
    bool first = true;

    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        size_t width = text_width(word);

        if (!first && at + 1 + width > WIDTH) {
            printf("\n%*s", (int) indent, "");
            at = indent;
            first = true;
        }
        printf("%s%s", first ? "" : " ", word);
        at += width + !first;
        first = false;
    }
    putchar('\n');
}

static void put_label(const char *label, const char *text)
{
    printf("%-*s", LABEL, label);
    put_folded(text, LABEL, LABEL);
}

static void put_list(const char *label, const struct strv *v, const char *none)
{
    if (!v->n && none)
        put_label(label, none);
    for (size_t i = 0; i < v->n; i++)
        put_label(i ? "" : label, v->v[i]);
}

static bool is_ssh(const struct explain *x)
{
    return strcmp(x->transport, "ssh") == 0;
}

static void put_hop(size_t i, const struct explain_hop *h)
{
    CLEANUP_FREE char *label = x_asprintf("  hop %zu", i);
    CLEANUP_FREE char *text =
        x_asprintf("%s port %d%s%s%s, user %s%s%s", h->host, h->port, h->address ? " (" : "",
                   h->address ? h->address : "", h->address ? ")" : "", h->user ? h->user : "?",
                   h->error ? ": " : "", h->error ? h->error : "");

    put_label(label, text);
}

static void put_summary(const struct explain_answer *a)
{
    const struct explain *x = &a->how;
    CLEANUP_FREE char *why = x->why ? x_asprintf("%s: %s", x->transport, x->why) : x_strdup(x->transport);

    put_label("node", a->node);
    if (!a->known)
        put_label("", "no inventory has it: taken as ssh would take it");
    if (a->not_used)
        put_label("not used", a->not_used);
    put_label("transport", why);
    if (x->host) {
        CLEANUP_FREE char *where = x_asprintf("%s port %d%s%s%s", x->host, x->port,
                                              x->address ? " (" : "", x->address ? x->address : "",
                                              x->address ? ")" : "");

        put_label("host", where);
        if (x->user)
            put_label("user", x->user);
        if (x->jump)
            put_label("through", x->jump);
        for (size_t i = 0; i < x->n_hops; i++)
            put_hop(i + 1, &x->hops[i]);
    }
    if (x->error) {
        CLEANUP_FREE char *text = x_asprintf("%s: %s", reason_name(x->failed), x->error);

        put_label("trouble", text);
    }
    if (!is_ssh(x) || x->error)
        return;
    put_list("host keys", &x->known, "unknown: no known_hosts file has any for this host");
    put_list("not read", &x->unread, NULL);
    put_list("offered", &x->offered, "no key");
    put_list("not offered", &x->passed_over, NULL);
}

static void put_row(const struct explain_row *row)
{
    CLEANUP_FREE char *what = x_asprintf("%s: %s", row->keyword, *row->value ? row->value : "\"\"");
    CLEANUP_FREE char *how = x_asprintf("%s; %s%s%s", row->source, verdict_name(row->verdict),
                                        row->note ? ": " : "", row->note ? row->note : "");

    put_folded(what, 0, INDENT);
    printf("%*s", INDENT, "");
    put_folded(how, INDENT, INDENT);
}

static void put_settings(const struct explain *x, bool all)
{
    size_t shown = 0;

    printf("\n");
    for (size_t i = 0; i < x->n; i++) {
        if (!all && !x->rows[i].set)
            continue;
        put_row(&x->rows[i]);
        shown++;
    }
    if (!shown)
        puts("no setting of its own: OpenSSH's defaults");
    if (shown < x->n)
        printf("%zu more are OpenSSH's defaults (--all shows them)\n", x->n - shown);
}

static void put_trial(const struct explain_answer *a)
{
    printf("\n");
    for (size_t i = 0; i < a->n_stages; i++) {
        printf("%7.3f s  ", (double) a->stages[i].ms / 1000);
        put_folded(a->stages[i].text, LABEL - 1, LABEL - 1);
    }

    CLEANUP_FREE char *text =
        x_asprintf("%s%s%s (%s)", a->reached ? "" : reason_name(a->reason), a->reached ? "" : ": ",
                   a->outcome, a->transport ? a->transport : a->how.transport);

    printf("%7.3f s  ", (double) a->duration_ms / 1000);
    put_folded(text, LABEL - 1, LABEL - 1);
}

static void put_document(const struct explain_answer *a, bool all)
{
    struct json *j = explain_answer_json(a, all);
    size_t n;
    const char *text = json_text(j, &n);

    fwrite(text, 1, n, stdout);
    putchar('\n');
    json_free(j);
}

/* Until something has happened: a stage, the outcome, a question, an answer. */
static void wait_a_while(void *ctx)
{
    struct questions *q = ctx;
    struct pollfd fds[3] = {{.fd = service_wake_fd(q->service), .events = POLLIN}};

    questions_check(q);
    questions_fds(q, &fds[1]);
    /* A job that was in the background is not told when it comes to the foreground. */
    poll(fds, ARRAY_LEN(fds), q->told_background ? 250 : -1);
    if (fds[0].revents)
        service_wake_drain(q->service);
    if (fds[1].revents || fds[2].revents)
        questions_read(q);
}

static int explain(struct cli *c, struct service *s, struct batch_request *r, struct err *e)
{
    struct explain_answer a;
    struct questions questions = {.service = s, .all_signals = true};
    const struct explain_trial trial = {wait_a_while, &questions};

    if (c->set[OPT_CONNECT])
        service_set_can_ask(s, questions_possible());

    int rc = service_explain(s, c->args.v[0], r, c->set[OPT_CONNECT] ? &trial : NULL, &a, e);

    questions_end(&questions, NULL);
    if (rc == 0 && cli_json(c)) {
        put_document(&a, c->set[OPT_EXPLAIN_ALL]);
    } else if (rc == 0) {
        put_summary(&a);
        if (!a.how.error || a.how.n)
            put_settings(&a.how, c->set[OPT_EXPLAIN_ALL]);
        if (a.tried)
            put_trial(&a);
    }
    if (rc == 0 && (a.tried ? !a.reached : a.how.failed != REASON_NONE))
        rc = EXIT_UNREACHED;
    explain_answer_clear(&a);
    return rc;
}

/* As ssh takes it: [::1]:22 is one too. */
static int check_one_host(const char *text, struct err *e)
{
    struct nodeset *names = nodeset_new();
    bool one = !*text || (*text != '@' && !strpbrk(text, ",*?&!") &&
                          (nodeset_expand(names, text, NULL) != 0 || nodeset_count(names) == 1));

    nodeset_free(names);
    return one ? 0 : err_set(e, ERR_VALIDATION, "%s: explain takes one host, not a range or a group",
                             text);
}

int verb_explain(struct cli *c, struct err *e)
{
    struct batch_request r;
    struct secrets x = {0};
    struct service *s = NULL;
    int rc = cli_at_most(c, 1, e);

    batch_request_init(&r);
    if (rc == 0 && !c->args.n)
        rc = err_set(e, ERR_VALIDATION, "which host? muster explain HOST");
    if (rc == 0)
        rc = check_one_host(c->args.v[0], e);
    if (rc == 0)
        rc = secrets_read(c, &x, e);
    if (rc == 0) {
        s = cli_service(c, e);
        rc = s ? request_options(c, &r, e) : -(int) e->code;
    }
    if (rc == 0)
        rc = secrets_ask(c, &x, &r, e);
    if (rc == 0)
        rc = explain(c, s, &r, e);
    service_close(s);
    batch_request_clear(&r);
    secrets_clear(&x);
    return rc;
}
