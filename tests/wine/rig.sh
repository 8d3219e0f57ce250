# rig.sh - a Wine session with the test port and wnbd.sys.
# SPDX-License-Identifier: BSD-2-Clause
#
# Source it after tests/lib.sh, with $root (the source) and $build (the cross build).
# A prefix takes seconds to make and 700 MB, so there is one template per user, and
# a session works in a copy of hard links with registry files of its own.

wine=/usr/lib/wine/wine64
server=/usr/lib/wine/wineserver64
template=${TMPDIR:-/tmp}/nbdisk-wine-$(id -u)
unset DISPLAY
export WINEDEBUG=-all

rig_missing() {
	for tool in "$wine" "$server" x86_64-w64-mingw32-gcc nbdkit; do
		have "$tool" || echo "$tool"
	done
}

make_template() {
	[ ! -f "$template/ready" ] || return 0
	rm -rf "$template" "$template.$$"
	mkdir -p "$template.$$"
	WINEPREFIX=$template.$$ timeout 120 "$wine" wineboot -i >/dev/null 2>&1
	WINEPREFIX=$template.$$ timeout 60 "$server" -w
	[ -f "$template.$$/system.reg" ] || return 1
	touch "$template.$$/ready"
	mv "$template.$$" "$template"
}

# rig_new NAME: a fresh prefix, $WINEPREFIX.  Its log will be $rig_log.
rig_new() {
	export WINEPREFIX=$dir/$1
	rig_log=$dir/$1.log
	cp -al "$template" "$WINEPREFIX" || return
	for file in system.reg user.reg userdef.reg; do
		cp --remove-destination "$template/$file" "$WINEPREFIX/$file"
	done
	drivers=$WINEPREFIX/drive_c/windows/system32/drivers
	cp "$build/tests/wine/storport.sys" "$build"/tests/wine/planted.sys \
		"$build/windows/driver/wnbd.sys" "$drivers/"
}

# What the drivers print goes where the process that started the session writes.
rig_session() {
	"$server" -p
	WINEDEBUG=-all,+debugstr timeout 60 "$wine" cmd /c exit 2>>"$rig_log"
}

rig_end() {
	timeout 20 "$server" -k
	timeout 20 "$server" -w
}

# run_wine PROGRAM ARGUMENT...: as run does, with Linux's line ends.  Each of ours says why
# it ends with 1; if nothing was said but by Wine, Wine 8 did not start it: then once more.
run_wine() {
	run timeout 900 "$wine" "$@"
	if [ "$status" -eq 1 ] && ! cat "$dir/out" "$dir/err" | grep -qv "^wine"; then
		echo "# Wine did not start the program; once more"
		run timeout 900 "$wine" "$@"
	fi
	for file in out err; do
		tr -d '\r' <"$dir/$file" >"$dir/lf" && mv "$dir/lf" "$dir/$file"
	done
}
# drive "VERB ARGUMENT..." ...
drive() {
	run_wine "$build/tests/wine/driver_test.exe" "$@"
}

# A path as Wine sees it.
wine_path() {
	echo "Z:$1" | tr / '\\'
}

reg_dword() {
	timeout 30 "$wine" reg add "HKLM\\System\\CurrentControlSet\\Services\\$1" \
		/v "$2" /t REG_DWORD /d "$3" /f >/dev/null 2>&1
}

# load DRIVER: once in 60 starts Wine 8 does not start it; then once more.
load() {
	drive "service create $1 C:\\windows\\system32\\drivers\\$1.sys"
	reg_dword "$1" WineLegacyAdapter 1
	reg_dword "$1" LogLevel 3
	drive "service start $1" "version"
	[ "$status" -ne 0 ] || return 0
	echo "# $1 did not start; once more"
	drive "try service start $1" "version"
	[ "$status" -eq 0 ]
}

said() {
	grep -qF -- "$1" "$rig_log"
}

# rig_tell: for a failure, what the drivers said, and which programs of the session are left
rig_tell() {
	{
		grep "VERIFIER: " "$rig_log"
		echo "the end of the drivers' log:"
		tail -n 60 "$rig_log"
		echo "the session's programs:"
		ps -o pid,etimes,stat,args -p "$(grep -lszxF "WINEPREFIX=$WINEPREFIX" \
			/proc/[0-9]*/environ | cut -d / -f 3 | paste -s -d ,)"
	} | sed 's/.*Prefix [0-9a-f:]*: //; s/^/# /'
}
