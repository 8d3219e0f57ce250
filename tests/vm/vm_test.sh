#!/bin/bash
# vm_test.sh NBDISK KERNEL TEST [ARGUMENT...] - a test of this source tree, in a QEMU
# machine with Debian's kernel; prints what the test prints, TAP.  An argument that is a
# program here is one in the machine.
# SPDX-License-Identifier: BSD-2-Clause
#
# TEST is a path below tests/, without python.  KERNEL is where tools/vm-kernel has unpacked it.  The
# machine has no disk and no network of its own: all is in memory.  It has one
# processor: with two, QEMU 7.2 by TCG was seen to run code that Linux was changing; if
# NBDISK_VM_CPUS says more, they take turns on one thread.  NBDISK_VM_QEMU has more words
# for QEMU.

nbdisk=$1 kernel=$2 test=$3
shift 3
here=$(dirname "$(realpath "$0")")
tests=$(dirname "$here")
. "$tests/lib.sh"
set -o pipefail

skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}
[ -e "$kernel/boot" ] || skip_all "no kernel there: tools/vm-kernel gets one"
for tool in qemu-system-x86_64 cpio depmod xz qemu-nbd nbdkit fio mkfs.xfs openssl udevadm \
	dmsetup mkfs.btrfs; do
	have $tool || skip_all "$tool is not installed"
done

tree=$dir/tree
mkdir -p "$tree/tests" "$tree/given"
cp -r "$tests/lib.sh" "$tests/device.sh" "$tests/outlives.sh" "$tests/own_mounts.sh" \
	"$tests/interop" "$tests/vm" "$tree/tests"
cp "$nbdisk" "$tree/nbdisk"
cp "$tests/../linux/boot/60-nbdisk.rules" "$tree"
for argument; do
	shift
	if [ -x "$argument" ]; then
		cp "$argument" "$tree/given"
		argument=/t/given/$(basename "$argument")
	fi
	set -- "$@" "$argument"
done
printf '#!/bin/sh\nexec /t/tests/%s /t/nbdisk %s\n' "$test" "$*" >"$tree/run"
chmod +x "$tree/run"

# TLS, for a server at 10.0.0.2
mkdir "$tree/tls"
authority=$tree/tls/ca-cert.pem
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority \
	-keyout "$dir/ca-key.pem" -out "$authority" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=disks \
	-keyout "$tree/tls/server-key.pem" -out "$dir/request" 2>/dev/null
openssl x509 -req -in "$dir/request" -CA "$authority" -CAkey "$dir/ca-key.pem" \
	-CAcreateserial -days 2 -extfile <(echo subjectAltName=IP:10.0.0.2) \
	-out "$tree/tls/server-cert.pem" 2>/dev/null

programs="bash sh sleep timeout yes mktemp rm mv mkdir cat cp cmp dd truncate seq head tail
	grep sed awk sort wc tr cut date sha256sum sync touch realpath dirname
	basename stat id uname env ls tac chmod ln mount umount mountpoint insmod
	blockdev fstrim pgrep ip tc qemu-nbd nbdkit fio mkfs.ext4 fsck.ext4 mkfs.xfs
	xfs_repair losetup readlink udevadm dmsetup mkfs.btrfs mkswap swapon
	swapoff unshare blkdiscard"
# A machine with ublk; else a test may load it by itself.
[ -z "$NBDISK_VM_UBLK" ] || : >"$tree/ublk"
# A machine with systemd and udev, of which ours is a part.
if [ -n "$NBDISK_VM_SYSTEMD" ]; then
	mkdir "$tree/units"
	sed 's|@bindir@|/t|; s|@sysconfdir@|/etc|' "$tests/../linux/boot/nbdisk@.service.in" \
		>"$tree/units/nbdisk@.service"
	mkdir "$tree/units/run-nbdisk-.mount.d"
	cp "$tests/../linux/boot/10-nbdisk.conf" "$tree/units/run-nbdisk-.mount.d"
	systemd=/lib/systemd
	programs="$programs systemctl $systemd/systemd $systemd/systemd-fsck
		$systemd/systemd-shutdown $systemd/systemd-udevd fsck
		$systemd/system-generators/systemd-fstab-generator
		/lib/udev/rules.d/50-udev-default.rules /lib/udev/rules.d/99-systemd.rules
		$(ls $systemd/system/*.target $systemd/system/systemd-udev*
			ls $systemd/system/systemd-fsck@.service
			ls $systemd/system/systemd-poweroff.service)"
fi
plugins=$(nbdkit --dump-config | sed -n 's/^plugindir=//p')
filters=$(nbdkit --dump-config | sed -n 's/^filterdir=//p')
"$here/initrd.sh" "$kernel" "$dir/initrd" "$tree" $programs \
	"$plugins/nbdkit-file-plugin.so" "$plugins/nbdkit-sh-plugin.so" \
	"$filters/nbdkit-log-filter.so" "$filters/nbdkit-blocksize-policy-filter.so" \
	"$filters/nbdkit-cache-filter.so" || exit

# What is not TAP is said as a comment.
timeout 7000 qemu-system-x86_64 -machine q35 -accel tcg,thread=single -cpu max \
	-smp "${NBDISK_VM_CPUS:-1}" -m 2048 \
	-nographic -no-reboot -nodefaults -serial stdio -device virtio-rng-pci \
	$NBDISK_VM_QEMU \
	-kernel "$kernel"/boot/vmlinuz-* -initrd "$dir/initrd" \
	-append "console=ttyS0 systemd.show_status=1 quiet loglevel=1 panic=-1 no_timer_check" </dev/null 2>&1 |
	sed -u 's/\r$//; /^$/d; /^\(ok\|not ok\|1\.\.\|#\|Bail out!\)/!s/^/# /'
