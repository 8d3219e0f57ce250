#!/usr/bin/env python3
"""pe_test.py - are the binaries as Windows 10 wants them?  TAP.

SPDX-License-Identifier: BSD-2-Clause

usage: pe_test.py OUT IMPORTS

Each rule is a function from a PE image to complaints; each must also notice a
violation, planted in a copy.
"""
import os
import re
import struct
import sys

EXECUTE, READ, WRITE = 0x20000000, 0x40000000, 0x80000000
DYNAMIC_BASE, NX, HIGH_ENTROPY = 0x40, 0x100, 0x20
EXPORTS, IMPORTS, RESOURCES, SECURITY, RELOCATIONS, TLS = 0, 1, 2, 4, 5, 9
SECTION_SIZE = 40
RT_VERSION = 16


class Image:
    def __init__(self, data):
        self.data = bytearray(data)
        self.pe = self.u32(0x3c)
        if self.data[self.pe:self.pe + 4] != b'PE\0\0' or \
                self.u16(self.pe + 24) != 0x20b:
            sys.exit('not a 64-bit PE image')
        self.optional = self.pe + 24
        first = self.optional + self.u16(self.pe + 20)
        self.sections = [first + i * SECTION_SIZE for i in range(self.u16(self.pe + 6))]

    def u16(self, at):
        return struct.unpack_from('<H', self.data, at)[0]

    def u32(self, at):
        return struct.unpack_from('<I', self.data, at)[0]

    def put32(self, at, value):
        struct.pack_into('<I', self.data, at, value)

    def directory_at(self, number):
        return self.optional + 112 + 8 * number

    def directory(self, number):
        at = self.directory_at(number)
        return self.u32(at), self.u32(at + 4)

    def offset(self, rva):
        """Where in the file the address is."""
        for s in self.sections:
            start, raw_size = self.u32(s + 12), self.u32(s + 16)
            if start <= rva < start + raw_size:
                return self.u32(s + 20) + rva - start
        return None

    def text(self, rva):
        at = self.offset(rva)
        return self.data[at:self.data.index(0, at)].decode('ascii')

    def imports(self):
        """(DLL, function, where its name is) of each."""
        at = self.offset(self.directory(IMPORTS)[0])
        while self.u32(at + 12) != 0:
            dll = self.text(self.u32(at + 12)).lower()
            thunk = self.offset(self.u32(at))
            while (entry := struct.unpack_from('<Q', self.data, thunk)[0]) != 0:
                name = (entry & 0x7fffffff) + 2
                if entry >> 63:
                    yield dll, f'#{entry & 0xffff}', thunk
                else:
                    yield dll, self.text(name), self.offset(name)
                thunk += 8
            at += 20

    def resource_types(self):
        at = self.offset(self.directory(RESOURCES)[0])
        count = self.u16(at + 12) + self.u16(at + 14)
        return [self.u32(at + 16 + 8 * i) for i in range(count)]


# ---- rules -------------------------------------------------------------------

def strange_imports(image, allowed):
    for dll, function, _ in image.imports():
        if function not in allowed.get(dll, ()):
            yield f'{dll} {function}'


def writable_code(image, _):
    for s in image.sections:
        flags = image.u32(s + 36)
        if flags & EXECUTE and flags & WRITE:
            yield image.data[s:s + 8].rstrip(b'\0').decode()


def wrong_checksum(image, _):
    at = image.optional + 64
    data = bytes(image.data[:at]) + b'\0' * 4 + bytes(image.data[at + 4:])
    total = 0
    for (word,) in struct.iter_unpack('<H', data + b'\0' * (len(data) % 2)):
        total = (total + word & 0xffff) + (total + word >> 16)
    if (total & 0xffff) + len(data) != image.u32(at):
        yield f'{image.u32(at):#x}'


def fixed_address(image, _):
    flags = image.u16(image.optional + 70)
    if flags & (DYNAMIC_BASE | NX) != DYNAMIC_BASE | NX:
        yield f'characteristics {flags:#x}'
    if image.u16(image.pe + 22) & 1 or image.directory(RELOCATIONS)[1] == 0:
        yield 'no relocations'


def old_system(image, _):
    for what, at in (('operating system', 40), ('subsystem', 48)):
        version = image.u16(image.optional + at), image.u16(image.optional + at + 2)
        if version != (10, 0):
            yield f'{what} {version[0]}.{version[1]}'


def no_version(image, _):
    if image.directory(RESOURCES)[1] == 0 or RT_VERSION not in image.resource_types():
        yield 'no version resource'


def thread_local(image, _):
    if image.directory(TLS) != (0, 0):
        yield 'a TLS directory'


def not_signed(image, _):
    at, size = image.directory(SECURITY)
    if size == 0 or at + size != len(image.data):
        yield 'no signature'


# ---- violations --------------------------------------------------------------

def plant_import(image):
    _, _, at = next(image.imports())
    image.data[at:at + 3] = b'Xyz'


def plant_writable(image):
    image.put32(image.sections[0] + 36, EXECUTE | READ | WRITE)


def plant_checksum(image):
    image.data[-1] ^= 0xff


def plant_relocations(image):
    image.put32(image.directory_at(RELOCATIONS) + 4, 0)


def plant_old_system(image):
    image.put32(image.optional + 40, 4)


def plant_version(image):
    image.put32(image.directory_at(RESOURCES) + 4, 0)


def plant_tls(image):
    image.put32(image.directory_at(TLS), 0x1000)


def plant_unsigned(image):
    image.put32(image.directory_at(SECURITY) + 4, 0)


RULES = [
    ('imports what Windows 10 1809 has', strange_imports, plant_import),
    ('no writable code', writable_code, plant_writable),
    ('the checksum is right', wrong_checksum, plant_checksum),
    ('may be loaded anywhere', fixed_address, plant_relocations),
    ('is for Windows 10', old_system, plant_old_system),
    ('has a version', no_version, plant_version),
    ('no thread-local storage', thread_local, plant_tls),
    ('is signed', not_signed, plant_unsigned),
]


def read_allowed(path):
    """Lines "DLL: function ..."; what is indented goes on."""
    allowed, dll = {}, None
    with open(path, encoding='utf-8') as f:
        for line in f:
            line = line.split('#')[0].rstrip()
            if match := re.match(r'(\S+):(.*)', line):
                dll, line = match.group(1).lower(), match.group(2)
            for function in line.split():
                allowed.setdefault(dll, set()).add(function)
    return allowed


def main(out, imports):
    if not os.path.isdir(out):
        print('1..0 # SKIP there is no build-windows/out')
        return 0
    allowed = read_allowed(imports)
    names = sorted(n for n in os.listdir(out) if n.endswith(('.exe', '.dll', '.sys')))
    number = failed = 0
    for name in names:
        with open(os.path.join(out, name), 'rb') as f:
            data = f.read()
        for title, rule, plant in RULES:
            found = list(rule(Image(data), allowed))
            broken = Image(data)
            plant(broken)
            for kind, bad in (('', bool(found)),
                              (': noticed', not list(rule(broken, allowed)))):
                number += 1
                failed += bad
                print(f"{'not ' if bad else ''}ok {number} - {name}: {title}{kind}")
            for complaint in found:
                print(f'# {complaint}')
    if not names:
        number = failed = 1
        print(f'not ok 1 - there are binaries in {out}')
    print(f'1..{number}')
    return 1 if failed else 0


sys.exit(main(*sys.argv[1:]))
