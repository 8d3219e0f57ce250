/*
 * vendor.h - whom the properties of the binaries name; for version resources, too.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#define WNBD_COMPANY_STR	"nbdisk"
#define WNBD_FILEDESCRIPTION_STR "WNBD"
#define WNBD_PRODUCTNAME_STR	"WNBD"
