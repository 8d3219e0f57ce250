/*
 * confine.c - capabilities, no new privileges, and a seccomp filter.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The filter is a list of what is refused.  A list of what is allowed would be
 * shorter to argue for, but the C library's resolver and OpenSSL make calls that
 * differ from one version to the next, and a disk must not stop working for that.
 */
#include "confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCH	AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH	AUDIT_ARCH_AARCH64
#endif

static bool
drop_capabilities(bool unix_server)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct now[2], kept[2] = { { 0 } };
	uint32_t wanted = 1u << CAP_IPC_LOCK;

	if (unix_server)
		wanted |= 1u << CAP_DAC_OVERRIDE;
	if (syscall(SYS_capget, &head, now) < 0)
		return false;
	kept[0].permitted = kept[0].effective = now[0].permitted & wanted;
	return syscall(SYS_capset, &head, kept) == 0;
}

/* A leak checker looks at its own process from outside. */
#if defined(__SANITIZE_ADDRESS__)
#define CHECKS_LEAKS
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECKS_LEAKS
#endif
#endif

#ifdef NATIVE_ARCH
/* Other programs, other processes, mounts, modules, clocks, the machine itself. */
static const int refused[] = {
#ifndef CHECKS_LEAKS
	SYS_ptrace,
#endif
	SYS_execve, SYS_execveat, SYS_process_vm_readv, SYS_process_vm_writev,
	SYS_pidfd_getfd, SYS_mount, SYS_umount2, SYS_move_mount,
	SYS_open_tree, SYS_fsopen, SYS_pivot_root, SYS_chroot, SYS_setns, SYS_unshare,
	SYS_open_by_handle_at, SYS_init_module, SYS_finit_module, SYS_delete_module,
	SYS_kexec_load, SYS_kexec_file_load, SYS_bpf, SYS_perf_event_open,
	SYS_userfaultfd, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_settimeofday,
	SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_sethostname,
	SYS_setdomainname, SYS_add_key, SYS_request_key, SYS_keyctl, SYS_quotactl,
	SYS_acct, SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid,
	SYS_setresgid, SYS_setgroups, SYS_mknodat,
#ifdef SYS_iopl
	SYS_iopl, SYS_ioperm,
#endif
};
#define REFUSED		(sizeof(refused) / sizeof(refused[0]))

/* Another architecture's numbers (a 32-bit call) mean other calls: all refused. */
static bool
filter_calls(void)
{
	struct sock_filter code[REFUSED + 5], *p = code;
	struct sock_fprog program = { .filter = code };

	*p++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
	    offsetof(struct seccomp_data, arch));
	*p++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 0,
	    REFUSED + 2);
	*p++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
	    offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < REFUSED; i++)
		*p++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
		    (unsigned)refused[i], (uint8_t)(REFUSED - i), 0);
	*p++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	*p++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	program.len = (unsigned short)(p - code);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
#else
static bool
filter_calls(void)
{
	return true;
}
#endif

bool
confine(bool unix_server, struct errtext *err)
{
	if (!drop_capabilities(unix_server))
		return errtext_set(err, "capset: %s", strerror(errno));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return errtext_set(err, "no_new_privs: %s", strerror(errno));
	/* A kernel without seccomp is no reason to do without the disk. */
	if (!filter_calls() && errno != EINVAL)
		return errtext_set(err, "seccomp: %s", strerror(errno));
	return true;
}
