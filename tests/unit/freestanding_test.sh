#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The engine needs no operating system: it compiles for five targets with a host
# header of its own and no system header, refers to memcpy, memset and the assertion
# only, and names no system.  Each check is shown a copy of the engine that it must
# find fault with.  TAP.
#
# usage: freestanding_test.sh SOURCE-ROOT
root=$1
. "$root/tests/lib.sh"

have clang && have llvm-nm || {
	echo "1..0 # SKIP clang and llvm-nm are not installed"
	exit 0
}

# compile DIR TARGET: its objects go to $dir/obj
compile() {
	rm -rf "$dir/obj"
	mkdir "$dir/obj"
	for c in "$1"/*.c; do
		clang -target "$2" -std=c11 -O2 -ffreestanding -nostdlibinc \
			-Wall -Wextra -Wpedantic -Werror -Wno-unused-command-line-argument \
			-I "$root/tests/unit/freestanding" -I "$1" \
			-c "$c" -o "$dir/obj/$(basename "$c" .c).o" \
			>>"$dir/err" 2>&1 || return 1
	done
}

# strangers [ALLOWED...]: what the objects need and do not have, on standard output
strangers() {
	llvm-nm -P --undefined-only "$dir"/obj/*.o | sed -n 's/ U.*//p' | sort -u \
		>"$dir/needs"
	llvm-nm -P --defined-only "$dir"/obj/*.o | sed -n 's/ [TDRBtdrb] .*//p' |
		sort -u >"$dir/has"
	comm -23 "$dir/needs" "$dir/has" |
		grep -vxE "$(echo "memcpy|memset|port_assert_failed" "$@" | tr ' ' '|')"
}

words='linux|freebsd|windows|win32|_KERNEL|malloc|printf|errno|pthread|mutex'
words="$words|\\<free\\(|\\<socket\\("

names_a_system() {
	grep -niE "$words" "$1"/*.[ch] >>"$dir/err"
}

for target in x86_64-linux-gnu x86_64-unknown-freebsd14 x86_64-pc-windows-msvc \
	x86_64-w64-mingw32 aarch64-linux-gnu; do
	: >"$dir/err"
	compile "$root/engine" $target && test -z "$(strangers | tee -a "$dir/err")"
	ok "$target"
done

# 32 bits, big-endian; division of 64 bits is the compiler's own library there.
: >"$dir/err"
compile "$root/engine" powerpc-linux-gnu &&
	test -z "$(strangers __udivdi3 __umoddi3 | tee -a "$dir/err")"
ok "powerpc-linux-gnu"

: >"$dir/err"
! names_a_system "$root/engine"
ok "no system is named"

# ---- each check can fail -------------------------------------------------------

# spoil TEXT: a copy of the engine, with TEXT at the end of one file
spoil() {
	: >"$dir/err"
	rm -rf "$dir/engine"
	cp -r "$root/engine" "$dir/engine"
	printf '%s\n' "$1" >>"$dir/engine/slot.c"
}

spoil '#include <stdio.h>'
! compile "$dir/engine" x86_64-linux-gnu
ok "a system header is found"

spoil 'void *strdup(const char *); void *spoilt(void); void *spoilt(void)
{ return strdup("x"); }'
compile "$dir/engine" x86_64-linux-gnu && test "$(strangers)" = strdup
ok "a foreign function is found"

spoil '/* as on FreeBSD */'
names_a_system "$dir/engine"
ok "a name is found"

spoil 'static int x = sizeof(long) == 8 ? 1 : "32";'
! compile "$dir/engine" powerpc-linux-gnu
ok "a word of another size is found"

finish
