/*
 * wnbd.h - libwnbd: disks of Windows that a process or an NBD server provides.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Source and binary compatible with the WNBD library, 0.2.1 and newer.  For C and
 * C++; link with libwnbd.
 *
 * Functions that return a DWORD give 0 or an error of Windows.  They may be called
 * from any thread.  Instance and option names are UTF-8.  Most calls need the
 * adapter, and so an elevated process; when it cannot be opened, for whatever reason,
 * they return ERROR_OPEN_FAILED, and the log says why.
 *
 * A disk whose I/O the calling process serves:
 *
 *   WnbdCreate(&Properties, &Interface, Context, &Disk)
 *   WnbdStartDispatcher(Disk, Threads)
 *     Interface's functions are called with requests, by these threads; for each
 *     request, WnbdSendResponse is called once, from whatever thread, when it is done
 *   WnbdWaitDispatcher(Disk)		until the disk is removed, by whomever
 *   WnbdRemove(Disk, NULL)		or so
 *   WnbdClose(Disk)
 *
 * A disk of an NBD server: WnbdCreate with Flags.UseNbd (the driver is the client,
 * the disk outlives the process), or WnbdRunNbdDaemon (this process is the client:
 * with TLS).
 */
#ifndef WNBD_H
#define WNBD_H

#include <windows.h>
#include <cfgmgr32.h>
#include <setupapi.h>

#include "wnbd_ioctl.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WNBD_MIN_DISPATCHER_THREAD_COUNT	1
#define WNBD_MAX_DISPATCHER_THREAD_COUNT	255
#define WNBD_LOG_MESSAGE_MAX_SIZE		4096
#define WNBD_DEFAULT_RM_TIMEOUT_MS		(30 * 1000)
#define WNBD_DEFAULT_RM_RETRY_INTERVAL_MS	2000

#define WNBD_HARDWAREID		"root\\wnbd"
#define WNBD_HARDWAREID_LEN	sizeof(WNBD_HARDWAREID)

typedef enum {
	WnbdLogLevelCritical = 0,
	WnbdLogLevelError = 1,
	WnbdLogLevelWarning = 2,
	WnbdLogLevelInfo = 3,
	WnbdLogLevelDebug = 4,
	WnbdLogLevelTrace = 5,
} WnbdLogLevel;

/* What this process did for a disk.  Received: fetched from the driver; submitted:
 * given to the interface's functions; replies: responses of these. */
typedef struct _WNBD_USR_STATS {
	UINT64	TotalReceivedRequests;
	UINT64	TotalSubmittedRequests;
	UINT64	TotalReceivedReplies;
	UINT64	UnsubmittedRequests;		/* now */
	UINT64	PendingSubmittedRequests;	/* now */
	UINT64	PendingReplies;		/* now: on the way to the driver */
	UINT64	ReadErrors;
	UINT64	WriteErrors;
	UINT64	FlushErrors;
	UINT64	UnmapErrors;
	UINT64	InvalidRequests;
	UINT64	TotalRWRequests;
	UINT64	TotalReadBlocks;
	UINT64	TotalWrittenBlocks;
	UINT64	PersistResInErrors;
	UINT64	PersistResOutErrors;
	BYTE	Reserved[128];
} WNBD_USR_STATS, *PWNBD_USR_STATS;
WNBD_ASSERT_SZ_EQ(WNBD_USR_STATS, 256);
WNBD_ASSERT_OFFSET(WNBD_USR_STATS, TotalWrittenBlocks, 104);
WNBD_ASSERT_OFFSET(WNBD_USR_STATS, PersistResOutErrors, 120);

typedef struct {
	UINT32	HardRemove : 1;		/* at once; nobody who uses it is asked */
	UINT32	HardRemoveFallback : 1;	/* ... if the soft removal fails */
	UINT32	Reserved : 30;
} WNBD_REMOVE_FLAGS, *PWNBD_REMOVE_FLAGS;
WNBD_ASSERT_SZ_EQ(WNBD_REMOVE_FLAGS, 4);

