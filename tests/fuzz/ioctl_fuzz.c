/*
 * ioctl_fuzz.c - libFuzzer: processes that say anything to wnbd.sys.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Input: the room for output (2 bytes), then the command.
 */
#include <stdlib.h>

#include "check.h"
#include "options.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
check_create(const WNBD_PROPERTIES *p)
{
	/* Each of these would read on, without an end. */
	must(strlen(p->InstanceName) < sizeof(p->InstanceName));
	must(strlen(p->SerialNumber) < sizeof(p->SerialNumber));
	must(p->BlockSize == 0 || p->BlockSize == 512 || p->BlockSize == 4096);
	must(p->BlockSize != 0 || p->Flags.UseKernelNbd);
	if (p->Flags.UseKernelNbd) {
		must(p->NbdProperties.PortNumber <= 65535);
		must(strlen(p->NbdProperties.Hostname) < WNBD_MAX_NAME_LENGTH);
	} else {
		must(p->BlockCount <= INT64_MAX / p->BlockSize);
	}
}

static void
check_set(const WNBD_IOCTL_SET_DRV_OPT_COMMAND *c)
{
	enum option o = option_by_name(c->Name, WNBD_MAX_NAME_LENGTH);
	int64_t value;

	if (o != OPTIONS && option_convert(o, &c->Value, &value))
		must(option_set(o, value) && option(o) == value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t size)
{
	void *copy;
	ULONG code;

	if (size < 2)
		return 0;
	copy = malloc(size);
	memcpy(copy, in + 2, size - 2);
	if (check_command(copy, size - 2, (size_t)(in[0] | in[1] << 8)) == CHECK_OK) {
		memcpy(&code, copy, sizeof(code));
		if (code == IOCTL_WNBD_CREATE)
			check_create(&((WNBD_IOCTL_CREATE_COMMAND *)copy)->Properties);
		if (code == IOCTL_WNBD_SET_DRV_OPT)
			check_set(copy);
	}
	free(copy);
	return 0;
}
