/*
 * wnbd_client_test.c - wnbd-client's command line, help and output, byte for byte.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmdline.h"
#include "format.h"
#include "ec_key.h"
#include "key_lock.h"
#include "rsa_key.h"
#include "test.h"

/* ---- the command line ---------------------------------------------------- */

static struct arguments args;
static char error[256];
static bool unknown;

/* Words up to a NULL, behind the program's name. */
static bool
parse(const char *first, ...)
{
	char *argv[16] = { (char *)(uintptr_t)"wnbd-client" };
	int argc = 1;
	va_list list;

	va_start(list, first);
	for (const char *w = first; w != NULL; w = va_arg(list, const char *))
		argv[argc++] = (char *)(uintptr_t)w;
	va_end(list);
	error[0] = '\0';
	return cmdline_parse(&args, argc, argv, error, sizeof(error), &unknown);
}

static bool
says(const char *text)
{
	if (strcmp(error, text) == 0)
		return true;
	printf("# said: %s\n", error);
	return false;
}

static void
test_commands_and_aliases(void)
{
	static const struct { const char *word; enum command_id id; } words[] = {
		{ "version", CMD_VERSION }, { "-v", CMD_VERSION },
		{ "help", CMD_HELP }, { "-h", CMD_HELP }, { "--help", CMD_HELP },
		{ "list", CMD_LIST }, { "ls", CMD_LIST },
		{ "list-opt", CMD_LIST_OPT }, { "uninstall-driver", CMD_UNINSTALL },
		{ "reset-adapter", CMD_RESET_ADAPTER },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		CHECK(parse(words[i].word, NULL));
		CHECK(args.command == words[i].id);
	}
	CHECK(parse(NULL));
	CHECK(args.command == CMD_HELP);
	CHECK(!parse("frob", NULL));
	CHECK(unknown && says("Unknown command: frob"));
	CHECK(!parse("list", "--frob", NULL));
	CHECK(!unknown);
}

static void
test_operands(void)
{
	CHECK(!parse("list", "x", NULL) && says("too many arguments"));
	CHECK(!parse("map", "a", NULL) && says("map needs <hostname>"));
	CHECK(!parse("show", NULL) && says("show needs <instance-name>"));
	CHECK(!parse("show", "", NULL) && says("<instance-name> is empty"));
	CHECK(parse("show", "--", "--odd", NULL));
	CHECK(strcmp(args.operand[0], "--odd") == 0);
	CHECK(parse("set-opt", "LogLevel", "4", "--persistent", NULL));
	CHECK(args.persistent && strcmp(args.operand[1], "4") == 0);
	CHECK(parse("map", "--help", NULL) && args.help);
	CHECK(parse("rm", "disk", NULL) && args.command == CMD_UNMAP);
}

static void
test_operands_by_name(void)
{
	CHECK(parse("map", "--instance-name", "a", "--hostname", "b", NULL));
	CHECK(strcmp(args.operand[0], "a") == 0 && strcmp(args.operand[1], "b") == 0);
	CHECK(parse("map", "--hostname=b", "a", NULL));
	CHECK(strcmp(args.operand[0], "a") == 0 && strcmp(args.operand[1], "b") == 0);
	CHECK(parse("set-opt", "--name", "LogLevel", "--value", "", NULL));
	CHECK(strcmp(args.operand[1], "") == 0);
	CHECK(parse("install-driver", "--filename", "wnbd.inf", NULL));
	CHECK(!parse("map", "--hostname", "b", NULL) &&
	    says("map needs <instance-name>"));
	CHECK(!parse("show", "a", "--instance-name", "b", NULL) &&
	    says("<instance-name> is given twice"));
	CHECK(!parse("show", "--instance-name", "b", "a", NULL) &&
	    says("too many arguments"));
	CHECK(!parse("show", "--instance-name", NULL) &&
	    says("--instance-name needs a value"));
}

static void
test_names_cut_short(void)
{
	CHECK(parse("unmap", "a", "--hard", "--debu", NULL));
	CHECK(args.hard && args.debug);
	CHECK(parse("unmap", "--inst", "a", "--soft-disconnect-t=5", NULL));
	CHECK(args.soft_timeout_s == 5);
	CHECK(!parse("unmap", "a", "--soft", "5", NULL) && says("--soft may be "
	    "--soft-disconnect-timeout or --soft-disconnect-retry-interval"));
	CHECK(!parse("unmap", "a", "--hardx", NULL) &&
	    says("unmap has no option --hardx"));
	/* "tls" is an option, though "tls-hostname" begins so. */
	CHECK(parse("map", "a", "b", "--tls", "required", NULL));
}

