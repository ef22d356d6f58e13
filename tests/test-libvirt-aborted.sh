#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Somebody aborts the backup job while clients read what the guest overwrites.
# QEMU then serves what the guest writes for some milliseconds before it serves
# nothing; of that, no client may be told.  SEED=n ROUNDS=m repeat and size a
# run.
. "$(dirname "$0")/${lab_of:-libvirt}-lab.sh"

seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
rounds=$(rounds "${most:-200}" "${most:-40}")
echo "repeat with: SEED=$seed ROUNDS=$rounds $0"

# drive NAME ROUNDS: a guest of its own, for so many aborts.
drive ()
{
  qemu-img create -q -f qcow2 "$1.qcow2" 64G
  guest_monitor=$tmpdir/$1.monitor guest_define "$1" "$1.qcow2"
  guest_start "$1"
  checkpoint_make "$1" monday
  source_of "$1"
  "$python" "$srcdir/tests/aborted-job.py" "$plugin" "$1" "${monitors[@]//NAME/$1}" \
    "$seed" "$2" "${source[@]}" >"$1.sums"
}

# Another guest where a QEMU hangs, which it does once in some hundred times (see
# is_deaf in aborted-job.py).  One at a time: libvirt ends the jobs of all guests
# in one thread, which then waits for that QEMU.
lab_start
monitors=("$tmpdir/NAME.people" '' '')
if [ $lab_kind = libvirt ]; then
  monitors=("$tmpdir/NAME.monitor" slow "$tmpdir/slow.monitor")
  qemu-img create -q -f qcow2 slow.qcow2 16M
  guest_monitor=$tmpdir/slow.monitor guest_define slow slow.qcow2
  guest_start slow
fi
left=$rounds
for try in 1 2 3 4 5; do
  name=web$try status=0
  drive $name "$left" || status=$?
  [ $status -eq 3 ] || break
  echo "$name: QEMU hangs, and is killed"
  guest_crash $name
  read -r count _ <$name.sums
  echo "1 0 1 0 0" >>$name.sums
  left=$((left - count - 1))
  [ $left -gt 0 ] || break
done
case $status in
  0 | 3) ;;
  *) head -q -n 5 web*.nbdkit.log web*.wrong; fail "see above" ;;
esac
! grep -E '^(write|discard) failed' "$lab_log"/web*.log \
  || fail "a guest could not write"

read -r aborts answers refused wrong new < <(awk '
  { for (i = 1; i <= 5; i++) sum[i] += $i }
  END { print sum[1], sum[2], sum[3], sum[4], sum[5] }' web*.sums)
head -q -n 5 web*.wrong
cut -d : -f 1 web*.wrong | sort | uniq -c
echo "$aborts aborts, $answers reads in success, $refused refused, $wrong wrong"
echo "QEMU itself told new bytes in $new of $aborts aborts"
[ "$aborts" -eq "$rounds" ] || fail "only $aborts aborts"
[ "$wrong" -eq 0 ] || fail "$wrong answers are not of the time of the backup"
[ "$refused" -ge "$aborts" ] || fail "only $refused answers were refused"
[ "$rounds" -lt 10 ] || [ "$new" -gt 0 ] \
  || fail "QEMU never told new bytes, so nothing was tested"
