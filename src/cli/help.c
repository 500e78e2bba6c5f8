/* SPDX-License-Identifier: Apache-2.0 */
/* Help, made from the tables of verbs and options. */
#include "cli.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/core/state.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INDENT 33
#define WIDTH 80

/* Text from column INDENT on; a line breaks behind a separator (a space then goes). */
static void put_wrapped(struct strbuf *b, const char *text, char separator)
{
    const size_t room = WIDTH - INDENT;
    while (strlen(text) > room) {
        size_t n = room;
        while (n > 1 && text[n - 1] != separator)
            n--;
        strbuf_add(b, text, separator == ' ' ? n - 1 : n);
        strbuf_addf(b, "\n%*s", INDENT, "");
        text += n;
    }
    strbuf_addf(b, "%s\n", text);
}

static void put_option(struct strbuf *b, const struct option_row *o)
{
    char left[64];
    char letter[4] = "   ";
    if (o->letter) {
        letter[0] = '-';
        letter[1] = o->letter;
        letter[2] = ',';
    }
    bool choice = o->kind == KIND_CHOICE;
    const char *arg = choice ? "WORD" : o->arg;
    if (o->kind == KIND_OPTIONAL)
        snprintf(left, sizeof left, "  %s --%s[=%s]", letter, o->name, arg);
    else
        snprintf(left, sizeof left, "  %s --%s%s%s", letter, o->name, *arg ? " " : "", arg);
    strbuf_addf(b, "%-*s", INDENT, left);
    put_wrapped(b, o->help, ' ');
    if (choice) {
        strbuf_addf(b, "%*s", INDENT, "");
        put_wrapped(b, o->arg, '|');
    }
}

/* Many options stand under headings: where each begins in the table. */
static const struct {
    enum option_id first;
    const char *text;
} headings[] = {
    {OPT_TARGETS, "Targets"},          {OPT_TASK, "Tasks and plans"},    {OPT_FANOUT, "Queue"},
    {OPT_LOGIN, "SSH"},                {OPT_ASK_PASSWORD, "Passwords and other users"},
    {OPT_ENV, "What the command gets"}, {OPT_CONNECT_TIMEOUT, "Limits"},
    {OPT_CANARY, "In stages"},         {OPT_LABEL, "The run"},            {OPT_FOLD, "Results"},
    {OPT_VERBOSE, "General"},
};
#define HEADINGS_FROM 20 /* options; fewer need none */

static size_t count_options(enum verb v)
{
    size_t n = 0;
    for (int i = 0; i < OPT_COUNT; i++)
        n += (option_row(i)->verbs & (1u << v)) != 0;
    return n;
}

static void put_options(struct strbuf *b, enum verb v)
{
    bool grouped = count_options(v) >= HEADINGS_FROM;
    const char *heading = grouped ? NULL : "Options";
    if (heading)
        strbuf_addf(b, "\n%s:\n", heading);
    for (int i = 0; i < OPT_COUNT; i++) {
        for (size_t k = 0; grouped && k < ARRAY_LEN(headings); k++)
            if (headings[k].first == (enum option_id) i)
                heading = headings[k].text;
        if (!(option_row(i)->verbs & (1u << v)))
            continue;
        if (grouped && heading)
            strbuf_addf(b, "\n%s:\n", heading);
        heading = NULL;
        put_option(b, option_row(i));
    }
}

