#!/bin/bash
# takeover_time.sh NBDISK WAY ROUNDS - how long programs wait while another daemon takes over.
# SPDX-License-Identifier: BSD-2-Clause
#
# By hand (make takeover): a figure is no verdict.  A program reads 4 KiB again and again;
# what is printed is the longest of its reads, in ms, in each round: while the daemon is
# killed, and while it is upgraded.  A write waits as long, and for --fence behind a kill.
# And what is in it: the program's start, and that with a handshake.

nbdisk=$(realpath "$1")
way=$2
rounds=$3
tests=$(realpath "$(dirname "$0")")/..
. "$tests/lib.sh"
. "$tests/device.sh"
. "$tests/outlives.sh"

begin 64M python3

cat >"$dir/reader" <<'END'
import mmap, os, signal, sys, time
device = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
buffer = mmap.mmap(-1, 4096)
longest = 0
going = True
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
print('reads', flush=True)
while going:
    start = time.monotonic()
    os.preadv(device, [buffer], 0)
    longest = max(longest, time.monotonic() - start)
print(f'{longest * 1000:.0f}')
END
# longest_wait COMMAND...: of a read while COMMAND is run
longest_wait() {
	python3 "$dir/reader" "$device" >"$dir/read" &
	reader=$!
	wait_until [ -s "$dir/read" ]
	"$@"
	wait_until has_served
	kill $reader
	wait $reader
	tail -n 1 "$dir/read"
}
has_served() { [ "$(takeovers)" = 1 ]; }
kill_it() { kill -9 "$(daemon)"; }
# A new device each time: the next daemon of one that was killed twice waits.
round() { # COMMAND...
	connect --quiet --device "$name" "$sock" >/dev/null || return
	longest_wait "$@"
	nb disconnect "$name"
}
# median COMMAND...
median() {
	for _ in $(seq "$rounds"); do
		"$@" || return
	done | sort -n | sed -n "$(((rounds + 1) / 2))p; \$p" | tr '\n' ' '
}
ms() {
	local start
	start=$(date +%s%N)
	"$@" >/dev/null 2>&1
	echo $((($(date +%s%N) - start) / 1000000))
}
echo "# median and longest of $rounds, in ms"
echo "killed: $(median round kill_it)"
echo "upgraded: $(median round nb upgrade "$name")"
echo "the program starts: $(median ms "$nbdisk" version)"
echo "it starts, and connects: $(median ms "$nbdisk" info "$sock")"
