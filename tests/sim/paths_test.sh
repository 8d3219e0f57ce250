#!/bin/sh
# paths_test.sh - several servers of one disk: the promises, and what finds them broken.
# SPDX-License-Identifier: BSD-2-Clause
#
# usage: paths_test.sh SIM SEEDS
#
# TAP.  Without a fence, with one for what was in flight only, and with a program that
# says it has ended a server and has not, an old write lands on a newer one: some seed
# must say so.
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

# lands CONTROL: of the seeds that break anything
lands() {
	from=1
	while ! said=$("$sim" --paths --control "$1" --from $from --seeds 3000 2>&1); do
		case $said in
		*P[123]:*) return 0 ;;
		*"--seed "*) from=$((${said##*--seed } + 1)) ;;
		*) break ;;
		esac
	done
	echo "# $said"
	return 1
}

number=2
for control in no-fence in-flight-only lying-command; do
	lands $control && ok=yes || ok=no
	result $ok $number "$control: an old write lands"
	number=$((number + 1))
done
exit $failed
