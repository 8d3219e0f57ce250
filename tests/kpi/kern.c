/*
 * kern.c - KPI host: locks, threads, time, memory.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <sys/callout.h>
#include <sys/condvar.h>
#include <sys/devctl.h>
#include <sys/kthread.h>
#include <sys/sbuf.h>
#include <sys/sysctl.h>
#include <sys/taskqueue.h>
#include <sys/time.h>
#include <vm/uma.h>

#include "host.h"
#include "kpi.h"

#undef malloc
#undef free

void
kpi_panic(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "panic: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	abort();
}

size_t
kpi_strlcpy(char *to, const char *from, size_t size)
{
	size_t len = strlen(from);

	if (size != 0) {
		size_t n = len < size - 1 ? len : size - 1;

		memcpy(to, from, n);
		to[n] = '\0';
	}
	return len;
}

uint32_t
kpi_arc4random(void)
{
	return (uint32_t)random();
}

/* ---- threads ------------------------------------------------------------- */

static pthread_mutex_t threads_lock = PTHREAD_MUTEX_INITIALIZER;
static struct thread *threads;
static lwpid_t last_tid = 100000;
static struct proc proc0 = { .p_pid = 0 };
static pthread_mutex_t proc_lock = PTHREAD_MUTEX_INITIALIZER;
static long kthreads;
static __thread struct thread *self;

static struct thread *
thread_register(const char *name)
{
	struct thread *td = calloc(1, sizeof(*td));

	kpi_strlcpy(td->td_name, name, sizeof(td->td_name));
	td->td_proc = &proc0;
	td->td_base_pri = PRI_MAX_TIMESHARE;
	pthread_mutex_lock(&threads_lock);
	td->td_tid = ++last_tid;
	td->td_next = threads;
	threads = td;
	pthread_mutex_unlock(&threads_lock);
	self = td;
	return td;
}

struct thread *
kpi_curthread(void)
{
	return self != NULL ? self : thread_register("host");
}

struct thread *
tdfind(lwpid_t tid, pid_t pid)
{
	struct thread *td;

	(void)pid;
	pthread_mutex_lock(&proc_lock);		/* what is found does not exit */
	pthread_mutex_lock(&threads_lock);
	for (td = threads; td != NULL && td->td_tid != tid; td = td->td_next)
		;
	pthread_mutex_unlock(&threads_lock);
	if (td == NULL)
		pthread_mutex_unlock(&proc_lock);
	return td;
}

void
kpi_proc_unlock(struct proc *p)
{
	(void)p;
	pthread_mutex_unlock(&proc_lock);
}

struct start {
	void (*func)(void *);
	void *arg;
	char name[24];
};

static void *
thread_main(void *arg)
{
	struct start s = *(struct start *)arg;

	free(arg);
	thread_register(s.name);
	s.func(s.arg);
	kpi_panic("kthread %s returned", s.name);
}

/* A random moment, so that what threads do meets in many ways. */
static void
stumble(void)
{
	if (random() % 4 == 0)
		usleep((useconds_t)(random() % 200));
}

int
kthread_add(void (*func)(void *), void *arg, struct proc *p, struct thread **newtd,
    int flags, int pages, const char *fmt, ...)
{
	struct start *s;
	pthread_t t;
	va_list ap;

	(void)p, (void)newtd, (void)flags, (void)pages;
	kpi_may_sleep("kthread_add", NULL);
	if (kpi_fails())
		return ENOMEM;
	s = calloc(1, sizeof(*s));
	s->func = func;
	s->arg = arg;
	va_start(ap, fmt);
	vsnprintf(s->name, sizeof(s->name), fmt, ap);
	va_end(ap);
	__atomic_add_fetch(&kthreads, 1, __ATOMIC_SEQ_CST);
	if (pthread_create(&t, NULL, thread_main, s) != 0)
		kpi_panic("pthread_create");
	pthread_detach(t);
	return 0;
}

