#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""An NBD server without a handshake: transmission from the first byte on.

usage: bare_server.py PORT [MUTE [FILE]]

The first MUTE connections that say something get no answer, and nothing more is read,
until another one has ended; then FILE tells how each of the first ended: "reset", or
"closed", and after how many bytes.
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


def end_of(conn):
    """What was still on the way to a connection that nobody read."""
    got = 0
    conn.settimeout(10)
    try:
        while part := conn.recv(65536):
            got += len(part)
        return f'closed {got}'
    except TimeoutError:
        return f'open {got}'
    except OSError:
        return f'reset {got}'


def main(port, mute, file):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # So that most of what is sent stays with the sender.
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    server.bind(('127.0.0.1', port))
    server.listen()
    disk = bytearray(1 << 20)
    held = hold(server, mute)
    while True:
        conn = server.accept()[0]
        try:
            serve(conn, disk)
        except (EOFError, ConnectionError):
            pass
        conn.close()
        if held and file:
            with open(file, 'w', encoding='ascii') as out:
                out.writelines(end_of(c) + '\n' for c in held)
            held = []


main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0,
     sys.argv[3] if len(sys.argv) > 3 else None)
