# gnbd_tls_test.sh - devices over ktls(4).
# SPDX-License-Identifier: BSD-2-Clause

. "$(atf_get_srcdir)/gnbd_subr.sh"

# gnbd_require_tls [VARIABLE]: that names the server.
gnbd_require_tls()
{
	local server

	server=$(atf_config_get "${1:-tls_server}" "")
	[ -n "$server" ] || atf_skip "the variable ${1:-tls_server} is not set"
	CA=$(atf_config_get tls_ca)
	HOST=${server%:*}
	PORT=${server##*:}
	[ "$(sysctl -n kern.features.kern_tls 2>/dev/null)" != 0 ] &&
	    sysctl -n kern.ipc.tls.enable >/dev/null ||
	    atf_skip "the kernel has no ktls(4)"
	sysctl -n kern.ipc.tls.enable >tls_enable
	atf_check -o ignore sysctl kern.ipc.tls.enable=1
}

# gnbd_tls_test_case NAME DESCRIPTION: puts ktls(4) back as it was.
gnbd_tls_test_case()
{
	gnbd_test_case "$@"
	eval "${1}_cleanup() {
		gnbd_cleanup
		[ ! -e tls_enable ] ||
		    sysctl kern.ipc.tls.enable=\$(cat tls_enable)
	}"
}

gnbd_tls_test_case io "four connections, written and read back"
io_body()
{
	gnbd_require_tls
	gnbd_connect -c 4 -A "$CA"
	atf_check_equal "$(gnbd_field TLS)" yes
	atf_check_equal "$(gnbd_field ActiveConnections)" 4
	gnbd_random data 16
	for bs in 4k 128k 1m; do
		atf_check dd if=/dev/zero of="/dev/$dev" bs=1m count=16 status=none
		atf_check dd if=data of="/dev/$dev" bs=$bs status=none
		atf_check_equal "$(gnbd_md5 data 16)" "$(gnbd_md5 "/dev/$dev" 16)"
	done
}

gnbd_tls_test_case filesystem "newfs, mount, files, fsck"
filesystem_body()
{
	gnbd_require_tls
	gnbd_connect -A "$CA"
	atf_check -o ignore newfs -U "/dev/$dev"
	mkdir -p mnt
	atf_check mount "/dev/$dev" mnt
	gnbd_random data 12
	atf_check cp data mnt/data
	atf_check umount mnt
	gnbd_fsck "$dev"
	atf_check mount "/dev/$dev" mnt
	atf_check cmp data mnt/data
	atf_check umount mnt
}

gnbd_tls_test_case scale "scale and disconnect under load"
scale_body()
{
	gnbd_require_tls
	gnbd_connect -A "$CA"
	gnbd_load_start
	for n in 4 1 3; do
		atf_check gnbd scale -c $n -A "$CA" "$dev"
		gnbd_wait gnbd_active_is $n
	done
	gnbd_load_stop
	atf_check -o empty cat load.err
	atf_check -s exit:1 -e match:"TLS is used on this device" \
	    gnbd scale -c 4 "$dev"
	atf_check gnbd disconnect "$dev"
}

gnbd_tls_test_case watch "watch reconnects with TLS"
watch_body()
{
	gnbd_require_tls
	[ -n "$(atf_config_get tls_control "")" ] ||
	    atf_skip "tls_control is not set"
	gnbd_server start tls_
	gnbd_connect -c 2 -A "$CA" -u ignore
	gnbd watch -A "$CA" >watch.out 2>&1 &
	echo $! >>$PIDS
	gnbd_random data 8
	atf_check dd if=data of="/dev/$dev" bs=1m status=none
	gnbd_server stop tls_
	gnbd_wait gnbd_field_is State DISCONNECTED
	gnbd_server start tls_
	gnbd_wait gnbd_active_is 2
	atf_check_equal yes "$(gnbd_field TLS)"
	atf_check_equal "$(gnbd_md5 data 8)" "$(gnbd_md5 "/dev/$dev" 8)"
}

gnbd_tls_test_case disabled "kern.ipc.tls.enable=0 is named"
disabled_body()
{
	gnbd_require_tls
	gnbd_load
	atf_check -o ignore sysctl kern.ipc.tls.enable=0
	atf_check -s exit:1 -e match:"kern.ipc.tls.enable" \
	    gnbd connect -p "$PORT" -A "$CA" "$HOST"
}

gnbd_tls_test_case client "a server that knows its clients by their certificates"
client_body()
{
	local certificate

	gnbd_require_tls tls_verify_server
	certificate="-C $(atf_config_get tls_cert) -K $(atf_config_get tls_key)"
	gnbd_load
	atf_check -s exit:1 -e not-empty gnbd connect -p "$PORT" -A "$CA" "$HOST"
	# shellcheck disable=SC2086
	gnbd_connect -A "$CA" $certificate
	# shellcheck disable=SC2086
	atf_check gnbd scale -c 3 -A "$CA" $certificate "$dev"
	atf_check_equal "$(gnbd_field ActiveConnections)" 3
	gnbd_random data 4
	atf_check dd if=data of="/dev/$dev" bs=64k status=none
	atf_check_equal "$(gnbd_md5 data 4)" "$(gnbd_md5 "/dev/$dev" 4)"
}

gnbd_tls_test_case untrusted "a server that is not trusted, or not the one meant"
untrusted_body()
{
	gnbd_require_tls
	gnbd_load
	atf_check -s exit:1 -e match:"certificate" \
	    gnbd connect "nbds://$HOST:$PORT"
	atf_check -s exit:1 -e not-empty gnbd connect -p "$PORT" "$HOST"
}

atf_init_test_cases()
{
	for name in io filesystem scale watch disabled client untrusted; do
		atf_add_test_case $name
	done
}