/* What the tables cannot say: a few lines for each verb that needs them. */
static const char *notes(enum verb v)
{
    switch (v) {
    case VERB_RUN:
        return "\nTargets: web[01-20]  @group  a,b (union)  a!b (without)  a&b (both)  a^b (either)\n"
               "  web*  /regex/  ^file  - (standard input)  @last:failed  @42:timeout  @42:rc=3\n"
               "  and with --any-host: user@host  host:2222  [2001:db8::1]:2222\n"
               "\n--task NAME runs a task with its parameters (muster tasks lists them), --plan\n"
               "NAME the steps of a plan in order on each node (muster plans); a plan that names\n"
               "its own targets needs no -w. Sensitive parameters are asked for, or come by\n"
               "--params, never as KEY=VALUE: everybody can read a command line.\n"
               "\nMUSTER_NODE, MUSTER_HOST and MUSTER_USER are in the command's environment, with\n"
               "what --env sets; without --stdin its standard input is empty. Exit code 76: the\n"
               "folder of --chdir could not be entered, so it was not run.\n"
               "Passwords are asked for on the terminal, once, or read from a descriptor\n"
               "(--password-fd 3 3<FILE); they are never stored.\n"
               "Ctrl-C stops the batch, on the nodes too; a second one leaves at once.\n"
               "\nA request: {\"targetNodeIds\": [\"web01\"], \"targetGroupIds\": [\"db\"],\n"
               "  \"action\": \"uptime\", \"exclude\": \"db3\", \"fanout\": 20}: options by their long\n"
               "  names, targets too; all targets named are united, then the exclusions go.\n"
               "\nExit status: 0 all succeeded; 2 usage; 3 some timed out, were lost, cancelled or\n"
               "  skipped; 4 some were unreachable, unsupported or refused; 5 some ended non-zero;\n"
               "  6 no such batch (@42:failed); 7 queue full; 1 muster's own fault or the database;\n"
               "  130 after Ctrl-C. Where several apply: 1, then 4, 3, 5.\n"
               "\nExamples:\n"
               "  muster run -w localhost -- uname -a\n"
               "  muster run -w @web,db1 -b -- 'systemctl is-active nginx'\n"
               "  muster run -w @last:failed -f 20 -u 60 -- apt-get -q update\n"
               "  muster run -w @web --task package name=nginx action=latest\n"
               "  muster run -w @web --plan reboot --waves 1,10%\n";
    case VERB_TASKS:
        return "\nWithout NAME: one a line. NAME is a task, or a script file with a / in its name.\n"
               "Looked for, the first of a name wins: in --task-path and task_path of the\n"
               "configuration; in tasks and modules of $XDG_CONFIG_HOME/muster and\n"
               "$XDG_DATA_HOME/muster; in a Bolt project that this folder is in (its own are\n"
               "PROJECT::NAME) and its modulepath; then those that come with muster.\n"
               "\nExamples:\n  muster tasks package\n  muster run -w @web --task package name=nginx\n";
    case VERB_PLANS:
        return "\nWithout NAME: one a line. NAME is a plan, or its YAML file. They are looked for\n"
               "where tasks are (muster help tasks), in folders named plans.\n"
               "\nExamples:\n  muster plans reboot\n  muster run -w @web --plan reboot --dry-run\n";
    case VERB_PUSH:
        return "\nA folder that is there, or a REMOTE that ends in a slash, takes what is sent; else\n"
               "REMOTE is the new name. Folders are merged with, files are replaced: as a whole, and\n"
               "only when their SHA-256 is right. Permissions are those here, the owner is who\n"
               "logs in (or --sudo=USER). Links given by name are followed, those inside of\n"
               "folders are kept.\n"
               "REMOTE begins in the login's folder. Nodes need tar, mktemp, and sha256sum or shasum.\n"
               "\nExit status as of run (muster run -h). On a node: 70 a program is missing, 71 REMOTE\n"
               "cannot be used, 72 it cannot be written, 73 it did not arrive whole or has no room,\n"
               "74 it arrived differently, 75 not all could be replaced.\n"
               "\nExamples:\n"
               "  muster push -w @web nginx.conf /etc/nginx/ --sudo\n"
               "  muster push -w web[01-20] site/ robots.txt /srv/www/\n";
    case VERB_PULL:
        return "\nA node's files go to LOCALDIR/NODE/, all of them or none: first their SHA-256 is\n"
               "checked. What was there by the same name is replaced. Links that lead out of the\n"
               "folder, devices and pipes are left out, and named. A file that only grows (a log) may\n"
               "grow while it is copied. REMOTE begins in the login's folder, and is one file or\n"
               "folder: * and ? are not expanded.\n"
               "\nExit status as of run (muster run -h). On a node: 70 a program is missing, 71 there\n"
               "is no REMOTE, 72 it cannot be read, 73 it did not arrive whole or is too much, 74 it\n"
               "changed while it was copied.\n"
               "\nExamples:\n"
               "  muster pull -w @web /var/log/nginx/error.log logs/\n"
               "  muster pull -w db1 /etc/postgresql backup/ --sudo\n";
    case VERB_SCREEN:
        return "\nFiles: config.yaml and inventory.yaml in $XDG_CONFIG_HOME/muster (~/.config/muster),\n"
               "  muster.db and muster.log in $XDG_STATE_HOME/muster (~/.local/state/muster).\n"
               "  MUSTER_CONFIG, MUSTER_INVENTORY and MUSTER_DB name others.\n";
    case VERB_HISTORY:
    case VERB_NODE:
        return "\nThe newest 20, with --json all; --page and --page-size show others.\n";
    case VERB_STATUS:
        return "\nBATCH is a number, an id, or last (also when left out).\n"
               "All its nodes, unless --page or --page-size (50) is given.\n";
    case VERB_NODES:
        return "\nWithout TARGETS: groups and sources. With: one name a line, or -b folded.\n"
               "\nExamples:\n"
               "  muster nodes '@web&os.name=Debian'      by a variable, or by a fact\n"
               "  muster nodes @last:failed -b            by a batch's results\n"
               "  muster nodes '@web!web03' --save most   from now on @saved:most\n";
    case VERB_RERUN:
        return "\nBATCH is a number, an id, or last (also when left out).\n"
               "It runs with the options that the batch had; those given here come on top.\n"
               "EDITS are KEY=VALUE..., parameters of its task or plan instead of the old ones,\n"
               "or -- COMMAND..., another command instead of the old one. A plan goes on at the\n"
               "step where each node failed, unless --from-start. What was never stored is asked\n"
               "for again: passwords, sensitive parameters.\n"
               "Exit status as of run (muster run -h); 6 no such batch.\n"
               "\nExamples:\n  muster rerun last --failed\n  muster rerun 42 --reason timeout -u 120\n"
               "  muster rerun 42 --failed version=1.24\n  muster rerun 42 --all --expand -- uptime -p\n";
    case VERB_WATCH:
        return "\nBATCH is a number, an id, or last (also when left out).\n"
               "Ctrl-C leaves, and the batch goes on.\n"
               "Exit status as of run (muster run -h); 6 no such batch.\n";
    case VERB_RESULTS:
    case VERB_CANCEL:
    case VERB_EXPORT:
        return "\nBATCH is a number, an id, or last (also when left out).\n";
    default:
        return "";
    }
}

