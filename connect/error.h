/*
 * error.h - how struct nbc_error is filled: for connect/ and for fronts on top of it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NBC_ERROR_H
#define NBC_ERROR_H

#include "connect.h"

#if defined(_WIN32)
#define NBC_PRINTF(fmt, args) __attribute__((format(gnu_printf, fmt, args)))
#elif defined(__GNUC__)
#define NBC_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define NBC_PRINTF(fmt, args)
#endif

/* Fill the error; always false, so that "return nbc_fail(...)" reads well. */
bool	nbc_fail(struct nbc_error *, enum nbc_kind, const char *fmt, ...)
	    NBC_PRINTF(3, 4);
/* The same for what may go away by itself. */
bool	nbc_fail_for_now(struct nbc_error *, enum nbc_kind, const char *fmt, ...)
	    NBC_PRINTF(3, 4);
bool	nbc_fail_no_memory(struct nbc_error *);
/* Add to the text; a line of its own begins with "\n". */
void	nbc_add(struct nbc_error *, const char *fmt, ...) NBC_PRINTF(2, 3);
/* The handshake with target ended so; message is the server's. */
void	nbc_fail_handshake(struct nbc_error *, const struct nbc_target *,
	    enum nbe_why, struct nbe_text message);

#endif
