/*
 * error.c - what went wrong, and what to do about it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

static void
append(struct nbc_error *err, const char *fmt, va_list args)
{
	size_t used = strlen(err->text);

	vsnprintf(err->text + used, sizeof err->text - used, fmt, args);
}

static void
start(struct nbc_error *err, enum nbc_kind kind, bool transient)
{
	err->kind = kind;
	err->transient = transient;
	err->text[0] = '\0';
}

bool
nbc_fail(struct nbc_error *err, enum nbc_kind kind, const char *fmt, ...)
{
	va_list args;

	start(err, kind, false);
	va_start(args, fmt);
	append(err, fmt, args);
	va_end(args);
	return false;
}

bool
nbc_fail_for_now(struct nbc_error *err, enum nbc_kind kind, const char *fmt, ...)
{
	va_list args;

	start(err, kind, true);
	va_start(args, fmt);
	append(err, fmt, args);
	va_end(args);
	return false;
}

bool
nbc_fail_no_memory(struct nbc_error *err)
{
	return nbc_fail(err, NBC_INTERNAL, "out of memory");
}

void
nbc_add(struct nbc_error *err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	append(err, fmt, args);
	va_end(args);
}

/* Reasons of a handshake that are not just a broken protocol. */
struct explanation {
	enum nbc_kind kind;
	bool	transient;
};

static struct explanation
explain(enum nbe_why why)
{
	switch (why) {
	case NBE_WHY_CLOSED:
		return (struct explanation){ NBC_UNREACHABLE, true };
	case NBE_WHY_SHUTDOWN:
		return (struct explanation){ NBC_REFUSED, true };
	case NBE_WHY_UNKNOWN_EXPORT:
		return (struct explanation){ NBC_NO_EXPORT, false };
	case NBE_WHY_TLS_REQUIRED:
		return (struct explanation){ NBC_TLS_REQUIRED, false };
	case NBE_WHY_TLS_REFUSED:
		return (struct explanation){ NBC_TLS_REFUSED, false };
	case NBE_WHY_NOT_NBD:
		return (struct explanation){ NBC_NOT_NBD, false };
	default:
		return (struct explanation){ NBC_REFUSED, false };
	}
}

void
nbc_fail_handshake(struct nbc_error *err, const struct nbc_target *target,
    enum nbe_why why, struct nbe_text message)
{
	struct explanation e = explain(why);
	char name[512], said[512];

	nbc_target_print(target, name, sizeof name);
	start(err, e.kind, e.transient);
	nbc_add(err, "%s: %s", name, nbe_why_text(why));
	if (message.len == 0)
		return;
	nbc_printable(said, sizeof said, message);
	nbc_add(err, "\nThe server says: %s", said);
}
