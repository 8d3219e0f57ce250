/*
 * server.c - a server that the command line names.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "server.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the longest names and paths, each byte encoded. */
#define URI_MAX		32768

enum exit_status
server_complain(const struct nbc_error *err)
{
	complain(err->text);
	return err->kind == NBC_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

static bool
usage_error(struct nbc_error *err, const char *text)
{
	*err = (struct nbc_error){ .kind = NBC_USAGE };
	snprintf(err->text, sizeof(err->text), "%s", text);
	return false;
}

/* What the URI has already said must not be said again by an option. */
static bool
take(char **field, const char *value, const char *option, struct nbc_error *err)
{
	char text[128];

	if (value == NULL)
		return true;
	if (*field != NULL && (*field)[0] != '\0') {
		snprintf(text, sizeof(text),
		    "--%s: the URI has it too; say it once", option);
		return usage_error(err, text);
	}
	free(*field);
	*field = strdup(value);
	if (*field != NULL)
		return true;
	*err = (struct nbc_error){ .kind = NBC_INTERNAL, .text = "out of memory" };
	return false;
}

static bool
take_names(struct nbc_target *t, const struct options *o, struct nbc_error *err)
{
	if (o->port != NULL && t->family == NBC_UNIX)
		return usage_error(err, "--port: a UNIX socket has no port");
	return take(&t->export_name, o->export_name, "name", err) &&
	    take(&t->port, o->port, "port", err) &&
	    take(&t->psk_user, o->psk_user, "psk-user", err);
}

static bool
take_files(struct nbc_target *t, const struct options *o, struct nbc_error *err)
{
	if (o->psk_file != NULL)
		t->tls_type = NBC_TLS_PSK;
	return take(&t->ca_file, o->ca_file, "ca", err) &&
	    take(&t->crl_file, o->crl_file, "crl", err) &&
	    take(&t->cert_file, o->cert_file, "cert", err) &&
	    take(&t->key_file, o->key_file, "key", err) &&
	    take(&t->key_password_file, o->key_password_file, "key-password-file",
	    err) &&
	    take(&t->tls_hostname, o->tls_hostname, "tls-hostname", err) &&
	    take(&t->psk_file, o->psk_file, "psk-file", err);
}

static bool
has_tls_options(const struct options *o)
{
	return o->ca_file != NULL || o->crl_file != NULL || o->cert_file != NULL ||
	    o->key_file != NULL || o->key_password_file != NULL ||
	    o->tls_hostname != NULL || o->psk_file != NULL || o->psk_user != NULL;
}

/* Whoever names a certificate wants TLS; nothing makes less of what was asked. */
static bool
take_tls(struct nbc_target *t, const struct options *o, struct nbc_error *err)
{
	bool uri_requires = t->tls == NBE_TLS_REQUIRED;

	if (o->tls == TLS_UNSAID) {
		if (has_tls_options(o))
			t->tls = NBE_TLS_REQUIRED;
		return true;
	}
	if (uri_requires && o->tls != NBE_TLS_REQUIRED)
		return usage_error(err,
		    "--tls: the URI (nbds) requires TLS; use nbd, or required");
	if (o->tls == NBE_TLS_OFF && has_tls_options(o))
		return usage_error(err, "--tls off: the other TLS options need TLS");
	t->tls = (enum nbe_tls)o->tls;
	return true;
}

/* As nbc_options has it: milliseconds in an int's range. */
static unsigned
milliseconds(nbe_time ns)
{
	uint64_t ms = ns / (NBE_SECOND / 1000);

	return ms < INT_MAX ? (unsigned)ms : INT_MAX;
}

static bool
print(struct server *s, struct nbc_error *err)
{
	char uri[URI_MAX];

	nbc_target_print_whole(&s->target, uri, sizeof(uri));
	s->uri = strdup(uri);
	if (s->uri != NULL)
		return true;
	*err = (struct nbc_error){ .kind = NBC_INTERNAL, .text = "out of memory" };
	return false;
}

static bool
init(struct server *s, const struct options *o, const char *operand,
    struct nbc_error *err)
{
	s->options = (struct nbc_options){
		.framing_max = NBE_EXTENDED, .want_alloc = true,
		.timeout_ms = milliseconds(o->open_timeout),
		.retry_ms = milliseconds(o->retry),
		.allow_ktls = true, .cancel_fd = -1,
	};
	return nbc_target_parse(&s->target, operand, err) &&
	    take_names(&s->target, o, err) && take_tls(&s->target, o, err) &&
	    print(s, err) && take_files(&s->target, o, err) &&
	    nbc_tls_context_load(&s->tls, &s->target, err);
}

enum exit_status
server_init(struct server *s, const struct options *o, const char *operand)
{
	struct nbc_error err;

	*s = (struct server){ 0 };
	if (init(s, o, operand, &err)) {
		if (s->target.tls_no_verify)
			complain("warning: tls-verify-peer=false: anybody may be the "
			    "server");
		return EXIT_OK;
	}
	server_free(s);
	return server_complain(&err);
}

void
server_free(struct server *s)
{
	nbc_tls_context_free(s->tls);
	nbc_target_free(&s->target);
	free(s->uri);
}

/* ---- several of them --------------------------------------------------------- */

static bool
is_twice(const struct server *server, unsigned count, char *uri, size_t size)
{
	char other[1024];

	nbc_target_print(&server[count].target, uri, size);
	for (unsigned i = 0; i < count; i++) {
		nbc_target_print(&server[i].target, other, sizeof(other));
		if (strcmp(other, uri) == 0)
			return true;
	}
	return false;
}

enum exit_status
servers_init(struct server *server, unsigned *count, const struct options *o)
{
	enum exit_status status = EXIT_OK;
	struct errtext err;
	char uri[512];

	*count = 0;
	if (!options_fence_ok(o, &err)) {
		complain(err.text);
		return EXIT_USAGE;
	}
	while (status == EXIT_OK && *count < o->operands) {
		status = server_init(&server[*count], o, o->operand[*count]);
		if (status != EXIT_OK)
			return status;
		if (is_twice(server, (*count)++, uri, sizeof(uri))) {
			errtext_set(&err, "%s is there twice; say it once", uri);
			complain(err.text);
			status = EXIT_USAGE;
		}
	}
	return status;
}
