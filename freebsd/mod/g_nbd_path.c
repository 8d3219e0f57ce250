/*
 * g_nbd_path.c - several servers of one disk, and what user space is to do.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The engine says which server to dial, to try, or to fence.  The kernel does none of
 * these: it shows what is to be done (g_nbd_conf.c), counts each new wish in
 * kern.geom.nbd.wishes, and tells devd(8) of those that come without a lost connection.
 * gnbd(8) does it, and brings sockets (the verb scale) or says what came of it (the
 * verb report).  Locks: sc_mtx only.
 */
#include "g_nbd.h"

#include <sys/devctl.h>

/* ---- connect ------------------------------------------------------------- */

/* time, store, or the program that does it. */
static int
g_nbd_fence_by(struct gctl_req *req, enum nbe_fence_by *by)
{
	const char *s;

	*by = NBE_FENCE_TIME;
	if (gctl_get_param(req, "fence_by", NULL) == NULL)
		return (0);
	s = gctl_get_asciiparam(req, "fence_by");
	if (s != NULL && s[0] == '/')
		*by = NBE_FENCE_COMMAND;
	else if (s != NULL && strcmp(s, "store") == 0)
		*by = NBE_FENCE_STORE;
	else if (s == NULL || strcmp(s, "time") != 0) {
		gctl_error(req, "'fence_by' is time, store, or the absolute path of "
		    "a program.");
		return (EINVAL);
	}
	return (0);
}

int
g_nbd_paths_config(struct gctl_req *req, struct nbe_dev_config *cfg)
{
	uint32_t paths = 1;

	(void)g_nbd_param_u32(req, "paths", &paths);
	if (paths < 1 || paths > NBE_MAX_PATHS || cfg->path >= paths) {
		gctl_error(req, "A device has 1 to %d servers.", NBE_MAX_PATHS);
		return (EINVAL);
	}
	cfg->paths = paths;
	if (g_nbd_param_time(req, "path_timeout", G_NBD_PATH_SECONDS,
	    &cfg->path_timeout) != 0 ||
	    g_nbd_param_time(req, "failback", 0, &cfg->failback) != 0)
		return (EINVAL);
	if (cfg->failback == NBE_NEVER)
		cfg->failback = 0;
	return (g_nbd_fence_by(req, &cfg->fence_by));
}

/* "host" is the first server's, "host1" the next one's. */
static char *
g_nbd_server_text(struct gctl_req *req, const char *name, u_int path)
{
	char numbered[16];

	if (path == 0)
		return (g_nbd_string(req, name));
	snprintf(numbered, sizeof(numbered), "%s%u", name, path);
	return (g_nbd_string(req, numbered));
}

void
g_nbd_paths_init(struct gctl_req *req, struct g_nbd_softc *sc,
    const struct nbe_dev_config *cfg)
{
	struct g_nbd_server *sv;
	u_int i;

	sc->sc_paths = cfg->paths;
	sc->sc_path_timeout = cfg->path_timeout;
	sc->sc_fence_by = cfg->fence_by;
	if (cfg->fence_by == NBE_FENCE_COMMAND)
		sc->sc_fence_command = g_nbd_string(req, "fence_by");
	for (i = 0; i < sc->sc_paths; i++) {
		sv = &sc->sc_server[i];
		sv->sv_host = g_nbd_server_text(req, "host", i);
		sv->sv_port = g_nbd_server_text(req, "port", i);
		sv->sv_name = g_nbd_server_text(req, "name", i);
	}
}

void
g_nbd_paths_free(struct g_nbd_softc *sc)
{
	u_int i;

	for (i = 0; i < sc->sc_paths; i++) {
		free(sc->sc_server[i].sv_host, M_GNBD);
		free(sc->sc_server[i].sv_port, M_GNBD);
		free(sc->sc_server[i].sv_name, M_GNBD);
	}
	free(sc->sc_fence_command, M_GNBD);
}

/* ---- what user space is to do -------------------------------------------- */

void
g_nbd_path_is_up(struct g_nbd_softc *sc, u_int path)
{

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	sc->sc_server[path].sv_problem[0] = '\0';
}

/* Those to be closed that are not there were to be opened, to a server that the device
 * has left. */
static bool
g_nbd_unopened(struct g_nbd_softc *sc, uint32_t conns, nbe_time now)
{
	struct g_nbd_conn *nc;
	bool any = false;
	u_int i;

	for (; conns != 0; conns &= conns - 1) {
		i = ffs(conns) - 1;
		nc = sc->sc_conn[i];
		if (nc != NULL && nc->nc_refs != 0)
			continue;
		nbe_conn_down(sc->sc_dev, i, NBE_WHY_OTHER_PATH, now);
		any = true;
	}
	return (any);
}

/* Once more, with what the engine finished in between. */
static void
g_nbd_ask_again(struct g_nbd_softc *sc, struct nbe_work *w, nbe_time now)
{
	struct nbe_req *done = w->done, **end = &done;
	bool resized = w->resized;

	while (*end != NULL)
		end = &(*end)->next;
	nbe_work(sc->sc_dev, w, now);
	*end = w->done;
	w->done = done;
	w->resized |= resized;
}

/* Each has a number: what a program has done in answer to an earlier one says nothing
 * of what the server was sent since. */
static void
g_nbd_number_fences(struct g_nbd_softc *sc, uint32_t paths)
{

	for (; paths != 0; paths &= paths - 1)
		sc->sc_server[ffs(paths) - 1].sv_fence_wish = ++sc->sc_fence_wishes;
}

