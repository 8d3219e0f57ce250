#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Types what README, the pages and the manual show, and compares what comes.  TAP.

usage: pages_test.py NBDISK SOURCE-ROOT

Run is what has "<!-- run -->" before it, and the EXAMPLES of nbdisk(8), but for what takes a
system: tests/vm/package_test.sh has that.  The words are not changed.  So it is done where
nbdserver, gate1 and gate2 are names of servers: in name spaces of its own for mounts and
network, with a /etc, a /tmp and a /dev/nbdisk that go with it.  A shown line of output must
come, but for numbers and blanks; "..." stands for any lines.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import time

RUN = re.compile(r'^<!-- run -->\n```\n(.*?)^```$', re.M | re.S)
PROMPT = re.compile(r'^(?:[$#]) ')
# There is none here.
NEEDS_SYSTEM = re.compile(r'^systemctl ')
HOSTS = {'localhost': '127.0.0.1', 'nbdserver': '127.0.0.1', 'gate1': '127.0.0.2',
         'gate2': '127.0.0.3'}
HERE = '/tmp/pages'


def skip(why):
    print('1..0 # SKIP', why)
    sys.exit(0)


# ---- the pages -----------------------------------------------------------------------

def session(lines):
    """[(command, [line of output])]; without a prompt anywhere all are commands."""
    steps = []
    prompted = any(PROMPT.match(line) for line in lines)
    for line in filter(None, lines):
        if not prompted or PROMPT.match(line):
            steps.append((PROMPT.sub('', line) if prompted else line, []))
        else:
            steps[-1][1].append(line)
    return steps


def sessions(root):
    """(title, steps)"""
    names = ['README.md'] + ['docs/' + name for name in
                             sorted(os.listdir(os.path.join(root, 'docs')))
                             if name.endswith('.md')]
    for name in names:
        with open(os.path.join(root, name), encoding='utf-8') as f:
            for number, block in enumerate(RUN.findall(f.read()), 1):
                yield f'{name}, {number}', session(block.split('\n'))
    with open(os.path.join(root, 'linux/man/nbdisk.8'), encoding='utf-8') as f:
        examples = re.search(r'^\.Sh EXAMPLES$(.*?)^\.Sh ', f.read(), re.M | re.S).group(1)
    lines = re.findall(r'^\.Dl (.*)$', examples, re.M)
    yield 'nbdisk.8', [step for step in session(lines) if not NEEDS_SYSTEM.search(step[0])]


# ---- the world -----------------------------------------------------------------------

def sh(command):
    subprocess.run(['sh', '-ec', command], check=True, stdin=subprocess.DEVNULL,
                   capture_output=True)


def certificates():
    sh('''openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority \
        -keyout ca-key.pem -out ca-cert.pem
        for who in server client; do
            openssl req -newkey rsa:2048 -nodes -subj /CN=$who -keyout $who-key.pem -out csr
            echo subjectAltName=DNS:nbdserver >san
            openssl x509 -req -in csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial \
                -days 2 -extfile san -out $who-cert.pem
        done
        cp ca-cert.pem cacert.pem; cp ca-cert.pem ca.pem
        cp client-cert.pem cert.pem; cp client-key.pem key.pem''')


