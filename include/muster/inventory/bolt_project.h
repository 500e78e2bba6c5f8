/* SPDX-License-Identifier: Apache-2.0 */
/* The project of Bolt that a user works in: the nearest folder upward from the current one with a
 * bolt-project.yaml, what BOLT_PROJECT names, or else ~/.puppetlabs/bolt. Any thread. */
#ifndef MUSTER_INVENTORY_BOLT_PROJECT_H
#define MUSTER_INVENTORY_BOLT_PROJECT_H

#include "muster/base/vec.h"

#include <stdbool.h>

/* A variable of nodes: the options of Bolt's that the inventory gives it and that are not followed. */
#define BOLT_NOT_USED "bolt.not_used"

struct bolt_project {
    char *dir, *file;        /* file: its bolt-project.yaml, which may be missing */
    char *name;              /* of its own tasks and plans; NULL: it gives none */
    char *inventory;
    bool names_inventory;    /* the file is set by name, and so has to be there */
    struct strv modulepath;  /* folders, whole; those that Bolt takes by default where none is set */
    char *untrusted;         /* why nothing of it is used: others may have written it */
    char *error;             /* what is wrong with bolt-project.yaml */
};
/* False: there is none. Clear it in any case. Where `untrusted` or `error` is set, only dir and file are
 * besides. */
bool bolt_project_find(struct bolt_project *p);
void bolt_project_clear(struct bolt_project *p);
/* Why a file or folder that was only found is not trusted ("PATH belongs to another user"): it is not of
 * this user or root, or anybody may write it. NULL: it is. Caller frees. */
char *bolt_distrust(const char *path);

#endif
