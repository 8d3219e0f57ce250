/*
 * handshake_eva.c - every server at once, for frama-c's EVA.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The client wants anything, reads in pieces of any length, and the server says
 * anything.  EVA follows all of it, with sets of values instead of values.
 */
#include "__fc_builtin.h"

#include "nbe.h"

static struct nbe_hs hs;

static void
receive(void)
{
	size_t len, n;
	uint8_t *p = nbe_hs_recv_buf(&hs, &len);

	if (p == NULL)
		return;
	n = (size_t)Frama_C_unsigned_long_interval(1, sizeof(hs.in));
	if (n > len)
		n = len;
	Frama_C_make_unknown((char *)p, n);
	nbe_hs_recv_ack(&hs, n);
}

static void
send(void)
{
	size_t len;

	if (nbe_hs_send_buf(&hs, &len) != NULL)
		nbe_hs_send_ack(&hs, len);
}

static void
step(void)
{
	switch (nbe_hs_state(&hs)) {
	case NBE_HS_IO:
		send();
		receive();
		break;
	case NBE_HS_TLS:
	case NBE_HS_ITEM:
		nbe_hs_resume(&hs);
		break;
	default:
		break;
	}
}

int
main(void)
{
	static const char name[] = "disk";
	struct nbe_hs_config cfg = {
		.name = name,
		.name_len = Frama_C_unsigned_int_interval(0, 4),
		.goal = Frama_C_interval(0, 2),
		.tls = Frama_C_interval(0, 2),
		.framing_max = Frama_C_interval(0, 2),
		.want_alloc = Frama_C_interval(0, 1),
	};

	nbe_hs_init(&hs, &cfg);
	while (Frama_C_interval(0, 1))
		step();
	if (Frama_C_interval(0, 1))
		nbe_hs_closed(&hs);
	nbe_hs_abort(&hs);
	return (int)(nbe_hs_name(&hs).len + nbe_hs_about(&hs).len +
	    nbe_hs_message(&hs).len);
}
