/*
 * node.h - the block device that users open, of whichever kind.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Named as in /dev, without the directory.  What makes and removes one is its kind's
 * own; here is what is the same for all.
 */
#ifndef NODE_H
#define NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "errtext.h"
#include "loopdev.h"
#include "ublkdev.h"

enum node_kind {
	NODE_NONE,	/* users open a file */
	NODE_LOOP,
	NODE_UBLK,
	NODE_KINDS
};

struct node {
	enum node_kind	kind;
	struct loopdev	loop;
	struct ublkdev	ublk;
};

#define NODE_NAME_MAX	32

/* Nothing is held. */
void	node_init(struct node *);
/* "loop3", "ublkb0"; "" for none.  In buf of NODE_NAME_MAX. */
const char *node_name(const struct node *, char *buf);
/* The name of the whole disk of name, which may be a partition; false: of no kind. */
bool	node_whole(char *whole, const char *name);
/* Whether what is called so is anybody's. */
bool	node_in_use(const char *name);

/* A line that fits no other device, before or after this one; and back. */
void	node_print(const struct node *, char *line, size_t size);
bool	node_parse(struct node *, const char *line);

/* Whether it still is this device; a daemon may ask in its loop. */
bool	node_is_there(const struct node *);
/* Whether the kernel says so, too, for those who are about to change something. */
bool	node_is(const struct node *);
/* Holds one that was parsed; false: it is gone. */
bool	node_hold(struct node *);
void	node_release(struct node *);
/* The disk has another size, in whole sectors; backing is the file that a loop device
 * stands on. */
bool	node_resize(const struct node *, const char *backing, uint64_t size,
	    struct errtext *);
/* What was written to it, and nobody waited for, is written; waits for its server. */
bool	node_write_back(const struct node *, struct errtext *);
/* Detaches and lets go; false when somebody uses it, or it cannot be. */
bool	node_detach(struct node *, unsigned timeout_ms, struct errtext *);
/* The same, though it may be in use. */
void	node_detach_by_force(struct node *, unsigned timeout_ms);

#endif
