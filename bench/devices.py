"""devices - one run of fio on a loop device over what a client attached.

SPDX-License-Identifier: BSD-2-Clause

The CPU is that of the client's daemon, with all its threads; what the kernel does for
others (the loop device's worker, fio) is not in it.
"""
import contextlib
import fcntl
import os
import subprocess
import tempfile
import time

from clients import fio_figure, fio_words, run

SWITCH = '/sys/module/fuse/parameters/enable_uring'
TICK = os.sysconf('SC_CLK_TCK')


def cpu_seconds(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as f:
        fields = f.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def wait_until(what, check):
    end = time.monotonic() + 10
    while not check():
        if time.monotonic() > end:
            raise RuntimeError(f'{what} did not happen')
        time.sleep(0.02)


@contextlib.contextmanager
def fuse_over_uring(on):
    """While a daemon starts: later it does not ask."""
    with open(SWITCH, 'r+', encoding='ascii') as switch:
        fcntl.flock(switch, fcntl.LOCK_EX)
        before = switch.read()
        try:
            switch.write('Y' if on else 'N')
            switch.flush()
            yield
        finally:
            switch.write(before)
            switch.flush()


@contextlib.contextmanager
def nbdisk(bench, shape, uring):
    """The path of the device, and the daemon's pid."""
    program = os.path.join(bench.build, 'linux', 'nbdisk')
    name = f'bench{os.getpid()}'
    with fuse_over_uring(uring):
        out, _ = run([program, 'connect', '-c', str(shape.conns), '--device', name,
                      bench.servers.uri(shape)])
    try:
        with open(f'/run/nbdisk/{name}/lock', encoding='ascii') as f:
            pid = int(f.read())
        yield out.strip(), pid
    finally:
        run([program, 'disconnect', name])


@contextlib.contextmanager
def loop_over(path):
    device = run(['losetup', '--direct-io=on', '--find', '--show', path])[0].strip()
    try:
        with open(f'/sys/block/{os.path.basename(device)}/loop/dio',
                  encoding='ascii') as f:
            if f.read().strip() != '1':
                raise RuntimeError(f'{device} is not direct')
        yield device
    finally:
        run(['losetup', '--detach', device])
        wait_until('detach', lambda: not os.path.exists(
            f'/sys/block/{os.path.basename(device)}/loop'))


@contextlib.contextmanager
def serving(command, path):
    """A daemon of a peer that shows its disk as the file."""
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as p:
        try:
            wait_until(command[0], lambda: os.path.exists(path) and
                       os.path.getsize(path) > 0)
            with loop_over(path) as device:
                yield device, p.pid
        finally:
            p.terminate()
            p.wait(10)


@contextlib.contextmanager
def device_bound(bench, shape):
    with tempfile.NamedTemporaryFile() as point:
        with serving([os.path.join(bench.build, 'bench', 'device_bound'),
                      bench.servers.path(shape.server), point.name, str(shape.depth)],
                     point.name) as found:
            yield found


@contextlib.contextmanager
def nbdfuse(bench, shape):
    with tempfile.TemporaryDirectory() as mount:
        path = os.path.join(mount, 'disk')
        with serving(['nbdfuse', '-C', str(shape.conns), path,
                      bench.servers.uri(shape)], path) as found:
            yield found


@contextlib.contextmanager
def qemu_storage_daemon(bench, shape):
    with tempfile.NamedTemporaryFile() as point:
        with serving(['qemu-storage-daemon', '--blockdev',
                      'driver=nbd,node-name=n,server.type=unix,'
                      f'server.path={bench.servers.path(shape.server)}', '--export',
                      f'fuse,id=e,node-name=n,mountpoint={point.name},writable=on'],
                     point.name) as found:
            yield found


ATTACH = {
    'device-bound': device_bound,
    'nbdisk-uring': lambda b, s: nbdisk(b, s, True),
    'nbdisk-fuse': lambda b, s: nbdisk(b, s, False),
    'nbdfuse': nbdfuse,
    'qemu-sd': qemu_storage_daemon,
}
NEEDS = {'nbdfuse': 'nbdfuse', 'qemu-sd': 'qemu-storage-daemon'}


def run_device(client, bench, shape):
    with ATTACH[client](bench, shape) as (device, pid):
        before = cpu_seconds(pid)
        out, _ = run([*fio_words(bench, shape), '--ioengine=io_uring', '--direct=1',
                      f'--filename={device}'])
        used = cpu_seconds(pid) - before
        return fio_figure(out, shape.op, lambda job, ios: used / ios * 1e6)
