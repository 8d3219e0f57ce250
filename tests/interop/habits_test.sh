#!/bin/bash
# habits_test.sh NBDISK SOURCE_DIR PARTITION - what people, scripts and distributions are
# used to.
# SPDX-License-Identifier: BSD-2-Clause
#
# Names and paths, configuration files, the terminal, servers that give less than was
# asked for, orchestrators that ask for the same thing twice.

. "$(dirname "$0")/../own_mounts.sh"
nbdisk=$(realpath "$1")
source=$(realpath "$2")
partition=$(realpath "$3")
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

needs nbdkit python3 losetup
if [ -z "$NBDISK_OWN_MOUNTS" ]; then
	echo "1..0 # SKIP needs mount name spaces (in a chroot: its root must be a mount)"
	exit 0
fi

chmod 755 "$dir"
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
if "$partition" "$loop" 2048 8192 2>/dev/null && wait_until [ -e "$part" ]; then
	# Where no udev and no devtmpfs has made it.
	[ -b "${loop}p1" ] || { mknod "${loop}p1" b $(tr : ' ' <"$part") && made=${loop}p1; }
	knows "${loop}p1"
	ok "a partition is"
	[ -z "$made" ] || rm "$made"
	"$partition" "$loop"
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
refused 2 '"/a" is there twice' 'uri = /a\nuri = /a\n'
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
differs 'with other servers, or in another order' -c 2 --timeout 60 -n other "$sock"
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
start_nbdkit "$dir/odd" --filter=blocksize-policy memory 16800000 \
	blocksize-minimum=65536 blocksize-preferred=65536 blocksize-maximum=1M
attach "$dir/odd"
err_has "the size of the export, 16800000 bytes" && err_has "its last 22784 bytes" &&
	[ "$(blockdev --getsize64 "$device")" = 16777216 ]
ok "so is what the server's own blocks cut off"
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
attach --sector-size 512 "$dir/coarse"
run nb list "$name"
[ "$(blockdev --getss "$device")" = 512 ] && out_has "   Sectorsize: 512"
ok "--sector-size: 512 where the server's blocks have 65536"
# Neighbours in one block of the server, all at once: none undoes another one.
head -c 262144 /dev/urandom >"$dir/sectors"
writers=
for i in 0 1 2 3 4 5 6 7; do
	(for ((n = i; n < 512; n += 8)); do
		dd if="$dir/sectors" of="$device" bs=512 skip=$n seek=$n count=1 oflag=direct \
			conv=notrunc status=none || exit
	done) &
	writers="$writers $!"
done
wait $writers && blockdev --flushbufs "$device" && cmp -n 262144 "$dir/sectors" "$device"
ok "and each sector has what was written"
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

mount -t tmpfs none /sys
run nb connect --device "$name" "$sock"
umount /sys
status_is 1 && err_has "/sys/block: No such file" && err_has "mount -t sysfs" && nothing_left
ok "no /sys: says what to mount, and leaves nothing"

# Root of a user name space, as in a rootless container: a user with a file.
cp "$nbdisk" "$dir/nbdisk"
chmod 777 "$sock"
mkdir -m 700 "$dir/xdg"
chown nobody "$dir/xdg"
as_nobody() {
	timeout 120 setpriv --reuid nobody --regid nogroup --clear-groups \
		env -u NBDISK_STATE_DIR XDG_RUNTIME_DIR="$dir/xdg" "$@"
}
cat >"$dir/inside" <<'INSIDE'
[ "$(id -u)" = 0 ] || exit 9
file=$("$1" connect --quiet --device inside "$2") || exit
echo "$file"
head -c 65536 /dev/zero | dd of="$file" bs=64k conv=notrunc,fsync status=none || exit
"$1" show inside | grep -q "Attached: file over FUSE" && "$1" disconnect inside
INSIDE
if have setpriv && as_nobody unshare -Urm true 2>/dev/null && as_nobody test -w /dev/fuse; then
	run as_nobody unshare -Urm sh "$dir/inside" "$dir/nbdisk" "$sock"
	status_is 0 && out_has "$dir/xdg/nbdisk/inside/mnt/disk" && [ -z "$(ls "$dir/xdg/nbdisk")" ]
	ok "root of a user name space: a file, as for a user"
else
	skip "root of a user name space" "no user name spaces"
fi

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

attach "$sock"
mkfs.ext4 -q -F "$device" && mount "$device" "$mnt"
(cd "$mnt" && exec sleep 1000) &
stands=$!
in_mnt() { [ "$(readlink "/proc/$stands/cwd")" = "$mnt" ]; }
wait_until in_mnt
run nb disconnect "$loop"
status_is 1 && err_has "${loop#/dev/} is mounted on $mnt" &&
	err_has "(process $stands) stands in $mnt"
