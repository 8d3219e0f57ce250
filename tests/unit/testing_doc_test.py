#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""docs/testing.md counts right: what it says there is of vectors and lies.  TAP.

usage: testing_doc_test.py SOURCE-ROOT
"""
import os
import re
import shlex
import subprocess
import sys

from protocol_doc_test import read


def vectors(root, test):
    text = read(os.path.join(root, f'tests/unit/{test}_test.c'))
    table = re.search(r'struct vector vectors\[\] = \{\n(.*?)\n\};', text, re.S)
    return len(re.findall(r'^\t\{ "', table.group(1), re.M))


def ways(root):
    command = [os.path.join(root, 'tests/interop/liar.py'), '--list']
    return len(subprocess.check_output(command).split())


def lies(root, *hows):
    """The lies that hostile_test.sh tells to one of these, each once."""
    text = read(os.path.join(root, 'tests/interop/hostile_test.sh'))
    rows = [shlex.split(row) for row in
            re.findall(r'^\t*told (.*)', text.replace('\\\n', ''), re.M)]
    return len({lie for how, _, _, *names in rows if how in hows for lie in names})


NO_DEVICE = ('no-device', 'no-device-tls', 'hasty-no-device')
DEVICE = ('device', 'device-tls', 'dead-device', 'waiting-device')

# What the document says, and how many there are.
COUNTS = (
    (r'option haggling: (\d+) vectors', lambda root: vectors(root, 'handshake')),
    (r'(\d+) reply streams', lambda root: vectors(root, 'receive')),
    (r'over a real socket, in (\d+) ways', ways),
    (r'(\d+) of them are told to', lambda root: lies(root, *NO_DEVICE, *DEVICE)),
    (r'(\d+) make no device', lambda root: lies(root, *NO_DEVICE)),
    (r'(\d+) lie to a device', lambda root: lies(root, *DEVICE)),
)


def main(root):
    document = ' '.join(read(os.path.join(root, 'docs/testing.md')).split())
    failed = False
    print(f'1..{len(COUNTS)}')
    for i, (pattern, counted) in enumerate(COUNTS, 1):
        count = counted(root)
        right = re.findall(pattern, document) == [str(count)]
        failed |= not right
        print(f'{"" if right else "not "}ok {i} - "{pattern}" is {count}')
    return failed


sys.exit(main(sys.argv[1]))
