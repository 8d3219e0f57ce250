"""report - the figures as a table, as CSV, and against the targets.

SPDX-License-Identifier: BSD-2-Clause
"""
import csv
import statistics
from typing import NamedTuple

from rows import CONNECTIONS, PLAIN, WORKERS, Shape

COLUMNS = ['client', *Shape._fields, 'rounds', 'cpu', 'cpu_min', 'cpu_max', 'iops',
           'iops_min', 'iops_max', 'p50', 'p99', 'p999']
CPU, IOPS, P50 = 'cpu', 'iops', 'p50'
# what does the same work and keeps no books, by client
BOUNDS = {'nbdisk': 'bound', 'nbdisk-fuse': 'device-bound',
          'nbdisk-uring': 'device-bound'}


def median(values):
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


def summary(figures):
    """Of the rounds of a row."""
    row = {'rounds': len(figures)}
    for name in ('cpu', 'iops', 'p50', 'p99', 'p999'):
        row[name] = median(getattr(f, name) for f in figures)
    for name in ('cpu', 'iops'):
        values = [getattr(f, name) for f in figures]
        row[f'{name}_min'], row[f'{name}_max'] = min(values), max(values)
    return row


def number(value, digits):
    return '-' if value is None else f'{value:.{digits}f}'


HEAD = (f'{"client":13} {"server and shape":30} {"CPU s/Mio":>9} {"min-max":>15}'
        f' {"IOPS":>8} {"MB/s":>6} {"p50":>8} {"p99":>8} {"p99.9":>8} us')


def line(client, shape, row):
    spread = f'{row["cpu_min"]:.2f}-{row["cpu_max"]:.2f}'
    return (f'{client:13} {str(shape):30} {row["cpu"]:9.2f} {spread:>15}'
            f' {row["iops"]:8.0f} {row["iops"] * shape.size / 1e6:6.0f}'
            f' {number(row["p50"], 1):>8} {number(row["p99"], 1):>8}'
            f' {number(row["p999"], 1):>8}')


def write_csv(path, rows):
    with open(path, 'w', newline='', encoding='utf-8') as file:
        out = csv.DictWriter(file, COLUMNS)
        out.writeheader()
        for (client, shape), row in rows.items():
            short = {k: f'{v:.5g}' if isinstance(v, float) else v
                     for k, v in row.items()}
            out.writerow({'client': client, **shape._asdict(), **short})


def read_csv(path):
    """What write_csv wrote."""
    rows = {}
    with open(path, newline='', encoding='utf-8') as file:
        for r in csv.DictReader(file):
            shape = Shape(r['server'], r['transport'], int(r['size']),
                          int(r['conns']), int(r['depth']), r['op'])
            rows[r['client'], shape] = {
                k: float(r[k]) if r[k] else None for k in COLUMNS[7:]}
    return rows


# docs_test.py sees to it that they are there
DEPTH_1 = 'docs/performance.md#depth-1-counted'
LARGE = 'docs/performance.md#256-kib-on-a-device-counted'
MORE = 'docs/performance.md#more-connections-counted'
ONE_TLS = 'docs/performance.md#tls-one-read-counted'
TLS_CPUS = 'docs/performance.md#tls-on-two-cpus-counted'
TRIED = 'docs/performance.md#what-was-tried-and-what-was-learned'


# ---- targets --------------------------------------------------------------------

class Target(NamedTuple):
    """A row's figure is at most (<) or at least (>) so many times another row's."""
    what: str           # the figure
    mine: tuple         # client, shape
    other: tuple
    bound: str
    limit: float
    counted: str = ''   # where it is counted why it cannot be


def null(transport, size, conns, depth, op='r'):
    return Shape('null', transport, size, conns, depth, op)


def against(what, bound, limit, shapes, client='nbdisk', peer='bound', counted=''):
    """The client's figure, as times the peer's."""
    for shape in shapes:
        yield Target(what, (client, shape), (peer, shape), bound, limit, counted)


