#!/bin/bash
# recover_test.sh NBDISK WAY [KILLS] - daemons of WAY, ublk or fuse, that are killed, and others
# that take over; of ublk in the machine of vm_test.sh.  KILLS in a row, 50 if not given.
# SPDX-License-Identifier: BSD-2-Clause

. "$(dirname "$0")/../own_mounts.sh"
nbdisk=$(realpath "$1")
way=$2
most=${3:-50}
here=$(realpath "$(dirname "$0")")
tests=$here/..
. "$tests/lib.sh"
. "$tests/device.sh"
. "$tests/outlives.sh"

# A terminal would be told how far things are, in the middle of TAP.
exec 2>>"$dir/stderr"
begin 256M fio
is_dead() { nb status "$name" | grep -q DEAD; }
# Its helper starts the next one; without that nobody does.
kill_alone() {
	old=$(daemon)
	kill -9 "$old"
	wait_until has_next
}
# Before it serves the device it says 0.
has_next() {
	now=$(daemon) && [ -n "$now" ] && [ "$now" != "$old" ] && [ "$(takeovers)" != 0 ]
}
# Nobody starts the next one yet.  Of FUSE the helper has what that needs.
kill_daemon() {
	old=$(daemon) helper=$(helper)
	case $way in
	ublk) kill -9 $helper "$old" ;;
	fuse) kill -STOP $helper && kill -9 "$old" ;;
	esac
	wait_until is_dead
}
go_on() { [ $way = ublk ] || kill -CONT $helper; }
# Else who waits for it would wait for ever.
recover() {
	go_on
	run nb recover "$name"
	{ status_is 0 && out_has "$device"; } ||
		{ [ $way = fuse ] && wait_until has_next; } || {
		sed 's/^/# /' "$dir/err"
		nb disconnect --force "$name"
		return 1
	}
}
refused() {
	run nb recover "$name"
	status_is 1 && err_has "$1"
}
attach() {
	run connect --device "$name" --fence 1s "$@" "$sock"
	status_is 0 && node=$(realpath "$device")
}

printf '#!/bin/sh\n' >"$dir/hook" && chmod +x "$dir/hook"
put_one() { echo x | dd of="$device" bs=4096 conv=sync,notrunc oflag=direct status=none; }
attach
run nb recover "$name"
status_is 1 && err_has "$name: its daemon lives"
ok "a daemon that lives is left alone"
kill_daemon && recover && [ "$(realpath "$device")" = "$node" ] && nb show "$name" |
	grep -q "^Attached: $attached"
ok "a new daemon, the same device"
detach
ok "and it ends as others do"
attach && kill_daemon && rm "$NBDISK_STATE_DIR/$name/unflushed" &&
	mkdir "$NBDISK_STATE_DIR/$name/unflushed"
go_on
run nb recover "$name"
status_is 1 && wait_until is_dead && rm -r "$NBDISK_STATE_DIR/$name/unflushed" && recover && detach
ok "a daemon that fails on the way is no obstacle to the next one"
if [ $way = ublk ]; then
	attach && kill_daemon && detach
	ok "one that is dead, and that nobody uses, is removed"
fi

(cd "$dir" && connect --device "$name" --fence 1s --hook ./hook \
	"nbd+unix:///?socket=${sock##*/}") >/dev/null
node=$(realpath "$device")
kill_daemon && recover && detach
ok "a daemon that was started in another directory, with names from there"

# ---- no error, no wrong byte ----------------------------------------------------------

attach --unflushed ignore
under_verify kill_alone
ok "fio --verify: the daemon is killed again and again, no error, and nobody does a thing"
[ "$(takeovers)" -eq $times ]
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

