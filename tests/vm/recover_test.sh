#!/bin/bash
# recover_test.sh NBDISK - daemons of ublk that are killed, and others that take over, in the
# machine of vm_test.sh.
# SPDX-License-Identifier: BSD-2-Clause

nbdisk=$1
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

needs qemu-nbd fio
load_modules ublk
# A terminal would be told how far things are, in the middle of TAP.
exec 2>>"$dir/stderr"
echo "# Linux $(uname -r)"
# nbdkit 1.32 was seen to abort when its clients are cut off in the middle.
serve_file() { serve qemu-nbd -t -e 8 -f raw -k "$sock" "$1"; }
no_ublk() { ! ls /dev/ublk[bc]* 2>/dev/null; }
daemon() { nb show "$name" 2>/dev/null | sed -n 's/^Pid: //p'; }
is_dead() { nb status "$name" | grep -q DEAD; }
helper() { pgrep -P "$(daemon)" -x nbdisk-helper; }
# Its helper starts the next one; without that nobody does.
kill_alone() {
	old=$(daemon)
	kill -9 "$old"
	wait_until has_next
}
has_next() { now=$(daemon) && [ -n "$now" ] && [ "$now" != "$old" ]; }
kill_daemon() {
	kill -9 $(helper) "$(daemon)"
	wait_until is_dead
}
takeovers() { nb show "$name" | sed -n 's/^Takeovers: //p'; }
# Else who waits for it would wait for ever.
recover() {
	run nb recover "$name"
	{ status_is 0 && out_has "$device"; } || {
		sed 's/^/# /' "$dir/err"
		nb disconnect --force "$name"
		return 1
	}
}
attach() {
	run nb connect --device "$name" --fence 1s "$@" "$sock"
	status_is 0
}
detach() {
	run nb disconnect "$name"
	status_is 0 && nothing_left && no_ublk
}

printf '#!/bin/sh\n' >"$dir/hook" && chmod +x "$dir/hook"
put_one() { echo x | dd of="$device" bs=4096 conv=sync,notrunc oflag=direct status=none; }
truncate -s 256M "$dir/disk"
serve_file "$dir/disk"
attach
run nb recover "$name"
status_is 1 && err_has "$name: its daemon lives"
ok "a daemon that lives is left alone"
kill_daemon && recover && [ "$(realpath "$device")" = /dev/ublkb0 ] && nb show "$name" |
	grep -q "^Attached: ublk"
ok "a new daemon, the same device"
detach
ok "and it ends as others do"
attach && kill_daemon && rm "$NBDISK_STATE_DIR/$name/unflushed" &&
	mkdir "$NBDISK_STATE_DIR/$name/unflushed"
run nb recover "$name"
status_is 1 && is_dead && rm -r "$NBDISK_STATE_DIR/$name/unflushed" && recover && detach
ok "a daemon that fails on the way is no obstacle to the next one"
attach && kill_daemon && detach
ok "one that is dead, and that nobody uses, is removed"

(cd "$dir" && nb connect --device "$name" --fence 1s --hook ./hook \
	"nbd+unix:///?socket=${sock##*/}") >/dev/null
kill_daemon && recover && detach
ok "a daemon that was started in another directory, with names from there"

# ---- no error, no wrong byte ----------------------------------------------------------

attach --unflushed ignore
fio --name=verify --filename="$device" --rw=randrw --bsrange=4k-256k --iodepth=32 \
	--ioengine=libaio --direct=1 --size=128M --io_size=256M --verify=crc32c \
	--verify_fatal=1 --fdatasync=100 --output="$dir/fio" >"$dir/fio.log" 2>&1 &
fio=$!
busy() { [ "$(nb stats "$name" 2>/dev/null | sed -n 's/^ *Commands: //p')" -gt 100 ]; }
kills=0
while kill -0 $fio 2>/dev/null && [ $kills -lt 10 ]; do
	wait_until busy && kill_alone || break
	kills=$((kills + 1))
