/*
 * geom.c - KPI host: geoms, providers, bios, events, gctl.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One event thread runs what is posted, and control requests, with the topology
 * lock held; after each it takes away what has withered and is not open.
 */
#include <stdarg.h>
#include <stdlib.h>

#include <geom/geom.h>
#include <sys/mutex.h>
#include <sys/proc.h>

#include "kpi.h"

#undef malloc
#undef free

/* ---- topology ------------------------------------------------------------ */

static pthread_mutex_t topology = PTHREAD_MUTEX_INITIALIZER;

void
g_topology_lock(void)
{
	kpi_may_sleep("g_topology_lock", NULL);
	if (curthread->td_topology != 0)
		kpi_panic("the topology lock is held already");
	pthread_mutex_lock(&topology);
	curthread->td_topology = 1;
}

void
g_topology_unlock(void)
{
	kpi_topology_assert("g_topology_unlock");
	curthread->td_topology = 0;
	pthread_mutex_unlock(&topology);
}

void
kpi_topology_assert(const char *where)
{
	if (curthread->td_topology == 0)
		kpi_panic("%s without the topology lock", where);
}

/* ---- geoms --------------------------------------------------------------- */

static struct g_class *the_class;

struct g_geom *
g_new_geomf(struct g_class *mp, const char *fmt, ...)
{
	struct g_geom *gp = calloc(1, sizeof(*gp));
	va_list ap;

	g_topology_assert();
	va_start(ap, fmt);
	vsnprintf(gp->name, sizeof(gp->name), fmt, ap);
	va_end(ap);
	gp->class = mp;
	gp->geom.le_next = mp->geom.lh_first;
	mp->geom.lh_first = gp;
	return gp;
}

struct g_provider *
g_new_providerf(struct g_geom *gp, const char *fmt, ...)
{
	struct g_provider *pp = calloc(1, sizeof(*pp));
	va_list ap;

	g_topology_assert();
	va_start(ap, fmt);
	vsnprintf(pp->name, sizeof(pp->name), fmt, ap);
	va_end(ap);
	pp->geom = gp;
	pp->error = ENXIO;
	gp->provider = pp;
	return pp;
}

void
g_error_provider(struct g_provider *pp, int error)
{
	pp->error = error;
}

void
g_wither_geom(struct g_geom *gp, int error)
{
	g_topology_assert();
	gp->wither = true;
	__atomic_store_n(&gp->provider->error, error, __ATOMIC_RELAXED);
}

static void
destroy(struct g_class *mp, struct g_geom *gp)
{
	struct g_provider *pp = gp->provider;
	struct g_geom **at;

	if (__atomic_load_n(&pp->out, __ATOMIC_SEQ_CST) != 0)
		kpi_panic("%s goes with %ld bios", pp->name, pp->out);
	mp->providergone(pp);
	for (at = &mp->geom.lh_first; *at != gp; at = &(*at)->geom.le_next)
		;
	*at = gp->geom.le_next;
	free(pp);
	free(gp);
}

/* What has withered, and nobody has open, goes. */
static void
wash(struct g_class *mp)
{
	struct g_geom *gp, *next;

	for (gp = mp->geom.lh_first; gp != NULL; gp = next) {
		struct g_provider *pp = gp->provider;

		next = gp->geom.le_next;
		if (gp->wither && pp->acr + pp->acw + pp->ace == 0)
			destroy(mp, gp);
	}
}

struct g_provider *
kpi_provider(struct g_class *mp, const char *name)
{
	struct g_provider *pp = NULL;
	struct g_geom *gp;

	g_topology_lock();
	LIST_FOREACH(gp, &mp->geom, geom)
		if (strcmp(gp->name, name) == 0 && !gp->wither)
			pp = gp->provider;
	g_topology_unlock();
	return pp;
}

int
kpi_access(struct g_provider *pp, int r, int w, int e)
{
	int error;

	g_topology_lock();
	error = r > 0 || w > 0 || e > 0 ? pp->error : 0;
	if (error == 0)
		error = pp->geom->class->access(pp, r, w, e);
	if (error == 0) {
		pp->acr += r;
		pp->acw += w;
		pp->ace += e;
	}
	g_topology_unlock();
	kpi_event_drain();
	return error;
}

void
kpi_confxml(struct g_class *mp, char *buf, size_t len)
{
	struct sbuf sb = { buf, 0, len };
	struct g_geom *gp;

	buf[0] = '\0';
	g_topology_lock();
	LIST_FOREACH(gp, &mp->geom, geom)
		mp->dumpconf(&sb, "", gp, NULL, NULL);
	g_topology_unlock();
}

/* ---- bios ---------------------------------------------------------------- */

