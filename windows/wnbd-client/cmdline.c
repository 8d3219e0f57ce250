/*
 * cmdline.c - the command line, read by two tables.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "cmdline.h"

#include <windows.h>
#include <stddef.h>
#include <string.h>

#include "values.h"
#include "wnbd_servers.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define INSTANCE "instance-name"
#define OPTION "name"

const struct command command_table[COMMANDS] = {
	[CMD_VERSION] = { "version", { "-v" }, { 0 }, 0,
	    "Print the versions of the client, the library and the driver." },
	[CMD_HELP] = { "help", { "-h", "--help" }, { "command-name" }, 0,
	    "List the commands, or describe one of them." },
	[CMD_LIST] = { "list", { "ls" }, { 0 }, 0, "List the mapped disks." },
	[CMD_SHOW] = { "show", { 0 }, { INSTANCE }, 1,
	    "Print all that is known about a mapped disk." },
	[CMD_MAP] = { "map", { 0 }, { INSTANCE, "hostname" }, 2,
	    "Map an export of an NBD server as a disk. The host is a name, an "
	    "address or an NBD URI; up to eight names or addresses, separated by "
	    "commas, are servers of one disk, of which one is used and the others "
	    "stand by. The driver is the NBD client, and the disk stays "
	    "when this command returns; with TLS or --user-space this command is the "
	    "client, and stays until the disk is removed or Ctrl-C is typed." },
	[CMD_UNMAP] = { "unmap", { "rm" }, { INSTANCE }, 1,
	    "Remove a mapped disk. Whoever uses the disk is asked first (soft "
	    "disconnect); when that fails, it is removed anyway (hard disconnect)." },
	[CMD_STATS] = { "stats", { 0 }, { INSTANCE }, 1,
	    "Print the I/O counters that the driver keeps for a disk." },
	[CMD_LIST_OPT] = { "list-opt", { 0 }, { 0 }, 0, "List the driver's options." },
	[CMD_GET_OPT] = { "get-opt", { 0 }, { OPTION }, 1, "Print a driver option." },
	[CMD_SET_OPT] = { "set-opt", { 0 }, { OPTION, "value" }, 2,
	    "Set a driver option." },
	[CMD_RESET_OPT] = { "reset-opt", { 0 }, { OPTION }, 1,
	    "Give a driver option its default value again." },
	[CMD_INSTALL] = { "install-driver", { 0 }, { "filename" }, 1,
	    "Install the driver, or another version of it, by its INF file." },
	[CMD_UNINSTALL] = { "uninstall-driver", { 0 }, { 0 }, 0,
	    "Remove all disks (hard), the adapters, and every installed package of "
	    "the driver." },
	[CMD_RESET_ADAPTER] = { "reset-adapter", { 0 }, { 0 }, 0,
	    "Restart the adapter, so that options which are read at its start take "
	    "effect. Disks must be removed before." },
};

/* ---- values -------------------------------------------------------------- */

static bool
set_flag(void *field, const char *value)
{
	(void)value;
	*(bool *)field = true;
	return true;
}

static bool
set_text(void *field, const char *value)
{
	*(const char **)field = value;
	return value[0] != '\0';
}

/* May be empty: the default export. */
static bool
set_export(void *field, const char *value)
{
	*(const char **)field = value;
	return true;
}

static bool
set_number(void *field, const char *value)
{
	return value_count(value, 0, 1000000, field);
}

static bool
set_port(void *field, const char *value)
{
	return value_count(value, 1, 65535, field);
}

static bool
set_block_size(void *field, const char *value)
{
	return value_count(value, 512, 4096, field);
}

static bool
set_connections(void *field, const char *value)
{
	return value_count(value, 1, NBE_MAX_CONNS, field);
}

static bool
set_seconds(void *field, const char *value)
{
	return value_count(value, 1, 1000000, field);
}

static bool
set_size(void *field, const char *value)
{
	uint64_t *size = field;

	return value_size(value, size) && *size != 0 && *size <= INT64_MAX;
}

