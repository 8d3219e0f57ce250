#!/usr/bin/python3
"""image.py - a bootable disk of the built system and of what is to be tested.
SPDX-License-Identifier: BSD-2-Clause

    image.py SYSTEM DISK FILE...

SYSTEM is the directory that README.md describes.  The FILEs go to the system's
directory, .exe to system32, .sys to system32\\drivers.  The registry is SYSTEM's, with
the adapter's device and service, and the test program where the session manager starts
programs.
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import hivex

SECTOR = 512
PARTITION_AT = 2048                     # sectors
PARTITION = 192 * 2048
ROOT = 'reactos'                        # what the loader calls the system's directory
LOADER = '''[FREELOADER]
DefaultOS=NT
TimeOut=0

[Operating Systems]
NT="NT"

[NT]
BootType=Windows2003
SystemPath=multi(0)disk(0)rdisk(0)partition(1)\\%s
Options=/DEBUG /DEBUGPORT=COM1 /BAUDRATE=115200 /KERNEL=%s /HAL=%s
'''
REG_SZ, REG_EXPAND_SZ, REG_DWORD, REG_MULTI_SZ = 1, 2, 4, 7
SCSI_CLASS = '{4D36E97B-E325-11CE-BFC1-08002BE10318}'
DISABLED = 4
FOLDERS = {'.sys': 'system32/drivers', '.exe': 'system32'}


# ---- the registry ------------------------------------------------------------------

class Hive:
    def __init__(self, path):
        self.path = path
        self.hive = hivex.Hivex(path, write=True)

    def key(self, path):
        """The key, made if there is none."""
        node = self.hive.root()
        for name in path.split('\\'):
            child = self.hive.node_get_child(node, name)
            node = child or self.hive.node_add_child(node, name)
        return node

    def set(self, path, name, kind, value):
        if kind == REG_DWORD:
            data = struct.pack('<I', value)
        elif kind == REG_MULTI_SZ:
            data = ''.join(s + '\0' for s in value + ['']).encode('utf-16le')
        else:
            data = (value + '\0').encode('utf-16le')
        self.hive.node_set_value(self.key(path),
                                 {'key': name, 't': kind, 'value': data})

    def get(self, path, name):
        node = self.key(path)
        for v in self.hive.node_values(node):
            if self.hive.value_key(v).lower() == name.lower():
                return self.hive.value_value(v)[1]
        return None

    def children(self, path):
        return [self.hive.node_name(n) for n in self.hive.node_children(self.key(path))]

    def save(self):
        self.hive.commit(None)


def disable_absent(hive, services, root):
    """The loader stops at a driver that is not there."""
    for name in hive.children(services):
        key = services + '\\' + name
        data = hive.get(key, 'ImagePath')
        image = data.decode('utf-16le').rstrip('\0') if data else \
            'system32\\drivers\\%s.sys' % name
        image = image.lower().replace('\\systemroot\\', '').replace('\\', '/')
        if hive.get(key, 'Start') and not os.path.exists(os.path.join(root, image)):
            hive.set(key, 'Start', REG_DWORD, DISABLED)


def write_registry(path, root):
    hive = Hive(path)
    control = 'ControlSet001'
    services = control + '\\Services'
    disable_absent(hive, services, root)
    device = control + '\\Enum\\Root\\WNBD\\0000'
    hive.set(device, 'Service', REG_SZ, 'wnbd')
    hive.set(device, 'HardwareID', REG_MULTI_SZ, ['Root\\WNBD'])
    hive.set(device, 'ClassGUID', REG_SZ, SCSI_CLASS)
    hive.set(device, 'ConfigFlags', REG_DWORD, 0)
    service = services + '\\wnbd'
    hive.set(service, 'ImagePath', REG_EXPAND_SZ, 'system32\\drivers\\wnbd.sys')
    hive.set(service, 'Type', REG_DWORD, 1)
    hive.set(service, 'Start', REG_DWORD, 3)
    hive.set(service, 'ErrorControl', REG_DWORD, 1)
    hive.set(service, 'LogLevel', REG_DWORD, 3)
    manager = control + '\\Control\\Session Manager'
    hive.set(manager + '\\Debug Print Filter', 'IHVDRIVER', REG_DWORD, 0xf)
    hive.set(manager, 'BootExecute', REG_MULTI_SZ, ['nt_test'])
    hive.save()


# ---- the disk ----------------------------------------------------------------------

def stage(system, files, target):
    root = os.path.join(target, ROOT)
    shutil.copytree(os.path.join(system, 'root'), root)
    for f in files:
        shutil.copy(f, os.path.join(root, FOLDERS.get(os.path.splitext(f)[1], '')))
    write_registry(os.path.join(root, 'system32/config/system'), root)
    for f in ('freeldr.sys', 'rosload.exe'):
        shutil.copy(os.path.join(system, 'boot', f), target)
    smp = os.path.exists(os.path.join(root, 'system32/ntkrnlmp.exe'))
    with open(os.path.join(target, 'freeldr.ini'), 'w') as f:
        f.write(LOADER % (ROOT, 'ntkrnlmp.exe' if smp else 'ntoskrnl.exe',
                          'halmp.dll' if smp else 'hal.dll'))


def make_disk(system, disk, tree):
    with open(disk, 'wb') as f:
        f.truncate((PARTITION_AT + PARTITION) * SECTOR)
    offset = PARTITION_AT * SECTOR
    subprocess.run(['mkfs.fat', '-F', '16', '-g', '16/63', '-h', str(PARTITION_AT), '--offset',
                    str(PARTITION_AT), disk, str(PARTITION // 2)], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(['mcopy', '-s', '-Q', '-i', '%s@@%d' % (disk, offset)] +
                   [os.path.join(tree, e) for e in sorted(os.listdir(tree))] + ['::'],
                   check=True, env=dict(os.environ, MTOOLS_SKIP_CHECK='1'))
    with open(disk, 'r+b') as f:
        with open(os.path.join(system, 'boot/mbr.bin'), 'rb') as mbr:
            code = mbr.read(440)
        f.write(code)
        f.seek(446)
        f.write(struct.pack('<B3sB3sII', 0x80, b'\0\2\0', 0x0e, b'\xff\xff\xff',
                            PARTITION_AT, PARTITION))
        f.seek(510)
        f.write(b'\x55\xaa')
        f.seek(offset)
        old = f.read(SECTOR)
        with open(os.path.join(system, 'boot/fat.bin'), 'rb') as boot:
            new = boot.read(SECTOR)
        f.seek(offset)
        f.write(new[:3] + old[3:62] + new[62:])


def main():
    system, disk = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as tree:
        stage(system, sys.argv[3:], tree)
        make_disk(system, disk, tree)


if __name__ == '__main__':
    main()
