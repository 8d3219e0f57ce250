/*
 * cmdline.h - the command line: which command, which options, what they are for.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Two tables, commands and options; parsing and the help texts read them.  Nothing in
 * here calls Windows.
 */
#ifndef CMDLINE_H
#define CMDLINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum command_id {
	CMD_VERSION, CMD_HELP, CMD_LIST, CMD_SHOW, CMD_MAP, CMD_UNMAP, CMD_STATS,
	CMD_LIST_OPT, CMD_GET_OPT, CMD_SET_OPT, CMD_RESET_OPT, CMD_INSTALL,
	CMD_UNINSTALL, CMD_RESET_ADAPTER,
	COMMANDS
};

#define OPERANDS_MAX	2
#define ALIASES_MAX	2

struct command {
	const char *name;
	const char *alias[ALIASES_MAX + 1];
	const char *operand[OPERANDS_MAX];
	unsigned operands_min;
	const char *about;
};
extern const struct command command_table[COMMANDS];

enum tls_when { TLS_OFF, TLS_IF_OFFERED, TLS_REQUIRED };
struct tls_choice {
	enum tls_when when;
	bool	given;
};

enum fence_by { FENCE_BY_TIME, FENCE_BY_STORE };

/* Strings point into argv; NULL or 0: not given. */
struct arguments {
	enum command_id command;
	const char *operand[OPERANDS_MAX];
	bool	help;			/* of this command, instead of it */
	bool	debug, json, persistent;
	/* map */
	unsigned port;
	const char *export_name;
	bool	skip_handshake, read_only, user_space;
	uint64_t disk_size;
	unsigned block_size;
	struct tls_choice tls;
	const char *ca_file, *cert_file, *key_file, *key_password_file;
	const char *tls_hostname;
	unsigned connections, timeout_s, dead_timeout_s;
	unsigned servers;		/* in operand[1]; of more than one: */
	enum fence_by fence_by;
	unsigned fence_s, path_timeout_s, failback_s;
	/* unmap */
	bool	hard, no_fallback;
	unsigned soft_timeout_s, soft_retry_s;	/* have defaults */
	/* reset-adapter */
	bool	hard_mappings;
	unsigned reset_timeout_s, reset_retry_s;	/* have defaults */
};

/*
 * Without arguments it is "help".  False: error says what is wrong with it, in one
 * line; *unknown is set when the command itself is not known.
 */
bool	cmdline_parse(struct arguments *, int argc, char **argv, char *error,
	    size_t error_size, bool *unknown);
/* COMMANDS: there is none of this name. */
enum command_id cmdline_find(const char *name);

/* All commands. */
void	help_commands(FILE *);
/* One of them. */
void	help_command(FILE *, enum command_id);

/* For help.c: the options of a command, by number from 0 on; NULL: no more. */
struct option_text {
	const char *name;
	const char *value;		/* NULL: a flag */
	const char *about;
};
bool	cmdline_option(enum command_id, bool common, unsigned number,
	    struct option_text *);

#endif
