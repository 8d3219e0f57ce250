/*
 * geom/geom.h - for the KPI host: classes, geoms, providers, events, gctl.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_GEOM_GEOM_H
#define KPI_GEOM_GEOM_H

#include <sys/bio.h>
#include <sys/malloc.h>
#include <sys/queue.h>
#include <sys/sbuf.h>

struct g_class;
struct g_geom;
struct g_consumer;
struct gctl_req;
struct thread;
typedef void g_ctl_req_t(struct gctl_req *, struct g_class *, char const *);
typedef int g_ctl_destroy_geom_t(struct gctl_req *, struct g_class *,
	    struct g_geom *);
typedef void g_dumpconf_t(struct sbuf *, const char *indent, struct g_geom *,
	    struct g_consumer *, struct g_provider *);

struct g_class {
	const char	*name;
	u_int		 version;
	void		(*init)(struct g_class *);
	void		(*fini)(struct g_class *);
	g_ctl_req_t	*ctlreq;
	g_ctl_destroy_geom_t *destroy_geom;
	void		(*start)(struct bio *);
	int		(*access)(struct g_provider *, int, int, int);
	g_dumpconf_t	*dumpconf;
	void		(*providergone)(struct g_provider *);
	LIST_HEAD(, g_geom) geom;
};
struct g_geom {
	char		 name[32];
	struct g_class	*class;
	LIST_ENTRY(g_geom) geom;
	struct g_provider *provider;
	void		*softc;
	bool		 wither;
};
struct g_provider {
	char		 name[32];
	struct g_geom	*geom;
	int		 acr, acw, ace;
	int		 error;
	off_t		 mediasize, stripesize;
	u_int		 sectorsize, flags;
	long		 out;		/* bios that are not delivered */
	void		*private;
};
#define G_VERSION		1
#define G_PF_ACCEPT_UNMAPPED	0x8
#define G_PF_DIRECT_SEND	0x10
#define G_PF_DIRECT_RECEIVE	0x20
#define EV_CANCEL		1

void	g_topology_lock(void);
void	g_topology_unlock(void);
void	kpi_topology_assert(const char *);
#define g_topology_assert()	kpi_topology_assert(__func__)

typedef void g_event_t(void *, int flag);
int	g_post_event(g_event_t *, void *, int how, ...);
void	g_cancel_event(void *ref);
struct g_geom *g_new_geomf(struct g_class *, const char *, ...) __printflike(2, 3);
struct g_provider *g_new_providerf(struct g_geom *, const char *, ...)
	    __printflike(2, 3);
void	g_error_provider(struct g_provider *, int);
void	g_resize_provider(struct g_provider *, off_t);
int	g_media_changed(struct g_provider *, int flag);
void	g_wither_geom(struct g_geom *, int);
void	g_io_deliver(struct bio *, int);
int	g_handleattr_int(struct bio *, const char *, int);
int	g_handleattr_uint16_t(struct bio *, const char *, uint16_t);
int	g_handleattr_str(struct bio *, const char *, const char *);

void	*gctl_get_param(struct gctl_req *, const char *, int *len);
char const *gctl_get_asciiparam(struct gctl_req *, const char *);
void	gctl_set_param_err(struct gctl_req *, const char *, void const *, int);
int	gctl_error(struct gctl_req *, const char *, ...) __printflike(2, 3);

#define DECLARE_GEOM_CLASS(class, name) struct g_class *kpi_##name = &class

#endif
