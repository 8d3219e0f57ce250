/*
 * g_nbd_conf.c - what is shown of a device, and what can be set.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * gnbd list prints the fields of the confxml from the last to the first, so the
 * counters come first here.  All texts come from a server or a user and are
 * escaped.  Locks: sc_mtx only, while the engine is asked.
 */
#include "g_nbd.h"

#include <sys/limits.h>
#include <sys/sysctl.h>

#include <geom/geom_disk.h>

#include "compat.h"

/* ---- sysctls ------------------------------------------------------------- */

u_int g_nbd_debug = 0;
u_int g_nbd_maxpayload = NBE_PAYLOAD_DEFAULT;
u_int g_nbd_timeout = 0;
u_int g_nbd_dead_timeout = 0;
u_long g_nbd_sendspace = 1572864;
u_long g_nbd_recvspace = 1572864;
uint64_t g_nbd_write_copied, g_nbd_enomems, g_nbd_write_truncs;
uint64_t g_nbd_read_truncs;
uint64_t g_nbd_wishes;

static enum { G_NBD_IDENT_FULL, G_NBD_IDENT_NAME_OR_FULL, G_NBD_IDENT_NAME }
    g_nbd_identfmt = G_NBD_IDENT_FULL;

SYSCTL_DECL(_kern_geom);
static SYSCTL_NODE(_kern_geom, OID_AUTO, nbd, CTLFLAG_RW | CTLFLAG_MPSAFE, NULL,
    "GEOM NBD client");
SYSCTL_UINT(_kern_geom_nbd, OID_AUTO, debug, CTLFLAG_RWTUN, &g_nbd_debug, 0,
    "What is logged: 0 errors, 1 warnings, 2 information, 3 everything");
SYSCTL_UINT(_kern_geom_nbd, OID_AUTO, maxpayload, CTLFLAG_RWTUN,
    &g_nbd_maxpayload, 0, "Bytes of the longest read or write sent");
SYSCTL_UINT(_kern_geom_nbd, OID_AUTO, timeout, CTLFLAG_RWTUN, &g_nbd_timeout, 0,
    "Seconds that a command may take, 0 for no limit; of new devices");
SYSCTL_UINT(_kern_geom_nbd, OID_AUTO, dead_timeout, CTLFLAG_RWTUN,
    &g_nbd_dead_timeout, 0,
    "Seconds without a server until I/O fails, 0 for never; of new devices");
SYSCTL_ULONG(_kern_geom_nbd, OID_AUTO, sendspace, CTLFLAG_RWTUN,
    &g_nbd_sendspace, 0, "Bytes of a socket's send buffer");
SYSCTL_ULONG(_kern_geom_nbd, OID_AUTO, recvspace, CTLFLAG_RWTUN,
    &g_nbd_recvspace, 0, "Bytes of a socket's receive buffer");
SYSCTL_UINT(_kern_geom_nbd, OID_AUTO, identfmt, CTLFLAG_RWTUN,
    (u_int *)&g_nbd_identfmt, 0,
    "Ident of a device: 0 host:port/name, 1 name if there is one, 2 name");
SYSCTL_U64(_kern_geom_nbd, OID_AUTO, wishes, CTLFLAG_RD, &g_nbd_wishes, 0,
    "How often a device has asked user space for something");
static SYSCTL_NODE(_kern_geom_nbd, OID_AUTO, stats, CTLFLAG_RD | CTLFLAG_MPSAFE,
    NULL, "Counters of all devices");
SYSCTL_U64(_kern_geom_nbd_stats, OID_AUTO, write_copied, CTLFLAG_RD,
    &g_nbd_write_copied, 0, "Payloads that were copied to be sent");
SYSCTL_U64(_kern_geom_nbd_stats, OID_AUTO, enomems, CTLFLAG_RD, &g_nbd_enomems,
    0, "Failed allocations");
SYSCTL_U64(_kern_geom_nbd_stats, OID_AUTO, write_truncs, CTLFLAG_RD,
    &g_nbd_write_truncs, 0, "Sends cut for want of room in the socket");
SYSCTL_U64(_kern_geom_nbd_stats, OID_AUTO, read_truncs, CTLFLAG_RD,
    &g_nbd_read_truncs, 0, "Receives that ended inside a payload");

/* ---- attributes ---------------------------------------------------------- */

static const char *
g_nbd_text(const char *s)
{

	return (s == NULL ? "" : s);
}

