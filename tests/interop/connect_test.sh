#!/bin/bash
# connect_test.sh PROBE KTLS_PROBE KEY_UPDATER - connect/ against servers that other people wrote.
# SPDX-License-Identifier: BSD-2-Clause
#
# Kinds of error, as connect_probe exits with them: 1 usage, 2 resolve, 3 unreachable,
# 4 not NBD, 5 no export, 6 refused, 7 TLS required, 8 TLS refused, 9 TLS failed.

probe=$1
ktls_probe=$2
key_updater=$3
. "$(dirname "$0")/../lib.sh"

if ! have nbdkit; then
	echo "1..0 # SKIP nbdkit is not installed"
	exit 0
fi

sock=$dir/s
unix="nbd+unix:///?socket=$sock"
head -c 1048576 /dev/urandom >"$dir/disk"
printf 'NBD!' | dd of="$dir/disk" conv=notrunc 2>/dev/null
data=data=4e424421

# ---- options of a good server ------------------------------------------------

start_nbdkit "$sock" -r file "$dir/disk"
run "$probe" read "$unix"
status_is 0 && out_has size=1048576 && out_has tls=0 && out_has $data
ok "nbdkit over a UNIX socket"
run "$probe" read "$sock"
status_is 0 && out_has $data
ok "a path alone is a UNIX socket"
run "$probe" -framing 2 -alloc 1 open "$unix"
status_is 0 && out_has framing=1 && out_has alloc=1
ok "structured replies and base:allocation"
run "$probe" -framing 0 -alloc 1 open "$unix"
status_is 0 && out_has framing=0 && out_has alloc=0
ok "simple replies when no more is asked for"
run "$probe" info "$unix"
status_is 0 && out_has size=1048576
ok "info"
run "$probe" list "$unix"
status_is 0 && out_has count=1
ok "list"
run "$probe" open "nbds+unix:///?socket=$sock&tls-hostname=localhost"
status_is 8 && err_has "does not offer it"
ok "TLS required of a server without it"
run "$probe" -tls 1 read "$unix"
status_is 0 && out_has tls=0 && out_has $data
ok "TLS only if offered, of a server without it"
stop "$pid"

# nbdkit's TCP port is found by trying; the name gives more than one address.
start_on_port nbdkit -f -i 127.0.0.1 -p PORT -r file "$dir/disk"
run "$probe" read "nbd://127.0.0.1:$port"
status_is 0 && out_has $data
ok "nbdkit over TCP"
run "$probe" read "nbd://localhost:$port/"
status_is 0 && out_has $data
ok "a host name, whatever addresses it has"
stop "$pid"

# ---- old servers -------------------------------------------------------------

for mask in 0 1 2 3; do
	start_nbdkit "$sock" --mask-handshake=$mask -r file "$dir/disk"
	run "$probe" -framing 2 open "$unix"
	status_is 0 && out_has size=1048576 && out_has hs_flags=$mask &&
		out_has framing=$((mask & 1))
	ok "handshake flags $mask"
	run "$probe" read "$unix"
	status_is 0 && out_has $data
	ok "handshake flags $mask, read"
	stop "$pid"
done

start_nbdkit "$sock" --mask-handshake=0 -r file "$dir/disk"
run "$probe" list "$unix"
status_is 6 && err_has "too old"
ok "list of a server without fixed newstyle"
run "$probe" -tls 2 -hostname x open "$unix"
status_is 8
ok "TLS required of a server without fixed newstyle"
stop "$pid"

start_nbdkit "$sock" -o -r file "$dir/disk"
run "$probe" read "$unix"
status_is 0 && out_has size=1048576 && out_has hs_flags=0 && out_has $data
ok "oldstyle"
run "$probe" list "$unix"
status_is 0 && out_has count=1 && out_has "export= about=(none)"
ok "oldstyle: list is the default export"
run "$probe" open "nbd+unix:///name?socket=$sock"
status_is 5
ok "oldstyle has no names"
run "$probe" -tls 2 open "$unix"
status_is 8
ok "oldstyle has no TLS"
stop "$pid"

# ---- exports -----------------------------------------------------------------

start_nbdkit "$sock" eval get_size='echo 65536' pread='head -c $3 /dev/zero' \
	open='[ "$3" = good ] || { echo "ENOENT no such thing" >&2; exit 1; }; echo h' \
	list_exports='printf "INTERLEAVED\ngood\na good one\nother\n\n"' \
	default_export='echo good' export_description='echo a good one'
