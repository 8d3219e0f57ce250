/*
 * connect_probe.c - connect/ as a command, for connect_test.sh.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *	connect_probe [-option value]... open|read|info|list target
 *
 * Prints what came as "key=value" lines.  The exit status is enum nbc_kind; the
 * error's text goes to standard error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connect.h"
#include "tls.h"
#include "wire.h"

#define USAGE_STATUS	99
#define READ_LEN	512u

struct probe {
	struct nbc_target target;
	struct nbc_options options;
	struct nbc_tls_context *context;
	struct nbc_error err;
	bool	twice;
};

static int
report(const struct nbc_error *err)
{
	fprintf(stderr, "%s\n", err->text);
	printf("kind=%d transient=%d\n", err->kind, err->transient);
	return err->kind;
}

/* ---- bytes over the connection, as its later owner would move them ------- */

static bool
send_all(const struct nbc_conn *conn, const uint8_t *buf, size_t len)
{
	uint8_t out[4096];
	struct iovec iov[2] = {
		{ (void *)(uintptr_t)buf, 3 },
		{ (void *)(uintptr_t)(buf + 3), len - 3 },
	};
	size_t out_len;

	if (conn->tls == NULL)
		return send(conn->fd, buf, len, MSG_NOSIGNAL) == (ssize_t)len;
	if (nbc_tls_sealed_max(len) > sizeof out ||
	    nbc_tls_seal(conn->tls, iov, 2, out, sizeof out, &out_len) != (long)len)
		return false;
	return send(conn->fd, out, out_len, MSG_NOSIGNAL) == (ssize_t)out_len;
}

static long
recv_some(const struct nbc_conn *conn, uint8_t *buf, size_t len)
{
	static uint8_t in[100];	/* small, so that a record comes in many pieces */
	ssize_t n;
	long got;

	if (conn->tls == NULL)
		return recv(conn->fd, buf, len, 0);
	while ((got = nbc_tls_open(conn->tls, buf, len)) == 0) {
		n = recv(conn->fd, in, sizeof in, 0);
		if (n <= 0 || nbc_tls_feed(conn->tls, in, (size_t)n) != 0)
			return -1;
	}
	return got;
}

static bool
recv_all(const struct nbc_conn *conn, uint8_t *buf, size_t len)
{
	while (len > 0) {
		long n = recv_some(conn, buf, len);

		if (n <= 0)
			return false;
		buf += n;
		len -= (size_t)n;
	}
	return true;
}

static bool
read_first_block(const struct nbc_conn *conn)
{
	uint8_t request[LEN_REQUEST] = { 0 }, reply[LEN_SIMPLE_REPLY], data[READ_LEN];

	put32(request, MAGIC_REQUEST);
	put64(request + 8, 4711);
	put32(request + 24, READ_LEN);
	if (!send_all(conn, request, sizeof request) ||
	    !recv_all(conn, reply, sizeof reply) ||
	    get32(reply) != MAGIC_SIMPLE_REPLY || get32(reply + 4) != 0 ||
	    get64(reply + 8) != 4711 || !recv_all(conn, data, sizeof data))
		return false;
	printf("data=%02x%02x%02x%02x\n", data[0], data[1], data[2], data[3]);
	return true;
}

/* ---- verbs --------------------------------------------------------------- */

static void
print_conn(const struct nbc_conn *conn)
{
	const struct nbe_export *e = &conn->exp;

	printf("size=%llu\nflags=%u\nhs_flags=%u\n", (unsigned long long)e->size,
	    e->flags, e->hs_flags);
	printf("block_min=%u\nblock_pref=%u\npayload_max=%u\n", e->block_min,
	    e->block_pref, e->payload_max);
	printf("framing=%d\nalloc=%d\ntls=%d\nktls=%d\n", e->framing, e->has_alloc,
	    e->tls, conn->ktls);
	if (conn->name != NULL)
		printf("name=%s\n", conn->name);
	if (conn->about != NULL)
		printf("about=%s\n", conn->about);
}

static int
run_open(struct probe *p, bool read_too)
{
	struct nbc_conn conn;
	int status = 0;

	if (!nbc_open(&conn, &p->target, p->context, &p->options, &p->err))
		return report(&p->err);
	print_conn(&conn);
	if (conn.ktls)
		printf("records_left=%llu\n",
		    (unsigned long long)nbc_ktls_records_left(conn.fd));
	if (read_too && !read_first_block(&conn)) {
		fprintf(stderr, "read failed: %s\n",
		    conn.tls != NULL ? nbc_tls_error(conn.tls) : "");
		status = USAGE_STATUS;
	}
	nbc_close(&conn, true);
	return status;
}

