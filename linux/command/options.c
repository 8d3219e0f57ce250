/*
 * options.c - the options of all verbs, from one table.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config_text.h"
#include "os.h"
#include "values.h"

#define DEPTH_DEFAULT	128
#define KEEP_SIZE_DEFAULT (UINT64_C(64) << 20)
#define KEEP_SIZE_MIN	(UINT64_C(1) << 20)
#define KEEP_SIZE_MAX	(UINT64_C(64) << 30)
#define SECTOR_MIN	512
#define SECTOR_MAX	4096
#define DISCARD_MIN	(UINT64_C(1) << 20)

/* ---- values ------------------------------------------------------------------ */

static bool
set_text(void *field, const char *value)
{
	*(const char **)field = value;
	return true;
}

static bool
set_something(void *field, const char *value)
{
	return value[0] != '\0' && set_text(field, value);
}

static bool
set_device(void *field, const char *value)
{
	return value_device_name(value) && set_text(field, value);
}

static bool
set_flag(void *field, const char *value)
{
	(void)value;
	*(bool *)field = true;
	return true;
}

static bool
set_connections(void *field, const char *value)
{
	return value_count(value, 1, NBE_MAX_CONNS, field);
}

static bool
set_depth(void *field, const char *value)
{
	return value_count(value, 1, NBE_MAX_DEPTH, field);
}

static bool
set_sector_size(void *field, const char *value)
{
	unsigned n;

	if (!value_count(value, SECTOR_MIN, SECTOR_MAX, &n) || (n & (n - 1)) != 0)
		return false;
	*(unsigned *)field = n;
	return true;
}

static bool
set_rounds(void *field, const char *value)
{
	return value_count(value, 1, 1000000, field);
}

static bool
set_time(void *field, const char *value)
{
	nbe_time ns;

	if (!value_time(value, &ns) || ns == NBE_NEVER)
		return false;
	*(nbe_time *)field = ns;
	return true;
}

static bool
set_time_or_never(void *field, const char *value)
{
	return value_time(value, field);
}

static bool
set_some_time(void *field, const char *value)
{
	nbe_time ns;

	if (!value_time(value, &ns) || ns == 0)
		return false;
	*(nbe_time *)field = ns;
	return true;
}

static bool
set_keep_size(void *field, const char *value)
{
	uint64_t n;

	if (!value_size(value, &n) || n < KEEP_SIZE_MIN || n > KEEP_SIZE_MAX)
		return false;
	*(uint64_t *)field = n;
	return true;
}

static bool
set_discard_max(void *field, const char *value)
{
	uint64_t n;

	if (!value_size(value, &n) || n < DISCARD_MIN)
		return false;
	*(uint64_t *)field = n;
	return true;
}

static bool
set_word(int *field, const char *value, const char *const words[])
{
	for (int i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], value) != 0)
			continue;
		*field = i;
		return true;
	}
	return false;
}

const char *const tls_words[] = {
	[NBE_TLS_OFF] = "off", [NBE_TLS_IF_OFFERED] = "if-offered",
	[NBE_TLS_REQUIRED] = "required", NULL,
};

const char *const unflushed_words[] = {
	[NBE_UNFLUSHED_FAIL] = "fail", [NBE_UNFLUSHED_REPLAY] = "replay",
	[NBE_UNFLUSHED_IGNORE] = "ignore", NULL,
};

const char *const fence_words[] = {
	[NBE_FENCE_TIME] = "time", [NBE_FENCE_COMMAND] = "command",
	[NBE_FENCE_STORE] = "store", NULL,
};

const char *const wait_words[] = { "up", "down", "gone", "size", "moved", NULL };

static bool
set_tls(void *field, const char *value)
{
	return set_word(field, value, tls_words);
}

static bool
set_unflushed(void *field, const char *value)
{
	return set_word(field, value, unflushed_words);
}

static bool
set_fence_by(void *field, const char *value)
{
	return set_word(field, value, fence_words);
}

static bool
set_via(void *field, const char *value)
{
	return set_word(field, value, attach_names);
}

static bool
set_wait_for(void *field, const char *value)
{
	return set_word(field, value, wait_words);
}

/* ---- values as text ---------------------------------------------------------- */

static void
print_text(FILE *out, const char *name, const void *field)
{
	const char *text = *(const char *const *)field;

	if (text != NULL)
		fprintf(out, "%s = %s\n", name, text);
}

/* Who reads it may stand elsewhere. */
static void
print_path(FILE *out, const char *name, const void *field)
{
	const char *path = *(const char *const *)field;
	char *whole = path != NULL ? nbc_os_absolute(path) : NULL;

	if (whole != NULL)
		fprintf(out, "%s = %s\n", name, whole);
	free(whole);
}