ok "disconnect of what is mounted names who stands there"
kill $stands
wait $stands 2>/dev/null
umount "$mnt"
detach

# ---- scripts and orchestrators -------------------------------------------------------------

run nb disconnect "$name"
status_is 1 && err_has "no such device"
ok "disconnect of what is not there fails"
run nb disconnect --if-exists "$name"
status_is 0 && [ ! -s "$dir/err" ]
ok "but with --if-exists it is done already"
run nb disconnect --if-exists "$device"
status_is 0
ok "by its path, too"
run nb disconnect --if-exists ".."
status_is 1 && err_has "is not the name of a device"
ok "what is no name stays an error"

run nb wait "$name"
status_is 2 && err_has "--for is missing"
ok "wait for what?"
run nb wait "$name" --for gone
status_is 0
ok "wait for what is gone: at once"
run nb wait "$name" --for size
status_is 1 && err_has "not attached"
ok "nothing has no size"
run nb wait "$name" --for up --timeout 300ms
status_is 1 && err_has "$name: it is not there"
ok "wait: time-out"

cat >"$dir/hook" <<'HOOK'
#!/bin/sh
grep ^SigIgn /proc/self/status >>"${0%/*}/ignored"
cat /proc/self/oom_score_adj >>"${0%/*}/score"
# The last: it is waited for.
echo "$1 $2 $NBDISK_EVENT $NBDISK_NAME $NBDISK_DEVICE $NBDISK_NODE $NBDISK_SIZE $NBDISK_URI" \
	>>"${0%/*}/told"
HOOK
chmod 755 "$dir/hook"
truncate -s 32M "$dir/disk"
stop "$main"
serve_disk
# in_background VERB...: it has looked once when this returns
in_background() {
	"$nbdisk" "$@" >"$dir/wait.out" 2>&1 &
	waiter=$!
	wait_until grep -q nanosleep "/proc/$waiter/wchan"
}
# waited STATUS: it has ended with that
waited() { wait "$waiter"; [ $? = "$1" ]; }
told() { grep -q "^$1 $name $1 $name $device ${loop#/dev/} " "$dir/told"; }

run nb connect --device "$name" --hook "$dir/none" "$sock"
status_is 1 && err_has "--hook $dir/none: No such file" && nothing_left
ok "a hook that is not there"
run nb connect --device "$name" --hook "$dir" "$sock"
status_is 1 && err_has "--hook $dir: it is no program" && nothing_left
ok "a hook that is a directory"
mkdir -p /dev/nbdisk
echo precious >"$device"
run nb connect --device "$name" "$sock"
status_is 1 && err_has "$device is in the way, and is no link; remove it" &&
	grep -q precious "$device"
ok "a file where the link of the device goes is left, and said"
rm -f "$device"
in_background wait "$name" --for up --timeout 2m
(cd "$dir" && nb connect --device "$name" --dead-timeout 2s --hook ./hook "$sock") >/dev/null 2>&1
loop=$(readlink -f "$device")
waited 0
ok "wait for up"
wait_until told up && grep -q "^up .* 33554432 nbd+unix:///?socket=$sock" "$dir/told"
ok "hook: up, with what it needs to know"
# Of the 31 signals that are not the C library's own.
grep -qxE "SigIgn:.[0-9a-f]{8}[08]0{7}" "$dir/ignored" && grep -qx 0 "$dir/score"
ok "a hook is an ordinary program"
run nb status --check "$name"
status_is 0
ok "status --check: all is well"
in_background wait "$name" --for down --timeout 2m
kill_server
waited 0
ok "wait for down"
run nb status --check
status_is 3 && grep -q "^$name .*DISCONNECTED" "$dir/out"
ok "status --check: 3 for DISCONNECTED"
run nb status "$name"
status_is 0
ok "status without it: 0"
wait_until told lost && wait_until told dead
ok "hooks: lost, and dead after the dead-timeout"
in_background wait "$name" --for size --timeout 2m
truncate -s 48M "$dir/disk"
serve_disk
run nb wait "$name" --for up --timeout 2m
status_is 0 && wait_until told back
ok "hook: back"
run nb reconnect "$name"
waited 0 && [ "$(cat "$dir/wait.out")" = 50331648 ] &&
	[ "$(blockdev --getsize64 "$device")" = 50331648 ]
ok "wait for a new size: prints it, and the device has it"
wait_until told resized && grep -q "^resized .* 50331648 " "$dir/told"
ok "hook: resized"
# A busy machine may lose it once more.
case $(cut -d' ' -f1 "$dir/told" | tr '\n' ' ') in
"up lost dead back "*"resized "*) ;;
*) false ;;
esac
ok "in this order"
dpid=$(nb show "$name" | sed -n 's/^Pid: //p')
kill -9 $(pgrep -P "$dpid" -x nbdisk-helper) "$dpid"
run nb wait "$name" --for down
status_is 0
ok "a dead daemon is down"
run nb status --check "$name"
status_is 3
ok "status --check: 3 for DEAD"
in_background wait "$name" --for gone --timeout 2m
nb disconnect "$name"
waited 0 && nothing_left
ok "wait for gone"

