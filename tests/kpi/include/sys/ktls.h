/*
 * sys/ktls.h - for the KPI host: records are played, nothing is encrypted.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_KTLS_H
#define KPI_SYS_KTLS_H

#include <sys/param.h>

struct tls_session_params {
	int		 cipher_algorithm;
	uint16_t	 max_frame_len;
};
/* What soreceive(9) says of a record. */
struct tls_get_record {
	uint8_t		 tls_type, tls_vmajor, tls_vminor;
	uint16_t	 tls_length;
};
#define TLS_RLTYPE_APP	23
struct ktls_session {
	struct tls_session_params params;
};

#endif
