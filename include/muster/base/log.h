/* SPDX-License-Identifier: Apache-2.0 */
/* The diagnostic log: one file (0600, rotated at 4 MiB to NAME.1), lines with time, level, module,
 * batch and node. Before log_open and after log_close lines are dropped. Any thread. It is the one
 * mutable global besides main's. Never pass a secret to it: it formats what it gets. Remote text is
 * made visible (text_sanitise) before it is written. */
#ifndef MUSTER_BASE_LOG_H
#define MUSTER_BASE_LOG_H

#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

/* Opens (creating it and its folder, 0700). Returns 0, or -errno; muster works on without a log. */
int log_open(const char *path, enum log_level level);
void log_close(void);
int log_enabled(enum log_level level);
/* batch 0 and node NULL: not about one. */
void log_line(enum log_level level, const char *module, int64_t batch, const char *node,
              const char *fmt, ...) __attribute__((format(printf, 5, 6)));
#define log_warn(module, ...) log_line(LOG_WARN, module, 0, NULL, __VA_ARGS__)
#define log_info(module, ...) log_line(LOG_INFO, module, 0, NULL, __VA_ARGS__)
#define log_debug(module, ...) log_line(LOG_DEBUG, module, 0, NULL, __VA_ARGS__)

#endif
