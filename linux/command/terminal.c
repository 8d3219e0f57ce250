/*
 * terminal.c - the terminal as "top" wants it, and as it was.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "terminal.h"

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* What handlers need; tcsetattr may be called in one (signal-safety(7)). */
static struct termios before, wanted;
static volatile sig_atomic_t changed, interrupted;

static void
put_back(void)
{
	if (changed)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void
interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

/* The handler is gone already (SA_RESETHAND): it ends as without. */
static void
die(int number)
{
	put_back();
	(void)raise(number);
}

static void
stop(int number)
{
	(void)number;
	put_back();
	(void)raise(SIGSTOP);
	if (changed)
		tcsetattr(STDIN_FILENO, TCSANOW, &wanted);
}

/* What is ignored stays so (nohup). */
static void
catch(int number, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };
	struct sigaction old;

	if (sigaction(number, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		sigaction(number, &action, NULL);
}

void
terminal_open(void)
{
	static const int deaths[] = {
		SIGQUIT, SIGHUP, SIGPIPE, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL,
	};

	catch(SIGINT, interrupt, 0);
	catch(SIGTERM, interrupt, 0);
	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before) < 0)
		return;
	for (size_t i = 0; i < sizeof(deaths) / sizeof(deaths[0]); i++)
		catch(deaths[i], die, SA_RESETHAND);
	catch(SIGTSTP, stop, 0);
	wanted = before;
	wanted.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	changed = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &wanted);
}

void
terminal_close(void)
{
	put_back();
	changed = 0;
}

bool
terminal_wait(int timeout_ms)
{
	struct pollfd key = { .fd = changed ? STDIN_FILENO : -1, .events = POLLIN };
	char c = 0;

	if (poll(&key, 1, timeout_ms) > 0 && read(STDIN_FILENO, &c, 1) <= 0)
		return true;
	return interrupted != 0 || c == 'q';
}

unsigned
terminal_columns(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_col;
}
