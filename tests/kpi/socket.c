/*
 * socket.c - KPI host: socket buffers, with a real socket behind them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * As in the kernel, data moves between a buffer and the peer behind the caller's
 * back: two threads per socket are the network.  They free what was sent with the
 * buffer's mutex held, as the protocols do, and they cut what comes into mbufs of
 * many kinds and sizes.
 */
#include <stdlib.h>
#include <unistd.h>

#include <sys/domain.h>
#include <sys/file.h>
#include <sys/ktls.h>
#include <sys/protosw.h>
#include <sys/socketvar.h>
#include <sys/sockopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <opencrypto/cryptodev.h>
#include <vm/vm.h>

#include "host.h"
#include "kpi.h"

#undef malloc
#undef free

#define WIRE_IOVS	64
#define WIRE_MAX	65536
#define TLS_HANDSHAKE	22

u_long sb_max = 2 * 1024 * 1024;
const struct fileops badfileops, goodfileops;
static struct file *files[256];
static long sockets, sockets_reset;
static uint64_t tls_records;
static u_int tls_update;		/* it comes with this record; 0: it does not */

/* ---- buffers ------------------------------------------------------------- */

long
sbspace(struct sockbuf *sb)
{
	long room = (long)sb->sb_hiwat - sb->sb_acc;
	long mbufs = (long)sb->sb_mbmax - sb->sb_mbcnt;

	return MIN(room, mbufs);
}

static u_int
weight(const struct mbuf *m)
{
	return MSIZE + ((m->m_flags & M_EXT) != 0 ? m->m_ext.ext_size : 0);
}

static void
append(struct sockbuf *sb, struct mbuf *m)
{
	for (; m != NULL; m = m->m_next) {
		if (sb->sb_mbtail == NULL)
			sb->sb_mb = m;
		else
			sb->sb_mbtail->m_next = m;
		sb->sb_mbtail = m;
		sb->sb_acc += (u_int)m->m_len;
		sb->sb_mbcnt += weight(m);
	}
}

/* The first mbuf leaves the buffer. */
static struct mbuf *
take(struct sockbuf *sb)
{
	struct mbuf *m = sb->sb_mb;

	sb->sb_mb = m->m_next;
	if (sb->sb_mb == NULL)
		sb->sb_mbtail = NULL;
	sb->sb_acc -= (u_int)m->m_len;
	sb->sb_mbcnt -= weight(m);
	m->m_next = NULL;
	return m;
}

static void
flush(struct sockbuf *sb)
{
	while (sb->sb_mb != NULL)
		m_free(take(sb));
}

static void
wakeup_sb(struct socket *so, struct sockbuf *sb)
{
	if (sb->sb_upcall != NULL)
		sb->sb_upcall(so, sb->sb_upcallarg, M_NOWAIT);
	cv_broadcast(&sb->sb_cv);
}

/* ---- the network --------------------------------------------------------- */

static void
jitter(void)
{
	if (random() % 16 == 0)
		usleep((useconds_t)(random() % 300));
}

static u_int
page_len(const struct mbuf *m, int i)
{
	if (i == m->m_epg_npgs - 1)
		return m->m_epg_last_len;
	return i == 0 ? PAGE_SIZE - m->m_epg_1st_off : PAGE_SIZE;
}

/* The first bytes of the buffer, and only those of whole mbufs. */
static int
gather(const struct sockbuf *sb, struct iovec *iov, size_t *len)
{
	int n = 0;

	*len = 0;
	for (struct mbuf *m = sb->sb_mb; m != NULL; m = m->m_next) {
		int pages = (m->m_flags & M_EXTPG) != 0 ? m->m_epg_npgs : 1;

		if (n + pages > WIRE_IOVS)
			break;
		for (int i = 0; i < pages; i++, n++)
			if ((m->m_flags & M_EXTPG) == 0)
				iov[n] = (struct iovec){ m->m_data, (size_t)m->m_len };
			else
				iov[n] = (struct iovec){
				    (char *)PHYS_TO_DMAP(m->m_epg_pa[i]) +
				    (i == 0 ? m->m_epg_1st_off : 0), page_len(m, i) };
		*len += (size_t)m->m_len;
	}
	return n;
}

