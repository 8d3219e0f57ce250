/*
 * tls_files.c - the files that TLS needs: their names, and their bytes.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A session reads them anew, so that what was replaced counts.  What can be read only
 * once, such as a pipe, is kept.
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tls_session.h"

#define FILE_FIRST	16384u		/* bytes; doubles as long as there are more */
#define FILE_MAX	(64u << 20)	/* the longest lists have some 10 MB */

static const char *const names[] = {
	[NBC_FILE_CA] = "the CA's certificate",
	[NBC_FILE_CRL] = "the revocation lists",
	[NBC_FILE_CERT] = "the certificate",
	[NBC_FILE_KEY] = "the key",
	[NBC_FILE_KEY_PASSWORD] = "the key's password",
	[NBC_FILE_PSK] = "the PSK file",
};

const char *
nbc_tls_context_path(const struct nbc_tls_context *c, enum nbc_tls_file file)
{
	return c->file[file].path;
}

void
nbc_tls_bytes_free(struct tls_bytes *b)
{
	OPENSSL_clear_free(b->ptr, b->room);
	*b = (struct tls_bytes){ NULL, 0, 0 };
}

/* ---- reading ------------------------------------------------------------- */

/* Room for one byte more, and a NUL. */
static bool
grow(struct tls_bytes *b)
{
	size_t room = b->room == 0 ? FILE_FIRST : 2 * b->room;
	uint8_t *ptr;

	if (b->len + 1 < b->room)
		return true;
	ptr = OPENSSL_clear_realloc(b->ptr, b->room, room);
	if (ptr == NULL)
		return false;
	b->ptr = ptr;
	b->room = room;
	return true;
}

/* 0 or an errno. */
static int
read_all(int fd, struct tls_bytes *b)
{
	ssize_t n;

	do {
		if (b->len > FILE_MAX)
			return EFBIG;
		if (!grow(b))
			return ENOMEM;
		n = read(fd, b->ptr + b->len, b->room - b->len - 1);
		if (n > 0)
			b->len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	b->ptr[b->len] = '\0';
	return n == 0 ? 0 : errno;
}

static bool
fail_to_read(const struct nbc_tls_context *c, enum nbc_tls_file file, int error,
    struct nbc_error *err)
{
	return nbc_fail(err, NBC_USAGE, "%s: cannot read %s: %s", c->file[file].path,
	    names[file], strerror(error));
}

static int
open_file(const struct nbc_tls_context *c, const struct nbc_options *options,
    enum nbc_tls_file file)
{
	if (options->open_file != NULL)
		return options->open_file(options->open_arg, file);
	return open(c->file[file].path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

bool
nbc_tls_read(const struct nbc_tls_context *c, const struct nbc_options *options,
    enum nbc_tls_file file, struct tls_bytes *b, struct nbc_error *err)
{
	const struct tls_bytes *kept = &c->file[file].kept;
	int fd, error;

	*b = (struct tls_bytes){ NULL, 0, 0 };
	if (kept->ptr != NULL) {
		b->ptr = OPENSSL_memdup(kept->ptr, kept->len + 1);
		b->len = kept->len;
		b->room = kept->len + 1;
		return b->ptr != NULL || nbc_fail_no_memory(err);
	}
	fd = open_file(c, options, file);
	if (fd < 0)
		return fail_to_read(c, file, errno, err);
	error = read_all(fd, b);
	close(fd);
	if (error == 0)
		return true;
	nbc_tls_bytes_free(b);
	return fail_to_read(c, file, error, err);
}

/* ---- names --------------------------------------------------------------- */

static bool
keep_unless_regular(struct nbc_tls_context *c, enum nbc_tls_file file,
    struct nbc_error *err)
{
	static const struct nbc_options here;
	struct stat st;

	if (stat(c->file[file].path, &st) != 0)
		return fail_to_read(c, file, errno, err);
	return S_ISREG(st.st_mode) ||
	    nbc_tls_read(c, &here, file, &c->file[file].kept, err);
}

bool
nbc_tls_files_init(struct nbc_tls_context *c, const struct nbc_target *t,
    struct nbc_error *err)
{
	const char *const paths[] = {
		[NBC_FILE_CA] = t->ca_file, [NBC_FILE_CRL] = t->crl_file,
		[NBC_FILE_CERT] = t->cert_file, [NBC_FILE_KEY] = t->key_file,
		[NBC_FILE_KEY_PASSWORD] = t->key_password_file,
		[NBC_FILE_PSK] = t->psk_file,
	};

	for (unsigned i = 0; i < NBC_FILES; i++) {
		if (paths[i] == NULL)
			continue;
		c->file[i].path = nbc_os_absolute(paths[i]);
		if (c->file[i].path == NULL)
			return nbc_fail(err, NBC_USAGE, "%s: give the path from the "
			    "root on: the present directory has no name", paths[i]);
		if (!keep_unless_regular(c, i, err))
			return false;
	}
	return true;
}

void
nbc_tls_files_free(struct nbc_tls_context *c)
{
	for (unsigned i = 0; i < NBC_FILES; i++) {
		free(c->file[i].path);
		nbc_tls_bytes_free(&c->file[i].kept);
	}
}
