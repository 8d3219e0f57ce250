/*
 * sys/mbuf.h - for the KPI host: mbufs with external and with paged storage.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_MBUF_H
#define KPI_SYS_MBUF_H

#include <sys/malloc.h>

#define M_EXT		0x0001
#define M_RDONLY	0x0008
#define M_EXTPG		0x0100
#define MT_DATA		1
#define EXT_MOD_TYPE	253
#define MBUF_PEXT_MAX_PGS 19
#define MLEN		224

struct mbuf;
typedef void m_ext_free_t(struct mbuf *);
struct m_ext {
	u_int		 ext_count;
	u_int		 ext_size;
	union {
		char	*ext_buf;
		vm_paddr_t extpg_pa[MBUF_PEXT_MAX_PGS];
	};
	m_ext_free_t	*ext_free;
	void		*ext_arg1;
};
struct mbuf {
	struct mbuf	*m_next;
	uint32_t	 m_magic;
	char		*m_data;
	int32_t		 m_len;
	uint32_t	 m_flags;
	uint8_t		 m_epg_npgs;
	uint16_t	 m_epg_1st_off, m_epg_last_len;
	struct m_ext	 m_ext;
	char		 m_dat[MLEN];
};
#define m_epg_pa	m_ext.extpg_pa
#define mtod(m, t)	((t)((m)->m_data))
#define MBUF_EXT_PGS_ASSERT_SANITY(m) KASSERT((m)->m_epg_npgs > 0 &&	\
	(m)->m_epg_npgs <= MBUF_PEXT_MAX_PGS &&				\
	(m)->m_epg_1st_off < PAGE_SIZE && (m)->m_epg_last_len > 0 &&	\
	(m)->m_epg_last_len <= PAGE_SIZE && ((m)->m_epg_npgs != 1 ||	\
	(m)->m_epg_1st_off + (m)->m_epg_last_len <= PAGE_SIZE),		\
	("mbuf %p: pages", (void *)(m)))

struct mbuf *m_get(int how, short type);
struct mbuf *m_get2(int size, int how, short type, int flags);
struct mbuf *mb_alloc_ext_pgs(int how, m_ext_free_t *);
#if __FreeBSD_version >= 1500027
#define mb_alloc_ext_pgs(how, free, flags)				\
	((void)(flags), (mb_alloc_ext_pgs)(how, free))
#endif
struct mbuf *mb_alloc_ext_plus_pages(int len, int how);
void	m_extadd(struct mbuf *, char *, u_int, m_ext_free_t *, void *, void *,
	    int flags, int type);
struct mbuf *m_free(struct mbuf *);
void	m_freem(struct mbuf *);
u_int	m_length(struct mbuf *, struct mbuf **last);

#endif
