/*
 * uri_test.c - what the user may type for a server, and what is refused.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>
#include <unistd.h>

#include "connect.h"
#include "internal.h"
#include "test.h"

/* NULL stands for a field that stays NULL. */
struct good {
	const char *operand;
	enum nbc_family family;
	enum nbe_tls tls;
	const char *host, *port, *export_name;
	const char *printed;
};

static const struct good goods[] = {
	{ "server", NBC_TCP, NBE_TLS_OFF, "server", NULL, NULL, "nbd://server/" },
	{ "server:10810", NBC_TCP, NBE_TLS_OFF, "server", "10810", NULL,
	    "nbd://server:10810/" },
	{ "192.0.2.7", NBC_TCP, NBE_TLS_OFF, "192.0.2.7", NULL, NULL,
	    "nbd://192.0.2.7/" },
	{ "2001:db8::1", NBC_TCP, NBE_TLS_OFF, "2001:db8::1", NULL, NULL,
	    "nbd://[2001:db8::1]/" },
	{ "[2001:db8::1]", NBC_TCP, NBE_TLS_OFF, "2001:db8::1", NULL, NULL,
	    "nbd://[2001:db8::1]/" },
	{ "[::1]:nbd", NBC_TCP, NBE_TLS_OFF, "::1", "nbd", NULL, "nbd://[::1]:nbd/" },
	{ "/run/nbd.sock", NBC_UNIX, NBE_TLS_OFF, "/run/nbd.sock", NULL, NULL,
	    "nbd+unix:///?socket=/run/nbd.sock" },
	{ "nbd://server", NBC_TCP, NBE_TLS_OFF, "server", NULL, NULL,
	    "nbd://server/" },
	{ "nbd://server/", NBC_TCP, NBE_TLS_OFF, "server", NULL, "",
	    "nbd://server/" },
	{ "NBD://server:1234/a/b", NBC_TCP, NBE_TLS_OFF, "server", "1234", "a/b",
	    "nbd://server:1234/a/b" },
	{ "nbd://server//lead", NBC_TCP, NBE_TLS_OFF, "server", NULL, "/lead",
	    "nbd://server//lead" },
	{ "nbd://server/a%20b%25%C3%A9", NBC_TCP, NBE_TLS_OFF, "server", NULL,
	    "a b%\xc3\xa9", "nbd://server/a%20b%25%c3%a9" },
	{ "nbd://[fe80::1%25eth0]:1/x", NBC_TCP, NBE_TLS_OFF, "fe80::1%eth0", "1", "x",
	    "nbd://[fe80::1%25eth0]:1/x" },
	{ "nbd:///x", NBC_TCP, NBE_TLS_OFF, "localhost", NULL, "x",
	    "nbd://localhost/x" },
	{ "nbds://alice@server/x", NBC_TCP, NBE_TLS_REQUIRED, "server", NULL, "x",
	    "nbds://alice@server/x" },
	{ "nbd+unix:///x?socket=/run/s", NBC_UNIX, NBE_TLS_OFF, "/run/s", NULL, "x",
	    "nbd+unix:///x?socket=/run/s" },
	{ "nbd+unix:///?socket=%00name", NBC_UNIX, NBE_TLS_OFF, "@name", NULL, "",
	    "nbd+unix:///?socket=@name" },
	{ "[::1]:65535", NBC_TCP, NBE_TLS_OFF, "::1", "65535", NULL,
	    "nbd://[::1]:65535/" },
	{ "server:1", NBC_TCP, NBE_TLS_OFF, "server", "1", NULL, "nbd://server:1/" },
	{ "nbd+vsock://3:65536", NBC_VSOCK, NBE_TLS_OFF, "3", "65536", NULL,
	    "nbd+vsock://3:65536/" },
	{ "nbds+unix:///?socket=/s", NBC_UNIX, NBE_TLS_REQUIRED, "/s", NULL, "",
	    "nbds+unix:///?socket=/s" },
	{ "nbd+vsock://3:9999/x", NBC_VSOCK, NBE_TLS_OFF, "3", "9999", "x",
	    "nbd+vsock://3:9999/x" },
	{ "nbds://a%40b@c%2fd/x@y:z", NBC_TCP, NBE_TLS_REQUIRED, "c/d", NULL, "x@y:z",
	    "nbds://a%40b@c%2fd/x@y:z" },
	{ "nbds+vsock:///x", NBC_VSOCK, NBE_TLS_REQUIRED, "2", NULL, "x",
	    "nbds+vsock://2/x" },
};