typedef struct {
	WNBD_REMOVE_FLAGS Flags;
	DWORD	SoftRemoveTimeoutMs;	/* 0: without end */
	DWORD	SoftRemoveRetryIntervalMs;
	BYTE	Reserved[64];
} WNBD_REMOVE_OPTIONS, *PWNBD_REMOVE_OPTIONS;
WNBD_ASSERT_SZ_EQ(WNBD_REMOVE_OPTIONS, 76);
WNBD_ASSERT_OFFSET(WNBD_REMOVE_OPTIONS, SoftRemoveRetryIntervalMs, 8);

typedef struct _WNBD_INTERFACE WNBD_INTERFACE, *PWNBD_INTERFACE;

/* Properties and Handle may be read; the rest is the library's own. */
typedef struct _WNBD_DISK {
	HANDLE	Handle;			/* the adapter */
	PVOID	Context;
	WNBD_PROPERTIES Properties;
	WNBD_CONNECTION_INFO ConnectionInfo;
	const WNBD_INTERFACE *Interface;
	BOOLEAN	Stopping;
	BOOLEAN	Stopped;
	BOOLEAN	Started;
	HANDLE	*DispatcherThreads;
	UINT32	DispatcherThreadsCount;
	WNBD_USR_STATS Stats;
} WNBD_DISK, *PWNBD_DISK;

/* Buffer is valid until the function returns.  A read may fill it and give it to
 * WnbdSendResponse, or use a buffer of its own, then or later. */
typedef VOID (*ReadFunc)(PWNBD_DISK Disk, UINT64 RequestHandle, PVOID Buffer,
    UINT64 BlockAddress, UINT32 BlockCount, BOOLEAN ForceUnitAccess);
typedef VOID (*WriteFunc)(PWNBD_DISK Disk, UINT64 RequestHandle, PVOID Buffer,
    UINT64 BlockAddress, UINT32 BlockCount, BOOLEAN ForceUnitAccess);
/* BlockCount 0: all of the disk. */
typedef VOID (*FlushFunc)(PWNBD_DISK Disk, UINT64 RequestHandle,
    UINT64 BlockAddress, UINT32 BlockCount);
typedef VOID (*UnmapFunc)(PWNBD_DISK Disk, UINT64 RequestHandle,
    PWNBD_UNMAP_DESCRIPTOR Descriptors, UINT32 Count);
typedef VOID (*PersistResInFunc)(PWNBD_DISK Disk, UINT64 RequestHandle,
    UINT8 ServiceAction);
typedef VOID (*PersistResOutFunc)(PWNBD_DISK Disk, UINT64 RequestHandle,
    UINT8 ServiceAction, UINT8 Scope, UINT8 Type, PVOID Buffer,
    UINT32 ParameterListLength);
typedef VOID (*LogMessageFunc)(WnbdLogLevel LogLevel, const char *Message,
    const char *FileName, UINT32 Line, const char *FunctionName);

/* The library keeps the pointer, not a copy.  A request whose function is NULL is
 * refused with ILLEGAL REQUEST. */
struct _WNBD_INTERFACE {
	ReadFunc Read;
	WriteFunc Write;
	FlushFunc Flush;
	UnmapFunc Unmap;
	PersistResInFunc PersistResIn;
	PersistResOutFunc PersistResOut;
	VOID	*Reserved[13];
};
WNBD_ASSERT_SZ_EQ(WNBD_INTERFACE, 152);
WNBD_ASSERT_OFFSET(WNBD_INTERFACE, PersistResOut, 40);

/* ---- disks ------------------------------------------------------------------ */

/* Interface may be NULL with Flags.UseNbd.  ERROR_ALREADY_EXISTS: the name is in
 * use. */
DWORD	WnbdCreate(const PWNBD_PROPERTIES Properties, const PWNBD_INTERFACE Interface,
	    PVOID Context, PWNBD_DISK *PDisk);

/* NULL options: soft, with the default time-out, then hard. */
DWORD	WnbdRemove(PWNBD_DISK Disk, PWNBD_REMOVE_OPTIONS RemoveOptions);
DWORD	WnbdRemoveEx(const char *InstanceName, PWNBD_REMOVE_OPTIONS RemoveOptions);
/* All disks of the adapter, at once and hard; before, the option NewMappingsAllowed is
 * set to false, until somebody sets it again or the driver is loaded again. */
DWORD	WnbdRemoveAllDisks(HANDLE Adapter);

/* While it is in use; Windows is told to look at it. */
DWORD	WnbdSetDiskSize(PWNBD_DISK Disk, UINT64 BlockCount);

