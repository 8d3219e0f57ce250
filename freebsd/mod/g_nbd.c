/*
 * g_nbd.c - the GEOM class NBD: devices come and go.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * User space negotiates and calls the control verbs:
 *
 *	connect		makes a device of connected sockets
 *	scale		changes how many connections it has; reconnects, too
 *	report		user space could not, or did, what the device asked for
 *	move		goes to another server of the disk
 *	renew		makes its connections anew, and the missing ones at once
 *	disconnect	ends it
 *
 * Locks: verbs run in GEOM's event thread with the topology lock held.  It is
 * dropped while disconnect waits; sc_stopping keeps others out.  sc_mtx is taken
 * inside it.  g_nbd.h has the order.
 */
#include "g_nbd.h"

#include <sys/limits.h>
#include <sys/module.h>
#include <sys/sysctl.h>

#include "compat.h"

FEATURE(geom_nbd, "GEOM NBD client");

MALLOC_DEFINE(M_GNBD, "gnbd", "GEOM NBD client");

struct taskqueue *g_nbd_taskqueue;
static struct unrhdr *g_nbd_units;

/* ---- parameters of a verb ------------------------------------------------ */

/* What connect and scale say of the server, and of how to use it. */
struct g_nbd_args {
	struct nbe_export a_exp;
	struct nbe_dev_config a_cfg;
	u_int		 a_sectorsize, a_stripesize;
	intmax_t	 a_conns;
	const int	*a_fds;
	u_int		 a_nfds;
	lwpid_t		 a_tid;
	uint32_t	 a_path;	/* where they lead to */
};

const void *
g_nbd_param(struct gctl_req *req, const char *name, int len)
{
	const void *p;
	int n;

	p = gctl_get_param(req, name, &n);
	if (p == NULL || n == len)
		return (p);
	gctl_error(req, "The length of '%s' is wrong.", name);
	return (NULL);
}

static bool
g_nbd_param_int(struct gctl_req *req, const char *name, intmax_t *value)
{
	const intmax_t *p = g_nbd_param(req, name, sizeof(*p));

	if (p != NULL)
		*value = *p;
	return (p != NULL);
}

bool
g_nbd_param_u32(struct gctl_req *req, const char *name, uint32_t *value)
{
	const uint32_t *p = g_nbd_param(req, name, sizeof(*p));

	if (p != NULL)
		*value = *p;
	return (p != NULL);
}

int
g_nbd_missing(struct gctl_req *req, const char *name)
{

	gctl_error(req, "The '%s' argument is missing.", name);
	return (EINVAL);
}

int
g_nbd_param_time(struct gctl_req *req, const char *name, intmax_t seconds,
    nbe_time *t)
{

	(void)g_nbd_param_int(req, name, &seconds);
	if (seconds < 0 || seconds > INT_MAX) {
		gctl_error(req, "'%s' is not a number of seconds.", name);
		return (EINVAL);
	}
	*t = seconds == 0 ? NBE_NEVER : (nbe_time)seconds * NBE_SECOND;
	return (0);
}

static int
g_nbd_args_sockets(struct gctl_req *req, struct g_nbd_args *a)
{
	const long *tid;
	int len;

	a->a_fds = gctl_get_param(req, "sockets", &len);
	if (a->a_fds == NULL) {
		a->a_nfds = 0;
		return (0);
	}
	if (len < 0 || len % sizeof(int) != 0 ||
	    len / sizeof(int) > NBE_MAX_CONNS) {
		gctl_error(req, "At most %d connections are possible.",
		    NBE_MAX_CONNS);
		return (EINVAL);
	}
	a->a_nfds = len / sizeof(int);
	tid = g_nbd_param(req, "thread", sizeof(*tid));
	if (tid == NULL)
		return (g_nbd_missing(req, "thread"));
	a->a_tid = *tid;
	(void)g_nbd_param_u32(req, "path", &a->a_path);
	return (0);
}

static void
g_nbd_args_export(struct gctl_req *req, struct nbe_export *e)
{
	const uint64_t *size;
	uint32_t flags = (uint32_t)e->flags << 16 | e->hs_flags;
	uint32_t framing = e->framing;

	size = g_nbd_param(req, "size", sizeof(*size));
	if (size != NULL)
		e->size = *size;
	(void)g_nbd_param_u32(req, "flags", &flags);
	(void)g_nbd_param_u32(req, "minimum_blocksize", &e->block_min);
	(void)g_nbd_param_u32(req, "preferred_blocksize", &e->block_pref);
	(void)g_nbd_param_u32(req, "maximum_payload", &e->payload_max);
	(void)g_nbd_param_u32(req, "framing", &framing);
	e->flags = flags >> 16;
	e->hs_flags = flags & 0xffff;
	e->framing = framing;
}

