# device.sh - for tests of one device on this machine: $name, $device, mounted at $mnt.
# SPDX-License-Identifier: BSD-2-Clause
#
# Source it behind lib.sh, with $nbdisk.  However the test ends, the device goes.

name=test$$
device=/dev/nbdisk/$name
sock=$dir/s
mnt=$dir/mnt
mkdir "$mnt"

nb() { timeout 300 "$nbdisk" "$@"; }

# needs TOOL...: these, and what a device takes, or the whole test is skipped
needs() {
	for tool; do
		if [ "$(id -u)" -ne 0 ] || [ ! -e /dev/fuse ] || ! have "$tool"; then
			echo "1..0 # SKIP needs root, FUSE and $tool"
			exit 0
		fi
	done
}

nothing_left() {
	! grep -q "/$name/mnt " /proc/mounts && [ ! -e "$NBDISK_STATE_DIR/$name" ] &&
		[ ! -L "$device" ] &&
		! grep -qs "/$name/mnt/" /sys/block/loop*/loop/backing_file &&
		! pgrep -f -- "--device $name" >/dev/null
}

remove_device() {
	exec 2>/dev/null
	! mountpoint -q "$mnt" || umount -l "$mnt"
	[ ! -e "$NBDISK_STATE_DIR/$name" ] || nb disconnect --force "$name"
}
trap 'remove_device; cleanup' EXIT

# A machine of tests/vm has the kernel's TLS, and what that needs, as files.
# load_modules LIST: those of initrd.sh
load_modules() {
	[ ! -e "/modules/$1" ] || while read -r module; do
		insmod "/modules/$module" 2>/dev/null
	done <"/modules/$1"
}
# A server's certificate and key, and who signed that, are in $pki: the machine's of
# vm_test.sh, or new ones.
find_server_keys() {
	pki=/t/tls
	[ ! -d $pki ] || return 0
	pki=$dir
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority \
		-keyout "$dir/ca-key.pem" -out "$dir/ca-cert.pem" 2>/dev/null
	openssl req -newkey rsa:2048 -nodes -subj /CN=disks \
		-keyout "$dir/server-key.pem" -out "$dir/request.pem" 2>/dev/null
	openssl x509 -req -in "$dir/request.pem" -CA "$dir/ca-cert.pem" -CAcreateserial \
		-CAkey "$dir/ca-key.pem" -days 2 -out "$dir/server-cert.pem" 2>/dev/null
}
load_kernel_tls() { load_modules more; }
# Linux 6.14, with TLS: it gets the session of a device, others do not.
kernel_takes_tls() {
	[ "$(printf '6.14\n%s\n' "$(uname -r)" | sort -V | head -1)" = 6.14 ] &&
		[ -e /proc/net/tls_stat ]
}

# serve COMMAND...: a server at $sock, without the time limit of start
serve() {
	rm -f "$sock"
	"$@" >>"$dir/server.log" 2>&1 </dev/null &
	server=$!
	pids="$pids $server"
	wait_until serves "$sock"
}
serve_disk() { serve nbdkit -f -U "$sock" file "$dir/disk"; }
# The process id is not kept: another process may get it.
kill_server() {
	kill -9 "$server"
	wait "$server" 2>/dev/null
	pids=${pids% "$server"}
}

# Trees of files with a list of their checksums below $mnt, until the file "enough" is
# there.
write_files() {
	round=0
	while [ ! -e "$dir/enough" ]; do
		round=$((round + 1))
		tree=$mnt/tree$((round % 4))
		rm -rf "$tree" && mkdir "$tree" || return
		for i in $(seq 40); do
			head -c $((RANDOM * 4 + i)) /dev/urandom >"$tree/$i" || return
		done
		(cd "$tree" && sha256sum -- [0-9]* >sums) || return
		[ $((round % 3)) -ne 0 ] || sync -f "$mnt" || return
	done
	rm "$dir/enough"
	sync -f "$mnt"
}

check_files() {
	for tree in "$mnt"/tree*; do
		(cd "$tree" && sha256sum --quiet -c sums) || return
	done
}
