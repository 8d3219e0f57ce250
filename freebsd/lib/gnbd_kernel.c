/*
 * gnbd_kernel.c - what the kernel shows of a device, and what it is told.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What a device was connected with is read back from the confxml, so that nothing of it
 * is kept in user space.
 */
#include <sys/thr.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gnbd.h"

#define	PROBLEM_MAX	256	/* as the kernel has it; one line, for list */

/* ---- shown ----------------------------------------------------------------- */

static const struct ggeom *
find_geom(struct gmesh *mesh, const char *name)
{
	struct gclass *cp;
	struct ggeom *gp;

	if (strncmp(name, "/dev/", 5) == 0)
		name += 5;
	LIST_FOREACH(cp, &mesh->lg_class, lg_class) {
		if (strcmp(cp->lg_name, GNBD_CLASS) != 0)
			continue;
		LIST_FOREACH(gp, &cp->lg_geom, lg_geom)
			if (strcmp(gp->lg_name, name) == 0)
				return (gp);
	}
	return (NULL);
}

bool
gnbd_device_see(struct gnbd_device *d, const char *name, struct nbc_error *err)
{
	int error = geom_gettree(&d->mesh);

	d->geom = NULL;
	if (error != 0)
		return (nbc_fail(err, NBC_INTERNAL, "Cannot get the GEOM tree: %s.",
		    strerror(error)));
	d->geom = find_geom(&d->mesh, name);
	return (true);
}

void
gnbd_device_end(struct gnbd_device *d)
{

	geom_deletetree(&d->mesh);
}

const char *
gnbd_device_text(const struct gnbd_device *d, const char *field)
{
	const struct gconfig *c;

	LIST_FOREACH(c, &d->geom->lg_config, lg_config)
		if (strcmp(c->lg_name, field) == 0)
			return (c->lg_val);
	return (NULL);
}

intmax_t
gnbd_device_number(const struct gnbd_device *d, const char *field, intmax_t otherwise)
{
	const char *s = gnbd_device_text(d, field);

	return (s == NULL ? otherwise : strtoimax(s, NULL, 10));
}

const char *
gnbd_path_text(const struct gnbd_device *d, unsigned path, const char *field)
{
	char name[64];

	if (gnbd_device_number(d, "Paths", 1) < 2)
		return (gnbd_device_text(d, field));
	snprintf(name, sizeof(name), "Path%u%s", path, field);
	return (gnbd_device_text(d, name));
}

bool
gnbd_path_does(const struct gnbd_device *d, unsigned path, const char *what)
{
	const char *doing = gnbd_path_text(d, path, "Doing");

	return (doing != NULL && strstr(doing, what) != NULL);
}

bool
gnbd_device_target(const struct gnbd_device *d, unsigned path,
    const struct gnbd_tls *tls, struct gnbd_peer *p, struct nbc_error *err)
{
	const char *host = gnbd_path_text(d, path, "Host");
	const char *name = gnbd_path_text(d, path, "Name");
	const char *used = gnbd_device_text(d, "TLS");
	struct nbc_target *t = &p->target;
	bool is_used = used != NULL && strcmp(used, "yes") == 0;

	t->family = host != NULL && host[0] == '/' ? NBC_UNIX : NBC_TCP;
	if (!gnbd_set(&t->host, host, err) ||
	    !gnbd_set(&t->export_name, name == NULL ? "" : name, err) ||
	    (t->family == NBC_TCP &&
	    !gnbd_set(&t->port, gnbd_path_text(d, path, "Port"), err)) ||
	    !gnbd_peer_tls(p, tls, err))
		return (false);
	if (is_used != (t->tls != NBE_TLS_OFF))
		return (nbc_fail(err, NBC_USAGE, "TLS is %sused on this device.",
		    is_used ? "" : "not "));
	return (true);
}

/* ---- told ------------------------------------------------------------------ */

void
gnbd_add_sockets(struct gctl_req *req, const struct gnbd_peer *p,
    struct gnbd_sockets *v)
{
	const struct nbe_export *e = &p->conn[0].exp;

	*v = (struct gnbd_sockets){
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

static struct gctl_req *
request(const char *verb, const char *device)
{
	static const uint32_t version = GNBD_VERSION;
	struct gctl_req *req = gctl_get_handle();

	gctl_ro_param(req, "class", -1, GNBD_CLASS);
	gctl_ro_param(req, "verb", -1, verb);
	gctl_ro_param(req, "version", sizeof(version), &version);
	gctl_ro_param(req, "arg0", -1, device);
	return (req);
}

static bool
issue(struct gctl_req *req, struct nbc_error *err)
{
	const char *error = gctl_issue(req);
	bool ok = error == NULL || nbc_fail(err, NBC_REFUSED, "%s", error);

	gctl_free(req);
	return (ok);
}

bool
gnbd_scale(const char *device, intmax_t n, const struct gnbd_peer *p, uint32_t path,
    struct nbc_error *err)
{
	struct gctl_req *req = request("scale", device);
	struct gnbd_sockets v;

	gctl_ro_param(req, "connections", sizeof(n), &n);
	if (p != NULL && p->count != 0) {
		gnbd_add_sockets(req, p, &v);
		gctl_ro_param(req, "path", sizeof(path), &path);
	}
	return (issue(req, err));
}

bool
gnbd_report(const char *device, const char *what, uint32_t path, uint32_t wish,
    const char *problem, struct nbc_error *err)
{
	struct gctl_req *req = request("report", device);
	char line[PROBLEM_MAX];

	gctl_ro_param(req, "what", -1, what);
	gctl_ro_param(req, "path", sizeof(path), &path);
	gctl_ro_param(req, "wish", sizeof(wish), &wish);
	if (problem != NULL) {
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(problem, "\n"),
		    problem);
		gctl_ro_param(req, "problem", -1, line);
	}
	return (issue(req, err));
}

bool
gnbd_move(const char *device, uint32_t path, struct nbc_error *err)
{
	struct gctl_req *req = request("move", device);

	gctl_ro_param(req, "path", sizeof(path), &path);
	return (issue(req, err));
}

bool
gnbd_renew(const char *device, struct nbc_error *err)
{

	return (issue(request("renew", device), err));
}
