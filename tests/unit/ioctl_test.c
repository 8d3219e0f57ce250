/*
 * ioctl_test.c - what wnbd.sys accepts from a process, and its option store.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include "check.h"
#include "options.h"
#include "test.h"
#include "wnbd_servers.h"

/* An exact copy, so that a byte too much is a sanitizer's error. */
static enum check
check_copy(const void *in, size_t in_len, size_t out_len)
{
	void *copy = malloc(in_len > 0 ? in_len : 1);
	enum check c;

	memcpy(copy, in, in_len);
	c = check_command(copy, in_len, out_len);
	free(copy);
	return c;
}

static void
test_lengths(void)
{
	static const struct {
		ULONG	code;
		size_t	in, out;
	} table[] = {
		{ IOCTL_WNBD_PING, 4, 0 }, { IOCTL_WNBD_CREATE, 1408, 2032 },
		{ IOCTL_WNBD_REMOVE, 376, 0 }, { IOCTL_WNBD_FETCH_REQ, 128, 128 },
		{ IOCTL_WNBD_SEND_RSP, 144, 0 }, { IOCTL_WNBD_LIST, 4, 8 },
		{ IOCTL_WNBD_STATS, 292, 192 }, { IOCTL_WNBD_RELOAD_CONFIG, 4, 0 },
		{ IOCTL_WNBD_VERSION, 4, 396 }, { IOCTL_WNBD_SHOW, 292, 2032 },
		{ IOCTL_WNBD_GET_DRV_OPT, 552, 584 },
		{ IOCTL_WNBD_SET_DRV_OPT, 1144, 0 },
		{ IOCTL_WNBD_RESET_DRV_OPT, 552, 0 },
		{ IOCTL_WNBD_LIST_DRV_OPT, 40, 8 }, { IOCTL_WNBD_SET_DISK_SIZE, 56, 0 },
		{ IOCTL_WNBD_SET_SERVERS, 88, 0 },
	};
	static UCHAR in[2048];
	size_t i, len;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memset(in, 0, sizeof(in));
		memcpy(in, &table[i].code, 4);
		for (len = 0; len < table[i].in; len++)
			CHECK(check_copy(in, len, 65536) == CHECK_SHORT_INPUT);
		for (len = 0; len < table[i].out; len++)
			CHECK(check_copy(in, table[i].in, len) ==
			    CHECK_SHORT_OUTPUT);
		CHECK(check_copy(in, table[i].in, table[i].out) !=
		    CHECK_SHORT_INPUT);
		CHECK(check_copy(in, table[i].in, table[i].out) !=
		    CHECK_SHORT_OUTPUT);
	}
	for (i = 0; i < 70000; i++) {
		ULONG code = (ULONG)(i < 65536 ? i : ~i);

		memcpy(in, &code, 4);
		if (code == 0 || code > IOCTL_WNBD_SET_SERVERS)
			CHECK(check_copy(in, 2048, 4096) == CHECK_UNKNOWN_CODE);
	}
}

static WNBD_IOCTL_CREATE_COMMAND create;

static enum check
check_create(void)
{
	create.IoControlCode = IOCTL_WNBD_CREATE;
	return check_copy(&create, sizeof(create), sizeof(WNBD_CONNECTION_INFO));
}

static void
set_good(void)
{
	memset(&create, 0, sizeof(create));
	strcpy(create.Properties.InstanceName, "disk");
	create.Properties.BlockCount = 1;
	create.Properties.BlockSize = 512;
}

static void
test_create_names(void)
{
	set_good();
	CHECK(check_create() == CHECK_OK);
	create.Properties.InstanceName[0] = '\0';
	CHECK(check_create() == CHECK_BAD_NAME);
	memset(create.Properties.InstanceName, 'x', WNBD_MAX_NAME_LENGTH);
	CHECK(check_create() == CHECK_BAD_NAME);
	create.Properties.InstanceName[WNBD_MAX_NAME_LENGTH - 1] = '\0';
	CHECK(check_create() == CHECK_OK);
	memset(create.Properties.SerialNumber, 'x', WNBD_MAX_NAME_LENGTH);
	CHECK(check_create() == CHECK_BAD_NAME);
	set_good();
	memset(create.Properties.Owner, 'x', WNBD_MAX_OWNER_LENGTH);
	CHECK(check_create() == CHECK_BAD_NAME);
}