static void
test_map_options(void)
{
	CHECK(parse("map", "foo", "host", "--port", "10810", "--export-name=bar",
	    "--read-only", "--connections", "4", "--timeout", "5", NULL));
	CHECK(args.port == 10810 && strcmp(args.export_name, "bar") == 0);
	CHECK(args.read_only && args.connections == 4 && args.timeout_s == 5);
	CHECK(!args.user_space && args.tls.when == TLS_OFF);
	CHECK(!parse("map", "a", "nbd://b/c", "--port", "1", NULL) &&
	    says("--port and --export-name are parts of the URI"));
	CHECK(!parse("map", "a", "b", "--port", "0", NULL) &&
	    says("--port: \"0\" is not a number from 1 to 65535"));
	CHECK(!parse("map", "a", "b", "--port", "65536", NULL));
	CHECK(!parse("map", "a", "b", "--port", NULL) && says("--port needs a value"));
	CHECK(!parse("map", "a", "b", "--read-only=1", NULL) &&
	    says("--read-only takes no value"));
	CHECK(!parse("map", "a", "b", "--hard-disconnect", NULL) &&
	    says("map has no option --hard-disconnect"));
	CHECK(!parse("map", "a", "b", "-p", NULL) && says("map has no option -p"));
	CHECK(!parse("map", "a", "b", "--connections", "33", NULL));
	CHECK(!parse("map", "a", "b", "--ca", "", NULL));
}

static void
test_several_servers(void)
{
	CHECK(parse("map", "a", "gate1,gate2:10810,[::1]:5", "--path-timeout", "3",
	    "--fence-by", "store", "--fence", "60", "--failback=600", NULL));
	CHECK(args.servers == 3 && args.path_timeout_s == 3 && args.fence_s == 60);
	CHECK(args.fence_by == FENCE_BY_STORE && args.failback_s == 600);
	CHECK(parse("map", "a", "b,c", NULL) && args.fence_by == FENCE_BY_TIME);
	CHECK(parse("map", "a", "::1", NULL) && args.servers == 1);
	CHECK(parse("map", "a", "nbd://[::1]/x,y", NULL) && args.servers == 1);
	CHECK(parse("map", "a", "b", "--fence", "5", NULL));
}

static void
test_bad_lists_of_servers(void)
{
	CHECK(!parse("map", "a", "b,", NULL) && says("\"b,\": host 2 is empty"));
	CHECK(!parse("map", "a", "b,c:0", NULL) &&
	    says("\"b,c:0\": host 2 has no port from 1 to 65535"));
	CHECK(!parse("map", "a", "[::1", NULL) &&
	    says("\"[::1\": host 1 has a bracket without the other one"));
	CHECK(!parse("map", "a", "b,c,b", NULL) &&
	    says("\"b,c,b\": host 3 is given twice"));
	CHECK(!parse("map", "a", "1,2,3,4,5,6,7,8,9", NULL) &&
	    says("\"1,2,3,4,5,6,7,8,9\": host 9 is one too many"));
	CHECK(!parse("map", "a", "b,c", "--fence-by", "command", NULL) &&
	    says("--fence-by: \"command\" is not time or store; on Windows no "
	    "command is run"));
	CHECK(!parse("map", "a", "b", "--path-timeout", "5", NULL) &&
	    says("--path-timeout, --fence-by and --failback are for several servers: "
	    "host1,host2"));
	CHECK(!parse("map", "a", "nbd://b/x,nbd://c/x", NULL) &&
	    says("several servers are given as host1,host2, with --export-name and "
	    "--tls, not as URIs"));
	CHECK(!parse("map", "a", "nbd://b,c/x", NULL));
	CHECK(!parse("map", "a", "b,c", "--skip-handshake", "--disk-size", "64M",
	    "--block-size", "512", NULL) && says("--skip-handshake cannot go with "
	    "several servers: nothing would tell whether they have one disk"));
}

