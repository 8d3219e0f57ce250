#!/bin/bash
# gnbd_test.sh GNBD_KPI - gnbd(8)'s verbs, on the module, with a real nbdkit.
# SPDX-License-Identifier: BSD-2-Clause

gnbd=$1
. "$(dirname "$0")/../lib.sh"

if ! have nbdkit; then
	echo "1..0 # SKIP nbdkit is not installed"
	exit 0
fi

sock=$dir/s
truncate -s 64M "$dir/disk"
start_nbdkit "$sock" file "$dir/disk"

run "$gnbd" "connect $sock" "list nbd0" "io nbd0" "disconnect nbd0"
status_is 0 && out_has nbd0 && out_has "Connections: 1" && out_has "TLS: no" &&
	out_has "Host: $sock" && out_has "Name: (null)" && out_has "Size: 67108864" &&
	out_has "HandshakeFlags: FIXED_NEWSTYLE, NO_ZEROES"
ok "connect, list, disconnect"
run "$gnbd" "connect $sock" "io nbd0" "list nbd0"
status_is 0 && ! out_has "ReadP999Ns: 0" && [ "$(grep -cE \
	'^(Read|Write|Flush|Trim)(Median|P99|P999)Ns: [0-9]+$' "$dir/out")" = 12 ]
ok "latencies of each kind of request: half, 99 and 99.9 of 100 took no longer"
[ "$(grep -n '^Connections:' "$dir/out" | cut -d: -f1)" -lt \
	"$(grep -n '^Host:' "$dir/out" | cut -d: -f1)" ]
ok "the fields come in the order that scripts know"

run "$gnbd" "connect -c 4 nbd+unix:///?socket=$sock" "list nbd0" "io nbd0"
status_is 0 && out_has "Connections: 4" && out_has "ActiveConnections: 4"
ok "four connections, from a URI; unloaded while connected"

run "$gnbd" "connect $sock" "scale -c 3 nbd0" "list nbd0" "io nbd0" "scale -c 1 nbd0" \
	"sh sleep 0.3" "list nbd0" "disconnect nbd0"
status_is 0 && out_has "ActiveConnections: 3" && out_has "ActiveConnections: 1"
ok "scale up and down"

run "$gnbd" "connect -t 5 -T 10 -u replay -s 4096 $sock" "io nbd0" "disconnect -f nbd0"
status_is 0
ok "options of ours"

run "$gnbd" "connect $sock" "open nbd0" "disconnect -f nbd0"
status_is 0 && ! [ -s "$dir/err" ]
ok "disconnect -f returns when the module can be unloaded"

run "$gnbd" "connect -c 0 $sock"
status_is 1 && grep -q "Invalid number of connections" "$dir/err"
ok "connections are 1 or more"
run "$gnbd" "scale nbd0"
status_is 1 && grep -q "^usage: gnbd scale -c num" "$dir/err"
ok "scale needs -c"
run "$gnbd" "scale -c 2 nbd0"
status_is 1 && grep -q "no NBD device" "$dir/err"
ok "a device that is not there"
run "$gnbd" "connect $dir/nobody"
status_is 1 && [ -s "$dir/err" ]
ok "nobody listens"
# ---- a device's file ------------------------------------------------------------

cat >"$dir/disk.conf" <<END
# The disk of the test.
uri = $sock
name = nothing

connections = 3
timeout = 2m
dead-timeout = never
sector-size = 4K
unflushed = replay
END
run "$gnbd" "connect $dir/disk.conf" "list nbd0" "io nbd0" "disconnect nbd0"
status_is 0 && out_has "Connections: 3" && out_has "Name: nothing" && out_has "Host: $sock"
ok "connect: server and options from a file"
run "$gnbd" "connect -c 2 -n other $dir/disk.conf" "list nbd0" "io nbd0"
status_is 0 && out_has "Connections: 2" && out_has "Name: other"
ok "an option counts more than the file"
run "$gnbd" "connect $dir/disk.conf $sock"
status_is 1 && err_has "names the servers; no host goes with it"
ok "no host beside a file"
run "$gnbd" "connect $dir/nothing.conf"
status_is 1 && err_has "nothing.conf: No such file or directory"
ok "a file that is not there"
while IFS='|' read -r lines said; do
	printf '%b\n' "$lines" >"$dir/bad.conf"
	run "$gnbd" "connect $dir/bad.conf"
	status_is 1 && err_has "bad.conf:$said"
	ok "a file is refused:$said"
