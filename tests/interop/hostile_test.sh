#!/bin/bash
# hostile_test.sh NBDISK PROBE - servers that lie, over real sockets.
# SPDX-License-Identifier: BSD-2-Clause
#
# The table below says, for each lie of liar.py, how it is listened to, with which
# status that ends, and what is said.  Each ends in seconds, in bounded memory, with
# nothing left running; then the server turns honest, and can be used.  disk_probe
# compares all data, so a lie that was believed shows.  Some lies are told to a device
# on this machine too, and all of its data is compared.

nbdisk=$1
probe=$2
here=$(dirname "$0")
. "$here/../lib.sh"

for tool in python3 openssl certtool; do
	if ! have $tool; then
		echo "1..0 # SKIP $tool is not installed"
		exit 0
	fi
done

memory=400000			# KiB of address space
seconds=30			# for one session
at_once=6
# A sanitizer reserves terabytes and is slow.
if grep -q __asan_init "$probe"; then
	memory=unlimited
	seconds=60
fi

# ---- certificates --------------------------------------------------------------

tls=$dir/tls
mkdir "$tls"
authority() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
		-subj "/CN=$2" -addext "subjectAltName=DNS:$2" \
		-keyout "$tls/$1.key" -out "$tls/$1.crt" 2>/dev/null
	cat "$tls/$1.key" "$tls/$1.crt" >"$tls/$1.pem"
}
# certificate NAME HOST AUTHORITY DAYS [CA:true]
certificate() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" \
		-keyout "$tls/$1.key" -out "$tls/$1.csr" 2>/dev/null
	printf '%s\n' "subjectAltName=DNS:$2" "basicConstraints=${5-CA:false}" \
		>"$tls/extensions"
	openssl x509 -req -in "$tls/$1.csr" -CA "$tls/$3.crt" -CAkey "$tls/$3.key" \
		-CAcreateserial -extfile "$tls/extensions" -days "$4" \
		-out "$tls/$1.crt" 2>/dev/null
	cat "$tls/$1.key" "$tls/$1.crt" >"$tls/$1.pem"
}
authority authority authority
authority stranger stranger
authority self-signed localhost
cp "$tls/authority.crt" "$tls/ca-cert.pem"
certificate good localhost authority 2
certificate expired localhost authority 2
# OpenSSL 3.5 makes none of the past.
printf '%s\n' 'cn = localhost' 'dns_name = localhost' \
	'activation_date = "2001-01-01 00:00:00"' \
	'expiration_date = "2002-01-01 00:00:00"' >"$tls/expired.cfg"
certtool --generate-certificate --load-privkey "$tls/expired.key" \
	--load-ca-certificate "$tls/authority.crt" --load-ca-privkey "$tls/authority.key" \
	--template "$tls/expired.cfg" --outfile "$tls/expired.crt" 2>/dev/null
cat "$tls/expired.key" "$tls/expired.crt" >"$tls/expired.pem"
certificate other-name other.example authority 2
certificate other-authority localhost stranger 2
certificate revoked localhost authority 2
certificate middle middle authority 2 CA:true
certificate revoked-authority localhost middle 2
cat "$tls/middle.crt" >>"$tls/revoked-authority.pem"
crl "$tls/middle.crl" "$tls/middle" now
cat "$tls/revoked.crt" "$tls/middle.crt" >"$tls/taken-back"
crl "$tls/authority.crl" "$tls/authority" now "$tls/taken-back"
cat "$tls/authority.crl" "$tls/middle.crl" >"$tls/ca-crl.pem"

# ---- one session -----------------------------------------------------------------

# guarded COMMAND...: its status; output and errors in $lie.out and $lie.err
guarded() (
	ulimit -v $memory
	timeout $seconds "$@" >"$lie.out" 2>"$lie.err"
)

