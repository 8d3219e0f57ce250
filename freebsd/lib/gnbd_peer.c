/*
 * gnbd_peer.c - a server, and sockets that are connected to it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gnbd.h"

#define	LOCAL_REWRITTEN	1500000	/* compat.h of the module says why */

bool
gnbd_set(char **field, const char *value, struct nbc_error *err)
{

	if (value == NULL)
		return (true);
	free(*field);
	*field = strdup(value);
	return (*field != NULL || nbc_fail_no_memory(err));
}

bool
gnbd_peer_tls(struct gnbd_peer *p, const struct gnbd_tls *tls, struct nbc_error *err)
{
	struct nbc_target *t = &p->target;

	if ((tls->cert == NULL) != (tls->key == NULL))
		return (nbc_fail(err, NBC_USAGE, "-C and -K are needed with each "
		    "other."));
	if (tls->ca != NULL || tls->cert != NULL)
		t->tls = NBE_TLS_REQUIRED;
	return (gnbd_set(&t->ca_file, tls->ca, err) &&
	    gnbd_set(&t->cert_file, tls->cert, err) &&
	    gnbd_set(&t->key_file, tls->key, err));
}

bool
gnbd_peer_load(struct gnbd_peer *p, unsigned attempt_ms, struct nbc_error *err)
{

	p->options = (struct nbc_options){
		.framing_max = NBE_SIMPLE, .timeout_ms = attempt_ms,
		.allow_ktls = true, .cancel_fd = -1,
	};
	return (nbc_tls_context_load(&p->tls, &p->target, err));
}

/* Not what this program was built for, but what runs. */
static bool
kernel_takes(const struct nbc_target *t, struct nbc_error *err)
{

	if (t->family != NBC_UNIX || getosreldate() < LOCAL_REWRITTEN)
		return (true);
	return (nbc_fail(err, NBC_USAGE, "FreeBSD 15 and newer serve no disk over a "
	    "UNIX socket; connect by TCP."));
}

/* What the kernel cannot take is of no use. */
static bool
usable(const struct nbc_conn *c, int wanted, struct nbc_error *err)
{

	if (c->tls != NULL)
		return (nbc_fail(err, NBC_USAGE, "The kernel does not take over the "
		    "TLS session.  Is the sysctl kern.ipc.tls.enable 1?"));
	if (wanted > 1 && (c->exp.flags & NBE_FLAG_CAN_MULTI_CONN) == 0)
		return (nbc_fail(err, NBC_USAGE, "Server does not allow multiple "
		    "connections."));
	return (true);
}

bool
gnbd_peer_open(struct gnbd_peer *p, int n, int wanted, struct nbc_error *err)
{
	struct nbc_conn *c;

	if (!kernel_takes(&p->target, err))
		return (false);
	while (p->count < n) {
		c = &p->conn[p->count];
		if (!nbc_open(c, &p->target, p->tls, &p->options, err))
			return (false);
		p->fd[p->count++] = c->fd;
		if (!usable(c, wanted, err))
			return (false);
	}
	return (true);
}

void
gnbd_peer_free(struct gnbd_peer *p)
{

	if (p == NULL)
		return;
	for (int i = 0; i < p->count; i++)
		nbc_close(&p->conn[i], false);
	nbc_tls_context_free(p->tls);
	nbc_target_free(&p->target);
	free(p);
}
