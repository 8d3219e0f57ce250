#!/bin/bash
# example_test.sh BUILD_DIR SOURCE_DIR COMPILER - the engine as a library of others.
# SPDX-License-Identifier: BSD-2-Clause
#
# Installs library, headers and pkg-config file of the build into a directory of its own,
# builds examples/ by these alone, and runs it.

build=$(realpath "$1")
source=$(realpath "$2")
compiler=$3
. "$(dirname "$0")/../lib.sh"

for tool in meson pkg-config nbdkit python3; do
	have "$tool" && continue
	echo "1..0 # SKIP needs $tool"
	exit 0
done

DESTDIR=$dir/root run meson install --no-rebuild --tags devel -C "$build"
status_is 0
ok "library, headers and pkg-config file are installed"
pc=$(find "$dir/root" -name nbe.pc)
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$dir/root
[ "$(pkg-config --modversion nbe)" = "$(sed -n "s/^  version: '\(.*\)',/\1/p" \
	"$source/meson.build")" ]
ok "pkg-config tells the version"

# What the build was compiled with, sanitizers among it, and nothing of the source tree
# but one file.
mkdir "$dir/outside"
cp "$source/examples/poll_client.c" "$dir/outside"
cd "$dir/outside" || exit 99
sanitize=$(meson introspect --buildoptions "$build" | python3 -c 'import json, sys
print(*["-fsanitize=" + o["value"] for o in json.load(sys.stdin)
    if o["name"] == "b_sanitize" and o["value"] != "none"])')
run $compiler -std=gnu11 -Wall -Wextra -Wpedantic -Werror -O1 $sanitize -o poll_client \
	poll_client.c $(pkg-config --cflags --libs nbe)
status_is 0
ok "the example is built outside of the tree"

truncate -s 16M "$dir/disk"
start_nbdkit "$dir/s" --filter=log file "$dir/disk" logfile="$dir/log"
run timeout 60 ./poll_client "$dir/s"
status_is 0 && out_has "size 16777216" && out_has "written, flushed, read: the same"
ok "it writes, flushes and reads through nbdkit"
wait_until grep -q "Disconnect" "$dir/log" && grep -q "Flush" "$dir/log" &&
	! cmp -s -n 1048576 "$dir/disk" /dev/zero &&
	cmp -n 1048576 -i 1048576:0 "$dir/disk" /dev/zero
ok "a MiB of it is on the server's disk, and it has said goodbye"
stop "$pid"

# Each answer takes a while, and the server is killed in the middle of the write.
start_nbdkit "$dir/s" --filter=log --filter=delay file "$dir/disk" wdelay=2 \
	logfile="$dir/log2"
timeout 600 ./poll_client "$dir/s" >"$dir/out" 2>"$dir/err" &
client=$!
wait_until grep -q "Write" "$dir/log2"
kill -9 "$(pgrep -P "$pid" nbdkit)"
wait "$pid" 2>/dev/null
start_nbdkit "$dir/s" --filter=log memory 8M logfile="$dir/log3"
wait_until grep -q "Disconnect" "$dir/log3"
! grep -q "Write" "$dir/log3"
ok "a server that is killed in the middle is dialed again; a smaller disk is not taken"
stop "$pid"
start_nbdkit "$dir/s" file "$dir/disk"
wait "$client"
status=$?
status_is 0 && out_has "written, flushed, read: the same"
ok "when the right one is there again, all is written"
stop "$pid"

# Built so that it sends many commands, for these lies come after some honest answers.
sed 's/\.depth = 64,/& .part_max = 65536,/' poll_client.c >many.c
run $compiler -std=gnu11 -O1 $sanitize -o many many.c $(pkg-config --cflags --libs nbe)
for lie in magic cookie-unknown chunk-over-the-end chunk-offset-wraps hole-too-long; do
	start python3 "$source/tests/interop/liar.py" "$dir/$lie" $lie
	wait_until [ -S "$dir/$lie" ]
	run timeout 120 ./many "$dir/$lie"
	status_is 0 && out_has "written, flushed, read: the same"
	ok "a server that lies is left, and the next connection is used: $lie"
	stop "$pid"
done

run timeout 60 ./poll_client "$dir/nowhere"
status_is 1 && err_has "$dir/nowhere"
ok "without a server it says so"

# What the tutorial shows is the example's text.
python3 - "$source/docs/engine.md" poll_client.c >"$dir/out" <<'PY'
import re, sys
doc, code = (open(f, encoding='utf-8').read() for f in sys.argv[1:])
for block in re.findall(r'```c\n(.*?)```', doc, re.S):
    if block not in code:
        print(block)
PY
[ ! -s "$dir/out" ] && [ "$(grep -c '^```c$' "$source/docs/engine.md")" -ge 5 ]
ok "what docs/engine.md shows is in the example"
finish
