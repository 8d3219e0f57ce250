/*
 * port_disk.h - disks as programs see them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef PORT_DISK_H
#define PORT_DISK_H

#include "port.h"

/* Looks for disks that came and went. */
void	disk_scan(struct adapter *);
void	disk_remove_all(struct adapter *);
NTSTATUS disk_read_write(struct disk *, PIRP, BOOLEAN write);
NTSTATUS disk_flush(struct disk *, PIRP);
NTSTATUS disk_ioctl(struct disk *, PIRP);
struct disk *disk_at(struct adapter *, ULONG target);
/* As Plug and Play calls it, of the client tests' cfgmgr32.dll. */
NTSTATUS disk_instance_id(PDEVICE_OBJECT, PWSTR, ULONG size, PULONG length);

NTSTATUS port_done(PIRP, NTSTATUS, ULONG_PTR information);

#endif