/* Of the first server, whichever is used: a disk keeps its ident. */
static void
g_nbd_ident(const struct g_nbd_softc *sc, char *buf, size_t len)
{
	const struct g_nbd_server *sv = &sc->sc_server[0];
	const char *name = g_nbd_text(sv->sv_name);

	if (g_nbd_identfmt == G_NBD_IDENT_NAME ||
	    (g_nbd_identfmt == G_NBD_IDENT_NAME_OR_FULL && name[0] != '\0'))
		strlcpy(buf, name, len);
	else
		snprintf(buf, len, "%s:%s/%s", g_nbd_text(sv->sv_host),
		    g_nbd_text(sv->sv_port), name);
}

static void
g_nbd_descr(const struct g_nbd_softc *sc, char *buf, size_t len)
{
	const struct g_nbd_server *sv = &sc->sc_server[0];

	if (sc->sc_description != NULL)
		strlcpy(buf, sc->sc_description, len);
	else
		snprintf(buf, len, "NBD %s:%s/%s", g_nbd_text(sv->sv_host),
		    g_nbd_text(sv->sv_port), g_nbd_text(sv->sv_name));
}

void
g_nbd_getattr(struct g_nbd_softc *sc, struct bio *bp)
{
	const struct nbe_export *e = nbe_dev_export(sc->sc_dev);
	const uint16_t modify = NBE_FLAG_SEND_TRIM | NBE_FLAG_READ_ONLY;
	char text[DISK_IDENT_SIZE];

	if (g_handleattr_int(bp, "GEOM::candelete",
	    (e->flags & modify) == NBE_FLAG_SEND_TRIM))
		return;
	if (g_handleattr_uint16_t(bp, "GEOM::rotation_rate",
	    (e->flags & NBE_FLAG_ROTATIONAL) != 0 ? DISK_RR_UNKNOWN :
	    DISK_RR_NON_ROTATING))
		return;
	g_nbd_ident(sc, text, sizeof(text));
	if (g_handleattr_str(bp, "GEOM::ident", text))
		return;
	g_nbd_descr(sc, text, sizeof(text));
	if (g_handleattr_str(bp, "GEOM::descr", text))
		return;
	g_io_deliver(bp, ENOIOCTL);
}

/* ---- confxml ------------------------------------------------------------- */

static void
g_nbd_xml_escape(struct sbuf *sb, const char *s)
{

	for (; *s != '\0'; s++)
		if (*s == '&' || *s == '<' || *s == '>' || *s == '\'' ||
		    *s == '"' || (*s > 0 && *s < ' ') || *s == 0x7f)
			sbuf_printf(sb, "&#x%x;", *s);
		else
			sbuf_putc(sb, *s);
}

static void
g_nbd_xml_text(struct sbuf *sb, const char *indent, const char *name,
    const char *text)
{

	sbuf_printf(sb, "%s<%s>", indent, name);
	g_nbd_xml_escape(sb, text);
	sbuf_printf(sb, "</%s>\n", name);
}

static void
g_nbd_xml_u64(struct sbuf *sb, const char *indent, const char *name, uint64_t n)
{

	sbuf_printf(sb, "%s<%s>%ju</%s>\n", indent, name, (uintmax_t)n, name);
}

/* "A, B, 0x100", or "NONE". */
static void
g_nbd_xml_flags(struct sbuf *sb, const char *indent, const char *name,
    const char *const *names, u_int count, uint32_t flags)
{
	const char *comma = "";
	u_int i;

	sbuf_printf(sb, "%s<%s>", indent, name);
	if (flags == 0)
		sbuf_cat(sb, "NONE");
	for (i = 0; i < count; i++) {
		if ((flags & 1u << i) == 0)
			continue;
		sbuf_printf(sb, "%s%s", comma, names[i]);
		comma = ", ";
		flags &= ~(1u << i);
	}
	if (flags != 0)
		sbuf_printf(sb, "%s0x%x", comma, flags);
	sbuf_printf(sb, "</%s>\n", name);
}