static bool
set_tls(void *field, const char *value)
{
	static const char *const words[] = {
		[TLS_OFF] = "off", [TLS_IF_OFFERED] = "if-offered",
		[TLS_REQUIRED] = "required",
	};

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (strcmp(value, words[i]) == 0) {
			*(struct tls_choice *)field = (struct tls_choice){
				(enum tls_when)i, true };
			return true;
		}
	return false;
}

static bool
set_fence_by(void *field, const char *value)
{
	bool store = strcmp(value, "store") == 0;

	*(enum fence_by *)field = store ? FENCE_BY_STORE : FENCE_BY_TIME;
	return store || strcmp(value, "time") == 0;
}

/* ---- options ------------------------------------------------------------- */

#define AT(field) offsetof(struct arguments, field)
#define C(command) (1u << CMD_##command)
#define ALL ((1u << COMMANDS) - 1)
#define JSON (C(VERSION) | C(LIST) | C(SHOW) | C(STATS) | C(LIST_OPT) | C(GET_OPT))
#define OPTS (C(LIST_OPT) | C(GET_OPT) | C(SET_OPT) | C(RESET_OPT))

static const struct option {
	const char *name;
	bool	(*set)(void *field, const char *value);
	size_t	at;
	unsigned commands;
	bool	takes_value, common;
	const char *about;
	const char *wanted;		/* a value that it takes, for the error */
} options[] = {
	{ "debug", set_flag, AT(debug), ALL, false, true,
	    "Say what is done, and why something fails.", NULL },
	{ "json", set_flag, AT(json), JSON, false, false, "Print JSON.", NULL },
	{ "port", set_port, AT(port), C(MAP), true, false,
	    "Port of the server. Default: 10809.", "a number from 1 to 65535" },
	{ "export-name", set_export, AT(export_name), C(MAP), true, false,
	    "Name of the export. Default: the instance name.", NULL },
	{ "skip-handshake", set_flag, AT(skip_handshake), C(MAP), false, false,
	    "Do not negotiate. Needs --disk-size and --block-size.", NULL },
	{ "disk-size", set_size, AT(disk_size), C(MAP), true, false,
	    "Size of the disk in bytes; K, M, G and T may follow. Default: what the "
	    "server says.", "a size" },
	{ "block-size", set_block_size, AT(block_size), C(MAP), true, false,
	    "Size of a sector, 512 or 4096. Default: 512, if the server can.",
	    "512 or 4096" },
	{ "read-only", set_flag, AT(read_only), C(MAP), false, false,
	    "Let nobody write.", NULL },
	{ "user-space", set_flag, AT(user_space), C(MAP), false, false,
	    "Be the NBD client in this process.", NULL },
	{ "tls", set_tls, AT(tls), C(MAP), true, false,
	    "When to use TLS: off, if-offered or required. Default: off; required "
	    "with TLS files or an nbds URI.", "off, if-offered or required" },
	{ "ca", set_text, AT(ca_file), C(MAP), true, false,
	    "PEM file: who may sign the server's certificate. Default: the roots of "
	    "this machine.", "a file" },
	{ "cert", set_text, AT(cert_file), C(MAP), true, false,
	    "PEM file: certificate of this client.", "a file" },
	{ "key", set_text, AT(key_file), C(MAP), true, false,
	    "PEM file: private key of this client.", "a file" },
	{ "key-password-file", set_text, AT(key_password_file), C(MAP), true, false,
	    "File whose first line is the password of the private key.", "a file" },
	{ "tls-hostname", set_text, AT(tls_hostname), C(MAP), true, false,
	    "What the server's certificate must name. Default: the host.",
	    "a host name" },
	{ "connections", set_connections, AT(connections), C(MAP), true, false,
	    "How many connections, 1 to 32, if the server can. Default: 1.",
	    "a number from 1 to 32" },
	{ "timeout", set_seconds, AT(timeout_s), C(MAP), true, false,
	    "Give a connection up when an answer takes so many seconds. Default: 30.",
	    "seconds" },
	{ "dead-timeout", set_seconds, AT(dead_timeout_s), C(MAP), true, false,
	    "Fail requests when no server is there for so many seconds. Default: "
	    "120.", "seconds" },
	{ "path-timeout", set_seconds, AT(path_timeout_s), C(MAP), true, false,
	    "Of several servers, go to the next one when the present one has had no "
	    "connection for so many seconds. Default: 10.", "seconds" },
	{ "fence-by", set_fence_by, AT(fence_by), C(MAP), true, false,
	    "Of several servers, what keeps the one that was left from writing "
	    "later: time (the first changes on the next one wait) or store (it lets "
	    "only one of them write). Default: time.",
	    "time or store; on Windows no command is run" },
	{ "fence", set_seconds, AT(fence_s), C(MAP), true, false,
	    "How many seconds a lost write may still land, once a server answers "
	    "again. Default: 10.", "seconds" },
	{ "failback", set_seconds, AT(failback_s), C(MAP), true, false,
	    "Of several servers, go back to the first one after so many seconds, if "
	    "it answers. Default: never.", "seconds" },
	{ "hard-disconnect", set_flag, AT(hard), C(UNMAP), false, false,
	    "Ask nobody.", NULL },
	{ "no-hard-disconnect-fallback", set_flag, AT(no_fallback), C(UNMAP), false,
	    false, "Fail when the soft disconnect does.", NULL },
	{ "soft-disconnect-timeout", set_number, AT(soft_timeout_s), C(UNMAP), true,
	    false, "Ask for so many seconds; 0: without end. Default: 30.", "seconds" },
	{ "soft-disconnect-retry-interval", set_number, AT(soft_retry_s), C(UNMAP),
	    true, false, "Ask again after so many seconds. Default: 2.", "seconds" },
	{ "persistent", set_flag, AT(persistent), OPTS, false, false,
	    "The value that is kept for the next start of Windows.", NULL },
	{ "hard-disconnect-mappings", set_flag, AT(hard_mappings), C(RESET_ADAPTER),
	    false, false, "Remove all disks first, the hard way.", NULL },
	{ "reset-timeout", set_number, AT(reset_timeout_s), C(RESET_ADAPTER), true,
	    false, "Try for so many seconds; 0: without end. Default: 10.", "seconds" },
	{ "reset-retry-interval", set_number, AT(reset_retry_s), C(RESET_ADAPTER),
	    true, false, "Try again after so many seconds. Default: 1.", "seconds" },
};

