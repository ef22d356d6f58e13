#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A guest whose disks have an iothread, through backups of every ending: it
# lives, nothing is left, and each backup has what was written since the last.
# (QEMU 7.2 dies where a connection to a job is closed before the job.)
. "$(dirname "$0")/${lab_of:-libvirt}-lab.sh"

rounds=${ENDINGS:-2}               # of every ending
export PYTHONPATH=$srcdir/tests
lab_start

alive ()
{
  { guest_runs "$guest" && [ "$(guest_pid "$guest")" = "$pid" ]; } \
    || fail "$guest has died after: $1"
}

ended ()
{
  alive "$1"
  wait_until 20 no_job "$guest"
  alive "$1"
  backups=$((backups + 1))
}

# write: another 64 KiB block, $block, is dirty.
write ()
{
  block=$((backups % 1000 + 128))
  guest_write "$guest" "$disk" "write -P $((backups % 250 + 1)) $((block * 65536)) 65536" \
    >/dev/null
}

# read_all URI: what is dirty is the block that was written; and all is read.
read_all='
  nbdinfo --map --json "$uri" | jq -r ".[] | select(.type == 0) | \"\(.offset) \(.length)\"" >dirty
  nbdcopy "$uri" null:'

since ()
{
  last=$name
  name=c$((backups + 1))
  source_of "$guest"
  source+=(checkpoint="$last" create="$name" view=sparse)
}

check_dirty ()
{
  [ "$(cat dirty)" = "$((block * 65536)) 65536" ] \
    || fail "$guest, $1: dirty is $(cat dirty), not block $block"
}

begin ()
{
  start_nbdkit n.sock "${source[@]}"
  export uri="nbd+unix:///$disk?socket=$tmpdir/n.sock"
}

# Clients with requests in flight, some of which nobody comes for.
busy_clients ()
{
  "$python" - "$uri" <<'EOF' &
import nbd, sys, time
handles = []
for i in range(4):
    h = nbd.NBD()
    h.connect_uri(sys.argv[1])
    handles.append(h)
    # In order, so that more is read ahead; and then nobody comes for it.
    for at in range(0, 1 << 20, 1 << 18):
        h.pread(1 << 18, at)
    h.aio_pread(nbd.Buffer(1 << 21), 1 << 20)
open("busy", "w").close()
time.sleep(60)
EOF
  clients=$!
  pids+=("$clients")
  wait_until 20 test -e busy
  rm busy
}

end_clients () { kill "$clients" 2>/dev/null || :; wait "$clients" || :; }

every_ending ()
{
  local signal seconds i

  write; since
  serve "${source[@]}" -- "$read_all" \
    || fail "$guest: no backup"
  check_dirty "--run"; ended "an incremental backup by --run"

  write; since
  ! serve "${source[@]}" -- "nbdinfo --size \"\$uri\" && exit 3" \
    || fail "the status of --run is lost"
  ended "a --run that failed"
  # Its checkpoint is there: a client could read.

  write; since
  begin
  nbdinfo --list "nbd+unix:///?socket=n.sock" >list
  grep -q "export=\"$disk\"" list || fail "$guest: not in the list"
  stop_nbdkit; ended "nbdinfo --list"

  write; since
  begin
  for i in 1 2 3 4 5; do
    bash -c "$read_all"
    check_dirty "client $i"
    alive "client $i"
  done
  stop_nbdkit; ended "five clients that came and went"

  for signal in TERM INT KILL; do
    write; since
    begin
    busy_clients
    kill -$signal "$nbdkit_pid"
    ended "SIG$signal with requests in flight"
    end_clients                 # nbdkit waits for them
    wait "$nbdkit_pid" || :
    checkpoint_exists "$guest" "$name"
  done

  write; since
  begin
  busy_clients
  kill -KILL "$clients"
  wait "$clients" || :
  sleep 0.3
  alive "clients that were killed"
  bash -c "$read_all"
  check_dirty "after clients that were killed"
  stop_nbdkit; ended "clients that were killed"

  # The keeper is killed: what is printed at once is typed before nbdkit ends.
  write; since
  begin
  find_keeper
  kill -KILL "$keeper"
  wait_until 20 grep -q 'so before you end nbdkit, type ' nbdkit.log
  type_printed 'so before you end nbdkit, type ' '' nbdkit.log
  wait_until 20 no_job "$guest"
  stop_nbdkit; ended "a keeper that was killed"
  rm nbdkit.log

  # While it starts: its checkpoint goes again, so the next is since $name, too.
  for i in 1 2 3 4; do
    seconds=0.$(printf %03d $((RANDOM % 400)))
    rm -f n.sock
    source_of "$guest"
    nbdkit -f -U n.sock "$plugin" "${source[@]}" checkpoint="$name" \
      create=killed 2>/dev/null &
    nbdkit_pid=$!
    pids+=("$nbdkit_pid")
    sleep "$seconds"
    kill -KILL "$nbdkit_pid"
    wait "$nbdkit_pid" || :
    wait_until 20 lab_no_keeper
    ended "SIGKILL $seconds s after the start"
  done
}

for bus in virtio scsi; do
  guest=$bus-guest disk=vda backups=0 name=monday
  [ $bus = virtio ] || disk=sda
  guest_disk $bus.qcow2
  guest_iothread=$bus guest_define "$guest" $bus.qcow2
  guest_start "$guest"
  guest_resume "$guest"
  pid=$(guest_pid "$guest")

  # Full, and the first of the chain.
  source_of "$guest"
  serve "${source[@]}" create=monday -- \
    'nbdcopy "$uri" null:' || fail "$guest: no full backup"
  ended "a full backup"
  for ((round = 0; round < rounds; round++)); do
    every_ending
  done
  # What is refused after the job has begun.
  source_of "$guest"
  ! bounded nbdkit -U "$tmpdir/none/n.sock" "$plugin" "${source[@]}" \
    checkpoint=monday 2>refused.log || fail "it was started"
  ended "a start that fails"
  echo "$guest: $backups backups"
  guest_destroy "$guest"
  qemu-img check -q $bus.qcow2 || fail "$bus.qcow2 is damaged"
  qemu-img info --output=json $bus.qcow2 \
    | jq -e '[."format-specific".data.bitmaps[] | select(.flags | index("in-use"))] == []' \
    >/dev/null || fail "a bitmap of $bus.qcow2 was lost"
done