# attach_then COMMAND URI [OPTION...]: to $device, in the foreground; what waits for it
# in $daemon.  COMMAND is run meanwhile.  Fails when there is no device.
attach_then() {
	local meanwhile=$1
	shift
	(
		ulimit -v $memory
		exec timeout $((seconds * 3)) "$nbdisk" connect --foreground \
			--device "$device" --timeout 1s --fence 200ms \
			--unflushed replay "$@"
	) >"$lie.out" 2>"$lie.err" &
	daemon=$!
	attached_or_dead() {
		[ -s "$lie.out" ] || ! kill -0 $daemon 2>/dev/null
	}
	$meanwhile && wait_until attached_or_dead && [ -s "$lie.out" ] && return
	wait $daemon
}
attach() {
	attach_then true "$@"
}
detach() {
	timeout $seconds "$nbdisk" disconnect "$@" "$device" >>"$lie.out" 2>>"$lie.err" &&
		wait $daemon
}
copy() {
	timeout $((seconds * 2)) dd status=none bs=16k "$@" 2>>"$lie.err"
}
# All of a device is written and compared, whatever was told meanwhile.
use_device() {
	attach --dead-timeout 10s "$@" || return
	copy if="$dir/data" of="/dev/nbdisk/$device" oflag=direct conv=fsync &&
		copy if="/dev/nbdisk/$device" iflag=direct | cmp - "$dir/data" &&
		detach
}
# Nobody answers: a request fails after the dead-timeout, the next ones at once (the
# kernel looks for partitions first), and none keeps anybody from leaving.
use_dead_device() {
	attach --dead-timeout 300ms "$@" || return
	! copy if="/dev/nbdisk/$device" of=/dev/null count=1 iflag=direct && detach --force
}
# Nobody answers, and the kernel's first request waits as it was told to, until the
# server is honest.
use_waiting_device() {
	attach_then turn_honest --dead-timeout never "$@" || return
	copy if="/dev/nbdisk/$device" iflag=direct | cmp -n 1048576 - /dev/zero && detach
}
turn_honest() {
	wait_until grep -q "is closed" "$lie.err" && [ ! -s "$lie.out" ] &&
		kill -USR1 "$server"
}

# listen HOW: as the table says
listen() {
	local uri="nbd+unix:///?socket=$lie.sock"
	local uris="nbds+unix:///?socket=$lie.sock&tls-hostname=localhost"
	local load_s=0.1

	# The lie is told when the first connection has ended.
	case $lie in *-again-*) load_s=2 ;; esac
	uris="$uris&tls-certificates=$tls"
	case $1 in
	info) guarded "$nbdisk" info "$uri" ;;
	hasty-info) guarded "$nbdisk" info --open-timeout 1500ms "$uri" ;;
	list) guarded "$nbdisk" exports --open-timeout 25s "$uri" ;;
	tls) guarded "$nbdisk" info "$uris" ;;
	hasty-tls) guarded "$nbdisk" info --open-timeout 1500ms "$uris" ;;
	device) use_device "$uri" ;;
	device-tls) use_device "$uris" ;;
	dead-device) use_dead_device "$uri" ;;
	waiting-device) use_waiting_device "$uri" ;;
	no-device) use_device --open-timeout 30s "$uri" ;;
	no-device-tls) use_device --open-timeout 30s "$uris" ;;
	hasty-no-device) use_device --open-timeout 1500ms "$uri" ;;
	disk) guarded "$probe" "$uri" 1 8 4096 $load_s verify replay 1 5 ;;
	pair) guarded "$probe" "$uri" 2 8 4096 0.1 verify replay 1 5 ;;
	disk-tls) guarded "$probe" "$uris" 1 8 4096 $load_s verify replay 1 5 ;;
	extents) guarded "$probe" "$uri" 1 8 4096 0.1 x replay 1 5 ;;
	writes) guarded "$probe" "$uri" 1 8 65536 0.1 w replay 1 5 ;;
	dead) guarded "$probe" "$uri" 1 8 4096 0.1 r replay 0.5 1.5 ;;
	esac
}

as_told() {
	[ "$got" -eq "$status" ] && grep -qE -- "$text" "$lie.err" "$lie.out" &&
		! grep -q "$(printf '\033')" "$lie.err" "$lie.out"
}

