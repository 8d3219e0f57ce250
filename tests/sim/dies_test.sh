#!/bin/sh
# dies_test.sh - the front dies now and then, and another one goes on: the promises.  TAP.
# SPDX-License-Identifier: BSD-2-Clause
#
# usage: dies_test.sh SIM SEEDS
#
# Where the next device is not told what the one before may have left, or that some of it is
# still underway, an old write lands on a newer one; where a server is asked to flush that may have been restarted, what it forgot
# is taken for safe; where records are believed that were not acknowledged, data is written
# that was never there: some seed must say so.
sim=$1
echo 1..10
failed=0
number=0

result() {	# OK TEXT
	number=$((number + 1))
	[ "$1" = yes ] || failed=1
	[ "$1" = yes ] && echo "ok $number - $2" || echo "not ok $number - $2"
}

# Seed by seed, for another promise may be broken first.
breaks() { # CONTROL PROMISES TEXT
	ok=no seed=0
	while [ $ok = no ] && [ $((seed += 1)) -le 3000 ]; do
		said=$("$sim" --dies $servers --control "$1" --seed $seed 2>&1)
		case $said in
		*P[$2]:*) ok=yes ;;
		esac
	done
	[ $ok = yes ] || echo "# $said"
	result $ok "${servers:-one server}, $3"
}

for servers in "" --paths; do
	said=$("$sim" --dies $servers --seeds "$2" 2>&1) && ok=yes || ok=no
	echo "# $said"
	result $ok "${servers:-one server}: nothing is lost"
	breaks no-past 123 "and nothing is known of the past: an old write lands"
	breaks arrived 123 "and what is underway is taken to have arrived: an old write lands"
	breaks no-doubt 14 "and whoever answers is believed: a flush lies"
	breaks unkept 23 "and all records are believed: what nobody wrote is on the disk"
done
exit $failed
