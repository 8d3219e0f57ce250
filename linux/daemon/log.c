/*
 * log.c - the daemon's log: stderr in the foreground, else syslog.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Not syslog(3), which waits when the logger does not read.  A logger that waits
 * for a disk that waits for the logger would never wake up again.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void
log_open(struct log *l, const char *device, bool to_stderr)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };

	*l = (struct log){ .sock = -1, .to_stderr = to_stderr };
	snprintf(l->tag, sizeof(l->tag), "nbdisk[%s]", device);
	if (to_stderr)
		return;
	l->sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->sock >= 0 &&
	    connect(l->sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		log_close(l);
}

void
log_close(struct log *l)
{
	if (l->sock >= 0)
		close(l->sock);
	l->sock = -1;
}

void
log_line(struct log *l, int priority, const char *format, ...)
{
	char line[1200];
	va_list args;
	int head, len;

	head = l->to_stderr ? snprintf(line, sizeof(line), "%s: ", l->tag) :
	    snprintf(line, sizeof(line), "<%d>%s: ", LOG_DAEMON | priority, l->tag);
	va_start(args, format);
	len = vsnprintf(line + head, sizeof(line) - (size_t)head, format, args);
	va_end(args);
	if (len < 0)
		return;
	if (l->to_stderr)
		fprintf(stderr, "%s\n", line);
	else if (l->sock >= 0)
		(void)send(l->sock, line, strlen(line), MSG_NOSIGNAL);
}
