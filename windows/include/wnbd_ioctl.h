/*
 * wnbd_ioctl.h - what libwnbd and wnbd.sys say to each other.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Sizes, offsets and numbers are those of the WNBD interface, so that programs
 * that were built for WNBD 0.2 or newer run unchanged; members that came after
 * 0.2.1 took the place of reserved bytes, which callers set to zero.  Strings are
 * ended by NUL inside their arrays.  Include windows.h or ntddk.h first.
 *
 * A call is one DeviceIoControl(IOCTL_MINIPORT_PROCESS_SERVICE_IRP) on the adapter's
 * device interface (WNBD_GUID).  The input begins with one of IOCTL_WNBD_*:
 *
 *   code           input                           output
 *   PING           WNBD_IOCTL_PING_COMMAND
 *   CREATE         WNBD_IOCTL_CREATE_COMMAND       WNBD_CONNECTION_INFO
 *   REMOVE         WNBD_IOCTL_REMOVE_COMMAND
 *   FETCH_REQ      WNBD_IOCTL_FETCH_REQ_COMMAND    the same, Request filled in
 *   SEND_RSP       WNBD_IOCTL_SEND_RSP_COMMAND
 *   LIST           WNBD_IOCTL_LIST_COMMAND         WNBD_CONNECTION_LIST
 *   STATS          WNBD_IOCTL_STATS_COMMAND        WNBD_DRV_STATS
 *   RELOAD_CONFIG  WNBD_IOCTL_RELOAD_CONFIG_COMMAND
 *   VERSION        WNBD_IOCTL_VERSION_COMMAND      WNBD_VERSION
 *   SHOW           WNBD_IOCTL_SHOW_COMMAND         WNBD_CONNECTION_INFO
 *   GET_DRV_OPT    WNBD_IOCTL_GET_DRV_OPT_COMMAND  WNBD_OPTION_VALUE
 *   SET_DRV_OPT    WNBD_IOCTL_SET_DRV_OPT_COMMAND
 *   RESET_DRV_OPT  WNBD_IOCTL_RESET_DRV_OPT_COMMAND
 *   LIST_DRV_OPT   WNBD_IOCTL_LIST_DRV_OPT_COMMAND WNBD_OPTION_LIST
 *   SET_DISK_SIZE  WNBD_IOCTL_SET_SIZE_COMMAND
 *   SET_SERVERS    WNBD_IOCTL_SET_SERVERS_COMMAND
 *
 * LIST and LIST_DRV_OPT succeed with a buffer that holds the list's header but not
 * all elements: the driver then gives the header alone (8 bytes), whose Count says
 * how many there are.  A buffer below 8 bytes is STATUS_BUFFER_TOO_SMALL.
 *
 * Refusals: name in use STATUS_OBJECT_NAME_COLLISION; no such disk or option
 * STATUS_OBJECT_NAME_NOT_FOUND; a connection id that is not a disk's
 * STATUS_INVALID_HANDLE; no such request handle STATUS_NOT_FOUND; fetching or
 * answering for another process's disk STATUS_ACCESS_DENIED; no free target
 * STATUS_INSUFFICIENT_RESOURCES; a wrong length or value STATUS_INVALID_PARAMETER
 * or STATUS_INVALID_BUFFER_SIZE.
 */
#ifndef WNBD_IOCTL_H
#define WNBD_IOCTL_H

#include <stddef.h>

