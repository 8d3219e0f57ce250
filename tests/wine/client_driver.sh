# client_driver.sh - wnbd-client and libwnbd with wnbd.sys; part of client_test.sh.
# SPDX-License-Identifier: BSD-2-Clause

# Once in 60 starts Wine 8 does not start a driver; then once more.
client install-driver wnbd.inf
status_is 0 || client install-driver wnbd.inf
status_is 0 && [ -f "$drivers/wnbd.sys" ]
ok "install-driver"
client version
status_is 0 && out_is "wnbd-client.exe: $version" "libwnbd.dll: $version" \
	"wnbd.sys: $version"
ok "version, of all three"

# ---- a disk of the driver's own NBD client --------------------------------------

truncate -s 64M "$dir/disk"
serve file "$dir/disk"
client map foo 127.0.0.1 --port "$port" --export-name bar
status_is 0 && out_is && [ ! -s "$dir/out" ] || [ "$(wc -c <"$dir/out")" -le 1 ]
ok "map: the driver is the NBD client, and the command returns"
has_number() {
	client list
	out_matches '^[0-9]+ +[0-9]+ +true '
}
wait_until has_number
out_has "Pid         DiskNumber  Nbd    Owner            InstanceName" &&
	out_matches '^[0-9]+ +1           true   wnbd-client      foo$'
ok "list"
client show foo
status_is 0 && out_has "Connection info" && out_has "InstanceName              : foo" &&
	out_has "UseNbd                    : 1" &&
	out_has "BlockCount                : 131072" &&
	out_has "DiskNumber                : 1" && out_has "Nbd properties" &&
	out_has "Hostname                  : 127.0.0.1" &&
	out_has "PortNumber                : $port" &&
	out_has "ExportName                : bar"
ok "show"
drive "write foo piece=4096 depth=8 seed=3 length=262144" \
	"check foo piece=4096 depth=8 seed=3 length=262144"
client stats foo
status_is 0 && out_has "Disk stats" && awk -F' : ' '
	$1 ~ /^TotalReceivedIORequests/ { received = $2 }
	$1 ~ /^TotalReceivedIOReplies/ { replied = $2 }
	$1 ~ /^OutstandingIOCount/ { left = $2 }
	END { exit !(received >= 128 && replied >= 128 && left == 0) }' "$dir/out"
ok "stats, after 64 writes and 64 reads"
client list --json
status_is 0 && python3 -c 'import json, sys
disks = json.load(sys.stdin)
assert disks[0]["InstanceName"] == "foo" and disks[0]["DiskNumber"] == 1' <"$dir/out"
ok "list --json"
client map foo 127.0.0.1 --port "$port"
failed_with 183 && err_has "wnbd-client: foo: "
ok "a name that is in use: 183"
client map uri "nbd://127.0.0.1:$port/name" && client show uri &&
	out_has "UseNbd                    : 1" && out_has "ExportName                : name" &&
	client unmap uri --hard-disconnect
status_is 0
ok "map by an nbd URI: the driver is the client"
client map uri "nbd://127.0.0.1:65536/name"
failed_with 87 && err_has "65536" && client map uri 127.0.0.1 --port 0
failed_with 87 && err_has "is not a number from 1 to 65535"
ok "a port that is none: refused"
client map uri "nbd+unix:///name?socket=/s"
failed_with 87 && err_has "this Windows has no UNIX sockets"
ok "a UNIX socket, which Wine does not have: said in words"
client map other 127.0.0.1 --port 1 --user-space
failed_with 1232 && err_has "cannot connect"
ok "a server that is not there: 1232"
client show nothing
failed_with 2
ok "a disk that is not there: 2"

# ---- removing ------------------------------------------------------------------

echo 1 >veto
client unmap foo --debug --soft-disconnect-retry-interval 1
status_is 0 && err_has 'was refused' && err_has 'STORAGE\Volume\test'
ok "unmap: soft, refused once; --debug names who refused"
client list
[ "$(wc -l <"$dir/out")" -eq 1 ]
ok "it is gone"
client map foo 127.0.0.1 --port "$port" && wait_until has_number
echo 99 >veto
client unmap foo --soft-disconnect-timeout 1 --soft-disconnect-retry-interval 1 \
	--no-hard-disconnect-fallback
