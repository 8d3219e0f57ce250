#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Keeps account of what fsync has promised.

usage: fsync_writer.py write DEVICE RECORD
       fsync_writer.py check FILE RECORD

write: writes some blocks, calls fsync, and only then notes them in RECORD; until an
error.  check: each block must be as noted, or newer: what was under way may have
landed.  Prints how many were noted, or what is wrong.
"""
import os
import random
import struct
import sys

BLOCK, BLOCKS, AT_ONCE = 4096, 4096, 16


def content(block, version):
    return struct.pack('<QQ', block, version) * (BLOCK // 16)


def noted(record):
    versions = {}
    with open(record, encoding='ascii') as f:
        for line in f.read().split('\n')[:-1]:      # the last one may be cut
            block, version = map(int, line.split())
            versions[block] = version
    return versions


def write(device, record):
    versions = noted(record) if os.path.exists(record) else {}
    version = max(versions.values(), default=0) + 1000  # beyond what was under way
    fd = os.open(device, os.O_RDWR)
    with open(record, 'a', buffering=1, encoding='ascii') as f:
        while True:
            version += 1
            blocks = random.sample(range(BLOCKS), AT_ONCE)
            for block in blocks:
                os.pwrite(fd, content(block, version), block * BLOCK)
            os.fsync(fd)
            f.write(''.join(f'{block} {version}\n' for block in blocks))


def check(path, record):
    versions = noted(record)
    with open(path, 'rb') as f:
        for block, version in versions.items():
            f.seek(block * BLOCK)
            data = f.read(BLOCK)
            number, found = struct.unpack('<QQ', data[:16])
            if data != content(block, found) or number != block or found < version:
                sys.exit(f'block {block}: noted {version}, found {found} of {number}')
    print(len(versions))


if len(sys.argv) != 4:
    sys.exit(__doc__)
try:
    {'write': write, 'check': check}[sys.argv[1]](*sys.argv[2:])
except OSError as error:
    sys.exit(f'{sys.argv[1]}: {error}')
