#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""docs/freebsd.md names tests that exist; gnbd.8 and gnbd(8) agree.  TAP.

usage: freebsd_doc_test.py SOURCE-ROOT
"""
import glob
import os
import re
import sys

import protocol_doc_test
from protocol_doc_test import read

DEFECTS = 13


def tests(root):
    found = protocol_doc_test.tests(root)
    found['kpi_test'] = set(
        re.findall(r'"([^"\n]+)"', read(os.path.join(root, 'tests/kpi/kpi_test.c'))))
    scripts = glob.glob(os.path.join(root, 'freebsd/tests/gnbd_*_test.sh'))
    for path in scripts:
        found[os.path.basename(path)] = set(
            re.findall(r'^gnbd_(?:tls_)?test_case (\w+)', read(path), re.M))
    found['freebsd_doc_test'] = {'gnbd.8 and gnbd(8) agree'}
    return found


def defect_complaints(document, known):
    seen = []
    for cells in protocol_doc_test.rows(document):
        seen.append(int(cells[0]))
        for text in protocol_doc_test.test_complaints(cells[-1], known):
            yield f'defect {cells[0]}: {text}'
    if seen != list(range(1, DEFECTS + 1)):
        yield f'not the defects 1 to {DEFECTS}, each once and in order'


def usage_of_program(source):
    """Verb -> its options and its operand, as gnbd(8) prints them."""
    tls = re.search(r'#define\s+TLS_USAGE\s+"(.*)"', source).group(1)
    verbs = {}
    for verb, usage in re.findall(
            r'{ "(\w+)", G_FLAG_.*?G_OPT_SENTINEL\s+},\s+(.*?)\n\t}', source, re.S):
        text = re.sub(r'TLS_USAGE', f'"{tls}"', usage)
        text = ''.join(re.findall(r'"(.*?)"', text))
        verbs[verb] = (set(re.findall(r'-(\w)', text)), text.split()[-1].strip('[]'))
    return verbs


def usage_of_manual(manual):
    synopsis = manual.split('.Sh SYNOPSIS')[1].split('.Sh DESCRIPTION')[0]
    verbs = {}
    for part in synopsis.split('.Nm')[1:]:
        verb = re.search(r'^\.Cm (\w+)$', part, re.M)
        if verb:
            verbs[verb.group(1)] = (set(re.findall(r'\bFl (\w)', part)),
                                    part.split()[-1])
    return verbs


def usage_complaints(source, manual):
    program, page = usage_of_program(source), usage_of_manual(manual)
    for verb in sorted(program.keys() | page.keys()):
        if program.get(verb) != page.get(verb):
            yield f'{verb}: {program.get(verb)} is not {page.get(verb)}'


def report(number, name, complaints):
    for line in complaints:
        print(f'# {line}')
    print(f'{"not " if complaints else ""}ok {number} - {name}')
    return bool(complaints)


def report_noticed(number, name, right, wrong, complaints):
    noticed = right != wrong and bool(list(complaints))
    print(f'{"" if noticed else "not "}ok {number} - {name} is noticed')
    return not noticed


def main(root):
    document = read(os.path.join(root, 'docs/freebsd.md'))
    source = read(os.path.join(root, 'freebsd/lib/geom_nbd.c'))
    manual = read(os.path.join(root, 'freebsd/lib/gnbd.8'))
    known = tests(root)
    print('1..5')
    failed = report(1, 'the tests of the table exist',
                    list(defect_complaints(document, known)))
    failed |= report(2, 'gnbd.8 and gnbd(8) agree',
                     list(usage_complaints(source, manual)))
    spoilt = document.replace('a thread that does not exist', 'a thread')
    failed |= report_noticed(3, 'a test that is not there', document, spoilt,
                             defect_complaints(spoilt, known))
    spoilt = document.replace('\n| 9 |', '\n| 8 |')
    failed |= report_noticed(4, 'a defect that is missing', document, spoilt,
                             defect_complaints(spoilt, known))
    spoilt = manual.replace('.Ar prov', '.Ar host')
    failed |= report_noticed(5, 'another operand', manual, spoilt,
                             usage_complaints(source, spoilt))
    return failed


sys.exit(main(sys.argv[1]))
