#!/bin/bash
# boot_inside.sh NBDISK alive|dead|killed - the inside of boot_test.sh.  As process 1 it makes a
# system of the machine and becomes systemd; as a unit of that it looks, and turns the
# machine off while the disk is mounted, with its server or without.
# SPDX-License-Identifier: BSD-2-Clause

units=/lib/systemd/system

make_system() {
	mkdir -p /srv /etc/nbdisk /etc/systemd/system "$units/multi-user.target.wants" \
		"$units/sysinit.target.wants" /lib/udev/rules.d /var/log
	echo 0123456789abcdef0123456789abcdef >/etc/machine-id
	echo 'ID=test' >/etc/os-release
	ln -sf multi-user.target $units/default.target
	for unit in systemd-udevd systemd-udev-trigger; do
		ln -s ../$unit.service $units/sysinit.target.wants/
	done
	cp /t/60-nbdisk.rules /lib/udev/rules.d/
	cp -r /t/units/. $units/
	# As Debian has it, and as "systemctl enable" does it.
	ln -s ../remote-fs.target $units/multi-user.target.wants/
	ln -s ../nbdisk@.service $units/multi-user.target.wants/nbdisk@disk1.service
	cat >/etc/nbdisk/disk1.conf <<-CONF
	uri = /run/server.sock
	retry = 2m
	dead-timeout = 5s
	fence = 1s
	unflushed = ignore
	CONF
	# The line of nbdisk.conf(5).
	echo '/dev/nbdisk/disk1 /srv ext4 _netdev,x-systemd.requires=nbdisk@disk1.service 0 2' \
		>/etc/fstab
	cat >$units/server.service <<-UNIT
	[Unit]
	Before=nbdisk@disk1.service
	[Service]
	ExecStart=/t/serve
	[Install]
	UNIT
	ln -s ../server.service $units/multi-user.target.wants/
	cat >$units/look.service <<-UNIT
	[Unit]
	After=remote-fs.target server.service
	[Service]
	Type=oneshot
	ExecStart=/t/run
	StandardOutput=tty
	StandardError=tty
	TTYPath=/dev/console
	UNIT
	ln -s ../look.service $units/multi-user.target.wants/
	printf '#!/bin/sh\nexec nbdkit -f -U /run/server.sock file /run/disk\n' >/t/serve
	chmod +x /t/serve
	truncate -s 64M /run/disk && mkfs.ext4 -q /run/disk
}

if [ $$ = 1 ]; then
	make_system
	exec /lib/systemd/systemd
fi

say() { # NAME: the last command's status is the verdict
	if [ $? = 0 ]; then echo "ok $1"; else echo "not ok $1"; fi
}
active() { [ "$(systemctl show -p ActiveState --value "$1")" = active ]; }
active srv.mount && mountpoint -q /srv
say "the line of fstab has mounted it"
active dev-nbdisk-disk1.device
say "systemd has a unit for /dev/nbdisk/disk1"
active nbdisk@disk1.service
say "the service is active"
echo words >/srv/words && sync -f /srv/words 2>/dev/null || sync
say "it can be written"
daemon() { /t/nbdisk show disk1 2>/dev/null | sed -n 's/^Pid: //p'; }
wait_for() { for _ in $(seq 600); do "$@" && return; sleep 0.1; done; return 1; }
is_next() { now=$(daemon) && [ -n "$now" ] && [ "$now" != "$was" ]; }
[ "$2" != killed ] || {
	[ "$(realpath /dev/nbdisk/disk1)" = /dev/ublkb0 ]
	say "the device is of ublk"
	for i in 1 2 3; do
		was=$(daemon)
		(while [ ! -e /run/enough ]; do date >>/srv/log && sync -f /srv/log || exit; done) &
		writer=$!
		kill -9 "$was"
		wait_for is_next || break
		: >/run/enough
		wait $writer || break
		rm /run/enough
	done
	[ "$i" = 3 ] && [ ! -e /run/enough ] && mountpoint -q /srv && active nbdisk@disk1.service
	say "killed under a mounted file system: there is a next one, and no write fails"
	/t/nbdisk show disk1 | grep -qx "Takeovers: 3"
	say "and that took the disk over"
}
[ "$2" != dead ] || {
	echo more >/srv/more
	systemctl kill -s KILL server.service
}
systemctl --no-block poweroff