/* Frees Disk, which has no dispatcher any more. */
VOID	WnbdClose(PWNBD_DISK Disk);

/* *BufferSize is what there is; afterwards, what is needed.  When that is more, the
 * result is still 0, and the list is empty. */
DWORD	WnbdList(PWNBD_CONNECTION_LIST ConnectionList, PDWORD BufferSize);
/* ERROR_FILE_NOT_FOUND: no such disk. */
DWORD	WnbdShow(const char *InstanceName, PWNBD_CONNECTION_INFO ConnectionInfo);
DWORD	WnbdGetConnectionInfo(PWNBD_DISK Disk, PWNBD_CONNECTION_INFO ConnectionInfo);

/* Waits until Windows has given the disk a number and, with TryOpen, until it can be
 * opened.  TimeoutMs 0: without end.  WAIT_TIMEOUT; with ExpectMapped,
 * ERROR_FILE_NOT_FOUND as soon as the disk is not mapped; an error of the opening that
 * no waiting cures. */
DWORD	WnbdPollDiskNumber(const char *InstanceName, BOOLEAN ExpectMapped,
	    BOOLEAN TryOpen, DWORD TimeoutMs, DWORD RetryIntervalMs,
	    PDWORD DiskNumber);

DWORD	WnbdGetUserContext(PWNBD_DISK Disk, PVOID *Context);
DWORD	WnbdGetUserspaceStats(PWNBD_DISK Disk, PWNBD_USR_STATS Stats);
DWORD	WnbdGetDriverStats(const char *InstanceName, PWNBD_DRV_STATS Stats);

/* ---- I/O -------------------------------------------------------------------- */

/* ThreadCount: WNBD_MIN_ to WNBD_MAX_DISPATCHER_THREAD_COUNT, else
 * ERROR_INVALID_PARAMETER. */
DWORD	WnbdStartDispatcher(PWNBD_DISK Disk, DWORD ThreadCount);
/* Removes the disk, which ends the dispatcher. */
DWORD	WnbdStopDispatcher(PWNBD_DISK Disk, PWNBD_REMOVE_OPTIONS RemoveOptions);
/* Returns when all dispatcher threads have ended. */
DWORD	WnbdWaitDispatcher(PWNBD_DISK Disk);

/* Response: RequestHandle and RequestType of the request.  With an Overlapped (its
 * hEvent is the caller's), ERROR_IO_PENDING is as good as 0; DataBuffer must then
 * stay until it is signalled. */
DWORD	WnbdSendResponse(PWNBD_DISK Disk, PWNBD_IO_RESPONSE Response,
	    PVOID DataBuffer, UINT32 DataBufferSize);
DWORD	WnbdSendResponseEx(PWNBD_DISK Disk, PWNBD_IO_RESPONSE Response,
	    PVOID DataBuffer, UINT32 DataBufferSize, LPOVERLAPPED Overlapped);

/* Make Status a CHECK CONDITION with this sense key (SCSI SPC-4, 4.5.6) and
 * additional sense code; Ex also with the INFORMATION field. */
VOID	WnbdSetSense(PWNBD_STATUS Status, UINT8 SenseKey, UINT8 Asc);
VOID	WnbdSetSenseEx(PWNBD_STATUS Status, UINT8 SenseKey, UINT8 Asc, UINT64 Info);

/* ---- NBD in this process ---------------------------------------------------- */

typedef enum {
	WnbdTlsOff = 0,
	WnbdTlsIfOffered = 1,
	WnbdTlsRequired = 2,	/* never less: without TLS there is no disk */
} WnbdTlsMode;

/* New in this library.  Zero it, set Size; a NULL or a 0 is the default.  Strings are
 * UTF-8. */
