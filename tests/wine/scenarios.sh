# scenarios.sh - what wnbd.sys must do; part of wine_test.sh.
# SPDX-License-Identifier: BSD-2-Clause

# ---- options -----------------------------------------------------------------

drive "options" "set StaleReqTimeoutMs 1234" "get staleREQtimeoutMS" \
	"set NewMappingsAllowed false persistent" "get NewMappingsAllowed" \
	"get NewMappingsAllowed persistent" "options persistent" "! map foo port=1" \
	"reset-option NewMappingsAllowed persistent" "get NewMappingsAllowed" \
	"! get NewMappingsAllowed persistent" "! get Nonsense" "! set LogLevel 9" \
	"! set DbgPrintEnabled maybe" "! set MaxIOReqPerLun 1025" \
	"reset-option StaleReqTimeoutMs" "get StaleReqTimeoutMs"
status_is 0 && out_has "option LogLevel 3 default 1" &&
	out_has "option StaleConnTimeoutMs 60000 default 60000" &&
	out_has "option MaxIOReqPerAdapter 1000 default 1000" &&
	[ "$(grep -c '^option' "$dir/out")" -eq 12 ] &&
	out_has "staleREQtimeoutMS 1234" && out_has "error 2: ! get Nonsense" &&
	out_has "error 87: ! set LogLevel 9" && out_has "StaleReqTimeoutMs 15000" &&
	out_has "option NewMappingsAllowed false default true" &&
	out_has "NewMappingsAllowed true"
ok "options: table, ranges, persistence"

# Every ioctl, with every length that is too short.
set --
for code in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 99; do
	set -- "$@" "! raw $code 3 0"
	case $code in 1 | 8 | 6 | 9 | 14) ;; *) set -- "$@" "! raw $code 16 4096" ;; esac
	case $code in 1 | 8) ;; *) set -- "$@" "! raw $code 4096 0" "! raw $code 4096 7" ;; esac
done
drive "$@" "raw 1 4 0" "raw 6 4 8" "raw 14 40 8" "! raw 14 39 4096" "! raw 2 1408 2032"
status_is 0
ok "ioctls that are too short, or empty, are refused"

# ---- SCSI --------------------------------------------------------------------

truncate -s 16M "$dir/disk"
serve --filter=log file "$dir/disk" logfile="$dir/log.nbd"
drive "map foo port=$port" "scsi foo 120000006000 in=96" "scsi foo 12010000ff00 in=255" \
	"scsi foo 120180 in=64" "scsi foo 12018000ff00 in=255" "scsi foo 1201b000ff00 in=255" \
	"scsi foo 9e1000000000000000000000002000 00 in=32" \
	"scsi foo 9e100000000000000000000000200000 in=32" "scsi foo 25000000000000000000 in=8" \
	"scsi foo 1a0008001400 in=20" "scsi foo ff0000000000" \
	"scsi foo 28000000800000000100 in=512" "scsi foo a00000000000000000400000 in=64"
status_is 0 && grep -q "^scsi 00 sense .* data 0000060[0-9a-f]*574e424420202020574e42445f4449534b" "$dir/out" &&
	out_has "scsi 00 sense 0/00/00 data 00000006008083b0b1b2" &&
	out_has "scsi 00 sense 0/00/00 data 00800003666f6f" &&
	out_has "scsi 02 sense 5/20/00 data " && out_has "scsi 02 sense 5/21/00 data "
ok "INQUIRY, VPD pages, capacity, modes, refusals"
drive "scsi foo 000000000000 sense=0" "scsi foo ff0000000000 sense=0"
status_is 0 && out_has "scsi 00 sense 0/00/00 data " && out_has "scsi 02 sense 0/00/00 data "
ok "pass-through without room for sense data"

drive "scsi foo 2a08000000000000010000 zero=512" "scsi foo 35000000000000000000" \
	"scsi foo 4200000000000000280000 out=00260020000000000000000000000100000000080000000000000000000004000000001000000000" \
	"scsi foo 9308000000000000200000000100000000 zero=512"
