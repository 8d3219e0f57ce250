/*
 * kpi_test.c - geom_nbd.ko on the KPI host, with a real nbdkit behind it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * TAP.  Every byte that is read is compared with what was written.  The last tests
 * plant bugs in a child process, to show that the host would have noticed.
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <sys/mutex.h>
#include <sys/proc.h>
#include <sys/socketvar.h>
#include <vm/vm_page.h>

#include "kpi.h"
#include "nbe.h"

#undef malloc
#undef free

#define MIB		(1024 * 1024)
#define DISK_SIZE	(64 * MIB)
#define BIO_MAX		(2 * MIB)

extern struct g_class *kpi_g_nbd;

static char dir[] = "/tmp/nbdisk-kpi.XXXXXX";
static char socket_path[64], disk_path[64];
static int tests, failures;

static void
ok(bool good, const char *name)
{
	printf("%s %d - %s\n", good ? "ok" : "not ok", ++tests, name);
	fflush(stdout);
	failures += !good;
}

static void
note(const char *what, const char *text)
{
	printf("# %s: %s\n", what, text);
}

/* ---- the server ---------------------------------------------------------- */

static pid_t server;

static bool
listens(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool up;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", socket_path);
	up = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0;
	close(fd);
	return up;
}

/* nbdkit with these arguments, which end with NULL. */
static void
start(const char *first, ...)
{
	const char *argv[32] = { "nbdkit", "-f", "--exit-with-parent", "-U",
		socket_path };
	int argc = 5;
	va_list ap;

	va_start(ap, first);
	for (; first != NULL; first = va_arg(ap, const char *))
		argv[argc++] = first;
	va_end(ap);
	unlink(socket_path);
	server = fork();
	if (server == 0) {
		freopen("/dev/null", "w", stderr);
		execvp(argv[0], (char **)(uintptr_t)argv);
		_exit(127);
	}
	for (int i = 0; i < 200 && !listens(); i++)
		usleep(20000);
}

static void
stop(int sig)
{
	if (server <= 0)
		return;
	kill(server, sig);
	waitpid(server, NULL, 0);
	server = 0;
}

/* The first or the second one, from here on. */
static void
use_server(int n)
{
	static pid_t pids[2];
	static int used;

	pids[used] = server;
	used = n;
	server = pids[n];
	snprintf(socket_path, sizeof(socket_path), "%s/s%s", dir, n == 0 ? "" : "1");
}

static void
start_file(void)
{
	start("file", disk_path, NULL);
}

/* ---- negotiation, as gnbd(8) does it ------------------------------------- */

static bool
move(int fd, struct nbe_hs *hs)
{
	size_t len;
	const uint8_t *out = nbe_hs_send_buf(hs, &len);
	ssize_t n;

	if (out != NULL) {
		n = send(fd, out, len, MSG_NOSIGNAL);
		if (n > 0)
			nbe_hs_send_ack(hs, (size_t)n);
		return n > 0;
	}
	uint8_t *in = nbe_hs_recv_buf(hs, &len);

	n = recv(fd, in, len, 0);
	if (n > 0)
		nbe_hs_recv_ack(hs, (size_t)n);
	return n > 0;
}

/* A negotiated socket; -1: no. */
static int
negotiate(struct nbe_export *e, enum nbe_framing framing)
{
	struct nbe_hs_config cfg = { .name = "", .framing_max = framing };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	static struct nbe_hs hs;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", socket_path);
	nbe_hs_init(&hs, &cfg);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		while (nbe_hs_state(&hs) == NBE_HS_IO && move(fd, &hs))
			;
	if (nbe_hs_state(&hs) != NBE_HS_DONE) {
		close(fd);
		return -1;
	}
	*e = *nbe_hs_export(&hs);
	return fd;
}

/* ---- a way that is slow -------------------------------------------------- */

#define SLOW_BYTES	65536
#define SLOW_US		200000

static bool
copy_some(int from, int to)
{
	static __thread char buf[SLOW_BYTES];
	ssize_t n = recv(from, buf, sizeof(buf), 0), did;

	for (ssize_t at = 0; at < n; at += did)
		if ((did = send(to, buf + at, (size_t)(n - at), MSG_NOSIGNAL)) < 0)
			return false;
	if (n > 0)
		return true;
	shutdown(from, SHUT_RDWR);
	shutdown(to, SHUT_RDWR);
	return false;
}

static void *
commands_main(void *arg)
{
	int *fd = arg;

	while (copy_some(fd[0], fd[1]))
		usleep(SLOW_US);
	return NULL;
}

static void *
replies_main(void *arg)
{
	int *fd = arg;
	pthread_t commands;

	pthread_create(&commands, NULL, commands_main, fd);
	while (copy_some(fd[1], fd[0]))
		;
	pthread_join(commands, NULL);
	close(fd[0]);
	close(fd[1]);
	free(fd);
	return NULL;
}

/* Commands go on to the server at 320 KiB a second, replies at once. */
static int
slow_way(int server_fd)
{
	int pair[2], *fd = malloc(2 * sizeof(int)), room = SLOW_BYTES;
	pthread_t t;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		exit(99);
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	fd[0] = pair[1];
	fd[1] = server_fd;
	pthread_create(&t, NULL, replies_main, fd);
	pthread_detach(t);
	return pair[0];
}

/* ---- verbs --------------------------------------------------------------- */

/* What a test wants other than usual. */
static struct {
	enum nbe_framing framing;
	intmax_t timeout, dead_timeout, sectorsize, stripesize;
	int family;			/* AF_INET */
	uint32_t paths, path;		/* several servers; where sockets lead to */
	const char *fence_by;
	const char *unflushed, *name;
	bool tls, slow;
	uint64_t lie_size;
	uint32_t lie_block;
	long lie_tid;
	bool lie_fd;			/* the last one */
} want = { .family = AF_INET };
static char error[256];

static void
add_export(struct gctl_req *req, const struct nbe_export *e)
{
	uint64_t size = want.lie_size != 0 ? want.lie_size : e->size;
	uint32_t flags = (uint32_t)e->flags << 16 | e->hs_flags;
	uint32_t framing = e->framing;
	uint32_t block = want.lie_block != 0 ? want.lie_block : e->block_min;

	kpi_req_add(req, "size", &size, sizeof(size));
	kpi_req_add(req, "flags", &flags, sizeof(flags));
	kpi_req_add(req, "minimum_blocksize", &block, 4);
	kpi_req_add(req, "preferred_blocksize", &e->block_pref, 4);
	kpi_req_add(req, "maximum_payload", &e->payload_max, 4);
	kpi_req_add(req, "framing", &framing, sizeof(framing));
}

/* n new sockets as parameters; their descriptors in kfd. */
static bool
add_sockets(struct gctl_req *req, int n, int *kfd)
{
	long tid = want.lie_tid != 0 ? want.lie_tid : curthread->td_tid;
	struct nbe_export e;
	int told[NBE_MAX_CONNS];

	for (int i = 0; i < n; i++) {
		int fd = negotiate(&e, want.framing);

		if (fd < 0)
			return false;
		if (want.slow)
			fd = slow_way(fd);
		kfd[i] = kpi_fd_install(fd, want.family, want.tls);
	}
	memcpy(told, kfd, (size_t)n * sizeof(int));
	if (want.lie_fd)
		told[n - 1] = -1;
	kpi_req_add(req, "sockets", told, n * (int)sizeof(int));
	kpi_req_add(req, "thread", &tid, sizeof(tid));
	kpi_req_add(req, "path", &want.path, sizeof(want.path));
	add_export(req, &e);
	return true;
}

