#!/usr/bin/env python3
# vm.py - the tests of this directory in a FreeBSD virtual machine; prints TAP.
# SPDX-License-Identifier: BSD-2-Clause
"""
FREEBSD_VM	a bootable raw image.  Its serial console gives a root shell, or a login
		that lets root in without a password, as the project's own virtual
		machine images do.  It is not written to.
FREEBSD_QEMU	the QEMU command that boots it, without what is given below; what is
		there by default is an amd64 machine
FREEBSD_OBJ	a directory with geom_nbd.ko and geom_nbd.so built for that image;
		not needed where they are installed in it

The servers are nbdkits on this machine's loopback; QEMU's user network reaches them as
10.0.2.2.  What the machine needs is the second disk: a tar file.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
QEMU = 'qemu-system-x86_64 -accel tcg,thread=multi -cpu max'
SECONDS = 3600
BOOT_SECONDS = 300
END = 'nbdisk tests end'
GUEST = '/tmp/nbdisk-tests'


def bail(why):
    print(f'Bail out! {why}', flush=True)
    sys.exit(1)


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        bail(f'{command[0]}: {done.stdout.decode(errors="replace")}')


def make_certificate(directory, name, subject, *extensions):
    """NAME-cert.pem and NAME-key.pem, of the CA."""
    def path(file):
        return os.path.join(directory, file)
    run('openssl', 'req', '-newkey', 'rsa:2048', '-nodes', '-subj', f'/CN={subject}',
        '-keyout', path(f'{name}-key.pem'), '-out', path(f'{name}.csr'))
    run('openssl', 'x509', '-req', '-in', path(f'{name}.csr'), '-days', '3650',
        '-CA', path('ca-cert.pem'), '-CAkey', path('ca-key.pem'), '-CAcreateserial',
        '-out', path(f'{name}-cert.pem'), *extensions)


def make_certificates(directory):
    """A CA, a server's certificate that names 10.0.2.2, as nbdkit wants them, and a
    client's."""
    san = os.path.join(directory, 'san')
    with open(san, 'w') as file:
        file.write('subjectAltName=IP:10.0.2.2\n')
    run('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '3650',
        '-subj', '/CN=nbdisk test CA', '-keyout', os.path.join(directory, 'ca-key.pem'),
        '-out', os.path.join(directory, 'ca-cert.pem'))
    make_certificate(directory, 'server', '10.0.2.2', '-extfile', san)
    make_certificate(directory, 'client', 'nbdisk test client')


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Server:
    """An nbdkit on a port of its own, on a file that outlives it; servers of one
    name have one file."""

    def __init__(self, directory, name, *options, mib=128):
        self.disk = disk = os.path.join(directory, name)
        with open(disk, 'ab') as file:
            file.truncate(mib << 20)
        self.port = free_port()
        self.command = ['nbdkit', '-f', '--exit-with-parent', '-i', '127.0.0.1', '-p',
                        str(self.port), *options, 'file', disk]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)

    def grow(self):
        os.truncate(self.disk, os.path.getsize(self.disk) + (64 << 20))

    def stop(self):
        self.process.kill()
        self.process.wait()


def serve_control(listener, server):
    """For the tests in the machine: a line for each connection.  freeze makes the
    server silent, until thaw."""
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile('rw') as lines:
            order = lines.readline().strip()
            if order == 'stop':
                server.stop()
            elif order == 'start' and server.process.poll() is not None:
                server.start()
            elif order == 'grow':
                server.grow()
            elif order in ('freeze', 'thaw'):
                server.process.send_signal(
                    signal.SIGSTOP if order == 'freeze' else signal.SIGCONT)
            lines.write('done\n')


def start_control(server):
    listener = socket.create_server(('127.0.0.1', 0))
    threading.Thread(target=serve_control, args=(listener, server),
                     daemon=True).start()
    return listener.getsockname()[1]


def make_disk(path, certificates):
    """The tests, certificates, and the module if there is one, for the second disk."""
    files = [os.path.join(HERE, name) for name in sorted(os.listdir(HERE))
             if name.endswith('.sh')]
    files += [os.path.join(HERE, '../etc', n) for n in ('gnbd', 'gnbd-devd.conf')]
    files += [os.path.join(certificates, name) for name in
              ('ca-cert.pem', 'client-cert.pem', 'client-key.pem')]
    built = os.environ.get('FREEBSD_OBJ')
    if built:
        files += [os.path.join(built, n) for n in ('geom_nbd.ko', 'geom_nbd.so')]
    with tarfile.open(path, 'w', format=tarfile.USTAR_FORMAT) as tar:
        for file in files:
            tar.add(file, os.path.basename(file))