/* What nbe.h promises of an export, said by somebody else than the engine. */
static int
g_nbd_check_export(struct gctl_req *req, const struct nbe_export *e)
{
	const char *what = NULL;

	if (!powerof2(e->block_min) || e->block_min == 0 ||
	    e->block_min > NBE_BLOCK_MAX)
		what = "minimum block size";
	else if (!powerof2(e->block_pref) || e->block_pref < e->block_min ||
	    e->block_pref < 512)
		what = "preferred block size";
	else if (e->payload_max < e->block_pref ||
	    e->payload_max % e->block_min != 0)
		what = "maximum payload";
	else if (e->size == 0 || e->size > INT64_MAX ||
	    e->size % e->block_min != 0)
		what = "size";
	else if (e->framing > NBE_EXTENDED)
		what = "framing";
	if (what == NULL)
		return (0);
	gctl_error(req, "The %s of the export is invalid.", what);
	return (EINVAL);
}

static int
g_nbd_args_unflushed(struct gctl_req *req, struct nbe_dev_config *cfg)
{
	static const char *const names[] = {
		[NBE_UNFLUSHED_FAIL] = "fail",
		[NBE_UNFLUSHED_REPLAY] = "replay",
		[NBE_UNFLUSHED_IGNORE] = "ignore",
	};
	const char *s;
	u_int i;

	cfg->unflushed = NBE_UNFLUSHED_FAIL;
	if (gctl_get_param(req, "unflushed", NULL) == NULL)
		return (0);
	s = gctl_get_asciiparam(req, "unflushed");
	for (i = 0; s != NULL && i < nitems(names); i++)
		if (strcmp(s, names[i]) == 0) {
			cfg->unflushed = i;
			cfg->keep_size = G_NBD_KEEP_SIZE;
			cfg->keep_records = G_NBD_KEEP_RECORDS;
			return (0);
		}
	gctl_error(req, "'unflushed' is one of fail, replay, ignore.");
	return (EINVAL);
}

static int
g_nbd_args_config(struct gctl_req *req, struct g_nbd_args *a)
{
	struct nbe_dev_config *cfg = &a->a_cfg;
	bool multi = (a->a_exp.flags & NBE_FLAG_CAN_MULTI_CONN) != 0;

	cfg->conns_max = multi ? NBE_MAX_CONNS : 1;
	cfg->conns = a->a_conns;
	cfg->depth = G_NBD_DEPTH;
	cfg->part_max = g_nbd_maxpayload;
	cfg->seed = arc4random();
	cfg->backoff_min = G_NBD_BACKOFF_MIN;
	cfg->backoff_max = G_NBD_BACKOFF_MAX;
	if (g_nbd_param_time(req, "timeout", g_nbd_timeout, &cfg->timeout) != 0 ||
	    g_nbd_param_time(req, "dead_timeout", g_nbd_dead_timeout,
	    &cfg->dead_timeout) != 0 ||
	    g_nbd_param_time(req, "fence", 10, &cfg->fence) != 0)
		return (EINVAL);
	if (cfg->fence == NBE_NEVER)
		cfg->fence = 0;
	cfg->path = a->a_path;
	if (g_nbd_paths_config(req, cfg) != 0)
		return (EINVAL);
	return (g_nbd_args_unflushed(req, cfg));
}

static int
g_nbd_args_sizes(struct gctl_req *req, struct g_nbd_args *a)
{
	intmax_t sector = MAX(512, a->a_exp.block_min);
	intmax_t stripe = a->a_exp.block_pref;

	(void)g_nbd_param_int(req, "sectorsize", &sector);
	if (sector < MAX(512, (intmax_t)a->a_exp.block_min) ||
	    sector > NBE_BLOCK_MAX || !powerof2(sector)) {
		gctl_error(req, "The sector size is to be a power of two from "
		    "%u to %u.", MAX(512, a->a_exp.block_min), NBE_BLOCK_MAX);
		return (EINVAL);
	}
	if (stripe > INT_MAX || stripe % sector != 0)
		stripe = 0;		/* the server knows no sectors */
	(void)g_nbd_param_int(req, "stripesize", &stripe);
	if (stripe < 0 || stripe > INT_MAX || stripe % sector != 0) {
		gctl_error(req, "The stripe size is to be a multiple of the sector "
		    "size %jd, or 0 for none.", sector);
		return (EINVAL);
	}
	if (a->a_exp.size < (uint64_t)sector) {
		gctl_error(req, "The export is smaller than a sector.");
		return (EINVAL);
	}
	a->a_sectorsize = sector;
	a->a_stripesize = stripe;
	return (0);
}

