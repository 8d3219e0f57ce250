/*
 * port_abi.h - a virtual miniport, as the port driver sees it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Written from Microsoft's public documentation a second time, apart from the
 * driver's declarations, so that one mistake cannot hide in both.
 */
#ifndef PORT_ABI_H
#define PORT_ABI_H

#include <ntddk.h>
#include <ntddscsi.h>
#include <scsi.h>
#include <srb.h>

typedef struct _VIRTUAL_HW_INITIALIZATION_DATA {
	ULONG HwInitializationDataSize;
	INTERFACE_TYPE AdapterInterfaceType;
	BOOLEAN (NTAPI *HwInitialize)(PVOID);
	BOOLEAN (NTAPI *HwStartIo)(PVOID, PSCSI_REQUEST_BLOCK);
	PVOID HwInterrupt;
	ULONG (NTAPI *HwFindAdapter)(PVOID, PVOID, PVOID, PVOID, PCHAR,
	    PPORT_CONFIGURATION_INFORMATION, PBOOLEAN);
	BOOLEAN (NTAPI *HwResetBus)(PVOID, ULONG);
	PVOID HwDmaStarted;
	PVOID HwAdapterState;
	ULONG DeviceExtensionSize;
	ULONG SpecificLuExtensionSize;
	ULONG SrbExtensionSize;
	ULONG NumberOfAccessRanges;
	PVOID Reserved;
	UCHAR MapBuffers;
	BOOLEAN NeedPhysicalAddresses;
	BOOLEAN TaggedQueuing;
	BOOLEAN AutoRequestSense;
	BOOLEAN MultipleRequestPerLu;
	BOOLEAN ReceiveEvent;
	USHORT VendorIdLength;
	PVOID VendorId;
	USHORT PortVersionFlags;
	USHORT DeviceIdLength;
	PVOID DeviceId;
	SCSI_ADAPTER_CONTROL_STATUS (NTAPI *HwAdapterControl)(PVOID,
	    SCSI_ADAPTER_CONTROL_TYPE, PVOID);
	BOOLEAN (NTAPI *HwBuildIo)(PVOID, PSCSI_REQUEST_BLOCK);
	VOID (NTAPI *HwFreeAdapterResources)(PVOID);
	VOID (NTAPI *HwProcessServiceRequest)(PVOID, PVOID);
	VOID (NTAPI *HwCompleteServiceIrp)(PVOID);
	PVOID HwInitializeTracing;
	PVOID HwCleanupTracing;
	PVOID HwTracingEnabled;
	ULONG FeatureSupport;
	ULONG SrbTypeFlags;
	ULONG AddressTypeFlags;
	ULONG Reserved1;
	PVOID HwUnitControl;
} VIRTUAL_HW_INITIALIZATION_DATA;
C_ASSERT(sizeof(VIRTUAL_HW_INITIALIZATION_DATA) == 0xd0);

/* Members of PORT_CONFIGURATION_INFORMATION that srb.h does not have. */
#define CONFIG_LENGTH		0xe0
#define CONFIG_SYNCHRONIZATION	0x94
#define CONFIG_VIRTUAL_DEVICE	0xc4
#define CONFIG_MAX_IO		0xcc
#define CONFIG_MAX_IO_PER_LUN	0xd0

#define PORT_MAP_NON_READ_WRITE	2

enum {
	ExtFunctionGetSystemAddress = 5,
	ExtFunctionCompleteServiceIrp = 7,
};

#ifndef IOCTL_MINIPORT_PROCESS_SERVICE_IRP
#define IOCTL_MINIPORT_PROCESS_SERVICE_IRP	0x0004d038
#endif

#endif
