# broken.sh - a fault of the engine costs a disk, not the machine; part of wine_test.sh.
# SPDX-License-Identifier: BSD-2-Clause

rig_new broken
cp "$build/tests/wine/broken.sys" "$drivers/wnbd.sys"
rig_session
load wnbd
ok "a driver with faults in its engine loads"
serve memory 1M
good=$port
for where in "1048576 HwStartIo" "2097152 the disk's thread"; do
	# A server of its own: nbdkit may not survive that a connection is reset.
	serve --filter=delay memory 64M rdelay=200ms
	drive "map bad port=$port connections=2" "map good port=$good" \
		"write good length=65536"
	(
		timeout 600 "$wine" "$build/tests/wine/driver_test.exe" \
			"! read bad offset=8388608 length=16777216 depth=32" \
			>/dev/null 2>&1 && touch "$dir/failed in ${where#* }"
	) &
	loader=$!
	wait_until busy bad
	drive "! read bad offset=${where%% *} length=65536" "check good length=65536" \
		"unmap good"
	status_is 0 && wait_until fresh && wait "$loader" && [ -f "$dir/failed in ${where#* }" ]
	ok "an assertion that fails in ${where#* }: the disk goes, all requests end"
	stop "$pid"
done
drive "! map bad port=$good export=broken" "map bad port=$good" "unmap bad" "list"
status_is 0 && out_has "disks 0" && out_has "error 1359: ! map bad port=$good export=broken"
ok "and in the handshake: no disk, and the next one can be mapped"
[ "$(grep -c 'event 1 fields 3: assertion failed: ' "$rig_log")" -eq 3 ]
ok "each is an event"
drive "service stop wnbd"
status_is 0 && wait_until said "$clean" && ! grep "VERIFIER: " "$rig_log" | grep -qv "$clean"
ok "nothing is left of them"
[ "$tests_failed" -eq 0 ] || rig_tell
rig_end
