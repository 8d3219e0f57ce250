#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""An NBD server that lies.

usage: liar.py --list
       liar.py SOCKET LIE [CERTIFICATES]

A lie is an honest server (class Session) with one part replaced.  Lies of the
handshake and of TLS are told on every connection, until SIGUSR1 makes the server
honest.  Lies of transmission are told on the first connection, those of a second
connection ("again-") on the one after it; later connections find an honest disk,
with all that was written before.  CERTIFICATES is a directory with NAME.pem, key
and certificate, for each name that a lie asks for.
"""
import os
import signal
import socket
import ssl
import struct
import sys
import threading
import time

SIZE = 1 << 20
PATIENCE = 20                   # seconds that a lie waits for the client to leave
LIFE = 120                      # seconds that a server lives at most
TRUTHS = 5                      # honest answers before a lie of transmission
LATE = 0.7                      # seconds
FLOOD = 1 << 20                 # replies of a server that does not end

OLDSTYLE = 0x0000420281861253
OPTION_REPLY = 0x0003E889045565A9
SIMPLE, STRUCTURED, EXTENDED = 0x67446698, 0x668E33EF, 0x6E8A278C

EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO = 1, 2, 3, 5, 6, 7
STRUCTURED_REPLY, META_CONTEXT, EXTENDED_HEADERS = 8, 10, 11
ACK, SERVER, REP_INFO, REP_META = 1, 2, 3, 4
ERROR = 0x80000000
UNSUP, POLICY, INVALID, PLATFORM, TLS_REQD = (ERROR + n for n in range(1, 6))
UNKNOWN, SHUTDOWN, BLOCK_SIZE_REQD, TOO_BIG = (ERROR + n for n in range(6, 10))
EXT_HEADER_REQD = ERROR + 10
I_EXPORT, I_NAME, I_DESCRIPTION, I_BLOCK_SIZE = 0, 1, 2, 3

READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, STATUS = range(8)
HAS_FLAGS, READ_ONLY, F_FLUSH, F_FUA, F_TRIM, F_ZEROES, F_MULTI = (
    1, 2, 4, 8, 32, 64, 256)
FLAGS = HAS_FLAGS | F_FLUSH | F_FUA | F_TRIM | F_ZEROES | F_MULTI
DONE = 1
NONE, DATA, HOLE, STATUS_32, STATUS_64 = 0, 1, 2, 5, 6
ERR, ERR_OFFSET = 0x8001, 0x8002
EIO, ESHUTDOWN = 5, 108

disk = bytearray(SIZE)
honest = threading.Event()


class Gone(Exception):
    """The client left, or the lie is told."""


class Command:
    def __init__(self, fields):
        self.flags, self.type, self.cookie, self.offset, self.length = fields


def info(kind, data):
    return REP_INFO, struct.pack('>H', kind) + data


def info_export(size=SIZE, flags=FLAGS):
    return info(I_EXPORT, struct.pack('>QH', size, flags))


def info_block_size(least=1, preferred=4096, most=1 << 25):
    return info(I_BLOCK_SIZE, struct.pack('>III', least, preferred, most))


class Session:
    """One connection to an honest server; a lie replaces its parts."""

    def __init__(self, sock, number, certificates):
        self.sock, self.number, self.certificates = sock, number, certificates
        self.greeting = b'NBDMAGICIHAVEOPT' + struct.pack('>H', 3)
        self.infos = [info_export(), info_block_size()]
        self.replies = {}       # option -> replies, instead of the honest ones
        self.raw = {}           # option -> function(session) that answers it
        self.structured, self.extended = True, False
        self.framing, self.context = SIMPLE, 7
        self.certificate = None
        self.bent = {}          # command type -> function(session, command)
        self.on_transmission = None
        self.life = None        # commands to answer before closing
        self.count = 0
        self.last = None        # the latest answered command

    # ---- bytes ----

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (OSError, ValueError) as broken:
            raise Gone from broken

    def recv(self, length):
        data = b''
        while len(data) < length:
            try:
                got = self.sock.recv(min(length - len(data), 1 << 16))
            except (OSError, ValueError) as broken:
                raise Gone from broken
            if not got:
                raise Gone
            data += got
        return data

    def wait(self):
        """Listen until the client leaves."""
        self.sock.settimeout(PATIENCE)
        while self.recv(1):
            pass

    def drip(self, data):
        for i in range(len(data)):
            self.send(data[i:i + 1])
            time.sleep(0.05)

    def reset(self):
        """TCP sends RST, a UNIX socket drops what was not read."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack('ii', 1, 0))
        raise Gone

    # ---- handshake ----

    def option_reply(self, option, kind, data=b'', length=None):
        self.send(struct.pack('>QIII', OPTION_REPLY, option, kind,
                              len(data) if length is None else length) + data)

    def honest_replies(self, option, data):
        if option in (INFO, GO):
            return self.infos + [(ACK, b'')]
        if option == LIST:
            return [(SERVER, struct.pack('>I', 0)), (ACK, b'')]
        if option == STRUCTURED_REPLY and self.structured:
            self.framing = STRUCTURED
            return [(ACK, b'')]
        if option == EXTENDED_HEADERS and self.extended:
            self.framing = EXTENDED
            return [(ACK, b'')]
        if option == META_CONTEXT and self.context is not None:
            return [(REP_META, struct.pack('>I', self.context) + b'base:allocation'),
                    (ACK, b'')]
        if option == STARTTLS and self.certificate is not None:
            return [(ACK, b'')]
        return [(UNSUP, b'')]

    def start_tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(self.certificates, self.certificate))
        try:
            self.sock = context.wrap_socket(self.sock, server_side=True)
        except (OSError, ValueError) as broken:
            raise Gone from broken

    def answer_option(self, option, data):
        if option == ABORT:
            raise Gone
        if option in self.raw:
            self.raw[option](self)
            return
        told = self.replies.get(option)
        for kind, body in told or self.honest_replies(option, data):
            self.option_reply(option, kind, body)
        if option == STARTTLS and told is None and self.certificate is not None:
            self.start_tls()

    def negotiate(self):
        self.send(self.greeting)
        self.recv(4)
        option = None
        while option != GO:
            _, option, length = struct.unpack('>QII', self.recv(16))
            self.answer_option(option, self.recv(length))

    # ---- transmission ----

    def command(self):
        if self.framing == EXTENDED:
            return Command(struct.unpack('>HHQQQ', self.recv(32)[4:]))
        return Command(struct.unpack('>HHQQI', self.recv(28)[4:]))

    def simple(self, cookie, error=0, data=b''):
        self.send(struct.pack('>IIQ', SIMPLE, error, cookie) + data)

    def chunk(self, cmd, kind, data=b'', flags=DONE, **other):
        """A structured or extended chunk; other may change cookie and length."""
        cookie = other.get('cookie', cmd.cookie)
        length = other.get('length', len(data))
        if self.framing == EXTENDED:
            head = struct.pack('>IHHQQQ', EXTENDED, flags, kind, cookie,
                               other.get('offset', cmd.offset), length)
        else:
            head = struct.pack('>IHHQI', STRUCTURED, flags, kind, cookie, length)
        self.send(head + data)

    def data(self, cmd, start, end, flags=DONE):
        """Bytes [start, end) of a read."""
        at = cmd.offset + start
        body = (bytes(disk[at:at + end - start]) + bytes(end - start))[:end - start]
        self.chunk(cmd, DATA, struct.pack('>Q', at % (1 << 64)) + body, flags)

    def answer_read(self, cmd):
        if self.framing == SIMPLE:
            self.simple(cmd.cookie, 0, bytes(disk[cmd.offset:cmd.offset + cmd.length]))
        else:
            self.data(cmd, 0, cmd.length)

    def answer_status(self, cmd):
        if self.framing == EXTENDED:
            body = struct.pack('>IIQQ', self.context, 1, cmd.length, 0)
            self.chunk(cmd, STATUS_64, body)
        else:
            body = struct.pack('>III', self.context, cmd.length, 0)
            self.chunk(cmd, STATUS_32, body)

    def answer(self, cmd):
        if cmd.type == READ:
            self.answer_read(cmd)
        elif cmd.type == STATUS:
            self.answer_status(cmd)
        elif self.framing == EXTENDED:
            self.chunk(cmd, NONE)
        else:
            self.simple(cmd.cookie)

    def serve(self, cmd):
        if cmd.type == DISC:
            raise Gone
        payload = self.recv(cmd.length) if cmd.type == WRITE else bytes(cmd.length)
        if cmd.type in (WRITE, ZEROES):
            disk[cmd.offset:cmd.offset + cmd.length] = payload
            overtaken(cmd, payload)
        self.count += 1
        if cmd.type in self.bent and self.count > TRUTHS:
            self.bent[cmd.type](self, cmd)
            self.wait()
        self.answer(cmd)
        self.last = cmd

    def run(self):
        self.negotiate()
        if self.on_transmission is not None:
            self.on_transmission(self)
        while self.life is None or self.count < self.life:
            self.serve(self.command())


