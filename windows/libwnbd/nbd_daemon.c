/*
 * nbd_daemon.c - a disk whose NBD client is this process.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "nbd_serve.h"
#include "wnbd_servers.h"

#define CONNECT_TIMEOUT_MS	30000
#define UNMAP_RANGES		256	/* in one request, if the caller has no wish */

struct daemon {
	WNBD_PROPERTIES properties;
	const WNBD_NBD_OPTIONS *options;
	struct nbc_target target[NBD_MAX_SERVERS];
	unsigned servers;
	struct nbc_tls_context *tls;
	struct nbe_export given;
	struct nbd_disk	*nbd;
	WNBD_DISK *volatile disk;
};

/* ---- what the caller asks for -------------------------------------------- */

static DWORD
error_of(enum nbc_kind kind)
{
	switch (kind) {
	case NBC_USAGE:
		return ERROR_INVALID_PARAMETER;
	case NBC_RESOLVE:
		return ERROR_BAD_NETPATH;
	case NBC_UNREACHABLE:
		return ERROR_HOST_UNREACHABLE;
	case NBC_NO_EXPORT:
		return ERROR_BAD_NET_NAME;
	case NBC_REFUSED:
	case NBC_TLS_REQUIRED:
	case NBC_TLS_REFUSED:
	case NBC_TLS_FAILED:
		return ERROR_ACCESS_DENIED;
	case NBC_CANCELLED:
		return ERROR_CANCELLED;
	case NBC_INTERNAL:
		return ERROR_OUTOFMEMORY;
	default:
		return ERROR_BAD_NET_RESP;
	}
}

static DWORD
log_error(const struct daemon *m, const struct nbc_error *error)
{
	LOG(Error, "%s: %s", m->properties.InstanceName, error->text);
	return error_of(error->kind);
}

static bool
set(char **field, const char *value, struct nbc_error *error)
{
	if (value == NULL)
		return true;
	free(*field);
	*field = strdup(value);
	return *field != NULL || nbc_fail_no_memory(error);
}

static bool
server_fault(WNBD_SERVERS_FAULT fault, const NBD_CONNECTION_PROPERTIES *n,
    unsigned number, struct nbc_error *error)
{
	static const char *const why[] = {
		[WnbdServersNoName] = "has no name",
		[WnbdServersBadPort] = "has no port from 1 to 65535",
		[WnbdServersBadBracket] = "has a bracket without the other one",
		[WnbdServersTwice] = "is there twice",
		[WnbdServersTooMany] = "is one too many",
	};

	return fault == WnbdServersOk || nbc_fail(error, NBC_USAGE,
	    "\"%s\": server %u %s", n->Hostname, number, why[fault]);
}

static bool
set_target(struct nbc_target *t, const WNBD_SERVER *server, const char *export_name,
    struct nbc_error *error)
{
	char host[WNBD_MAX_NAME_LENGTH], port[16];

	snprintf(host, sizeof(host), "%.*s", (int)server->Length, server->Host);
	snprintf(port, sizeof(port), "%u", server->Port);
	return set(&t->host, host, error) &&
	    set(&t->port, server->Port != 0 ? port : NULL, error) &&
	    set(&t->export_name, export_name, error);
}

/* The servers by host, port and export name. */
static bool
targets_of_properties(struct daemon *m, struct nbc_error *error)
{
	const NBD_CONNECTION_PROPERTIES *n = &m->properties.NbdProperties;
	WNBD_SERVER server[NBD_MAX_SERVERS];
	WNBD_SERVERS_FAULT fault;

	if (n->Hostname[0] == '\0' || memchr(n->Hostname, '\0',
	    sizeof(n->Hostname)) == NULL || memchr(n->ExportName, '\0',
	    sizeof(n->ExportName)) == NULL)
		return nbc_fail(error, NBC_USAGE,
		    "the host name or the export name is empty or too long");
	if (n->PortNumber > 65535)
		return nbc_fail(error, NBC_USAGE, "%u is not a port", n->PortNumber);
	fault = WnbdParseServers(n->Hostname, n->PortNumber, server, &m->servers);
	if (!server_fault(fault, n, m->servers + 1, error))
		return false;
	for (unsigned i = 0; i < m->servers; i++)
		if (!set_target(&m->target[i], &server[i], n->ExportName, error))
			return false;
	return true;
}