static int
g_nbd_args_conns(struct gctl_req *req, struct g_nbd_args *a)
{

	if (!g_nbd_param_int(req, "connections", &a->a_conns))
		return (g_nbd_missing(req, "connections"));
	if (a->a_conns < 1 || a->a_conns > NBE_MAX_CONNS) {
		gctl_error(req, "Invalid number of connections.");
		return (EINVAL);
	}
	if (a->a_conns > 1 &&
	    (a->a_exp.flags & NBE_FLAG_CAN_MULTI_CONN) == 0) {
		gctl_error(req, "Server does not allow multiple connections.");
		return (EINVAL);
	}
	return (0);
}

/* ---- the device ---------------------------------------------------------- */

char *
g_nbd_string(struct gctl_req *req, const char *name)
{
	const char *s = NULL;

	if (gctl_get_param(req, name, NULL) != NULL)
		s = gctl_get_asciiparam(req, name);
	return (s == NULL ? NULL : strdup(s, M_GNBD));
}

static void
g_nbd_resize(void *arg, int flag)
{
	struct g_nbd_softc *sc = arg;
	struct g_provider *pp = sc->sc_provider;
	uint64_t size;

	if (flag == EV_CANCEL)
		return;
	g_topology_assert();
	mtx_lock(&sc->sc_mtx);
	size = nbe_dev_export(sc->sc_dev)->size;
	mtx_unlock(&sc->sc_mtx);
	if (pp == NULL || sc->sc_stopping)
		return;
	g_resize_provider(pp, rounddown2(size, sc->sc_sectorsize));
	g_nbd_tell_devd(sc, "RESIZED");
}

/* What GEOM wanted to see of the disk and could not, it looks at now. */
static void
g_nbd_look_again(struct g_nbd_softc *sc)
{
	bool unseen;

	g_topology_assert();
	mtx_lock(&sc->sc_mtx);
	unseen = sc->sc_unseen && sc->sc_conns != 0;
	if (unseen)
		sc->sc_unseen = false;
	mtx_unlock(&sc->sc_mtx);
	if (unseen)
		(void)g_media_changed(sc->sc_provider, M_WAITOK);
}

static void
g_nbd_speaks_again(void *arg, int flag)
{
	struct g_nbd_softc *sc = arg;

	if (flag != EV_CANCEL && sc->sc_provider != NULL && !sc->sc_stopping)
		g_nbd_look_again(sc);
}

/* What is told others, while sc_mtx is not held. */
struct g_nbd_news {
	bool		 n_resized, n_wanted, n_speaks, n_died;
};

static struct g_nbd_news
g_nbd_news_take(struct g_nbd_softc *sc)
{
	struct g_nbd_news n = { sc->sc_resized, sc->sc_wanted, sc->sc_speaks,
		sc->sc_died };

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	sc->sc_resized = sc->sc_wanted = sc->sc_speaks = sc->sc_died = false;
	return (n);
}

static void
g_nbd_news_tell(struct g_nbd_softc *sc, const struct g_nbd_news *n)
{

	if (n->n_resized)
		g_post_event(g_nbd_resize, sc, M_WAITOK, sc, NULL);
	if (n->n_speaks)
		g_post_event(g_nbd_speaks_again, sc, M_WAITOK, sc, NULL);
	if (n->n_wanted)
		g_nbd_tell_devd(sc, "WANTED");
	if (n->n_died)
		g_nbd_tell_devd(sc, "DEAD");
}

