#!/bin/sh
# run.sh [NAME=VALUE...] - all tests in this directory, without kyua; prints TAP.
# SPDX-License-Identifier: BSD-2-Clause
#
# For a FreeBSD machine that has atf-sh(1) and nothing else to lose.  The arguments
# are the variables of gnbd_subr.sh.  A geom_nbd.ko and a geom_nbd.so that lie here
# are installed first.

here=$(cd "$(dirname "$0")" && pwd)
base=$(mktemp -d "${TMPDIR:-/tmp}/gnbd-tests.XXXXXX") || exit
trap 'rm -rf "$base"' EXIT
tests=0

install_here()
{
	[ ! -f "$here/geom_nbd.ko" ] ||
	    cp "$here/geom_nbd.ko" /boot/modules/geom_nbd.ko || return
	[ -f "$here/geom_nbd.so" ] || return 0
	cp "$here/geom_nbd.so" /lib/geom/geom_nbd.so &&
	    ln -f /sbin/geom /sbin/gnbd
}

# test_program FILE ARGUMENT...: as kyua calls it.  In the foreground, for otherwise
# timeout(1) waits for what a failed body left running and the cleanup would end.
test_program()
{
	program=$1
	shift
	timeout --foreground 900 /usr/libexec/atf-sh "$here/$program.sh" -s "$here" "$@"
}

report()
{
	tests=$((tests + 1))
	result=$(cat "$base/result" 2>/dev/null)
	case $result in
	passed) echo "ok $tests - $1" ;;
	skipped*) echo "ok $tests - $1 # SKIP ${result#skipped: }" ;;
	*)
		echo "not ok $tests - $1"
		echo "# ${result:-it left no result}"
		tail -n 40 "$base/out" | sed 's/^/# /'
		;;
	esac
}

run_case()
{
	program=$1 case=$2
	shift 2
	rm -rf "$base/work" "$base/result"
	mkdir "$base/work"
	cd "$base/work" || exit
	test_program "$program" -r "$base/result" "$@" "$case" >"$base/out" 2>&1
	test_program "$program" "$@" "$case:cleanup" >>"$base/out" 2>&1
	cd / || exit
	report "$program:$case"
}

# WITNESS and malloc(9) report here what they notice about the module.
kernel_complaints()
{
	dmesg | grep -A 30 "lock order reversal" | grep -E "g_?nbd"
	dmesg | grep -E "memory type gnbd|zone: g_nbd|with the following.*locks held"
}

install_here || {
	echo "Bail out! the module cannot be installed"
	exit 1
}
config=
for variable; do
	config="$config -v $variable"
done
for program in gnbd_tls_test gnbd_paths_test gnbd_loss_test gnbd_io_test \
    gnbd_verbs_test; do
	for case in $(test_program $program -l | sed -n 's/^ident: //p'); do
		# shellcheck disable=SC2086
		run_case $program "$case" $config
	done
done
kernel_complaints >"$base/out"
if [ -s "$base/out" ]; then
	echo failed: the kernel complained >"$base/result"
else
	echo passed >"$base/result"
fi
report "kernel messages"
echo "1..$tests"
