/*
 * ublkdev.c - a block device of ublk, the kernel's driver for servers in user space.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ublkdev.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "ublk_control.h"
#include "ublk_params.h"
#include "ublk_proto.h"

#define CONTROL_MS	10000
#define START_MS	60000	/* who reads the partition table waits for the server */
#define BUSY_MS		1000
#define TAKE_MS		10000
#define BUSY_POLL_MS	20

/* Deletes without waiting for who has it open, since Linux 6.9; no feature tells. */
#define OLDEST_MAJOR	6
#define OLDEST_MINOR	9

_Static_assert(sizeof(struct ublksrv_ctrl_dev_info) <= UBLK_BUFFER_MAX, "room");
_Static_assert(sizeof(struct ublk_params) <= UBLK_BUFFER_MAX, "room");

/* ---- what the kernel has -------------------------------------------------------- */

static int
features(uint64_t *bits)
{
	const struct ublk_order order = {
		.op = UBLK_U_CMD_GET_FEATURES, .number = UBLK_NO_NUMBER,
		.buffer = bits, .length = sizeof(*bits), .timeout_ms = CONTROL_MS,
	};

	return ublk_control(&order);
}

static bool
is_new_enough(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	if (uname(&name) < 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return false;
	return major > OLDEST_MAJOR || (major == OLDEST_MAJOR && minor >= OLDEST_MINOR);
}

bool
ublkdev_possible(struct errtext *err)
{
	uint64_t bits = 0;
	int ret;

	if (access(UBLK_CONTROL, F_OK) < 0)
		return errtext_set(err, "ublk: " UBLK_CONTROL ": %s; "
		    "\"modprobe ublk_drv\" makes it, where the kernel has it",
		    strerror(errno));
	ret = features(&bits);
	if (ret < 0 && ret != -EOPNOTSUPP && ret != -EINVAL)
		return errtext_set(err, "ublk: " UBLK_CONTROL ": %s", strerror(-ret));
	return (ret >= 0 && is_new_enough() && (bits & UBLK_F_CMD_IOCTL_ENCODE) != 0) ||
	    errtext_set(err, "ublk: this kernel's is too old; Linux %d.%d is needed",
	    OLDEST_MAJOR, OLDEST_MINOR);
}

static bool
has(uint64_t feature)
{
	uint64_t bits = 0;

	return features(&bits) >= 0 && (bits & feature) != 0;
}

/* ---- add, start -------------------------------------------------------- */

static int
simple(const struct ublkdev *u, uint32_t op, uint64_t data, unsigned timeout_ms)
{
	const struct ublk_order order = {
		.op = op, .number = u->number, .data = data, .timeout_ms = timeout_ms,
	};

	return ublk_control(&order);
}

static bool
set_params(const struct ublkdev *u, const struct ublkdev_config *c, struct errtext *err)
{
	struct ublk_params params;
	const struct ublk_order order = {
		.op = UBLK_U_CMD_SET_PARAMS, .number = u->number,
		.buffer = &params, .length = UBLK_PARAMS_LEN, .timeout_ms = CONTROL_MS,
	};
	int ret;

	ublk_params_make(&params, c);
	ret = ublk_control(&order);
	return ret >= 0 || errtext_set(err, "ublk: the kernel refuses what the disk is "
	    "like: %s", strerror(-ret));
}

bool
ublkdev_add(struct ublkdev *u, const struct ublkdev_config *c, struct errtext *err)
{
	struct ublksrv_ctrl_dev_info info = {
		.nr_hw_queues = 1, .queue_depth = UBLK_DEPTH,
		.max_io_buf_bytes = UBLK_PAYLOAD_MAX, .dev_id = UBLK_NO_NUMBER,
		.ublksrv_pid = -1, .flags = UBLK_F_CMD_IOCTL_ENCODE |
		    UBLK_F_USER_COPY | UBLK_F_AUTO_BUF_REG |
		    UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE,
	};
	const struct ublk_order order = {
		.op = UBLK_U_CMD_ADD_DEV, .number = UBLK_NO_NUMBER,
		.buffer = &info, .length = sizeof(info), .timeout_ms = CONTROL_MS,
	};
	int ret;

	if (getrandom(&info.ublksrv_flags, sizeof(info.ublksrv_flags), 0) < 0)
		return errtext_set(err, "getrandom: %s", strerror(errno));
	ret = ublk_control(&order);
	if (ret < 0)
		return errtext_set(err, "ublk: add a device: %s", strerror(-ret));
	*u = (struct ublkdev){
		.number = info.dev_id, .token = info.ublksrv_flags,
		.registers = (info.flags & UBLK_F_AUTO_BUF_REG) != 0,
	};
	if (set_params(u, c, err))
		return true;
	ublkdev_remove_by_force(u, CONTROL_MS);
	return false;
}

bool
ublkdev_start(const struct ublkdev *u, pid_t server, struct errtext *err)
{
	int ret = simple(u, UBLK_U_CMD_START_DEV, (uint64_t)server, START_MS);

	return ret >= 0 || errtext_set(err, "start /dev/ublkb%u: %s", u->number,
	    strerror(-ret));
}

/* ---- what there is -------------------------------------------------------- */

static int
get_info(const struct ublkdev *u, struct ublksrv_ctrl_dev_info *info)
{
	const struct ublk_order order = {
		.op = UBLK_U_CMD_GET_DEV_INFO, .number = u->number,
		.buffer = info, .length = sizeof(*info), .timeout_ms = CONTROL_MS,
	};

	*info = (struct ublksrv_ctrl_dev_info){ 0 };
	return ublk_control(&order);
}

bool
ublkdev_is(const struct ublkdev *u)
{
	struct ublksrv_ctrl_dev_info info;

	return get_info(u, &info) >= 0 && info.ublksrv_flags == u->token;
}

bool
ublkdev_is_there(unsigned number)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/ublkb%u", number);
	return access(path, F_OK) == 0;
}

