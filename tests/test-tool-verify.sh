#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint verify: a backup equals the disk, or where it does not, what that
# means, and what to type; it changes nothing, and leaves nothing, also if it is
# told to end.
. "$(dirname "$0")/functions.sh"
mkdir tmp
export TMPDIR=$PWD/tmp tool

# verify STATUS ARGS…: it ends with that status, printed is what it says.
verify ()
{
  local expected=$1 status=0
  shift
  bounded "$tool" verify "$@" >printed 2>log || status=$?
  cat printed log
  [ "$status" -eq "$expected" ] || fail "verify $* ended with status $status"
  [ ! -s log ] || fail "it said: $(cat log)"
}
says () { grep -Eq -- "$1" printed || fail "it does not say $1"; }
says_not () { ! grep -Eq -- "$1" printed || fail "it says $1"; }
is () { [ "$(jq -c "$1" printed)" = "$2" ] || fail "$1 is $(jq -c "$1" printed)"; }

# Ten dirty blocks of data, and one of zeroes.
guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
qemu-img convert -O qcow2 disk.qcow2 monday.qcow2
qemu-io -f qcow2 -c 'write -q -P 2 1M 640k' -c 'write -q -z 3M 64k' disk.qcow2
qemu-img bitmap --add disk.qcow2 tuesday
serve disk.qcow2 checkpoint=monday -- '
  qemu-img convert -f raw -O qcow2 -B monday.qcow2 -F qcow2 "$uri" tuesday.qcow2
  "$tool" verify tuesday.qcow2 --uri="$uri"' >printed 2>log || { cat log; fail "not right"; }
says '^tuesday.qcow2 equals disk vda: 704.0 KiB that changed since monday, and 63.3 MiB that did not$'
cp tuesday.qcow2 right.qcow2
sha256sum ./*.qcow2 >before

# ── Right ones ──
verify 0 tuesday.qcow2 --file=disk.qcow2 --since=monday
says '^tuesday.qcow2 equals disk vda: 704.0 KiB that changed since monday, and 63.3 MiB'
verify 0 tuesday.qcow2 --file=disk.qcow2 --full
says '^tuesday.qcow2 equals disk vda: all of 64.0 MiB$'
verify 0 monday.qcow2 --file=disk.qcow2 --taken-at=monday
says '^monday.qcow2 equals disk vda: 63.3 MiB that did not change since monday$'
says '^  not compared: 704.0 KiB that changed after monday$'
verify 0 tuesday.qcow2 --file=disk.qcow2 --since=monday --taken-at=tuesday --json
is '[.equal, .since, .takenAt, .excused, .findings]' '[true,"monday","tuesday",0,[]]'
is .changed.compared 720896
is .unchanged.compared $((64 * 1048576 - 720896))
# Nothing that the tool does changes a file, or holds it.
sha256sum --quiet -c before
leaves_nothing

# ── Samples: what was chosen is chosen again, and what it is worth ──
verify 0 tuesday.qcow2 --file=disk.qcow2 --since=monday --sample=50 --seed=7
cp printed first
says '^tuesday.qcow2 equals disk vda: 704.0 KiB that changed since monday, and a sample of the 63.3 MiB'
says '^  sample: [0-9]+ of 117 blocks of 64 KiB, --seed=7; if 1 % of them \(2\) were wrong, that would be found with [0-9.]+ %; a single one, with [0-9.]+ %$'
verify 0 tuesday.qcow2 --file=disk.qcow2 --since=monday --sample=50% --seed=7
diff -u first printed
verify 0 tuesday.qcow2 --file=disk.qcow2 --since=monday --sample=50 --json
is '.sample | [.percent == 50, .blockSize, .blocks]' '[true,65536,117]'
is '.sample | .sampled / .blocks - .odds[0].found | fabs < 1e-9' true
# A sample that has none is told to be none.
verify 0 tuesday.qcow2 --file=disk.qcow2 --since=monday --sample=1e-9
says '704.0 KiB that changed since monday, and nothing of the 63.3 MiB that did not$'
# What of one block is clean in several pieces is one block.
guest_disk fine.qcow2 8M
qemu-img bitmap --add -g 4096 fine.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 65536 4k' -c 'write -q -P 2 81920 4k' fine.qcow2
qemu-img convert -O qcow2 fine.qcow2 fine-copy.qcow2
verify 0 fine-copy.qcow2 --file=fine.qcow2 --sample=99 --json
is '[.sample.blocks, .changed.bytes]' '[128,8192]'

# ── A bit of a dirty block ──
qemu-io -f qcow2 -c 'write -q -P 3 1100000 1' tuesday.qcow2
verify 1 tuesday.qcow2 --file=disk.qcow2 --since=monday --sample=1
says '^tuesday.qcow2 differs from disk vda$'
says '^  512 B of what changed since monday differ, at:$'
says '^    offset 1099776, 512 bytes$'
says '^  the backup is not complete, is damaged, or is of another instant; make this increment again; type:$'
says_not 'record lied'
# What is printed makes it right.
type_it "$(sed -n 's/^    \(nbdkit\)/\1/p' printed)"
verify 0 tuesday.qcow2 --file=disk.qcow2 --since=monday
serve disk.qcow2 checkpoint=monday -- '! "$tool" verify monday.qcow2 --uri="$uri"' >printed
says 'another instant than the export; make this backup again$'


# ── What is clean is zeroes in no backup, though view=sparse calls it so ──
cp right.qcow2 tuesday.qcow2
qemu-io -f qcow2 -c 'write -q -z 6M 64k' tuesday.qcow2
for view in overlay sparse; do
  ! serve disk.qcow2 checkpoint=monday view=$view -- '
    "$tool" verify tuesday.qcow2 --uri="$uri"' >printed || fail "not found: $view"
  says '^  64.0 KiB did not change since monday, says its record, and differ, at:$'
  says '^    offset 6291456, 65536 bytes$'
done
verify 1 tuesday.qcow2 --file=disk.qcow2 --since=monday
says '^    offset 6291456, 65536 bytes$'

# ── Dirty blocks, with data and with zeroes, that were left out ──
verify 1 monday.qcow2 --file=disk.qcow2 --since=monday --json
is '[.equal, .changed.differing, .unchanged.differing]' '[false,720896,0]'
is .changed.places '[{"offset":1048576,"length":655360},{"offset":3145728,"length":65536}]'
is '[.findings[].code]' '["changed-differs"]'

# ── A backup that nothing is left of without the disk ──
qemu-img create -q -f qcow2 -b disk.qcow2 -F qcow2 onto.qcow2
qemu-img create -q -f qcow2 -b onto.qcow2 -F qcow2 upon.qcow2
ln disk.qcow2 same.qcow2
for backup in onto upon; do
  tool_says 2 "the backup .*/$backup.qcow2 is no backup without disk vda: it lies on .*/disk.qcow2.* qemu-img rebase -u -F qcow2 -b THAT_FILE [^ ]*/onto.qcow2$" \
    verify $backup.qcow2 --file=disk.qcow2 --since=monday
