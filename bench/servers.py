"""servers - what the clients of the bench talk to, all on this machine.

SPDX-License-Identifier: BSD-2-Clause
"""
import os
import socket
import subprocess
import time

EXPORT_MIB = 1024


def make_certificates(directory):
    """A CA, and a certificate of localhost and 127.0.0.1 that it signed."""
    def openssl(*words):
        subprocess.run(['openssl', *words], cwd=directory, check=True,
                       capture_output=True)

    new = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    with open(os.path.join(directory, 'names'), 'w', encoding='ascii') as f:
        f.write('subjectAltName=DNS:localhost,IP:127.0.0.1\n')
    openssl('req', '-x509', *new, '-keyout', 'ca-key.pem', '-out', 'ca-cert.pem',
            '-subj', '/CN=bench CA', '-days', '30')
    openssl('req', *new, '-keyout', 'server-key.pem', '-out', 'server.csr',
            '-subj', '/CN=localhost')
    openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca-cert.pem',
            '-CAkey', 'ca-key.pem', '-CAcreateserial', '-days', '30',
            '-extfile', 'names', '-out', 'server-cert.pem')
    # where libnbd looks, if HOME is this directory
    home = os.path.join(directory, '.pki', 'libnbd')
    os.makedirs(home)
    os.link(os.path.join(directory, 'ca-cert.pem'), os.path.join(home, 'ca-cert.pem'))


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Servers:
    """The null server on a UNIX socket and on a port; on sockets of their own one that
    takes a millisecond for each command, and one for every other; nbdkit."""

    def __init__(self, build, directory):
        self.directory = directory
        os.chmod(directory, 0o755)      # libnbd with TLS runs as nobody
        make_certificates(directory)
        self.port = free_port()
        null = [os.path.join(build, 'bench', 'null_server')]
        more = [str(EXPORT_MIB), directory]
        self.processes = [
            subprocess.Popen([*null, 'unix', self.path('null'), *more]),
            subprocess.Popen([*null, 'tcp', str(self.port), *more]),
            subprocess.Popen([*null, 'unix', self.path('serial'), *more, '1000', '1']),
            subprocess.Popen([*null, 'unix', self.path('mixed'), *more, '1000', '2']),
            subprocess.Popen(['nbdkit', '-f', '-U', self.path('nbdkit'), 'memory',
                              f'{EXPORT_MIB}M'])]
        self._wait()

    def path(self, name):
        return os.path.join(self.directory, name)

    def _wait(self):
        end = time.monotonic() + 10
        for name in ('null', 'serial', 'mixed', 'nbdkit'):
            while not os.path.exists(self.path(name)):
                if time.monotonic() > end:
                    raise RuntimeError(f'no {name} server')
                time.sleep(0.05)
        while True:
            try:
                socket.create_connection(('127.0.0.1', self.port)).close()
                return
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def uri(self, shape):
        if shape.transport == 'tls':
            return f'nbds://127.0.0.1:{self.port}/'
        if shape.transport == 'tcp':
            return f'nbd://127.0.0.1:{self.port}/'
        return f'nbd+unix:///?socket={self.path(shape.server)}'

    def end(self):
        for p in self.processes:
            p.kill()
            p.wait()
