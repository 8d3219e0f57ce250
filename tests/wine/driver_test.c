/*
 * driver_test.c - does to wnbd.sys what the command line says, and tells what came.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: driver_test.exe "VERB ARGUMENT..." ...
 *
 * Each argument is one command, with words between blanks; the first that fails ends
 * the program with status 1.  "! VERB ..." must fail, and prints the error; "try VERB
 * ..." may.
 */
#include <windows.h>
#include <ntddscsi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapter.h"
#include "daemon.h"

#define WORDS_MAX	24
#define PIECE		65536
#define DEPTH_MAX	64

static HANDLE adapter;

/* The value of word "KEY=..."; or other. */
static const char *
word(char **w, int n, const char *key, const char *other)
{
	size_t len = strlen(key);
	int i;

	for (i = 0; i < n; i++)
		if (strncmp(w[i], key, len) == 0 && w[i][len] == '=')
			return w[i] + len + 1;
	return other;
}

static uint64_t
value(char **w, int n, const char *key, uint64_t other)
{
	const char *s = word(w, n, key, NULL);

	return s != NULL ? strtoull(s, NULL, 0) : other;
}

/* ---- the service ----------------------------------------------------------- */

static DWORD
do_service(char **w, int n)
{
	SC_HANDLE m = OpenSCManagerA(NULL, NULL, SC_MANAGER_ALL_ACCESS);
	SC_HANDLE s = OpenServiceA(m, w[2], SERVICE_ALL_ACCESS);
	SERVICE_STATUS status;
	DWORD error = 0;

	if (n < 3)
		return ERROR_INVALID_PARAMETER;
	if (strcmp(w[1], "create") == 0) {
		s = CreateServiceA(m, w[2], w[2], SERVICE_ALL_ACCESS,
		    SERVICE_KERNEL_DRIVER, SERVICE_DEMAND_START,
		    SERVICE_ERROR_NORMAL, w[3], NULL, NULL, NULL, NULL, NULL);
		if (s == NULL)
			error = GetLastError();
	} else if (strcmp(w[1], "start") == 0) {
		if (!StartServiceA(s, 0, NULL))
			error = GetLastError();
	} else if (!ControlService(s, SERVICE_CONTROL_STOP, &status)) {
		error = GetLastError();
	}
	CloseServiceHandle(s);
	CloseServiceHandle(m);
	return error;
}

/* ---- mappings -------------------------------------------------------------- */

static void
set_nbd(NBD_CONNECTION_PROPERTIES *p, char **w, int n)
{
	snprintf(p->Hostname, sizeof(p->Hostname), "%s",
	    word(w, n, "host", "127.0.0.1"));
	snprintf(p->ExportName, sizeof(p->ExportName), "%s",
	    word(w, n, "export", ""));
	p->PortNumber = (UINT32)value(w, n, "port", 10809);
	p->Connections = (UINT32)value(w, n, "connections", 0);
	p->RequestTimeoutMs = (UINT32)value(w, n, "timeout", 0);
	p->DeadTimeoutMs = (UINT32)value(w, n, "dead", 0);
	p->Flags.SkipNegotiation = value(w, n, "skip", 0) != 0;
	p->FenceBy = value(w, n, "store", 0) != 0 ? NbdFenceByStore : NbdFenceByTime;
	p->FenceTimeMs = (UINT32)value(w, n, "fence", 0);
	p->PathTimeoutMs = (UINT32)value(w, n, "path-timeout", 0);
	p->FailbackMs = (UINT32)value(w, n, "failback", 0);
}

static DWORD
do_map(char **w, int n)
{
	WNBD_IOCTL_CREATE_COMMAND c = { .IoControlCode = IOCTL_WNBD_CREATE };
	WNBD_PROPERTIES *p = &c.Properties;
	WNBD_CONNECTION_INFO info;
	DWORD got, error;

	snprintf(p->InstanceName, sizeof(p->InstanceName), "%s", w[1]);
	snprintf(p->Owner, sizeof(p->Owner), "driver_test");
	p->Flags.UseKernelNbd = 1;
	p->Flags.ReadOnly = value(w, n, "readonly", 0) != 0;
	p->BlockSize = (UINT32)value(w, n, "sector", 0);
	p->BlockCount = value(w, n, "blocks", 0);
	set_nbd(&p->NbdProperties, w, n);
	error = adapter_ioctl(adapter, &c, sizeof(c), &info, sizeof(info), &got);
	if (error == 0)
		printf("mapped %s: %llu blocks of %u bytes\n", w[1],
		    info.Properties.BlockCount, info.Properties.BlockSize);
	return error;
}

