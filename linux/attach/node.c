/*
 * node.c - the block device that users open, of whichever kind.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "node.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- loop ---------------------------------------------------------------------- */

static bool
loop_is(const struct node *n)
{
	return loopdev_is(&n->loop);
}

static bool
loop_hold(struct node *n)
{
	return loopdev_hold(&n->loop);
}

static void
loop_release(struct node *n)
{
	loopdev_release(&n->loop);
}

static bool
loop_resize(const struct node *n, const char *backing, uint64_t size,
    struct errtext *err)
{
	(void)size;
	return loopdev_resize(&n->loop, backing, err);
}

/* A detach that does not happen soon is taken back: else it would happen behind
 * the back of whoever opened the device just now, in the middle of its work. */
static bool
loop_detach(struct node *n, unsigned timeout_ms, struct errtext *err)
{
	return loopdev_detach(&n->loop, timeout_ms, err) || !loopdev_keep(&n->loop);
}

static void
loop_detach_by_force(struct node *n, unsigned timeout_ms)
{
	struct errtext ignored;

	(void)loopdev_detach(&n->loop, timeout_ms, &ignored);
}

static void
loop_get(const struct node *n, unsigned *number, uint64_t *identity)
{
	*number = n->loop.number;
	*identity = n->loop.sequence;
}

static void
loop_set(struct node *n, unsigned number, uint64_t identity)
{
	n->loop.number = number;
	n->loop.sequence = identity;
}

/* ---- ublk ---------------------------------------------------------------------- */

/* Who serves it has its number. */
static bool
ublk_is_there(const struct node *n)
{
	return ublkdev_is_there(n->ublk.number);
}

static bool
ublk_is(const struct node *n)
{
	return ublkdev_is(&n->ublk);
}

static bool
ublk_hold(struct node *n)
{
	return ublkdev_is(&n->ublk);
}

static void
ublk_release(struct node *n)
{
	(void)n;
}

static bool
ublk_resize(const struct node *n, const char *backing, uint64_t size,
    struct errtext *err)
{
	(void)backing;
	return ublkdev_resize(&n->ublk, size, err);
}

static bool
ublk_detach(struct node *n, unsigned timeout_ms, struct errtext *err)
{
	return ublkdev_remove(&n->ublk, timeout_ms, err);
}

static void
ublk_detach_by_force(struct node *n, unsigned timeout_ms)
{
	ublkdev_remove_by_force(&n->ublk, timeout_ms);
}

static void
ublk_get(const struct node *n, unsigned *number, uint64_t *identity)
{
	*number = n->ublk.number;
	*identity = n->ublk.token;
}

static void
ublk_set(struct node *n, unsigned number, uint64_t identity)
{
	n->ublk.number = number;
	n->ublk.token = identity;
}

/* ---- all ----------------------------------------------------------------------- */

static const struct {
	const char *prefix;
	bool	(*in_use)(unsigned number);
	void	(*get)(const struct node *, unsigned *number, uint64_t *identity);
	void	(*set)(struct node *, unsigned number, uint64_t identity);
	bool	(*is_there)(const struct node *);
	bool	(*is)(const struct node *);
	bool	(*hold)(struct node *);
	void	(*release)(struct node *);
	bool	(*resize)(const struct node *, const char *, uint64_t,
		    struct errtext *);
	bool	(*detach)(struct node *, unsigned, struct errtext *);
	void	(*detach_by_force)(struct node *, unsigned);
} kinds[NODE_KINDS] = {
	[NODE_LOOP] = {
		"loop", loopdev_in_use, loop_get, loop_set, loop_is, loop_is,
		loop_hold, loop_release, loop_resize, loop_detach,
		loop_detach_by_force,
	},
	[NODE_UBLK] = {
		"ublkb", ublkdev_is_there, ublk_get, ublk_set, ublk_is_there, ublk_is,
		ublk_hold, ublk_release, ublk_resize, ublk_detach,
		ublk_detach_by_force,
	},
};

void
node_init(struct node *n)
{
	*n = (struct node){ .loop.held = -1 };
}

const char *
node_name(const struct node *n, char *buf)
{
	unsigned number;
	uint64_t identity;

	buf[0] = '\0';
	if (n->kind == NODE_NONE)
		return buf;
	kinds[n->kind].get(n, &number, &identity);
	snprintf(buf, NODE_NAME_MAX, "%s%u", kinds[n->kind].prefix, number);
	return buf;
}

/* NODE_NONE: of no kind.  rest is what follows the number. */
static enum node_kind
split(const char *name, unsigned *number, const char **rest)
{
	for (enum node_kind k = NODE_NONE + 1; k < NODE_KINDS; k++) {
		size_t len = strlen(kinds[k].prefix);
		int digits = 0;

		if (strncmp(name, kinds[k].prefix, len) != 0 ||
		    !isdigit((unsigned char)name[len]) ||
		    sscanf(name + len, "%9u%n", number, &digits) != 1)
			continue;
		*rest = name + len + digits;
		return k;
	}
	return NODE_NONE;
}

bool
node_whole(char *whole, const char *name)
{
	const char *rest;
	unsigned number;

	if (split(name, &number, &rest) == NODE_NONE)
		return false;
	if (*rest != '\0' && !(*rest == 'p' && isdigit((unsigned char)rest[1])))
		return false;
	snprintf(whole, NODE_NAME_MAX, "%.*s", (int)(rest - name), name);
	return true;
}

bool
node_in_use(const char *name)
{
	const char *rest;
	unsigned number;
	enum node_kind kind = split(name, &number, &rest);

	return kind != NODE_NONE && *rest == '\0' && kinds[kind].in_use(number);
}

void
node_print(const struct node *n, char *line, size_t size)
{
	char name[NODE_NAME_MAX];
	unsigned number;
	uint64_t identity;

	kinds[n->kind].get(n, &number, &identity);
	snprintf(line, size, "%s %" PRIu64 "\n", node_name(n, name), identity);
}

bool
node_parse(struct node *n, const char *line)
{
	const char *rest;
	unsigned number;
	uint64_t identity;
	enum node_kind kind = split(line, &number, &rest);

	node_init(n);
	if (kind == NODE_NONE || sscanf(rest, " %" SCNu64, &identity) != 1)
		return false;
	n->kind = kind;
	kinds[kind].set(n, number, identity);
	return true;
}

bool
node_is_there(const struct node *n)
{
	return n->kind == NODE_NONE || kinds[n->kind].is_there(n);
}

bool
node_is(const struct node *n)
{
	return n->kind == NODE_NONE || kinds[n->kind].is(n);
}

bool
node_hold(struct node *n)
{
	return kinds[n->kind].hold(n);
}

void
node_release(struct node *n)
{
	if (n->kind != NODE_NONE)
		kinds[n->kind].release(n);
}

bool
node_resize(const struct node *n, const char *backing, uint64_t size,
    struct errtext *err)
{
	return n->kind == NODE_NONE || kinds[n->kind].resize(n, backing, size, err);
}

/* Nobody holds one of ublk. */
bool
node_write_back(const struct node *n, struct errtext *err)
{
	return n->kind != NODE_LOOP || loopdev_write_back(&n->loop, err);
}

bool
node_detach(struct node *n, unsigned timeout_ms, struct errtext *err)
{
	return kinds[n->kind].detach(n, timeout_ms, err);
}

void
node_detach_by_force(struct node *n, unsigned timeout_ms)
{
	kinds[n->kind].detach_by_force(n, timeout_ms);
}