/* What is in NbdProperties is for people to see, so it must fit the URI. */
static void
properties_of_target(struct daemon *m)
{
	NBD_CONNECTION_PROPERTIES *n = &m->properties.NbdProperties;
	const struct nbc_target *t = &m->target[0];

	snprintf(n->Hostname, sizeof(n->Hostname), "%s", t->host);
	snprintf(n->ExportName, sizeof(n->ExportName), "%s",
	    t->export_name != NULL ? t->export_name : "");
	n->PortNumber = (UINT32)strtoul(t->port != NULL ? t->port :
	    NBC_DEFAULT_PORT, NULL, 10);
}

/* Never less TLS than either of the URI and the options asks for. */
static bool
set_tls(struct daemon *m, struct nbc_target *t, struct nbc_error *error)
{
	static const enum nbe_tls modes[] = {
		[WnbdTlsOff] = NBE_TLS_OFF, [WnbdTlsIfOffered] = NBE_TLS_IF_OFFERED,
		[WnbdTlsRequired] = NBE_TLS_REQUIRED,
	};
	const WNBD_NBD_OPTIONS *o = m->options;

	if ((unsigned)o->Tls > WnbdTlsRequired)
		return nbc_fail(error, NBC_USAGE, "%d is not a TLS mode", o->Tls);
	if (modes[o->Tls] > t->tls)
		t->tls = modes[o->Tls];
	if (t->tls == NBE_TLS_OFF && (o->CaFile != NULL || o->CertFile != NULL ||
	    o->KeyFile != NULL || o->TlsHostname != NULL))
		return nbc_fail(error, NBC_USAGE, "TLS files without TLS");
	return set(&t->ca_file, o->CaFile, error) &&
	    set(&t->cert_file, o->CertFile, error) &&
	    set(&t->key_file, o->KeyFile, error) &&
	    set(&t->key_password_file, o->KeyPasswordFile, error) &&
	    set(&t->tls_hostname, o->TlsHostname, error);
}

static bool
make_targets(struct daemon *m, struct nbc_error *error)
{
	if (m->options->Uri != NULL) {
		if (!nbc_target_parse(&m->target[0], m->options->Uri, error))
			return false;
		m->servers = 1;
		properties_of_target(m);
	} else if (!targets_of_properties(m, error)) {
		return false;
	}
	for (unsigned i = 0; i < m->servers; i++)
		if (!set_tls(m, &m->target[i], error))
			return false;
	return nbc_tls_context_load(&m->tls, &m->target[0], error);
}

static UINT32
first_of(UINT32 a, UINT32 b, UINT32 usual)
{
	return a != 0 ? a : b != 0 ? b : usual;
}

/* ---- without negotiation ------------------------------------------------- */

/* The caller says what the server has. */
static bool
given_export(struct daemon *m, struct nbc_error *error)
{
	const WNBD_PROPERTIES *p = &m->properties;
	struct nbe_export *e = &m->given;

	if (p->BlockSize == 0 || p->BlockCount == 0 ||
	    p->BlockCount > INT64_MAX / p->BlockSize)
		return nbc_fail(error, NBC_USAGE,
		    "without negotiation, the block size and count must be given");
	if (m->target[0].tls != NBE_TLS_OFF)
		return nbc_fail(error, NBC_USAGE,
		    "without negotiation there is no TLS");
	if (m->servers > 1)
		return nbc_fail(error, NBC_USAGE, "without negotiation nothing tells "
		    "whether several servers have one disk");
	*e = (struct nbe_export){
		.size = p->BlockCount * p->BlockSize, .block_min = 1,
		.block_pref = 4096, .payload_max = NBE_PAYLOAD_DEFAULT,
		.flags = NBE_FLAG_HAS_FLAGS, .framing = NBE_SIMPLE,
	};
	if (p->Flags.ReadOnly)
		e->flags |= NBE_FLAG_READ_ONLY;
	if (p->Flags.FlushSupported)
		e->flags |= NBE_FLAG_SEND_FLUSH;
	if (p->Flags.FUASupported)
		e->flags |= NBE_FLAG_SEND_FUA;
	if (p->Flags.UnmapSupported)
		e->flags |= NBE_FLAG_SEND_TRIM;
	return true;
}

