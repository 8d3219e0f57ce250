/*
 * options_test.c - what the user may type: values, command lines, files; and JSON.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_text.h"
#include "json.h"
#include "options.h"
#include "record.h"
#include "test.h"
#include "values.h"

/* The names are all that options.c takes of them. */
const struct verb verb_table[VERBS] = {
	[VERB_CONNECT] = { "connect", NULL, "", 0, 0, "" },
	[VERB_SCALE] = { "scale", NULL, "", 0, 0, "" },
	[VERB_DISCONNECT] = { "disconnect", NULL, "", 0, 0, "" },
	[VERB_LIST] = { "list", NULL, "", 0, 0, "" },
};

/* ---- values ------------------------------------------------------------------ */

static void
test_times(void)
{
	static const struct {
		const char *text;
		nbe_time ns;
	} good[] = {
		{ "0", 0 }, { "10", 10 * NBE_SECOND }, { "10s", 10 * NBE_SECOND },
		{ "500ms", NBE_SECOND / 2 }, { "2m", 120 * NBE_SECOND },
		{ "1h", 3600 * NBE_SECOND }, { "never", NBE_NEVER },
		{ "18446744073s", UINT64_C(18446744073) * NBE_SECOND },
	};
	static const char *const bad[] = {
		"", "s", "-1", "+1", " 1", "1 ", "1.5", "10x", "10 s", "1sm", "Never",
		"18446744074", "99999999999999999999", "0x10", "never1",
	};
	nbe_time ns;

	for (size_t i = 0; i < COUNT_OF(good); i++) {
		ns = 77;
		CHECK(value_time(good[i].text, &ns) && ns == good[i].ns);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		ns = 77;
		CHECK(!value_time(bad[i], &ns) && ns == 77);
	}
}

static void
test_sizes(void)
{
	static const char *const bad[] = {
		"", "K", "-1", "1k", "1KB", "1.5M", "16777216T", "18446744073709551616",
	};
	uint64_t n = 0;

	CHECK(value_size("4096", &n) && n == 4096);
	CHECK(value_size("64K", &n) && n == 65536);
	CHECK(value_size("64M", &n) && n == 67108864);
	CHECK(value_size("1G", &n) && n == 1073741824);
	CHECK(value_size("16777215T", &n) && n == UINT64_C(16777215) << 40);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		CHECK(!value_size(bad[i], &n));
	CHECK(n == UINT64_C(16777215) << 40);
}

static void
test_counts(void)
{
	unsigned n = 7;

	CHECK(value_count("1", 1, 32, &n) && n == 1);
	CHECK(value_count("32", 1, 32, &n) && n == 32);
	CHECK(!value_count("0", 1, 32, &n) && !value_count("33", 1, 32, &n));
	CHECK(!value_count("", 0, 32, &n) && !value_count("4294967297", 0, 32, &n));
	CHECK(!value_count("3x", 1, 32, &n) && !value_count("-1", 0, 32, &n));
	CHECK(n == 32);
}

#define A_16	"1234567890-bcde."
#define A_64	A_16 A_16 A_16 A_16

static void
test_names(void)
{
	static const char *const bad[] = {
		"", ".", "..", ".new-1", "-x", "a/b", "a b", "_x", "\xc3\xa4",
		A_64 "5",
	};

	CHECK(value_device_name("nbd0") && value_device_name("my-disk_1.a"));
	CHECK(value_device_name(A_64));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		CHECK(!value_device_name(bad[i]));
}

/* ---- command lines ----------------------------------------------------------- */

#define WORDS_MAX	24

struct line {
	struct options	o;
	struct errtext	err;
	char		text[256];
	char		*word[WORDS_MAX + 1];
};

/* words: with one space between them. */
static bool
parse(struct line *l, enum verb_id verb, const char *words)
{
	char *rest = l->text, *word;
	int count = 0;

	memset(l, 0, sizeof(*l));
	snprintf(l->text, sizeof(l->text), "%s", words);
	while (count < WORDS_MAX && (word = strsep(&rest, " ")) != NULL)
		if (word[0] != '\0')
			l->word[count++] = word;
	options_init(&l->o);
	return options_parse(&l->o, verb, count, l->word, &l->err);
}

