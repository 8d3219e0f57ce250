/*
 * resolve.c - a host's name as addresses, for no longer than there is time.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * getaddrinfo waits for name servers for as long as the system's administrator said,
 * and nothing ends it earlier.  So a thread waits in it, and is left behind when time
 * is up: it uses nothing but its own struct lookup and the C library, so the process
 * may end meanwhile.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

static const struct addrinfo wanted = {
	.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
};

/* Owned by its thread and by who waits for it; the last of them frees it. */
struct lookup {
	atomic_uint	owners;
	int		bell[2];	/* a byte comes out of [0] when it is done; [1]
					 * is the thread's */
	char		*host, *port;
	struct addrinfo	*list;
	int		gai, error;	/* as getaddrinfo returned, and errno */
};

static void
release(struct lookup *l)
{
	if (atomic_fetch_sub(&l->owners, 1) != 1)
		return;
	if (l->list != NULL)
		freeaddrinfo(l->list);
	free(l->host);
	free(l->port);
	free(l);
}

static void *
look_up(void *arg)
{
	struct lookup *l = arg;

	l->gai = getaddrinfo(l->host, l->port, &wanted, &l->list);
	l->error = errno;
	if (l->gai != 0)
		l->list = NULL;
	(void)send(l->bell[1], "", 1, MSG_NOSIGNAL);
	close(l->bell[1]);
	release(l);
	return NULL;
}

static struct lookup *
lookup_new(const char *host, const char *port)
{
	struct lookup *l = calloc(1, sizeof *l);

	if (l == NULL)
		return NULL;
	l->owners = 1;
	l->host = strdup(host);
	l->port = strdup(port);
	if (l->host != NULL && l->port != NULL &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, l->bell) == 0)
		return l;
	release(l);
	return NULL;
}

/* Signals are for the threads of who called us. */
static bool
start_thread(struct lookup *l)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	atomic_fetch_add(&l->owners, 1);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &attr, look_up, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (error == 0)
		return true;
	close(l->bell[1]);
	release(l);
	return false;
}

static enum nbc_io
wait_for(struct lookup *l, const struct nbc_limit *limit, struct addrinfo **list,
    int *gai)
{
	enum nbc_io io = nbc_wait(l->bell[0], POLLIN, limit);

	if (io != NBC_IO_OK)
		return io;
	*list = l->list;
	*gai = l->gai;
	l->list = NULL;
	errno = l->error;
	return NBC_IO_OK;
}

enum nbc_io
nbc_resolve(const char *host, const char *port, const struct nbc_limit *limit,
    struct addrinfo **list, int *gai)
{
	struct addrinfo numeric = wanted;
	struct lookup *l;
	enum nbc_io io = NBC_IO_OK;

	/* An address waits for nobody. */
	numeric.ai_flags = AI_NUMERICHOST;
	*gai = getaddrinfo(host, port, &numeric, list);
	if (*gai != EAI_NONAME)
		return NBC_IO_OK;
	*gai = EAI_MEMORY;
	l = lookup_new(host, port);
	if (l == NULL)
		return NBC_IO_OK;
	if (start_thread(l))
		io = wait_for(l, limit, list, gai);
	close(l->bell[0]);
	release(l);
	return io;
}
