#!/usr/bin/env python3
"""catalog.py - a Windows driver catalog, not signed yet.

SPDX-License-Identifier: BSD-2-Clause

usage: catalog.py OUT HARDWARE-ID FILE...

A catalog is a certificate trust list (szOID_CTL) inside PKCS #7 signed data: for each
file its SHA-1, of a PE image the Authenticode digest.  osslsigncode signs it.
"""
import datetime
import hashlib
import os
import struct
import sys

CTL = '1.3.6.1.4.1.311.10.1'
CATALOG_LIST = '1.3.6.1.4.1.311.12.1.1'
CATALOG_MEMBER = '1.3.6.1.4.1.311.12.1.2'
NAME_VALUE = '1.3.6.1.4.1.311.12.2.1'
MEMBER_INFO = '1.3.6.1.4.1.311.12.2.2'
INDIRECT_DATA = '1.3.6.1.4.1.311.2.1.4'
PE_IMAGE = '1.3.6.1.4.1.311.2.1.15'
LINK = '1.3.6.1.4.1.311.2.1.25'
SHA1 = '1.3.14.3.2.26'
SIGNED_DATA = '1.2.840.113549.1.7.2'
PE_SUBJECT = '{C689AAB8-8E78-11D0-8C47-00C04FC295EE}'
FLAT_SUBJECT = '{DE351A42-8E59-11D0-8C47-00C04FC295EE}'
ATTRIBUTE_FLAGS = 0x10010001	# authenticated, text, ASCII name


# ---- DER ---------------------------------------------------------------------

def der(tag, *parts):
    body = b''.join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, 'big')
    return bytes([tag, 0x80 | len(length)]) + length + body


def sequence(*parts):
    return der(0x30, *parts)


def set_of(*parts):
    return der(0x31, *parts)


def integer(n):
    return der(0x02, n.to_bytes(n.bit_length() // 8 + 1, 'big'))


def octets(data):
    return der(0x04, data)


def bmp(text):
    return der(0x1e, text.encode('utf-16-be'))


def oid(text):
    numbers = [int(n) for n in text.split('.')]
    out = bytes([numbers[0] * 40 + numbers[1]])
    for n in numbers[2:]:
        chunk = bytes([n & 0x7f])
        while n > 0x7f:
            n >>= 7
            chunk = bytes([0x80 | n & 0x7f]) + chunk
        out += chunk
    return der(0x06, out)


NULL = b'\x05\x00'


# ---- files -------------------------------------------------------------------

def pe_header(data):
    """Offsets of the checksum and of the security directory; None: no PE image."""
    if data[:2] != b'MZ':
        return None
    pe = struct.unpack_from('<I', data, 0x3c)[0]
    if data[pe:pe + 4] != b'PE\0\0':
        return None
    optional = pe + 24
    is_64 = struct.unpack_from('<H', data, optional)[0] == 0x20b
    return optional + 64, optional + (112 if is_64 else 96) + 4 * 8


def authenticode(data, digest):
    """All but the checksum, the security directory's entry, and the signature."""
    checksum, security = pe_header(data)
    at, size = struct.unpack_from('<II', data, security)
    end = at if size else len(data)
    digest.update(data[:checksum] + data[checksum + 4:security] +
                  data[security + 8:end])
    digest.update(b'\0' * (-end % 8))
    return digest.digest()


# ---- the catalog ---------------------------------------------------------------

def name_value(name, value):
    return sequence(bmp(name), integer(ATTRIBUTE_FLAGS),
                    octets(value.encode('utf-16-le') + b'\0\0'))


def attribute(kind, value):
    return sequence(oid(kind), set_of(value))


def obsolete():
    """A file's place, which nobody looks at."""
    return der(0xa2, der(0x80, '<<<Obsolete>>>'.encode('utf-16-be')))


def member(path):
    with open(path, 'rb') as f:
        data = f.read()
    is_pe = pe_header(data) is not None
    digest = authenticode(data, hashlib.sha1()) if is_pe else \
        hashlib.sha1(data).digest()
    where = sequence(oid(PE_IMAGE), sequence(b'\x03\x02\x05\xa0',
                                             der(0xa0, obsolete()))) if is_pe else \
        sequence(oid(LINK), obsolete())
    indirect = sequence(where, sequence(sequence(oid(SHA1), NULL), octets(digest)))
    return digest.hex().upper(), sequence(
        octets((digest.hex().upper() + '\0').encode('utf-16-le')),
        set_of(attribute(NAME_VALUE, name_value('File', os.path.basename(path))),
               attribute(NAME_VALUE, name_value('OSAttr', '2:10.0')),
               attribute(INDIRECT_DATA, indirect),
               attribute(MEMBER_INFO, sequence(
                   bmp(PE_SUBJECT if is_pe else FLAT_SUBJECT), integer(512)))))


def catalog(hardware_id, paths, now):
    members = b''.join(m for _, m in sorted(member(p) for p in paths))
    extensions = sequence(*(
        sequence(oid(NAME_VALUE), octets(name_value(*pair)))
        for pair in (('OS', '_v100_X64'), ('HWID1', hardware_id.lower()))))
    list_id = hashlib.sha256(members).digest()[:16]
    ctl = sequence(
        sequence(oid(CATALOG_LIST)), octets(list_id),
        der(0x17, now.strftime('%y%m%d%H%M%SZ').encode()),
        sequence(oid(CATALOG_MEMBER), NULL), sequence(members),
        der(0xa0, extensions))
    return sequence(oid(SIGNED_DATA), der(0xa0, sequence(
        integer(1), set_of(), sequence(oid(CTL), der(0xa0, ctl)), set_of())))


def main(args):
    if len(args) < 3:
        sys.exit(__doc__.split('\n\n')[2])
    now = datetime.datetime.fromtimestamp(
        int(os.environ.get('SOURCE_DATE_EPOCH', datetime.datetime.now().timestamp())),
        datetime.timezone.utc)
    with open(args[0], 'wb') as f:
        f.write(catalog(args[1], args[2:], now))


if __name__ == '__main__':
    main(sys.argv[1:])