static void
test_skip_handshake(void)
{
	CHECK(!parse("map", "a", "b", "--skip-handshake", NULL) &&
	    says("--skip-handshake needs --disk-size and --block-size"));
	CHECK(parse("map", "a", "b", "--skip-handshake", "--disk-size", "64M",
	    "--block-size", "512", NULL));
	CHECK(args.disk_size == 64 << 20 && args.block_size == 512);
	CHECK(!parse("map", "a", "b", "--block-size", "1024", NULL) &&
	    says("--block-size: use 512 or 4096"));
	CHECK(!parse("map", "a", "b", "--disk-size", "1000", "--block-size", "512",
	    NULL) && says("--disk-size is not a multiple of --block-size"));
	CHECK(!parse("map", "a", "b", "--skip-handshake", "--disk-size", "64M",
	    "--block-size", "512", "--tls", "required", NULL));
}

static void
test_tls_options(void)
{
	CHECK(parse("map", "a", "b", "--tls", "if-offered", NULL));
	CHECK(args.tls.when == TLS_IF_OFFERED);
	CHECK(parse("map", "a", "b", "--ca", "c.pem", NULL));
	CHECK(args.tls.when == TLS_REQUIRED);
	CHECK(!parse("map", "a", "b", "--tls", "off", "--ca", "c.pem", NULL) &&
	    says("--tls off contradicts the other TLS options"));
	CHECK(!parse("map", "a", "b", "--key-password-file", "p", NULL) &&
	    says("--key-password-file needs --key"));
	CHECK(!parse("map", "a", "b", "--cert", "c.pem", NULL) &&
	    says("--cert and --key go together"));
	CHECK(!parse("map", "a", "b", "--tls", "maybe", NULL) &&
	    says("--tls: \"maybe\" is not off, if-offered or required"));
}

static void
test_unmap_defaults(void)
{
	CHECK(parse("unmap", "a", NULL));
	CHECK(!args.hard && !args.no_fallback && args.soft_timeout_s == 30 &&
	    args.soft_retry_s == 2);
	CHECK(parse("unmap", "a", "--soft-disconnect-timeout", "0",
	    "--no-hard-disconnect-fallback", "--debug", NULL));
	CHECK(args.soft_timeout_s == 0 && args.no_fallback && args.debug);
	CHECK(parse("reset-adapter", NULL));
	CHECK(args.reset_timeout_s == 10 && args.reset_retry_s == 1);
}

/* ---- output -------------------------------------------------------------- */

static char *text;
static size_t text_size;
static FILE *out;

static void
begin(void)
{
	free(text);
	out = open_memstream(&text, &text_size);
}

static bool
wrote(const char *expected)
{
	fclose(out);
	if (strcmp(text, expected) == 0)
		return true;
	printf("# wrote:\n");
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
		printf("# |%s|\n", line);
	return false;
}

static void
set_wide(WCHAR *to, const char *from)
{
	while ((*to++ = (WCHAR)(unsigned char)*from++) != 0)
		continue;
}

static WNBD_CONNECTION_INFO
disk(const char *name, const char *owner, INT pid, INT number)
{
	WNBD_CONNECTION_INFO info = { .DiskNumber = number, .TargetId = 3 };
	WNBD_PROPERTIES *p = &info.Properties;

	snprintf(p->InstanceName, sizeof(p->InstanceName), "%s", name);
	snprintf(p->SerialNumber, sizeof(p->SerialNumber), "%s", name);
	snprintf(p->Owner, sizeof(p->Owner), "%s", owner);
	p->Pid = pid;
	p->BlockCount = 131072;
	p->BlockSize = 512;
	p->MaxUnmapDescCount = 1;
	return info;
}

static void
test_list_text(void)
{
	WNBD_CONNECTION_INFO list[2] = {
		disk("foo", "wnbd-client", 3508, 1),
		disk("rbd/rbd_win_10g", "ceph-rbd-wnbd", 4024, 2),
	};

	list[0].Properties.Flags.UseNbd = 1;
	begin();
	format_list(out, list, 2, false);
	CHECK(wrote(
	    "Pid         DiskNumber  Nbd    Owner            InstanceName\n"
	    "3508        1           true   wnbd-client      foo\n"
	    "4024        2           false  ceph-rbd-wnbd    rbd/rbd_win_10g\n"));
	begin();
	format_list(out, NULL, 0, false);
	CHECK(wrote("Pid         DiskNumber  Nbd    Owner            InstanceName\n"));
}

