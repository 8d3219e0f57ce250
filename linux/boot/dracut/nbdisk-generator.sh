#!/bin/sh
# nbdisk-generator.sh - in an initramfs with systemd: root=nbdisk: as a mount unit.
# SPDX-License-Identifier: BSD-2-Clause

. /lib/dracut-lib.sh

case $(getarg root=) in nbdisk:*) ;; *) exit 0 ;; esac
options=$(getarg rootflags=)
getarg ro >/dev/null && access=ro || access=rw
type=$(getarg rootfstype=) || type=auto
cat >"$2/sysroot.mount" <<UNIT
[Unit]
Before=initrd-root-fs.target

[Mount]
Where=/sysroot
What=/dev/nbdisk/root
Type=$type
Options=$access${options:+,$options}
UNIT