void
kthread_exit(void)
{
	struct thread **at, *td = curthread;

	if (td->td_nlocks != 0)
		kpi_panic("%s exits with a lock", td->td_name);
	stumble();
	pthread_mutex_lock(&proc_lock);
	pthread_mutex_lock(&threads_lock);
	for (at = &threads; *at != td; at = &(*at)->td_next)
		;
	*at = td->td_next;
	pthread_mutex_unlock(&threads_lock);
	pthread_mutex_unlock(&proc_lock);
	__atomic_sub_fetch(&kthreads, 1, __ATOMIC_SEQ_CST);
	self = NULL;
	free(td);
	pthread_exit(NULL);
}

long
kpi_threads_inuse(void)
{
	return __atomic_load_n(&kthreads, __ATOMIC_SEQ_CST);
}

/* ---- mutexes, and their order -------------------------------------------- */

#define CLASSES	16
static pthread_mutex_t classes_lock = PTHREAD_MUTEX_INITIALIZER;
static const char *class_name[CLASSES];
static uint64_t class_count[CLASSES];
/* seen: [a][b] is b taken with a held */
static _Atomic bool before[CLASSES][CLASSES];

static int
class_of(const char *name)
{
	int i;

	pthread_mutex_lock(&classes_lock);
	for (i = 0; i < CLASSES && class_name[i] != NULL; i++)
		if (strcmp(class_name[i], name) == 0)
			break;
	if (i == CLASSES)
		kpi_panic("too many lock classes");
	class_name[i] = name;
	pthread_mutex_unlock(&classes_lock);
	return i;
}

void
kpi_mtx_init(struct mtx *m, const char *name)
{
	memset(m, 0, sizeof(*m));
	m->lock_object.lo_name = name;
	m->lock_object.lo_class = class_of(name);
	pthread_mutex_init(&m->mtx_lock, NULL);
}

void
kpi_mtx_destroy(struct mtx *m)
{
	if (m->mtx_owner != NULL)
		kpi_panic("mutex %s destroyed while owned", m->lock_object.lo_name);
	pthread_mutex_destroy(&m->mtx_lock);
	m->lock_object.lo_name = "(destroyed)";
}

static void
check_order(struct thread *td, const struct mtx *m)
{
	for (int i = 0; i < td->td_nlocks; i++) {
		int a = td->td_locks[i]->lock_object.lo_class;
		int b = m->lock_object.lo_class;

		if (a == b)
			kpi_panic("two mutexes %s", m->lock_object.lo_name);
		if (before[b][a])
			kpi_panic("lock order reversal: %s, then %s",
			    class_name[a], class_name[b]);
		before[a][b] = true;
	}
}

static void
note_locked(struct mtx *m)
{
	struct thread *td = curthread;

	__atomic_store_n(&m->mtx_owner, td, __ATOMIC_RELAXED);
	if (td->td_nlocks == (int)nitems(td->td_locks))
		kpi_panic("too many locks");
	td->td_locks[td->td_nlocks++] = m;
}

static void
note_unlocked(struct mtx *m)
{
	struct thread *td = curthread;
	int i;

	if (!kpi_mtx_owned(m))
		kpi_panic("mutex %s is not owned", m->lock_object.lo_name);
	for (i = 0; td->td_locks[i] != m; i++)
		;
	td->td_locks[i] = td->td_locks[--td->td_nlocks];
	__atomic_store_n(&m->mtx_owner, NULL, __ATOMIC_RELAXED);
}

bool
kpi_mtx_owned(struct mtx *m)
{
	return __atomic_load_n(&m->mtx_owner, __ATOMIC_RELAXED) == curthread;
}

void
kpi_mtx_lock(struct mtx *m)
{
	if (kpi_mtx_owned(m))
		kpi_panic("mutex %s is owned already", m->lock_object.lo_name);
	check_order(curthread, m);
	pthread_mutex_lock(&m->mtx_lock);
	__atomic_add_fetch(&class_count[m->lock_object.lo_class], 1,
	    __ATOMIC_RELAXED);
	note_locked(m);
}

