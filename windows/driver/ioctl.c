/*
 * ioctl.c - what programs ask of the adapter: one function per command.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The buffer is the system's copy (METHOD_BUFFERED), checked by check.c before a
 * handler sees it; it is input and output at once, so a handler has taken what it
 * needs before it writes.  A handler returns STATUS_PENDING if the IRP will be
 * completed by somebody else.
 */
#include "check.h"
#include "driver.h"
#include "log.h"
#include "names.h"
#include "options.h"
#include "registry.h"

struct request {
	struct adapter	*adapter;
	IRP		*irp;
	void		*buf;
	size_t		 room;		/* for output */
	size_t		 length;	/* of the output */
};

static void *
answer(struct request *r, size_t length)
{
	memset(r->buf, 0, length);
	r->length = length;
	return r->buf;
}

/* ---- disks ----------------------------------------------------------------- */

static NTSTATUS
do_ping(struct request *r)
{
	(void)r;
	return STATUS_SUCCESS;
}

static NTSTATUS
do_create(struct request *r)
{
	const WNBD_IOCTL_CREATE_COMMAND *c = r->buf;
	NTSTATUS status;

	if (option(OPTION_NEW_MAPPINGS_ALLOWED) == 0)
		return STATUS_SHUTDOWN_IN_PROGRESS;
	status = disk_create(r->adapter, &c->Properties, r->irp);
	return NT_SUCCESS(status) ? STATUS_PENDING : status;
}

static NTSTATUS
do_remove(struct request *r)
{
	const WNBD_IOCTL_REMOVE_COMMAND *c = r->buf;
	struct disk *d = adapter_named(r->adapter, c->InstanceName);
	NTSTATUS status;

	if (d == NULL)
		return STATUS_OBJECT_NAME_NOT_FOUND;
	log_info("%s: removal", c->InstanceName);
	status = disk_remove(d, r->irp);
	disk_release(d);
	return status;
}

static NTSTATUS
do_list(struct request *r)
{
	WNBD_CONNECTION_LIST *list = r->buf;
	size_t head = FIELD_OFFSET(WNBD_CONNECTION_LIST, Connections);
	size_t fits = (r->room - head) / sizeof(list->Connections[0]);
	struct disk *d;
	unsigned at = 0, n = 0;

	while ((d = adapter_next(r->adapter, &at)) != NULL) {
		if (n < fits)
			disk_info(d, &list->Connections[n]);
		disk_release(d);
		n++;
	}
	names_find(list->Connections, n < fits ? n : fits);
	list->ElementSize = sizeof(list->Connections[0]);
	list->Count = n;
	r->length = head + (n <= fits ? n * sizeof(list->Connections[0]) : 0);
	return STATUS_SUCCESS;
}

static NTSTATUS
do_show(struct request *r)
{
	const WNBD_IOCTL_SHOW_COMMAND *c = r->buf;
	struct disk *d = adapter_named(r->adapter, c->InstanceName);
	WNBD_CONNECTION_INFO *info;

	if (d == NULL || !d->up) {
		if (d != NULL)
			disk_release(d);
		return STATUS_OBJECT_NAME_NOT_FOUND;
	}
	info = answer(r, sizeof(*info));
	disk_info(d, info);
	disk_release(d);
	names_find(info, 1);
	return STATUS_SUCCESS;
}

static NTSTATUS
do_stats(struct request *r)
{
	const WNBD_IOCTL_STATS_COMMAND *c = r->buf;
	struct disk *d = adapter_named(r->adapter, c->InstanceName);

	if (d == NULL || !d->up) {
		if (d != NULL)
			disk_release(d);
		return STATUS_OBJECT_NAME_NOT_FOUND;
	}
	disk_stats(d, answer(r, sizeof(WNBD_DRV_STATS)));
	disk_release(d);
	return STATUS_SUCCESS;
}

static NTSTATUS
do_resize(struct request *r)
{
	WNBD_IOCTL_SET_SIZE_COMMAND c = *(WNBD_IOCTL_SET_SIZE_COMMAND *)r->buf;
	struct disk *d = adapter_by_id(r->adapter, c.ConnectionId);
	NTSTATUS status;

	if (d == NULL)
		return STATUS_INVALID_HANDLE;
	status = disk_resize(d, c.BlockCount);
	disk_release(d);
	return status;
}

