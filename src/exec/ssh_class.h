/* SPDX-License-Identifier: Apache-2.0 */
/* Which hosts ssh_config treats alike. `ssh -G` costs 5 ms of CPU, so it is asked once for each
 * class: the hosts that match the same set of Host lines. For that the files are read here, but
 * only as far as needed: Host lines, whether anything depends on more than those (Match,
 * canonicalisation), and where which keyword is mentioned. A scan never changes once made. */
#ifndef MUSTER_EXEC_SSH_CLASS_H
#define MUSTER_EXEC_SSH_CLASS_H

#include <stdbool.h>
#include <stddef.h>

struct strv;

struct scan; /* refcounted */
/* config: -F (then it is the only file), or NULL: ~/.ssh/config and /etc/ssh/ssh_config. */
struct scan *scan_files(const char *config);
struct scan *scan_ref(struct scan *s);
void scan_unref(struct scan *s);
bool scan_fresh(const struct scan *s); /* false: a file or a folder of includes has changed */

/* Something in the files may depend on more than the Host lines: ask for each host. */
bool scan_per_host(const struct scan *s);
/* Match may ask for the user and port of the command line too. */
bool scan_has_match(const struct scan *s);
/* One character for each Host line, '1' when it applies; caller frees. */
char *scan_class(const struct scan *s, const char *host);
/* A keyword (lower case) stands in a part that can apply to hosts of this class. */
bool scan_mentions(const struct scan *s, const char *class_key, const char *keyword);
/* The values of a keyword in such parts, in order, each once. */
void scan_values(const struct scan *s, const char *class_key, const char *keyword,
                 struct strv *out);

/* One line of a file, in the order that ssh reads them. */
struct scan_mention {
    const char *keyword, *value; /* as written; the value without the blanks around it */
    const char *file;
    unsigned line;
    bool unsure; /* in a Match part: whether it applies is not known here */
};
/* Those in such parts; a Match or CanonicalizeHostname line itself is one too. */
void scan_each(const struct scan *s, const char *class_key,
               void (*fn)(void *ctx, const struct scan_mention *m), void *ctx);

/* How the HostName of a class follows from the host: from what `ssh -G host` answered (resolved).
 * Returns the raw value ("%h" when it is the host itself), or NULL when it cannot be told for sure:
 * then each host must be asked for. Caller frees. */
char *scan_hostname_rule(const struct scan *s, const char *class_key, const char *host,
                         const char *resolved);
/* The rule filled in, in lower case as ssh does. Caller frees. */
char *scan_hostname(const char *rule, const char *host);

#endif
