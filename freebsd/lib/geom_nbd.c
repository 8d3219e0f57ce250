/*
 * geom_nbd.c - geom(8)'s library for the class NBD: gnbd(8).
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Connections are made and negotiated here, by connect/, and handed to the kernel
 * as sockets.  What a device was connected with is read back from the kernel's
 * confxml, so that reconnect needs no state in user space.
 */
#include <sys/param.h>
#include <sys/thr.h>

#include <errno.h>
#include <libgeom.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/geom.h"
#include "misc/subr.h"

#include "connect.h"

#define	G_NBD_VERSION	1
#define	CLASS_NAME	"NBD"
#define	ATTEMPT_MS	30000
#define	LOCAL_REWRITTEN	1500000	/* compat.h of the module says why */
#define	GONE_MS		5000	/* for GEOM to let go of a device */
#define	GONE_STEP_MS	20

uint32_t lib_version = G_LIB_VERSION;
uint32_t version = G_NBD_VERSION;

static void nbd_connect(struct gctl_req *, unsigned);
static void nbd_disconnect(struct gctl_req *, unsigned);
static void nbd_exports(struct gctl_req *, unsigned);
static void nbd_reconnect(struct gctl_req *, unsigned);
static void nbd_scale(struct gctl_req *, unsigned);

#define	TLS_OPTIONS							\
	{ 'A', "cacert", G_VAL_OPTIONAL, G_TYPE_STRING },		\
	{ 'C', "cert", G_VAL_OPTIONAL, G_TYPE_STRING },			\
	{ 'K', "key", G_VAL_OPTIONAL, G_TYPE_STRING }
#define	TLS_USAGE	"[-A cacert] [-C cert -K key]"

struct g_command class_commands[] = {
	{ "connect", G_FLAG_LOADKLD, nbd_connect, {
		{ 'c', "connections", "1", G_TYPE_NUMBER },
		{ 'n', "name", G_VAL_OPTIONAL, G_TYPE_STRING },
		{ 'p', "port", G_VAL_OPTIONAL, G_TYPE_STRING },
		{ 't', "timeout", G_VAL_OPTIONAL, G_TYPE_NUMBER },
		{ 'T', "dead_timeout", G_VAL_OPTIONAL, G_TYPE_NUMBER },
		{ 'f', "fence", G_VAL_OPTIONAL, G_TYPE_NUMBER },
		{ 'u', "unflushed", G_VAL_OPTIONAL, G_TYPE_STRING },
		{ 's', "sectorsize", G_VAL_OPTIONAL, G_TYPE_NUMBER },
		{ 'S', "stripesize", G_VAL_OPTIONAL, G_TYPE_NUMBER },
		TLS_OPTIONS,
		G_OPT_SENTINEL
	    },
	    "[-c num] [-n name] [-p port] [-t seconds] [-T seconds] "
	    "[-f seconds] [-u fail|replay|ignore] [-s sectorsize] "
	    "[-S stripesize] " TLS_USAGE " host"
	},
	{ "exports", G_FLAG_NONE, nbd_exports, {
		{ 'p', "port", G_VAL_OPTIONAL, G_TYPE_STRING },
		TLS_OPTIONS,
		G_OPT_SENTINEL
	    },
	    "[-p port] " TLS_USAGE " host"
	},
	{ "reconnect", G_FLAG_NONE, nbd_reconnect, {
		{ 'r', "seconds", "0", G_TYPE_NUMBER },
		TLS_OPTIONS,
		G_OPT_SENTINEL
	    },
	    "[-r seconds] " TLS_USAGE " prov"
	},
	{ "scale", G_FLAG_NONE, nbd_scale, {
		{ 'c', "connections", NULL, G_TYPE_NUMBER },
		TLS_OPTIONS,
		G_OPT_SENTINEL
	    },
	    "-c num " TLS_USAGE " prov"
	},
	{ "disconnect", G_FLAG_NONE, nbd_disconnect, {
		{ 'f', "force", NULL, G_TYPE_BOOL },
		G_OPT_SENTINEL
	    },
	    "[-f] prov"
	},
	G_CMD_SENTINEL
};

/* ---- where to ------------------------------------------------------------ */

/* A server to talk to, and the sockets that came of it. */
struct peer {
	struct nbc_target	 target;
	struct nbc_tls_context	*tls;
	struct nbc_options	 options;
	struct nbc_conn		 conn[NBE_MAX_CONNS];
	int			 fd[NBE_MAX_CONNS];
	int			 count;
	struct nbc_error	 error;
};

static const char *
option(struct gctl_req *req, const char *name)
{

	return (gctl_has_param(req, name) ? gctl_get_ascii(req, "%s", name) :
	    NULL);
}

