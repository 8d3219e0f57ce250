/*
 * log.c - one message to up to three places.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * ETW's functions are looked up and not imported, so that the driver loads where
 * one of them is missing.  The event's fields are FunctionName, LineNumber and
 * Message; its id is the level's (1 error, 2 warning, 3 information, 4 debug): see
 * wnbd.man.  All but debug go to the System log.  A
 * tracing session of the WPP provider gets the line that the debugger gets: what
 * Microsoft's preprocessor would encode, decodes with no tool but its own.
 */
#include <stdarg.h>
#include <stdio.h>

#include "port.h"

#include "log.h"
#include "options.h"

#define LINE_MAX	512
/* As in wnbd.man; the keyword is what the System log's session asks for. */
#define CHANNEL_SYSTEM	8
#define KEYWORD_SYSTEM	0x8000000000000000u

/* {FFACC4E7-C115-4FE2-9D3C-80FAE73BAB91} and {E35EAF83-0F07-418A-907C-141CD200F252} */
static const GUID etw_guid = { 0xffacc4e7, 0xc115, 0x4fe2,
    { 0x9d, 0x3c, 0x80, 0xfa, 0xe7, 0x3b, 0xab, 0x91 } };
static const GUID wpp_guid = { 0xe35eaf83, 0x0f07, 0x418a,
    { 0x90, 0x7c, 0x14, 0x1c, 0xd2, 0x00, 0xf2, 0x52 } };

/* EVENT_DESCRIPTOR and EVENT_DATA_DESCRIPTOR (evntprov.h) */
struct event {
	USHORT	  id;
	UCHAR	  version, channel, level, opcode;
	USHORT	  task;
	ULONGLONG keyword;
};
C_ASSERT(sizeof(struct event) == 16);
struct event_data {
	ULONGLONG address;
	ULONG	  size, reserved;
};
C_ASSERT(sizeof(struct event_data) == 16);

static NTSTATUS (NTAPI *etw_register)(const GUID *, void *, void *, ULONGLONG *);
static NTSTATUS (NTAPI *etw_unregister)(ULONGLONG);
static NTSTATUS (NTAPI *etw_write)(ULONGLONG, const struct event *, const GUID *,
    ULONG, struct event_data *);
static ULONGLONG etw, wpp;		/* handles; 0: not registered */

static void *
look_up(const WCHAR *name)
{
	UNICODE_STRING s;

	RtlInitUnicodeString(&s, name);
	return MmGetSystemRoutineAddress(&s);
}

void
log_load(void)
{
	*(void **)&etw_register = look_up(L"EtwRegister");
	*(void **)&etw_unregister = look_up(L"EtwUnregister");
	*(void **)&etw_write = look_up(L"EtwWrite");
	if (etw_register == NULL || etw_unregister == NULL || etw_write == NULL)
		return;
	if (!NT_SUCCESS(etw_register(&etw_guid, NULL, NULL, &etw)))
		etw = 0;
	if (!NT_SUCCESS(etw_register(&wpp_guid, NULL, NULL, &wpp)))
		wpp = 0;
}

void
log_unload(void)
{
	if (etw != 0)
		etw_unregister(etw);
	if (wpp != 0)
		etw_unregister(wpp);
	etw = wpp = 0;
}

static struct event_data
data_of(const void *p, size_t size)
{
	return (struct event_data){ (ULONG_PTR)p, (ULONG)size, 0 };
}

static void
write_etw(enum log_level level, const char *function, ULONG line, const char *text)
{
	static const UCHAR id[] = { [LOG_ERROR] = 1, [LOG_WARN] = 2, [LOG_INFO] = 3,
	    [LOG_DEBUG] = 4 };
	const struct event event = {
		.id = id[level], .level = (UCHAR)(id[level] + 1),
		.channel = level != LOG_DEBUG ? CHANNEL_SYSTEM : 0,
		.keyword = level != LOG_DEBUG ? KEYWORD_SYSTEM : 0,
	};
	struct event_data data[] = {
		data_of(function, strlen(function) + 1),
		data_of(&line, sizeof(line)),
		data_of(text, strlen(text) + 1),
	};

	etw_write(etw, &event, NULL, 3, data);
}

static void
write_wpp(enum log_level level, const char *text)
{
	const struct event event = { .level = (UCHAR)(level + 1) };
	struct event_data data = data_of(text, strlen(text) + 1);

	etw_write(wpp, &event, NULL, 1, &data);
}

void
log_write(enum log_level level, const char *function, int line, const char *format,
    ...)
{
	char text[LINE_MAX];
	va_list args;

	if ((int64_t)level > option(OPTION_LOG_LEVEL))
		return;
	va_start(args, format);
	_vsnprintf(text, sizeof(text) - 1, format, args);
	va_end(args);
	text[sizeof(text) - 1] = '\0';
	if (option(OPTION_DBG_PRINT) != 0)
		DbgPrintEx(DPFLTR_IHVDRIVER_ID, (ULONG)level, "%s:%lu %s\n", function,
		    (ULONG)line, text);
	if (etw != 0 && option(OPTION_ETW_LOGGING) != 0)
		write_etw(level, function, (ULONG)line, text);
	if (wpp != 0 && option(OPTION_WPP_LOGGING) != 0)
		write_wpp(level, text);
}
