/*
 * nbd_serve.h - requests of a WNBD disk, answered by an NBD device.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NBD_SERVE_H
#define NBD_SERVE_H

#include "nbd_disk.h"

/* The Context of a disk with this interface is its struct nbd_disk. */
extern const WNBD_INTERFACE nbd_serve_interface;

/* A request of the disk waits in a dispatcher thread: so many at a time. */
#define NBD_SERVE_THREADS 32

#endif
