/*
 * net.c - sockets over the wire, and the thread that owns them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * An operation is handed over under the lock; everything else is the thread's.  It
 * completes IRPs at DISPATCH_LEVEL, as a network stack does.
 */
#include "net.h"

/* The port has 16 bytes at a time, and a wait is as long as the clock's tick: so it is
 * looked at often, but not so that QEMU has no time to fill it. */
#define POLLS	200u
#define POLL_US	50u

static struct socket *sockets[SOCKETS];	/* the lock's */
static LIST_ENTRY submitted;		/* the lock's */
static KSPIN_LOCK lock;
static KEVENT wake;
static PVOID thread;
static volatile LONG stop;

void
net_violation(const char *what)
{
	DbgPrint("netio: VIOLATION: %s\n", what);
}

/* ---- the end of an operation ----------------------------------------------- */

static void
complete(struct op *o, NTSTATUS status, ULONG_PTR information)
{
	PIRP irp = o->irp;
	KIRQL irql;

	RemoveEntryList(&o->link);
	/* Its cancel routine has the lock of all cancellations while it uses o. */
	if (IoSetCancelRoutine(irp, NULL) == NULL) {
		IoAcquireCancelSpinLock(&irql);
		IoReleaseCancelSpinLock(irql);
	}
	ExFreePoolWithTag(o, NET_TAG);
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = information;
	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	IoCompleteRequest(irp, IO_NETWORK_INCREMENT);
	KeLowerIrql(irql);
}

static void NTAPI
cancel(PDEVICE_OBJECT device, PIRP irp)
{
	struct op *o = irp->Tail.Overlay.DriverContext[0];

	(void)device;
	o->cancelled = TRUE;
	KeSetEvent(&wake, IO_NO_INCREMENT, FALSE);
	IoReleaseCancelSpinLock(irp->CancelIrql);
}

NTSTATUS
net_submit(struct op *o)
{
	KIRQL irql;

	o->irp->Tail.Overlay.DriverContext[0] = o;
	IoMarkIrpPending(o->irp);
	IoSetCancelRoutine(o->irp, cancel);
	KeAcquireSpinLock(&lock, &irql);
	if (o->socket->closing)
		net_violation("an operation on a closed socket");
	if (o->kind == OP_CLOSE)
		o->socket->closing = TRUE;
	InsertTailList(&submitted, &o->link);
	KeReleaseSpinLock(&lock, irql);
	KeSetEvent(&wake, IO_NO_INCREMENT, FALSE);
	return STATUS_PENDING;
}

/* ---- sockets --------------------------------------------------------------- */

struct socket *
net_socket(const struct dispatch *dispatch)
{
	struct socket *s = ExAllocatePoolWithTag(NonPagedPool, sizeof(*s), NET_TAG);
	UCHAR *ring = ExAllocatePoolWithTag(NonPagedPool, WINDOW, NET_TAG);
	/* Not the one that was closed last: frames for it may be on their way. */
	static ULONG next;
	ULONG i = 0, id = 0;
	KIRQL irql;

	if (s == NULL || ring == NULL)
		return NULL;
	RtlZeroMemory(s, sizeof(*s));
	s->dispatch = dispatch;
	s->ring = ring;
	InitializeListHead(&s->ops);
	KeAcquireSpinLock(&lock, &irql);
	do
		id = next++ % SOCKETS;
	while (sockets[id] != NULL && ++i < SOCKETS);
	s->id = (UCHAR)id;
	if (i < SOCKETS)
		sockets[id] = s;
	KeReleaseSpinLock(&lock, irql);
	return i < SOCKETS ? s : NULL;
}

LONG
net_sockets(void)
{
	LONG n = 0;
	ULONG i;

	for (i = 0; i < SOCKETS; i++)
		n += sockets[i] != NULL;
	return n;
}

static void
receive_data(struct socket *s, const UCHAR *p, ULONG length)
{
	ULONG i;

	if (length > WINDOW - s->fill) {
		net_violation("more data than the window");
		return;
	}
	for (i = 0; i < length; i++)
		s->ring[(s->head + s->fill++) % WINDOW] = p[i];
}

