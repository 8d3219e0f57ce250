/*
 * dial.c - one attempt to reach the server.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Here calls wait, each within its share of DIAL_TIMEOUT, and all of them end at
 * once when the attempt is cancelled.
 */
#include "dial.h"

#include "guard.h"

#define GOODBYE_TIME	(2 * NBE_SECOND)

static void
end(struct wsk_op *op, KEVENT *ended, NTSTATUS *status, ULONG_PTR *information)
{
	KeWaitForSingleObject(ended, Executive, KernelMode, FALSE, NULL);
	*status = wsk_op_take(op, information);
}

/* Waits for the operation that was started. */
static NTSTATUS
finish(struct dial *dl, ULONG_PTR *information)
{
	void *events[] = { &dl->ended, &dl->cancel };
	LARGE_INTEGER left = time_left(time_now(), dl->deadline);
	NTSTATUS wait, status;

	wait = KeWaitForMultipleObjects(2, events, WaitAny, Executive, KernelMode,
	    FALSE, &left, NULL);
	if (wait != STATUS_WAIT_0)
		wsk_op_cancel(&dl->op);
	end(&dl->op, &dl->ended, &status, information);
	KeClearEvent(&dl->ended);
	if (NT_SUCCESS(status) || wait == STATUS_WAIT_0)
		return status;
	return wait == STATUS_TIMEOUT ? STATUS_IO_TIMEOUT : STATUS_CANCELLED;
}

/* A socket that is not connected is closed as it is. */
static void
hang_up(struct dial *dl)
{
	NTSTATUS status;
	ULONG_PTR information;

	if (dl->socket == NULL)
		return;
	if (dl->connected) {
		wsk_disconnect(&dl->op, dl->socket, true);
		end(&dl->op, &dl->ended, &status, &information);
		KeClearEvent(&dl->ended);
		dl->connected = false;
	}
	wsk_close(&dl->op, dl->socket);
	end(&dl->op, &dl->ended, &status, &information);
	KeClearEvent(&dl->ended);
	dl->socket = NULL;
}

/* ---- the handshake --------------------------------------------------------- */

/* Some of the bytes that are wanted or to be sent. */
static NTSTATUS
move(struct dial *dl, uint8_t *p, size_t len, bool send, size_t *moved)
{
	MDL *mdl = wsk_mdl(p, len);
	ULONG_PTR n = 0;
	NTSTATUS status;

	if (mdl == NULL)
		return STATUS_INSUFFICIENT_RESOURCES;
	if (send)
		wsk_send(&dl->op, dl->socket, mdl, len);
	else
		wsk_receive(&dl->op, dl->socket, mdl, len);
	status = finish(dl, &n);
	wsk_mdl_free(mdl);
	*moved = n;
	return status;
}

static NTSTATUS
move_some(struct dial *dl)
{
	const uint8_t *out;
	uint8_t *in;
	size_t len, n = 0;
	NTSTATUS status;

	out = nbe_hs_send_buf(&dl->hs, &len);
	if (out != NULL) {
		status = move(dl, (uint8_t *)(uintptr_t)out, len, true, &n);
		if (NT_SUCCESS(status))
			nbe_hs_send_ack(&dl->hs, n);
		return status;
	}
	in = nbe_hs_recv_buf(&dl->hs, &len);
	status = move(dl, in, len, false, &n);
	if (NT_SUCCESS(status) && n > 0)
		nbe_hs_recv_ack(&dl->hs, n);
	else if (NT_SUCCESS(status))
		nbe_hs_closed(&dl->hs);
	return status;
}