void
kpi_mtx_unlock(struct mtx *m)
{
	note_unlocked(m);
	pthread_mutex_unlock(&m->mtx_lock);
}

uint64_t
kpi_lock_count(const char *name)
{
	return __atomic_load_n(&class_count[class_of(name)], __ATOMIC_RELAXED);
}

void
kpi_may_sleep(const char *where, const struct mtx *but)
{
	struct thread *td = curthread;

	for (int i = 0; i < td->td_nlocks; i++)
		if (td->td_locks[i] != but)
			kpi_panic("%s may sleep with mutex %s", where,
			    td->td_locks[i]->lock_object.lo_name);
}

void
kpi_no_locks(const char *where)
{
	struct thread *td = curthread;

	if (td->td_nlocks != 0)
		kpi_panic("%s with mutex %s", where,
		    td->td_locks[0]->lock_object.lo_name);
}

/* ---- condition variables ------------------------------------------------- */

void
cv_init(struct cv *cv, const char *name)
{
	pthread_condattr_t attr;

	cv->cv_description = name;
	cv->cv_waiters = 0;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&cv->cv_cond, &attr);
	pthread_condattr_destroy(&attr);
}

void
cv_destroy(struct cv *cv)
{
	if (cv->cv_waiters != 0)
		kpi_panic("cv %s destroyed with waiters", cv->cv_description);
	pthread_cond_destroy(&cv->cv_cond);
}

static struct timespec
after_ns(int64_t ns)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	ns += t.tv_nsec;
	t.tv_sec += ns / 1000000000;
	t.tv_nsec = ns % 1000000000;
	return t;
}

static int
cv_wait_until(struct cv *cv, struct mtx *m, const struct timespec *end)
{
	int error;

	kpi_may_sleep(cv->cv_description, m);
	cv->cv_waiters++;
	note_unlocked(m);
	error = end == NULL ? pthread_cond_wait(&cv->cv_cond, &m->mtx_lock) :
	    pthread_cond_timedwait(&cv->cv_cond, &m->mtx_lock, end);
	note_locked(m);
	cv->cv_waiters--;
	return error == ETIMEDOUT ? EWOULDBLOCK : 0;
}

void
cv_wait(struct cv *cv, struct mtx *m)
{
	cv_wait_until(cv, m, NULL);
}

static u_int timed_waits;

u_int
kpi_timed_waits(void)
{
	return __atomic_load_n(&timed_waits, __ATOMIC_SEQ_CST);
}

int
cv_timedwait(struct cv *cv, struct mtx *m, int ticks)
{
	struct timespec end = after_ns((int64_t)ticks * (1000000000 / hz));

	__atomic_add_fetch(&timed_waits, 1, __ATOMIC_SEQ_CST);
	return cv_wait_until(cv, m, &end);
}

void
cv_signal(struct cv *cv)
{
	pthread_cond_signal(&cv->cv_cond);
}

void
cv_broadcast(struct cv *cv)
{
	pthread_cond_broadcast(&cv->cv_cond);
}

/* ---- time ---------------------------------------------------------------- */

sbintime_t
sbinuptime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return nstosbt((int64_t)t.tv_sec * 1000000000 + t.tv_nsec);
}

int
kpi_pause(const char *wmesg, int ticks)
{
	kpi_may_sleep(wmesg, NULL);
	usleep((useconds_t)ticks * (1000000 / hz));
	return 0;
}

static pthread_mutex_t callouts_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t callouts_cond;
static struct callout *callouts, *callout_running;

/* The earliest, and off the list; NULL: none is due. */
static struct callout *
callout_due(sbintime_t now, sbintime_t *next)
{
	struct callout **at;

	*next = now + SBT_1S;
	for (at = &callouts; *at != NULL; at = &(*at)->c_next) {
		struct callout *c = *at;

		if (c->c_time <= now) {
			*at = c->c_next;
			c->c_armed = false;
			return c;
		}
		if (c->c_time < *next)
			*next = c->c_time;
	}
	return NULL;
}