run "$probe" list "$unix"
status_is 0 && out_has count=2 && out_has "export=good about=a good one" &&
	out_has "export=other about=(none)"
ok "list with descriptions"
run "$probe" info "nbd+unix:///good?socket=$sock"
status_is 0 && out_has "about=a good one" && out_has size=65536
ok "info with a description"
run "$probe" open "nbd+unix:///bad?socket=$sock"
status_is 5 && err_has '/bad' && err_has 'The server has: "good", "other"'
ok "no such export: the names there are"
run "$probe" info "nbd+unix:///bad?socket=$sock"
status_is 5 && err_has 'The server has: "good", "other"'
ok "no such export, asked by info"
stop "$pid"

start_nbdkit "$sock" eval get_size='echo 65536' pread='head -c $3 /dev/zero' \
	open='echo "ENOENT no" >&2; exit 1' list_exports='echo NAMES
		printf "a\033[2Jb\n"; printf "%s\n" c d e f g h i j k l m'
run "$probe" list "$unix"
status_is 0 && out_has count=12 && out_has 'export=a\x1b[2Jb about=(none)' &&
	out_lacks "$(printf '\033')"
ok "control bytes in a name are escaped"
run "$probe" open "$unix"
status_is 5 && err_has 'The server has: "a\x1b[2Jb", "c",' && err_has '"k" and 2 more'
ok "no such export: not more names than fit"
stop "$pid"

start_nbdkit "$sock" --filter=blocksize-policy -r file "$dir/disk" \
	blocksize-minimum=4096 blocksize-preferred=65536 blocksize-maximum=1000000 \
	blocksize-error-policy=error
run "$probe" info "$unix"
status_is 0 && out_has block_min=4096 && out_has block_pref=65536 &&
	out_has payload_max=$((1000000 / 4096 * 4096))
ok "block sizes"
stop "$pid"

start_nbdkit "$sock" null 0
run "$probe" open "$unix"
status_is 6 && err_has "empty"
ok "an empty export"
stop "$pid"

# ---- nobody, and somebody else -----------------------------------------------

free_port
run "$probe" open "nbd://127.0.0.1:$port"
status_is 3 && err_has refused && out_has "kind=3 transient=1"
ok "refused"
run "$probe" open "nbd://no-such-host.invalid/"
status_is 2 && err_has "no such host"
ok "no such host"
run "$probe" open "nbd://127.0.0.1:no-such-service"
status_is 1
ok "no such service"
run "$probe" open "nbd+unix:///?socket=$dir/nothing"
status_is 3 && err_has "no such socket"
ok "no such socket"
run "$probe" open "nbd+unix:///?socket=$dir/$(printf '%0200d' 0)"
status_is 1 && err_has "longer"
ok "a path too long for a socket"

run "$probe" -timeout 1000 open "nbd+vsock://1:$port/"
status_is 3 && err_has "nbd+vsock://1:$port/: cannot connect"
ok "vsock that nobody listens on"
run "$probe" open "nbd+vsock://me:1/"
status_is 1 && err_has "two numbers"
ok "vsock has numbers"

if have python3; then
	cat >"$dir/fake.py" <<'EOF'
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1].replace('@', '\0', 1) if sys.argv[1][0] == '@' else sys.argv[1])
s.listen(5)
while True:
    c = s.accept()[0]
    c.sendall(sys.argv[2].encode().decode('unicode_escape').encode('latin1'))
    time.sleep(float(sys.argv[3]))
    c.close()