#ifdef __cplusplus
#define WNBD_STATIC_ASSERT static_assert
#else
#define WNBD_STATIC_ASSERT _Static_assert
#endif
#define WNBD_ASSERT_SZ_EQ(Structure, Size) \
	WNBD_STATIC_ASSERT(sizeof(Structure) == (Size), #Structure " has a wrong size")
#define WNBD_ASSERT_OFFSET(Structure, Member, Offset) \
	WNBD_STATIC_ASSERT(offsetof(Structure, Member) == (Offset), \
	    #Structure "." #Member " is misplaced")

/* Structures without a name inside of others: C11 has them, C++ as an extension. */
#ifdef __GNUC__
#define WNBD_EXTENSION __extension__
#else
#define WNBD_EXTENSION
#endif

/* Where driver options that are to survive a reboot are kept, below HKLM. */
#define WNBD_REGISTRY_KEY "SYSTEM\\CurrentControlSet\\Services\\wnbd"

#define IOCTL_WNBD_PING		1
#define IOCTL_WNBD_CREATE	2
#define IOCTL_WNBD_REMOVE	3
#define IOCTL_WNBD_FETCH_REQ	4
#define IOCTL_WNBD_SEND_RSP	5
#define IOCTL_WNBD_LIST		6
#define IOCTL_WNBD_STATS	7
#define IOCTL_WNBD_RELOAD_CONFIG 8
#define IOCTL_WNBD_VERSION	9
#define IOCTL_WNBD_SHOW		10
#define IOCTL_WNBD_GET_DRV_OPT	11
#define IOCTL_WNBD_SET_DRV_OPT	12
#define IOCTL_WNBD_RESET_DRV_OPT 13
#define IOCTL_WNBD_LIST_DRV_OPT	14
#define IOCTL_WNBD_SET_DISK_SIZE 15
#define IOCTL_WNBD_SET_SERVERS	16

/* The adapter's device interface. */
static const GUID WNBD_GUID = {
	0x949dd17c, 0xb06c, 0x4c14,
	{ 0x8e, 0x13, 0xf1, 0xa3, 0xa4, 0xa6, 0xdb, 0xcb }
};

/* The oldest Windows that the driver loads on: 10, version 1809. */
#define WNBD_REQ_WIN_VERSION_MAJOR	10
#define WNBD_REQ_WIN_VERSION_MINOR	0
#define WNBD_REQ_WIN_VERSION_BUILD	17763

/* Array sizes: the NUL is included. */
#define WNBD_MAX_NAME_LENGTH		256
#define WNBD_MAX_OWNER_LENGTH		16
#define WNBD_MAX_OPT_NAME_LENGTH	64
#define WNBD_MAX_VERSION_STR_LENGTH	128
#define WNBD_NAA_ID_LENGTH		16

/* The longest read or write that the driver takes from Windows, in bytes; a buffer
 * for FETCH_REQ of this size is always large enough. */
#define WNBD_DEFAULT_MAX_TRANSFER_LENGTH (2 * 1024 * 1024)
/* Of an NBD disk whose block size was neither given nor named by the server. */
#define WNBD_DEFAULT_BLOCK_SIZE		512

/* Requests that Windows may have pending, by default and at most. */
#define WNBD_DEFAULT_MAX_IO_REQ_PER_ADAPTER	1000
#define WNBD_DEFAULT_MAX_IO_REQ_PER_LUN		255
#define WNBD_ABS_MAX_IO_REQ_PER_ADAPTER		131072
#define WNBD_ABS_MAX_IO_REQ_PER_LUN		1024

/* A disk whose process has not answered for CONN and has a request older than REQ
 * is removed, if the option RemoveStaleConnections is on. */
#define WNBD_DEFAULT_STALE_REQ_TIMEOUT_MS	15000
#define WNBD_DEFAULT_STALE_CONN_TIMEOUT_MS	60000

/* ---- disks ------------------------------------------------------------------ */

/* Names one mapping, never two: an answer that comes late cannot reach the disk
 * that was mapped after it. */
typedef UINT64 WNBD_CONNECTION_ID, *PWNBD_CONNECTION_ID;

typedef struct {
	/* Do not negotiate; Properties must tell the block size and count, and what
	 * the server can do. */
	UINT32	SkipNegotiation : 1;
	UINT32	Reserved : 31;
} NBD_CONNECTION_FLAGS, *PNBD_CONNECTION_FLAGS;
WNBD_ASSERT_SZ_EQ(NBD_CONNECTION_FLAGS, 4);

/* Of several servers: what keeps the one that was left from writing later, over newer
 * data (docs/windows.md). */
typedef enum {
	NbdFenceByTime = 0,	/* the first changes on the next one wait */
	NbdFenceByStore = 1,	/* the store lets only one of them write */
} NBD_FENCE_BY;

#define NBD_MAX_SERVERS	8

typedef struct {
	/* Name, IPv4 or IPv6 address; several servers of one disk: wnbd_servers.h. */
	CHAR	Hostname[WNBD_MAX_NAME_LENGTH];
	UINT32	PortNumber;
	CHAR	ExportName[WNBD_MAX_NAME_LENGTH];
	NBD_CONNECTION_FLAGS Flags;
	/* 0 in each: the default.  Programs for older versions give 0. */
	UINT32	Connections;		/* wanted, 1 to 32; more than one only if the
					 * server can; default 1 */
	UINT32	RequestTimeoutMs;	/* one command of one connection; 30 s */
	UINT32	DeadTimeoutMs;		/* requests fail after so long without a
					 * server; 120 s */
	/* Of several servers: */
	UINT32	FenceBy;		/* NBD_FENCE_BY */
	UINT32	FenceTimeMs;		/* so long a lost write may still land; 10 s */
	UINT32	PathTimeoutMs;		/* the next one's turn after so long without a
					 * connection; 10 s */
	UINT32	FailbackMs;		/* so long on another one, then back to the
					 * first, if it answers; twice as long after
					 * each time; 0: never */
	BYTE	Reserved[4];
} NBD_CONNECTION_PROPERTIES, *PNBD_CONNECTION_PROPERTIES;
WNBD_ASSERT_SZ_EQ(NBD_CONNECTION_PROPERTIES, 552);
WNBD_ASSERT_OFFSET(NBD_CONNECTION_PROPERTIES, PortNumber, 256);
WNBD_ASSERT_OFFSET(NBD_CONNECTION_PROPERTIES, ExportName, 260);
WNBD_ASSERT_OFFSET(NBD_CONNECTION_PROPERTIES, Flags, 516);
WNBD_ASSERT_OFFSET(NBD_CONNECTION_PROPERTIES, Connections, 520);
WNBD_ASSERT_OFFSET(NBD_CONNECTION_PROPERTIES, FenceBy, 532);

#define NBD_DEFAULT_REQUEST_TIMEOUT_MS	30000
#define NBD_DEFAULT_DEAD_TIMEOUT_MS	120000
#define NBD_DEFAULT_FENCE_TIME_MS	10000
#define NBD_DEFAULT_PATH_TIMEOUT_MS	10000

/* Bit 5 has two names: WNBD 0.2 and newer. */
WNBD_EXTENSION typedef union {
	struct {
		UINT32	ReadOnly : 1;
		UINT32	FlushSupported : 1;
		UINT32	FUASupported : 1;
		UINT32	UnmapSupported : 1;
		UINT32	UnmapAnchorSupported : 1;
		/* wnbd.sys itself is the NBD client; NbdProperties says whose. */
		UINT32	UseKernelNbd : 1;
		UINT32	PersistResSupported : 1;
		UINT32	NaaIdSpecified : 1;
		/* The process behind this disk is an NBD client; NbdProperties is
		 * for people to see. */
		UINT32	UseUserspaceNbd : 1;
		UINT32	Reserved : 23;
	};
	struct {
		UINT32	ReservedBefore : 5;
		UINT32	UseNbd : 1;
		UINT32	ReservedBehind : 26;
	};
} WNBD_FLAGS, *PWNBD_FLAGS;
WNBD_ASSERT_SZ_EQ(WNBD_FLAGS, 4);

/* A SCSI NAA identifier, most significant byte first (VPD page 83h). */
typedef struct {
	BYTE	data[WNBD_NAA_ID_LENGTH];
} WNBD_NAA_ID, *PWNBD_NAA_ID;
WNBD_ASSERT_SZ_EQ(WNBD_NAA_ID, 16);

typedef struct {
	CHAR	InstanceName[WNBD_MAX_NAME_LENGTH];	/* unique among the disks */
	CHAR	SerialNumber[WNBD_MAX_NAME_LENGTH];	/* "": InstanceName */
	CHAR	Owner[WNBD_MAX_OWNER_LENGTH];	/* which program; for people */
	WNBD_FLAGS Flags;
	UINT64	BlockCount;
	UINT32	BlockSize;			/* 512 or 4096 */
	UINT32	MaxUnmapDescCount;		/* 0: 1 */
	INT	Pid;			/* the process that serves it; 0: the caller */
	NBD_CONNECTION_PROPERTIES NbdProperties;
	WNBD_NAA_ID NaaIdentifier;
	BYTE	Reserved[240];
} WNBD_PROPERTIES, *PWNBD_PROPERTIES;
WNBD_ASSERT_SZ_EQ(WNBD_PROPERTIES, 1368);
WNBD_ASSERT_OFFSET(WNBD_PROPERTIES, SerialNumber, 256);
WNBD_ASSERT_OFFSET(WNBD_PROPERTIES, Owner, 512);
WNBD_ASSERT_OFFSET(WNBD_PROPERTIES, Flags, 528);
WNBD_ASSERT_OFFSET(WNBD_PROPERTIES, BlockCount, 536);
WNBD_ASSERT_OFFSET(WNBD_PROPERTIES, BlockSize, 544);
WNBD_ASSERT_OFFSET(WNBD_PROPERTIES, MaxUnmapDescCount, 548);
WNBD_ASSERT_OFFSET(WNBD_PROPERTIES, Pid, 552);
WNBD_ASSERT_OFFSET(WNBD_PROPERTIES, NbdProperties, 556);
WNBD_ASSERT_OFFSET(WNBD_PROPERTIES, NaaIdentifier, 1108);

/* The P-name is no pointer.  It was not one at first, and a correction would break
 * the programs that use it. */
typedef struct {
	UINT32	Disconnecting : 1;
	UINT32	Reserved : 31;
} WNBD_CONNECTION_INFO_FLAGS, PWNBD_CONNECTION_INFO_FLAGS;
WNBD_ASSERT_SZ_EQ(WNBD_CONNECTION_INFO_FLAGS, 4);

typedef enum {
	NbdServerStandby = 0,
	NbdServerActive = 1,	/* the disk is there, or was last */
	NbdServerFailed = 2,	/* when used or tried last */
} NBD_SERVER_STATE;

typedef struct {
	UINT8	State;			/* NBD_SERVER_STATE */
	UINT8	Fencing;		/* it was left: changes may have to wait */
	UINT8	Tried;			/* no server has a connection: its turn */
	UINT8	Reserved;
} NBD_SERVER_INFO, *PNBD_SERVER_INFO;
WNBD_ASSERT_SZ_EQ(NBD_SERVER_INFO, 4);

/* In the order of Hostname. */
typedef struct {
	UINT32	Count;			/* 0: the disk has one server, or none */
	NBD_SERVER_INFO Server[NBD_MAX_SERVERS];
} NBD_SERVERS, *PNBD_SERVERS;
WNBD_ASSERT_SZ_EQ(NBD_SERVERS, 36);

typedef struct {
	WNBD_PROPERTIES Properties;
	WNBD_CONNECTION_INFO_FLAGS ConnectionFlags;
	USHORT	BusNumber;
	USHORT	TargetId;
	USHORT	Lun;
	WNBD_CONNECTION_ID ConnectionId;
	/* As Windows calls the disk.  Both take a moment after CREATE: -1 and ""
	 * until then. */
	INT	DiskNumber;
	WCHAR	PNPDeviceID[WNBD_MAX_NAME_LENGTH];
	NBD_SERVERS Servers;
	BYTE	Reserved[88];
} WNBD_CONNECTION_INFO, *PWNBD_CONNECTION_INFO;
WNBD_ASSERT_SZ_EQ(WNBD_CONNECTION_INFO, 2032);
WNBD_ASSERT_OFFSET(WNBD_CONNECTION_INFO, ConnectionFlags, 1368);
WNBD_ASSERT_OFFSET(WNBD_CONNECTION_INFO, BusNumber, 1372);
WNBD_ASSERT_OFFSET(WNBD_CONNECTION_INFO, TargetId, 1374);
WNBD_ASSERT_OFFSET(WNBD_CONNECTION_INFO, Lun, 1376);
WNBD_ASSERT_OFFSET(WNBD_CONNECTION_INFO, ConnectionId, 1384);
WNBD_ASSERT_OFFSET(WNBD_CONNECTION_INFO, DiskNumber, 1392);
WNBD_ASSERT_OFFSET(WNBD_CONNECTION_INFO, PNPDeviceID, 1396);
WNBD_ASSERT_OFFSET(WNBD_CONNECTION_INFO, Servers, 1908);

typedef struct {
	UINT32	ElementSize;		/* sizeof(WNBD_CONNECTION_INFO) */
	UINT32	Count;
	WNBD_CONNECTION_INFO Connections[1];
} WNBD_CONNECTION_LIST, *PWNBD_CONNECTION_LIST;
WNBD_ASSERT_SZ_EQ(WNBD_CONNECTION_LIST, 2040);
WNBD_ASSERT_OFFSET(WNBD_CONNECTION_LIST, Connections, 8);

/* Received: from Windows.  Submitted: given to the server or the process that
 * serves the disk; its answers are the replies. */
typedef struct {
	INT64	TotalReceivedIORequests;
	INT64	TotalSubmittedIORequests;
	INT64	TotalReceivedIOReplies;
	INT64	UnsubmittedIORequests;		/* now */
	INT64	PendingSubmittedIORequests;	/* now */
	INT64	AbortedSubmittedIORequests;
	INT64	AbortedUnsubmittedIORequests;
	INT64	CompletedAbortedIORequests;
	INT64	OutstandingIOCount;	/* now, without aborted ones: a soft removal
					 * waits for these */
	/* Interrupt time, in 100 ns; 0: never. */
	UINT64	LastReceivedReqTimestamp;
	UINT64	LastSubmittedReqTimestamp;
	UINT64	LastReplyTimestamp;
	INT64	Reserved[12];
} WNBD_DRV_STATS, *PWNBD_DRV_STATS;
WNBD_ASSERT_SZ_EQ(WNBD_DRV_STATS, 192);
WNBD_ASSERT_OFFSET(WNBD_DRV_STATS, OutstandingIOCount, 64);
WNBD_ASSERT_OFFSET(WNBD_DRV_STATS, LastReplyTimestamp, 88);

/* ---- I/O that a process serves ---------------------------------------------- */

typedef enum {
	WnbdReqTypeUnknown = 0,
	WnbdReqTypeRead = 1,
	WnbdReqTypeWrite = 2,
	WnbdReqTypeFlush = 3,
	WnbdReqTypeUnmap = 4,
	WnbdReqTypeDisconnect = 5,	/* the disk is gone: no more requests come,
					 * and this one has no response */
	WnbdReqTypePersistResIn = 6,
	WnbdReqTypePersistResOut = 7,
} WnbdRequestType;

/* ScsiStatus 0 is success; the rest becomes the sense data of the request. */
typedef struct {
	UINT8	ScsiStatus;
	UINT8	SenseKey;
	UINT8	ASC;
	UINT8	ASCQ;
	UINT64	Information;
	UINT64	ReservedCSI;
	UINT32	ReservedSKS;
	UINT32	ReservedFRU : 8;
	UINT32	InformationValid : 1;
} WNBD_STATUS, *PWNBD_STATUS;
WNBD_ASSERT_SZ_EQ(WNBD_STATUS, 32);
WNBD_ASSERT_OFFSET(WNBD_STATUS, Information, 8);
WNBD_ASSERT_OFFSET(WNBD_STATUS, ReservedSKS, 24);

/* One range of an unmap request: the data of that request is an array of these. */
typedef struct {
	UINT64	BlockAddress;
	UINT32	BlockCount;
	UINT32	Reserved;
} WNBD_UNMAP_DESCRIPTOR, *PWNBD_UNMAP_DESCRIPTOR;
WNBD_ASSERT_SZ_EQ(WNBD_UNMAP_DESCRIPTOR, 16);

typedef struct {
	UINT64	RequestHandle;		/* to be given back in the response */
	WnbdRequestType RequestType;
	union {
		struct {
			UINT64	BlockAddress;
			UINT32	BlockCount;
			UINT32	ForceUnitAccess : 1;
			UINT32	Reserved : 31;
		} Read;
		struct {
			UINT64	BlockAddress;
			UINT32	BlockCount;
			UINT32	ForceUnitAccess : 1;
			UINT32	Reserved : 31;
		} Write;
		struct {			/* 0 and 0: all of the disk */
			UINT64	BlockAddress;
			UINT32	BlockCount;
			UINT32	Reserved;
		} Flush;
		struct {
			UINT32	Count;		/* of descriptors in the data */
			UINT32	Anchor : 1;
			UINT32	Reserved : 31;
		} Unmap;
		struct {
			UINT8	ServiceAction;
			UINT16	AllocationLength;
		} PersistResIn;
		struct {
			UINT8	ServiceAction;
			UINT8	Scope : 4;
			UINT8	Type : 4;
			UINT16	ParameterListLength;
		} PersistResOut;
	} Cmd;
	BYTE	Reserved[32];
} WNBD_IO_REQUEST, *PWNBD_IO_REQUEST;
WNBD_ASSERT_SZ_EQ(WNBD_IO_REQUEST, 64);
WNBD_ASSERT_OFFSET(WNBD_IO_REQUEST, RequestType, 8);
WNBD_ASSERT_OFFSET(WNBD_IO_REQUEST, Cmd, 16);
WNBD_ASSERT_OFFSET(WNBD_IO_REQUEST, Reserved, 32);

typedef struct {
	UINT64	RequestHandle;
	WnbdRequestType RequestType;
	WNBD_STATUS Status;
	BYTE	Reserved[32];
} WNBD_IO_RESPONSE, *PWNBD_IO_RESPONSE;
WNBD_ASSERT_SZ_EQ(WNBD_IO_RESPONSE, 80);
WNBD_ASSERT_OFFSET(WNBD_IO_RESPONSE, Status, 16);

static inline const CHAR *
WnbdRequestTypeToStr(WnbdRequestType RequestType)
{
	switch (RequestType) {
	case WnbdReqTypeRead:
		return "READ";
	case WnbdReqTypeWrite:
		return "WRITE";
	case WnbdReqTypeFlush:
		return "FLUSH";
	case WnbdReqTypeUnmap:
		return "UNMAP";
	case WnbdReqTypeDisconnect:
		return "DISCONNECT";
	case WnbdReqTypePersistResIn:
		return "PERSISTENT_RESERVE_IN";
	case WnbdReqTypePersistResOut:
		return "PERSISTENT_RESERVE_OUT";
	default:
		return "UNKNOWN";
	}
}

/* ---- driver options --------------------------------------------------------- */

typedef enum {
	WnbdOptUnknown = 0,
	WnbdOptUnknon = 0,		/* its name in WNBD 0.2 */
	WnbdOptBool = 1,
	WnbdOptInt64 = 2,
	WnbdOptWstr = 3,
} WnbdOptValType;

typedef struct {
	WnbdOptValType Type;
	union {
		BOOLEAN	AsBool;
		INT64	AsInt64;
		WCHAR	AsWstr[WNBD_MAX_NAME_LENGTH];
	} Data;
	BYTE	Reserved[64];
} WNBD_OPTION_VALUE, *PWNBD_OPTION_VALUE;
WNBD_ASSERT_SZ_EQ(WNBD_OPTION_VALUE, 584);
WNBD_ASSERT_OFFSET(WNBD_OPTION_VALUE, Data, 8);

typedef struct {
	WCHAR	Name[WNBD_MAX_OPT_NAME_LENGTH];
	WnbdOptValType Type;
	WNBD_OPTION_VALUE Default;
	WNBD_OPTION_VALUE Value;
	BYTE	Reserved[64];
} WNBD_OPTION, *PWNBD_OPTION;
WNBD_ASSERT_SZ_EQ(WNBD_OPTION, 1368);
WNBD_ASSERT_OFFSET(WNBD_OPTION, Type, 128);
WNBD_ASSERT_OFFSET(WNBD_OPTION, Default, 136);
WNBD_ASSERT_OFFSET(WNBD_OPTION, Value, 720);

typedef struct {
	UINT32	ElementSize;		/* sizeof(WNBD_OPTION) */
	UINT32	Count;
	WNBD_OPTION Options[1];
} WNBD_OPTION_LIST, *PWNBD_OPTION_LIST;
WNBD_ASSERT_SZ_EQ(WNBD_OPTION_LIST, 1376);
WNBD_ASSERT_OFFSET(WNBD_OPTION_LIST, Options, 8);

typedef struct {
	UINT32	Major;
	UINT32	Minor;
	UINT32	Patch;
	CHAR	Description[WNBD_MAX_VERSION_STR_LENGTH];	/* for people */
	BYTE	Reserved[256];
} WNBD_VERSION, *PWNBD_VERSION;
WNBD_ASSERT_SZ_EQ(WNBD_VERSION, 396);
WNBD_ASSERT_OFFSET(WNBD_VERSION, Description, 12);

/* ---- commands --------------------------------------------------------------- */

typedef struct {
	ULONG	IoControlCode;
} WNBD_IOCTL_BASE_COMMAND, *PWNBD_IOCTL_BASE_COMMAND;
WNBD_ASSERT_SZ_EQ(WNBD_IOCTL_BASE_COMMAND, 4);

typedef WNBD_IOCTL_BASE_COMMAND WNBD_IOCTL_PING_COMMAND, *PWNBD_IOCTL_PING_COMMAND;
typedef WNBD_IOCTL_BASE_COMMAND WNBD_IOCTL_LIST_COMMAND, *PWNBD_IOCTL_LIST_COMMAND;
typedef WNBD_IOCTL_BASE_COMMAND WNBD_IOCTL_RELOAD_CONFIG_COMMAND,
    *PWNBD_IOCTL_RELOAD_CONFIG_COMMAND;
typedef WNBD_IOCTL_BASE_COMMAND WNBD_IOCTL_VERSION_COMMAND,
    *PWNBD_IOCTL_VERSION_COMMAND;

typedef struct {
	ULONG	IoControlCode;
	WNBD_PROPERTIES Properties;
	BYTE	Reserved[32];
} WNBD_IOCTL_CREATE_COMMAND, *PWNBD_IOCTL_CREATE_COMMAND;
WNBD_ASSERT_SZ_EQ(WNBD_IOCTL_CREATE_COMMAND, 1408);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_CREATE_COMMAND, Properties, 8);

typedef struct {
	UINT32	Reserved : 32;
} WNBD_REMOVE_COMMAND_FLAGS, *PWNBD_REMOVE_COMMAND_FLAGS;
WNBD_ASSERT_SZ_EQ(WNBD_REMOVE_COMMAND_FLAGS, 4);

typedef struct {
	WNBD_REMOVE_COMMAND_FLAGS Flags;
	BYTE	Reserved[80];
} WNBD_REMOVE_COMMAND_OPTIONS, *PWNBD_REMOVE_COMMAND_OPTIONS;
WNBD_ASSERT_SZ_EQ(WNBD_REMOVE_COMMAND_OPTIONS, 84);

/* Always a hard removal: a soft one is asked of Plug and Play. */
typedef struct {
	ULONG	IoControlCode;
	CHAR	InstanceName[WNBD_MAX_NAME_LENGTH];
	WNBD_REMOVE_COMMAND_OPTIONS Options;
	BYTE	Reserved[32];
} WNBD_IOCTL_REMOVE_COMMAND, *PWNBD_IOCTL_REMOVE_COMMAND;
WNBD_ASSERT_SZ_EQ(WNBD_IOCTL_REMOVE_COMMAND, 376);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_REMOVE_COMMAND, Options, 260);