static bool
write_all(struct socket *so, struct iovec *iov, int n, size_t len)
{
	while (len != 0) {
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)n };
		ssize_t did = sendmsg(so->so_fd, &msg, MSG_NOSIGNAL);

		if (did < 0)
			return false;
		len -= (size_t)did;
		for (; n != 0 && (size_t)did >= iov->iov_len; iov++, n--)
			did -= (ssize_t)iov->iov_len;
		if (n != 0) {
			iov->iov_base = (char *)iov->iov_base + did;
			iov->iov_len -= (size_t)did;
		}
	}
	return true;
}

/* Neither way works any more.  Both locks, as in soisdisconnected. */
static void
broken(struct socket *so, int error)
{
	shutdown(so->so_fd, SHUT_RDWR);
	mtx_lock(&so->so_rcv.sb_mtx);
	mtx_lock(&so->so_snd.sb_mtx);
	so->so_error = error;
	so->so_snd.sb_state |= SBS_CANTSENDMORE;
	so->so_rcv.sb_state |= SBS_CANTRCVMORE;
	wakeup_sb(so, &so->so_snd);
	wakeup_sb(so, &so->so_rcv);
	mtx_unlock(&so->so_snd.sb_mtx);
	mtx_unlock(&so->so_rcv.sb_mtx);
}

static void *
pump_out(void *arg)
{
	struct socket *so = arg;
	struct sockbuf *sb = &so->so_snd;
	struct iovec iov[WIRE_IOVS];
	size_t len, done;
	int n;

	mtx_lock(&sb->sb_mtx);
	for (;;) {
		if (sb->sb_mb == NULL && (sb->sb_state & SBS_CANTSENDMORE) != 0)
			break;
		if (sb->sb_mb == NULL) {
			cv_wait(&sb->sb_cv, &sb->sb_mtx);
			continue;
		}
		n = gather(sb, iov, &len);
		mtx_unlock(&sb->sb_mtx);
		if (!write_all(so, iov, n, len)) {
			broken(so, EPIPE);
			mtx_lock(&sb->sb_mtx);
			flush(sb);
			break;
		}
		jitter();
		mtx_lock(&sb->sb_mtx);
		for (done = 0; sb->sb_mb != NULL && done < len;) {
			done += (size_t)sb->sb_mb->m_len;
			m_free(take(sb));
		}
		wakeup_sb(so, sb);
	}
	mtx_unlock(&sb->sb_mtx);
	shutdown(so->so_fd, SHUT_WR);
	return NULL;
}

/* One mbuf of up to len bytes: a small one, a cluster, or pages. */
static struct mbuf *
random_mbuf(const char *from, size_t len)
{
	int kind = (int)(random() % 3);
	size_t n = kind == 0 ? (size_t)(1 + random() % MLEN) : kind == 1 ?
	    (size_t)(1 + random() % 9000) : PAGE_SIZE;
	struct mbuf *m;

	n = MIN(n, len);
	if (kind == 2) {
		m = mb_alloc_ext_plus_pages((int)n, M_WAITOK);
		m->m_epg_last_len = (uint16_t)n;
		memcpy((void *)PHYS_TO_DMAP(m->m_epg_pa[0]), from, n);
	} else {
		m = m_get2((int)n, M_WAITOK, MT_DATA, 0);
		memcpy(m->m_data, from, n);
	}
	m->m_len = (int32_t)n;
	return m;
}

static bool
wait_for_space(struct socket *so)
{
	struct sockbuf *sb = &so->so_rcv;
	bool more;

	mtx_lock(&sb->sb_mtx);
	while (sbspace(sb) < WIRE_MAX && (sb->sb_state & SBS_CANTRCVMORE) == 0)
		cv_wait(&sb->sb_cv, &sb->sb_mtx);
	more = (sb->sb_state & SBS_CANTRCVMORE) == 0;
	mtx_unlock(&sb->sb_mtx);
	return more;
}

static void *
pump_in(void *arg)
{
	struct socket *so = arg;
	struct sockbuf *sb = &so->so_rcv;
	char *buf = malloc(WIRE_MAX);
	struct mbuf *m;
	ssize_t n = 1;

	while (n > 0 && wait_for_space(so)) {
		n = recv(so->so_fd, buf, WIRE_MAX, 0);
		jitter();
		mtx_lock(&sb->sb_mtx);
		for (ssize_t at = 0; at < n; at += m->m_len) {
			mtx_unlock(&sb->sb_mtx);
			m = random_mbuf(buf + at, (size_t)(n - at));
			mtx_lock(&sb->sb_mtx);
			if ((sb->sb_state & SBS_CANTRCVMORE) != 0) {
				n = at + m->m_len;
				m_free(m);
				break;
			}
			append(sb, m);
		}
		wakeup_sb(so, sb);
		mtx_unlock(&sb->sb_mtx);
	}
	if (n < 0)
		broken(so, errno);
	mtx_lock(&sb->sb_mtx);
	sb->sb_state |= SBS_CANTRCVMORE;
	wakeup_sb(so, sb);
	mtx_unlock(&sb->sb_mtx);
	free(buf);
	return NULL;
}