done <<'END'
uri = h\n\nconections = 2|3: gnbd has no "conections"
uri = h\ntimeout = 10\ntimeout = 20|3: "timeout" is in line 2 already
uri|1: "uri": expected name = value
uri = h\ntimeout = 500ms|2: timeout = 500ms: expected whole seconds
uri = h\nconnections = many|2: connections = many: expected a number
uri = h\nsector-size = 4Q|2: sector-size = 4Q: expected bytes
# nothing| no line "uri = SERVER"
uri = h\nvia = ublk|2: gnbd has no "via"
uri = h\nfence-by = command|2: fence-by = command: fence-command is missing
uri = h\nfence-by = time\nfence-command = /x|3: fence-command: fence-by says time
END
run "$gnbd" "connect -c 0 $dir/disk.conf"
status_is 1 && err_has "Invalid number of connections"
ok "an option is looked at, also beside a file"

run "$gnbd" "connect -S 777 $sock"
status_is 1 && grep -q "stripe size is to be a multiple" "$dir/err"
ok "a stripe size that is none"
for port in 0 65536 70000 4294978105 -1; do
	run "$gnbd" "connect -p $port -- localhost"
	status_is 1 && grep -q "\"$port\" is not a port" "$dir/err"
	ok "port $port"
done
for time in -1 2147483648 9223372036854775807; do
	run "$gnbd" "connect -t $time $sock"
	status_is 1 && grep -q "is not a number of seconds" "$dir/err"
	ok "a time-out of $time seconds"
done
run "$gnbd" "connect -t 2147483647 -T 2147483647 -f 2147483647 $sock" "io nbd0" \
	"disconnect nbd0"
status_is 0
ok "times of 68 years"
KPI_OSRELDATE=1500068 run "$gnbd" "connect $sock"
status_is 1 && grep -q "over a UNIX socket" "$dir/err"
ok "FreeBSD 15 serves no disk over a UNIX socket"
run "$gnbd" "connect -C cert.pem $sock"
status_is 1 && grep -q "needed with each other" "$dir/err"
ok "-C without -K"
run "$gnbd" "connect $sock" "scale -A $dir/ca.pem -c 2 nbd0"
status_is 1 && grep -q "TLS is not used on this device" "$dir/err"
ok "TLS on a device without"
run "$gnbd" "connect -n nothing $sock" "list nbd0" "disconnect nbd0"
status_is 0 && out_has "Name: nothing"
ok "a named export"

stop "$pid"
rm -f "$sock"
timeout 60 nbdkit -P "$dir/pid" -U "$sock" file "$dir/disk"
run "$gnbd" "connect -c 2 $sock" "sh kill -9 \$(cat $dir/pid); rm $sock; sleep 0.3" "list nbd0" \
	"sh (sleep 1.5; nbdkit -P $dir/pid -U $sock file $dir/disk) >/dev/null 2>&1 &" \
	"reconnect -r 1 nbd0" "list nbd0" "io nbd0" "reconnect nbd0"
status_is 0 && out_has "State: DISCONNECTED" && out_has "State: CONNECTED"
ok "reconnect -r, when the server comes back"
kill "$(cat "$dir/pid")"

# Who dials needs a second, so both have seen that it is missing.
slow="nbdkit -P $dir/pid-slow -U $dir/slow --filter=delay file $dir/disk delay-open=1"
sh -c "$slow"
run "$gnbd" "connect $dir/slow" "sh kill -9 \$(cat $dir/pid-slow); rm $dir/slow; $slow" \
	"await State DISCONNECTED" "background reconnect nbd0" "reconnect nbd0" "foreground" \
	"list nbd0" "io nbd0"
status_is 0 && out_has "ConnectionsMade: 2"
ok "two reconnect at the same time: what one has brought the other does not miss"
kill "$(cat "$dir/pid-slow")"

start_nbdkit "$sock" eval list_exports='echo INTERLEAVED; echo one; echo first; echo two; echo second' get_size='echo 1M' \
	pread='head -c $3 /dev/zero'
