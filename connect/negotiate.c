/*
 * negotiate.c - from a target to a connection that is in transmission.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One attempt is: dial, greet, STARTTLS if it is to be, options.  All of it has one
 * deadline.  The engine's handshake says which bytes are next; here they are moved.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define RETRY_FIRST_MS	100
#define RETRY_MOST_MS	5000
#define GOODBYE_MS	1000

/* What a list may hold; a server that sends more is up to no good. */
#define LIST_BYTES_MAX	(16u << 20)

/* In the answer to a name that the server does not have. */
#define NAMES_SHOWN	10
#define NAME_SHOWN_SIZE	65

struct attempt {
	const struct nbc_target *target;
	const struct nbc_tls_context *context;
	const struct nbc_options *options;
	struct nbc_error *err;
	struct nbc_limit limit;
	struct nbc_stream stream;
	struct nbe_hs	*hs;
	bool		heard;		/* bytes came */
	bool		tls_proved;	/* bytes came through TLS */
	bool		ktls;
	struct nbc_ktls	*keys;
	struct nbc_export_list *list;	/* LIST: filled */
	size_t		list_bytes;
};

/* ---- what ended it ------------------------------------------------------- */

static bool
fail_timed_out(struct attempt *a, const char *name)
{
	nbc_fail_for_now(a->err, NBC_UNREACHABLE, "%s: %s within %u.%u s", name,
	    a->heard ? "the negotiation was not done" : "no answer",
	    a->options->timeout_ms / 1000, a->options->timeout_ms % 1000 / 100);
	if (!a->heard)
		nbc_add(a->err, "\nSomething accepts connections there, but does not "
		    "answer; is it an NBD server?");
	return false;
}

static bool
fail_tls(struct attempt *a, const char *name)
{
	return nbc_fail(a->err, NBC_TLS_FAILED, "%s: TLS: %s", name,
	    nbc_tls_error(a->stream.tls));
}

static bool
fail_hs(struct attempt *a)
{
	nbc_fail_handshake(a->err, a->target, nbe_hs_why(a->hs),
	    nbe_hs_message(a->hs));
	return false;
}

static bool
fail_io(struct attempt *a, enum nbc_io io)
{
	char name[512];

	nbc_target_print(a->target, name, sizeof name);
	switch (io) {
	case NBC_IO_TIMED_OUT:
		return fail_timed_out(a, name);
	case NBC_IO_CANCELLED:
		return nbc_fail(a->err, NBC_CANCELLED, "%s: interrupted", name);
	case NBC_IO_TLS_BROKEN:
		return fail_tls(a, name);
	case NBC_IO_OK:
	case NBC_IO_CLOSED:
		break;
	}
	if (a->stream.tls != NULL && !a->tls_proved) {
		nbc_tls_lost(a->stream.tls);
		return fail_tls(a, name);
	}
	nbe_hs_closed(a->hs);
	return fail_hs(a);
}

/* ---- what the engine asks for -------------------------------------------- */

static bool
move_bytes(struct attempt *a)
{
	size_t len, got;
	const uint8_t *out = nbe_hs_send_buf(a->hs, &len);
	uint8_t *in;
	enum nbc_io io;

	if (out != NULL) {
		io = nbc_stream_send(&a->stream, out, len);
		if (io == NBC_IO_OK)
			nbe_hs_send_ack(a->hs, len);
	} else {
		in = nbe_hs_recv_buf(a->hs, &len);
		io = nbc_stream_recv(&a->stream, in, len, &got);
		if (io == NBC_IO_OK) {
			a->heard = true;
			a->tls_proved = a->stream.tls != NULL;
			nbe_hs_recv_ack(a->hs, got);
		}
	}
	return io == NBC_IO_OK || fail_io(a, io);
}

static bool
start_tls(struct attempt *a)
{
	enum nbc_io io;

	a->stream.tls = nbc_tls_new(a->context, a->options, a->err);
	if (a->stream.tls == NULL)
		return false;
	io = nbc_stream_start_tls(&a->stream);
	if (io != NBC_IO_OK)
		return fail_io(a, io);
	nbe_hs_resume(a->hs);
	return true;
}

