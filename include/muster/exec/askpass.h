/* SPDX-License-Identifier: Apache-2.0 */
/* What this program is when an ssh child runs it to ask for a password or a passphrase. */
#ifndef MUSTER_EXEC_ASKPASS_PUBLIC_H
#define MUSTER_EXEC_ASKPASS_PUBLIC_H

#include <stdbool.h>

#define ASKPASS_ENV "MUSTER_ASKPASS" /* the socket to ask */

/* main() looks here before anything else: then it is askpass_main() and no more. */
bool askpass_wanted(void);
int askpass_main(int argc, char **argv);

#endif
