#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Scratch files that fill their place are warned of before it is full, while
# the guest's writes still succeed; the log and descriptions tell their size.
. "$(dirname "$0")/${lab_of:-libvirt}-lab.sh"

guest_disk vda.qcow2 64M
qemu-io -f qcow2 -c 'write -q -P 1 0 64M' vda.qcow2
lab_start
lab_small_folder small 33M
guest_define web1 vda.qcow2
guest_start web1
checkpoint_make web1 monday
source_of web1

nbdkit_options=(-v)
start_nbdkit n.sock "${source[@]}" checkpoint=monday \
  scratch-dir="$lab_small"
warned () { [ "$(grep -c 'error: .*web1.*: scratch files take.* make room' nbdkit.log)" -ge "$1" ]; }
for ((mb = 0; mb < 28; mb++)); do
  guest_write web1 vda "write -P 2 ${mb}M 1M" | tee -a writes
  sleep 0.15
done
! grep -qi 'error\|no space' writes || fail "a write of the guest failed"
wait_until 10 warned 1
grep 'error: .*only [0-9]* are left.*; when .* is full, .* writes fail: make room' \
  nbdkit.log || fail "the warning does not say what to do"
grep 'debug: .*web1.*: scratch files take [0-9]* bytes, [0-9]* are left' \
  nbdkit.log | tail -n 1
nbdinfo --map "nbd+unix:///vda?socket=n.sock" >/dev/null
nbdinfo "nbd+unix:///vda?socket=n.sock" \
  | grep -E '; scratch files take (2|3)[0-9]{7} bytes, [0-9]* are left'
grep 'debug: disk vda since checkpoint monday.* 0 bytes dirty' nbdkit.log \
  || fail "the log does not tell the dirty bytes"
stop_nbdkit
# libvirt removes it when the job is gone already.
no_scratch_file () { [ -z "$(ls -A "$lab_small")" ]; }
wait_until 10 no_scratch_file

# Full from the beginning.
nbdkit_options=()
lab_state web1 >before
dd if=/dev/zero of="$lab_small/fill" bs=4k 2>/dev/null || :
refuses 'cannot (begin the backup|make the scratch file).*; scratch-dir=FOLDER chooses where scratch files are$' \
  "${source[@]}" checkpoint=monday scratch-dir="$lab_small"
lab_state web1 | diff -u before - | grep -v fill | grep '^[-+][^-+]' \
  && fail "something is left"
rm "$lab_small/fill"
