#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# One fuzzer, for a while, from its corpus; what it finds new is not kept.  TAP.
#
# usage: run.sh FUZZER CORPUS SECONDS [libFuzzer option...]
set -eu
fuzzer=$1 corpus=$2 seconds=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/corpus"
export UBSAN_OPTIONS="${UBSAN_OPTIONS-halt_on_error=1:print_stacktrace=1}"
echo 1..1
if "$fuzzer" -max_total_time="$seconds" -max_len=4096 -verbosity=0 \
	-print_final_stats=1 -artifact_prefix="$PWD/" "$@" \
	"$work/corpus" "$corpus" >"$work/log" 2>&1; then
	sed -n 's/^stat::number_of_executed_units: */# runs: /p' "$work/log"
	echo "ok 1 - $(basename "$fuzzer")"
else
	sed 's/^/# /' "$work/log"
	echo "not ok 1 - $(basename "$fuzzer")"
	exit 1
fi
