/*
 * netinet/tcp.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_NETINET_TCP_H
#define KPI_NETINET_TCP_H

#include_next <netinet/tcp.h>

#define TLS_GET_RECORD	2	/* cmsg type */

#endif