static bool
set(struct gctl_req *req, char **field, const char *value)
{

	if (value == NULL)
		return (true);
	free(*field);
	*field = strdup(value);
	if (*field == NULL)
		gctl_error(req, "Out of memory.");
	return (*field != NULL);
}

/* -A, -C and -K, and what a URI said, as one wish. */
static bool
set_tls(struct gctl_req *req, struct nbc_target *t)
{
	const char *ca = option(req, "cacert"), *cert = option(req, "cert");
	const char *key = option(req, "key");

	if ((cert == NULL) != (key == NULL)) {
		gctl_error(req, "-C and -K are needed with each other.");
		return (false);
	}
	if (ca != NULL || cert != NULL)
		t->tls = NBE_TLS_REQUIRED;
	return (set(req, &t->ca_file, ca) && set(req, &t->cert_file, cert) &&
	    set(req, &t->key_file, key));
}

static bool
load_tls(struct gctl_req *req, struct peer *p)
{

	p->options = (struct nbc_options){
		.framing_max = NBE_SIMPLE, .timeout_ms = ATTEMPT_MS,
		.allow_ktls = true, .cancel_fd = -1,
	};
	if (nbc_tls_context_load(&p->tls, &p->target, &p->error))
		return (true);
	gctl_error(req, "%s", p->error.text);
	return (false);
}

static struct peer *
peer_new(struct gctl_req *req)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (p == NULL)
		gctl_error(req, "Out of memory.");
	return (p);
}

/* The sockets that the kernel took are only shells by now. */
static void
peer_free(struct peer *p)
{

	if (p == NULL)
		return;
	for (int i = 0; i < p->count; i++)
		nbc_close(&p->conn[i], false);
	nbc_tls_context_free(p->tls);
	nbc_target_free(&p->target);
	free(p);
}

/* The server that the operand and the options name; NULL: told. */
static struct peer *
peer_from_operand(struct gctl_req *req)
{
	struct peer *p;

	if (gctl_get_int(req, "nargs") != 1) {
		gctl_error(req, "Exactly one host is needed.");
		return (NULL);
	}
	p = peer_new(req);
	if (p == NULL)
		return (NULL);
	if (!nbc_target_parse(&p->target, gctl_get_ascii(req, "arg0"),
	    &p->error)) {
		gctl_error(req, "%s", p->error.text);
		peer_free(p);
		return (NULL);
	}
	if (set(req, &p->target.port, option(req, "port")) &&
	    set(req, &p->target.export_name, option(req, "name")) &&
	    set_tls(req, &p->target) && load_tls(req, p))
		return (p);
	peer_free(p);
	return (NULL);
}

/* ---- connections --------------------------------------------------------- */

/* Not what this program was built for, but what runs. */
static bool
kernel_takes(struct gctl_req *req, const struct nbc_target *t)
{

	if (t->family != NBC_UNIX || getosreldate() < LOCAL_REWRITTEN)
		return (true);
	gctl_error(req, "FreeBSD 15 and newer serve no disk over a UNIX socket; "
	    "connect by TCP.");
	return (false);
}

/* What the kernel cannot take is of no use. */
static bool
usable(struct gctl_req *req, const struct nbc_conn *c, int wanted)
{

	if (c->tls != NULL) {
		gctl_error(req, "The kernel does not take over the TLS session."
		    "  Is the sysctl kern.ipc.tls.enable 1?");
		return (false);
	}
	if (wanted > 1 && (c->exp.flags & NBE_FLAG_CAN_MULTI_CONN) == 0) {
		gctl_error(req, "Server does not allow multiple connections.");
		return (false);
	}
	return (true);
}

/* One more.  False: see p->error, or the request's if that is empty. */
static bool
open_one(struct gctl_req *req, struct peer *p, int wanted)
{
	struct nbc_conn *c = &p->conn[p->count];

	p->error.text[0] = '\0';
	if (!nbc_open(c, &p->target, p->tls, &p->options, &p->error))
		return (false);
	p->fd[p->count++] = c->fd;
	return (usable(req, c, wanted));
}

/* retry: seconds between attempts, 0 for one attempt only. */
static bool
open_conns(struct gctl_req *req, struct peer *p, int n, int wanted, int retry)
{

	if (!kernel_takes(req, &p->target))
		return (false);
	while (p->count < n) {
		if (open_one(req, p, wanted))
			continue;
		if (p->error.text[0] == '\0')
			return (false);
		if (retry == 0 || !p->error.transient) {
			gctl_error(req, "%s", p->error.text);
			return (false);
		}
		sleep((unsigned)retry);
	}
	return (true);
}