void help_print(enum verb v, int fd)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    const char *arguments = v == VERB_SCREEN ? "[options] [VERB ...]" : verb_arguments(v);
    strbuf_addf(&b, "Usage: muster%s%s%s%s\n%s", *verb_name(v) ? " " : "", verb_name(v),
                *arguments ? " " : "", arguments,
                v == VERB_SCREEN ? "Run one action on many hosts at once over SSH.\nWithout a verb: "
                                 : "");
    size_t summary = b.len;
    strbuf_addf(&b, "%s.\n", verb_summary(v));
    if (v != VERB_SCREEN)
        b.s[summary] = (char) toupper((unsigned char) b.s[summary]);
    if (v == VERB_SCREEN) {
        strbuf_adds(&b, "\nVerbs (muster VERB -h tells more):\n");
        for (int i = 0; i < VERB_SCREEN; i++)
            strbuf_addf(&b, "  %-10s %s\n", verb_name(i), verb_summary(i));
    }
    strbuf_adds(&b, notes(v));
    put_options(&b, v);
    io_write_all(fd, b.s, b.len);
    strbuf_free(&b);
}

int verb_help(struct cli *c, struct err *e)
{
    int rc = cli_at_most(c, 1, e);
    if (rc != 0)
        return rc;
    int v = VERB_SCREEN;
    if (c->args.n) {
        v = verb_find(c->args.v[0]);
        if (v < 0)
            return err_set(e, ERR_VALIDATION, "unknown verb %s (muster help lists them)",
                           c->args.v[0]);
    }
    help_print(v, STDOUT_FILENO);
    return 0;
}
