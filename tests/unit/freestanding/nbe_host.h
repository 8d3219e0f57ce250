/*
 * nbe_host.h - the least that the engine can live with: nothing but a compiler.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NBE_HOST_H
#define NBE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void	*memcpy(void *restrict, const void *restrict, size_t);
void	*memset(void *, int, size_t);
_Noreturn void port_assert_failed(void);

#define NBE_ASSERT(x)	((x) ? (void)0 : port_assert_failed())

#endif
