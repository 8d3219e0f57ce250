/*
 * g_nbd_mbuf.c - segments into mbufs, and mbufs into segments.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Payload is not copied on its way out.  Mapped data becomes one external mbuf per
 * segment; unmapped data becomes M_EXTPG mbufs of its pages.  With ktls(4) all of a
 * chain has to be M_EXTPG, and each mbuf becomes one TLS record, so mapped data is
 * given page by page too, and headers get a page of their own.
 *
 * Each mbuf over a bio's data counts in io_refs until its ext_free.  No locks.
 */
#include "g_nbd.h"

#include <sys/mbuf.h>

#include <vm/vm.h>
#include <vm/vm_page.h>

#include "compat.h"

#define	G_NBD_EXT_MAX	(1024 * 1024)	/* bytes of one external mbuf */

/* ---- out ----------------------------------------------------------------- */

static void
g_nbd_lend_to(struct mbuf *m, struct g_nbd_io *io)
{

	m->m_ext.ext_arg1 = io;
	refcount_acquire(&io->io_refs);
}

static struct mbuf *
g_nbd_mapped(struct g_nbd_io *io, uint64_t off, u_int len)
{
	struct mbuf *m;

	m = m_get(M_NOWAIT, MT_DATA);
	if (m == NULL)
		return (NULL);
	m_extadd(m, io->io_bio->bio_data + off, len, g_nbd_lent_free, io, NULL,
	    M_RDONLY, EXT_MOD_TYPE);
	g_nbd_lend_to(m, io);
	m->m_len = len;
	return (m);
}

/* The physical address of a byte of the bio's data. */
static vm_paddr_t
g_nbd_phys(const struct bio *bp, uint64_t off)
{

	if ((bp->bio_flags & BIO_UNMAPPED) == 0)
		return (pmap_kextract((vm_offset_t)bp->bio_data + off));
	off += bp->bio_ma_offset;
	return (VM_PAGE_TO_PHYS(bp->bio_ma[off >> PAGE_SHIFT]) +
	    (off & PAGE_MASK));
}

static void
g_nbd_add_page(struct mbuf *m, vm_paddr_t pa, u_int len)
{

	if (m->m_epg_npgs == 0)
		m->m_epg_1st_off = pa & PAGE_MASK;
	m->m_epg_pa[m->m_epg_npgs++] = trunc_page(pa);
	m->m_epg_last_len = len;
	m->m_len += len;
	m->m_ext.ext_size += PAGE_SIZE;
}

/*
 * As much of [off, off + len) as one mbuf takes, at most max bytes.  ktls(4) takes no
 * more pages than a full record fills, so one that begins inside a page is shorter.
 */
static struct mbuf *
g_nbd_paged(struct g_nbd_io *io, uint64_t off, u_int len, u_int max)
{
	const u_int pages = MIN(MAX(max / PAGE_SIZE, 1), MBUF_PEXT_MAX_PGS);
	struct mbuf *m;
	vm_paddr_t pa;
	u_int n;

	m = g_nbd_alloc_ext_pgs(M_NOWAIT, g_nbd_lent_free);
	if (m == NULL)
		return (NULL);
	g_nbd_lend_to(m, io);
	m->m_len = 0;
	if (len > max)
		len = max;
	for (; len != 0 && m->m_epg_npgs < pages; len -= n, off += n) {
		pa = g_nbd_phys(io->io_bio, off);
		n = MIN(len, PAGE_SIZE - (pa & PAGE_MASK));
		g_nbd_add_page(m, pa, n);
	}
	MBUF_EXT_PGS_ASSERT_SANITY(m);
	return (m);
}

static struct mbuf *
g_nbd_data(struct g_nbd_conn *nc, const struct nbe_seg *seg, u_int off, u_int len)
{
	struct g_nbd_io *io = g_nbd_io_of(seg->req);
	u_int max;

	if (nc->nc_tls_max == 0 && (io->io_bio->bio_flags & BIO_UNMAPPED) == 0)
		return (g_nbd_mapped(io, seg->off + off, MIN(len, G_NBD_EXT_MAX)));
	max = nc->nc_tls_max != 0 ? nc->nc_tls_max : MBUF_PEXT_MAX_PGS * PAGE_SIZE;
	return (g_nbd_paged(io, seg->off + off, len, max));
}

