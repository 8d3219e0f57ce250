/*
 * uri_fuzz.c - libFuzzer: anything a person may type for a server.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What is refused says why; what is accepted is printed as a URI that means the
 * same.
 */
#include <stdlib.h>
#include <string.h>

#include "connect.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define MUST(condition)	do { if (!(condition)) abort(); } while (0)
#define URI_MAX		4096u

/* What is missing stands for the default. */
static bool
same(const char *a, const char *b, const char *missing)
{
	return strcmp(a == NULL ? missing : a, b == NULL ? missing : b) == 0;
}

static void
check_printed(const struct nbc_target *t)
{
	static char first[4 * URI_MAX], second[4 * URI_MAX];
	struct nbc_target again = { 0 };
	struct nbc_error err;

	nbc_target_print(t, first, sizeof(first));
	MUST(nbc_target_parse(&again, first, &err));
	nbc_target_print(&again, second, sizeof(second));
	MUST(strcmp(first, second) == 0);
	MUST(t->family == again.family && same(t->host, again.host, ""));
	MUST(same(t->port, again.port, NBC_DEFAULT_PORT));
	MUST(same(t->export_name, again.export_name, ""));
	MUST((t->tls == NBE_TLS_OFF) == (again.tls == NBE_TLS_OFF));
	nbc_target_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nbc_target t = { 0 };
	struct nbc_error err = { 0 };
	char *operand;

	if (size > URI_MAX)
		return 0;
	operand = malloc(size + 1);
	MUST(operand != NULL);
	memcpy(operand, data, size);
	operand[size] = '\0';
	if (nbc_target_parse(&t, operand, &err)) {
		MUST(t.host != NULL);
		check_printed(&t);
	} else {
		MUST(err.kind == NBC_USAGE && err.text[0] != '\0');
	}
	nbc_target_free(&t);
	free(operand);
	return 0;
}
