#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint estimate, of images: what it counts is what the plugin shows, and
# what it guesses is about what qemu-img makes of that.  SEED=n ROUNDS=m.
. "$(dirname "$0")/functions.sh"

bounded "$python" "$srcdir/tests/estimate-property.py" "$tool" "$plugin" \
  "$filter" "$(rounds 6)"
rm -f ./*.qcow2

# ── Larger than the sample: half of 256 clusters are noise ──
guest_disk disk.qcow2 48M
qemu-img bitmap --add disk.qcow2 monday
qemu-img convert -O qcow2 disk.qcow2 before.qcow2
"$python" - <<'END'
import random
dice = random.Random(1)
with open("noise", "wb") as file:
    for cluster in range(256):
        file.write(dice.randbytes(65536) if dice.randrange(2) else b"\7" * 65536)
END
qemu-io -f qcow2 -c 'write -q -s noise 16M 16M' -c 'write -q -z 40M 1M' disk.qcow2
sha256sum ./*.qcow2 >sums
# about FILTER FILE: a number of the JSON.
about () { jq ".checkpoints[] | select(.name == \"monday\").disks[0]$1" "$2"; }
for seed in 1 2 3; do
  "$tool" estimate --file=disk.qcow2 --json --seed=$seed >$seed.json
  [ "$(jq .seed $seed.json)" = $seed ] || fail "not its seed"
done
"$tool" estimate monday --file=disk.qcow2 --json --seed=2 >again.json
diff -u <(jq '.checkpoints[] | select(.name == "monday")' 2.json) \
  <(jq '.checkpoints[]' again.json) || fail "a seed gives another guess"
[ "$(cat ?.json | jq '.checkpoints[] | select(.name == "monday").disks[0].compressed.about' \
  | sort -u | wc -l)" -gt 1 ] || fail "a sample that does not depend on its seed"
jq -e '[.checkpoints[].name] == ["monday"] and (.checkpoints[0].disks[0] | .data == 16777216
       and .zeroes == 1048576 and .runs == 2 and .sampled == 64
       and .clusters == 256)' 1.json
# Four standard deviations of a sample of 64 that is half and half.
for flags in '' -c; do
  # shellcheck disable=SC2016
  serve disk.qcow2 checkpoint=monday -- "qemu-img convert $flags -f raw \
    -B before.qcow2 -F qcow2 -O qcow2 \"\$uri\" backup.qcow2"
  size=$(stat -c %s backup.qcow2)
  for seed in 1 2 3; do
    if [ -n "$flags" ]; then
      guess=$(about .compressed.about $seed.json) slack=$((16 * 1024 * 1024 / 4))
    else
      guess=$(about .backup.about $seed.json) slack=65536
    fi
    [ "$guess" -ge $((size - slack)) ] && [ "$guess" -le $((size + slack)) ] \
      || fail "convert $flags: $guess were guessed, and there are $size"
  done
done

sha256sum -c --quiet sums || fail "an image was changed"

# ── For people ──
qemu-img bitmap --add disk.qcow2 tuesday
qemu-io -f qcow2 -c 'write -q -P 5 1M 100k' disk.qcow2
cp disk.qcow2 other.qcow2
rm backup.qcow2
sha256sum ./*.qcow2 >sums
both=(--file=disk.qcow2 --file=vdb:other.qcow2)
"$tool" estimate "${both[@]}" >table
cat table
grep -Eq '^Since +Disk +Dirty +Data +Zeroes +Runs +Backup +Compressed$' table
grep -Eq '^monday +vda +17\.1 MiB +16\.1 MiB +1\.0 MiB +3 +~16\.[0-9] MiB +~[0-9.]+ MiB$' table
grep -Eq '^tuesday +\(all\) +256\.0 KiB +256\.0 KiB +0 B +2 +~[0-9.]+ [KM]iB +~' table \
  || fail "no sum of two disks"
! grep -E '^.{81}' table || fail "wider than 80 columns"
"$tool" estimate tuesday "${both[@]}" --json \
  | jq -e '.checkpoints[0] | .all.dirty == 262144 and (.disks | length) == 2
           and .all.backup.about == (.disks | map (.backup.about) | add)'

# ── A record that is refused: why, and what a full backup would be ──
cp disk.qcow2 killed.qcow2
kill_writer killed.qcow2
sha256sum killed.qcow2 >>sums
status=0
"$tool" estimate --file=killed.qcow2 >table || status=$?
cat table
[ $status = 1 ] || fail "status $status"
grep -Eq '^monday +vda +- +- +- +- +- +-$' table || fail "it was estimated"
grep -Eq '^monday: disk vda: bitmap monday.* is inconsistent.*full backup' table
full=$(sed -nE 's/^\(full\) +vda .* ~([0-9.]+) MiB +~.*/\1/p' table)
qemu-img convert -O qcow2 killed.qcow2 backup.qcow2
size=$(stat -c %s backup.qcow2)
"$python" -c "import sys; sys.exit(abs($full * 1048576 - $size) > 131072)" \
  || fail "a full backup of $full MiB was guessed, and has $size"
status=0
"$tool" estimate --json --file=killed.qcow2 >refused.json || status=$?
jq -e '(.checkpoints | length) == 2 and .full[0].target == "vda"
  and (.checkpoints[].disks[0] | .refused and .dirty == null and .backup == null)
  and .checkpoints[0].all.dirty == null' refused.json
[ $status = 1 ] || fail "status $status"

# ── What is not there ──
qemu-img create -q -f qcow2 new.qcow2 1M
"$tool" estimate --file=new.qcow2 | grep -qx 'no checkpoint covers a disk, so a backup has all of it' \
  || fail "a disk without checkpoint"
rm new.qcow2
tool_says 1 'no checkpoint sunday' estimate sunday --file=disk.qcow2
tool_says 2 '--seed=x is no number' estimate --file=disk.qcow2 --seed=x
tool_says 2 'two sources are given, --file and --uri' estimate \
  --file=disk.qcow2 --uri=nbd://localhost
# A disk that was not named is none that lost its record.
mkdir tree
cat >tree/monday.xml <<END
<domaincheckpoint><name>monday</name><disks>
  <disk name='vda' checkpoint='bitmap'/><disk name='vdz' checkpoint='bitmap'/>
</disks></domaincheckpoint>
END
"$tool" estimate --tree=tree --file=vda:disk.qcow2 >table
grep -Eq '^monday +vda +17\.1 MiB' table
grep -q '^monday: disk vdz: there is no disk vdz' table
sha256sum -c --quiet sums || fail "an image was changed"
leaves_nothing
