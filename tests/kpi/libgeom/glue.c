/*
 * glue.c - gnbd_kpi: the kernel's side.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "glue.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/proc.h>
#include <sys/socket.h>

#include "kpi.h"

extern struct g_class *kpi_g_nbd;

void
glue_load(void)
{
	kpi_load(kpi_g_nbd);
}

int
glue_unload(void)
{
	int error = kpi_unload(kpi_g_nbd);

	for (int i = 0; i < 250 && (kpi_sockets_inuse() != 0 ||
	    kpi_threads_inuse() != 0); i++)
		usleep(20000);
	if (error == 0)
		kpi_check_leaks();
	return error;
}

long
glue_tid(void)
{
	return curthread->td_tid;
}

int
glue_install(int fd, bool tls)
{
	return kpi_fd_install(fd, AF_LOCAL, tls);
}

void
glue_tls_records(unsigned long long n)
{
	kpi_tls_records(n);
}

unsigned
glue_told(const char *type)
{
	return kpi_devctl_told(type);
}

void
glue_close(int kfd)
{
	kpi_fd_close(kfd);
}

void *
glue_req(const char *verb)
{
	return kpi_req(verb);
}

void
glue_add(void *req, const char *name, const void *value, int len)
{
	kpi_req_add(req, name, value, len);
}

void
glue_run(void *req, char *error, size_t elen, char *provider, size_t plen)
{
	kpi_req_run(kpi_g_nbd, req, error, elen, provider, plen);
}

void
glue_confxml(char *buf, size_t len)
{
	kpi_confxml(kpi_g_nbd, buf, len);
}

unsigned long long
glue_wishes(void)
{
	uint64_t *n = kpi_sysctl("_kern_geom_nbd", "wishes");

	return atomic_load_64(n);
}

struct io {
	struct bio bio;
	sem_t done;
};

static void
io_done(struct bio *bp)
{
	sem_post(&((struct io *)bp)->done);
}

static int
run(struct g_provider *pp, uint16_t cmd, long off, char *data)
{
	struct io io = { .bio = { .bio_cmd = cmd, .bio_offset = off,
		.bio_length = 4096, .bio_data = data, .bio_done = io_done } };

	sem_init(&io.done, 0, 0);
	kpi_bio_request(&io.bio, pp);
	sem_wait(&io.done);
	return io.bio.bio_error;
}

bool
glue_io(const char *name, long off, char c)
{
	struct g_provider *pp = kpi_provider(kpi_g_nbd, name);
	char out[4096], in[4096];

	memset(out, c, sizeof(out));
	return pp != NULL && run(pp, BIO_WRITE, off, out) == 0 &&
	    run(pp, BIO_READ, off, in) == 0 && memcmp(in, out, sizeof(in)) == 0;
}

/* As devfs does: after all callers have left the device. */
static void *
close_orphan(void *arg)
{
	struct g_provider *pp = arg;

	while (__atomic_load_n(&pp->error, __ATOMIC_RELAXED) == 0)
		usleep(1000);
	usleep(200000);
	(void)kpi_access(pp, -1, 0, 0);
	return NULL;
}

bool
glue_open(const char *name)
{
	struct g_provider *pp = kpi_provider(kpi_g_nbd, name);
	pthread_t thread;

	return pp != NULL && kpi_access(pp, 1, 0, 0) == 0 &&
	    pthread_create(&thread, NULL, close_orphan, pp) == 0 &&
	    pthread_detach(thread) == 0;
}