status_is 0 && [ "$(grep -c '^scsi 00' "$dir/out")" -eq 4 ]
ok "FUA, flush, unmap with two descriptors, write same"
grep -q "Write .*offset=0x0 count=0x200 fua=1" "$dir/log.nbd" &&
	grep -q "Flush" "$dir/log.nbd" &&
	grep -q "Trim .*offset=0x20000 count=0x1000" "$dir/log.nbd" &&
	grep -q "Trim .*offset=0x80000 count=0x2000" "$dir/log.nbd" &&
	grep -q "Zero .*offset=0x400000 count=0x20000" "$dir/log.nbd"
ok "the server has seen them"
[ "$tests_failed" -eq 0 ] || sed 's/^/# /' "$dir/log.nbd" | tail -20
drive "srb function=0x25 action=9" "srb function=0x24" "srb function=7" "srb function=8" \
	"srb function=2" "srb function=0x13 target=1" "srb function=0x20 target=1" "srb function=0x20 target=99" \
	"srb function=0x99"
status_is 0 && out_has "srb 25 status 1 capabilities 0" && out_has "srb 24 status 1 capabilities 0" &&
	out_has "srb 2 status 6 capabilities 0" && out_has "srb 99 status 6 capabilities 0" &&
	out_has "srb 20 status 8 capabilities 0"
ok "SRBs: PnP, power, shutdown, flush, resets"
drive "unmap foo"
stop "$pid"

# ---- sizes -------------------------------------------------------------------

truncate -s 3T "$dir/sparse"
serve --filter=blocksize-policy file "$dir/sparse" blocksize-minimum=4096 \
	blocksize-preferred=4096 blocksize-maximum=64K
drive "map big port=$port" "write big offset=3298534817792 length=65536 seed=3" \
	"check big offset=3298534817792 length=65536 seed=3" \
	"write big offset=2199023190016 length=262144 piece=262144 seed=4" \
	"check big offset=2199023190016 length=262144 piece=4096 seed=4" "list" \
	"! write big offset=0 length=512 piece=512" "unmap big"
status_is 0 && out_has "mapped big: 805306368 blocks of 4096 bytes"
ok "3 TiB of 4096-byte sectors, the server's limits obeyed"
stop "$pid"
rm -f "$dir/sparse"

# ---- several disks, several connections --------------------------------------

serve memory 64M
set --
for i in 1 2 3 4 5 6; do
	set -- "$@" "map d$i port=$port connections=4"
done
drive "$@" "list" "write d1 depth=64 piece=65536 seed=5" "check d6 depth=64 seed=5" \
	"flush d3" "unmap d4" "map d4 port=$port" "check d4 length=1048576 seed=5" "list"
status_is 0 && out_has "disks 6" && grep -q "disk d4 .* target 9 " "$dir/out"
ok "six disks with four connections each; a target is not used again at once"
drive "unmap d1" "unmap d2" "unmap d3" "unmap d4" "unmap d5" "unmap d6" "list"
status_is 0 && out_has "disks 0"
ok "all are unmapped"
stop "$pid"

if listens "$port"; then port=$((port + 1)); fi
if [ -e /proc/net/if_inet6 ] && grep -q " lo$" /proc/net/if_inet6; then
	address=::1 start nbdkit -f -i ::1 -p "$port" memory 1M
	sleep 0.5
	drive "map six host=::1 port=$port" "write six seed=2" "check six seed=2" "unmap six"
	status_is 0
	ok "IPv6"
	stop "$pid"
else
	skip "IPv6" "this machine has none"
fi
serve memory 1M
drive "map name host=localhost port=$port" "write name" "check name" "unmap name" \
	"! map nobody host=no-such-host.invalid port=$port"
status_is 0
ok "a name is resolved; an unknown one is an error"
stop "$pid"
drive "! map nobody port=$port" "list"
status_is 0 && out_has "error 1225: ! map nobody port=$port" && out_has "disks 0"
ok "nobody listens"
serve --filter=exportname memory 1M exportname=good exportname-strict=true
drive "! map bad port=$port export=bad" "map good port=$port export=good" "unmap good"
status_is 0 && said "the server has no export of this name"
ok "an unknown export"
stop "$pid"
serve -r memory 1M
drive "map ro port=$port" "! write ro" "read ro file=$(wine_path "$dir/back")" "unmap ro"
status_is 0 && out_has "error 19: ! write ro"
ok "a read-only export"
stop "$pid"
serve --filter=error memory 1M error-pread=EIO error-pread-rate=100% error-pwrite=ENOSPC \
	error-pwrite-rate=100%