static void
test_list_json(void)
{
	WNBD_CONNECTION_INFO one = disk("a\"b", "x", 7, -1);

	one.Properties.Flags.UseUserspaceNbd = 1;
	begin();
	format_list(out, &one, 1, true);
	CHECK(wrote("[\n  {\n    \"InstanceName\": \"a\\\"b\",\n"
	    "    \"Owner\": \"x\",\n    \"Pid\": 7,\n    \"DiskNumber\": null,\n"
	    "    \"Nbd\": true\n  }\n]\n"));
	begin();
	format_list(out, NULL, 0, true);
	CHECK(wrote("[]\n"));
}

static void
test_show_text(void)
{
	WNBD_CONNECTION_INFO info = disk("foo", "wnbd-client", 3508, 1);
	NBD_CONNECTION_PROPERTIES *n = &info.Properties.NbdProperties;

	info.Properties.Flags.UseKernelNbd = 1;
	info.Properties.Flags.UnmapSupported = 1;
	set_wide(info.PNPDeviceID, "SCSI\\DISK&VEN_WNBD");
	snprintf(n->Hostname, sizeof(n->Hostname), "server");
	snprintf(n->ExportName, sizeof(n->ExportName), "bar");
	n->PortNumber = 10809;
	begin();
	format_show(out, &info, (struct io_limits){ 255, 1000 }, false);
	CHECK(wrote("Connection info\n"
	    "InstanceName              : foo\n"
	    "SerialNumber              : foo\n"
	    "Owner                     : wnbd-client\n"
	    "ReadOnly                  : 0\n"
	    "FlushSupported            : 0\n"
	    "FUASupported              : 0\n"
	    "UnmapSupported            : 1\n"
	    "UnmapAnchorSupported      : 0\n"
	    "UseNbd                    : 1\n"
	    "UseUserspaceNbd           : 0\n"
	    "BlockCount                : 131072\n"
	    "BlockSize                 : 512\n"
	    "MaxUnmapDescCount         : 1\n"
	    "Pid                       : 3508\n"
	    "DiskNumber                : 1\n"
	    "PNPDeviceID               : SCSI\\DISK&VEN_WNBD\n"
	    "BusNumber                 : 0\n"
	    "TargetId                  : 3\n"
	    "Lun                       : 0\n"
	    "MaxIOReqPerLun            : 255\n"
	    "MaxIOReqPerAdapter        : 1000\n"
	    "\n"
	    "Nbd properties\n"
	    "Hostname                  : server\n"
	    "PortNumber                : 10809\n"
	    "ExportName                : bar\n"
	    "SkipNegotiation           : 0\n"
	    "\n"));
}

static WNBD_CONNECTION_INFO
disk_of_servers(void)
{
	WNBD_CONNECTION_INFO info = disk("foo", "x", 7, 1);

	info.Properties.Flags.UseKernelNbd = 1;
	snprintf(info.Properties.NbdProperties.Hostname, 256, "gate1,[::1]:5,gate3");
	info.Servers = (NBD_SERVERS){ 3, {
		{ .State = NbdServerFailed, .Fencing = 1 },
		{ .State = NbdServerActive }, { .Tried = 1 },
	} };
	return info;
}

static void
test_servers_shown(void)
{
	WNBD_CONNECTION_INFO info = disk_of_servers();

	begin();
	format_show(out, &info, (struct io_limits){ 255, 1000 }, false);
	fclose(out);
	CHECK(strstr(text, "\n\nServers\n"
	    "gate1                     : failed, may still write\n"
	    "[::1]:5                   : active\n"
	    "gate3                     : standby, tried\n\n") != NULL);
	begin();
	format_list(out, &info, 1, true);
	CHECK(wrote("[\n  {\n    \"InstanceName\": \"foo\",\n"
	    "    \"Owner\": \"x\",\n    \"Pid\": 7,\n    \"DiskNumber\": 1,\n"
	    "    \"Nbd\": true,\n    \"Servers\": [\n"
	    "      {\n        \"Server\": \"gate1\",\n"
	    "        \"State\": \"failed\",\n        \"Tried\": false,\n"
	    "        \"Fencing\": true\n      },\n"
	    "      {\n        \"Server\": \"[::1]:5\",\n"
	    "        \"State\": \"active\",\n        \"Tried\": false,\n"
	    "        \"Fencing\": false\n      },\n"
	    "      {\n        \"Server\": \"gate3\",\n"
	    "        \"State\": \"standby\",\n        \"Tried\": true,\n"
	    "        \"Fencing\": false\n      }\n    ]\n  }\n]\n"));
	/* A driver that says strange things. */
	info.Servers.Count = 200;
	info.Servers.Server[0].State = 99;
	begin();
	format_show(out, &info, (struct io_limits){ 255, 1000 }, true);
	fclose(out);
	CHECK(strstr(text, "\"State\": \"unknown\"") != NULL);
}