EOF
	fake() {
		rm -f "$sock"
		start python3 "$dir/fake.py" "$sock" "$@"
		wait_until [ -S "$sock" ]
	}
	fake "" 20
	begun=$(date +%s%N)
	run "$probe" -timeout 600 open "$unix"
	took=$((($(date +%s%N) - begun) / 1000000))
	status_is 3 && err_has "no answer within 0.6 s" &&
		err_has "is it an NBD server?" && [ "$took" -ge 600 ] &&
		[ "$took" -lt 3000 ]
	ok "a silent listener"
	stop "$pid"
	fake "HTTP/1.1 400 Bad Request\r\n\r\n" 5
	run "$probe" open "$unix"
	status_is 4 && err_has "not an NBD server"
	ok "not NBD"
	stop "$pid"
	start python3 "$dir/fake.py" "@$sock" "220 hello there" 5
	run "$probe" -retry 5000 open "nbd+unix:///?socket=%00$sock"
	status_is 4
	ok "an abstract socket"
	stop "$pid"
	fake "220 hi" 0
	run "$probe" open "$unix"
	status_is 4
	ok "not NBD, and short"
	stop "$pid"
	fake 'NBDMAGICIHAVEOPT\0\3\0\3\350\211\4Ue\251\0\0\0\5\0\0\0\1\0\0\0\0SSH-2.0' 5
	run "$probe" -tls 2 -timeout 3000 open "$unix"
	status_is 9 && err_has "not TLS"
	ok "STARTTLS is accepted, but TLS does not follow"
	stop "$pid"
	fake "" 0
	run "$probe" open "$unix"
	status_is 3 && err_has "closed"
	ok "closed at once"
	stop "$pid"
	fake 'NBDMAGICIHAVEOPT\0\1' 20
	begun=$(date +%s%N)
	run "$probe" -timeout 600 open "$unix"
	took=$((($(date +%s%N) - begun) / 1000000))
	status_is 3 && err_has "not done within 0.6 s" && [ "$took" -lt 3000 ]
	ok "silent after the greeting"
	mkfifo "$dir/cancel"
	(sleep 0.3; echo >"$dir/cancel") &
	exec 5<>"$dir/cancel"
	run "$probe" -cancel 5 -timeout 20000 open "$unix"
	exec 5>&-
	status_is 11 && err_has interrupted
	ok "cancelled while the server is silent"
	stop "$pid"
	cat >"$dir/flood.py" <<'EOF'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(5)
reply = bytes.fromhex('0003e889045565a9' '00000003' '00000002')
name = b'n' * int(sys.argv[2])
reply += (len(name) + 4).to_bytes(4, 'big') + len(name).to_bytes(4, 'big') + name
while True:
    c = s.accept()[0]
    c.sendall(b'NBDMAGICIHAVEOPT\0\1')
    try:
        while True:
            c.sendall(reply * 100)
    except OSError:
        c.close()
EOF
	cat >"$dir/refuses.py" <<'EOF'
import socket, struct, sys
REPLY, UNSUPPORTED, ABORT = 0x3e889045565a9, 0x80000001, 2
s = socket.create_server(('127.0.0.1', int(sys.argv[1])))
def recv(c, length):
    got = c.recv(length, socket.MSG_WAITALL)
    if len(got) < length:
        raise EOFError
    return got
while True:
    c = s.accept()[0]
    c.sendall(b'NBDMAGICIHAVEOPT\0\3')
    last = 'flags'
    try:
        recv(c, 4)
        while True:
            _, last, length = struct.unpack('>QII', recv(c, 16))
            recv(c, length)
            if last != ABORT:
                c.sendall(struct.pack('>QIII', REPLY, last, UNSUPPORTED, 0))
    except EOFError:
        print(last, 'end', flush=True)
    except ConnectionError:
        print(last, 'reset', flush=True)
EOF
	: >"$dir/server.log"
	start_on_port python3 "$dir/refuses.py" PORT
	run "$probe" info "nbd://127.0.0.1:$port"
	status_is 6 && wait_until grep -q '^2 ' "$dir/server.log" &&
		! grep -q '^2 reset' "$dir/server.log"
	ok "a handshake that failed ends in order: ABORT, and no reset"
	stop "$pid"
	flood() {
		rm -f "$sock"
		start python3 "$dir/flood.py" "$sock" "$1"
		wait_until [ -S "$sock" ]
	}
	flood 1
	run "$probe" -timeout 20000 list "$unix"
	status_is 6 && err_has "do not end"
	ok "a list without end"
	run "$probe" -timeout 20 list "$unix"
	# On a busy machine the time is over before the first answer.
	status_is 3 && err_has " within 0.0 s"
	ok "a list without end, and little time"
	stop "$pid"
	flood 4096
	run "$probe" -timeout 20000 list "$unix"
	status_is 6 && err_has "does not end"
	ok "a list that is too large"
	stop "$pid"
else
	skip "silent and strange servers" "python3 is not installed"
fi

rm -f "$sock"
(sleep 1; exec timeout 20 nbdkit -f -U "$sock" -r file "$dir/disk") >/dev/null 2>&1 &
late=$!
run "$probe" -retry 8000 read "$unix"
status_is 0 && out_has $data
ok "a server that comes later"
pids="$pids $late"
stop "$late"

