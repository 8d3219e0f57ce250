#!/bin/sh
# dies_test.sh - the front dies now and then, and another one goes on: the promises.  TAP.
# SPDX-License-Identifier: BSD-2-Clause
#
# usage: dies_test.sh SIM SEEDS
#
# Where the next device is not told what the one before may have left, an old write lands on
# a newer one: some seed must say so.
sim=$1
echo 1..4
failed=0
number=0

result() {	# OK TEXT
	number=$((number + 1))
	[ "$1" = yes ] || failed=1
	[ "$1" = yes ] && echo "ok $number - $2" || echo "not ok $number - $2"
}

for servers in "" --paths; do
	said=$("$sim" --dies $servers --seeds "$2" 2>&1) && ok=yes || ok=no
	echo "# $said"
	result $ok "${servers:-one server}: nothing is lost"
	said=$("$sim" --dies $servers --control no-past --seeds 3000 2>&1) && said=nothing
	case $said in
	*P[123]:*) ok=yes ;;
	*) ok=no; echo "# $said" ;;
	esac
	result $ok "${servers:-one server}, and nothing is known of the past: an old write lands"
done
exit $failed