static void
test_stats_text(void)
{
	WNBD_DRV_STATS s = {
		.TotalReceivedIORequests = 70, .TotalReceivedIOReplies = 70,
		.LastReceivedReqTimestamp = 10000,
	};

	begin();
	format_stats(out, &s, activity_of(&s, 5010000), false);
	CHECK(wrote("Disk stats\n"
	    "TotalReceivedIORequests        : 70\n"
	    "TotalSubmittedIORequests       : 0\n"
	    "TotalReceivedIOReplies         : 70\n"
	    "UnsubmittedIORequests          : 0\n"
	    "PendingSubmittedIORequests     : 0\n"
	    "AbortedSubmittedIORequests     : 0\n"
	    "AbortedUnsubmittedIORequests   : 0\n"
	    "CompletedAbortedIORequests     : 0\n"
	    "OutstandingIOCount             : 0\n"
	    "TimeSinceLastReceivedReqMs     : 500\n"
	    "TimeSinceLastSubmittedReqMs    : -1\n"
	    "TimeSinceLastReplyMs           : -1\n"
	    "\n"));
	CHECK(activity_of(&s, 5).received_ms == 0);	/* clocks may differ a little */
}

static void
test_options_text(void)
{
	WNBD_OPTION o[2] = {
		{ .Type = WnbdOptInt64, .Default = { .Type = WnbdOptInt64 },
		    .Value = { .Type = WnbdOptInt64 } },
		{ .Type = WnbdOptBool, .Default = { .Type = WnbdOptBool },
		    .Value = { .Type = WnbdOptBool } },
	};

	set_wide(o[0].Name, "LogLevel");
	o[0].Default.Data.AsInt64 = 1;
	o[0].Value.Data.AsInt64 = 4;
	set_wide(o[1].Name, "NewMappingsAllowed");
	o[1].Default.Data.AsBool = o[1].Value.Data.AsBool = 1;
	begin();
	format_options(out, o, 2, false);
	CHECK(wrote("LogLevel               : 4 (Default: 1)\n"
	    "NewMappingsAllowed     : true (Default: true)\n"));
	begin();
	format_option(out, "loglevel", &o[0].Value, false);
	CHECK(wrote("Name: loglevel\nValue: 4\n"));
	begin();
	format_option(out, "x", &o[1].Value, true);
	CHECK(wrote("{\n  \"Name\": \"x\",\n  \"Value\": true\n}\n"));
	begin();
	format_options(out, o, 0, true);
	CHECK(wrote("[]\n"));
}

static void
test_utf16(void)
{
	static const WCHAR wide[] = { 'a', 0xe9, 0x20ac, 0xd83d, 0xde00, 0xdc00, 0 };
	char buf[64], tight[6];

	format_wide(buf, sizeof(buf), wide, 7);
	CHECK(strcmp(buf, "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbd") == 0);
	format_wide(buf, sizeof(buf), wide, 4);	/* half a pair at the end */
	CHECK(strcmp(buf, "a\xc3\xa9\xe2\x82\xac\xef\xbf\xbd") == 0);
	format_wide(tight, sizeof(tight), wide, 7);
	CHECK(strcmp(tight, "a\xc3\xa9") == 0);
}

/* ---- help ---------------------------------------------------------------- */

static size_t
longest_line(const char *s)
{
	size_t longest = 0;

	while (*s != '\0') {
		size_t len = strcspn(s, "\n");

		longest = len > longest ? len : longest;
		s += len + (s[len] == '\n');
	}
	return longest;
}

static void
test_help_fits_80_columns(void)
{
	begin();
	help_commands(out);
	fclose(out);
	CHECK(strncmp(text, "wnbd-client commands: \n\nversion | -v       Print", 48) ==
	    0);
	CHECK(longest_line(text) <= 80);
	for (unsigned i = 0; i < COMMANDS; i++) {
		begin();
		help_command(out, (enum command_id)i);
		fclose(out);
		CHECK(longest_line(text) <= 80);
		CHECK(strstr(text, "\nCommon arguments:\n  --debug ") != NULL);
	}
}