# Nothing but the server has the socket in its arguments, and there is no device.
nothing_left() {
	! pgrep -f "socket=$lie.sock" >/dev/null && [ ! -e "$run_dir/$device" ] &&
		[ ! -L "/dev/nbdisk/$device" ] &&
		! grep -q "$run_dir/$device/" /proc/mounts &&
		! grep -qs "$run_dir/$device/" /sys/block/loop*/loop/backing_file
}

# The same server without the lie.  A disk has found it honest before it ended.
honest_then() {
	case $how in
	*info | list | hasty-tls | tls | no-device*) ;;
	*) return 0 ;;
	esac
	kill -USR1 "$server" && listen "${how#hasty-}"
}

# session NAME: its verdict goes to HOW-NAME.verdict
session() {
	local lie=$dir/$how-$1 certificates= times=1 got=0 verdict=0 server daemon
	local device=hostile$$-$number

	case $how in *tls) certificates=$tls ;; esac
	case $1 in
	greeting-cut) times=18 ;;
	option-cut) times=32 ;;
	esac
	python3 "$here/liar.py" "$lie.sock" "$1" $certificates \
		>>"$dir/server.log" 2>&1 </dev/null &
	server=$!
	wait_until [ -S "$lie.sock" ]
	while [ $times -gt 0 ] && [ $verdict -eq 0 ]; do
		listen "$how"
		got=$?
		as_told && nothing_left || verdict=1
		times=$((times - 1))
	done
	if [ $verdict -eq 0 ]; then
		honest_then || verdict=2
	fi
	kill "$server"
	wait "$server" 2>/dev/null
	echo "$verdict $got" >"$lie.verdict"
}

# told HOW STATUS TEXT LIE...: TEXT is an extended regular expression
told() {
	how=$1 status=$2 text=$3
	shift 3
	for name; do
		while [ "$(jobs -pr | wc -l)" -ge $at_once ]; do
			wait -n
		done
		number=$((number + 1))
		session "$name" &
		names="$names $how-$name"
		lies="$lies $name"
	done
}

names= lies= number=0
# The second when some bytes came: on a busy machine there may be none.
no_answer="no answer within 1.5 s|not done within 1.5 s"
# ---- the table -------------------------------------------------------------------

told info 1 "closed the connection|not an NBD server" greeting-cut
told info 1 "closed the connection" option-cut
told hasty-info 1 "$no_answer" greeting-none greeting-slow greeting-and-silence \
	greeting-old-and-short option-silence option-slow
told info 1 "not an NBD server" greeting-magic greeting-style greeting-http
told info 1 "too old for this" greeting-without-flags refusal-unsup
told info 1 "option reply has a wrong magic" option-magic
told info 1 "answered an option that was not sent" option-of-another \
	structured-ack-twice
told info 1 "of a type that this option does not have" option-type \
	option-type-unknown extended-info context-foreign
told info 1 "impossible length" option-4-gib option-error-4-gib ack-with-data \
	info-empty info-export-short info-export-long info-blocks-short \
	refusal-over-64-kib structured-ack-data context-short
told info 1 "do not end" option-endless option-endless-unknown context-endless
told info 1 "without telling its size" ack-without-export
told info 1 "contradicts itself" info-sizes-differ info-flags-differ \
	info-blocks-differ context-two-ids
told info 1 "no export of this name" refusal-unknown
told info 1 "policy forbids it" refusal-policy refusal-huge-text
told info 1 "calls the request invalid" refusal-invalid
told info 1 "platform does not support" refusal-platform
told info 1 "demands TLS" refusal-tls
told info 1 "is shutting down; try again" refusal-shutdown
told info 1 "insists on block sizes" refusal-block-size
told info 1 "too big for the server" refusal-too-big
told info 1 "demands extended headers" refusal-ext-headers
told info 1 "refused without a known reason" refusal-nameless
told info 1 'says: \\x1b\[2J\\x07\\x0ano$' refusal-control-text
told info 1 "empty, smaller than one block, or above 8 EiB" size-0 size-below-block \
	size-2-63 size-2-64 greeting-old-and-empty
