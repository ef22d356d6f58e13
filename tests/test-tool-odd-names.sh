#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Commands that are printed do what they say, whatever the names in them: no other
# bitmap of a similar name goes, a terminal is told nothing, and no shell is.
. "$(dirname "$0")/functions.sh"

dir=$'o\'dd $(touch run)\n\e[31mdir'
mkdir "$dir"
cd "$dir"
names=(-f --object=x 'a b' $'a\nb' $'a\tb' "q'\$(touch run)" $'\e]0;x\a'
  $'bi\xe2\x80\xaedi' $'-\xe2\x80\xae' 'per%s\134n' '`touch run`' 'ü')
guest_disk disk.qcow2 16M
for name in "${names[@]}"; do qemu-img bitmap --add -- disk.qcow2 "$name"; done
qemu-io -f qcow2 -c 'write -q 1M 64k' -c 'sigraise 9' disk.qcow2 || :
# One of them is good again.
qemu-img bitmap --remove disk.qcow2 'a b'
qemu-img bitmap --add disk.qcow2 'a b'

"$tool" check --file=disk.qcow2 >log 2>&1 || [ $? -eq 2 ]
! grep -aP '[\x00-\x09\x0b-\x1f\x7f]|\xe2\x80\xae' log \
  || fail "control characters are printed"
grep -A 1 '; type:$' log | grep -v '; type:$\|^--$' >typed
[ "$(grep -c . typed)" -eq $((${#names[@]} - 1)) ] || { cat log; fail "lines"; }
for shell in sh bash; do
  cp disk.qcow2 kept.qcow2
  "$shell" -eux typed || { cat typed; fail "cannot be typed in $shell"; }
  "$tool" check --file=disk.qcow2 || fail "$shell mended nothing"
  "$tool" list --name --file=disk.qcow2 >left
  echo 'a b' | diff -u - left || fail "another one went"
  mv kept.qcow2 disk.qcow2
done
"$tool" check --fix --yes --file=disk.qcow2 >out 2>log || fail "not mended"
! grep -aP '[\x00-\x09\x0b-\x1f\x7f]' log || fail "control characters, typed"
[ ! -e run ] || fail "a name was run"

# ── A document's disk is called like a program of sed's ──
guest_disk other.qcow2 16M
qemu-img bitmap --add other.qcow2 c
disk ()
{
  echo "<disk type='file'><source file='$tmpdir/$1'/><target dev='$2'/></disk>"
}
mv disk.qcow2 other.qcow2 "$tmpdir"
cd "$tmpdir"
mkdir tree
for target in 'x| |;w run&#10;' 'x. |y|;w run&#10;#'; do
  cat >tree/c.xml <<END
<domaincheckpoint><name>c</name><creationTime>1</creationTime><disks>
<disk name='$target' checkpoint='bitmap'/><disk name='vdb' checkpoint='bitmap'/>
</disks><domain type='qemu'><name>a</name><devices>
$(disk disk.qcow2 "$target")$(disk other.qcow2 vdb)
</devices></domain></domaincheckpoint>
END
  "$tool" check --fix --yes --file=disk.qcow2 --file=other.qcow2 --tree=tree \
    2>log && fail "nothing is found"
  [ ! -e run ] || fail "a document wrote a file"
done
