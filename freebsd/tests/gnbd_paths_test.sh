# gnbd_paths_test.sh - several servers of one disk.
# SPDX-License-Identifier: BSD-2-Clause

. "$(atf_get_srcdir)/gnbd_subr.sh"

# gnbd_connect_two OPTION...: the second server is the other one.
gnbd_connect_two()
{
	gnbd_require_other_server
	gnbd_load
	atf_check -o save:connected gnbd connect -P "${path_timeout:-1}" "$@" \
	    "nbd://$HOST:$PORT" "$OTHER"
	dev=$(cat connected)
	echo "$dev" >>$DEVS
	gnbd_wait test -c "/dev/$dev"
}

gnbd_path_is()
{
	gnbd_field_is ActivePath "$1" && gnbd_field_is State CONNECTED
}

# The servers' page cache is one, so what was written is there on both.
gnbd_written()
{
	gnbd_random data 8
	atf_check dd if=data of="/dev/$dev" bs=1m status=none
}

gnbd_same()
{
	atf_check_equal "$(gnbd_md5 data 8)" "$(gnbd_md5 "/dev/$dev" 8)"
}

gnbd_watch()
{
	gnbd watch >watch.out 2>&1 &
	echo $! >>$PIDS
}

gnbd_test_case shown "list shows both servers"
shown_body()
{
	gnbd_connect_two
	atf_check -o save:list gnbd list "$dev"
	atf_check -o ignore grep -x "Paths: 2" list
	atf_check -o ignore grep -x "ActivePath: 0" list
	atf_check -o ignore grep -x "Path0State: ACTIVE" list
	atf_check -o ignore grep -x "Path1State: STANDBY" list
	atf_check -o ignore grep -x "Path1Port: ${OTHER##*:}" list
	atf_check -o ignore grep -x "FenceBy: time" list
	atf_check -o match:"$dev .*CONNECTED" gnbd status "$dev"
}

gnbd_test_case compared "connect warns of a server that could not take over"
compared_body()
{
	local small

	small=$(atf_config_get small_server "")
	[ -n "$small" ] || atf_skip "small_server is not set"
	gnbd_require_server
	gnbd_load
	atf_check -o save:connected \
	    -e match:"warning: nbd://$small.* could not take the device over" \
	    gnbd connect "nbd://$HOST:$PORT" "nbd://$small"
	cat connected >>$DEVS
	atf_check -o save:connected -e match:"warning: .*127.0.0.1" \
	    gnbd connect "nbd://$HOST:$PORT" "nbd://127.0.0.1:1"
	cat connected >>$DEVS
}

gnbd_test_case failover "reconnect goes to the other server, under load"
failover_body()
{
	gnbd_connect_two -c 4 -f 1 -u ignore
	gnbd_written
	gnbd_load_start
	sleep 2
	gnbd_server stop
	gnbd_wait gnbd_field_is State DISCONNECTED
	atf_check gnbd reconnect -r 1 "$dev"
	atf_check_equal 1 "$(gnbd_field ActivePath)"
	atf_check_equal FAILED "$(gnbd_field Path0State)"
	gnbd_wait gnbd_active_is 4
	sleep 2
	gnbd_load_stop
	gnbd_server start
	atf_check -o empty cat load.err
	gnbd_same
}

gnbd_test_case watch "watch fails over, there and back, under load"
watch_body()
{
	gnbd_connect_two -c 2 -f 1 -u ignore
	gnbd_watch
	gnbd_written
	gnbd_load_start
	gnbd_server stop
	gnbd_wait gnbd_path_is 1
	gnbd_server start
	sleep 1
	gnbd_server stop other_
	gnbd_wait gnbd_path_is 0
	sleep 1
	gnbd_load_stop
	gnbd_server start other_
	atf_check -o empty cat load.err
	atf_check_equal 2 "$(gnbd_field Failovers)"
	atf_check -o ignore grep -x "$dev: is connected" watch.out
	gnbd_same
}

gnbd_test_case move "move goes to the other server by hand and loses nothing"
move_body()
{
	path_timeout=20		# a busy server has time to answer
	gnbd_connect_two -c 2
	gnbd_written
	gnbd_load_start
	for path in 1 0 1; do
		atf_check gnbd move "$dev"
		atf_check_equal $path "$(gnbd_field ActivePath)"
		sleep 1
	done
	gnbd_load_stop
	atf_check -o empty cat load.err
	atf_check_equal 0 "$(gnbd_field Failovers)"
	gnbd_same
	gnbd_server stop
	atf_check -s exit:1 -e match:"stays where it is" gnbd move "$dev" 0
	gnbd_server start
	gnbd_same
	atf_check -s exit:1 -e match:"has no server" gnbd move "$dev" 7
}

gnbd_test_case fence "the server that was left is fenced by a program"
fence_body()
{
	cat >fence <<-EOF
	#!/bin/sh
	echo "\$NBDISK_NAME \$NBDISK_OLD_URI" >>$PWD/fenced
	EOF
	chmod +x fence
	gnbd_connect_two -u replay -F "$PWD/fence"
	gnbd_written
	# Few enough that no flush of the device's own has covered it.
	atf_check dd if=data of="/dev/$dev" bs=1m count=1 status=none
	gnbd_server stop
	gnbd_wait gnbd_field_is State DISCONNECTED
	atf_check gnbd reconnect -r 1 "$dev"
	gnbd_wait test -s fenced
	gnbd_written
	gnbd_same
	gnbd_server start
	atf_check -o match:"^$dev nbd://$HOST:$PORT" cat fenced
}

gnbd_test_case devd "devd(8) fails over, as the sample tells it to"
devd_body()
{
	local sample

	sample=$(atf_get_srcdir)/gnbd-devd.conf
	[ -e "$sample" ] || atf_skip "gnbd-devd.conf is not here"
	gnbd_require_other_server
	gnbd_devd_start "$sample"
	gnbd_connect_two -c 2 -f 1 -u ignore
	gnbd_written
	gnbd_server stop
	gnbd_wait gnbd_path_is 1
	gnbd_same
	gnbd_server start
}

atf_init_test_cases()
{
	for name in shown compared failover watch move fence devd; do
		atf_add_test_case $name
	done
}