static void
test_create_sizes(void)
{
	static const UINT32 bad[] = { 0, 1, 256, 511, 513, 1024, 8192, UINT32_MAX };
	size_t i;

	set_good();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		create.Properties.BlockSize = bad[i];
		CHECK(check_create() == CHECK_BAD_VALUE);
	}
	create.Properties.BlockSize = 4096;
	create.Properties.BlockCount = INT64_MAX / 4096;
	CHECK(check_create() == CHECK_OK);
	create.Properties.BlockCount++;
	CHECK(check_create() == CHECK_BAD_VALUE);
	create.Properties.BlockCount = 0;
	CHECK(check_create() == CHECK_BAD_VALUE);
}

static void
test_create_nbd(void)
{
	NBD_CONNECTION_PROPERTIES *n = &create.Properties.NbdProperties;

	set_good();
	create.Properties.Flags.UseKernelNbd = 1;
	create.Properties.BlockSize = 0;
	create.Properties.BlockCount = 0;
	CHECK(check_create() == CHECK_BAD_NAME);
	strcpy(n->Hostname, "host");
	CHECK(check_create() == CHECK_BAD_VALUE);
	n->PortNumber = 65535;
	CHECK(check_create() == CHECK_OK);
	n->PortNumber = 65536;
	CHECK(check_create() == CHECK_BAD_VALUE);
	n->PortNumber = 10809;
	n->Connections = 33;
	CHECK(check_create() == CHECK_BAD_VALUE);
	n->Connections = 32;
	memset(n->ExportName, 'x', WNBD_MAX_NAME_LENGTH);
	CHECK(check_create() == CHECK_BAD_NAME);
	memset(n->ExportName, 0, WNBD_MAX_NAME_LENGTH);
	n->Flags.SkipNegotiation = 1;
	CHECK(check_create() == CHECK_BAD_VALUE);
	create.Properties.BlockSize = 512;
	CHECK(check_create() == CHECK_BAD_VALUE);
	create.Properties.BlockCount = 5;
	CHECK(check_create() == CHECK_OK);
}

/* ---- several servers ------------------------------------------------------- */

static enum check
check_host(const char *host)
{
	strcpy(create.Properties.NbdProperties.Hostname, host);
	return check_create();
}

static void
test_create_servers(void)
{
	static const char *const bad[] = {
		",", "a,", ",a", "a,,b", "a:0", "a:65536", "a:99999999999", "a:", "a:x",
		"a:1x", "a:-1", "[::1", "[::1]x", "[]", "[]:1", "[::1]:", ":1", "a,a",
		"a,b,a", "a:10809,a", "[::1]:10809,::1", "a,b,c,d,e,f,g,h,i",
	};
	static const char *const good[] = {
		"a", "a:1", "a:65535", "a,b", "::1", "[::1]", "[::1]:5", "a,a:5",
		"a,b,c,d,e,f,g,h", "fe80::1%2,fe80::1%3",
	};
	NBD_CONNECTION_PROPERTIES *n = &create.Properties.NbdProperties;
	size_t i;

	set_good();
	create.Properties.Flags.UseKernelNbd = 1;
	n->PortNumber = 10809;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(check_host(bad[i]) == CHECK_BAD_NAME);
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		CHECK(check_host(good[i]) == CHECK_OK);
	n->FenceBy = NbdFenceByStore;
	CHECK(check_host("a,b") == CHECK_OK);
	n->FenceBy = NbdFenceByStore + 1;
	CHECK(check_host("a,b") == CHECK_BAD_VALUE);
	n->FenceBy = NbdFenceByTime;
	n->Flags.SkipNegotiation = 1;
	CHECK(check_host("a") == CHECK_OK);
	CHECK(check_host("a,b") == CHECK_BAD_VALUE);
}

static bool
is_server(const WNBD_SERVER *s, const char *host, UINT32 port)
{
	return s->Length == strlen(host) && memcmp(s->Host, host, s->Length) == 0 &&
	    s->Port == port;
}

