#!/bin/bash
# habits_test.sh NBDISK - what people, scripts and distributions are used to.
# SPDX-License-Identifier: BSD-2-Clause
#
# Names and paths, configuration files, the terminal, servers that give less than was
# asked for, orchestrators that ask for the same thing twice.

. "$(dirname "$0")/../own_mounts.sh"
nbdisk=$(realpath "$1")
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

needs nbdkit python3 losetup
if [ -z "$NBDISK_OWN_MOUNTS" ]; then
	echo "1..0 # SKIP needs mount name spaces (in a chroot: its root must be a mount)"
	exit 0
fi

# attach ARGUMENT...: as $name; $loop is its loop device
attach() {
	run nb connect --device "$name" "$@"
	loop=$(readlink -f "$device")
	status_is 0
}
detach() { nb disconnect "$name" 2>/dev/null; }
# knows OPERAND: the device is found by it
knows() { run nb show "$1"; status_is 0 && out_has "Name: $name"; }

start_nbdkit "$sock" memory 64M
main=$pid

# ---- the device by any of its names ------------------------------------------------

attach "$sock"
ln -s "$loop" "$dir/by-id"
knows "$device" && knows "$loop" && knows "$dir/by-id"
ok "what connect printed, the loop device and a link are taken for the name"
part=/sys/class/block/${loop#/dev/}p1/dev
if have addpart && addpart "$loop" 1 2048 8192 2>/dev/null && wait_until [ -e "$part" ]; then
	# Where no udev and no devtmpfs has made it.
	[ -b "${loop}p1" ] || { mknod "${loop}p1" b $(tr : ' ' <"$part") && made=${loop}p1; }
	knows "${loop}p1"
	ok "a partition is"
	[ -z "$made" ] || rm "$made"
	delpart "$loop" 1
else
	skip "a partition is" "no partitions here"
fi
run nb show "$dir/none"
status_is 1 && err_has "$dir/none: there is no such device"
ok "another path is not"
stranger=$(losetup -f --show "$dir/server.log" 2>/dev/null)
run nb disconnect "$stranger"
status_is 1 && err_has "there is no such device" && losetup "$stranger" >/dev/null
ok "nor is a loop device of somebody else"
losetup -d "$stranger"
run nb disconnect "$loop"
status_is 0 && nothing_left
ok "disconnect by the loop device"
long=$name
name=pvc-$(cat /proc/sys/kernel/random/uuid)-$long-xxxxxxxxxxxxxxxxxxxx
name=${name:0:64} device=/dev/nbdisk/$name
attach "$sock" && [ -b "$device" ] && knows "$device" && detach && nothing_left
ok "a name of 64 letters"
name=$long device=/dev/nbdisk/$long

# ---- the configuration file ---------------------------------------------------------

refused() { # LINE TEXT CONFIG
	printf "$3" >"$dir/c.conf"
	for verb in check-config "connect --config"; do
		run nb $verb "$dir/c.conf"
		status_is 2 && err_has "$dir/c.conf:$1: $2" || return
	done
}
refused 2 '"uri" is in line 1 already' 'uri = /a\nuri = /b\n'
ok "a server twice"
refused 3 '"timeout" is in line 2 already' 'uri = /a\ntimeout = 1m\ntimeout = 1m\n'
ok "an option twice"
refused 2 'a NUL byte' 'uri = /a\n\0timeout = 1m\n'
ok "a NUL byte"
head -c 70000 /dev/zero | tr '\0' '\n' >"$dir/long.conf"
run nb check-config "$dir/long.conf"
status_is 2 && err_has "$dir/long.conf:65537: the file is longer than 65536 bytes"
ok "a file that is too long"
printf 'timeout = 1m\n' >"$dir/c.conf"
run nb check-config "$dir/c.conf"
status_is 2 && err_has "$dir/c.conf: \"uri\" is missing"
ok "check-config: no server"
printf 'uri = nbds://a/\nca = %s\n' "$dir/none.pem" >"$dir/c.conf"
run nb check-config "$dir/c.conf"
status_is 2 && err_has "$dir/none.pem" && err_has "$dir/c.conf"
ok "check-config: a file of TLS that is not there"
printf 'uri = %s\nconnections = 2\n' "$sock" >"$dir/good.conf"
run nb check-config "$dir/good.conf"
status_is 0 && [ ! -s "$dir/out" ] && [ ! -s "$dir/err" ]
ok "check-config has nothing to say of a good one"
run nb check-config "$dir/good.conf" "$dir/none.conf" "$dir/good.conf"
status_is 1 && err_has "$dir/none.conf: No such file"
ok "the worst of several counts"

# ---- asked for twice ---------------------------------------------------------------

attach -c 2 --timeout 60 "$sock"
run nb connect --device "$name" -c 2 --timeout 1m "$sock"
status_is 0 && out_has "$device" && err_has "$name is connected already"
ok "connect of what is attached, with the same settings: succeeds and says so"
run nb connect --json --device "$name" -c 2 --timeout 1m "$sock"
status_is 0 && grep -q '"already": true' "$dir/out"
ok "and in JSON"
[ "$(grep -c "/$name/mnt" /proc/mounts)" = 1 ]
ok "and has made no second one"
differs() { # TEXT ARGUMENT...
	text=$1
	shift
	run nb connect --device "$name" "$@"
	status_is 1 && err_has "$name is connected already, $text"
	ok "connect: $text"
}
differs 'with "timeout = 60s", not "timeout = 61s"' -c 2 --timeout 61 "$sock"
differs 'with "connections = 2", not "connections = 1"' --timeout 60 "$sock"
differs 'with "uri = ' -c 2 --timeout 60 -n other "$sock"
differs 'with "read-only = no", not "read-only = yes"' -c 2 --timeout 60 --read-only "$sock"
run nb connect --device "$name-b" "$sock"
status_is 0 && err_has "warning: $name writes to the same export"
ok "a second device that writes to an export: a warning names the first"
nb disconnect "$name-b"
run nb connect --device "$name-b" --read-only "$sock"
status_is 0 && err_lacks "the same export"
ok "one that only reads: none"
nb disconnect "$name-b"
detach

# ---- less than was asked for ---------------------------------------------------------

start_nbdkit "$dir/odd" --filter=blocksize-policy memory 1000001 blocksize-minimum=1 \
	blocksize-preferred=4096 blocksize-maximum=1M
attach "$dir/odd"
err_has "the size of the export, 1000001 bytes" && err_has "its last 65 bytes" &&
	[ "$(blockdev --getsize64 "$device")" = 999936 ]
ok "what is cut off an export of odd size is said"
detach
stop "$pid"
start_nbdkit "$dir/coarse" --filter=blocksize-policy memory 64M blocksize-minimum=65536 \
	blocksize-preferred=65536 blocksize-maximum=1M
attach "$dir/coarse"
sector=$(blockdev --getss "$device")
run nb list "$name"
out_has "   Sectorsize: $sector"
ok "list tells the sector size of the block device ($sector)"
detach
stop "$pid"

# io_uring_setup of a container: EPERM
cat >"$dir/filtered.py" <<'PYTHON'
import ctypes, os, platform, struct, sys
if platform.machine() not in ('x86_64', 'aarch64'):
    sys.exit(77)
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
program = b''.join(struct.pack('=HBBI', *line) for line in (
    (LOAD, 0, 0, 0), (EQUAL, 0, 1, 425),
    (RETURN, 0, 0, 0x00050000 | int(sys.argv[1])), (RETURN, 0, 0, 0x7fff0000)))
code = ctypes.create_string_buffer(program)
head = ctypes.create_string_buffer(struct.pack('@HP', 4, ctypes.addressof(code)))
prctl = ctypes.CDLL(None).prctl
if prctl(38, 1, 0, 0, 0) or prctl(22, 2, head, 0, 0):
    sys.exit(77)
os.execv(sys.argv[2], sys.argv[2:])
PYTHON
for error in 1 38; do	# EPERM, ENOSYS
	run timeout 60 python3 "$dir/filtered.py" $error "$nbdisk" connect \
		--device "$name" "$dir/nobody-listens"
	if status_is 77; then
		skip "io_uring is refused" "no seccomp"
		continue
	fi
	status_is 1 && err_has "io_uring is refused" && err_has "seccomp" &&
		err_lacks nobody-listens && nothing_left
	ok "io_uring is refused (error $error): said before the server is asked"
done

# ---- the terminal ----------------------------------------------------------------------

attach "$sock"
# top_in COLUMNS KEYS|SIGNAL [OPTION...]: on a terminal of its own; KEYS or SIGNAL when it
# has drawn.  Prints its widest line, how it ended, and whether the terminal is as before.
cat >"$dir/top.py" <<'PYTHON'
import fcntl, os, pty, re, signal, struct, sys, termios
columns, end, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if end == 'pipe':
        reader, writer = os.pipe()
        os.dup2(writer, 1)
        os.close(reader)
        os.close(writer)
    os.execv(command[0], command)
text = ''
if end != 'pipe':
    while 'Name' not in text or not text.endswith('\n'):
        text += os.read(master, 65536).decode()
    if termios.tcgetattr(slave)[3] & termios.ECHO:
        print('no raw mode')
    if end.startswith('SIG'):
        os.kill(pid, getattr(signal, end))
    else:
        os.write(master, end.encode().decode('unicode_escape').encode())
status = os.waitpid(pid, 0)[1]
plain = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', text).replace('\r', '')
print('widest', max(map(len, plain.split('\n'))))
print('signal', os.WTERMSIG(status)) if os.WIFSIGNALED(status) else print(
    'exit', os.WEXITSTATUS(status))
print('same' if termios.tcgetattr(slave) == before else 'changed')
PYTHON
top_in() {
	run timeout 120 python3 "$dir/top.py" "$1" "$2" "$nbdisk" top "$name"
	out_has same
}
top_in 80 q && out_has "exit 0" && [ "$(sed -n 's/widest //p' "$dir/out")" -le 80 ]
ok "top fits 80 columns, and q leaves the terminal as it was"
top_in 200 q && [ "$(sed -n 's/widest //p' "$dir/out")" -gt 100 ]
ok "it takes more where there is more"
(ulimit -c 0; top_in 80 '\x1c') && out_has "signal 3"
ok "ctrl-\\ leaves the terminal as it was"
for signal in HUP:1 TERM SEGV:11 ABRT:6; do
	(ulimit -c 0; top_in 80 "SIG${signal%:*}") &&
		case $signal in *:*) out_has "signal ${signal#*:}";; *) out_has "exit 0";; esac
	ok "so does SIG${signal%:*}"
done
top_in 80 pipe && out_has "signal 13"
ok "so does the end of its output"
detach

stop "$main"
finish
