#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The cookbook's recipes beside the real virtnbdbackup, and from it to this.
. "$(dirname "$0")/cookbook.sh"
requires virtnbdbackup
requires jq

guest_web1
mkdir ../web1-old
old=../web1-old
virtnbdbackup -d web1 -l full -o $old -n >"$tmpdir/log" 2>&1 || fail "$(cat "$tmpdir/log")"
writes vda "write -P 2 1M 64k"
virtnbdbackup -d web1 -l inc -o $old -n >"$tmpdir/log" 2>&1 || fail "$(cat "$tmpdir/log")"
[ "$(checkpoint_names web1 | xargs)" = "virtnbdbackup.0 virtnbdbackup.1" ]
now web1
mv "$tmpdir/web1.now" "$tmpdir/restored"
writes vda "write -P 3 2M 64k"
now web1

recipe virtnbdbackup-since
grep -Eq '^ *2097152 +65536 +0 +data' "$tmpdir/printed" || fail "another map"
! grep -E '^ *1048576 +65536 +0 +data' "$tmpdir/printed" || fail "of another checkpoint"
[ "$(checkpoint_names web1 | xargs)" = "virtnbdbackup.0 virtnbdbackup.1" ]
# It goes on with its own.
virtnbdbackup -d web1 -l inc -o $old -n >"$tmpdir/log" 2>&1 || fail "$(cat "$tmpdir/log")"
mv "$tmpdir/web1.now" "$tmpdir/restored"
writes vda "write -P 4 3M 64k"
writes vdb "write -P 5 4M 64k"
now web1 web1-data

recipe virtnbdbackup-to
same_as "$tmpdir/restored" vda-monday.qcow2
same_as "$tmpdir/web1.now" vda-tuesday.qcow2
same_as "$tmpdir/web1-data.now" vdb-tuesday.qcow2
increment vda-tuesday.qcow2 "3145728 65536"
increment vdb-tuesday.qcow2 "4194304 65536"

# A checkpoint of ours makes it refuse, as the cookbook says; without it, it goes on.
! virtnbdbackup -d web1 -l inc -o $old -n >"$tmpdir/log" 2>&1 || fail "it does not refuse"
grep -q 'Foreign checkpoint found' "$tmpdir/log"
recipe virtnbdbackup-back
virtnbdbackup -d web1 -l inc -o $old -n >"$tmpdir/log" 2>&1 || fail "$(cat "$tmpdir/log")"
rm -rf restored
virtnbdrestore -i $old -o restored -n >"$tmpdir/log" 2>&1 || fail "$(cat "$tmpdir/log")"
same_as "$tmpdir/web1.now" restored/web1.qcow2
same_as "$tmpdir/web1-data.now" restored/web1-data.qcow2