done
for backup in disk same; do
  tool_says 2 "$backup.qcow2 is the image of disk vda itself" \
    verify $backup.qcow2 --file=disk.qcow2 --full
done
rm same.qcow2 onto.qcow2 upon.qcow2

# ── Writes that no bitmap has, and what is typed then ──
cp right.qcow2 tuesday.qcow2
qemu-img bitmap --remove disk.qcow2 monday
qemu-img bitmap --add disk.qcow2 monday
verify 1 monday.qcow2 --file=disk.qcow2 --since=monday
says '^  704.0 KiB did not change since monday, says its record, and differ, at:$'
says '^    offset 1048576, 655360 bytes$'
says '^    offset 3145728, 65536 bytes$'
says '^  the record lied .* a full one is due; type:$'
type_it "$(sed -n 's/^    \(qemu-checkpoint\)/\1/p' printed)"
qemu-img compare -q disk.qcow2 FULL.qcow2
verify 0 FULL.qcow2 --file=disk.qcow2 --since=NEW
verify 1 monday.qcow2 --file=disk.qcow2 --taken-at=monday --json
is '[.unchanged.differing, .changed.bytes]' '[720896,0]'
is '[.findings[].code]' '["unchanged-differs"]'

# ── Whose record is in several layers ──
mkdir layers
(
  cd layers
  guest_layers
  serve --filter="$filter" top.qcow2 checkpoint=monday -- '
    qemu-img convert -f raw -O qcow2 -B monday.qcow2 -F qcow2 "$uri" tuesday.qcow2
    "$tool" verify tuesday.qcow2 --uri="$uri"'
  verify 0 tuesday.qcow2 --file=top.qcow2 --since=monday
  # Who does not know of bitmaps writes to a layer.
  qemu-img convert -O qcow2 base.qcow2 plain.qcow2
  qemu-img bitmap --add plain.qcow2 monday
  qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' -c 'write -q -P 9 3584k 512' plain.qcow2
  qemu-img bitmap --clear plain.qcow2 monday
  qemu-img rebase -u -b plain.qcow2 -F qcow2 middle.qcow2
  verify 1 tuesday.qcow2 --file=top.qcow2 --since=monday
  says '^    offset 3670016, 512 bytes$'
  qemu-io -f qcow2 -c 'write -q -P 8 18M 512' tuesday.qcow2
  verify 1 tuesday.qcow2 --file=top.qcow2 --since=monday
  says '^  512 B of what changed since monday differ'
  printed=$(sed -n 's/^    \(nbdkit\)/\1/p' printed)
  [[ $printed == *' --filter=bitmap-merge '* ]] || fail "not united: $printed"
  type_it "$printed"
  # Made by a record that lies, it lacks what the last one had.
  verify 1 tuesday.qcow2 --file=top.qcow2 --since=monday --json
  is '[.changed.differing, .unchanged.differing]' '[0,66048]'
)

