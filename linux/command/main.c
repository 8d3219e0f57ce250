/*
 * main.c - nbdisk: NBD exports as block devices.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_file.h"
#include "options.h"
#include "verb_help.h"

static enum exit_status
usage_error(const struct verb *v, const char *text)
{
	complain(text);
	fprintf(stderr, "See \"nbdisk help %s\".\n", v->name);
	return EXIT_USAGE;
}

/* "HOST PORT DEVICE", as nbd-client has it: two of these are no servers. */
static bool
is_nbd_clients(const struct options *o)
{
	for (unsigned i = 1; i < o->operands; i++)
		if (o->operand[i][strspn(o->operand[i], "0123456789")] == '\0' ||
		    strncmp(o->operand[i], "/dev/", 5) == 0)
			return true;
	return false;
}

static bool
check_operands(const struct options *o, const struct verb *v, struct errtext *err)
{
	if (o->operands < v->operands_min)
		return errtext_set(err, "%s: %.*s is missing", v->name,
		    (int)strcspn(v->operands, " "), v->operands);
	if (o->operands > v->operands_max)
		return errtext_set(err, "%s: \"%s\" is too much", v->name,
		    o->operand[v->operands_max]);
	if (verb_id(v) == VERB_CONNECT && is_nbd_clients(o))
		return errtext_set(err, "%s: \"%s\" is no server; what is \"HOST PORT "
		    "DEVICE\" for nbd-client\nis \"-p PORT --device NAME HOST\" here",
		    v->name, o->operand[1]);
	return true;
}

static enum exit_status
run(struct options *o, const struct verb *v)
{
	enum exit_status status = EXIT_OK;
	struct errtext err;
	char *config = NULL;

	if (o->help) {
		help_verb(stdout, v);
		return EXIT_OK;
	}
	if (o->config_file != NULL)
		status = config_load(o, verb_id(v), o->config_file, &config);
	if (status == EXIT_OK)
		status = check_operands(o, v, &err) ? v->run(o) :
		    usage_error(v, err.text);
	free(config);
	return status;
}

/* What people try on a program that they do not know. */
static const char *
plain_verb(const char *word)
{
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		return "help";
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
		return "version";
	return word;
}

/* Else the first file or socket that is opened gets the number of one that is closed,
 * and what is said to people goes there. */
static bool
occupy_standard_files(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	return true;
}

static enum exit_status
run_verb(int argc, char **argv)
{
	const struct verb *v;
	struct options o;
	struct errtext err;

	if (argc < 2) {
		help_all(stderr);
		return EXIT_USAGE;
	}
	v = verb_find(plain_verb(argv[1]));
	if (v == NULL) {
		errtext_set(&err, "there is no verb \"%s\"; see \"nbdisk help\"",
		    argv[1]);
		complain(err.text);
		return EXIT_USAGE;
	}
	options_init(&o);
	if (!options_parse(&o, verb_id(v), argc - 2, argv + 2, &err))
		return usage_error(v, err.text);
	return run(&o, v);
}

/* What was asked for and could not be printed is not done. */
static enum exit_status
check_output(enum exit_status status)
{
	bool bad = ferror(stdout) != 0;
	struct errtext err;

	errno = EIO;
	if (fflush(stdout) == 0 && !bad)
		return status;
	errtext_set(&err, "standard output: %s", strerror(errno));
	complain(err.text);
	return status == EXIT_OK ? EXIT_FAILED : status;
}

int
main(int argc, char **argv)
{
	if (!occupy_standard_files())
		return EXIT_FAILED;
	return check_output(run_verb(argc, argv));
}