# ---- TLS with certificates ---------------------------------------------------

if have certtool && have openssl; then
	mkdir "$dir/pki" "$dir/pki-expired" "$dir/pki-name"
	# ca NAME: a new authority, NAME.pem and NAME.key.
	ca() {
		openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=$1" \
			-keyout "$dir/$1.key" -out "$dir/$1.pem" 2>/dev/null
	}
	# cert DIR ALTNAME DAYS: server-cert.pem and server-key.pem by "authority".
	cert() {
		openssl req -newkey rsa:2048 -nodes -subj "/CN=disks" \
			-keyout "$1/server-key.pem" -out "$dir/req" 2>/dev/null
		printf 'subjectAltName=%s\n' "$2" >"$dir/ext"
		openssl x509 -req -in "$dir/req" -CA "$dir/authority.pem" \
			-CAkey "$dir/authority.key" -CAcreateserial -days "$3" \
			-extfile "$dir/ext" -out "$1/server-cert.pem" 2>/dev/null
		cp "$dir/authority.pem" "$1/ca-cert.pem"
	}
	ca authority
	ca stranger
	cert "$dir/pki" DNS:localhost,IP:127.0.0.1 30
	cert "$dir/pki-name" DNS:other.example,IP:192.0.2.1 30
	cat >"$dir/expired.cfg" <<'EOF'
