/*
 * main.c - wnbd-client: the command's beginning and end.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The program is entered here, without the compiler's start-up code, for two reasons:
 * arguments are UTF-16 and are to become UTF-8, and that code brings thread-local
 * storage, which nothing here needs.
 */
#include <stdlib.h>

#include "commands.h"

#include <shellapi.h>

static void
free_arguments(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	free(argv);
}

static char *
to_utf8(const WCHAR *wide)
{
	int size = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
	char *text = size > 0 ? malloc((size_t)size) : NULL;

	if (text != NULL)
		WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, size, NULL, NULL);
	return text;
}

/* NULL: out of memory. */
static char **
get_arguments(int *argc)
{
	WCHAR **wide = CommandLineToArgvW(GetCommandLineW(), argc);
	char **argv;

	if (wide == NULL)
		return NULL;
	argv = calloc((size_t)*argc + 1, sizeof(*argv));
	for (int i = 0; argv != NULL && i < *argc; i++) {
		argv[i] = to_utf8(wide[i]);
		if (argv[i] == NULL) {
			free_arguments(i, argv);
			argv = NULL;
		}
	}
	LocalFree(wide);
	return argv;
}

static DWORD
run(int argc, char **argv)
{
	struct arguments a;
	char error[256];
	bool unknown;

	if (!cmdline_parse(&a, argc, argv, error, sizeof(error), &unknown)) {
		if (unknown)
			fprintf(stderr, "%s\n\nSee wnbd-client --help.\n", error);
		else
			complain_text(error);
		return ERROR_INVALID_PARAMETER;
	}
	WnbdSetLogLevel(a.debug ? WnbdLogLevelDebug : WnbdLogLevelWarning);
	return command_run(&a);
}

void	client_start(void);

void
client_start(void)
{
	UINT code_page = GetConsoleOutputCP();
	DWORD status = ERROR_OUTOFMEMORY;
	char **argv;
	int argc;

	SetConsoleOutputCP(CP_UTF8);
	argv = get_arguments(&argc);
	if (argv != NULL) {
		status = run(argc, argv);
		free_arguments(argc, argv);
	} else {
		complain_text("out of memory");
	}
	if (fflush(stdout) != 0 && status == 0)
		status = ERROR_WRITE_FAULT;
	SetConsoleOutputCP(code_page);
	ExitProcess(status);
}
