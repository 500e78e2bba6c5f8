/* SPDX-License-Identifier: Apache-2.0 */
/* Prints what the documents take from tables in the code: `docgen keys` is README's table of keys,
 * `docgen ssh-config` what becomes of each keyword of ssh_config, `docgen config` the keys of config.yaml. */
#include "ssh_keywords.h"

#include "muster/core/config.h"
#include "muster/ui/action.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const struct {
    enum ctx ctx;
    const char *name;
} contexts[] = {
    {CTX_TARGETS, "Targets"}, {CTX_ACTION, "Action"},   {CTX_PROGRESS, "Progress"},
    {CTX_RESULTS, "Results"}, {CTX_HISTORY, "History"}, {CTX_TEXT, "text"},
};
#define N_CONTEXTS (sizeof contexts / sizeof *contexts)

static void print_where(unsigned mask)
{
    bool first = true;

    if (mask == CTX_ALL) {
        fputs("everywhere", stdout);
        return;
    }
    for (size_t i = 0; i < N_CONTEXTS; i++) {
        if (!(mask & contexts[i].ctx))
            continue;
        printf("%s%s", first ? "" : ", ", contexts[i].name);
        first = false;
    }
}

/* Each key as code, `|` written so that it does not end the cell. */
static void print_keys(const char *keys)
{
    for (const char *p = keys; *p;) {
        size_t n = strcspn(p, " ");
        if (n == 1 && *p == '|')
            fputs("`\\|`", stdout);
        else
            printf("`%.*s`", (int) n, p);
        p += n;
        if (*p == ' ') {
            p++;
            putchar(' ');
        }
    }
}

static void print_key_table(void)
{
    puts("| Key | What | Where |\n| --- | --- | --- |");
    for (int a = 1; a < ACT_COUNT; a++) {
        const struct action_row *r = action_row((enum action) a);
        fputs("| ", stdout);
        print_keys(r->keys);
        printf(" | %s | ", r->help);
        print_where(r->contexts);
        puts(" |");
    }
}

static void print_keywords(enum conf_treatment how, const char *what)
{
    const struct conf_keyword *k;
    bool first = true;

    printf("| %s | ", what);
    for (size_t i = 0; (k = conf_keyword_at(i)); i++) {
        if (k->how != how)
            continue;
        printf("%s%s", first ? "" : ", ", k->name);
        first = false;
    }
    puts(" |");
}

static void print_keyword_table(void)
{
    puts("| ssh_config | keywords |\n| --- | --- |");
    print_keywords(CONF_HONOURED, "honoured");
    print_keywords(CONF_OPENSSH, "the host goes to the transport openssh");
    print_keywords(CONF_REFUSED, "refused: `unsupported`");
    print_keywords(CONF_LEFT_OUT, "left out, with a line in the log");
    print_keywords(CONF_HARMLESS, "makes no difference here");
}

#define SHOW_COUNT(def) snprintf(value, sizeof value, "%" PRId64, (int64_t) (def))
#define SHOW_TIME(def) snprintf(value, sizeof value, "%" PRId64 "s", (int64_t) (def) / 1000)
#define SHOW_SIZE(def) snprintf(value, sizeof value, "%" PRId64 "M", (int64_t) (def) >> 20)
#define SHOW_TEXT(def) snprintf(value, sizeof value, "none")
#define SHOW_BOOL(def) snprintf(value, sizeof value, "%s", (def) ? "true" : "false")
#define SHOW_LEVEL(def) snprintf(value, sizeof value, "%s", config_level_name(def))
#define SHOW_RULES(def) snprintf(value, sizeof value, "none")

static void print_config_table(void)
{
    char value[40];

    puts("| Key | What | Default |\n| --- | --- | --- |");
#define CONFIG(id, member, key, type, def, low, high, help)                                        \
    SHOW_##type(def);                                                                              \
    printf("| `%s` | %s | %s |\n", key, help, value);
    CONFIG_TABLE(CONFIG)
#undef CONFIG
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "keys") == 0) {
        print_key_table();
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "ssh-config") == 0) {
        print_keyword_table();
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "config") == 0) {
        print_config_table();
        return 0;
    }
    fputs("usage: docgen keys|ssh-config|config\n", stderr);
    return 2;
}