static void
test_help_of_a_command(void)
{
	begin();
	help_command(out, CMD_SET_OPT);
	CHECK(wrote("Usage: wnbd-client set-opt <name> <value> "
	    "[--persistent]\n\nSet a driver option.\n\nPositional arguments:\n"
	    "  name                    Name of the option, in any case.\n"
	    "  value                   true or false, a number, or a text.\n\n"
	    "Optional arguments:\n"
	    "  --persistent            The value that is kept for the next start of "
	    "Windows.\n\nCommon arguments:\n"
	    "  --debug                 Say what is done, and why something fails.\n"));
}

/* ---- keys ---------------------------------------------------------------- */

/* p 11, q 13: not safe, but an RSA key. */
static const uint8_t pkcs1[] = {
	0x30, 28, 2, 1, 0, 2, 2, 0, 143, 2, 1, 7, 2, 1, 103, 2, 1, 13, 2, 1, 11,
	2, 1, 7, 2, 1, 3, 2, 1, 6,
};
static const uint8_t wrapped[] = {
	0x30, 50, 2, 1, 0, 0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1,
	5, 0, 4, 30,
	0x30, 28, 2, 1, 0, 2, 2, 0, 143, 2, 1, 7, 2, 1, 103, 2, 1, 13, 2, 1, 11,
	2, 1, 7, 2, 1, 3, 2, 1, 6,
};
static const uint8_t blob[] = {
	7, 2, 0, 0, 0, 0xa4, 0, 0, 'R', 'S', 'A', '2', 8, 0, 0, 0, 7, 0, 0, 0,
	143, 13, 11, 7, 3, 6, 103,
};

static void
test_rsa_key(void)
{
	uint8_t got[64];

	CHECK(nbc_rsa_key_blob(pkcs1, sizeof(pkcs1), got, sizeof(got)) == sizeof(blob));
	CHECK(memcmp(got, blob, sizeof(blob)) == 0);
	CHECK(nbc_rsa_key_blob(wrapped, sizeof(wrapped), got, sizeof(got)) ==
	    sizeof(blob));
	CHECK(memcmp(got, blob, sizeof(blob)) == 0);
	CHECK(nbc_rsa_key_blob(pkcs1, sizeof(pkcs1), got, sizeof(blob) - 1) == 0);
}

/* Cut anywhere, or damaged anywhere: refused or taken, but within its bounds. */
static void
test_rsa_key_damaged(void)
{
	uint8_t got[64];

	for (size_t len = 0; len < sizeof(wrapped); len++) {
		uint8_t *copy = malloc(len > 0 ? len : 1);

		memcpy(copy, wrapped, len);
		CHECK(nbc_rsa_key_blob(copy, len, got, sizeof(got)) == 0);
		free(copy);
	}
	for (size_t at = 0; at < sizeof(wrapped); at++)
		for (unsigned v = 0; v < 256; v++) {
			uint8_t copy[sizeof(wrapped)];

			memcpy(copy, wrapped, sizeof(copy));
			copy[at] = (uint8_t)v;
			CHECK(nbc_rsa_key_blob(copy, sizeof(copy), got, sizeof(got)) <=
			    sizeof(got));
		}
}

