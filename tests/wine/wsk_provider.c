/*
 * wsk_provider.c - Winsock Kernel, on the sockets of Winsock.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Wine's own provider has no chained MDLs, no IPv6, no name resolution and no
 * disconnect.  This one has, and behaves as Microsoft documents WSK: the IRP of each
 * call is completed, at DISPATCH_LEVEL and on another thread; a send ends when all
 * bytes are sent; an abortive disconnect or a close ends all other operations first.
 * A receive may bring less than there is room for, and here it often does.
 */
#include <ntddk.h>

#include "sock.h"
#include "verifier.h"

#define BUFS_MAX	64
#define WSK_FLAG_ABORTIVE 1
#define SHORT_EVERY	5		/* every so many receives are cut short */

struct dispatch;
struct socket {
	const struct dispatch *dispatch;	/* what the driver sees */
	intptr_t	 s;
	LONG		 operations;
	LONG		 closing;
	BOOLEAN		 connected, reset;
};

enum kind { SOCKET, RESOLVE, BIND, CONNECT, SEND, RECEIVE, DISCONNECT, RESET, CLOSE };

struct job {
	enum kind	 kind;
	IRP		*irp;
	struct socket	*socket;
	int		 family;
	UCHAR		 address[128];
	WCHAR		 host[300], port[16];
	void		**result;
	struct sock_buf	 buf[BUFS_MAX];
	unsigned	 bufs;
	SIZE_T		 length;
};

struct wsk_buf { PMDL mdl; ULONG offset; SIZE_T length; };

static const struct dispatch connection_dispatch;
static LONG sockets, receives;

/* ---- the end of an operation ----------------------------------------------- */

static void
complete(struct job *j, NTSTATUS status, ULONG_PTR information)
{
	IRP *irp = j->irp;
	ULONG old;

	IoSetCancelRoutine(irp, NULL);
	if (j->socket != NULL && j->kind != CLOSE)
		InterlockedDecrement(&j->socket->operations);
	ExFreePoolWithTag(j, 'boj ');
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = information;
	irp->CurrentLocation--;
	irp->Tail.Overlay.CurrentStackLocation--;
	old = verifier_set_irql(DISPATCH_LEVEL);
	IoCompleteRequest(irp, IO_NO_INCREMENT);
	verifier_set_irql(old);
}

/* Of this one operation; the socket is of no use after it. */
static void NTAPI
cancelled(PDEVICE_OBJECT device, PIRP irp)
{
	struct socket *s = irp->Tail.Overlay.DriverContext[0];

	(void)device;
	IoReleaseCancelSpinLock(irp->CancelIrql);
	if (s != NULL)
		sock_shutdown(s->s, 1);
}

/* ---- operations, each on a thread of its own ------------------------------- */

static void
do_socket(struct job *j)
{
	struct socket *s = ExAllocatePoolWithTag(NonPagedPool, sizeof(*s), 'kcos');

	RtlZeroMemory(s, sizeof(*s));
	s->dispatch = &connection_dispatch;
	s->s = sock_open(j->family);
	InterlockedIncrement(&sockets);
	complete(j, STATUS_SUCCESS, (ULONG_PTR)s);
}

static void
do_resolve(struct job *j)
{
	*j->result = sock_resolve(j->host, j->port);
	complete(j, *j->result != NULL ? STATUS_SUCCESS : STATUS_NOT_FOUND, 0);
}

static void
do_send(struct job *j)
{
	SIZE_T sent = 0;
	unsigned i;
	long n;

	for (i = 0; i < j->bufs;) {
		n = sock_send(j->socket->s, &j->buf[i], j->bufs - i);
		if (n <= 0) {
			complete(j, STATUS_CONNECTION_RESET, 0);
			return;
		}
		sent += (SIZE_T)n;
		for (; n > 0 && i < j->bufs; ) {
			uint32_t part = (uint32_t)n < j->buf[i].len ? (uint32_t)n :
			    j->buf[i].len;

			j->buf[i].len -= part;
			j->buf[i].base = (UCHAR *)j->buf[i].base + part;
			n -= (long)part;
			if (j->buf[i].len == 0)
				i++;
		}
	}
	complete(j, STATUS_SUCCESS, sent);
}

static void
do_receive(struct job *j)
{
	LONG number = InterlockedIncrement(&receives);
	long n;

	if (number % SHORT_EVERY == 0) {
		j->bufs = 1;
		if (j->buf[0].len > (uint32_t)number % 1021 + 1)
			j->buf[0].len = (uint32_t)number % 1021 + 1;
	}
	n = sock_receive(j->socket->s, j->buf, j->bufs);
	if (n < 0)
		complete(j, STATUS_CONNECTION_RESET, 0);
	else
		complete(j, STATUS_SUCCESS, (ULONG_PTR)n);
}

