/* SPDX-License-Identifier: Apache-2.0 */
/* Values of ssh_config that are several words, and the lists of paths that `ssh -G` prints without
 * their quotes. Pure. */
#ifndef MUSTER_EXEC_SSH_LISTS_H
#define MUSTER_EXEC_SSH_LISTS_H

struct conf_query;
struct scan;
struct ssh_conf;
struct strv;

/* The words of a value, as ssh cuts them: quotes of both kinds, a backslash before a quote, a blank
 * or itself, # begins a comment. */
void conf_words(const char *value, struct strv *out);

/* Where the paths of UserKnownHostsFile and GlobalKnownHostsFile end, for which `ssh -G` answered with
 * these: by the values as they were written, the -o and the lines of the class. */
void conf_settle_lists(struct ssh_conf *c, const struct scan *scan, const char *class_key,
                       const struct conf_query *q);

#endif
