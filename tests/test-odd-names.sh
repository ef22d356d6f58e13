#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A bitmap may be called anything.  What is listed can be opened, and what is not
# can be had with checkpoint=, or is refused with the reason.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 disk.qcow2 1M
for name in x x/0 y/0 'a b' '@' 'ä/1'; do
  qemu-img bitmap --add disk.qcow2 "$name"
done
qemu-io -f qcow2 -c 'write -q 64k 64k' disk.qcow2
qemu-img bitmap --clear disk.qcow2 x

# nbdinfo opens each that is listed, and fails if it cannot.
serve disk.qcow2 -- 'nbdinfo --list --json "$uri"' >list
jq -r '.exports[]."export-name"' list | sort >names
diff names - <<'END'
vda@
vda@@
vda@a b
vda@x
vda@y/0
vda@ä/1
END
refuses_export "export vda@x/0 can mean checkpoint x/0 or part 0 of checkpoint x; start the server with checkpoint=" \
  vda@x/0 disk.qcow2
serve disk.qcow2 checkpoint=x/0 -- 'nbdinfo --map --totals "$uri"' >totals
grep -Eq '^ *65536 .*data' totals || fail "$(cat totals)"

# Names that are not UTF-8 (Latin-1, here), and one that only looks like it.
qemu-img create -q -f qcow2 latin.qcow2 1M
for name in montXg good $'a\xef\xbf\xbdb'; do
  qemu-img bitmap --add latin.qcow2 "$name"
done
qemu-io -f qcow2 -c 'write -q 64k 64k' latin.qcow2
LC_ALL=C sed -i 's/montXg/mont\xe4g/g' latin.qcow2
serve latin.qcow2 -- 'nbdinfo --list --json "$uri"' >list 2>log
jq -r '.exports[]."export-name"' list | sort >names
printf 'vda@%s\n' '' $'a\xef\xbf\xbdb' good | sort | diff names -
grep -q "1 of 3 checkpoints cannot be served.*mont.*g in $PWD/latin.qcow2 is not UTF-8" \
  log || fail "not told: $(cat log)"
refuses "is not UTF-8, and QEMU cannot be asked for it; make a full backup" \
  latin.qcow2 checkpoint=$'mont\xef\xbf\xbdg'
serve latin.qcow2 checkpoint=good -- 'nbdinfo --map --totals "$uri"' >totals
grep -Eq '^ *65536 .*data' totals || fail "$(cat totals)"