static void
print_flag(FILE *out, const char *name, const void *field)
{
	fprintf(out, "%s = %s\n", name, *(const bool *)field ? "yes" : "no");
}

static void
print_count(FILE *out, const char *name, const void *field)
{
	unsigned n = *(const unsigned *)field;

	/* Not said is one, of connections. */
	fprintf(out, "%s = %u\n", name, n == 0 ? 1 : n);
}

static void
print_sector_size(FILE *out, const char *name, const void *field)
{
	if (*(const unsigned *)field != 0)
		fprintf(out, "%s = %u\n", name, *(const unsigned *)field);
}

static void
print_time(FILE *out, const char *name, const void *field)
{
	nbe_time ns = *(const nbe_time *)field;

	if (ns == NBE_NEVER)
		fprintf(out, "%s = never\n", name);
	else if (ns % NBE_SECOND == 0)
		fprintf(out, "%s = %" PRIu64 "s\n", name, ns / NBE_SECOND);
	else
		fprintf(out, "%s = %" PRIu64 "ms\n", name, ns / (NBE_SECOND / 1000));
}

static void
print_size(FILE *out, const char *name, const void *field)
{
	uint64_t n = *(const uint64_t *)field;

	if (n != UINT64_MAX)
		fprintf(out, "%s = %" PRIu64 "\n", name, n);
}

static void
print_unflushed(FILE *out, const char *name, const void *field)
{
	fprintf(out, "%s = %s\n", name, unflushed_words[*(const int *)field]);
}

static void
print_fence_by(FILE *out, const char *name, const void *field)
{
	int by = *(const int *)field;

	if (by != FENCE_UNSAID)
		fprintf(out, "%s = %s\n", name, fence_words[by]);
}

/* Whether it is required each URI says for itself. */
static void
print_tls(FILE *out, const char *name, const void *field)
{
	if (*(const int *)field == NBE_TLS_IF_OFFERED)
		fprintf(out, "%s = %s\n", name, tls_words[NBE_TLS_IF_OFFERED]);
}

static void
print_via(FILE *out, const char *name, const void *field)
{
	fprintf(out, "%s = %s\n", name, attach_names[*(const int *)field]);
}

/* ---- the table --------------------------------------------------------------- */

#define V(verb)		(1u << VERB_##verb)
#define SERVER		(V(CONNECT) | V(INFO) | V(EXPORTS))
#define PRINTS		(SERVER | V(LIST) | V(STATUS) | V(SHOW) | V(STATS) | V(TOP) | \
			    V(WAIT) | V(RECOVER) | V(HELP) | V(VERSION))
#define ALL		((1u << VERBS) - 1)
#define AT(member)	offsetof(struct options, member)

static const char a_time[] = "a time such as 10, 500ms or 2m";
static const char a_time_or_never[] = "a time such as 10, 500ms or 2m, or never";
static const char some_time[] = "a time above 0 such as 10, 500ms or 2m, or never";
static const char a_file[] = "the name of a file";