# The machine's hooks, in an /etc of our own; what editors leave there is none.
cp -a /etc "$dir/etc" && mount --bind "$dir/etc" /etc && mkdir -p /etc/nbdisk/hook.d
for hook in 20-b 10-a 30-c~ 40-d.dpkg-old 50-not-executable; do
	printf '#!/bin/sh\necho "%s $1 $2" >>%s/machine\n' $hook "$dir" >/etc/nbdisk/hook.d/$hook
	chmod 755 /etc/nbdisk/hook.d/$hook
done
chmod 644 /etc/nbdisk/hook.d/50-not-executable
attach "$sock"
both() { [ "$(cat "$dir/machine" 2>/dev/null)" = "10-a up $name
20-b up $name" ]; }
wait_until both
ok "the machine's hooks, one after the other"
umount -l /etc

# ---- numbers for machines ---------------------------------------------------------------

dd if=/dev/zero of="$device" bs=64k count=16 oflag=direct conv=fsync 2>/dev/null
run nb metrics "$name"
status_is 0 && cp "$dir/out" "$dir/metrics"
ok "metrics"
cat >"$dir/openmetrics.py" <<'PYTHON'
import re, sys
lines = open(sys.argv[1]).read().split('\n')
assert lines.pop() == '' and lines.pop() == '# EOF'
family, kind, seen, values = None, None, set(), {}
for line in lines:
    if line.startswith('# TYPE '):
        _, _, family, kind = line.split(' ')
        assert family not in seen and kind in ('gauge', 'counter', 'histogram'), line
        seen.add(family)
    elif line.startswith('# HELP '):
        assert line.split(' ')[2] == family, line
    else:
        m = re.fullmatch(r'([a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+)\} ([0-9.e+-]+)', line)
        assert m, line
        ends = {'gauge': [''], 'counter': ['_total'], 'histogram': ['_bucket', '_count', '_sum']}
        assert m[1] in [family + end for end in ends[kind]], line
        assert (m[1], m[2]) not in values, line
        values[m[1], m[2]] = float(m[3])
latency, last = 'nbdisk_request_latency_seconds', -1
for (name, labels), value in values.items():
    if name != latency + '_bucket':
        continue
    op = labels[:labels.index(',le=')]
    last = 0 if 'le="2.048e-06"' in labels else last
    assert value >= last, labels
    last = value
    if 'le="+Inf"' in labels:
        assert value == values[latency + '_count', op], labels
device = 'name="%s"' % sys.argv[2]
assert values['nbdisk_state', device + ',state="CONNECTED"'] == 1
assert sum(v for (n, l), v in values.items() if n == 'nbdisk_state') == 1
assert values['nbdisk_request_bytes_total', device + ',op="write"'] == 1 << 20
assert values[latency + '_count', device + ',op="write"'] >= 1
assert values[latency + '_sum', device + ',op="write"'] > 0
assert values['nbdisk_size_bytes', device] == 48 << 20
for name in re.findall(r'nbdisk_[a-z_]+', open(sys.argv[3]).read()):
    assert any(n == name for n, _ in values), name
PYTHON
run python3 "$dir/openmetrics.py" "$dir/metrics" "$name" "$source/docs/nbdisk-alerts.yml"
status_is 0
ok "they are OpenMetrics, and the sample alerts are about what is there"

# Each verb that prints JSON prints what the manual says.
cat >"$dir/schema.py" <<'PYTHON'
import json, re, sys
page, verb, output = sys.argv[1:]
text = open(page).read()
text = text[text.index('.Sh JSON'):]
text = re.search(r'\.Bd -literal[^\n]*\n(.*?)\.Ed', text, re.S)[1]
types = {}
for part in re.findall(r'^(\S+) = (.*?)(?=^\S+ = |\Z)', text, re.S | re.M):
    types[part[0]] = re.findall(r'[\w.-]+|[{}\[\]:,?]', part[1])
simple = {'text': (str,), 'number': (int,), 'real': (float,), 'bool': (bool,)}

def fields(tokens, value, at, known):
    """Those of an object, up to its end."""
    while tokens[0] != '}':
        key = tokens.pop(0)
        if key.startswith('...'):
            fields(types[key[3:]][1:], value, at, known)
        else:
            known.add(key)
            assert tokens.pop(0) == ':', (at, key)
            assert key in value, '%s: no %s' % (at, key)
            check(tokens, value[key], at + '.' + key)
        if tokens[0] == ',':
            tokens.pop(0)
    tokens.pop(0)

def check(tokens, value, at):
    """Takes one type from the tokens."""
    first = tokens.pop(0)
    if first == '{':
        known = set()
        assert isinstance(value, dict), (at, value)
        fields(tokens, value, at, known)
        assert set(value) == known, (at, set(value) ^ known)
    elif first == '[':
        assert isinstance(value, list), (at, value)
        depth, end = 1, 0
        while depth:
            depth += {'[': 1, ']': -1}.get(tokens[end], 0)
            end += 1
        for item in value:
            check(tokens[:end], item, at + '[]')
        del tokens[:end]
    else:
        if tokens and tokens[0] == '?':
            tokens.pop(0)
            if value is None:
                return
        if first == 'time':
            assert value == 'never' or type(value) is int, (at, value)
        elif first in simple:
            assert type(value) in simple[first], (at, first, value)
        else:
            check(list(types[first]), value, at)

check(list(types[verb]), json.load(open(output)), verb)
PYTHON
page=$source/linux/man/nbdisk.8
says() { # VERB [ARGUMENT...]
	verb=$1
	shift
	run nb "$verb" --json "$@"
	status_is 0 && python3 "$dir/schema.py" "$page" "$verb" "$dir/out" 2>"$dir/err"
	ok "JSON of $verb is as the manual says"
}
says list "$name"
says status "$name"
says show "$name"
says stats "$name"
says top --rounds 1 "$name"
says wait --for up "$name"
says info "$sock"
says help
says version
nb disconnect "$name"
says connect --device "$name" "$sock"
kill_server
start_nbdkit "$sock" --filter=exportname memory 1M exportname=a exportname-list=explicit
says exports "$sock"
"$nbdisk" help --json | python3 -c 'import json, sys
print(*(v["verb"] for v in json.load(sys.stdin) if "json" in [o["name"] for o in v["options"]]))' \
	>"$dir/out"
for verb in $(cat "$dir/out"); do
	sed -n '/^.Sh JSON/,/^.Ed/p' "$page" | grep -q "^$verb = " || echo "# $verb"
done >"$dir/err"
[ -s "$dir/out" ] && [ ! -s "$dir/err" ]
ok "the manual has the JSON of every verb that prints some"
nb disconnect --force "$name" 2>/dev/null

stop "$pid"

# ---- from nbd-client -----------------------------------------------------------------------

run nb connect server 10809 /dev/nbd0
status_is 2 && err_has '"-p PORT --device NAME HOST"'
ok "host, port and device of nbd-client: says what it is here"
start_nbdkit "$sock" memory 64M
cat >"$dir/nbdtab" <<TAB
# device host export options
nbd0	server  export1 conns=4,port=10810,persist,timeout=7,_netdev   # words

$name $sock export2 unix,conns=2,swap,bs=4096,sdp
nbd9 server export3 cacertfile=$dir/ca.pem,tlshostname=name,frob
TAB
run nb import "$dir/nbdtab"
status_is 0 && out_has "uri = server" && out_has "name = export1" &&
	out_has "connections = 4" && out_has "port = 10810" && out_has "timeout = 7" &&
	out_has "dead-timeout = never" && out_has "ca = $dir/ca.pem" &&
	out_has "tls-hostname = name" && err_has "nbd9: frob: is not known" &&
	err_has "$name: sdp" && err_lacks _netdev
ok "import: each option as what it is here, and what is lost is said"
run nb import "$dir/nbdtab" "$name"
status_is 0 && cp "$dir/out" "$dir/imported.conf" && run nb check-config "$dir/imported.conf" &&
	status_is 0 && attach --config "$dir/imported.conf" &&
	nb status "$name" | grep -q "2/2 .*/export2"
ok "import of one: attaches as it stands"
detach
run nb import "$dir/nbdtab" nbd7
status_is 2 && err_has "there is no nbd7"
ok "import of none"
printf '\nnbd0 server\n' >"$dir/nbdtab"
run nb import "$dir/nbdtab"
status_is 2 && err_has "$dir/nbdtab:2: expected a device, a host and an export"
ok "import: a line that is not whole"
if [ -e "$uring_switch" ]; then
	rm -f "$run_dir/.uring-hint"
	with_uring N run nb connect --quiet --device "$name" "$sock"
	status_is 0 && err_lacks hint
	ok "--quiet: no hint"
	detach
	with_uring N run nb connect --device "$name" "$sock"
	err_has hint && detach
	with_uring N run nb connect --device "$name" "$sock"
	status_is 0 && err_lacks hint
	ok "the hint comes once"
	detach
else
	skip "the hint comes once" "not in this kernel"
fi
stop "$pid"
finish