drive "map sick port=$port" "scsi sick 28000000000000000100 in=512" \
	"scsi sick 2a000000000000000100 zero=512" "unmap sick"
status_is 0 && out_has "scsi 02 sense 3/11/00 data " && out_has "scsi 02 sense 7/27/07 data "
ok "what the server refuses is sense data"
stop "$pid"

# ---- servers that fail -------------------------------------------------------

ups() {
	grep -c "connection 0 is up" "$rig_log"
}
slow_server() {
	timeout 60 nbdkit -P "$dir/nbdkit.pid" -i 127.0.0.1 -p "$port" --filter=delay \
		file "$dir/disk" delay-write=5ms
}
truncate -s 32M "$dir/disk"
free_port
slow_server
before=$(ups)
drive "map foo port=$port"
(
	for i in 1 2 3; do
		touch "$dir/mark"
		wait_until test "$dir/disk" -nt "$dir/mark"	# it is being written to
		kill -9 "$(cat "$dir/nbdkit.pid")"
		sleep 0.3
		slow_server
	done
) &
killer=$!
drive "write foo seed=9 depth=4 piece=16384" \
	"write foo seed=10 depth=8 piece=65536" "check foo seed=10" "stats foo"
result=$status
wait "$killer"
[ "$result" -eq 0 ] && [ $(($(ups) - before)) -gt 3 ]
ok "a server that is killed three times loses no request"
drive "check foo seed=10" "unmap foo"
status_is 0
ok "and the contents are right"
kill "$(cat "$dir/nbdkit.pid")"

resets() {
	timeout 600 "$wine" "$build/tests/wine/driver_test.exe" report | grep -o "resets [0-9]*"
}
were_reset() {
	now=$(resets) && [ "$now" != "$before" ]
}
serve file "$dir/disk"
drive "map foo port=$port" "port timeout 2" "check foo seed=10 length=1048576"
before=$(resets)
kill -STOP "$(pgrep -P "$pid" nbdkit)"
(wait_until were_reset; kill -CONT "$(pgrep -P "$pid" nbdkit)") &
drive "check foo seed=10 depth=16" "port timeout 30" "report" "stats foo" "unmap foo"
status_is 0 && grep -Eq "resets [1-9]" "$dir/out" && grep -Eq "retries [1-9]" "$dir/out"
ok "a server that hangs: resets, aborts, retries; the data is right"
stop "$pid"

# ---- removal under load ------------------------------------------------------

serve --filter=delay memory 64M rdelay=300ms
drive "map foo port=$port connections=4"
(
	timeout 600 "$wine" "$build/tests/wine/driver_test.exe" "! read foo depth=64" \
		>/dev/null 2>&1 && touch "$dir/failed"
) &
loader=$!
wait_until busy foo && drive "unmap foo" "list" && status_is 0 && out_has "disks 0"
ok "hard removal under load"
wait "$loader"
[ -f "$dir/failed" ]
ok "what was under way has failed"
stop "$pid"
free_port
start python3 -c "import socket, time
s = socket.create_server(('127.0.0.1', $port))
c = s.accept()
time.sleep(20)"
sleep 0.5
timeout 600 "$wine" "$build/tests/wine/driver_test.exe" "! map slow port=$port" \
	>"$dir/slow.out" 2>&1 &
slow=$!
sleep 0.7
drive "unmap slow" "list"
status_is 0 && out_has "disks 0"
ok "removal of a disk that is not up yet: its server says nothing"
# Wine does not always deliver the end of the CREATE: then it fails with the server.
wait "$slow"
ok "and the mapping fails"
stop "$pid"

# ---- Plug and Play -----------------------------------------------------------

serve memory 4M
drive "map foo port=$port" "write foo seed=3" "adapter restart" "list" "check foo seed=3"
status_is 0 && out_has "disks 1"
ok "an adapter that is stopped and started again keeps its disks"
drive "adapter reset" "check foo seed=3"
status_is 0
ok "a reset of the bus"
drive "list"
target=$(sed -n 's/^disk foo .* target \([0-9]*\) .*/\1/p' "$dir/out")
drive "srb function=0x25 action=2 target=99" "list" "srb function=0x25 action=2 target=$target"
status_is 0 && out_has "disks 1" && wait_until fresh
ok "a disk that Plug and Play removes is not mapped any more"
stop "$pid"
# Its last flush takes a while, so that the removal does.
serve eval get_size='echo 4M' pread='head -c $3 /dev/zero' pwrite='cat >/dev/null' \
	can_write='exit 0' can_flush='exit 0' flush='sleep 3'
