/*
 * driver.h - the objects of wnbd.sys.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * docs/windows.md, "Design of the driver", has the picture: who owns what, and how
 * long.  Locks are spin locks, and none is held over a call out of the driver but
 * KeSetEvent, allocation and the log:
 *
 *  adapter.lock	(a) the slots, the names in them, references
 *  disk.lock		(d) the engine or the dispatcher's tables, and the disk's
 *			    requests; never together with adapter.lock
 *  wsk_op.lock		innermost
 *
 * (c) is constant once the disk can be found, (t) belongs to the disk's thread.
 */
#ifndef WNBD_DRIVER_H
#define WNBD_DRIVER_H

#include "kernel.h"
#include "scsi.h"
#include "storport_abi.h"

#include "port.h"

#define WNBD_TARGETS		128

struct adapter;
struct disk;
struct dispatcher;
struct nbd;

/* Where a request of dispatch.c is. */
enum io_state {
	IO_NEW,
	IO_QUEUED,		/* waits for the process to fetch it */
	IO_FETCHING,		/* its data is being copied to the process */
	IO_SUBMITTED,		/* the process has it */
	IO_ANSWERING,		/* ... and its answer is being copied */
	IO_DONE
};

/*
 * One SRB that the disk's server has to do with: Storport's SRB extension, zeroed
 * in srb.c.  Storport owns the SRB before HwStartIo and after its completion, which
 * happens once, in io_complete.
 */
struct io {
	LIST_ENTRY	 link;		/* (d) disk.ios */
	struct disk	*disk;		/* referenced */
	SCSI_REQUEST_BLOCK *srb;
	uint8_t		*data;		/* the SRB's buffer, in the system's space */
	struct scsi_cmd	 cmd;
	struct nbe_req	 req;		/* nbd.c */
	struct scsi_range *ranges;	/* UNMAP: ours, of cmd.ranges; or NULL */
	uint32_t	 range;		/* UNMAP: of these, the present one */
	struct nbe_extent *extents;	/* GET LBA STATUS: ours, or NULL */
	/* (d) dispatch.c */
	enum io_state	 state;
	LIST_ENTRY	 queue;		/* dispatcher.queued or .aborted */
	uint32_t	 slot;		/* of the submitted request */
	nbe_time	 submitted_at;
	bool		 aborting;	/* (d) a reset asked for its end */
};

/*
 * Who does the I/O.  All but run are called at up to DISPATCH_LEVEL, with disk.lock
 * held where it says (d); run is the disk's thread.
 */
struct backend {
	/* (d) Take the request; it comes back through io_complete. */
	void	(*submit)(struct disk *, struct io *);
	/* (d) Finish this request soon, with SCSI_ABORTED. */
	void	(*abort)(struct disk *, struct io *);
	/* (d) */
	void	(*stats)(struct disk *, WNBD_DRV_STATS *);
	/* PASSIVE_LEVEL.  Until the disk is up; then disk_ready. */
	NTSTATUS (*start)(struct disk *);
	/* PASSIVE_LEVEL.  Returns when disk.stopping is set, and every request has
	 * been completed. */
	void	(*run)(struct disk *);
	/* PASSIVE_LEVEL.  Frees what start made; after a failed start too. */
	void	(*free)(struct disk *);
};
extern const struct backend nbd_backend;
extern const struct backend dispatch_backend;

struct disk {
	struct adapter	*adapter;	/* (c) */
	unsigned	 target;	/* (c) */
	uint64_t	 id;		/* (c) the connection id */
	WNBD_PROPERTIES	 props;		/* (c) as told by CREATE, completed */
	const struct backend *backend;	/* (c) */
	struct nbd	*nbd;		/* one of these two: (c) */
	struct dispatcher *dispatcher;
	KSPIN_LOCK	 lock;
	KEVENT		 wake;		/* something happened: for the thread */
	void		*thread;	/* joined by the adapter's worker */
	LONG		 refs;		/* (a) 1 for the slot */
	volatile LONG	 stopping;	/* it is being removed: no new requests */
	bool		 up;		/* (a) may be seen */
	struct scsi_unit unit;		/* (d) what the SCSI commands tell */
	LIST_ENTRY	 ios;		/* (d) */
	unsigned	 aborting;	/* (d) ios with aborting set */
	SCSI_REQUEST_BLOCK *reset;	/* (d) waits for aborting to be 0 */
	IRP		*create;	/* (t) to be told when the disk is up */
	IRP		*remove;	/* (a) to be told when it is gone */
	NBD_SERVERS	 servers;	/* (d) */
	int64_t		 received;	/* (d) requests, ever */
	uint64_t	 received_100ns;	/* (d) the last one's interrupt time */
	LIST_ENTRY	 gone;		/* (a) adapter.gone */
};

