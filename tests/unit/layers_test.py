#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The engine's calls go one way: down the list of layers in device.h.  TAP.

usage: layers_test.py SOURCE-ROOT

device.h declares the functions of each file below a comment that names it, the
lowest file first.  A file may use what is declared above its own place, and what it
defines itself; nothing else, and nothing that is declared nowhere.
"""
import os
import re
import shutil
import sys
import tempfile

# What the front calls; no file of the engine calls these.
APART = ('handshake.c', 'text.c', 'valid.c')


def read(root, name):
    with open(os.path.join(root, 'engine', name), encoding='utf-8') as f:
        return f.read()


def strip(text):
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\])*"', ' ', text, flags=re.S)


def layers(root):
    """[(file, names declared for it)], the lowest first."""
    text = read(root, 'device.h')
    text = text[text.index('The layers, from the lowest'):]
    text = re.sub(r'\n\{\n.*?\n\}', '', text, flags=re.S)       # of inline functions
    found = []
    for comment, body in re.findall(r'/\*(.*?)\*/(.*?)(?=/\*|#endif)', text, re.S):
        files = re.findall(r'\b(\w+\.c)\b', comment)
        names = re.findall(r'\b([a-z]\w+)(?:\(|\[NBE_OPS\])', body)
        if files:
            found += [(file, []) for file in files[:-1]] + [(files[-1], [])]
        if found:
            found[-1][1].extend(names)
    return found


def place(root):
    """file → its place, name → its file"""
    rank, owner = {}, {}
    for file, names in layers(root):
        rank.setdefault(file, len(rank))
        for name in names:
            owner.setdefault(name, file)
    return rank, owner


def sources(root):
    return [n for n in sorted(os.listdir(os.path.join(root, 'engine')))
            if n.endswith('.c') and n not in APART]


def defined(text):
    """Functions that other files may call: style(9) puts their names at the margin."""
    found = set()
    for head, name in re.findall(r'^([a-z][^\n;{}()]*)\n(\w+)\(', text, re.M):
        if 'static' not in head:
            found.add(name)
    return found


def upwards(root):
    rank, owner = place(root)
    for file in sources(root):
        text = strip(read(root, file))
        if file not in rank:
            yield f'{file} has no place in device.h'
            continue
        for name, home in owner.items():
            if re.search(r'\b' + name + r'\b', text) and rank[home] > rank[file]:
                yield f'{file} calls {name} of {home}, which is above it'


def wrong_owner(root):
    _, owner = place(root)
    seam = read(root, 'nbe.h')
    for file in sources(root):
        for name in sorted(defined(strip(read(root, file)))):
            if owner.get(name, file) != file:
                yield f'{name} is in {file}, device.h says {owner[name]}'
            if name not in owner and not re.search(r'\b' + name + r'\(', seam):
                yield f'{name} of {file} is declared nowhere'


def seam_inside(root):
    """What the front calls, no file of the device calls."""
    calls = set(re.findall(r'\b(nbe_\w+)\(', strip(read(root, 'nbe.h'))))
    for file in sources(root):
        text = strip(read(root, file))
        for name in sorted(calls):
            uses = len(re.findall(r'\b' + name + r'\(', text))
            if uses > (name in defined(text)) and name not in INSIDE:
                yield f'{file} calls {name}, which is for the front'


# Of the seam, and used below it, too.
INSIDE = {
    'nbe_conn_down',    # a connection that contradicts the device is one that failed
    'nbe_dev_size',     # the memory that nbe_dev_init clears
    'nbe_disc',         # a command like others
}


def append(name, text):
    def plant(root):
        with open(os.path.join(root, 'engine', name), 'a', encoding='utf-8') as f:
            f.write(text)
    return plant


RULES = (
    ('no file of the engine calls upwards', upwards,
     append('fence.c', 'void f(void) { req_settle(0, 0, 0); }\n')),
    ('each function is declared where its file is', wrong_owner,
     append('slot.c', 'void\nslot_more(void)\n{\n}\n')),
    ('no file of the engine calls what is for the front', seam_inside,
     append('part.c', 'void f(void) { nbe_tick(0, 0); }\n')),
)


def finds(rule, plant, root):
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(os.path.join(root, 'engine'), os.path.join(copy, 'engine'))
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
