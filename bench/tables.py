#!/usr/bin/env python3
"""tables - figures as the tables of docs/performance.md.

SPDX-License-Identifier: BSD-2-Clause

usage: tables.py CSV
"""
import sys

import report
from rows import DEVICES, DIRECT, PLAIN, Shape

SECTIONS = [
    ('UNIX socket, null server', 'null', 'unix', DIRECT, ['bound', 'libnbd']),
    ('TCP, null server', 'null', 'tcp', DIRECT, ['bound', 'libnbd']),
    ('TLS 1.3 over TCP, null server', 'null', 'tls', DIRECT, ['bound', 'libnbd']),
    ('UNIX socket, nbdkit memory', 'nbdkit', 'unix', DIRECT, ['libnbd']),
    ('A loop device, null server on a UNIX socket', 'null', 'unix', DEVICES,
     ['device-bound', 'nbdfuse', 'qemu-sd']),
]
OURS = ('nbdisk', 'nbdisk-uring')


def figure(value):
    """Three digits."""
    if value >= 100:
        return f'{value:.0f}'
    return f'{value:.3g}' if value >= 10 else f'{value:.2f}'


def table(head, lines):
    return '\n'.join(['| | ' + ' | '.join(head) + ' |',
                      '|---|' + '--:|' * len(head),
                      *('| ' + ' | '.join(line) + ' |' for line in lines)])


def lines(rows, server, transport, clients, cell, others=()):
    """One for each shape: its name, a cell for each client, a ratio for each other."""
    ours = next(c for c in clients if c in OURS)
    for size, conns, depth in PLAIN:
        for op in 'rw':
            shape = Shape(server, transport, size, conns, depth, op)
            found = {c: rows.get((c, shape)) for c in clients}
            if found[ours] is None:
                continue
            yield [f'{size // 1024}K {conns}x{depth} {"read" if op == "r" else "write"}',
                   *(cell(found[c]) if found[c] else '' for c in clients),
                   *(figure(found[ours]['cpu'] / found[o]['cpu'])
                     if found[o] and found[o]['cpu'] else '' for o in others)]


def cpu(row):
    return (f'{figure(row["cpu"])} ({figure(row["cpu_min"])}-'
            f'{figure(row["cpu_max"])})')


def speed(row):
    p50, p99 = (figure(row[p]) if row[p] is not None else '-' for p in ('p50', 'p99'))
    return f'{figure(row["iops"] / 1000)}k, {p50} / {p99}'


def section(rows, title, server, transport, clients, others):
    clients = [c for c in clients
               if any(k[0] == c and k[1].server == server and k[1].transport == transport
                      for k in rows)]
    print(f'### {title}\n\nCPU s per million I/Os:\n')
    print(table([*clients, *(f'of {o}' for o in others)],
                lines(rows, server, transport, clients, cpu, others)))
    print('\nIOPS, and how long one took (p50 / p99, us):\n')
    print(table(clients, lines(rows, server, transport, clients, speed)), end='\n\n')


def main():
    rows = report.read_csv(sys.argv[1])
    for words in SECTIONS:
        section(rows, *words)


main()