static struct g_provider *
attach(int conns)
{
	struct gctl_req *req = kpi_req("connect");
	char name[32];
	int kfd[NBE_MAX_CONNS];

	if (!add_sockets(req, conns, kfd))
		return NULL;
	kpi_req_int(req, "connections", conns);
	kpi_req_add(req, "tls", &want.tls, sizeof(want.tls));
	kpi_req_text(req, "host", "localhost");
	kpi_req_text(req, "port", "10809");
	kpi_req_text(req, "name", want.name == NULL ? "" : want.name);
	if (want.paths != 0) {
		kpi_req_add(req, "paths", &want.paths, sizeof(want.paths));
		kpi_req_text(req, "host1", "otherhost");
		kpi_req_int(req, "path_timeout", 1);
	}
	if (want.fence_by != NULL)
		kpi_req_text(req, "fence_by", want.fence_by);
	if (want.dead_timeout != 0)
		kpi_req_int(req, "dead_timeout", want.dead_timeout);
	if (want.timeout != 0)
		kpi_req_int(req, "timeout", want.timeout);
	if (want.sectorsize != 0)
		kpi_req_int(req, "sectorsize", want.sectorsize);
	if (want.stripesize != 0)
		kpi_req_int(req, "stripesize", want.stripesize);
	kpi_req_text(req, "unflushed", want.unflushed == NULL ? "ignore" :
	    want.unflushed);
	kpi_req_int(req, "fence", 0);
	kpi_req_run(kpi_g_nbd, req, error, sizeof(error), name, sizeof(name));
	for (int i = 0; i < conns; i++)
		kpi_fd_close(kfd[i]);
	if (error[0] != '\0')
		note("connect", error);
	return error[0] != '\0' ? NULL : kpi_provider(kpi_g_nbd, name);
}

static bool
scale(const char *name, int conns, int new_sockets)
{
	struct gctl_req *req = kpi_req("scale");
	int kfd[NBE_MAX_CONNS];

	if (new_sockets != 0 && !add_sockets(req, new_sockets, kfd))
		return false;
	kpi_req_text(req, "arg0", name);
	kpi_req_int(req, "connections", conns);
	kpi_req_add(req, "nsockets", &new_sockets, sizeof(int));
	kpi_req_run(kpi_g_nbd, req, error, sizeof(error), NULL, 0);
	for (int i = 0; i < new_sockets; i++)
		kpi_fd_close(kfd[i]);
	return error[0] == '\0';
}

static bool
detach(const char *name, int force)
{
	struct gctl_req *req = kpi_req("disconnect");

	kpi_req_text(req, "arg0", name);
	kpi_req_add(req, "force", &force, sizeof(force));
	kpi_req_run(kpi_g_nbd, req, error, sizeof(error), NULL, 0);
	return error[0] == '\0';
}

/* A field of the confxml of the only device. */
static const char *
field(const char *name)
{
	static char xml[16384], value[256];
	char tag[64];
	const char *at;

	kpi_confxml(kpi_g_nbd, xml, sizeof(xml));
	snprintf(tag, sizeof(tag), "<%s>", name);
	at = strstr(xml, tag);
	if (at == NULL)
		return "(none)";
	at += strlen(tag);
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "<"), at);
	return value;
}

static bool
field_is_within(const char *name, const char *value, int seconds)
{
	for (int i = 0; i < seconds * 50; i++) {
		if (strcmp(field(name), value) == 0)
			return true;
		usleep(20000);
	}
	note(name, field(name));
	return false;
}

static bool
field_is(const char *name, const char *value)
{
	return field_is_within(name, value, 4);
}

static bool
comes_to_told(const char *type, u_int n)
{
	for (int i = 0; i < 200 && kpi_devctl_told(type) < n; i++)
		usleep(20000);
	return kpi_devctl_told(type) == n;
}

/* ---- several servers ----------------------------------------------------- */

/* What user space says of a wish; problem NULL: it did that. */
static bool
report_wish(const char *what, uint32_t path, uint32_t wish, const char *problem)
{
	struct gctl_req *req = kpi_req("report");

	kpi_req_text(req, "arg0", "nbd0");
	kpi_req_text(req, "what", what);
	kpi_req_add(req, "path", &path, sizeof(path));
	kpi_req_add(req, "wish", &wish, sizeof(wish));
	if (problem != NULL)
		kpi_req_text(req, "problem", problem);
	kpi_req_run(kpi_g_nbd, req, error, sizeof(error), NULL, 0);
	return error[0] == '\0';
}

static bool
report(const char *what, uint32_t path, const char *problem)
{
	return report_wish(what, path, (uint32_t)strtoul(field("FenceWish"), NULL, 10),
	    problem);
}

static bool
move_to(uint32_t path)
{
	struct gctl_req *req = kpi_req("move");

	kpi_req_text(req, "arg0", "nbd0");
	kpi_req_add(req, "path", &path, sizeof(path));
	kpi_req_run(kpi_g_nbd, req, error, sizeof(error), NULL, 0);
	return error[0] == '\0';
}

/* As gnbd(8) does, until the device has all its connections, and they are to path. */
static bool
bring_to_path(const char *path, int conns)
{
	char all[8];

	snprintf(all, sizeof(all), "%d", conns);
	for (int i = 0; i < 6000; i++) {
		if (strcmp(field("ActiveConnections"), all) == 0 &&
		    strcmp(field("ActivePath"), path) == 0)
			return true;
		if (strcmp(field("Probe"), path) == 0)
			report("probe", (uint32_t)atoi(path), NULL);
		if (strcmp(field("DialNow"), "yes") == 0) {
			want.path = (uint32_t)atoi(field("DialPath"));
			use_server((int)want.path);
			if (!listens() || !scale("nbd0", conns, 1))
				report("dial", want.path, "nobody there");
		}
		usleep(10000);
	}
	note("ActivePath", field("ActivePath"));
	return false;
}

/* ---- bios ---------------------------------------------------------------- */

struct io {
	struct bio bio;
	sem_t done;
	char *mem;			/* mapped */
	struct vm_page *pages, **ma;	/* or not */
};

static void
io_done(struct bio *bp)
{
	sem_post(&((struct io *)bp)->done);
}

static struct io *
io_new(uint16_t cmd, off_t off, off_t len, bool unmapped)
{
	struct io *io = calloc(1, sizeof(*io));
	int n = (int)(len / PAGE_SIZE + 2);

	sem_init(&io->done, 0, 0);
	io->bio.bio_cmd = cmd;
	io->bio.bio_offset = off;
	io->bio.bio_length = len;
	io->bio.bio_done = io_done;
	if (!unmapped) {
		io->mem = malloc((size_t)len + 64);
		io->bio.bio_data = io->mem + random() % 8 * 8;
		return io;
	}
	io->bio.bio_flags = BIO_UNMAPPED;
	io->pages = calloc((size_t)n, sizeof(*io->pages));
	io->ma = calloc((size_t)n, sizeof(*io->ma));
	for (int i = 0; i < n; i++) {
		io->pages[i].phys_addr = KPI_DMAP +
		    (vm_offset_t)aligned_alloc(PAGE_SIZE, PAGE_SIZE);
		io->ma[i] = &io->pages[i];
	}
	io->bio.bio_ma = io->ma;
	io->bio.bio_ma_n = n;
	io->bio.bio_ma_offset = (int)(random() % 8 * 512);
	return io;
}

