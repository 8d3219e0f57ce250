#!/bin/bash
# pressure_inside.sh - the inside of pressure_test.sh: swaps to one device of nbdisk's, and
# writes files back to another one, in a machine with little memory.
# SPDX-License-Identifier: BSD-2-Clause

say() { # TEXT: the last command's status is the verdict
	if [ $? = 0 ]; then printf "\nok %s\n" "$1"; else printf "\nnot ok %s\n" "$1"; fi
}
word() { tr ' \t' '\n\n' </proc/cmdline | sed -n "s/^pressure\.$1=//p"; }
counter() { sed -n "s/^$1 //p" /proc/vmstat; }

via=$(word via) seconds=$(word seconds)
case $(word servers) in
outside)
	swap=nbd://10.0.2.2:$(word port)/swap data=nbd://10.0.2.2:$(word port)/data
	ip link set "$(ls /sys/class/net | grep -v lo)" up
	dhclient -q "$(ls /sys/class/net | grep -v lo)"
	;;
inside)
	# A server in this machine must need no memory for what it does: a disk of its own, past
	# the page cache; nothing of it is swapped or written back for others' sake
	# (PR_SET_IO_FLUSHER, 57); and it runs when the daemon has asked.
	systemctl set-property --runtime server.slice MemoryMin=64M
	serve() { # NAME DISK
		systemd-run --quiet --slice=server.slice -p MemoryMin=32M -p MemorySwapMax=0 \
			-p CPUSchedulingPolicy=rr -p CPUSchedulingPriority=1 perl -e \
			'syscall 157, 57, 1, 0, 0, 0; exec @ARGV' qemu-nbd -t -e 8 -f raw \
			--cache=none --aio=native -k "/run/server-$1" "$2"
		until [ -S "/run/server-$1" ]; do sleep 0.1; done
	}
	serve swap /dev/vdb
	serve data /dev/vdc
	swap=nbd+unix:///?socket=/run/server-swap data=nbd+unix:///?socket=/run/server-data
	;;
esac
modprobe -qa ublk_drv fuse loop
connect() {
	nbdisk connect --quiet --via "$via" --device "$1" "$2" >/dev/null
}
connect swap "$swap" && connect data "$data"
say "two devices are attached by $via"
mkswap -q /dev/nbdisk/swap && swapon /dev/nbdisk/swap
say "one is swap"
mkfs.ext4 -q /dev/nbdisk/data && mount /dev/nbdisk/data /mnt
say "one has a file system"

# More than the memory of the machine, each page told by its number and round.
cat >/run/hog.pl <<'PERL'
my ($seconds, $pages) = @ARGV;
my ($begin, $told, @page, @round) = (time, time);
$| = 1;
for (my $n = 0; time < $begin + $seconds; $n++) {
	if (time >= $told + 20) {
		$told = time;
		printf STDERR "\n# %d s: %d pages looked at, made anew\n", $told - $begin, $n;
	}
	my $i = $n < $pages ? $n : int rand $pages;
	my $line = sprintf "%08d %08d ", $i, $round[$i] // 0;
	die "page $i is another one\n"
	    if defined $page[$i] && $page[$i] ne $line x 227;
	$round[$i]++;
	$page[$i] = sprintf("%08d %08d ", $i, $round[$i]) x 227;
}
print "pages: ", scalar(@page), "\n";
# At once: perl would free page by page, and read in all that is swapped.
exec "true";
PERL
perl /run/hog.pl "$seconds" $(($(sed -n 's/^MemTotal: *\([0-9]*\) .*/\1/p' /proc/meminfo) / 3)) \
	>/run/hog &
hog=$!
SECONDS=0 rounds=0 bad=0
# Each step has its time: what is slow gets on, what hangs says nothing more.
write() { head -c 24M /dev/urandom >/mnt/file && sum=$(sha256sum </mnt/file); }
flush() { sync && echo 1 >/proc/sys/vm/drop_caches; }
compare() { [ "$(sha256sum </mnt/file)" = "$sum" ]; }
while kill -0 $hog 2>/dev/null; do
	rounds=$((rounds + 1)) took=
	for step in write flush compare; do
		began=$SECONDS
		$step || bad=$((bad + 1))
		took="$took, $step $((SECONDS - began)) s"
	done
	printf '\n# %s s: file %s%s; pages out %s, in %s\n' "$SECONDS" "$rounds" "$took" \
		"$(counter pswpout)" "$(counter pswpin)"
done
out=$(counter pswpout) in=$(counter pswpin) pages=$(cat /run/hog)
wait $hog && [ "${pages:-pages: 0}" != "pages: 0" ]
say "$pages: each was what it was to be"
[ $bad = 0 ] && [ $rounds -gt 0 ]
say "$rounds files of 24 MiB, written back and read again"
[ "$out" -gt 10000 ] && [ "$in" -gt 1000 ]
say "pages went out ($out) and in ($in)"
! dmesg | grep -E 'I/O error|hung task|blocked for more|Out of memory|oom-kill'
say "no error, no hang, nobody killed for memory"
lost() { nbdisk stats "$1" | sed -n 's/^ *ConnectionsLost: //p'; }
[ "$(lost swap)$(lost data)" = 00 ]
say "no connection was lost"
umount /mnt && swapoff /dev/nbdisk/swap && nbdisk disconnect data && nbdisk disconnect swap
say "all of it ends in order"
systemctl --no-block poweroff 2>/dev/null || kill -RTMIN+4 1
