/*
 * wire.c - frames over the second serial port, a 16550 that is polled.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "net.h"

#define PORT		((PUCHAR)(ULONG_PTR)0x2f8)
#define LSR_READY	0x01
#define LSR_ROOM	0x20
#define FIFO		16u
#define OUT_SIZE	(64u << 10)
#define HEAD		4u
#define TURN		4096u		/* bytes in one turn */

static UCHAR out[OUT_SIZE];
static ULONG out_head, out_fill;
static UCHAR in[HEAD + FRAME_MAX];
static ULONG in_fill;

void
wire_reset(void)
{
	out_head = out_fill = in_fill = 0;
	WRITE_PORT_UCHAR(PORT + 1, 0);		/* no interrupts */
	WRITE_PORT_UCHAR(PORT + 3, 0x80);	/* divisor */
	WRITE_PORT_UCHAR(PORT, 1);
	WRITE_PORT_UCHAR(PORT + 1, 0);
	WRITE_PORT_UCHAR(PORT + 3, 3);		/* 8n1 */
	WRITE_PORT_UCHAR(PORT + 2, 0xc7);	/* FIFOs, empty; 14 bytes */
	WRITE_PORT_UCHAR(PORT + 4, 3);		/* DTR, RTS */
}

static void
put(UCHAR byte)
{
	out[(out_head + out_fill++) % OUT_SIZE] = byte;
}

BOOLEAN
wire_send(enum frame type, UCHAR id, const void *data, ULONG length)
{
	const UCHAR *p = data;
	ULONG i;

	if (length > FRAME_MAX || OUT_SIZE - out_fill < HEAD + length)
		return FALSE;
	put((UCHAR)type);
	put(id);
	put((UCHAR)length);
	put((UCHAR)(length >> 8));
	for (i = 0; i < length; i++)
		put(p[i]);
	return TRUE;
}

static BOOLEAN
write_some(void)
{
	ULONG total = 0, i;

	while (out_fill > 0 && total < TURN &&
	    (READ_PORT_UCHAR(PORT + 5) & LSR_ROOM) != 0)
		for (i = 0; i < FIFO && out_fill > 0; i++, total++) {
			WRITE_PORT_UCHAR(PORT, out[out_head]);
			out_head = (out_head + 1) % OUT_SIZE;
			out_fill--;
		}
	return total > 0;
}

static void
take(UCHAR byte)
{
	ULONG length;

	in[in_fill++] = byte;
	if (in_fill < HEAD)
		return;
	length = in[2] + 256u * in[3];
	if (length > FRAME_MAX) {
		net_violation("a frame is too long");
		in_fill = 0;
	} else if (in_fill == HEAD + length) {
		net_frame((enum frame)in[0], in[1], in + HEAD, length);
		in_fill = 0;
	}
}

static BOOLEAN
read_some(void)
{
	ULONG total;

	for (total = 0; total < TURN; total++) {
		if ((READ_PORT_UCHAR(PORT + 5) & LSR_READY) == 0)
			break;
		take(READ_PORT_UCHAR(PORT));
	}
	return total > 0;
}

BOOLEAN
wire_turn(void)
{
	BOOLEAN read = read_some();

	return write_some() || read;
}