static DWORD
do_unmap(char **w, int n)
{
	WNBD_IOCTL_REMOVE_COMMAND c = { .IoControlCode = IOCTL_WNBD_REMOVE };
	DWORD got;

	(void)n;
	snprintf(c.InstanceName, sizeof(c.InstanceName), "%s", w[1]);
	return adapter_ioctl(adapter, &c, sizeof(c), NULL, 0, &got);
}

/* servers NAME: the state of each. */
static DWORD
do_servers(char **w, int n)
{
	static const char *const states[] = { "standby", "active", "failed" };
	WNBD_IOCTL_SHOW_COMMAND c = { .IoControlCode = IOCTL_WNBD_SHOW };
	WNBD_CONNECTION_INFO info;
	DWORD got, error;
	UINT32 i;

	(void)n;
	snprintf(c.InstanceName, sizeof(c.InstanceName), "%s", w[1]);
	error = adapter_ioctl(adapter, &c, sizeof(c), &info, sizeof(info), &got);
	if (error != 0)
		return error;
	printf("servers");
	for (i = 0; i < info.Servers.Count; i++)
		printf(" %s%s", states[info.Servers.Server[i].State],
		    info.Servers.Server[i].Fencing ? "+" : "");
	printf("\n");
	return 0;
}

/* The last one that was shown, also when it is gone. */
static WNBD_CONNECTION_ID last_id;

static DWORD
do_resize(char **w, int n)
{
	WNBD_IOCTL_SHOW_COMMAND show = { .IoControlCode = IOCTL_WNBD_SHOW };
	WNBD_IOCTL_SET_SIZE_COMMAND c = { .IoControlCode = IOCTL_WNBD_SET_DISK_SIZE };
	WNBD_CONNECTION_INFO info;
	DWORD got;

	(void)n;
	snprintf(show.InstanceName, sizeof(show.InstanceName), "%s", w[1]);
	if (adapter_ioctl(adapter, &show, sizeof(show), &info, sizeof(info), &got) == 0)
		last_id = info.ConnectionId;
	c.ConnectionId = last_id;
	c.BlockCount = strtoull(w[2], NULL, 0);
	return adapter_ioctl(adapter, &c, sizeof(c), NULL, 0, &got);
}

static DWORD
do_list(char **w, int n)
{
	WNBD_IOCTL_LIST_COMMAND c = { IOCTL_WNBD_LIST };
	DWORD size = 8 + 128 * (DWORD)sizeof(WNBD_CONNECTION_INFO), got, error;
	WNBD_CONNECTION_LIST *list = calloc(1, size);
	UINT32 i;

	(void)w, (void)n;
	error = adapter_ioctl(adapter, &c, sizeof(c), list, size, &got);
	for (i = 0; error == 0 && i < list->Count; i++)
		printf("disk %s owner %s target %u size %llu\n",
		    list->Connections[i].Properties.InstanceName,
		    list->Connections[i].Properties.Owner,
		    list->Connections[i].TargetId,
		    list->Connections[i].Properties.BlockCount *
		    list->Connections[i].Properties.BlockSize);
	if (error == 0)
		printf("disks %u\n", list->Count);
	free(list);
	return error;
}

static DWORD
do_stats(char **w, int n)
{
	WNBD_IOCTL_STATS_COMMAND c = { .IoControlCode = IOCTL_WNBD_STATS };
	WNBD_DRV_STATS s;
	DWORD got, error;

	(void)n;
	snprintf(c.InstanceName, sizeof(c.InstanceName), "%s", w[1]);
	error = adapter_ioctl(adapter, &c, sizeof(c), &s, sizeof(s), &got);
	if (error == 0)
		printf("stats received %lld submitted %lld replies %lld "
		    "unsubmitted %lld pending %lld aborted %lld %lld %lld "
		    "outstanding %lld\n", s.TotalReceivedIORequests,
		    s.TotalSubmittedIORequests, s.TotalReceivedIOReplies,
		    s.UnsubmittedIORequests, s.PendingSubmittedIORequests,
		    s.AbortedSubmittedIORequests, s.AbortedUnsubmittedIORequests,
		    s.CompletedAbortedIORequests, s.OutstandingIOCount);
	return error;
}

