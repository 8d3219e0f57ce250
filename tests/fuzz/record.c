/*
 * record.c - what a real server says, as inputs for the fuzzers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: record SOCKET FRAMING NAME HANDSHAKE-FILE DEVICE-FILE
 *
 * Negotiates with the server at a unix socket (FRAMING 0 to 2, the highest to ask
 * for), serves a few requests of every kind, and writes both inputs.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "device_script.h"

static const uint8_t requests[][4] = {	/* op, flags, block, blocks */
	{ NBE_READ, 0, 0, 2 }, { NBE_WRITE, NBE_FUA, 4, 1 }, { NBE_READ, 0, 4, 1 },
	{ NBE_TRIM, 0, 8, 8 }, { NBE_ZERO, NBE_NO_HOLE, 16, 8 }, { NBE_CACHE, 0, 0, 8 },
	{ NBE_EXTENTS, 0, 0, 64 }, { NBE_FLUSH, 0, 0, 0 },
};
#define REQUESTS	(sizeof requests / sizeof requests[0])

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static int
dial(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	must(fd >= 0 && strlen(path) < sizeof to.sun_path, path);
	memcpy(to.sun_path, path, strlen(path) + 1);
	must(connect(fd, (struct sockaddr *)&to, sizeof to) == 0, path);
	return fd;
}

static void
save(const char *path, const struct bytes *b)
{
	FILE *f = fopen(path, "wb");

	must(f != NULL && fwrite(b->at, 1, b->len, f) == b->len, path);
	must(fclose(f) == 0, path);
}

/* The fuzzer's configuration bytes, then the server's. */
static void
negotiate(int fd, const struct nbe_hs_config *cfg, struct nbe_hs *hs,
    struct bytes *said)
{
	/* GO, no TLS, base:allocation, this framing; pieces of 64 bytes */
	uint8_t config[2] = { (uint8_t)(135 + 9 * cfg->framing_max), 126 };
	const uint8_t *out;
	uint8_t *in;
	size_t len;
	ssize_t n;

	bytes_add(said, config, sizeof config);
	nbe_hs_init(hs, cfg);
	while (nbe_hs_state(hs) == NBE_HS_IO) {
		if ((out = nbe_hs_send_buf(hs, &len)) != NULL) {
			must((n = write(fd, out, len)) > 0, "write");
			nbe_hs_send_ack(hs, (size_t)n);
			continue;
		}
		in = nbe_hs_recv_buf(hs, &len);
		must((n = read(fd, in, len)) > 0, "read");
		bytes_add(said, in, (size_t)n);
		nbe_hs_recv_ack(hs, (size_t)n);
	}
	must(nbe_hs_state(hs) == NBE_HS_DONE, nbe_why_text(nbe_hs_why(hs)));
}

/* The server's bytes go to the device and into the input. */
static void
listen_to(struct rig *g, int fd, struct bytes *input)
{
	uint8_t head[3] = { STEP_BYTES, 0, 1 }, buf[4096];
	ssize_t n;

	must((n = read(fd, buf, sizeof buf)) > 0, "read");
	rig_receive(g, 0, buf, (size_t)n, (struct way){ SIZE_MAX, RIG_SEGS });
	bytes_add(input, head, sizeof head);
	bytes_add(input, (uint8_t[2]){ (uint8_t)n, (uint8_t)(n >> 8) }, 2);
	bytes_add(input, buf, (size_t)n);
}

static void
transmit(int fd, const struct nbe_export *e, struct bytes *input)
{
	uint8_t config[CONFIG_LEN] = { (uint8_t)e->framing, 0,
		(uint8_t)e->alloc_context };
	const uint8_t send_all[4] = { STEP_SEND, 0, 0, 0 }, submit = STEP_SUBMIT;
	struct rig *g = script_rig(config);

	g->exp.flags &= e->flags;
	g->exp.has_alloc = e->has_alloc;
	rig_start(g);
	bytes_add(input, config, sizeof config);
	for (unsigned i = 0; i < REQUESTS; i++) {
		const uint8_t *r = requests[i];

		if (script_submit(g, r[0], r[1], r[2], r[3])->done)
			continue;	/* this server does not have it */
		bytes_add(input, &submit, 1);
		bytes_add(input, r, 4);
	}
	bytes_add(input, send_all, sizeof send_all);
	rig_send(g, 0);
	must(write(fd, g->sent[0].at, g->sent[0].len) == (ssize_t)g->sent[0].len,
	    "write");
	while (g->done < REQUESTS && !rig_closing(g, 0))
		listen_to(g, fd, input);
	rig_end(g);
}

int
main(int argc, char **argv)
{
	struct nbe_hs_config cfg = { .want_alloc = true };
	struct nbe_hs *hs = malloc(sizeof *hs);
	struct bytes said = { 0 }, input = { 0 };
	int fd;

	if (argc != 6 || hs == NULL)
		return 2;
	cfg.framing_max = (enum nbe_framing)atoi(argv[2]);
	cfg.name = argv[3];
	cfg.name_len = (uint32_t)strlen(argv[3]);
	fd = dial(argv[1]);
	negotiate(fd, &cfg, hs, &said);
	transmit(fd, nbe_hs_export(hs), &input);
	save(argv[4], &said);
	save(argv[5], &input);
	close(fd);
	bytes_free(&said);
	bytes_free(&input);
	free(hs);
	return 0;
}
