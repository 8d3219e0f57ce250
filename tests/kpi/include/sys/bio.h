/*
 * sys/bio.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_BIO_H
#define KPI_SYS_BIO_H

#include <sys/systm.h>
#include <sys/time.h>

#define BIO_READ	0x01
#define BIO_WRITE	0x02
#define BIO_DELETE	0x03
#define BIO_GETATTR	0x04
#define BIO_FLUSH	0x05
#define BIO_ZONE	0x09
#define BIO_SPEEDUP	0x0a
#define BIO_ORDERED	0x08
#define BIO_UNMAPPED	0x10
#define KPI_BIO_OUT	0x8000	/* with a provider: to be delivered once */

struct g_provider;
struct vm_page;
struct bio {
	uint16_t	 bio_cmd, bio_flags;
	off_t		 bio_offset, bio_length, bio_completed;
	char		*bio_data;
	struct vm_page	**bio_ma;
	int		 bio_ma_offset, bio_ma_n;
	int		 bio_error;
	long		 bio_resid;
	void		(*bio_done)(struct bio *);
	void		*bio_caller1;
	const char	*bio_attribute;
	struct g_provider *bio_to;
	struct g_consumer *bio_from;
	struct bio	*bio_parent;
	struct bintime	 bio_t0;
};

#endif