static void
test_servers_parsed(void)
{
	WNBD_SERVER s[NBD_MAX_SERVERS];
	UINT32 n;

	CHECK(WnbdParseServers("gate1,gate2:10810,[2001:db8::3]:10811,2001:db8::4", 5,
	    s, &n) == WnbdServersOk && n == 4);
	CHECK(is_server(&s[0], "gate1", 5) && is_server(&s[1], "gate2", 10810));
	CHECK(is_server(&s[2], "2001:db8::3", 10811));
	CHECK(is_server(&s[3], "2001:db8::4", 5));
	CHECK(WnbdParseServers("a,b:0", 5, s, &n) == WnbdServersBadPort && n == 1);
	CHECK(WnbdParseServers("a,b,", 5, s, &n) == WnbdServersNoName && n == 2);
	CHECK(WnbdParseServers("1,2,3,4,5,6,7,8,9", 5, s, &n) == WnbdServersTooMany);
	CHECK(n == NBD_MAX_SERVERS);
}

/* What a program that was built before these members gives is as it was. */
static void
test_old_properties_have_one_server(void)
{
	const NBD_CONNECTION_PROPERTIES *n = &create.Properties.NbdProperties;

	set_good();
	CHECK(n->FenceBy == NbdFenceByTime && n->FenceTimeMs == 0);
	CHECK(n->PathTimeoutMs == 0 && n->FailbackMs == 0);
	CHECK(offsetof(NBD_CONNECTION_PROPERTIES, FenceBy) == 532);
	CHECK(offsetof(NBD_CONNECTION_PROPERTIES, Reserved) == 548);
	CHECK(offsetof(WNBD_CONNECTION_INFO, Servers) == 1908);
	CHECK(offsetof(WNBD_CONNECTION_INFO, Reserved) == 1944);
}

static void
test_server_states(void)
{
	WNBD_IOCTL_SET_SERVERS_COMMAND c = { .IoControlCode = IOCTL_WNBD_SET_SERVERS };

	CHECK(check_copy(&c, sizeof(c), 0) == CHECK_OK);
	c.Servers.Count = NBD_MAX_SERVERS;
	c.Servers.Server[7].State = NbdServerFailed;
	CHECK(check_copy(&c, sizeof(c), 0) == CHECK_OK);
	c.Servers.Server[7].State = NbdServerFailed + 1;
	CHECK(check_copy(&c, sizeof(c), 0) == CHECK_BAD_VALUE);
	c.Servers.Server[7].State = 0;
	c.Servers.Count = NBD_MAX_SERVERS + 1;
	CHECK(check_copy(&c, sizeof(c), 0) == CHECK_BAD_VALUE);
}

static void
test_buffers(void)
{
	WNBD_IOCTL_FETCH_REQ_COMMAND f = { .IoControlCode = IOCTL_WNBD_FETCH_REQ };
	WNBD_IOCTL_SEND_RSP_COMMAND r = { .IoControlCode = IOCTL_WNBD_SEND_RSP };

	CHECK(check_copy(&f, sizeof(f), sizeof(f)) == CHECK_BAD_VALUE);
	f.DataBuffer = &f;
	CHECK(check_copy(&f, sizeof(f), sizeof(f)) == CHECK_BAD_VALUE);
	f.DataBufferSize = 0x80000000;
	CHECK(check_copy(&f, sizeof(f), sizeof(f)) == CHECK_BAD_VALUE);
	f.DataBufferSize = 4096;
	CHECK(check_copy(&f, sizeof(f), sizeof(f)) == CHECK_OK);
	CHECK(check_copy(&r, sizeof(r), 0) == CHECK_OK);
	r.DataBufferSize = 1;
	CHECK(check_copy(&r, sizeof(r), 0) == CHECK_BAD_VALUE);
	r.DataBuffer = &r;
	CHECK(check_copy(&r, sizeof(r), 0) == CHECK_OK);
}

/* ---- options --------------------------------------------------------------- */

static void
widen(WCHAR *to, const char *from)
{
	do
		*to++ = (unsigned char)*from;
	while (*from++ != '\0');
}

static void
test_options_by_name(void)
{
	WCHAR name[64];

	widen(name, "loglevel");
	CHECK(option_by_name(name, 64) == OPTION_LOG_LEVEL);
	widen(name, "STALECONNTIMEOUTMS");
	CHECK(option_by_name(name, 64) == OPTION_STALE_CONN_MS);
	CHECK(option_by_name(name, 17) == OPTIONS);
	CHECK(option_by_name(name, 18) == OPTION_STALE_CONN_MS);
	widen(name, "LogLeve");
	CHECK(option_by_name(name, 64) == OPTIONS);
	widen(name, "LogLevel1");
	CHECK(option_by_name(name, 64) == OPTIONS);
	widen(name, "");
	CHECK(option_by_name(name, 64) == OPTIONS);
}