/* ---- to the kernel ------------------------------------------------------- */

/* Parameters live until gctl_issue. */
struct params {
	long		thread;
	uint64_t	size;
	uint32_t	flags, block_min, block_pref, payload_max, framing;
	int		nsockets;
	bool		tls;
};

static void
add_conns(struct gctl_req *req, struct peer *p, struct params *v)
{
	const struct nbe_export *e = &p->conn[0].exp;

	*v = (struct params){
		.size = e->size, .block_min = e->block_min,
		.flags = (uint32_t)e->flags << 16 | e->hs_flags,
		.block_pref = e->block_pref, .payload_max = e->payload_max,
		.framing = e->framing, .nsockets = p->count,
		.tls = p->conn[0].ktls,
	};
	(void)thr_self(&v->thread);
	gctl_ro_param(req, "thread", sizeof(v->thread), &v->thread);
	gctl_ro_param(req, "sockets", p->count * (int)sizeof(int), p->fd);
	gctl_ro_param(req, "nsockets", sizeof(v->nsockets), &v->nsockets);
	gctl_ro_param(req, "size", sizeof(v->size), &v->size);
	gctl_ro_param(req, "flags", sizeof(v->flags), &v->flags);
	gctl_ro_param(req, "minimum_blocksize", 4, &v->block_min);
	gctl_ro_param(req, "preferred_blocksize", 4, &v->block_pref);
	gctl_ro_param(req, "maximum_payload", 4, &v->payload_max);
	gctl_ro_param(req, "framing", 4, &v->framing);
}

static bool
issue(struct gctl_req *req)
{
	const char *error = gctl_issue(req);

	if (error == NULL)
		return (true);
	gctl_error(req, "%s", error);
	return (false);
}

/* Replaces what an option of the same name may have said. */
static void
add_text(struct gctl_req *req, const char *name, const char *value)
{

	if (gctl_has_param(req, name))
		(void)gctl_change_param(req, name, -1, value);
	else
		gctl_ro_param(req, name, -1, value);
}

static void
issue_connect(struct gctl_req *req, struct peer *p)
{
	bool tcp = p->target.family == NBC_TCP;
	const char *port = p->target.port, *name = p->target.export_name;
	char provider[64] = "";
	struct params v;

	add_conns(req, p, &v);
	gctl_ro_param(req, "tls", sizeof(v.tls), &v.tls);
	gctl_ro_param(req, "host", -1, p->target.host);
	add_text(req, "port", !tcp ? "" : port != NULL ? port :
	    NBC_DEFAULT_PORT);
	add_text(req, "name", name != NULL ? name : "");
	if (p->conn[0].about != NULL)
		gctl_ro_param(req, "description", -1, p->conn[0].about);
	gctl_rw_param(req, "provider", sizeof(provider), provider);
	if (issue(req))
		printf("%s\n", provider);
}

static bool
wanted_conns(struct gctl_req *req, int *n)
{
	intmax_t c = gctl_get_intmax(req, "connections");

	*n = (int)c;
	if (c >= 1 && c <= NBE_MAX_CONNS)
		return (true);
	gctl_error(req, "Invalid number of connections.");
	return (false);
}

static void
nbd_connect(struct gctl_req *req, unsigned flags __unused)
{
	struct peer *p;
	int n;

	if (!wanted_conns(req, &n) || (p = peer_from_operand(req)) == NULL)
		return;
	if (open_conns(req, p, n, n, 0))
		issue_connect(req, p);
	peer_free(p);
}

static void
nbd_exports(struct gctl_req *req, unsigned flags __unused)
{
	struct nbc_export_list list = { NULL, 0 };
	struct peer *p = peer_from_operand(req);

	if (p == NULL)
		return;
	if (!nbc_list(&list, &p->target, p->tls, &p->options, &p->error))
		gctl_error(req, "%s", p->error.text);
	for (size_t i = 0; i < list.count; i++) {
		const char *name = list.item[i].name;

		printf("%s", name[0] != '\0' ? name : "[default export]");
		if (list.item[i].about != NULL)
			printf("\t%s", list.item[i].about);
		printf("\n");
	}
	nbc_export_list_free(&list);
	peer_free(p);
}

/* ---- of a device that is there ------------------------------------------- */

static const char *
config(const struct ggeom *gp, const char *name)
{
	const struct gconfig *c;

	LIST_FOREACH(c, &gp->lg_config, lg_config)
		if (strcmp(c->lg_name, name) == 0)
			return (c->lg_val);
	return (NULL);
}