done
echo "# $kills kills"
wait $fio && [ $kills -ge 3 ]
ok "fio --verify: the daemon is killed again and again, no error, and nobody does a thing"
[ "$(takeovers)" -eq $kills ]
ok "show says how often"
detach

attach --unflushed ignore
mkfs.ext4 -q "$device" && mount "$device" "$mnt"
write_files >"$dir/writer.log" 2>&1 &
writer=$!
for kills in 1 2 3 4 5; do
	sleep 1
	kill_alone || break
done
touch "$dir/enough"
wait $writer && status_is 0
ok "ext4: no write failed while the daemon was killed 5 times"
check_files && umount "$mnt" && fsck.ext4 -fn "$device" >/dev/null 2>&1
ok "ext4: all checksums, and fsck finds nothing"
detach

# ---- by itself --------------------------------------------------------------------------

no_helper() { ! pgrep -x nbdisk-helper >/dev/null; }
attach
kill_alone && run nb recover "$name"
status_is 1 && err_has "its daemon lives" && detach && wait_until no_helper
ok "the next daemon ends as others do, and so do all helpers"
attach
kill_server
kill -9 "$(daemon)"
wait_until is_dead && sleep 3 && [ "$(pgrep -cx nbdisk-helper)" = 1 ]
ok "without a server it is tried again"
serve_file "$dir/disk"
old=0
wait_until has_next && put_one && detach
ok "until there is one"
attach
kill_server
kill -9 "$(daemon)"
wait_until is_dead && run nb disconnect "$name"
status_is 0 && wait_until no_helper && nothing_left && no_ublk
ok "what was disconnected meanwhile is left alone"
serve_file "$dir/disk"
attach
exec 8<"$device"
kill -STOP "$(daemon)"
run nb disconnect --force "$name"
exec 8<&-
status_is 0 && wait_until no_helper && nothing_left && no_ublk
ok "a daemon that hangs, and is killed by force: no other one comes"
attach
kill_daemon
run nb connect --device "$name" --fence 2s "$sock"
status_is 1 && is_dead
ok "connect with other settings does not take it over"
attach && has_next && detach
ok "with the same ones it does"

# ---- the past -----------------------------------------------------------------------

put() {
	head -c 4096 /dev/zero | tr '\0' "$1" |
		dd of="$device" bs=4096 oflag=direct conv=notrunc status=none
}
sync_it() { dd if="$device" of="$device" bs=4096 count=0 conv=fsync,notrunc status=none; }
attach
put a && sync_it && kill_daemon && recover && sync_it
ok "all was flushed: the next flush is an ordinary one"
put b && kill_daemon && recover && ! sync_it 2>/dev/null
ok "what was not flushed may be lost: the next flush fails"
sleep 2
put c && sync_it
ok "and those that come later do not"
detach
attach --unflushed ignore
put d && kill_daemon && recover && sync_it
ok "--unflushed ignore: it does not"
detach

# A server carries a write out long after its client was killed: within the fence, or when
# there is a newer one, if that comes first.  It must not: the newer one is to stay.
kill_server
cat >"$dir/late" <<'END'
case $1 in
thread_model) echo parallel ;;
get_size) echo 16M ;;
can_write | can_flush) exit 0 ;;
open) echo h ;;
pread) dd if="$DISK" bs=4k skip=$(($4 / 4096)) count=$(($3 / 4096)) status=none ;;
pwrite)
	cat >"$DISK.$$"
	if [ "$(head -c 1 "$DISK.$$")" = o ] && mkdir "$DISK.late"; then
		late=yes
		end=$(($(date +%s) + 5))
		while [ "$(date +%s)" -lt $end ]; do
			[ "$(head -c 1 "$DISK")" != n ] || break
			sleep 0.1
		done
	fi 2>/dev/null
	dd if="$DISK.$$" of="$DISK" bs=4k seek=$(($4 / 4096)) conv=notrunc status=none
	[ -z "$late" ] || : >"$DISK.landed"
	;;