/* What turns leave to a thread. */
static void
g_nbd_task(void *arg, int pending __unused)
{
	struct g_nbd_softc *sc = arg;
	struct nbe_req *done, *lent_done;
	struct g_nbd_news news;
	uint32_t shut;
	nbe_time now;

	mtx_lock(&sc->sc_mtx);
	now = g_nbd_now(sc);
	g_nbd_conns_look(sc, now);
	nbe_tick(sc->sc_dev, now);
	g_nbd_check_looks(sc, now);
	done = g_nbd_turn(sc, now);
	lent_done = sc->sc_done;
	sc->sc_done = NULL;
	shut = sc->sc_shut;
	sc->sc_shut = 0;
	news = g_nbd_news_take(sc);
	mtx_unlock(&sc->sc_mtx);
	g_nbd_complete(done);
	g_nbd_complete(lent_done);
	g_nbd_conn_shutdown(sc, shut);
	g_nbd_news_tell(sc, &news);
}

static struct g_nbd_softc *
g_nbd_softc_new(struct gctl_req *req, const struct g_nbd_args *a)
{
	struct g_nbd_softc *sc;
	const struct nbe_dev_config *cfg = &a->a_cfg;
	const bool *tls = g_nbd_param(req, "tls", sizeof(*tls));

	sc = malloc(sizeof(*sc), M_GNBD, M_WAITOK | M_ZERO);
	/* Not the name of the task queue's mutex, which is taken inside it. */
	mtx_init(&sc->sc_mtx, "gnbd device", NULL, MTX_DEF);
	cv_init(&sc->sc_gone_cv, "nbdgone");
	callout_init_mtx(&sc->sc_callout, &sc->sc_mtx, 0);
	TASK_INIT(&sc->sc_task, 0, g_nbd_task, sc);
	sc->sc_unit = alloc_unr(g_nbd_units);
	sc->sc_wake = NBE_NEVER;
	sc->sc_look = MIN(cfg->timeout / 2, G_NBD_LOOK_MAX);
	sc->sc_patience = G_NBD_PATIENCE_MIN;
	sc->sc_conns_max = cfg->conns_max;
	sc->sc_sectorsize = a->a_sectorsize;
	sc->sc_stripesize = a->a_stripesize;
	sc->sc_tls = tls != NULL && *tls;
	g_nbd_paths_init(req, sc, cfg);
	sc->sc_description = g_nbd_string(req, "description");
	if (cfg->unflushed == NBE_UNFLUSHED_REPLAY)
		sc->sc_keep = malloc(cfg->keep_size, M_GNBD, M_WAITOK);
	sc->sc_dev_mem = malloc(nbe_dev_size(cfg), M_GNBD, M_WAITOK);
	mtx_lock(&sc->sc_mtx);
	sc->sc_dev = nbe_dev_init(sc->sc_dev_mem, cfg, &a->a_exp, g_nbd_now(sc));
	mtx_unlock(&sc->sc_mtx);
	return (sc);
}

/* Stopped, without connections, and no longer known to GEOM. */
static void
g_nbd_softc_free(struct g_nbd_softc *sc)
{

	g_topology_assert();
	g_cancel_event(sc);
	callout_drain(&sc->sc_callout);
	taskqueue_drain(g_nbd_taskqueue, &sc->sc_task);
	g_nbd_conn_free(sc);
	free_unr(g_nbd_units, sc->sc_unit);
	cv_destroy(&sc->sc_gone_cv);
	mtx_destroy(&sc->sc_mtx);
	free(sc->sc_dev_mem, M_GNBD);
	free(sc->sc_keep, M_GNBD);
	g_nbd_paths_free(sc);
	free(sc->sc_description, M_GNBD);
	free(sc, M_GNBD);
}

static void
g_nbd_stop_engine(struct g_nbd_softc *sc, bool drain)
{
	struct nbe_req *done;
	nbe_time now;

	mtx_lock(&sc->sc_mtx);
	if (!drain)
		sc->sc_forced = true;
	now = g_nbd_now(sc);
	nbe_stop(sc->sc_dev, drain, now);
	done = g_nbd_turn(sc, now);
	mtx_unlock(&sc->sc_mtx);
	g_nbd_complete(done);
}

/* True: stopped, and no connection is left. */
static bool
g_nbd_wait_stopped(struct g_nbd_softc *sc, u_int seconds)
{
	sbintime_t end = sbinuptime() + seconds * SBT_1S;
	bool done;

	mtx_lock(&sc->sc_mtx);
	while (!(done = sc->sc_stopped && sc->sc_conns == 0) &&
	    (seconds == 0 || sbinuptime() < end))
		(void)cv_timedwait(&sc->sc_gone_cv, &sc->sc_mtx, hz);
	mtx_unlock(&sc->sc_mtx);
	return (done);
}

