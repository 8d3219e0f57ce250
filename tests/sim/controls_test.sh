#!/bin/sh
# controls_test.sh - the simulator finds what the rules of fronts prevent.  TAP.
# SPDX-License-Identifier: BSD-2-Clause
#
# usage: controls_test.sh SIM
#
# Where the client's system goes on sending what a closed connection left in its buffer
# (--polite), or the engine is not told what comes on a late connection (--deaf), an old
# write lands on a newer one: some seed must say so.
sim=$1
failed=0
number=0

finds() {	# OPTION TEXT
	number=$((number + 1))
	said=$("$sim" "$1" --seeds 3000 2>&1) && said="3,000 seeds, and no old write landed"
	case $said in
	*P[123]:*)
		echo "ok $number - $2"
		;;
	*)
		echo "# $said"
		echo "not ok $number - $2"
		failed=1
		;;
	esac
}

echo 1..2
finds --polite "without a reset an old write lands"
finds --deaf "without listening to a late connection an old write lands"
exit $failed