static void
do_close(struct job *j)
{
	LARGE_INTEGER moment = { .QuadPart = -10000 };
	struct socket *s = j->socket;

	if (!s->reset)
		sock_shutdown(s->s, 1);
	while (InterlockedCompareExchange(&s->operations, 0, 0) != 0)
		KeDelayExecutionThread(KernelMode, FALSE, &moment);
	sock_close(s->s);
	ExFreePoolWithTag(s, 'kcos');
	InterlockedDecrement(&sockets);
	complete(j, STATUS_SUCCESS, 0);
}

static void
run(void *arg)
{
	struct job *j = arg;

	switch (j->kind) {
	case SOCKET:
		do_socket(j);
		break;
	case RESOLVE:
		do_resolve(j);
		break;
	case BIND:
		complete(j, sock_bind(j->socket->s, j->address) == 0 ?
		    STATUS_SUCCESS : STATUS_INVALID_ADDRESS, 0);
		break;
	case CONNECT:
		j->socket->connected = sock_connect(j->socket->s, j->address) == 0;
		complete(j, j->socket->connected ? STATUS_SUCCESS :
		    STATUS_CONNECTION_REFUSED, 0);
		break;
	case SEND:
		do_send(j);
		break;
	case RECEIVE:
		do_receive(j);
		break;
	case DISCONNECT:
		sock_shutdown(j->socket->s, 0);
		j->socket->connected = FALSE;
		complete(j, STATUS_SUCCESS, 0);
		break;
	case RESET:
		j->socket->reset = TRUE;
		j->socket->connected = FALSE;
		sock_reset(j->socket->s);
		complete(j, STATUS_SUCCESS, 0);
		break;
	case CLOSE:
		do_close(j);
		break;
	}
}

static struct job *
new_job(enum kind kind, struct socket *s, IRP *irp)
{
	struct job *j = ExAllocatePoolWithTag(NonPagedPool, sizeof(*j), 'boj ');

	RtlZeroMemory(j, sizeof(*j));
	j->kind = kind;
	j->irp = irp;
	j->socket = s;
	if (s != NULL && kind != CLOSE) {
		InterlockedIncrement(&s->operations);
		if (s->closing)
			verifier_violation("operation %d on a closed socket", kind);
	}
	irp->Tail.Overlay.DriverContext[0] = s;
	return j;
}

static NTSTATUS
start(struct job *j)
{
	if (j->kind == SEND || j->kind == RECEIVE || j->kind == CONNECT)
		IoSetCancelRoutine(j->irp, cancelled);
	sock_thread(run, j);
	return STATUS_PENDING;
}

/* ---- what the driver calls ------------------------------------------------- */

static NTSTATUS NTAPI
p_socket(PVOID client, USHORT family, USHORT type, ULONG protocol, ULONG flags,
    PVOID context, const VOID *events, PEPROCESS process, PETHREAD thread,
    PSECURITY_DESCRIPTOR security, PIRP irp)
{
	struct job *j = new_job(SOCKET, NULL, irp);

	(void)client, (void)context, (void)events, (void)process, (void)thread;
	(void)security;
	if (type != 1 || protocol != 6 || flags != 2)
		verifier_violation("WskSocket: not a TCP connection socket");
	j->family = family;
	return start(j);
}

static NTSTATUS NTAPI
p_resolve(PVOID client, PUNICODE_STRING host, PUNICODE_STRING port, ULONG space,
    GUID *provider, PVOID hints, PVOID *result, PEPROCESS process, PETHREAD thread,
    PIRP irp)
{
	struct job *j = new_job(RESOLVE, NULL, irp);

	(void)client, (void)space, (void)provider, (void)hints, (void)process;
	(void)thread;
	RtlCopyMemory(j->host, host->Buffer, host->Length);
	RtlCopyMemory(j->port, port->Buffer, port->Length);
	j->result = result;
	return start(j);
}

static void NTAPI
p_resolve_free(PVOID client, PVOID list)
{
	(void)client;
	sock_resolve_free(list);
}

static NTSTATUS NTAPI
p_address(enum kind kind, struct socket *s, const USHORT *address, PIRP irp)
{
	struct job *j = new_job(kind, s, irp);

	RtlCopyMemory(j->address, address, address[0] == 23 ? 28 : 16);
	return start(j);
}