# ---- kinds of lies -----------------------------------------------------------

LIES = {}       # name -> function(session)


def always(name, function):
    """Of the handshake: on every connection."""
    LIES[name] = function


def first(name, function):
    """Of transmission: on the first connection."""
    def tell(s):
        if s.number == 0:
            function(s)
    LIES[name] = tell


def again(name, function, before=lambda s: None):
    """On the second connection; before says what the first one was like."""
    def tell(s):
        before(s)
        if s.number == 0:
            s.life = 4 * TRUTHS
        elif s.number == 1:
            function(s)
    LIES['again-' + name] = tell


def bend(name, command, function, **attributes):
    """The answer to one command; what was negotiated stays, or it were another lie."""
    def tell(s):
        for key, value in attributes.items():
            setattr(s, key, value)
        if s.number == 0:
            s.bent[command] = function
    LIES[name] = tell


def setting(**attributes):
    def tell(s):
        for key, value in attributes.items():
            setattr(s, key, value)
    return tell


def says(option, *replies):
    def tell(s):
        s.replies[option] = list(replies)
    return tell


def does(option, function):
    def tell(s):
        s.raw[option] = function
    return tell


def asked(*replies):
    """To INFO and to GO alike."""
    def tell(s):
        s.replies[INFO] = s.replies[GO] = list(replies)
    return tell