static const struct ggeom *
find_geom(struct gmesh *mesh, const char *name)
{
	struct gclass *cp;
	struct ggeom *gp;

	if (strncmp(name, "/dev/", 5) == 0)
		name += 5;
	LIST_FOREACH(cp, &mesh->lg_class, lg_class) {
		if (strcmp(cp->lg_name, CLASS_NAME) != 0)
			continue;
		LIST_FOREACH(gp, &cp->lg_geom, lg_geom)
			if (strcmp(gp->lg_name, name) == 0)
				return (gp);
	}
	return (NULL);
}

/* The server that the device was connected to. */
static bool
target_of(struct gctl_req *req, const struct ggeom *gp, struct nbc_target *t)
{
	const char *host = config(gp, "Host"), *port = config(gp, "Port");
	const char *name = config(gp, "Name"), *tls = config(gp, "TLS");
	bool used = tls != NULL && strcmp(tls, "yes") == 0;

	t->family = host != NULL && host[0] == '/' ? NBC_UNIX : NBC_TCP;
	if (!set(req, &t->host, host) ||
	    !set(req, &t->export_name, name == NULL ? "" : name) ||
	    (t->family == NBC_TCP && !set(req, &t->port, port)) ||
	    !set_tls(req, t))
		return (false);
	if (used != (t->tls != NBE_TLS_OFF)) {
		gctl_error(req, "TLS is %sused on this device.",
		    used ? "" : "not ");
		return (false);
	}
	return (true);
}

static int
number(const struct ggeom *gp, const char *name)
{
	const char *s = config(gp, name);

	return (s == NULL ? 0 : (int)strtol(s, NULL, 10));
}

/* wanted 0: as many as it has now. */
static void
bring_to(struct gctl_req *req, const struct ggeom *gp, intmax_t *wanted, int retry)
{
	int missing, active = number(gp, "ActiveConnections");
	struct params v;
	struct peer *p;

	if (*wanted == 0)
		*wanted = number(gp, "Connections");
	missing = (int)*wanted - active;
	if ((p = peer_new(req)) == NULL)
		return;
	if (missing > 0 && (!target_of(req, gp, &p->target) ||
	    !load_tls(req, p) ||
	    !open_conns(req, p, missing, (int)*wanted, retry))) {
		peer_free(p);
		return;
	}
	if (p->count != 0)
		add_conns(req, p, &v);
	(void)gctl_change_param(req, "verb", -1, "scale");
	if (!gctl_has_param(req, "connections"))
		gctl_ro_param(req, "connections", sizeof(*wanted), wanted);
	(void)issue(req);
	peer_free(p);
}

static void
on_device(struct gctl_req *req, intmax_t wanted, int retry)
{
	const struct ggeom *gp;
	struct gmesh mesh;
	int error;

	if (gctl_get_int(req, "nargs") != 1) {
		gctl_error(req, "Exactly one device is needed.");
		return;
	}
	error = geom_gettree(&mesh);
	if (error != 0) {
		gctl_error(req, "Cannot get the GEOM tree: %s.",
		    strerror(error));
		return;
	}
	gp = find_geom(&mesh, gctl_get_ascii(req, "arg0"));
	if (gp == NULL)
		gctl_error(req, "There is no NBD device '%s'.",
		    gctl_get_ascii(req, "arg0"));
	else
		bring_to(req, gp, &wanted, retry);
	geom_deletetree(&mesh);
}

static void
nbd_reconnect(struct gctl_req *req, unsigned flags __unused)
{
	intmax_t retry = gctl_get_intmax(req, "seconds");

	if (retry < 0 || retry > INT32_MAX)
		gctl_error(req, "Invalid number of seconds.");
	else
		on_device(req, 0, (int)retry);
}

static void
nbd_scale(struct gctl_req *req, unsigned flags __unused)
{
	int n;

	if (wanted_conns(req, &n))
		on_device(req, n, 0);
}

/*
 * Who had the device open is told of its end by GEOM after the verb, and until all
 * have let go the module cannot be unloaded.
 */
static void
wait_gone(const char *name)
{
	struct gmesh mesh;
	bool there = true;

	for (int ms = 0; there && ms < GONE_MS; ms += GONE_STEP_MS) {
		if (geom_gettree(&mesh) != 0)
			return;
		there = find_geom(&mesh, name) != NULL;
		geom_deletetree(&mesh);
		if (there)
			(void)usleep(GONE_STEP_MS * 1000);
	}
	if (there)
		fprintf(stderr, "%s is disconnected, but still in use.\n", name);
}

static void
nbd_disconnect(struct gctl_req *req, unsigned flags __unused)
{

	if (gctl_get_int(req, "nargs") != 1)
		gctl_error(req, "Exactly one device is needed.");
	else if (issue(req))
		wait_gone(gctl_get_ascii(req, "arg0"));
}
