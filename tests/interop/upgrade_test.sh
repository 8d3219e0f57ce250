#!/bin/bash
# upgrade_test.sh NBDISK WAY - daemons of WAY, ublk or fuse, that give way to a newer program;
# of ublk in the machine of vm_test.sh.
# SPDX-License-Identifier: BSD-2-Clause

. "$(dirname "$0")/../own_mounts.sh"
mine=$(mktemp -d /tmp/nbdisk-program.XXXXXX)
cp "$1" "$mine/nbdisk"
nbdisk=$mine/nbdisk
way=$2
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"
. "$tests/outlives.sh"

# A terminal would be told how far things are, in the middle of TAP.
exec 2>>"$dir/stderr"
begin 256M fio
attach() {
	run connect --device "$name" "$@"
	status_is 0
}
# The program's file is another one, as after an installation.
install_again() { cp "$nbdisk" "$mine/new" && mv "$mine/new" "$nbdisk"; }
runs_installed() { [ "/proc/$(daemon)/exe" -ef "$nbdisk" ]; }
ms() { echo $(($(date +%s%N) / 1000000)); }

attach --fence 1h "$sock"
put a && install_again && ! runs_installed
run nb upgrade "$name"
status_is 0 && runs_installed && [ "$(takeovers)" = 1 ]
ok "the daemon is of the program that is installed"
put b && [ "$(head -c 1 "$dir/disk")" = b ]
ok "writes wait for no fence"
put c && nb upgrade "$name" && sync_it
ok "what was not flushed is: the next flush is an ordinary one"
for i in 1 2 3 4 5; do
	before=$(ms)
	nb upgrade "$name" && put d || break
	echo "# upgraded and written in $(($(ms) - before)) ms"
done
[ "$(takeovers)" = 7 ]
ok "again and again"
kill -9 "$(daemon)"
detach
ok "and it ends as others do, though the last daemon was killed"

# ---- under load -----------------------------------------------------------------------

attach --fence 1h "$sock"
under_verify nb upgrade "$name"
ok "fio --verify: no error"
echo "# $times upgrades; the longest wait: $(sed -n 's/^ *clat (\([a-z]*\).*max=\([^,]*\),.*/\2 \1/p' \
	"$dir/fio" | tr '\n' ' ')"
fio --name=burst --filename="$device" --rw=write --bs=256k --iodepth=16 \
	--ioengine=libaio --direct=1 --size=64M >/dev/null 2>&1 &&
	run nb upgrade "$name" && status_is 0
ok "nobody asks for anything, after a burst of large writes"
mkfs.ext4 -q "$device" && mount "$device" "$mnt"
write_files >"$dir/writer.log" 2>&1 &
writer=$!
for i in 1 2 3 4 5; do
	sleep 1
	nb upgrade "$name" 2>>"$dir/writer.log" || break
done
touch "$dir/enough"
wait $writer && [ $i = 5 ] || {
	sed "s/^/# after $i upgrades: /" "$dir/writer.log"
	false
}
ok "ext4: no write failed, with flushes that would tell a loss"
check_files && umount "$mnt" && fsck.ext4 -fn "$device" >/dev/null 2>&1
ok "ext4: all checksums, and fsck finds nothing"
detach

# ---- in the foreground -----------------------------------------------------------------

# foreground: nobody may turn the switch back while it attaches, so as the switch is
if [ $way = fuse ] && grep -qs Y $uring_switch; then
	skip "in the foreground" "FUSE over io_uring is on"
else
"$nbdisk" connect --foreground --via $way --device "$name" "$sock" >"$dir/fg" 2>&1 &
keeper=$!
wait_until [ -b "$device" ] && nb upgrade "$name" && kill -9 "$(daemon)" &&
	old=0 && wait_until eval '[ "$(takeovers 2>/dev/null)" = 2 ]' && kill -0 $keeper
ok "in the foreground: the process that was started stays"
kill -TERM $keeper
wait $keeper && nothing_left
ok "and ends the device in order"
fi

# ---- what cannot be ---------------------------------------------------------------------

attach "$sock"
kill -STOP "$server"
put f &
writer=$!
before=$(daemon)
run nb upgrade --timeout 2s "$name"
status_is 1 && err_has "not done in time" && [ "$(daemon)" = "$before" ]
ok "a server that takes too long: it goes on as it was"
kill -CONT "$server"
wait $writer && put g && nb upgrade "$name" && [ "$(daemon)" != "$before" ]
ok "and later it is done"
kill_server
gone() { nb status "$name" | grep -q DISCONNECTED; }
wait_until gone
run nb upgrade "$name"
status_is 1 && err_has "the server is gone"
ok "no server: refused"
serve_file "$dir/disk"
put h
detach
ok "and nothing is left"
rm -rf "$mine"
finish