no_helper() { [ -z "$(helpers)" ]; }
# What it starts is one more, for a moment.
has_one_helper() { [ "$(helpers | wc -l)" = 1 ]; }
is_tried() { ! flock -ns "$NBDISK_STATE_DIR/$name/lock" true; }
kill_alone_unheard() {
	old=$(daemon)
	kill -9 "$old"
	wait_until is_dead && wait_until is_tried
}
attach
kill_alone && run nb recover "$name"
status_is 1 && err_has "its daemon lives" && detach && wait_until no_helper
ok "the next daemon ends as others do, and so do all helpers"
attach
kill_server
kill -9 "$(daemon)"
wait_until is_dead && sleep 3 && wait_until has_one_helper
ok "without a server it is tried again"
serve_file "$dir/disk"
old=0
wait_until has_next && put_one && detach
ok "until there is one"
attach
kill -STOP "$server"
kill_alone_unheard && run nb status --check "$name" && status_is 3 && is_dead
ok "a server that does not answer: while the next one waits for that, it is dead"
kill -CONT "$server"
wait_until has_next && put_one && detach
ok "and lives when it does"
attach
kill_server
kill -9 "$(daemon)"
wait_until is_dead && run nb disconnect "$name"
status_is 0 && wait_until no_helper && nothing_left
ok "what was disconnected meanwhile is left alone"
serve_file "$dir/disk"
attach
exec 8<"$device"
kill -STOP "$(daemon)"
run nb disconnect --force "$name"
exec 8<&-
# The next one, if it was there already, cannot know whether anything was lost.
{ status_is 0 || err_has "may be lost"; } && wait_until no_helper && nothing_left
ok "a daemon that hangs, and is killed by force: no other one comes"
attach
kill_daemon
run connect --device "$name" --fence 2s "$sock"
status_is 1 && is_dead
ok "connect with other settings does not take it over"
go_on
wait_until attach && has_next && detach
ok "with the same ones it does"

# ---- the past -----------------------------------------------------------------------

# kill_with SERVE...: and the server, which SERVE starts again.  The helper cannot start the
# next daemon before that; and no connection of the old one can be asked.
kill_with() {
	old=$(daemon) helper=$(helper)
	kill -STOP $helper && kill -9 "$old"
	kill_server
	"$@"
	kill -CONT $helper
	wait_until has_next
}
reads_it() { dd if="$device" of=/dev/null bs=4096 count=1 iflag=direct status=none; }
attach
put a && sync_it && kill_daemon && recover && sync_it
ok "all was flushed: the next flush is an ordinary one"
put b && kill_alone && sync_it
ok "what was not flushed is asked for where it was written: the next flush is an ordinary one"
put c && kill_with serve_file "$dir/disk" && ! sync_it 2>/dev/null
ok "the server was restarted meanwhile: the next flush fails"
sleep 2
put d && sync_it
ok "and those that come later do not"
put g && nb reconnect "$name" && put h && kill_alone && sync_it
ok "its connection was made anew, in order: the next flush is an ordinary one"
put e && kill_server && serve_file "$dir/disk" && reads_it && kill_alone && ! sync_it 2>/dev/null
ok "it was restarted before, and nobody was told yet: the next flush fails"
sleep 2
if [ $way = ublk ]; then
	put f && kill_daemon && recover && ! sync_it 2>/dev/null
	ok "nobody has the connections: what was not flushed may be lost, and the next flush fails"
fi
detach
attach --unflushed ignore
put d && kill_daemon && recover && sync_it
ok "--unflushed ignore: it does not"
detach

# ---- large writes: always one under way -----------------------------------------------------

# One that is killed before a flush cannot be asked for the one before it.
kill_amid() { # KILLS
	fio_until_enough --name=large --rw=randwrite --bs=1M --iodepth=8 --size=256M \
		--fdatasync=16 &
	fio=$!
	for times in $(seq "$1"); do
		wait_until busy && kill_alone && sync_it || break
		times=done
	done
	touch "$dir/enough"
	wait $fio && [ $times = done ]
}
serve_tcp() { # OPTION...
	free_port
	qemu-nbd -t -e 8 -f raw -b 127.0.0.1 -p "$port" "$@" "$dir/disk" \
		>>"$dir/server.log" 2>&1 &
	server=$!
	pids="$pids $server"
	wait_until listens "$port"
}
attach && kill_amid 5
ok "daemons are killed amid writes of 1 MiB, over one connection: no flush fails"
detach
kill_server
serve_tcp
run connect --device "$name" --fence 1s "nbd://127.0.0.1:$port"
status_is 0 && kill_amid 5
ok "over TCP as well"
detach
kill_server
serve_file "$dir/disk"

# ---- replay -----------------------------------------------------------------------------

