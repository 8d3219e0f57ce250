# SPDX-License-Identifier: BSD-2-Clause
"""bridge.py - the other end of the machine's wire: its sockets become sockets here.

net.h has the frames.  A port of the machine is a UNIX socket here, or SILENT: taken,
and never answered.  What is no port is refused.
"""
import os
import selectors
import socket
import struct
import threading

OPEN, OPENED, REFUSED, DATA, CREDIT, END, RESET = range(1, 8)
WINDOW = 256 << 10
FRAME_MAX = 4096
SILENT = object()


class Connection:
    def __init__(self, sock):
        self.sock = sock                # None: silent
        self.credit = WINDOW
        self.out = bytearray()          # for the server
        self.end = False                # ... and nothing more after it


class Bridge(threading.Thread):
    """Listens at a path, for QEMU; runs until it is ended."""

    def __init__(self, path, ports):
        super().__init__(daemon=True)
        self.ports = ports
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.wake_r, self.wake_w = os.pipe()
        self.connections = {}
        self.input = bytearray()
        self.output = bytearray()
        self.opened = 0                 # connections, ever

    def run(self):
        self.machine = self.listener.accept()[0]
        self.machine.setblocking(False)
        while self.turn():
            pass
        for number in list(self.connections):
            self.drop(number)
        self.machine.close()

    def end(self):
        os.write(self.wake_w, b'.')

    def turn(self):
        with selectors.DefaultSelector() as s:
            s.register(self.wake_r, selectors.EVENT_READ)
            s.register(self.machine, selectors.EVENT_READ |
                       (selectors.EVENT_WRITE if self.output else 0), 'machine')
            for number, c in self.connections.items():
                events = (selectors.EVENT_READ if c.credit > 0 else 0) | \
                    (selectors.EVENT_WRITE if c.out else 0)
                if c.sock is not None and events:
                    s.register(c.sock, events, number)
            for key, events in s.select():
                if key.data is None:
                    return False
                if key.data == 'machine':
                    if not self.of_machine(events):
                        return False
                elif key.data in self.connections:
                    self.of_server(key.data, events)
        return True

    # ---- the machine

    def of_machine(self, events):
        if events & selectors.EVENT_WRITE:
            del self.output[:self.machine.send(self.output)]
        if not events & selectors.EVENT_READ:
            return True
        try:
            data = self.machine.recv(65536)
        except ConnectionError:
            data = b''
        self.input += data
        while len(self.input) >= 4:
            kind, number, length = struct.unpack_from('<BBH', self.input)
            if len(self.input) < 4 + length:
                break
            payload = bytes(self.input[4:4 + length])
            del self.input[:4 + length]
            self.frame(kind, number, payload)
        return bool(data)

    def send(self, kind, number, payload=b''):
        self.output += struct.pack('<BBH', kind, number, len(payload)) + payload

    def frame(self, kind, number, payload):
        c = self.connections.get(number)
        if kind == OPEN:
            self.open(number, struct.unpack('<H', payload)[0])
        elif c is None:
            return
        elif kind == DATA:
            if c.sock is not None:
                c.out += payload
        elif kind == CREDIT:
            c.credit += struct.unpack('<I', payload)[0]
        elif kind == END:
            c.end = True
            self.flush(number, c)
        elif kind == RESET:
            self.drop(number)

    # ---- servers

    def open(self, number, port):
        where = self.ports.get(port)
        sock = None
        if where is not SILENT:
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(where or '')
            except OSError:
                sock.close()
                self.send(REFUSED, number)
                return
            sock.setblocking(False)
        self.opened += 1
        self.connections[number] = Connection(sock)
        self.send(OPENED, number)

    def drop(self, number):
        c = self.connections.pop(number)
        if c.sock is not None:
            c.sock.close()

    def lost(self, number):
        self.drop(number)
        self.send(RESET, number)

    def flush(self, number, c):
        try:
            if c.out:
                del c.out[:c.sock.send(c.out)]
            if c.end and not c.out and c.sock is not None:
                c.sock.shutdown(socket.SHUT_WR)
                c.end = False
        except BlockingIOError:
            pass
        except OSError:
            self.lost(number)

    def of_server(self, number, events):
        c = self.connections[number]
        if events & selectors.EVENT_WRITE:
            self.flush(number, c)
        if number not in self.connections or not events & selectors.EVENT_READ:
            return
        try:
            data = c.sock.recv(min(FRAME_MAX, c.credit))
        except OSError:
            self.lost(number)
            return
        if data:
            c.credit -= len(data)
            self.send(DATA, number, data)
        else:
            c.credit = 0                # nothing more comes
            self.send(END, number)
