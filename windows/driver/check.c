/*
 * check.c - the table of ioctls: how long they are, what they must hold.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "check.h"

#include "wnbd_servers.h"

#define CONNECTIONS_MAX	32
#define PORT_MAX	65535

/* Ended inside its array. */
static bool
is_string(const CHAR *s, size_t size)
{
	while (size > 0 && *s != '\0') {
		s++;
		size--;
	}
	return size > 0;
}

static bool
is_name(const CHAR *s, size_t size)
{
	return is_string(s, size) && s[0] != '\0';
}
#define IS_STRING(array)	is_string(array, sizeof(array))
#define IS_NAME(array)		is_name(array, sizeof(array))

static enum check
any(const void *in)
{
	(void)in;
	return CHECK_OK;
}

/* ---- CREATE ---------------------------------------------------------------- */

/* Without negotiation nothing tells whether several servers have one disk. */
static enum check
check_servers(const NBD_CONNECTION_PROPERTIES *n)
{
	WNBD_SERVER servers[NBD_MAX_SERVERS];
	UINT32 count;

	if (WnbdParseServers(n->Hostname, n->PortNumber, servers, &count) !=
	    WnbdServersOk)
		return CHECK_BAD_NAME;
	return (count > 1 && n->Flags.SkipNegotiation) ||
	    n->FenceBy > NbdFenceByStore ? CHECK_BAD_VALUE : CHECK_OK;
}

static enum check
check_nbd(const WNBD_PROPERTIES *p)
{
	const NBD_CONNECTION_PROPERTIES *n = &p->NbdProperties;

	if (!IS_NAME(n->Hostname) || !IS_STRING(n->ExportName))
		return CHECK_BAD_NAME;
	if (n->PortNumber == 0 || n->PortNumber > PORT_MAX ||
	    n->Connections > CONNECTIONS_MAX)
		return CHECK_BAD_VALUE;
	return check_servers(n);
}

static enum check
check_size(const WNBD_PROPERTIES *p)
{
	bool negotiated = p->Flags.UseKernelNbd &&
	    !p->NbdProperties.Flags.SkipNegotiation;

	if (p->BlockSize != 512 && p->BlockSize != 4096)
		return negotiated && p->BlockSize == 0 ? CHECK_OK : CHECK_BAD_VALUE;
	/* The server will tell the size. */
	if (negotiated)
		return CHECK_OK;
	return p->BlockCount == 0 || p->BlockCount > INT64_MAX / p->BlockSize ?
	    CHECK_BAD_VALUE : CHECK_OK;
}

static enum check
check_create(const void *in)
{
	const WNBD_PROPERTIES *p = &((const WNBD_IOCTL_CREATE_COMMAND *)in)->Properties;
	enum check check = CHECK_OK;

	if (!IS_NAME(p->InstanceName) || !IS_STRING(p->SerialNumber) ||
	    !IS_STRING(p->Owner))
		return CHECK_BAD_NAME;
	if (p->Flags.UseKernelNbd)
		check = check_nbd(p);
	return check != CHECK_OK ? check : check_size(p);
}

/* ---- the others ------------------------------------------------------------ */

static enum check
check_remove(const void *in)
{
	const WNBD_IOCTL_REMOVE_COMMAND *c = in;

	return IS_NAME(c->InstanceName) ? CHECK_OK : CHECK_BAD_NAME;
}

static enum check
check_instance(const void *in)
{
	const WNBD_IOCTL_SHOW_COMMAND *c = in;

	return IS_NAME(c->InstanceName) ? CHECK_OK : CHECK_BAD_NAME;
}

static enum check
check_fetch(const void *in)
{
	const WNBD_IOCTL_FETCH_REQ_COMMAND *c = in;

	return c->DataBuffer == NULL || c->DataBufferSize == 0 ||
	    c->DataBufferSize > INT32_MAX ? CHECK_BAD_VALUE : CHECK_OK;
}

static enum check
check_respond(const void *in)
{
	const WNBD_IOCTL_SEND_RSP_COMMAND *c = in;

	return c->DataBufferSize > INT32_MAX || (c->DataBufferSize != 0 &&
	    c->DataBuffer == NULL) ? CHECK_BAD_VALUE : CHECK_OK;
}

static enum check
check_option(const void *in)
{
	const WNBD_IOCTL_GET_DRV_OPT_COMMAND *c = in;
	size_t i;

	for (i = 0; i < WNBD_MAX_NAME_LENGTH; i++)
		if (c->Name[i] == 0)
			break;
	return i > 0 && i < WNBD_MAX_NAME_LENGTH ? CHECK_OK : CHECK_BAD_NAME;
}

