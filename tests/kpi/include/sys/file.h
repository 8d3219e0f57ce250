/*
 * sys/file.h - for the KPI host: descriptors that a test has installed.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_FILE_H
#define KPI_SYS_FILE_H

#include <sys/capsicum.h>
#include <sys/proc.h>

struct fileops {
	int		 fo_dummy;
};
struct file {
	int		 f_type;
	int		 f_count;
	const struct fileops *f_ops;
	void		*f_data;
};
#define DTYPE_NONE	0
#define DTYPE_SOCKET	2
#define DTYPE_VNODE	1
extern const struct fileops badfileops;
void	finit(struct file *, unsigned flag, short type, void *data,
	    const struct fileops *);
int	fget(struct thread *, int fd, const cap_rights_t *, struct file **);
int	fdrop(struct file *, struct thread *);

#endif
