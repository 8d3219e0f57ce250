/*
 * standby.c - servers that a device may go to later.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "standby.h"

#include "verbs.h"

#define PATIENCE_MS	3000	/* somebody waits for the device */

/* The engine's answer, when the device comes to it. */
static void
refuses(const struct server *s, enum nbe_why why)
{
	struct errtext text;
	char uri[512];

	nbc_target_print(&s->target, uri, sizeof(uri));
	errtext_set(&text, "warning: %s could not take the device over: %s", uri,
	    nbe_why_text(why));
	complain(text.text);
}

static void
check(const struct server *s, const struct nbe_export *have)
{
	struct nbc_options once = s->options;
	struct nbc_conn conn;
	struct nbc_error err;
	struct errtext text;
	enum nbe_why why;

	once.retry_ms = 0;
	if (once.timeout_ms == 0 || once.timeout_ms > PATIENCE_MS)
		once.timeout_ms = PATIENCE_MS;
	if (!nbc_open(&conn, &s->target, s->tls, &once, &err)) {
		errtext_set(&text, "warning: %.900s", err.text);
		complain(text.text);
		return;
	}
	why = nbe_contradiction(have, &conn.exp, have->payload_max);
	nbc_close(&conn, true);
	if (why != NBE_WHY_NONE)
		refuses(s, why);
}

void
standby_check(const struct server *s, unsigned count, const struct nbe_export *have)
{
	for (unsigned i = 0; i < count; i++)
		check(&s[i], have);
}