# ── Disks that were resized ──
qemu-img create -q -f qcow2 grown.qcow2 4M
qemu-io -f qcow2 -c 'write -q -P 1 0 1M' grown.qcow2
qemu-img bitmap --add grown.qcow2 monday
qemu-img convert -O qcow2 grown.qcow2 small.qcow2
qemu-img resize -q grown.qcow2 6M
verify 1 small.qcow2 --file=grown.qcow2 --since=monday
says '^  the backup ends at 4194304, and the disk at 6291456$'
says_not ' differ, at:'
verify 0 small.qcow2 --file=grown.qcow2 --taken-at=monday
qemu-io -f qcow2 -c 'write -q -P 5 5M 512' grown.qcow2
verify 1 small.qcow2 --file=grown.qcow2 --since=monday --json
is '[.findings[].code]' '["too-short","changed-differs"]'
is '[.diskSize, .backupSize, .changed.places]' '[6291456,4194304,[{"offset":5242880,"length":512}]]'
serve grown.qcow2 checkpoint=monday -- '
  qemu-img convert -f raw -O qcow2 -B small.qcow2 -F qcow2 "$uri" large.qcow2'
verify 0 large.qcow2 --file=grown.qcow2 --since=monday
# A block device may be larger.
qemu-img resize -q large.qcow2 7M
verify 0 large.qcow2 --file=grown.qcow2 --since=monday
says '^  note: the backup is 1.0 MiB larger than the disk$'
qemu-io -f qcow2 -c 'write -q -P 5 6815744 1k' large.qcow2
verify 1 large.qcow2 --file=grown.qcow2 --since=monday
says '^  the disk ends at 6291456, and the backup has 1.0 KiB of data beyond, at:$'
# It was made smaller after the backup.
verify 0 large.qcow2 --file=grown.qcow2 --taken-at=monday

# ── Without any checkpoint; raw ones; odd sizes ──
qemu-img create -q -f raw plain.raw 3000000
qemu-io -f raw -c 'write -q -P 6 2999808 100' plain.raw
cp plain.raw copy.raw
raw=(--file=plain.raw --format=raw --backup-format=raw --full)
"$tool" verify copy.raw "${raw[@]}" 2>log | grep '^copy.raw equals disk vda: all of 2.9 MiB$' \
  || fail "raw files: $(cat log)"
qemu-io -f raw -c 'write -q -P 7 2999900 1' copy.raw
! "$tool" verify copy.raw "${raw[@]}" --json >printed 2>log || fail "not found"
is '.changed.places' '[{"offset":2999808,"length":512}]'
# Of a larger one, all is read up to the end of the disk, and no further.
truncate -s 5M copy.raw
qemu-io -f raw -c 'write -q -P 7 4M 512' copy.raw
! serve file=plain.raw format=raw on-missing=full -- '
  "$tool" verify copy.raw --backup-format=raw --json --uri="$uri"' >printed || fail "not found"
