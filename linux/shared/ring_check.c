/*
 * ring_check.c - whether this process may have an io_uring, and who refuses it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ring.h"
#include "text_file.h"

#define SWITCH		"/proc/sys/kernel/io_uring_disabled"
#define CHECK_ENTRIES	4

/* 0: on, 1: for some, 2: off (Linux 6.6); a filter says the same in an errno. */
static bool
explain(int error, struct errtext *err)
{
	char *text = error == EPERM ? text_file_read(SWITCH, 8, NULL) : NULL;
	int disabled = text != NULL ? atoi(text) : 0;

	free(text);
	if (disabled == 1)
		return errtext_set(err, "io_uring is refused: " SWITCH " is 1, so only "
		    "root and the group of kernel.io_uring_group may use it");
	if (disabled != 0)
		return errtext_set(err, "io_uring is refused: it is switched off on "
		    "this machine; \"sysctl kernel.io_uring_disabled=0\" allows it");
	if (error == EPERM || error == ENOSYS)
		return errtext_set(err, "io_uring is refused: %s.\nA seccomp filter "
		    "does that, such as the default one of containers: it must\n"
		    "allow io_uring_setup, io_uring_enter and io_uring_register.",
		    strerror(error));
	return errtext_set(err, "io_uring: %s", strerror(error));
}

bool
ring_check(struct errtext *err)
{
	struct ring r;
	int ret = ring_init(&r, CHECK_ENTRIES, false);

	if (ret < 0)
		return explain(-ret, err);
	ring_free(&r);
	return true;
}
