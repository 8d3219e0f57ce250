/*
 * map.c - mapping an NBD export: by the driver, or by this process.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "commands.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "connect.h"

#define DEFAULT_PORT 10809
/* How Ctrl-C removes the disk: somebody waits for it. */
#define CTRL_C_TIMEOUT_MS 3000
#define CTRL_C_RETRY_MS 1000

static const char *mapped_name;		/* of the disk that Ctrl-C removes */

static BOOL WINAPI
on_control_signal(DWORD signal)
{
	WNBD_REMOVE_OPTIONS options = {
		.Flags.HardRemoveFallback = 1,
		.SoftRemoveTimeoutMs = CTRL_C_TIMEOUT_MS,
		.SoftRemoveRetryIntervalMs = CTRL_C_RETRY_MS,
	};
	DWORD status;

	(void)signal;
	fprintf(stderr, "Received control signal, cleaning up.\n");
	status = WnbdRemoveEx(mapped_name, &options);
	if (status != 0)
		complain(status, mapped_name);
	return TRUE;
}

/* False: too long, and said so. */
static bool
put(char *to, size_t size, const char *text, const char *what)
{
	size_t len = strlen(text);

	if (len < size) {
		memcpy(to, text, len + 1);
		return true;
	}
	fprintf(stderr, "wnbd-client: %s is longer than %u bytes\n", what,
	    (unsigned)size - 1);
	return false;
}

static bool
is_uri(const char *host)
{
	return strstr(host, "://") != NULL;
}

static bool
put_server(NBD_CONNECTION_PROPERTIES *n, const char *host, unsigned port,
    const char *export_name)
{
	n->PortNumber = port != 0 ? port : DEFAULT_PORT;
	return put(n->Hostname, sizeof(n->Hostname), host, "the host name") &&
	    put(n->ExportName, sizeof(n->ExportName), export_name,
	    "the export name");
}

/* The driver knows host names and numbers of ports, and no TLS. */
static bool
is_for_driver(const struct nbc_target *t)
{
	return t->family == NBC_TCP && t->tls == NBE_TLS_OFF &&
	    (t->port == NULL || isdigit((unsigned char)t->port[0]));
}

static bool
take_uri(NBD_CONNECTION_PROPERTIES *n, const char *uri, bool *for_driver)
{
	struct nbc_target target = { 0 };
	struct nbc_error error;
	bool ok;

	if (!nbc_target_parse(&target, uri, &error)) {
		complain_text(error.text);
		return false;
	}
	*for_driver = is_for_driver(&target);
	ok = put_server(n, target.host, target.port != NULL ?
	    (unsigned)strtoul(target.port, NULL, 10) : 0,
	    target.export_name != NULL ? target.export_name : "");
	nbc_target_free(&target);
	return ok;
}

static bool
fill_properties(WNBD_PROPERTIES *p, const struct arguments *a)
{
	const char *name = a->operand[0];
	NBD_CONNECTION_PROPERTIES *n = &p->NbdProperties;

	if (!put(p->InstanceName, sizeof(p->InstanceName), name, "the instance name") ||
	    !put(p->SerialNumber, sizeof(p->SerialNumber), name, "the serial number") ||
	    !put(p->Owner, sizeof(p->Owner), OWNER_NAME, "the owner"))
		return false;
	n->Flags.SkipNegotiation = a->skip_handshake;
	n->Connections = a->connections;
	n->RequestTimeoutMs = a->timeout_s * 1000;
	n->DeadTimeoutMs = a->dead_timeout_s * 1000;
	n->FenceBy = a->fence_by == FENCE_BY_STORE ? NbdFenceByStore : NbdFenceByTime;
	n->FenceTimeMs = a->fence_s * 1000;
	n->PathTimeoutMs = a->path_timeout_s * 1000;
	n->FailbackMs = a->failback_s * 1000;
	p->Flags.ReadOnly = a->read_only;
	p->BlockSize = a->block_size;
	p->BlockCount = a->block_size != 0 ? a->disk_size / a->block_size : 0;
	p->Pid = (INT)GetCurrentProcessId();
	return true;
}

/* The driver keeps it when this process is gone. */
static DWORD
map_in_kernel(WNBD_PROPERTIES *p)
{
	WNBD_DISK *disk;
	DWORD status;

	p->Flags.UseKernelNbd = 1;
	status = WnbdCreate(p, NULL, NULL, &disk);
	if (status != 0)
		return complain(status, p->InstanceName);
	WnbdClose(disk);
	return 0;
}

static void
on_mapped(PWNBD_DISK disk, void *context)
{
	(void)context;
	mapped_name = disk->Properties.InstanceName;
	SetConsoleCtrlHandler(on_control_signal, TRUE);
}

static DWORD
map_in_user_space(WNBD_PROPERTIES *p, const WNBD_NBD_OPTIONS *options)
{
	WSADATA data;
	DWORD status = (DWORD)WSAStartup(MAKEWORD(2, 2), &data);

	if (status != 0)
		return complain(status, "Windows Sockets");
	mapped_name = p->InstanceName;
	status = WnbdRunNbdDaemonEx(p, options);
	WSACleanup();
	return status == 0 ? 0 : complain(status, p->InstanceName);
}

DWORD
command_map(const struct arguments *a)
{
	WNBD_PROPERTIES p = { 0 };
	WNBD_NBD_OPTIONS options = {
		.Size = sizeof(options), .Tls = (WnbdTlsMode)a->tls.when,
		.CaFile = a->ca_file, .CertFile = a->cert_file, .KeyFile = a->key_file,
		.KeyPasswordFile = a->key_password_file,
		.TlsHostname = a->tls_hostname, .Connections = a->connections,
		.RequestTimeoutMs = a->timeout_s * 1000,
		.DeadTimeoutMs = a->dead_timeout_s * 1000, .Mapped = on_mapped,
	};

	bool for_driver = true;

	if (!fill_properties(&p, a) || !(is_uri(a->operand[1]) ?
	    take_uri(&p.NbdProperties, a->operand[1], &for_driver) :
	    put_server(&p.NbdProperties, a->operand[1], a->port,
	    a->export_name != NULL ? a->export_name : a->operand[0])))
		return ERROR_INVALID_PARAMETER;
	if (for_driver && a->tls.when == TLS_OFF && !a->user_space)
		return map_in_kernel(&p);
	if (is_uri(a->operand[1]))
		options.Uri = a->operand[1];
	return map_in_user_space(&p, &options);
}
