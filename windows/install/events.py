#!/usr/bin/env python3
"""events.py - what Microsoft's mc.exe makes of an event manifest: two resources.

SPDX-License-Identifier: BSD-2-Clause

usage: events.py MANIFEST RC WEVT MESSAGES

WEVT is the binary form of the manifest (resource type WEVT_TEMPLATE), as libfwevt's
"Windows Event manifest binary format" describes it; MESSAGES is a message table; RC
names both.  One provider, one language, imported channels, no maps, tasks and keywords
of its own.
"""
import re
import struct
import sys
import uuid
import xml.etree.ElementTree as ET

NS = '{http://schemas.microsoft.com/win/2004/08/events}'
LEVELS = {'win:Critical': 1, 'win:Error': 2, 'win:Warning': 3, 'win:Informational': 4,
          'win:Verbose': 5}
CHANNELS = {'System': (8, 0x8000000000000000), 'Application': (9, 0x8000000000000000)}
TYPES = {'win:UnicodeString': (1, 1), 'win:AnsiString': (2, 1), 'win:UInt32': (8, 8)}
FIXED = {'win:UInt32': 4}
NONE = 0xffffffff
MESSAGE_BASE = 0xb0000000
LANGUAGE = 0x409


class Manifest:
    def __init__(self, path):
        root = ET.parse(path).getroot()
        self.provider = root.find(f'.//{NS}provider')
        self.strings = {s.get('id'): s.get('value') for s in root.iter(f'{NS}string')}
        self.channels = {c.get('chid'): c.get('name')
                         for c in root.iter(f'{NS}importChannel')}
        self.templates = [(t.get('tid'), [(d.get('name'), d.get('inType'))
                                          for d in t.iter(f'{NS}data')])
                          for t in root.iter(f'{NS}template')]
        self.events = list(self.provider.iter(f'{NS}event'))

    def text(self, event):
        return self.strings[re.fullmatch(r'\$\(string\.(\w+)\)',
                                         event.get('message')).group(1)]


# ---- binary XML ----------------------------------------------------------------

def name(text):
    """Hash, length, characters, NUL."""
    value = 0
    for c in text:
        value = (value * 65599 + ord(c)) & 0xffffffff
    return struct.pack('<HH', value & 0xffff, len(text)) + (text + '\0').encode('utf-16-le')


def element(text, attributes, content):
    token = 0x41 if attributes else 0x01
    body = name(text)
    if attributes:
        body += struct.pack('<I', len(attributes)) + attributes
    body += b'\x02' + content + b'\x04'
    return struct.pack('<BHI', token, 0xffff, len(body)) + body


def attribute(text, value):
    return b'\x06' + name(text) + struct.pack('<BBH', 5, 1, len(value)) + \
        value.encode('utf-16-le')


def event_data(fields):
    data = b''.join(element('Data', attribute('Name', field),
                            struct.pack('<BHB', 0x0d, i, TYPES[kind][0]))
                    for i, (field, kind) in enumerate(fields))
    return b'\x0f\x01\x01\x00' + element('EventData', b'', data) + b'\x00'


# ---- the manifest --------------------------------------------------------------

def sized_string(text):
    """Its size, itself, up to a multiple of 4."""
    chars = (text + '\0').encode('utf-16-le')
    chars += b'\0' * (-len(chars) % 4)
    return struct.pack('<I', 4 + len(chars)) + chars


def channels(m, at):
    """CHAN; at is where in the file it begins."""
    names = list(m.channels.values())
    head, tail = b'', b''
    for i, channel in enumerate(names):
        where = at + 12 + 16 * len(names) + len(tail)
        head += struct.pack('<IIII', i, where, CHANNELS[channel][0], NONE)
        tail += sized_string(channel)
    return struct.pack('<4sII', b'CHAN', 12 + len(head) + len(tail), len(names)) + \
        head + tail


def template(tid, fields, at):
    xml = event_data(fields)
    xml += b'\0' * (-len(xml) % 4)
    items = at + 40 + len(xml)
    names, descriptors = b'', b''
    for field, kind in fields:
        where = items + 20 * len(fields) + len(names)
        descriptors += struct.pack('<IBBHIHHI', 0, *TYPES[kind], 0, 0, 1,
                                   FIXED.get(kind, 0), where)
        names += sized_string(field)
    return struct.pack('<4sIIIII', b'TEMP', 40 + len(xml) + len(descriptors) + len(names),
                       len(fields), len(fields), items, 1) + \
        uuid.uuid5(uuid.NAMESPACE_URL, f'wnbd:{tid}').bytes_le + xml + descriptors + names


def templates(m, at):
    """TTBL, and where each template is."""
    body, places = b'', {}
    for tid, fields in m.templates:
        places[tid] = at + 12 + len(body)
        body += template(tid, fields, places[tid])
    return struct.pack('<4sII', b'TTBL', 12 + len(body), len(m.templates)) + body, places


def events(m, places):
    body = b''
    for e in m.events:
        channel, keyword = CHANNELS[m.channels[e.get('channel')]] \
            if e.get('channel') else (0, 0)
        body += struct.pack('<HBBBBHQIIIIIIII', int(e.get('value')), 0, channel,
                            LEVELS[e.get('level')], 0, 0, keyword,
                            MESSAGE_BASE | int(e.get('value')), places[e.get('template')],
                            0, 0, 0, 0, 0, 0)
    return struct.pack('<4sIII', b'EVNT', 16 + len(body), len(m.events), 0) + body


def wevt(m):
    first = 16 + 20
    at = first + 20 + 8 * 3
    chan = channels(m, at)
    table, places = templates(m, at + len(chan))
    evnt = events(m, places)
    starts = [at, at + len(chan), at + len(chan) + len(table)]
    body = b''.join(struct.pack('<II', s, 0) for s in starts) + chan + table + evnt
    provider = struct.pack('<4sIIII', b'WEVT', 20 + len(body), NONE, 3, 0) + body
    return struct.pack('<4sIHHI', b'CRIM', first + len(provider), 3, 1, 1) + \
        uuid.UUID(m.provider.get('guid')).bytes_le + struct.pack('<I', first) + provider


def messages(m):
    """MESSAGE_RESOURCE_DATA: one block, for the events are numbered one by one."""
    numbers = [int(e.get('value')) for e in m.events]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    entries = b''
    for e in m.events:
        text = (m.text(e) + '\r\n\0').encode('utf-16-le')
        text += b'\0' * (-len(text) % 4)
        entries += struct.pack('<HH', 4 + len(text), 1) + text
    return struct.pack('<IIII', 1, MESSAGE_BASE | numbers[0], MESSAGE_BASE | numbers[-1],
                       16) + entries


def main(manifest, rc, wevt_path, messages_path):
    m = Manifest(manifest)
    with open(wevt_path, 'wb') as f:
        f.write(wevt(m))
    with open(messages_path, 'wb') as f:
        f.write(messages(m))
    with open(rc, 'w', encoding='ascii') as f:
        for kind, path in (('WEVT_TEMPLATE', wevt_path), ('11', messages_path)):
            f.write(f'LANGUAGE {LANGUAGE & 0x3ff:#x}, {LANGUAGE >> 10}\n'
                    f'1 {kind} "{path}"\n')


if __name__ == '__main__':
    if len(sys.argv) != 5:
        sys.exit(__doc__.split('\n\n')[2])
    main(*sys.argv[1:])