cn = "disks"
dns_name = "localhost"
activation_date = "2001-01-01 00:00:00 UTC"
expiration_date = "2002-01-01 00:00:00 UTC"
tls_www_server
EOF
	certtool --generate-privkey --outfile "$dir/pki-expired/server-key.pem" \
		2>/dev/null
	certtool --generate-certificate \
		--load-privkey "$dir/pki-expired/server-key.pem" \
		--load-ca-certificate "$dir/authority.pem" \
		--load-ca-privkey "$dir/authority.key" --template "$dir/expired.cfg" \
		--outfile "$dir/pki-expired/server-cert.pem" 2>/dev/null
	cp "$dir/authority.pem" "$dir/pki-expired/ca-cert.pem"
	openssl req -newkey rsa:2048 -nodes -subj "/CN=client" \
		-keyout "$dir/client.key" -out "$dir/req" 2>/dev/null
	openssl x509 -req -in "$dir/req" -CA "$dir/authority.pem" \
		-CAkey "$dir/authority.key" -CAcreateserial -days 30 \
		-out "$dir/client.pem" 2>/dev/null
	echo "open sesame" >"$dir/password"
	openssl rsa -aes256 -in "$dir/client.key" -passout "file:$dir/password" \
		-out "$dir/client.enc" 2>/dev/null

	nbds="nbds+unix:///?socket=$sock"
	start_nbdkit "$sock" --tls=require --tls-certificates="$dir/pki" \
		-r file "$dir/disk"
	run "$probe" -ca "$dir/authority.pem" read "$nbds"
	status_is 0 && out_has tls=1 && out_has $data
	ok "X.509"
	run "$probe" -ca "$dir/authority.pem" -twice 1 read "$nbds"
	status_is 0 && wait_until out_has again=0
	ok "X.509, the same context after a fork"
	run "$probe" -ca "$dir/authority.pem" -ktls 1 read "$nbds"
	status_is 0 && out_has tls=1 && out_has ktls=0 && out_has $data
	ok "kernel TLS falls back where there is none"
	for release in 6.14.0 7.3.4+deb13-cloud-amd64 10.0-rc1; do
		run "$ktls_probe" "$dir/authority.pem" "$nbds" $release
		status_is 0 && out_has ktls=1 && out_has $data
		ok "keys and record numbers for the kernel, GnuTLS server, Linux $release"
	done
	for release in 6.13.12 5.15.0-91-generic unknown; do
		run "$ktls_probe" "$dir/authority.pem" "$nbds" $release
		out_has tls=1 && out_has ktls=0
		ok "a kernel that cannot change keys gets no session, Linux $release"
	done
	run "$probe" -ca "$dir/authority.pem" -framing 2 -alloc 1 open "$nbds"
	status_is 0 && out_has framing=1 && out_has alloc=1
	ok "X.509, options inside TLS"
	run "$probe" -ca "$dir/authority.pem" list "$nbds"
	status_is 0 && out_has count=1
	ok "X.509, list"
	run "$probe" -ca "$dir/authority.pem" -hostname 127.0.0.1 read "$nbds"
	status_is 0 && out_has $data
	ok "X.509, an address as the host name"
	run "$probe" -ca "$dir/authority.pem" -hostname elsewhere.example open "$nbds"
	status_is 9 && err_has "is for localhost, 127.0.0.1, not for elsewhere.example"
	ok "X.509, wrong host name"
	run "$probe" -ca "$dir/authority.pem" -hostname 192.0.2.9 open "$nbds"
	status_is 9 && err_has "not for 192.0.2.9"
	ok "X.509, wrong address"
	run "$probe" -ca "$dir/stranger.pem" open "$nbds"
	status_is 9 && err_has 'signed by "CN=authority"' && err_has "CA file"
	ok "X.509, wrong CA"
	run "$probe" open "$nbds"
	status_is 9 && err_has 'signed by "CN=authority"'
	ok "X.509, the system's roots are the default"
	run "$probe" -ca "$dir/stranger.pem" read "$nbds&tls-verify-peer=false"
	status_is 0 && out_has $data
	ok "X.509, check turned off"
	run "$probe" -ca "$dir/missing.pem" open "$nbds"
	status_is 1 && err_has "missing.pem"
	ok "X.509, no CA file"
	run "$probe" -ca "$dir/disk" open "$nbds"
	status_is 1 && err_has "not usable"
	ok "X.509, a CA file that is none"
	run "$probe" -cert "$dir/client.pem" open "$nbds"
	status_is 1 && err_has "the key is missing"
	ok "X.509, a certificate without a key"
	run "$probe" -cert "$dir/client.pem" -key "$dir/stranger.key" open "$nbds"
	status_is 1 && err_has "not the key of"
	ok "X.509, a key of another certificate"
	run "$probe" open "$unix"
	status_is 7 && err_has "demands TLS"
	ok "the server demands TLS"
	run "$probe" list "$unix"
	status_is 7
	ok "the server demands TLS for a list"
	run "$probe" -ca "$dir/authority.pem" -tls 1 read "$unix"
	status_is 0 && out_has tls=1 && out_has $data
	ok "TLS if offered, of a server with it"
	stop "$pid"

	start_nbdkit "$dir/plain" -r file "$dir/disk"
	plain=$pid
	rm -f "$sock"
	start "$key_updater" "$sock" "$dir/plain" "$dir/pki" 1
	wait_until [ -S "$sock" ]
	: >"$dir/server.log"
	run "$probe" -ca "$dir/authority.pem" -framing 2 -alloc 1 open "$nbds"
	status_is 0 && out_has size=1048576 && [ "$(grep -c update "$dir/server.log")" -gt 3 ]
	ok "KeyUpdate before each reply to an option"
	run "$probe" -ca "$dir/authority.pem" read "$nbds"
	status_is 0 && out_has tls=1 && out_has $data
	ok "and a read after them"
	run "$ktls_probe" "$dir/authority.pem" "$nbds" 6.14.0
	out_has tls=1 && out_has ktls=0
	ok "the kernel does not get keys that are the first no more"
	stop "$pid"
	stop "$plain"

	start_nbdkit "$sock" --tls=require --tls-certificates="$dir/pki-name" null 4096
	run "$probe" -ca "$dir/authority.pem" open "$nbds"
	status_is 9 && err_has "is for other.example, 192.0.2.1, not for localhost"
	ok "X.509, a certificate of another host"
	run "$probe" -ca "$dir/authority.pem" open "$nbds&tls-hostname=other.example"
	status_is 0
	ok "X.509, tls-hostname"
	stop "$pid"

	start_nbdkit "$sock" --tls=require --tls-certificates="$dir/pki-expired" \
		null 4096
	run "$probe" -ca "$dir/authority.pem" open "$nbds"
	status_is 9 && err_has "expired on Jan  1 00:00:00 2002"
	ok "X.509, expired"
	stop "$pid"

	# A chain of three: authority, middle, server.
	mkdir "$dir/pki-chain" "$dir/pki-user"
	ca middle
	cp "$dir/authority.pem" "$dir/pki-chain/ca-cert.pem"
	openssl req -new -key "$dir/middle.key" -subj /CN=middle -out "$dir/req"
	echo basicConstraints=critical,CA:true >"$dir/ext"
	openssl x509 -req -in "$dir/req" -CA "$dir/authority.pem" \
		-CAkey "$dir/authority.key" -CAcreateserial -days 30 \
		-extfile "$dir/ext" -out "$dir/middle.pem" 2>/dev/null
	openssl req -newkey rsa:2048 -nodes -subj "/CN=disks" \
		-keyout "$dir/pki-chain/server-key.pem" -out "$dir/req" 2>/dev/null
	echo subjectAltName=DNS:localhost >"$dir/ext"
	openssl x509 -req -in "$dir/req" -CA "$dir/middle.pem" \
		-CAkey "$dir/middle.key" -CAcreateserial -days 30 \
		-extfile "$dir/ext" -out "$dir/leaf.pem" 2>/dev/null
	cat "$dir/leaf.pem" "$dir/middle.pem" >"$dir/pki-chain/server-cert.pem"
	crl "$dir/authority.crl" "$dir/authority" now
	crl "$dir/authority-past.crl" "$dir/authority" past
	crl "$dir/authority-middle.crl" "$dir/authority" now "$dir/middle.pem"
	crl "$dir/middle.crl" "$dir/middle" now
	crl "$dir/middle-past.crl" "$dir/middle" past
	crl "$dir/middle-leaf.crl" "$dir/middle" now "$dir/leaf.pem"
	start_nbdkit "$sock" --tls=require --tls-certificates="$dir/pki-chain" \
		-r file "$dir/disk"
	# lists FILE...: the probe with these lists
	lists() {
		cat "$@" >"$dir/lists"
		run "$probe" -ca "$dir/authority.pem" -crl "$dir/lists" read "$nbds"
	}
	lists "$dir/authority.crl" "$dir/middle.crl"
	status_is 0 && out_has tls=1 && out_has $data
	ok "revocation lists that have nobody"
	lists "$dir/authority.crl" "$dir/middle-leaf.crl"
	status_is 9 && err_has 'the certificate "CN=disks" was revoked'
	ok "the server's certificate was revoked"
	lists "$dir/authority-middle.crl" "$dir/middle.crl"
	status_is 9 && err_has 'the certificate "CN=middle" was revoked'
	ok "its authority's certificate was revoked"
	lists "$dir/authority.crl"
	status_is 9 && err_has '"CN=disks" may be revoked: there is no' &&
		err_has 'list of "CN=middle"'
	ok "no list of one authority"
	lists "$dir/authority.crl" "$dir/middle-past.crl"
	status_is 9 && err_has '"CN=disks" may be revoked' &&
		err_has 'list of "CN=middle" expired on Jan  1 00:00:00 2002'
	ok "an old list"
	lists "$dir/authority.crl" "$dir/middle-past.crl" "$dir/middle.crl"
	status_is 0 && out_has $data
	ok "an old list, and its successor"
	lists "$dir/authority-past.crl" "$dir/middle.crl"
	status_is 9 && err_has 'list of "CN=authority" expired'
	ok "an old list of the root"
	lists "$dir/disk"
	status_is 1 && err_has "not usable as revocation lists"
	ok "revocation lists that are none"
	run "$probe" -ca "$dir/authority.pem" -crl "$dir/no-lists" open "$nbds"
	status_is 1 && err_has "no-lists: cannot read the revocation lists"
	ok "no file of revocation lists"
	cp "$dir/authority.pem" "$dir/pki-user/ca-cert.pem"
	cat "$dir/authority.crl" "$dir/middle-leaf.crl" >"$dir/pki-user/ca-crl.pem"
	run "$probe" read "$nbds&tls-certificates=$dir/pki-user"
	status_is 9 && err_has "was revoked"
	ok "revocation lists in a directory of certificates"
	rm "$dir/pki-user/ca-crl.pem"
	run "$probe" read "$nbds&tls-certificates=$dir/pki-user"
	status_is 0 && out_has $data
	ok "and a directory without"
	stop "$pid"

	start_nbdkit "$sock" --tls=require --tls-verify-peer \
		--tls-certificates="$dir/pki" -r file "$dir/disk"
	run "$probe" -ca "$dir/authority.pem" -cert "$dir/client.pem" \
		-key "$dir/client.key" read "$nbds"
	status_is 0 && out_has $data
	ok "X.509, client certificate"
	run "$probe" -ca "$dir/authority.pem" -cert "$dir/client.pem" \
		-key "$dir/client.enc" -password "$dir/password" read "$nbds"
	status_is 0 && out_has $data
	ok "X.509, encrypted key with a password file"
	echo wrong >"$dir/password"
	run "$probe" -ca "$dir/authority.pem" -cert "$dir/client.pem" \
		-key "$dir/client.enc" -password "$dir/password" open "$nbds"
	status_is 1 && err_has client.enc && err_has "not the key's password"
	ok "X.509, wrong password"
	run setsid -w "$probe" -ca "$dir/authority.pem" -cert "$dir/client.pem" \
		-key "$dir/client.enc" open "$nbds"
	status_is 1 && err_has "no terminal"
	ok "X.509, encrypted key and no terminal"
	run "$probe" -ca "$dir/authority.pem" open "$nbds"
	status_is 9 && err_has "certificate of this client"
	ok "X.509, client certificate missing"
	run "$probe" -ca "$dir/authority.pem" -cert "$dir/stranger.pem" \
		-key "$dir/stranger.key" open "$nbds"
	status_is 9
	ok "X.509, client certificate of another CA"
	stop "$pid"

	# What GnuTLS offers is the system administrator's to say.
	printf '[overrides]\ndisabled-version = tls1.3\n' >"$dir/tls12"
	printf '[overrides]\ndisabled-version = tls1.3\n' >"$dir/tls11"
	printf 'disabled-version = tls1.2\n' >>"$dir/tls11"
	export GNUTLS_SYSTEM_PRIORITY_FILE="$dir/tls12"
	start_nbdkit "$sock" --tls=require --tls-verify-peer \
		--tls-certificates="$dir/pki" -r file "$dir/disk"
	run "$probe" -ca "$dir/authority.pem" -cert "$dir/client.pem" \
		-key "$dir/client.key" read "$nbds"
	status_is 0 && out_has $data
	ok "X.509, TLS 1.2"
	run "$probe" -ca "$dir/authority.pem" open "$nbds"
	status_is 9
	ok "X.509, TLS 1.2, client certificate missing"
	stop "$pid"
	export GNUTLS_SYSTEM_PRIORITY_FILE="$dir/tls11"
	start_nbdkit "$sock" --tls=require --tls-certificates="$dir/pki" null 4096
	run "$probe" -ca "$dir/authority.pem" open "$nbds"
	status_is 9 && err_has "no TLS 1.2 or newer"
	ok "X.509, nothing newer than TLS 1.1"
	stop "$pid"
	unset GNUTLS_SYSTEM_PRIORITY_FILE

	start_nbdkit "$sock" --filter=tls-fallback --tls=on \
		--tls-certificates="$dir/pki" -r file "$dir/disk" tlsreadme=locked
	run "$probe" read "$unix"
	status_is 0 && out_has tls=0
	ok "tls-fallback, in the clear"
	run "$probe" -ca "$dir/authority.pem" read "$nbds"
	status_is 0 && out_has $data
	ok "tls-fallback, by TLS"
	stop "$pid"