typedef struct {
	ULONG	IoControlCode;
	CHAR	InstanceName[WNBD_MAX_NAME_LENGTH];
	BYTE	Reserved[32];
} WNBD_IOCTL_STATS_COMMAND, *PWNBD_IOCTL_STATS_COMMAND;
WNBD_ASSERT_SZ_EQ(WNBD_IOCTL_STATS_COMMAND, 292);

typedef WNBD_IOCTL_STATS_COMMAND WNBD_IOCTL_SHOW_COMMAND, *PWNBD_IOCTL_SHOW_COMMAND;
WNBD_ASSERT_SZ_EQ(WNBD_IOCTL_SHOW_COMMAND, 292);

/* Waits for a request.  DataBuffer, of the calling process, takes the data of a
 * write, an unmap or a PERSISTENT RESERVE OUT. */
typedef struct {
	ULONG	IoControlCode;
	WNBD_IO_REQUEST Request;
	WNBD_CONNECTION_ID ConnectionId;
	PVOID	DataBuffer;
	UINT32	DataBufferSize;
	BYTE	Reserved[32];
} WNBD_IOCTL_FETCH_REQ_COMMAND, *PWNBD_IOCTL_FETCH_REQ_COMMAND;
WNBD_ASSERT_SZ_EQ(WNBD_IOCTL_FETCH_REQ_COMMAND, 128);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_FETCH_REQ_COMMAND, Request, 8);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_FETCH_REQ_COMMAND, ConnectionId, 72);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_FETCH_REQ_COMMAND, DataBuffer, 80);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_FETCH_REQ_COMMAND, DataBufferSize, 88);

