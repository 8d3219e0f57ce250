/*
 * ublk_proto.h - the kernel's interface of ublk, as far as it is used here.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Names and layouts are the kernel's; its own header came with Linux 6.0, and that of
 * Debian 12 lacks what is newer.
 */
#ifndef UBLK_PROTO_H
#define UBLK_PROTO_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/types.h>

/* ---- what a kernel can do: GET_FEATURES (Linux 6.5) ---------------------------- */

#define UBLK_F_USER_RECOVERY	(1ULL << 3)
#define UBLK_F_USER_RECOVERY_REISSUE (1ULL << 4)
#define UBLK_F_CMD_IOCTL_ENCODE	(1ULL << 6)
#define UBLK_F_USER_COPY	(1ULL << 7)
#define UBLK_F_UPDATE_SIZE	(1ULL << 10)
#define UBLK_F_AUTO_BUF_REG	(1ULL << 11)
#define UBLK_F_SAFE_STOP_DEV	(1ULL << 17)

/* ---- commands for /dev/ublk-control -------------------------------------------- */

struct ublksrv_ctrl_cmd {
	uint32_t	dev_id;
	uint16_t	queue_id;	/* -1: not for a queue */
	uint16_t	len;		/* of what is at addr */
	uint64_t	addr;
	uint64_t	data[1];
	uint16_t	dev_path_len, pad;
	uint32_t	reserved;
};

#define UBLK_U_CMD_GET_DEV_INFO	 _IOR('u', 0x02, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_ADD_DEV	_IOWR('u', 0x04, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_START_DEV	_IOWR('u', 0x06, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_STOP_DEV	_IOWR('u', 0x07, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_SET_PARAMS	_IOWR('u', 0x08, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_GET_PARAMS	 _IOR('u', 0x09, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_START_USER_RECOVERY _IOWR('u', 0x10, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_END_USER_RECOVERY _IOWR('u', 0x11, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_GET_FEATURES	 _IOR('u', 0x13, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_DEL_DEV_ASYNC _IOR('u', 0x14, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_UPDATE_SIZE	_IOWR('u', 0x15, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_TRY_STOP_DEV	_IOWR('u', 0x17, struct ublksrv_ctrl_cmd)

struct ublksrv_ctrl_dev_info {
	uint16_t	nr_hw_queues, queue_depth, state, io_desc_size;
	uint32_t	max_io_buf_bytes;
	uint32_t	dev_id;
	int32_t		ublksrv_pid;
	uint32_t	pad1;
	uint64_t	flags;
	uint64_t	ublksrv_flags;	/* the server's own: kept by the kernel */
	uint32_t	owner_uid, owner_gid;
	uint64_t	reserved1, reserved2;
};

#define UBLK_ATTR_READ_ONLY		(1u << 0)
#define UBLK_ATTR_ROTATIONAL		(1u << 1)
#define UBLK_ATTR_VOLATILE_CACHE	(1u << 2)
#define UBLK_ATTR_FUA			(1u << 3)

struct ublk_param_basic {
	uint32_t	attrs;
	uint8_t		logical_bs_shift, physical_bs_shift;
	uint8_t		io_opt_shift, io_min_shift;
	uint32_t	max_sectors, chunk_sectors;
	uint64_t	dev_sectors;
	uint64_t	virt_boundary_mask;
};

struct ublk_param_discard {
	uint32_t	discard_alignment, discard_granularity;
	uint32_t	max_discard_sectors, max_write_zeroes_sectors;
	uint16_t	max_discard_segments, reserved0;
};

#define UBLK_PARAM_TYPE_BASIC		(1u << 0)
#define UBLK_PARAM_TYPE_DISCARD		(1u << 1)

/* The kernel's has more at its end, which is left out by len. */
struct ublk_params {
	uint32_t	len, types;
	struct ublk_param_basic basic;
	struct ublk_param_discard discard;
	uint32_t	pad;
};
#define UBLK_PARAMS_LEN		offsetof(struct ublk_params, pad)

/* ---- requests, over /dev/ublkcN ------------------------------------------------- */

struct ublksrv_io_cmd {
	uint16_t	q_id, tag;
	int32_t		result;		/* COMMIT: bytes, or -errno */
	uint64_t	addr;		/* 0 with USER_COPY */
};

/* Where the payload of a request is read and written in /dev/ublkcN, with USER_COPY. */
#define UBLK_IO_POS(queue, tag)	((off_t)(0x80000000 + ((uint64_t)(queue) << 41) + \
	((uint64_t)(tag) << 25)))

/*
 * With AUTO_BUF_REG (Linux 6.16): the number by which the payload of a tag's next
 * request is to be registered with the ring, until that is answered; in the entry's own
 * addr.  FALLBACK: where that fails, the request has NEED_REG_BUF.
 */
#define UBLK_AUTO_BUF_REG_FALLBACK	1u
#define UBLK_AUTO_BUF(number)	((uint64_t)(number) | UBLK_AUTO_BUF_REG_FALLBACK << 16)

#define UBLK_U_IO_FETCH_REQ		_IOWR('u', 0x20, struct ublksrv_io_cmd)
#define UBLK_U_IO_COMMIT_AND_FETCH_REQ	_IOWR('u', 0x21, struct ublksrv_io_cmd)

#define UBLK_IO_RES_OK		0

enum {
	UBLK_IO_OP_READ, UBLK_IO_OP_WRITE, UBLK_IO_OP_FLUSH, UBLK_IO_OP_DISCARD,
	UBLK_IO_OP_WRITE_SAME, UBLK_IO_OP_WRITE_ZEROES
};
#define UBLK_IO_OP_MASK		0xffu
#define UBLK_IO_F_FUA		(1u << 13)
#define UBLK_IO_F_NOUNMAP	(1u << 15)
#define UBLK_IO_F_NEED_REG_BUF	(1u << 17)

/* One per tag, in memory that the kernel writes and a server reads. */
struct ublksrv_io_desc {
	uint32_t	op_flags;
	uint32_t	nr_sectors;
	uint64_t	start_sector;
	uint64_t	addr;
};

_Static_assert(sizeof(struct ublksrv_ctrl_cmd) == 32, "kernel ABI");
_Static_assert(sizeof(struct ublksrv_ctrl_dev_info) == 64, "kernel ABI");
_Static_assert(sizeof(struct ublk_param_basic) == 32, "kernel ABI");
_Static_assert(sizeof(struct ublk_param_discard) == 20, "kernel ABI");
_Static_assert(offsetof(struct ublk_params, discard) == 40, "kernel ABI");
_Static_assert(UBLK_PARAMS_LEN == 60, "kernel ABI");
_Static_assert(sizeof(struct ublksrv_io_cmd) == 16, "kernel ABI");
_Static_assert(sizeof(struct ublksrv_io_desc) == 24, "kernel ABI");

#endif