const struct option_row option_table[] = {
	{ 'c', "connections", "N", AT(connections), set_connections,
	    "a number from 1 to 32", V(CONNECT) | V(SCALE),
	    "how many connections (1; more if the server can)",
	    print_count },
	{ 'n', "name", "EXPORT", AT(export_name), set_text, "a name",
	    V(CONNECT) | V(INFO), "name of the export (the default export)", NULL },
	{ 'p', "port", "PORT", AT(port), set_something, "a number or service name",
	    SERVER, "port of the server (10809)", NULL },
	{ 'A', "ca", "FILE", AT(ca_file), set_something, a_file, SERVER,
	    "who may sign the server's certificate (the system's roots)",
	    print_path },
	{ 0, "crl", "FILE", AT(crl_file), set_something, a_file, SERVER,
	    "revocation lists of all who sign; read again when connecting (none)",
	    print_path },
	{ 'C', "cert", "FILE", AT(cert_file), set_something, a_file, SERVER,
	    "certificate of this client",
	    print_path },
	{ 'K', "key", "FILE", AT(key_file), set_something, a_file, SERVER,
	    "private key of this client",
	    print_path },
	{ 0, "key-password-file", "FILE", AT(key_password_file), set_something,
	    a_file, SERVER, "holds the password of the key (asked for)",
	    print_path },
	{ 0, "tls", "WHEN", AT(tls), set_tls, "off, if-offered or required", SERVER,
	    "TLS: off, if-offered, required (off; with TLS files: required)",
	    print_tls },
	{ 0, "tls-hostname", "NAME", AT(tls_hostname), set_something, "a host name",
	    SERVER, "what the server's certificate must name (the host)",
	    print_text },
	{ 0, "psk-file", "FILE", AT(psk_file), set_something, a_file, SERVER,
	    "TLS with pre-shared keys: lines of user:hex",
	    print_path },
	{ 0, "psk-user", "USER", AT(psk_user), set_something, "a user name", SERVER,
	    "whose key of the file (the first one)", NULL },
	{ 0, "open-timeout", "TIME", AT(open_timeout), set_some_time, some_time,
	    SERVER, "one attempt to connect may take so long (10s)",
	    print_time },
	{ 0, "retry", "TIME", AT(retry), set_time_or_never, a_time_or_never, SERVER,
	    "try again for so long when the server is not there (0)", NULL },
	{ 0, "read-only", NULL, AT(read_only), set_flag, NULL, V(CONNECT),
	    "never write",
	    print_flag },
	{ 0, "timeout", "TIME", AT(timeout), set_some_time, some_time, V(CONNECT),
	    "give a connection up when an answer takes so long (30s)",
	    print_time },
	{ 0, "dead-timeout", "TIME", AT(dead_timeout), set_time_or_never,
	    a_time_or_never, V(CONNECT),
	    "fail requests when no server is there for so long (2m)",
	    print_time },
	{ 0, "fence", "TIME", AT(fence), set_time, a_time, V(CONNECT),
	    "how long a lost write may still reach the disk (10s)",
	    print_time },
	{ 0, "fence-by", "WHAT", AT(fence_by), set_fence_by,
	    "time, command or store", V(CONNECT),
	    "what keeps a server that was left from writing (time)",
	    print_fence_by },
	{ 0, "fence-command", "PROGRAM", AT(fence_command), set_something,
	    "the name of a program", V(CONNECT),
	    "ends a server that was left; 0 when it writes no more",
	    print_path },
	{ 0, "path-timeout", "TIME", AT(path_timeout), set_time, a_time, V(CONNECT),
	    "go to the next server when one is away for so long (10s)",
	    print_time },
	{ 0, "failback", "TIME", AT(failback), set_some_time, some_time, V(CONNECT),
	    "go back to the first server after so long (never)",
	    print_time },
	{ 0, "shared", NULL, AT(shared), set_flag, NULL, V(CONNECT),
	    "others write, too: do not compare what is on a server",
	    print_flag },
	{ 0, "unflushed", "POLICY", AT(unflushed), set_unflushed,
	    "fail, replay or ignore", V(CONNECT),
	    "after a restart of the server: fail, replay, ignore (fail)",
	    print_unflushed },
	{ 0, "keep-size", "SIZE", AT(keep_size), set_keep_size,
	    "a size from 1M to 64G", V(CONNECT),
	    "memory for unflushed writes with replay (64M)",
	    print_size },
	{ 0, "no-discard", NULL, AT(no_discard), set_flag, NULL, V(CONNECT),
	    "offer no discards (what a server does slowly)",
	    print_flag },
	{ 0, "discard-max", "SIZE", AT(discard_max), set_discard_max,
	    "a size of 1M at least", V(CONNECT),
	    "discard at most so much at a time (4G)",
	    print_size },
	{ 0, "depth", "N", AT(depth), set_depth, "a number from 1 to 1024",
	    V(CONNECT), "commands under way per connection (128)",
	    print_count },
	{ 0, "sector-size", "N", AT(sector_size), set_sector_size,
	    "512, 1024, 2048 or 4096", V(CONNECT),
	    "of the block device (the server's least block)", print_sector_size },
	{ 0, "via", "WAY", AT(via), set_via, "auto, fuse or ublk", V(CONNECT),
	    "how to attach: auto, fuse, ublk (auto)",
	    print_via },
	{ 0, "device", "NAME", AT(device), set_device,
	    "up to 64 letters, digits and ._- that begin with a letter or digit",
	    V(CONNECT), "name of the device (lowest free of nbd0, nbd1, ...)", NULL },
	{ 0, "hook", "PROGRAM", AT(hook), set_something, "the name of a program",
	    V(CONNECT), "run: up, lost, back, dead, resized, moved; and the name",
	    print_path },
	{ 0, "config", "FILE", AT(config_file), set_something, a_file, V(CONNECT),
	    "read the server and options from nbdisk.conf(5)", NULL },
	{ 0, "quiet", NULL, AT(quiet), set_flag, NULL, V(CONNECT),
	    "no hints", NULL },
	{ 0, "foreground", NULL, AT(foreground), set_flag, NULL,
	    V(CONNECT) | V(RECOVER),
	    "stay, log to stderr, tell systemd when ready", NULL },
	{ 0, "root-device", NULL, AT(root_device), set_flag, NULL, V(CONNECT),
	    "what turns the machine off ends it last: / is on it",
	    print_flag },
	{ 0, "timeout", "TIME", AT(wait), set_some_time, some_time,
	    V(DISCONNECT) | V(SCALE) | V(RECONNECT) | V(MOVE) | V(UPGRADE) |
	    V(WAIT),
	    "wait so long (30s)",
	    NULL },
	{ 0, "force", NULL, AT(force), set_flag, NULL, V(DISCONNECT),
	    "fail what is under way, even where the device is in use", NULL },
	{ 0, "if-exists", NULL, AT(if_exists), set_flag, NULL, V(DISCONNECT),
	    "what is not there is done already", NULL },
	{ 0, "for", "WHAT", AT(wait_for), set_wait_for, "up, down, gone, size or moved",
	    V(WAIT), "up, down, gone, size or moved", NULL },
	{ 0, "check", NULL, AT(check), set_flag, NULL, V(STATUS),
	    "exit with 3 when a device is down", NULL },
	{ 0, "rounds", "N", AT(rounds), set_rounds, "a number from 1 to 1000000",
	    V(TOP), "end after so many seconds", NULL },
	{ 0, "json", NULL, AT(json), set_flag, NULL, PRINTS, "print JSON", NULL },
	{ 'h', "help", NULL, AT(help), set_flag, NULL, ALL, "explain the verb", NULL },
};
const unsigned option_count = sizeof(option_table) / sizeof(option_table[0]);
_Static_assert(sizeof(option_table) / sizeof(option_table[0]) <= 64, "given");

