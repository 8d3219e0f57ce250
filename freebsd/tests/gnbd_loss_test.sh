# gnbd_loss_test.sh - what a device does when its server goes, and under load.
# SPDX-License-Identifier: BSD-2-Clause

. "$(atf_get_srcdir)/gnbd_subr.sh"

gnbd_lose_server()
{
	gnbd_server stop
	gnbd_wait gnbd_field_is State DISCONNECTED
}

gnbd_test_case reconnect "the server restarts; I/O waits and goes on"
reconnect_body()
{
	gnbd_require_server
	gnbd_connect -c 4
	gnbd_random data 8
	atf_check dd if=data of="/dev/$dev" bs=1m status=none
	gnbd_load_start
	sleep 2
	gnbd_lose_server
	gnbd_server start
	atf_check gnbd reconnect -r 1 "$dev"
	gnbd_wait gnbd_active_is 4
	sleep 2
	gnbd_load_stop
	atf_check -o empty cat load.err
	atf_check_equal "$(gnbd_md5 data 8)" "$(gnbd_md5 "/dev/$dev" 8)"
}

# What was written is flushed before the last connection is left.
gnbd_test_case renew "all connections are made anew; I/O goes on, nothing is lost"
renew_body()
{
	local n

	gnbd_require_server
	for n in 1 4; do
		gnbd_connect -c $n -u fail
		gnbd_random data 8
		atf_check dd if=data of="/dev/$dev" bs=1m status=none
		gnbd_load_start
		sleep 1
		atf_check gnbd reconnect -a "$dev"
		atf_check_equal $((2 * n)) "$(gnbd_field ConnectionsMade)"
		atf_check_equal $n "$(gnbd_field ActiveConnections)"
		gnbd_load_stop
		atf_check -o empty cat load.err
		atf_check_equal 0 "$(gnbd_field Retries)"
		atf_check_equal 0 "$(gnbd_field FlushesFailed)"
		atf_check_equal "$(gnbd_md5 data 8)" "$(gnbd_md5 "/dev/$dev" 8)"
		atf_check gnbd disconnect "$dev"
	done
}

gnbd_test_case waiting "a write waits for the server to come back"
waiting_body()
{
	gnbd_require_server
	gnbd_connect
	gnbd_random data 4
	gnbd_lose_server
	dd if=data of="/dev/$dev" bs=1m status=none &
	sleep 2
	gnbd_server start
	atf_check gnbd reconnect "$dev"
	wait $! || atf_fail "the write failed"
	atf_check_equal "$(gnbd_md5 data 4)" "$(gnbd_md5 "/dev/$dev" 4)"
}

gnbd_test_case tasting "GEOM does not wait for a server that is away, and looks again"
tasting_body()
{
	gnbd_require_server
	gnbd_connect
	atf_check -o ignore newfs -L gnbdtest "/dev/$dev"
	gnbd_wait test -c /dev/ufs/gnbdtest
	gnbd_lose_server
	# The end of a write makes GEOM taste the device.
	atf_check dd if=/dev/null of="/dev/$dev" status=none
	gnbd_wait not test -e /dev/ufs/gnbdtest
	atf_check -o match:"State: DISCONNECTED" timeout 60 gnbd list "$dev"
	gnbd_server start
	atf_check timeout 60 gnbd reconnect -r 1 "$dev"
	gnbd_wait test -c /dev/ufs/gnbdtest
}

gnbd_test_case silent "GEOM does not wait for a silent server, and looks again"
silent_body()
{
	gnbd_require_server
	gnbd_connect
	atf_check -o ignore newfs -L gnbdtest "/dev/$dev"
	gnbd_wait test -c /dev/ufs/gnbdtest
	gnbd_server freeze
	# The end of a write makes GEOM taste the device.
	atf_check dd if=/dev/null of="/dev/$dev" status=none
	gnbd_wait not test -e /dev/ufs/gnbdtest
	atf_check -o match:"State: CONNECTED" timeout 60 gnbd list "$dev"
	gnbd_server thaw
	gnbd_wait test -c /dev/ufs/gnbdtest
}

gnbd_test_case dead_timeout "with -T, I/O fails in the end"
dead_timeout_body()
{
	gnbd_require_server
	gnbd_connect -T 2
	gnbd_lose_server
	atf_check -s exit:1 -e not-empty dd if="/dev/$dev" of=/dev/null bs=4k \
	    count=1 status=none
	gnbd_server start
}

gnbd_test_case scale_under_load "scale up and down, with I/O under way"
scale_under_load_body()
{
	local n

	gnbd_require_server
	gnbd_connect
	gnbd_load_start
	for n in 4 1 8 2 6 1; do
		atf_check gnbd scale -c $n "$dev"
		gnbd_wait gnbd_active_is $n
		sleep 1
	done
	gnbd_load_stop
	atf_check -o empty cat load.err
}

gnbd_test_case disconnect_under_load "a forced disconnect fails what is under way"
disconnect_under_load_body()
{
	gnbd_require_server
	gnbd_connect -c 4
	gnbd_load_start
	sleep 1
	atf_check gnbd disconnect -f "$dev"
	gnbd_wait not test -e "/dev/$dev"
	gnbd_load_stop
	atf_check -o not-empty cat load.err
}

