/*
 * fuse_proto.h - the kernel's FUSE protocol, as far as older headers lack it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * linux/fuse.h of Debian 12 is protocol 7.38; FUSE over io_uring came with 7.42
 * (Linux 6.14), that requests can be had again with 7.40 (6.9).  Names and layouts are
 * the kernel's.
 */
#ifndef FUSE_PROTO_H
#define FUSE_PROTO_H

#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>

#ifndef FUSE_DIRECT_IO_ALLOW_MMAP
#define FUSE_DIRECT_IO_ALLOW_MMAP	(1ULL << 36)
#endif
#ifndef FUSE_HAS_RESEND
#define FUSE_HAS_RESEND			(1ULL << 39)
#define FUSE_UNIQUE_RESEND		(1ULL << 63)
#define FUSE_NOTIFY_RESEND		7
#endif
#ifndef FUSE_OVER_IO_URING
#define FUSE_OVER_IO_URING		(1ULL << 41)
#endif

#if FUSE_KERNEL_MINOR_VERSION < 42
#define FUSE_URING_IN_OUT_HEADER_SZ	128
#define FUSE_URING_OP_IN_OUT_SZ		128

struct fuse_uring_ent_in_out {
	uint64_t	flags;
	uint64_t	commit_id;	/* names the request in COMMIT_AND_FETCH */
	uint32_t	payload_sz;	/* bytes used of the entry's payload buffer */
	uint32_t	padding;
	uint64_t	reserved;
};

/* What the kernel fills and reads beside the payload of each entry. */
struct fuse_uring_req_header {
	char		in_out[FUSE_URING_IN_OUT_HEADER_SZ];
	char		op_in[FUSE_URING_OP_IN_OUT_SZ];
	struct fuse_uring_ent_in_out ring_ent_in_out;
};

enum fuse_uring_cmd {
	FUSE_IO_URING_CMD_INVALID = 0,
	FUSE_IO_URING_CMD_REGISTER = 1,
	FUSE_IO_URING_CMD_COMMIT_AND_FETCH = 2,
};

/* In the command area of a 128-byte submission entry. */
struct fuse_uring_cmd_req {
	uint64_t	flags;
	uint64_t	commit_id;
	uint16_t	qid;		/* queue: one per possible CPU */
	uint8_t		padding[6];
};
#endif

_Static_assert(sizeof(struct fuse_in_header) == 40, "kernel ABI");
_Static_assert(sizeof(struct fuse_out_header) == 16, "kernel ABI");
_Static_assert(sizeof(struct fuse_write_in) == 40, "kernel ABI");
_Static_assert(sizeof(struct fuse_init_out) == 64, "kernel ABI");
_Static_assert(offsetof(struct fuse_init_in, flags2) == 16, "kernel ABI");
_Static_assert(sizeof(struct fuse_uring_ent_in_out) == 32, "kernel ABI");
_Static_assert(sizeof(struct fuse_uring_req_header) == 288, "kernel ABI");
_Static_assert(sizeof(struct fuse_uring_cmd_req) == 24, "kernel ABI");

#endif
