# gnbd_verbs_test.sh - gnbd(8)'s verbs, and nothing left when they are done.
# SPDX-License-Identifier: BSD-2-Clause

. "$(atf_get_srcdir)/gnbd_subr.sh"

gnbd_test_case load_unload "the module comes and goes, ten times"
load_unload_body()
{
	local i

	! kldstat -q -m g_nbd || atf_check gnbd unload
	for i in $(jot 10); do
		atf_check gnbd load
		atf_check kldstat -q -m g_nbd
		atf_check gnbd unload
		atf_check -s exit:1 kldstat -q -m g_nbd
	done
}

gnbd_test_case connect "connect prints the name; disconnect removes it"
connect_body()
{
	gnbd_require_server
	gnbd_connect
	atf_check_equal "nbd${dev#nbd}" "$dev"
	atf_check -o match:"$dev" gnbd status -s "$dev"
	atf_check gnbd disconnect "$dev"
	gnbd_wait not test -e "/dev/$dev"
	atf_check -s exit:1 -e match:"no NBD device" gnbd disconnect "$dev"
}

gnbd_test_case list "list shows the server and the device"
list_body()
{
	gnbd_require_server
	gnbd_connect
	atf_check -o save:list gnbd list "$dev"
	atf_check -o ignore grep -x "Geom name: $dev" list
	atf_check -o ignore grep -x "Connections: 1" list
	atf_check -o ignore grep -x "TLS: no" list
	atf_check -o ignore grep -x "Host: $HOST" list
	atf_check -o ignore grep -x "Port: $PORT" list
	atf_check -o ignore grep -x "State: CONNECTED" list
	atf_check -o ignore grep -x "   Mode: r0w0e0" list
	atf_check_equal "$(gnbd_field Size)" "$(diskinfo "$dev" | cut -f 3)"
}

gnbd_test_case attributes "diskinfo shows ident, description and TRIM"
attributes_body()
{
	gnbd_require_server
	gnbd_connect
	atf_check -o inline:"$HOST:$PORT/\n" diskinfo -s "$dev"
	atf_check -o save:info diskinfo -v "$dev"
	atf_check -o match:"NBD $HOST:$PORT/" grep "Disk descr" info
	atf_check -o match:"Yes" grep "TRIM/UNMAP support" info
	atf_check_equal "$(gnbd_field PreferredBlocksize)" \
	    "$(diskinfo "$dev" | cut -f 5)"
}

gnbd_test_case four_connections "one device over four connections"
four_connections_body()
{
	gnbd_require_server
	gnbd_connect -c 4
	atf_check_equal "$(gnbd_field ActiveConnections)" 4
	gnbd_random data 16
	atf_check dd if=data of="/dev/$dev" bs=1m status=none
	atf_check_equal "$(gnbd_md5 data 16)" "$(gnbd_md5 "/dev/$dev" 16)"
}

gnbd_test_case scale "scale goes up and down"
scale_body()
{
	gnbd_require_server
	gnbd_connect
	for n in 4 2 8 1 3; do
		atf_check gnbd scale -c $n "$dev"
		gnbd_wait gnbd_active_is $n
	done
	atf_check -s exit:1 -e match:"Invalid number" gnbd scale -c 0 "$dev"
}

# Connections of this machine that are up.
tcp_established()
{
	sysctl -n net.inet.tcp.states | awk '{ print $5 }'
}

dials()
{
	[ "$(tcp_established)" -ge "$1" ]
}

# seconds_since TIME
seconds_since()
{
	echo $(($(date +%s) - $1))
}

# Both see one connection, and bring 31 more.  There is room for those of one; to wait
# for room that does not come would take five seconds for each of the others, and all of
# GEOM waits meanwhile.
gnbd_test_case scale_twice "connections that there is no room for are refused at once"
scale_twice_body()
{
	local base begin once one two took

	gnbd_require_server
	[ -n "$(tcp_established)" ] ||
		atf_skip "this sysctl(8) cannot show net.inet.tcp.states"
	gnbd_connect
	begin=$(date +%s)
	atf_check gnbd scale -c 32 "$dev"
	once=$(seconds_since "$begin")
	atf_check gnbd scale -c 1 "$dev"
	gnbd_wait gnbd_active_is 1
	gnbd_server freeze
	base=$(tcp_established)
	gnbd scale -c 32 "$dev" 2>refused &
	one=$!
	gnbd scale -c 32 "$dev" 2>>refused &
	two=$!
	gnbd_wait dials $((base + 2))
	begin=$(date +%s)
	gnbd_server thaw
	wait $one $two
	atf_check -o ignore grep "error 16" refused
	gnbd_wait gnbd_active_is 32
	took=$(seconds_since "$begin")
	[ "$took" -lt $((75 + 4 * once)) ] || atf_fail "31 refusals took $took s"
}

gnbd_test_case file "connect takes server and options from a file"
file_body()
{
	gnbd_require_server
	gnbd_load
	cat >disk.conf <<-EOF
	# The disk of this test.
	uri = nbd://$HOST:$PORT
	connections = 3
	dead-timeout = 2m
	sector-size = 4K
	EOF
	atf_check -o save:connected gnbd connect "$PWD/disk.conf"
	dev=$(cat connected)
	echo "$dev" >>$DEVS
	gnbd_wait test -c "/dev/$dev"
	atf_check_equal 3 "$(gnbd_field ActiveConnections)"
	atf_check_equal 4096 "$(diskinfo "$dev" | cut -f 2)"
	atf_check gnbd disconnect "$dev"
	atf_check -o save:connected gnbd connect -c 1 ./disk.conf
	dev=$(cat connected)
	echo "$dev" >>$DEVS
	atf_check_equal 1 "$(gnbd_field ActiveConnections)"
	echo "conections = 2" >>disk.conf
	atf_check -s exit:1 -e match:'disk.conf:6: gnbd has no "conections"' \
	    gnbd connect ./disk.conf
}