flush) ;;
*) exit 2 ;;
esac
END
chmod +x "$dir/late"
truncate -s 16M "$dir/slow"
DISK=$dir/slow serve nbdkit -f -U "$sock" --filter=blocksize-policy sh "$dir/late" \
	blocksize-minimum=4k blocksize-maximum=32M
attach --unflushed ignore --fence 15s
put o &
old=$!
wait_until [ -d "$dir/slow.late" ] && kill_daemon && recover && wait $old && put n &&
	wait_until [ -e "$dir/slow.landed" ] && [ "$(head -c 1 "$dir/slow")" = n ]
ok "a server that is late: nothing old lands on what is new"
detach
kill_server
serve_file "$dir/disk"

# ---- several servers -----------------------------------------------------------------------

# The first one carries a write out long after the daemon was killed, and when the device is at
# the second one already.
kill_server
rm -rf "$dir/slow.late" "$dir/slow.landed" && truncate -s 0 "$dir/slow" && truncate -s 16M "$dir/slow"
slow() { # SOCKET
	sock=$1
	DISK=$dir/slow serve nbdkit -f -U "$sock" --filter=blocksize-policy sh "$dir/late" \
		blocksize-minimum=4k blocksize-maximum=32M
}
both() { nb connect --device "$name" --unflushed ignore "$@" "$dir/s1" "$dir/s2" >/dev/null; }
servers() { nb show "$name" | grep -c "^Server $1: $2"; }
slow "$dir/s2" && second=$server && slow "$dir/s1"
both --fence 15s
put o &
writer=$!
wait_until [ -d "$dir/slow.late" ] && rm "$dir/s1" && kill_alone && wait $writer && put n &&
	wait_until [ -e "$dir/slow.landed" ] && [ "$(head -c 1 "$dir/slow")" = n ]
ok "several servers: the next daemon is at another one, and nothing old lands on what is new"
[ "$(servers 1 active)" = 1 ]
ok "and shows it"
kill_alone && [ "$(servers 1 active)" = 1 ] && put p
ok "the next one begins where the one before was"
detach
kill -9 "$second"
kill_server
cat >"$dir/fence" <<'END'
#!/bin/sh
echo "$@" >>"$(dirname "$0")/fenced"
END
chmod +x "$dir/fence"
sock=$dir/s2 && serve_file "$dir/disk" && second=$server && sock=$dir/s1 && serve_file "$dir/disk"
both --fence 1s --fence-command "$dir/fence"
kill_alone && put q && [ ! -e "$dir/fenced" ]
ok "by command: back at the same server, nothing is ended"
kill_server
rm -f "$dir/s1"
kill_alone && put r && [ -s "$dir/fenced" ] && [ "$(servers 1 active)" = 1 ]
ok "at another one, the one before is"
detach
kill -9 "$second"
sock=$dir/s
serve_file "$dir/disk"

# ---- what cannot be ---------------------------------------------------------------------

attach
kill_daemon
kill_server
truncate -s 128M "$dir/small"
serve_file "$dir/small"
run nb recover "$name"
status_is 1 && err_has "another disk" && is_dead && [ -b /dev/ublkb0 ]
ok "a server with a smaller disk: refused, and it waits on"
kill_server
run nb recover "$name"
status_is 1 && is_dead && [ -b /dev/ublkb0 ]
ok "no server: refused, and it waits on"
serve_file "$dir/disk"
recover && put x && [ "$(head -c 1 "$dir/disk")" = x ]
ok "the right one: it goes on"
detach
attach --via fuse
kill_daemon
run nb recover "$name"
status_is 1 && err_has "left no device that can be taken over"
ok "nor does a loop device"
nb disconnect "$name"
no_ublk
ok "nothing is left"
finish
