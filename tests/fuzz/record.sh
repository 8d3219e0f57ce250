#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Records the fuzzers' corpus from nbdkit, qemu-nbd and nbd-server.
#
# usage: record.sh RECORD-PROGRAM	(ninja -C B tests/fuzz/record)
set -eu
record=$1
corpus=$(dirname "$0")/corpus
work=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server"; rm -rf "$work"' EXIT
truncate -s 1M "$work/disk"
printf 'some data' | dd of="$work/disk" conv=notrunc bs=1 seek=700 status=none

# take LABEL FRAMING NAME: from the server that runs at $work/sock
take() {
	"$record" "$work/sock" "$2" "$3" "$corpus/handshake/$1" "$corpus/device/$1"
}

# serve COMMAND...: in the background, until its socket is there
serve() {
	"$@" &
	server=$!
	for _ in $(seq 50); do
		test ! -S "$work/sock" || return 0
		sleep 0.1
	done
	echo "$1 does not listen" >&2
	exit 1
}

end() {
	kill "$server" 2>/dev/null || true	# one of them serves one client only
	wait "$server" || true
	server=
	rm -f "$work/sock"
}

mkdir -p "$corpus/handshake" "$corpus/device"
serve nbdkit -f -U "$work/sock" memory 1M
take nbdkit-simple 0 ''
take nbdkit-structured 1 ''
take nbdkit-extended 2 ''
end
serve nbdkit -f -U "$work/sock" --filter=error memory 1M error=EIO error-rate=50%
take nbdkit-errors 1 ''
end
serve nbdkit -f -U "$work/sock" --mask-handshake=0 memory 1M
take nbdkit-no-fixed-newstyle 0 ''
end
serve nbdkit -f -U "$work/sock" --oldstyle memory 1M
take nbdkit-oldstyle 0 ''
end
serve qemu-nbd -t -k "$work/sock" -f raw -x disk --discard=unmap -e 4 "$work/disk"
take qemu-simple 0 disk
take qemu-structured 1 disk
take qemu-extended 2 disk
end
cat >"$work/config" <<CONFIG
[generic]
	unixsock = $work/sock
	allowlist = true
[disk]
	exportname = $work/disk
	trim = true
CONFIG
serve nbd-server -d -C "$work/config"
take nbd-server 1 disk
end
ls -l "$corpus"/*
