/*
 * storport_abi.h - Storport, as far as a virtual miniport uses it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * mingw-w64's storport.h does not compile, and ends before Windows 8; its srb.h is
 * good.  Names, values and order of members are those of Microsoft's public
 * documentation (storport.h); the asserts pin what follows from them on x64.
 */
#ifndef STORPORT_ABI_H
#define STORPORT_ABI_H

#include <ntddk.h>
#include <ntddscsi.h>
#include <srb.h>

#define STOR_MAP_NON_READ_WRITE_BUFFERS	2
#define STOR_FEATURE_VIRTUAL_MINIPORT	0x00000001
#define SRB_TYPE_FLAG_SCSI_REQUEST_BLOCK 0x00000001
#define STOR_STATUS_SUCCESS		0
#define STOR_SYNCHRONIZE_FULL_DUPLEX	1

#ifndef IOCTL_MINIPORT_PROCESS_SERVICE_IRP
#define IOCTL_MINIPORT_PROCESS_SERVICE_IRP \
	CTL_CODE(IOCTL_SCSI_BASE, 0x040e, METHOD_BUFFERED, \
	    FILE_READ_ACCESS | FILE_WRITE_ACCESS)
#endif
C_ASSERT(IOCTL_MINIPORT_PROCESS_SERVICE_IRP == 0x0004d038);

struct virtual_hw_init {
	ULONG		size;
	INTERFACE_TYPE	interface_type;
	BOOLEAN (NTAPI	*initialize)(void *ext);
	BOOLEAN (NTAPI	*start_io)(void *ext, SCSI_REQUEST_BLOCK *);
	void		*interrupt;
	ULONG (NTAPI	*find_adapter)(void *ext, void *hw_context,
	    void *bus_information, void *lower_device, char *arguments,
	    PORT_CONFIGURATION_INFORMATION *, BOOLEAN *reserved);
	BOOLEAN (NTAPI	*reset_bus)(void *ext, ULONG path);
	void		*dma_started;
	void		*adapter_state;
	ULONG		device_extension_size, lu_extension_size;
	ULONG		srb_extension_size, access_ranges;
	void		*reserved;
	UCHAR		map_buffers;
	BOOLEAN		need_physical_addresses, tagged_queuing;
	BOOLEAN		auto_request_sense, multiple_request_per_lu, receive_event;
	USHORT		vendor_id_length;
	void		*vendor_id;
	USHORT		port_version_flags, device_id_length;
	void		*device_id;
	SCSI_ADAPTER_CONTROL_STATUS (NTAPI *adapter_control)(void *ext,
	    SCSI_ADAPTER_CONTROL_TYPE, void *parameters);
	void		*build_io;
	void (NTAPI	*free_adapter_resources)(void *ext);
	void (NTAPI	*process_service_request)(void *ext, void *irp);
	void (NTAPI	*complete_service_irp)(void *ext);
	void		*initialize_tracing, *cleanup_tracing, *tracing_enabled;
	ULONG		feature_support, srb_type_flags, address_type_flags;
	ULONG		reserved1;
	void		*unit_control;
};
C_ASSERT(FIELD_OFFSET(struct virtual_hw_init, find_adapter) == 32);
C_ASSERT(FIELD_OFFSET(struct virtual_hw_init, device_extension_size) == 64);
C_ASSERT(FIELD_OFFSET(struct virtual_hw_init, map_buffers) == 88);
C_ASSERT(FIELD_OFFSET(struct virtual_hw_init, adapter_control) == 120);
C_ASSERT(FIELD_OFFSET(struct virtual_hw_init, process_service_request) == 144);
C_ASSERT(FIELD_OFFSET(struct virtual_hw_init, feature_support) == 184);
C_ASSERT(sizeof(struct virtual_hw_init) == 208);

/* PORT_CONFIGURATION_INFORMATION of Windows 8 and newer: what follows the last
 * member that srb.h knows. */
struct port_config {
	UCHAR		common[148];
	ULONG		synchronization_model;
	void		*ms_interrupt;
	ULONG		interrupt_synchronization;
	struct {
		void		*virtual_base;
		LARGE_INTEGER	 physical_base;
		ULONG		 length;
	} dump_region;
	ULONG		requested_dump_size;
	BOOLEAN		virtual_device;
	UCHAR		dump_mode, dma_address_width;
	ULONG		extended_flags;
	ULONG		max_io, max_io_per_lun, initial_lun_depth;
	ULONG		bus_reset_hold_us, feature_support;
};
C_ASSERT(FIELD_OFFSET(PORT_CONFIGURATION_INFORMATION, WmiDataProvider) == 147);
C_ASSERT(FIELD_OFFSET(struct port_config, synchronization_model) == 148);
C_ASSERT(FIELD_OFFSET(struct port_config, dump_region) == 168);
C_ASSERT(FIELD_OFFSET(struct port_config, virtual_device) == 196);
C_ASSERT(FIELD_OFFSET(struct port_config, max_io) == 204);
C_ASSERT(sizeof(struct port_config) == 224);

enum stor_function {
	STOR_GET_SYSTEM_ADDRESS = 5,	/* SRB, void ** */
	STOR_COMPLETE_SERVICE_IRP = 7,	/* IRP */
};
DECLSPEC_IMPORT ULONG __cdecl StorPortExtendedFunction(enum stor_function, void *ext,
    ...);
DECLSPEC_IMPORT ULONG NTAPI StorPortInitialize(DRIVER_OBJECT *, UNICODE_STRING *,
    struct virtual_hw_init *, void *unused);
DECLSPEC_IMPORT void __cdecl StorPortNotification(SCSI_NOTIFICATION_TYPE, void *ext,
    ...);

C_ASSERT(sizeof(SCSI_REQUEST_BLOCK) == 88);
C_ASSERT(FIELD_OFFSET(SCSI_REQUEST_BLOCK, DataBuffer) == 24);
C_ASSERT(FIELD_OFFSET(SCSI_REQUEST_BLOCK, SrbExtension) == 56);
C_ASSERT(FIELD_OFFSET(SCSI_REQUEST_BLOCK, Cdb) == 72);
C_ASSERT(FIELD_OFFSET(SCSI_PNP_REQUEST_BLOCK, PnPAction) == 8);
C_ASSERT(FIELD_OFFSET(SCSI_PNP_REQUEST_BLOCK, DataBuffer) == 24);
C_ASSERT(FIELD_OFFSET(SCSI_PNP_REQUEST_BLOCK, SrbPnPFlags) == 64);
C_ASSERT(sizeof(STOR_DEVICE_CAPABILITIES) == 8);

#endif