/* NULL for "did not say" in *to; false: out of memory. */
static bool
dup_if_any(char **to, struct nbe_text text)
{
	*to = NULL;
	if (text.len == 0)
		return true;
	*to = nbc_printable_dup(text);
	return *to != NULL;
}

static struct nbc_export_name *
list_grow(struct nbc_export_list *list)
{
	struct nbc_export_name *item;

	/* Room doubles whenever the count is a power of two. */
	if ((list->count & (list->count - 1)) == 0) {
		size_t room = list->count == 0 ? 1 : 2 * list->count;

		item = realloc(list->item, room * sizeof *item);
		if (item == NULL)
			return NULL;
		list->item = item;
	}
	item = &list->item[list->count];
	*item = (struct nbc_export_name){ NULL, NULL };
	return item;
}

static bool
take_item(struct attempt *a)
{
	struct nbe_text name = nbe_hs_name(a->hs), about = nbe_hs_about(a->hs);
	struct nbc_export_name *item = list_grow(a->list);

	if (item == NULL)
		return nbc_fail_no_memory(a->err);
	a->list->count++;
	item->name = nbc_printable_dup(name);
	if (item->name == NULL || !dup_if_any(&item->about, about))
		return nbc_fail_no_memory(a->err);
	a->list_bytes += name.len + about.len + sizeof *item;
	if (a->list_bytes > LIST_BYTES_MAX)
		return nbc_fail(a->err, NBC_REFUSED,
		    "the server's list of exports does not end");
	nbe_hs_resume(a->hs);
	return true;
}

static bool
run_handshake(struct attempt *a)
{
	bool ok = true;

	while (ok) {
		switch (nbe_hs_state(a->hs)) {
		case NBE_HS_IO:
			ok = move_bytes(a);
			break;
		case NBE_HS_TLS:
			ok = start_tls(a);
			break;
		case NBE_HS_ITEM:
			ok = take_item(a);
			break;
		case NBE_HS_DONE:
			return true;
		case NBE_HS_FAILED:
		case NBE_HS_ABORTING:
			return fail_hs(a);
		}
	}
	return false;
}

/* ---- one attempt --------------------------------------------------------- */

/* No command was sent yet, so nothing can land late; the last words are to arrive. */
static void
close_stream(struct attempt *a)
{
	if (a->stream.tls != NULL)
		nbc_stream_end_tls(&a->stream);
	nbc_tls_free(a->stream.tls);
	a->stream.tls = NULL;
	if (a->stream.fd >= 0) {
		nbc_end_in_order(a->stream.fd);
		nbc_os_close(a->stream.fd);
	}
	a->stream.fd = -1;
}

/* After a failed TLS handshake nobody is there to hear NBD (proto.md). */
static void
leave(struct attempt *a)
{
	struct nbc_limit limit = { nbc_now_ms() + GOODBYE_MS, -1 };
	struct nbc_stream last = { a->stream.fd, a->stream.tls, &limit };
	const uint8_t *out;
	size_t len;

	nbe_hs_abort(a->hs);
	out = nbe_hs_send_buf(a->hs, &len);
	if (out != NULL)
		(void)nbc_stream_send(&last, out, len);
	close_stream(a);
}

static bool
check_config(struct attempt *a, const struct nbe_hs_config *cfg)
{
	if (cfg->name_len > NBE_MAX_STRING)
		return nbc_fail(a->err, NBC_USAGE,
		    "the export's name is longer than %d bytes", NBE_MAX_STRING);
	if (cfg->tls != NBE_TLS_OFF && a->context == NULL)
		return nbc_fail(a->err, NBC_USAGE, "TLS without a context");
	return true;
}

/* True: the handshake is done, and a->stream open. */
static bool
attempt(struct attempt *a, enum nbe_goal goal)
{
	const char *name = a->target->export_name != NULL ? a->target->export_name : "";
	struct nbe_hs_config cfg = {
		.name = name, .name_len = (uint32_t)strlen(name), .goal = goal,
		.tls = a->target->tls, .framing_max = a->options->framing_max,
		.want_alloc = a->options->want_alloc,
	};

	if (!check_config(a, &cfg))
		return false;
	a->limit.deadline_ms = nbc_now_ms() + a->options->timeout_ms;
	a->limit.cancel_fd = a->options->cancel_fd;
	a->stream = (struct nbc_stream){ -1, NULL, &a->limit };
	a->heard = a->tls_proved = false;
	nbe_hs_init(a->hs, &cfg);
	a->stream.fd = nbc_dial(a->target, &a->limit, a->err);
	if (a->stream.fd < 0)
		return false;
	if (run_handshake(a))
		return true;
	leave(a);
	return false;
}

