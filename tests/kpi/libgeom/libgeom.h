/*
 * libgeom.h - for gnbd_kpi: the part of libgeom that geom_nbd.c uses.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_LIBGEOM_H
#define KPI_LIBGEOM_H

#include <stdint.h>
#include <sys/queue.h>

#define __unused	__attribute__((unused))

/* FreeBSD has it in unistd.h. */
int	getosreldate(void);

struct gconfig {
	LIST_ENTRY(gconfig) lg_config;
	char		*lg_name, *lg_val;
};
LIST_HEAD(gconf, gconfig);
struct ggeom {
	LIST_ENTRY(ggeom) lg_geom;
	char		*lg_name;
	struct gconf	lg_config;
};
struct gclass {
	LIST_ENTRY(gclass) lg_class;
	const char	*lg_name;
	LIST_HEAD(, ggeom) lg_geom;
};
struct gmesh {
	LIST_HEAD(, gclass) lg_class;
	void		*memory;
};
int	geom_gettree(struct gmesh *);
void	geom_deletetree(struct gmesh *);

struct gctl_arg {
	const char	*name;
	const void	*value;
	void		*out;
	int		len;
};
struct gctl_req {
	char		*error;
	struct gctl_arg	arg[64];
	int		narg;
	char		text[2400];
};
struct gctl_req *gctl_get_handle(void);
void	gctl_free(struct gctl_req *);
const char *gctl_issue(struct gctl_req *);
void	gctl_ro_param(struct gctl_req *, const char *, int, const void *);
void	gctl_rw_param(struct gctl_req *, const char *, int, void *);

#endif
