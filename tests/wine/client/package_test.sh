#!/bin/bash
# package_test.sh SOURCE-ROOT - signatures, catalog and installer of build-windows/out.
# SPDX-License-Identifier: BSD-2-Clause

root=$1
. "$root/tests/lib.sh"
out=$root/build-windows/out
cert=$root/build-windows/signing/cert.pem

if ! have osslsigncode || ! have msiinfo || [ ! -f "$out/wnbd.msi" ]; then
	echo "1..0 # SKIP osslsigncode, msitools or build-windows/out is missing"
	exit 0
fi
for file in wnbd.sys libwnbd.dll wnbd-client.exe wnbd-selftest.exe wnbd.msi; do
	run osslsigncode verify -CAfile "$cert" -in "$out/$file"
	status_is 0
	ok "$file: the signature is right"
done
run osslsigncode verify -CAfile "$cert" -catalog "$out/wnbd.cat" -in "$out/wnbd.sys"
status_is 0 && grep -q "signed in catalog" "$dir/out"
ok "wnbd.sys: the catalog has it"
run osslsigncode verify -CAfile "$cert" -catalog "$out/wnbd.cat" -in "$out/libwnbd.dll"
! status_is 0
ok "libwnbd.dll: the catalog does not"
# Flat files are beyond osslsigncode: their SHA-1 must be there.
in_catalog() {
	python3 -c 'import hashlib, sys
digest = hashlib.sha1(open(sys.argv[1], "rb").read()).digest()
sys.exit(digest not in open(sys.argv[2], "rb").read())' "$1" "$out/wnbd.cat"
}
in_catalog "$out/wnbd.inf"
ok "wnbd.inf: the catalog has it"
cp "$out/wnbd.inf" "$dir/other.inf"
echo "; changed" >>"$dir/other.inf"
! in_catalog "$dir/other.inf"
ok "a changed INF is noticed"
openssl x509 -in "$cert" -outform DER | cmp -s - "$out/wnbd-test.cer"
ok "wnbd-test.cer is the certificate"

run msiinfo export "$out/wnbd.msi" File
cut -f3 "$dir/out" | tail -n +4 | sort | tr '\n' ' ' >"$dir/files"
[ "$(cat "$dir/files")" = \
	"libwnbd.dll reinstall.ps1 wnbd-client.exe wnbd-selftest.exe wnbd.cat wnbd.inf wnbd.sys " ]
ok "the installer has all files"
run msiinfo export "$out/wnbd.msi" InstallExecuteSequence
tr -d '\r' <"$dir/out" | awk -F'\t' '{ at[$1] = $3 }
	END { exit !(at["InstallInitialize"] < at["UninstallDriver"] &&
		at["UninstallDriver"] < at["RemoveFiles"] &&
		at["InstallFiles"] < at["InstallDriver"] &&
		at["InstallDriver"] < at["InstallFinalize"]) }'
ok "the installer does things in order"
finish
