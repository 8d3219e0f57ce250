/*
 * kpi.h - the KPI host, as a test sees it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The host plays those interfaces of the FreeBSD kernel that geom_nbd.ko uses, in
 * user space, so that its unmodified sources run on Linux.  It checks what a kernel
 * with INVARIANTS and WITNESS checks: order of locks, sleeping with a mutex held,
 * bios delivered twice, mbufs freed twice, memory that is left over.  What fails
 * panics: one line on stderr, and abort.
 *
 *	kern.c	 locks, threads, time, memory, sysctls, devctl
 *	mbuf.c	 mbufs
 *	socket.c socket buffers; two threads move them through a real socket
 *	geom.c	 geoms, providers, bios, events, gctl
 */
#ifndef KPI_H
#define KPI_H

#include <geom/geom.h>

/* From now on so many of 1000 M_NOWAIT allocations fail. */
void	kpi_fail(u_int permille);
/* Objects in use: of malloc, of zones, mbufs, bios with providers. */
long	kpi_malloc_inuse(void);
long	kpi_mbufs_inuse(void);
long	kpi_sockets_inuse(void);
/* Sockets whose last close reset them, so far. */
long	kpi_sockets_reset(void);
long	kpi_threads_inuse(void);
/* Panics, and says what is left over. */
void	kpi_check_leaks(void);
/* Acquisitions of all mutexes of this name so far. */
uint64_t kpi_lock_count(const char *name);
/* How often somebody waited on a condition variable with an end. */
u_int	kpi_timed_waits(void);

void	*kpi_sysctl(const char *parent, const char *name);
/* The last devctl event, and how many there were. */
u_int	kpi_devctl_count(void);
/* How many of them were of this type. */
u_int	kpi_devctl_told(const char *type);
void	kpi_devctl_last(char *buf, size_t len);

/* A connected socket of the system as a descriptor of the playing process, which a
 * close resets; it plays one of this family, AF_INET or AF_LOCAL; with tls as if
 * ktls(4) were on.  Takes fd over. */
int	kpi_fd_install(int fd, int family, bool tls);
/* Sessions of sockets that are installed from now on have protected so many records. */
void	kpi_tls_records(uint64_t);
/* Amid the next reply, after so many records, comes a KeyUpdate. */
void	kpi_tls_update(u_int after);
void	kpi_fd_close(int kfd);

/* How often GEOM was told to look at a provider again. */
u_int	kpi_media_changes(void);

/* kldload, kldunload. */
void	kpi_load(struct g_class *);
int	kpi_unload(struct g_class *);

/* One control request, built parameter by parameter. */
struct gctl_req *kpi_req(const char *verb);
void	kpi_req_add(struct gctl_req *, const char *name, const void *, int len);
void	kpi_req_int(struct gctl_req *, const char *name, intmax_t);
void	kpi_req_text(struct gctl_req *, const char *name, const char *);
/* Runs it in the event thread.  The error text, "" for none; req is gone. */
void	kpi_req_run(struct g_class *, struct gctl_req *, char *error, size_t elen,
	    char *provider, size_t plen);

/* The confxml of a class's geoms. */
void	kpi_confxml(struct g_class *, char *buf, size_t len);
struct g_provider *kpi_provider(struct g_class *, const char *name);
int	kpi_access(struct g_provider *, int r, int w, int e);
/* As g_io_request: checks, and gives it to the provider. */
void	kpi_bio_request(struct bio *, struct g_provider *);
/* Until all that was posted is done. */
void	kpi_event_drain(void);

#endif
