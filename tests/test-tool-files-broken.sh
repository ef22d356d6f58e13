#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# files looks into what guests wrote, which may be broken in any way: it ends well,
# and its sum is right.  SEED and COUNT may be given.
. "$(dirname "$0")/functions.sh"
PATH=$PATH:/usr/sbin:/sbin
for program in mke2fs sfdisk; do requires "$program"; done

"$python" "$srcdir/tests/broken-files.py" "$tool" "${COUNT:-5}" ${SEED:-}

# ── What nobody looks into is named ──
# is_told KIND WHAT: the disk small.raw, of which 64 KiB are dirty.
is_told ()
{
  qemu-img convert -f raw -O qcow2 small.raw small.qcow2
  qemu-img bitmap --add small.qcow2 b
  qemu-io -f qcow2 -c 'write -q -P 7 5M 64k' small.qcow2
  bounded "$tool" files b --file=small.qcow2 --json >small.json
  jq -e --arg kind "$1" --arg what "$2" '[.lines[] | [.kind, .what, .bytes]]
    == [[$kind, $what, 65536]]' small.json || fail "$2: $(cat small.json)"
}
truncate -s 16M small.raw
is_told unknown 'nothing that is known'
mkswap small.raw >/dev/null 2>&1
is_told swap swap
if ldd "$tool" | grep libblkid >/dev/null; then
  printf secret >secret
  create_slowly -f luks --object secret,id=key,file=secret \
    -o key-secret=key,iter-time=10 small.raw 14M
  truncate -s 16M small.raw
  is_told unknown 'crypto_LUKS, into which nobody looks'
fi
rm small.raw
truncate -s 16M small.raw
printf 'label: gpt\nstart=2048, size=2048\n' \
  | sfdisk -q small.raw >/dev/null 2>&1
is_told unpartitioned 'in no partition'

# ── A guest's LVM cannot keep it busy, nor fill the memory ──
"$python" "$srcdir/tests/lvm-endless.py" lvm.raw
qemu-img convert -f raw -O qcow2 lvm.raw lvm.qcow2
qemu-img bitmap --add lvm.qcow2 b
qemu-io -f qcow2 -c 'write -q -P 1 17M 64k' lvm.qcow2
timeout -s KILL 60 "$tool" files b --file=lvm.qcow2 >printed || fail "it goes on"
grep '^64.0 KiB  vda .*LVM, whose own data cannot be read, or are too large$' printed
rm lvm.raw lvm.qcow2
writes=()
"$python" "$srcdir/tests/lvm-endless.py" lvm.raw stripes
qemu-img convert -f raw -O qcow2 lvm.raw lvm.qcow2
qemu-img bitmap --add -g 2M lvm.qcow2 b
for ((i = 0; i < 9; i++)); do writes+=(-c "write -q -z $((18 + 1024 * i))M 1G"); done
qemu-io -f qcow2 "${writes[@]}" lvm.qcow2
timeout -s KILL 60 "$tool" files b --file=lvm.qcow2 >printed || fail "it goes on"
grep '^9.0 GiB  vg/l .*a volume in too small stripes$' printed
rm lvm.raw lvm.qcow2

# ── However it is ended, none of its processes is left ──
truncate -s 320M disk.raw
mke2fs -q -F -t ext4 -b 1024 disk.raw
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
qemu-img bitmap --add disk.qcow2 b
qemu-io -f qcow2 -c 'write -q -P 1 100M 64k' disk.qcow2
none_left ()
{
  local pid
  for pid in $(pgrep -x qemu-checkpoint || :); do
    ! grep -qsaF "$tmpdir" "/proc/$pid/environ" || return 1
  done
}
export TEST_TMPDIR=$tmpdir
for signal in INT TERM HUP KILL; do
  for delay in 0.02 0.06 0.1; do
    # A shell that does not wait has its jobs ignore SIGINT.
    "$python" -c '
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
tool = subprocess.Popen([sys.argv[1], "files", "b", "--file=disk.qcow2"],
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
time.sleep(float(sys.argv[3]))
tool.send_signal(getattr(signal, "SIG" + sys.argv[2]))
tool.wait(20)' "$tool" "$signal" "$delay" || fail "SIG$signal: it goes on"
    wait_until 10 none_left
  done
done
leaves_nothing "$tmpdir"