static bool
converts(enum option o, const char *text, int64_t want)
{
	WNBD_OPTION_VALUE v = { .Type = WnbdOptWstr };
	int64_t got = 0;

	widen(v.Data.AsWstr, text);
	return option_convert(o, &v, &got) && got == want;
}

static bool
converts_at_all(enum option o, const char *text)
{
	WNBD_OPTION_VALUE v = { .Type = WnbdOptWstr };
	int64_t got;

	widen(v.Data.AsWstr, text);
	return option_convert(o, &v, &got);
}

static void
test_options_from_text(void)
{
	CHECK(converts(OPTION_LOG_LEVEL, "4", 4));
	CHECK(converts(OPTION_LOG_LEVEL, "0", 0));
	CHECK(!converts_at_all(OPTION_LOG_LEVEL, "5"));
	CHECK(!converts_at_all(OPTION_LOG_LEVEL, "-1"));
	CHECK(!converts_at_all(OPTION_LOG_LEVEL, ""));
	CHECK(!converts_at_all(OPTION_LOG_LEVEL, "-"));
	CHECK(!converts_at_all(OPTION_LOG_LEVEL, "4x"));
	CHECK(!converts_at_all(OPTION_LOG_LEVEL, "99999999999999999999"));
	CHECK(converts(OPTION_DBG_PRINT, "TRUE", 1) &&
	    converts(OPTION_DBG_PRINT, "off", 0));
	CHECK(!converts_at_all(OPTION_DBG_PRINT, "2"));
}

static void
test_options_from_values(void)
{
	WNBD_OPTION_VALUE v = { .Type = WnbdOptBool, .Data = { .AsBool = 7 } };
	int64_t got;
	size_t i;

	CHECK(option_convert(OPTION_DBG_PRINT, &v, &got) && got == 1);
	v.Type = WnbdOptInt64;
	v.Data.AsInt64 = WNBD_ABS_MAX_IO_REQ_PER_LUN;
	CHECK(option_convert(OPTION_MAX_IO_PER_LUN, &v, &got) && got == 1024);
	v.Data.AsInt64++;
	CHECK(!option_convert(OPTION_MAX_IO_PER_LUN, &v, &got));
	v.Type = WnbdOptUnknown;
	CHECK(!option_convert(OPTION_MAX_IO_PER_LUN, &v, &got));
	v.Type = WnbdOptWstr;		/* without an end */
	for (i = 0; i < WNBD_MAX_NAME_LENGTH; i++)
		v.Data.AsWstr[i] = '0';
	CHECK(!option_convert(OPTION_MAX_IO_PER_LUN, &v, &got));
}

static void
test_options_are_stored(void)
{
	WNBD_OPTION o;

	CHECK(option(OPTION_STALE_REQ_MS) == 15000);
	CHECK(option_set(OPTION_STALE_REQ_MS, 1) && option(OPTION_STALE_REQ_MS) == 1);
	CHECK(!option_set(OPTION_STALE_REQ_MS, -1) && option(OPTION_STALE_REQ_MS) == 1);
	option_describe(OPTION_STALE_REQ_MS, option(OPTION_STALE_REQ_MS), &o);
	CHECK(o.Type == WnbdOptInt64 && o.Value.Data.AsInt64 == 1 &&
	    o.Default.Data.AsInt64 == 15000 && o.Name[0] == 'S');
	option_describe(OPTION_REMOVE_STALE, 0, &o);
	CHECK(o.Type == WnbdOptBool && !o.Value.Data.AsBool && o.Default.Data.AsBool);
}

int
main(void)
{
	static const struct test tests[] = {
		TEST(lengths),
		TEST(create_names),
		TEST(create_sizes),
		TEST(create_nbd),
		TEST(create_servers),
		TEST(servers_parsed),
		TEST(old_properties_have_one_server),
		TEST(server_states),
		TEST(buffers),
		TEST(options_by_name),
		TEST(options_from_text),
		TEST(options_from_values),
		TEST(options_are_stored),
	};

	return TEST_MAIN(tests);
}
