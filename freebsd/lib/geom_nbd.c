/*
 * geom_nbd.c - geom(8)'s library for the class NBD: gnbd(8).
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Connections are made and negotiated here, by connect/, and handed to the kernel
 * as sockets.  gnbd.h has the files.
 */
#include <sys/param.h>

#include <libgeom.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/geom.h"
#include "misc/subr.h"

#include "gnbd.h"

#define	GONE_MS		5000	/* for GEOM to let go of a device */
#define	GONE_STEP_MS	20
#define	LOOK_MS		200	/* between looks at a device that waits */
#define	MOVE_MS		60000
#define	STANDBY_MS	3000	/* for a look at each other server: somebody waits */

uint32_t lib_version = G_LIB_VERSION;
uint32_t version = GNBD_VERSION;

static void nbd_connect(struct gctl_req *, unsigned);
static void nbd_disconnect(struct gctl_req *, unsigned);
static void nbd_exports(struct gctl_req *, unsigned);
static void nbd_move(struct gctl_req *, unsigned);
static void nbd_reconnect(struct gctl_req *, unsigned);
static void nbd_scale(struct gctl_req *, unsigned);
static void nbd_watch(struct gctl_req *, unsigned);

#define	TLS_OPTIONS							\
	{ 'A', "cacert", G_VAL_OPTIONAL, G_TYPE_STRING },		\
	{ 'C', "cert", G_VAL_OPTIONAL, G_TYPE_STRING },			\
	{ 'K', "key", G_VAL_OPTIONAL, G_TYPE_STRING }
#define	TLS_USAGE	"[-A cacert] [-C cert -K key]"

