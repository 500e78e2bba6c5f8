/* SPDX-License-Identifier: Apache-2.0 */
/* A PAM module for the tests: asks for a one-time code as a second prompt, and wants code=TEXT.
 * The two functions of PAM that it needs are declared here, so that no header package is needed. */
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, AUTH_ERR = 7, PROMPT_ECHO_ON = 2 };

int pam_prompt(void *pamh, int style, char **response, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
int pam_sm_authenticate(void *pamh, int flags, int argc, const char **argv);
int pam_sm_setcred(void *pamh, int flags, int argc, const char **argv);

int pam_sm_authenticate(void *pamh, int flags, int argc, const char **argv)
{
    char *answer = NULL;
    int r = AUTH_ERR;

    (void)flags;
    if (pam_prompt(pamh, PROMPT_ECHO_ON, &answer, "Verification code: ") != SUCCESS)
        return AUTH_ERR;
    for (int i = 0; answer && i < argc; i++)
        if (strncmp(argv[i], "code=", 5) == 0 && strcmp(argv[i] + 5, answer) == 0)
            r = SUCCESS;
    free(answer);
    return r;
}

int pam_sm_setcred(void *pamh, int flags, int argc, const char **argv)
{
    (void)pamh;
    (void)flags;
    (void)argc;
    (void)argv;
    return SUCCESS;
}
