# gnbd_io_test.sh - what is written is read back, whatever way it went.
# SPDX-License-Identifier: BSD-2-Clause

. "$(atf_get_srcdir)/gnbd_subr.sh"

# gnbd_size BLOCK COUNT: written and read in blocks of so many bytes.
gnbd_size()
{
	atf_check dd if=/dev/zero of="/dev/$dev" bs=1m count=8 status=none
	atf_check dd if=data of="/dev/$dev" bs="$1" count="$2" status=none
	atf_check dd if=data of=part bs="$1" count="$2" status=none
	atf_check dd if="/dev/$dev" of=back bs="$1" count="$2" status=none
	atf_check cmp part back
	atf_check truncate -s 8m part
	atf_check_equal "$(gnbd_md5 part 8)" "$(gnbd_md5 "/dev/$dev" 8)"
}

gnbd_test_case sizes "blocks from 512 bytes to 8 MiB"
sizes_body()
{
	gnbd_require_server
	gnbd_connect
	gnbd_random data 8
	gnbd_size 512 200
	gnbd_size 1536 200
	gnbd_size 4096 500
	gnbd_size 65024 129
	gnbd_size 131072 64
	gnbd_size $MIB 8
	gnbd_size $((8 * MIB)) 1
}

# Many at once: each process owns every eighth megabyte.
gnbd_test_case parallel "eight writers and readers over four connections"
parallel_body()
{
	local i pids=

	gnbd_require_server
	gnbd_connect -c 4
	gnbd_random data 32
	for i in $(jot 8 0); do
		(for n in 0 1 2 3; do
			dd if=data of="/dev/$dev" bs=16k iseek=$(((i + 8 * n) * 64)) \
			    oseek=$(((i + 8 * n) * 64)) count=64 status=none || exit
		done) 2>>err &
		pids="$pids $!"
	done
	for i in $pids; do
		wait "$i" || atf_fail "a writer failed: $(cat err)"
	done
	atf_check_equal "$(gnbd_md5 data 32)" "$(gnbd_md5 "/dev/$dev" 32)"
}

# The journal changes with the unmounting.
gnbd_sums()
{
	(cd mnt && find . -type f ! -name .sujournal -exec md5 {} + | sort)
}

# gnbd_filesystem NEWFS-OPTION...: made, filled, checked, read after a new connect.
gnbd_filesystem()
{
	atf_check -o ignore -e ignore newfs "$@" "/dev/$dev"
	mkdir -p mnt
	atf_check mount "/dev/$dev" mnt
	gnbd_random mnt/data 12
	atf_check -o ignore cp -R /etc mnt/etc
	gnbd_sums >before
	atf_check umount mnt
	gnbd_fsck "$dev"
	atf_check gnbd disconnect "$dev"
	gnbd_connect -c 2
	atf_check mount -o ro "/dev/$dev" mnt
	gnbd_sums >after
	atf_check umount mnt
	atf_check cmp before after
}

gnbd_test_case ufs "newfs, mount, files, fsck"
ufs_body()
{
	gnbd_require_server
	gnbd_connect
	gnbd_filesystem -U
}

gnbd_test_case ufs_trim "the same, with TRIM and a journal"
ufs_trim_body()
{
	gnbd_require_server
	gnbd_connect -c 4
	gnbd_filesystem -U -j -t
	atf_check_equal "$(gnbd_field TrimErrors)" 0
}

gnbd_test_case partitions "GPT on the device; a file system in a partition"
partitions_body()
{
	gnbd_require_server
	gnbd_connect
	atf_check dd if=/dev/zero of="/dev/$dev" bs=1m count=1 status=none
	atf_check -o ignore gpart create -s gpt "$dev"
	atf_check -o ignore gpart add -t freebsd-ufs -s 32m "$dev"
	gnbd_wait test -c "/dev/${dev}p1"
	atf_check -o ignore newfs -U "/dev/${dev}p1"
	gnbd_fsck "${dev}p1"
	atf_check -o ignore gpart destroy -F "$dev"
}

gnbd_test_case trim "what is trimmed reads as zeroes, the rest stays"
trim_body()
{
	gnbd_require_server
	gnbd_connect
	gnbd_random data 16
	atf_check dd if=data of="/dev/$dev" bs=1m status=none
	atf_check -o ignore trim -f -o 4m -l 8m "/dev/$dev"
	gnbd_field_is TrimErrors 0 || atf_fail "the server refused"
	[ "$(gnbd_field TrimCount)" -gt 0 ] || atf_fail "nothing was sent"
	atf_check dd if=/dev/zero of=data bs=1m oseek=4 count=8 conv=notrunc \
	    status=none
	atf_check_equal "$(gnbd_md5 data 16)" "$(gnbd_md5 "/dev/$dev" 16)"
}

# Unmapped bios come from the buffer cache, mapped ones from geli.
gnbd_test_case eli "geli on the device"
eli_body()
{
	gnbd_require_server
	kldstat -q -m g_eli || atf_check geli load
	gnbd_connect
	atf_check geli onetime -e AES-XTS "$dev"
	gnbd_random data 16
	atf_check dd if=data of="/dev/$dev.eli" bs=1m status=none
	atf_check_equal "$(gnbd_md5 data 16)" "$(gnbd_md5 "/dev/$dev.eli" 16)"
	atf_check geli detach "$dev"
}

gnbd_test_case bounds "a device is as large as it says"
bounds_body()
{
	local sectors

	gnbd_require_server
	gnbd_connect
	sectors=$(($(diskinfo "$dev" | cut -f 3) / 512))
	atf_check dd if=/dev/random of="/dev/$dev" bs=512 count=1 \
	    oseek=$((sectors - 1)) status=none
	atf_check -s exit:1 -e not-empty dd if=/dev/random of="/dev/$dev" bs=512 \
	    count=1 oseek=$sectors status=none
}

atf_init_test_cases()
{
	for name in sizes parallel ufs ufs_trim partitions trim eli bounds; do
		atf_add_test_case $name
	done
}