failed_with 1460 && has_number
ok "unmap: refused for the whole time, without a fallback: 1460"
client unmap foo --soft-disconnect-timeout 1 --soft-disconnect-retry-interval 1
status_is 0
ok "unmap: refused, then the hard way"
client map foo 127.0.0.1 --port "$port"
client unmap foo --hard-disconnect
status_is 0 && client unmap foo --hard-disconnect
failed_with 2
ok "unmap: the hard way, at once; then it is not there"
rm veto

# ---- NBD in this process ---------------------------------------------------------

# aside NAME PROGRAM ARGUMENT...: run_wine beside what follows, in a directory of its own,
# $dir/NAME; it is $aside
aside() {
	mkdir -p "$dir/$1"
	(
		dir=$dir/$1
		shift
		run_wine "$@"
		exit "$status"
	) &
	aside=$!
	pids="$pids $aside"
}
# map_here ARGUMENT...: the command, which may stay and serve the disk
map_here() {
	aside map wnbd-client.exe map "$@"
	wait_until has_number
}
map_here user 127.0.0.1 --port "$port" --user-space --block-size 4096
client show user
out_has "UseUserspaceNbd           : 1" && out_has "BlockSize                 : 4096" &&
	out_has "BlockCount                : 16384" && out_has "UseNbd                    : 0"
ok "map --user-space: the command serves a disk of 4 KiB sectors"
drive "write user piece=65536 depth=8 seed=5 length=1048576" "flush user" \
	"check user piece=4096 depth=8 seed=5 length=1048576"
status_is 0
ok "I/O through this process"
! cmp -s -n 16384 -i 65536:0 "$dir/disk" /dev/zero
ok "(there is something at 64 KiB)"
drive "scsi user 42000000000000001800 \
out=001600100000000000000000000000100000000400000000"
status_is 0 && cmp -n 16384 -i 65536:0 "$dir/disk" /dev/zero
ok "UNMAP reaches the server"
# The server, which is nbdkit below timeout, comes back with twice the size.
kill -9 $(pgrep -P "$pid")
while listens "$port"; do sleep 0.05; done
truncate -s 128M "$dir/disk"
start nbdkit -f -i 127.0.0.1 -p "$port" file "$dir/disk"
has_grown() {
	client show user
	out_has "BlockCount                : 32768"
}
wait_until has_grown
ok "a server that was lost, and comes back with more: the disk grows"
drive "check user piece=4096 depth=8 seed=5 length=65536" \
	"write user offset=133169152 piece=4096 length=1048576 seed=6" \
	"check user offset=133169152 piece=65536 length=1048576 seed=6"
status_is 0
ok "I/O goes on, at the new end too"
client unmap user
status_is 0 && wait "$aside"
ok "unmap ends it, with 0"
stop "$pid"

serve --tls=require --tls-certificates="$dir/pkg/pki" file "$dir/disk"
map_here tls "nbds://localhost:$port/" --ca pki/ca-cert.pem --connections 2
drive "check tls offset=131072 piece=4096 depth=8 seed=5 length=524288"
status_is 0
ok "map by an nbds URI: what was written without TLS is read with it"
client unmap tls
status_is 0 && wait "$aside"
ok "unmap ends that, too"
client map tls "nbds://localhost:$port/?tls-hostname=elsewhere" --ca pki/ca-cert.pem
failed_with 5 && err_has "is not for elsewhere"
ok "map with the wrong host name: refused, no disk"
stop "$pid"

# A server without a handshake, for the driver and for this process.
free_port
start python3 "$root/tests/wine/bare_server.py" "$port"
wait_until listens "$port"
client map bare 127.0.0.1 --port "$port" --skip-handshake
failed_with 87 && err_has "--skip-handshake needs --disk-size and --block-size"
ok "map --skip-handshake needs the sizes"
for how in "" --user-space; do
	map_here bare 127.0.0.1 --port "$port" $how \
		--skip-handshake --disk-size 1M --block-size 512
	client show bare
	out_has "SkipNegotiation           : 1" && out_has "BlockCount                : 2048"
	shown=$?
	drive "write bare seed=6 piece=4096 length=65536" \
		"check bare seed=6 piece=4096 length=65536"
	status_is 0 && client unmap bare && [ "$shown" -eq 0 ] && wait "$aside"
	ok "map --skip-handshake $how"