else
	skip "TLS with certificates" "certtool or openssl is not installed"
fi

# ---- TLS with a pre-shared key -----------------------------------------------

if have psktool; then
	for user in alice bob; do
		psktool -u $user -p "$dir/server.psk" >/dev/null 2>&1
	done
	cp "$dir/server.psk" "$dir/keys.psk"
	echo "mallory:00112233445566778899aabbccddeeff" >"$dir/mallory.psk"
	echo "bob:00112233445566778899aabbccddeeff" >"$dir/wrong.psk"
	psk="socket=$sock&tls-psk-file=$dir"
	start_nbdkit "$sock" --tls=require --tls-psk="$dir/server.psk" \
		-r file "$dir/disk"
	run "$probe" read "nbds+unix://alice@/?$psk/keys.psk"
	status_is 0 && out_has tls=1 && out_has $data
	ok "PSK"
	run "$probe" read "nbds+unix://bob@/?$psk/keys.psk"
	status_is 0 && out_has $data
	ok "PSK, second user"
	run "$probe" read "nbds+unix:///?$psk/keys.psk"
	status_is 0 && out_has $data
	ok "PSK, the first user is the default"
	run "$probe" open "nbds+unix://carol@/?$psk/keys.psk"
	status_is 1 && err_has "carol"
	ok "PSK, a user without a line"
	run "$probe" open "nbds+unix://mallory@/?$psk/mallory.psk"
	status_is 9 && err_has mallory
	ok "PSK, a user that the server does not know"
	run "$probe" open "nbds+unix://bob@/?$psk/wrong.psk"
	status_is 9 && err_has bob
	ok "PSK, a wrong key"
	run "$probe" open "nbds+unix:///?$psk/nothing.psk"
	status_is 1 && err_has nothing.psk
	ok "PSK, no file"
	stop "$pid"
	printf '[overrides]\ndisabled-version = tls1.3\n' >"$dir/tls12"
	export GNUTLS_SYSTEM_PRIORITY_FILE="$dir/tls12"
	start_nbdkit "$sock" --tls=require --tls-psk="$dir/server.psk" \
		-r file "$dir/disk"
	run "$probe" read "nbds+unix://alice@/?$psk/keys.psk"
	status_is 0 && out_has tls=1 && out_has $data
	ok "PSK, TLS 1.2"
	run "$probe" open "nbds+unix://bob@/?$psk/wrong.psk"
	status_is 9 && err_has bob
	ok "PSK, TLS 1.2, a wrong key"
	stop "$pid"
	unset GNUTLS_SYSTEM_PRIORITY_FILE
	if [ -d "$dir/pki" ]; then
		start_nbdkit "$sock" --tls=require --tls-certificates="$dir/pki" \
			null 4096
		run "$probe" open "nbds+unix://bob@/?$psk/keys.psk"
		status_is 9 && err_has "x509"
		ok "PSK of a server that has certificates"
		stop "$pid"
	fi
