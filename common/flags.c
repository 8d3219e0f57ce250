/*
 * flags.c - the names of the protocol's flags.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "flags.h"

struct flag_name {
	uint16_t	bit;
	const char	*name;
};

static const struct flag_name transmission[] = {
	{ NBE_FLAG_HAS_FLAGS, "HAS_FLAGS" },
	{ NBE_FLAG_READ_ONLY, "READ_ONLY" },
	{ NBE_FLAG_SEND_FLUSH, "SEND_FLUSH" },
	{ NBE_FLAG_SEND_FUA, "SEND_FUA" },
	{ NBE_FLAG_ROTATIONAL, "ROTATIONAL" },
	{ NBE_FLAG_SEND_TRIM, "SEND_TRIM" },
	{ NBE_FLAG_SEND_WRITE_ZEROES, "SEND_WRITE_ZEROES" },
	{ NBE_FLAG_SEND_DF, "SEND_DF" },
	{ NBE_FLAG_CAN_MULTI_CONN, "CAN_MULTI_CONN" },
	{ NBE_FLAG_SEND_RESIZE, "SEND_RESIZE" },
	{ NBE_FLAG_SEND_CACHE, "SEND_CACHE" },
	{ NBE_FLAG_SEND_FAST_ZERO, "SEND_FAST_ZERO" },
	{ NBE_FLAG_BLOCK_STATUS_PAYLOAD, "BLOCK_STATUS_PAYLOAD" },
};

static const struct flag_name handshake[] = {
	{ NBE_HS_FIXED_NEWSTYLE, "FIXED_NEWSTYLE" },
	{ NBE_HS_NO_ZEROES, "NO_ZEROES" },
};

static void
add_names(struct value *v, uint16_t flags, const struct flag_name *names, size_t count)
{
	char rest[16];

	if (flags == 0)
		value_add(v, "NONE");
	for (size_t i = 0; i < count; i++) {
		if ((flags & names[i].bit) != 0)
			value_add(v, names[i].name);
		flags &= (uint16_t)~names[i].bit;
	}
	if (flags == 0)
		return;
	snprintf(rest, sizeof(rest), "0x%x", flags);
	value_add(v, rest);
}

void
flags_transmission(struct value *v, uint16_t flags)
{
	add_names(v, flags, transmission, COUNT_OF(transmission));
}

void
flags_handshake(struct value *v, uint16_t flags)
{
	add_names(v, flags, handshake, COUNT_OF(handshake));
}

const char *
framing_name(enum nbe_framing framing)
{
	static const char *const names[] = {
		[NBE_SIMPLE] = "simple", [NBE_STRUCTURED] = "structured",
		[NBE_EXTENDED] = "extended",
	};

	return names[framing];
}