drive "map foo port=$port" "write foo length=65536"
timeout 600 "$wine" "$build/tests/wine/driver_test.exe" "! unmap foo" >"$dir/slow.out" 2>&1 &
slow=$!
cancelled() {
	drive "adapter cancel-removal" && status_is 0
}
wait_until cancelled && drive "list" && out_has "disks 1" && wait_until fresh
ok "the end of a program that waits for a removal does not end the removal"
wait "$slow"
stop "$pid"

# ---- a disk that changes -----------------------------------------------------

rm -f "$dir/disk"
truncate -s 4M "$dir/disk"
is_gone() {
	! kill -0 "$1" 2>/dev/null
}
restart() {
	if [ -s "$dir/nbdkit.pid" ]; then
		kill -9 "$(cat "$dir/nbdkit.pid")"
		wait_until is_gone "$(cat "$dir/nbdkit.pid")"
	fi
	timeout 60 nbdkit -P "$dir/nbdkit.pid" -i 127.0.0.1 -p "$port" file "$dir/disk"
}
: >"$dir/nbdkit.pid"
free_port
restart
drive "map foo port=$port" "write foo seed=4 length=65536"
truncate -s 8M "$dir/disk"
restart
drive "check foo seed=4 length=65536" "sleep 500" "list" "write foo seed=4 offset=6291456 length=65536"
status_is 0 && grep -q "size 8388608" "$dir/out"
ok "a server that grew: the disk grows"
truncate -s 2M "$dir/disk"
restart
wait_until said "is refused: the export is smaller than the device"
ok "a server that shrank is refused"
truncate -s 8M "$dir/disk"
restart
drive "check foo seed=4 length=65536" "unmap foo"
status_is 0
ok "and taken again when it is as it was"
kill "$(cat "$dir/nbdkit.pid")"

# A server without a handshake.
free_port
start python3 "$root/tests/wine/bare_server.py" "$port"
wait_until listens "$port"
drive "! map bare port=$port skip=1 sector=512" \
	"map bare port=$port skip=1 sector=512 blocks=2048" "write bare seed=6" \
	"check bare seed=6 depth=16 piece=4096" "unmap bare"
status_is 0 && out_has "error 87: ! map bare port=$port skip=1 sector=512"
ok "without negotiation"
stop "$pid"

# ---- without memory ----------------------------------------------------------

truncate -s 16M "$dir/disk"
serve file "$dir/disk"
drive "map foo port=$port connections=2" "port fail 7" "write foo seed=11 depth=16" \
	"check foo seed=11 depth=16" "port fail 0" "unmap foo" "report"
status_is 0 && grep -Eq "failed [1-9][0-9]* " "$dir/out"
ok "every seventh allocation fails: all requests succeed in the end"
set --
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
	set -- "$@" "port fail $n" "try map foo port=$port" "try write foo length=65536" \
		"port fail 0" "try unmap foo"
done
drive "$@" "list" "map foo port=$port" "write foo" "check foo" "unmap foo"
status_is 0 && out_has "disks 0" && grep -q "^error" "$dir/out"
ok "an allocation fails at each place of a mapping's life: an error, and no harm"
stop "$pid"

# ---- a process that serves ---------------------------------------------------

daemon() {
	: >"$dir/daemon.out"
	timeout 600 "$wine" "$build/tests/wine/driver_test.exe" "daemon $*" \
		>>"$dir/daemon.out" 2>&1 &
	daemon=$!
	pids="$pids $daemon"
	wait_until grep -q serving "$dir/daemon.out"
}
daemon u
drive "write u depth=32 length=16777216" "check u depth=32 length=16777216" "flush u" \
	"scsi u 2a080000000000000100 zero=512" \
	"scsi u 42000000000000002800 out=00260020000000000000000000000100000000080000000000000000000004000000001000000000" \
	"scsi u 5e000000000000000800 in=8" "scsi u 5f000500000000000800 out=0700000000000000" \
	"scsi u 93080000000000002000000001000000 zero=512" "stats u" "unmap u" "list"