def targets():
    for transport in ('unix', 'tcp'):
        small = [null(transport, 4096, 1, 32)]
        yield from against(CPU, '<', 2, small)
        yield from against(CPU, '<', 0.2, small, peer='libnbd')
        yield from against(IOPS, '>', 4, small, peer='libnbd')
        yield from against(CPU, '<', 0.7, [null(transport, 4096, 1, 1)],
                           peer='libnbd', counted=TRIED)
        yield from against(CPU, '<', 1.3,
                           [null(transport, 262144, 1, 8, op) for op in 'rw'])
        yield Target(CPU, ('nbdisk', null(transport, 4096, 4, 32)),
                     ('nbdisk', null(transport, 4096, 1, 32)), '<', 1, MORE)
    yield from against(CPU, '<', 1.15, [
        null('tls', size, conns, depth, op)
        for size, conns, depth in PLAIN for op in 'rw'], counted=ONE_TLS)
    yield from against(IOPS, '>', 1, [null('tls', 262144, 4, 8, op) for op in 'rw'],
                       peer='libnbd', counted=TLS_CPUS)
    yield from workers_targets()
    for client in ('nbdisk', 'nbdisk-uring'):
        yield from connections_targets(client)
    for client in ('nbdisk-uring', 'nbdisk-fuse'):
        yield from attached_targets(client)


def connections_targets(client):
    """More connections than one cost nothing."""
    one = client, null('unix', 4096, 1, 32)
    for conns in CONNECTIONS[1:]:
        more = client, null('unix', 4096, conns, 32)
        yield Target(IOPS, more, one, '>', 0.95, MORE)
        yield Target(CPU, more, one, '<', 1.05, MORE)


def workers_targets():
    """Where each connection is a worker, all of them work."""
    for conns in WORKERS[1:]:
        yield Target(IOPS, ('nbdisk', Shape('serial', 'unix', 4096, conns, 8, 'r')),
                     ('nbdisk', Shape('serial', 'unix', 4096, 1, 8, 'r')), '>',
                     0.95 * conns)
        yield from against(IOPS, '>', 0.95, [Shape('mixed', 'unix', 4096, conns, 8, 'r')],
                           peer='libnbd')


def attached_targets(client):
    uring = client == 'nbdisk-uring'
    deep, one = null('unix', 4096, 1, 32), null('unix', 4096, 1, 1)
    large = [null('unix', 262144, 1, 8, op) for op in 'rw']

    yield from against(IOPS, '>', 3 if uring else 1.5, [deep], client, 'nbdfuse')
    yield from against(P50, '<', 0.6, [one], client, 'nbdfuse', DEPTH_1)
    if uring:
        yield from against(CPU, '<', 1 / 3, [deep], client, 'nbdfuse')
        yield from against(IOPS, '>', 1, large, client, 'qemu-sd')
    yield from against(IOPS, '>', 1.5, large, client, 'nbdfuse', LARGE)


def is_reached(target, ratio):
    return ratio <= target.limit if target.bound == '<' else ratio >= target.limit


def verdict(target, rows):
    ratio = rows[target.mine][target.what] / rows[target.other][target.what]
    if is_reached(target, ratio):
        return ratio, 'reached'
    words = 'NOT REACHED'
    bound = BOUNDS.get(target.mine[0])
    floor = rows.get((bound, target.mine[1]))
    # beside itself, for who is compared with itself
    beside = rows.get((bound, target.other[1]) if target.other[0] == target.mine[0] else
                      target.other)
    if None not in (floor, beside) and bound != target.other[0]:
        of_floor = floor[target.what] / beside[target.what]
        words += f'; the bound: {of_floor:.2f}'
    if target.counted:
        words += f'; {target.counted}'
    return ratio, words


def verdicts(rows):
    """A line for each target whose two rows were measured."""
    for t in targets():
        if t.mine not in rows or t.other not in rows:
            continue
        ratio, words = verdict(t, rows)
        to = t.other[0] if t.other[1] == t.mine[1] else f'{t.other[0]} {t.other[1]}'
        yield (f'{t.mine[0]:13} {str(t.mine[1]):30} {t.what:4} {ratio:6.2f} of {to:8}'
               f' {t.bound} {t.limit:.2f} {words}')


def slowdowns(rows):
    """Shapes where more depth or connections cost more than a tenth of the IOPS."""
    lines = {}
    for (client, shape), row in rows.items():
        lines.setdefault((client, shape._replace(conns=0)), []).append(
            (shape.conns, row['iops'], shape))
        lines.setdefault((client, shape._replace(depth=0)), []).append(
            (shape.depth, row['iops'], shape))
    for (client, _), points in lines.items():
        points.sort()
        for (_, before, _), (_, iops, shape) in zip(points, points[1:]):
            if iops < 0.9 * before:
                yield (f'{client} {shape}: {iops / before:.2f} of the IOPS with '
                       f'less depth or connections; {MORE}')