told info 1 "block sizes are not valid" block-0 block-3 block-128-kib \
	block-preferred-less block-preferred-odd block-payload-0 block-payload-less
told info 1 "too long or has a NUL" name-nul name-5000 about-nul
told info 0 '^Size: 1048576' size-0-until-go
told info 0 '\\x1b\[2J\\x07\\x9b' name-control
told info 0 '\\x1b\]0;x\\x07\\x0d' about-control
told list 0 '\\x1b\[2J' list-control
told list 1 "impossible length" list-name-too-long list-without-length
told list 1 "too long or has a NUL" list-nul
told list 1 "do not end" list-endless

told tls 1 "TLS is required here, but the server does not" tls-stripped tls-refused \
	tls-no-options tls-oldstyle
told tls 1 "impossible length" tls-ack-with-data
told tls 1 "TLS: (packet|data) length too long|not TLS" tls-injected tls-plain \
	tls-record-too-long
told tls 1 "closed the connection in the TLS handshake" tls-cut tls-cut-at-once
told hasty-tls 1 "$no_answer" tls-silence
told tls 1 "TLS: .*alert handshake failure" tls-alert
told tls 1 "TLS: bad record type" tls-plain-inside
told tls 1 "closed the connection|TLS: " tls-cut-inside
told tls 1 "expired on" tls-expired
told tls 1 "is for other.example, not for localhost" tls-other-name
told tls 1 "is self-signed" tls-self-signed
told tls 1 'signed by "CN=stranger", which is not trusted' tls-other-authority
told tls 1 'certificate "CN=localhost" was revoked' tls-revoked
told tls 1 'certificate "CN=middle" was revoked' tls-revoked-authority

told disk 0 "reply has a wrong magic number" magic magic-of-request \
	structured-for-simple extended-for-structured simple-for-extended
told disk 0 "answered a command that is not in flight" cookie-unknown cookie-of-ones \
	cookie-finished cookie-twice cookie-twice-write chunk-after-done done-endless \
	unasked
told disk 0 "chunk of an impossible type, flags or length" data-for-write \
	hole-for-write status-for-read chunk-empty chunk-4-gib chunk-too-long \
	chunk-type none-with-data none-not-done hole-without-length error-0 \
	error-short error-text-past-chunk error-4-gib extended-8-eib
told disk 0 "outside the request, or the same data twice" chunk-overlap chunk-twice \
	chunk-overlaps-hole chunk-before chunk-behind chunk-over-the-end \
	chunk-offset-wraps hole-of-0 hole-too-long hole-of-4-gib \
	error-offset-outside extended-offset
told disk 0 "ended a read before all its data came" gap-then-done done-without-data
told disk 0 "kind of reply that was not negotiated" simple-for-structured
# The commands in flight beside it may stay without an answer.
told disk 0 "the server is shutting down|did not answer a command in time" error-shutdown
told disk 0 "did not answer a command in time" error-endless done-never \
	stall-payload reply-slow silence
told disk 0 "Connection reset by peer|Broken pipe|server closed the connection" \
	cut-head cut-payload reset-payload half-close close-at-once
# Whoever has sent all it wanted to send does not notice.
told disk 0 "did not answer a command in time|Broken pipe" half-close-reading
told disk 0 "I/Os" crumbs
told writes 0 "did not answer a command in time" deaf deaf-at-once
told extents 0 "chunk of an impossible type, flags or length" status-foreign \
	status-twice status-of-0 status-ragged status-32-mib status-extended-count
told extents 0 "outside the request" status-beyond
told extents 0 "ended a read before all its data came" status-none
told extents 0 "kind of reply that was not negotiated" status-simple
told dead 4 "read failed: 9" go-then-silence go-then-close

told disk 0 "refused: the export is smaller than the device" again-shrunk
told disk 0 "refused: the export became read-only" again-read-only
told disk 0 "refused: the export lost an ability" again-no-flush again-no-flags \
	again-no-context again-no-structured
