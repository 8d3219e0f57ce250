# outlives.sh - for tests of a device that outlives its daemon, by $way: ublk or fuse.
# SPDX-License-Identifier: BSD-2-Clause
#
# Source it behind device.sh.  Over io_uring FUSE's does not.

# nbdkit 1.32 was seen to abort when its clients are cut off in the middle.
serve_file() { serve qemu-nbd -t -e 8 -f raw -k "$sock" "$1"; }
connect() {
	if [ $way = fuse ] && [ -e $uring_switch ]; then
		with_uring N nb connect --via fuse "$@"
	else
		nb connect --via $way "$@"
	fi
}
daemon() { nb show "$name" 2>/dev/null | sed -n 's/^Pid: //p'; }
takeovers() { nb show "$name" | sed -n 's/^Takeovers: //p'; }
helper() { pgrep -P "$(daemon)" -x nbdisk-helper; }
# All of this test's.
helpers() {
	for helper in $(pgrep -x nbdisk-helper); do
		! grep -qsz "^NBDISK_STATE_DIR=$run_dir\$" "/proc/$helper/environ" ||
			echo "$helper"
	done
}
busy() { [ "$(nb stats "$name" 2>/dev/null | sed -n 's/^ *Commands: //p')" -gt 100 ]; }
# However fast fio is: over and over, until the file "enough" is there.
fio_until_enough() { # OPTION...
	while [ ! -e "$dir/enough" ]; do
		fio --filename="$device" --ioengine=libaio --direct=1 "$@" \
			--output="$dir/fio" >"$dir/fio.log" 2>&1 || return
	done
	rm "$dir/enough"
}
verify_until_enough() {
	fio_until_enough --name=verify --rw=randrw --bsrange=4k-256k --iodepth=32 \
		--size=128M --io_size=256M --verify=crc32c --verify_fatal=1 \
		--verify_state_save=0 --fdatasync=100
}
# under_verify COMMAND...: five times beside that.  False: there was an error, which is told,
# or it went only $times times.
under_verify() {
	verify_until_enough &
	fio=$!
	times=0
	while kill -0 $fio 2>/dev/null && [ $times -lt 5 ]; do
		wait_until busy && "$@" || break
		times=$((times + 1))
	done
	touch "$dir/enough"
	wait $fio && [ $times = 5 ] && return
	tail -n 3 "$dir/fio.log" | sed "s/^/# after $times times: /"
	return 1
}
put() {
	head -c 4096 /dev/zero | tr '\0' "$1" |
		dd of="$device" bs=4096 oflag=direct conv=notrunc status=none
}
sync_it() { dd if="$device" of="$device" bs=4096 count=0 conv=fsync,notrunc status=none; }
# A helper that would have started the next daemon may still wait for its turn.
detach() {
	run nb disconnect "$name"
	status_is 0 && wait_until nothing_left && ! { [ $way = ublk ] && ls /dev/ublk[bc]*; } 2>/dev/null
}

# begin SIZE TOOL...: a server of $dir/disk at $sock.  The whole test is skipped without
# these tools, or where no device outlives its daemon.
begin() {
	size=$1
	shift
	needs qemu-nbd "$@"
	truncate -s "$size" "$dir/disk"
	serve_file "$dir/disk"
	case $way in
	ublk) attached=ublk && load_modules ublk ;;
	fuse) attached="loop device over FUSE (/dev/fuse)" ;;
	esac
	connect --quiet --device "$name" "$sock" >/dev/null
	nb show "$name" >"$dir/shown"
	nb disconnect "$name"
	if grep -qx "OutlivesDaemon: no" "$dir/shown"; then
		echo "1..0 # SKIP this kernel does not resend requests of FUSE (Linux 6.9)"
		exit 0
	fi
	echo "# Linux $(uname -r)"
}
