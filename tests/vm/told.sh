# told.sh - for tests that boot a machine: what was said inside becomes rows of theirs.
# SPDX-License-Identifier: BSD-2-Clause
#
# Source it behind lib.sh.

# told COUNT LOG TEXT: so many rows, each "ok ..." or "not ok ..." in what the machine
# printed; if not all are well, its last lines are shown
told() {
	sed 's/\r$//' "$2" | grep -E '^(not )?ok ' >"$dir/told"
	while read -r verdict text; do
		[ "$verdict" = ok ]
		ok "$3: ${text#ok }"
	done <"$dir/told"
	[ "$(grep -c '^ok' "$dir/told")" = "$1" ] || ! tail -n 80 "$2" | sed 's/^/# /'
	ok "$3: all was looked at"
}