class Console:
    """The serial console: what to wait for, and lines of it."""

    def __init__(self, qemu):
        self.qemu = qemu
        self.text = ''
        self.log = open(os.environ.get('FREEBSD_VM_LOG', os.devnull), 'w')
        os.set_blocking(qemu.stdout.fileno(), False)

    def read(self):
        data = self.qemu.stdout.read()
        if data is None:
            time.sleep(0.05)
            return
        if not data:
            bail('the machine has stopped:\n# ' + self.last_lines())
        text = data.decode(errors='replace').replace('\r', '')
        self.log.write(text)
        self.log.flush()
        self.text += text
        if re.search(r'^(panic: |db> )', self.text, re.M):
            bail('the kernel panicked:\n# ' + self.last_lines())

    def last_lines(self):
        return '\n# '.join(self.text.splitlines()[-60:])

    def wait(self, pattern, seconds):
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text, re.M)
            if found:
                self.text = self.text[found.end():]
                return found.group(0)
            if time.monotonic() > end:
                bail(f'no "{pattern}" on the console:\n# ' + self.last_lines())
            self.read()

    def type(self, line):
        self.qemu.stdin.write(line.encode() + b'\n')
        self.qemu.stdin.flush()

    def shell(self):
        if 'login' in self.wait(r'login: $|^\S*# $', BOOT_SECONDS):
            self.type('root')
            self.wait(r'# $', 60)

    def lines_until(self, last, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            line, newline, rest = self.text.partition('\n')
            if not newline:
                self.read()
                continue
            self.text = rest
            if line.strip() == last:
                return
            yield line
        bail(f'not done after {seconds} s:\n# ' + self.last_lines())


def start_machine(image, disk):
    drive = 'if=virtio,format=raw'
    qemu = subprocess.Popen(
        [*shlex.split(os.environ.get('FREEBSD_QEMU', QEMU)),
         '-m', '1024', '-smp', '2', '-display', 'none', '-monitor', 'none',
         '-serial', 'stdio', '-no-reboot',
         '-drive', f'file={image},snapshot=on,{drive}',
         '-drive', f'file={disk},readonly=on,{drive}',
         '-nic', 'user,model=virtio-net-pci'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return Console(qemu)


def run_tests(console, variables):
    """TAP on standard output.  True: all passed, and there was a plan."""
    planned, failed = False, False
    # Without a clock it takes the time from the image, which may be older than the
    # certificates.
    console.type(time.strftime('date -u %Y%m%d%H%M.%S', time.gmtime()))
    # echo ends the line of the prompt, which is not TAP's.
    console.type(f'echo; mkdir {GUEST} && tar -xf /dev/vtbd1 -C {GUEST} && '
                 f'sh {GUEST}/run.sh {" ".join(variables)}; '
                 f'echo; echo "nbdisk tests" end')
    for line in console.lines_until(END, SECONDS):
        if re.match(r'(not )?ok \d|1\.\.\d|#|Bail out!', line):
            print(line, flush=True)
        planned |= line.startswith('1..')
        failed |= line.startswith(('not ok', 'Bail out!'))
    return planned and not failed


def start_servers(directory, started):
    """The variables of gnbd_subr.sh that name them."""
    tls = ('--tls=require', f'--tls-certificates={directory}')
    servers = {
        'server': Server(directory, 'plain'),
        'other_server': Server(directory, 'plain'),
        'small_server': Server(directory, 'small', mib=64),
        'tls_server': Server(directory, 'tls', *tls),
        'tls_verify_server': Server(directory, 'verify', *tls, '--tls-verify-peer'),
    }
    started += [server.stop for server in servers.values()]
    ports = {name: server.port for name, server in servers.items()}
    ports['control'] = start_control(servers['server'])
    ports['other_control'] = start_control(servers['other_server'])
    ports['tls_control'] = start_control(servers['tls_server'])
    return [f'{name}=10.0.2.2:{port}' for name, port in ports.items()] + [
        f'tls_ca={GUEST}/ca-cert.pem', f'tls_cert={GUEST}/client-cert.pem',
        f'tls_key={GUEST}/client-key.pem']


def main():
    image = os.environ.get('FREEBSD_VM')
    if not image:
        print('1..0 # SKIP FREEBSD_VM does not name an image; see docs/freebsd.md')
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    started = []
    with tempfile.TemporaryDirectory(prefix='nbdisk-vm.') as directory:
        try:
            make_certificates(directory)
            disk = os.path.join(directory, 'disk.tar')
            make_disk(disk, directory)
            variables = start_servers(directory, started)
            console = start_machine(image, disk)
            started.append(console.qemu.kill)
            console.shell()
            return 0 if run_tests(console, variables) else 1
        finally:
            for stop in started:
                stop()


if __name__ == '__main__':
    sys.exit(main())
