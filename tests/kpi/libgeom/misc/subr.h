/*
 * misc/subr.h - for gnbd_kpi: parameters of a request, as geom(8) reads them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_MISC_SUBR_H
#define KPI_MISC_SUBR_H

#include <libgeom.h>

/* The kernel has one of this name, and here both are one program. */
#define gctl_error	user_gctl_error
void	gctl_error(struct gctl_req *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));
int	gctl_get_int(struct gctl_req *, const char *, ...);
intmax_t gctl_get_intmax(struct gctl_req *, const char *, ...);
const char *gctl_get_ascii(struct gctl_req *, const char *, ...);
int	gctl_change_param(struct gctl_req *, const char *, int, const void *);
int	gctl_has_param(struct gctl_req *, const char *);

#endif
