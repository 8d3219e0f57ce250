"""rows - what is measured: clients, servers and shapes.

SPDX-License-Identifier: BSD-2-Clause
"""
import re
from typing import NamedTuple


class Shape(NamedTuple):
    """What a client is asked to do."""
    server: str         # null, serial, mixed (servers.py), nbdkit
    transport: str      # unix, tcp, tls (over TCP)
    size: int           # bytes
    conns: int
    depth: int          # of one connection; of the device where there is one
    op: str             # r, w

    def __str__(self):
        size = f'{self.size // 1024}K'
        return (f'{self.server} {self.transport} {size} '
                f'{self.conns}x{self.depth} {self.op}')


# connections x depth, by size
PLAIN = [(4096, 1, 1), (4096, 1, 32), (4096, 4, 32), (262144, 1, 8), (262144, 4, 8)]
DEPTHS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
CONNECTIONS = [1, 2, 4, 8, 16, 32]
WORKERS = [1, 2, 4, 8]      # connections, where the server works on one command of each

DIRECT = ['bound', 'nbdisk', 'libnbd', 'nbdcopy', 'qemu-img']
DEVICES = ['device-bound', 'nbdisk-uring', 'nbdisk-fuse', 'nbdfuse', 'qemu-sd']

# Not every client can do every shape.
CANNOT = {
    'bound': lambda s: s.server != 'null',      # it wants answers in order
    # a system call for each request and each answer: more small ones go together
    'device-bound': lambda s: s.conns > 1 or s.size == 4096 and s.depth > 1,
    'nbdcopy': lambda s: s.op == 'w' or s.size < 65536,
    'qemu-img': lambda s: s.conns > 1 or s.transport == 'tls',
    'qemu-sd': lambda s: s.conns > 1,
}


def direct_shapes():
    for server, transports in (('null', ('unix', 'tcp', 'tls')), ('nbdkit', ('unix',))):
        for transport in transports:
            for size, conns, depth in PLAIN:
                for op in 'rw':
                    yield Shape(server, transport, size, conns, depth, op)


def device_shapes():
    for size, conns, depth in PLAIN:
        for op in 'rw':
            yield Shape('null', 'unix', size, conns, depth, op)


def scale_shapes():
    for depth in DEPTHS:
        yield Shape('null', 'unix', 4096, 1, depth, 'r')
    for conns in CONNECTIONS:
        yield Shape('null', 'unix', 4096, conns, 32, 'r')


def worker_shapes():
    for server in ('serial', 'mixed'):
        for conns in WORKERS:
            yield Shape(server, 'unix', 4096, conns, 8, 'r')


GROUPS = {
    'direct': (DIRECT, direct_shapes),
    'attached': (DEVICES, device_shapes),
    'scale': (['bound', 'nbdisk', 'libnbd'], scale_shapes),
    'workers': (['nbdisk', 'libnbd'], worker_shapes),
    'scale-attached': (['nbdisk-uring', 'nbdfuse'], scale_shapes),
}


def rows(only):
    """(client, shape) of every row whose name the pattern finds; none twice."""
    seen = set()
    for group, (clients, shapes) in GROUPS.items():
        for shape in shapes():
            for client in clients:
                row = client, shape
                name = f'{group}: {client} {shape}'
                cannot = CANNOT.get(client, lambda s: False)
                if (re.search(only, name) and row not in seen and
                        not cannot(shape)):
                    seen.add(row)
                    yield row
