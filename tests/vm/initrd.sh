#!/bin/bash
# initrd.sh KERNEL OUT TREE PROGRAM... - a whole system as an initrd: PROGRAMs of this
# machine with their libraries, the kernel's modules, and TREE as /t.
# SPDX-License-Identifier: BSD-2-Clause
#
# KERNEL is where a Debian kernel package was unpacked.

set -e
kernel=$1 out=$2 tree=$3
shift 3
here=$(dirname "$(realpath "$0")")
release=$(basename "$kernel"/lib/modules/*)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# What the machine loads, in this order, with what they need.
modules="virtio_pci virtio-rng loop xfs veth sch_netem sch_ingress
	cls_u32 act_gact act_pedit act_csum"
# What a test loads, by itself.
more="tls gcm aesni-intel chacha20poly1305"
holders="dm-mod btrfs"
ublk="ublk_drv"
nbd="nbd"

# put FILE...: at the same place in the machine
put() {
	for file; do
		[ -e "$root$file" ] && continue
		mkdir -p "$root$(dirname "$file")"
		cp -L "$file" "$root$file"
	done
}
libraries() {
	ldd "$@" 2>/dev/null | grep -o '/[^ :]*\.so[^ :]*' | sort -u
}
# load LIST MODULE...: their files go to /modules, their order to the file LIST
load() {
	list=$1
	shift
	for module; do
		modprobe -d "$kernel" -S "$release" --show-depends "$module"
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' |
	while read -r file; do
		name=$(basename "${file%.xz}")
		xz -dc "$file" >"$root/modules/$name"
		echo "$name"
	done >"$root/modules/$list"
}

mkdir -p "$root"/{dev,proc,sys,run,tmp,modules,etc,usr/{bin,sbin,lib,lib64}}
for link in bin sbin lib lib64; do
	ln -s "usr/$link" "$root/$link"
done
for program; do
	path=$(command -v "$program") || path=$program
	put "$path"
	programs="$programs $path"
done
cp -r "$tree" "$root/t"
cp "$here/init" "$root/init"
put $(libraries $programs $(find "$tree" -type f -perm /111))
put /etc/passwd /etc/group /etc/nsswitch.conf /etc/mke2fs.conf

[ -e "$kernel/lib/modules/$release/modules.dep" ] || depmod -b "$kernel" "$release"
load boot $modules
load more $more
load holders $holders
load ublk $ublk
load nbd $nbd
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$out"