static void
io_free(struct io *io)
{
	for (int i = 0; i < io->bio.bio_ma_n; i++)
		free((void *)PHYS_TO_DMAP(io->pages[i].phys_addr));
	free(io->pages);
	free(io->ma);
	free(io->mem);
	free(io);
}

/* Between the bio's data and buf; false: compared, and different. */
static bool
io_data(struct io *io, char *buf, bool in, bool compare)
{
	size_t left = (size_t)io->bio.bio_length, at = 0, n;
	size_t off = (size_t)io->bio.bio_ma_offset;

	for (; left != 0; left -= n, at += n, off += n) {
		char *p;

		if (io->ma == NULL) {
			n = left;
			p = io->bio.bio_data + at;
		} else {
			n = MIN(left, PAGE_SIZE - off % PAGE_SIZE);
			p = (char *)PHYS_TO_DMAP(
			    io->ma[off / PAGE_SIZE]->phys_addr) + off % PAGE_SIZE;
		}
		if (compare && memcmp(buf + at, p, n) != 0)
			return false;
		if (!compare)
			memcpy(in ? p : buf + at, in ? buf + at : p, n);
	}
	return true;
}

static void
io_start(struct io *io, struct g_provider *pp)
{
	kpi_bio_request(&io->bio, pp);
}

/* As GEOM does: what there was no memory for is sent again. */
static int
io_wait(struct io *io)
{
	for (;;) {
		sem_wait(&io->done);
		if (io->bio.bio_error != ENOMEM)
			return io->bio.bio_error;
		usleep(1000);
		kpi_bio_request(&io->bio, io->bio.bio_to);
	}
}

static int
simple(struct g_provider *pp, uint16_t cmd, off_t off, off_t len, char *buf,
    bool unmapped)
{
	struct io *io = io_new(cmd, off, len, unmapped);
	int err;

	if (cmd == BIO_WRITE)
		io_data(io, buf, true, false);
	io_start(io, pp);
	err = io_wait(io);
	if (err == 0 && cmd == BIO_READ && !io_data(io, buf, false, true))
		err = EILSEQ;
	io_free(io);
	return err;
}

/* ---- load ---------------------------------------------------------------- */

#define WORKERS	4
#define AT_ONCE	8
#define REGION	(DISK_SIZE / WORKERS)
#define SLOT	(REGION / AT_ONCE)

static struct load {
	struct g_provider *pp;
	pthread_t thread[WORKERS];
	u_int max;		/* bytes of a bio */
	bool stop;
	bool may_fail;		/* the device may go away under it */
	int failed;		/* an errno that must not be */
	uint64_t done;
} load;
static char *shadow[WORKERS];	/* what has been written */

struct op {
	struct io *io;
	off_t off, len;
	char *at;
	uint16_t cmd;
};

static void
op_start(struct op *op, int worker, int slot)
{
	static const uint16_t cmds[] = { BIO_READ, BIO_READ, BIO_WRITE, BIO_WRITE,
		BIO_WRITE, BIO_DELETE, BIO_FLUSH, BIO_READ };
	off_t blocks = MIN(load.max, SLOT) / 512;

	op->cmd = cmds[random() % 8];
	op->len = (1 + random() % (random() % 4 == 0 ? blocks : 16)) * 512;
	op->off = slot * (off_t)SLOT + random() % ((SLOT - op->len) / 512 + 1) * 512;
	op->at = shadow[worker] + op->off;
	op->off += worker * (off_t)REGION;
	if (op->cmd == BIO_FLUSH)
		op->len = 0;
	op->io = io_new(op->cmd, op->off, op->len, random() % 2 == 0);
	if (random() % 32 == 0)
		op->io->bio.bio_flags |= BIO_ORDERED;
	if (op->cmd == BIO_WRITE) {
		for (off_t i = 0; i < op->len; i += 8)
			memcpy(op->at + i, &(uint64_t){ (uint64_t)random() << 32 |
			    (uint64_t)(op->off + i) }, 8);
		io_data(op->io, op->at, true, false);
	}
	io_start(op->io, load.pp);
}

/* Not 0: an error.  What was deleted reads as anything, so it is written. */
static int
op_finish(struct op *op)
{
	int err = io_wait(op->io);

	if (err == 0 && op->cmd == BIO_READ &&
	    !io_data(op->io, op->at, false, true))
		err = EILSEQ;
	io_free(op->io);
	if (err == 0 && op->cmd == BIO_DELETE)
		err = simple(load.pp, BIO_WRITE, op->off, op->len, op->at, false);
	return err;
}