void
net_frame(enum frame type, UCHAR id, const UCHAR *p, ULONG length)
{
	struct socket *s = id < SOCKETS ? sockets[id] : NULL;

	if (s == NULL)
		return;			/* it was closed meanwhile */
	switch (type) {
	case FRAME_OPENED:
		s->state = SOCKET_OPEN;
		break;
	case FRAME_REFUSED:
		s->state = SOCKET_REFUSED;
		break;
	case FRAME_DATA:
		receive_data(s, p, length);
		break;
	case FRAME_END:
		s->ended = TRUE;
		break;
	case FRAME_RESET:
		s->state = SOCKET_DEAD;
		break;
	default:
		net_violation("a frame of no type");
	}
}

/* ---- MDL chains ------------------------------------------------------------ */

/*
 * Its pages are those of its address: the driver builds MDLs over buffers that are
 * mapped and locked, as over nonpaged pool.
 */
static void
check_pages(PMDL mdl)
{
	PPFN_NUMBER pages = MmGetMdlPfnArray(mdl);
	UCHAR *start = (UCHAR *)mdl->MappedSystemVa - mdl->ByteOffset;
	ULONG n = ADDRESS_AND_SIZE_TO_SPAN_PAGES(mdl->MappedSystemVa, mdl->ByteCount);
	ULONG i;

	for (i = 0; i < n; i++)
		if ((PFN_NUMBER)(MmGetPhysicalAddress(start + i * PAGE_SIZE).QuadPart >>
		    PAGE_SHIFT) != pages[i])
			net_violation("an MDL has other pages than its address");
}

/* The next bytes of the operation's buffers, up to *length of them. */
static UCHAR *
buffer(struct op *o, ULONG *length)
{
	SIZE_T at = o->offset + o->moved;
	PMDL mdl = o->mdl;

	while (mdl != NULL && at >= mdl->ByteCount) {
		at -= mdl->ByteCount;
		mdl = mdl->Next;
	}
	if (mdl == NULL) {
		net_violation("a WSK_BUF is longer than its MDLs");
		return NULL;
	}
	if (at == 0)
		check_pages(mdl);
	if (*length > mdl->ByteCount - at)
		*length = (ULONG)(mdl->ByteCount - at);
	if (*length > o->length - o->moved)
		*length = (ULONG)(o->length - o->moved);
	return (UCHAR *)MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority) + at;
}

/* ---- operations, each returning TRUE when it has ended --------------------- */

static BOOLEAN
do_connect(struct op *o)
{
	struct socket *s = o->socket;

	if (!o->started) {
		if (!wire_send(FRAME_OPEN, s->id, &o->port, sizeof(o->port)))
			return FALSE;
		o->started = TRUE;
		s->state = SOCKET_OPENING;
	}
	if (s->state == SOCKET_OPENING)
		return FALSE;
	complete(o, s->state == SOCKET_OPEN ? STATUS_SUCCESS :
	    STATUS_CONNECTION_REFUSED, 0);
	return TRUE;
}

static BOOLEAN
do_send(struct op *o)
{
	ULONG n;
	UCHAR *p;

	if (o->socket->state != SOCKET_OPEN) {
		complete(o, STATUS_CONNECTION_RESET, 0);
		return TRUE;
	}
	while (o->moved < o->length) {
		n = FRAME_MAX;
		p = buffer(o, &n);
		if (p == NULL || !wire_send(FRAME_DATA, o->socket->id, p, n))
			return FALSE;
		o->moved += n;
	}
	complete(o, STATUS_SUCCESS, o->moved);
	return TRUE;
}

static BOOLEAN
do_receive(struct op *o)
{
	struct socket *s = o->socket;
	ULONG n, i;
	UCHAR *p;

	while (s->fill > 0 && o->moved < o->length) {
		n = s->fill;
		p = buffer(o, &n);
		for (i = 0; p != NULL && i < n; i++)
			p[i] = s->ring[(s->head + i) % WINDOW];
		s->head = (s->head + n) % WINDOW;
		s->fill -= n;
		s->taken += n;
		o->moved += n;
	}
	if (o->moved > 0 || s->ended) {
		complete(o, STATUS_SUCCESS, o->moved);
		return TRUE;
	}
	if (s->state == SOCKET_OPEN)
		return FALSE;
	complete(o, STATUS_CONNECTION_RESET, 0);
	return TRUE;
}

/* The others of its socket end first. */
static void
end_others(struct op *o, NTSTATUS status)
{
	LIST_ENTRY *e, *next;

	for (e = o->socket->ops.Flink; e != &o->socket->ops; e = next) {
		next = e->Flink;
		if (e != &o->link)
			complete(CONTAINING_RECORD(e, struct op, link), status, 0);
	}
}

