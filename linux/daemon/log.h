/*
 * log.h - the daemon's log: stderr in the foreground, else syslog.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <syslog.h>

#include "values.h"

struct log {
	int	sock;		/* of syslog; -1: stderr, or nobody listens */
	bool	to_stderr;
	char	tag[DEVICE_NAME_MAX + 16];	/* nbdisk[NAME] */
};

void	log_open(struct log *, const char *device, bool to_stderr);
void	log_close(struct log *);
/* priority: LOG_INFO .. of syslog.  Never waits; drops what nobody takes. */
void	log_line(struct log *, int priority, const char *format, ...)
	    __attribute__((format(printf, 3, 4)));

#endif
