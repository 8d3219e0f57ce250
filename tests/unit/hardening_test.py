#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""hardening_test.py - what the program has against the use of faults.  TAP.

usage: hardening_test.py PROGRAM COMPILER FLAG...

FLAGs are those of the build that the compiler takes.  Then the rules are tried on
programs that lack one thing each.
"""
import os
import re
import subprocess
import sys
import tempfile

ENDBR64 = bytes.fromhex('f30f1efa')
# Reaches printf with a format of its own, and has an array on the stack.
SMALL = '''
#include <stdio.h>
#include <unistd.h>
#ifdef PLANTED
__asm__(".pushsection .planted,\\"awx\\"; .byte 0; .popsection");
#endif
int main(int argc, char **argv)
{
	char buf[64];
	ssize_t n = read(0, buf, (size_t)argc * 32);

	return printf("%s%s", argv[0], n > 0 ? buf : "") < 0;
}
'''


def readelf(option, path):
    return subprocess.run(['readelf', '-W', option, path], check=True,
                          capture_output=True, text=True).stdout


def imports(path):
    return {line.split()[7].split('@')[0] for line in readelf('--dyn-syms', path).split('\n')
            if ' UND ' in line and len(line.split()) > 7}


def first_bytes(path, symbol):
    """Of a function, as they are in the file."""
    value = re.search(r'([0-9a-f]+) +\d+ FUNC +\S+ +\S+ +\d+ %s\n' % symbol,
                      readelf('--syms', path))
    text = re.search(r' \.text +PROGBITS +([0-9a-f]+) ([0-9a-f]+)', readelf('-S', path))
    if not value:
        return b''
    at, base, offset = (int(x, 16) for x in (value.group(1), *text.groups()))
    with open(path, 'rb') as f:
        f.seek(at - base + offset)
        return f.read(4)


def is_pie(path):
    return 'Type:                              DYN' in readelf('-h', path) and \
        ' INTERP ' in readelf('-l', path)


def is_read_only(path):
    dynamic = readelf('-d', path)
    return ' GNU_RELRO ' in readelf('-l', path) and \
        re.search(r'BIND_NOW|\(FLAGS_1\).*NOW', dynamic) is not None


def has_no_executable_stack(path):
    stack = re.search(r' GNU_STACK .* (RWE?) ', readelf('-l', path))
    return stack is not None and stack.group(1) == 'RW'


def has_nothing_written_and_executed(path):
    return not re.search(r' LOAD .* RWE ', readelf('-l', path))


def has_stack_protector(path):
    return '__stack_chk_fail' in imports(path)


def is_fortified(path):
    return any(name.endswith('_chk') for name in imports(path))


def has_branch_targets(path):
    return first_bytes(path, 'main') == ENDBR64


RULES = {
    'is position independent': (is_pie, ['-no-pie', '-fno-pie']),
    'has relocations that are read-only before main': (is_read_only, ['-Wl,-z,lazy']),
    'has no executable stack': (has_no_executable_stack, ['-Wl,-z,execstack']),
    'has nothing that is written and executed': (has_nothing_written_and_executed,
                                                 ['-DPLANTED']),
    'has a stack protector': (has_stack_protector, ['-fno-stack-protector']),
    'calls the C library\'s checked functions': (is_fortified, ['-U_FORTIFY_SOURCE']),
    'has marked branch targets (CET)': (has_branch_targets, ['-fcf-protection=none']),
}


def compile_small(compiler, flags, work):
    source, program = os.path.join(work, 'small.c'), os.path.join(work, 'small')
    with open(source, 'w', encoding='ascii') as f:
        f.write(SMALL)
    subprocess.run([*compiler, '-w', '-O2', '-pie', '-fPIE', *flags, '-o', program, source],
                   check=True, capture_output=True)
    return program


def main(program, compiler, *flags):
    count = failed = 0

    def ok(good, what):
        nonlocal count, failed
        count += 1
        failed += not good
        print('%sok %d - %s' % ('' if good else 'not ', count, what))

    for what, (rule, without) in RULES.items():
        if 'CET' in what and '-fcf-protection' not in flags:
            count += 1
            print('ok %d - %s # SKIP the compiler has none for this processor' %
                  (count, what))
            continue
        if 'checked' in what and not any('FORTIFY' in flag for flag in flags):
            count += 1
            print('ok %d - %s # SKIP this C library has none' % (count, what))
            continue
        ok(rule(program), 'nbdisk ' + what)
        with tempfile.TemporaryDirectory() as work:
            small = compile_small(compiler.split(), flags, work)
            good = rule(small)
            ok(good and not rule(compile_small(compiler.split(), [*flags, *without], work)),
               'a program without that is noticed')
    print('1..%d' % count)
    return failed != 0


sys.exit(main(*sys.argv[1:]))
