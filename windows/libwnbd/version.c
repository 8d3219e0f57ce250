/*
 * version.c - which version the library is, and which the driver.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>
#include <string.h>

#include "lib.h"
#include "version.h"

DWORD
WnbdGetLibVersion(PWNBD_VERSION Version)
{
	if (Version == NULL)
		return ERROR_INVALID_PARAMETER;
	memset(Version, 0, sizeof(*Version));
	Version->Major = NBDISK_MAJOR;
	Version->Minor = NBDISK_MINOR;
	Version->Patch = NBDISK_PATCH;
	snprintf(Version->Description, sizeof(Version->Description), "%s",
	    NBDISK_VERSION);
	return 0;
}

DWORD
WnbdGetDriverVersion(PWNBD_VERSION Version)
{
	HANDLE adapter;
	DWORD status = Version == NULL ? ERROR_INVALID_PARAMETER :
	    WnbdOpenAdapter(&adapter);

	return status != 0 ? status : lib_done(adapter,
	    WnbdIoctlVersion(adapter, Version, NULL));
}
