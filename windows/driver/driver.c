/*
 * driver.c - DriverEntry, and the adapter as Storport sees it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A virtual miniport: no hardware, no interrupt.  All but HwStartIo and HwResetBus
 * is called at PASSIVE_LEVEL.
 */
#include "driver.h"
#include "log.h"
#include "names.h"
#include "options.h"
#include "registry.h"
#include "wsk.h"

static PDRIVER_UNLOAD storport_unload;

static ULONG NTAPI
find_adapter(void *ext, void *hw_context, void *bus_information, void *lower_device,
    char *arguments, PORT_CONFIGURATION_INFORMATION *config, BOOLEAN *reserved)
{
	struct port_config *c = (struct port_config *)config;

	/* HwContext is the PDO, BusInformation the FDO, LowerDevice what is below it,
	 * such as a filter (VIRTUAL_HW_FIND_ADAPTER). */
	(void)bus_information;
	(void)lower_device;
	(void)arguments;
	*reserved = FALSE;
	config->MaximumTransferLength = SCSI_TRANSFER_MAX;
	config->NumberOfPhysicalBreaks = 0xffffffff;
	config->AlignmentMask = 0;
	config->NumberOfBuses = 1;
	config->MaximumNumberOfTargets = WNBD_TARGETS;
	config->MaximumNumberOfLogicalUnits = 1;
	config->ResetTargetSupported = TRUE;
	config->ScatterGather = TRUE;
	config->Master = TRUE;
	config->CachesData = FALSE;
	if (config->Length >= sizeof(*c)) {
		/* Half duplex, the 0 that is there, is for adapters with interrupts:
		 * HwResetBus would come with a lock of Storport's held that a virtual
		 * adapter does not have. */
		c->synchronization_model = STOR_SYNCHRONIZE_FULL_DUPLEX;
		c->virtual_device = TRUE;
		c->max_io = (ULONG)option(OPTION_MAX_IO_PER_ADAPTER);
		c->max_io_per_lun = (ULONG)option(OPTION_MAX_IO_PER_LUN);
		c->initial_lun_depth = (ULONG)option(OPTION_MAX_IO_PER_LUN);
	}
	return NT_SUCCESS(adapter_start(ext, hw_context)) ? SP_RETURN_FOUND :
	    SP_RETURN_ERROR;
}

static BOOLEAN NTAPI
initialize(void *ext)
{
	(void)ext;
	return TRUE;
}

/*
 * Storport's last resort, after a logical unit's reset that took too long.  It cannot
 * wait here, at DISPATCH_LEVEL, and StorPortCompleteRequest would give buffers back
 * that the network still writes to; so each request ends by itself, as aborted.
 */
static BOOLEAN NTAPI
reset_bus(void *ext, ULONG path)
{
	struct disk *d;
	unsigned at = 0;

	(void)path;
	while ((d = adapter_next(ext, &at)) != NULL) {
		io_reset(d, NULL);
		disk_release(d);
	}
	return TRUE;
}

static SCSI_ADAPTER_CONTROL_STATUS NTAPI
adapter_control(void *ext, SCSI_ADAPTER_CONTROL_TYPE type, void *parameters)
{
	SCSI_SUPPORTED_CONTROL_TYPE_LIST *list = parameters;

	(void)ext;
	if (type != ScsiQuerySupportedControlTypes)
		return ScsiAdapterControlSuccess;
	if (list->MaxControlType > ScsiQuerySupportedControlTypes)
		list->SupportedTypeList[ScsiQuerySupportedControlTypes] = TRUE;
	if (list->MaxControlType > ScsiStopAdapter)
		list->SupportedTypeList[ScsiStopAdapter] = TRUE;
	if (list->MaxControlType > ScsiRestartAdapter)
		list->SupportedTypeList[ScsiRestartAdapter] = TRUE;
	return ScsiAdapterControlSuccess;
}

static void NTAPI
free_adapter_resources(void *ext)
{
	adapter_stop(ext);
}

/* Storport wants its service IRPs back: the disks that they wait for go. */
static void NTAPI
complete_service_irp(void *ext)
{
	adapter_stop_disks(ext);
}

static void
load_options(void)
{
	int64_t value;
	unsigned o;

	for (o = 0; o < OPTIONS; o++)
		if (NT_SUCCESS(registry_get((enum option)o, &value)))
			(void)option_set((enum option)o, value);
}

static void NTAPI
unload(DRIVER_OBJECT *driver)
{
	if (storport_unload != NULL)
		storport_unload(driver);
	wsk_unload();
	log_unload();
	registry_unload();
}

static ULONG
initialize_storport(DRIVER_OBJECT *driver, UNICODE_STRING *path)
{
	struct virtual_hw_init hw = {
		.size = sizeof(hw),
		.interface_type = Internal,
		.initialize = initialize,
		.start_io = srb_start_io,
		.find_adapter = find_adapter,
		.reset_bus = reset_bus,
		.device_extension_size = sizeof(struct adapter),
		.srb_extension_size = sizeof(struct io),
		.map_buffers = STOR_MAP_NON_READ_WRITE_BUFFERS,
		.tagged_queuing = TRUE,
		.auto_request_sense = TRUE,
		.multiple_request_per_lu = TRUE,
		.adapter_control = adapter_control,
		.free_adapter_resources = free_adapter_resources,
		.process_service_request = ioctl_service,
		.complete_service_irp = complete_service_irp,
		.feature_support = STOR_FEATURE_VIRTUAL_MINIPORT,
		.srb_type_flags = SRB_TYPE_FLAG_SCSI_REQUEST_BLOCK,
	};

	return StorPortInitialize(driver, path, &hw, NULL);
}

NTSTATUS NTAPI
DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *path)
{
	NTSTATUS status = registry_load(path);

	if (!NT_SUCCESS(status))
		return status;
	load_options();
	log_load();
	names_load(driver);
	status = wsk_load();
	if (NT_SUCCESS(status)) {
		status = (NTSTATUS)initialize_storport(driver, path);
		if (!NT_SUCCESS(status))
			wsk_unload();
	}
	if (!NT_SUCCESS(status)) {
		log_error("the driver cannot start: %08lx", (unsigned long)status);
		log_unload();
		registry_unload();
		return status;
	}
	storport_unload = driver->DriverUnload;
	driver->DriverUnload = unload;
	log_info("loaded");
	return STATUS_SUCCESS;
}
