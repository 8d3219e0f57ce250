#!/bin/bash
# client_test.sh SOURCE-ROOT - wnbd-client.exe and libwnbd.dll under Wine.
# SPDX-License-Identifier: BSD-2-Clause
#
# The unmodified programs: without the driver, as an NBD client with Schannel, and with
# wnbd.sys, installed by its INF.  Two things are not Windows's: the INF's decoration
# for 1809, which Wine does not know, and cfgmgr32.dll, of which Wine has too little.

root=$1
. "$root/tests/lib.sh"
. "$root/tests/wine/rig.sh"
build=$root/build-windows

missing=$(rig_missing)
if [ -n "$missing" ]; then
	echo "1..0 # SKIP not installed:" $missing
	exit 0
fi
[ -f "$build/build.ninja" ] || meson setup --cross-file \
	"$root/cross/x86_64-w64-mingw32.ini" "$build" "$root" >"$dir/log" 2>&1
if ! nice ninja -C "$build" >"$dir/log" 2>&1; then
	sed 's/^/# /' "$dir/log"
	echo "Bail out! the Windows build fails"
	exit 1
fi
make_template || {
	echo "Bail out! no Wine prefix"
	exit 1
}
trap 'rig_end >/dev/null 2>&1; cleanup' EXIT

client() {
	run_wine wnbd-client.exe "$@"
}
# Exit statuses of Windows, as far as Linux sees them.
failed_with() {
	[ "$status" -eq $(($1 & 255)) ]
}
out_is() {
	printf '%s\n' "$@" | cmp -s - "$dir/out"
}
out_matches() {
	grep -qE -- "$1" "$dir/out"
}