bool
cmdline_option(enum command_id command, bool common, unsigned number,
    struct option_text *text)
{
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		const struct option *o = &options[i];

		if ((o->commands & 1u << command) == 0 || o->common != common ||
		    number-- != 0)
			continue;
		*text = (struct option_text){ o->name, o->takes_value ? "arg" : NULL,
			o->about };
		return true;
	}
	return false;
}

/* ---- parsing ------------------------------------------------------------- */

struct parser {
	struct arguments *a;
	int	argc;
	char	**argv;
	int	at;			/* of argv: the next one */
	char	*error;
	size_t	error_size;
};

#define FAIL(p, ...) (snprintf((p)->error, (p)->error_size, __VA_ARGS__), false)

enum command_id
cmdline_find(const char *name)
{
	for (unsigned i = 0; i < COMMANDS; i++) {
		const struct command *c = &command_table[i];

		if (strcmp(name, c->name) == 0)
			return (enum command_id)i;
		for (unsigned k = 0; c->alias[k] != NULL; k++)
			if (strcmp(name, c->alias[k]) == 0)
				return (enum command_id)i;
	}
	return COMMANDS;
}

/* What "--name" may be: an option of the command, or an operand that is given by its
 * name. */
struct match {
	const char *name;		/* NULL: nothing */
	const struct option *option;	/* NULL: the operand of this number */
	unsigned operand;
	const char *other;		/* the beginning of a second one, too */
};

/* True: it is exactly this. */
static bool
consider(struct match *m, const struct match *found, const char *name, size_t len)
{
	if (strncmp(found->name, name, len) != 0)
		return false;
	if (found->name[len] == '\0') {
		*m = *found;
		return true;
	}
	if (m->name != NULL)
		m->other = found->name;
	else
		*m = *found;
	return false;
}