/* DataBuffer holds the data of a read or a PERSISTENT RESERVE IN. */
typedef struct {
	ULONG	IoControlCode;
	WNBD_IO_RESPONSE Response;
	WNBD_CONNECTION_ID ConnectionId;
	PVOID	DataBuffer;
	UINT32	DataBufferSize;
	BYTE	Reserved[32];
} WNBD_IOCTL_SEND_RSP_COMMAND, *PWNBD_IOCTL_SEND_RSP_COMMAND;
WNBD_ASSERT_SZ_EQ(WNBD_IOCTL_SEND_RSP_COMMAND, 144);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_SEND_RSP_COMMAND, Response, 8);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_SEND_RSP_COMMAND, ConnectionId, 88);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_SEND_RSP_COMMAND, DataBuffer, 96);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_SEND_RSP_COMMAND, DataBufferSize, 104);

typedef struct {
	ULONG	IoControlCode;
	WCHAR	Name[WNBD_MAX_NAME_LENGTH];
	BOOLEAN	Persistent;
	BYTE	Reserved[32];
} WNBD_IOCTL_GET_DRV_OPT_COMMAND, *PWNBD_IOCTL_GET_DRV_OPT_COMMAND;
WNBD_ASSERT_SZ_EQ(WNBD_IOCTL_GET_DRV_OPT_COMMAND, 552);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_GET_DRV_OPT_COMMAND, Persistent, 516);

