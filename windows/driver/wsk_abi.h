/*
 * wsk_abi.h - Winsock Kernel, as far as the driver uses it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * mingw-w64 has no wsk.h.  Names, values and order of members are those of
 * Microsoft's public documentation ("Winsock Kernel", wsk.h); the asserts pin what
 * follows from them on x64.  A pointer that the driver never calls is a void *.
 */
#ifndef WSK_ABI_H
#define WSK_ABI_H

#include <ntddk.h>

#define WSK_VERSION_1_0			0x0100
#define WSK_FLAG_CONNECTION_SOCKET	0x00000002
#define WSK_FLAG_NODELAY		0x00000002
#define WSK_FLAG_ABORTIVE		0x00000001
#define WSK_INFINITE_WAIT		0xffffffff

#define WSK_AF_UNSPEC			0
#define WSK_AF_INET			2
#define WSK_AF_INET6			23
#define WSK_SOCK_STREAM			1
#define WSK_IPPROTO_TCP			6

struct wsk_sockaddr {
	USHORT	family;
	UCHAR	data[14];
};

struct wsk_sockaddr_storage {
	USHORT	family;
	UCHAR	data[126];
};

/* ADDRINFOEXW */
struct wsk_addrinfo {
	LONG	flags, family, socktype, protocol;
	SIZE_T	addrlen;
	WCHAR	*canonname;
	struct wsk_sockaddr *addr;
	void	*blob;
	SIZE_T	bloblen;
	GUID	*provider;
	struct wsk_addrinfo *next;
};
C_ASSERT(FIELD_OFFSET(struct wsk_addrinfo, addrlen) == 16);
C_ASSERT(FIELD_OFFSET(struct wsk_addrinfo, addr) == 32);
C_ASSERT(FIELD_OFFSET(struct wsk_addrinfo, next) == 64);

struct wsk_buf {
	MDL	*mdl;
	ULONG	 offset;		/* into the first MDL of the chain */
	SIZE_T	 length;		/* of all of it */
};
C_ASSERT(sizeof(struct wsk_buf) == 24);

struct wsk_client;			/* opaque */
struct wsk_connection_dispatch;
struct wsk_socket {
	const struct wsk_connection_dispatch *dispatch;
};

struct wsk_client_dispatch {
	USHORT	version, reserved;
	void	*client_event;
};

struct wsk_client_npi {
	void	*context;
	const struct wsk_client_dispatch *dispatch;
};

struct wsk_registration {
	ULONGLONG	state;
	void		*context;
	KSPIN_LOCK	lock;
};
C_ASSERT(sizeof(struct wsk_registration) == 24);

struct wsk_provider_dispatch {
	USHORT	version, reserved;
	NTSTATUS (NTAPI *socket)(struct wsk_client *, USHORT family, USHORT type,
	    ULONG protocol, ULONG flags, void *context, const void *dispatch,
	    PEPROCESS, PETHREAD, PSECURITY_DESCRIPTOR, IRP *);
	void	*socket_connect;
	void	*control_client;
	NTSTATUS (NTAPI *get_address_info)(struct wsk_client *, UNICODE_STRING *node,
	    UNICODE_STRING *service, ULONG name_space, GUID *provider,
	    struct wsk_addrinfo *hints, struct wsk_addrinfo **, PEPROCESS,
	    PETHREAD, IRP *);
	void	(NTAPI *free_address_info)(struct wsk_client *,
	    struct wsk_addrinfo *);
	void	*get_name_info;
};
C_ASSERT(FIELD_OFFSET(struct wsk_provider_dispatch, socket) == 8);
C_ASSERT(FIELD_OFFSET(struct wsk_provider_dispatch, get_address_info) == 32);

struct wsk_provider_npi {
	struct wsk_client *client;
	const struct wsk_provider_dispatch *dispatch;
};

typedef NTSTATUS NTAPI wsk_io(struct wsk_socket *, struct wsk_buf *, ULONG flags,
	    IRP *);

struct wsk_connection_dispatch {
	void	*control_socket;
	NTSTATUS (NTAPI *close_socket)(struct wsk_socket *, IRP *);
	NTSTATUS (NTAPI *bind)(struct wsk_socket *, struct wsk_sockaddr *, ULONG flags,
	    IRP *);
	NTSTATUS (NTAPI *connect)(struct wsk_socket *, struct wsk_sockaddr *,
	    ULONG flags, IRP *);
	void	*get_local_address;
	void	*get_remote_address;
	wsk_io	*send;
	wsk_io	*receive;
	wsk_io	*disconnect;
	void	*release;
};
C_ASSERT(FIELD_OFFSET(struct wsk_connection_dispatch, close_socket) == 8);
C_ASSERT(FIELD_OFFSET(struct wsk_connection_dispatch, send) == 48);
C_ASSERT(FIELD_OFFSET(struct wsk_connection_dispatch, disconnect) == 64);

NTSTATUS NTAPI	WskRegister(struct wsk_client_npi *, struct wsk_registration *);
void NTAPI	WskDeregister(struct wsk_registration *);
NTSTATUS NTAPI	WskCaptureProviderNPI(struct wsk_registration *, ULONG wait_ms,
		    struct wsk_provider_npi *);
void NTAPI	WskReleaseProviderNPI(struct wsk_registration *);

#endif