gnbd_test_case mistakes "mistakes are named"
mistakes_body()
{
	gnbd_require_server
	gnbd_load
	atf_check -s exit:1 -e match:"Invalid number of connections" \
	    gnbd connect -c 0 "$HOST"
	atf_check -s exit:1 -e not-empty gnbd connect -p 1 127.0.0.1
	atf_check -s exit:1 -e match:"needed with each other" \
	    gnbd connect -C cert.pem "$HOST"
	atf_check -s exit:1 -e match:"stripe size is to be a multiple" \
	    gnbd connect -p "$PORT" -S 777 "$HOST"
	atf_check -s exit:1 -e match:"is not a port" gnbd connect -p 65536 "$HOST"
	gnbd_connect
	atf_check -s exit:1 -e match:"TLS is not used on this device" \
	    gnbd scale -A ca.pem -c 2 "$dev"
}

# gnbd_local_server SOCKET: nbdkit; else nc(1) relays one connection to the server.
gnbd_local_server()
{
	if command -v nbdkit >/dev/null; then
		truncate -s 64m disk
		nbdkit -U "$1" -P socket.pid file disk
		cat socket.pid >>$PIDS
		return
	fi
	[ "$(uname -K)" -ge 1500000 ] || atf_skip "nbdkit is not installed"
	gnbd_require_server
	mkfifo back
	nc -N -l -U "$1" <back | nc -N "$HOST" "$PORT" >back &
	echo $! >>$PIDS
	gnbd_wait test -S "$1"
}

gnbd_test_case local "a UNIX socket serves, or is refused: FreeBSD 15"
local_body()
{
	gnbd_load
	gnbd_local_server "$PWD/socket"
	atf_check -o ignore gnbd exports "$PWD/socket"
	if [ "$(uname -K)" -ge 1500000 ]; then
		atf_check -s exit:1 -e match:"over a UNIX socket" \
		    gnbd connect "$PWD/socket"
		return
	fi
	atf_check -o save:connected gnbd connect "$PWD/socket"
	dev=$(cat connected)
	echo "$dev" >>$DEVS
	gnbd_random data 4
	atf_check dd if=data of="/dev/$dev" bs=1m status=none
	atf_check_equal "$(gnbd_md5 data 4)" "$(gnbd_md5 "/dev/$dev" 4)"
}

gnbd_test_case busy "an open device is disconnected only by force"
busy_body()
{
	gnbd_require_server
	gnbd_connect
	sleep 60 <"/dev/$dev" &
	echo $! >>$PIDS
	gnbd_wait gnbd_field_is Mode r1w0e0
	atf_check -s exit:1 -e match:"in use" gnbd disconnect "$dev"
	atf_check -s not-exit:0 -e not-empty gnbd unload
	atf_check gnbd disconnect -f "$dev"
	atf_check -s exit:1 test -e "/dev/$dev"
	atf_check gnbd unload
}

gnbd_test_case mounted "a mounted file system does not keep the device"
mounted_body()
{
	gnbd_require_server
	gnbd_connect
	atf_check -o ignore newfs "/dev/$dev"
	mkdir mnt
	atf_check mount -r "/dev/$dev" mnt
	atf_check gnbd disconnect -f "$dev"
	atf_check gnbd unload
	atf_check umount -f mnt
}

gnbd_test_case unload_connected "unload disconnects what is not open"
unload_connected_body()
{
	gnbd_require_server
	gnbd_connect -c 4
	atf_check gnbd unload
	gnbd_wait not test -e "/dev/$dev"
}

# Pieces of memory of the module, as vmstat(8) knows them: malloc(9)'s, and the
# zone's.
gnbd_in_use()
{
	{ vmstat -m; vmstat -z; } | awk -F '[[:space:]:,]+' '
	    { sub(/^ +/, "") }
	    $1 == "gnbd" { n += $2 }
	    $1 == "g_nbd_io" { n += $4 }
	    END { print n + 0 }'
}

gnbd_test_case no_leaks "devices leave no memory behind"
no_leaks_body()
{
	local i

	gnbd_require_server
	! kldstat -q -m g_nbd || atf_check gnbd unload
	gnbd_load
	atf_check_equal 0 "$(gnbd_in_use)"
	for i in $(jot 5); do
		gnbd_connect -c 4
		[ "$(gnbd_in_use)" -gt 0 ] || atf_fail "nothing is counted"
		atf_check dd if=/dev/zero of="/dev/$dev" bs=1m count=8 status=none
		atf_check gnbd scale -c 2 "$dev"
		atf_check gnbd scale -c 3 "$dev"
		atf_check gnbd disconnect "$dev"
		gnbd_wait not test -e "/dev/$dev"
	done
	gnbd_wait test "$(gnbd_in_use)" -eq 0
	atf_check gnbd unload
	atf_check -s exit:1 -o empty sh -c \
	    "dmesg | grep 'memory type gnbd leaked'"
}

atf_init_test_cases()
{
	for name in load_unload connect list attributes four_connections scale \
	    scale_twice file mistakes local busy mounted unload_connected no_leaks; do
		atf_add_test_case $name
	done
}
