/*
 * reset.c - ends a connection, whoever else has its socket.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "reset.h"

#include <sys/socket.h>
#include <unistd.h>

/* On other sockets than TCP's, and where the kernel does TLS, connect is refused: there
 * the shutdown and the close are all. */
void
socket_reset(int fd)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	(void)shutdown(fd, SHUT_RDWR);
	(void)connect(fd, &nobody, sizeof(nobody));
	(void)close(fd);
}
