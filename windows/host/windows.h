/*
 * windows.h - in the place of Windows's, for what includes it for its types only.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef TEST_WINDOWS_H
#define TEST_WINDOWS_H

#include "host_types.h"

#endif
