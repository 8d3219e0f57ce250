/*
 * sys/socketvar.h - for the KPI host: socket buffers, with a real socket behind them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_SOCKETVAR_H
#define KPI_SYS_SOCKETVAR_H

#include <sys/mbuf.h>
#include <sys/condvar.h>
#include <sys/mutex.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct ktls_session;
struct protosw;
struct socket;
struct thread;
typedef int so_upcall_t(struct socket *, void *, int);
typedef enum { SO_RCV, SO_SND } sb_which;

#define SB_AUTOSIZE	0x800
#define SBS_CANTSENDMORE 0x10
#define SBS_CANTRCVMORE	0x20
#define SU_OK		0

struct sockbuf {
	struct mtx	 sb_mtx;
	short		 sb_state, sb_flags;
	u_int		 sb_acc, sb_hiwat, sb_mbcnt, sb_mbmax;
	struct mbuf	*sb_mb, *sb_mbtail;
	struct ktls_session *sb_tls_info;
	uint64_t	 sb_tls_seqno;
	so_upcall_t	*sb_upcall;
	void		*sb_upcallarg;
	struct cv	 sb_cv;		/* the host's own thread waits */
};
struct socket {
	short		 so_type;
	const struct protosw *so_proto;
	int		 so_error;
	struct sockbuf	 so_rcv, so_snd;
	int		 so_fd;
	bool		 so_closing, so_drop;
	pthread_t	 so_pump[2];
};
extern u_long sb_max;

#define SOCK_SENDBUF_MTX(so)	(&(so)->so_snd.sb_mtx)
#define SOCK_RECVBUF_MTX(so)	(&(so)->so_rcv.sb_mtx)
#define SOCK_SENDBUF_LOCK(so)	mtx_lock(SOCK_SENDBUF_MTX(so))
#define SOCK_SENDBUF_UNLOCK(so)	mtx_unlock(SOCK_SENDBUF_MTX(so))
#define SOCK_RECVBUF_LOCK(so)	mtx_lock(SOCK_RECVBUF_MTX(so))
#define SOCK_RECVBUF_UNLOCK(so)	mtx_unlock(SOCK_RECVBUF_MTX(so))
#define SOCK_SENDBUF_LOCK_ASSERT(so) mtx_assert(SOCK_SENDBUF_MTX(so), MA_OWNED)
#define SOCK_RECVBUF_LOCK_ASSERT(so) mtx_assert(SOCK_RECVBUF_MTX(so), MA_OWNED)
#define sbavail(sb)	((sb)->sb_acc)
long	sbspace(struct sockbuf *);

int	soreserve(struct socket *, u_long snd, u_long rcv);
int	sosend(struct socket *, struct sockaddr *, struct uio *, struct mbuf *,
	    struct mbuf *control, int flags, struct thread *);
int	soreceive(struct socket *, struct sockaddr **, struct uio *,
	    struct mbuf **, struct mbuf **control, int *flags);
int	soshutdown(struct socket *, int how);
int	soclose(struct socket *);
void	soupcall_set(struct socket *, sb_which, so_upcall_t, void *);
void	soupcall_clear(struct socket *, sb_which);

#endif