/* ---- life ---------------------------------------------------------------- */

static void
init_sb(struct sockbuf *sb, const char *name, bool tls)
{
	static struct ktls_session session = { { CRYPTO_AES_NIST_GCM_16, 16384 } };

	mtx_init(&sb->sb_mtx, name, NULL, MTX_DEF);
	cv_init(&sb->sb_cv, name);
	sb->sb_hiwat = 131072;
	sb->sb_mbmax = 2 * sb->sb_hiwat;
	sb->sb_tls_info = tls ? &session : NULL;
	sb->sb_tls_seqno = tls_records;
}

static struct socket *
new_socket(int fd, int family, bool tls)
{
	static const struct domain inet = { AF_INET }, local = { AF_LOCAL };
	static const struct protosw tcp = { &inet }, stream = { &local };
	struct socket *so = calloc(1, sizeof(*so));

	so->so_type = SOCK_STREAM;
	so->so_proto = family == AF_LOCAL ? &stream : &tcp;
	so->so_fd = fd;
	init_sb(&so->so_rcv, "so_rcv", tls);
	init_sb(&so->so_snd, "so_snd", tls);
	__atomic_add_fetch(&sockets, 1, __ATOMIC_SEQ_CST);
	pthread_create(&so->so_pump[0], NULL, pump_in, so);
	pthread_create(&so->so_pump[1], NULL, pump_out, so);
	return so;
}