done
stop "$pid"
# Nothing else wakes the disk but the time that the request has; the port's own is
# longer.
for how in "" --user-space; do
	free_port
	rm -f "$dir/ends"
	start python3 "$root/tests/wine/bare_server.py" "$port" 1 "$dir/ends"
	wait_until listens "$port"
	map_here mute 127.0.0.1 --port "$port" $how --timeout 2 \
		--skip-handshake --disk-size 1M --block-size 512
	drive "write mute seed=7 piece=1048576 length=1048576 depth=1" \
		"check mute seed=7 piece=4096 length=1048576"
	status_is 0 && ! said "mute: reset" && client unmap mute && wait "$aside"
	ok "a server that reads nothing loses its connection in time $how"
	wait_until test -s "$dir/ends" && grep -q "^reset" "$dir/ends"
	ok "and nothing of the old write arrives later $how"
	sed 's/^/# /' "$dir/ends"
	stop "$pid"
done

# ---- several servers ----------------------------------------------------------------

# Both have one file.  What was not flushed when the first one dies is told to a flush,
# once; the second one gets what came after.
shows_servers() {
	client show many && tr '\n' ';' <"$dir/out" |
		grep -qF "Servers;$(printf '%-25s : %s;%-25s : %s;' "$@")"
}
truncate -s 16M "$dir/disk"
for how in "" --user-space; do
	serve file "$dir/disk"
	first=$pid first_port=$port
	serve file "$dir/disk"
	map_here many "127.0.0.1:$first_port,127.0.0.1" \
		--port "$port" $how --path-timeout 1 --fence 2
	drive "write many seed=31 length=4194304" "flush many" \
		"write many seed=32 length=65536"
	status_is 0 && wait_until shows_servers "127.0.0.1:$first_port" active \
		127.0.0.1 standby
	ok "two servers: show tells which one is used $how"
	kill -9 $(pgrep -P "$first")
	drive "check many seed=31 length=1048576 offset=1048576" \
		"write many seed=33 length=2097152 piece=16384" "! flush many" \
		"flush many" "check many seed=33 length=2097152" \
		"check many seed=31 length=2097152 offset=2097152"
	status_is 0
	ok "the first one dies: reads and writes succeed, one flush does not $how"
	wait_until shows_servers "127.0.0.1:$first_port" failed 127.0.0.1 active &&
		client list --json && python3 -c 'import json, sys
servers = json.load(sys.stdin)[0]["Servers"]
assert [s["State"] for s in servers] == ["failed", "active"], servers' <"$dir/out"
	ok "and show and list --json tell so $how"
	drive "read many file=$(wine_path "$dir/back") length=4194304"
	cmp -n 4194304 "$dir/back" "$dir/disk"
	ok "the file behind the servers has it $how"
	client unmap many && wait "$aside"
	status_is 0
	ok "unmap $how"
	stop "$pid"
done

# One that dies, and in whose place somebody takes connections and says nothing, for this
# process; a dial that is not cancelled takes 30 s.
serve file "$dir/disk"
first=$pid first_port=$port
serve file "$dir/disk"
second=$pid
map_here hang "127.0.0.1:$first_port,127.0.0.1:$port" \
	--user-space --path-timeout 5 --failback 1
kill -9 $(pgrep -P "$first")
began=$(date +%s)
start python3 -c "import socket, time
s = socket.create_server(('127.0.0.1', $first_port))
time.sleep(120)"
silent=$pid
drive "check hang seed=33 length=1048576"
status_is 0 && [ $(($(date +%s) - began)) -lt 25 ]
ok "a server that hangs is left for the next --user-space"
stop "$silent"
start nbdkit -f -i 127.0.0.1 -p "$first_port" file "$dir/disk"
first=$pid
is_back() {
	client list --json && grep -A1 ":$first_port" "$dir/out" | grep -q '"active"'
}
wait_until is_back && drive "check hang seed=33 length=1048576" "flush hang"
status_is 0
ok "and when it is there again it is gone back to, after --failback"
client unmap hang && wait "$aside"
status_is 0
ok "unmap of that"
stop "$first"
stop "$second"

# ---- a process that serves a disk ------------------------------------------------

aside mock rbd_mock.exe rbd/image 16
wait_until grep -qs mapped "$dir/mock/out"
client list
out_matches '^[0-9]+ +[0-9]+ +false  ceph-rbd-wnbd    rbd/image$'
ok "list: a disk in the way of rbd-wnbd"
drive "write rbd/image piece=4096 depth=8 seed=9 length=524288" \
	"check rbd/image piece=4096 depth=8 seed=9 length=524288" \
	"! check rbd/image piece=4096 depth=1 seed=9 offset=8388608 length=4096"