/* A name may be cut short as long as one option alone begins so. */
static struct match
look_up(const struct parser *p, const char *name, size_t len)
{
	const struct command *c = &command_table[p->a->command];
	struct match m = { 0 };

	for (unsigned i = 0; i < OPERANDS_MAX && c->operand[i] != NULL; i++)
		if (consider(&m, &(struct match){ c->operand[i], NULL, i, NULL }, name,
		    len))
			return m;
	for (size_t i = 0; i < COUNT_OF(options); i++)
		if ((options[i].commands & 1u << p->a->command) != 0 &&
		    consider(&m, &(struct match){ options[i].name, &options[i], 0,
		    NULL }, name, len))
			return m;
	return m;
}

static bool
set_operand(struct parser *p, unsigned number, const char *text)
{
	if (p->a->operand[number] != NULL)
		return FAIL(p, "<%s> is given twice",
		    command_table[p->a->command].operand[number]);
	p->a->operand[number] = text;
	return true;
}

/* "--name", "--name value", "--name=value". */
static bool
take_option(struct parser *p, const char *text)
{
	const char *name = text + 2, *value = strchr(name, '=');
	size_t len = value != NULL ? (size_t)(value - name) : strlen(name);
	struct match m = look_up(p, name, len);
	bool takes_value = m.option == NULL || m.option->takes_value;

	if (m.name == NULL)
		return FAIL(p, "%s has no option --%.*s",
		    command_table[p->a->command].name, (int)len, name);
	if (m.other != NULL)
		return FAIL(p, "--%.*s may be --%s or --%s", (int)len, name, m.name,
		    m.other);
	if (!takes_value && value != NULL)
		return FAIL(p, "--%s takes no value", m.name);
	if (value != NULL)
		value++;
	else if (takes_value && p->at < p->argc)
		value = p->argv[p->at++];
	if (takes_value && value == NULL)
		return FAIL(p, "--%s needs a value", m.name);
	if (m.option == NULL)
		return set_operand(p, m.operand, value);
	if (!m.option->set((char *)p->a + m.option->at, value))
		return FAIL(p, "--%s: \"%s\" is not %s", m.name, value,
		    m.option->wanted);
	return true;
}

/* The first one that is not given yet, by its name or otherwise. */
static bool
take_operand(struct parser *p, const char *text)
{
	const struct command *c = &command_table[p->a->command];

	for (unsigned i = 0; i < OPERANDS_MAX && c->operand[i] != NULL; i++)
		if (p->a->operand[i] == NULL)
			return set_operand(p, i, text);
	return FAIL(p, "too many arguments");
}

static bool
take_arguments(struct parser *p)
{
	bool only_operands = false;

	while (p->at < p->argc) {
		const char *text = p->argv[p->at++];

		if (!only_operands && strcmp(text, "--") == 0) {
			only_operands = true;
		} else if (!only_operands && (strcmp(text, "--help") == 0 ||
		    strcmp(text, "-h") == 0)) {
			p->a->help = true;
		} else if (!only_operands && text[0] == '-' && text[1] != '\0') {
			if (text[1] != '-')
				return FAIL(p, "%s has no option %s",
				    command_table[p->a->command].name, text);
			if (!take_option(p, text))
				return false;
		} else if (!take_operand(p, text)) {
			return false;
		}
	}
	return true;
}

/* A URI names one server: what looks like more is no strange name. */
static bool
check_uri(struct parser *p, const char *host)
{
	struct arguments *a = p->a;
	size_t authority = strcspn(host, "/?");

	if (a->port != 0 || a->export_name != NULL)
		return FAIL(p, "--port and --export-name are parts of the URI");
	if (memchr(host, ',', authority) != NULL || strstr(host, "://") != NULL)
		return FAIL(p, "several servers are given as host1,host2, with "
		    "--export-name and --tls, not as URIs");
	a->servers = 1;
	return true;
}