void
g_io_deliver(struct bio *bp, int error)
{
	struct g_provider *pp = bp->bio_to;

	kpi_no_locks("g_io_deliver");
	if ((__atomic_fetch_and(&bp->bio_flags, (uint16_t)~KPI_BIO_OUT,
	    __ATOMIC_SEQ_CST) & KPI_BIO_OUT) == 0)
		kpi_panic("bio %p is delivered twice", (void *)bp);
	bp->bio_error = error;
	if (error == 0 && bp->bio_completed != bp->bio_length &&
	    bp->bio_cmd != BIO_GETATTR)
		kpi_panic("bio %p is done, and is not complete", (void *)bp);
	__atomic_sub_fetch(&pp->out, 1, __ATOMIC_SEQ_CST);
	bp->bio_done(bp);
}

static int
check(const struct bio *bp, const struct g_provider *pp)
{
	int error = __atomic_load_n(&pp->error, __ATOMIC_RELAXED);

	if (error != 0)
		return error;
	if (bp->bio_cmd == BIO_GETATTR || bp->bio_cmd == BIO_FLUSH)
		return 0;
	if (bp->bio_offset % pp->sectorsize != 0 ||
	    bp->bio_length % pp->sectorsize != 0)
		return EINVAL;
	return bp->bio_offset > pp->mediasize - bp->bio_length ? EIO : 0;
}

void
kpi_bio_request(struct bio *bp, struct g_provider *pp)
{
	int error = check(bp, pp);

	kpi_no_locks("g_io_request");
	bp->bio_to = pp;
	bp->bio_completed = 0;
	bp->bio_t0.bt_sbt = sbinuptime();
	bp->bio_flags |= KPI_BIO_OUT;
	__atomic_add_fetch(&pp->out, 1, __ATOMIC_SEQ_CST);
	if (error != 0)
		g_io_deliver(bp, error);
	else
		pp->geom->class->start(bp);
}

static int
handleattr(struct bio *bp, const char *name, const void *val, off_t len)
{
	if (strcmp(bp->bio_attribute, name) != 0)
		return 0;
	if (len > bp->bio_length) {
		g_io_deliver(bp, EFAULT);
		return 1;
	}
	memcpy(bp->bio_data, val, (size_t)len);
	bp->bio_completed = len;
	g_io_deliver(bp, 0);
	return 1;
}

int
g_handleattr_int(struct bio *bp, const char *name, int val)
{
	return handleattr(bp, name, &val, sizeof(val));
}

int
g_handleattr_uint16_t(struct bio *bp, const char *name, uint16_t val)
{
	return handleattr(bp, name, &val, sizeof(val));
}

int
g_handleattr_str(struct bio *bp, const char *name, const char *val)
{
	return handleattr(bp, name, val, (off_t)strlen(val) + 1);
}

/* ---- events -------------------------------------------------------------- */

struct event {
	struct event	*next;
	g_event_t	*func;
	void		*arg, *ref;
};
static pthread_mutex_t events_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t events_cond = PTHREAD_COND_INITIALIZER;
static struct event *events;
static bool event_running;
static pthread_t event_pthread;

static void
post(g_event_t *func, void *arg, void *ref)
{
	struct event *e = calloc(1, sizeof(*e)), **at;

	*e = (struct event){ NULL, func, arg, ref };
	pthread_mutex_lock(&events_lock);
	for (at = &events; *at != NULL; at = &(*at)->next)
		;
	*at = e;
	pthread_cond_broadcast(&events_cond);
	pthread_mutex_unlock(&events_lock);
}

int
g_post_event(g_event_t *func, void *arg, int how, ...)
{
	va_list ap;

	if (how == M_WAITOK)
		kpi_may_sleep("g_post_event", NULL);
	va_start(ap, how);
	post(func, arg, va_arg(ap, void *));
	va_end(ap);
	return 0;
}

void
g_cancel_event(void *ref)
{
	struct event **at, *e;

	pthread_mutex_lock(&events_lock);
	for (at = &events; (e = *at) != NULL;) {
		if (e->ref != ref) {
			at = &e->next;
			continue;
		}
		*at = e->next;
		e->func(e->arg, EV_CANCEL);
		free(e);
	}
	pthread_mutex_unlock(&events_lock);
}

static void *
event_main(void *arg)
{
	struct event *e;

	(void)arg;
	pthread_mutex_lock(&events_lock);
	for (;;) {
		if ((e = events) == NULL) {
			pthread_cond_wait(&events_cond, &events_lock);
			continue;
		}
		events = e->next;
		event_running = true;
		pthread_mutex_unlock(&events_lock);
		g_topology_lock();
		e->func(e->arg, 0);
		g_topology_assert();
		wash(the_class);
		g_topology_unlock();
		free(e);
		pthread_mutex_lock(&events_lock);
		event_running = false;
		pthread_cond_broadcast(&events_cond);
	}
	return NULL;
}

static void
nothing(void *arg, int flag)
{
	(void)arg, (void)flag;
}

void
kpi_event_drain(void)
{
	post(nothing, NULL, NULL);
	pthread_mutex_lock(&events_lock);
	while (events != NULL || event_running)
		pthread_cond_wait(&events_cond, &events_lock);
	pthread_mutex_unlock(&events_lock);
}