void
g_nbd_ask(struct g_nbd_softc *sc, struct nbe_work *w, nbe_time now)
{
	uint32_t asked;

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	nbe_work(sc->sc_dev, w, now);
	while (sc->sc_paths > 1 && g_nbd_unopened(sc, w->close, now))
		g_nbd_ask_again(sc, w, now);
	if ((w->open | w->probe | w->fence | sc->sc_open | sc->sc_probe |
	    sc->sc_fence) == 0)
		return;
	asked = (w->probe & ~sc->sc_probe) | (w->fence & ~sc->sc_fence);
	sc->sc_wanted |= asked != 0;
	if (asked != 0 || (w->open & ~sc->sc_open) != 0)
		atomic_add_64(&g_nbd_wishes, 1);
	g_nbd_number_fences(sc, w->fence & ~sc->sc_fence);
	sc->sc_open = w->open;
	sc->sc_probe = w->probe;
	sc->sc_fence = w->fence;
}

void
g_nbd_tell_devd(const struct g_nbd_softc *sc, const char *type)
{
	char data[sizeof("geom=nbd") + 10];

	snprintf(data, sizeof(data), "geom=nbd%u", sc->sc_unit);
	devctl_notify("GEOM", "NBD", type, data);
}

/* ---- what user space says ------------------------------------------------ */

/* A connection could not be made: where no other is wanted at once, the engine has
 * begun to wait already. */
static void
g_nbd_dialed(struct g_nbd_softc *sc, u_int path, bool ok, nbe_time now)
{
	uint32_t open;
	u_int i;

	for (open = sc->sc_open; !ok && open != 0; open &= open - 1) {
		i = ffs(open) - 1;
		if (!nbe_conn_is_up(sc->sc_dev, i) &&
		    nbe_conn_path(sc->sc_dev, i) == path)
			nbe_conn_down(sc->sc_dev, i, NBE_WHY_CLOSED, now);
	}
}

static void
g_nbd_probed(struct g_nbd_softc *sc, u_int path, bool ok, nbe_time now)
{

	nbe_probed(sc->sc_dev, path, ok ? NBE_WHY_NONE : NBE_WHY_CLOSED, now);
}

static void
g_nbd_fenced(struct g_nbd_softc *sc, u_int path, bool ok, nbe_time now)
{

	nbe_fenced(sc->sc_dev, path, ok, now);
}

static const struct g_nbd_told {
	const char *what;
	void (*tell)(struct g_nbd_softc *, u_int path, bool ok, nbe_time);
	bool numbered;		/* names the wish that it answers */
} g_nbd_told[] = {
	{ "dial", g_nbd_dialed, false },
	{ "probe", g_nbd_probed, false },
	{ "fence", g_nbd_fenced, true },
};

static const struct g_nbd_told *
g_nbd_told_find(struct gctl_req *req)
{
	const char *what = gctl_get_asciiparam(req, "what");
	u_int i;

	for (i = 0; what != NULL && i < nitems(g_nbd_told); i++)
		if (strcmp(what, g_nbd_told[i].what) == 0)
			return (&g_nbd_told[i]);
	gctl_error(req, "'what' is one of dial, probe, fence.");
	return (NULL);
}

static int
g_nbd_which_path(struct gctl_req *req, struct g_nbd_softc *sc, uint32_t *path)
{

	if (!g_nbd_param_u32(req, "path", path))
		return (g_nbd_missing(req, "path"));
	if (*path < sc->sc_paths)
		return (0);
	gctl_error(req, "The device has no path %u.", *path);
	return (EINVAL);
}

static bool
g_nbd_is_wanted(struct g_nbd_softc *sc, u_int path, uint32_t wish)
{

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	return ((sc->sc_fence & 1u << path) != 0 &&
	    sc->sc_server[path].sv_fence_wish == wish);
}

/* "problem" says what was wrong; without one it was done. */
void
g_nbd_report(struct gctl_req *req, struct g_nbd_softc *sc)
{
	const struct g_nbd_told *told = g_nbd_told_find(req);
	const char *problem = NULL;
	struct nbe_req *done;
	uint32_t path, wish = 0;
	nbe_time now;

	if (told == NULL || g_nbd_which_path(req, sc, &path) != 0)
		return;
	if (told->numbered && !g_nbd_param_u32(req, "wish", &wish)) {
		(void)g_nbd_missing(req, "wish");
		return;
	}
	if (gctl_get_param(req, "problem", NULL) != NULL)
		problem = gctl_get_asciiparam(req, "problem");
	mtx_lock(&sc->sc_mtx);
	if (told->numbered && !g_nbd_is_wanted(sc, path, wish)) {
		mtx_unlock(&sc->sc_mtx);
		gctl_error(req, "Wish %u is not open any more.", wish);
		return;
	}
	strlcpy(sc->sc_server[path].sv_problem, problem == NULL ? "" : problem,
	    G_NBD_PROBLEM_MAX);
	now = g_nbd_now(sc);
	told->tell(sc, path, problem == NULL, now);
	done = g_nbd_turn(sc, now);
	mtx_unlock(&sc->sc_mtx);
	g_nbd_complete(done);
}

void
g_nbd_move(struct gctl_req *req, struct g_nbd_softc *sc)
{
	struct nbe_req *done;
	uint32_t path;
	nbe_time now;

	if (g_nbd_which_path(req, sc, &path) != 0)
		return;
	mtx_lock(&sc->sc_mtx);
	now = g_nbd_now(sc);
	nbe_move(sc->sc_dev, path, now);
	done = g_nbd_turn(sc, now);
	mtx_unlock(&sc->sc_mtx);
	g_nbd_complete(done);
}
