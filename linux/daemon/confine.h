/*
 * confine.h - give up what a running daemon does not need.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CONFINE_H
#define CONFINE_H

#include <stdbool.h>

#include "errtext.h"

/*
 * Once all is set up and the helper, which mounts and unmounts, is a process of its
 * own.  From then on this process and its threads have no capability but
 * CAP_IPC_LOCK (its memory is locked), and CAP_DAC_OVERRIDE if the server is behind a
 * UNIX socket, which may be somebody else's; get none by any program; and system calls
 * that a disk has no use for are refused with EPERM.  There is no way back.
 */
bool	confine(bool unix_server, struct errtext *);

#endif