/* ---- the disk ------------------------------------------------------------ */

static void
on_resized(void *arg)
{
	struct daemon *m = arg;
	struct nbe_export e = nbd_disk_export(m->nbd);
	WNBD_DISK *disk = m->disk;
	DWORD status;
	char text[256];

	if (disk == NULL)
		return;
	status = WnbdSetDiskSize(disk, e.size / disk->Properties.BlockSize);
	if (status != 0)
		LOG(Warning, "%s: the new size is not taken: %s",
		    disk->Properties.InstanceName,
		    lib_error_text(status, text, sizeof(text)));
}

/* What a driver that does not know of it refuses, nobody will ask it for. */
static bool
on_servers_changed(void *arg, const NBD_SERVERS *servers)
{
	struct daemon *m = arg;
	WNBD_DISK *disk = m->disk;
	DWORD status;
	char text[256];

	if (disk == NULL)
		return false;
	status = WnbdIoctlSetServers(disk->Handle, disk->ConnectionInfo.ConnectionId,
	    servers, NULL);
	if (status != 0)
		LOG(Debug, "%s: the states of its servers are not taken: %s",
		    disk->Properties.InstanceName,
		    lib_error_text(status, text, sizeof(text)));
	return true;
}

static bool
connect_nbd(struct daemon *m, struct nbc_error *error)
{
	const NBD_CONNECTION_PROPERTIES *n = &m->properties.NbdProperties;
	const WNBD_NBD_OPTIONS *o = m->options;
	struct nbd_config config = {
		.targets = m->target, .servers = m->servers, .tls = m->tls,
		.options = {
			.framing_max = NBE_STRUCTURED, .cancel_fd = -1,
			.timeout_ms = first_of(o->ConnectTimeoutMs, 0,
			    CONNECT_TIMEOUT_MS),
		},
		.connections = first_of(o->Connections, n->Connections, 1),
		.request_timeout_ms = first_of(o->RequestTimeoutMs,
		    n->RequestTimeoutMs, NBD_DEFAULT_REQUEST_TIMEOUT_MS),
		.dead_timeout_ms = first_of(o->DeadTimeoutMs, n->DeadTimeoutMs,
		    NBD_DEFAULT_DEAD_TIMEOUT_MS),
		.fence_ms = first_of(n->FenceTimeMs, 0, NBD_DEFAULT_FENCE_TIME_MS),
		.fence_by = n->FenceBy == NbdFenceByStore ? NBE_FENCE_STORE :
		    NBE_FENCE_TIME,
		.path_timeout_ms = first_of(n->PathTimeoutMs, 0,
		    NBD_DEFAULT_PATH_TIMEOUT_MS),
		.failback_ms = n->FailbackMs,
		.resized = on_resized, .servers_changed = on_servers_changed, .arg = m,
	};

	if (n->FenceBy > NbdFenceByStore)
		return nbc_fail(error, NBC_USAGE, "%u is no way to fence a server",
		    n->FenceBy);
	if (config.connections > NBE_MAX_CONNS)
		return nbc_fail(error, NBC_USAGE, "more than %d connections",
		    NBE_MAX_CONNS);
	if (n->Flags.SkipNegotiation) {
		if (!given_export(m, error))
			return false;
		config.given = &m->given;
	}
	m->nbd = nbd_disk_open(&config, error);
	return m->nbd != NULL;
}

