#!/bin/bash
# hostile_test.sh NBDISK PROBE - servers that lie, over real sockets.
# SPDX-License-Identifier: BSD-2-Clause
#
# The table below says, for each lie of liar.py, how it is listened to, with which
# status that ends, and what is said.  Each ends in seconds, in bounded memory, with
# nothing left running; then the server turns honest, and can be used.  disk_probe
# compares all data, so a lie that was believed shows.

nbdisk=$1
probe=$2
here=$(dirname "$0")
. "$here/../lib.sh"

for tool in python3 openssl; do
	if ! have $tool; then
		echo "1..0 # SKIP $tool is not installed"
		exit 0
	fi
done

memory=400000			# KiB of address space
seconds=15			# for one session
at_once=4
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
# certificate NAME HOST AUTHORITY DAYS
certificate() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" \
		-keyout "$tls/$1.key" -out "$tls/$1.csr" 2>/dev/null
	echo "subjectAltName=DNS:$2" >"$tls/extensions"
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
certificate expired localhost authority -1
certificate other-name other.example authority 2
certificate other-authority localhost stranger 2

# ---- one session -----------------------------------------------------------------

# guarded COMMAND...: its status; output and errors in $lie.out and $lie.err
guarded() (
	ulimit -v $memory
	timeout $seconds "$@" >"$lie.out" 2>"$lie.err"
)

# listen HOW: as the table says
listen() {
	local uri="nbd+unix:///?socket=$lie.sock"
	local uris="nbds+unix:///?socket=$lie.sock&tls-hostname=localhost"
	uris="$uris&tls-certificates=$tls"
	case $1 in
	info) guarded "$nbdisk" info "$uri" ;;
	hasty-info) guarded "$nbdisk" info --open-timeout 1500ms "$uri" ;;
	list) guarded "$nbdisk" exports "$uri" ;;
	tls) guarded "$nbdisk" info "$uris" ;;
	hasty-tls) guarded "$nbdisk" info --open-timeout 1500ms "$uris" ;;
	disk) guarded "$probe" "$uri" 1 8 4096 0.1 verify replay 1 5 ;;
	pair) guarded "$probe" "$uri" 2 8 4096 0.1 verify replay 1 5 ;;
	disk-tls) guarded "$probe" "$uris" 1 8 4096 0.1 verify replay 1 5 ;;
	extents) guarded "$probe" "$uri" 1 8 4096 0.1 x replay 1 5 ;;
	writes) guarded "$probe" "$uri" 1 8 65536 0.1 w replay 1 5 ;;
	dead) guarded "$probe" "$uri" 1 8 4096 0.1 r replay 0.5 1.5 ;;
	esac
}

as_told() {
	[ "$got" -eq "$status" ] && grep -qE -- "$text" "$lie.err" "$lie.out" &&
		! grep -q "$(printf '\033')" "$lie.err" "$lie.out"
}

# Nothing but the server has the socket in its arguments.
nothing_left() {
	! pgrep -f "socket=$lie.sock" >/dev/null
}

# The same server without the lie.  A disk has found it honest before it ended.
honest_then() {
	case $how in
	*info|list|hasty-tls|tls) ;;
	*) return 0 ;;
	esac
	kill -USR1 "$server" && listen "${how#hasty-}"
}

# session NAME: its verdict goes to NAME.verdict
session() {
	local lie=$dir/$1 certificates= times=1 got=0 verdict=0 server

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
		session "$name" &
		names="$names $name"
	done
}

names=
# ---- the table -------------------------------------------------------------------

told info 1 "closed the connection|not an NBD server" greeting-cut
told info 1 "closed the connection" option-cut
told hasty-info 1 "no answer within 1.5 s" greeting-none
told hasty-info 1 "not done within 1.5 s" greeting-slow greeting-and-silence \
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
told info 0 '\\x1b\[2J\\x07\\x9b' name-control
told info 0 '\\x1b\]0;x\\x07\\x0d' about-control
told list 0 '\\x1b\[2J' list-control
told list 1 "impossible length" list-name-too-long list-without-length
told list 1 "too long or has a NUL" list-nul
told list 1 "do not end" list-endless

told tls 1 "TLS is required here, but the server does not" tls-stripped tls-refused \
	tls-no-options tls-oldstyle
told tls 1 "impossible length" tls-ack-with-data
told tls 1 "TLS: packet length too long|not TLS" tls-injected tls-plain \
	tls-record-too-long
told tls 1 "closed the connection in the TLS handshake" tls-cut tls-cut-at-once
told hasty-tls 1 "not done within 1.5 s" tls-silence
told tls 1 "TLS: .*alert handshake failure" tls-alert
told tls 1 "TLS: bad record type" tls-plain-inside
told tls 1 "closed the connection|TLS: " tls-cut-inside
told tls 1 "expired on" tls-expired
told tls 1 "is for other.example, not for localhost" tls-other-name
told tls 1 "is self-signed" tls-self-signed
told tls 1 'signed by "CN=stranger", which is not trusted' tls-other-authority

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
told pair 0 "1 was refused: the export is smaller" second-shrunk
told pair 0 "1 was refused: the export became read-only" second-read-only
told pair 0 "1 was refused: .*does not allow several connections" second-single
wait

# ---- the verdicts ----------------------------------------------------------------

for name in $names; do
	read -r verdict status <"$dir/$name.verdict"
	cp "$dir/$name.out" "$dir/out"
	cp "$dir/$name.err" "$dir/err"
	[ "$verdict" -eq 0 ]
	ok "$name"
done
status=0
python3 "$here/liar.py" --list | sort >"$dir/out"
printf '%s\n' $names | sort | diff - "$dir/out" >"$dir/err"
ok "each lie is in the table"
! grep -q Traceback "$dir/server.log"
ok "the liar did not stumble"
finish