typedef struct _WNBD_NBD_OPTIONS {
	UINT32	Size;			/* sizeof(WNBD_NBD_OPTIONS) */
	WnbdTlsMode Tls;
	/* An NBD URI; takes the place of Hostname, PortNumber and ExportName, and may
	 * name the TLS material. */
	const char *Uri;
	const char *CaFile;		/* PEM; default: the machine's roots */
	const char *CertFile, *KeyFile;	/* PEM; default: no client certificate */
	const char *TlsHostname;	/* that the certificate must name; default: the
					 * server's */
	UINT32	Connections;		/* 1 to 32; default: 1 */
	UINT32	RequestTimeoutMs;	/* default: NBD_DEFAULT_REQUEST_TIMEOUT_MS */
	UINT32	DeadTimeoutMs;		/* default: NBD_DEFAULT_DEAD_TIMEOUT_MS */
	UINT32	ConnectTimeoutMs;	/* to make one connection; default: 30 s */
	/* Called once, when the disk is there. */
	VOID	(*Mapped)(PWNBD_DISK Disk, PVOID Context);
	PVOID	Context;
	/* Whose first line is the password of KeyFile.  Default: it has none. */
	const char *KeyPasswordFile;
	BYTE	Reserved[32];
} WNBD_NBD_OPTIONS, *PWNBD_NBD_OPTIONS;
WNBD_ASSERT_SZ_EQ(WNBD_NBD_OPTIONS, 120);

/*
 * Connects to the NBD server of Properties->NbdProperties (of several: the first that
 * is there; wnbd_servers.h), creates the disk, and serves it until it is removed.  A
 * lost server is looked for again; requests wait for it for DeadTimeoutMs.  BlockSize
 * 0: the server's; BlockCount 0: what the server has.
 * The caller has called WSAStartup.  What went wrong is told to the logger.
 */
DWORD	WnbdRunNbdDaemon(PWNBD_PROPERTIES Properties);
DWORD	WnbdRunNbdDaemonEx(PWNBD_PROPERTIES Properties,
	    const WNBD_NBD_OPTIONS *Options);

/* ---- log, versions ---------------------------------------------------------- */

/* NULL: standard error, which is the default.  Logger is called by any thread. */
VOID	WnbdSetLogger(LogMessageFunc Logger);
/* Default: WnbdLogLevelInfo. */
VOID	WnbdSetLogLevel(WnbdLogLevel LogLevel);

DWORD	WnbdGetLibVersion(PWNBD_VERSION Version);
DWORD	WnbdGetDriverVersion(PWNBD_VERSION Version);

static inline const CHAR *
WnbdLogLevelToStr(WnbdLogLevel LogLevel)
{
	switch (LogLevel) {
	case WnbdLogLevelCritical:
		return "CRITICAL";
	case WnbdLogLevelError:
		return "ERROR";
	case WnbdLogLevelWarning:
		return "WARNING";
	case WnbdLogLevelInfo:
		return "INFO";
	case WnbdLogLevelDebug:
		return "DEBUG";
	default:
		return "TRACE";
	}
}

/* ---- driver options ---------------------------------------------------------
 * Names do not depend on case.  ERROR_FILE_NOT_FOUND: no such option, or, asked for
 * the persistent value, there is none. */

DWORD	WnbdGetDrvOpt(const char *Name, PWNBD_OPTION_VALUE Value, BOOLEAN Persistent);
/* Persistent: also after the next start of Windows. */
DWORD	WnbdSetDrvOpt(const char *Name, PWNBD_OPTION_VALUE Value, BOOLEAN Persistent);
DWORD	WnbdResetDrvOpt(const char *Name, BOOLEAN Persistent);
/* BufferSize as with WnbdList.  Persistent: only options with a persistent value. */
DWORD	WnbdListDrvOpt(PWNBD_OPTION_LIST OptionList, PDWORD BufferSize,
	    BOOLEAN Persistent);

/* ---- adapter and driver ----------------------------------------------------- */

/* For the WnbdIoctl functions; CloseHandle ends it. */
DWORD	WnbdOpenAdapter(PHANDLE Handle);
DWORD	WnbdGetAdapterDevInst(PDEVINST DeviceInstance);
/* The same two under the names of 0.2.1. */
DWORD	WnbdOpenAdapterEx(PHANDLE Handle, PDEVINST DeviceInstance);
DWORD	WnbdOpenAdapterCMDeviceInstance(PDEVINST DeviceInstance);

/* FileName: the path of wnbd.inf. */
DWORD	WnbdInstallDriver(const CHAR *FileName, PBOOL RebootRequired);
/* Removes all disks (hard), the adapters, and every WNBD driver package. */
DWORD	WnbdUninstallDriver(PBOOL RebootRequired);
/* Restart the adapter by Plug and Play, which its disks must allow; retries for
 * TimeoutMs, 0: without end. */
