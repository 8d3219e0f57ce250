#!/bin/bash
# package_inside.sh - the inside of package_test.sh: a unit of a Debian system, once per boot.
# SPDX-License-Identifier: BSD-2-Clause
#
# The kernel's command line has the phase.  What is done is what docs/linux.md says.

say() { # TEXT: the last command's status is the verdict
	if [ $? = 0 ]; then printf "\nok %s\n" "$1"; else printf "\nnot ok %s\n" "$1"; fi
}
word() { sed -n "s/.*package\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
field() { nbdisk show disk | sed -n "s/^$1: //p"; }
active() { [ "$(systemctl show -p ActiveState --value "$1")" = active ]; }
wait_until() {
	for _ in $(seq 600); do
		! "$@" || return 0
		sleep 0.2
	done
	return 1
}
# What a package may have left: of the root file system, without records and caches.
files() {
	find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp \
		-o -path /srv -o -path /root -o -path /var/log -o -path /var/cache -o \
		-path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd -o \
		-path /var/lib/needrestart -o -path /boot \) -prune -o -print | sort
}
apt() { DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends "$@" 2>&1; }

# ---- what phases do ------------------------------------------------------------------

network() {
	cat >/etc/systemd/network/any.network <<-CONF
	[Match]
	Type=ether
	[Network]
	DHCP=yes
	CONF
	systemctl enable --now systemd-networkd &&
		/lib/systemd/systemd-networkd-wait-online --timeout=60
}

do_install() {
	network
	say "the machine has a network"
	mkdir -p /data
	files >/root/before
	apt install /srv/nbdisk*.deb | tee /root/log
	[ "${PIPESTATUS[0]}" = 0 ]
	say "the packages are installed"
	grep -q "triggers for \(initramfs-tools\|dracut\)" /root/log
	say "and the initramfs is told"
	if [ "$(word via)" = ublk ]; then
		echo ublk_drv >/etc/modules-load.d/nbdisk.conf
		modprobe ublk_drv
	fi
	printf 'uri = nbd://10.0.2.2:%s/\nretry = 2m\nfence = 1s\n' "$(word port)" \
		>/etc/nbdisk/disk.conf
	nbdisk check-config /etc/nbdisk/disk.conf && systemctl enable --now nbdisk@disk
	say "a disk is attached by its unit"
	echo '/dev/nbdisk/disk /data ext4 _netdev,x-systemd.requires=nbdisk@disk.service 0 2' \
		>>/etc/fstab
	mkfs.ext4 -q /dev/nbdisk/disk && systemctl daemon-reload && mount /data &&
		echo words >/data/words
	say "and mounted by its line in fstab"
	field Attached
	field Attached | grep -q "$([ "$(word via)" = ublk ] && echo ublk || echo FUSE)"
	say "it goes the way that was asked for"
}

# Writes on and on: each block is on the disk before it is counted.
write_on() {
	local n=0
	while [ ! -e /run/enough ]; do
		n=$((n + 1))
		printf '%4096s' $n | dd of=/data/blocks bs=4096 seek=$((n % 1024)) \
			conv=notrunc,fsync status=none || return
		echo $n >/run/written.new && mv /run/written.new /run/written
	done
}
has_written() { [ "$(cat /run/written)" -ge "$1" ]; }
begun() { [ -e /run/written ]; }
is_new() { [ "$(readlink "/proc/$(field Pid)/exe")" = /usr/bin/nbdisk ]; }
upgraded() {
	if [ "$(field OutlivesDaemon)" = yes ]; then
		how="another daemon, of the new program, under the same unit"
		nbdisk upgrade disk && is_new
	else
		how="refused, for the disk does not outlive its daemon"
		! nbdisk upgrade disk && ! is_new
	fi
}
# Of the unit; the daemon, which may be killed, is a child of it.
main_pid() { systemctl show -p MainPID --value nbdisk@disk; }
mounted_by_unit() { active data.mount && active nbdisk@disk.service; }

do_upgrade() {
	local pid keeper writer n how
	wait_until mounted_by_unit && grep -qx words /data/words
	say "after a reboot it is attached and mounted"
	pid=$(field Pid) keeper=$(main_pid)
	write_on &
	writer=$!
	wait_until begun
	apt install /srv/newer-*.deb
	say "a newer package is installed while the disk is written to"
	[ "$(field Pid)" = "$pid" ] && [ "$(main_pid)" = "$keeper" ] && [ "$keeper" -gt 1 ]
	say "the daemon is the same process"
	[ "$(readlink "/proc/$pid/exe")" = "/usr/bin/nbdisk (deleted)" ]
	say "with the old program"
	[ "$(field State)" = CONNECTED ]
	say "the new command talks to it"
	needrestart -r a 2>&1 | tee /root/needrestart
	sed '0,/deferred/d' /root/needrestart | grep -q nbdisk@disk.service &&
		[ "$(field Pid)" = "$pid" ]
	say "needrestart names it, and leaves it alone"
	wait_until has_written $(($(cat /run/written) + 5))
	say "writing goes on"
	upgraded && mounted_by_unit && [ "$(main_pid)" = "$keeper" ]
	say "nbdisk upgrade: $how"
	wait_until has_written $(($(cat /run/written) + 5))
	say "and writing goes on"
	touch /run/enough
	wait $writer
	say "no I/O has failed"
	systemctl restart nbdisk@disk && is_new && [ "$(main_pid)" != "$keeper" ]
	say "restarted when nobody uses the disk, all of it is the new program"
	mount -a && mounted_by_unit || ! systemctl --no-pager status data.mount nbdisk@disk
	say "and can be mounted again"
	n=$(cat /run/written)
	grep -qx words /data/words && [ "$(dd if=/data/blocks bs=4096 skip=$((n % 1024)) count=1 \
		status=none | tr -d ' ')" = "$n" ]
	say "it has what was written"
}

nothing_runs() {
	! pgrep -x nbdisk && ! grep nbdisk /proc/mounts && [ ! -e /dev/nbdisk/disk ] &&
		! ls -d /run/nbdisk/*/ 2>/dev/null && ! grep -qs nbdisk /sys/block/loop*/loop/backing_file &&
		! ls /dev/ublkb* 2>/dev/null
}

do_remove() {
	wait_until mounted_by_unit && grep -qx words /data/words
	say "after a reboot the newer package attaches it"
	apt remove nbdisk | tee /root/log
	grep -q "attached: disk" /root/log && [ -x /usr/bin/nbdisk ] && mounted_by_unit
	say "while it is attached, the package is not removed, and says why"
	umount /data && systemctl disable --now nbdisk@disk
	say "it is unmounted and detached"
	nothing_runs
	say "then nothing of it runs"
	sed -i '/nbdisk/d' /etc/fstab
	rm -f /etc/nbdisk/disk.conf /etc/modules-load.d/nbdisk.conf
	apt remove nbdisk && [ ! -e /usr/bin/nbdisk ]
	say "the packages are removed"
	apt purge nbdisk && ! dpkg -s nbdisk nbdisk-initramfs 2>/dev/null
	say "and purged"
	files >/root/after
	diff /root/before /root/after
	say "no file is left"
	systemctl daemon-reload
	[ -z "$(systemctl list-units --failed --no-legend)" ] &&
		! systemctl list-unit-files --no-legend | grep nbdisk
	say "no unit is left, and none has failed"
}

do_"$(word phase)"
systemctl --no-block reboot