static void *
callout_thread(void *arg)
{
	(void)arg;
	thread_register("clock");
	pthread_mutex_lock(&callouts_lock);
	for (;;) {
		sbintime_t now = sbinuptime(), next;
		struct callout *c = callout_due(now, &next);
		struct timespec end;

		if (c == NULL) {
			end = after_ns(sbttons(next - now) + 1);
			pthread_cond_timedwait(&callouts_cond, &callouts_lock, &end);
			continue;
		}
		callout_running = c;
		pthread_mutex_unlock(&callouts_lock);
		kpi_mtx_lock(c->c_mtx);
		c->c_func(c->c_arg);
		kpi_mtx_unlock(c->c_mtx);
		pthread_mutex_lock(&callouts_lock);
		callout_running = NULL;
		pthread_cond_broadcast(&callouts_cond);
	}
	return NULL;
}

static void __attribute__((constructor))
callouts_start(void)
{
	pthread_condattr_t attr;
	pthread_t t;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&callouts_cond, &attr);
	pthread_condattr_destroy(&attr);
	pthread_create(&t, NULL, callout_thread, NULL);
}

void
callout_init_mtx(struct callout *c, struct mtx *m, int flags)
{
	(void)flags;
	memset(c, 0, sizeof(*c));
	c->c_mtx = m;
}

static void
callout_remove(struct callout *c)
{
	struct callout **at;

	for (at = &callouts; *at != NULL; at = &(*at)->c_next)
		if (*at == c) {
			*at = c->c_next;
			break;
		}
	c->c_armed = false;
}

void
callout_reset_sbt(struct callout *c, sbintime_t sbt, sbintime_t precision,
    void (*func)(void *), void *arg, int flags)
{
	(void)precision, (void)flags;
	if (!kpi_mtx_owned(c->c_mtx))
		kpi_panic("callout_reset without its mutex");
	pthread_mutex_lock(&callouts_lock);
	callout_remove(c);
	c->c_func = func;
	c->c_arg = arg;
	c->c_time = sbinuptime() + sbt;
	c->c_armed = true;
	c->c_next = callouts;
	callouts = c;
	pthread_cond_broadcast(&callouts_cond);
	pthread_mutex_unlock(&callouts_lock);
}

void
callout_drain(struct callout *c)
{
	kpi_may_sleep("callout_drain", NULL);
	pthread_mutex_lock(&callouts_lock);
	callout_remove(c);
	while (callout_running == c)
		pthread_cond_wait(&callouts_cond, &callouts_lock);
	pthread_mutex_unlock(&callouts_lock);
}

/* ---- taskqueues ---------------------------------------------------------- */

struct taskqueue {
	pthread_mutex_t	lock;
	pthread_cond_t	cond;
	pthread_t	thread;
	struct task	*head;
	bool		stop;
};

void
taskqueue_thread_enqueue(void *arg)
{
	(void)arg;
}

struct taskqueue *
taskqueue_create(const char *name, int flags, void (*enqueue)(void *), void *arg)
{
	struct taskqueue *q = calloc(1, sizeof(*q));

	(void)name, (void)flags, (void)enqueue, (void)arg;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->cond, NULL);
	return q;
}

