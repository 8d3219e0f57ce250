/*
 * ublk_control.h - commands to /dev/ublk-control.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef UBLK_CONTROL_H
#define UBLK_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#define UBLK_CONTROL	"/dev/ublk-control"
#define UBLK_NO_NUMBER	UINT32_MAX	/* ADD_DEV: any; GET_FEATURES: of no device */
#define UBLK_BUFFER_MAX	128

struct ublk_order {
	uint32_t	op;		/* UBLK_U_CMD_* */
	uint32_t	number;
	void		*buffer;	/* in and out: up to UBLK_BUFFER_MAX */
	size_t		length;
	uint64_t	data;
	unsigned	timeout_ms;
};

/* 0 or more as the kernel answers, or -errno; -ETIMEDOUT: it has not answered, and may
 * carry it out later. */
int	ublk_control(const struct ublk_order *);

#endif
