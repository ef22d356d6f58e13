#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Paths and working folders that are not UTF-8 (Latin-1, here) are served like
# others, though QEMU cannot be told them: the top image, a raw file below it, an
# external data file.  What is said of them is UTF-8.
. "$(dirname "$0")/functions.sh"
requires nbdinfo iconv

folder=$PWD/$(printf 'r\351pertoire')
mkdir "$folder"
cd "$folder"
top=$(printf 'c\364t\351.qcow2') base=$(printf 'b\342se.raw')
data=$folder/$(printf 'donn\351es')
qemu-img create -q -f raw "$base" 16M
qemu-io -f raw -c 'write -q -P 1 0 4M' "$base"
qemu-img create -q -f qcow2 -b "$base" -F raw lower.qcow2
qemu-img bitmap --add lower.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' lower.qcow2
qemu-img create -q -f qcow2 -o data_file="$data" -b lower.qcow2 -F qcow2 "$top"
qemu-img bitmap --add "$top" monday
qemu-io -f qcow2 -c 'write -q -P 3 2M 64k' -c 'write -q -z 3M 64k' "$top"
qemu-img convert -f qcow2 -O raw "$top" truth.raw

# check COMMAND…: it serves the right bytes, and calls what changed dirty.
check ()
{
  "$@" --run 'nbdinfo --list "$uri" >list; nbdinfo --json --map "$uri" >map
              qemu-img convert -f raw -O raw "$uri" copy.raw'
  cmp copy.raw truth.raw
  jq -e '[.[] | select(.type != 1)] | map([.offset, .length]) == [
    [1048576, 65536], [2097152, 65536], [3145728, 65536]]' map
  iconv -f UTF-8 -t UTF-8 list >/dev/null || fail "a description is not UTF-8"
  rm copy.raw map
}
merge=(nbdkit -U - --filter="$filter" "$plugin")
check "${merge[@]}" "$top"
check "${merge[@]}" file="vda:$folder/$top"
check "${merge[@]}" file="$top" cache=none
# A reading past the page cache, and parts, tell the layer's file.
nbdkit -U - "$plugin" "$top" --run 'nbdinfo --list "$uri"' >list
iconv -f UTF-8 -t UTF-8 list >/dev/null || fail "a description is not UTF-8"
grep -q 'vda@monday/1' list
grep -q 'r.*pertoire/c.*t.*qcow2' list || fail "the layer is not told: $(cat list)"

# The daemon that a server has once it is another user's opens them, too.
if [ "$(id -u)" -eq 0 ]; then
  chmod 755 . ..
  chmod 644 -- *
  chmod 777 .
  check "${merge[@]}" "$top" --user=nobody --group="$(id -gn nobody)"
fi

# A message says where, as it is written.
mv "$base" away
refuses "backing file of .*lower.qcow2: cannot open .*b.*se.raw: No such file" \
  "$top"
mv away "$base"
mv "$data" away
refuses "data file of .*c.*t.*.qcow2: cannot open .*donn.*es: No such file" "$top"
mv away "$data"