static void *
taskqueue_thread(void *arg)
{
	struct taskqueue *q = arg;
	struct task *t;

	thread_register("taskqueue");
	pthread_mutex_lock(&q->lock);
	while (!q->stop || q->head != NULL) {
		if ((t = q->head) == NULL) {
			pthread_cond_wait(&q->cond, &q->lock);
			continue;
		}
		q->head = t->ta_next;
		t->ta_pending = false;
		t->ta_running = true;
		pthread_mutex_unlock(&q->lock);
		stumble();
		t->ta_func(t->ta_context, 1);
		kpi_no_locks("a task returned");
		pthread_mutex_lock(&q->lock);
		t->ta_running = false;
		pthread_cond_broadcast(&q->cond);
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

int
taskqueue_start_threads(struct taskqueue **q, int count, int prio,
    const char *name, ...)
{
	(void)count, (void)prio, (void)name;
	return pthread_create(&(*q)->thread, NULL, taskqueue_thread, *q);
}

int
taskqueue_enqueue(struct taskqueue *q, struct task *t)
{
	struct task **at;

	pthread_mutex_lock(&q->lock);
	if (!t->ta_pending) {
		t->ta_pending = true;
		t->ta_next = NULL;
		for (at = &q->head; *at != NULL; at = &(*at)->ta_next)
			;
		*at = t;
		pthread_cond_broadcast(&q->cond);
	}
	pthread_mutex_unlock(&q->lock);
	return 0;
}

void
taskqueue_drain(struct taskqueue *q, struct task *t)
{
	kpi_may_sleep("taskqueue_drain", NULL);
	pthread_mutex_lock(&q->lock);
	while (t->ta_pending || t->ta_running)
		pthread_cond_wait(&q->cond, &q->lock);
	pthread_mutex_unlock(&q->lock);
}

void
taskqueue_free(struct taskqueue *q)
{
	kpi_may_sleep("taskqueue_free", NULL);
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	pthread_cond_broadcast(&q->cond);
	pthread_mutex_unlock(&q->lock);
	pthread_join(q->thread, NULL);
	free(q);
}

/* ---- memory -------------------------------------------------------------- */

static _Atomic u_int fail_permille;
static long allocated;

void
kpi_fail(u_int permille)
{
	fail_permille = permille;
}

bool
kpi_fails(void)
{
	return fail_permille != 0 && (u_int)(random() % 1000) < fail_permille;
}

struct block {
	size_t		magic;
	struct malloc_type *type;
};
#define BLOCK_LIVE	0x6b6c6976

void *
kpi_malloc(size_t size, struct malloc_type *type, int flags)
{
	struct block *b;

	if ((flags & M_WAITOK) != 0)
		kpi_may_sleep("malloc", NULL);
	else if (kpi_fails())
		return NULL;
	b = malloc(sizeof(*b) + size);
	b->magic = BLOCK_LIVE;
	b->type = type;
	memset(b + 1, (flags & M_ZERO) != 0 ? 0 : 0xa5, size);
	__atomic_add_fetch(&type->inuse, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&allocated, 1, __ATOMIC_SEQ_CST);
	return b + 1;
}

void
kpi_free(void *p, struct malloc_type *type)
{
	struct block *b;

	if (p == NULL)
		return;
	b = (struct block *)p - 1;
	if (b->magic != BLOCK_LIVE || b->type != type)
		kpi_panic("free of what is not malloc's, or of another type");
	b->magic = 0;
	__atomic_sub_fetch(&type->inuse, 1, __ATOMIC_SEQ_CST);
	__atomic_sub_fetch(&allocated, 1, __ATOMIC_SEQ_CST);
	free(b);
}

char *
kpi_strdup(const char *s, struct malloc_type *type)
{
	char *copy = kpi_malloc(strlen(s) + 1, type, M_WAITOK);

	memcpy(copy, s, strlen(s) + 1);
	return copy;
}

long
kpi_malloc_inuse(void)
{
	return allocated;
}

struct uma_zone {
	struct malloc_type type[1];
	size_t		size;
};

uma_zone_t
kpi_uma_zcreate(const char *name, size_t size)
{
	struct uma_zone *z = calloc(1, sizeof(*z));

	z->type->ks_shortdesc = name;
	z->size = size;
	return z;
}

void
uma_zdestroy(uma_zone_t z)
{
	if (z->type->inuse != 0)
		kpi_panic("zone %s: %ld items are left", z->type->ks_shortdesc,
		    z->type->inuse);
	free(z);
}

void *
uma_zalloc(uma_zone_t z, int flags)
{
	return kpi_malloc(z->size, z->type, flags);
}

void
uma_zfree(uma_zone_t z, void *p)
{
	kpi_free(p, z->type);
}

struct unrhdr {
	uint64_t used;
};

struct unrhdr *
new_unrhdr(int low, int high, struct mtx *m)
{
	(void)low, (void)high, (void)m;
	return calloc(1, sizeof(struct unrhdr));
}

void
delete_unrhdr(struct unrhdr *u)
{
	if (u->used != 0)
		kpi_panic("units are left");
	free(u);
}

int
alloc_unr(struct unrhdr *u)
{
	int i = ffsll((long long)~u->used) - 1;

	kpi_may_sleep("alloc_unr", NULL);
	u->used |= UINT64_C(1) << i;
	return i;
}

void
free_unr(struct unrhdr *u, u_int i)
{
	u->used &= ~(UINT64_C(1) << i);
}

/* ---- the rest ------------------------------------------------------------ */

static struct {
	const char *parent, *name;
	void *ptr;
} sysctls[32];
static u_int sysctl_count;

void
kpi_sysctl_add(const char *parent, const char *name, void *ptr)
{
	sysctls[sysctl_count].parent = parent;
	sysctls[sysctl_count].name = name;
	sysctls[sysctl_count++].ptr = ptr;
}

void *
kpi_sysctl(const char *parent, const char *name)
{
	for (u_int i = 0; i < sysctl_count; i++)
		if (strcmp(sysctls[i].parent, parent) == 0 &&
		    strcmp(sysctls[i].name, name) == 0)
			return sysctls[i].ptr;
	kpi_panic("no sysctl %s %s", parent, name);
}

static pthread_mutex_t devctl_lock = PTHREAD_MUTEX_INITIALIZER;
static char devctl_text[128];
static u_int devctl_events;
static struct { char type[16]; u_int told; } devctl_types[8];

/* With its lock; the types are few. */
static u_int *
devctl_told(const char *type)
{
	u_int i;

	for (i = 0; devctl_types[i].type[0] != '\0'; i++)
		if (strcmp(devctl_types[i].type, type) == 0)
			return &devctl_types[i].told;
	kpi_strlcpy(devctl_types[i].type, type, sizeof(devctl_types[i].type));
	return &devctl_types[i].told;
}

void
devctl_notify(const char *system, const char *subsystem, const char *type,
    const char *data)
{
	kpi_no_locks("devctl_notify");
	pthread_mutex_lock(&devctl_lock);
	snprintf(devctl_text, sizeof(devctl_text), "%s %s %s %s", system,
	    subsystem, type, data);
	devctl_events++;
	++*devctl_told(type);
	pthread_mutex_unlock(&devctl_lock);
}

u_int
kpi_devctl_count(void)
{
	return __atomic_load_n(&devctl_events, __ATOMIC_SEQ_CST);
}

u_int
kpi_devctl_told(const char *type)
{
	u_int n;

	pthread_mutex_lock(&devctl_lock);
	n = *devctl_told(type);
	pthread_mutex_unlock(&devctl_lock);
	return n;
}

void
kpi_devctl_last(char *buf, size_t len)
{
	pthread_mutex_lock(&devctl_lock);
	kpi_strlcpy(buf, devctl_text, len);
	pthread_mutex_unlock(&devctl_lock);
}

int
sbuf_putc(struct sbuf *sb, int c)
{
	if (sb->s_len + 1 >= sb->s_size)
		kpi_panic("sbuf is full");
	sb->s_buf[sb->s_len++] = (char)c;
	sb->s_buf[sb->s_len] = '\0';
	return 0;
}

int
sbuf_cat(struct sbuf *sb, const char *s)
{
	while (*s != '\0')
		sbuf_putc(sb, *s++);
	return 0;
}

int
sbuf_printf(struct sbuf *sb, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	return sbuf_cat(sb, line);
}

void
kpi_check_leaks(void)
{
	if (allocated != 0)
		kpi_panic("%ld allocations are left", allocated);
	if (kpi_mbufs_inuse() != 0)
		kpi_panic("%ld mbufs are left", kpi_mbufs_inuse());
	if (kpi_sockets_inuse() != 0)
		kpi_panic("%ld sockets are left", kpi_sockets_inuse());
	if (kpi_threads_inuse() != 0)
		kpi_panic("%ld threads are left", kpi_threads_inuse());
}