/* ---- options --------------------------------------------------------------- */

static void
widen(WCHAR *to, const char *from)
{
	while ((*to++ = (unsigned char)*from++) != 0)
		continue;
}

static void
print_value(const WNBD_OPTION_VALUE *v)
{
	if (v->Type == WnbdOptBool)
		printf("%s", v->Data.AsBool ? "true" : "false");
	else
		printf("%lld", v->Data.AsInt64);
}

static DWORD
do_get(char **w, int n)
{
	WNBD_IOCTL_GET_DRV_OPT_COMMAND c = { .IoControlCode = IOCTL_WNBD_GET_DRV_OPT };
	WNBD_OPTION_VALUE v;
	DWORD got, error;

	widen(c.Name, w[1]);
	c.Persistent = n > 2;
	error = adapter_ioctl(adapter, &c, sizeof(c), &v, sizeof(v), &got);
	if (error == 0) {
		printf("%s ", w[1]);
		print_value(&v);
		printf("\n");
	}
	return error;
}

static DWORD
do_set(char **w, int n)
{
	WNBD_IOCTL_SET_DRV_OPT_COMMAND c = { .IoControlCode = IOCTL_WNBD_SET_DRV_OPT };
	DWORD got;

	widen(c.Name, w[1]);
	c.Value.Type = WnbdOptWstr;
	widen(c.Value.Data.AsWstr, w[2]);
	c.Persistent = n > 3;
	return adapter_ioctl(adapter, &c, sizeof(c), NULL, 0, &got);
}

static DWORD
do_reset_option(char **w, int n)
{
	WNBD_IOCTL_RESET_DRV_OPT_COMMAND c = {
		.IoControlCode = IOCTL_WNBD_RESET_DRV_OPT };
	DWORD got;

	widen(c.Name, w[1]);
	c.Persistent = n > 2;
	return adapter_ioctl(adapter, &c, sizeof(c), NULL, 0, &got);
}

static DWORD
do_options(char **w, int n)
{
	WNBD_IOCTL_LIST_DRV_OPT_COMMAND c = {
		.IoControlCode = IOCTL_WNBD_LIST_DRV_OPT, .Persistent = n > 1 };
	DWORD size = 8 + 32 * (DWORD)sizeof(WNBD_OPTION), got, error;
	WNBD_OPTION_LIST *list = calloc(1, size);
	UINT32 i;

	(void)w;
	error = adapter_ioctl(adapter, &c, sizeof(c), list, size, &got);
	for (i = 0; error == 0 && i < list->Count; i++) {
		printf("option %ls ", list->Options[i].Name);
		print_value(&list->Options[i].Value);
		printf(" default ");
		print_value(&list->Options[i].Default);
		printf("\n");
	}
	free(list);
	return error;
}

static DWORD
do_version(char **w, int n)
{
	WNBD_IOCTL_VERSION_COMMAND c = { IOCTL_WNBD_VERSION };
	WNBD_VERSION v;
	DWORD got, error;

	(void)w, (void)n;
	error = adapter_ioctl(adapter, &c, sizeof(c), &v, sizeof(v), &got);
	if (error == 0)
		printf("version %u.%u.%u %s\n", v.Major, v.Minor, v.Patch,
		    v.Description);
	return error;
}

/* An ioctl of any code and lengths, zeroes inside. */
static DWORD
do_raw(char **w, int n)
{
	static UCHAR buf[8192];
	DWORD got;

	(void)n;
	memset(buf, 0, sizeof(buf));
	*(ULONG *)buf = (ULONG)strtoul(w[1], NULL, 0);
	return adapter_ioctl(adapter, buf, (DWORD)strtoul(w[2], NULL, 0), buf,
	    (DWORD)strtoul(w[3], NULL, 0), &got);
}

/* ---- reading and writing --------------------------------------------------- */

