/*
 * log.h - what the driver tells: to the debugger, to ETW, to a tracing session.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Any IRQL up to DISPATCH_LEVEL; also with a lock held.
 */
#ifndef WNBD_LOG_H
#define WNBD_LOG_H

#ifdef __GNUC__
#define LOG_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define LOG_PRINTF(f, a)
#endif

/* As LogLevel counts, and DbgPrintEx. */
enum log_level { LOG_ERROR = 0, LOG_WARN = 1, LOG_INFO = 3, LOG_DEBUG = 4 };

void	log_load(void);			/* PASSIVE_LEVEL, both */
void	log_unload(void);
void	log_write(enum log_level, const char *function, int line, const char *format,
	    ...) LOG_PRINTF(4, 5);

#define log_error(...)	log_write(LOG_ERROR, __func__, __LINE__, __VA_ARGS__)
#define log_warn(...)	log_write(LOG_WARN, __func__, __LINE__, __VA_ARGS__)
#define log_info(...)	log_write(LOG_INFO, __func__, __LINE__, __VA_ARGS__)
#define log_debug(...)	log_write(LOG_DEBUG, __func__, __LINE__, __VA_ARGS__)

#endif