static NTSTATUS NTAPI
p_bind(struct socket *s, const USHORT *address, ULONG flags, PIRP irp)
{
	(void)flags;
	return p_address(BIND, s, address, irp);
}

static NTSTATUS NTAPI
p_connect(struct socket *s, const USHORT *address, ULONG flags, PIRP irp)
{
	(void)flags;
	return p_address(CONNECT, s, address, irp);
}

static NTSTATUS
move(enum kind kind, struct socket *s, const struct wsk_buf *buf, PIRP irp)
{
	struct job *j = new_job(kind, s, irp);
	PMDL mdl = buf->mdl;
	SIZE_T left = buf->length, offset = buf->offset;

	for (; left > 0 && mdl != NULL && j->bufs < BUFS_MAX; mdl = mdl->Next) {
		SIZE_T len = mdl->ByteCount - offset;

		if (len > left)
			len = left;
		if ((mdl->MdlFlags & (MDL_SOURCE_IS_NONPAGED_POOL |
		    MDL_PAGES_LOCKED)) == 0)
			verifier_violation("an MDL for WSK has no pages");
		j->buf[j->bufs].base = (UCHAR *)mdl->MappedSystemVa + offset;
		j->buf[j->bufs++].len = (uint32_t)len;
		left -= len;
		offset = 0;
	}
	if (left > 0)
		verifier_violation("a WSK_BUF is longer than its MDLs");
	return start(j);
}

static NTSTATUS NTAPI
p_send(struct socket *s, const struct wsk_buf *buf, ULONG flags, PIRP irp)
{
	(void)flags;
	return move(SEND, s, buf, irp);
}

static NTSTATUS NTAPI
p_receive(struct socket *s, const struct wsk_buf *buf, ULONG flags, PIRP irp)
{
	(void)flags;
	return move(RECEIVE, s, buf, irp);
}

static NTSTATUS NTAPI
p_disconnect(struct socket *s, const struct wsk_buf *buf, ULONG flags, PIRP irp)
{
	(void)buf;
	return start(new_job((flags & WSK_FLAG_ABORTIVE) != 0 ? RESET : DISCONNECT, s,
	    irp));
}

static NTSTATUS NTAPI
p_close(struct socket *s, PIRP irp)
{
	if (InterlockedExchange(&s->closing, 1) != 0)
		verifier_violation("a socket is closed twice");
	/* TCP would go on sending. */
	if (s->connected)
		verifier_violation("a connection is closed, neither ended nor reset");
	return start(new_job(CLOSE, s, irp));
}

/* WSK_PROVIDER_CONNECTION_DISPATCH: ten pointers. */
static const struct dispatch {
	void *control, *close, *bind, *connect, *local, *remote, *send, *receive;
	void *disconnect, *release;
} connection_dispatch = {
	.close = p_close, .bind = p_bind, .connect = p_connect, .send = p_send,
	.receive = p_receive, .disconnect = p_disconnect,
};

/* WSK_PROVIDER_DISPATCH: a version, and six pointers. */
static const struct {
	ULONG64 version;
	void *socket, *socket_connect, *control, *resolve, *free, *name;
} provider_dispatch = {
	.version = 0x100, .socket = p_socket, .resolve = p_resolve,
	.free = p_resolve_free,
};

/* ---- registration ---------------------------------------------------------- */

static LONG registered, captured;

static NTSTATUS NTAPI
x_register(PVOID npi, PVOID registration)
{
	(void)npi, (void)registration;
	registered++;
	return STATUS_SUCCESS;
}

static void NTAPI
x_deregister(PVOID registration)
{
	(void)registration;
	if (--registered != 0 || captured != 0)
		verifier_violation("WskDeregister: %d registered, %d captured",
		    registered, captured);
	if (sockets != 0)
		verifier_violation("WskDeregister: %d sockets are open", sockets);
}

static NTSTATUS NTAPI
x_capture(PVOID registration, ULONG wait, PVOID npi[2])
{
	static char client;

	(void)registration, (void)wait;
	npi[0] = &client;
	npi[1] = (PVOID)(ULONG_PTR)&provider_dispatch;
	captured++;
	return STATUS_SUCCESS;
}

static void NTAPI
x_release(PVOID registration)
{
	(void)registration;
	captured--;
}

const struct replacement wsk_replacements[] = {
	{ "WskRegister", x_register },
	{ "WskDeregister", x_deregister },
	{ "WskCaptureProviderNPI", x_capture },
	{ "WskReleaseProviderNPI", x_release },
	{ NULL, NULL }
};
