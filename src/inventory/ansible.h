/* SPDX-License-Identifier: Apache-2.0 */
/* Ansible's inventories: the JSON that `--list` prints, host variables that mean settings, and what
 * ansible.cfg and the environment set for all hosts. */
#ifndef MUSTER_INVENTORY_ANSIBLE_H
#define MUSTER_INVENTORY_ANSIBLE_H

#include "source.h"

#include "muster/base/vec.h"

/* What an ansible.cfg and the environment say; a value, cleared by its owner. */
struct ansible_config {
    char *path;           /* the file that counts; NULL: there is none */
    char *passed_by;      /* one in the working folder that does not, as anybody may write there */
    char *inventory;      /* as it is written; or NULL */
    struct varlist vars;  /* by the host variables that mean the same */
    struct varlist said;  /* of each of `vars`: what says so, for people */
    struct strv not_used; /* sentences: what bears on how hosts are reached and is not followed */
};
/* The ansible.cfg that counts, as Ansible looks for it: ANSIBLE_CONFIG, the working folder (only with
 * `here`), the home, `etc`/ansible. *passed_by may be NULL, and the watch too. Caller frees both. */
char *ansible_config_path(const char *etc, bool here, struct inventory_watch *w, char **passed_by);
/* Reads that file and the environment. 0 or -ERR_VALIDATION: a value that no setting can have. Clear it in
 * any case. */
int ansible_config_load(struct ansible_config *c, const struct source_input *in, struct err *e);
int ansible_config_read(struct ansible_config *c, const char *path, struct err *e);
void ansible_config_warn(struct build *b, const struct ansible_config *c);
void ansible_config_clear(struct ansible_config *c);
/* The names of the variables of the environment that count; NULL after the last. */
const char *ansible_config_env(size_t i);

/* Who prints the JSON: they differ in what a group may look like. */
enum ansible_from {
    ANSIBLE_LISTED, /* ansible-inventory */
    ANSIBLE_SCRIPT, /* a script: a group of none of the usual keys is a host, and it knows `--host` */
    ANSIBLE_COMMAND /* a command of the user's */
};
struct ansible_input {
    enum ansible_from from;
    const char *what; /* its name in errors */
    const char *text;
    size_t n;
    const char *script;                  /* ANSIBLE_SCRIPT: the path to run with `--host` */
    const struct ansible_config *config; /* defaults of its hosts; or NULL */
};
/* Fills the builder from the JSON that `ansible-inventory --list`, and any script that does as it
 * does, prints. What has another shape is an error that names the place. */
int ansible_json(struct build *b, const struct ansible_input *in, struct err *e);

/* Runs `script --host NAME` for each name, several at once: answers[i] is what it printed, which the caller
 * frees. Bounded in time and bytes. 0 or -ERR_VALIDATION; where it fails for each and every name, it
 * knows no `--host`: 0, no answers, and a warning, as Ansible has no variables then either. */
int ansible_ask(struct build *b, const char *script, const char *const *names, size_t n,
                char **answers, struct err *e);
/* LIMIT: hosts of a script that are asked for one by one. */
#define ANSIBLE_ASK_MAX ((size_t) 2000)

/* Lays a host's variables on an entry: those that say how it is reached become settings. Without
 * a configuration: all others are kept, but secrets. With one: it fills what they leave open, and
 * only settings are made. Takes nothing over. */
int ansible_vars(struct build *b, struct entry *en, const char *host, const struct varlist *vars,
                 const struct ansible_config *config, struct err *e);

/* The inventories that Ansible's own settings name (ANSIBLE_INVENTORY, its configuration,
 * `etc`/ansible/hosts), with commas between; NULL: none. `*aside` is set to a configuration in
 * the working folder, which names programs and so is only followed when it is asked for, and `*why` to a
 * sentence on it. Caller frees all. */
char *ansible_find(const char *etc, struct inventory_watch *w, char **aside, char **why);

#endif
