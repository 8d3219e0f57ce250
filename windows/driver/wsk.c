/*
 * wsk.c - sockets: Winsock Kernel operations as IRPs of our own.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * WSK completes the IRP of every call, whatever the call returns, so the completion
 * routine is the only place that learns of an end.  It keeps the IRP
 * (STATUS_MORE_PROCESSING_REQUIRED), for it is ours.
 */
#include "wsk.h"

enum { OP_IDLE, OP_STARTED, OP_ENDED };

static struct wsk_registration registration;
static struct wsk_provider_npi provider;
static const struct wsk_client_dispatch client_dispatch = {
	.version = WSK_VERSION_1_0,
};
static struct wsk_client_npi client = { .dispatch = &client_dispatch };

NTSTATUS
wsk_load(void)
{
	return WskRegister(&client, &registration);
}

/* At boot the network comes after the disks, so the provider is asked for when the
 * first connection is made, and not in DriverEntry. */
static NTSTATUS
capture(void)
{
	static volatile LONG turn;	/* 1: somebody is here */
	LARGE_INTEGER moment = { .QuadPart = -10000 };	/* 1 ms */
	NTSTATUS status = STATUS_SUCCESS;

	while (InterlockedExchange(&turn, 1) != 0)
		KeDelayExecutionThread(KernelMode, FALSE, &moment);
	if (provider.dispatch == NULL)
		status = WskCaptureProviderNPI(&registration, 0, &provider);
	InterlockedExchange(&turn, 0);
	return status;
}

void
wsk_unload(void)
{
	if (provider.dispatch != NULL)
		WskReleaseProviderNPI(&registration);
	WskDeregister(&registration);
}

/* ---- operations ------------------------------------------------------------ */

static NTSTATUS NTAPI
ended(DEVICE_OBJECT *device, IRP *irp, void *arg)
{
	struct wsk_op *op = arg;
	KIRQL irql;

	(void)device;
	(void)irp;
	/* Who sees the end may free the op and its event, so nobody sees it before
	 * this is done with them. */
	KeAcquireSpinLock(&op->lock, &irql);
	op->state = OP_ENDED;
	KeSetEvent(op->event, IO_NETWORK_INCREMENT, FALSE);
	KeReleaseSpinLock(&op->lock, irql);
	return STATUS_MORE_PROCESSING_REQUIRED;
}

NTSTATUS
wsk_op_init(struct wsk_op *op, KEVENT *event)
{
	op->event = event;
	op->state = OP_IDLE;
	KeInitializeSpinLock(&op->lock);
	op->irp = IoAllocateIrp(1, FALSE);
	return op->irp != NULL ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

void
wsk_op_free(struct wsk_op *op)
{
	DRIVER_ASSERT(!wsk_op_busy(op));
	if (op->irp != NULL)
		IoFreeIrp(op->irp);
	op->irp = NULL;
}

static LONG
state_of(struct wsk_op *op)
{
	LONG state;
	KIRQL irql;

	KeAcquireSpinLock(&op->lock, &irql);
	state = op->state;
	KeReleaseSpinLock(&op->lock, irql);
	return state;
}

bool
wsk_op_busy(struct wsk_op *op)
{
	return state_of(op) != OP_IDLE;
}

bool
wsk_op_ended(struct wsk_op *op)
{
	return state_of(op) == OP_ENDED;
}

NTSTATUS
wsk_op_take(struct wsk_op *op, ULONG_PTR *information)
{
	DRIVER_ASSERT(wsk_op_ended(op));
	op->state = OP_IDLE;
	*information = op->irp->IoStatus.Information;
	return op->irp->IoStatus.Status;
}

void
wsk_op_cancel(struct wsk_op *op)
{
	if (state_of(op) == OP_STARTED)
		IoCancelIrp(op->irp);
}

static IRP *
begin(struct wsk_op *op)
{
	DRIVER_ASSERT(!wsk_op_busy(op));
	IoReuseIrp(op->irp, STATUS_UNSUCCESSFUL);
	IoSetCompletionRoutine(op->irp, ended, op, TRUE, TRUE, TRUE);
	op->state = OP_STARTED;
	return op->irp;
}

/* An operation that could not even be started ends at once. */
static void
refuse(struct wsk_op *op, NTSTATUS status)
{
	op->irp->IoStatus.Status = status;
	op->irp->IoStatus.Information = 0;
	op->state = OP_ENDED;
	KeSetEvent(op->event, IO_NO_INCREMENT, FALSE);
}

void
wsk_resolve(struct wsk_op *op, UNICODE_STRING *host, UNICODE_STRING *port,
    struct wsk_addrinfo *hints, struct wsk_addrinfo **result)
{
	IRP *irp = begin(op);
	NTSTATUS status = capture();

	if (!NT_SUCCESS(status)) {
		refuse(op, status);
		return;
	}
	provider.dispatch->get_address_info(provider.client, host, port, 0, NULL,
	    hints, result, NULL, NULL, irp);
}

void
wsk_resolve_free(struct wsk_addrinfo *list)
{
	provider.dispatch->free_address_info(provider.client, list);
}

void
wsk_socket(struct wsk_op *op, USHORT family)
{
	provider.dispatch->socket(provider.client, family, WSK_SOCK_STREAM,
	    WSK_IPPROTO_TCP, WSK_FLAG_CONNECTION_SOCKET, NULL, NULL, NULL, NULL,
	    NULL, begin(op));
}

void
wsk_bind(struct wsk_op *op, struct wsk_socket *s, struct wsk_sockaddr *local)
{
	s->dispatch->bind(s, local, 0, begin(op));
}

void
wsk_connect(struct wsk_op *op, struct wsk_socket *s, struct wsk_sockaddr *remote)
{
	s->dispatch->connect(s, remote, 0, begin(op));
}

void
wsk_send(struct wsk_op *op, struct wsk_socket *s, MDL *chain, size_t len)
{
	struct wsk_buf buf = { .mdl = chain, .length = len };

	s->dispatch->send(s, &buf, WSK_FLAG_NODELAY, begin(op));
}

void
wsk_receive(struct wsk_op *op, struct wsk_socket *s, MDL *chain, size_t len)
{
	struct wsk_buf buf = { .mdl = chain, .length = len };

	s->dispatch->receive(s, &buf, 0, begin(op));
}

void
wsk_disconnect(struct wsk_op *op, struct wsk_socket *s, bool reset)
{
	s->dispatch->disconnect(s, NULL, reset ? WSK_FLAG_ABORTIVE : 0, begin(op));
}

void
wsk_close(struct wsk_op *op, struct wsk_socket *s)
{
	s->dispatch->close_socket(s, begin(op));
}

/* ---- buffers --------------------------------------------------------------- */

MDL *
wsk_mdl(void *p, size_t len)
{
	MDL *mdl = IoAllocateMdl(p, (ULONG)len, FALSE, FALSE, NULL);

	if (mdl != NULL)
		MmBuildMdlForNonPagedPool(mdl);
	return mdl;
}

void
wsk_mdl_free(MDL *chain)
{
	MDL *next;

	for (; chain != NULL; chain = next) {
		next = chain->Next;
		IoFreeMdl(chain);
	}
}