/* Attempts until one succeeds, or fails for good, or retry_ms are over. */
static bool
attempts(struct attempt *a, enum nbe_goal goal)
{
	int64_t until = nbc_now_ms() + a->options->retry_ms;
	int64_t pause = RETRY_FIRST_MS;

	for (;;) {
		if (attempt(a, goal))
			return true;
		if (!a->err->transient || nbc_now_ms() + pause > until)
			return false;
		if (nbc_pause(pause, a->options->cancel_fd) != NBC_IO_OK)
			return nbc_fail(a->err, NBC_CANCELLED, "interrupted");
		nbc_export_list_free(a->list);
		pause = pause * 2 < RETRY_MOST_MS ? pause * 2 : RETRY_MOST_MS;
	}
}

static bool
attempt_init(struct attempt *a, const struct nbc_target *target,
    const struct nbc_tls_context *context, const struct nbc_options *options,
    struct nbc_export_list *list, struct nbc_error *err)
{
	*a = (struct attempt){ .target = target, .context = context,
		.options = options, .list = list, .err = err };
	a->hs = malloc(sizeof *a->hs);
	*list = (struct nbc_export_list){ NULL, 0 };
	*err = (struct nbc_error){ .kind = NBC_OK };
	return a->hs != NULL || nbc_fail_no_memory(err);
}

/* ---- the names there are ------------------------------------------------- */

static void
add_names(struct nbc_error *err, const struct nbc_export_list *list)
{
	char shown[NAME_SHOWN_SIZE];
	size_t i;

	if (list->count == 0) {
		nbc_add(err, "\nThe server lists no exports.");
		return;
	}
	nbc_add(err, "\nThe server has:");
	for (i = 0; i < list->count && i < NAMES_SHOWN; i++) {
		const char *name = list->item[i].name;

		nbc_printable(shown, sizeof shown,
		    (struct nbe_text){ name, (uint32_t)strlen(name) });
		nbc_add(err, "%s \"%s\"", i > 0 ? "," : "", shown);
	}
	if (i < list->count)
		nbc_add(err, " and %zu more", list->count - i);
}

/* A help, no more: when the list cannot be had, the error stays as it was. */
static void
add_exports_there_are(struct attempt *a)
{
	struct nbc_options once = *a->options;
	struct nbc_export_list list;
	struct nbc_error ignored;

	if (a->err->kind != NBC_NO_EXPORT)
		return;
	once.retry_ms = 0;
	if (!nbc_list(&list, a->target, a->context, &once, &ignored))
		return;
	add_names(a->err, &list);
	nbc_export_list_free(&list);
}

/* ---- the seam ------------------------------------------------------------ */

/* True also when nothing was handed over; then the session stays here. */
static bool
hand_to_kernel(struct attempt *a)
{
	if (a->stream.tls == NULL || !a->options->allow_ktls)
		return true;
	switch (nbc_tls_to_kernel(a->stream.tls, a->stream.fd, &a->keys)) {
	case NBC_HANDED_OVER:
		nbc_tls_free(a->stream.tls);
		a->stream.tls = NULL;
		a->ktls = true;
		return true;
	case NBC_NOT_HANDED_OVER:
		return true;
	case NBC_HALF_HANDED_OVER:
		break;
	}
	return nbc_fail(a->err, NBC_INTERNAL,
	    "the kernel took TLS for one direction only; connect without kernel TLS");
}

static bool
take_export(struct nbc_conn *conn, struct attempt *a)
{
	conn->exp = *nbe_hs_export(a->hs);
	return (dup_if_any(&conn->name, nbe_hs_name(a->hs)) &&
	    dup_if_any(&conn->about, nbe_hs_about(a->hs))) ||
	    nbc_fail_no_memory(a->err);
}