mkdir "$dir/pkg"
cp "$build"/out/* "$build"/tests/wine/client/*.exe "$build"/tests/wine/client/*.dll "$dir/pkg"
sed -i 's/NTamd64\.10\.0\.\.\.17763/NTamd64/' "$dir/pkg/wnbd.inf"
cd "$dir/pkg" || exit 99
rig_new client
rm -f "$drivers/wnbd.sys"
export WINEDLLOVERRIDES=cfgmgr32=n
rig_session
version=$(sed -n "s/^  version: '\(.*\)',/\1/p" "$root/meson.build")

# ---- without the driver ------------------------------------------------------

client
status_is 0 && out_has "wnbd-client commands: " && out_matches '^list \| ls +List'
ok "no arguments: help"
client help unmap
status_is 0 && out_has "Positional arguments:" && out_has "Optional arguments:" &&
	out_has "Common arguments:"
ok "help of a command"
client frob
failed_with 87 && err_has "Unknown command: frob" && err_has "See wnbd-client --help."
ok "an unknown command: 87"
client list --frob
failed_with 87 && err_has "wnbd-client: list has no option --frob"
ok "an unknown option: 87"
client list x
failed_with 87 && err_has "wnbd-client: too many arguments"
ok "too many arguments: 87"
client version
failed_with 110 && out_is "wnbd-client.exe: $version" "libwnbd.dll: $version"
ok "version without the driver"
client list
failed_with 110 && err_has "wnbd-client: list: " && err_has "Is the driver installed?" &&
	grep -qE '^[0-9:.]{12} libwnbd\.dll![a-z_]+ ERROR ' "$dir/err"
ok "list without the driver: the library's log line, and the error"
client install-driver nowhere.inf
failed_with 2 && err_has "nowhere.inf"
ok "an INF that is not there: 2"
run_wine api_sample.exe
status_is 0 && out_has "WnbdGetLibVersion 0" && out_has "WnbdSetSense 0" &&
	out_has "WnbdSetSenseEx 0" && out_has "WnbdGetDrvOpt 110" &&
	out_has "WnbdRunNbdDaemonEx 87"
ok "the C++ sample runs without the driver"
grep -oE '\bWnbd[A-Z][A-Za-z]+\(' "$root/windows/include/wnbd.h" | sort -u |
	while read -r name; do
		grep -qF "$name" "$root/tests/wine/client/api_sample.cpp" || echo "$name"
	done >"$dir/out"
[ ! -s "$dir/out" ]
ok "the C++ sample calls every function of wnbd.h"

# ---- NBD in user space, TLS by Schannel ---------------------------------------

serve() {
	free_port
	start nbdkit -f -i 127.0.0.1 -p "$port" "$@"
	wait_until listens "$port"
}
# probe URI-REST CONNECTIONS THREADS REQUESTS [CA...]
probe() {
	uri=$1
	shift
	run_wine nbd_probe.exe "${uri%%PORT*}$port${uri#*PORT}" "$@"
}
serve memory 64M
probe nbd://127.0.0.1:PORT/ 1 8 60
status_is 0 && out_is "size 67108864" "tls 0" "same"
ok "one connection, eight threads: what is read is what was written"
probe nbd://localhost:PORT/ 4 32 60
status_is 0 && out_is "size 67108864" "tls 0" "same"
ok "four connections, 32 threads"
probe nbds://localhost:PORT/ 1 1 1 pki/ca-cert.pem
status_is 1 && err_has "cannot read the CA's certificate"
ok "a CA file that is not there"
stop "$pid"

# A server that is killed and started again in the middle of the writes: one flush fails,
# for acknowledged writes may be lost, and nothing else does.
truncate -s 64M "$dir/image"
serve --filter=delay file "$dir/image" wdelay=50ms
(
	sleep 1
	stop "$pid"
	while listens "$port"; do sleep 0.05; done
	exec nbdkit -f -i 127.0.0.1 -p "$port" file "$dir/image"
) >"$dir/second.log" 2>&1 &
second=$!
pids="$pids $second"
probe nbd://127.0.0.1:PORT/ 2 8 400
err_has "is closed" && err_has "a flush failed" && err_lacks "a write failed" &&
	err_lacks "a read failed" && err_lacks "is not what was written"
ok "a server that is restarted loses no request; a flush tells of it"
kill "$second"

certificate() {
	openssl req -newkey rsa:2048 -nodes -keyout "pki/$1-key.pem" -out pki/req \
		-subj "/CN=$2" 2>/dev/null
	printf '%b' "$3" >pki/ext
	openssl x509 -req -in pki/req -CA pki/ca-cert.pem -CAkey pki/ca-key.pem \
		-CAcreateserial -days "${4:-2}" -out "pki/$1-cert.pem" -extfile pki/ext \
		2>/dev/null
}
authority() {
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout "pki/$1-key.pem" \
		-out "pki/$1-cert.pem" -subj "/CN=$1" \
		-addext basicConstraints=critical,CA:TRUE \
		-addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
}
mkdir pki
authority ca
authority other
certificate server localhost \
	'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n'
certificate client somebody 'extendedKeyUsage=clientAuth\n'

serve --tls=require --tls-certificates="$dir/pkg/pki" memory 64M
probe nbds://localhost:PORT/ 2 8 60 pki/ca-cert.pem
status_is 0 && out_has "tls 1" && out_has "same"
ok "TLS, two connections"
probe nbds://127.0.0.1:PORT/ 1 1 10 pki/ca-cert.pem
status_is 0 && out_has "tls 1" && out_has "same"
ok "TLS: the certificate names the address"
probe 'nbds://localhost:PORT/?tls-hostname=elsewhere' 1 1 10 pki/ca-cert.pem
status_is 1 && err_has "is not for elsewhere" && out_lacks size
ok "TLS: another host name is refused"
probe 'nbds://localhost:PORT/?tls-hostname=127.0.0.2' 1 1 10 pki/ca-cert.pem
status_is 1 && err_has "is not for 127.0.0.2" && out_lacks size
ok "TLS: another address is refused"
probe nbds://localhost:PORT/ 1 1 10 pki/other-cert.pem
status_is 1 && err_has "which is not trusted here" && err_has "The CA file given" &&
	out_lacks size
ok "TLS: a certificate of another CA is refused"
probe nbds://localhost:PORT/ 1 1 10
status_is 1 && err_has "which is not trusted here" && out_lacks size
ok "TLS: the machine's roots do not trust it"
probe 'nbds://localhost:PORT/?tls-verify-peer=false' 1 1 10
status_is 0 && out_has "tls 1"
ok "TLS: unless told not to look"
probe nbd://localhost:PORT/ 1 1 10
status_is 1 && err_has "demands TLS"
ok "a server that demands TLS says so"
stop "$pid"

serve --tls=require --tls-verify-peer --tls-certificates="$dir/pkg/pki" memory 64M
probe nbds://localhost:PORT/ 1 1 10 pki/ca-cert.pem
status_is 1 && err_has "Does it want a certificate of this client?"
ok "TLS: a client certificate is missing"
probe nbds://localhost:PORT/ 1 4 30 pki/ca-cert.pem pki/client-cert.pem \
	pki/client-key.pem
status_is 0 && out_has "same"
ok "TLS: a client certificate"
echo secret >pki/password
echo wrong >pki/wrong
openssl pkcs8 -topk8 -in pki/client-key.pem -v2 aes-256-cbc -passout file:pki/password \
	-out pki/locked-key.pem
probe nbds://localhost:PORT/ 1 4 30 pki/ca-cert.pem pki/client-cert.pem \
	pki/locked-key.pem pki/password
status_is 0 && out_has "same"
ok "TLS: a client's key with a password"
probe nbds://localhost:PORT/ 1 4 30 pki/ca-cert.pem pki/client-cert.pem \
	pki/locked-key.pem pki/wrong
status_is 1 && err_has "the password is wrong" && out_lacks size
ok "TLS: a wrong password"
probe nbds://localhost:PORT/ 1 4 30 pki/ca-cert.pem pki/client-cert.pem \
	pki/locked-key.pem
status_is 1 && err_has "the key has a password" && out_lacks size
ok "TLS: no password"
stop "$pid"

serve memory 1M
probe nbds://localhost:PORT/ 1 1 10 pki/ca-cert.pem
status_is 1 && err_has "TLS is required here" && out_lacks size
ok "TLS that is required is never done without"
stop "$pid"

. "$root/tests/wine/client_driver.sh"
. "$root/tests/wine/client_selftest.sh"
finish
