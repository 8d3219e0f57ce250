/*
 * wire.h - NBD on the wire: numbers, and how to read and write them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Names are those of proto.md, without their NBD_ prefix.  No state.
 */
#ifndef NBE_WIRE_H
#define NBE_WIRE_H

#include "nbe_port.h"

/* Magic numbers. */
#define MAGIC_SERVER		UINT64_C(0x4e42444d41474943)	/* "NBDMAGIC" */
#define MAGIC_OPTION		UINT64_C(0x49484156454f5054)	/* "IHAVEOPT" */
#define MAGIC_OLDSTYLE		UINT64_C(0x0000420281861253)
#define MAGIC_OPTION_REPLY	UINT64_C(0x0003e889045565a9)
#define MAGIC_REQUEST		0x25609513u
#define MAGIC_SIMPLE_REPLY	0x67446698u
#define MAGIC_STRUCTURED_REPLY	0x668e33efu
#define MAGIC_EXT_REQUEST	0x21e41c71u
#define MAGIC_EXT_REPLY		0x6e8a278cu

/* Options. */
enum {
	OPT_EXPORT_NAME = 1, OPT_ABORT = 2, OPT_LIST = 3, OPT_STARTTLS = 5,
	OPT_INFO = 6, OPT_GO = 7, OPT_STRUCTURED_REPLY = 8,
	OPT_SET_META_CONTEXT = 10, OPT_EXTENDED_HEADERS = 11,
};

/* Option replies; bit 31 marks an error. */
#define REP_IS_ERROR(rep)	(((rep) >> 31) != 0)
#define REP_ERR(n)		(0x80000000u | (n))
enum { REP_ACK = 1, REP_SERVER = 2, REP_INFO = 3, REP_META_CONTEXT = 4 };
#define REP_ERR_UNSUP		REP_ERR(1)
#define REP_ERR_POLICY		REP_ERR(2)
#define REP_ERR_INVALID		REP_ERR(3)
#define REP_ERR_PLATFORM	REP_ERR(4)
#define REP_ERR_TLS_REQD	REP_ERR(5)
#define REP_ERR_UNKNOWN		REP_ERR(6)
#define REP_ERR_SHUTDOWN	REP_ERR(7)
#define REP_ERR_BLOCK_SIZE_REQD	REP_ERR(8)
#define REP_ERR_TOO_BIG		REP_ERR(9)
#define REP_ERR_EXT_HEADER_REQD	REP_ERR(10)

enum { INFO_EXPORT = 0, INFO_NAME = 1, INFO_DESCRIPTION = 2, INFO_BLOCK_SIZE = 3 };

/* Commands and their flags. */
enum {
	CMD_READ = 0, CMD_WRITE = 1, CMD_DISC = 2, CMD_FLUSH = 3, CMD_TRIM = 4,
	CMD_CACHE = 5, CMD_WRITE_ZEROES = 6, CMD_BLOCK_STATUS = 7,
};
#define CMD_FLAG_FUA		(1u << 0)
#define CMD_FLAG_NO_HOLE	(1u << 1)
#define CMD_FLAG_FAST_ZERO	(1u << 4)
#define CMD_FLAG_PAYLOAD_LEN	(1u << 5)

/* Structured and extended replies. */
#define REPLY_FLAG_DONE		(1u << 0)
#define REPLY_TYPE_IS_ERROR(t)	(((t) >> 15) != 0)
enum {
	REPLY_TYPE_NONE = 0, REPLY_TYPE_OFFSET_DATA = 1, REPLY_TYPE_OFFSET_HOLE = 2,
	REPLY_TYPE_BLOCK_STATUS = 5, REPLY_TYPE_BLOCK_STATUS_EXT = 6,
	REPLY_TYPE_ERROR = 32769, REPLY_TYPE_ERROR_OFFSET = 32770,
};

/* Errors of replies. */
enum {
	WIRE_EPERM = 1, WIRE_EIO = 5, WIRE_ENOMEM = 12, WIRE_EINVAL = 22,
	WIRE_ENOSPC = 28, WIRE_EOVERFLOW = 75, WIRE_ENOTSUP = 95,
	WIRE_ESHUTDOWN = 108,
};

/* Bytes of each message's fixed part. */
enum {
	LEN_MAGIC = 8,
	LEN_HANDSHAKE_FLAGS = 2,
	LEN_OLDSTYLE_REST = 136,	/* size, flags, 124 zeroes */
	LEN_EXPORT_NAME_REPLY = 10,	/* size, flags */
	LEN_EXPORT_NAME_ZEROES = 124,
	LEN_OPTION = 16,
	LEN_OPTION_REPLY = 20,
	LEN_INFO_EXPORT = 12,
	LEN_INFO_BLOCK_SIZE = 14,
	LEN_REQUEST = 28,
	LEN_EXT_REQUEST = 32,
	LEN_SIMPLE_REPLY = 16,
	LEN_STRUCTURED_REPLY = 20,
	LEN_EXT_REPLY = 32,
};

/* Everything is big-endian, at any alignment. */
static inline uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t
get64(const uint8_t *p)
{
	return (uint64_t)get32(p) << 32 | get32(p + 4);
}

/* Each put returns the place behind what it wrote.  clang makes one load of the gets
 * above, but of single bytes that are stored it would not make one store. */
static inline uint8_t *
put16(uint8_t *p, uint16_t v)
{
	v = NBE_TO_BE16(v);
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

static inline uint8_t *
put32(uint8_t *p, uint32_t v)
{
	v = NBE_TO_BE32(v);
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

static inline uint8_t *
put64(uint8_t *p, uint64_t v)
{
	v = NBE_TO_BE64(v);
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

#endif