void
options_init(struct options *o)
{
	*o = (struct options){
		.depth = DEPTH_DEFAULT, .keep_size = KEEP_SIZE_DEFAULT,
		.discard_max = UINT64_MAX,
		.timeout = 30 * NBE_SECOND, .dead_timeout = 120 * NBE_SECOND,
		.fence = 10 * NBE_SECOND, .open_timeout = 10 * NBE_SECOND,
		.wait = 30 * NBE_SECOND, .tls = TLS_UNSAID,
		.unflushed = NBE_UNFLUSHED_FAIL, .via = ATTACH_AUTO,
		.wait_for = WAIT_UNSAID, .fence_by = FENCE_UNSAID,
		.path_timeout = 10 * NBE_SECOND, .failback = NBE_NEVER,
	};
}

void
options_print(FILE *out, const struct options *o)
{
	for (unsigned i = 0; i < option_count; i++) {
		const struct option_row *row = &option_table[i];

		if (row->print != NULL && option_belongs(row, VERB_CONNECT))
			row->print(out, row->name, (const char *)o + row->field);
	}
}

bool
options_fence_ok(const struct options *o, struct errtext *err)
{
	bool by_command = o->fence_by == NBE_FENCE_COMMAND;

	if (by_command && o->fence_command == NULL)
		return errtext_set(err,
		    "--fence-by command: --fence-command is missing");
	return o->fence_command == NULL || by_command || o->fence_by == FENCE_UNSAID ||
	    errtext_set(err, "--fence-command: --fence-by says %s",
	    fence_words[o->fence_by]);
}

/* ---- the command line -------------------------------------------------------- */

/* name_len: it ends at a '=' perhaps. */
static const struct option_row *
find_name(enum verb_id verb, const char *name, size_t name_len)
{
	for (unsigned i = 0; i < option_count; i++) {
		const struct option_row *row = &option_table[i];

		if (option_belongs(row, verb) && strlen(row->name) == name_len &&
		    memcmp(row->name, name, name_len) == 0)
			return row;
	}
	return NULL;
}

static const struct option_row *
find_letter(enum verb_id verb, char letter)
{
	for (unsigned i = 0; i < option_count; i++)
		if (option_belongs(&option_table[i], verb) &&
		    option_table[i].letter == letter)
			return &option_table[i];
	return NULL;
}

static bool
set(struct options *o, const struct option_row *row, const char *value,
    struct errtext *err)
{
	if (!row->set((char *)o + row->field, value))
		return errtext_set(err, "--%s %s: expected %s", row->name, value,
		    row->accepts);
	o->given |= UINT64_C(1) << (row - option_table);
	return true;
}