static NTSTATUS
haggle(struct dial *dl)
{
	const NBD_CONNECTION_PROPERTIES *nbd = &dl->props->NbdProperties;
	struct nbe_hs_config cfg = {
		.name = nbd->ExportName,
		.name_len = (uint32_t)strlen(nbd->ExportName),
		.goal = NBE_GOAL_GO,
		.tls = NBE_TLS_OFF,
		.framing_max = NBE_EXTENDED,
		.want_alloc = true,
	};
	NTSTATUS status = STATUS_SUCCESS;

	nbe_hs_init(&dl->hs, &cfg);
	while (NT_SUCCESS(status) && nbe_hs_state(&dl->hs) == NBE_HS_IO)
		status = move_some(dl);
	if (NT_SUCCESS(status) && nbe_hs_state(&dl->hs) == NBE_HS_DONE) {
		dl->exp = *nbe_hs_export(&dl->hs);
		return STATUS_SUCCESS;
	}
	if (!NT_SUCCESS(status))
		return status;
	dl->why = nbe_hs_why(&dl->hs);
	nbe_hs_abort(&dl->hs);
	/* Best effort: the server is left either way. */
	while (NT_SUCCESS(status) && nbe_hs_send_buf(&dl->hs, &(size_t){ 0 }) != NULL)
		status = move_some(dl);
	return STATUS_CONNECTION_REFUSED;
}

static void
haggle_guarded(void *arg)
{
	struct dial *dl = arg;

	dl->status = haggle(dl);
}

static NTSTATUS
negotiate(struct dial *dl)
{
	return guarded(haggle_guarded, dl) ? dl->status : STATUS_INTERNAL_ERROR;
}

/* What the handshake would have told, as the user told it. */
static void
assume(struct dial *dl)
{
	const WNBD_PROPERTIES *p = dl->props;
	uint16_t flags = NBE_FLAG_HAS_FLAGS;

	if (p->Flags.ReadOnly)
		flags |= NBE_FLAG_READ_ONLY;
	if (p->Flags.FlushSupported)
		flags |= NBE_FLAG_SEND_FLUSH;
	if (p->Flags.FUASupported)
		flags |= NBE_FLAG_SEND_FUA;
	if (p->Flags.UnmapSupported)
		flags |= NBE_FLAG_SEND_TRIM;
	dl->exp = (struct nbe_export){
		.size = p->BlockCount * p->BlockSize,
		.block_min = p->BlockSize,
		.block_pref = p->BlockSize < 4096 ? 4096 : p->BlockSize,
		.payload_max = NBE_PAYLOAD_DEFAULT,
		.flags = flags,
		.framing = NBE_SIMPLE,
	};
}

/* ---- the socket ------------------------------------------------------------ */

static NTSTATUS
connect_to(struct dial *dl, const struct wsk_addrinfo *a)
{
	struct wsk_sockaddr_storage any = { .family = (USHORT)a->family };
	ULONG_PTR information;
	NTSTATUS status;

	wsk_socket(&dl->op, (USHORT)a->family);
	status = finish(dl, &information);
	if (!NT_SUCCESS(status))
		return status;
	dl->socket = (struct wsk_socket *)information;
	wsk_bind(&dl->op, dl->socket, (struct wsk_sockaddr *)&any);
	status = finish(dl, &information);
	if (!NT_SUCCESS(status))
		return status;
	wsk_connect(&dl->op, dl->socket, a->addr);
	status = finish(dl, &information);
	dl->connected = NT_SUCCESS(status);
	return status;
}

static NTSTATUS
try_address(struct dial *dl, const struct wsk_addrinfo *a)
{
	NTSTATUS status = connect_to(dl, a);

	if (NT_SUCCESS(status) && dl->props->NbdProperties.Flags.SkipNegotiation)
		assume(dl);
	else if (NT_SUCCESS(status))
		status = negotiate(dl);
	if (!NT_SUCCESS(status))
		hang_up(dl);
	return status;
}

/* Every address has an equal share of the time that is left.  What the server
 * itself refused is refused at its other addresses, too. */
static NTSTATUS
try_addresses(struct dial *dl, const struct wsk_addrinfo *list, nbe_time until)
{
	const struct wsk_addrinfo *a;
	NTSTATUS status = STATUS_HOST_UNREACHABLE;
	unsigned n = 0;
	nbe_time now;

	for (a = list; a != NULL; a = a->next)
		n++;
	for (a = list; a != NULL; a = a->next, n--) {
		now = time_now();
		dl->deadline = now + (until > now ? until - now : 0) / n;
		status = try_address(dl, a);
		if (NT_SUCCESS(status) || status == STATUS_CANCELLED ||
		    dl->why != NBE_WHY_NONE)
			break;
	}
	return status;
}