/* Of P-256, by OpenSSL: ECPrivateKey, as PrivateKeyInfo, and that encrypted. */
static const uint8_t ec[] = {
	0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20, 0xa8, 0x60, 0xe6, 0x5d, 0xe6, 0xcd,
	0xac, 0x33, 0x3b, 0x8f, 0x43, 0xa7, 0x0d, 0x1b, 0x65, 0x27, 0x6c, 0xa4, 0x6a,
	0xa6, 0x75, 0x58, 0x6c, 0x43, 0x43, 0x0a, 0xe4, 0xd6, 0x6c, 0xc9, 0xff, 0xb2,
	0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0xa1,
	0x44, 0x03, 0x42, 0x00, 0x04, 0x32, 0x30, 0xa9, 0x83, 0x75, 0xea, 0xce, 0x7c,
	0x45, 0xd0, 0x99, 0x81, 0x04, 0xd4, 0x99, 0xcf, 0x96, 0xfc, 0x04, 0x52, 0x3c,
	0x5c, 0x6c, 0x1f, 0x5f, 0xa2, 0x77, 0x65, 0x64, 0x02, 0xce, 0xd4, 0x40, 0xd8,
	0x3d, 0xe1, 0xb8, 0x18, 0x92, 0xe0, 0xcc, 0x8b, 0x66, 0xa7, 0x1e, 0x98, 0xc9,
	0x3a, 0x5b, 0x77, 0xe7, 0x69, 0x74, 0x94, 0xfe, 0xc5, 0x3f, 0x19, 0xfb, 0x1e,
	0xbb, 0x0e, 0x93, 0x9c,
};
static const uint8_t ec_wrapped[] = {
	0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
	0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01,
	0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20, 0xa8, 0x60, 0xe6,
	0x5d, 0xe6, 0xcd, 0xac, 0x33, 0x3b, 0x8f, 0x43, 0xa7, 0x0d, 0x1b, 0x65, 0x27,
	0x6c, 0xa4, 0x6a, 0xa6, 0x75, 0x58, 0x6c, 0x43, 0x43, 0x0a, 0xe4, 0xd6, 0x6c,
	0xc9, 0xff, 0xb2, 0xa1, 0x44, 0x03, 0x42, 0x00, 0x04, 0x32, 0x30, 0xa9, 0x83,
	0x75, 0xea, 0xce, 0x7c, 0x45, 0xd0, 0x99, 0x81, 0x04, 0xd4, 0x99, 0xcf, 0x96,
	0xfc, 0x04, 0x52, 0x3c, 0x5c, 0x6c, 0x1f, 0x5f, 0xa2, 0x77, 0x65, 0x64, 0x02,
	0xce, 0xd4, 0x40, 0xd8, 0x3d, 0xe1, 0xb8, 0x18, 0x92, 0xe0, 0xcc, 0x8b, 0x66,
	0xa7, 0x1e, 0x98, 0xc9, 0x3a, 0x5b, 0x77, 0xe7, 0x69, 0x74, 0x94, 0xfe, 0xc5,
	0x3f, 0x19, 0xfb, 0x1e, 0xbb, 0x0e, 0x93, 0x9c,
};
static const uint8_t ec_locked[] = {
	0x30, 0x81, 0xec, 0x30, 0x57, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
	0x01, 0x05, 0x0d, 0x30, 0x4a, 0x30, 0x29, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
	0xf7, 0x0d, 0x01, 0x05, 0x0c, 0x30, 0x1c, 0x04, 0x08, 0xe5, 0x8a, 0x69, 0xb3,
	0x7a, 0x6a, 0x5f, 0x40, 0x02, 0x02, 0x08, 0x00, 0x30, 0x0c, 0x06, 0x08, 0x2a,
	0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09, 0x05, 0x00, 0x30, 0x1d, 0x06, 0x09,
	0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a, 0x04, 0x10, 0xbd, 0x52,
	0x5e, 0xa4, 0xd6, 0x33, 0xf5, 0x26, 0x02, 0xc4, 0x48, 0x1d, 0x8b, 0x75, 0x6d,
	0xfd, 0x04, 0x81, 0x90, 0x52, 0x96, 0x58, 0xcf, 0x5a, 0x95, 0xd5, 0xcf, 0x4e,
	0x24, 0xd7, 0x0e, 0xae, 0xd4, 0x97, 0x61, 0xd5, 0x9b, 0x44, 0x61, 0xb6, 0x2f,
	0x25, 0xc7, 0xa4, 0x02, 0xb8, 0x5c, 0x62, 0x48, 0x76, 0x29, 0x28, 0xf6, 0x8c,
	0xd5, 0x8c, 0x22, 0x84, 0x0d, 0xd7, 0xda, 0xb4, 0x2b, 0x84, 0x38, 0xb3, 0x19,
	0xac, 0x11, 0x1e, 0x75, 0xf6, 0xe3, 0x40, 0x89, 0x2a, 0x11, 0x5e, 0xfa, 0xa0,
	0x42, 0x27, 0x74, 0x71, 0xa3, 0x9c, 0xd8, 0xce, 0x43, 0x10, 0xbf, 0x2d, 0x1c,
	0x58, 0xcf, 0xad, 0x2c, 0x92, 0xca, 0x05, 0xae, 0xe5, 0x8e, 0x60, 0xd1, 0xf3,
	0x20, 0x6b, 0x5d, 0x39, 0xde, 0x5f, 0x9a, 0x2c, 0xd5, 0x4f, 0xcf, 0xab, 0x69,
	0x7a, 0xd2, 0xe8, 0x68, 0x6d, 0x83, 0xd8, 0x02, 0x5c, 0x0b, 0x2b, 0x61, 0x19,
	0x16, 0x6f, 0x57, 0x67, 0xcb, 0xa3, 0x0a, 0x75, 0x95, 0x50, 0x34, 0x16, 0xc6,
	0xe8, 0x62, 0xbe, 0x55, 0x93, 0x42, 0xf1, 0x36, 0x25, 0x21, 0x3e, 0x3c, 0x97,
	0x17, 0xb1, 0x59, 0xd4, 0x72,
};

