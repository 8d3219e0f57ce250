/*
 * port_request.h - SRBs: made, given to the miniport, timed, completed.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef PORT_REQUEST_H
#define PORT_REQUEST_H

#include "port.h"

struct request *request_new(struct adapter *, UCHAR target, const UCHAR *cdb,
	    UCHAR cdb_length, PVOID data, ULONG length, ULONG flags);
void	request_free(struct request *);
/* Completes its IRP, in the end. */
void	request_issue(struct request *);
/* Waits; the request is still the caller's.  The SRB status. */
UCHAR	request_run(struct request *);
void	request_completed(struct adapter *, PSCSI_REQUEST_BLOCK);
/* The adapter's clock: time-outs and retries. */
KSTART_ROUTINE request_clock;

#endif