/* A server that does not answer any more cannot keep the device. */
static void
g_nbd_stop(struct g_nbd_softc *sc, bool drain)
{

	if (drain) {
		g_nbd_stop_engine(sc, true);
		if (g_nbd_wait_stopped(sc, G_NBD_DRAIN_SECONDS))
			return;
		G_NBD_LOG(G_NBD_WARN, sc, "the server does not finish; "
		    "disconnecting all the same");
	}
	g_nbd_stop_engine(sc, false);
	(void)g_nbd_wait_stopped(sc, 0);
}

/* ---- methods of the class ------------------------------------------------ */

static int
g_nbd_access(struct g_provider *pp, int dr __unused, int dw, int de __unused)
{
	struct g_nbd_softc *sc = pp->private;

	g_topology_assert();
	if (sc->sc_stopping)
		return (dr > 0 || dw > 0 || de > 0 ? ENXIO : 0);
	if (dw > 0 && (nbe_dev_export(sc->sc_dev)->flags &
	    NBE_FLAG_READ_ONLY) != 0)
		return (EROFS);
	return (0);
}

static void
g_nbd_providergone(struct g_provider *pp)
{
	struct g_nbd_softc *sc = pp->private;

	g_topology_assert();
	pp->private = NULL;
	pp->geom->softc = NULL;
	g_nbd_softc_free(sc);
}

static int
g_nbd_destroy_geom(struct gctl_req *req __unused, struct g_class *mp __unused,
    struct g_geom *gp)
{
	struct g_nbd_softc *sc = gp->softc;

	g_topology_assert();
	if (sc == NULL || sc->sc_stopping)
		return (EBUSY);
	sc->sc_stopping = true;
	g_nbd_stop(sc, true);
	g_wither_geom(gp, ENXIO);
	return (0);
}

/* ---- verbs --------------------------------------------------------------- */

static struct g_geom *
g_nbd_find(struct gctl_req *req, struct g_class *mp)
{
	const char *name = gctl_get_asciiparam(req, "arg0");
	struct g_geom *gp;
	struct g_nbd_softc *sc;

	g_topology_assert();
	if (name == NULL) {
		(void)g_nbd_missing(req, "arg0");
		return (NULL);
	}
	if (strncmp(name, _PATH_DEV, sizeof(_PATH_DEV) - 1) == 0)
		name += sizeof(_PATH_DEV) - 1;
	LIST_FOREACH(gp, &mp->geom, geom) {
		sc = gp->softc;
		if (strcmp(gp->name, name) == 0 && sc != NULL && !sc->sc_stopping)
			return (gp);
	}
	gctl_error(req, "There is no NBD device '%s'.", name);
	return (NULL);
}

static void
g_nbd_tell_not_stolen(struct gctl_req *req, int error)
{

	if (error == EAFNOSUPPORT)
		gctl_error(req, "This kernel serves no disk over a UNIX socket; "
		    "connect by TCP.");
	else
		gctl_error(req, "The sockets cannot be taken over (error %d).",
		    error);
}

/* All sockets become connections, or are closed.  The first error is told. */
static int
g_nbd_add_conns(struct gctl_req *req, struct g_nbd_softc *sc,
    const struct g_nbd_args *a)
{
	struct socket *so[NBE_MAX_CONNS];
	enum nbe_why why;
	u_int i;
	int error, first = 0;

	error = g_nbd_conn_steal(a->a_tid, a->a_fds, a->a_nfds, so);
	if (error != 0) {
		g_nbd_tell_not_stolen(req, error);
		return (error);
	}
	for (i = 0; i < a->a_nfds; i++) {
		error = g_nbd_conn_up(sc, so[i], a->a_path, &a->a_exp, a->a_conns,
		    &why);
		if (error == 0 || first != 0)
			continue;
		first = error;
		if (why != NBE_WHY_NONE)
			gctl_error(req, "A connection was refused: %s.",
			    nbe_why_text(why));
		else if (error == ENOPROTOOPT)
			gctl_error(req, "TLS is %s on the socket.",
			    sc->sc_tls ? "missing" : "not expected");
		else
			gctl_error(req, "A connection cannot be set up "
			    "(error %d).", error);
	}
	return (first);
}

