/*
 * verb_server.c - exports and info: what a server offers, without attaching.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>
#include <stdio.h>

#include "flags.h"
#include "progress.h"
#include "record.h"
#include "server.h"

/* ---- exports ----------------------------------------------------------------- */

static void
print_exports(const struct nbc_export_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct nbc_export_name *e = &list->item[i];

		fputs(e->name[0] != '\0' ? e->name : "[default export]", stdout);
		if (e->about != NULL)
			printf("\t%s", e->about);
		putchar('\n');
	}
}

static void
exports_json(const struct nbc_export_list *list)
{
	struct json j;

	json_start(&j, stdout, false);
	json_open(&j, NULL, '[');
	for (size_t i = 0; i < list->count; i++) {
		json_open(&j, NULL, '{');
		json_text(&j, "name", list->item[i].name);
		json_text(&j, "description", list->item[i].about);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_finish(&j);
}

enum exit_status
verb_exports(const struct options *o)
{
	struct nbc_export_list list;
	struct progress progress;
	struct nbc_error err;
	struct server server;
	enum exit_status status = server_init(&server, o, o->operand[0]);
	bool ok;

	if (status != EXIT_OK)
		return status;
	progress_begin(&progress, "asking the server");
	ok = nbc_list(&list, &server.target, server.tls, &server.options, &err);
	progress_end(&progress);
	if (!ok) {
		status = server_complain(&err);
	} else {
		if (o->json)
			exports_json(&list);
		else
			print_exports(&list);
		nbc_export_list_free(&list);
	}
	server_free(&server);
	return status;
}

/* ---- info -------------------------------------------------------------------- */

struct offer {
	const struct nbc_conn *conn;
	const struct nbc_target *target;
};

static const struct nbe_export *
export_of(const void *object)
{
	return &((const struct offer *)object)->conn->exp;
}

static void
get_uri(const void *object, struct value *v)
{
	nbc_target_print(((const struct offer *)object)->target, v->room,
	    sizeof(v->room));
	value_text(v, v->room);
}

static void
get_name(const void *object, struct value *v)
{
	value_text(v, ((const struct offer *)object)->conn->name);
}

static void
get_description(const void *object, struct value *v)
{
	value_text(v, ((const struct offer *)object)->conn->about);
}

static void
get_size(const void *object, struct value *v)
{
	char human[16];

	value_number(v, export_of(object)->size);
	value_say(v, "%" PRIu64 " (%s)", v->number,
	    human_size(human, sizeof(human), v->number));
}

static void
get_tls(const void *object, struct value *v)
{
	value_bool(v, export_of(object)->tls);
}

static void
get_read_only(const void *object, struct value *v)
{
	value_bool(v, (export_of(object)->flags & NBE_FLAG_READ_ONLY) != 0);
}

static void
get_multi(const void *object, struct value *v)
{
	value_bool(v, (export_of(object)->flags & NBE_FLAG_CAN_MULTI_CONN) != 0);
}

static void
get_transmission(const void *object, struct value *v)
{
	flags_transmission(v, export_of(object)->flags);
}

static void
get_handshake(const void *object, struct value *v)
{
	flags_handshake(v, export_of(object)->hs_flags);
}

static void
get_block_min(const void *object, struct value *v)
{
	value_number(v, export_of(object)->block_min);
}

static void
get_block_pref(const void *object, struct value *v)
{
	value_number(v, export_of(object)->block_pref);
}

static void
get_payload_max(const void *object, struct value *v)
{
	value_number(v, export_of(object)->payload_max);
}

static void
get_framing(const void *object, struct value *v)
{
	value_text(v, framing_name(export_of(object)->framing));
}

static void
get_alloc(const void *object, struct value *v)
{
	value_bool(v, export_of(object)->has_alloc);
}

static const struct field offer_fields[] = {
	{ "URI", "uri", get_uri },
	{ "Name", "name", get_name },
	{ "Description", "description", get_description },
	{ "Size", "size", get_size },
	{ "ReadOnly", "read_only", get_read_only },
	{ "MultipleConnections", "multiple_connections", get_multi },
	{ "TLS", "tls", get_tls },
	{ "MinimumBlocksize", "minimum_blocksize", get_block_min },
	{ "PreferredBlocksize", "preferred_blocksize", get_block_pref },
	{ "MaximumPayload", "maximum_payload", get_payload_max },
	{ "TransmissionFlags", "transmission_flags", get_transmission },
	{ "HandshakeFlags", "handshake_flags", get_handshake },
	{ "Replies", "replies", get_framing },
	{ "AllocationMap", "allocation_map", get_alloc },
};

static void
print_offer(const struct offer *offer, bool as_json)
{
	struct json j;

	if (!as_json) {
		record_print(stdout, "", offer_fields, COUNT_OF(offer_fields), offer);
		return;
	}
	json_start(&j, stdout, false);
	json_open(&j, NULL, '{');
	record_json(&j, offer_fields, COUNT_OF(offer_fields), offer);
	json_close(&j, '}');
	json_finish(&j);
}

enum exit_status
verb_info(const struct options *o)
{
	struct progress progress;
	struct nbc_error err;
	struct server server;
	struct nbc_conn conn;
	enum exit_status status = server_init(&server, o, o->operand[0]);
	bool ok;

	if (status != EXIT_OK)
		return status;
	progress_begin(&progress, "asking the server");
	ok = nbc_info(&conn, &server.target, server.tls, &server.options, &err);
	progress_end(&progress);
	if (!ok) {
		status = server_complain(&err);
	} else {
		struct offer offer = { &conn, &server.target };

		print_offer(&offer, o->json);
		nbc_close(&conn, false);
	}
	server_free(&server);
	return status;
}
