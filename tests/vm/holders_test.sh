#!/bin/bash
# holders_test.sh NBDISK - who keeps a device from being detached is named, and nothing
# has changed; in the machine of vm_test.sh, whose kernel has what stands on disks.
# SPDX-License-Identifier: BSD-2-Clause

nbdisk=$1
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

needs nbdkit dmsetup mkfs.btrfs mkswap unshare
load_modules holders
for n in 1 2; do
	truncate -s 256M "$dir/disk$n"
	start_nbdkit "$dir/s$n" file "$dir/disk$n"
done
second=second$$
run nb connect --device "$second" "$dir/s2"
loop2=$(realpath "/dev/nbdisk/$second")
run nb connect --device "$name" "$dir/s1"
loop=$(realpath "$device")
node=${loop#/dev/}
echo "# on $node"
status_is 0
ok "two devices"

# held TEXT: so says disconnect, and the device is as it was
held() {
	run nb disconnect "$name"
	status_is 1 && err_has "$name: it is in use:" && err_has "$1" && [ -L "$device" ] &&
		dd if="$device" of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null
}

dmsetup create upper --table "0 2048 linear $device 0" && dmsetup mknodes
held "$node is under dm-0 (upper)"
ok "under a mapping, which nobody uses"
mkfs.ext4 -q -O ^has_journal /dev/mapper/upper && mount /dev/mapper/upper "$mnt"
held "dm-0 (upper) is mounted on $mnt"
ok "under a mapping that is mounted"
umount "$mnt"
dmsetup remove --retry upper
mkswap "$device" >/dev/null && swapon "$device"
held "$node is swap space"
ok "swap space"
swapoff "$device"
upper=$(losetup -f --show "$device")
held "$node is under ${upper#/dev/}"
ok "under a loop device"
losetup -d "$upper"

mkfs.btrfs -q -f -d raid1 -m raid1 "$loop2" "$loop" && mount "$loop2" "$mnt"
held "$node is a member of the btrfs " && err_lacks "mounted"
ok "a member of a file system that another disk is mounted for"
umount "$mnt"

mkfs.ext4 -q -F -O ^has_journal "$device"
unshare -m --propagation private bash -c "mount $device $mnt; echo there; exec sleep 1000" \
	>"$dir/inside" &
inside=$!
wait_until [ -s "$dir/inside" ]
held "$node is mounted on $mnt, where sleep (process $inside) is"
ok "mounted in a mount name space of its own"
kill $inside
wait $inside 2>/dev/null
mount "$device" "$mnt"
(cd "$mnt" && exec sleep 1000) &
stands=$!
sleep 1000 <"$mnt/lost+found" &
opener=$!
leads_to() { [ "$(readlink "/proc/$1")" = "$2" ]; }
wait_until leads_to "$stands/cwd" "$mnt"
wait_until leads_to "$opener/fd/0" "$mnt/lost+found"
held "$node is mounted on $mnt" && err_has "sleep (process $stands) stands in $mnt" &&
	err_has "sleep (process $opener) has $mnt/lost+found open"
ok "mounted: who stands in it, who has a file open"
kill $stands $opener
wait $stands $opener 2>/dev/null
unshare -m --propagation private bash -c "echo there; exec sleep 1000" >"$dir/copied" &
copy=$!
wait_until [ -s "$dir/copied" ]
umount "$mnt"
held "where sleep (process $copy) is"
ok "a copy of the mount, in a container, when ours has gone"
kill $copy
wait $copy 2>/dev/null
sleep 1000 <"$device" &
opener=$!
wait_until leads_to "$opener/fd/0" "$loop"
held "sleep (process $opener) has $loop open"
ok "a process has it open"
kill $opener
wait $opener 2>/dev/null
run nb disconnect "$name"
status_is 0 && nothing_left
ok "when nobody has it, it goes"
nb disconnect "$second"
finish