gnbd_test_case dead_disconnect "a device without a server can be disconnected"
dead_disconnect_body()
{
	gnbd_require_server
	gnbd_connect -c 2
	gnbd_lose_server
	dd if="/dev/$dev" of=/dev/null bs=4k count=1 2>err &
	sleep 1
	atf_check gnbd disconnect -f "$dev"
	! wait $! || atf_fail "a read without a server"
	gnbd_wait not test -e "/dev/$dev"
	gnbd_server start
}

gnbd_test_case event "devd(8) is told of a lost connection, and of no other"
event_body()
{
	gnbd_require_server
	cat >devd.conf <<-EOF
	notify 10 {
		match "system" "GEOM";
		match "subsystem" "NBD";
		match "type" "DISCONNECTED";
		action "echo \$geom >>$PWD/lost";
	};
	EOF
	gnbd_devd_start "$PWD/devd.conf"
	rm -f lost
	gnbd_connect
	atf_check gnbd disconnect "$dev"
	gnbd_connect
	gnbd_server stop
	gnbd_wait test -s lost
	gnbd_server start
	atf_check -o inline:"$dev\n" cat lost
}

gnbd_test_case event_dead "devd(8) is told once that I/O fails"
event_dead_body()
{
	local i

	gnbd_require_server
	cat >devd.conf <<-EOF
	notify 10 {
		match "system" "GEOM";
		match "subsystem" "NBD";
		match "type" "DEAD";
		action "echo \$geom >>$PWD/dead";
	};
	EOF
	gnbd_devd_start "$PWD/devd.conf"
	gnbd_connect -T 1
	gnbd_lose_server
	for i in 1 2; do
		atf_check -s exit:1 -e not-empty dd if="/dev/$dev" of=/dev/null \
		    bs=4k count=1 status=none
	done
	gnbd_wait test -s dead
	gnbd_server start
	atf_check -o inline:"$dev\n" cat dead
}

gnbd_test_case event_resized "devd(8) is told that the disk has grown"
event_resized_body()
{
	local size

	gnbd_require_server
	cat >devd.conf <<-EOF
	notify 10 {
		match "system" "GEOM";
		match "subsystem" "NBD";
		match "type" "RESIZED";
		action "echo \$geom >>$PWD/resized";
	};
	EOF
	gnbd_devd_start "$PWD/devd.conf"
	gnbd_connect
	size=$(diskinfo "$dev" | cut -f 3)
	gnbd_server grow
	# The new connection has the new size; the old one is left, and made anew.
	atf_check gnbd scale -c 2 "$dev"
	gnbd_wait gnbd_active_is 1
	atf_check gnbd reconnect "$dev"
	gnbd_wait test -s resized
	atf_check_equal $((size + 64 * MIB)) "$(diskinfo "$dev" | cut -f 3)"
	atf_check -o inline:"$dev\n" cat resized
}

# What is in rc.conf(5) otherwise; the script's start is not run here.
gnbd_test_case resume "the rc.d script reconnects after a sleep"
resume_body()
{
	local script

	script=$(atf_get_srcdir)/gnbd
	[ -e "$script" ] || script=/usr/local/etc/rc.d/gnbd
	[ -e "$script" ] || atf_skip "the rc.d script is not here"
	gnbd_require_server
	gnbd_connect -c 2
	ln -sf "$dev" /dev/nbd.resumed
	gnbd_lose_server
	gnbd_server start
	atf_check -o ignore -e ignore env gnbd_enable=YES gnbd_devices=resumed \
	    sh "$script" resume
	atf_check_equal 2 "$(gnbd_field ActiveConnections)"
	rm -f /dev/nbd.resumed
}

gnbd_test_case devd_sample "devd(8) reconnects, as the sample tells it to"
devd_sample_body()
{
	local sample

	sample=$(atf_get_srcdir)/gnbd-devd.conf
	[ -e "$sample" ] || atf_skip "gnbd-devd.conf is not here"
	gnbd_require_server
	gnbd_devd_start "$sample"
	gnbd_connect -c 2
	gnbd_random data 4
	gnbd_lose_server
	dd if=data of="/dev/$dev" bs=1m status=none &
	sleep 2
	gnbd_server start
	wait $! || atf_fail "the write failed"
	gnbd_wait gnbd_active_is 2
	atf_check_equal "$(gnbd_md5 data 4)" "$(gnbd_md5 "/dev/$dev" 4)"
}

gnbd_test_case unload_under_load "unload refuses an open device, then is clean"
unload_under_load_body()
{
	gnbd_require_server
	gnbd_connect -c 4
	gnbd_load_start
	sleep 1
	sleep 30 <"/dev/$dev" &
	echo $! >>$PIDS
	atf_check -s not-exit:0 -e not-empty gnbd unload
	atf_check gnbd disconnect -f "$dev"
	atf_check gnbd unload
	gnbd_load_stop
	atf_check -s exit:1 kldstat -q -m g_nbd
	atf_check -s exit:1 -o empty sh -c \
	    "dmesg | grep 'memory type gnbd leaked'"
}

atf_init_test_cases()
{
	for name in reconnect renew waiting tasting silent dead_timeout scale_under_load \
	    disconnect_under_load dead_disconnect event event_dead event_resized resume \
	    devd_sample unload_under_load; do
		atf_add_test_case $name
	done
}
