#!/bin/bash
# wine_test.sh SOURCE-ROOT - the unmodified wnbd.sys under Wine, against nbdkit.
# SPDX-License-Identifier: BSD-2-Clause

root=$1
. "$root/tests/lib.sh"
. "$root/tests/wine/rig.sh"
build=$root/build-windows

missing=$(rig_missing)
if [ -n "$missing" ]; then
	echo "1..0 # SKIP not installed:" $missing
	exit 0
fi
export NBDISK_NO_SETUP=1
[ -f "$build/build.ninja" ] || meson setup --cross-file \
	"$root/cross/x86_64-w64-mingw32.ini" "$build" "$root" >"$dir/log" 2>&1
if ! nice ninja -C "$build" windows/driver/wnbd.sys tests/wine/storport.sys \
	tests/wine/planted.sys tests/wine/broken.sys tests/wine/driver_test.exe >"$dir/log" 2>&1; then
	sed 's/^/# /' "$dir/log"
	echo "Bail out! the Windows build fails"
	exit 1
fi
make_template || {
	echo "Bail out! no Wine prefix"
	exit 1
}
# nbdkit -P leaves a server behind that "start" does not know of.
leave() {
	rig_end >/dev/null 2>&1
	[ ! -s "$dir/nbdkit.pid" ] || kill "$(cat "$dir/nbdkit.pid")" 2>/dev/null
	cleanup
}
trap leave EXIT

# nbdkit on a port of its own, whose number is in $port.
busy() {
	drive "stats $1" && grep -Eq "outstanding [1-9]" "$dir/out"
}
serve() {
	free_port
	start nbdkit -f -i "${address:-127.0.0.1}" -p "$port" "$@"
	wait_until listens "$port"
}
fresh() {
	drive "list" && out_has "disks 0"
}

rig_new wnbd
rig_session
load wnbd
ok "the driver loads"
cp "$dir/out" "$dir/version"
drive "list"
if ! status_is 0; then
	sed 's/^/# /' "$rig_log"
	echo "Bail out! no driver, no tests"
	exit 1
fi
grep -qxF "version $(sed -n "s/^  version: '\(.*\)',/\1/p" "$root/meson.build") $(sed -n \
	"s/^  version: '\(.*\)',/\1/p" "$root/meson.build")" "$dir/version"
ok "it tells its version"

# ---- contents ----------------------------------------------------------------

dd if=/dev/urandom of="$dir/random" bs=1M count=16 status=none
truncate -s 16M "$dir/disk"
serve file "$dir/disk"
drive "map foo port=$port" "list" "write foo file=$(wine_path "$dir/random") depth=32" \
	"flush foo"
status_is 0 && out_has "mapped foo: 32768 blocks of 512 bytes" &&
	cmp "$dir/random" "$dir/disk"
ok "16 MiB written through PhysicalDrive are on the server"
drive "read foo file=$(wine_path "$dir/back") depth=32"
status_is 0 && cmp "$dir/random" "$dir/back"
ok "and read back the same"
drive "write foo piece=4096 depth=64 seed=7 length=8388608" \
	"check foo piece=4096 depth=64 seed=7 length=8388608" \
	"check foo piece=1048576 depth=4 seed=7 length=8388608" "report"
status_is 0 && grep -Eq "max (3[2-9]|[4-9][0-9]|[0-9]{3}) " "$dir/out"
ok "32 and more requests at once"
drive "stats foo" "! map foo port=$port" "! unmap bar" "! stats bar"
status_is 0 && out_has "error 183: ! map foo port=$port" && out_has "error 2: ! unmap bar" &&
	awk '/^stats/ { exit !($3 > 4000 && $3 == $5 && $5 == $7 && $9 == 0 && $11 == 0 &&
		$17 == 0) }' "$dir/out"
ok "the counters add up; a name is used once"
drive "unmap foo" "list"
status_is 0 && out_has "disks 0"
ok "unmap"
stop "$pid"
. "$root/tests/wine/scenarios.sh"
. "$root/tests/wine/servers.sh"

# ---- the end -----------------------------------------------------------------

drive "set MaxIOReqPerLun 100 persistent" "set MaxIOReqPerAdapter 500 persistent" "report" \
	"service stop wnbd"
status_is 0 && grep -q "io 1000 lun 255" "$dir/out" && wait_until said "not freed"
ok "the driver is unloaded"
drive "service start wnbd" "report" "list" "reset-option MaxIOReqPerLun persistent" \
	"service stop wnbd"
status_is 0 && grep -q "io 500 lun 100" "$dir/out"
ok "and loaded again, with the limits that were stored"
clean="VERIFIER: 0 violations, not freed: 0 blocks, 0 IRPs, 0 MDLs, 0 processes"
wait_until said "$clean" && ! grep "VERIFIER: " "$rig_log" | grep -qv "$clean"
ok "the verifier has nothing to say, and nothing is left"
[ "$tests_failed" -eq 0 ] || rig_tell
rig_end
. "$root/tests/wine/broken.sh"
. "$root/tests/wine/planted.sh"
finish
