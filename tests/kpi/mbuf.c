/*
 * mbuf.c - KPI host: mbufs.  A freed one is caught when it is used or freed again.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include <sys/mbuf.h>
#include <vm/vm.h>

#include "host.h"
#include "kpi.h"

#undef malloc
#undef free

#define MBUF_LIVE	0x6d627566
#define MBUF_FREE	0xdeadc0de

static long mbufs;

struct mbuf *
m_get(int how, short type)
{
	struct mbuf *m;

	(void)type;
	if (how == M_NOWAIT && kpi_fails())
		return NULL;
	m = calloc(1, sizeof(*m));
	m->m_magic = MBUF_LIVE;
	m->m_data = m->m_dat;
	__atomic_add_fetch(&mbufs, 1, __ATOMIC_SEQ_CST);
	return m;
}

static void
free_cluster(struct mbuf *m)
{
	free(m->m_ext.ext_arg1);
}

struct mbuf *
m_get2(int size, int how, short type, int flags)
{
	struct mbuf *m = m_get(how, type);

	(void)flags;
	if (m == NULL || size <= MLEN)
		return m;
	m_extadd(m, malloc((size_t)size), (u_int)size, free_cluster, NULL, NULL, 0, 0);
	m->m_ext.ext_arg1 = m->m_ext.ext_buf;
	return m;
}

void
m_extadd(struct mbuf *m, char *buf, u_int size, m_ext_free_t *func, void *arg1,
    void *arg2, int flags, int type)
{
	(void)arg2, (void)type;
	m->m_flags |= M_EXT | (u_int)flags;
	m->m_data = m->m_ext.ext_buf = buf;
	m->m_ext.ext_size = size;
	m->m_ext.ext_count = 1;
	m->m_ext.ext_free = func;
	m->m_ext.ext_arg1 = arg1;
}

#undef mb_alloc_ext_pgs
struct mbuf *
mb_alloc_ext_pgs(int how, m_ext_free_t *func)
{
	struct mbuf *m = m_get(how, MT_DATA);

	if (m == NULL)
		return NULL;
	m->m_flags |= M_EXT | M_EXTPG | M_RDONLY;
	m->m_data = NULL;
	m->m_ext.ext_count = 1;
	m->m_ext.ext_free = func;
	return m;
}

static void
free_pages(struct mbuf *m)
{
	for (int i = 0; i < m->m_epg_npgs; i++)
		free((void *)PHYS_TO_DMAP(m->m_epg_pa[i]));
}

struct mbuf *
mb_alloc_ext_plus_pages(int len, int how)
{
	struct mbuf *m = mb_alloc_ext_pgs(how, free_pages);

	if (m == NULL)
		return NULL;
	for (; len > 0; len -= PAGE_SIZE)
		m->m_epg_pa[m->m_epg_npgs++] = KPI_DMAP +
		    (vm_offset_t)aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	return m;
}

struct mbuf *
m_free(struct mbuf *m)
{
	struct mbuf *next = m->m_next;

	if (m->m_magic != MBUF_LIVE)
		kpi_panic("mbuf %p is freed twice", (void *)m);
	if ((m->m_flags & M_EXT) != 0)
		m->m_ext.ext_free(m);
	m->m_magic = MBUF_FREE;
	__atomic_sub_fetch(&mbufs, 1, __ATOMIC_SEQ_CST);
	free(m);
	return next;
}

void
m_freem(struct mbuf *m)
{
	while (m != NULL)
		m = m_free(m);
}

u_int
m_length(struct mbuf *m, struct mbuf **last)
{
	u_int len = 0;

	for (; m != NULL; m = m->m_next) {
		if (m->m_magic != MBUF_LIVE)
			kpi_panic("mbuf %p is used after free", (void *)m);
		len += (u_int)m->m_len;
		if (last != NULL)
			*last = m;
	}
	return len;
}

long
kpi_mbufs_inuse(void)
{
	return __atomic_load_n(&mbufs, __ATOMIC_SEQ_CST);
}
