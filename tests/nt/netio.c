/*
 * netio.c - Winsock Kernel for tests, on sockets over a serial port (net.h).
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * As Microsoft documents WSK: the IRP of each call is completed, whatever the call
 * returns; a send ends when all bytes are on their way; an abortive disconnect or a
 * close ends all other operations first.  Names are IPv4 addresses in digits, and all
 * of them are the bridge's.
 */
#include "net.h"

#define WSK_FLAG_ABORTIVE	1
#define AF_INET			2

struct wsk_buf { PMDL mdl; ULONG offset; SIZE_T length; };

struct address {			/* SOCKADDR_IN */
	USHORT	family;
	UCHAR	port[2], ip[4], zero[8];
};

struct info {				/* ADDRINFOEXW */
	LONG	flags, family, socktype, protocol;
	SIZE_T	length;
	PWSTR	name;
	struct address *address;
	PVOID	blob;
	SIZE_T	blob_length;
	GUID	*provider;
	struct info *next;
};
C_ASSERT(FIELD_OFFSET(struct info, address) == 32);
C_ASSERT(FIELD_OFFSET(struct info, next) == 64);

/* The caller's completion routine is in the next stack location. */
static void
begin(PIRP irp)
{
	IoSetNextIrpStackLocation(irp);
}

static NTSTATUS
end(PIRP irp, NTSTATUS status, ULONG_PTR information)
{
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = information;
	IoCompleteRequest(irp, IO_NO_INCREMENT);
	return status;
}

