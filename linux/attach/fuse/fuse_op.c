/*
 * fuse_op.c - decode one FUSE request.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One function per opcode, found in a table.  Each checks what the kernel sent
 * against the device before it becomes an order: a length or an offset that
 * cannot be is refused here and goes no further.  An opcode without a line is
 * answered ENOSYS, which makes the kernel use its default and not ask again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse_impl.h"

#define PROTO_MINOR	42	/* what this file was written for */

/* Nothing changes without a notice (fuse_resize), so all may be remembered. */
#define VALID_S		3600

/* One call to decode, and what it is decoded against. */
struct query {
	struct fuse_fs	*fs;
	const struct nbe_export *exp;
	const struct fuse_call *call;
	struct fuse_answer *answer;
};

static enum fuse_verdict
refuse(struct query *q, int error)
{
	q->answer->error = error;
	return FUSE_ANSWER;
}

/* An answer of len bytes, all zero at first. */
static void *
answer(struct query *q, size_t len)
{
	q->answer->len = (uint32_t)len;
	return memset(q->answer->out, 0, len);
}

/* The size of I/O that suits, within what one request carries. */
static uint32_t
suitable_io(const struct nbe_export *exp)
{
	return exp->block_pref < FUSE_PAYLOAD_MAX ? exp->block_pref : FUSE_PAYLOAD_MAX;
}

static void
fill_attr(const struct fuse_fs *fs, const struct nbe_export *exp, uint64_t ino,
    struct fuse_attr *attr)
{
	bool is_disk = ino == FUSE_INO_DISK;

	attr->ino = ino;
	attr->mode = is_disk ? S_IFREG | fs->mode : S_IFDIR | 0755;
	attr->nlink = is_disk ? 1 : 2;
	attr->uid = fs->uid;
	attr->gid = fs->gid;
	attr->size = is_disk ? exp->size : 0;
	attr->blocks = attr->size / 512;
	attr->blksize = suitable_io(exp);
	attr->atime = attr->mtime = attr->ctime = (uint64_t)fs->agreed->started_s;
}

static bool
is_node(uint64_t id)
{
	return id == FUSE_ROOT_ID || id == FUSE_INO_DISK;
}

static enum fuse_verdict
op_lookup(struct query *q)
{
	struct fuse_entry_out *entry;

	if (q->call->head->nodeid != FUSE_ROOT_ID)
		return refuse(q, ENOTDIR);
	if (q->call->payload_len != sizeof(FUSE_DISK_NAME) ||
	    memcmp(q->call->payload, FUSE_DISK_NAME, sizeof(FUSE_DISK_NAME)) != 0)
		return refuse(q, ENOENT);
	entry = answer(q, sizeof(*entry));
	entry->nodeid = FUSE_INO_DISK;
	entry->entry_valid = entry->attr_valid = VALID_S;
	fill_attr(q->fs, q->exp, FUSE_INO_DISK, &entry->attr);
	return FUSE_ANSWER;
}

static enum fuse_verdict
op_getattr(struct query *q)
{
	struct fuse_attr_out *out;

	if (!is_node(q->call->head->nodeid))
		return refuse(q, ESTALE);
	out = answer(q, sizeof(*out));
	out->attr_valid = VALID_S;
	fill_attr(q->fs, q->exp, q->call->head->nodeid, &out->attr);
	return FUSE_ANSWER;
}

/* A device has the size, the owner and the mode that it has; O_TRUNC comes here
 * as well.  Setting times does no harm and is not kept. */
static enum fuse_verdict
op_setattr(struct query *q)
{
	const struct fuse_setattr_in *in = q->call->arg;

	if ((in->valid & (FATTR_MODE | FATTR_UID | FATTR_GID)) != 0)
		return refuse(q, EPERM);
	if ((in->valid & FATTR_SIZE) != 0 &&
	    (q->call->head->nodeid != FUSE_INO_DISK || in->size != q->exp->size))
		return refuse(q, EPERM);
	return op_getattr(q);
}

/*
 * Direct I/O always: the page cache that counts is the block device's, or the
 * program's own; a second one would only double the memory and hide what other
 * clients of the server write.
 */
static enum fuse_verdict
op_open(struct query *q)
{
	const struct fuse_open_in *in = q->call->arg;
	uint64_t unique = q->call->head->unique & ~FUSE_UNIQUE_RESEND;
	struct fuse_open_out *out;

	if (q->call->head->nodeid != FUSE_INO_DISK)
		return refuse(q, EISDIR);
	if (q->fs->read_only && (in->flags & O_ACCMODE) != O_RDONLY)
		return refuse(q, EROFS);
	if (!fuse_agreed_open(q->fs->agreed, unique))
		return refuse(q, ENFILE);
	q->fs->opens = fuse_agreed_opens(q->fs->agreed);
	out = answer(q, sizeof(*out));
	out->fh = unique;
	out->open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
	return FUSE_ANSWER;
}