typedef WNBD_IOCTL_GET_DRV_OPT_COMMAND WNBD_IOCTL_RESET_DRV_OPT_COMMAND,
    *PWNBD_IOCTL_RESET_DRV_OPT_COMMAND;
WNBD_ASSERT_SZ_EQ(WNBD_IOCTL_RESET_DRV_OPT_COMMAND, 552);

typedef struct {
	ULONG	IoControlCode;
	WCHAR	Name[WNBD_MAX_NAME_LENGTH];
	WNBD_OPTION_VALUE Value;
	BOOLEAN	Persistent;
	BYTE	Reserved[32];
} WNBD_IOCTL_SET_DRV_OPT_COMMAND, *PWNBD_IOCTL_SET_DRV_OPT_COMMAND;
WNBD_ASSERT_SZ_EQ(WNBD_IOCTL_SET_DRV_OPT_COMMAND, 1144);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_SET_DRV_OPT_COMMAND, Value, 520);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_SET_DRV_OPT_COMMAND, Persistent, 1104);

typedef struct {
	ULONG	IoControlCode;
	BOOLEAN	Persistent;
	BYTE	Reserved[32];
} WNBD_IOCTL_LIST_DRV_OPT_COMMAND, *PWNBD_IOCTL_LIST_DRV_OPT_COMMAND;
WNBD_ASSERT_SZ_EQ(WNBD_IOCTL_LIST_DRV_OPT_COMMAND, 40);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_LIST_DRV_OPT_COMMAND, Persistent, 4);

