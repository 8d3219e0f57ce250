#!/bin/sh
# paths_test.sh - several servers of one disk: the promises, and what finds them broken.
# SPDX-License-Identifier: BSD-2-Clause
#
# usage: paths_test.sh SIM SEEDS
#
# TAP.  Without a fence, with one for what was in flight only, and with a program that
# says it has ended a server and has not, an old write lands on a newer one: some seed
# must say so, of what is read (P1 to P3) or of what a flush had made durable (P5).
sim=$1
echo 1..4
failed=0

result() {	# OK NUMBER TEXT
	[ "$1" = yes ] || failed=1
	[ "$1" = yes ] && echo "ok $2 - $3" || echo "not ok $2 - $3"
}

said=$("$sim" --paths --seeds "$2" 2>&1) && ok=yes || ok=no
echo "# $said"
result $ok 1 "several servers: nothing is lost"

number=2
for control in no-fence in-flight-only lying-command; do
	said=$("$sim" --paths --control $control --seeds 3000 2>&1) && said=nothing
	case $said in
	*P[1235]:*) ok=yes ;;
	*) ok=no; echo "# $said" ;;
	esac
	result $ok $number "$control: an old write lands"
	number=$((number + 1))
done
exit $failed
