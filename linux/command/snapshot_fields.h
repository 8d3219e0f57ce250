/*
 * snapshot_fields.h - a snapshot in words: the fields of list, show and stats.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Names are those that users of gnbd and of wnbd-client know.
 */
#ifndef SNAPSHOT_FIELDS_H
#define SNAPSHOT_FIELDS_H

#include "control.h"
#include "record.h"

struct field_table {
	const struct field	*field;
	size_t			count;
};

extern const struct field_table geom_fields;	/* as in gnbd list */
extern const struct field_table provider_fields;
extern const struct field_table counter_fields;	/* as in wnbd-client stats */
extern const struct field_table repair_fields;	/* lost connections and the like */
extern const struct field_table setting_fields;	/* show */

/* All states; ends with NULL. */
extern const char *const state_names_all[];
/* Of a device whose daemon was killed. */
#define STATE_DEAD	"DEAD"
/* The number of the server that is active, or was last. */
unsigned snapshot_path(const struct control_snapshot *);
const char *snapshot_state(const struct control_snapshot *);
/* No server answers, or nobody asks it. */
bool	state_is_down(const char *state);

#endif