static bool
same(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

static void
check_good(const struct good *g)
{
	struct nbc_target t = { 0 }, again = { 0 };
	struct nbc_error err;
	char printed[256];

	CHECK(nbc_target_parse(&t, g->operand, &err));
	CHECK(t.family == g->family && t.tls == g->tls);
	CHECK(same(t.host, g->host) && same(t.port, g->port));
	CHECK(same(t.export_name, g->export_name));
	nbc_target_print(&t, printed, sizeof printed);
	CHECK(strcmp(printed, g->printed) == 0);
	/* What was printed is a URI of the same target. */
	CHECK(nbc_target_parse(&again, printed, &err));
	CHECK(same(again.host, t.host) && again.family == t.family);
	nbc_target_free(&t);
	nbc_target_free(&again);
}

static void
test_point_103_104_good_operands(void)
{
	size_t i;

	for (i = 0; i < sizeof goods / sizeof goods[0]; i++) {
		unsigned before = test_failed_checks;

		check_good(&goods[i]);
		if (test_failed_checks != before)
			printf("# operand %s\n", goods[i].operand);
	}
}

struct bad {
	const char *operand, *said;
};

static const struct bad bads[] = {
	{ "", "empty" },
	{ ":1234", "names no host" },
	{ "[::1", "brackets" },
	{ "[::1]x", "brackets" },
	{ "http://server/", "unknown scheme \"http\"" },
	{ "nbd://server/a%00b", "NUL" },
	{ "nbd://server/a%0", "%" },
	{ "nbd://server/a%zz", "%" },
	{ "nbd://server/x#y", "fragment" },
	{ "nbd://server/?socket=/s", "nbd+unix" },
	{ "nbd://alice:secret@server/", "password" },
	{ "server:1/2", "\"1/2\" is not a port" },
	{ "nbd://server:1%30/", "not a port" },
	{ "server:0", "from 1 to 65535" },
	{ "[::1]:65536", "from 1 to 65535" },
	{ "nbd://server:76345/", "\"76345\" is not a port" },
	{ "nbds://server:18446744073709562425/", "not a port" },
	{ "nbd+unix://relative/x", "three slashes" },
	{ "nbd+unix://:1/x?socket=/s", "three slashes" },
	{ "nbd+unix:///x", "socket" },
	{ "nbd+unix:///x?socket=", "no path" },
	{ "nbd+unix:///x?socket", "needs a value" },
	{ "nbd+unix://host/x?socket=/s", "three slashes" },
	{ "nbd+unix:///?socket=/s%00x", "NUL" },
	{ "nbd+unix:///?socket=/a&socket=/b", "socket is given twice" },
	{ "nbd://server/?tls-hostname=x", "nbds" },
	{ "nbds://server/?tls-hostname=x&tls-hostname=y", "twice" },
	{ "nbds://server/?tls-priority=NONE", "unknown parameter \"tls-priority\"" },
	{ "nbds://server/?color=red", "unknown parameter \"color\"" },
	{ "nbds://server/?tls-type=anon", "anon" },
	{ "nbds://server/?tls-type=magic", "magic" },
	{ "nbds://server/?tls-verify-peer=maybe", "maybe" },
};

static void
test_point_104_105_bad_operands(void)
{
	size_t i;

	for (i = 0; i < sizeof bads / sizeof bads[0]; i++) {
		struct nbc_target t = { 0 };
		struct nbc_error err = { .kind = NBC_OK };
		bool ok = nbc_target_parse(&t, bads[i].operand, &err);

		CHECK(!ok && err.kind == NBC_USAGE && t.host == NULL);
		CHECK(strstr(err.text, bads[i].said) != NULL);
		if (ok || strstr(err.text, bads[i].said) == NULL)
			printf("# operand %s: %s\n", bads[i].operand, err.text);
		nbc_target_free(&t);
	}
}

static void
test_point_105_tls_parameters(void)
{
	struct nbc_target t = { 0 };
	struct nbc_error err;

	CHECK(nbc_target_parse(&t, "nbds://bob@server/x?tls-psk-file=/k%20s&"
	    "tls-hostname=other&tls-verify-peer=false", &err));
	CHECK(t.tls_type == NBC_TLS_PSK && same(t.psk_file, "/k s"));
	CHECK(same(t.psk_user, "bob") && same(t.tls_hostname, "other"));
	CHECK(t.tls_no_verify);
	nbc_target_free(&t);
	CHECK(nbc_target_parse(&t, "nbds://server/?tls-type=psk", &err));
	CHECK(t.tls_type == NBC_TLS_PSK && t.psk_file == NULL && !t.tls_no_verify);
	nbc_target_free(&t);
	CHECK(nbc_target_parse(&t, "nbds://server/?tls-certificates=/no-such-dir&"
	    "tls-type=x509", &err));
	CHECK(t.tls_type == NBC_TLS_X509);
	CHECK(same(t.ca_file, "/no-such-dir/ca-cert.pem") && t.cert_file == NULL);
	CHECK(t.crl_file == NULL);
	nbc_target_free(&t);
}

static void
test_relative_socket_is_made_absolute(void)
{
	static const struct { const char *stand, *host, *printed; } rows[] = {
		{ "/", "/a b", "nbd+unix:///?socket=/a%20b" },
		{ "/proc", "/proc/a b", "nbd+unix:///?socket=/proc/a%20b" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct nbc_target t = { 0 };
		struct nbc_error err;
		char printed[256];

		CHECK(chdir(rows[i].stand) == 0);
		CHECK(nbc_target_parse(&t, "nbd+unix://?socket=a%20b", &err));
		CHECK(same(t.host, rows[i].host));
		nbc_target_print(&t, printed, sizeof printed);
		CHECK(strcmp(printed, rows[i].printed) == 0);
		nbc_target_free(&t);
	}
}

/* What a URI says of TLS, for who stands in another directory. */
static void
test_print_whole(void)
{
	static const struct {
		const char *operand, *printed;
	} rows[] = {
		{ "server", "nbd://server/" },
		{ "nbds://server/x?tls-certificates=pki/a%20b",
		    "nbds://server/x?tls-certificates=/proc/pki/a%20b" },
		{ "nbds+unix:///?socket=s&tls-psk-file=keys&tls-hostname=h",
		    "nbds+unix:///?socket=/proc/s&tls-psk-file=/proc/keys"
		    "&tls-hostname=h" },
		{ "nbds://server/?tls-psk-file=/keys&tls-type=x509",
		    "nbds://server/?tls-psk-file=/keys&tls-type=x509" },
		{ "nbds://u@server/?tls-type=psk&tls-verify-peer=0",
		    "nbds://u@server/?tls-type=psk&tls-verify-peer=false" },
	};

	CHECK(chdir("/proc") == 0);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct nbc_target t = { 0 }, again = { 0 };
		struct nbc_error err;
		char printed[256], second[256];

		CHECK(nbc_target_parse(&t, rows[i].operand, &err));
		nbc_target_print_whole(&t, printed, sizeof printed);
		CHECK(strcmp(printed, rows[i].printed) == 0);
		CHECK(nbc_target_parse(&again, printed, &err));
		nbc_target_print_whole(&again, second, sizeof second);
		CHECK(strcmp(printed, second) == 0);
		nbc_target_free(&t);
		nbc_target_free(&again);
	}
}

static void
test_point_1_name_too_long(void)
{
	static const char prefix[] = "nbd://server/";
	static char operand[sizeof prefix + NBE_MAX_STRING + 1];
	struct nbc_target t = { 0 };
	struct nbc_error err;

	memset(operand, 'n', sizeof operand - 1);
	memcpy(operand, prefix, sizeof prefix - 1);
	CHECK(!nbc_target_parse(&t, operand, &err) && err.kind == NBC_USAGE);
	operand[sizeof prefix - 1 + NBE_MAX_STRING] = '\0';
	CHECK(nbc_target_parse(&t, operand, &err));
	nbc_target_free(&t);
}

static void
test_print_into_little_room(void)
{
	struct nbc_target t = { 0 };
	struct nbc_error err;
	char buf[8];

	CHECK(nbc_target_parse(&t, "nbd://a-long-name/with/export", &err));
	nbc_target_print(&t, buf, sizeof buf);
	CHECK(strcmp(buf, "nbd://a") == 0);
	nbc_target_free(&t);
}

static void
check_printable(const char *in, size_t len, const char *out)
{
	char buf[64];

	nbc_printable(buf, sizeof buf, (struct nbe_text){ in, (uint32_t)len });
	CHECK(strcmp(buf, out) == 0);
	if (strcmp(buf, out) != 0)
		printf("# %s is not %s\n", buf, out);
}
#define CHECK_PRINTABLE(in, out) check_printable(in, sizeof in - 1, out)

static void
test_point_97_printable(void)
{
	char tight[6];

	CHECK_PRINTABLE("plain", "plain");
	CHECK_PRINTABLE("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
	    "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	CHECK_PRINTABLE("a\033[2Jb\n", "a\\x1b[2Jb\\x0a");
	CHECK_PRINTABLE("\x7f\xc2\x9b", "\\x7f\\xc2\\x9b");
	CHECK_PRINTABLE("\xff\xc0\x80", "\\xff\\xc0\\x80");
	CHECK_PRINTABLE("\xe2\x82", "\\xe2\\x82");
	CHECK_PRINTABLE("\xed\xa0\x80", "\\xed\\xa0\\x80");
	CHECK_PRINTABLE("\xe2\x80\xae", "\\xe2\\x80\\xae");
	CHECK_PRINTABLE("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
	nbc_printable(tight, sizeof tight, (struct nbe_text){ "abc\001", 4 });
	CHECK(strcmp(tight, "abc") == 0);
}

static const struct test tests[] = {
	{ "point_103_104_good_operands", test_point_103_104_good_operands },
	{ "point_104_105_bad_operands", test_point_104_105_bad_operands },
	{ "point_105_tls_parameters", test_point_105_tls_parameters },
	{ "relative_socket_is_made_absolute", test_relative_socket_is_made_absolute },
	{ "point_1_name_too_long", test_point_1_name_too_long },
	{ "print_whole", test_print_whole },
	{ "print_into_little_room", test_print_into_little_room },
	{ "point_97_printable", test_point_97_printable },
};

int
main(void)
{
	return TEST_MAIN(tests);
}