static enum fuse_verdict
op_release(struct query *q)
{
	const struct fuse_release_in *in = q->call->arg;

	fuse_agreed_release(q->fs->agreed, in->fh);
	q->fs->opens = fuse_agreed_opens(q->fs->agreed);
	return FUSE_ANSWER;
}

static enum fuse_verdict
op_opendir(struct query *q)
{
	if (q->call->head->nodeid != FUSE_ROOT_ID)
		return refuse(q, ENOTDIR);
	answer(q, sizeof(struct fuse_open_out));
	return FUSE_ANSWER;
}

static enum fuse_verdict
op_readdir(struct query *q)
{
	static const struct {
		const char	*name;
		uint32_t	 ino, type;
	} list[] = {
		{ ".", FUSE_ROOT_ID, S_IFDIR >> 12 },
		{ "..", FUSE_ROOT_ID, S_IFDIR >> 12 },
		{ FUSE_DISK_NAME, FUSE_INO_DISK, S_IFREG >> 12 },
	};
	const struct fuse_read_in *in = q->call->arg;
	struct fuse_answer *a = q->answer;
	uint32_t room = in->size < FUSE_PAYLOAD_MAX ? in->size : FUSE_PAYLOAD_MAX;

	for (uint64_t i = in->offset; i < sizeof(list) / sizeof(*list); i++) {
		struct fuse_dirent d = {
			.ino = list[i].ino, .off = i + 1, .type = list[i].type,
			.namelen = (uint32_t)strlen(list[i].name),
		};
		uint32_t size = (uint32_t)FUSE_DIRENT_SIZE(&d);

		if (size > room - a->len)
			break;
		memset(a->out + a->len, 0, size);
		memcpy(a->out + a->len, &d, FUSE_NAME_OFFSET);
		memcpy(a->out + a->len + FUSE_NAME_OFFSET, list[i].name, d.namelen);
		a->len += size;
	}
	return FUSE_ANSWER;
}

static enum fuse_verdict
op_read(struct query *q)
{
	const struct fuse_read_in *in = q->call->arg;
	uint64_t left;

	if (q->call->head->nodeid != FUSE_INO_DISK)
		return refuse(q, EISDIR);
	if (in->size > FUSE_PAYLOAD_MAX)
		return refuse(q, EINVAL);
	if (in->offset >= q->exp->size || in->size == 0)
		return FUSE_ANSWER;
	left = q->exp->size - in->offset;
	q->answer->order = (struct fuse_order){
		.goal = GOAL_READ, .offset = in->offset,
		.length = in->size < left ? in->size : left,
	};
	return FUSE_ORDER;
}

/* At the end as a block device does: a short write, then ENOSPC. */
static enum fuse_verdict
op_write(struct query *q)
{
	const struct fuse_write_in *in = q->call->arg;
	uint64_t left;

	if (q->call->head->nodeid != FUSE_INO_DISK)
		return refuse(q, EISDIR);
	if (q->fs->read_only)
		return refuse(q, EROFS);
	if (in->size > FUSE_PAYLOAD_MAX || in->size != q->call->payload_len)
		return refuse(q, EINVAL);
	if (in->size == 0) {
		answer(q, sizeof(struct fuse_write_out));
		return FUSE_ANSWER;
	}
	if (in->offset >= q->exp->size)
		return refuse(q, ENOSPC);
	left = q->exp->size - in->offset;
	q->answer->order = (struct fuse_order){
		.goal = GOAL_WRITE, .offset = in->offset,
		.length = in->size < left ? in->size : left,
		.flags = (in->flags & O_DSYNC) != 0 ? NBE_FUA : 0,
	};
	return FUSE_ORDER;
}

/* A server without FLUSH keeps no cache that it could be asked to write. */
static enum fuse_verdict
op_fsync(struct query *q)
{
	if (q->call->head->nodeid != FUSE_INO_DISK ||
	    (q->exp->flags & NBE_FLAG_SEND_FLUSH) == 0)
		return FUSE_ANSWER;
	q->answer->order = (struct fuse_order){ .goal = GOAL_FLUSH };
	return FUSE_ORDER;
}