status_is 0
ok "its I/O, late and by other threads; an error is an error"
client unmap rbd/image
status_is 0 && wait "$aside" && cp "$dir/mock/out" "$dir/out" && out_has "pending 0" &&
	awk '/^received/ { r = $2 } /^replied/ { p = $2 }
	/^read errors/ { e = $3 } END { exit !(r >= 257 && r == p && e >= 1) }' "$dir/out"
ok "its counters add up"
run_wine api_sample.exe sample
status_is 0 && ! grep -vE ' (0|PERSISTENT_RESERVE_OUT)$' "$dir/out" | grep -vxE \
	'Wnbd(IoctlCreate|IoctlFetchRequest|RunNbdDaemon|RunNbdDaemonEx) 87|WnbdIoctl(Show|Stats|Remove) 2|WnbdIoctl(SetDiskSize|SetServers|SendResponse) 6|WnbdIoctlGetIOLimits 1|WnbdSendResponseEx 1168|WnbdRemoveEx 2|WnbdInstallDriver 2' >"$dir/err"
ok "the C++ sample: every function, with a disk"

# ---- driver options ---------------------------------------------------------------

client list-opt
status_is 0 && out_has "LogLevel               : 1 (Default: 1)" &&
	out_has "NewMappingsAllowed     : true (Default: true)" &&
	out_has "StaleConnTimeoutMs     : 60000 (Default: 60000)"
ok "list-opt"
client set-opt loglevel 4 --persistent
status_is 0 && client get-opt LogLevel && out_is "Name: LogLevel" "Value: 4"
ok "set-opt, get-opt"
client list-opt --persistent
status_is 0 && out_is "LogLevel               : 4 (Default: 1)"
ok "list-opt --persistent"
client reset-opt LogLevel --persistent
status_is 0 && client get-opt LogLevel && out_has "Value: 1" && client get-opt LogLevel \
	--persistent
failed_with 2
ok "reset-opt"
client reset-opt LogLevel --persistent
failed_with 2
ok "reset-opt --persistent where nothing is stored: 2"
client set-opt --value 3 --name loglevel && client get-opt --name LogLevel
status_is 0 && out_has "Value: 3" && client reset-opt LogLevel
ok "names and values as options"
client set-opt Nonsense 1
failed_with 2
ok "an option that there is not: 2"
client set-opt LogLevel high
[ "$status" -ne 0 ] && err_has "wnbd-client: LogLevel: "
ok "a value that it cannot have"

client reset-adapter
status_is 0
ok "reset-adapter"
serve memory 1M
echo 99 >veto
client reset-adapter --reset-timeout 1 --reset-retry-interval 1
failed_with 1460
ok "reset-adapter: refused for the whole time: 1460"
client map foo 127.0.0.1 --port "$port"
client reset-adapter --hard --reset-timeout 1 --reset-retry-interval 1
failed_with 1460 && client list && [ "$(wc -l <"$dir/out")" -eq 1 ] &&
	client get-opt NewMappingsAllowed && out_has "Value: true"
ok "reset-adapter --hard-disconnect-mappings: new mappings are allowed again"
echo 3 >veto
client reset-adapter --reset-timeout 0 --reset-retry-interval 1
status_is 0 && grep -q "^0" veto
ok "reset-adapter: a time-out of 0 is none"
client map foo 127.0.0.1 --port "$port" && wait_until has_number
echo 3 >veto
client unmap foo --soft-disconnect-timeout 0 --soft-disconnect-retry-interval 1 \
	--no-hard-disconnect-fallback
status_is 0 && grep -q "^0" veto
ok "unmap: a time-out of 0 is none"
stop "$pid"
rm veto

# ---- the end -----------------------------------------------------------------------

serve memory 1M
client map last 127.0.0.1 --port "$port"
client uninstall-driver
status_is 0 && [ ! -e "$drivers/wnbd.sys" ] && client list
failed_with 110
ok "uninstall-driver, with a disk mapped: nothing answers any more"
timeout 30 "$wine" reg query 'HKLM\System\CurrentControlSet\Services\wnbd' \
	>/dev/null 2>&1
[ $? -ne 0 ] && ! ls "$WINEPREFIX"/drive_c/windows/inf/oem*.inf >/dev/null 2>&1
ok "no service and no driver package is left"
{ wait_until said "not freed" && said "VERIFIER: 0 violations, not freed: 0 blocks, \
0 IRPs, 0 MDLs, 0 processes"; } || { rig_tell; false; }
ok "the verifier has nothing to say about the driver"
rig_end