told disk 0 "refused: the export's block size changed" again-block-size
told disk 0 "refused: the server's largest payload became smaller" again-payload
told disk 0 "no longer offers the replies" again-no-extended
told disk 0 "cannot be made: .*not an NBD server" again-not-nbd
told disk 0 "cannot be made: .*no export of this name" again-no-export
told disk-tls 0 "cannot be made: .*TLS is required here" again-tls-stripped
told disk-tls 0 "cannot be made: .*expired on" again-tls-expired
told disk-tls 0 "cannot be made: .*is for other.example" again-tls-other-name
told disk-tls 0 "cannot be made: .*was revoked" again-tls-revoked
told pair 0 "1 was refused: the export is smaller" second-shrunk
told pair 0 "1 was refused: the export became read-only" second-read-only
told pair 0 "1 was refused: .*does not allow several connections" second-single

# To a device: what is no server makes none; what lies later loses its connection, and
# no byte of the device is wrong.
told_devices() {
	told no-device 1 "not an NBD server" greeting-magic greeting-http
	told hasty-no-device 1 "$no_answer" greeting-and-silence
	told no-device 1 "impossible length" option-4-gib info-export-short
	told no-device 1 "do not end" option-endless
	told no-device 1 "policy forbids it" refusal-huge-text
	told no-device 1 "empty, smaller than one block, or above 8 EiB" size-0 size-2-64
	told no-device 1 "block sizes are not valid" block-128-kib
	told no-device-tls 1 "TLS is required here, but the server does not" tls-stripped
	told no-device-tls 1 "TLS: (packet|data) length too long|not TLS" tls-injected
	told no-device-tls 1 "expired on" tls-expired
	told no-device-tls 1 "was revoked" tls-revoked-authority
	told device 0 "reply has a wrong magic number" magic
	told device 0 "answered a command that is not in flight" cookie-unknown \
		cookie-finished chunk-after-done done-endless unasked
	told device 0 "chunk of an impossible type, flags or length" data-for-write \
		chunk-4-gib error-4-gib extended-8-eib
	told device 0 "outside the request, or the same data twice" chunk-overlap \
		chunk-offset-wraps hole-of-4-gib
	told device 0 "ended a read before all its data came" gap-then-done
	told device 0 "kind of reply that was not negotiated" simple-for-structured
	told device 0 "did not answer a command in time" error-endless stall-payload \
		reply-slow silence deaf
	told device 0 "Connection reset by peer|Broken pipe|server closed the connection" \
		cut-head cut-payload half-close
	told device 0 "connected" crumbs
	told device 0 "refused: the export is smaller than the device" again-shrunk
	told device 0 "refused: the export became read-only" again-read-only
	told device 0 "cannot be made: .*not an NBD server" again-not-nbd
	told device-tls 0 "cannot be made: .*TLS is required here" again-tls-stripped
	told device-tls 0 "cannot be made: .*was revoked" again-tls-revoked
	told dead-device 0 "is closed" go-then-silence go-then-close
	told waiting-device 0 "is closed" go-then-silence go-then-close
}
if [ "$(id -u)" -eq 0 ] && [ -e /dev/fuse ] && [ -e /dev/loop-control ]; then
	head -c 1048576 /dev/urandom >"$dir/data"
	told_devices
fi
wait

# ---- the verdicts ----------------------------------------------------------------

for name in $names; do
	read -r verdict status <"$dir/$name.verdict"
	cp "$dir/$name.out" "$dir/out"
	cp "$dir/$name.err" "$dir/err"
	[ "$verdict" -eq 0 ]
	ok "$name"
done
[ -e "$dir/data" ] || skip "lies to a device" "needs root, /dev/fuse and loop"
status=0
# late-write is fault_test.sh's.
python3 "$here/liar.py" --list | grep -vx late-write | sort >"$dir/out"
printf '%s\n' $lies | sort -u | diff - "$dir/out" >"$dir/err"
ok "each lie is in the table"
! grep -q Traceback "$dir/server.log"
ok "the liar did not stumble"
finish
