/*
 * verbs.h - what nbdisk can be told to do.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef VERBS_H
#define VERBS_H

enum verb_id {
	VERB_CONNECT, VERB_SCALE, VERB_RECONNECT, VERB_MOVE, VERB_DISCONNECT,
	VERB_RECOVER, VERB_UPGRADE,
	VERB_WAIT,
	VERB_EXPORTS, VERB_INFO, VERB_CHECK_CONFIG, VERB_IMPORT,
	VERB_LIST, VERB_STATUS, VERB_SHOW, VERB_STATS, VERB_TOP, VERB_METRICS,
	VERB_HELP, VERB_VERSION,
	VERBS
};

/* DOWN: with --check, a device is of no use now. */
enum exit_status { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_DOWN = 3 };

#define OPERANDS_ANY	(~0u)

struct options;

struct verb {
	const char	*name;
	enum exit_status (*run)(const struct options *);
	const char	*operands;	/* for the synopsis; "" */
	unsigned	operands_min, operands_max;
	const char	*help;		/* one line */
};
extern const struct verb verb_table[VERBS];

/* NULL: there is no such verb. */
const struct verb *verb_find(const char *name);
static inline enum verb_id
verb_id(const struct verb *v)
{
	return (enum verb_id)(v - verb_table);
}

enum exit_status verb_connect(const struct options *);
enum exit_status verb_scale(const struct options *);
enum exit_status verb_reconnect(const struct options *);
enum exit_status verb_move(const struct options *);
enum exit_status verb_disconnect(const struct options *);
enum exit_status verb_recover(const struct options *);
enum exit_status verb_upgrade(const struct options *);
enum exit_status verb_wait(const struct options *);
enum exit_status verb_exports(const struct options *);
enum exit_status verb_info(const struct options *);
enum exit_status verb_check_config(const struct options *);
enum exit_status verb_import(const struct options *);
enum exit_status verb_list(const struct options *);
enum exit_status verb_status(const struct options *);
enum exit_status verb_show(const struct options *);
enum exit_status verb_stats(const struct options *);
enum exit_status verb_top(const struct options *);
enum exit_status verb_metrics(const struct options *);
enum exit_status verb_help(const struct options *);
enum exit_status verb_version(const struct options *);

/* "nbdisk: " and the text, each of its lines, on stderr. */
void	complain(const char *text);

#endif
