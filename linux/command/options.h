/*
 * options.h - the options of all verbs, from one table.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The command line, the configuration file, the help and the test of the manual
 * page all read option_table.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "errtext.h"
#include "nbe.h"
#include "verbs.h"
#include "ways.h"

#define TLS_UNSAID	(-1)
#define WAIT_UNSAID	(-1)
#define FENCE_UNSAID	(-1)

/* Strings are not owned: they are the command line's or the file's. */
struct options {
	char		**operand;
	unsigned	operands;
	uint64_t	given;		/* bit per row of option_table */

	unsigned	connections;	/* 0: not said */
	unsigned	depth;
	unsigned	sector_size;	/* 0: not said */
	unsigned	rounds;		/* 0: without end */
	nbe_time	timeout, dead_timeout, fence, open_timeout, retry, wait;
	uint64_t	keep_size, discard_max;
	int		tls;		/* enum nbe_tls, or TLS_UNSAID */
	int		unflushed;	/* enum nbe_unflushed */
	int		via;		/* enum attach_kind */
	int		fence_by;	/* enum nbe_fence_by, or FENCE_UNSAID */
	nbe_time	path_timeout, failback;
	char		*uri[NBE_MAX_PATHS];	/* operands that a file gave */
	int		wait_for;	/* index of wait_words, or WAIT_UNSAID */
	const char	*export_name, *port;
	const char	*ca_file, *crl_file, *cert_file, *key_file, *key_password_file;
	const char	*tls_hostname, *psk_file, *psk_user;
	const char	*device, *config_file, *hook, *fence_command;
	bool		read_only, no_discard, foreground, force, json, help;
	bool		root_device;
	bool		if_exists, check, quiet, shared;
};

struct option_row {
	char		letter;		/* 0: none */
	const char	*name;
	const char	*argument;	/* NULL: takes none */
	size_t		field;		/* offset in struct options */
	bool		(*set)(void *field, const char *value);
	const char	*accepts;	/* for the message when set says no */
	unsigned	verbs;		/* bit per enum verb_id */
	const char	*help;
	/* A line of a configuration file, or none; NULL: no setting of a device. */
	void		(*print)(FILE *, const char *name, const void *field);
};
extern const struct option_row option_table[];
extern const unsigned option_count;

/* In the order of enum nbe_tls and enum nbe_unflushed; end with NULL. */
extern const char *const tls_words[], *const unflushed_words[];
/* In the order of enum nbe_fence_by. */
extern const char *const fence_words[];
/* up, down, gone, size, moved */
extern const char *const wait_words[];

void	options_init(struct options *);
/* Takes what follows the verb.  Options and operands may be mixed; "--" ends the
 * options.  Sorts the operands to the front of argv. */
bool	options_parse(struct options *, enum verb_id, int argc, char **argv,
	    struct errtext *);
/*
 * A configuration file (config_text.h) with the long names, and "uri", for each operand
 * one.  Any other name may be given once.  What the command line said stays.  text,
 * which a NUL ends behind len bytes, is changed, and must outlive the options.
 */
bool	options_load(struct options *, enum verb_id, const char *path, char *text,
	    size_t len, struct errtext *);
/* --fence-by and --fence-command go together. */
bool	options_fence_ok(const struct options *, struct errtext *);
/* The settings of a device, as lines of a configuration file, with paths from the root
 * on.  Not what the URI says: name, port, psk-user, and whether TLS is required. */
void	options_print(FILE *, const struct options *);
static inline bool
option_belongs(const struct option_row *row, enum verb_id verb)
{
	return (row->verbs >> verb & 1) != 0;
}

#endif
