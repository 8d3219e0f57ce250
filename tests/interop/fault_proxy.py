#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A network that fails: stands between a client and a server.

usage: fault_proxy.py PORT SOCKET

Listens on PORT of 127.0.0.1 and connects each client to the UNIX socket SOCKET.
Standard input says what happens, a line at a time; up is towards the server:

    delay MS            each piece comes so much later
    throttle BYTES      per second and direction
    stall up|down       nothing arrives any more
    partition N         the same, both ways, on the connections up to the Nth
    half up|down        the end of the stream is sent, one way
    cut                 all connections are closed
    reset               all connections are reset
    go                  no delay, no throttle, no stall

It ends at the end of its input.
"""
import os
import socket
import struct
import sys
import threading
import time

PIECE = 1 << 14
LIFE = 300                      # seconds that it lives at most


class Weather:
    """What happens to all bytes."""
    delay, throttle, stalled, partition = 0.0, 0, set(), 0


weather = Weather()
links = []


class Link:
    def __init__(self, client, server, number):
        self.client, self.server, self.number = client, server, number
        for way, source, sink in (('up', client, server), ('down', server, client)):
            threading.Thread(target=self.pump, args=(way, source, sink),
                             daemon=True).start()

    def held(self, way):
        return way in weather.stalled or self.number < weather.partition

    def pump(self, way, source, sink):
        try:
            while data := source.recv(PIECE):
                time.sleep(weather.delay)
                if weather.throttle:
                    time.sleep(len(data) / weather.throttle)
                while self.held(way):
                    time.sleep(0.01)
                sink.sendall(data)
        except OSError:
            pass
        self.end(way)

    def end(self, way):
        try:
            (self.server if way == 'up' else self.client).shutdown(socket.SHUT_WR)
        except OSError:
            pass                # it is gone altogether

    def cut(self, reset):
        for sock in (self.client, self.server):
            if reset and sock.family == socket.AF_INET:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack('ii', 1, 0))
                sock.close()    # RST, as nothing else has it open for long
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def obey(words):
    match words:
        case ['delay', ms]:
            weather.delay = float(ms) / 1000
        case ['throttle', rate]:
            weather.throttle = int(rate)
        case ['stall', 'up' | 'down' as way]:
            weather.stalled.add(way)
        case ['partition', count]:
            weather.partition = int(count)
        case ['half', 'up' | 'down' as way]:
            for link in links:
                link.end(way)
        case ['cut' | 'reset' as how]:
            for link in links:
                link.cut(how == 'reset')
            links.clear()
        case ['go']:
            weather.__dict__.clear()
            weather.stalled = set()
        case _:
            sys.exit(f'fault_proxy.py: what is "{" ".join(words)}"?')


def accept(listener, path):
    number = 0
    while True:
        client = listener.accept()[0]
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(path)
        except OSError:
            client.close()      # no server is there just now
            continue
        links.append(Link(client, server, number))
        number += 1


def main(port, path):
    threading.Timer(LIFE, os._exit, (1,)).start()
    listener = socket.create_server(('127.0.0.1', int(port)))
    threading.Thread(target=accept, args=(listener, path), daemon=True).start()
    for line in sys.stdin:
        obey(line.split())
    os._exit(0)


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
