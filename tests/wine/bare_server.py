#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""An NBD server without a handshake: transmission from the first byte on.

usage: bare_server.py PORT [MUTE]

The first MUTE connections that say something get no answer, and nothing more is read.
"""
import socket
import struct
import sys

REQUEST = struct.Struct('>IHHQQI')
READ, WRITE, DISC = 0, 1, 2


def exactly(conn, n):
    data = b''
    while len(data) < n:
        part = conn.recv(n - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def serve(conn, disk):
    while True:
        _, _, command, cookie, offset, length = REQUEST.unpack(exactly(conn, REQUEST.size))
        if command == DISC:
            return
        answer = b''
        if command == WRITE:
            disk[offset:offset + length] = exactly(conn, length)
        elif command == READ:
            answer = bytes(disk[offset:offset + length])
        conn.sendall(struct.pack('>IIQ', 0x67446698, 0, cookie) + answer)


def hold(server, count):
    """COUNT connections that have begun to speak."""
    held = []
    while len(held) < count:
        conn = server.accept()[0]
        if conn.recv(1):
            held.append(conn)
    return held


def main(port, mute):
    server = socket.create_server(('127.0.0.1', port))
    disk = bytearray(1 << 20)
    _held = hold(server, mute)     # open until the end
    while True:
        conn = server.accept()[0]
        try:
            serve(conn, disk)
        except (EOFError, ConnectionError):
            pass
        conn.close()


main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
