#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Backups of a running guest: verified in the run that makes them, while the guest
# writes; and later, when what it wrote since is excused; a record that lies is
# found both ways.  No job is left, however verify ends.
. "$(dirname "$0")/${lab_of:-libvirt}-lab.sh"

guest_disk vda.qcow2 64M
lab_start
guest_define web1 vda.qcow2
guest_start web1
source_of web1
export tool
case $lab_kind in
  qmp)
    whose=(--qmp=web1.sock)
    ask () { qmp web1.see "$@"; } ;;
  *)
    whose=(--libvirt="$connect" --domain=web1)
    ask () { lab_qmp web1 "$@"; } ;;
esac

# verify STATUS ARGS…: printed is what it says.
verify ()
{
  local expected=$1 status=0
  shift
  bounded "$tool" verify "${whose[@]}" "$@" >printed 2>log || status=$?
  cat printed log
  [ "$status" -eq "$expected" ] || fail "verify $* ended with status $status"
  wait_until 10 no_job web1
}
says () { grep -Eq -- "$1" printed || fail "it does not say $1"; }

serve "${source[@]}" create=monday on-missing=full -- '
  qemu-img convert -f raw -O qcow2 "$uri" monday.qcow2 &&
  "$tool" verify monday.qcow2 --uri="$uri"' >printed
says '^monday.qcow2 equals disk vda: all of 64.0 MiB$'
guest_write web1 vda 'write -P 2 1M 640k'

# The guest writes between the backup and the proof, to what is in neither.
serve "${source[@]}" checkpoint=monday create=tuesday -- '
  qemu-img convert -f raw -O qcow2 -B monday.qcow2 -F qcow2 "$uri" tuesday.qcow2 &&
  touch copied && while [ ! -e written ]; do sleep 0.05; done &&
  "$tool" verify tuesday.qcow2 --uri="$uri"' >printed &
pids+=($!)
wait_until 60 [ -e copied ]
guest_write web1 vda 'write -P 3 30M 128k'
touch written
wait "${pids[-1]}" || fail "$(cat printed)"
says '^tuesday.qcow2 equals disk vda: 640.0 KiB that changed since monday, and 63.4 MiB that did not$'

# ── Later ──
tool_says 2 'name that \(--since=NAME, --taken-at=NAME, or --full\) of monday, tuesday' \
  verify "${whose[@]}" tuesday.qcow2
tool_says 2 'name that \(NAME\) of monday, tuesday' map "${whose[@]}"
verify 0 tuesday.qcow2 --taken-at=tuesday --sample=30
says '^tuesday.qcow2 equals disk vda: a sample of the 63.9 MiB that did not change since tuesday$'
says '^  not compared: 128.0 KiB that changed after tuesday$'
verify 1 tuesday.qcow2 --since=monday
says '^  128.0 KiB of what changed since monday differ, at:$'
says 'the guest runs, and what it wrote after .*--taken-at=NAME.*--uri="\$uri"'
verify 1 tuesday.qcow2 --full
tool_says 2 'read since one checkpoint: with --taken-at, leave --since out' \
  verify tuesday.qcow2 "${whose[@]}" --since=monday --taken-at=tuesday
wait_until 10 no_job web1
tool_says 2 'cannot read the backup gone.qcow2' \
  verify gone.qcow2 "${whose[@]}" --since=monday
tool_says 2 'cannot be opened: .*log is not a qcow2 image' \
  verify log "${whose[@]}" --since=monday
wait_until 10 no_job web1

# ── The record is cleared by hand ──
node=$(ask query-block \
  | jq -r '[.[].inserted."node-name" | select(. != null)][0]')
ask block-dirty-bitmap-clear "{\"node\": \"$node\", \"name\": \"tuesday\"}"
verify 1 tuesday.qcow2 --taken-at=tuesday
says '^  128.0 KiB did not change since tuesday, says its record, and differ, at:$'
says '^    offset 31457280, 131072 bytes$'
says '^  the record lied .*a full one is due; type:$'
rm -f FULL.qcow2
type_it "$(sed -n 's/^    \(nbdkit\)/\1/p' printed)"
verify 0 FULL.qcow2 --taken-at=NEW

# ── However it ends, no job stays ──
for signal in INT TERM KILL; do
  env --default-signal=INT "$tool" verify FULL.qcow2 "${whose[@]}" \
    --taken-at=NEW >printed 2>log &
  pid=$!
  wait_until 20 eval '! no_job web1 || ! kill -0 $pid 2>/dev/null'
  kill -$signal $pid 2>/dev/null || :
  wait $pid 2>/dev/null || :
  wait_until 40 no_job web1
done
leaves_nothing

# ── Once it is off ──
guest_write web1 vda 'write -P 6 40M 64k'
guest_destroy web1
[ "$lab_kind" = qmp ] || verify 0 FULL.qcow2 --taken-at=NEW
whose=(--file=vda.qcow2)
verify 0 FULL.qcow2 --taken-at=NEW
says '^  not compared: 64.0 KiB that changed after NEW$'
