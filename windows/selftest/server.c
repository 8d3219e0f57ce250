/*
 * server.c - an NBD server of this process, with faults: its connections.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "server.h"

#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* NetworkBlockDevice's doc/proto.md */
#define MAGIC_INIT	UINT64_C(0x4e42444d41474943)
#define MAGIC_OPTION	UINT64_C(0x49484156454f5054)
#define MAGIC_REPLY	UINT64_C(0x0003e889045565a9)
#define MAGIC_REQUEST	0x25609513u
#define MAGIC_ANSWER	0x67446698u
#define FIXED_NEWSTYLE	1u
#define NO_ZEROES	2u
#define REP_ACK		1u
#define REP_INFO	3u
#define REP_UNSUPPORTED	0x80000001u
#define EIO_NBD		5u
#define EPERM_NBD	1u
#define EINVAL_NBD	22u
#define CONNS_MAX	64
#define CHUNK_MAX	(32u << 20)
#define SLOW_MS		100

enum { OPT_ABORT = 2, OPT_INFO = 6, OPT_GO = 7 };
enum { CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM, CMD_ZEROES = 6 };
#define FLAG_FUA	1u
/* has flags, flush, FUA, trim, write zeroes, multi-conn; and read-only */
#define EXPORT_FLAGS	0x16du
#define EXPORT_READ_ONLY 0x2u

struct server {
	struct server_config cfg;
	struct memory *memory;
	unsigned port;
	volatile LONG fault, stopping, threads;
	CRITICAL_SECTION lock;
	SOCKET	listener, conn[CONNS_MAX];
	HANDLE	acceptor;
	struct server_counts counts;
};

struct session {
	struct server *server;
	unsigned slot;
	SOCKET	s;
	uint8_t	*buf;
};

