/*
 * nbd_probe.c - the NBD client of libwnbd, without a driver: connect, I/O, compare.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: nbd_probe URI CONNECTIONS THREADS REQUESTS [CA [CERT KEY [PASSWORD-FILE]]]
 *
 * Each thread writes its own part of the export with blocks of changing sizes, flushes,
 * reads everything back and compares; then trims a part.  Prints "size N", "tls N" and
 * "same"; exits 1 with the reason on standard error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nbd_disk.h"
#include "internal.h"

#define BLOCK		4096u
#define BLOCKS_MAX	64u		/* of one request */
#define THREADS_MAX	32

struct worker {
	struct nbd_disk	*disk;
	uint64_t	first, size;	/* its part */
	unsigned	number, requests;
	const char	*problem;
};

static void
pattern(uint8_t *buf, uint64_t offset, size_t len, unsigned number)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = (offset + i) * 0x9e3779b97f4a7c15u + number;

		memcpy(buf + i, &v, 8);
	}
}

static size_t
size_of_request(unsigned i)
{
	return (size_t)(i * 7 % BLOCKS_MAX + 1) * BLOCK;
}

static const char *
all_requests(struct worker *w, uint8_t *buf, uint8_t *expected, bool writing)
{
	uint64_t at = 0;

	for (unsigned i = 0; i < w->requests; i++) {
		size_t len = size_of_request(i);

		if (at + len > w->size)
			break;
		pattern(expected, w->first + at, len, w->number);
		if (!writing)
			memset(buf, 0x55, len);
		if (nbd_disk_io(w->disk, writing ? NBE_WRITE : NBE_READ, w->first + at,
		    len, writing ? expected : buf, 0) != NBE_OK)
			return writing ? "a write failed" : "a read failed";
		if (!writing && memcmp(buf, expected, len) != 0)
			return "what was read is not what was written";
		at += len;
	}
	return NULL;
}

static const char *
work(struct worker *w)
{
	uint8_t *buf = malloc(BLOCKS_MAX * BLOCK);
	uint8_t *expected = malloc(BLOCKS_MAX * BLOCK);
	const char *problem = "out of memory";

	if (buf != NULL && expected != NULL) {
		problem = all_requests(w, buf, expected, true);
		if (problem == NULL && nbd_disk_io(w->disk, NBE_FLUSH, 0, 0, NULL, 0) !=
		    NBE_OK)
			problem = "a flush failed";
		if (problem == NULL)
			problem = all_requests(w, buf, expected, false);
		if (problem == NULL && nbd_disk_io(w->disk, NBE_TRIM, w->first,
		    BLOCK, NULL, 0) != NBE_OK)
			problem = "a trim failed";
	}
	free(buf);
	free(expected);
	return problem;
}

static DWORD WINAPI
worker_thread(void *arg)
{
	struct worker *w = arg;

	w->problem = work(w);
	return 0;
}

static bool
run_workers(struct nbd_disk *disk, uint64_t size, unsigned threads, unsigned requests)
{
	static struct worker worker[THREADS_MAX];
	HANDLE thread[THREADS_MAX];
	uint64_t part = size / threads / BLOCK * BLOCK;
	bool ok = true;

	for (unsigned i = 0; i < threads; i++) {
		worker[i] = (struct worker){ disk, part * i, part, i, requests, NULL };
		thread[i] = CreateThread(NULL, 0, worker_thread, &worker[i], 0, NULL);
	}
	for (unsigned i = 0; i < threads; i++) {
		WaitForSingleObject(thread[i], INFINITE);
		if (worker[i].problem != NULL) {
			fprintf(stderr, "thread %u: %s\n", i, worker[i].problem);
			ok = false;
		}
	}
	return ok;
}

static int
fail(const struct nbc_error *error)
{
	fprintf(stderr, "%s\n", error->text);
	return 1;
}

static int
probe(int argc, char **argv)
{
	struct nbc_target target = { 0 };
	struct nbc_tls_context *tls = NULL;
	struct nbc_error error;
	struct nbd_config config = {
		.targets = &target, .servers = 1,
		.connections = (unsigned)atoi(argv[2]),
		.options = { .framing_max = NBE_STRUCTURED, .timeout_ms = 10000 },
		.request_timeout_ms = 30000, .dead_timeout_ms = 30000,
	};
	unsigned threads = (unsigned)atoi(argv[3]);
	struct nbd_disk *disk;
	struct nbe_export e;
	bool ok;

	if (threads < 1 || threads > THREADS_MAX)
		return 2;
	if (!nbc_target_parse(&target, argv[1], &error))
		return fail(&error);
	if (argc > 5)
		target.ca_file = argv[5];
	if (argc > 7) {
		target.cert_file = argv[6];
		target.key_file = argv[7];
	}
	if (argc > 8)
		target.key_password_file = argv[8];
	if (!nbc_tls_context_load(&tls, &target, &error))
		return fail(&error);
	config.tls = tls;
	disk = nbd_disk_open(&config, &error);
	if (disk == NULL)
		return fail(&error);
	e = nbd_disk_export(disk);
	printf("size %llu\ntls %d\n", (unsigned long long)e.size, e.tls);
	ok = run_workers(disk, e.size, threads, (unsigned)atoi(argv[4]));
	nbd_disk_close(disk);
	nbc_tls_context_free(tls);
	if (ok)
		printf("same\n");
	return !ok;
}

/* The C library's; no header of the compiler has it. */
int	_configure_narrow_argv(int mode);
#define ARGV_UNEXPANDED	1

void	probe_start(void);

void
probe_start(void)
{
	WSADATA data;
	int argc, status = 2;
	char **argv;

	_configure_narrow_argv(ARGV_UNEXPANDED);
	argc = *__p___argc();
	argv = *__p___argv();
	if (argc >= 5 && WSAStartup(MAKEWORD(2, 2), &data) == 0)
		status = probe(argc, argv);
	fflush(stdout);
	ExitProcess((UINT)status);
}
