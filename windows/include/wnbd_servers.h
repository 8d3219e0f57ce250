/*
 * wnbd_servers.h - several NBD servers of one disk, as one host name.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * NBD_CONNECTION_PROPERTIES.Hostname is a list: names or addresses, separated by
 * commas, each with its port behind a colon if that is not PortNumber; an IPv6 address
 * that has one is in brackets.  One name is a list of one.
 *
 *   gate1,gate2:10810,[2001:db8::3]:10810,2001:db8::4
 *
 * What reads only one name finds no host of such a name: a driver that is too old gives
 * an error, and no disk without its other servers.
 */
#ifndef WNBD_SERVERS_H
#define WNBD_SERVERS_H

#include "wnbd_ioctl.h"

/* Host is in the list, and not ended by NUL. */
typedef struct {
	const CHAR *Host;
	UINT32	Length;			/* of Host, in bytes */
	UINT32	Port;
} WNBD_SERVER, *PWNBD_SERVER;

typedef enum {
	WnbdServersOk = 0,
	WnbdServersNoName,		/* there is nothing between two commas */
	WnbdServersBadPort,		/* no number from 1 to 65535 */
	WnbdServersBadBracket,		/* '[' without its ']' */
	WnbdServersTwice,		/* one server, given twice */
	WnbdServersTooMany,		/* more than NBD_MAX_SERVERS */
} WNBD_SERVERS_FAULT;

/* Decimal digits up to End; 0: anything else, or more than 65535. */
static inline UINT32
WnbdParsePort(const CHAR *Text, const CHAR *End)
{
	UINT32 port = 0;

	for (; Text != End; Text++) {
		if (*Text < '0' || *Text > '9' || port > 6553)
			return 0;
		port = port * 10 + (UINT32)(*Text - '0');
	}
	return port <= 65535 ? port : 0;
}

/* One of the list, which ends before End.  Server has the default port. */
static inline WNBD_SERVERS_FAULT
WnbdParseServer(const CHAR *Text, const CHAR *End, PWNBD_SERVER Server)
{
	const CHAR *colon = NULL, *at = Text;
	UINT32 colons = 0;

	if (Text != End && *Text == '[') {
		for (Text++; at != End && *at != ']'; at++)
			continue;
		if (at == End)
			return WnbdServersBadBracket;
		Server->Length = (UINT32)(at++ - Text);
		colon = at;
		if (at != End && *at != ':')
			return WnbdServersBadBracket;
	} else {
		for (colon = End; at != End; at++) {
			colons += *at == ':';
			colon = *at == ':' ? at : colon;
		}
		if (colons != 1)	/* none, or those of an IPv6 address */
			colon = End;
		Server->Length = (UINT32)(colon - Text);
	}
	Server->Host = Text;
	if (Server->Length == 0)
		return WnbdServersNoName;
	if (colon == End)
		return WnbdServersOk;
	Server->Port = WnbdParsePort(colon + 1, End);
	return Server->Port == 0 ? WnbdServersBadPort : WnbdServersOk;
}

static inline BOOLEAN
WnbdSameServer(const WNBD_SERVER *A, const WNBD_SERVER *B)
{
	UINT32 i;

	if (A->Length != B->Length || A->Port != B->Port)
		return 0;
	for (i = 0; i < A->Length; i++)
		if (A->Host[i] != B->Host[i])
			return 0;
	return 1;
}

/* *Count: of those that are right; with a fault, the next one is not. */
static inline WNBD_SERVERS_FAULT
WnbdParseServers(const CHAR *List, UINT32 DefaultPort,
    WNBD_SERVER Servers[NBD_MAX_SERVERS], UINT32 *Count)
{
	WNBD_SERVERS_FAULT fault;
	const CHAR *end;
	UINT32 i;

	for (*Count = 0; ; ++*Count, List = end + 1) {
		if (*Count == NBD_MAX_SERVERS)
			return WnbdServersTooMany;
		for (end = List; *end != '\0' && *end != ','; end++)
			continue;
		Servers[*Count].Port = DefaultPort;
		fault = WnbdParseServer(List, end, &Servers[*Count]);
		if (fault != WnbdServersOk)
			return fault;
		for (i = 0; i < *Count; i++)
			if (WnbdSameServer(&Servers[i], &Servers[*Count]))
				return WnbdServersTwice;
		if (*end == '\0')
			break;
	}
	++*Count;
	return WnbdServersOk;
}

#endif
