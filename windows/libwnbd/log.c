/*
 * log.c - what the library has to say, and to whom.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Without a logger of the program's own a line goes to standard error:
 * "HH:MM:SS.mmm libwnbd.dll!Function LEVEL message".
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib.h"

static LogMessageFunc volatile logger;
static volatile LONG log_level = WnbdLogLevelInfo;

VOID
WnbdSetLogger(LogMessageFunc Logger)
{
	logger = Logger;
}

VOID
WnbdSetLogLevel(WnbdLogLevel LogLevel)
{
	InterlockedExchange(&log_level, (LONG)LogLevel);
}

/* One write per line, so that the lines of threads do not mix. */
static void
to_stderr(WnbdLogLevel level, const char *message, const char *function)
{
	char line[WNBD_LOG_MESSAGE_MAX_SIZE + 256];
	SYSTEMTIME t;
	DWORD written;
	int len;

	GetLocalTime(&t);
	len = snprintf(line, sizeof(line), "%02u:%02u:%02u.%03u libwnbd.dll!%s %s %s\n",
	    t.wHour, t.wMinute, t.wSecond, t.wMilliseconds, function,
	    WnbdLogLevelToStr(level), message);
	if (len < 0)
		return;
	if ((size_t)len >= sizeof(line))
		len = (int)sizeof(line) - 1;
	WriteFile(GetStdHandle(STD_ERROR_HANDLE), line, (DWORD)len, &written, NULL);
}

void
lib_log(WnbdLogLevel level, const char *file, UINT32 line, const char *function,
    const char *fmt, ...)
{
	LogMessageFunc to = logger;
	char message[WNBD_LOG_MESSAGE_MAX_SIZE];
	va_list args;

	if ((LONG)level > log_level)
		return;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	if (to != NULL)
		to(level, message, file, line, function);
	else
		to_stderr(level, message, function);
}

const char *
lib_error_text(DWORD error, char *buf, size_t size)
{
	DWORD len = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM |
	    FORMAT_MESSAGE_IGNORE_INSERTS | FORMAT_MESSAGE_MAX_WIDTH_MASK, NULL, error,
	    0, buf, (DWORD)size, NULL);

	while (len > 0 && (buf[len - 1] == ' ' || buf[len - 1] == '.'))
		len--;
	if (len < size)
		snprintf(buf + len, size - len, len > 0 ? " (%lu)" : "error %lu",
		    error);
	return buf;
}