# What the server forgets that is killed before a flush; the disk has what was flushed.
caching() { TMPDIR=$dir serve nbdkit -f -U "$sock" --filter=cache file "$dir/cached"; }
has() { [ "$(dd if="$dir/cached" bs=4096 skip="$1" count=1 status=none | head -c 1)" = "$2" ]; }
put_at() {
	head -c 4096 /dev/zero | tr '\0' "$2" |
		dd of="$device" bs=4096 seek="$1" oflag=direct conv=notrunc status=none
}
if have nbdkit; then
	kill_server
	truncate -s 16M "$dir/cached"
	caching
	attach --unflushed replay
	put_at 1 a && put_at 2 b && put_at 1 c && ! has 1 c && kill_with caching && ! has 1 c && sync_it
	ok "replay: the server has forgotten what the dead daemon wrote: no flush fails"
	has 1 c && has 2 b
	ok "and all of it is there"
	put_at 3 d && put_at 2 e && kill_alone && put_at 4 f && kill_with caching && sync_it &&
		has 2 e && has 3 d && has 4 f
	ok "the next one dies, too, and the one after that: all of it is there"
	put_at 5 g && kill_alone && kill_alone && sync_it && has 5 g
	ok "twice at once"
	if [ $way = ublk ]; then
		put_at 6 h && kill_daemon && recover && ! sync_it 2>/dev/null
		ok "nobody has what was kept: the next flush fails"
		sleep 2
	fi
	detach
	kill_server
	serve_file "$dir/disk"
fi

# ---- TLS in the daemon: the session goes on without it -------------------------------------

find_server_keys
tls="--tls-creds tls --object tls-creds-x509,id=tls,endpoint=server,verify-peer=no,dir=$pki"
serve_tls() { serve qemu-nbd -t -e 8 -f raw -k "$sock" $tls "$dir/disk"; }
attach_tls() {
	run connect --device "$name" --fence 1s "$@" \
		"nbds+unix:///?socket=$sock&tls-verify-peer=false"
	status_is 0
}
kill_server
serve_tls
attach_tls && put k && kill_alone && sync_it && put l && reads_it && kill_alone && sync_it
ok "over TLS: what was not flushed is asked for in the dead daemon's session"
put m && kill_with serve_tls && ! sync_it 2>/dev/null
ok "over TLS: the server was restarted meanwhile: the next flush fails"
sleep 2
detach
attach_tls --unflushed replay && put i && kill_alone && sync_it && put j && kill_alone && sync_it
ok "replay over TLS: no flush fails"
under_verify kill_alone
ok "replay over TLS: fio --verify with fdatasync, 5 daemons are killed: no error"
detach
kill_server
serve_tcp $tls
run connect --device "$name" --fence 1s "nbds://127.0.0.1:$port/?tls-verify-peer=false"
status_is 0 && kill_amid 15	# where commands went in pieces, some found half of one
ok "daemons are killed amid writes of 1 MiB, over TLS and TCP: no flush fails"
detach
kill_server
serve_file "$dir/disk"

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
writer=$!
wait_until [ -d "$dir/slow.late" ] && kill_daemon && recover && wait $writer && put n &&
	wait_until [ -e "$dir/slow.landed" ] && [ "$(head -c 1 "$dir/slow")" = n ]
ok "a server that is late: nothing old lands on what is new"
detach
kill_server
serve_file "$dir/disk"

if [ $way = ublk ]; then	# these are the same for both

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
both() { connect --device "$name" --unflushed ignore "$@" "$dir/s1" "$dir/s2" >/dev/null; }
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

fi

# ---- what cannot be ---------------------------------------------------------------------

attach
kill_daemon
kill_server
truncate -s 128M "$dir/small"
serve_file "$dir/small"
go_on
wait_until refused "another disk" && is_dead && [ -b "$node" ]
ok "a server with a smaller disk: refused, and it waits on"
kill_server
wait_until refused "$dir/s" && is_dead && [ -b "$node" ]
ok "no server: refused, and it waits on"
serve_file "$dir/disk"
recover && put x && [ "$(head -c 1 "$dir/disk")" = x ]
ok "the right one: it goes on"
detach

if [ $way = ublk ]; then
	finish
