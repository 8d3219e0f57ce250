# SPDX-License-Identifier: BSD-2-Clause
"""servers.py - the NBD server of the machine's disk, and what it must have seen."""
import os
import struct
import subprocess
import time

PORT, SILENT_PORT, SECOND_PORT = 10809, 10810, 10812
SIZE = 64 << 20
AREAS = ((0, 1 << 18, 21), (32 << 20, 1 << 18, 22),     # test_nbd.c: offset, length, seed
         (48 << 20, 1 << 18, 23))
MASK = (1 << 64) - 1


class Server:
    """nbdkit, with a file that outlives it and a log of its requests."""

    def __init__(self, work, name):
        self.file = os.path.join(work, 'nbd.img')       # one, of all
        self.path = os.path.join(work, name + '.sock')
        self.log = os.path.join(work, 'nbd.log')
        self.process = None
        with open(self.file, 'wb') as f:
            f.truncate(SIZE)

    def start(self):
        self.process = subprocess.Popen(
            ['nbdkit', '-f', '-U', self.path, '--filter=log', 'file', self.file,
             'logfile=' + self.log, 'logappend=true'], stdin=subprocess.DEVNULL)
        while not os.path.exists(self.path):
            time.sleep(0.02)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
            os.unlink(self.path)

    def order(self, word):
        """What the test program asks for by a line that begins with "host: "."""
        {'kill': self.kill, 'start': self.start}[word]()


def pattern(offset, length, seed):
    """As in pattern.c."""
    return b''.join(struct.pack('<Q', ((offset + i) * 0x9e3779b97f4a7c15 + seed) & MASK)
                    for i in range(0, length, 8))


def check(tap, server):
    with open(server.file, 'rb') as f:
        for offset, length, seed in AREAS:
            f.seek(offset)
            tap.ok(f.read(length) == pattern(offset, length, seed),
                   'the file of the server has what was written at %d MiB' %
                   (offset >> 20))
    with open(server.log, encoding='utf-8') as f:
        log = f.read()
    for what, text in (('a flush', ' Flush '), ('FUA', ' fua=1'), ('a trim', ' Trim ')):
        tap.ok(text in log, 'the server has seen %s' % what)