static void
test_forms(void)
{
	struct line l;

	CHECK(parse(&l, VERB_CONNECT, "-c 3 host") && l.o.connections == 3);
	CHECK(parse(&l, VERB_CONNECT, "-c3 host") && l.o.connections == 3);
	CHECK(parse(&l, VERB_CONNECT, "host --connections 3") && l.o.connections == 3);
	CHECK(parse(&l, VERB_CONNECT, "--connections=3 host") && l.o.connections == 3);
	CHECK(l.o.operands == 1 && strcmp(l.o.operand[0], "host") == 0);
	CHECK(parse(&l, VERB_CONNECT, "--name= host") && l.o.export_name[0] == '\0');
	CHECK(parse(&l, VERB_CONNECT, "-- -host") && l.o.operands == 1);
	CHECK(parse(&l, VERB_LIST, "a --json b") && l.o.json && l.o.operands == 2);
	CHECK(strcmp(l.o.operand[1], "b") == 0);
	CHECK(parse(&l, VERB_LIST, "") && l.o.operands == 0);
	CHECK(parse(&l, VERB_LIST, "-") && l.o.operands == 1);
}

static void
test_defaults(void)
{
	struct line l;

	CHECK(parse(&l, VERB_CONNECT, "host"));
	CHECK(l.o.timeout == 30 * NBE_SECOND && l.o.dead_timeout == 120 * NBE_SECOND);
	CHECK(l.o.fence == 10 * NBE_SECOND && l.o.unflushed == NBE_UNFLUSHED_FAIL);
	CHECK(l.o.depth == 128 && l.o.keep_size == 64 << 20);
	CHECK(l.o.tls == TLS_UNSAID && l.o.via == ATTACH_AUTO && !l.o.read_only);
}

/* One name, two meanings, by the verb. */
static void
test_timeout_of_verbs(void)
{
	struct line l;

	CHECK(parse(&l, VERB_CONNECT, "--timeout 3 x"));
	CHECK(l.o.timeout == 3 * NBE_SECOND && l.o.wait == 30 * NBE_SECOND);
	CHECK(parse(&l, VERB_DISCONNECT, "--timeout 3 x"));
	CHECK(l.o.wait == 3 * NBE_SECOND && l.o.timeout == 30 * NBE_SECOND);
}

static void
test_words(void)
{
	struct line l;

	CHECK(parse(&l, VERB_CONNECT,
	    "--tls required --unflushed replay --via fuse x"));
	CHECK(l.o.tls == NBE_TLS_REQUIRED && l.o.unflushed == NBE_UNFLUSHED_REPLAY);
	CHECK(l.o.via == ATTACH_FUSE);
	CHECK(parse(&l, VERB_CONNECT, "--dead-timeout never --fence 0 x"));
	CHECK(l.o.dead_timeout == NBE_NEVER && l.o.fence == 0);
}

static void
test_refused(void)
{
	static const struct {
		enum verb_id verb;
		const char *words, *says;
	} bad[] = {
		{ VERB_CONNECT, "-c", "--connections needs a value: a number from 1" },
		{ VERB_CONNECT, "-c x", "--connections x: expected a number from 1" },
		{ VERB_CONNECT, "--depth 0", "--depth 0: expected a number from 1 to" },
		{ VERB_CONNECT, "--frob", "connect has no option --frob" },
		{ VERB_CONNECT, "--connection=3",
		    "connect has no option --connection" },
		{ VERB_CONNECT, "-x", "connect has no option -x" },
		{ VERB_CONNECT, "--read-only=1", "--read-only takes no value" },
		{ VERB_SCALE, "--force", "scale has no option --force" },
		{ VERB_CONNECT, "--ca=", "--ca : expected the name of a file" },
		{ VERB_CONNECT, "--unflushed=x", "expected fail, replay or ignore" },
		{ VERB_CONNECT, "--fence=never", "--fence never: expected a time" },
	};
	struct line l;

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		CHECK(!parse(&l, bad[i].verb, bad[i].words));
		CHECK(strstr(l.err.text, bad[i].says) != NULL);
	}
}

