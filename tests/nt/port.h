/*
 * port.h - the objects of a test-only storport.sys for a real NT kernel.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * port.c has what a miniport calls, port_adapter.c the adapters (FDO), port_disk.c the
 * disks (PDO), port_ioctl.c what is asked of a disk beside SRBs, port_request.c the
 * SRBs' way to the miniport and back.
 *
 * What a miniport must not do is a violation: it is printed, and counted.
 */
#ifndef NT_PORT_H
#define NT_PORT_H

#include "port_abi.h"
#include "test_ioctl.h"

#define TAG		'troS'
#define TARGETS_MAX	128
#define INQUIRY_SIZE	36
#define SERIAL_SIZE	256

enum type { TYPE_ADAPTER = 1, TYPE_DISK };

struct adapter {
	enum type	 type;
	PDEVICE_OBJECT	 device, pdo, lower;	/* FDO, PDO, what is below */
	PVOID		 ext;			/* the miniport's; NULL: not started */
	UCHAR		 config[CONFIG_LENGTH];
	BOOLEAN		 stopping, leaving;
	KEVENT		 rescan;
	PVOID		 scanner, clock;	/* threads */
	KSPIN_LOCK	 lock;			/* what follows */
	LIST_ENTRY	 requests;		/* with the miniport */
	LIST_ENTRY	 ended;			/* for the DPC */
	LIST_ENTRY	 disks;
	KDPC		 dpc;
	LONG		 outstanding, max_outstanding;
	LONG		 resets, service_irps, queries;
	ULONG		 srb_timeout_s;		/* 0: the class driver's */
};

struct disk {
	enum type	 type;
	struct adapter	*adapter;
	PDEVICE_OBJECT	 device;
	LIST_ENTRY	 link;			/* adapter.disks */
	UCHAR		 target;
	BOOLEAN		 gone;			/* no relation any more */
	BOOLEAN		 claimed;
	BOOLEAN		 leaving;		/* a soft removal is wanted */
	LONG		 paging;
	UCHAR		 inquiry[INQUIRY_SIZE];
	char		 serial[SERIAL_SIZE];
};

struct request {
	LIST_ENTRY	 link;
	struct adapter	*adapter;
	PSCSI_REQUEST_BLOCK srb;
	PIRP		 irp;			/* NULL: the port's own */
	KEVENT		*event;			/* of those, set at the end */
	PVOID		 data, extension, original; /* as the class driver had them */
	ULONG		 length;
	LARGE_INTEGER	 started;
	ULONG		 timeout_s;
	BOOLEAN		 resetting;
	/* the miniport's SRB extension follows */
};

extern VIRTUAL_HW_INITIALIZATION_DATA hw;
extern PDRIVER_OBJECT hw_driver;
extern LONG violations;

void	violation(const char *format, ...);
NTSTATUS done(PIRP, NTSTATUS, ULONG_PTR information);

/* port_adapter.c */
DRIVER_ADD_DEVICE adapter_add;
NTSTATUS adapter_pnp(struct adapter *, PIRP);
NTSTATUS adapter_ioctl(struct adapter *, PIRP);
void	adapter_complete_service(struct adapter *, PIRP);

/* port_disk.c: PASSIVE_LEVEL */
void	disk_scan(struct adapter *);
NTSTATUS disk_relations(struct adapter *, PIRP);
NTSTATUS disk_pnp(struct disk *, PIRP);
void	disk_forget_all(struct adapter *);
struct disk *disk_at(struct adapter *, ULONG target);

/* port_ioctl.c */
NTSTATUS disk_scsi(struct disk *, PIRP);
NTSTATUS disk_ioctl(struct disk *, PIRP);

/* port_request.c */
/* For the SRB of an IRP, which is pending from then on. */
NTSTATUS request_start(struct disk *, PIRP, PSCSI_REQUEST_BLOCK);
/* The port's own; waits.  The SRB status. */
UCHAR	request_run(struct adapter *, PSCSI_REQUEST_BLOCK);
UCHAR	request_cdb(struct adapter *, UCHAR target, const UCHAR *cdb, UCHAR cdb_length,
	    PVOID data, ULONG length);
void	request_ended(struct adapter *, PSCSI_REQUEST_BLOCK);
PVOID	request_address(struct adapter *, PSCSI_REQUEST_BLOCK);
KDEFERRED_ROUTINE request_dpc;
KSTART_ROUTINE request_clock;

#endif
