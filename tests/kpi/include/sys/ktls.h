/*
 * sys/ktls.h - for the KPI host: records are played, nothing is encrypted.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_KTLS_H
#define KPI_SYS_KTLS_H

#include <sys/param.h>

struct tls_session_params {
	uint16_t	 max_frame_len;
};
struct ktls_session {
	struct tls_session_params params;
};

#endif