is '[.changed.differing, .beyond.differing, .unchanged.bytes]' '[512,512,0]'
qemu-img create -q -f qcow2 -b copy.raw -F raw over.qcow2 3000000
qemu-img create -q -f qcow2 none.qcow2 3000000
qemu-io -f qcow2 -c 'write -q -P 6 2999808 100' none.qcow2
verify 1 over.qcow2 --file=none.qcow2
says '^  512 B differ, at:$'

# ── What it does not take ──
tool_says 2 'no percentage' verify tuesday.qcow2 --file=disk.qcow2 --sample=0
tool_says 2 'no percentage' verify tuesday.qcow2 --file=disk.qcow2 --sample=nan
tool_says 2 'no percentage' verify tuesday.qcow2 --file=disk.qcow2 --sample=101
tool_says 2 'seed goes with --sample' verify tuesday.qcow2 --file=disk.qcow2 --seed=1
tool_says 2 'leave out --since' verify tuesday.qcow2 --file=disk.qcow2 --full --since=monday
tool_says 2 'since=NAME; or --full.*checkpoints .*monday' verify tuesday.qcow2 --file=disk.qcow2
tool_says 2 'monday' verify tuesday.qcow2 --file=disk.qcow2 --since=mon
tool_says 2 'cannot read the backup gone.qcow2: No such file' verify gone.qcow2 --file=disk.qcow2
tool_says 2 'the backup cannot be opened: .*copy.raw is not .*; if it is raw, add --backup-format=raw$' verify copy.raw --file=disk.qcow2 --full
serve disk.qcow2 checkpoint=monday view=guard -- '
  "$tool" verify tuesday.qcow2 --uri="$uri" 2>log; [ $? -eq 2 ]' || fail "guard"
grep -q 'start that server with view=overlay' log || fail "$(cat log)"
# A backup that is being written to.
qemu-nbd -t -f qcow2 -k "$PWD/writer.sock" --fork --pid-file="$PWD/writer.pid" tuesday.qcow2
pids+=("$(cat writer.pid)")
tool_says 2 'the backup cannot be opened: .*tuesday.qcow2 is in use .*; wait until that has ended$' verify tuesday.qcow2 --file=disk.qcow2 --since=monday
kill "$(cat writer.pid)"
wait_until 20 has_ended "$(cat writer.pid)"

# What cannot be read is no difference, and not equal either.
qemu-img convert -c -O qcow2 disk.qcow2 unreadable.qcow2
"$python" - unreadable.qcow2 <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    data = f.read()
    # QEMU makes L1 and L2 tables as it goes: their entries are found by the flag.
    at = next(n for n in range(0, len(data), 8)
              if data[n] & 0xc0 == 0x40 and n >= 3 * 65536)
    host = int.from_bytes(data[at:at + 8], "big") & ((1 << 54) - 1)
    f.seek(host)
    f.write(bytes([0xff]) * 16)
END
tool_says 2 'disk backup.*Input/output error' \
  verify unreadable.qcow2 --file=disk.qcow2 --full

# ── Told to end ──
qemu-img create -q -f qcow2 big.qcow2 2G
qemu-img bitmap --add big.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 1 0 100M' big.qcow2
qemu-img convert -c -O qcow2 big.qcow2 big-copy.qcow2
sha256sum big.qcow2 big-copy.qcow2 >before
verify 0 big-copy.qcow2 --file=big.qcow2 --since=monday
cp printed whole
died=0
for ((round = 0; round < 8; round++)); do
  signals=(INT TERM KILL INT)
  env --default-signal=INT "$tool" verify big-copy.qcow2 --file=big.qcow2 \
    --since=monday >printed 2>log &
  pid=$!
  sleep "0.0$((round * 7 % 10))$((RANDOM % 10))"
  kill -"${signals[round % 4]}" $pid 2>/dev/null || :
  status=0
  wait $pid 2>/dev/null || status=$?
  [ $status -eq 0 ] || died=$((died + 1))
  [ $status -eq 0 ] || [ $status -gt 128 ] || fail "status $status: $(cat log)"
  # It may have been told just as it was done.
  [ ! -s printed ] || diff -u whole printed || fail "another verdict"
  leaves_nothing
done
[ $died -gt 0 ] || fail "none was told while it ran"
[ -z "$(ls tmp)" ] || fail "left over: $(ls tmp)"
sha256sum --quiet -c before || fail "an image was changed"
qemu-io -f qcow2 -c 'write -q -P 9 0 64k' big-copy.qcow2 || fail "it is still locked"
leaves_nothing
