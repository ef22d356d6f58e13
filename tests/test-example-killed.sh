#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# examples/backup-guest, killed and told to end at random instants, also while it
# merges the oldest backups: whatever it leaves, each backup that is there is that
# day's disks, and the next run is good and leaves nothing.  And: two runs at once, a
# folder that is full, a guest that stops meanwhile, another guest's folder, a clock
# that is wrong.  SEED=n repeats the writes and the instants, ROUNDS=n more of them.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/example-lab.sh"

export KEEP=2
model_disk vda vda.qcow2 16M
model_disk vdb vdb.qcow2 8M
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
day 1
backup 0 'vda full .*vdb full'

# all_good: every backup that is there, whatever was killed.
all_good ()
{
  local truth at target
  while read -r at; do
    for truth in truth/"$at".*.raw; do
      target=${truth%.raw} target=${target##*.}
      qemu-img compare -q -f raw -F qcow2 "$truth" "$kept/$at/$target.qcow2" \
        || fail "$target at $at is not what it was"
    done
  done < <(cd "$kept" && for at in backup-*/domain.xml; do echo "${at%/*}"; done)
}

killed=0
for ((round = 1; round <= $(rounds 8 2); round++)); do
  day $((round + 1))
  changes
  for signal in KILL TERM; do
    kill_a_backup $signal
    all_good
    killed=$((killed + 1))
  done
  # While the guest is off, it is another way.
  if [ $((round % 3)) = 0 ]; then
    if is_off; then guest_start web1; else guest_quit web1; fi
  fi
  changes
  backup 0 'vda increment .*vdb increment .* 2 backups kept'
  restored "$point"
done
is_off || guest_quit web1
guest_start web1
echo "$killed runs were ended, $compared restored disks compared"

# ── Killed as it starts nbdkit, which could not yet ask to end with it ──
day 39
for name in setpriv nbdkit; do
  touch orphan.$name
  status=0
  bash "$srcdir/examples/backup-guest" web1 "$kept" >killed.log 2>&1 || status=$?
  [ $status -eq 137 ] || fail "status $status: $(cat killed.log)"
  flock -w 20 "$kept/lock" true || fail "nbdkit goes on"
  wait_until 20 no_job web1
  now=$((now + 60))
done
backup 0 'vda increment'

# ── Two at once ──
day 40
exec 7>"$kept/lock"
flock 7
bash "$srcdir/examples/backup-guest" web1 "$kept" >second.log 2>&1 &
pids+=($!)
before=$(ls "$kept")
status=0
wait $! || status=$?
[ $status = 2 ] && grep -q 'CRITICAL.* another run, or restore-guest, is at work in ' second.log \
  || fail "status $status: $(cat second.log)"
[ "$(ls "$kept")" = "$before" ] || fail "it did something"
exec 7>&-

# ── Another guest's folder; a clock that is wrong ──
guest_disk other.qcow2
guest_define other other.qcow2
refused ()
{
  local status=0
  bash "$srcdir/examples/backup-guest" "$2" "$kept" >line 2>&1 || status=$?
  cat line
  [ $status = 2 ] && grep -Eq "^BACKUP CRITICAL - .*no backup: .*$1" line || fail "status $status"
  [ -z "$(virsh checkpoint-list other --name | grep .)" ] || fail "it made a checkpoint"
  [ "$(ls "$kept")" = "$before" ] || fail "it did something"
}
refused 'another guest.s' other
refused 'libvirt does not know it' nobody
day 2
refused 'is not later than backup-2027' web1
day 41

# ── The folder is full ──
lab_small_folder small 1300K
qemu-io -f qcow2 -c 'write -P 1 0 1' other.qcow2 >/dev/null
kept_before=$kept kept=$lab_small/kept
# What gets no smaller by compression.
head -c 4M /dev/urandom >random.data
guest_write web1 vda "write -s $tmpdir/random.data 0 4M" >/dev/null
qemu-io -f raw -c "write -s random.data 0 4M" "${model[vda]}" >/dev/null
status=0
bash "$srcdir/examples/backup-guest" web1 "$kept" >line 2>&1 || status=$?
cat line
[ $status = 2 ] && grep -Eq "no backup: vda: .*% $lab_small\$" line \
  || { cat "$kept/details"; fail "status $status"; }
[ -z "$(find "$kept" -mindepth 1 -name '*backup-*')" ] || fail "left: $(find "$kept")"
[ "$(virsh checkpoint-list web1 --name | grep -c .)" = 2 ] || fail "its checkpoint is left"
wait_until 10 no_job web1
kept=$kept_before
backup 0 'vda increment .*vdb increment'
restored "$point"

# ── The guest stops meanwhile: none; but the next ──
day 42
changes
nbdinfo () { virsh destroy web1 >/dev/null; command nbdinfo "$@"; }
export -f nbdinfo
for disk in vda vdb; do guest_write web1 $disk flush >/dev/null; done
stop=yes backup 2 'no backup: '
unset -f nbdinfo
guest_is_off web1 || fail "it runs"
backup 0 ''
restored "$point"

# ── The power fails: the checkpoint's bitmap was in QEMU only, and its document is left,
# which goes as soon as the guest runs; the record of all disks is broken ──
day 43
guest_start web1
changes
nbdinfo ()
{
  touch "$tmpdir/at-work"
  while [ -e "$tmpdir/hold" ]; do sleep 0.1; done
  command nbdinfo "$@"
}
export -f nbdinfo
export tmpdir
touch hold
now=$((now + 60))
bash "$srcdir/examples/backup-guest" web1 "$kept" >killed.log 2>&1 &
pid=$!
wait_until 60 [ -e at-work ]
for disk in vda vdb; do guest_write web1 $disk flush >/dev/null; done
# QEMU first: while it lives, a checkpoint that nobody has read is taken back, whoever
# is killed.
guest_crash web1
kill -KILL $pid
wait $pid 2>/dev/null || :
rm hold
left=$(cd "$kept" && echo .backup-*)
[ -d "$kept/$left" ] || fail "it was not at work"
now=$((now + 60)) status=0
bash "$srcdir/examples/backup-guest" web1 "$kept" >line 2>err || status=$?
cat line err
[ $status = 1 ] && grep -q "vda full .*vdb full .*the checkpoint of $left is still there" line \
  || { cat "$kept/details"; fail "status $status"; }
point=$(cd "$kept" && echo backup-* | xargs -n 1 | tail -n 1)
remember
restored "$point"
guest_start web1
changes
backup 0 'vda increment .*vdb increment'
restored "$point"
