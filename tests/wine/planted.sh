# planted.sh - the verifier notices a bug of each kind; part of wine_test.sh.
# SPDX-License-Identifier: BSD-2-Clause

rig_new planted
rig_session
load planted >/dev/null
# The driver answers no "version" with a meaning; it runs if it answers at all.
drive "raw 1 4 0" "raw 2 4 0" "raw 3 4 0" "raw 4 4 0" "raw 5 4 0" "raw 6 4 0" \
	"raw 7 4 0" "raw 8 4 0" "raw 9 4 0" "raw 10 4 0" "raw 11 4 0" "raw 12 4 0" \
	"sleep 300" "service stop planted"
status_is 0 && wait_until said "not freed"
ok "the planted bugs ran"
noticed() {
	said "VERIFIER: $2"
	ok "noticed: $1"
}
noticed "an overrun" "overrun of a block of 10 bytes"
noticed "a wait under a spin lock" "KeDelayExecutionThread at IRQL 2"
noticed "a double free" "free of a bad or freed block"
noticed "a wrong tag" "freed with tag"
noticed "a use after the free" "a freed block of 10 bytes was written to"
noticed "an unlock of what is not locked" "MmUnlockPages of an MDL that is not locked"
noticed "a handle that is a process's" "PsCreateSystemThread: the handle is the process's"
noticed "a handle of any type" "ObReferenceObjectByHandle of any type"
noticed "a mapping that can be executed" "a mapping that can be executed"
noticed "pool that can be executed" "pool that can be executed"
noticed "an interface of a device that is no PDO" "IoRegisterDeviceInterface of what is no PDO"
noticed "an adapter in half duplex" "a virtual adapter in half duplex"
noticed "an SRB that is completed twice" "SRB"
said "not freed: 1 blocks, 1 IRPs, 0 MDLs"
ok "noticed: a leak of memory and of an IRP"
rig_end