/* ---- another server -------------------------------------------------------- */

static bool
is_like(const struct ublk_params *old, const struct ublk_params *new)
{
	struct ublk_param_basic sized = new->basic;

	sized.dev_sectors = old->basic.dev_sectors;
	return old->basic.dev_sectors <= new->basic.dev_sectors &&
	    memcmp(&old->basic, &sized, sizeof(sized)) == 0 &&
	    memcmp(&old->discard, &new->discard, sizeof(new->discard)) == 0;
}

/* It may have grown, and must be the same otherwise. */
static bool
fits(const struct ublkdev *u, const struct ublkdev_config *c, struct errtext *err)
{
	struct ublk_params old = { .len = UBLK_PARAMS_LEN }, new;
	const struct ublk_order order = {
		.op = UBLK_U_CMD_GET_PARAMS, .number = u->number,
		.buffer = &old, .length = UBLK_PARAMS_LEN, .timeout_ms = CONTROL_MS,
	};
	int ret = ublk_control(&order);

	if (ret < 0)
		return errtext_set(err, "/dev/ublkb%u: what it is like: %s", u->number,
		    strerror(-ret));
	ublk_params_make(&new, c);
	return is_like(&old, &new) || errtext_set(err, "the server offers another disk "
	    "than /dev/ublkb%u is: its size, block sizes or flags are not the same",
	    u->number);
}

static bool
can_take(struct ublkdev *u, struct errtext *err)
{
	struct ublksrv_ctrl_dev_info info;

	if (get_info(u, &info) < 0 || info.ublksrv_flags != u->token)
		return errtext_set(err, "/dev/ublkb%u is gone", u->number);
	if ((info.flags & UBLK_F_USER_COPY) == 0)
		return errtext_set(err, "/dev/ublkb%u is another version's", u->number);
	u->registers = (info.flags & UBLK_F_AUTO_BUF_REG) != 0;
	return (info.flags & UBLK_F_USER_RECOVERY) != 0 || errtext_set(err,
	    "/dev/ublkb%u has ended with its daemon", u->number);
}

/* The kernel needs a moment to see that the old one is dead.  EINVAL: somebody has
 * begun this, and died before he served. */
static int
start_recovery(const struct ublkdev *u)
{
	const struct timespec poll = { .tv_nsec = BUSY_POLL_MS * 1000000 };
	int ret = -EBUSY;

	for (unsigned ms = 0; ret == -EBUSY && ms < TAKE_MS; ms += BUSY_POLL_MS) {
		ret = simple(u, UBLK_U_CMD_START_USER_RECOVERY, 0, CONTROL_MS);
		if (ret == -EBUSY)
			(void)nanosleep(&poll, NULL);
	}
	return ret == -EINVAL ? 0 : ret;
}