static void *
load_main(void *arg)
{
	int worker = (int)(intptr_t)arg;
	struct op op[AT_ONCE];

	while (!__atomic_load_n(&load.stop, __ATOMIC_SEQ_CST)) {
		for (int i = 0; i < AT_ONCE; i++)
			op_start(&op[i], worker, i);
		for (int i = 0; i < AT_ONCE; i++) {
			int err = op_finish(&op[i]);

			if (err != 0 && !(load.may_fail && err == ENXIO))
				load.failed = err;
			if (err != 0)
				__atomic_store_n(&load.stop, true, __ATOMIC_SEQ_CST);
		}
		__atomic_fetch_add(&load.done, AT_ONCE, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void
load_start(struct g_provider *pp, u_int max, bool may_fail)
{
	load = (struct load){ .pp = pp, .max = max, .may_fail = may_fail };
	for (intptr_t i = 0; i < WORKERS; i++)
		pthread_create(&load.thread[i], NULL, load_main, (void *)i);
}

/* Waits until n more are done. */
static void
load_run(uint64_t n)
{
	uint64_t end = __atomic_load_n(&load.done, __ATOMIC_SEQ_CST) + n;

	while (__atomic_load_n(&load.done, __ATOMIC_SEQ_CST) < end &&
	    !__atomic_load_n(&load.stop, __ATOMIC_SEQ_CST))
		usleep(1000);
}

static bool
load_end(void)
{
	__atomic_store_n(&load.stop, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(load.thread[i], NULL);
	if (load.failed != 0)
		note("load", strerror(load.failed));
	return load.failed == 0;
}

/* The whole disk, and the shadow, with zeroes. */
static void
fresh_disk(void)
{
	FILE *f = fopen(disk_path, "w");

	if (f == NULL || ftruncate(fileno(f), DISK_SIZE) != 0)
		exit(99);
	fclose(f);
	for (int i = 0; i < WORKERS; i++)
		memset(shadow[i], 0, REGION);
}

/* All that has been used is given back. */
static bool
nothing_left(void)
{
	for (int i = 0; i < 250 && (kpi_sockets_inuse() != 0 ||
	    kpi_threads_inuse() != 0 || kpi_mbufs_inuse() != 0); i++)
		usleep(20000);
	kpi_check_leaks();
	return true;
}

/* ---- tests --------------------------------------------------------------- */

static void
test_attributes(struct g_provider *pp)
{
	struct io *io = io_new(BIO_GETATTR, 0, 256, false);
	int n;

	io->bio.bio_attribute = "GEOM::candelete";
	io_start(io, pp);
	ok(io_wait(io) == 0 && memcpy(&n, io->bio.bio_data, 4) && n == 1,
	    "GEOM::candelete");
	io->bio.bio_attribute = "GEOM::ident";
	io_start(io, pp);
	ok(io_wait(io) == 0 &&
	    strcmp(io->bio.bio_data, "localhost:10809/a<b>&\"c") == 0, "GEOM::ident");
	*(u_int *)kpi_sysctl("_kern_geom_nbd", "identfmt") = 2;
	io_start(io, pp);
	ok(io_wait(io) == 0 && strcmp(io->bio.bio_data, "a<b>&\"c") == 0,
	    "identfmt 2: the name only");
	*(u_int *)kpi_sysctl("_kern_geom_nbd", "identfmt") = 0;
	io->bio.bio_attribute = "GEOM::rotation_rate";
	io_start(io, pp);
	ok(io_wait(io) == 0 && io->bio.bio_data[0] == 1, "GEOM::rotation_rate");
	io->bio.bio_attribute = "GEOM::unheard";
	io_start(io, pp);
	ok(io_wait(io) == ENOIOCTL, "an unknown attribute");
	io_free(io);
	ok(simple(pp, BIO_ZONE, 0, 0, NULL, false) == EOPNOTSUPP &&
	    simple(pp, BIO_SPEEDUP, 0, 0, NULL, false) == EOPNOTSUPP,
	    "other commands are refused");
}

static void
test_basics(void)
{
	struct g_provider *pp;

	start_file();
	want.name = "a<b>&\"c";
	pp = attach(1);
	want.name = NULL;
	ok(pp != NULL && strcmp(pp->name, "nbd0") == 0, "connect makes nbd0");
	if (pp == NULL)
		exit(1);
	ok(pp->mediasize == DISK_SIZE && pp->sectorsize == 512 &&
	    pp->stripesize == 4096, "sizes of the provider");
	ok(field_is("State", "CONNECTED") && field_is("Connections", "1") &&
	    field_is("TLS", "no") && field_is("Host", "localhost") &&
	    field_is("HandshakeFlags", "FIXED_NEWSTYLE, NO_ZEROES") &&
	    field_is("Name", "a&#x3c;b&#x3e;&#x26;&#x22;c"), "confxml");
	test_attributes(pp);
	for (int unmapped = 0; unmapped < 2; unmapped++) {
		memset(shadow[0], 'a' + unmapped, 100 * 512);
		ok(simple(pp, BIO_WRITE, 4096, 51200, shadow[0], unmapped) == 0 &&
		    simple(pp, BIO_READ, 4096, 51200, shadow[0], !unmapped) == 0 &&
		    simple(pp, BIO_READ, 4096, 51200, shadow[0], unmapped) == 0,
		    unmapped ? "unmapped write and read" : "mapped write and read");
	}
	ok(simple(pp, BIO_FLUSH, 0, 0, NULL, false) == 0, "flush");
	ok(curthread->td_base_pri == PRI_MAX_TIMESHARE,
	    "its thread's priority is as before");
	ok(simple(pp, BIO_DELETE, 0, 4096, NULL, false) == 0, "delete");
	ok(kpi_access(pp, 1, 1, 0) == 0 && !detach("nbd0", 0) &&
	    strstr(error, "in use") != NULL, "disconnect refuses an open device");
	ok(kpi_unload(kpi_g_nbd) == EBUSY, "unload refuses it, too");
	kpi_access(pp, -1, -1, 0);
	ok(detach("nbd0", 0), "disconnect");
	ok(!detach("nbd0", 0) && error[0] != '\0', "there is no nbd0 any more");
	ok(nothing_left() && kpi_sockets_reset() == 0,
	    "nothing is left, no connection was reset");
	stop(SIGTERM);
}

static void
run_load(const char *name, int conns, u_int max, uint64_t n)
{
	struct g_provider *pp;
	char text[160];

	fresh_disk();
	start_file();
	pp = attach(conns);
	if (pp != NULL) {
		load_start(pp, max, false);
		load_run(n);
	}
	ok(pp != NULL && load_end() && detach(pp->name, 0) && nothing_left(), name);
	snprintf(text, sizeof(text), "%ju bios", (uintmax_t)load.done);
	note(name, text);
	stop(SIGTERM);
}

static void
test_split(void)
{
	u_int *maxpayload = kpi_sysctl("_kern_geom_nbd", "maxpayload");
	struct g_provider *pp;

	start_file();
	*maxpayload = 65536;
	pp = attach(1);
	ok(simple(pp, BIO_WRITE, 0, MIB, shadow[1], true) == 0 &&
	    simple(pp, BIO_READ, 0, MIB, shadow[1], false) == 0 &&
	    field_is("Commands", "32") && field_is("MaximumPayload", "65536"),
	    "1 MiB in parts of 64 KiB");
	*maxpayload = NBE_PAYLOAD_DEFAULT;
	ok(detach(pp->name, 0) && nothing_left(), "and nothing is left");
	stop(SIGTERM);
}

static void
test_scale(void)
{
	long resets = kpi_sockets_reset();
	struct g_provider *pp;
	bool good = true;
	u_int waits;

	fresh_disk();
	start_file();
	pp = attach(1);
	load_start(pp, 65536, false);
	for (int i = 0; i < 4 && good; i++) {
		load_run(200);
		good = scale("nbd0", 4, 3) && field_is("ActiveConnections", "4");
		load_run(200);
		good = good && scale("nbd0", 1, 0) &&
		    field_is("ActiveConnections", "1");
	}
	load_run(200);
	ok(load_end() && good, "scale to 4 and to 1 under load, four times");
	ok(kpi_devctl_count() == 0, "no DISCONNECTED for what was meant");
	waits = kpi_timed_waits();
	ok(!scale("nbd0", 1, 1) && kpi_timed_waits() == waits,
	    "nobody waits for a connection that does not leave");
	want.lie_size = DISK_SIZE / 2;
	ok(!scale("nbd0", 2, 1) && strstr(error, "refused") != NULL,
	    "a connection to a smaller disk is refused");
	note("refusal", error);
	want.lie_size = 2 * (uint64_t)DISK_SIZE;
	ok(kpi_devctl_told("RESIZED") == 0 && scale("nbd0", 2, 1),
	    "one to a larger disk is taken");
	want.lie_size = 0;
	for (int i = 0; i < 100 && pp->mediasize != 2 * DISK_SIZE; i++) {
		usleep(20000);
		kpi_event_drain();
	}
	ok(pp->mediasize == 2 * DISK_SIZE && comes_to_told("RESIZED", 1),
	    "and GEOM is told of its size, and devd once");
	ok(detach("nbd0", 0) && nothing_left(), "nothing is left after scaling");
	ok(kpi_sockets_reset() == resets, "nor was a connection reset");
	stop(SIGTERM);
}

static void
test_loss(int conns, const char *unflushed, bool tls)
{
	u_int events = kpi_devctl_count();
	long resets = kpi_sockets_reset();
	struct g_provider *pp;
	char last[128], name[64];
	bool good = true;

	fresh_disk();
	start_file();
	want.unflushed = unflushed;
	want.tls = tls;
	pp = attach(conns);
	load_start(pp, 262144, false);
	for (int i = 0; i < 5; i++) {
		load_run(200);
		stop(SIGKILL);
		good = good && field_is("State", "DISCONNECTED");
		usleep(50000);
		start_file();
		good = good && scale("nbd0", conns, conns) &&
		    field_is("State", "CONNECTED");
	}
	load_run(200);
	snprintf(name, sizeof(name), "server killed under load, %d connections, %s%s",
	    conns, unflushed, tls ? ", TLS played" : "");
	ok(load_end() && good, name);
	kpi_devctl_last(last, sizeof(last));
	ok(kpi_devctl_count() == events + 5 * (u_int)conns &&
	    strcmp(last, "GEOM NBD DISCONNECTED geom=nbd0") == 0, "devctl events");
	ok(kpi_sockets_reset() == resets + 5 * conns, "what was lost was reset");
	ok(detach("nbd0", 0) && nothing_left(), "nothing is left after losses");
	want.unflushed = NULL;
	want.tls = false;
	stop(SIGTERM);
}

static void
test_dead(void)
{
	u_int dead = kpi_devctl_told("DEAD");
	struct g_provider *pp;
	int err;

	start_file();
	want.dead_timeout = 1;
	pp = attach(1);
	want.dead_timeout = 0;
	stop(SIGKILL);
	err = simple(pp, BIO_READ, 0, 4096, shadow[0], false);
	ok(err == ETIMEDOUT, "dead_timeout fails a request");
	ok(simple(pp, BIO_READ, 0, 4096, shadow[0], false) == ETIMEDOUT &&
	    comes_to_told("DEAD", dead + 1),
	    "devd is told once that the device is dead");
	start_file();
	ok(scale("nbd0", 1, 1) &&
	    simple(pp, BIO_WRITE, 0, 4096, shadow[0], true) == 0,
	    "new sockets bring the device back");
	stop(SIGKILL);
	ok(simple(pp, BIO_READ, 0, 4096, shadow[0], false) == ETIMEDOUT &&
	    comes_to_told("DEAD", dead + 2), "and again after it was back");
	ok(detach("nbd0", 0) && nothing_left(), "nothing is left after death");
	stop(SIGTERM);
}

static struct io *
look_new(void)
{
	static char consumer;
	static struct bio geoms_own = { .bio_cmd = BIO_READ,
		.bio_from = (struct g_consumer *)&consumer };
	struct io *io = io_new(BIO_READ, 0, 4096, false);

	io->bio.bio_parent = &geoms_own;
	return io;
}

/* GEOM's own reads wait for no server: its only thread for events would. */
static void
test_look(void)
{
	u_int changes = kpi_media_changes();
	struct io *io = io_new(BIO_READ, 0, 4096, false), *look = look_new();
	struct g_provider *pp;

	start_file();
	pp = attach(1);
	io_start(look, pp);
	ok(io_wait(look) == 0, "GEOM looks at the disk");
	io_free(look);
	kill(server, SIGSTOP);
	waitpid(server, NULL, WUNTRACED);
	look = look_new();
	io_start(look, pp);
	io_start(io, pp);
	usleep(100000);
	stop(SIGKILL);
	ok(io_wait(look) == ECANCELED && sem_trywait(&io->done) != 0,
	    "its read ends with the server, another one waits");
	io_start(look, pp);
	ok(io_wait(look) == ENXIO, "nor does it wait for the next server");
	io_free(look);
	start_file();
	ok(scale("nbd0", 1, 1) && io_wait(io) == 0 &&
	    kpi_media_changes() == changes + 1,
	    "which the other one does, and GEOM is to look again");
	ok(scale("nbd0", 1, 0) && kpi_media_changes() == changes + 1, "once");
	io_free(io);
	ok(detach("nbd0", 0) && nothing_left(), "and nothing is left");
	stop(SIGTERM);
}

static bool
media_changes_to(u_int n)
{
	for (int i = 0; i < 1000 && kpi_media_changes() != n; i++)
		usleep(20000);
	return kpi_media_changes() == n;
}

/* Nor for one that is silent, with its connection up. */
static void
test_look_silent(void)
{
	u_int changes = kpi_media_changes();
	struct io *look = look_new();
	struct g_provider *pp;

	start_file();
	pp = attach(1);
	kill(server, SIGSTOP);
	waitpid(server, NULL, WUNTRACED);
	io_start(look, pp);
	ok(io_wait(look) == ECANCELED, "GEOM does not wait for a silent server");
	io_start(look, pp);
	ok(io_wait(look) == ENXIO && kpi_media_changes() == changes,
	    "and not again, as long as it is silent");
	kill(server, SIGCONT);
	ok(media_changes_to(changes + 1), "when it speaks, GEOM is to look again");
	io_start(look, pp);
	ok(io_wait(look) == 0, "and sees the disk");
	io_free(look);
	ok(detach("nbd0", 0) && nothing_left(), "and nothing is left");
	stop(SIGTERM);
}

/* A server that is silent, and comes back as another one. */
static void
test_timeout(void)
{
	struct g_provider *pp;
	struct io *io;

	start_file();
	want.timeout = 1;
	pp = attach(1);
	want.timeout = 0;
	kill(server, SIGSTOP);
	waitpid(server, NULL, WUNTRACED);
	io = io_new(BIO_READ, 0, 4096, true);
	io_start(io, pp);
	ok(field_is("State", "DISCONNECTED") && field_is("Timeouts", "1"),
	    "a silent server loses its connection");
	stop(SIGKILL);
	start_file();
	ok(scale("nbd0", 1, 1) && io_wait(io) == 0, "the request goes to the next");
	io_free(io);
	ok(detach("nbd0", 0) && nothing_left(), "nothing is left after silence");
	stop(SIGTERM);
}

/* Late is a connection that does not move, not one that is slow. */
static void
test_slow(void)
{
	struct g_provider *pp;

	start_file();
	want.timeout = 2;
	want.dead_timeout = 1;
	want.slow = true;
	pp = attach(1);
	want.timeout = want.dead_timeout = 0;
	want.slow = false;
	ok(simple(pp, BIO_WRITE, 0, BIO_MAX, shadow[1], true) == 0 &&
	    field_is("Timeouts", "0"), "a slow write is not late");
	ok(detach("nbd0", 0) && nothing_left(), "and nothing is left");
	stop(SIGTERM);
}

/* A session near its cipher's limit is left in order: nothing unflushed is lost. */
static void
test_records(int conns)
{
	uint64_t limit = UINT64_C(23726566) - (UINT64_C(1) << 22);
	u_int events = kpi_devctl_count();
	long resets = kpi_sockets_reset();
	struct g_provider *pp;
	bool good;

	start_file();
	want.unflushed = "fail";
	want.tls = true;
	kpi_tls_records(limit + 1);
	pp = attach(conns);
	kpi_tls_records(0);
	good = simple(pp, BIO_WRITE, 0, 131072, shadow[0], true) == 0;
	ok(good && field_is("ActiveConnections", "0") &&
	    kpi_devctl_count() == events + (u_int)conns,
	    "a session at its limit is to be made anew, and devd is told");
	ok(scale("nbd0", conns, conns) &&
	    simple(pp, BIO_READ, 0, 131072, shadow[0], true) == 0 &&
	    simple(pp, BIO_FLUSH, 0, 0, NULL, false) == 0 &&
	    kpi_sockets_reset() == resets, "which loses nothing");
	want.unflushed = NULL;
	want.tls = false;
	ok(detach("nbd0", 0) && nothing_left(), "and leaves nothing");
	stop(SIGTERM);
}

/* ktls(4) has another thread encrypt, so the caller is not to go on with the rest. */
static void
test_tls_sender(void)
{
	struct g_provider *pp;
	bool good = true;

	start_file();
	want.tls = true;
	pp = attach(1);
	for (int i = 0; i < 16; i++)
		good = good && simple(pp, BIO_WRITE, i * 4096, 4096, shadow[0],
		    false) == 0;
	ok(good && !field_is("SenderWakeups", "0"), "with TLS the sender sends");
	want.tls = false;
	ok(detach("nbd0", 0) && nothing_left(), "and leaves nothing behind it");
	stop(SIGTERM);
}

/*
 * The sender, who sends a long write, sends the flush behind it, too: then it is woken
 * more often than there are writes.  Not each time, for it may still be awake.
 */
static void
test_flush_sender(void)
{
	struct g_provider *pp;
	long writes = 0, wakeups;
	bool good;

	start_file();
	pp = attach(1);
	good = simple(pp, BIO_WRITE, 0, 4096, shadow[0], false) == 0 &&
	    simple(pp, BIO_FLUSH, 0, 0, NULL, false) == 0;
	ok(good && field_is("SenderWakeups", "0"), "start sends a write and a flush");
	do {
		good = simple(pp, BIO_WRITE, 0, 131072, shadow[0], false) == 0 &&
		    simple(pp, BIO_FLUSH, 0, 0, NULL, false) == 0;
		writes++;
		wakeups = strtol(field("SenderWakeups"), NULL, 10);
	} while (good && wakeups <= writes && writes < 1000);
	ok(good && wakeups > writes, "after a long write the sender sends both");
	ok(detach("nbd0", 0) && nothing_left(), "and nothing is left of them");
	stop(SIGTERM);
}

/* ktls(4) has no second key.  No byte of the record may reach a bio. */
static void
test_key_update(int conns)
{
	char name[80], left[8];
	struct g_provider *pp;
	struct io *io;
	int flushed;
	bool good = true;

	start_file();
	want.unflushed = "fail";
	want.tls = true;
	pp = attach(conns);
	for (int i = 0; i < 16; i++)
		good = good && simple(pp, BIO_WRITE, i * 65536, 65536, shadow[0],
		    true) == 0;
	kpi_tls_update(3);
	snprintf(left, sizeof(left), "%d", conns - 1);
	io = io_new(BIO_READ, 0, 65536, true);
	io_start(io, pp);
	good = good && field_is("ActiveConnections", left) &&
	    scale("nbd0", conns, 1) && io_wait(io) == 0 &&
	    io_data(io, shadow[0], false, true);
	io_free(io);
	flushed = simple(pp, BIO_FLUSH, 0, 0, NULL, false);
	snprintf(name, sizeof(name), "KeyUpdate, connections: %d; %s", conns,
	    conns > 1 ? "nothing is lost" : "the flush says that it may be");
	ok(good && flushed == (conns > 1 ? 0 : EIO), name);
	want.unflushed = NULL;
	want.tls = false;
	ok(detach("nbd0", 0) && nothing_left(), "and nothing is left");
	stop(SIGTERM);
}

/* What was written and not flushed may be lost with the server. */
static void
test_unflushed(void)
{
	struct g_provider *pp;

	start_file();
	want.unflushed = "fail";
	pp = attach(1);
	want.unflushed = NULL;
	ok(simple(pp, BIO_WRITE, 0, 4096, shadow[0], false) == 0,
	    "a write before the server dies");
	stop(SIGKILL);
	ok(field_is("State", "DISCONNECTED"), "it dies");
	start_file();
	ok(scale("nbd0", 1, 1) &&
	    simple(pp, BIO_FLUSH, 0, 0, NULL, false) == EIO &&
	    simple(pp, BIO_FLUSH, 0, 0, NULL, false) == 0,
	    "the next flush says so, once");
	ok(detach("nbd0", 0) && nothing_left(), "nothing is left");
	stop(SIGTERM);
}

static void
start_two(void)
{
	use_server(1);
	start_file();
	use_server(0);
	start_file();
	want.paths = 2;
}

static void
stop_two(void)
{
	use_server(1);
	stop(SIGTERM);
	use_server(0);
	stop(SIGTERM);
	want.paths = want.path = 0;
}

/* Each of two servers dies in turn, under load; then moves, and none is lost. */
static void
test_failover(int conns)
{
	char name[64];
	bool good = true;

	fresh_disk();
	start_two();
	load_start(attach(conns), 65536, false);
	for (int i = 0; i < 4 && good; i++) {
		load_run(200);
		use_server(i % 2);
		stop(SIGKILL);
		unlink(socket_path);
		good = field_is("State", "DISCONNECTED") &&
		    bring_to_path(i % 2 == 0 ? "1" : "0", conns);
		use_server(i % 2);
		start_file();
	}
	load_run(200);
	good = good && field_is("Failovers", "4") && field_is("Path1Why",
	    "nobody there");
	snprintf(name, sizeof(name), "failover under load, %d connections", conns);
	ok(load_end() && good, name);
	ok(detach("nbd0", 0) && nothing_left(), "nothing is left after failovers");
	stop_two();
}

static void
test_move(void)
{
	u_int events = kpi_devctl_count();
	struct g_provider *pp;
	bool good = true;

	fresh_disk();
	start_two();
	want.unflushed = "fail";
	pp = attach(2);
	load_start(pp, 65536, false);
	for (int i = 0; i < 4 && good; i++) {
		load_run(200);
		good = move_to(i % 2 == 0 ? 1 : 0) &&
		    bring_to_path(i % 2 == 0 ? "1" : "0", 2);
	}
	ok(load_end() && good && field_is("Moves", "4") &&
	    simple(pp, BIO_FLUSH, 0, 0, NULL, false) == 0,
	    "moves under load lose nothing");
	/* 2 connections, and a probe, each time */
	ok(kpi_devctl_count() == events + 4 * 3, "devd is told of each wish");
	ok(move_to(1) && report("probe", 1, "gone fishing") &&
	    field_is("ActivePath", "0") && field_is("Path1State", "FAILED") &&
	    field_is("Path1Why", "gone fishing"), "a move to where nobody answers");
	ok(!move_to(2) && strstr(error, "no path 2") != NULL, "nor to a third one");
	ok(!report("dance", 0, NULL) && !report("dial", 7, NULL) &&
	    detach("nbd0", 0) && nothing_left(), "reports of nothing");
	want.unflushed = NULL;
	stop_two();
}

/* Sockets of a server that the device is not at are of no use. */
static void
test_other_path(void)
{
	start_two();
	ok(attach(1) != NULL, "a device of two servers");
	want.path = 1;
	ok(!scale("nbd0", 2, 1) && strstr(error, "left this server") != NULL,
	    "a socket of another server is refused");
	want.path = 2;
	ok(!scale("nbd0", 2, 1) && strstr(error, "no path 2") != NULL,
	    "one of no server is, too");
	want.path = 0;
	ok(scale("nbd0", 2, 1) && detach("nbd0", 0), "and one of its own is taken");
	want.paths = 9;
	ok(attach(1) == NULL && strstr(error, "1 to 8") != NULL, "nine servers");
	want.paths = 2;
	want.path = 2;
	ok(attach(1) == NULL && strstr(error, "1 to 8") != NULL,
	    "a socket to none of them");
	want.path = 0;
	want.fence_by = "luck";
	ok(attach(1) == NULL && strstr(error, "time, store") != NULL &&
	    nothing_left(), "a way to fence that there is not");
	want.fence_by = NULL;
	stop_two();
}

/* What the server that was left may still write: until it is fenced, changes wait. */
static void
test_fence_command(void)
{
	struct g_provider *pp;
	struct io *io;

	fresh_disk();
	start_two();
	want.fence_by = "/some/program";
	pp = attach(1);
	memset(shadow[0], 'x', 8192);
	simple(pp, BIO_WRITE, 0, 4096, shadow[0], false);
	stop(SIGKILL);
	unlink(socket_path);
	ok(field_is("State", "DISCONNECTED") && bring_to_path("1", 1) &&
	    field_is("Fence", "0") && field_is("FenceBy", "/some/program"),
	    "the server that was left is to be fenced");
	io = io_new(BIO_WRITE, 0, 4096, false);
	io_data(io, shadow[0] + 4096, true, false);
	io_start(io, pp);
	ok(simple(pp, BIO_READ, 4096, 4096, shadow[1], false) == 0 &&
	    sem_trywait(&io->done) != 0, "reads go on, a write waits");
	ok(report("fence", 0, "it refuses") && field_is("Path0Why", "it refuses") &&
	    sem_trywait(&io->done) != 0, "also when the program has failed");
	ok(field_is_within("Fence", "0", 15) && field_is("FenceWish", "2") &&
	    !report_wish("fence", 0, 1, NULL) &&
	    strstr(error, "not open any more") != NULL &&
	    sem_trywait(&io->done) != 0, "the answer to an earlier wish is none");
	ok(report_wish("fence", 0, 2, NULL) && io_wait(io) == 0 &&
	    field_is("Fence", "(none)"),
	    "which is asked again, and then the write is done");
	ok(!report_wish("fence", 0, 2, NULL), "nobody asks twice");
	io_free(io);
	want.fence_by = NULL;
	ok(detach("nbd0", 0) && nothing_left(), "and nothing is left");
	stop_two();
}

static void
test_huge_trim(void)
{
	struct g_provider *pp;

	start("memory", "9G", NULL);
	pp = attach(1);
	ok(pp != NULL && simple(pp, BIO_DELETE, 4096, 6 * 1024LL * MIB, NULL,
	    false) == 0 && field_is("TrimBytes", "6442450944") &&
	    field_is("Commands", "96"), "6 GiB are trimmed, 64 MiB at a time");
	ok(detach("nbd0", 0) && nothing_left(), "and nothing is left");
	stop(SIGTERM);
}

/* Bios larger than the socket's buffer go out in pieces. */
static void
test_small_buffers(void)
{
	u_long *send = kpi_sysctl("_kern_geom_nbd", "sendspace");
	u_long *recv = kpi_sysctl("_kern_geom_nbd", "recvspace");
	uint64_t *cut = kpi_sysctl("_kern_geom_nbd_stats", "write_truncs");
	u_long was = *send;

	*send = 49152;
	*recv = 131072;
	*cut = 0;
	run_load("load, bios larger than the socket's buffer", 2, BIO_MAX, 200);
	ok(*cut != 0, "and they were cut");
	*send = *recv = was;
}

static void
test_force(int conns)
{
	long resets = kpi_sockets_reset();
	struct g_provider *pp;

	fresh_disk();
	start_file();
	pp = attach(conns);
	kpi_access(pp, 1, 1, 1);
	load_start(pp, 262144, true);
	load_run(200);
	ok(detach("nbd0", 1), "forced disconnect under load");
	ok(load_end(), "its I/O ends with ENXIO");
	ok(kpi_provider(kpi_g_nbd, "nbd0") == NULL, "the device is gone");
	kpi_access(pp, -1, -1, -1);
	ok(nothing_left() && kpi_sockets_reset() == resets + conns,
	    "nothing is left once it is closed, its connections were reset");
	stop(SIGTERM);
}

static void
test_unload(void)
{
	start_file();
	ok(attach(4) != NULL && attach(2) != NULL, "two devices");
	ok(kpi_unload(kpi_g_nbd) == 0 && nothing_left(), "unload takes them along");
	kpi_load(kpi_g_nbd);
	stop(SIGTERM);
}

/* The way to a server on the same machine. */
static void
test_local(void)
{
	struct g_provider *pp;
	bool refused;

	start("memory", "64M", NULL);
	want.family = AF_LOCAL;
	pp = attach(2);
	want.family = AF_INET;
	if (__FreeBSD_version < 1500000) {
		ok(pp != NULL && detach("nbd0", 0), "UNIX sockets");
	} else {
		refused = pp == NULL && strstr(error, "UNIX socket") != NULL;
		ok(refused, "UNIX sockets are refused");
	}
	ok(nothing_left(), "and nothing is left");
	stop(SIGTERM);
}

static void
test_stripe(void)
{
	struct g_provider *pp;

	start("memory", "64M", NULL);
	want.stripesize = 777;
	ok(attach(1) == NULL && strstr(error, "multiple") != NULL && nothing_left(),
	    "a stripe size that is no multiple of the sector");
	want.stripesize = -512;
	ok(attach(1) == NULL && nothing_left(), "a stripe size below 0");
	want.stripesize = 8192;
	pp = attach(1);
	ok(pp != NULL && pp->stripesize == 8192 && detach("nbd0", 0),
	    "a stripe size chosen by the user");
	want.stripesize = 0;
	want.sectorsize = 65536;
	pp = attach(1);
	ok(pp != NULL && pp->stripesize == 0 && detach("nbd0", 0),
	    "the server's is none where a sector is larger");
	want.sectorsize = 0;
	stop(SIGTERM);
}

static void
test_refusals(void)
{
	struct gctl_req *req = kpi_req("dance");
	uint32_t version = 99;
	struct g_provider *pp;

	kpi_req_run(kpi_g_nbd, req, error, sizeof(error), NULL, 0);
	ok(error[0] != '\0', "an unknown verb");
	req = kpi_req("connect");
	kpi_req_add(req, "version", &version, sizeof(version));
	kpi_req_run(kpi_g_nbd, req, error, sizeof(error), NULL, 0);
	ok(strstr(error, "out of sync") != NULL, "another version");
	start("memory", "64M", NULL);
	want.lie_block = 3;
	ok(attach(1) == NULL, "a block size that is no power of two");
	want.lie_block = 131072;
	ok(attach(1) == NULL, "a block size beyond the limit");
	want.lie_block = 0;
	want.lie_tid = 1;
	ok(attach(1) == NULL && nothing_left(), "a thread that does not exist");
	want.lie_tid = 0;
	want.lie_fd = true;
	ok(attach(3) == NULL && strstr(error, "taken over") != NULL && nothing_left(),
	    "one descriptor that is no socket");
	want.lie_fd = false;
	want.lie_size = 5120;
	want.sectorsize = 4096;
	ok(attach(1) != NULL && kpi_provider(kpi_g_nbd, "nbd0")->mediasize == 4096 &&
	    detach("nbd0", 0), "a size that is no multiple of the sector");
	want.lie_size = 0;
	want.sectorsize = 0;
	stop(SIGTERM);
	start("memory", "64M", "-r", NULL);
	ok(!scale("nbd7", 1, 1), "scale of what is not there");
	pp = attach(1);
	ok(kpi_access(pp, 1, 1, 0) == EROFS && kpi_access(pp, 1, 0, 0) == 0,
	    "a read-only export cannot be opened for writing");
	kpi_access(pp, -1, 0, 0);
	ok(simple(pp, BIO_WRITE, 0, 512, shadow[0], false) == EPERM,
	    "nor written");
	ok(detach("nbd0", 0), "disconnect it");
	want.tls = true;
	pp = attach(1);
	ok(pp != NULL && field_is("TLS", "yes") && detach("nbd0", 0), "TLS played");
	want.tls = false;
	want.sectorsize = 4096;
	pp = attach(1);
	want.sectorsize = 0;
	ok(pp != NULL && pp->sectorsize == 4096 && detach("nbd0", 0),
	    "sectorsize chosen by the user");
	stop(SIGTERM);
	start("--filter=blocksize-policy", "memory", "64M", "blocksize-minimum=4096",
	    "blocksize-preferred=65536", "blocksize-maximum=1M", NULL);
	pp = attach(1);
	ok(pp != NULL && pp->sectorsize == 4096 && pp->stripesize == 65536 &&
	    detach("nbd0", 0), "block sizes of the server");
	stop(SIGTERM);
	ok(nothing_left(), "nothing is left after refusals");
}

static void
test_shortage(void)
{
	struct g_provider *pp;

	fresh_disk();
	start_file();
	pp = attach(2);
	load_start(pp, 65536, false);
	kpi_fail(50);
	load_run(2000);
	kpi_fail(0);
	ok(load_end() && detach("nbd0", 0) && nothing_left(),
	    "allocations that fail under load");
	kpi_fail(1000);
	ok(attach(1) == NULL && nothing_left(), "no thread for a connection");
	kpi_fail(0);
	stop(SIGTERM);
}

/* ---- the price ----------------------------------------------------------- */

static void
price(const char *name, uint16_t cmd, int depth)
{
	struct io *io[64];
	struct g_provider *pp;
	uint64_t locks;
	char text[256];
	int n = 0;

	start("memory", "64M", NULL);
	pp = attach(1);
	locks = kpi_lock_count("gnbd device");
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < depth; i++, n++) {
			io[i] = io_new(cmd, i * 4096, 4096, false);
			io_start(io[i], pp);
		}
		for (int i = 0; i < depth; i++) {
			io_wait(io[i]);
			io_free(io[i]);
		}
	}
	locks = kpi_lock_count("gnbd device") - locks;
	snprintf(text, sizeof(text), "%.2f locks per bio at depth %d",
	    (double)locks / n,
	    depth);
	note(name, text);
	snprintf(text, sizeof(text), "%s sends", field("Sends"));
	note(name, text);
	snprintf(text, sizeof(text), "%s receiver wake-ups", field("ReceiverWakeups"));
	note(name, text);
	detach("nbd0", 0);
	stop(SIGTERM);
}

/* ---- planted bugs -------------------------------------------------------- */

static struct g_provider planted_provider;

static void
ignore_done(struct bio *bp)
{
	(void)bp;
}

static void
plant_double_delivery(void)
{
	struct bio bp = { .bio_cmd = BIO_FLUSH, .bio_done = ignore_done,
		.bio_flags = KPI_BIO_OUT, .bio_to = &planted_provider };

	g_io_deliver(&bp, 0);
	g_io_deliver(&bp, 0);
}

static void
plant_leak(void)
{
	m_get(M_WAITOK, MT_DATA);
	kpi_check_leaks();
}

static void
plant_double_free(void)
{
	struct mbuf *m = m_get(M_WAITOK, MT_DATA), *copy = malloc(sizeof(*m));

	memcpy(copy, m, sizeof(*m));	/* the memory itself must not be touched */
	m_free(m);
	copy->m_magic = 0xdeadc0de;
	m_free(copy);
}

static void
plant_sleep(void)
{
	struct mtx m;

	mtx_init(&m, "planted", NULL, MTX_DEF);
	mtx_lock(&m);
	pause("planted", 1);
}

static void
plant_order(void)
{
	struct mtx a, b;

	mtx_init(&a, "planted a", NULL, MTX_DEF);
	mtx_init(&b, "planted b", NULL, MTX_DEF);
	mtx_lock(&a);
	mtx_lock(&b);
	mtx_unlock(&b);
	mtx_unlock(&a);
	mtx_lock(&b);
	mtx_lock(&a);
}

static void
caught(void (*plant)(void), const char *words, const char *name)
{
	char said[256] = "";
	size_t len = 0;
	int out[2], status;
	ssize_t n;
	pid_t pid;

	if (pipe(out) != 0 || (pid = fork()) < 0)
		exit(99);
	if (pid == 0) {
		dup2(out[1], 2);
		plant();
		_exit(0);
	}
	close(out[1]);
	while (len < sizeof(said) - 1 &&
	    (n = read(out[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	close(out[0]);
	waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
	    strstr(said, words) != NULL, name);
}

static void
test_planted(void)
{
	caught(plant_double_delivery, "delivered twice", "a bio delivered twice");
	caught(plant_leak, "mbufs are left", "an mbuf that leaks");
	caught(plant_double_free, "freed twice", "an mbuf freed twice");
	caught(plant_sleep, "may sleep with mutex", "sleeping with a mutex");
	caught(plant_order, "lock order reversal", "locks in the wrong order");
}

int
main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (system("nbdkit --version >/dev/null 2>&1") != 0) {
		printf("1..0 # SKIP nbdkit is not installed\n");
		return 0;
	}
	if (mkdtemp(dir) == NULL)
		return 99;
	snprintf(socket_path, sizeof(socket_path), "%s/s", dir);
	snprintf(disk_path, sizeof(disk_path), "%s/disk", dir);
	for (int i = 0; i < WORKERS; i++)
		shadow[i] = calloc(1, REGION);
	alarm(600);
	fresh_disk();
	kpi_load(kpi_g_nbd);
	test_basics();
	run_load("load, one connection", 1, 65536, 3000);
	run_load("load, four connections", 4, 65536, 3000);
	run_load("load, large bios", 2, BIO_MAX, 400);
	want.tls = true;
	run_load("load, TLS played", 2, 262144, 1000);
	want.tls = false;
	want.framing = NBE_STRUCTURED;
	run_load("load, structured replies", 2, 65536, 1000);
	want.framing = NBE_SIMPLE;
	test_split();
	test_scale();
	test_loss(1, "ignore", false);
	test_loss(3, "ignore", false);
	test_loss(2, "replay", false);
	test_loss(2, "ignore", true);
	test_dead();
	test_look();
	test_look_silent();
	test_timeout();
	test_slow();
	test_records(1);
	test_records(2);
	test_tls_sender();
	test_flush_sender();
	test_key_update(1);
	test_key_update(3);
	test_unflushed();
	test_failover(1);
	test_failover(3);
	test_move();
	test_other_path();
	test_fence_command();
	test_huge_trim();
	test_small_buffers();
	test_force(1);
	test_force(4);
	test_local();
	test_stripe();
	test_refusals();
	test_shortage();
	test_unload();
	price("write", BIO_WRITE, 1);
	price("write", BIO_WRITE, 32);
	price("read", BIO_READ, 1);
	price("read", BIO_READ, 32);
	ok(kpi_unload(kpi_g_nbd) == 0 && nothing_left(), "unload");
	test_planted();
	printf("1..%d\n", tests);
	unlink(disk_path);
	unlink(socket_path);
	rmdir(dir);
	return failures != 0;
}
