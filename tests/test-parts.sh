#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A view over a backing chain: its parts are exported, each with its own dirty
# bits and the same bytes; the plain name is refused with what to do.  United,
# the parts are what changed.
. "$(dirname "$0")/functions.sh"

guest_layers

refuses_export 'vda since monday is spread over 3 parts.*top.qcow2 \(bitmap monday\).*middle.qcow2 \(no bitmap\).*base.qcow2 \(bitmap monday\).*--filter=bitmap-merge' \
  vda top.qcow2 checkpoint=monday
refuses_export 'spread over 3 parts' vda@monday top.qcow2
refuses_export 'there are 3 parts' vda@monday/3 top.qcow2

# No message advises a part, which alone lacks blocks: nor of two such disks.
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 other.qcow2
qemu-img bitmap --add other.qcow2 monday
refuses_export 'ask for one of the exports vda, vda@monday, vdb, vdb@monday, or start with disk=' \
  '' top.qcow2 other.qcow2 checkpoint=monday
refuses_export 'vdb since monday is spread over 2 parts.*--filter=bitmap-merge' \
  vdb top.qcow2 other.qcow2 checkpoint=monday

serve top.qcow2 checkpoint=monday -- 'nbdinfo --list --json "$uri"' >list.json
[ "$(jq -r '[.exports[]["export-name"]] | join(",")' list.json)" \
  = vda/0,vda/1,vda/2,vda@monday/0,vda@monday/1,vda@monday/2,vda@ ] \
  || fail "$(cat list.json)"
jq -r '.exports[4].description' list.json \
  | grep -q '^part 1 of 3: disk vda since .*, to be united; in .*middle.qcow2;' \
  || fail "the description does not name the layer"

serve top.qcow2 -- '
  for part in 0 1 2; do
    export="nbd+unix:///vda@monday/$part?socket=$unixsocket"
    nbdinfo --map --json "$export" >$part.json
    nbdcopy "$export" $part.img
  done'
cmp 0.img 1.img
cmp 0.img 2.img
qemu-img compare -f raw -F qcow2 0.img top.qcow2

# "offset type" of what is dirty, in KiB.
dirty () { jq -r '.[] | select(.type != 1) | "\(.offset / 1024)+\(.length / 1024)=\(.type)"' "$1.json" | paste -sd' '; }
[ "$(dirty 0)" = "5120+64=0 18432+64=0" ] || fail "part 0: $(dirty 0)"
# All that is allocated in the middle layer or above.
[ "$(dirty 1)" = "2048+64=0 3072+64=3 5120+64=0 18432+64=0" ] \
  || fail "part 1: $(dirty 1)"
# Beyond the end of the lowest layer nothing is known, so all is dirty.
[ "$(dirty 2)" = "1024+64=0 16384+2048=3 18432+64=0 18496+1984=3" ] \
  || fail "part 2: $(dirty 2)"
