/*
 * privilege.c - whether this process may do what only root may.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "privilege.h"

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/* user_namespaces(7): the first one maps all ids to themselves.  A kernel that has
 * none, or no /proc, has one root. */
static bool
is_first_space(void)
{
	uint32_t inside, outside, count;
	FILE *file = fopen("/proc/self/uid_map", "re");
	bool first = true;

	if (file == NULL)
		return true;
	if (fscanf(file, "%u %u %u", &inside, &outside, &count) == 3)
		first = inside == 0 && outside == 0 && count == UINT32_MAX;
	fclose(file);
	return first;
}

bool
privilege_is_root(void)
{
	return geteuid() == 0 && is_first_space();
}