wait "$daemon"
status_is 0 && out_has "scsi 00 sense 0/00/00 data 5a5a5a5a5a5a5a5a" &&
	out_has "scsi 02 sense 5/20/00 data " && out_has "disks 0" &&
	tr -d '\r' <"$dir/daemon.out" | grep -q "^served [0-9]* flushes 1 unmaps 1 fua 1 in 1 out 12$"
ok "each type of request reaches the process"
[ "$tests_failed" -eq 0 ] || sed 's/^/# daemon: /' "$dir/daemon.out"
awk '/^stats/ { exit !($3 > 500 && $3 == $5 && $5 == $7 && $17 == 0) }' "$dir/out"
ok "its counters add up"
daemon u sector=4096 mode=slow
drive "write u depth=32 length=4194304" "check u depth=32 length=4194304" "unmap u"
status_is 0
ok "slow answers, 4096-byte sectors"
wait "$daemon"
daemon u mode=small
drive "write u length=1048576" "check u length=1048576" "unmap u"
status_is 0
ok "a buffer that is too small is refused, and the request given to the next"
wait "$daemon"
daemon u mode=short
drive "write u length=65536" "scsi u 28000000000000000100 in=512" "unmap u"
status_is 0 && grep -Eq '^scsi 00 sense 0/00/00 data [0-9a-f]{16}0{496}$' "$dir/out" &&
	! grep -Eq "data 0{16}" "$dir/out"
ok "an answer shorter than the read: the rest is zeroes"
wait "$daemon"
daemon u mode=errors
drive "scsi u 28000000000000000100 in=512" "! write u length=65536" "flush u" "unmap u"
status_is 0 && out_has "scsi 02 sense 3/11/00 data "
ok "its errors are sense data"
wait "$daemon"
daemon u
drive "resize u 262144" "sleep 300" "list" "! resize u 0" "unmap u" "! resize u 5"
status_is 0 && grep -q "disk u .* size 134217728" "$dir/out" && out_has "error 6: ! resize u 5"
ok "resized while in use"
wait "$daemon"
daemon u mode=die
drive "! write u depth=32 length=16777216" "list"
status_is 0 && wait_until said "u: process"
drive "list"
out_has "disks 0"
ok "the process is killed: its disk goes, and nobody waits"
wait "$daemon"
daemon u mode=deaf
drive "port timeout 2" "set StaleReqTimeoutMs 100" "set StaleConnTimeoutMs 500" \
	"write u length=65536 depth=1" "! check u length=65536 depth=1" "port timeout 30" \
	"reset-option StaleReqTimeoutMs" "reset-option StaleConnTimeoutMs"
status_is 0 && wait_until fresh
ok "a process that does not answer any more is stale: its disk goes"
wait "$daemon"
daemon u mode=hostile
drive "! fetch u" "! raw 4 128 128" "read u length=65536 piece=4096 depth=1" "write u" \
	"check u" "unmap u"
status_is 0 && out_has "error 5: ! fetch u" && out_has "error 87: ! raw 4 128 128"
ok "another process's fetch is refused, and one without a buffer"
wait "$daemon"
said_daemon() {
	tr -d '\r' <"$dir/daemon.out" | grep -qx "$1"
}
said_daemon "bad-pointer 998" && said_daemon "kernel-pointer 998" &&
	said_daemon "long-buffer 998" && said_daemon "wrong-id 6" &&
	said_daemon "no-such-handle 1168" && said_daemon "huge-handle 1168" &&
	said_daemon "wrong-type 87" && said_daemon "bad-data 998" &&
	said_daemon "short-data 0" && said_daemon "second-answer 1168"
ok "a process that says what nobody should is refused, each time with its error"
[ "$tests_failed" -eq 0 ] || sed 's/^/# daemon: /' "$dir/daemon.out"
daemon u mode=slow
(
	timeout 600 "$wine" "$build/tests/wine/driver_test.exe" "! write u depth=64" \
		>/dev/null 2>&1 && touch "$dir/failed too"
) &
loader=$!
wait_until busy u && drive "unmap u" "list" && status_is 0 && out_has "disks 0"
ok "hard removal of a process's disk under load"
wait "$loader"
[ -f "$dir/failed too" ] && wait "$daemon"
ok "requests fail, and the process is told"
