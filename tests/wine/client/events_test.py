#!/usr/bin/env python3
"""events_test.py - the event resources of wnbd.sys, read a second time.  TAP.

SPDX-License-Identifier: BSD-2-Clause

usage: events_test.py OUT MANIFEST LOG.C

Written from libfwevt's description, apart from what makes them.  No Windows has read
them yet.
"""
import os
import re
import struct
import sys
import uuid

NUMBER = 0


def ok(verdict, what):
    global NUMBER
    NUMBER += 1
    print(f"{'' if verdict else 'not '}ok {NUMBER} - {what}")
    return verdict


class Resources:
    """Resources of a PE image, by type: the first of each."""
    def __init__(self, data):
        self.data = data
        pe = self.u32(0x3c)
        optional = pe + 24
        self.root_rva = self.u32(optional + 112 + 16)
        first = optional + self.u16(pe + 20)
        for s in range(first, first + 40 * self.u16(pe + 6), 40):
            if self.u32(s + 12) == self.root_rva:
                self.root = self.u32(s + 20)

    def u16(self, at):
        return struct.unpack_from('<H', self.data, at)[0]

    def u32(self, at):
        return struct.unpack_from('<I', self.data, at)[0]

    def entries(self, at):
        count = self.u16(at + 12) + self.u16(at + 14)
        return [(self.u32(at + 16 + 8 * i), self.u32(at + 20 + 8 * i))
                for i in range(count)]

    def name(self, value):
        if not value >> 31:
            return value
        at = self.root + (value & 0x7fffffff)
        return self.data[at + 2:at + 2 + 2 * self.u16(at)].decode('utf-16-le')

    def find(self, kind):
        for value, offset in self.entries(self.root):
            if self.name(value) != kind:
                continue
            while offset >> 31:
                offset = self.entries(self.root + (offset & 0x7fffffff))[0][1]
            at = self.root + offset
            start = self.u32(at) - self.root_rva + self.root
            return self.data[start:start + self.u32(at + 4)]
        return b''


def string(blob, at):
    size = struct.unpack_from('<I', blob, at)[0]
    return blob[at + 4:at + size].decode('utf-16-le').split('\0')[0]


def elements(blob, provider):
    """Signature → (offset, count) of what the provider has."""
    count = struct.unpack_from('<I', blob, provider + 12)[0]
    found = {}
    for i in range(count):
        at = struct.unpack_from('<I', blob, provider + 20 + 8 * i)[0]
        signature, size, number = struct.unpack_from('<4sII', blob, at)
        assert at + size <= len(blob)
        found[signature] = (at, number)
    return found


def fields(blob, at):
    """Of a template: (name, inType), and the text of its XML."""
    count, _, items = struct.unpack_from('<III', blob, at + 8)
    out = []
    for i in range(count):
        item = items + 20 * i
        out.append((string(blob, struct.unpack_from('<I', blob, item + 16)[0]),
                    blob[item + 4]))
    return out, blob[at + 40:items]


def check_manifest(blob, manifest):
    magic, size, major, minor, providers = struct.unpack_from('<4sIHHI', blob)
    if not ok(magic == b'CRIM' and size == len(blob) and (major, minor) == (3, 1) and
              providers == 1, 'a manifest of one provider'):
        return
    guid = uuid.UUID(bytes_le=bytes(blob[16:32]))
    ok(f'{{{guid}}}'.upper() in manifest, 'the provider is the manifest\'s')
    parts = elements(blob, struct.unpack_from('<I', blob, 32)[0])
    ok(set(parts) == {b'CHAN', b'TTBL', b'EVNT'}, 'channels, templates, events')
    chan = parts[b'CHAN'][0]
    ok(string(blob, struct.unpack_from('<I', blob, chan + 16)[0]) == 'System' and
       struct.unpack_from('<I', blob, chan + 20)[0] == 8, 'the System log')
    first = parts[b'TTBL'][0] + 12
    found, xml = fields(blob, first)
    ok(found == [('FunctionName', 2), ('LineNumber', 8), ('Message', 2)],
       'the template has the fields that log.c writes')
    texts = xml.decode('utf-16-le', 'ignore') + xml[1:].decode('utf-16-le', 'ignore')
    ok(all(f in texts for f in ('EventData', 'FunctionName', 'LineNumber', 'Message')),
       'and XML that names them')
    at, count = parts[b'EVNT']
    for i in range(count):
        ident, _, channel, level, _, _, keyword, message, where = struct.unpack_from(
            '<HBBBBHQII', blob, at + 16 + 48 * i)
        ok(ident == i + 1 and level == i + 2 and where == first and
           message == 0xb0000001 + i and
           (channel, keyword) == ((8, 1 << 63) if ident < 4 else (0, 0)),
           f'event {ident}')
    ok(count == 4, 'four events')


def check_messages(blob):
    blocks, low, high, at = struct.unpack_from('<IIII', blob)
    ok((blocks, low, high) == (1, 0xb0000001, 0xb0000004), 'four messages')
    for _ in range(4):
        size, unicode = struct.unpack_from('<HH', blob, at)
        text = blob[at + 4:at + size].decode('utf-16-le').rstrip('\0')
        ok(unicode == 1 and size % 4 == 0 and text == '%3 (%1:%2)\r\n', 'a message')
        at += size
    ok(at == len(blob), 'and nothing behind them')


def main(out, manifest_path, log_path):
    path = os.path.join(out, 'wnbd.sys')
    if not os.path.exists(path):
        print('1..0 # SKIP there is no build-windows/out')
        return 0
    with open(path, 'rb') as f:
        resources = Resources(f.read())
    with open(manifest_path, encoding='utf-8') as f:
        check_manifest(resources.find('WEVT_TEMPLATE'), f.read().upper())
    check_messages(resources.find(11))
    with open(log_path, encoding='utf-8') as f:
        guid = re.search(r'etw_guid = \{ 0x(\w+)', f.read()).group(1)
    ok(guid == 'ffacc4e7', 'log.c registers this provider')
    print(f'1..{NUMBER}')
    return 0


sys.exit(main(*sys.argv[1:]))