def asked_raw(make):
    """make(option) is what is sent, as it is."""
    def tell(s):
        s.raw[INFO] = lambda s: s.send(make(INFO))
        s.raw[GO] = lambda s: s.send(make(GO))
    return tell


def reply_head(option, kind, length, magic=OPTION_REPLY):
    return struct.pack('>QIII', magic, option, kind, length)


def silent(s):
    s.wait()


# ---- the greeting ------------------------------------------------------------

def cut_greeting(s):
    s.send(s.greeting[:s.number % len(s.greeting)])
    raise Gone


def cut_reply(s):
    """At each byte of the first reply: head, then the information."""
    whole = reply_head(INFO, REP_INFO, 12) + info_export()[1]
    s.send(whole[:s.number % len(whole)])
    raise Gone


def greet_and(function):
    def tell(s):
        s.negotiate = lambda: function(s)
    return tell


def drip_greeting(s):
    s.drip(s.greeting[:-1])
    s.wait()


def greet_and_be_silent(s):
    s.send(s.greeting)
    s.wait()


always('greeting-cut', greet_and(cut_greeting))
always('greeting-none', greet_and(silent))
always('greeting-slow', greet_and(drip_greeting))
always('greeting-and-silence', greet_and(greet_and_be_silent))
always('greeting-magic', setting(greeting=b'NBDMAGIKIHAVEOPT\0\3'))
always('greeting-style', setting(greeting=b'NBDMAGICIHAVEOPP\0\3'))
always('greeting-http', setting(greeting=b'HTTP/1.1 400 Bad Request\r\n\r\n'))
always('greeting-old-and-short', greet_and(lambda s: s.send(
    b'NBDMAGIC' + struct.pack('>QQI', OLDSTYLE, SIZE, FLAGS))))
always('greeting-old-and-empty', setting(
    greeting=b'NBDMAGIC' + struct.pack('>QQI', OLDSTYLE, 0, FLAGS) + bytes(124)))
always('greeting-without-flags', setting(greeting=b'NBDMAGICIHAVEOPT\0\0'))

# ---- option replies ----------------------------------------------------------