/* ---- requests for the process ---------------------------------------------- */

/* The disk of the calling process, referenced. */
static NTSTATUS
served_disk(struct request *r, WNBD_CONNECTION_ID id, struct disk **d)
{
	*d = adapter_by_id(r->adapter, id);
	if (*d == NULL)
		return STATUS_INVALID_HANDLE;
	if ((*d)->backend == &dispatch_backend && (*d)->up &&
	    (*d)->props.Pid == (INT)(ULONG_PTR)PsGetCurrentProcessId())
		return STATUS_SUCCESS;
	disk_release(*d);
	return STATUS_ACCESS_DENIED;
}

static NTSTATUS
do_servers(struct request *r)
{
	const WNBD_IOCTL_SET_SERVERS_COMMAND *c = r->buf;
	struct disk *d;
	NTSTATUS status = served_disk(r, c->ConnectionId, &d);

	if (!NT_SUCCESS(status))
		return status;
	disk_set_servers(d, &c->Servers);
	disk_release(d);
	return STATUS_SUCCESS;
}

static NTSTATUS
do_fetch(struct request *r)
{
	const WNBD_IOCTL_FETCH_REQ_COMMAND *c = r->buf;
	struct disk *d;
	NTSTATUS status = served_disk(r, c->ConnectionId, &d);

	if (!NT_SUCCESS(status))
		return status;
	status = dispatch_fetch(d, r->irp);
	disk_release(d);
	return status;
}

static NTSTATUS
do_respond(struct request *r)
{
	const WNBD_IOCTL_SEND_RSP_COMMAND *c = r->buf;
	struct disk *d;
	NTSTATUS status = served_disk(r, c->ConnectionId, &d);

	if (!NT_SUCCESS(status))
		return status;
	status = dispatch_respond(d, c);
	disk_release(d);
	return status;
}

/* ---- the driver ------------------------------------------------------------ */

static NTSTATUS
do_version(struct request *r)
{
	WNBD_VERSION *v = answer(r, sizeof(*v));

	v->Major = WNBD_VERSION_MAJOR;
	v->Minor = WNBD_VERSION_MINOR;
	v->Patch = WNBD_VERSION_PATCH;
	memcpy(v->Description, WNBD_VERSION_TEXT, sizeof(WNBD_VERSION_TEXT));
	return STATUS_SUCCESS;
}

/* What is stored takes effect; what is not stored keeps its present value. */
static NTSTATUS
do_reload(struct request *r)
{
	int64_t value;
	unsigned o;

	(void)r;
	for (o = 0; o < OPTIONS; o++)
		if (NT_SUCCESS(registry_get((enum option)o, &value)))
			(void)option_set((enum option)o, value);
	return STATUS_SUCCESS;
}

static NTSTATUS
do_get_option(struct request *r)
{
	const WNBD_IOCTL_GET_DRV_OPT_COMMAND *c = r->buf;
	enum option o = option_by_name(c->Name, WNBD_MAX_NAME_LENGTH);
	NTSTATUS status = STATUS_SUCCESS;
	int64_t value;

	if (o == OPTIONS)
		return STATUS_OBJECT_NAME_NOT_FOUND;
	value = option(o);
	if (c->Persistent)
		status = registry_get(o, &value);
	if (NT_SUCCESS(status))
		option_value(o, value, answer(r, sizeof(WNBD_OPTION_VALUE)));
	return status;
}

static NTSTATUS
do_set_option(struct request *r)
{
	const WNBD_IOCTL_SET_DRV_OPT_COMMAND *c = r->buf;
	enum option o = option_by_name(c->Name, WNBD_MAX_NAME_LENGTH);
	int64_t value;

	if (o == OPTIONS)
		return STATUS_OBJECT_NAME_NOT_FOUND;
	if (!option_convert(o, &c->Value, &value))
		return STATUS_INVALID_PARAMETER;
	(void)option_set(o, value);
	return c->Persistent ? registry_set(o, value) : STATUS_SUCCESS;
}

static NTSTATUS
do_reset_option(struct request *r)
{
	const WNBD_IOCTL_RESET_DRV_OPT_COMMAND *c = r->buf;
	enum option o = option_by_name(c->Name, WNBD_MAX_NAME_LENGTH);

	if (o == OPTIONS)
		return STATUS_OBJECT_NAME_NOT_FOUND;
	(void)option_set(o, option_table[o].standard);
	return c->Persistent ? registry_delete(o) : STATUS_SUCCESS;
}