static NTSTATUS
submit(enum op_kind kind, struct socket *s, PIRP irp, const struct wsk_buf *buf,
    USHORT port)
{
	struct op *o = ExAllocatePoolWithTag(NonPagedPool, sizeof(*o), NET_TAG);

	begin(irp);
	if (o == NULL)
		return end(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
	RtlZeroMemory(o, sizeof(*o));
	o->kind = kind;
	o->irp = irp;
	o->socket = s;
	o->port = port;
	if (buf != NULL) {
		o->mdl = buf->mdl;
		o->offset = buf->offset;
		o->length = buf->length;
	}
	return net_submit(o);
}

/* ---- what the driver calls ------------------------------------------------- */

static NTSTATUS NTAPI
p_bind(struct socket *s, PVOID address, ULONG flags, PIRP irp)
{
	(void)s, (void)address, (void)flags;
	begin(irp);
	return end(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI
p_connect(struct socket *s, const struct address *a, ULONG flags, PIRP irp)
{
	(void)flags;
	return submit(OP_CONNECT, s, irp, NULL,
	    (USHORT)(a->port[0] << 8 | a->port[1]));
}

static NTSTATUS NTAPI
p_send(struct socket *s, const struct wsk_buf *buf, ULONG flags, PIRP irp)
{
	(void)flags;
	return submit(OP_SEND, s, irp, buf, 0);
}

static NTSTATUS NTAPI
p_receive(struct socket *s, const struct wsk_buf *buf, ULONG flags, PIRP irp)
{
	(void)flags;
	return submit(OP_RECEIVE, s, irp, buf, 0);
}

static NTSTATUS NTAPI
p_disconnect(struct socket *s, PVOID buf, ULONG flags, PIRP irp)
{
	(void)buf;
	return submit((flags & WSK_FLAG_ABORTIVE) != 0 ? OP_RESET : OP_DISCONNECT, s,
	    irp, NULL, 0);
}

static NTSTATUS NTAPI
p_close(struct socket *s, PIRP irp)
{
	return submit(OP_CLOSE, s, irp, NULL, 0);
}

/* WSK_PROVIDER_CONNECTION_DISPATCH: ten pointers. */
static const struct dispatch {
	void *control, *close, *bind, *connect, *local, *remote, *send, *receive;
	void *disconnect, *release;
} connection_dispatch = {
	.close = p_close, .bind = p_bind, .connect = p_connect, .send = p_send,
	.receive = p_receive, .disconnect = p_disconnect,
};

static NTSTATUS NTAPI
p_socket(PVOID client, USHORT family, USHORT type, ULONG protocol, ULONG flags,
    PVOID context, const VOID *events, PEPROCESS process, PETHREAD owner,
    PSECURITY_DESCRIPTOR security, PIRP irp)
{
	struct socket *s = net_socket(&connection_dispatch);

	(void)client, (void)family, (void)context, (void)events, (void)process;
	(void)owner, (void)security;
	if (type != 1 || protocol != 6 || flags != 2)
		net_violation("WskSocket: not a TCP connection socket");
	begin(irp);
	return end(irp, s != NULL ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES,
	    (ULONG_PTR)s);
}

static ULONG
number(const WCHAR **p, const WCHAR *stop)
{
	ULONG n = 0;

	for (; *p < stop && **p >= '0' && **p <= '9'; ++*p)
		n = n * 10 + (ULONG)(**p - '0');
	return n;
}

static BOOLEAN
parse(PUNICODE_STRING host, PUNICODE_STRING port, struct address *a)
{
	const WCHAR *p = host->Buffer, *stop = p + host->Length / sizeof(WCHAR);
	ULONG i, n;

	a->family = AF_INET;
	for (i = 0; i < 4; i++) {
		a->ip[i] = (UCHAR)number(&p, stop);
		if (i < 3 && (p == stop || *p++ != '.'))
			return FALSE;
	}
	if (p != stop)
		return FALSE;
	p = port->Buffer;
	n = number(&p, p + port->Length / sizeof(WCHAR));
	a->port[0] = (UCHAR)(n >> 8);
	a->port[1] = (UCHAR)n;
	return TRUE;
}

static NTSTATUS NTAPI
p_resolve(PVOID client, PUNICODE_STRING host, PUNICODE_STRING port, ULONG space,
    GUID *provider, PVOID hints, struct info **result, PEPROCESS process,
    PETHREAD owner, PIRP irp)
{
	struct info *i = ExAllocatePoolWithTag(NonPagedPool, sizeof(*i) +
	    sizeof(*i->address), NET_TAG);

	(void)client, (void)space, (void)provider, (void)hints, (void)process;
	(void)owner;
	begin(irp);
	if (i == NULL)
		return end(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
	RtlZeroMemory(i, sizeof(*i) + sizeof(*i->address));
	i->address = (struct address *)(i + 1);
	i->family = AF_INET;
	i->socktype = 1;
	i->protocol = 6;
	i->length = sizeof(*i->address);
	if (!parse(host, port, i->address)) {
		ExFreePoolWithTag(i, NET_TAG);
		return end(irp, STATUS_NOT_FOUND, 0);
	}
	*result = i;
	return end(irp, STATUS_SUCCESS, 0);
}

static void NTAPI
p_resolve_free(PVOID client, struct info *list)
{
	(void)client;
	ExFreePoolWithTag(list, NET_TAG);
}

/* WSK_PROVIDER_DISPATCH: a version, and six pointers. */
static const struct {
	ULONG64 version;
	void *socket, *socket_connect, *control, *resolve, *free, *name;
} provider_dispatch = {
	.version = 0x100, .socket = p_socket, .resolve = p_resolve,
	.free = p_resolve_free,
};

/* ---- what netio.sys exports ------------------------------------------------ */

static LONG registered, captured;

NTSTATUS NTAPI WskRegister(PVOID npi, PVOID registration);
void NTAPI WskDeregister(PVOID registration);
NTSTATUS NTAPI WskCaptureProviderNPI(PVOID registration, ULONG wait, PVOID npi[2]);
void NTAPI WskReleaseProviderNPI(PVOID registration);
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT, PUNICODE_STRING);

NTSTATUS NTAPI
WskRegister(PVOID npi, PVOID registration)
{
	(void)npi, (void)registration;
	if (registered++ != 0)
		net_violation("WskRegister, twice");
	return net_start();
}

void NTAPI
WskDeregister(PVOID registration)
{
	(void)registration;
	if (--registered != 0 || captured != 0)
		net_violation("WskDeregister: captured or not registered");
	if (net_sockets() != 0)
		net_violation("WskDeregister: sockets are open");
	net_stop();
}

NTSTATUS NTAPI
WskCaptureProviderNPI(PVOID registration, ULONG wait, PVOID npi[2])
{
	static char client;

	(void)registration, (void)wait;
	npi[0] = &client;
	npi[1] = (PVOID)(ULONG_PTR)&provider_dispatch;
	captured++;
	return STATUS_SUCCESS;
}

void NTAPI
WskReleaseProviderNPI(PVOID registration)
{
	(void)registration;
	captured--;
}

NTSTATUS NTAPI
DriverEntry(PDRIVER_OBJECT object, PUNICODE_STRING path)
{
	(void)object, (void)path;
	return STATUS_SUCCESS;
}
