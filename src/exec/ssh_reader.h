/* SPDX-License-Identifier: Apache-2.0 */
/* ssh_config where there is no ssh program to ask: Host, Match all and Include, first value wins, the
 * keywords of ssh_keywords.h. A machine with an ssh program never comes here. Pure. */
#ifndef MUSTER_EXEC_SSH_READER_H
#define MUSTER_EXEC_SSH_READER_H

#include "ssh_class.h"
#include "ssh_conf.h"

/* class_key: scan_class() of q->host. 0 with *out; -ERR_VALIDATION when something is written there
 * that only ssh itself can judge. */
int reader_conf(const struct scan *scan, const char *class_key, const struct conf_query *q,
                struct ssh_conf **out, struct err *e);

#endif