static struct mbuf *
g_nbd_copied_page(const uint8_t *from, u_int len)
{
	struct mbuf *m;

	m = mb_alloc_ext_plus_pages(len, M_NOWAIT);
	if (m == NULL)
		return (NULL);
	m->m_epg_last_len = len;
	m->m_ext.ext_size = PAGE_SIZE;
	m->m_len = len;
	MBUF_EXT_PGS_ASSERT_SANITY(m);
	memcpy((void *)PHYS_TO_DMAP(m->m_epg_pa[0]), from, len);
	return (m);
}

/* Bytes that are the engine's, and may change once they count as sent. */
static struct mbuf *
g_nbd_copied(struct g_nbd_conn *nc, const uint8_t *from, u_int len)
{
	struct mbuf *m;

	if (nc->nc_tls_max != 0)
		return (g_nbd_copied_page(from,
		    MIN(len, MIN(nc->nc_tls_max, PAGE_SIZE))));
	len = MIN(len, MCLBYTES);
	m = m_get2(len, M_NOWAIT, MT_DATA, 0);
	if (m == NULL)
		return (NULL);
	memcpy(mtod(m, void *), from, len);
	m->m_len = len;
	return (m);
}

/* One mbuf from off of the segment on, of at most len bytes. */
static struct mbuf *
g_nbd_one(struct g_nbd_conn *nc, const struct nbe_seg *seg, u_int off, u_int len)
{

	switch (seg->kind) {
	case NBE_SEG_DATA:
		return (g_nbd_data(nc, seg, off, len));
	case NBE_SEG_KEPT:
		atomic_add_64(&g_nbd_write_copied, 1);
		return (g_nbd_copied(nc, nc->nc_sc->sc_keep + seg->off + off, len));
	default:
		return (g_nbd_copied(nc, seg->base + off, len));
	}
}

/* At most room bytes of nc_tx_seg[]; fewer, or NULL, when mbufs are short. */
struct mbuf *
g_nbd_to_mbufs(struct g_nbd_conn *nc, u_int nseg, u_int room, u_int *len)
{
	struct mbuf *head = NULL, **tail = &head, *m;
	u_int i, off;

	*len = 0;
	for (i = 0; i < nseg; i++) {
		const struct nbe_seg *seg = &nc->nc_tx_seg[i];

		for (off = 0; off < seg->len && *len < room; off += m->m_len) {
			m = g_nbd_one(nc, seg, off,
			    MIN(seg->len - off, room - *len));
			if (m == NULL) {
				atomic_add_64(&g_nbd_enomems, 1);
				return (head);
			}
			*len += m->m_len;
			*tail = m;
			tail = &m->m_next;
		}
	}
	return (head);
}

/* ---- in ------------------------------------------------------------------ */

const uint8_t *
g_nbd_extpg_at(const struct mbuf *m, u_int off, u_int *len)
{
	u_int i, n;

	*len = 0;
	if (off >= (u_int)m->m_len)
		return (NULL);
	off += m->m_epg_1st_off;
	i = off >> PAGE_SHIFT;
	off &= PAGE_MASK;
	n = i == (u_int)m->m_epg_npgs - 1 ? m->m_epg_last_len +
	    (i == 0 ? m->m_epg_1st_off : 0) : PAGE_SIZE;
	*len = n - off;
	return ((const uint8_t *)PHYS_TO_DMAP(m->m_epg_pa[i]) + off);
}

/* Payload from the mbufs into the pages of its bios. */
void
g_nbd_from_segs(const struct nbe_seg *seg, u_int nseg)
{
	const struct bio *bp;
	uint8_t *to;
	uint64_t at;
	size_t len;

	for (; nseg != 0; seg++, nseg--) {
		bp = g_nbd_io_of(seg->req)->io_bio;
		for (at = 0; at < seg->len; at += len) {
			len = seg->len - at;
			to = g_nbd_bio_at(bp, seg->off + at, &len);
			if (seg->kind == NBE_SEG_ZERO)
				memset(to, 0, len);
			else
				memcpy(to, seg->base + at, len);
		}
	}
}