run "$gnbd" "exports $sock"
status_is 0 && out_has "$(printf 'one\tfirst')" && out_has "$(printf 'two\tsecond')"
ok "exports"
KPI_OSRELDATE=1500068 run "$gnbd" "exports $sock"
status_is 0 && out_has "$(printf 'one\tfirst')"
ok "exports need no kernel, also on FreeBSD 15"
run "$gnbd" "connect -c 2 --  $sock"
status_is 0 || grep -q "does not allow multiple" "$dir/err"
ok "more than one connection needs CAN_MULTI_CONN"
# ---- several servers of one disk: two nbdkits on one file -----------------------

one=$dir/one two=$dir/two
# serve NAME: in the background, by its socket; unserve NAME: kill -9.
serve="nbdkit -P $dir/pid-NAME -U $dir/NAME file $dir/disk >/dev/null 2>&1"
unserve="kill -9 \$(cat $dir/pid-NAME); rm -f $dir/NAME"
for name in one two; do
	rm -f "$dir/$name"
	sh -c "${serve//NAME/$name}"
done

run "$gnbd" "connect $one $two" "list nbd0" "io nbd0" "disconnect nbd0"
status_is 0 && out_has "Paths: 2" && out_has "ActivePath: 0" && out_has "Path0Host: $one" &&
	out_has "Path1Host: $two" && out_has "Path0State: ACTIVE" &&
	out_has "Path1State: STANDBY" && out_has "Host: $one" && out_has "FenceBy: time"
ok "two servers, the first one is used"
printf '#!/bin/sh\n' >"$dir/fence"
chmod +x "$dir/fence"
cat >"$dir/two.conf" <<END
uri = $one
uri = $two
path-timeout = 1s
fence = 0
fence-by = command
fence-command = $dir/fence
unflushed = ignore
END
run "$gnbd" "connect $dir/two.conf" "list nbd0" "io nbd0" "sh ${unserve//NAME/one}" \
	"await State DISCONNECTED" "reconnect -r 1 nbd0" "io nbd0" "list nbd0" \
	"sh ${serve//NAME/one}"
status_is 0 && out_has "Paths: 2" && out_has "Path1Host: $two" && out_has "ActivePath: 1" &&
	out_has "FenceBy: $dir/fence"
ok "a file with two servers"
run "$gnbd" "connect $dir/nobody $two" "list nbd0" "io nbd0"
status_is 0 && out_has "ActivePath: 1" && out_has "Host: $two" && out_has "Path0State: STANDBY"
ok "the first one that answers is used"
run "$gnbd" "connect -c 2 -P 1 -f 0 -u ignore $one $two" "io nbd0" "sh ${unserve//NAME/one}" \
	"await State DISCONNECTED" "reconnect -r 1 nbd0" "list nbd0" "io nbd0" \
	"sh ${serve//NAME/one}"
status_is 0 && out_has "ActivePath: 1" && out_has "Failovers: 1" && out_has "State: CONNECTED" &&
	out_has "ActiveConnections: 2" && out_has "Path0State: FAILED" &&
	grep -q "^Path0Why: .*one" "$dir/out" && out_has "LastLoss: the server closed the connection"
ok "reconnect goes to the next server when the first one is away"
run "$gnbd" "connect -P 1 -f 0 -u ignore $one $two" "background reconnect -r 1 nbd0" \
	"sh ${unserve//NAME/one}" "await State DISCONNECTED" \
	"sh ${unserve//NAME/two}; (sleep 3; ${serve//NAME/two}) >/dev/null 2>&1 &" \
	"reconnect -r 1 nbd0" "io nbd0" "list nbd0" "sh ${serve//NAME/one}"
status_is 0 && out_has "ActivePath: 1" && out_has "Failovers: 1"
ok "both are away, and the second one comes back"

run "$gnbd" "connect -c 2 -u fail $one $two" "io nbd0" "move nbd0" "list nbd0" "io nbd0" \
	"move nbd0 0" "io nbd0" "move nbd0 $two" "list nbd0" "disconnect nbd0"
status_is 0 && out_has "ActivePath: 1" && out_has "Moves: 1" && out_has "Moves: 3" &&
	out_has "Failovers: 0" && out_has "ActiveConnections: 2"