static bool
check_hosts(struct parser *p, const char *hosts)
{
	static const char *const why[] = {
		[WnbdServersNoName] = "is empty",
		[WnbdServersBadPort] = "has no port from 1 to 65535",
		[WnbdServersBadBracket] = "has a bracket without the other one",
		[WnbdServersTwice] = "is given twice",
		[WnbdServersTooMany] = "is one too many",
	};
	WNBD_SERVER server[NBD_MAX_SERVERS];
	WNBD_SERVERS_FAULT fault = WnbdParseServers(hosts, p->a->port, server,
	    &p->a->servers);

	return fault == WnbdServersOk || FAIL(p, "\"%.150s\": host %u %s", hosts,
	    p->a->servers + 1, why[fault]);
}

/* The host, and the options for several of them. */
static bool
check_servers(struct parser *p)
{
	struct arguments *a = p->a;
	const char *host = a->operand[1], *scheme_end = strstr(host, "://");

	if (scheme_end != NULL ? !check_uri(p, scheme_end + 3) :
	    !check_hosts(p, host))
		return false;
	if (a->servers > 1 && a->skip_handshake)
		return FAIL(p, "--skip-handshake cannot go with several servers: "
		    "nothing would tell whether they have one disk");
	if (a->servers == 1 && (a->path_timeout_s != 0 || a->failback_s != 0 ||
	    a->fence_by != FENCE_BY_TIME))
		return FAIL(p, "--path-timeout, --fence-by and --failback are for "
		    "several servers: host1,host2");
	return true;
}

/* What options mean only together. */
static bool
check_map(struct parser *p)
{
	struct arguments *a = p->a;
	bool has_tls_file = a->ca_file != NULL || a->cert_file != NULL ||
	    a->key_file != NULL || a->tls_hostname != NULL;

	if (!check_servers(p))
		return false;
	if (a->skip_handshake && (a->disk_size == 0 || a->block_size == 0))
		return FAIL(p, "--skip-handshake needs --disk-size and --block-size");
	if (a->block_size != 0 && a->block_size != 512 && a->block_size != 4096)
		return FAIL(p, "--block-size: use 512 or 4096");
	if (a->block_size != 0 && a->disk_size % a->block_size != 0)
		return FAIL(p, "--disk-size is not a multiple of --block-size");
	if ((a->cert_file == NULL) != (a->key_file == NULL))
		return FAIL(p, "--cert and --key go together");
	if (a->key_password_file != NULL && a->key_file == NULL)
		return FAIL(p, "--key-password-file needs --key");
	if (has_tls_file && a->tls.given && a->tls.when == TLS_OFF)
		return FAIL(p, "--tls off contradicts the other TLS options");
	if (has_tls_file && !a->tls.given)
		a->tls.when = TLS_REQUIRED;
	if (a->skip_handshake && a->tls.when != TLS_OFF)
		return FAIL(p, "--skip-handshake cannot go with TLS, which is "
		    "negotiated");
	return true;
}

static bool
check_operands(struct parser *p)
{
	const struct command *c = &command_table[p->a->command];

	if (p->a->help)
		return true;
	for (unsigned i = 0; i < OPERANDS_MAX; i++) {
		const char *text = p->a->operand[i];

		if (text == NULL && i < c->operands_min)
			return FAIL(p, "%s needs <%s>", c->name, c->operand[i]);
		if (text != NULL && text[0] == '\0' && p->a->command != CMD_SET_OPT)
			return FAIL(p, "<%s> is empty", c->operand[i]);
	}
	return p->a->command != CMD_MAP || check_map(p);
}

bool
cmdline_parse(struct arguments *a, int argc, char **argv, char *error,
    size_t error_size, bool *unknown)
{
	struct parser p = { a, argc, argv, 2, error, error_size };

	*a = (struct arguments){
		.command = argc < 2 ? CMD_HELP : cmdline_find(argv[1]),
		.soft_timeout_s = 30, .soft_retry_s = 2,
		.reset_timeout_s = 10, .reset_retry_s = 1,
	};
	*unknown = a->command == COMMANDS;
	if (*unknown)
		return FAIL(&p, "Unknown command: %s", argv[1]);
	return take_arguments(&p) && check_operands(&p);
}
