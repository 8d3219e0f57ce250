#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who includes from whom, against the table in docs/architecture.md.  TAP.

usage: rooms_test.py SOURCE-ROOT

Each rule is a function from a tree to complaints; beside it stand violations that it
must find when planted in a copy.
"""
import os
import re
import shutil
import sys
import tempfile

MAP = 'docs/architecture.md'
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', re.M)


class Room:
    """A line of the table."""

    def __init__(self, cells):
        names = [re.findall(r'`([^`]+)`', cell) for cell in cells]
        self.name, self.sees, self.headers = names[0][0], set(names[1]), set(names[2])


def rooms(root):
    """By name; the table is the one whose first column is called folder."""
    with open(os.path.join(root, MAP), encoding='utf-8') as f:
        table = f.read().split('\n| folder | includes from |')[1].split('\n\n')[0]
    lines = [line.split('|')[1:-1] for line in table.split('\n')[2:]]
    return {room.name: room for room in map(Room, lines)}


def room_of(path, table):
    """The line for the folder, or for the nearest one above it; None: there is none."""
    folder = os.path.dirname(path)
    while folder and folder not in table:
        folder = os.path.dirname(folder)
    return folder or None


def sources(root):
    """path: text."""
    found = {}
    for where, dirs, names in os.walk(root):
        dirs[:] = [d for d in dirs if not d.startswith(('.', 'build-')) and not
                   os.path.exists(os.path.join(where, d, 'build.ninja'))]
        for name in names:
            if name.endswith(('.c', '.h', '.cpp')):
                path = os.path.join(where, name)
                with open(path, encoding='utf-8') as f:
                    found[os.path.relpath(path, root)] = f.read()
    return found


class Tree:
    """Files, the table, and what each file includes of the project's."""

    def __init__(self, root):
        self.table = rooms(root)
        self.files = sources(root)
        self.by_name = {}
        for path in self.files:
            self.by_name.setdefault(os.path.basename(path), []).append(path)

    def candidates(self, path, mark, name):
        """What an #include in path may mean."""
        beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
        if mark == '"' and beside in self.files:
            return [beside]
        if '/' in name:
            return []		# a system's own, such as sys/bio.h
        # Tests have stand-ins for headers of a system: <windows.h>, <fuse.h>.
        return [found for found in self.by_name.get(name, ())
                if mark == '"' or found.split('/')[0] not in ('tests', 'windows')]

    def may(self, room, target):
        """Is the header one that this room may see?"""
        other = room_of(target, self.table)
        if other == room:
            return True
        return room and other in self.table[room].sees and (
            room.startswith('tests/') or
            os.path.basename(target) in self.table[other].headers)

    def includes(self):
        """(path, room, header).  Of headers with one name it is one that may be seen:
        the compiler's search path has no other."""
        for path, text in self.files.items():
            room = room_of(path, self.table)
            for mark, name in INCLUDE.findall(text):
                found = self.candidates(path, mark, name)
                if found:
                    yield path, room, next(
                        (f for f in found if self.may(room, f)), found[0])


def strangers(root):
    tree = Tree(root)
    for path, room, header in tree.includes():
        if not tree.may(room, header):
            yield f'{path}: {header} is not for {room or "a folder without a line"}'


def circle(edges):
    """Rooms in a circle, or nothing: what is left when whoever sees none is taken away."""
    left = dict(edges)
    while True:
        ends = [room for room in left if not left[room] & set(left)]
        if not ends:
            return sorted(left)
        for room in ends:
            del left[room]


def circles(root):
    """In the table, too: what it allows will be used."""
    tree = Tree(root)
    edges = {name: set(room.sees) for name, room in tree.table.items()}
    for _, room, header in tree.includes():
        if room and room_of(header, tree.table) not in (room, None):
            edges[room].add(room_of(header, tree.table))
    found = circle(edges)
    if found:
        yield 'a circle in: ' + ', '.join(found)


def stale(root):
    """Lines, directions and headers that the tree does not use."""
    tree = Tree(root)
    used, seen = set(), set()
    for _, room, header in tree.includes():
        other = room_of(header, tree.table)
        used.add((room, other))
        if other != room and not (room or '').startswith('tests/'):
            seen.add((other, os.path.basename(header)))
    for room in tree.table.values():
        for other in room.sees:
            if (room.name, other) not in used:
                yield f'{room.name} includes nothing from {other}'
        for header in room.headers:
            if (room.name, header) not in seen:
                yield f'only tests include {room.name}/{header}'


def include(file, header):
    def plant(root):
        path = os.path.join(root, file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'a', encoding='utf-8') as f:
            f.write(f'#include {header}\n')
    return plant


def edit(old, new):
    """Of the table."""
    def plant(root):
        path = os.path.join(root, MAP)
        with open(path, encoding='utf-8') as f:
            text = f.read()
        assert text.count(old) == 1
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text.replace(old, new))
    return plant


RULES = (
    ('each include is in the table', strangers, (
        ('upwards', include('linux/attach/loopdev.c', '"helper.h"')),
        ('sideways', include('windows/driver/io.c', '"json.h"')),
        ('in angle brackets', include('engine/slot.c', '<errtext.h>')),
        ('by a path', include('linux/shared/state.c', '"../command/options.h"')),
        ('a header that is not for others',
         include('linux/daemon/link.c', '"internal.h"')),
        ('out of a program into its tests',
         include('linux/daemon/disk.c', '"memdisk.h"')),
        ('a folder without a line', include('attic/new.c', '"nbe.h"')))),
    ('there is no circle', circles, (
        ('a circle of two', edit('| `common` | `engine` |',
                                 '| `common` | `engine` `linux/shared` |')),)),
    ('each line has a use', stale, (
        ('a direction that nobody takes', edit('| `freebsd/mod` | `engine` |',
                                               '| `freebsd/mod` | `engine` `common` |')),
        ('a header that nobody includes',
         edit('`nbe.h` `wire.h`', '`nbe.h` `wire.h` `device.h`')))),
)


def finds(rule, plant, root):
    """Does the rule find what is planted in a copy?"""
    with tempfile.TemporaryDirectory() as copy:
        for path in [MAP, *sources(root)]:
            os.makedirs(os.path.dirname(os.path.join(copy, path)), exist_ok=True)
            shutil.copy(os.path.join(root, path), os.path.join(copy, path))
        before = len(list(rule(copy)))
        plant(copy)
        return len(list(rule(copy))) > before


def main(root):
    bad = number = 0
    print(f'1..{sum(1 + len(plants) for _, _, plants in RULES)}')
    for name, rule, plants in RULES:
        complaints = list(rule(root))
        for line in complaints:
            print(f'# {line}')
        checks = [(not complaints, name)]
        checks += [(finds(rule, plant, root), f'noticed: {what}') for what, plant in plants]
        for good, what in checks:
            number += 1
            bad += not good
            print(f'{"" if good else "not "}ok {number} - {what}')
    return bad != 0


sys.exit(main(sys.argv[1]))