static void
put(uint8_t *p, uint64_t v, unsigned bytes)
{
	while (bytes-- > 0) {
		p[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

static uint64_t
get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | *p++;
	return v;
}

static bool
take(struct session *c, void *buf, size_t len)
{
	char *at = buf;

	while (len > 0) {
		int n = recv(c->s, at, (int)len, 0);

		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool
give(struct session *c, const void *buf, size_t len)
{
	const char *at = buf;

	while (len > 0) {
		int n = send(c->s, at, (int)len, 0);

		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

/* ---- handshake ------------------------------------------------------------- */

static bool
reply(struct session *c, uint32_t option, uint32_t type, const void *data, uint32_t len)
{
	uint8_t head[20];

	put(head, MAGIC_REPLY, 8);
	put(head + 8, option, 4);
	put(head + 12, type, 4);
	put(head + 16, len, 4);
	return give(c, head, sizeof(head)) && give(c, data, len);
}

static bool
describe(struct session *c, uint32_t option)
{
	const struct server_config *cfg = &c->server->cfg;
	uint8_t export[12], sizes[14];

	put(export, 0, 2);
	put(export + 2, cfg->size, 8);
	put(export + 10, EXPORT_FLAGS | (cfg->read_only ? EXPORT_READ_ONLY : 0), 2);
	put(sizes, 3, 2);
	put(sizes + 2, cfg->block_min, 4);
	put(sizes + 6, cfg->block_pref, 4);
	put(sizes + 10, CHUNK_MAX, 4);
	return reply(c, option, REP_INFO, export, sizeof(export)) &&
	    (cfg->block_min == 0 || reply(c, option, REP_INFO, sizes, sizeof(sizes))) &&
	    reply(c, option, REP_ACK, NULL, 0);
}

static bool
handshake(struct session *c)
{
	uint8_t head[18];
	uint32_t option, len;

	put(head, MAGIC_INIT, 8);
	put(head + 8, MAGIC_OPTION, 8);
	put(head + 16, FIXED_NEWSTYLE | NO_ZEROES, 2);
	if (!give(c, head, 18) || !take(c, head, 4))
		return false;
	for (;;) {
		if (!take(c, head, 16) || get(head, 8) != MAGIC_OPTION)
			return false;
		option = (uint32_t)get(head + 8, 4);
		len = (uint32_t)get(head + 12, 4);
		if (len > CHUNK_MAX || !take(c, c->buf, len))
			return false;
		if (option == OPT_GO || option == OPT_INFO) {
			if (!describe(c, option))
				return false;
			if (option == OPT_GO)
				return true;
		} else if (option == OPT_ABORT) {
			return false;
		} else if (!reply(c, option, REP_UNSUPPORTED, NULL, 0)) {
			return false;
		}
	}
}

/* ---- transmission ---------------------------------------------------------- */

static uint32_t
execute(struct session *c, unsigned type, unsigned flags, uint64_t offset, uint32_t len)
{
	struct server *s = c->server;
	struct server_counts *n = &s->counts;

	if (type != CMD_FLUSH && (offset > s->cfg.size || len > s->cfg.size - offset))
		return EINVAL_NBD;
	if (s->cfg.read_only && type != CMD_READ && type != CMD_FLUSH)
		return EPERM_NBD;
	if (s->fault == FAULT_REFUSE && (type == CMD_READ || type == CMD_WRITE))
		return EIO_NBD;
	if ((flags & FLAG_FUA) != 0)
		InterlockedIncrement(&n->fua);
	switch (type) {
	case CMD_READ:
		InterlockedIncrement(&n->reads);
		memory_read(s->memory, offset, c->buf, len);
		return 0;
	case CMD_WRITE:
		InterlockedIncrement(&n->writes);
		return memory_write(s->memory, offset, c->buf, len) ? 0 : EIO_NBD;
	case CMD_FLUSH:
		InterlockedIncrement(&n->flushes);
		return 0;
	case CMD_TRIM:
	case CMD_ZEROES:
		InterlockedIncrement(type == CMD_TRIM ? &n->trims : &n->zeroes);
		memory_zero(s->memory, offset, len);
		return 0;
	default:
		return EINVAL_NBD;
	}
}

/* False: this command ends the connection; *answer: there is one. */
static bool
suffer(struct server *s, bool *answer)
{
	*answer = s->fault != FAULT_DEAF &&
	    InterlockedCompareExchange(&s->fault, FAULT_NONE, FAULT_SILENT) !=
	    FAULT_SILENT;
	if (s->fault == FAULT_SLOW)
		Sleep(SLOW_MS);
	return InterlockedCompareExchange(&s->fault, FAULT_NONE, FAULT_CUT) !=
	    FAULT_CUT;
}

static void
transmission(struct session *c)
{
	uint8_t head[28], answer[16];
	unsigned flags, type;
	uint32_t len, error;
	bool answered;

	while (take(c, head, sizeof(head)) && get(head, 4) == MAGIC_REQUEST) {
		flags = (unsigned)get(head + 4, 2);
		type = (unsigned)get(head + 6, 2);
		len = (uint32_t)get(head + 24, 4);
		if (type == CMD_DISC || (type <= CMD_WRITE && len > CHUNK_MAX) ||
		    (type == CMD_WRITE && !take(c, c->buf, len)) ||
		    !suffer(c->server, &answered))
			return;
		if (!answered)
			continue;
		error = execute(c, type, flags, get(head + 16, 8), len);
		put(answer, MAGIC_ANSWER, 4);
		put(answer + 4, error, 4);
		memcpy(answer + 8, head + 8, 8);
		if (!give(c, answer, sizeof(answer)) ||
		    (type == CMD_READ && error == 0 && !give(c, c->buf, len)))
			return;
	}
}

/* ---- connections ----------------------------------------------------------- */

static DWORD WINAPI
session_thread(void *arg)
{
	struct session *c = arg;
	struct server *s = c->server;

	c->buf = malloc(CHUNK_MAX);
	if (c->buf != NULL && handshake(c))
		transmission(c);
	EnterCriticalSection(&s->lock);
	s->conn[c->slot] = INVALID_SOCKET;
	LeaveCriticalSection(&s->lock);
	closesocket(c->s);
	free(c->buf);
	free(c);
	InterlockedDecrement(&s->threads);
	return 0;
}

static void
welcome(struct server *s, SOCKET socket)
{
	struct session *c = calloc(1, sizeof(*c));
	HANDLE thread = NULL;
	int on = 1;

	EnterCriticalSection(&s->lock);
	for (unsigned i = 0; c != NULL && i < CONNS_MAX && c->s == 0; i++)
		if (s->conn[i] == INVALID_SOCKET) {
			*c = (struct session){ s, i, socket, NULL };
			s->conn[i] = socket;
		}
	LeaveCriticalSection(&s->lock);
	if (c != NULL && c->s != 0) {
		setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, (char *)&on, sizeof(on));
		InterlockedIncrement(&s->threads);
		InterlockedIncrement(&s->counts.connections);
		thread = CreateThread(NULL, 0, session_thread, c, 0, NULL);
	}
	if (thread != NULL) {
		CloseHandle(thread);
		return;
	}
	closesocket(socket);
	free(c);
}

static DWORD WINAPI
accept_thread(void *arg)
{
	struct server *s = arg;
	SOCKET socket, listener = s->listener;

	while ((socket = accept(listener, NULL, NULL)) != INVALID_SOCKET)
		welcome(s, socket);
	return 0;
}

bool
server_revive(struct server *s)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	int len = sizeof(at);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	at.sin_port = htons((u_short)s->port);
	s->listener = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
	if (bind(s->listener, (struct sockaddr *)&at, len) != 0 ||
	    listen(s->listener, CONNS_MAX) != 0 ||
	    getsockname(s->listener, (struct sockaddr *)&at, &len) != 0)
		return false;
	s->port = ntohs(at.sin_port);
	s->acceptor = CreateThread(NULL, 0, accept_thread, s, 0, NULL);
	return s->acceptor != NULL;
}

void
server_kill(struct server *s)
{
	struct linger reset = { 1, 0 };

	closesocket(s->listener);
	WaitForSingleObject(s->acceptor, INFINITE);
	CloseHandle(s->acceptor);
	EnterCriticalSection(&s->lock);
	for (unsigned i = 0; i < CONNS_MAX; i++)
		if (s->conn[i] != INVALID_SOCKET) {
			setsockopt(s->conn[i], SOL_SOCKET, SO_LINGER, (char *)&reset,
			    sizeof(reset));
			shutdown(s->conn[i], SD_BOTH);
		}
	LeaveCriticalSection(&s->lock);
	while (s->threads != 0)
		Sleep(10);
}

struct server *
server_start(const struct server_config *cfg)
{
	struct server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->cfg = *cfg;
	s->memory = memory_new();
	InitializeCriticalSection(&s->lock);
	for (unsigned i = 0; i < CONNS_MAX; i++)
		s->conn[i] = INVALID_SOCKET;
	if (s->memory != NULL && server_revive(s))
		return s;
	if (s->memory != NULL)
		memory_free(s->memory);
	DeleteCriticalSection(&s->lock);
	free(s);
	return NULL;
}

void
server_stop(struct server *s)
{
	server_kill(s);
	memory_free(s->memory);
	DeleteCriticalSection(&s->lock);
	free(s);
}

unsigned
server_port(const struct server *s)
{
	return s->port;
}

void
server_fault(struct server *s, enum fault fault)
{
	InterlockedExchange(&s->fault, fault);
}

struct server_counts
server_counts(const struct server *s)
{
	return s->counts;
}