bool
nbc_open(struct nbc_conn *conn, const struct nbc_target *target,
    const struct nbc_tls_context *context, const struct nbc_options *options,
    struct nbc_error *err)
{
	struct nbc_export_list none;
	struct attempt a;
	bool ok = false;

	*conn = (struct nbc_conn){ .fd = -1 };
	if (!attempt_init(&a, target, context, options, &none, err))
		return false;
	if (!attempts(&a, NBE_GOAL_GO)) {
		add_exports_there_are(&a);
	} else if (!take_export(conn, &a) || !hand_to_kernel(&a)) {
		close_stream(&a);
		nbc_close(conn, false);
	} else {
		conn->fd = a.stream.fd;
		conn->tls = a.stream.tls;
		conn->ktls = a.ktls;
		conn->keys = a.keys;
		ok = true;
	}
	free(a.hs);
	return ok;
}

/* No command is in flight and none follows, so any cookie will do. */
static void
send_disc(struct nbc_stream *stream, enum nbe_framing framing)
{
	uint8_t buf[32];

	(void)nbc_stream_send(stream, buf, nbe_disc(buf, framing));
}

/* There are servers that look at an export only when it is opened, and say until then
 * that it is empty. */
static bool
learn(struct attempt *a, struct nbc_conn *conn)
{
	bool ok;

	if (attempts(a, NBE_GOAL_INFO)) {
		ok = take_export(conn, a);
		leave(a);
		return ok;
	}
	if (nbe_hs_why(a->hs) != NBE_WHY_BAD_SIZE || !attempts(a, NBE_GOAL_GO)) {
		add_exports_there_are(a);
		return false;
	}
	ok = take_export(conn, a);
	send_disc(&a->stream, nbe_hs_export(a->hs)->framing);
	close_stream(a);
	return ok;
}

bool
nbc_info(struct nbc_conn *conn, const struct nbc_target *target,
    const struct nbc_tls_context *context, const struct nbc_options *options,
    struct nbc_error *err)
{
	struct nbc_export_list none;
	struct attempt a;
	bool ok;

	*conn = (struct nbc_conn){ .fd = -1 };
	if (!attempt_init(&a, target, context, options, &none, err))
		return false;
	ok = learn(&a, conn);
	free(a.hs);
	if (!ok)
		nbc_close(conn, false);
	return ok;
}

bool
nbc_list(struct nbc_export_list *list, const struct nbc_target *target,
    const struct nbc_tls_context *context, const struct nbc_options *options,
    struct nbc_error *err)
{
	struct attempt a;
	bool ok;

	if (!attempt_init(&a, target, context, options, list, err))
		return false;
	ok = attempts(&a, NBE_GOAL_LIST);
	if (ok)
		leave(&a);
	else
		nbc_export_list_free(list);
	free(a.hs);
	return ok;
}

void
nbc_export_list_free(struct nbc_export_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++) {
		free(list->item[i].name);
		free(list->item[i].about);
	}
	free(list->item);
	*list = (struct nbc_export_list){ NULL, 0 };
}

int
nbc_take_fd(struct nbc_conn *conn)
{
	int fd = conn->fd;

	conn->fd = -1;
	return fd;
}

void
nbc_close(struct nbc_conn *conn, bool polite)
{
	struct nbc_limit limit = { nbc_now_ms() + GOODBYE_MS, -1 };
	struct nbc_stream stream = { conn->fd, conn->tls, &limit };

	if (conn->fd >= 0 && polite)
		send_disc(&stream, conn->exp.framing);
	if (conn->fd >= 0 && conn->tls != NULL)
		nbc_stream_end_tls(&stream);
	if (conn->fd >= 0 && conn->ktls)
		nbc_ktls_shutdown(conn->fd);
	nbc_tls_free(conn->tls);
	nbc_ktls_free(conn->keys);
	if (conn->fd >= 0 && polite)
		nbc_end_in_order(conn->fd);
	if (conn->fd >= 0)
		nbc_os_close(conn->fd);
	free(conn->name);
	free(conn->about);
	*conn = (struct nbc_conn){ .fd = -1 };
}
