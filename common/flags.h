/*
 * flags.h - the names of the protocol's flags.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef FLAGS_H
#define FLAGS_H

#include <stdint.h>

#include "nbe.h"
#include "record.h"

/* A list of names; NONE for none; bits without a name as 0x... */
void	flags_transmission(struct value *, uint16_t flags);
void	flags_handshake(struct value *, uint16_t flags);
const char *framing_name(enum nbe_framing);

#endif
