/* SPDX-License-Identifier: Apache-2.0 */
/* The version, and those of the libraries it runs with. */
#ifndef MUSTER_SERVICE_VERSION_H
#define MUSTER_SERVICE_VERSION_H

#define MUSTER_VERSION "0.1.0"
/* Several lines: "muster 0.1.0", then a line a library; caller frees. The curses line is added by main. */
char *version_text(void);

#endif