always('option-cut', does(INFO, cut_reply))
always('option-silence', does(INFO, silent))
always('option-slow', does(INFO, lambda s: (s.drip(bytes(19)), s.wait())))
always('option-magic', asked_raw(lambda o: reply_head(o, ACK, 0, OPTION_REPLY + 1)))
always('option-of-another', asked_raw(lambda o: reply_head(o + 1, ACK, 0)))
always('option-type', asked((SERVER, bytes(4))))
always('option-type-unknown', asked((4711, b'')))
always('option-4-gib', asked_raw(lambda o: reply_head(o, REP_INFO, 0xFFFFFFFF)))
always('option-error-4-gib', asked_raw(lambda o: reply_head(o, POLICY, 0xFFFFFFFF)))
always('option-endless', asked(*[info_export()] * 1000))
always('option-endless-unknown', asked(*[info(4711, bytes(60000))] * 1000))
always('ack-with-data', asked(info_export(), (ACK, b'data')))
always('ack-without-export', asked(info_block_size(), (ACK, b'')))
always('info-empty', asked((REP_INFO, b'\0')))
always('info-export-short', asked((REP_INFO, info_export()[1][:-1]), (ACK, b'')))
always('info-export-long', asked((REP_INFO, info_export()[1] + b'\0'), (ACK, b'')))
always('info-blocks-short', asked((REP_INFO, info_block_size()[1][:-1]), (ACK, b'')))
always('info-sizes-differ', asked(info_export(), info_export(SIZE * 2), (ACK, b'')))
always('info-flags-differ', asked(info_export(), info_export(flags=1), (ACK, b'')))
always('info-blocks-differ', asked(info_export(), info_block_size(),
                                   info_block_size(512), (ACK, b'')))
for kind, name in ((UNKNOWN, 'unknown'), (POLICY, 'policy'), (INVALID, 'invalid'),
                   (PLATFORM, 'platform'), (TLS_REQD, 'tls'), (SHUTDOWN, 'shutdown'),
                   (BLOCK_SIZE_REQD, 'block-size'), (TOO_BIG, 'too-big'),
                   (EXT_HEADER_REQD, 'ext-headers'), (ERROR + 4711, 'nameless'),
                   (UNSUP, 'unsup')):
    always('refusal-' + name, asked((kind, b'')))
always('refusal-huge-text', asked((POLICY, b'no ' * 20000)))
always('refusal-over-64-kib', asked((POLICY, b'no ' * 30000)))
always('refusal-control-text', asked((POLICY, b'\x1b[2J\x07\nno\0secret')))
always('structured-ack-data', says(STRUCTURED_REPLY, (ACK, b'x')))
always('structured-ack-twice', says(STRUCTURED_REPLY, (ACK, b''), (ACK, b'')))
always('extended-info', says(EXTENDED_HEADERS, info_export()))
always('context-foreign', says(META_CONTEXT, (REP_META, b'\0\0\0\7qemu:all')))
always('context-short', says(META_CONTEXT, (REP_META, b'\0\0')))
always('context-two-ids', says(META_CONTEXT, (REP_META, b'\0\0\0\7base:allocation'),
                               (REP_META, b'\0\0\0\10base:allocation')))
always('context-endless', says(
    META_CONTEXT, *[(REP_META, b'\0\0\0\7base:allocation')] * 1000))
always('list-name-too-long', says(LIST, (SERVER, struct.pack('>I', 99) + b'a')))
always('list-without-length', says(LIST, (SERVER, b'\0\0')))
always('list-control', says(LIST, (SERVER, b'\0\0\0\4\x1b[2J'), (ACK, b'')))
always('list-nul', says(LIST, (SERVER, b'\0\0\0\3a\0b'), (ACK, b'')))


