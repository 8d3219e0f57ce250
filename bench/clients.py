"""clients - one run of a client without an attachment; nbdisk's peers, and the bound.

SPDX-License-Identifier: BSD-2-Clause

Each returns a Figure: the CPU seconds that the client used for a million I/Os, how
many it made in a second, and, where it tells, how long they took.
"""
import json
import os
import re
import subprocess
from typing import NamedTuple, Optional

from servers import EXPORT_MIB

NOBODY = 65534


class Figure(NamedTuple):
    cpu: float                  # s per million I/Os
    iops: float
    p50: Optional[float] = None     # us
    p99: Optional[float] = None
    p999: Optional[float] = None


class Bench(NamedTuple):
    """What a run needs besides its shape."""
    build: str
    servers: object
    seconds: float


def run(command, **more):
    """What it prints, and the resources that it used."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, **more) as p:
        out, err = p.stdout.read(), p.stderr.read()
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = status
    if status != 0:
        raise RuntimeError(f'{command[0]}: {err.strip() or out.strip()}')
    return out, usage


def ours(command):
    """The line of bench/figures.c."""
    f = json.loads(run(command)[0])
    return Figure(f['cpu'], f['iops'], f['p50'], f['p99'], f['p999'])


def run_bound(bench, shape):
    servers = bench.servers
    where = (['unix', servers.path('null')] if shape.transport == 'unix' else
             ['tcp', str(servers.port)])
    tls = [servers.directory] if shape.transport == 'tls' else []
    return ours([os.path.join(bench.build, 'bench', 'bound'), *where,
                 str(shape.conns), str(shape.depth), str(shape.size),
                 str(bench.seconds), shape.op, *tls])


def run_nbdisk(bench, shape):
    uri = bench.servers.uri(shape)
    if shape.transport == 'tls':
        uri += f'?tls-certificates={bench.servers.directory}'
    return ours([os.path.join(bench.build, 'bench', 'load'), uri, str(shape.conns),
                 str(shape.depth), str(shape.size), str(bench.seconds), shape.op])


def fio_figure(out, op, cpu_of):
    """cpu_of: a function from fio's job and the number of I/Os."""
    job = json.loads(out[out.index('{'):])['jobs'][0]
    side = job['read' if op == 'r' else 'write']
    took = side['clat_ns'].get('percentile', {})
    at = [took[p] / 1000 if p in took else None
          for p in ('50.000000', '99.000000', '99.900000')]
    return Figure(cpu_of(job, side['total_ios']), side['iops'], *at)


def fio_words(bench, shape):
    random = 'rand' if shape.size <= 65536 else ''
    return ['fio', '--name=x', f'--bs={shape.size}', f'--iodepth={shape.depth}',
            f'--rw={random}{"read" if shape.op == "r" else "write"}', '--time_based',
            f'--runtime={bench.seconds}', f'--size={EXPORT_MIB // 2}M',
            '--group_reporting', '--output-format=json', '--thread',
            '--randrepeat=0', '--norandommap', '--random_generator=lfsr']


def run_libnbd(bench, shape):
    """fio's nbd engine, one connection per job.  It reads no file for a URI; so for
    TLS it runs as somebody, not root, who has the CA in the home directory."""
    def cpu(job, ios):
        return ((job['usr_cpu'] + job['sys_cpu']) / 100 * job['job_runtime'] / 1000 /
                ios * 1e6)

    more = {}
    if shape.transport == 'tls':
        more = {'cwd': '/tmp', 'env': {**os.environ, 'HOME': bench.servers.directory}}
    if shape.transport == 'tls' and os.geteuid() == 0:
        more |= {'user': NOBODY, 'group': NOBODY, 'extra_groups': []}
    out, _ = run([*fio_words(bench, shape), '--ioengine=nbd',
                  f'--uri={bench.servers.uri(shape)}', f'--numjobs={shape.conns}'],
                 **more)
    return fio_figure(out, shape.op, cpu)


def run_nbdcopy(bench, shape):
    """The whole export, once."""
    uri = bench.servers.uri(shape)
    if shape.transport == 'tls':
        uri += f'?tls-certificates={bench.servers.directory}'
    before = os.times().elapsed
    _, usage = run(['nbdcopy', f'--connections={shape.conns}',
                    f'--threads={shape.conns}', f'--requests={shape.depth}',
                    f'--request-size={shape.size}', '--no-extents', uri, 'null:'])
    seconds = os.times().elapsed - before
    count = EXPORT_MIB * 1048576 // shape.size
    return Figure((usage.ru_utime + usage.ru_stime) / count * 1e6, count / seconds)


def qemu_bench(bench, shape, count):
    """CPU and wall seconds of so many requests."""
    out, usage = run(
        ['qemu-img', 'bench', '-f', 'raw', '-c', str(count), '-d', str(shape.depth),
         '-s', str(shape.size), *(['-w'] if shape.op == 'w' else []),
         bench.servers.uri(shape)])
    found = re.search(r'completed in ([\d.]+) sec', out)
    return usage.ru_utime + usage.ru_stime, float(found[1])


def run_qemu(bench, shape):
    """It takes a count, so a short run tells how many fill the time."""
    _, wall = qemu_bench(bench, shape, 4000)
    count = max(4000, int(4000 / wall * bench.seconds))
    cpu, wall = qemu_bench(bench, shape, count)
    return Figure(cpu / count * 1e6, count / wall)


CLIENTS = {'bound': run_bound, 'nbdisk': run_nbdisk, 'libnbd': run_libnbd,
           'nbdcopy': run_nbdcopy, 'qemu-img': run_qemu}
NEEDS = {'libnbd': 'fio', 'nbdcopy': 'nbdcopy', 'qemu-img': 'qemu-img'}