static void
g_nbd_xml_export(struct sbuf *sb, const char *indent, const struct nbe_export *e)
{
	static const char *const handshake[] = { "FIXED_NEWSTYLE", "NO_ZEROES" };
	static const char *const transmission[] = {
		"HAS_FLAGS", "READ_ONLY", "SEND_FLUSH", "SEND_FUA", "ROTATIONAL",
		"SEND_TRIM", "SEND_WRITE_ZEROES", "SEND_DF", "CAN_MULTI_CONN",
		"SEND_RESIZE", "SEND_CACHE", "SEND_FAST_ZERO",
		"BLOCK_STATUS_PAYLOAD",
	};

	g_nbd_xml_u64(sb, indent, "Size", e->size);
	g_nbd_xml_flags(sb, indent, "HandshakeFlags", handshake,
	    nitems(handshake), e->hs_flags);
	g_nbd_xml_flags(sb, indent, "TransmissionFlags", transmission,
	    nitems(transmission), e->flags);
	g_nbd_xml_u64(sb, indent, "MinimumBlocksize", e->block_min);
	g_nbd_xml_u64(sb, indent, "PreferredBlocksize", e->block_pref);
	g_nbd_xml_u64(sb, indent, "MaximumPayload",
	    MIN(e->payload_max, g_nbd_maxpayload));
}

static void
g_nbd_xml_ops(struct sbuf *sb, const char *indent, const struct nbe_stats *st)
{
	static const struct {
		const char *name;
		enum nbe_op op;
	} ops[] = {
		{ "Read", NBE_READ }, { "Write", NBE_WRITE },
		{ "Flush", NBE_FLUSH }, { "Trim", NBE_TRIM },
	};
	static const struct {
		const char *name;
		unsigned permille;
	} parts[] = { { "P999", 999 }, { "P99", 990 }, { "Median", 500 } };
	char name[32];
	u_int i, j;

	for (i = 0; i < nitems(ops); i++) {
		snprintf(name, sizeof(name), "%sCount", ops[i].name);
		g_nbd_xml_u64(sb, indent, name, st->op[ops[i].op].reqs);
		snprintf(name, sizeof(name), "%sBytes", ops[i].name);
		g_nbd_xml_u64(sb, indent, name, st->op[ops[i].op].bytes);
		snprintf(name, sizeof(name), "%sErrors", ops[i].name);
		g_nbd_xml_u64(sb, indent, name, st->op[ops[i].op].errors);
		for (j = 0; j < nitems(parts); j++) {
			snprintf(name, sizeof(name), "%s%sNs", ops[i].name,
			    parts[j].name);
			g_nbd_xml_u64(sb, indent, name,
			    nbe_latency_ns(st, ops[i].op, parts[j].permille));
		}
	}
}

static void
g_nbd_xml_stats(struct sbuf *sb, const char *indent, const struct nbe_stats *st)
{

	g_nbd_xml_ops(sb, indent, st);
	g_nbd_xml_u64(sb, indent, "Commands", st->parts);
	g_nbd_xml_u64(sb, indent, "Retries", st->retries);
	g_nbd_xml_u64(sb, indent, "Timeouts", st->timeouts);
	g_nbd_xml_u64(sb, indent, "ConnectionsMade", st->conns_made);
	g_nbd_xml_u64(sb, indent, "ConnectionsLost", st->conns_lost);
	g_nbd_xml_u64(sb, indent, "Fenced", st->fenced);
	g_nbd_xml_u64(sb, indent, "FlushesFailed", st->flushes_failed);
	g_nbd_xml_u64(sb, indent, "Replayed", st->replayed);
	g_nbd_xml_u64(sb, indent, "Queued", st->queued);
	g_nbd_xml_u64(sb, indent, "Active", st->active);
	g_nbd_xml_u64(sb, indent, "InFlight", st->in_flight);
}

static void
g_nbd_xml_conns(struct sbuf *sb, const char *indent, struct g_nbd_softc *sc)
{
	uint64_t sends = 0, receives = 0, send_wakeups = 0, receive_wakeups = 0;
	struct g_nbd_conn *nc;
	u_int i;

	for (i = 0; i < sc->sc_conns_max; i++) {
		nc = sc->sc_conn[i];
		if (nc == NULL)
			continue;
		sends += atomic_load_64(&nc->nc_sends);
		receives += atomic_load_64(&nc->nc_receives);
		send_wakeups += atomic_load_64(&nc->nc_send_wakeups);
		receive_wakeups += atomic_load_64(&nc->nc_receive_wakeups);
	}
	g_nbd_xml_u64(sb, indent, "Sends", sends);
	g_nbd_xml_u64(sb, indent, "Receives", receives);
	g_nbd_xml_u64(sb, indent, "SenderWakeups", send_wakeups);
	g_nbd_xml_u64(sb, indent, "ReceiverWakeups", receive_wakeups);
}

/* ---- what is asked of user space, and the servers ------------------------ */

