#!/bin/sh
# compile.sh SRCTOP - type-check module and library against a FreeBSD tree's headers.
# SPDX-License-Identifier: BSD-2-Clause
#
# For machines without FreeBSD: clang, -Wall -Werror, for each architecture.  Says
# nothing about linking or running.

set -eu
srctop=${1:?usage: compile.sh SRCTOP}
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d "${TMPDIR:-/tmp}/freebsd-compile.XXXXXX")
trap 'rm -rf "$out"' EXIT
release=$(sed -n 's/^#define __FreeBSD_version \([0-9]*\).*/\1/p' \
    "$srctop/sys/sys/param.h")

# What config(8) and the kernel's Makefiles generate.
prepare() {
	machine=$1
	dir=$out/$machine
	mkdir -p "$dir"
	ln -sfn "$srctop/sys/$machine/include" "$dir/machine"
	ln -sfn "$srctop/sys/x86/include" "$dir/x86"
	for opt in $(cd "$srctop/sys" && grep -rhos '"opt_[a-z0-9_]*\.h"' \
	    sys vm net netinet geom "$machine/include" | tr -d '"' | sort -u) \
	    opt_kern_tls.h; do
		: >"$dir/$opt"
	done
	(cd "$dir" && for part in p q h; do
		awk -f "$srctop/sys/tools/vnode_if.awk" \
		    "$srctop/sys/kern/vnode_if.src" "-$part"
	done)
}

check() {
	machine=$1 target=$2
	shift 2
	prepare "$machine"
	sources="$(ls "$here"/mod/g_nbd*.c) $(sed -n "s|^  '\([a-z]*\.c\)',$|\1|p" \
	    "$here/../engine/meson.build" | sed "s|^|$here/../engine/|")"
	for source in $sources; do
		clang -target "$target-unknown-freebsd${release%?????}" \
		    -fsyntax-only -std=gnu11 -ffreestanding -nostdinc \
		    -D_KERNEL -DKLD_MODULE -DHAVE_KERNEL_OPTION_HEADERS \
		    -D__FreeBSD__="${release%?????}" -fno-common -O2 \
		    -Wall -Wextra -Werror -Wstrict-prototypes \
		    -Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wundef \
		    -Wno-unused-parameter -Wno-pointer-sign \
		    -Wno-sign-compare -Wno-missing-field-initializers \
		    -I"$dir" -isystem "$srctop/sys" \
		    -isystem "$srctop/sys/contrib/ck/include" \
		    -I"$here/mod" -I"$here/../engine" \
		    -I"$here/../engine/port/freebsd" \
		    "$@" "$source"
	done
}

# geom_nbd.so.  OpenSSL's headers are the host's: the tree's may be of version 1.
check_library() {
	target=$1 machine=$2
	dir=$out/$machine
	mkdir -p "$dir/openssl"
	cp -r /usr/include/openssl/. /usr/include/*/openssl/. "$dir/openssl"
	: >"$dir/osreldate.h"
	for header in errno fcntl poll signal stdint syslog; do
		[ -e "$srctop/include/$header.h" ] ||
		    ln -sfn "$srctop/sys/sys/$header.h" "$dir/$header.h"
	done
	ln -sfn "$srctop/sys/opencrypto" "$dir/crypto"
	for source in "$here"/lib/*.c $(sed -n 's/^SRCS+=//p' \
	    "$here/lib/Makefile" | grep -o '[a-z_]*\.c' |
	    sed "s|.*|$here/../common/& $here/../connect/&|"); do
		[ -e "$source" ] || continue	# geom(8)'s own, or the other's
		clang -target "$target-unknown-freebsd${release%?????}" \
		    -fsyntax-only -std=gnu11 -nostdinc -Wall -Wextra -Werror \
		    -Wno-missing-field-initializers -I"$dir" \
		    -isystem "$(clang -print-resource-dir)/include" \
		    -isystem "$srctop/include" -isystem "$srctop/lib/libgeom" \
		    -isystem "$srctop/sys" -I"$srctop/sbin/geom" \
		    -I"$here/../common" -I"$here/../connect" \
		    -I"$here/../engine" "$source"
	done
}

for debug in "" "-DINVARIANTS -DWITNESS -DKERN_TLS"; do
	# shellcheck disable=SC2086
	check amd64 x86_64 -mcmodel=kernel $debug
	# shellcheck disable=SC2086
	check arm64 aarch64 $debug
done
check_library x86_64 amd64
check_library aarch64 arm64
echo "compiles against __FreeBSD_version $release: amd64, arm64;" \
    "plain and with INVARIANTS, WITNESS, KERN_TLS"
