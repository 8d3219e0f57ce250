#!/bin/bash
# msvc_test.sh SOURCE-ROOT - what Microsoft's compiler is to compile has no GNU extension.
# SPDX-License-Identifier: BSD-2-Clause
#
# By clang in its MSVC mode, with mingw-w64's headers, for there are no others here.  So
# only what it says of our own lines counts, and of these not what comes from the
# headers: macros (FIELD_OFFSET), and a DWORD that clang 19 takes for a function.  It
# compiles nothing: vstudio/ has not been built yet.

root=$1
. "$root/tests/lib.sh"
include=/usr/share/mingw-w64/include
resource=$(clang -print-resource-dir 2>/dev/null)/include

if ! have clang || [ ! -d "$include/ddk" ]; then
	echo "1..0 # SKIP clang or mingw-w64 is missing"
	exit 0
fi
cd "$root" || exit 99
# The compilers' intrinsics, of which the headers and clang have each their own.
guards="__INTRIN_H_ __INTRIN_H __X86INTRIN_H __IMMINTRIN_H __MMINTRIN_H __XMMINTRIN_H
	__EMMINTRIN_H _MM3DNOW_H_INCLUDED __AMMINTRIN_H __PMMINTRIN_H"
common="--target=x86_64-pc-windows-msvc -fsyntax-only -ferror-limit=0 -std=c11 -Wno-everything -Wgnu
	-nostdinc -D_WIN32_WINNT=0x0A00 -DNTDDI_VERSION=0x0A000006 -Iengine
	-Iwindows/include -Iwindows/host"
for guard in $guards; do
	common="$common -D$guard"
done

# compiles FILE OPTION...: what clang says of our own lines is printed.
compiles() {
	file=$1
	shift
	! clang $common "$@" -isystem "$resource" "$file" 2>&1 |
		grep -E "^(windows|engine|connect|common|vstudio|$dir)[^ ]*: ($what)" |
		grep -vE "variably modified|function type 'DWORD'"
}
driver="-D_WIN64 -D_AMD64_ -DWNBD_VERSION_MAJOR=0 -DWNBD_VERSION_MINOR=9
	-DWNBD_VERSION_PATCH=0 -DWNBD_VERSION_TEXT=\"0.9.0\" -Iengine/port/windows
	-Iwindows/driver -isystem $include/ddk -isystem $include"
user="-DUNICODE -D_UNICODE -D_UCRT -DWIN32_LEAN_AND_MEAN -include vstudio/compat/msvc.h
	-Ivstudio/compat -Icommon -Iconnect -Iwindows/libwnbd -Iwindows/selftest
	-I$dir -isystem $include"
sed 's/@[A-Z]*@/0/' windows/version.h.in >"$dir/version.h"

what="warning|error|fatal"
for file in engine/*.c windows/driver/*.c; do
	compiles "$file" $driver || bad="$bad $file"
done
[ -z "$bad" ]
ok "the driver and the engine"
# windows.h is beyond clang here, so errors say nothing.
bad=
what=warning
for file in windows/libwnbd/*.c windows/wnbd-client/*.c windows/selftest/*.c common/*.c \
	connect/tls_schannel_*.c connect/{dial,dial_windows,error,negotiate,os_windows,printable,resolve_windows}.c \
	connect/{ec_key,key_lock,rsa_key,stream,tls_schannel,uri}.c; do
	compiles "$file" $user || bad="$bad $file"
done
[ -z "$bad" ]
ok "library, client and self-test"
printf 'int f(int x)\n{\n\treturn ({ x; }) ?: 1;\n}\n' >"$dir/planted.c"
! compiles "$dir/planted.c" $user >/dev/null
ok "an extension is noticed"

# The project files of Visual Studio name their sources one by one.
lists() {
	project=vstudio/$1.vcxproj
	shift
	python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' \
		"$project" || bad="$bad $project"
	for file; do
		grep -qF "\"..\\$(echo "$file" | tr / '\\')\"" "$project" || bad="$bad $file"
	done
}
bad=
lists wnbd windows/driver/*.c engine/*.c
lists libwnbd windows/libwnbd/*.c engine/*.c connect/*_windows.c connect/tls_schannel*.c
lists wnbd-client windows/wnbd-client/*.c common/*.c
lists wnbd-selftest windows/selftest/*.c
echo "$bad" | tr ' ' '\n' | sed '/^$/d; s/^/# /'
[ -z "$bad" ]
ok "vstudio/ has all sources"
finish