DWORD	WnbdResetAdapter(VOID);
DWORD	WnbdResetAdapterEx(DWORD TimeoutMs, DWORD RetryIntervalMs);

/* ---- one call each to the driver ----------------------------------------------
 * Overlapped NULL: returns when it is done.  Else ERROR_IO_PENDING is no error, and
 * what the pointers point to must stay until Overlapped is signalled.  List,
 * ListDrvOpt and FetchRequest have results to convert: they wait in any case. */

DWORD	WnbdIoctlPing(HANDLE Adapter, LPOVERLAPPED Overlapped);
DWORD	WnbdIoctlCreate(HANDLE Adapter, PWNBD_PROPERTIES Properties,
	    PWNBD_CONNECTION_INFO ConnectionInfo, LPOVERLAPPED Overlapped);
DWORD	WnbdIoctlRemove(HANDLE Adapter, const char *InstanceName,
	    PWNBD_REMOVE_COMMAND_OPTIONS RemoveOptions, LPOVERLAPPED Overlapped);
DWORD	WnbdIoctlList(HANDLE Adapter, PWNBD_CONNECTION_LIST ConnectionList,
	    PDWORD BufferSize, LPOVERLAPPED Overlapped);
DWORD	WnbdIoctlShow(HANDLE Adapter, const char *InstanceName,
	    PWNBD_CONNECTION_INFO ConnectionInfo, LPOVERLAPPED Overlapped);
DWORD	WnbdIoctlStats(HANDLE Adapter, const char *InstanceName,
	    PWNBD_DRV_STATS Stats, LPOVERLAPPED Overlapped);
/* Take the persistent options again from the registry. */
DWORD	WnbdIoctlReloadConfig(HANDLE Adapter, LPOVERLAPPED Overlapped);
DWORD	WnbdIoctlVersion(HANDLE Adapter, PWNBD_VERSION Version,
	    LPOVERLAPPED Overlapped);
DWORD	WnbdIoctlGetDrvOpt(HANDLE Adapter, const char *Name,
	    PWNBD_OPTION_VALUE Value, BOOLEAN Persistent, LPOVERLAPPED Overlapped);
DWORD	WnbdIoctlSetDrvOpt(HANDLE Adapter, const char *Name,
	    PWNBD_OPTION_VALUE Value, BOOLEAN Persistent, LPOVERLAPPED Overlapped);
DWORD	WnbdIoctlResetDrvOpt(HANDLE Adapter, const char *Name, BOOLEAN Persistent,
	    LPOVERLAPPED Overlapped);
DWORD	WnbdIoctlListDrvOpt(HANDLE Adapter, PWNBD_OPTION_LIST OptionList,
	    PDWORD BufferSize, BOOLEAN Persistent, LPOVERLAPPED Overlapped);
DWORD	WnbdIoctlFetchRequest(HANDLE Adapter, WNBD_CONNECTION_ID ConnectionId,
	    PWNBD_IO_REQUEST Request, PVOID DataBuffer, UINT32 DataBufferSize,
	    LPOVERLAPPED Overlapped);
DWORD	WnbdIoctlSendResponse(HANDLE Adapter, WNBD_CONNECTION_ID ConnectionId,
	    PWNBD_IO_RESPONSE Response, PVOID DataBuffer, UINT32 DataBufferSize,
	    LPOVERLAPPED Overlapped);
DWORD	WnbdIoctlSetDiskSize(HANDLE Adapter, WNBD_CONNECTION_ID ConnectionId,
	    UINT64 BlockCount, LPOVERLAPPED Overlapped);
/* For SHOW and LIST: the states of a disk's servers, by the process that is its NBD
 * client. */
DWORD	WnbdIoctlSetServers(HANDLE Adapter, WNBD_CONNECTION_ID ConnectionId,
	    const NBD_SERVERS *Servers, LPOVERLAPPED Overlapped);
/* DiskHandle: an open \\.\PhysicalDriveN.  How many requests Windows has pending at
 * most, of this disk and of the adapter. */
DWORD	WnbdIoctlGetIOLimits(HANDLE DiskHandle, PDWORD LunMaxIoCount,
	    PDWORD AdapterMaxIoCount, LPOVERLAPPED Overlapped);

#ifdef __cplusplus
}
#endif
#endif
