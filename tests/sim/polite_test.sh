#!/bin/sh
# polite_test.sh - the simulator finds what a reset prevents.  TAP.
# SPDX-License-Identifier: BSD-2-Clause
#
# usage: polite_test.sh SIM
#
# Where the client's system goes on sending what a closed connection left in its buffer,
# an old write lands on a newer one: some seed must say so.
echo 1..1
said=$("$1" --polite --seeds 3000 2>&1) && said="3,000 seeds, and no old write landed"
case $said in
*P[123]:*)
	echo "ok 1 - without a reset an old write lands"
	;;
*)
	echo "# $said"
	echo "not ok 1 - without a reset an old write lands"
	exit 1
	;;
esac
