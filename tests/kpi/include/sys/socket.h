/*
 * sys/socket.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_SOCKET_H
#define KPI_SYS_SOCKET_H

#include_next <sys/socket.h>

#define MSG_SOCALLBCK	0x00010000	/* no difference here */
#define MSG_TLSAPPDATA	0x00200000

#endif
