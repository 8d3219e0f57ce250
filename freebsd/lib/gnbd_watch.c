/*
 * gnbd_watch.c - tends all devices, until it is ended.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel counts what its devices ask for (kern.geom.nbd.wishes).  When that has
 * changed, each device that asks for something gets a thread, which tends it until it
 * is complete: a server that does not answer keeps no other device waiting.
 */
#include <sys/sysctl.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gnbd.h"

#define	LOOK_US		200000
#define	LOOKS_MAX	25	/* then it looks at all devices, whatever is counted */

struct watch;

/* A device that is being tended. */
struct worker {
	LIST_ENTRY(worker) link;
	struct watch	*watch;
	char		 device[GNBD_NAME_MAX];
};

struct watch {
	struct gnbd_tls	 tls;
	pthread_mutex_t	 lock;
	LIST_HEAD(, worker) worker;	/* lock */
};

static volatile sig_atomic_t ended;

static void
on_signal(int sig)
{

	(void)sig;
	ended = 1;
}

static void
say(const char *device, const char *text)
{

	printf("%s: %s\n", device, text);
	fflush(stdout);
}

/* ---- one device ---------------------------------------------------------------- */

/* Each problem is said once. */
static void
tend(struct worker *w)
{
	enum gnbd_step step;
	struct nbc_error err;
	char said[sizeof(err.text)] = "";

	while ((step = gnbd_tend(w->device, &w->watch->tls, false, &err)) !=
	    GNBD_COMPLETE && step != GNBD_GONE) {
		if (step == GNBD_FAILED && strcmp(said, err.text) != 0) {
			snprintf(said, sizeof(said), "%s", err.text);
			say(w->device, said);
		}
		if (step != GNBD_DID)
			(void)usleep(LOOK_US);
	}
	say(w->device, step == GNBD_GONE ? "is gone" : "is connected");
}

static void *
worker_main(void *arg)
{
	struct worker *w = arg;

	tend(w);
	pthread_mutex_lock(&w->watch->lock);
	LIST_REMOVE(w, link);
	pthread_mutex_unlock(&w->watch->lock);
	free(w);
	return (NULL);
}

static bool
is_tended(struct watch *watch, const char *device)
{
	const struct worker *w;

	LIST_FOREACH(w, &watch->worker, link)
		if (strcmp(w->device, device) == 0)
			return (true);
	return (false);
}

/* With the lock.  A device that gets no thread is looked at again. */
static void
start(struct watch *watch, const char *device)
{
	struct worker *w = calloc(1, sizeof(*w));
	pthread_t thread;

	if (w == NULL)
		return;
	w->watch = watch;
	snprintf(w->device, sizeof(w->device), "%s", device);
	LIST_INSERT_HEAD(&watch->worker, w, link);
	if (pthread_create(&thread, NULL, worker_main, w) == 0) {
		pthread_detach(thread);
		return;
	}
	LIST_REMOVE(w, link);
	free(w);
}

/* ---- all of them ---------------------------------------------------------------- */

static bool
asks(const struct gnbd_device *d)
{
	const char *dial = gnbd_device_text(d, "DialNow");

	return ((dial != NULL && dial[0] == 'y') ||
	    gnbd_device_number(d, "Probe", -1) >= 0 ||
	    gnbd_device_number(d, "Fence", -1) >= 0);
}

static void
look(struct watch *watch)
{
	struct gnbd_device d;
	struct gclass *cp;

	if (geom_gettree(&d.mesh) != 0)
		return;
	LIST_FOREACH(cp, &d.mesh.lg_class, lg_class) {
		if (strcmp(cp->lg_name, GNBD_CLASS) != 0)
			continue;
		LIST_FOREACH(d.geom, &cp->lg_geom, lg_geom) {
			pthread_mutex_lock(&watch->lock);
			if (asks(&d) && !is_tended(watch, d.geom->lg_name))
				start(watch, d.geom->lg_name);
			pthread_mutex_unlock(&watch->lock);
		}
	}
	geom_deletetree(&d.mesh);
}

static uint64_t
wishes(void)
{
	uint64_t n = 0;
	size_t len = sizeof(n);

	(void)sysctlbyname("kern.geom.nbd.wishes", &n, &len, NULL, 0);
	return (n);
}

static void
watch_all(struct watch *watch)
{
	uint64_t seen = 0, now;
	unsigned looks = LOOKS_MAX;

	while (!ended) {
		now = wishes();
		if (now != seen || ++looks >= LOOKS_MAX) {
			seen = now;
			looks = 0;
			look(watch);
		}
		(void)usleep(LOOK_US);
	}
}

bool
gnbd_watch(const struct gnbd_tls *tls, struct nbc_error *err)
{
	static struct watch watch;	/* threads may outlive the call */

	if ((tls->cert == NULL) != (tls->key == NULL))
		return (nbc_fail(err, NBC_USAGE, "-C and -K are needed with each "
		    "other."));
	watch = (struct watch){ .tls = *tls, .lock = PTHREAD_MUTEX_INITIALIZER };
	(void)signal(SIGINT, on_signal);
	(void)signal(SIGTERM, on_signal);
	watch_all(&watch);
	return (true);
}
