# lib.sh - for tests in POSIX shell: a directory, servers, assertions, TAP.
# SPDX-License-Identifier: BSD-2-Clause
#
# Source it, call the functions, end with "finish".  Every server that was started
# is ended by its process id, and the directory removed, however the test ends.

dir=$(mktemp -d "${TMPDIR:-/tmp}/nbdisk-test.XXXXXX") || exit 99
# Where nbdisk keeps its state, so that the machine's devices are not ours.
run_dir=$dir/run
export NBDISK_STATE_DIR=$run_dir
pids=
tests_run=0
tests_failed=0

# is_child PID: of one that has ended the number may be somebody else's by now.
is_child() {
	grep -qsx "PPid:	$$" "/proc/$1/status"
}

cleanup() {
	for pid in $pids; do
		! is_child "$pid" || kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	rm -rf "$dir"
}
trap cleanup EXIT
# The one of "IFS= read" is in force in a trap that interrupts it, and no list would be
# split.
trap 'unset IFS; exit 99' INT TERM HUP

# ok NAME: the last command's status is the verdict.  Shows what "run" got if not 0.
ok() {
	verdict=$?
	tests_run=$((tests_run + 1))
	if [ "$verdict" -eq 0 ]; then
		echo "ok $tests_run - $1"
		return 0
	fi
	tests_failed=$((tests_failed + 1))
	echo "not ok $tests_run - $1"
	echo "# status ${status-none}"
	[ ! -f "$dir/out" ] || sed 's/^/# out: /' "$dir/out"
	[ ! -f "$dir/err" ] || sed 's/^/# err: /' "$dir/err"
}

skip() {
	tests_run=$((tests_run + 1))
	echo "ok $tests_run - $1 # SKIP $2"
}

finish() {
	echo "1..$tests_run"
	[ "$tests_failed" -eq 0 ]
	exit
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# run COMMAND...: its status in $status, its output in $dir/out and $dir/err.
run() {
	status=0
	"$@" >"$dir/out" 2>"$dir/err" || status=$?
}

# status_is N; out_has LINE; out_lacks, err_has, err_lacks TEXT: for "... ; ok NAME".
status_is() {
	[ "$status" -eq "$1" ]
}
out_has() {
	grep -qxF -- "$1" "$dir/out"
}
out_lacks() {
	! grep -qF -- "$1" "$dir/out"
}
err_has() {
	grep -qF -- "$1" "$dir/err"
}
err_lacks() {
	! grep -qF -- "$1" "$dir/err"
}

# wait_until COMMAND...: for up to five minutes, which is long on a busy machine as well.
wait_until() {
	wait_end=$(($(date +%s) + 300))
	until "$@"; do
		[ "$(date +%s)" -lt $wait_end ] || return 1
		sleep 0.05
	done
}

# start COMMAND...: in the background, ended after half an hour or at the end of the
# test, by force if it waits for a client that nobody told it has gone.  Its process id
# is in $pid.
start() {
	timeout -k 5 1800 "$@" >>"$dir/server.log" 2>&1 </dev/null &
	pid=$!
	pids="$pids $pid"
}

stop() {
	! is_child "$1" || kill "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

# serves SOCKET: somebody listens there; a name alone is there before.
serves() {
	[ -S "$1" ] && grep -q " 00010000 [^/]*$1\$" /proc/net/unix
}

# start_nbdkit SOCKET ARGUMENT...: returns when it listens there.
start_nbdkit() {
	socket=$1
	shift
	rm -f "$socket"
	start nbdkit -f -U "$socket" "$@"
	wait_until serves "$socket" || {
		echo "# nbdkit $* did not start"
		sed 's/^/# /' "$dir/server.log"
		return 1
	}
}

# crl OUT AUTHORITY VALIDITY [CERTIFICATE]: a revocation list (certtool) by
# AUTHORITY.pem, with AUTHORITY.key, that has CERTIFICATE; VALIDITY is now or past.
crl() {
	case $3 in
	now) echo 'crl_next_update = 2' ;;
	past)
		echo 'crl_this_update_date = "2001-01-01 00:00:00 UTC"'
		echo 'crl_next_update_date = "2002-01-01 00:00:00 UTC"'
		;;
	esac >"$dir/crl.cfg"
	echo 'crl_number = 1' >>"$dir/crl.cfg"
	certtool --generate-crl --template "$dir/crl.cfg" --outfile "$1" \
		--load-ca-certificate "$2.pem" --load-ca-privkey "$2.key" \
		${4:+--load-certificate "$4"} 2>/dev/null
}

# with_uring Y|N COMMAND...: while the machine's switch for FUSE over io_uring, where it
# has one, is so.  Whoever else wants it waits; it counts when a device is attached.
uring_switch=/sys/module/fuse/parameters/enable_uring
with_uring() {
	uring_wanted=$1
	shift
	exec 9<$uring_switch || return
	flock 9
	uring_was=$(cat $uring_switch)
	echo "$uring_wanted" >$uring_switch
	"$@" 9<&-
	uring_status=$?
	echo "$uring_was" >$uring_switch
	exec 9<&-
	return $uring_status
}

# A port that nobody listens on, as far as one can tell.  Not by connecting, which
# would be one client more.
listens() {
	grep -qs ":$(printf %04X "$1") [0:]* 0A " /proc/net/tcp /proc/net/tcp6
}
free_port() {
	port=$((20000 + $$ % 20000))
	while listens "$port"; do
		port=$((port + 1))
	done
}

# start_on_port COMMAND...: with "PORT" in the arguments replaced by $port.
start_on_port() {
	free_port
	for arg; do
		shift
		case $arg in *PORT*) arg=${arg%%PORT*}$port${arg#*PORT} ;; esac
		set -- "$@" "$arg"
	done
	start "$@"
	wait_until listens "$port"
}