static NTSTATUS
reach(struct dial *dl)
{
	struct wsk_addrinfo hints = {
		.socktype = WSK_SOCK_STREAM, .protocol = WSK_IPPROTO_TCP,
	};
	struct wsk_addrinfo *list = NULL;
	UNICODE_STRING host, port;
	ULONG_PTR information;
	NTSTATUS status;
	nbe_time until = time_now() + DIAL_TIMEOUT;

	RtlInitUnicodeString(&host, dl->host);
	RtlInitUnicodeString(&port, dl->port);
	dl->deadline = until;
	wsk_resolve(&dl->op, &host, &port, &hints, &list);
	status = finish(dl, &information);
	if (!NT_SUCCESS(status))
		return status;
	status = try_addresses(dl, list, until);
	wsk_resolve_free(list);
	return status;
}

/* The device did not want it: say so, as the protocol asks for. */
static void
leave(struct dial *dl)
{
	uint8_t *disc = dl->hs.out;
	ULONG_PTR information;
	size_t n;

	dl->deadline = time_now() + GOODBYE_TIME;
	if (NT_SUCCESS(move(dl, disc, nbe_disc(disc, dl->exp.framing), true, &n))) {
		wsk_disconnect(&dl->op, dl->socket, false);
		dl->connected = !NT_SUCCESS(finish(dl, &information));
	}
	hang_up(dl);
}

static void
dial_main(void *arg)
{
	struct dial *dl = arg;

	dl->status = reach(dl);
	InterlockedExchange(&dl->done, 1);
	KeSetEvent(dl->event, IO_NO_INCREMENT, FALSE);
	KeWaitForSingleObject(&dl->verdict, Executive, KernelMode, FALSE, NULL);
	if (dl->refused)
		leave(dl);
	InterlockedExchange(&dl->over, 1);
	KeSetEvent(dl->event, IO_NO_INCREMENT, FALSE);
}

/* ---- for the disk's thread ------------------------------------------------- */

/* Names of hosts and numbers are ASCII; what is not cannot be resolved. */
static void
widen(WCHAR *to, const char *from, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++)
		to[i] = (unsigned char)from[i];
	to[i] = L'\0';
}

static void
port_text(WCHAR text[6], uint32_t port)
{
	char digits[5];
	unsigned i = 5;

	do
		digits[--i] = (char)('0' + port % 10);
	while ((port /= 10) != 0 && i > 0);
	widen(text, &digits[i], 5 - i);
}

struct dial *
dial_start(const WNBD_PROPERTIES *props, const WNBD_SERVER *server, KEVENT *event)
{
	struct dial *dl = mem_alloc(sizeof(*dl));

	if (dl == NULL)
		return NULL;
	dl->props = props;
	dl->event = event;
	widen(dl->host, server->Host, server->Length);
	port_text(dl->port, server->Port);
	KeInitializeEvent(&dl->ended, NotificationEvent, FALSE);
	KeInitializeEvent(&dl->cancel, NotificationEvent, FALSE);
	KeInitializeEvent(&dl->verdict, NotificationEvent, FALSE);
	if (!NT_SUCCESS(wsk_op_init(&dl->op, &dl->ended)) ||
	    !NT_SUCCESS(thread_start(dial_main, dl, &dl->thread))) {
		wsk_op_free(&dl->op);
		mem_free(dl);
		return NULL;
	}
	return dl;
}

void
dial_cancel(struct dial *dl)
{
	KeSetEvent(&dl->cancel, IO_NO_INCREMENT, FALSE);
}

void
dial_refuse(struct dial *dl)
{
	dl->refused = true;
	KeSetEvent(&dl->verdict, IO_NO_INCREMENT, FALSE);
}

void
dial_free(struct dial *dl)
{
	KeSetEvent(&dl->verdict, IO_NO_INCREMENT, FALSE);
	thread_join(dl->thread);
	wsk_op_free(&dl->op);
	mem_free(dl);
}
