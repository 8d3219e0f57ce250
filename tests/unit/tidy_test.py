#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The rules of CONTRIBUTING.md that a program can check.  TAP.

usage: tidy_test.py SOURCE-ROOT

Each rule is a function from a tree to complaints; beside it stands a violation
that it must find when planted in a copy.
"""
import os
import re
import shutil
import sys
import tempfile

SHIPPED = ('engine', 'common', 'connect', 'linux', 'freebsd', 'windows')
FUNCTION_MAX = 70
COLUMNS_MAX = 88


def files(root, *suffixes, under=('',)):
    """(path, text) of the tree's own files; build directories are not."""
    for top in under:
        for where, dirs, names in os.walk(os.path.join(root, top)):
            dirs[:] = sorted(d for d in dirs if not d.startswith('.') and
                             d not in ('corpus', '__pycache__', 'build') and not
                             d.startswith('build-') and not
                             os.path.exists(os.path.join(where, d, 'build.ninja')))
            for name in sorted(names):
                path = os.path.join(where, name)
                if name.endswith(suffixes) and not os.path.islink(path):
                    with open(path, encoding='utf-8', errors='replace') as f:
                        yield os.path.relpath(path, root), f.read()


def long_functions(root):
    for path, text in files(root, '.c', '.h', under=SHIPPED):
        start = None
        for number, line in enumerate(text.split('\n'), 1):
            if line.startswith('{'):
                start = number
            elif line.startswith('}') and start is not None:
                if number - start + 1 > FUNCTION_MAX:
                    yield f'{path}:{start}: {number - start + 1} lines'
                start = None


def wide_lines(root):
    for path, text in files(root, '.c', '.h'):
        for number, line in enumerate(text.split('\n'), 1):
            if len(line.expandtabs(8)) > COLUMNS_MAX:
                yield f'{path}:{number}: {len(line.expandtabs(8))} columns'


# Documents, drawings, and data that has no comments: LICENSE is for them, too.
UNMARKED = ('.md', '.svg', '.csv', '.log', '.discharged', '.sln', 'LICENSE', '.git',
            '.gitignore', '.clang-format', 'packaging/freebsd/pkg-descr',
            'packaging/freebsd/pkg-plist', 'tests/cost/recorded', 'tests/may-skip')


def no_license(root):
    for path, text in files(root, ''):
        if path.endswith(UNMARKED) or (path.startswith('packaging/debian/') and
                                       not text.startswith('#!')):
            continue
        if 'SPDX-License-Identifier: BSD-2-Clause' not in text[:600]:
            yield path


def unfinished(root):
    mark = re.compile(r'\b(?:TO' r'DO|FIX' r'ME|XX' r'X)\b')
    for path, text in files(root, '.c', '.h', '.sh', '.py', '.md', 'meson.build'):
        for number, line in enumerate(text.split('\n'), 1):
            if mark.search(line):
                yield f'{path}:{number}: {line.strip()}'


def trailing_space(root):
    for path, text in files(root, '.c', '.h', '.sh', '.py', 'meson.build'):
        for number, line in enumerate(text.split('\n'), 1):
            if line != line.rstrip():
                yield f'{path}:{number}'


def read(root, path):
    with open(os.path.join(root, path), encoding='utf-8') as f:
        return f.read()


def reasons_without_text(root):
    enum = re.search(r'enum nbe_why \{(.*?)\};', read(root, 'engine/nbe.h'), re.S)
    texts = read(root, 'engine/text.c')
    for name in re.findall(r'^\t(NBE_WHY_\w+),', enum.group(1), re.M):
        if not re.search(rf'\[{name}\] =\s+"', texts):
            yield name


def unused_calls(root):
    header = read(root, 'engine/nbe.h')
    users = '\n'.join(text for _, text in files(
        root, '.c', '.h', under=('tests',) + SHIPPED[1:]))
    for name in re.findall(r'^[a-z].*?\b(nbe_\w+)\((?!\*)', header, re.M):
        if not re.search(rf'\b{name}\(', users):
            yield name


def append(path, text):
    def plant(root):
        with open(os.path.join(root, path), 'a', encoding='utf-8') as f:
            f.write(text)
    return plant


def declare(root):
    path = os.path.join(root, 'engine/nbe.h')
    with open(path, encoding='utf-8') as f:
        text = f.read()
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text.replace('void\tnbe_tick(', 'void\tnbe_tock(void);\nvoid\tnbe_tick('))


def enumerate_reason(root):
    path = os.path.join(root, 'engine/nbe.h')
    with open(path, encoding='utf-8') as f:
        text = f.read()
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text.replace('\tNBE_WHYS\n', '\tNBE_WHY_TIRED,\n\tNBE_WHYS\n'))


RULES = (
    ('no function above 70 lines', long_functions,
     append('engine/slot.c', 'void\nf(void)\n{\n' + '\tf();\n' * 69 + '}\n')),
    ('no line above 88 columns', wide_lines,
     append('tests/sim/sim.h', '\t' * 10 + '/* nine */\n')),
    ('each file has its licence', no_license, append('connect/new', 'int x;\n')),
    ('nothing is unfinished', unfinished,
     append('docs/testing.md', 'TO' 'DO: tell more\n')),
    ('no space at the end of a line', trailing_space,
     append('engine/meson.build', 'x = 1 \n')),
    ('each reason has a text', reasons_without_text, enumerate_reason),
    ('each call of the seam has a user', unused_calls, declare),
)


def finds(rule, plant, root):
    """Does the rule find what is planted in a copy?"""
    with tempfile.TemporaryDirectory() as copy:
        for top in ('engine', 'connect', 'tests', 'docs'):
            shutil.copytree(os.path.join(root, top), os.path.join(copy, top))
        before = len(list(rule(copy)))
        plant(copy)
        return len(list(rule(copy))) > before


def main(root):
    failed = 0
    print(f'1..{2 * len(RULES)}')
    for i, (name, rule, plant) in enumerate(RULES):
        complaints = list(rule(root))
        for line in complaints:
            print(f'# {line}')
        found = finds(rule, plant, root)
        print(f'{"not " if complaints else ""}ok {2 * i + 1} - {name}')
        print(f'{"" if found else "not "}ok {2 * i + 2} - {name}: it is noticed')
        failed += bool(complaints) + (not found)
    return failed != 0


sys.exit(main(sys.argv[1]))