static void
g_nbd_announce(struct gctl_req *req, struct g_class *mp, struct g_nbd_softc *sc)
{
	struct g_geom *gp;
	struct g_provider *pp;

	g_topology_assert();
	gp = g_new_geomf(mp, "nbd%u", sc->sc_unit);
	gp->softc = sc;
	pp = g_new_providerf(gp, "%s", gp->name);
	pp->private = sc;
	pp->flags |= G_PF_DIRECT_SEND | G_PF_DIRECT_RECEIVE |
	    G_PF_ACCEPT_UNMAPPED;
	pp->mediasize = rounddown2(nbe_dev_export(sc->sc_dev)->size,
	    sc->sc_sectorsize);
	pp->sectorsize = sc->sc_sectorsize;
	pp->stripesize = sc->sc_stripesize;
	sc->sc_provider = pp;
	g_error_provider(pp, 0);
	gctl_set_param_err(req, "provider", gp->name, strlen(gp->name) + 1);
}

static int
g_nbd_args_connect(struct gctl_req *req, struct g_nbd_args *a)
{
	struct nbe_export *e = &a->a_exp;

	memset(a, 0, sizeof(*a));
	e->block_min = 1;
	e->block_pref = 4096;
	e->payload_max = NBE_PAYLOAD_DEFAULT;
	g_nbd_args_export(req, e);
	if (g_nbd_check_export(req, e) != 0 ||
	    g_nbd_args_conns(req, a) != 0 ||
	    g_nbd_args_sockets(req, a) != 0 ||
	    g_nbd_args_config(req, a) != 0 ||
	    g_nbd_args_sizes(req, a) != 0)
		return (EINVAL);
	if (a->a_nfds == 0)
		return (g_nbd_missing(req, "sockets"));
	if (a->a_nfds != a->a_conns) {
		gctl_error(req, "Invalid number of sockets.");
		return (EINVAL);
	}
	return (0);
}

static void
g_nbd_ctl_connect(struct gctl_req *req, struct g_class *mp)
{
	struct g_nbd_args *a;
	struct g_nbd_softc *sc;

	g_topology_assert();
	a = malloc(sizeof(*a), M_GNBD, M_WAITOK);
	if (g_nbd_args_connect(req, a) != 0)
		goto out;
	sc = g_nbd_softc_new(req, a);
	if (g_nbd_add_conns(req, sc, a) != 0) {
		g_nbd_stop(sc, false);
		g_nbd_softc_free(sc);
		goto out;
	}
	g_nbd_announce(req, mp, sc);
out:
	free(a, M_GNBD);
}

/* Fewer end what they have; more come with their sockets. */
static void
g_nbd_scale(struct gctl_req *req, struct g_nbd_softc *sc, struct g_nbd_args *a)
{
	struct nbe_req *done;
	const int *n;
	nbe_time now;

	mtx_lock(&sc->sc_mtx);
	a->a_exp = *nbe_dev_export(sc->sc_dev);
	mtx_unlock(&sc->sc_mtx);
	if (g_nbd_args_conns(req, a) != 0 || g_nbd_args_sockets(req, a) != 0)
		return;
	if (a->a_path >= sc->sc_paths) {
		gctl_error(req, "The device has no path %u.", a->a_path);
		return;
	}
	n = g_nbd_param(req, "nsockets", sizeof(*n));
	if (n != NULL && (*n < 0 || (u_int)*n != a->a_nfds)) {
		gctl_error(req, "Invalid number of sockets.");
		return;
	}
	g_nbd_args_export(req, &a->a_exp);
	if (g_nbd_check_export(req, &a->a_exp) != 0)
		return;
	mtx_lock(&sc->sc_mtx);
	now = g_nbd_now(sc);
	nbe_scale(sc->sc_dev, a->a_conns, now);
	done = g_nbd_turn(sc, now);
	mtx_unlock(&sc->sc_mtx);
	g_nbd_complete(done);
	if (a->a_nfds != 0)
		(void)g_nbd_add_conns(req, sc, a);
	g_nbd_look_again(sc);
}

static void
g_nbd_ctl_scale(struct gctl_req *req, struct g_class *mp)
{
	struct g_geom *gp = g_nbd_find(req, mp);
	struct g_nbd_args *a;

	g_topology_assert();
	if (gp == NULL)
		return;
	a = malloc(sizeof(*a), M_GNBD, M_WAITOK | M_ZERO);
	g_nbd_scale(req, gp->softc, a);
	free(a, M_GNBD);
}