/* A moment of a device, read under its lock. */
struct g_nbd_shown {
	struct nbe_export s_exp;
	struct nbe_stats s_stats;
	struct nbe_path	 s_path[NBE_MAX_PATHS];
	char		 s_problem[NBE_MAX_PATHS][G_NBD_PROBLEM_MAX];
	u_int		 s_active, s_dial;	/* paths */
	uint32_t	 s_open, s_probe, s_fence;
	uint32_t	 s_fence_wish;	/* of the first of s_fence */
	bool		 s_renewing;
	enum nbe_why	 s_lost_why;
	time_t		 s_lost_at;
	nbe_time	 s_now;
};

/* The path that a missing connection would be to. */
static u_int
g_nbd_dial(struct g_nbd_softc *sc)
{
	u_int i = 0;

	while (i + 1 < sc->sc_conns_max && nbe_conn_is_up(sc->sc_dev, i))
		i++;
	return (nbe_conn_path(sc->sc_dev, i));
}

static void
g_nbd_see_paths(struct g_nbd_softc *sc, struct g_nbd_shown *s)
{
	u_int i;

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	for (i = 0; i < sc->sc_paths; i++) {
		nbe_path(sc->sc_dev, i, &s->s_path[i]);
		strlcpy(s->s_problem[i], sc->sc_server[i].sv_problem,
		    G_NBD_PROBLEM_MAX);
		if (s->s_path[i].state == NBE_PATH_ACTIVE)
			s->s_active = i;
	}
	s->s_dial = g_nbd_dial(sc);
	s->s_renewing = nbe_renewing(sc->sc_dev);
	s->s_open = sc->sc_open;
	s->s_probe = sc->sc_probe;
	s->s_fence = sc->sc_fence;
	if (s->s_fence != 0)
		s->s_fence_wish = sc->sc_server[ffs(s->s_fence) - 1].sv_fence_wish;
}

static void
g_nbd_see(struct g_nbd_softc *sc, struct g_nbd_shown *s)
{

	mtx_lock(&sc->sc_mtx);
	s->s_now = g_nbd_now(sc);
	s->s_exp = *nbe_dev_export(sc->sc_dev);
	nbe_stats(sc->sc_dev, &s->s_stats);
	g_nbd_see_paths(sc, s);
	s->s_lost_why = sc->sc_lost_why;
	s->s_lost_at = sc->sc_lost_at;
	mtx_unlock(&sc->sc_mtx);
}

static void
g_nbd_xml_numbered(struct sbuf *sb, const char *indent, u_int i, const char *name,
    const char *text)
{
	char numbered[32];

	snprintf(numbered, sizeof(numbered), "Path%u%s", i, name);
	g_nbd_xml_text(sb, indent, numbered, text);
}

/* Why it is not used: what user space met says more than the engine knows. */
static const char *
g_nbd_path_why(const struct g_nbd_shown *s, u_int i)
{
	const struct nbe_path *p = &s->s_path[i];

	if (s->s_problem[i][0] != '\0')
		return (s->s_problem[i]);
	return (p->why == NBE_WHY_NONE ? "" : nbe_why_text(p->why));
}

static void
g_nbd_xml_path(struct sbuf *sb, const char *indent, const struct g_nbd_softc *sc,
    const struct g_nbd_shown *s, u_int i)
{
	static const char *const states[] = {
		[NBE_PATH_STANDBY] = "STANDBY",
		[NBE_PATH_ACTIVE] = "ACTIVE",
		[NBE_PATH_FAILED] = "FAILED",
	};
	static const char *const doing[] = { "TRIED", "MOVING", "FENCING" };
	const struct g_nbd_server *sv = &sc->sc_server[i];
	const struct nbe_path *p = &s->s_path[i];
	char name[32];

	snprintf(name, sizeof(name), "Path%uSince", i);
	g_nbd_xml_u64(sb, indent, name, (s->s_now - p->since) / NBE_SECOND);
	g_nbd_xml_numbered(sb, indent, i, "Why", g_nbd_path_why(s, i));
	snprintf(name, sizeof(name), "Path%uDoing", i);
	g_nbd_xml_flags(sb, indent, name, doing, nitems(doing),
	    (uint32_t)p->tried | (uint32_t)p->moving << 1 |
	    (uint32_t)p->fencing << 2);
	g_nbd_xml_numbered(sb, indent, i, "State", states[p->state]);
	g_nbd_xml_numbered(sb, indent, i, "Name", g_nbd_text(sv->sv_name));
	g_nbd_xml_numbered(sb, indent, i, "Port", g_nbd_text(sv->sv_port));
	g_nbd_xml_numbered(sb, indent, i, "Host", g_nbd_text(sv->sv_host));
}

