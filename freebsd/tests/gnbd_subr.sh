# gnbd_subr.sh - what the tests of gnbd(8) share: a server, devices, patience.
# SPDX-License-Identifier: BSD-2-Clause
#
# Variables of kyua (test_suites.nbdisk.NAME), or -v NAME=VALUE of atf-sh:
#
#   server	HOST:PORT of an NBD server whose default export may be overwritten:
#		64 MiB or more, TRIM, FLUSH, several connections
#   control	HOST:PORT that takes "stop", "start", "freeze", "thaw" or "grow" as a
#		line, does that to the server, and answers "done"
#   other_server	HOST:PORT of a second server of the same disk
#   other_control	as control, of that one
#   small_server	a server of a smaller disk
#   tls_server	a server with TLS required; HOST is what its certificate names
#   tls_control	as control, of that one
#   tls_ca	the file of the CA that signed that certificate
#   tls_verify_server	one that demands a certificate of its clients, too
#   tls_cert	a file with one that it trusts
#   tls_key	and its key
#
# Without "server" a test starts nbdkit on this machine, if there is one.

MIB=1048576
DEVS=devices
PIDS=processes

# gnbd_test_case NAME DESCRIPTION: with root, and the common cleanup.
gnbd_test_case()
{
	atf_test_case "$1" cleanup
	eval "${1}_head() {
		atf_set descr '$2'
		atf_set require.user root
		atf_set require.progs "gnbd kldstat"
		atf_set timeout 600
	}
	${1}_cleanup() { gnbd_cleanup; }"
}

gnbd_require_server()
{
	local server

	server=$(atf_config_get server "")
	if [ -z "$server" ]; then
		atf_require_prog nbdkit
		truncate -s 128m disk
		server=127.0.0.1:10818
		gnbd_server start
	elif [ -n "$(atf_config_get control "")" ]; then
		gnbd_server start	# a test that failed may have stopped it
	fi
	HOST=${server%:*}
	PORT=${server##*:}
}

# A second one, of the same disk: its URI is in $OTHER.
gnbd_require_other_server()
{
	gnbd_require_server
	OTHER=$(atf_config_get other_server "")
	if [ -z "$OTHER" ]; then
		[ -z "$(atf_config_get server "")" ] ||
		    atf_skip "other_server is not set"
		OTHER=127.0.0.1:10819
		gnbd_server start other_
	elif [ -n "$(atf_config_get other_control "")" ]; then
		gnbd_server start other_
	fi
	OTHER=nbd://$OTHER
}

# gnbd_server stop | start | freeze | thaw | grow [other_]: stop is kill -9; a frozen
# server keeps its connections, and is silent; one that grows has 64 MiB more.
gnbd_server()
{
	local control port=10818

	control=$(atf_config_get "${2}control" "")
	if [ -n "$control" ]; then
		atf_check -o inline:"done\n" sh -c \
		    "echo $1 | nc -N ${control%:*} ${control##*:}"
		return
	fi
	[ -z "$(atf_config_get server "")" ] || atf_skip "${2}control is not set"
	case $1 in
	stop)
		kill -KILL "$(cat "$2server.pid")"
		;;
	freeze)
		kill -STOP "$(cat "$2server.pid")"
		;;
	thaw)
		kill -CONT "$(cat "$2server.pid")"
		;;
	grow)
		truncate -s +64m disk
		;;
	start)
		rm -f "$2server.pid"
		[ -z "$2" ] || port=10819
		nbdkit -i 127.0.0.1 -p $port -P "$2server.pid" file disk
		cat "$2server.pid" >>$PIDS
		;;
	esac
}

# The kernel's module stays loaded from test to test, but where a test is about that.
gnbd_load()
{
	kldstat -q -m g_nbd || atf_check gnbd load
}

# gnbd_connect OPTION...: leaves the new device's name in $dev.
gnbd_connect()
{
	gnbd_load
	atf_check -o save:connected gnbd connect -p "$PORT" "$@" "$HOST"
	dev=$(cat connected)
	echo "$dev" >>$DEVS
	gnbd_wait test -c "/dev/$dev"
}

# gnbd_wait COMMAND...: until it succeeds, for at most a minute.
gnbd_wait()
{
	local tries=0

	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 240 ] || atf_fail "in a minute, never: $*"
		sleep 0.25
	done
}

# gnbd_field NAME: of "gnbd list $dev".
gnbd_field()
{
	gnbd list "$dev" | sed -n "s/^ *$1: //p"
}

gnbd_field_is()
{
	[ "$(gnbd_field "$1")" = "$2" ]
}

gnbd_active_is()
{
	gnbd_field_is ActiveConnections "$1"
}

# Without a sound, so that its output is the checksum alone.
gnbd_md5()
{
	dd if="$1" bs=1m count="$2" status=none | md5
}

# gnbd_fsck DEVICE: a file system without a fault.
gnbd_fsck()
{
	atf_check -o save:fsck fsck_ffs -n -f "/dev/$1"
	atf_check -s exit:1 grep -E "INCONSISTENCY|SALVAGE|BAD|INCORRECT|UNREF" fsck
}

gnbd_random()
{
	dd if=/dev/random of="$1" bs=1m count="$2" status=none
}

not()
{
	! "$@"
}

# gnbd_load_start: reads and writes of all sizes in the second half of 64 MiB, until
# gnbd_load_stop.  Its errors are in load.err.
gnbd_load_start()
{
	: >load.err
	(while [ ! -e load.stop ]; do
		dd if=/dev/zero of="/dev/$dev" bs=1m oseek=32 count=16 status=none
		dd if="/dev/$dev" of=/dev/null bs=64k iseek=768 count=256 status=none
		dd if="/dev/$dev" of=/dev/null bs=4k iseek=12288 count=512 status=none
	done) 2>>load.err &
	echo $! >load.pid
	cat load.pid >>$PIDS
}

gnbd_load_stop()
{
	: >load.stop
	wait "$(cat load.pid)"
	rm -f load.stop
}

# gnbd_devd_start FILE.  What happened before this test waits in devctl(4)'s queue; a memory
# disk marks its end.
gnbd_devd_start()
{
	atf_require_prog devd
	! pgrep -x devd >/dev/null || atf_skip "another devd(8) is running"
	devd -d -f "$1" >devd.out 2>&1 &
	echo $! >>$PIDS
	atf_check mdconfig -a -t malloc -s 1m -u $$
	atf_check mdconfig -d -u $$
	gnbd_wait grep -q "cdev=md$$" devd.out
}

gnbd_cleanup()
{
	local name

	umount -f mnt 2>/dev/null
	[ ! -e $DEVS ] || while read -r name; do
		gnbd disconnect -f "$name" 2>/dev/null
	done <$DEVS
	: >load.stop
	[ ! -e $PIDS ] || while read -r name; do
		kill "$name" 2>/dev/null
	done <$PIDS
	return 0
}