struct g_command class_commands[] = {
	{ "connect", G_FLAG_LOADKLD, nbd_connect, {
		{ 'c', "connections", G_VAL_OPTIONAL, G_TYPE_NUMBER },
		{ 'n', "name", G_VAL_OPTIONAL, G_TYPE_STRING },
		{ 'p', "port", G_VAL_OPTIONAL, G_TYPE_STRING },
		{ 't', "timeout", G_VAL_OPTIONAL, G_TYPE_NUMBER },
		{ 'T', "dead_timeout", G_VAL_OPTIONAL, G_TYPE_NUMBER },
		{ 'f', "fence", G_VAL_OPTIONAL, G_TYPE_NUMBER },
		{ 'u', "unflushed", G_VAL_OPTIONAL, G_TYPE_STRING },
		{ 's', "sectorsize", G_VAL_OPTIONAL, G_TYPE_NUMBER },
		{ 'S', "stripesize", G_VAL_OPTIONAL, G_TYPE_NUMBER },
		{ 'F', "fence_by", G_VAL_OPTIONAL, G_TYPE_STRING },
		{ 'P', "path_timeout", G_VAL_OPTIONAL, G_TYPE_NUMBER },
		{ 'b', "failback", G_VAL_OPTIONAL, G_TYPE_NUMBER },
		TLS_OPTIONS,
		G_OPT_SENTINEL
	    },
	    "[-c num] [-n name] [-p port] [-t seconds] [-T seconds] "
	    "[-f seconds] [-u fail|replay|ignore] [-s sectorsize] "
	    "[-S stripesize] [-F time|store|program] [-P seconds] [-b seconds] "
	    TLS_USAGE " host ... | file.conf"
	},
	{ "exports", G_FLAG_NONE, nbd_exports, {
		{ 'p', "port", G_VAL_OPTIONAL, G_TYPE_STRING },
		TLS_OPTIONS,
		G_OPT_SENTINEL
	    },
	    "[-p port] " TLS_USAGE " host"
	},
	{ "reconnect", G_FLAG_NONE, nbd_reconnect, {
		{ 'a', "all", NULL, G_TYPE_BOOL },
		{ 'r', "seconds", "0", G_TYPE_NUMBER },
		TLS_OPTIONS,
		G_OPT_SENTINEL
	    },
	    "[-a] [-r seconds] " TLS_USAGE " prov"
	},
	{ "move", G_FLAG_NONE, nbd_move, {
		TLS_OPTIONS,
		G_OPT_SENTINEL
	    },
	    TLS_USAGE " prov [server]"
	},
	{ "watch", G_FLAG_LOADKLD, nbd_watch, {
		TLS_OPTIONS,
		G_OPT_SENTINEL
	    },
	    TLS_USAGE
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

/* ---- what was asked for ---------------------------------------------------- */

static const char *
option(struct gctl_req *req, const char *name)
{

	return (gctl_has_param(req, name) ? gctl_get_ascii(req, "%s", name) :
	    NULL);
}

static struct gnbd_tls
tls_options(struct gctl_req *req)
{

	return ((struct gnbd_tls){ option(req, "cacert"), option(req, "cert"),
	    option(req, "key") });
}

static void
tell(struct gctl_req *req, const struct nbc_error *err)
{

	gctl_error(req, "%s", err->text);
}

/* NULL: see err. */
static struct gnbd_peer *
peer_of(struct gctl_req *req, const char *server, struct nbc_error *err)
{
	struct gnbd_peer *p = calloc(1, sizeof(*p));
	struct gnbd_tls tls = tls_options(req);

	if (p == NULL)
		(void)nbc_fail_no_memory(err);
	else if (nbc_target_parse(&p->target, server, err) &&
	    gnbd_set(&p->target.port, option(req, "port"), err) &&
	    gnbd_set(&p->target.export_name, option(req, "name"), err) &&
	    gnbd_peer_tls(p, &tls, err) && gnbd_peer_load(p, GNBD_ATTEMPT_MS, err))
		return (p);
	gnbd_peer_free(p);
	return (NULL);
}

/* ---- connect --------------------------------------------------------------- */

/* The servers of one disk. */
struct servers {
	struct gnbd_config config;	/* or hosts are operands */
	struct gnbd_peer *peer[NBE_MAX_PATHS];
	int		 count;
	uint32_t	 active;	/* has the sockets */
	char		 key[NBE_MAX_PATHS][3][8];	/* names of parameters */
};

static void
servers_free(struct servers *s)
{

	for (int i = 0; i < s->count; i++)
		gnbd_peer_free(s->peer[i]);
	gnbd_config_free(&s->config);
}

/* A file is alone, for it names the servers.  False: see err. */
static bool
take_file(struct gctl_req *req, struct servers *s, int *n, struct nbc_error *err)
{
	const char *operand = NULL;

	*n = gctl_get_int(req, "nargs");
	for (int i = 0; i < *n && operand == NULL; i++) {
		operand = gctl_get_ascii(req, "arg%d", i);
		if (!gnbd_is_config(operand))
			operand = NULL;
	}
	if (operand == NULL)
		return (true);
	if (*n > 1)
		return (nbc_fail(err, NBC_USAGE, "%s names the servers; no host goes "
		    "with it.", operand));
	if (!gnbd_config_load(&s->config, operand, req, err))
		return (false);
	*n = (int)s->config.count;
	return (true);
}

static bool
servers_load(struct gctl_req *req, struct servers *s, int n, struct nbc_error *err)
{

	if (n < 1 || n > NBE_MAX_PATHS)
		return (nbc_fail(err, NBC_USAGE, "One host is needed, or up to %d that "
		    "have the same disk.", NBE_MAX_PATHS));
	for (; s->count < n; s->count++) {
		const char *server = s->config.count != 0 ? s->config.uri[s->count] :
		    gctl_get_ascii(req, "arg%d", s->count);
		struct gnbd_peer *p = peer_of(req, server, err);

		s->peer[s->count] = p;
		if (p == NULL)
			return (false);
		if ((p->target.tls == NBE_TLS_OFF) !=
		    (s->peer[0]->target.tls == NBE_TLS_OFF)) {
			s->count++;
			return (nbc_fail(err, NBC_USAGE, "All servers of a disk are to "
			    "use TLS, or none."));
		}
	}
	return (true);
}

/* To the first one that can be reached. */
static bool
servers_open(struct servers *s, int n, struct nbc_error *err)
{

	for (int i = 0; i < s->count; i++) {
		s->active = (uint32_t)i;
		if (gnbd_peer_open(s->peer[i], n, n, err))
			return (true);
		if (!err->transient)
			break;
		if (i + 1 < s->count)
			fprintf(stderr, "gnbd: %s\n", err->text);
	}
	return (false);
}

/* The engine's answer, when the device comes to it; said now, and no reason to fail. */
static void
standby_check(struct gnbd_peer *p, const struct nbe_export *have)
{
	struct nbc_error err;
	char uri[512];
	enum nbe_why why;

	p->options.timeout_ms = STANDBY_MS;
	if (!gnbd_peer_open(p, 1, 1, &err)) {
		fprintf(stderr, "gnbd: warning: %s\n", err.text);
		return;
	}
	why = nbe_contradiction(have, &p->conn[0].exp, have->payload_max);
	nbc_close(&p->conn[0], true);
	p->count = 0;
	nbc_target_print(&p->target, uri, sizeof(uri));
	if (why != NBE_WHY_NONE)
		fprintf(stderr, "gnbd: warning: %s could not take the device over: "
		    "%s\n", uri, nbe_why_text(why));
}

/* Those before the active one did not answer, which was told. */
static void
servers_check(const struct servers *s)
{

	for (int i = (int)s->active + 1; i < s->count; i++)
		standby_check(s->peer[i], &s->peer[s->active]->conn[0].exp);
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

/* "host", "port" and "name" of the first, "host1" .. of the others. */
static void
add_server(struct gctl_req *req, struct servers *s, int i)
{
	static const char *const names[] = { "host", "port", "name" };
	const struct nbc_target *t = &s->peer[i]->target;
	const char *value[] = { t->host, t->family != NBC_TCP ? "" :
	    t->port != NULL ? t->port : NBC_DEFAULT_PORT,
	    t->export_name != NULL ? t->export_name : "" };
	char number[4] = "";

	if (i != 0)
		snprintf(number, sizeof(number), "%d", i);
	for (int j = 0; j < 3; j++) {
		snprintf(s->key[i][j], sizeof(s->key[i][j]), "%s%s", names[j], number);
		add_text(req, s->key[i][j], value[j]);
	}
}

static void
issue_connect(struct gctl_req *req, struct servers *s)
{
	const struct gnbd_peer *p = s->peer[s->active];
	uint32_t paths = (uint32_t)s->count;
	char provider[GNBD_NAME_MAX] = "";
	struct gnbd_sockets v;
	const char *error;

	gnbd_add_sockets(req, p, &v);
	gctl_ro_param(req, "tls", sizeof(v.tls), &v.tls);
	gctl_ro_param(req, "paths", sizeof(paths), &paths);
	gctl_ro_param(req, "path", sizeof(s->active), &s->active);
	for (int i = 0; i < s->count; i++)
		add_server(req, s, i);
	if (p->conn[0].about != NULL)
		gctl_ro_param(req, "description", -1, p->conn[0].about);
	gctl_rw_param(req, "provider", sizeof(provider), provider);
	error = gctl_issue(req);
	if (error == NULL)
		printf("%s\n", provider);
	else
		gctl_error(req, "%s", error);
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
	static const intmax_t one = 1;
	struct servers s = { .count = 0 };
	struct nbc_error err;
	int operands, n;

	if (!take_file(req, &s, &operands, &err)) {
		tell(req, &err);
		servers_free(&s);
		return;
	}
	if (!gctl_has_param(req, "connections"))
		gctl_ro_param(req, "connections", sizeof(one), &one);
	if (!wanted_conns(req, &n))
		;
	else if (servers_load(req, &s, operands, &err) && servers_open(&s, n, &err)) {
		servers_check(&s);
		issue_connect(req, &s);
	} else
		tell(req, &err);
	servers_free(&s);
}

/* ---- exports --------------------------------------------------------------- */

static void
print_exports(const struct nbc_export_list *list)
{

	for (size_t i = 0; i < list->count; i++) {
		const char *name = list->item[i].name;

		printf("%s", name[0] != '\0' ? name : "[default export]");
		if (list->item[i].about != NULL)
			printf("\t%s", list->item[i].about);
		printf("\n");
	}
}

static void
nbd_exports(struct gctl_req *req, unsigned flags __unused)
{
	struct nbc_export_list list = { NULL, 0 };
	struct gnbd_peer *p = NULL;
	struct nbc_error err;

	if (gctl_get_int(req, "nargs") != 1) {
		gctl_error(req, "Exactly one host is needed.");
		return;
	}
	p = peer_of(req, gctl_get_ascii(req, "arg0"), &err);
	if (p == NULL || !nbc_list(&list, &p->target, p->tls, &p->options, &err))
		tell(req, &err);
	print_exports(&list);
	nbc_export_list_free(&list);
	gnbd_peer_free(p);
}

/* ---- of a device that is there --------------------------------------------- */

/* Its name; NULL: told. */
static const char *
device_operand(struct gctl_req *req, int operands_max)
{
	int n = gctl_get_int(req, "nargs");

	if (n >= 1 && n <= operands_max)
		return (gctl_get_ascii(req, "arg0"));
	gctl_error(req, "Exactly one device is needed.");
	return (NULL);
}

/* False: told. */
static bool
see_device(struct gctl_req *req, struct gnbd_device *d, const char *name)
{
	struct nbc_error err;

	if (!gnbd_device_see(d, name, &err)) {
		tell(req, &err);
		return (false);
	}
	if (d->geom != NULL)
		return (true);
	gctl_error(req, "There is no NBD device '%s'.", name);
	gnbd_device_end(d);
	return (false);
}

static void
look_later(intmax_t ms)
{

	(void)usleep((useconds_t)ms * 1000);
}

static bool
has_several(const char *name)
{
	struct gnbd_device d;
	struct nbc_error ignored;
	bool several;

	if (!gnbd_device_see(&d, name, &ignored))
		return (false);
	several = d.geom != NULL && gnbd_device_number(&d, "Paths", 1) > 1;
	gnbd_device_end(&d);
	return (several);
}

/* With one server it is tried every so many seconds, 0: once; with several the kernel
 * says when, and which. */
static void
reconnect(struct gctl_req *req, const char *name, intmax_t retry)
{
	struct gnbd_tls tls = tls_options(req);
	bool several = has_several(name), at_once = true;
	enum gnbd_step step;
	struct nbc_error err;

	while ((step = gnbd_tend(name, &tls, at_once, &err)) != GNBD_COMPLETE) {
		if (step == GNBD_GONE || (step == GNBD_FAILED && (retry == 0 ||
		    (!several && !err.transient)))) {
			tell(req, &err);
			return;
		}
		at_once = !several;
		if (step == GNBD_FAILED && !several)
			(void)sleep((unsigned)retry);
		else if (step != GNBD_DID)
			look_later(LOOK_MS);
	}
}

/* False: told. */
static bool
renew(struct gctl_req *req, const char *name)
{
	struct gnbd_tls tls = tls_options(req);
	struct gnbd_device d;
	struct nbc_error err;
	bool ok;

	if (!see_device(req, &d, name))
		return (false);
	ok = gnbd_renew_all(&d, &tls, &err);
	if (!ok)
		tell(req, &err);
	gnbd_device_end(&d);
	return (ok);
}

static void
nbd_reconnect(struct gctl_req *req, unsigned flags __unused)
{
	intmax_t retry = gctl_get_intmax(req, "seconds");
	const char *name = device_operand(req, 1);

	if (name == NULL)
		return;
	if (retry < 0 || retry > INT32_MAX)
		gctl_error(req, "Invalid number of seconds.");
	else if (gctl_get_int(req, "all") == 0 || renew(req, name))
		reconnect(req, name, retry);
}

static void
nbd_scale(struct gctl_req *req, unsigned flags __unused)
{
	struct gnbd_tls tls = tls_options(req);
	struct gnbd_device d;
	struct nbc_error err;
	const char *name;
	int n;

	if (!wanted_conns(req, &n) || (name = device_operand(req, 1)) == NULL ||
	    !see_device(req, &d, name))
		return;
	if (!gnbd_bring_to(&d, &tls, n, &err))
		tell(req, &err);
	gnbd_device_end(&d);
}

/*
 * Who had the device open is told of its end by GEOM after the verb, and until all
 * have let go the module cannot be unloaded.
 */
static void
wait_gone(const char *name)
{
	struct gnbd_device d;
	struct nbc_error ignored;
	bool there = true;

	for (int ms = 0; there && ms < GONE_MS; ms += GONE_STEP_MS) {
		if (!gnbd_device_see(&d, name, &ignored))
			return;
		there = d.geom != NULL;
		gnbd_device_end(&d);
		if (there)
			look_later(GONE_STEP_MS);
	}
	if (there)
		fprintf(stderr, "%s is disconnected, but still in use.\n", name);
}

static void
nbd_disconnect(struct gctl_req *req, unsigned flags __unused)
{
	const char *name = device_operand(req, 1), *error;

	if (name == NULL)
		return;
	error = gctl_issue(req);
	if (error != NULL)
		gctl_error(req, "%s", error);
	else
		wait_gone(name);
}

/* ---- several servers ------------------------------------------------------- */

/* A number, or a host as it was given to connect; NULL: the one behind the active. */
static bool
choose_path(const struct gnbd_device *d, const char *server, uint32_t *path)
{
	uint32_t paths = (uint32_t)gnbd_device_number(d, "Paths", 1);
	const char *host;

	if (server == NULL) {
		*path = (uint32_t)(gnbd_device_number(d, "ActivePath", 0) + 1) % paths;
		return (paths > 1);
	}
	if (server[0] >= '0' && server[0] <= '9' && server[1] == '\0') {
		*path = (uint32_t)(server[0] - '0');
		return (*path < paths);
	}
	for (*path = 0; *path < paths; ++*path) {
		host = gnbd_path_text(d, *path, "Host");
		if (host != NULL && strcmp(host, server) == 0)
			return (true);
	}
	return (false);
}

/* True: it is there, or will not get there, which is told. */
static bool
has_moved(struct gctl_req *req, const char *name, uint32_t path)
{
	struct gnbd_device d;
	const char *why;
	bool up, there, goes;

	if (!see_device(req, &d, name))
		return (true);
	up = gnbd_device_number(&d, "ActiveConnections", 0) > 0;
	there = gnbd_device_number(&d, "ActivePath", 0) == (intmax_t)path;
	goes = gnbd_path_does(&d, path, "MOVING") || gnbd_path_does(&d, path, "TRIED");
	why = gnbd_path_text(&d, path, "Why");
	if (up && !goes && !there)
		gctl_error(req, "%s stays where it is: %s", name,
		    why != NULL ? why : "");
	gnbd_device_end(&d);
	return (up && !goes);
}

static void
move(struct gctl_req *req, const char *name, uint32_t path)
{
	struct gnbd_tls tls = tls_options(req);
	enum gnbd_step step;
	struct nbc_error err;

	if (!gnbd_move(name, path, &err)) {
		tell(req, &err);
		return;
	}
	for (int ms = 0; ms < MOVE_MS; ms += LOOK_MS) {
		while ((step = gnbd_tend(name, &tls, false, &err)) == GNBD_DID)
			;
		if (has_moved(req, name, path))
			return;
		look_later(LOOK_MS);
	}
	gctl_error(req, "%s has not arrived yet, and goes on trying.", name);
}

static void
nbd_move(struct gctl_req *req, unsigned flags __unused)
{
	const char *name = device_operand(req, 2), *server = NULL;
	struct gnbd_device d;
	uint32_t path;
	bool known;

	if (name == NULL || !see_device(req, &d, name))
		return;
	if (gctl_get_int(req, "nargs") > 1)
		server = gctl_get_ascii(req, "arg1");
	known = choose_path(&d, server, &path);
	gnbd_device_end(&d);
	if (known)
		move(req, name, path);
	else
		gctl_error(req, "%s has no server '%s'; gnbd list shows them.", name,
		    server != NULL ? server : "1");
}

static void
nbd_watch(struct gctl_req *req, unsigned flags __unused)
{
	struct gnbd_tls tls = tls_options(req);
	struct nbc_error err;

	if (gctl_get_int(req, "nargs") != 0)
		gctl_error(req, "watch is for all devices.");
	else if (!gnbd_watch(&tls, &err))
		tell(req, &err);
}