ok "move: to the next one, by number, by host"
run "$gnbd" "connect $one $two" "move nbd0 $dir/three"
status_is 1 && grep -q "has no server '$dir/three'" "$dir/err"
ok "move: a server that it does not have"
run "$gnbd" "connect $one" "move nbd0"
status_is 1 && grep -q "has no server" "$dir/err"
ok "move: with one server there is no other"
run "$gnbd" "connect $one $dir/nobody" "move nbd0"
status_is 1 && grep -q "nbd0 stays where it is: .*nobody" "$dir/err"
ok "move: to a server that is away, the device stays, and says why"
run "$gnbd" "connect -n a $one $two $one $one $one $one $one $one $one"
status_is 1 && grep -q "up to 8" "$dir/err"
ok "nine servers are too many"
run "$gnbd" "connect -F sometimes $one $two"
status_is 1 && grep -q "time, store, or the absolute path of a program" "$dir/err"
ok "-F has three ways"

cat >"$dir/fence" <<END
#!/bin/sh
echo "\$NBDISK_NAME \$NBDISK_OLD_HOST \$NBDISK_NEW_HOST \$NBDISK_OLD_URI" >>$dir/fenced
exit 0
END
chmod +x "$dir/fence"
run "$gnbd" "connect -P 1 -f 30 -u replay -F $dir/fence $one $two" "io nbd0" \
	"sh ${unserve//NAME/one}" "await State DISCONNECTED" "reconnect -r 1 nbd0" "list nbd0" \
	"io nbd0" "disconnect nbd0" "sh ${serve//NAME/one}"
status_is 0 && out_has "FenceBy: $dir/fence" && out_has "Path0Doing: NONE" &&
	[ "$(cat "$dir/fenced")" = "nbd0 $one $two nbd+unix:///?socket=$one" ]
ok "the server that was left is fenced by a program, and changes go on"
rm -f "$dir/fenced"
printf '#!/bin/sh\n[ -e %s/fenced ] && exit 0\n: >%s/fenced\nexit 3\n' "$dir" "$dir" >"$dir/fence"
run "$gnbd" "connect -P 1 -f 30 -u replay -F $dir/fence $one $two" "io nbd0" \
	"sh ${unserve//NAME/one}" "await State DISCONNECTED" "reconnect -r 1 nbd0" \
	"await Path0Doing FENCING" "list nbd0" "background reconnect -r 1 nbd0" \
	"disconnect -f nbd0" "sh ${serve//NAME/one}"
status_is 0 && grep -q "^Path0Why: $dir/fence: exit status 3" "$dir/out"
ok "a program that fails is told of, and the server stays unfenced"

run "$gnbd" "connect -c 2 -P 1 -f 0 -u ignore $one $two" "background watch" \
	"sh ${unserve//NAME/one}" "await ActivePath 1" "await ActiveConnections 2" "io nbd0" \
	"sh ${serve//NAME/one}" "sh ${unserve//NAME/two}" "await ActivePath 0" \
	"await ActiveConnections 2" "io nbd0" "list nbd0" "foreground" \
	"sh ${serve//NAME/two}"
status_is 0 && out_has "Failovers: 2" && out_has "nbd0: is connected"
ok "watch: fails over, and back when the other one goes"
run "$gnbd" "connect -b 1 -P 1 -f 0 -u ignore $one $two" "background watch" \
	"sh ${unserve//NAME/one}" "await ActivePath 1" "sh ${serve//NAME/one}" \
	"await ActivePath 0" "io nbd0" "list nbd0" "foreground"
status_is 0 && out_has "Failovers: 1" && out_has "Moves: 1"
ok "watch: goes back to the first server, after a while"
# ---- renewal: no server is lost, and nothing fails ---------------------------------

# renewed N: so many connections were made in all, and the first ones left in order.
renewed()
{
	status_is 0 && out_has "ConnectionsMade: $1" && out_has "Retries: 0" &&
		out_has "FlushesFailed: 0" && out_has "Renewing: no"
}

for conns in 1 4; do
	run "$gnbd" "connect -c $conns -u fail $one" "io nbd0" "background load nbd0" \
		"reconnect -a nbd0" "list nbd0" "foreground" "disconnect nbd0"
	renewed $((2 * conns)) && out_has "ActiveConnections: $conns"
	ok "reconnect -a makes all anew, connections: $conns"
