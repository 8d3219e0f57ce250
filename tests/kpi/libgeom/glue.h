/*
 * glue.h - gnbd_kpi: from the user's side of gctl to the kernel's.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Both sides have types of the same names, so they meet through this.
 */
#ifndef KPI_GLUE_H
#define KPI_GLUE_H

#include <stdbool.h>
#include <stddef.h>

void	glue_load(void);
/* 0, or an errno; and what is left over panics. */
int	glue_unload(void);
long	glue_tid(void);
int	glue_install(int fd, bool tls);
/* kpi_tls_records */
void	glue_tls_records(unsigned long long);
/* kpi_devctl_told */
unsigned glue_told(const char *type);
void	glue_close(int kfd);
void	*glue_req(const char *verb);
void	glue_add(void *req, const char *name, const void *value, int len);
void	glue_run(void *req, char *error, size_t elen, char *provider, size_t plen);
/* The confxml of nbd0; "" when there is none. */
void	glue_confxml(char *buf, size_t len);
/* kern.geom.nbd.wishes */
unsigned long long glue_wishes(void);
/* Writes a block of c at off, and reads it back. */
bool	glue_io(const char *name, long off, char c);
/* Opens it, and closes it some time after its end. */
bool	glue_open(const char *name);

#endif