typedef struct {
	ULONG	IoControlCode;
	WNBD_CONNECTION_ID ConnectionId;
	UINT64	BlockCount;
	BYTE	Reserved[32];
} WNBD_IOCTL_SET_SIZE_COMMAND, *PWNBD_IOCTL_SET_SIZE_COMMAND;
WNBD_ASSERT_SZ_EQ(WNBD_IOCTL_SET_SIZE_COMMAND, 56);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_SET_SIZE_COMMAND, ConnectionId, 8);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_SET_SIZE_COMMAND, BlockCount, 16);

/* Of the process that serves the disk and is its NBD client: for SHOW and LIST. */
typedef struct {
	ULONG	IoControlCode;
	WNBD_CONNECTION_ID ConnectionId;
	NBD_SERVERS Servers;
	BYTE	Reserved[36];
} WNBD_IOCTL_SET_SERVERS_COMMAND, *PWNBD_IOCTL_SET_SERVERS_COMMAND;
WNBD_ASSERT_SZ_EQ(WNBD_IOCTL_SET_SERVERS_COMMAND, 88);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_SET_SERVERS_COMMAND, ConnectionId, 8);
WNBD_ASSERT_OFFSET(WNBD_IOCTL_SET_SERVERS_COMMAND, Servers, 16);

#endif