/* value: what came in the same word, or NULL; then the next word is taken. */
static bool
take(struct options *o, const struct option_row *row, const char *value,
    char ***next, struct errtext *err)
{
	if (row->argument == NULL && value != NULL)
		return errtext_set(err, "--%s takes no value", row->name);
	if (row->argument != NULL && value == NULL) {
		value = **next;
		if (value == NULL)
			return errtext_set(err, "--%s needs a value: %s", row->name,
			    row->accepts);
		(*next)++;
	}
	return set(o, row, value, err);
}

static bool
take_long(struct options *o, enum verb_id verb, const char *word, char ***next,
    struct errtext *err)
{
	size_t len = strcspn(word, "=");
	const struct option_row *row = find_name(verb, word, len);

	if (row == NULL)
		return errtext_set(err, "%s has no option --%.*s",
		    verb_table[verb].name, (int)len, word);
	return take(o, row, word[len] == '=' ? word + len + 1 : NULL, next, err);
}

static bool
take_letters(struct options *o, enum verb_id verb, const char *letters,
    char ***next, struct errtext *err)
{
	for (; *letters != '\0'; letters++) {
		const struct option_row *row = find_letter(verb, *letters);

		if (row == NULL)
			return errtext_set(err, "%s has no option -%c",
			    verb_table[verb].name, *letters);
		if (row->argument != NULL)
			return take(o, row, letters[1] != '\0' ? letters + 1 : NULL,
			    next, err);
		if (!take(o, row, NULL, next, err))
			return false;
	}
	return true;
}

bool
options_parse(struct options *o, enum verb_id verb, int argc, char **argv,
    struct errtext *err)
{
	char **next = argv, **end = argv + argc;
	bool only_operands = false;

	o->operand = argv;
	while (next < end) {
		char *word = *next++;
		bool ok = true;

		if (only_operands || word[0] != '-' || word[1] == '\0')
			argv[o->operands++] = word;
		else if (strcmp(word, "--") == 0)
			only_operands = true;
		else if (word[1] == '-')
			ok = take_long(o, verb, word + 2, &next, err);
		else
			ok = take_letters(o, verb, word + 1, &next, err);
		if (!ok)
			return false;
	}
	return true;
}

/* ---- the configuration file -------------------------------------------------- */

/* One file: where it has said what, for what is said twice. */
struct loading {
	struct options	*options;
	enum verb_id	verb;
	uint64_t	given;		/* on the command line */
	unsigned	uris, row_line[64];		/* 0: not yet */
};

/* The servers of one disk, by order; those of the command line, if there are any. */
static bool
load_uri(struct loading *l, char *value, struct errtext *err)
{
	struct options *o = l->options;

	if (l->uris == NBE_MAX_PATHS)
		return errtext_set(err, "there can be %u servers, not more",
		    NBE_MAX_PATHS);
	for (unsigned i = 0; i < l->uris; i++)
		if (strcmp(o->uri[i], value) == 0)
			return errtext_set(err, "\"%s\" is there twice; say it once",
			    value);
	o->uri[l->uris++] = value;
	if (o->operands != 0 && o->operand != o->uri)
		return true;
	o->operand = o->uri;
	o->operands = l->uris;
	return true;
}

static bool
load_flag(struct options *o, const struct option_row *row, const char *value,
    struct errtext *err)
{
	if (strcmp(value, "no") == 0)
		return true;
	if (strcmp(value, "yes") != 0)
		return errtext_set(err, "%s = %s: expected yes or no", row->name,
		    value);
	return set(o, row, value, err);
}

static bool
load_option(struct loading *l, unsigned line, const char *name, const char *value,
    struct errtext *err)
{
	const struct option_row *row = find_name(l->verb, name, strlen(name));
	size_t number = (size_t)(row - option_table);

	if (row == NULL || row->field == AT(config_file) || row->field == AT(help))
		return errtext_set(err, "unknown option \"%s\"", name);
	if (!config_once(&l->row_line[number], line, name, err))
		return false;
	if ((l->given >> number & 1) != 0)
		return true;
	return row->argument == NULL ? load_flag(l->options, row, value, err) :
	    set(l->options, row, value, err);
}

static bool
load(void *arg, unsigned line, const char *name, char *value, struct errtext *err)
{
	if (strcmp(name, "uri") == 0)
		return load_uri(arg, value, err);
	return load_option(arg, line, name, value, err);
}

bool
options_load(struct options *o, enum verb_id verb, const char *path, char *text,
    size_t len, struct errtext *err)
{
	struct loading l = { .options = o, .verb = verb, .given = o->given };

	return config_text_load(path, text, len, load, &l, err);
}