else
	skip "TLS with a pre-shared key" "psktool is not installed"
fi

# ---- other servers -----------------------------------------------------------

if have nbd-server; then
	free_port
	cat >"$dir/nbd-server.conf" <<EOF
[generic]
	allowlist = true
	listenaddr = 127.0.0.1
	port = $port
[disk]
	exportname = $dir/disk
	readonly = true
EOF
	# In the foreground (-d) it would serve one connection only.
	nbd-server -C "$dir/nbd-server.conf" -p "$dir/nbd-server.pid" 2>/dev/null
	wait_until listens "$port" && wait_until [ -s "$dir/nbd-server.pid" ]
	pid=$(cat "$dir/nbd-server.pid")
	run "$probe" read "nbd://127.0.0.1:$port/disk"
	status_is 0 && out_has size=1048576 && out_has $data
	ok "nbd-server"
	run "$probe" list "nbd://127.0.0.1:$port"
	status_is 0 && out_has "export=disk about=(none)"
	ok "nbd-server, list"
	run "$probe" open "nbd://127.0.0.1:$port/nothing"
	status_is 5 && err_has '"disk"'
	ok "nbd-server, no such export"
	kill "$pid"		# no child of this script, so stop leaves it
else
	skip "nbd-server" "it is not installed"
fi

