#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The cookbook's recipes that thin out a chain of backups: what is left reads as before,
# and the chain goes on.
. "$(dirname "$0")/cookbook.sh"

# days: three backups, and the truth of each.
days ()
{
  local day before='' options
  rm -f ./*
  for day in monday tuesday wednesday; do
    options=("create=$day")
    [ -z "$before" ] || options+=("checkpoint=$before")
    now web1
    mv "$tmpdir/web1.now" "$tmpdir/$day"
    backup "$day" "$before" "${options[@]}"
    before=$day
    writes vda "write -P $((${#day} * 3)) ${#day}M 128k"
    writes vda "write -z $((${#day} * 64 + 1024))k 64k"
  done
}
backup ()
{
  to=vda-$1.qcow2 from=${2:+-B vda-$2.qcow2 -F qcow2} serve libvirt="$connect" \
    domain=web1 disk=vda "${@:3}" -- 'qemu-img convert -f raw -O qcow2 $from "$uri" $to'
}
# goes_on: the next backup lies on Wednesday's.
goes_on ()
{
  now web1
  backup thursday wednesday checkpoint=wednesday
  same_as "$tmpdir/web1.now" vda-thursday.qcow2
}

# is_served SOCKET: qemu-nbd listens before it has opened, and locked, the image.
is_served () { nbdinfo --size "nbd+unix:///?socket=$1" >/dev/null 2>&1; }

# held FILE RECIPE: while somebody reads that image, the recipe fails, and has taken
# nothing away.
held ()
{
  rm -f "$tmpdir/held"
  qemu-nbd -r -f qcow2 -t -k "$tmpdir/held" "$1" &
  local pid=$! day
  pids+=($pid)
  wait_until 20 is_served "$tmpdir/held"
  recipe_status=1 recipe "$2"
  kill "$pid"
  wait_until 20 has_ended "$pid"
  for day in monday tuesday wednesday; do
    same_as "$tmpdir/$day" vda-$day.qcow2
  done
  checkpoint_exists web1 monday || fail "the checkpoint is gone"
}

guest_web1
days
held vda-monday.qcow2 commit
recipe commit
[ ! -e vda-monday.qcow2 ] || fail "Monday is still there"
same_as "$tmpdir/tuesday" vda-tuesday.qcow2
same_as "$tmpdir/wednesday" vda-wednesday.qcow2
[ "$(checkpoint_names web1 | xargs)" = "tuesday wednesday" ] || fail "other checkpoints"
recipe flatten
same_as "$tmpdir/wednesday" vda-wednesday-full.qcow2
qemu-img info --output=json vda-wednesday-full.qcow2 | jq -e '."backing-filename" | not'
goes_on

# Interrupted after the first line, and typed again.
for name in tuesday wednesday; do virsh checkpoint-delete web1 $name; done
days
qemu-img commit -q -d vda-tuesday.qcow2
recipe commit
same_as "$tmpdir/tuesday" vda-tuesday.qcow2
same_as "$tmpdir/wednesday" vda-wednesday.qcow2
goes_on

for name in tuesday wednesday; do virsh checkpoint-delete web1 $name; done
days
held vda-wednesday.qcow2 rebase
recipe rebase
[ ! -e vda-tuesday.qcow2 ] || fail "Tuesday is still there"
same_as "$tmpdir/monday" vda-monday.qcow2
same_as "$tmpdir/wednesday" vda-wednesday.qcow2
goes_on
