#!/usr/bin/env python3
"""bundle.py - one folder with all that is to be copied to Windows, test-signed.

SPDX-License-Identifier: BSD-2-Clause

usage: bundle.py STAMP OUT VERSION STRIP SOURCE BINARY...

Copies the binaries without their debugging information, makes wnbd.inf, wnbd.cat
and wnbd.msi, and signs them with a certificate that is made for this build directory
alone; wnbd-test.cer is what the test machine must be told to trust.  Without wnbd.sys
among the binaries there is no INF, catalog and MSI.
"""
import datetime
import os
import shutil
import subprocess
import sys

KEY_DAYS = '3650'
NAME = 'WNBD test signing'


def run(*command):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, check=False)
    if result.returncode != 0:
        sys.exit(f'bundle.py: {command[0]} failed:\n{result.stdout}')


def make_key(folder):
    """The throw-away certificate; made once, so that it has to be trusted once."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    key, cert = os.path.join(folder, 'key.pem'), os.path.join(folder, 'cert.pem')
    if not os.path.exists(cert):
        run('openssl', 'req', '-x509', '-newkey', 'rsa:3072', '-nodes', '-days',
            KEY_DAYS, '-keyout', key, '-out', cert, '-subj', f'/CN={NAME}',
            '-addext', 'extendedKeyUsage=codeSigning',
            '-addext', 'basicConstraints=critical,CA:FALSE')
    return key, cert


def sign(path, pair):
    signed = path + '.signed'
    if os.path.exists(signed):
        os.remove(signed)
    run('osslsigncode', 'sign', '-certs', pair[1], '-key', pair[0], '-h', 'sha256',
        '-n', 'WNBD', '-in', path, '-out', signed)
    os.replace(signed, path)


def fill(template, to, values):
    with open(template, encoding='utf-8') as f:
        text = f.read()
    for name, value in values.items():
        text = text.replace(f'@{name}@', value)
    # Windows's setup reads INF files with its own line ends.
    with open(to, 'w', encoding='utf-8', newline='\r\n') as f:
        f.write(text)


def make_package(out, version, source, pair):
    date = datetime.datetime.now(datetime.timezone.utc).strftime('%m/%d/%Y')
    inf, cat = os.path.join(out, 'wnbd.inf'), os.path.join(out, 'wnbd.cat')
    fill(os.path.join(source, 'wnbd.inf.in'), inf, {'DATE': date, 'VERSION': version})
    run(sys.executable, os.path.join(source, 'catalog.py'), cat, 'root\\wnbd', inf,
        os.path.join(out, 'wnbd.sys'))
    sign(cat, pair)


def make_msi(out, version, source, pair):
    msi = os.path.join(out, 'wnbd.msi')
    if os.path.exists(msi):
        os.remove(msi)
    result = subprocess.run(
        ['wixl', '-a', 'x64', '-D', f'Version={version}', '-o', msi,
         os.path.join(source, 'wnbd.wxs')], cwd=out, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0 or not os.path.exists(msi):
        sys.exit(f'bundle.py: wixl failed:\n{result.stdout}')
    sign(msi, pair)


def main(args):
    if len(args) < 6:
        sys.exit(__doc__.split('\n\n')[2])
    stamp, version, strip = args[0], args[2], args[3]
    out, source = os.path.abspath(args[1]), os.path.abspath(args[4])
    os.makedirs(out, exist_ok=True)
    pair = make_key(os.path.join(os.path.dirname(out), 'signing'))
    for binary in args[5:]:
        path = os.path.join(out, os.path.basename(binary))
        if binary.endswith(('.exe', '.dll', '.sys')):
            run(strip, '--strip-debug', '-o', path, binary)
            sign(path, pair)
        else:
            shutil.copy(binary, path)
    fill(os.path.join(source, 'reinstall.ps1'), os.path.join(out, 'reinstall.ps1'), {})
    run('openssl', 'x509', '-in', pair[1], '-outform', 'DER', '-out',
        os.path.join(out, 'wnbd-test.cer'))
    if os.path.exists(os.path.join(out, 'wnbd.sys')):
        make_package(out, version, source, pair)
        make_msi(out, version, source, pair)
    with open(stamp, 'w', encoding='utf-8'):
        pass


main(sys.argv[1:])