/* Storport's device extension. */
struct adapter {
	KSPIN_LOCK	 lock;
	struct disk	*slot[WNBD_TARGETS];	/* (a) */
	unsigned	 next_target;		/* (a) where the search begins: a
						 * target is not used again soon */
	uint64_t	 next_id;		/* (a) */
	LIST_ENTRY	 gone;			/* (a) disks for the worker to free */
	unsigned	 disks;			/* (a) that are not freed */
	bool		 stopping;		/* (a) no new disks */
	bool		 started;		/* all of this is set up */
	KEVENT		 work;
	void		*worker;
	UNICODE_STRING	 device_interface;	/* or empty */
};

DRIVER_INITIALIZE DriverEntry;

/* adapter.c */
NTSTATUS adapter_start(struct adapter *, DEVICE_OBJECT *pdo);
void	 adapter_stop(struct adapter *);	/* PASSIVE_LEVEL; all disks go */
/* Up to DISPATCH_LEVEL; they go, one by one. */
void	 adapter_stop_disks(struct adapter *);
/* A target for the disk, under its instance name. */
NTSTATUS adapter_add(struct adapter *, struct disk *);
/* Referenced; NULL: none.  By name and id also disks that are not up yet. */
struct disk *adapter_at(struct adapter *, unsigned path, unsigned target,
	    unsigned lun);
struct disk *adapter_named(struct adapter *, const char *instance);
struct disk *adapter_by_id(struct adapter *, uint64_t id);
/* The disk at or behind target *at that is up; *at moves behind it. */
struct disk *adapter_next(struct adapter *, unsigned *at);
/* Storport is to look for disks that came or went. */
void	 adapter_changed(struct adapter *);

/* disk.c.  PASSIVE_LEVEL where nothing else is said. */
/* Takes the IRP over if it succeeds; it is completed when the disk is up. */
NTSTATUS disk_create(struct adapter *, const WNBD_PROPERTIES *, IRP *);
/* Up to DISPATCH_LEVEL. */
void	 disk_stop(struct disk *);
/* For the adapter's worker: after the thread has ended. */
void	 disk_free(struct disk *);
/* Up to DISPATCH_LEVEL; hold: of somebody who has a reference. */
void	 disk_hold(struct disk *);
void	 disk_release(struct disk *);
void	 disk_info(struct disk *, WNBD_CONNECTION_INFO *);
void	 disk_stats(struct disk *, WNBD_DRV_STATS *);
/* STATUS_PENDING: the IRP is completed when the disk is gone. */
NTSTATUS disk_remove(struct disk *, IRP *);
NTSTATUS disk_resize(struct disk *, uint64_t blocks);
/* (d) held, up to DISPATCH_LEVEL.  Windows learns of it with the next command. */
void	 disk_set_blocks(struct disk *, uint64_t blocks);
/* For disk_info: what the process that serves the disk says of its servers. */
void	 disk_set_servers(struct disk *, const NBD_SERVERS *);

/* io.c: up to DISPATCH_LEVEL. */
/* The disk's share of EXECUTE_SCSI: completes the SRB, now or later. */
void	 io_start(struct disk *, SCSI_REQUEST_BLOCK *);
/* (d) held or not.  cmd has the result. */
void	 io_complete(struct io *);
/* (d) held: true when no request is left. */
bool	 io_none(const struct disk *);
/* Aborts what is under way, then completes the SRB of the reset. */
void	 io_reset(struct disk *, SCSI_REQUEST_BLOCK *);

/* srb.c: up to DISPATCH_LEVEL. */
BOOLEAN NTAPI srb_start_io(void *adapter, SCSI_REQUEST_BLOCK *);
void	 srb_complete(struct adapter *, SCSI_REQUEST_BLOCK *, UCHAR srb_status);
/* With the status, sense data and length that the command has. */
void	 srb_complete_cmd(struct adapter *, SCSI_REQUEST_BLOCK *,
	    const struct scsi_cmd *);

/* dispatch.c: PASSIVE_LEVEL, in the process that serves the disk. */
NTSTATUS dispatch_fetch(struct disk *, IRP *);	/* STATUS_PENDING: it has the IRP */
NTSTATUS dispatch_respond(struct disk *, const WNBD_IOCTL_SEND_RSP_COMMAND *);

/* ioctl.c: PASSIVE_LEVEL, in the process that asks. */
void NTAPI ioctl_service(void *adapter, void *irp);
/* Up to DISPATCH_LEVEL. */
void	 ioctl_complete(struct adapter *, IRP *, NTSTATUS, size_t length);

#endif
