#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The cookbook's recipes for compressed backups, raw copies, restic and borg.
. "$(dirname "$0")/cookbook.sh"
requires restic
requires borg

guest_web1
virsh checkpoint-create-as web1 monday
qemu-img convert -U -O qcow2 $images/web1.qcow2 vda-monday.qcow2
qemu-img convert -U -O raw $images/web1.qcow2 vda.raw
# Zeroes where there was data, data where there were zeroes.
writes vda "write -P 2 1M 1M"
writes vda "write -z 3M 64k"
writes vda "write -P 0 4M 64k"
writes vda "write -P 5 12M 64k"
now web1

recipe compressed
same_as "$tmpdir/web1.now" vda-tuesday.qcow2
[ "$(stat -c %s vda-tuesday.qcow2)" -lt $((1 << 20)) ] || fail "not compressed"
qemu-img map -f qcow2 --output=json vda-tuesday.qcow2 \
  | jq -r '.[] | select(.depth == 0) | "\(.start) \(.length)"' | join_ranges \
  | diff -u <(printf '%s\n' '1048576 1048576' '3145728 65536' '4194304 65536' '12582912 65536') - \
  || fail "other blocks"
virsh checkpoint-delete web1 tuesday

inode=$(stat -c %i vda.raw)
recipe raw-copy
cmp vda.raw "$tmpdir/web1.now" || fail "another copy"
[ "$(stat -c %i vda.raw)" = "$inode" ] || fail "another file"
grep -q '^vda.raw equals disk vda' "$tmpdir/printed"

# A copy that breaks off is no backup.
mkdir "$tmpdir/breaks"
cat >"$tmpdir/breaks/nbdcopy" <<'END'
#!/bin/bash
PATH=${PATH#*:}
nbdcopy "$@" | head -c 1M
exit 1
END
chmod +x "$tmpdir/breaks/nbdcopy"
for program in restic borg; do
  (PATH=$tmpdir/breaks:$PATH
   recipe_status=$([ $program = borg ] && echo 2 || echo 1) recipe $program)
done
[ -z "$(BORG_REPO=/srv/backup/borg BORG_PASSPHRASE=tops3cret borg list)" ] \
  || fail "borg keeps what broke off"
for program in restic borg; do
  recipe $program
  recipe $program-restore
  cmp vda-restored.raw "$tmpdir/web1.now" || fail "$program has other bytes"
  rm vda-restored.raw
done
no_job web1 || fail "a job is left"
