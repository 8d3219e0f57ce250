/*
 * core/geom.h - for gnbd_kpi: what geom(8) asks of a class's library.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_CORE_GEOM_H
#define KPI_CORE_GEOM_H

#include <libgeom.h>

#define G_LIB_VERSION	5
#define G_FLAG_NONE	0x0000
#define G_FLAG_LOADKLD	0x0002
#define G_TYPE_NONE	0x00
#define G_TYPE_BOOL	0x01
#define G_TYPE_STRING	0x02
#define G_TYPE_NUMBER	0x03
#define G_OPT_MAX	16
#define G_VAL_OPTIONAL	((void *)-1)
#define G_OPT_SENTINEL	{ '\0', NULL, NULL, G_TYPE_NONE }
#define G_CMD_SENTINEL	{ NULL, 0, NULL, { G_OPT_SENTINEL }, NULL }

struct g_option {
	char		go_char;
	const char	*go_name;
	const void	*go_val;
	unsigned	go_type;
};
struct g_command {
	const char	*gc_name;
	unsigned	gc_flags;
	void		(*gc_func)(struct gctl_req *, unsigned);
	struct g_option	gc_options[G_OPT_MAX];
	const char	*gc_usage;
};

#endif
