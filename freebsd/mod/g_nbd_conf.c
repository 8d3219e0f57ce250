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

static void
g_nbd_ident(const struct g_nbd_softc *sc, char *buf, size_t len)
{
	const char *name = g_nbd_text(sc->sc_name);

	if (g_nbd_identfmt == G_NBD_IDENT_NAME ||
	    (g_nbd_identfmt == G_NBD_IDENT_NAME_OR_FULL && name[0] != '\0'))
		strlcpy(buf, name, len);
	else
		snprintf(buf, len, "%s:%s/%s", g_nbd_text(sc->sc_host),
		    g_nbd_text(sc->sc_port), name);
}

static void
g_nbd_descr(const struct g_nbd_softc *sc, char *buf, size_t len)
{

	if (sc->sc_description != NULL)
		strlcpy(buf, sc->sc_description, len);
	else
		snprintf(buf, len, "NBD %s:%s/%s", g_nbd_text(sc->sc_host),
		    g_nbd_text(sc->sc_port), g_nbd_text(sc->sc_name));
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
	char name[32];
	u_int i;

	for (i = 0; i < nitems(ops); i++) {
		snprintf(name, sizeof(name), "%sCount", ops[i].name);
		g_nbd_xml_u64(sb, indent, name, st->op[ops[i].op].reqs);
		snprintf(name, sizeof(name), "%sBytes", ops[i].name);
		g_nbd_xml_u64(sb, indent, name, st->op[ops[i].op].bytes);
		snprintf(name, sizeof(name), "%sErrors", ops[i].name);
		g_nbd_xml_u64(sb, indent, name, st->op[ops[i].op].errors);
		snprintf(name, sizeof(name), "%sMedianNs", ops[i].name);
		g_nbd_xml_u64(sb, indent, name,
		    nbe_latency_ns(st, ops[i].op, 500));
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
	struct nbe_export e;
	struct nbe_stats *st;

	g_topology_assert();
	if (sc == NULL || pp != NULL || cp != NULL)
		return;
	st = malloc(sizeof(*st), M_GNBD, M_WAITOK);
	mtx_lock(&sc->sc_mtx);
	e = *nbe_dev_export(sc->sc_dev);
	nbe_stats(sc->sc_dev, st);
	mtx_unlock(&sc->sc_mtx);
	g_nbd_xml_stats(sb, indent, st);
	g_nbd_xml_conns(sb, indent, sc);
	g_nbd_xml_text(sb, indent, "State", g_nbd_state(st));
	g_nbd_xml_text(sb, indent, "Host", g_nbd_text(sc->sc_host));
	g_nbd_xml_text(sb, indent, "Port", g_nbd_text(sc->sc_port));
	g_nbd_xml_text(sb, indent, "Name", g_nbd_text(sc->sc_name));
	if (sc->sc_description != NULL)
		g_nbd_xml_text(sb, indent, "Description", sc->sc_description);
	g_nbd_xml_export(sb, indent, &e);
	g_nbd_xml_text(sb, indent, "TLS", sc->sc_tls ? "yes" : "no");
	g_nbd_xml_u64(sb, indent, "Connections", st->conns_wanted);
	g_nbd_xml_u64(sb, indent, "ActiveConnections", st->conns_up);
	free(st, M_GNBD);
}