static int
run_info(struct probe *p)
{
	struct nbc_conn conn;

	if (!nbc_info(&conn, &p->target, p->context, &p->options, &p->err))
		return report(&p->err);
	print_conn(&conn);
	nbc_close(&conn, false);
	return 0;
}

static int
run_list(struct probe *p)
{
	struct nbc_export_list list;
	size_t i;

	if (!nbc_list(&list, &p->target, p->context, &p->options, &p->err))
		return report(&p->err);
	for (i = 0; i < list.count; i++)
		printf("export=%s about=%s\n", list.item[i].name,
		    list.item[i].about != NULL ? list.item[i].about : "(none)");
	printf("count=%zu\n", list.count);
	nbc_export_list_free(&list);
	return 0;
}

static int
run_verb(struct probe *p, const char *verb)
{
	if (strcmp(verb, "open") == 0)
		return run_open(p, false);
	if (strcmp(verb, "read") == 0)
		return run_open(p, true);
	if (strcmp(verb, "info") == 0)
		return run_info(p);
	if (strcmp(verb, "list") == 0)
		return run_list(p);
	return USAGE_STATUS;
}

/* ---- options ------------------------------------------------------------- */

static bool
take_text(struct probe *p, const char *option, const char *value)
{
	struct nbc_target *t = &p->target;
	const struct { const char *name; char **field; } fields[] = {
		{ "-ca", &t->ca_file }, { "-crl", &t->crl_file },
		{ "-cert", &t->cert_file }, { "-key", &t->key_file },
		{ "-password", &t->key_password_file },
		{ "-hostname", &t->tls_hostname }, { "-user", &t->psk_user },
		{ "-name", &t->export_name },
	};
	size_t i;

	for (i = 0; i < sizeof fields / sizeof fields[0]; i++)
		if (strcmp(option, fields[i].name) == 0) {
			free(*fields[i].field);
			*fields[i].field = strdup(value);
			return true;
		}
	return false;
}

static bool
take_option(struct probe *p, const char *option, const char *value)
{
	unsigned number = (unsigned)strtoul(value, NULL, 10);

	if (strcmp(option, "-tls") == 0)
		p->target.tls = number;
	else if (strcmp(option, "-timeout") == 0)
		p->options.timeout_ms = number;
	else if (strcmp(option, "-retry") == 0)
		p->options.retry_ms = number;
	else if (strcmp(option, "-framing") == 0)
		p->options.framing_max = number;
	else if (strcmp(option, "-alloc") == 0)
		p->options.want_alloc = number;
	else if (strcmp(option, "-ktls") == 0)
		p->options.allow_ktls = number;
	else if (strcmp(option, "-cancel") == 0)
		p->options.cancel_fd = (int)number;
	else if (strcmp(option, "-twice") == 0)
		p->twice = number;
	else
		return take_text(p, option, value);
	return true;
}

/* Once more in a child, as a daemon would with the same context. */
static int
run_again_after_fork(struct probe *p, const char *verb)
{
	int status;

	fflush(stdout);
	if (daemon(1, 1) != 0)
		return USAGE_STATUS;
	status = run_verb(p, verb);
	printf("again=%d\n", status);
	return status;
}

int
main(int argc, char **argv)
{
	struct probe p = { .options = { .timeout_ms = 5000, .cancel_fd = -1 } };
	const char *verb = argc >= 2 ? argv[argc - 2] : "";
	int i, status;

	if (argc < 3 || !nbc_target_parse(&p.target, argv[argc - 1], &p.err))
		return argc < 3 ? USAGE_STATUS : report(&p.err);
	for (i = 1; i + 1 < argc - 2; i += 2)
		if (!take_option(&p, argv[i], argv[i + 1]))
			return USAGE_STATUS;
	if (nbc_tls_context_load(&p.context, &p.target, &p.err)) {
		status = run_verb(&p, verb);
		if (status == 0 && p.twice)
			status = run_again_after_fork(&p, verb);
	} else {
		status = report(&p.err);
	}
	nbc_tls_context_free(p.context);
	nbc_target_free(&p.target);
	return status;
}
