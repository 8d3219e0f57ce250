/*
 * uri.c - what the user typed, as a target.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * doc/uri.md of the NBD project, with the vsock schemes and the parameters that
 * libnbd understands.  Whatever is not understood is refused by name: a parameter
 * that is passed over could be the one that makes the connection safe.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "internal.h"

#define VSOCK_HOST_CID	"2"

struct slice {
	const char *ptr;
	size_t	len;
};

/* The part before the first byte c, and *rest what is behind it; all of s and an
 * empty *rest with a NULL ptr when there is no c. */
static struct slice
split(struct slice s, char c, struct slice *rest)
{
	const char *at = memchr(s.ptr, c, s.len);

	*rest = (struct slice){ NULL, 0 };
	if (at == NULL)
		return s;
	*rest = (struct slice){ at + 1, s.len - (size_t)(at + 1 - s.ptr) };
	return (struct slice){ s.ptr, (size_t)(at - s.ptr) };
}

static bool
equals(struct slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.ptr, text, s.len) == 0;
}

static char *
dup_slice(struct slice s)
{
	char *copy = malloc(s.len + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, s.ptr, s.len);
	copy[s.len] = '\0';
	return copy;
}

/* ---- percent-encoding ---------------------------------------------------- */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The decoded byte at s.ptr[*at], which moves on; -1: not an encoding. */
static int
decode_byte(struct slice s, size_t *at)
{
	int high, low;

	if (s.ptr[*at] != '%')
		return (unsigned char)s.ptr[(*at)++];
	if (s.len - *at < 3)
		return -1;
	high = hex_digit(s.ptr[*at + 1]);
	low = hex_digit(s.ptr[*at + 2]);
	*at += 3;
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/*
 * A NUL cannot be in a name.  Only the path of a socket may begin with one: that is
 * an abstract socket, which a target writes with an '@'.
 */
static bool
decode(char **to, struct slice s, bool nul_is_abstract, struct nbc_error *err)
{
	char *out = malloc(s.len + 1);
	size_t at = 0, n = 0;

	if (out == NULL)
		return nbc_fail_no_memory(err);
	while (at < s.len) {
		int c = decode_byte(s, &at);

		if (c == 0 && n == 0 && nul_is_abstract)
			c = '@';
		if (c <= 0) {
			free(out);
			return nbc_fail(err, NBC_USAGE, "\"%.*s\" has %s in it",
			    (int)s.len, s.ptr, c == 0 ? "a NUL (%00)" :
			    "a % without two hexadecimal digits; write % as %25");
		}
		out[n++] = (char)c;
	}
	out[n] = '\0';
	*to = out;
	return true;
}

/* ---- host and port ------------------------------------------------------- */

static bool
set_slice(char **field, struct slice s, struct nbc_error *err)
{
	if (s.len == 0)
		return true;
	*field = dup_slice(s);
	return *field != NULL || nbc_fail_no_memory(err);
}

static bool
has_two_colons(struct slice s)
{
	struct slice rest, more;

	split(s, ':', &rest);
	if (rest.ptr == NULL)
		return false;
	split(rest, ':', &more);
	return more.ptr != NULL;
}

/* A service's name has letters, digits and hyphens (RFC 6335, 5.1).  The resolver takes
 * whatever strtoul takes, modulo 65536. */
bool
nbc_check_port(enum nbc_family family, const char *port, struct nbc_error *err)
{
	size_t len = strlen(port), digits = strspn(port, "0123456789");
	unsigned long number = strtoul(port, NULL, 10);
	bool ok = isalnum((unsigned char)port[0]) != 0;

	for (size_t i = 0; i < len; i++)
		ok = ok && (isalnum((unsigned char)port[i]) || port[i] == '-');
	if (digits == len && family == NBC_TCP)
		ok = ok && number >= 1 && number <= 65535;
	return ok || nbc_fail(err, NBC_USAGE, "\"%s\" is not a port: give a number "
	    "from 1 to 65535, or the name of a service", port);
}

static bool
set_port(struct nbc_target *t, struct slice s, struct nbc_error *err)
{
	return set_slice(&t->port, s, err) &&
	    (t->port == NULL || nbc_check_port(t->family, t->port, err));
}

/* "host", "host:port", "[v6]", "[v6]:port"; an empty port is none. */
static bool
parse_host_port(struct nbc_target *t, struct slice s, struct nbc_error *err)
{
	struct slice host, port;

	if (s.len > 0 && s.ptr[0] == '[') {
		host = split((struct slice){ s.ptr + 1, s.len - 1 }, ']', &port);
		if (port.ptr == NULL || (port.len > 0 && port.ptr[0] != ':'))
			return nbc_fail(err, NBC_USAGE,
			    "\"%.*s\" is not an IPv6 address in brackets",
			    (int)s.len, s.ptr);
		if (port.len > 0)
			port = (struct slice){ port.ptr + 1, port.len - 1 };
	} else {
		host = split(s, ':', &port);
	}
	if (!set_port(t, port, err))
		return false;
	if (host.len == 0)
		return true;
	return decode(&t->host, host, false, err);
}

static bool
parse_authority(struct nbc_target *t, struct slice s, struct nbc_error *err)
{
	struct slice host, user = split(s, '@', &host);

	if (host.ptr == NULL)
		return parse_host_port(t, s, err);
	if (memchr(user.ptr, ':', user.len) != NULL)
		return nbc_fail(err, NBC_USAGE, "a password in a URI is seen by "
		    "everybody; put the key into a file (tls-psk-file)");
	return decode(&t->psk_user, user, false, err) && parse_host_port(t, host, err);
}

/* ---- query --------------------------------------------------------------- */

static bool
take_once(char **field, const char *param, struct slice value, struct nbc_error *err)
{
	if (*field != NULL)
		return nbc_fail(err, NBC_USAGE, "%s is given twice", param);
	return decode(field, value, false, err);
}

/* Who connects again later may stand in another directory. */
static bool
make_absolute(char **path, struct nbc_error *err)
{
	char *whole;

	if ((*path)[0] == '@')
		return true;
	whole = nbc_os_absolute(*path);
	if (whole == NULL)
		return nbc_fail(err, NBC_USAGE, "%s: give the path from the root on: "
		    "the present directory has no name", *path);
	free(*path);
	*path = whole;
	return true;
}

static bool
take_socket(struct nbc_target *t, struct slice value, struct nbc_error *err)
{
	if (t->family != NBC_UNIX)
		return nbc_fail(err, NBC_USAGE,
		    "socket= needs the scheme nbd+unix or nbds+unix");
	if (t->host != NULL)
		return nbc_fail(err, NBC_USAGE, "socket is given twice");
	if (value.len == 0)
		return nbc_fail(err, NBC_USAGE, "socket= names no path");
	return decode(&t->host, value, true, err) && make_absolute(&t->host, err);
}

static bool
take_tls_type(struct nbc_target *t, struct slice value, struct nbc_error *err)
{
	if (equals(value, "x509"))
		t->tls_type = NBC_TLS_X509;
	else if (equals(value, "psk"))
		t->tls_type = NBC_TLS_PSK;
	else if (equals(value, "anon"))
		return nbc_fail(err, NBC_USAGE, "tls-type=anon is refused: it protects "
		    "from nobody who can change the traffic; use x509 or psk");
	else
		return nbc_fail(err, NBC_USAGE, "tls-type=%.*s: use x509 or psk",
		    (int)value.len, value.ptr);
	return true;
}

static bool
take_tls_hostname(struct nbc_target *t, struct slice value, struct nbc_error *err)
{
	return take_once(&t->tls_hostname, "tls-hostname", value, err);
}

static bool
take_tls_psk_file(struct nbc_target *t, struct slice value, struct nbc_error *err)
{
	t->tls_type = NBC_TLS_PSK;
	return take_once(&t->psk_file, "tls-psk-file", value, err);
}

static bool
take_tls_verify_peer(struct nbc_target *t, struct slice value, struct nbc_error *err)
{
	if (equals(value, "false") || equals(value, "0"))
		t->tls_no_verify = true;
	else if (equals(value, "true") || equals(value, "1"))
		t->tls_no_verify = false;
	else
		return nbc_fail(err, NBC_USAGE,
		    "tls-verify-peer=%.*s: use true or false", (int)value.len,
		    value.ptr);
	return true;
}

static bool
join(char **to, const char *dir, const char *file, struct nbc_error *err)
{
	size_t size = strlen(dir) + 1 + strlen(file) + 1;

	*to = malloc(size);
	if (*to == NULL)
		return nbc_fail_no_memory(err);
	snprintf(*to, size, "%s/%s", dir, file);
	return true;
}

/* The client's own certificate and the revocation lists count if they are there. */
static bool
drop_missing(struct nbc_target *t)
{
	if (!nbc_os_file_exists(t->crl_file)) {
		free(t->crl_file);
		t->crl_file = NULL;
	}
	if (!nbc_os_file_exists(t->cert_file)) {
		free(t->cert_file);
		free(t->key_file);
		t->cert_file = t->key_file = NULL;
	}
	return true;
}

#define CA_NAME		"/ca-cert.pem"

/* A directory with the file names that GnuTLS users know. */
static bool
take_tls_certificates(struct nbc_target *t, struct slice value, struct nbc_error *err)
{
	char *dir;
	bool ok;

	if (t->ca_file != NULL)
		return nbc_fail(err, NBC_USAGE, "tls-certificates is given twice");
	if (!decode(&dir, value, false, err))
		return false;
	ok = join(&t->ca_file, dir, &CA_NAME[1], err) &&
	    join(&t->crl_file, dir, "ca-crl.pem", err) &&
	    join(&t->cert_file, dir, "client-cert.pem", err) &&
	    join(&t->key_file, dir, "client-key.pem", err) &&
	    drop_missing(t);
	free(dir);
	return ok;
}

static const struct param {
	const char *name;
	bool	needs_tls;
	bool	(*take)(struct nbc_target *, struct slice, struct nbc_error *);
} params[] = {
	{ "socket", false, take_socket },
	{ "tls-type", true, take_tls_type },
	{ "tls-hostname", true, take_tls_hostname },
	{ "tls-certificates", true, take_tls_certificates },
	{ "tls-psk-file", true, take_tls_psk_file },
	{ "tls-verify-peer", true, take_tls_verify_peer },
};

static bool
parse_param(struct nbc_target *t, struct slice s, struct nbc_error *err)
{
	struct slice value, name = split(s, '=', &value);
	size_t i;

	for (i = 0; i < sizeof params / sizeof params[0]; i++) {
		if (!equals(name, params[i].name))
			continue;
		if (value.ptr == NULL)
			return nbc_fail(err, NBC_USAGE, "%s needs a value",
			    params[i].name);
		if (params[i].needs_tls && t->tls == NBE_TLS_OFF)
			return nbc_fail(err, NBC_USAGE, "%s has a meaning only with "
			    "TLS; use a scheme that begins with nbds",
			    params[i].name);
		return params[i].take(t, value, err);
	}
	return nbc_fail(err, NBC_USAGE, "unknown parameter \"%.*s\" in the URI",
	    (int)name.len, name.ptr);
}

static bool
parse_query(struct nbc_target *t, struct slice query, struct nbc_error *err)
{
	while (query.ptr != NULL) {
		struct slice rest, param = split(query, '&', &rest);

		if (param.len > 0 && !parse_param(t, param, err))
			return false;
		query = rest;
	}
	return true;
}

/* ---- the whole ----------------------------------------------------------- */

static const struct scheme {
	const char *name;
	enum nbc_family family;
	enum nbe_tls tls;
} schemes[] = {
	{ "nbd", NBC_TCP, NBE_TLS_OFF },
	{ "nbds", NBC_TCP, NBE_TLS_REQUIRED },
	{ "nbd+unix", NBC_UNIX, NBE_TLS_OFF },
	{ "nbds+unix", NBC_UNIX, NBE_TLS_REQUIRED },
	{ "nbd+vsock", NBC_VSOCK, NBE_TLS_OFF },
	{ "nbds+vsock", NBC_VSOCK, NBE_TLS_REQUIRED },
};

static bool
parse_scheme(struct nbc_target *t, struct slice s, struct nbc_error *err)
{
	size_t i;

	for (i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
		if (s.len == strlen(schemes[i].name) &&
		    strncasecmp(s.ptr, schemes[i].name, s.len) == 0) {
			t->family = schemes[i].family;
			t->tls = schemes[i].tls;
			return true;
		}
	return nbc_fail(err, NBC_USAGE, "unknown scheme \"%.*s\": use nbd, nbds, "
	    "nbd+unix, nbds+unix, nbd+vsock or nbds+vsock", (int)s.len, s.ptr);
}

/* Who is meant when the URI names nobody. */
static bool
default_host(struct nbc_target *t, struct nbc_error *err)
{
	if (t->host != NULL)
		return true;
	if (t->family == NBC_UNIX)
		return nbc_fail(err, NBC_USAGE, "the URI names no socket: add "
		    "?socket=/path");
	t->host = strdup(t->family == NBC_VSOCK ? VSOCK_HOST_CID : "localhost");
	return t->host != NULL || nbc_fail_no_memory(err);
}

static bool
check_authority(const struct nbc_target *t, struct nbc_error *err)
{
	if (t->family != NBC_UNIX || (t->host == NULL && t->port == NULL))
		return true;
	return nbc_fail(err, NBC_USAGE, "a URI of a UNIX socket has no host and no "
	    "port; write three slashes, as in nbd+unix:///name?socket=/path");
}

static bool
check_export_name(const struct nbc_target *t, struct nbc_error *err)
{
	if (t->export_name == NULL || strlen(t->export_name) <= NBE_MAX_STRING)
		return true;
	return nbc_fail(err, NBC_USAGE, "the export's name is longer than %d bytes",
	    NBE_MAX_STRING);
}

static bool
parse_uri(struct nbc_target *t, struct slice scheme, struct slice rest,
    struct nbc_error *err)
{
	struct slice query, path, authority;

	if (memchr(rest.ptr, '#', rest.len) != NULL)
		return nbc_fail(err, NBC_USAGE,
		    "an NBD URI has no fragment; write # as %%23");
	rest = split(rest, '?', &query);
	authority = split(rest, '/', &path);
	if (!parse_scheme(t, scheme, err) || !parse_authority(t, authority, err) ||
	    !check_authority(t, err))
		return false;
	if (path.ptr != NULL && !decode(&t->export_name, path, false, err))
		return false;
	return check_export_name(t, err) && parse_query(t, query, err) &&
	    default_host(t, err);
}

/* Not a URI: a path, or a host.  An IPv6 address needs no brackets here. */
static bool
parse_plain(struct nbc_target *t, struct slice s, struct nbc_error *err)
{
	if (s.len == 0)
		return nbc_fail(err, NBC_USAGE, "the name of the server is empty");
	if (s.ptr[0] == '/') {
		t->family = NBC_UNIX;
		return set_slice(&t->host, s, err);
	}
	if (s.ptr[0] != '[' && has_two_colons(s))
		return set_slice(&t->host, s, err);
	if (!parse_host_port(t, s, err))
		return false;
	return t->host != NULL ||
	    nbc_fail(err, NBC_USAGE, "\"%s\" names no host", s.ptr);
}

bool
nbc_target_parse(struct nbc_target *t, const char *operand, struct nbc_error *err)
{
	const char *mark = strstr(operand, "://");
	struct slice scheme, rest;
	bool ok;

	if (mark != NULL && operand[0] != '/') {
		scheme = (struct slice){ operand, (size_t)(mark - operand) };
		rest = (struct slice){ mark + 3, strlen(mark + 3) };
		ok = parse_uri(t, scheme, rest, err);
	} else {
		ok = parse_plain(t, (struct slice){ operand, strlen(operand) }, err);
	}
	if (!ok)
		nbc_target_free(t);
	return ok;
}

void
nbc_target_free(struct nbc_target *t)
{
	free(t->host);
	free(t->port);
	free(t->export_name);
	free(t->ca_file);
	free(t->crl_file);
	free(t->cert_file);
	free(t->key_file);
	free(t->key_password_file);
	free(t->tls_hostname);
	free(t->psk_file);
	free(t->psk_user);
	*t = (struct nbc_target){ 0 };
}

/* ---- as text again ------------------------------------------------------- */

struct printer {
	char	*buf;
	size_t	size, used;
};

static void
put(struct printer *p, char c)
{
	if (p->used + 1 < p->size)
		p->buf[p->used++] = c;
}

static void
put_text(struct printer *p, const char *text)
{
	while (*text != '\0')
		put(p, *text++);
}

/* plain: what has no meaning of its own in that part of a URI, beyond letters and
 * digits (RFC 3986, 2.3 and 3.3). */
static void
put_encoded(struct printer *p, const char *text, const char *plain)
{
	static const char hex[] = "0123456789abcdef";

	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (isalnum(c) || strchr("-._~", c) != NULL ||
		    strchr(plain, c) != NULL) {
			put(p, *text);
		} else {
			put(p, '%');
			put(p, hex[c >> 4]);
			put(p, hex[c & 15]);
		}
	}
}

static void
put_host_port(struct printer *p, const struct nbc_target *t)
{
	bool is_v6 = strchr(t->host, ':') != NULL;

	if (is_v6)
		put(p, '[');
	put_encoded(p, t->host, is_v6 ? ":" : "");
	if (is_v6)
		put(p, ']');
	if (t->port != NULL && strcmp(t->port, NBC_DEFAULT_PORT) != 0) {
		put(p, ':');
		put_text(p, t->port);
	}
}

static void
put_server(struct printer *p, const struct nbc_target *t)
{
	static const char *const suffix[] = {
		[NBC_TCP] = "", [NBC_UNIX] = "+unix", [NBC_VSOCK] = "+vsock",
	};

	put_text(p, t->tls == NBE_TLS_REQUIRED ? "nbds" : "nbd");
	put_text(p, suffix[t->family]);
	put_text(p, "://");
	if (t->psk_user != NULL) {
		put_encoded(p, t->psk_user, "");
		put(p, '@');
	}
	if (t->family != NBC_UNIX)
		put_host_port(p, t);
	put(p, '/');
	if (t->export_name != NULL)
		put_encoded(p, t->export_name, "/:@");
	if (t->family == NBC_UNIX) {
		put_text(p, "?socket=");
		put_encoded(p, t->host, "/:@");
	}
}

void
nbc_target_print(const struct nbc_target *t, char *buf, size_t size)
{
	struct printer p = { buf, size, 0 };

	put_server(&p, t);
	buf[p.used] = '\0';
}

static void
put_param(struct printer *p, char *mark, const char *name, const char *value)
{
	put(p, *mark);
	*mark = '&';
	put_text(p, name);
	put(p, '=');
	put_encoded(p, value, "/:@");
}

/* len: of its beginning. */
static void
put_path(struct printer *p, char *mark, const char *name, const char *path, size_t len)
{
	char *whole = nbc_os_absolute(path);
	size_t tail = strlen(path) - len;

	if (whole == NULL)
		return;			/* nbc_tls_context_load refuses it */
	whole[strlen(whole) - tail] = '\0';
	put_param(p, mark, name, whole);
	free(whole);
}

void
nbc_target_print_whole(const struct nbc_target *t, char *buf, size_t size)
{
	struct printer p = { buf, size, 0 };
	char mark = t->family == NBC_UNIX ? '&' : '?';

	put_server(&p, t);
	if (t->ca_file != NULL)
		put_path(&p, &mark, "tls-certificates", t->ca_file,
		    strlen(t->ca_file) - strlen(CA_NAME));
	if (t->psk_file != NULL)
		put_path(&p, &mark, "tls-psk-file", t->psk_file, strlen(t->psk_file));
	if ((t->tls_type == NBC_TLS_PSK) != (t->psk_file != NULL))
		put_param(&p, &mark, "tls-type",
		    t->tls_type == NBC_TLS_PSK ? "psk" : "x509");
	if (t->tls_hostname != NULL)
		put_param(&p, &mark, "tls-hostname", t->tls_hostname);
	if (t->tls_no_verify)
		put_param(&p, &mark, "tls-verify-peer", "false");
	buf[p.used] = '\0';
}