/*
 * The loop driver sends a discard and a "write zeroes, may unmap" alike, as
 * PUNCH_HOLE.  After the second the range must read as zeroes, which TRIM does not
 * promise, so WRITE_ZEROES has the last word and TRIM is only its herald.  But a
 * discard must not make the server write: where it has no fast way to zero, and the
 * user has not said that it may take its time, the answer is "not supported".  Then
 * the block layer writes the zeroes that somebody wanted, and takes a discard, which
 * was a hint, for done; Linux 6.10 and later offers neither discards nor zeroing on
 * that loop device any more.
 *
 * Plain allocation (mode 0) is refused: NBD cannot promise space.
 */
static uint8_t
zero_flags(const struct fuse_fs *fs, bool punch)
{
	if (!punch)
		return NBE_NO_HOLE;
	return NBE_FAST_ZERO | (fs->zero_slowly ? 0 : NBE_FAST_ONLY);
}

static enum fuse_verdict
op_fallocate(struct query *q)
{
	const struct fuse_fallocate_in *in = q->call->arg;
	bool keep_size = (in->mode & FALLOC_FL_KEEP_SIZE) != 0;
	uint32_t how = in->mode & ~(uint32_t)FALLOC_FL_KEEP_SIZE;
	bool punch = how == FALLOC_FL_PUNCH_HOLE;
	uint64_t left;

	if (q->call->head->nodeid != FUSE_INO_DISK)
		return refuse(q, EISDIR);
	if (q->fs->read_only)
		return refuse(q, EROFS);
	if ((!punch && how != FALLOC_FL_ZERO_RANGE) ||
	    (q->exp->flags & NBE_FLAG_SEND_WRITE_ZEROES) == 0)
		return refuse(q, EOPNOTSUPP);
	if (in->length == 0 || in->length > INT64_MAX)
		return refuse(q, EINVAL);
	left = in->offset < q->exp->size ? q->exp->size - in->offset : 0;
	if (in->length > left && !keep_size)
		return refuse(q, ENOSPC);
	if (left == 0)
		return FUSE_ANSWER;
	q->answer->order = (struct fuse_order){
		.goal = GOAL_ZERO, .offset = in->offset,
		.length = in->length < left ? in->length : left,
		.flags = zero_flags(q->fs, punch),
		.trim = punch &&
		    (q->exp->flags & NBE_FLAG_SEND_TRIM) != 0,
	};
	return FUSE_ORDER;
}

/* ENOSYS makes the kernel say what it says of a file without holes. */
static enum fuse_verdict
op_lseek(struct query *q)
{
	const struct fuse_lseek_in *in = q->call->arg;

	if (q->call->head->nodeid != FUSE_INO_DISK || !q->exp->has_alloc)
		return refuse(q, ENOSYS);
	if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)
		return refuse(q, EINVAL);
	if (in->offset >= q->exp->size)
		return refuse(q, ENXIO);
	q->answer->order = (struct fuse_order){
		.goal = GOAL_SEEK, .offset = in->offset,
		.length = q->exp->size - in->offset,
		.seek_hole = in->whence == SEEK_HOLE,
	};
	return FUSE_ORDER;
}

/* The loop driver takes bsize as the granularity of discards. */
static enum fuse_verdict
op_statfs(struct query *q)
{
	struct fuse_statfs_out *out = answer(q, sizeof(*out));

	out->st.bsize = out->st.frsize = suitable_io(q->exp);
	out->st.blocks = q->exp->size / out->st.bsize;
	out->st.files = 1;
	out->st.namelen = 255;
	return FUSE_ANSWER;
}

static enum fuse_verdict
op_nothing(struct query *q)
{
	(void)q;
	return FUSE_ANSWER;
}

/* Nodes are never forgotten: there are two. */
static enum fuse_verdict
op_forget(struct query *q)
{
	(void)q;
	return FUSE_SILENCE;
}

/* FLUSH is close(2), which promises nothing.  INTERRUPT: what was asked of the
 * disk ends by itself, in bounded time.  The kernel need send neither again. */
static enum fuse_verdict
op_never_again(struct query *q)
{
	return refuse(q, ENOSYS);
}

static uint64_t
init_flags(const struct fuse_fs *fs, const struct fuse_init_in *in, uint32_t len)
{
	uint64_t offered = in->flags;
	uint64_t wanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO |
	    FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_INIT_EXT |
	    FUSE_DIRECT_IO_ALLOW_MMAP | FUSE_HAS_RESEND;

	if ((in->flags & FUSE_INIT_EXT) != 0 &&
	    len >= offsetof(struct fuse_init_in, flags2) + sizeof(in->flags2))
		offered |= (uint64_t)in->flags2 << 32;
	if (fs->want_uring)
		wanted |= FUSE_OVER_IO_URING;
	return offered & wanted;
}

