#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Somebody aborts the backup job while clients read what the guest overwrites.
# QEMU then serves what the guest writes for some milliseconds before it serves
# nothing; of that, no client may be told.  SEED=n ROUNDS=m repeat and size a
# run.
. "$(dirname "$0")/libvirt-lab.sh"

seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
if [ -z "$sanitizers" ]; then rounds=${ROUNDS:-200}
else rounds=${ROUNDS:-40}; fi
echo "repeat with: SEED=$seed ROUNDS=$rounds $0"

# One waits while another is busy.
guests=3
lab_start
for ((i = 0; i < guests; i++)); do
  qemu-img create -q -f qcow2 web$i.qcow2 64G
  guest_monitor=$tmpdir/web$i.monitor guest_define web$i web$i.qcow2
  guest_start web$i
  virsh checkpoint-create-as web$i monday
  "$python" "$srcdir/tests/aborted-job.py" "$plugin" web$i \
    "$tmpdir/web$i.monitor" "$seed" $(((rounds + i) / guests)) >web$i.sums &
  pids+=($!)
  drivers[i]=$!
done
for ((i = 0; i < guests; i++)); do
  wait "${drivers[i]}" || { cat web*.nbdkit.log; fail "web$i: see above"; }
  ! grep -E '^(write|discard) failed' "$lab_log/web$i.log" \
    || fail "guest web$i could not write"
done

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