def serve(*arguments):
    log = open(HERE + '/server.log', 'ab')
    return subprocess.Popen(['timeout', '600', 'nbdkit', '-f', *arguments],
                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def listens(host, port):
    address = ''.join('%02X' % int(x) for x in reversed(HOSTS[host].split('.')))
    with open('/proc/net/tcp', encoding='ascii') as f:
        return f'{address}:{port:04X} ' in f.read()


def make_world(nbdisk):
    with open(nbdisk, 'rb') as f:
        program = f.read()
    # The machine's /etc stays as it is, and its devices, below ours.
    os.makedirs('/dev/nbdisk', exist_ok=True)
    sh(f'''ip link set lo up
        mount -t tmpfs tmpfs /dev/nbdisk; mount -t tmpfs tmpfs /tmp; mkdir {HERE}
        mkdir {HERE}/bin {HERE}/up {HERE}/work
        mount -t overlay -o lowerdir=/etc,upperdir={HERE}/up,workdir={HERE}/work overlay /etc
        mkdir -p /etc/nbdisk; printf '#!/bin/sh\n' >/etc/nbdisk/fence
        chmod +x /etc/nbdisk/fence''')
    with open('/etc/hosts', 'w', encoding='ascii') as f:
        f.writelines(f'{address} {name}\n' for name, address in HOSTS.items())
    with open(HERE + '/bin/nbdisk.real', 'wb') as f:
        f.write(program)
    # "top" ends by itself.
    with open(HERE + '/bin/nbdisk', 'w', encoding='ascii') as f:
        f.write('#!/bin/sh\ncase $1 in top) set -- "$@" --rounds 1 ;; esac\n'
                f'exec {HERE}/bin/nbdisk.real "$@"\n')
    os.chmod(HERE + '/bin/nbdisk', 0o755)
    os.chmod(HERE + '/bin/nbdisk.real', 0o755)
    os.environ.update(PATH=HERE + '/bin:' + os.environ['PATH'],
                      NBDISK_STATE_DIR=HERE + '/run', SSL_CERT_FILE=HERE + '/ca-cert.pem')
    os.chdir(HERE)
    certificates()
    sh('truncate -s 1G image')
    tls = ['--tls=on', '--tls-certificates=' + HERE]
    servers = [serve('-i', HOSTS['nbdserver'], '-p', '10809', *tls, 'memory', '4G'),
               serve('-i', HOSTS['nbdserver'], '-p', '1234', 'memory', '1G'),
               serve('-i', HOSTS['gate1'], '-p', '10809', 'file', HERE + '/image'),
               serve('-i', HOSTS['gate2'], '-p', '10809', 'file', HERE + '/image'),
               serve('-U', '/tmp/s', 'memory', '64M')]
    end = time.monotonic() + 60
    while not (listens('nbdserver', 10809) and listens('nbdserver', 1234) and
               listens('gate1', 10809) and listens('gate2', 10809) and
               os.path.exists('/tmp/s')):
        if time.monotonic() > end:
            with open(HERE + '/server.log', encoding='utf-8') as f:
                sys.exit('Bail out! no servers\n' + f.read())
        time.sleep(0.05)
    return servers


def detach_all():
    names = os.listdir(HERE + '/run') if os.path.isdir(HERE + '/run') else []
    for name in names:
        subprocess.run(['nbdisk', 'disconnect', '--force', name], timeout=120, check=False,
                       capture_output=True)


# ---- the test ------------------------------------------------------------------------

def same(shown, printed):
    """A number is any number, and a path of a user any device's."""
    def plain(line):
        return re.sub(r'\d+', '0', ' '.join(line.split()))
    if shown.startswith('/run/user/'):
        return printed.startswith('/dev/nbdisk/')
    return plain(shown) == plain(printed)


def play(steps):
    """What went wrong, as lines."""
    for command, shown in steps:
        done = subprocess.run(['sh', '-c', command], timeout=180, check=False, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, errors='replace')
        printed = done.stdout.split('\n')
        missing = [line for line in shown if line != '...' and
                   not any(same(line, other) for other in printed)]
        if done.returncode or missing:
            yield f'{command}: status {done.returncode}'
            yield from ('not printed: ' + line for line in missing)
            yield from ('printed: ' + line for line in printed if line)


def main(nbdisk, root):
    if os.geteuid() or not os.path.exists('/dev/fuse'):
        skip('needs root and FUSE')
    for tool in 'nbdkit', 'openssl', 'ip', 'unshare', 'mkfs.ext4':
        if not shutil.which(tool):
            skip(f'{tool} is not installed')
    if 'PAGES_INSIDE' not in os.environ:
        os.environ['PAGES_INSIDE'] = 'yes'
        os.execvp('unshare', ['unshare', '--mount', '--net', '--propagation', 'private',
                              sys.executable, *sys.argv])
    todo = list(sessions(root))
    servers = make_world(nbdisk)
    failed = 0
    plan = [(title, steps, False) for title, steps in todo]
    plan.append(('what fails', [('nbdisk status nowhere', [])], True))
    plan.append(('what is not printed', [('nbdisk version', ['Version: none'])], True))
    try:
        for number, (title, steps, wrong) in enumerate(plan, 1):
            complaints = list(play(steps))
            detach_all()
            for line in complaints if not wrong else ():
                print('#', line)
            good = bool(complaints) == wrong
            failed += not good
            what = 'is noticed' if wrong else f'does what it says ({len(steps)} commands)'
            print('%sok %d - %s %s' % ('' if good else 'not ', number, title, what), flush=True)
        print('1..%d' % len(plan))
    finally:
        detach_all()
        for server in servers:
            server.send_signal(signal.SIGTERM)
            server.wait()
    return failed != 0


sys.exit(main(os.path.realpath(sys.argv[1]), os.path.realpath(sys.argv[2])))