def list_without_end(s):
    """Many at once: who listens gives up when time is over, too."""
    one = struct.pack('>QIII', OPTION_REPLY, LIST, SERVER, 5) + b'\0\0\0\1a'
    for _ in range(FLOOD // 1024):
        s.send(one * 1024)


always('list-endless', does(LIST, list_without_end))

# ---- what is exported --------------------------------------------------------

def exports(name, *infos):
    always(name, setting(infos=list(infos)))


exports('size-0', info_export(0))
always('size-0-until-go', says(INFO, info_export(0), (ACK, b'')))
exports('size-below-block', info_export(4095), info_block_size(4096))
exports('size-2-63', info_export(1 << 63))
exports('size-2-64', info_export((1 << 64) - 1))
exports('block-0', info_export(), info_block_size(0))
exports('block-3', info_export(), info_block_size(3))
exports('block-128-kib', info_export(), info_block_size(131072, 131072))
exports('block-preferred-less', info_export(), info_block_size(4096, 512))
exports('block-preferred-odd', info_export(), info_block_size(1, 4097))
exports('block-payload-0', info_export(), info_block_size(1, 4096, 0))
exports('block-payload-less', info_export(), info_block_size(1, 4096, 4095))
exports('name-nul', info_export(), info(I_NAME, b'a\0b'))
exports('name-5000', info_export(), info(I_NAME, b'n' * 5000))
exports('name-control', info_export(), info(I_NAME, b'\x1b[2J\x07\x9b'))
exports('about-control', info_export(), info(I_DESCRIPTION, b'\x1b]0;x\x07\r'))
exports('about-nul', info_export(), info(I_DESCRIPTION, b'a\0b'))

# ---- TLS ---------------------------------------------------------------------

def injected(s):
    """What stands behind the ACK came in the clear and must not be believed."""
    s.send(reply_head(STARTTLS, ACK, 0) + reply_head(STRUCTURED_REPLY, ACK, 0) +
           reply_head(GO, ACK, 0))
    s.certificate = 'good.pem'
    s.start_tls()


def plain_after_tls(s):
    s.option_reply(STARTTLS, ACK)
    below = s.sock.dup()
    s.start_tls()
    below.sendall(reply_head(EXTENDED_HEADERS, UNSUP, 0))
    time.sleep(0.2)
    raise Gone


def cut_after_tls(s):
    s.option_reply(STARTTLS, ACK)
    s.start_tls()
    os.close(s.sock.detach())
    raise Gone


def ack_then(function):
    def tell(s):
        s.option_reply(STARTTLS, ACK)
        function(s)
    return does(STARTTLS, tell)


def hang_up(s):
    s.recv(5)
    raise Gone


def tls(name, function, certificate='good.pem'):
    def tell(s):
        s.certificate = certificate
        function(s)
    always('tls-' + name, tell)


def nothing(s):
    del s


def stripped(s):
    s.certificate = None


def with_tls(s):
    s.certificate = 'good.pem'


tls('stripped', says(STARTTLS, (UNSUP, b'')))
tls('refused', says(STARTTLS, (POLICY, b'')))
tls('ack-with-data', says(STARTTLS, (ACK, b'data')))
tls('no-options', setting(greeting=b'NBDMAGICIHAVEOPT\0\0'))
tls('oldstyle', setting(
    greeting=b'NBDMAGIC' + struct.pack('>QQI', OLDSTYLE, SIZE, FLAGS) + bytes(124)))
tls('injected', does(STARTTLS, injected))
tls('plain', ack_then(lambda s: s.send(reply_head(GO, ACK, 0))))
tls('cut', ack_then(hang_up))
tls('cut-at-once', ack_then(lambda s: s.reset()))
tls('silence', ack_then(silent))
tls('alert', ack_then(lambda s: s.send(b'\x15\3\3\0\2\2\x28')))
tls('record-too-long', ack_then(lambda s: s.send(b'\x16\3\3\xff\xff' + bytes(70000))))
tls('plain-inside', does(STARTTLS, plain_after_tls))
tls('cut-inside', does(STARTTLS, cut_after_tls))
tls('expired', nothing, 'expired.pem')
tls('other-name', nothing, 'other-name.pem')
tls('self-signed', nothing, 'self-signed.pem')
tls('other-authority', nothing, 'other-authority.pem')
tls('revoked', nothing, 'revoked.pem')
tls('revoked-authority', nothing, 'revoked-authority.pem')
again('tls-stripped', stripped, with_tls)
again('tls-expired', setting(certificate='expired.pem'), with_tls)
again('tls-other-name', setting(certificate='other-name.pem'), with_tls)
again('tls-revoked', setting(certificate='revoked.pem'), with_tls)

# ---- replies -----------------------------------------------------------------

def part(s, cmd, at, length, flags=DONE):
    """Data of any place and length."""
    s.chunk(cmd, DATA, struct.pack('>Q', at) + bytes(length), flags)


def hole(s, cmd, at, length, flags=DONE):
    s.chunk(cmd, HOLE, struct.pack('>QI', at, length), flags)


def error_chunk(value, text=b'', claimed=None, tail=b''):
    size = len(text) if claimed is None else claimed
    return struct.pack('>IH', value, size) + text + tail


def twice(function):
    def tell(s, cmd):
        function(s, cmd)
        function(s, cmd)
    return tell


def cut_payload(s, cmd):
    s.send(struct.pack('>IHHQIQ', STRUCTURED, DONE, DATA, cmd.cookie, cmd.length + 8,
                       cmd.offset) + bytes(100))


def cut_payload_and(function):
    def tell(s, cmd):
        cut_payload(s, cmd)
        function(s)
    return tell


def close(s):
    raise Gone


def cut_head(s, cmd):
    s.send(struct.pack('>IHHQ', STRUCTURED, DONE, DATA, cmd.cookie))
    raise Gone


def flood_errors(s, cmd):
    """Each is correct, and none is the last."""
    while True:
        s.chunk(cmd, ERR, error_chunk(EIO), 0)


def flood_finished(s, cmd):
    s.answer(cmd)
    for _ in range(FLOOD):
        s.chunk(cmd, NONE)


def drip_reply(s, cmd):
    s.drip(struct.pack('>IHHQI', STRUCTURED, DONE, DATA, cmd.cookie, cmd.length + 8))


def do_not_read(s, cmd):
    del s, cmd
    time.sleep(PATIENCE)
    raise Gone


def half_close(how):
    def tell(s, _):
        s.sock.shutdown(how)
        time.sleep(3)
    return tell


def crumbs(s, cmd):
    """Allowed, and more pieces than anybody wants to keep track of."""
    for start in (0, 64):
        for at in range(start, cmd.length, 128):
            s.data(cmd, at, at + 64, DONE if at + 64 == cmd.length else 0)


def foreign(s, cmd):
    s.chunk(cmd, STATUS_32, struct.pack('>III', s.context + 1, cmd.length, 0))


def status(s, cmd, *runs):
    body = b''.join(struct.pack('>II', length, 0) for length in runs)
    s.chunk(cmd, STATUS_32, struct.pack('>I', s.context) + body)


bend('magic', READ, lambda s, c: s.send(struct.pack('>IIQ', SIMPLE + 1, 0, c.cookie)))
bend('magic-of-request', READ, lambda s, c: s.send(b'\x25\x60\x95\x13' + bytes(24)))
bend('cookie-unknown', READ, lambda s, c: s.chunk(c, NONE, cookie=c.cookie ^ 1 << 40))
bend('cookie-of-ones', READ, lambda s, c: s.chunk(c, NONE, cookie=(1 << 64) - 1))
bend('cookie-finished', READ, lambda s, c: s.answer(s.last))
bend('cookie-twice', READ, twice(lambda s, c: s.answer(c)))
bend('cookie-twice-write', WRITE, twice(lambda s, c: s.answer(c)))
bend('chunk-after-done', READ, lambda s, c: (
    s.answer(c), s.chunk(c, ERR, error_chunk(EIO))))
bend('data-for-write', WRITE, lambda s, c: part(s, c, c.offset, c.length))
bend('hole-for-write', WRITE, lambda s, c: hole(s, c, c.offset, c.length))
bend('status-for-read', READ, lambda s, c: status(s, c, c.length))
bend('chunk-overlap', READ, lambda s, c: (
    part(s, c, c.offset, c.length // 2 + 1, 0),
    part(s, c, c.offset + c.length // 2, c.length // 2)))
bend('chunk-twice', READ, twice(lambda s, c: part(s, c, c.offset, c.length, 0)))
bend('chunk-overlaps-hole', READ, lambda s, c: (
    hole(s, c, c.offset, c.length, 0), part(s, c, c.offset + 8, 8)))
bend('chunk-before', READ, lambda s, c: part(s, c, c.offset - 1, 512))
bend('chunk-behind', READ, lambda s, c: part(s, c, c.offset + c.length, 512))
bend('chunk-over-the-end', READ, lambda s, c: part(
    s, c, c.offset + c.length - 1, 2))
bend('chunk-offset-wraps', READ, lambda s, c: part(s, c, (1 << 64) - 256, 512))
bend('gap-then-done', READ, lambda s, c: (
    part(s, c, c.offset, 512, 0),
    part(s, c, c.offset + 1024, c.length - 1024)))
bend('done-without-data', READ, lambda s, c: s.chunk(c, NONE))
bend('chunk-empty', READ, lambda s, c: part(s, c, c.offset, 0))
bend('chunk-4-gib', READ, lambda s, c: s.chunk(c, DATA, length=0xFFFFFFFF))
bend('chunk-too-long', READ, lambda s, c: part(s, c, c.offset, c.length + 1))
bend('chunk-type', READ, lambda s, c: s.chunk(c, 99, bytes(8)))
bend('none-with-data', READ, lambda s, c: s.chunk(c, NONE, b'data'))
bend('none-not-done', READ, lambda s, c: s.chunk(c, NONE, flags=0))
bend('hole-of-0', READ, lambda s, c: hole(s, c, c.offset, 0))
bend('hole-too-long', READ, lambda s, c: hole(s, c, c.offset, c.length + 1))
bend('hole-of-4-gib', READ, lambda s, c: hole(s, c, c.offset, 0xFFFFFFFF))
bend('hole-without-length', READ, lambda s, c: s.chunk(
    c, HOLE, struct.pack('>Q', c.offset)))
bend('error-0', READ, lambda s, c: s.chunk(c, ERR, error_chunk(0)))
bend('error-short', READ, lambda s, c: s.chunk(c, ERR, bytes(5)))
bend('error-text-past-chunk', READ, lambda s, c: s.chunk(
    c, ERR, error_chunk(EIO, b'text', 5)))
bend('error-4-gib', READ, lambda s, c: s.chunk(c, ERR, length=0xFFFFFFFF))
bend('error-offset-outside', READ, lambda s, c: s.chunk(
    c, ERR_OFFSET, error_chunk(EIO, tail=struct.pack('>Q', c.offset + c.length))))
bend('error-shutdown', READ, lambda s, c: s.chunk(c, ERR, error_chunk(ESHUTDOWN)))
bend('error-endless', READ, flood_errors)
bend('done-endless', READ, flood_finished)
bend('done-never', READ, lambda s, c: part(s, c, c.offset, c.length, 0))
bend('simple-for-structured', READ, lambda s, c: s.simple(
    c.cookie, 0, bytes(c.length)))
bend('structured-for-simple', READ, lambda s, c: part(s, c, c.offset, c.length),
     structured=False)
bend('extended-for-structured', READ, lambda s, c: s.send(
    struct.pack('>IHHQQQ', EXTENDED, DONE, NONE, c.cookie, c.offset, 0)))
bend('simple-for-extended', READ, lambda s, c: s.send(
    struct.pack('>IIQ', SIMPLE, 0, c.cookie) + bytes(c.length)), extended=True)
bend('extended-offset', READ, lambda s, c: s.chunk(c, NONE, offset=c.offset + 1),
     extended=True)
bend('extended-8-eib', READ, lambda s, c: s.chunk(c, DATA, length=1 << 63),
     extended=True)
bend('status-foreign', STATUS, foreign)
bend('status-twice', STATUS, lambda s, c: (
    s.chunk(c, STATUS_32, struct.pack('>III', s.context, 8, 0), 0), status(s, c, 8)))
bend('status-of-0', STATUS, lambda s, c: status(s, c, 0))
bend('status-beyond', STATUS, lambda s, c: status(s, c, c.length, 512))
bend('status-ragged', STATUS, lambda s, c: s.chunk(
    c, STATUS_32, struct.pack('>III', s.context, 8, 0) + b'abc'))
bend('status-32-mib', STATUS, lambda s, c: s.chunk(c, STATUS_32, length=(1 << 25) + 4))
bend('status-none', STATUS, lambda s, c: s.chunk(c, NONE))
bend('status-simple', STATUS, lambda s, c: s.simple(c.cookie))
bend('status-extended-count', STATUS, lambda s, c: s.chunk(
    c, STATUS_64, struct.pack('>IIQQ', s.context, 0xFFFFFFFF, c.length, 0)),
    extended=True)

# ---- how a connection ends, or does not --------------------------------------

bend('cut-head', READ, cut_head)
bend('cut-payload', READ, cut_payload_and(close))
bend('reset-payload', READ, cut_payload_and(Session.reset))
bend('stall-payload', READ, cut_payload_and(silent))
bend('reply-slow', READ, drip_reply)
bend('silence', READ, lambda s, c: None)
bend('deaf', WRITE, do_not_read)
bend('half-close', READ, half_close(socket.SHUT_WR))
bend('half-close-reading', WRITE, half_close(socket.SHUT_RD))
first('crumbs', lambda s: setattr(s, 'answer_read', lambda cmd: crumbs(s, cmd)))
first('unasked', setting(on_transmission=lambda s: (s.simple(4711), s.wait())))
first('deaf-at-once', setting(on_transmission=lambda s: do_not_read(s, None)))
first('close-at-once', setting(life=0))
always('go-then-silence', setting(on_transmission=silent))
always('go-then-close', setting(life=0))



late = []                       # writes that are not executed yet, and their payload


def execute_late(write):
    if write in late:
        late.remove(write)
        cmd, payload = write
        disk[cmd.offset:cmd.offset + cmd.length] = payload


def overtaken(cmd, payload):
    """A newer one was executed, not the same once more: now a late one does harm."""
    for write in late[:]:
        old = write[0]
        if old.offset < cmd.offset + cmd.length and \
                cmd.offset < old.offset + old.length and write[1] != payload:
            execute_late(write)


def late_write(s):
    """Dies with a write that its backend executes when a newer one of the place was, or
    LATE seconds later."""
    honest_serve = s.serve

    def serve(cmd):
        if cmd.type != WRITE or s.count < TRUTHS:
            honest_serve(cmd)
            return
        late.append((cmd, s.recv(cmd.length)))
        threading.Timer(LATE, execute_late, late[-1:]).start()
        raise Gone
    s.serve = serve


always('late-write', late_write)

# ---- the second connection ---------------------------------------------------

again('shrunk', setting(infos=[info_export(SIZE // 2), info_block_size()]))
again('read-only', setting(infos=[info_export(flags=FLAGS | READ_ONLY),
                                  info_block_size()]))
again('no-flush', setting(infos=[info_export(flags=FLAGS & ~F_FLUSH),
                                 info_block_size()]))
again('no-flags', setting(infos=[info_export(flags=0), info_block_size()]))
again('block-size', setting(infos=[info_export(), info_block_size(4096)]))
again('payload', setting(infos=[info_export(), info_block_size(1, 512, 512)]))
again('no-structured', setting(structured=False))
again('no-extended', setting(extended=False), setting(extended=True))
again('no-context', setting(context=None))
again('not-nbd', setting(greeting=b'220 smtp.example ESMTP\r\n'))
again('no-export', asked((UNKNOWN, b'')))


def second(name, function):
    """On the second of two connections that are open at once."""
    def tell(s):
        if s.number == 1:
            function(s)
    LIES['second-' + name] = tell


second('shrunk', setting(infos=[info_export(SIZE // 2), info_block_size()]))
second('single', setting(infos=[info_export(flags=FLAGS & ~F_MULTI),
                                info_block_size()]))
second('read-only', setting(infos=[info_export(flags=FLAGS | READ_ONLY),
                                   info_block_size()]))


# ---- the server --------------------------------------------------------------

def handle(sock, number, lie, certificates):
    s = Session(sock, number, certificates)
    if not honest.is_set():
        LIES[lie](s)
    elif certificates:
        s.certificate = 'good.pem'
    try:
        s.run()
    except Gone:
        pass
    finally:
        s.sock.close()


def main(path, lie, certificates=None):
    if lie not in LIES:
        sys.exit(f'liar.py: no lie "{lie}"')
    signal.alarm(LIFE)
    signal.signal(signal.SIGUSR1, lambda *_: honest.set())
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + '.new')
    listener.listen(8)
    os.rename(path + '.new', path)      # who sees it can connect
    number = 0
    while True:
        sock = listener.accept()[0]
        threading.Thread(target=handle, args=(sock, number, lie, certificates),
                         daemon=True).start()
        number += 1


if __name__ == '__main__':
    if sys.argv[1:] == ['--list']:
        print('\n'.join(LIES))
    elif len(sys.argv) in (3, 4):
        main(*sys.argv[1:])
    else:
        sys.exit(__doc__)
