/*
 * compat.h - what differs between FreeBSD 14, 15 and 16.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One entry per difference, with the version and the reason.  What can be
 * written in one way for all versions is written in that way and listed here
 * too, so that nobody "simplifies" it:
 *
 *  - Descriptors: fget(9) and f_type, not getsock(9), which changed its
 *    arguments during 14-CURRENT.
 *  - Socket buffer locks: SOCK_SENDBUF_LOCK and its like (since 1400050), not
 *    SOCKBUF_LOCK, which may not be used on a listening socket.
 *  - Lock names: WITNESS tells locks apart by name, so sc_mtx does not share one
 *    with the task queue, whose mutex has the queue's.
 *  - soshutdown(9): since 15 its second argument is an enum; SHUT_RDWR is right
 *    for both.
 *  - kern.ipc.tls.enable: 1 by default since 15, 0 before.
 *  - XML escaping: our own; g_conf_cat_escaped is private to sys/geom.
 */
#ifndef _G_NBD_COMPAT_H_
#define	_G_NBD_COMPAT_H_

#include <sys/param.h>

#include <vm/vm.h>
#include <vm/pmap.h>
#include <machine/vmparam.h>

#if __FreeBSD_version < 1400000
#error "geom_nbd needs FreeBSD 14 or newer"
#endif

/*
 * 1500027: mb_alloc_ext_pgs takes the mbuf's flags; before, it set M_RDONLY itself.
 */
#if __FreeBSD_version >= 1500027
#define	g_nbd_alloc_ext_pgs(how, free)	mb_alloc_ext_pgs(how, free, M_RDONLY)
#else
#define	g_nbd_alloc_ext_pgs(how, free)	mb_alloc_ext_pgs(how, free)
#endif

/*
 * 15: stream sockets of unix(4) were rewritten.  A send wants a packet header, and one
 * that was cut does not tell where; soreceive(9) gives no mbufs; no upcall tells of
 * room.  Such a socket is refused.
 */
#define	G_NBD_LOCAL_SOCKETS	(__FreeBSD_version < 1500000)

/*
 * All versions: pages of unmapped bios and mbufs are reached through the direct
 * map.  i386 and 32-bit arm have none; they are not supported.
 */
#ifndef PHYS_TO_DMAP
#error "geom_nbd needs an architecture with a direct map"
#endif

#endif