done
run "$gnbd" "connect -c 2 $one" "reconnect nbd0" "list nbd0" "io nbd0"
renewed 2
ok "reconnect without -a leaves those that are there"
run "$gnbd" "connect -c 4 $one" "background watch" "io nbd0" "reconnect -a nbd0" "io nbd0" \
	"list nbd0" "foreground"
renewed 8
ok "reconnect -a beside watch, which dials, too"
run "$gnbd" "connect -c 2 $one $two" "io nbd0" "reconnect -a nbd0" "list nbd0" "io nbd0"
renewed 4 && out_has "ActivePath: 0" && out_has "Failovers: 0"
ok "reconnect -a, with several servers: it stays at its own"
run "$gnbd" "connect -c 2 $one" "sh ${unserve//NAME/one}" "await State DISCONNECTED" \
	"sh ${serve//NAME/one}" "reconnect -a nbd0" "list nbd0" "io nbd0"
status_is 0 && out_has "ConnectionsMade: 4" && out_has "ActiveConnections: 2"
ok "reconnect -a, where all were lost"
run "$gnbd" "connect -c 2 $one" "fails reconnect -a -A $dir/ca.pem nbd0" "list nbd0" "io nbd0"
status_is 0 && grep -q "TLS is not used on this device" "$dir/err" && out_has "ConnectionsMade: 2" &&
	out_has "ActiveConnections: 2"
ok "reconnect -a leaves nothing where TLS bars the way back"
run "$gnbd" "reconnect -a nbd0"
status_is 1 && grep -q "no NBD device" "$dir/err"
ok "reconnect -a: a device that is not there"

# One record more than a session may have; later ones are new.
limit=$((23726566 - (1 << 22) + 1))
if have openssl; then
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=ca" -keyout "$dir/ca-key.pem" \
		-out "$dir/ca.pem" 2>/dev/null
	start_nbdkit "$sock" file "$dir/disk"
	for conns in 1 2; do
		run "$gnbd" "tls $limit" "connect -c $conns -A $dir/ca.pem $sock" "tls 0" \
			"background io nbd0" "told DISCONNECTED" \
			"await ActiveConnections 0" "reconnect -A $dir/ca.pem nbd0" "list nbd0" "io nbd0" \
			"disconnect nbd0"
		status_is 0 && out_has "TLS: yes" && out_has "ActiveConnections: $conns" &&
			out_has "FlushesFailed: 0" && out_has "Retries: 0"
		ok "TLS sessions at their limit, connections: $conns; reconnect makes them anew"
	done
	run "$gnbd" "tls $limit" "connect -c 2 -A $dir/ca.pem $sock" "tls 0" \
		"background watch -A $dir/ca.pem" "io nbd0" "await ConnectionsMade 4" \
		"await ActiveConnections 2" "io nbd0" "list nbd0" "foreground"
	status_is 0 && out_has "FlushesFailed: 0" && out_has "Retries: 0" &&
		out_has "nbd0: is connected"
	ok "watch makes them anew by itself"
	run "$gnbd" "tls 0" "connect -A $dir/ca.pem $one $two" "move -A $dir/ca.pem nbd0" \
		"list nbd0" "io nbd0"
	status_is 0 && out_has "ActivePath: 1" && out_has "TLS: yes" && out_has "Moves: 1"
	ok "move, with TLS"
	stop "$pid"
fi

cp "$dir/disk" "$dir/grows"
start_nbdkit "$dir/g" file "$dir/grows"
run "$gnbd" "connect $dir/g" "io nbd0" "sh truncate -s 128M $dir/grows" "background watch" \
	"scale -c 2 nbd0" "told RESIZED" "await Size 134217728" "await ActiveConnections 2" \
	"io nbd0" "list nbd0" "foreground"
status_is 0 && out_has "FlushesFailed: 0"
ok "a disk that has grown: what knows the old size is made anew, and devd is told"
run "$gnbd" "connect $dir/g" "io nbd0" "sh truncate -s 192M $dir/grows" "reconnect -a nbd0" \
	"told RESIZED" "await Size 201326592" "io nbd0" "list nbd0"
renewed 2
ok "a disk that has grown: reconnect -a sees it"
stop "$pid"
for name in one two; do
	sh -c "${unserve//NAME/$name}"
done
finish