struct resize {
	struct g_provider *pp;
	off_t size;
};

static void
resize(void *arg, int flag)
{
	struct resize *r = arg;

	(void)flag;
	r->pp->mediasize = r->size;
	free(r);
}

void
g_resize_provider(struct g_provider *pp, off_t size)
{
	struct resize *r = calloc(1, sizeof(*r));

	*r = (struct resize){ pp, size };
	post(resize, r, pp);
}

static u_int media_changes;

int
g_media_changed(struct g_provider *pp, int flag)
{
	(void)pp, (void)flag;
	kpi_topology_assert("g_media_changed");
	media_changes++;
	return 0;
}

u_int
kpi_media_changes(void)
{
	return media_changes;
}

/* ---- the class ----------------------------------------------------------- */

void
kpi_load(struct g_class *mp)
{
	the_class = mp;
	if (event_pthread == 0)
		pthread_create(&event_pthread, NULL, event_main, NULL);
	g_topology_lock();
	mp->init(mp);
	g_topology_unlock();
}

/* As g_unload_class: not while anything is open. */
int
kpi_unload(struct g_class *mp)
{
	struct g_geom *gp;
	int error = 0;

	g_topology_lock();
	LIST_FOREACH(gp, &mp->geom, geom)
		if (gp->provider->acr + gp->provider->acw + gp->provider->ace != 0)
			error = EBUSY;
	LIST_FOREACH(gp, &mp->geom, geom)
		if (error == 0 && !gp->wither)
			error = mp->destroy_geom(NULL, mp, gp);
	while (error == 0 && mp->geom.lh_first != NULL) {
		g_topology_unlock();
		kpi_event_drain();
		g_topology_lock();
	}
	if (error == 0)
		mp->fini(mp);
	g_topology_unlock();
	return error;
}

/* ---- gctl ---------------------------------------------------------------- */

struct param {
	char	name[32];
	void	*value;
	int	len;
};
struct gctl_req {
	struct g_class	*mp;
	char		verb[32];
	struct param	param[32];
	int		count;
	char		error[256], provider[32];
	bool		done;
};

struct gctl_req *
kpi_req(const char *verb)
{
	struct gctl_req *req = calloc(1, sizeof(*req));

	snprintf(req->verb, sizeof(req->verb), "%s", verb);
	return req;
}

void
kpi_req_add(struct gctl_req *req, const char *name, const void *value, int len)
{
	struct param *p = &req->param[req->count++];

	snprintf(p->name, sizeof(p->name), "%s", name);
	p->value = malloc((size_t)len + 1);
	memcpy(p->value, value, (size_t)len);
	p->len = len;
}

void
kpi_req_int(struct gctl_req *req, const char *name, intmax_t n)
{
	kpi_req_add(req, name, &n, sizeof(n));
}

void
kpi_req_text(struct gctl_req *req, const char *name, const char *s)
{
	kpi_req_add(req, name, s, (int)strlen(s) + 1);
}

static void
ctl(void *arg, int flag)
{
	struct gctl_req *req = arg;

	(void)flag;
	req->mp->ctlreq(req, req->mp, req->verb);
}

void
kpi_req_run(struct g_class *mp, struct gctl_req *req, char *error, size_t elen,
    char *provider, size_t plen)
{
	req->mp = mp;
	post(ctl, req, req);
	kpi_event_drain();
	snprintf(error, elen, "%s", req->error);
	if (provider != NULL)
		snprintf(provider, plen, "%s", req->provider);
	for (int i = 0; i < req->count; i++)
		free(req->param[i].value);
	free(req);
}

void *
gctl_get_param(struct gctl_req *req, const char *name, int *len)
{
	for (int i = 0; i < req->count; i++)
		if (strcmp(req->param[i].name, name) == 0) {
			if (len != NULL)
				*len = req->param[i].len;
			return req->param[i].value;
		}
	return NULL;
}

char const *
gctl_get_asciiparam(struct gctl_req *req, const char *name)
{
	int len;
	char *s = gctl_get_param(req, name, &len);

	if (s == NULL || len < 1 || s[len - 1] != '\0') {
		gctl_error(req, "'%s' is not a text", name);
		return NULL;
	}
	return s;
}

void
gctl_set_param_err(struct gctl_req *req, const char *name, void const *p, int len)
{
	if (strcmp(name, "provider") != 0 || len > (int)sizeof(req->provider))
		kpi_panic("gctl_set_param %s", name);
	memcpy(req->provider, p, (size_t)len);
}

int
gctl_error(struct gctl_req *req, const char *fmt, ...)
{
	va_list ap;

	if (req == NULL || req->error[0] != '\0')
		return 0;
	va_start(ap, fmt);
	vsnprintf(req->error, sizeof(req->error), fmt, ap);
	va_end(ap);
	return 0;
}
