/* SPDX-License-Identifier: Apache-2.0 */
/* What a check of the set-up finds. */
#ifndef MUSTER_SRC_CLI_DOCTOR_H
#define MUSTER_SRC_CLI_DOCTOR_H

struct service;

enum verdict { GOOD, ADVICE, BAD };

struct finding {
    enum verdict verdict;
    char *text;   /* what is so */
    char *remedy; /* what to do, or NULL */
};

/* text is taken over. */
struct finding finding(enum verdict v, char *text, const char *remedy);

/* --- doctor_ssh.c --- */
struct finding check_ssh(struct service *s);
struct finding check_agent(struct service *s);
struct finding check_keys(struct service *s);
struct finding check_known_hosts(struct service *s);

#endif
