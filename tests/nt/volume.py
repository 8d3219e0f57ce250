# SPDX-License-Identifier: BSD-2-Clause
"""The volume that the test program serves as a disk, made here and looked at again.

A file's bytes follow from its name: see content().  test_volume.c has the same formula.
"""
import os
import subprocess

SECTOR = 512
FIRST = 64                              # sector of the partition
SIZE = 32 << 20
HOST_FILE = 'HOST.BIN', 1000003         # made here, read there
NT_FILE = 'NT.BIN', 3000017             # made there, read here
SMALL_FILES = 40                        # made there: S00.TXT to S39.TXT; odd ones stay


def content(seed, size):
    """Byte i is (i * 7 + i / 251 + seed) mod 256."""
    return bytes((i * 7 + i // 251 + seed) & 255 for i in range(size))


def at(image, offset):
    return '%s@@%d' % (image, offset)


def make(image):
    """An MBR, and a FAT16 partition with a file."""
    with open(image, 'wb') as f:
        f.truncate(SIZE)
        f.seek(446)
        f.write(bytes([0, 1, 1, 0, 6, 254, 255, 255]) + FIRST.to_bytes(4, 'little') +
                (SIZE // SECTOR - FIRST).to_bytes(4, 'little'))
        f.seek(510)
        f.write(b'\x55\xaa')
    subprocess.run(['mkfs.fat', '-F', '16', '-n', 'NBDISK', '-h', str(FIRST),
                    '--offset', str(FIRST), image, str((SIZE // SECTOR - FIRST) // 2)],
                   check=True, stdout=subprocess.DEVNULL)
    name, size = HOST_FILE
    mcopy(['-', '::/' + name], image, FIRST * SECTOR, content(1, size))
    return image


def mcopy(names, image, offset, data=None):
    """Copies between a FAT file system in an image and here; the output."""
    done = subprocess.run(['mcopy', '-n', '-i', at(image, offset), *names], input=data,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          env=dict(os.environ, MTOOLS_SKIP_CHECK='1'))
    return done.stdout if done.returncode == 0 else None


def check(tap, disk, work):
    """What the test program has left: its disk as it was at the end, in a file."""
    from image import PARTITION_AT, ROOT
    image = os.path.join(work, 'volume.out')
    mcopy(['::/%s/volume.out' % ROOT, image], disk, PARTITION_AT * SECTOR)
    tap.ok(os.path.exists(image) and os.path.getsize(image) == SIZE,
           'the disk as the process had it at the end')
    if not os.path.exists(image):
        return
    part = image + '.part'
    with open(image, 'rb') as f, open(part, 'wb') as g:
        f.seek(FIRST * SECTOR)
        g.write(f.read())
    fsck = subprocess.run(['fsck.fat', '-n', part], stdout=subprocess.PIPE, check=False)
    tap.ok(fsck.returncode == 0, 'fsck.fat finds no fault in the file system')
    if fsck.returncode != 0:
        tap.line('# ' + fsck.stdout.decode('latin-1').replace('\n', '\n# '))
    for (name, size), seed in ((HOST_FILE, 1), (NT_FILE, 2)):
        tap.ok(mcopy(['::/' + name, '-'], image, FIRST * SECTOR) == content(seed, size),
               '%s is right, seen from here' % name)
    small = [mcopy(['::/S%02d.TXT' % i, '-'], image, FIRST * SECTOR)
             for i in range(SMALL_FILES)]
    tap.ok(all(text == (content(i, i * 100 + 1) if i % 2 else None)
               for i, text in enumerate(small)),
           'of %d small files those that were deleted are gone' % SMALL_FILES)