static void
g_nbd_xml_wish(struct sbuf *sb, const char *indent, const char *name, uint32_t paths)
{

	if (paths != 0)
		g_nbd_xml_u64(sb, indent, name, ffs(paths) - 1);
}

static void
g_nbd_xml_paths(struct sbuf *sb, const char *indent, const struct g_nbd_softc *sc,
    const struct g_nbd_shown *s)
{
	static const char *const fences[] = {
		[NBE_FENCE_TIME] = "time", [NBE_FENCE_STORE] = "store",
	};
	u_int i;

	if (s->s_fence != 0)
		g_nbd_xml_u64(sb, indent, "FenceWish", s->s_fence_wish);
	g_nbd_xml_wish(sb, indent, "Fence", s->s_fence);
	g_nbd_xml_wish(sb, indent, "Probe", s->s_probe);
	g_nbd_xml_text(sb, indent, "Renewing", s->s_renewing ? "yes" : "no");
	g_nbd_xml_text(sb, indent, "DialNow", s->s_open != 0 ? "yes" : "no");
	g_nbd_xml_u64(sb, indent, "DialPath", s->s_dial);
	if (sc->sc_paths < 2)
		return;
	for (i = sc->sc_paths; i-- != 0;)
		g_nbd_xml_path(sb, indent, sc, s, i);
	g_nbd_xml_u64(sb, indent, "Failovers", s->s_stats.failovers);
	g_nbd_xml_u64(sb, indent, "Moves", s->s_stats.moves);
	g_nbd_xml_u64(sb, indent, "PathTimeout", sc->sc_path_timeout == NBE_NEVER ? 0 :
	    sc->sc_path_timeout / NBE_SECOND);
	g_nbd_xml_text(sb, indent, "FenceBy", sc->sc_fence_command != NULL ?
	    sc->sc_fence_command : fences[sc->sc_fence_by]);
	g_nbd_xml_u64(sb, indent, "ActivePath", s->s_active);
	g_nbd_xml_u64(sb, indent, "Paths", sc->sc_paths);
}

/* Nothing, as long as none was lost. */
static void
g_nbd_xml_lost(struct sbuf *sb, const char *indent, const struct g_nbd_shown *s)
{

	if (s->s_lost_at == 0)
		return;
	g_nbd_xml_u64(sb, indent, "LastLossTime", s->s_lost_at);
	g_nbd_xml_text(sb, indent, "LastLoss", nbe_why_text(s->s_lost_why));
}

static const char *
g_nbd_state(const struct nbe_stats *st)
{

	if (st->conns_up == 0)
		return ("DISCONNECTED");
	return (st->conns_up < st->conns_wanted ? "DEGRADED" : "CONNECTED");
}

void
g_nbd_dumpconf(struct sbuf *sb, const char *indent, struct g_geom *gp,
    struct g_consumer *cp, struct g_provider *pp)
{
	struct g_nbd_softc *sc = gp->softc;
	const struct g_nbd_server *sv;
	const struct nbe_stats *st;
	struct g_nbd_shown *s;

	g_topology_assert();
	if (sc == NULL || pp != NULL || cp != NULL)
		return;
	s = malloc(sizeof(*s), M_GNBD, M_WAITOK | M_ZERO);
	g_nbd_see(sc, s);
	st = &s->s_stats;
	sv = &sc->sc_server[s->s_active];
	g_nbd_xml_stats(sb, indent, st);
	g_nbd_xml_conns(sb, indent, sc);
	g_nbd_xml_paths(sb, indent, sc, s);
	g_nbd_xml_lost(sb, indent, s);
	g_nbd_xml_text(sb, indent, "State", g_nbd_state(st));
	g_nbd_xml_text(sb, indent, "Host", g_nbd_text(sv->sv_host));
	g_nbd_xml_text(sb, indent, "Port", g_nbd_text(sv->sv_port));
	g_nbd_xml_text(sb, indent, "Name", g_nbd_text(sv->sv_name));
	if (sc->sc_description != NULL)
		g_nbd_xml_text(sb, indent, "Description", sc->sc_description);
	g_nbd_xml_export(sb, indent, &s->s_exp);
	g_nbd_xml_text(sb, indent, "TLS", sc->sc_tls ? "yes" : "no");
	g_nbd_xml_u64(sb, indent, "Connections", st->conns_wanted);
	g_nbd_xml_u64(sb, indent, "ActiveConnections", st->conns_up);
	free(s, M_GNBD);
}