static void
test_ec_key(void)
{
	uint8_t a[EC_BLOB_MAX], b[EC_BLOB_MAX];
	unsigned bits = 0;

	CHECK(nbc_ec_key_blob(ec, sizeof(ec), a, &bits) == 8 + 3 * 32 && bits == 256);
	CHECK(memcmp(a, "ECS2\x20\0\0\0", 8) == 0);
	/* x, y are at the end of the DER, the secret at its beginning. */
	CHECK(memcmp(a + 8, ec + sizeof(ec) - 64, 64) == 0);
	CHECK(memcmp(a + 8 + 64, ec + 7, 32) == 0);
	CHECK(nbc_ec_key_blob(ec_wrapped, sizeof(ec_wrapped), b, &bits) == 8 + 3 * 32);
	CHECK(memcmp(a, b, 8 + 3 * 32) == 0);
	CHECK(nbc_ec_key_blob(pkcs1, sizeof(pkcs1), a, &bits) == 0);
	CHECK(nbc_ec_key_blob(ec_locked, sizeof(ec_locked), a, &bits) == 0);
}

static void
test_key_lock(void)
{
	struct key_lock k;

	CHECK(nbc_key_lock(ec_locked, sizeof(ec_locked), &k));
	CHECK(k.hash == KEY_SHA256 && k.key_len == 32 && k.iterations == 2048 &&
	    k.salt_len == 8);
	CHECK(k.data + k.data_len == ec_locked + sizeof(ec_locked) &&
	    k.data_len == 144);
	CHECK(!nbc_key_lock(ec_wrapped, sizeof(ec_wrapped), &k));
	CHECK(!nbc_key_lock(pkcs1, sizeof(pkcs1), &k));
}

/* Cut anywhere, and with any byte changed: nothing outside of it is looked at. */
static void
test_keys_damaged(void)
{
	uint8_t blob_[EC_BLOB_MAX], copy[sizeof(ec_locked)];
	struct key_lock k;
	unsigned bits;

	for (size_t len = 0; len < sizeof(ec_locked); len++) {
		uint8_t *cut = malloc(len + 1);

		memcpy(cut, ec_locked, len);
		CHECK(!nbc_key_lock(cut, len, &k));
		free(cut);
	}
	for (size_t at = 0; at < sizeof(ec); at++)
		for (unsigned v = 0; v < 256; v++) {
			memcpy(copy, ec_locked, sizeof(ec_locked));
			copy[at] = (uint8_t)v;
			if (nbc_key_lock(copy, sizeof(ec_locked), &k))
				CHECK(k.data + k.data_len <= copy + sizeof(copy) &&
				    k.salt + k.salt_len <= copy + sizeof(copy));
			memcpy(copy, ec, sizeof(ec));
			copy[at] = (uint8_t)v;
			CHECK(nbc_ec_key_blob(copy, sizeof(ec), blob_, &bits) <=
			    sizeof(blob_));
		}
}

static const struct test tests[] = {
	TEST(commands_and_aliases),
	TEST(operands),
	TEST(operands_by_name),
	TEST(names_cut_short),
	TEST(map_options),
	TEST(several_servers),
	TEST(bad_lists_of_servers),
	TEST(skip_handshake),
	TEST(tls_options),
	TEST(unmap_defaults),
	TEST(list_text),
	TEST(list_json),
	TEST(show_text),
	TEST(servers_shown),
	TEST(stats_text),
	TEST(options_text),
	TEST(utf16),
	TEST(help_fits_80_columns),
	TEST(help_of_a_command),
	TEST(rsa_key),
	TEST(rsa_key_damaged),
	TEST(ec_key),
	TEST(key_lock),
	TEST(keys_damaged),
};

int
main(void)
{
	int failed = TEST_MAIN(tests);

	free(text);
	return failed;
}