if have qemu-nbd; then
	rm -f "$sock"
	start qemu-nbd -t -e 4 -r -f raw -k "$sock" -x qdisk -D "by qemu" "$dir/disk"
	wait_until [ -S "$sock" ]
	run "$probe" -framing 1 -alloc 1 open "nbd+unix:///qdisk?socket=$sock"
	status_is 0 && out_has framing=1 && out_has alloc=1 && out_has "about=by qemu"
	ok "qemu-nbd"
	run "$probe" read "nbd+unix:///qdisk?socket=$sock"
	status_is 0 && out_has $data
	ok "qemu-nbd, read"
	run "$probe" open "$unix"
	status_is 5 && err_has '"qdisk"'
	ok "qemu-nbd, no such export"
	stop "$pid"
	if [ -d "$dir/pki" ]; then
		rm -f "$sock"
		creds=tls-creds-x509,id=t,endpoint=server,verify-peer=off
		start qemu-nbd -t -r -f raw -k "$sock" -x qdisk \
			--object "$creds,dir=$dir/pki" --tls-creds t "$dir/disk"
		wait_until [ -S "$sock" ]
		run "$probe" -ca "$dir/authority.pem" read \
			"nbds+unix:///qdisk?socket=$sock"
		status_is 0 && out_has tls=1 && out_has $data
		ok "qemu-nbd, X.509"
		run "$probe" open "nbd+unix:///qdisk?socket=$sock"
		status_is 7
		ok "qemu-nbd, TLS required"
		stop "$pid"
	fi
else
	skip "qemu-nbd" "it is not installed"
fi

finish