static NTSTATUS
do_list_options(struct request *r)
{
	bool persistent = ((WNBD_IOCTL_LIST_DRV_OPT_COMMAND *)r->buf)->Persistent;
	WNBD_OPTION_LIST *list = r->buf;
	size_t head = FIELD_OFFSET(WNBD_OPTION_LIST, Options);
	size_t fits = (r->room - head) / sizeof(list->Options[0]);
	int64_t value;
	unsigned o, n = 0;

	for (o = 0; o < OPTIONS; o++) {
		value = option((enum option)o);
		if (persistent && !NT_SUCCESS(registry_get((enum option)o, &value)))
			continue;
		if (n < fits)
			option_describe((enum option)o, value, &list->Options[n]);
		n++;
	}
	list->ElementSize = sizeof(list->Options[0]);
	list->Count = n;
	r->length = head + (n <= fits ? n * sizeof(list->Options[0]) : 0);
	return STATUS_SUCCESS;
}

/* ---- the table ------------------------------------------------------------- */

static NTSTATUS (*const handlers[])(struct request *) = {
	[IOCTL_WNBD_PING] = do_ping,
	[IOCTL_WNBD_CREATE] = do_create,
	[IOCTL_WNBD_REMOVE] = do_remove,
	[IOCTL_WNBD_FETCH_REQ] = do_fetch,
	[IOCTL_WNBD_SEND_RSP] = do_respond,
	[IOCTL_WNBD_LIST] = do_list,
	[IOCTL_WNBD_STATS] = do_stats,
	[IOCTL_WNBD_RELOAD_CONFIG] = do_reload,
	[IOCTL_WNBD_VERSION] = do_version,
	[IOCTL_WNBD_SHOW] = do_show,
	[IOCTL_WNBD_GET_DRV_OPT] = do_get_option,
	[IOCTL_WNBD_SET_DRV_OPT] = do_set_option,
	[IOCTL_WNBD_RESET_DRV_OPT] = do_reset_option,
	[IOCTL_WNBD_LIST_DRV_OPT] = do_list_options,
	[IOCTL_WNBD_SET_DISK_SIZE] = do_resize,
	[IOCTL_WNBD_SET_SERVERS] = do_servers,
};

static const NTSTATUS status_of[] = {
	[CHECK_OK] = STATUS_SUCCESS,
	[CHECK_UNKNOWN_CODE] = STATUS_INVALID_DEVICE_REQUEST,
	[CHECK_SHORT_INPUT] = STATUS_INVALID_BUFFER_SIZE,
	[CHECK_SHORT_OUTPUT] = STATUS_BUFFER_TOO_SMALL,
	[CHECK_BAD_NAME] = STATUS_INVALID_PARAMETER,
	[CHECK_BAD_VALUE] = STATUS_INVALID_PARAMETER,
};

void
ioctl_complete(struct adapter *a, IRP *irp, NTSTATUS status, size_t length)
{
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = length;
	StorPortExtendedFunction(STOR_COMPLETE_SERVICE_IRP, a, irp);
}

void NTAPI
ioctl_service(void *ext, void *arg)
{
	IRP *irp = arg;
	const IO_STACK_LOCATION *at = IoGetCurrentIrpStackLocation(irp);
	size_t in_len = at->Parameters.DeviceIoControl.InputBufferLength;
	struct request r = {
		.adapter = ext, .irp = irp, .buf = irp->AssociatedIrp.SystemBuffer,
		.room = at->Parameters.DeviceIoControl.OutputBufferLength,
	};
	enum check check = CHECK_UNKNOWN_CODE;
	NTSTATUS status;

	if (at->Parameters.DeviceIoControl.IoControlCode ==
	    IOCTL_MINIPORT_PROCESS_SERVICE_IRP)
		check = check_command(r.buf, in_len, r.room);
	status = status_of[check];
	if (NT_SUCCESS(status))
		status = handlers[*(ULONG *)r.buf](&r);
	if (status != STATUS_PENDING)
		ioctl_complete(ext, irp, status, NT_SUCCESS(status) ? r.length : 0);
}
