/*
 * gnbd_tend.c - does what a device asks for.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel does not dial.  It shows which server is to be dialed, tried, or fenced;
 * each call here does one of these, and tells it what came of that.
 */
#include <stdlib.h>

#include "gnbd.h"

/* A server that does not answer has the time that the kernel waits for it: then that
 * has gone on to another one. */
static unsigned
attempt_ms(const struct gnbd_device *d)
{
	intmax_t seconds = gnbd_device_number(d, "PathTimeout", 0);

	return (seconds < 1 || seconds * 1000 > GNBD_ATTEMPT_MS ? GNBD_ATTEMPT_MS :
	    (unsigned)seconds * 1000);
}

/* A server of the device, not dialed yet; NULL: see err. */
static struct gnbd_peer *
server(const struct gnbd_device *d, const struct gnbd_tls *tls, unsigned path,
    struct nbc_error *err)
{
	struct gnbd_peer *p = calloc(1, sizeof(*p));

	if (p == NULL)
		(void)nbc_fail_no_memory(err);
	else if (gnbd_device_target(d, path, tls, p, err) &&
	    gnbd_peer_load(p, attempt_ms(d), err))
		return (p);
	gnbd_peer_free(p);
	return (NULL);
}

/* n sockets to a server of the device; NULL: see err. */
static struct gnbd_peer *
dial(const struct gnbd_device *d, const struct gnbd_tls *tls, unsigned path, int n,
    int wanted, struct nbc_error *err)
{
	struct gnbd_peer *p = server(d, tls, path, err);

	if (p == NULL || gnbd_peer_open(p, n, wanted, err))
		return (p);
	gnbd_peer_free(p);
	return (NULL);
}

/* ---- connections ------------------------------------------------------------- */

/* With several servers one connection goes first: which server it will be is not
 * certain before. */
static int
how_many(const struct gnbd_device *d, intmax_t wanted)
{
	intmax_t active = gnbd_device_number(d, "ActiveConnections", 0);

	if (active == 0 && gnbd_device_number(d, "Paths", 1) > 1)
		return (1);
	return (wanted > active ? (int)(wanted - active) : 0);
}

bool
gnbd_bring_to(const struct gnbd_device *d, const struct gnbd_tls *tls, intmax_t wanted,
    struct nbc_error *err)
{
	unsigned path = (unsigned)gnbd_device_number(d, "DialPath", 0);
	const char *name = d->geom->lg_name;
	struct gnbd_peer *p = NULL;
	struct nbc_error ignored;
	int n;
	bool ok;

	if (wanted == 0)
		wanted = gnbd_device_number(d, "Connections", 1);
	n = how_many(d, wanted);
	if (n > 0 && (p = dial(d, tls, path, n, (int)wanted, err)) == NULL) {
		(void)gnbd_report(name, "dial", path, 0, err->text, &ignored);
		return (false);
	}
	ok = gnbd_scale(name, wanted, p, path, err);
	gnbd_peer_free(p);
	return (ok);
}

bool
gnbd_renew_all(const struct gnbd_device *d, const struct gnbd_tls *tls,
    struct nbc_error *err)
{
	unsigned path = (unsigned)gnbd_device_number(d, "DialPath", 0);
	struct gnbd_peer *p = server(d, tls, path, err);
	bool ok = p != NULL && gnbd_renew(d->geom->lg_name, err);

	gnbd_peer_free(p);
	return (ok);
}

/* Somebody else has brought a connection since: watch, or what devd(8) has called. */
static bool
was_outrun(const struct gnbd_device *d)
{
	intmax_t before = gnbd_device_number(d, "ConnectionsMade", 0);
	struct gnbd_device now;
	struct nbc_error ignored;
	bool more;

	if (!gnbd_device_see(&now, d->geom->lg_name, &ignored))
		return (false);
	more = now.geom != NULL &&
	    gnbd_device_number(&now, "ConnectionsMade", 0) > before;
	gnbd_device_end(&now);
	return (more);
}

/* ---- other servers ------------------------------------------------------------ */

static bool
probe(const struct gnbd_device *d, const struct gnbd_tls *tls, unsigned path,
    struct nbc_error *err)
{
	struct gnbd_peer *p = dial(d, tls, path, 1, 1, err);
	const char *name = d->geom->lg_name;
	struct nbc_error ignored;

	if (p == NULL) {
		(void)gnbd_report(name, "probe", path, 0, err->text, &ignored);
		return (false);
	}
	nbc_close(&p->conn[0], true);
	p->count = 0;
	gnbd_peer_free(p);
	return (gnbd_report(name, "probe", path, 0, NULL, err));
}

static bool
fence(const struct gnbd_device *d, unsigned path, struct nbc_error *err)
{
	uint32_t wish = (uint32_t)gnbd_device_number(d, "FenceWish", 0);
	const char *name = d->geom->lg_name;
	struct nbc_error ignored;

	if (gnbd_fence(d, path, err))
		return (gnbd_report(name, "fence", path, wish, NULL, err));
	(void)gnbd_report(name, "fence", path, wish, err->text, &ignored);
	return (false);
}

/* ---- one step ------------------------------------------------------------------ */

/* Is it about to go to another server, or looking for one? */
static bool
under_way(const struct gnbd_device *d)
{
	unsigned paths = (unsigned)gnbd_device_number(d, "Paths", 1);

	for (unsigned i = 0; i < paths; i++)
		if (gnbd_path_does(d, i, "MOVING") || gnbd_path_does(d, i, "TRIED"))
			return (true);
	return (false);
}

static bool
shows(const struct gnbd_device *d, const char *field)
{
	const char *text = gnbd_device_text(d, field);

	return (text != NULL && text[0] == 'y');
}

static enum gnbd_step
step(const struct gnbd_device *d, const struct gnbd_tls *tls, bool at_once,
    struct nbc_error *err)
{
	intmax_t to_fence = gnbd_device_number(d, "Fence", -1);
	intmax_t to_probe = gnbd_device_number(d, "Probe", -1);
	bool missing = gnbd_device_number(d, "ActiveConnections", 0) <
	    gnbd_device_number(d, "Connections", 1);
	bool ok;

	if (to_fence >= 0)
		ok = fence(d, (unsigned)to_fence, err);
	else if (to_probe >= 0)
		ok = probe(d, tls, (unsigned)to_probe, err);
	else if (missing && (at_once || shows(d, "DialNow")))
		ok = gnbd_bring_to(d, tls, 0, err) || was_outrun(d);
	else
		return (missing || shows(d, "Renewing") || under_way(d) ? GNBD_WAITS :
		    GNBD_COMPLETE);
	return (ok ? GNBD_DID : GNBD_FAILED);
}

enum gnbd_step
gnbd_tend(const char *device, const struct gnbd_tls *tls, bool at_once,
    struct nbc_error *err)
{
	struct gnbd_device d;
	enum gnbd_step result;

	if (!gnbd_device_see(&d, device, err))
		return (GNBD_FAILED);
	if (d.geom != NULL)
		result = step(&d, tls, at_once, err);
	else {
		(void)nbc_fail(err, NBC_USAGE, "There is no NBD device '%s'.", device);
		result = GNBD_GONE;
	}
	gnbd_device_end(&d);
	return (result);
}