static void
pattern(uint8_t *p, uint64_t offset, size_t len, uint64_t seed)
{
	uint64_t x;
	size_t i;

	for (i = 0; i < len; i += 8) {
		x = (offset + i + seed * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
		x ^= x >> 31;
		memcpy(p + i, &x, 8);
	}
}

struct transfer {
	bool	 write, check;
	uint64_t offset, end, seed;
	size_t	 piece;
	FILE	*file;			/* instead of the pattern */
};

static DWORD
begin(HANDLE h, struct transfer *t, uint64_t at, uint8_t *buf, OVERLAPPED *o)
{
	o->Offset = (DWORD)at;
	o->OffsetHigh = (DWORD)(at >> 32);
	ResetEvent(o->hEvent);
	if (t->write && t->file != NULL) {
		if (fread(buf, 1, t->piece, t->file) != t->piece)
			return ERROR_HANDLE_EOF;
	} else if (t->write) {
		pattern(buf, at, t->piece, t->seed);
	}
	if (t->write ? WriteFile(h, buf, (DWORD)t->piece, NULL, o) :
	    ReadFile(h, buf, (DWORD)t->piece, NULL, o))
		return 0;
	return GetLastError() == ERROR_IO_PENDING ? 0 : GetLastError();
}

static DWORD
end(HANDLE h, struct transfer *t, uint64_t at, uint8_t *buf, uint8_t *want,
    OVERLAPPED *o)
{
	DWORD got = 0;

	if (!GetOverlappedResult(h, o, &got, TRUE))
		return GetLastError();
	if (got != t->piece)
		return ERROR_HANDLE_EOF;
	if (!t->write && t->file != NULL)
		fwrite(buf, 1, t->piece, t->file);
	if (!t->check)
		return 0;
	pattern(want, at, t->piece, t->seed);
	if (memcmp(buf, want, t->piece) == 0)
		return 0;
	printf("contents differ at %llu\n", (unsigned long long)at);
	return ERROR_CRC;
}

/* As many requests at once as depth says; the first error counts. */
static DWORD
transfer(HANDLE h, struct transfer *t, unsigned depth)
{
	OVERLAPPED o[DEPTH_MAX] = { 0 };
	uint8_t *buf = malloc((depth + 1) * t->piece), *want = buf + depth * t->piece;
	uint64_t submitted = t->offset, ended = t->offset;
	DWORD error = 0, e;
	unsigned i;

	for (i = 0; i < depth; i++)
		o[i].hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
	while (ended < t->end) {
		while (error == 0 && submitted < t->end &&
		    submitted - ended < depth * t->piece) {
			i = (unsigned)((submitted - t->offset) / t->piece % depth);
			error = begin(h, t, submitted, buf + i * t->piece, &o[i]);
			if (error == 0)
				submitted += t->piece;
		}
		if (ended == submitted)
			break;
		i = (unsigned)((ended - t->offset) / t->piece % depth);
		e = end(h, t, ended, buf + i * t->piece, want, &o[i]);
		error = error != 0 ? error : e;
		ended += t->piece;
	}
	for (i = 0; i < depth; i++)
		CloseHandle(o[i].hEvent);
	free(buf);
	return error;
}

/* write|read|check NAME [offset=] [length=] [seed=] [depth=] [piece=] [file=] */
static DWORD
do_transfer(char **w, int n)
{
	struct transfer t = {
		.write = strcmp(w[0], "write") == 0,
		.check = strcmp(w[0], "check") == 0,
		.offset = value(w, n, "offset", 0),
		.seed = value(w, n, "seed", 1),
		.piece = (size_t)value(w, n, "piece", PIECE),
	};
	const char *file = word(w, n, "file", NULL);
	WNBD_CONNECTION_INFO info;
	HANDLE h = disk_open(adapter, w[1], &info);
	DWORD error;

	if (h == INVALID_HANDLE_VALUE)
		return ERROR_FILE_NOT_FOUND;
	t.end = t.offset + value(w, n, "length", info.Properties.BlockCount *
	    info.Properties.BlockSize - t.offset);
	if (file != NULL)
		t.file = fopen(file, t.write ? "rb" : "wb");
	error = transfer(h, &t, (unsigned)value(w, n, "depth", 8));
	if (t.file != NULL)
		fclose(t.file);
	CloseHandle(h);
	return error;
}

static DWORD
do_flush(char **w, int n)
{
	WNBD_CONNECTION_INFO info;
	HANDLE h = disk_open(adapter, w[1], &info);
	DWORD error = 0;

	(void)n;
	if (h == INVALID_HANDLE_VALUE)
		return ERROR_FILE_NOT_FOUND;
	if (!FlushFileBuffers(h))
		error = GetLastError();
	CloseHandle(h);
	return error;
}

/* ---- SCSI pass-through ----------------------------------------------------- */

struct pass {
	SCSI_PASS_THROUGH p;
	ULONG	fill;
	UCHAR	sense[32];
	UCHAR	data[PIECE];
};

static size_t
from_hex(UCHAR *to, size_t max, const char *s)
{
	size_t n = 0;
	unsigned byte;

	while (n < max && sscanf(s + 2 * n, "%2x", &byte) == 1)
		to[n++] = (UCHAR)byte;
	return n;
}

/* scsi NAME CDB [in=LENGTH] [out=HEX] [zero=LENGTH] [sense=LENGTH]: what came. */
static DWORD
do_scsi(char **w, int n)
{
	static struct pass s;
	WNBD_CONNECTION_INFO info;
	HANDLE h = disk_open(adapter, w[1], &info);
	ULONG in = (ULONG)value(w, n, "in", 0), out = (ULONG)value(w, n, "zero", 0), i;
	DWORD got, error;

	if (h == INVALID_HANDLE_VALUE)
		return ERROR_FILE_NOT_FOUND;
	memset(&s, 0, sizeof(s));
	s.p.Length = sizeof(s.p);
	s.p.CdbLength = (UCHAR)from_hex(s.p.Cdb, 16, w[2]);
	if (word(w, n, "out", NULL) != NULL)
		out = (ULONG)from_hex(s.data, PIECE, word(w, n, "out", NULL));
	s.p.DataIn = out > 0 ? SCSI_IOCTL_DATA_OUT : in > 0 ? SCSI_IOCTL_DATA_IN :
	    SCSI_IOCTL_DATA_UNSPECIFIED;
	s.p.DataTransferLength = in + out;
	s.p.TimeOutValue = 10;
	s.p.DataBufferOffset = offsetof(struct pass, data);
	s.p.SenseInfoLength = (UCHAR)value(w, n, "sense", sizeof(s.sense));
	if (s.p.SenseInfoLength > 0)
		s.p.SenseInfoOffset = offsetof(struct pass, sense);
	error = device_ioctl(h, IOCTL_SCSI_PASS_THROUGH, &s, sizeof(s), &s, sizeof(s),
	    &got);
	CloseHandle(h);
	if (error != 0)
		return error;
	if (got < sizeof(s.p))
		return ERROR_INVALID_DATA;
	printf("scsi %02x sense %x/%02x/%02x data ", s.p.ScsiStatus, s.sense[2] & 15,
	    s.sense[12], s.sense[13]);
	for (i = 0; in > 0 && i < s.p.DataTransferLength && i < 256; i++)
		printf("%02x", s.data[i]);
	printf("\n");
	return 0;
}

/* ---- the test port --------------------------------------------------------- */

static DWORD
do_port(char **w, int n)
{
	ULONG number = n > 2 ? (ULONG)strtoul(w[2], NULL, 0) : 0;
	DWORD got;

	return device_ioctl(adapter, strcmp(w[1], "timeout") == 0 ? TEST_SRB_TIMEOUT :
	    TEST_FAIL_ALLOCS, &number, sizeof(number), NULL, 0, &got);
}

static DWORD
do_adapter(char **w, int n)
{
	static const char *const events[] = {
		[TEST_RESTART] = "restart", [TEST_RESET_BUS] = "reset",
		[TEST_CANCEL_REMOVAL] = "cancel-removal",
	};
	ULONG event = 0;
	DWORD got;

	(void)n;
	while (event < 3 && strcmp(w[1], events[event]) != 0)
		event++;
	return device_ioctl(adapter, TEST_EVENT, &event, sizeof(event), NULL, 0, &got);
}

static DWORD
do_srb(char **w, int n)
{
	struct test_srb t = { .function = (ULONG)value(w, n, "function", 0),
		.target = (ULONG)value(w, n, "target", 0),
		.action = (ULONG)value(w, n, "action", 0) };
	DWORD got, error = device_ioctl(adapter, TEST_SRB, &t, sizeof(t), &t, sizeof(t),
	    &got);

	if (error == 0)
		printf("srb %lx status %lx capabilities %lx\n", t.function, t.status,
		    t.capabilities);
	return error;
}

static DWORD
do_report(char **w, int n)
{
	struct test_report t;
	DWORD got, error = device_ioctl(adapter, TEST_REPORT, NULL, 0, &t, sizeof(t),
	    &got);

	(void)w, (void)n;
	if (error == 0)
		printf("report violations %lu blocks %lu max %lu resets %lu io %lu lun "
		    "%lu failed %lu retries %lu\n", t.violations, t.allocations,
		    t.max_outstanding, t.resets, t.max_io, t.max_io_per_lun,
		    t.failed_allocs, t.retries);
	return error;
}

static DWORD
do_sleep(char **w, int n)
{
	(void)n;
	Sleep((DWORD)strtoul(w[1], NULL, 0));
	return 0;
}

/* Until a file exists: the shell's turn. */
static DWORD
do_await(char **w, int n)
{
	int tries;

	(void)n;
	for (tries = 0; tries < 600; tries++) {
		if (GetFileAttributesA(w[1]) != INVALID_FILE_ATTRIBUTES)
			return 0;
		Sleep(50);
	}
	return ERROR_TIMEOUT;
}

static DWORD
do_touch(char **w, int n)
{
	FILE *f = fopen(w[1], "wb");

	(void)n;
	if (f == NULL)
		return ERROR_FILE_NOT_FOUND;
	fclose(f);
	return 0;
}

/* A fetch for a disk that another process serves. */
static DWORD
do_fetch(char **w, int n)
{
	static UCHAR buffer[4096];
	WNBD_IOCTL_FETCH_REQ_COMMAND c = { .IoControlCode = IOCTL_WNBD_FETCH_REQ,
		.DataBuffer = buffer, .DataBufferSize = sizeof(buffer) };
	WNBD_CONNECTION_INFO info;
	HANDLE h = disk_open(adapter, w[1], &info);
	DWORD got;

	(void)n;
	CloseHandle(h);
	c.ConnectionId = info.ConnectionId;
	return adapter_ioctl(adapter, &c, sizeof(c), &c, sizeof(c), &got);
}

static DWORD
do_daemon(char **w, int n)
{
	return daemon_run(adapter, w[1], value(w, n, "blocks", 131072),
	    (UINT32)value(w, n, "sector", 512), word(w, n, "mode", ""));
}

/* ---- the table ------------------------------------------------------------- */

static const struct {
	const char *name;
	int	words;
	DWORD	(*run)(char **, int);
} verbs[] = {
	{ "service", 3, do_service },
	{ "map", 2, do_map },
	{ "unmap", 2, do_unmap },
	{ "resize", 3, do_resize },
	{ "list", 1, do_list },
	{ "servers", 2, do_servers },
	{ "stats", 2, do_stats },
	{ "get", 2, do_get },
	{ "set", 3, do_set },
	{ "reset-option", 2, do_reset_option },
	{ "options", 1, do_options },
	{ "version", 1, do_version },
	{ "raw", 4, do_raw },
	{ "write", 2, do_transfer },
	{ "read", 2, do_transfer },
	{ "check", 2, do_transfer },
	{ "flush", 2, do_flush },
	{ "scsi", 3, do_scsi },
	{ "port", 3, do_port },
	{ "adapter", 2, do_adapter },
	{ "srb", 2, do_srb },
	{ "report", 1, do_report },
	{ "sleep", 2, do_sleep },
	{ "await", 2, do_await },
	{ "touch", 2, do_touch },
	{ "fetch", 2, do_fetch },
	{ "daemon", 2, do_daemon },
};

static bool
run(char *command)
{
	char *w[WORDS_MAX], *s, *all = strdup(command);
	bool must_fail, may_fail;
	DWORD error = ERROR_INVALID_FUNCTION;
	int n = 0;
	size_t i;

	for (s = strtok(command, " "); s != NULL && n < WORDS_MAX;
	    s = strtok(NULL, " "))
		w[n++] = s;
	must_fail = n > 1 && strcmp(w[0], "!") == 0;
	may_fail = n > 1 && strcmp(w[0], "try") == 0;
	if (must_fail || may_fail)
		memmove(w, w + 1, (size_t)--n * sizeof(w[0]));
	if (n > 0 && strcmp(w[0], "service") != 0 && adapter == NULL)
		adapter = adapter_open();
	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (n >= verbs[i].words && strcmp(w[0], verbs[i].name) == 0)
			error = verbs[i].run(w, n);
	if (error != 0)
		printf("error %lu: %s\n", error, all);
	else if (must_fail)
		printf("no error: %s\n", all);
	free(all);
	fflush(stdout);
	return may_fail || (error != 0) == must_fail;
}

int
main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!run(argv[i]))
			return 1;
	return 0;
}
