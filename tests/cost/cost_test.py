#!/usr/bin/env python3
"""cost_test - how many instructions the engine spends on an I/O.  TAP.

SPDX-License-Identifier: BSD-2-Clause

usage: cost_test.py PROGRAM RECORDED COMPILER [--record]

Runs PROGRAM (cost.c) under callgrind and counts the instructions of lines in engine/;
memcpy and memset are not in it.  More than a twentieth above what RECORDED says for
this COMPILER is a failure.  --record writes RECORDED anew; other compilers' lines stay.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

GROWTH_MAX = 1.05
COUNT = 4096
# op, block, depth
LOADS = {
    'read 4K depth 1': ('r', 4096, 1),
    'read 4K depth 32': ('r', 4096, 32),
    'write 4K depth 1': ('w', 4096, 1),
    'write 4K depth 32': ('w', 4096, 32),
    'read 256K depth 8': ('r', 262144, 8),
    'write 256K depth 8': ('w', 262144, 8),
}


def engine_instructions(path):
    """The sum of a callgrind profile's own costs of lines in engine/."""
    names, current, total, of_call = {}, '', 0, False
    with open(path, encoding='utf-8') as profile:
        for line in profile:
            file = re.match(r'(c?)f[lie]=\((\d+)\)(?: (.*))?', line)
            cost = re.match(r'[+*-]?\d* (\d+)$', line)
            if file:
                names.setdefault(file[2], file[3])
                # with a c it is the callee's
                current = current if file[1] else names[file[2]]
            elif line.startswith('calls='):
                of_call = True              # the next line is the callee's
            elif cost and of_call:
                of_call = False
            elif cost and re.search(r'/engine/\w+\.[ch]$', current):
                total += int(cost[1])
    return total


def per_io(program, op, block, depth):
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, 'out')
        subprocess.run(
            ['valgrind', '--tool=callgrind', '--toggle-collect=measured*',
             f'--callgrind-out-file={out}', program, op, str(block), str(depth),
             str(COUNT)], check=True, capture_output=True)
        return engine_instructions(out) / COUNT


def read_recorded(path, compiler):
    found = {}
    with open(path, encoding='utf-8') as file:
        for line in file:
            of, load, count = line.rstrip('\n').split('\t')
            if of == compiler:
                found[load] = float(count)
    return found


def record(path, compiler, counts):
    with open(path, encoding='utf-8') as file:
        others = [line for line in file if not line.startswith(compiler + '\t')]
    with open(path, 'w', encoding='utf-8') as file:
        file.writelines(others)
        for load, count in counts.items():
            file.write(f'{compiler}\t{load}\t{count:.1f}\n')


def has_grown(count, before):
    return count > before * GROWTH_MAX


def test(counts, recorded):
    print(f'1..{len(counts) + 1}')
    failed = False
    for load, count in counts.items():
        ok = not has_grown(count, recorded[load])
        failed |= not ok
        print(f'{"ok" if ok else "not ok"} - {load}: {count:.1f} instructions, '
              f'recorded {recorded[load]:.1f}')
    # A count that the engine surely has must be noticed beside a smaller record.
    noticed = all(count > 0 and has_grown(count, count / 1.06)
                  for count in counts.values())
    print(f'{"ok" if noticed else "not ok"} - growth by 6 % is noticed')
    return failed or not noticed


def main():
    program, path, compiler = sys.argv[1:4]
    recorded = read_recorded(path, compiler)
    if not shutil.which('valgrind'):
        print('1..0 # SKIP valgrind is not installed')
        return 0
    if not recorded and '--record' not in sys.argv:
        print(f'1..0 # SKIP nothing is recorded for {compiler}')
        return 0
    counts = {load: per_io(program, *shape) for load, shape in LOADS.items()}
    if '--record' in sys.argv:
        record(path, compiler, counts)
        return 0
    return 1 if test(counts, recorded) else 0


sys.exit(main())