static void
g_nbd_ctl_report(struct gctl_req *req, struct g_class *mp)
{
	struct g_geom *gp = g_nbd_find(req, mp);

	if (gp != NULL)
		g_nbd_report(req, gp->softc);
}

static void
g_nbd_ctl_move(struct gctl_req *req, struct g_class *mp)
{
	struct g_geom *gp = g_nbd_find(req, mp);

	if (gp != NULL)
		g_nbd_move(req, gp->softc);
}

static void
g_nbd_renew(struct g_nbd_softc *sc)
{
	struct nbe_req *done;
	nbe_time now;

	mtx_lock(&sc->sc_mtx);
	now = g_nbd_now(sc);
	nbe_reconnect(sc->sc_dev, now);
	done = g_nbd_turn(sc, now);
	mtx_unlock(&sc->sc_mtx);
	g_nbd_complete(done);
}

static void
g_nbd_ctl_renew(struct gctl_req *req, struct g_class *mp)
{
	struct g_geom *gp = g_nbd_find(req, mp);

	if (gp != NULL)
		g_nbd_renew(gp->softc);
}

static void
g_nbd_ctl_disconnect(struct gctl_req *req, struct g_class *mp)
{
	struct g_geom *gp = g_nbd_find(req, mp);
	struct g_nbd_softc *sc;
	const int *force;
	struct g_provider *pp;

	g_topology_assert();
	if (gp == NULL)
		return;
	sc = gp->softc;
	pp = sc->sc_provider;
	force = g_nbd_param(req, "force", sizeof(*force));
	if ((force == NULL || *force == 0) &&
	    (pp->acr != 0 || pp->acw != 0 || pp->ace != 0)) {
		gctl_error(req, "Device %s is in use (r%dw%de%d).", gp->name,
		    pp->acr, pp->acw, pp->ace);
		return;
	}
	sc->sc_stopping = true;
	g_topology_unlock();
	g_nbd_stop(sc, force == NULL || *force == 0);
	g_topology_lock();
	g_wither_geom(gp, ENXIO);
}

static void
g_nbd_ctlreq(struct gctl_req *req, struct g_class *mp, const char *verb)
{
	static const struct {
		const char *verb;
		void (*run)(struct gctl_req *, struct g_class *);
	} verbs[] = {
		{ "connect", g_nbd_ctl_connect },
		{ "scale", g_nbd_ctl_scale },
		{ "report", g_nbd_ctl_report },
		{ "move", g_nbd_ctl_move },
		{ "renew", g_nbd_ctl_renew },
		{ "disconnect", g_nbd_ctl_disconnect },
	};
	const uint32_t *version;
	u_int i;

	g_topology_assert();
	version = g_nbd_param(req, "version", sizeof(*version));
	if (version != NULL && *version != G_NBD_VERSION) {
		gctl_error(req, "Userland and kernel parts are out of sync.");
		return;
	}
	for (i = 0; i < nitems(verbs); i++)
		if (strcmp(verb, verbs[i].verb) == 0) {
			verbs[i].run(req, mp);
			return;
		}
	gctl_error(req, "Unknown verb '%s'.", verb);
}

static void
g_nbd_init(struct g_class *mp __unused)
{

	g_nbd_units = new_unrhdr(0, INT_MAX, NULL);
	g_nbd_io_init();
	g_nbd_taskqueue = taskqueue_create("gnbd", M_WAITOK,
	    taskqueue_thread_enqueue, &g_nbd_taskqueue);
	(void)taskqueue_start_threads(&g_nbd_taskqueue, 1, PRIBIO, "gnbd");
}

static void
g_nbd_fini(struct g_class *mp __unused)
{

	taskqueue_free(g_nbd_taskqueue);
	g_nbd_io_fini();
	delete_unrhdr(g_nbd_units);
}

static struct g_class g_nbd_class = {
	.name = G_NBD_CLASS_NAME,
	.version = G_VERSION,
	.init = g_nbd_init,
	.fini = g_nbd_fini,
	.ctlreq = g_nbd_ctlreq,
	.destroy_geom = g_nbd_destroy_geom,
	.start = g_nbd_start,
	.access = g_nbd_access,
	.dumpconf = g_nbd_dumpconf,
	.providergone = g_nbd_providergone,
};

DECLARE_GEOM_CLASS(g_nbd_class, g_nbd);
MODULE_VERSION(geom_nbd, G_NBD_VERSION);
