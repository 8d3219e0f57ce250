#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""docs/protocol.md tells the truth: each point, its functions, its tests.  TAP.

usage: protocol_doc_test.py SOURCE-ROOT
"""
import glob
import os
import re
import sys

POINTS = 106


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def functions(root):
    found = set()
    for where in ('engine', 'connect'):
        for path in glob.glob(os.path.join(root, where, '*.c')):
            found |= set(re.findall(r'^(\w+)\(', read(path), re.M))
    return found


def tests(root):
    """What each test file has: program or script -> names."""
    found = {}
    for path in glob.glob(os.path.join(root, 'tests/unit/*_test.c')):
        text = read(path)
        found[os.path.basename(path)[:-2]] = set(
            re.findall(r'\bTEST\((\w+)\)', text) +
            re.findall(r'^\t\{ "(\w+)"', text, re.M))
    for path in glob.glob(os.path.join(root, 'tests/interop/*_test.sh')):
        found[os.path.basename(path)] = set(re.findall(r'\bok "(.*?)"', read(path)))
    return found


def rows(document):
    for line in document.split('\n'):
        cells = [c.strip() for c in line.strip('|').split('|')]
        if line.startswith('|') and cells[0].isdigit():
            yield cells


def code_complaints(cell, known):
    names = re.findall(r'`(\w+)`', cell)
    if not names and not re.match(r'declined: \w.{20}', cell):
        yield 'neither a function nor a reason to decline'
    for name in names:
        if name not in known:
            yield f'no function {name}'


def test_complaints(cell, known):
    where = None
    for name in cell.split('; '):
        match = re.match(r'(\w+_test(?:\.sh)?): (.*)', name)
        if match:
            where, name = match.groups()
        if name not in known.get(where, ()):
            yield f'no test "{name}" in {where}'


def complaints(document, known_functions, known_tests):
    seen = []
    for cells in rows(document):
        if len(cells) != 4 or not all(cells):
            yield f'point {cells[0]}: not four cells'
            continue
        seen.append(int(cells[0]))
        for text in code_complaints(cells[2], known_functions):
            yield f'point {cells[0]}: {text}'
        for text in test_complaints(cells[3], known_tests):
            yield f'point {cells[0]}: {text}'
    if seen != list(range(1, POINTS + 1)):
        yield f'not the points 1 to {POINTS}, each once and in order'


# Each must be noticed.
VIOLATIONS = (
    ('a function that is not there', '`tune_tcp`', '`tuna_tcp`'),
    ('a test that is not there', 'point_106_tcp_options', 'point_106_tcp'),
    ('a test of another program', 'dial_test: ', 'uri_test: '),
    ('a line of a script that is not there', 'X.509, wrong CA', 'X.509, wrong CAT'),
    ('a point that is missing', '| 47 |', '| 48 |'),
    ('an empty cell', '`tune_tcp`', ''),
    ('declined without a reason', 'declined: chunks of', 'chunks of'),
)


def main(root):
    document = read(os.path.join(root, 'docs/protocol.md'))
    known = functions(root), tests(root)
    found = list(complaints(document, *known))
    failed = bool(found)
    for line in found:
        print(f'# {line}')
    print(f'1..{1 + len(VIOLATIONS)}')
    print(f'{"not " if found else ""}ok 1 - the document is true')
    for i, (name, right, wrong) in enumerate(VIOLATIONS, 2):
        spoilt = document.replace(right, wrong)
        noticed = spoilt != document and \
            len(list(complaints(spoilt, *known))) > len(found)
        failed |= not noticed
        print(f'{"" if noticed else "not "}ok {i} - {name} is noticed')
    return failed


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