bool
ublkdev_take(struct ublkdev *u, const struct ublkdev_config *c,
    struct errtext *err)
{
	int ret;

	if (!can_take(u, err) || !fits(u, c, err))
		return false;
	ret = start_recovery(u);
	return ret >= 0 || errtext_set(err, "take /dev/ublkb%u over: %s", u->number,
	    strerror(-ret));
}

bool
ublkdev_resume(const struct ublkdev *u, pid_t server, struct errtext *err)
{
	int ret = simple(u, UBLK_U_CMD_END_USER_RECOVERY, (uint64_t)server, START_MS);

	return ret >= 0 || errtext_set(err, "resume /dev/ublkb%u: %s", u->number,
	    strerror(-ret));
}

/* ---- change -------------------------------------------------------- */

bool
ublkdev_resize(const struct ublkdev *u, uint64_t size, struct errtext *err)
{
	int ret = -EOPNOTSUPP;

	if (has(UBLK_F_UPDATE_SIZE))
		ret = simple(u, UBLK_U_CMD_UPDATE_SIZE, size >> 9, CONTROL_MS);
	if (ret == -EOPNOTSUPP)
		return errtext_set(err, "/dev/ublkb%u: this kernel's ublk cannot "
		    "resize (Linux 6.16 can); disconnect, and connect again",
		    u->number);
	return ret >= 0 || errtext_set(err, "resize /dev/ublkb%u: %s", u->number,
	    strerror(-ret));
}

/* ---- stop, delete -------------------------------------------------------- */

/* Nobody can mount it, or put it under another device, until this is closed; -errno. */
static int
claim(const struct ublkdev *u)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/dev/ublkb%u", u->number);
	fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	return fd >= 0 ? fd : -errno;
}

/* Where the kernel does not say whether somebody has it open, whoever looked before
 * knows, and this is about those who come now. */
static int
stop_claimed(const struct ublkdev *u, unsigned timeout_ms)
{
	int fd = claim(u), ret;

	if (fd == -EBUSY)
		return fd;
	ret = simple(u, UBLK_U_CMD_STOP_DEV, 0, timeout_ms);
	if (fd >= 0)
		close(fd);
	return ret;
}

static int
stop_once(const struct ublkdev *u, unsigned timeout_ms)
{
	if (!ublkdev_is_there(u->number))
		return 0;
	if (has(UBLK_F_SAFE_STOP_DEV))
		return simple(u, UBLK_U_CMD_TRY_STOP_DEV, 0, timeout_ms);
	return stop_claimed(u, timeout_ms);
}

/* udev looks into a device that changes, for a moment. */
static int
stop(const struct ublkdev *u, unsigned timeout_ms)
{
	const struct timespec poll = { .tv_nsec = BUSY_POLL_MS * 1000000 };
	int ret = stop_once(u, timeout_ms);

	for (unsigned ms = 0; ret == -EBUSY && ms < BUSY_MS; ms += BUSY_POLL_MS) {
		(void)nanosleep(&poll, NULL);
		ret = stop_once(u, timeout_ms);
	}
	return ret;
}

/* As long as this is open the number is nobody else's.  -1: who serves it has it. */
static int
pin(const struct ublkdev *u)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/ublkc%u", u->number);
	return open(path, O_RDWR | O_CLOEXEC);
}

bool
ublkdev_remove(const struct ublkdev *u, unsigned timeout_ms, struct errtext *err)
{
	int pinned = pin(u), ret = 0;

	if (ublkdev_is(u)) {
		ret = stop(u, timeout_ms);
		if (ret >= 0)
			ret = simple(u, UBLK_U_CMD_DEL_DEV_ASYNC, 0, timeout_ms);
	}
	if (pinned >= 0)
		close(pinned);
	if (ret == -EBUSY)
		return errtext_set(err, "it is in use:\n/dev/ublkb%u is open",
		    u->number);
	return ret >= 0 || errtext_set(err, "remove /dev/ublkb%u: %s", u->number,
	    strerror(-ret));
}

void
ublkdev_remove_by_force(const struct ublkdev *u, unsigned timeout_ms)
{
	int pinned = pin(u);

	if (ublkdev_is(u)) {
		(void)simple(u, UBLK_U_CMD_STOP_DEV, 0, timeout_ms);
		(void)simple(u, UBLK_U_CMD_DEL_DEV_ASYNC, 0, timeout_ms);
	}
	if (pinned >= 0)
		close(pinned);
}