/* ---- files ------------------------------------------------------------------- */

static bool
load(struct line *l, const char *text)
{
	static char copy[512];

	snprintf(copy, sizeof(copy), "%s", text);
	return options_load(&l->o, VERB_CONNECT, "f", copy, strlen(copy), &l->err);
}

static void
test_file(void)
{
	struct line l;

	CHECK(parse(&l, VERB_CONNECT, "--config f --depth 5"));
	CHECK(load(&l, "# words\n\n uri = nbd://a/b=c \ndepth=6\nconnections =\t2\n"
	    "read-only = yes\nforeground = no"));
	CHECK(l.o.operands == 1 && strcmp(l.o.operand[0], "nbd://a/b=c") == 0);
	CHECK(l.o.depth == 5 && l.o.connections == 2);
	CHECK(l.o.read_only && !l.o.foreground);
	CHECK(parse(&l, VERB_CONNECT, "--config f mine") && load(&l, "uri = theirs"));
	CHECK(l.o.operands == 1 && strcmp(l.o.operand[0], "mine") == 0);
	CHECK(parse(&l, VERB_CONNECT, "--config f") && load(&l, "uri = a\nuri = b"));
	CHECK(l.o.operands == 2 && strcmp(l.o.operand[1], "b") == 0);
}

static void
test_file_refused(void)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "\nfrob = 1", "f:2: unknown option \"frob\"" },
		{ "depth", "f:1: \"depth\": expected name = value" },
		{ "depth = 0", "f:1: --depth 0: expected" },
		{ "read-only = 1", "f:1: read-only = 1: expected yes or no" },
		{ "config = g", "f:1: unknown option \"config\"" },
		{ "force = yes", "f:1: unknown option \"force\"" },
		{ "uri = a\nuri = b\nuri = c\nuri = d\nuri = e\nuri = f\nuri = g\n"
		    "uri = h\nuri = i", "f:9: there can be 8 servers" },
		{ "uri = a\ndepth = 1\ndepth = 1", "f:3: \"depth\" is in line 2" },
		{ "read-only = no\nread-only = yes", "f:2: \"read-only\" is in" },
		/* What the command line says as well. */
		{ "fence = 5\nfence = 6", "f:2: \"fence\" is in line 1 already" },
	};
	struct line l;

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		CHECK(parse(&l, VERB_CONNECT, "--config f --fence 4"));
		CHECK(!load(&l, bad[i].text));
		CHECK(strstr(l.err.text, bad[i].says) != NULL);
	}
}

/* What is stored of a device means the same from another directory. */
static void
test_print_from_anywhere(void)
{
	static const char *const lines[] = {
		"\nca = /proc/a\n", "\ncrl = /proc/b\n", "\ncert = /proc/c\n",
		"\nkey = /proc/../d\n", "\nkey-password-file = /e\n",
		"\npsk-file = /proc/f\n", "\nhook = /proc/g\n",
		"\nfence-command = /proc/h\n", "\nopen-timeout = 3s\n",
		"\nroot-device = yes\n", "\ntls = if-offered\n",
	};
	struct line l;
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	CHECK(parse(&l, VERB_CONNECT, "--ca a --crl b -C c -K ../d --key-password-file "
	    "/e --psk-file f --hook g --fence-command h --open-timeout 3 "
	    "--root-device --tls if-offered"));
	CHECK(chdir("/proc") == 0 && out != NULL);
	options_print(out, &l.o);
	CHECK(fclose(out) == 0);
	for (size_t i = 0; i < COUNT_OF(lines); i++)
		CHECK(strstr(text, lines[i]) != NULL ||
		    strncmp(text, lines[i] + 1, strlen(lines[i]) - 1) == 0);
	free(text);
}