static enum fuse_verdict
op_init(struct query *q)
{
	const struct fuse_init_in *in = q->call->arg;
	struct fuse_init_out *out;
	uint64_t flags;

	if (q->fs->inited || in->major < FUSE_KERNEL_VERSION)
		return refuse(q, EPROTO);
	out = answer(q, sizeof(*out));
	out->major = FUSE_KERNEL_VERSION;
	out->minor = in->minor < PROTO_MINOR ? in->minor : PROTO_MINOR;
	/* A newer kernel asks again, in our version. */
	if (in->major > FUSE_KERNEL_VERSION)
		return FUSE_ANSWER;
	flags = init_flags(q->fs, in, q->call->arg_len);
	out->flags = (uint32_t)flags;
	out->flags2 = (uint32_t)(flags >> 32);
	out->max_readahead = in->max_readahead;
	out->max_background = q->fs->max_background;
	out->congestion_threshold = (uint16_t)(q->fs->max_background / 4 * 3);
	out->max_write = FUSE_PAYLOAD_MAX;
	out->max_pages = (uint16_t)(FUSE_PAYLOAD_MAX / sysconf(_SC_PAGESIZE));
	out->time_gran = 1;
	q->fs->inited = true;
	q->fs->can_resend = (flags & FUSE_HAS_RESEND) != 0;
	q->fs->over_uring = (flags & FUSE_OVER_IO_URING) != 0;
	return FUSE_ANSWER;
}

/* arg_min: bytes of the fixed part; what follows it is payload where the opcode
 * has one. */
static const struct {
	enum fuse_verdict (*decode)(struct query *);
	uint16_t	 arg_min;
	bool		 has_payload;
} ops[] = {
	[FUSE_LOOKUP]	= { op_lookup, 0, true },
	[FUSE_FORGET]	= { op_forget, 0, false },
	[FUSE_GETATTR]	= { op_getattr, 0, false },
	[FUSE_SETATTR]	= { op_setattr, sizeof(struct fuse_setattr_in), false },
	[FUSE_OPEN]	= { op_open, sizeof(struct fuse_open_in), false },
	[FUSE_READ]	= { op_read, sizeof(struct fuse_read_in), false },
	[FUSE_WRITE]	= { op_write, sizeof(struct fuse_write_in), true },
	[FUSE_STATFS]	= { op_statfs, 0, false },
	[FUSE_RELEASE]	= { op_release, sizeof(struct fuse_release_in), false },
	[FUSE_FSYNC]	= { op_fsync, 0, false },
	[FUSE_FLUSH]	= { op_never_again, 0, false },
	[FUSE_INIT]	= { op_init, offsetof(struct fuse_init_in, flags2), false },
	[FUSE_OPENDIR]	= { op_opendir, 0, false },
	[FUSE_READDIR]	= { op_readdir, sizeof(struct fuse_read_in), false },
	[FUSE_RELEASEDIR] = { op_nothing, 0, false },
	[FUSE_FSYNCDIR]	= { op_nothing, 0, false },
	[FUSE_INTERRUPT] = { op_never_again, 0, false },
	[FUSE_DESTROY]	= { op_nothing, 0, false },
	[FUSE_BATCH_FORGET] = { op_forget, 0, false },
	[FUSE_FALLOCATE] = { op_fallocate, sizeof(struct fuse_fallocate_in), false },
	[FUSE_LSEEK]	= { op_lseek, sizeof(struct fuse_lseek_in), false },
};

static bool
is_known(uint32_t opcode)
{
	return opcode < sizeof(ops) / sizeof(*ops) && ops[opcode].decode != NULL;
}

bool
fuse_call_split(struct fuse_call *c, const void *bytes, size_t len)
{
	const struct fuse_in_header *head = bytes;
	uint32_t rest;

	if (len < sizeof(*head) || head->len != len)
		return false;
	rest = (uint32_t)(len - sizeof(*head));
	*c = (struct fuse_call){ .head = head, .arg = head + 1, .arg_len = rest };
	if (!is_known(head->opcode) || !ops[head->opcode].has_payload)
		return true;
	if (c->arg_len > ops[head->opcode].arg_min)
		c->arg_len = ops[head->opcode].arg_min;
	c->payload = (const uint8_t *)c->arg + c->arg_len;
	c->payload_len = rest - c->arg_len;
	return true;
}

enum fuse_verdict
fuse_decode(struct fuse_fs *fs, const struct nbe_export *exp,
    const struct fuse_call *call, struct fuse_answer *answer)
{
	struct query q = { fs, exp, call, answer };
	uint32_t opcode = call->head->opcode;

	answer->error = 0;
	answer->len = 0;
	if (!is_known(opcode))
		return refuse(&q, ENOSYS);
	if (call->arg_len < ops[opcode].arg_min)
		return refuse(&q, EINVAL);
	return ops[opcode].decode(&q);
}