/* Of a server that wants larger blocks than Windows's smallest, take those. */
static bool
set_geometry(struct daemon *m, const struct nbe_export *e, struct nbc_error *error)
{
	WNBD_PROPERTIES *p = &m->properties;
	UINT64 blocks;

	if (p->BlockSize == 0)
		p->BlockSize = e->block_min > WNBD_DEFAULT_BLOCK_SIZE ? e->block_min :
		    WNBD_DEFAULT_BLOCK_SIZE;
	if (p->BlockSize != 512 && p->BlockSize != 4096)
		return nbc_fail(error, NBC_USAGE, "a block size of %u: Windows takes "
		    "512 or 4096", p->BlockSize);
	if (p->BlockSize < e->block_min)
		return nbc_fail(error, NBC_USAGE, "a block size of %u: the server "
		    "wants %u at least", p->BlockSize, e->block_min);
	blocks = e->size / p->BlockSize;
	if (blocks == 0 || p->BlockCount > blocks)
		return nbc_fail(error, NBC_USAGE, "%llu blocks of %u bytes: the server "
		    "has %llu bytes", p->BlockCount, p->BlockSize, e->size);
	if (p->BlockCount == 0)
		p->BlockCount = blocks;
	return true;
}

static bool
set_properties(struct daemon *m, struct nbc_error *error)
{
	struct nbe_export e = nbd_disk_export(m->nbd);
	WNBD_PROPERTIES *p = &m->properties;

	if (!set_geometry(m, &e, error))
		return false;
	if ((e.flags & NBE_FLAG_READ_ONLY) != 0)
		p->Flags.ReadOnly = 1;
	p->Flags.FlushSupported = (e.flags & NBE_FLAG_SEND_FLUSH) != 0;
	p->Flags.FUASupported = (e.flags & NBE_FLAG_SEND_FUA) != 0;
	p->Flags.UnmapSupported = (e.flags & NBE_FLAG_SEND_TRIM) != 0 &&
	    !p->Flags.ReadOnly;
	p->Flags.UseKernelNbd = 0;
	p->Flags.UseUserspaceNbd = 1;
	if (p->MaxUnmapDescCount == 0)
		p->MaxUnmapDescCount = UNMAP_RANGES;
	return true;
}

static DWORD
serve_disk(struct daemon *m)
{
	WNBD_DISK *disk;
	DWORD status = WnbdCreate(&m->properties,
	    (PWNBD_INTERFACE)(uintptr_t)&nbd_serve_interface, m->nbd, &disk);

	if (status != 0)
		return status;
	m->disk = disk;
	status = WnbdStartDispatcher(disk, NBD_SERVE_THREADS);
	if (status == 0) {
		if (m->options->Mapped != NULL)
			m->options->Mapped(disk, m->options->Context);
		status = WnbdWaitDispatcher(disk);
	}
	m->disk = NULL;
	nbd_disk_close(m->nbd);
	m->nbd = NULL;
	WnbdClose(disk);
	return status;
}

static DWORD
run_daemon(struct daemon *m)
{
	struct nbc_error error = { .kind = NBC_OK };

	if (!make_targets(m, &error) || !connect_nbd(m, &error) ||
	    !set_properties(m, &error))
		return log_error(m, &error);
	return serve_disk(m);
}

DWORD
WnbdRunNbdDaemonEx(PWNBD_PROPERTIES Properties, const WNBD_NBD_OPTIONS *Options)
{
	static const WNBD_NBD_OPTIONS none = { .Size = sizeof(none) };
	struct daemon *m;
	DWORD status;

	if (Properties == NULL || Properties->InstanceName[0] == '\0' ||
	    (Options != NULL && Options->Size != sizeof(*Options)))
		return ERROR_INVALID_PARAMETER;
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return ERROR_OUTOFMEMORY;
	m->properties = *Properties;
	m->options = Options != NULL ? Options : &none;
	status = run_daemon(m);
	if (m->nbd != NULL)
		nbd_disk_close(m->nbd);
	nbc_tls_context_free(m->tls);
	for (unsigned i = 0; i < NBD_MAX_SERVERS; i++)
		nbc_target_free(&m->target[i]);
	free(m);
	return status;
}

DWORD
WnbdRunNbdDaemon(PWNBD_PROPERTIES Properties)
{
	return WnbdRunNbdDaemonEx(Properties, NULL);
}