static void
test_file_is_no_text(void)
{
	static char text[CONFIG_TEXT_MAX + 2];
	struct line l;

	CHECK(parse(&l, VERB_CONNECT, "--config f"));
	memcpy(text, "uri = a\n#\0\ndepth = 0", 21);
	CHECK(!options_load(&l.o, VERB_CONNECT, "f", text, 21, &l.err));
	CHECK(strstr(l.err.text, "f:2: a NUL byte") != NULL);
	memset(text, '\n', sizeof(text) - 1);
	CHECK(!options_load(&l.o, VERB_CONNECT, "f", text, sizeof(text) - 1, &l.err));
	CHECK(strstr(l.err.text, "f:65537: the file is longer than 65536") != NULL);
	text[CONFIG_TEXT_MAX] = '\0';
	CHECK(options_load(&l.o, VERB_CONNECT, "f", text, CONFIG_TEXT_MAX, &l.err));
}

/* What the help, the manual's test and the completion rely on. */
static void
test_table(void)
{
	for (unsigned i = 0; i < option_count; i++) {
		const struct option_row *a = &option_table[i];

		CHECK(a->verbs != 0 && a->help[0] != '\0' && a->set != NULL);
		CHECK((a->argument == NULL) == (a->accepts == NULL));
		for (unsigned k = i + 1; k < option_count; k++) {
			const struct option_row *b = &option_table[k];

			if ((a->verbs & b->verbs) == 0)
				continue;
			CHECK(strcmp(a->name, b->name) != 0);
			CHECK(a->letter == 0 || a->letter != b->letter);
		}
	}
}

/* ---- output ------------------------------------------------------------------ */

static void
test_json(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct json j;

	json_start(&j, out, true);
	json_open(&j, NULL, '{');
	json_text(&j, "a", "q\" b\\ n\n \x7f \xc3\xa4 \xff \xc0\x80 \xed\xa0\x80!");
	json_text(&j, "none", NULL);
	json_open(&j, "list", '[');
	json_number(&j, NULL, UINT64_MAX);
	json_bool(&j, NULL, true);
	json_open(&j, NULL, '{');
	json_close(&j, '}');
	json_close(&j, ']');
	json_close(&j, '}');
	json_finish(&j);
	fclose(out);
	CHECK(strcmp(text, "{\"a\": \"q\\\" b\\\\ n\\u000a \\u007f \xc3\xa4 \\ufffd "
	    "\\ufffd\\ufffd \\ufffd\\ufffd\\ufffd!\", \"none\": null, "
	    "\"list\": [18446744073709551615, true, {}]}\n") == 0);
	free(text);
}

static void
test_human(void)
{
	char buf[16];

	CHECK(strcmp(human_size(buf, sizeof(buf), 0), "0B") == 0);
	CHECK(strcmp(human_size(buf, sizeof(buf), 1023), "1023B") == 0);
	CHECK(strcmp(human_size(buf, sizeof(buf), 4294967296), "4.0G") == 0);
	CHECK(strcmp(human_size(buf, sizeof(buf), UINT64_MAX), "16E") == 0);
	CHECK(strcmp(human_ns(buf, sizeof(buf), 0), "-") == 0);
	CHECK(strcmp(human_ns(buf, sizeof(buf), 1500), "1.5us") == 0);
	CHECK(strcmp(human_ns(buf, sizeof(buf), 2500000), "2.50ms") == 0);
	CHECK(strcmp(human_ns(buf, sizeof(buf), 3 * NBE_SECOND), "3.00s") == 0);
}

int
main(void)
{
	static const struct test tests[] = {
		{ "times", test_times },
		{ "sizes", test_sizes },
		{ "counts", test_counts },
		{ "device names", test_names },
		{ "forms of options", test_forms },
		{ "defaults", test_defaults },
		{ "timeout of each verb", test_timeout_of_verbs },
		{ "words", test_words },
		{ "what is refused", test_refused },
		{ "configuration file", test_file },
		{ "configuration file: what is refused", test_file_refused },
		{ "configuration file: what is no text", test_file_is_no_text },
		{ "configuration file: from anywhere", test_print_from_anywhere },
		{ "the table", test_table },
		{ "JSON", test_json },
		{ "sizes and times for people", test_human },
	};

	return TEST_MAIN(tests);
}
