/*
 * sys/uio.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_UIO_H
#define KPI_SYS_UIO_H

#include_next <sys/uio.h>

enum uio_rw { UIO_READ, UIO_WRITE };
enum uio_seg { UIO_USERSPACE, UIO_SYSSPACE };
struct uio {
	struct iovec	*uio_iov;
	int		 uio_iovcnt;
	ssize_t		 uio_resid;
	enum uio_seg	 uio_segflg;
	enum uio_rw	 uio_rw;
};

#endif
