/*
 * sys/sbuf.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_SBUF_H
#define KPI_SYS_SBUF_H

#include <sys/systm.h>

struct sbuf {
	char		*s_buf;
	size_t		 s_len, s_size;
};
int	sbuf_printf(struct sbuf *, const char *, ...) __printflike(2, 3);
int	sbuf_putc(struct sbuf *, int);
int	sbuf_cat(struct sbuf *, const char *);

#endif