/* What is left of a closed socket: its queue goes out, if it may. */
static void *
linger(void *arg)
{
	struct socket *so = arg;

	pthread_join(so->so_pump[1], NULL);
	shutdown(so->so_fd, SHUT_RDWR);
	pthread_join(so->so_pump[0], NULL);
	mtx_lock(&so->so_snd.sb_mtx);
	flush(&so->so_snd);
	mtx_unlock(&so->so_snd.sb_mtx);
	mtx_lock(&so->so_rcv.sb_mtx);
	flush(&so->so_rcv);
	mtx_unlock(&so->so_rcv.sb_mtx);
	close(so->so_fd);
	mtx_destroy(&so->so_snd.sb_mtx);
	mtx_destroy(&so->so_rcv.sb_mtx);
	free(so);
	__atomic_sub_fetch(&sockets, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

int
soclose(struct socket *so)
{
	pthread_t t;

	kpi_may_sleep("soclose", NULL);
	if (so->so_snd.sb_upcall != NULL || so->so_rcv.sb_upcall != NULL)
		kpi_panic("a socket is closed with an upcall");
	mtx_lock(&so->so_snd.sb_mtx);
	so->so_snd.sb_state |= SBS_CANTSENDMORE;
	if (so->so_drop) {
		__atomic_add_fetch(&sockets_reset, 1, __ATOMIC_SEQ_CST);
		shutdown(so->so_fd, SHUT_RDWR);
	}
	wakeup_sb(so, &so->so_snd);
	mtx_unlock(&so->so_snd.sb_mtx);
	mtx_lock(&so->so_rcv.sb_mtx);
	so->so_rcv.sb_state |= SBS_CANTRCVMORE;
	wakeup_sb(so, &so->so_rcv);
	mtx_unlock(&so->so_rcv.sb_mtx);
	pthread_create(&t, NULL, linger, so);
	pthread_detach(t);
	return 0;
}

int
soshutdown(struct socket *so, int how)
{
	kpi_may_sleep("soshutdown", NULL);
	if (how != SHUT_RDWR)
		kpi_panic("soshutdown %d", how);
	mtx_lock(&so->so_rcv.sb_mtx);
	so->so_rcv.sb_state |= SBS_CANTRCVMORE;
	wakeup_sb(so, &so->so_rcv);
	flush(&so->so_rcv);
	mtx_unlock(&so->so_rcv.sb_mtx);
	shutdown(so->so_fd, SHUT_RD);
	mtx_lock(&so->so_snd.sb_mtx);
	so->so_snd.sb_state |= SBS_CANTSENDMORE;
	wakeup_sb(so, &so->so_snd);
	mtx_unlock(&so->so_snd.sb_mtx);
	return 0;
}

int
so_setsockopt(struct socket *so, int level, int name, void *val, size_t len)
{
	const struct linger *l = val;

	if (level != SOL_SOCKET || name != SO_LINGER || len != sizeof(*l))
		kpi_panic("so_setsockopt %d", name);
	so->so_drop = l->l_onoff != 0 && l->l_linger == 0;
	return 0;
}

static void
reserve(struct sockbuf *sb, u_long size)
{
	mtx_lock(&sb->sb_mtx);
	sb->sb_hiwat = (u_int)size;
	sb->sb_mbmax = (u_int)MIN(8 * size, sb_max);
	mtx_unlock(&sb->sb_mtx);
}

int
soreserve(struct socket *so, u_long snd, u_long rcv)
{
	if (snd > sb_max * MCLBYTES / (MSIZE + MCLBYTES) ||
	    rcv > sb_max * MCLBYTES / (MSIZE + MCLBYTES))
		return ENOBUFS;
	reserve(&so->so_snd, snd);
	reserve(&so->so_rcv, rcv);
	return 0;
}

void
soupcall_set(struct socket *so, sb_which which, so_upcall_t *func, void *arg)
{
	struct sockbuf *sb = which == SO_RCV ? &so->so_rcv : &so->so_snd;

	mtx_assert(&sb->sb_mtx, MA_OWNED);
	sb->sb_upcall = func;
	sb->sb_upcallarg = arg;
}

void
soupcall_clear(struct socket *so, sb_which which)
{
	soupcall_set(so, which, NULL, NULL);
}

/* ---- data ---------------------------------------------------------------- */

void
kpi_tls_records(uint64_t n)
{
	tls_records = n;
}

void
kpi_tls_update(u_int after)
{
	__atomic_store_n(&tls_update, after + 1, __ATOMIC_SEQ_CST);
}

static bool
is_update(void)
{
	return __atomic_load_n(&tls_update, __ATOMIC_SEQ_CST) != 0 &&
	    __atomic_sub_fetch(&tls_update, 1, __ATOMIC_SEQ_CST) == 0;
}

/* What a record is, and in place of data a KeyUpdate, if a test wants that. */
static struct mbuf *
open_record(struct sockbuf *sb, struct mbuf **control)
{
	static const uint8_t message[] = { 24, 0, 0, 1, 0 };
	bool update = is_update();
	struct tls_get_record record = { .tls_type = update ? TLS_HANDSHAKE :
		TLS_RLTYPE_APP };
	struct mbuf *m = m_get2(CMSG_SPACE(sizeof(record)), M_WAITOK, MT_DATA, 0);
	struct cmsghdr *c = mtod(m, void *);

	c->cmsg_level = IPPROTO_TCP;
	c->cmsg_type = TLS_GET_RECORD;
	c->cmsg_len = CMSG_LEN(sizeof(record));
	memcpy(CMSG_DATA(c), &record, sizeof(record));
	*control = m;
	sb->sb_tls_seqno++;
	if (!update)
		return take(sb);
	m = m_get2(sizeof(message), M_WAITOK, MT_DATA, 0);
	memcpy(m->m_data, message, sizeof(message));
	m->m_len = sizeof(message);
	return m;
}

/* Each mbuf is a record. */
static void
check_tls(struct socket *so, const struct mbuf *m)
{
	for (; so->so_snd.sb_tls_info != NULL && m != NULL; m = m->m_next) {
		so->so_snd.sb_tls_seqno++;
		if ((m->m_flags & M_EXTPG) == 0 || m->m_len <= 0 ||
		    m->m_len > so->so_snd.sb_tls_info->params.max_frame_len ||
		    m->m_epg_npgs * PAGE_SIZE >
		    so->so_snd.sb_tls_info->params.max_frame_len)
			kpi_panic("an mbuf that cannot be a TLS record");
	}
}

int
sosend(struct socket *so, struct sockaddr *addr, struct uio *uio, struct mbuf *top,
    struct mbuf *control, int flags, struct thread *td)
{
	u_int len;
	int error = 0;

	kpi_may_sleep("sosend", NULL);
	if (addr != NULL || control != NULL || (flags & MSG_DONTWAIT) == 0)
		kpi_panic("sosend: not played");
	if (uio != NULL) {
		top = m_get2((int)uio->uio_resid, M_WAITOK, MT_DATA, 0);
		memcpy(top->m_data, uio->uio_iov->iov_base, (size_t)uio->uio_resid);
		top->m_len = (int32_t)uio->uio_resid;
	} else {
		if (td->td_base_pri > PRIBIO)
			kpi_panic("sosend: may be preempted with the socket's lock");
		check_tls(so, top);
	}
	len = m_length(top, NULL);
	mtx_lock(&so->so_snd.sb_mtx);
	if ((so->so_snd.sb_state & SBS_CANTSENDMORE) != 0)
		error = EPIPE;
	else if (len > so->so_snd.sb_hiwat)
		error = EMSGSIZE;
	else if ((long)len > sbspace(&so->so_snd))
		error = EWOULDBLOCK;
	if (error == 0) {
		append(&so->so_snd, top);
		cv_broadcast(&so->so_snd.sb_cv);
	}
	mtx_unlock(&so->so_snd.sb_mtx);
	if (error != 0)
		m_freem(top);
	return error;
}

int
soreceive(struct socket *so, struct sockaddr **addr, struct uio *uio,
    struct mbuf **mp, struct mbuf **control, int *flags)
{
	struct sockbuf *sb = &so->so_rcv;
	struct mbuf **tail = mp;
	int error = 0;

	kpi_may_sleep("soreceive", NULL);
	if (addr != NULL || (control != NULL) != (sb->sb_tls_info != NULL) ||
	    mp == NULL || (*flags & MSG_DONTWAIT) == 0)
		kpi_panic("soreceive: not played");
	mtx_lock(&sb->sb_mtx);
	if (sb->sb_mb == NULL && so->so_error != 0)
		error = so->so_error;
	else if (sb->sb_mb == NULL && (sb->sb_state & SBS_CANTRCVMORE) == 0)
		error = EWOULDBLOCK;
	while (sb->sb_mb != NULL && uio->uio_resid > 0) {
		*tail = control != NULL ? open_record(sb, control) : take(sb);
		uio->uio_resid -= (*tail)->m_len;
		tail = &(*tail)->m_next;
		if (control != NULL)		/* a record at a time */
			break;
	}
	cv_broadcast(&sb->sb_cv);
	mtx_unlock(&sb->sb_mtx);
	return error;
}

/* ---- descriptors --------------------------------------------------------- */

int
kpi_fd_install(int fd, int family, bool tls)
{
	struct file *fp = calloc(1, sizeof(*fp));
	int i;

	*fp = (struct file){ DTYPE_SOCKET, 1, &goodfileops,
	    new_socket(fd, family, tls) };
	((struct socket *)fp->f_data)->so_drop = true;
	for (i = 0; files[i] != NULL; i++)
		;
	files[i] = fp;
	return i;
}

void
finit(struct file *fp, unsigned flag, short type, void *data,
    const struct fileops *ops)
{
	(void)flag;
	fp->f_data = data;
	fp->f_type = type;
	fp->f_ops = ops;
}

int
fget(struct thread *td, int fd, const cap_rights_t *rights, struct file **fpp)
{
	struct file *fp;

	(void)td, (void)rights;
	kpi_may_sleep("fget", NULL);
	if (fd < 0 || fd >= (int)nitems(files) || (fp = files[fd]) == NULL ||
	    fp->f_ops == &badfileops)
		return EBADF;
	fp->f_count++;
	*fpp = fp;
	return 0;
}

int
fdrop(struct file *fp, struct thread *td)
{
	(void)td;
	if (--fp->f_count != 0)
		return 0;
	if (fp->f_ops != &badfileops)
		soclose(fp->f_data);
	free(fp);
	return 0;
}

/* A process may use a descriptor after it gave the socket away: sendmsg(2) goes by
 * the type and follows f_data. */
void
kpi_fd_close(int kfd)
{
	struct file *fp = files[kfd];

	if (fp->f_type == DTYPE_SOCKET && fp->f_data == NULL)
		kpi_panic("descriptor %d is a socket without a socket", kfd);
	files[kfd] = NULL;
	fdrop(fp, curthread);
}

long
kpi_sockets_inuse(void)
{
	return __atomic_load_n(&sockets, __ATOMIC_SEQ_CST);
}

long
kpi_sockets_reset(void)
{
	return __atomic_load_n(&sockets_reset, __ATOMIC_SEQ_CST);
}