fi
attach
kill_daemon
kill_server
truncate -s 320M "$dir/large"
serve_file "$dir/large"
has_size() { [ "$(blockdev --getsize64 "$device")" = "$1" ]; }
recover && wait_until has_size 335544320
ok "a disk that has grown meanwhile: so does the device"
detach
kill_server
serve_file "$dir/disk"

# ---- again and again ------------------------------------------------------------------

# One that is followed at once by hand: the helper would wait longer each time.
kill_once() {
	wait_until busy || return
	old=$(daemon)
	kill -9 "$old"
	wait_until is_dead
	nb recover "$name" >/dev/null
	wait_until has_next
}
attach --unflushed ignore --fence 200ms
fio --name=load --filename="$device" --rw=randrw --bsrange=4k-256k --iodepth=32 \
	--ioengine=libaio --direct=1 --offset=32M --size=96M --verify=crc32c --verify_fatal=1 \
	--verify_state_save=0 --time_based --runtime=36000 --verify_backlog=64 --fdatasync=100 \
	--output="$dir/fio" >"$dir/fio.log" 2>&1 &
fio=$!
writer=
if have python3; then
	python3 "$here/fsync_writer.py" write "$device" "$dir/record" 2>"$dir/writer.log" &
	writer=$!
	wait_until [ -s "$dir/record" ]
fi
kills=0
while [ $kills -lt $most ] && kill -0 $fio $writer; do
	kill_once || break
	kills=$((kills + 1))
done
kill -0 $fio $writer && [ "$(takeovers)" = $most ]
ok "$most daemons are killed under load, and nobody gets an error"
kill -INT $fio
wait $fio
! grep -i "verify:\|error=\|crc32c: " "$dir/fio.log" "$dir/fio"
ok "no byte is wrong"
if [ -n "$writer" ]; then
	kill $writer
	wait $writer
fi
detach
ok "the last one ends in order"
if [ -n "$writer" ]; then
	run python3 "$here/fsync_writer.py" check "$dir/disk" "$dir/record"
	status_is 0 && echo "# $(cat "$dir/out") blocks were noted"
	ok "what fsync promised is there"
fi

# ---- the helper, too -------------------------------------------------------------------

attach
mkfs.ext4 -q "$device" && mount "$device" "$mnt"
dd if=/dev/urandom of="$mnt/file" bs=64k oflag=direct 2>"$dir/writer.log" &
writer=$!
wait_until busy
kill -9 "$(helper)" "$(daemon)"
ended() { ! kill -0 $writer; }
wait_until ended && wait_until is_dead
run nb recover "$name"
status_is 1 && err_has "left no device that can be taken over"
ok "killed with its helper: who writes gets an error, and nobody takes over"
umount "$mnt"
detach
ok "and nothing is left"
# The helper waits for the file system when it detaches, and no signal ends that.
attach
daemon=$(daemon) helper=$(helper)
kill -STOP "$server"
echo x | dd of="$device" bs=4096 conv=sync,notrunc status=none
nb disconnect "$name" &
disconnect=$!
waits() { grep -q "^State:.D" "/proc/$helper/status"; }
gone() { ! grep -qs "^State:.[^Z]" "/proc/$helper/status"; }
wait_until waits && kill -9 $helper $daemon && wait_until gone
ok "killed while the helper waits for the file system: it ends all the same"
kill -CONT "$server"
wait $disconnect
[ ! -e "$NBDISK_STATE_DIR/$name" ] || nb disconnect "$name"
nothing_left
ok "and nothing is left"
attach
kill -9 "$(helper)"
no_more() { nb show "$name" | grep -qx "OutlivesDaemon: no"; }
wait_until no_more && put y && run nb upgrade "$name"
status_is 1 && err_has "ends with its daemon" && put z
ok "without its helper it does not outlive the daemon, and show says so"
exec 9<"$device"
run nb disconnect "$name"
exec 9<&-
status_is 1 && err_has "it is in use" && put zz && run nb disconnect "$name"
status_is 0 && [ ! -s "$dir/err" ] && nothing_left
ok "and it ends in order, once nobody uses it"
attach
kill -9 "$(helper)"
wait_until no_more && nb disconnect --force "$name"
nothing_left
ok "or by force"
finish