static enum check
check_resize(const void *in)
{
	const WNBD_IOCTL_SET_SIZE_COMMAND *c = in;

	return c->BlockCount == 0 ? CHECK_BAD_VALUE : CHECK_OK;
}

static enum check
check_server_states(const void *in)
{
	const NBD_SERVERS *s = &((const WNBD_IOCTL_SET_SERVERS_COMMAND *)in)->Servers;
	UINT32 i;

	if (s->Count > NBD_MAX_SERVERS)
		return CHECK_BAD_VALUE;
	for (i = 0; i < s->Count; i++)
		if (s->Server[i].State > NbdServerFailed)
			return CHECK_BAD_VALUE;
	return CHECK_OK;
}

/* ---- the table ------------------------------------------------------------- */

/* A list may be asked for with room for its header alone. */
#define LIST_HEADER	(2 * sizeof(UINT32))

static const struct {
	uint16_t in_len, out_len;
	enum check (*check)(const void *);
} commands[] = {
	[IOCTL_WNBD_PING] = { sizeof(WNBD_IOCTL_PING_COMMAND), 0, any },
	[IOCTL_WNBD_CREATE] = { sizeof(WNBD_IOCTL_CREATE_COMMAND),
	    sizeof(WNBD_CONNECTION_INFO), check_create },
	[IOCTL_WNBD_REMOVE] = { sizeof(WNBD_IOCTL_REMOVE_COMMAND), 0, check_remove },
	[IOCTL_WNBD_FETCH_REQ] = { sizeof(WNBD_IOCTL_FETCH_REQ_COMMAND),
	    sizeof(WNBD_IOCTL_FETCH_REQ_COMMAND), check_fetch },
	[IOCTL_WNBD_SEND_RSP] = { sizeof(WNBD_IOCTL_SEND_RSP_COMMAND), 0,
	    check_respond },
	[IOCTL_WNBD_LIST] = { sizeof(WNBD_IOCTL_LIST_COMMAND), LIST_HEADER, any },
	[IOCTL_WNBD_STATS] = { sizeof(WNBD_IOCTL_STATS_COMMAND),
	    sizeof(WNBD_DRV_STATS), check_instance },
	[IOCTL_WNBD_RELOAD_CONFIG] = { sizeof(WNBD_IOCTL_RELOAD_CONFIG_COMMAND), 0,
	    any },
	[IOCTL_WNBD_VERSION] = { sizeof(WNBD_IOCTL_VERSION_COMMAND),
	    sizeof(WNBD_VERSION), any },
	[IOCTL_WNBD_SHOW] = { sizeof(WNBD_IOCTL_SHOW_COMMAND),
	    sizeof(WNBD_CONNECTION_INFO), check_instance },
	[IOCTL_WNBD_GET_DRV_OPT] = { sizeof(WNBD_IOCTL_GET_DRV_OPT_COMMAND),
	    sizeof(WNBD_OPTION_VALUE), check_option },
	[IOCTL_WNBD_SET_DRV_OPT] = { sizeof(WNBD_IOCTL_SET_DRV_OPT_COMMAND), 0,
	    check_option },
	[IOCTL_WNBD_RESET_DRV_OPT] = { sizeof(WNBD_IOCTL_RESET_DRV_OPT_COMMAND), 0,
	    check_option },
	[IOCTL_WNBD_LIST_DRV_OPT] = { sizeof(WNBD_IOCTL_LIST_DRV_OPT_COMMAND),
	    LIST_HEADER, any },
	[IOCTL_WNBD_SET_DISK_SIZE] = { sizeof(WNBD_IOCTL_SET_SIZE_COMMAND), 0,
	    check_resize },
	[IOCTL_WNBD_SET_SERVERS] = { sizeof(WNBD_IOCTL_SET_SERVERS_COMMAND), 0,
	    check_server_states },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

enum check
check_command(const void *in, size_t in_len, size_t out_len)
{
	ULONG code;

	if (in_len < sizeof(code))
		return CHECK_SHORT_INPUT;
	memcpy(&code, in, sizeof(code));
	if (code >= COMMANDS || commands[code].check == NULL)
		return CHECK_UNKNOWN_CODE;
	if (in_len < commands[code].in_len)
		return CHECK_SHORT_INPUT;
	if (out_len < commands[code].out_len)
		return CHECK_SHORT_OUTPUT;
	return commands[code].check(in);
}
