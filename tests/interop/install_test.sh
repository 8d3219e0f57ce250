#!/bin/bash
# install_test.sh BUILD_DIR SOURCE_DIR - what "make install" leaves, and where.
# SPDX-License-Identifier: BSD-2-Clause
#
# Installs the build as it is into a directory of its own.

build=$(realpath "$1")
source=$(realpath "$2")
. "$(dirname "$0")/../lib.sh"

if ! have meson || ! have make; then
	echo "1..0 # SKIP needs meson and make"
	exit 0
fi
# option NAME: of the build
option() {
	meson introspect --buildoptions "$build" | python3 -c 'import json, sys
print(*[o["value"] for o in json.load(sys.stdin) if o["name"] == sys.argv[1]])' "$1"
}
prefix=$(option prefix)
sysconf=$(option sysconfdir)
case $sysconf in /*) ;; *) sysconf=$prefix/$sysconf ;; esac
root=$dir/root
DESTDIR=$root run meson install --no-rebuild -C "$build"
status_is 0
ok "meson install"

is_there() {
	[ -e "$root$1" ]
	ok "$1"
}
is_there "$prefix/bin/nbdisk"
is_there "$prefix/lib/systemd/system/nbdisk@.service"
is_there "$prefix/lib/systemd/system/run-nbdisk-.mount.d/10-nbdisk.conf"
is_there "$prefix/lib/udev/rules.d/60-nbdisk.rules"
is_there "$prefix/share/bash-completion/completions/nbdisk"
is_there "$prefix/share/zsh/site-functions/_nbdisk"
is_there "$prefix/share/fish/vendor_completions.d/nbdisk.fish"
is_there "$prefix/share/man/man8/nbdisk.8"
is_there "$prefix/share/man/man5/nbdisk.conf.5"
is_there "$sysconf/nbdisk"
(cd "$root" && find . ! -type d ! -path ".$prefix/*") >"$dir/out"
[ ! -s "$dir/out" ]
ok "and no file is outside of $prefix"
unit=$root$prefix/lib/systemd/system/nbdisk@.service
program=$(sed -n 's/^ExecStart=\([^ ]*\) .*/\1/p' "$unit")
[ -x "$root$program" ] && grep -q -- "--config $sysconf/nbdisk/%i.conf" "$unit" &&
	! grep -q @ <(sed 's/nbdisk@//' "$unit")
ok "the unit runs what was installed, with the configuration of $sysconf"
make -n -C "$source" install PREFIX=/usr DESTDIR=/tmp/x >"$dir/out" 2>&1 &&
	grep -q 'meson configure -Dprefix=/usr -Dsysconfdir=/etc build' "$dir/out" &&
	grep -q 'meson install -C build' "$dir/out"
ok "make install PREFIX=/usr is kept, whatever the build had"

# ---- completions --------------------------------------------------------------------

PATH=$root$prefix/bin:$PATH
export PATH
nbdisk help | sed -n 's/^  \([a-z-]*\) .*/\1/p' | sort >"$dir/verbs"
nbdisk help scale | sed -n 's/^ .*\(--[a-z-]*\).*/\1/p' | sort >"$dir/options"
in_zsh() { # WORD...: what zsh would offer for the last one
	zsh -fc 'compadd() { [[ $1 = -a ]] && print -l -- ${(P)2} || print -l -- $@ }
		_describe() { print -l -- ${(P)2%%:*} }
		_files() { print files }
		words=("${@:2}") CURRENT=$(($# - 1))
		source $1' zsh "$root$prefix/share/zsh/site-functions/_nbdisk" "$@" | sort
}
if have zsh; then
	in_zsh nbdisk "" | cmp - "$dir/verbs"
	ok "zsh: verbs"
	in_zsh nbdisk scale -- | cmp - "$dir/options" && [ "$(in_zsh nbdisk connect "")" = files ]
	ok "zsh: options, files"
	[ "$(in_zsh nbdisk wait x --for "" | xargs)" = "down gone moved size up" ]
	ok "zsh: values"
else
	skip "zsh" "no zsh"
fi
in_fish() { # LINE
	HOME=$dir fish --no-config -c 'source $argv[1]; complete -C $argv[2]' \
		"$root$prefix/share/fish/vendor_completions.d/nbdisk.fish" "$1" |
		sed 's/\t.*//' | sort
}
if have fish; then
	in_fish "nbdisk " | cmp - "$dir/verbs"
	ok "fish: verbs"
	in_fish "nbdisk scale --" | cmp - "$dir/options" &&
		in_fish "nbdisk help " | cmp - "$dir/verbs"
	ok "fish: options, verbs to explain"
	[ "$(in_fish "nbdisk wait x --for " | xargs)" = "down gone moved size up" ]
	ok "fish: values"
else
	skip "fish" "no fish"
fi
finish