static BOOLEAN
do_disconnect(struct op *o, BOOLEAN reset)
{
	struct socket *s = o->socket;

	if (s->state == SOCKET_OPEN && !wire_send(reset ? FRAME_RESET : FRAME_END,
	    s->id, NULL, 0))
		return FALSE;
	if (reset) {
		s->state = SOCKET_DEAD;
		end_others(o, STATUS_CONNECTION_ABORTED);
	}
	complete(o, STATUS_SUCCESS, 0);
	return TRUE;
}

static BOOLEAN
do_close(struct op *o)
{
	struct socket *s = o->socket;
	KIRQL irql;

	if (s->state != SOCKET_NEW && !wire_send(FRAME_RESET, s->id, NULL, 0))
		return FALSE;
	end_others(o, STATUS_FILE_CLOSED);
	KeAcquireSpinLock(&lock, &irql);
	sockets[s->id] = NULL;
	KeReleaseSpinLock(&lock, irql);
	complete(o, STATUS_SUCCESS, 0);
	ExFreePoolWithTag(s->ring, NET_TAG);
	ExFreePoolWithTag(s, NET_TAG);
	return TRUE;
}

static BOOLEAN
do_op(struct op *o)
{
	if (o->cancelled && o->kind != OP_CLOSE) {
		/* What was half done cannot be taken back. */
		if (o->kind == OP_SEND && o->moved > 0)
			o->socket->state = SOCKET_DEAD;
		complete(o, STATUS_CANCELLED, 0);
		return TRUE;
	}
	switch (o->kind) {
	case OP_CONNECT:
		return do_connect(o);
	case OP_SEND:
		return do_send(o);
	case OP_RECEIVE:
		return do_receive(o);
	case OP_CLOSE:
		return do_close(o);
	default:
		return do_disconnect(o, o->kind == OP_RESET);
	}
}

/* ---- the thread ------------------------------------------------------------ */

static void
take_submitted(void)
{
	struct op *o;
	KIRQL irql;

	KeAcquireSpinLock(&lock, &irql);
	while (!IsListEmpty(&submitted)) {
		o = CONTAINING_RECORD(RemoveHeadList(&submitted), struct op, link);
		InsertTailList(&o->socket->ops, &o->link);
	}
	KeReleaseSpinLock(&lock, irql);
}

static BOOLEAN
turn_of(struct socket *s)
{
	LIST_ENTRY *e, *next;
	UCHAR id = s->id;

	if (s->taken > 0 && wire_send(FRAME_CREDIT, id, &s->taken, sizeof(s->taken)))
		s->taken = 0;
	for (e = s->ops.Flink; e != &s->ops; e = next) {
		next = e->Flink;
		/* One that has ended may have ended its neighbours, or the socket. */
		if (do_op(CONTAINING_RECORD(e, struct op, link)))
			return TRUE;
	}
	return FALSE;
}

static VOID NTAPI
main_thread(PVOID arg)
{
	LARGE_INTEGER moment = { .QuadPart = -10000 };	/* 1 ms */
	BOOLEAN busy;
	ULONG i, idle = 0;

	(void)arg;
	while (stop == 0) {
		take_submitted();
		busy = wire_turn();
		for (i = 0; i < SOCKETS; i++)
			if (sockets[i] != NULL && turn_of(sockets[i]))
				busy = TRUE;
		idle = busy ? 0 : idle + 1;
		if (idle > POLLS)
			KeWaitForSingleObject(&wake, Executive, KernelMode, FALSE,
			    &moment);
		else if (idle > 0)
			KeStallExecutionProcessor(POLL_US);
	}
	PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS
net_start(void)
{
	OBJECT_ATTRIBUTES attributes;
	NTSTATUS status;
	HANDLE h;

	KeInitializeSpinLock(&lock);
	InitializeListHead(&submitted);
	KeInitializeEvent(&wake, SynchronizationEvent, FALSE);
	wire_reset();
	stop = 0;
	InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
	status = PsCreateSystemThread(&h, THREAD_ALL_ACCESS, &attributes, NULL, NULL,
	    main_thread, NULL);
	if (!NT_SUCCESS(status))
		return status;
	ObReferenceObjectByHandle(h, THREAD_ALL_ACCESS, NULL, KernelMode, &thread,
	    NULL);
	ZwClose(h);
	return STATUS_SUCCESS;
}

void
net_stop(void)
{
	InterlockedExchange(&stop, 1);
	KeSetEvent(&wake, IO_NO_INCREMENT, FALSE);
	KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
	ObDereferenceObject(thread);
}
