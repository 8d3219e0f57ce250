/*
 * port.h - the objects of the test-only storport.sys.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * port.c has the driver and its adapters, port_disk.c the disks as programs see
 * them, port_request.c the SRBs.
 */
#ifndef PORT_H
#define PORT_H

#include "port_abi.h"

#include "test_ioctl.h"

#define DRIVERS_MAX	4
#define TARGETS_MAX	128

struct driver {
	PDRIVER_OBJECT	object;
	VIRTUAL_HW_INITIALIZATION_DATA hw;
};

enum type { TYPE_ADAPTER = 1, TYPE_DISK, TYPE_FILTER };

/* Between the adapter and its PDO, so that the two are not next to each other. */
struct filter {
	enum type	 type;
	PDEVICE_OBJECT	 lower;		/* NULL: there is no PDO */
};

struct disk;
struct adapter {
	enum type	 type;
	struct driver	*driver;
	PDEVICE_OBJECT	 device, pdo, lower;	/* FDO, PDO, filter */
	PVOID		 ext;		/* the miniport's */
	UCHAR		 config[CONFIG_LENGTH];
	UNICODE_STRING	 interface_name;
	KSEMAPHORE	 rescan;
	PVOID		 scanner, clock;
	BOOLEAN		 stop, started;
	struct disk	*disks;
	KSPIN_LOCK	 lock;		/* requests */
	LIST_ENTRY	 requests, retries;
	LONG		 outstanding, max_outstanding, resets, retried;
	LONG		 service_irps;
	PIRP		 removal;	/* the last service IRP that is a REMOVE */
	ULONG		 srb_timeout_s;
};

struct disk {
	enum type	 type;
	struct disk	*next;
	struct adapter	*adapter;
	PDEVICE_OBJECT	 device;
	UCHAR		 target;
	BOOLEAN		 gone;
	ULONG		 block_size, number;
	ULONGLONG	 blocks;
	WCHAR		 link[64];
};

enum kind { KIND_INTERNAL, KIND_READ_WRITE, KIND_FLUSH, KIND_PASS, KIND_PASS_DIRECT };

struct request {
	SCSI_REQUEST_BLOCK srb;
	UCHAR		 sense[64];
	LIST_ENTRY	 link;
	struct adapter	*adapter;
	enum kind	 kind;
	PIRP		 irp;
	KEVENT		*event;		/* internal: set at the end */
	PVOID		 bounce;	/* pass-through: its data */
	HANDLE		 process;
	PVOID		 user;
	ULONG		 length;	/* of the data, as asked for */
	LONG		 state;		/* 1: at the miniport */
	LARGE_INTEGER	 started;
	ULONG		 tries;
	BOOLEAN		 resetting;
	/* the miniport's SRB extension follows */
};

#endif
