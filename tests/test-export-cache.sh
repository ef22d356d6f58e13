#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A disk that is served whole shows all of itself also after a part of another of
# its views was opened, which is of the same layer and without a bitmap as well.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk base.qcow2 16M
lab_start
guest_define web1 base.qcow2
guest_start web1
virsh checkpoint-create-as web1 monday
virsh checkpoint-create-as web1 tuesday
guest_destroy web1
# An overlay without bitmaps, as of a snapshot that libvirt did not make.
qemu-img create -q -f qcow2 -b "$PWD/base.qcow2" -F qcow2 top.qcow2
qemu-io -f qcow2 -c 'write -q -P 3 12M 64k' top.qcow2
qemu-img bitmap --remove base.qcow2 monday
virsh dumpxml --inactive web1 | sed "s|base.qcow2|top.qcow2|" >now.xml
virsh define now.xml

# maps EXPORT…: read one after the other from one server; "list" lists them.
maps ()
{
  exports="$*" serve libvirt="$connect" domain=web1 checkpoint=monday \
    on-missing=full "${view[@]}" -- '
    for export in $exports; do
      if [ $export = list ]; then nbdinfo --list "$uri" >list
      else
        nbdinfo --map --json "nbd+unix:///$export?socket=$unixsocket" \
          >$(echo $export | tr / -).json
      fi
    done'
}
for view in view=overlay view=sparse; do
  view=($view)
  maps vda
  mv vda.json alone.json
  clean=1
  [ ${view#view=} = overlay ] || clean=3
  jq -e "[.[] | select(.type == $clean)] == []" alone.json || fail "not whole"
  for before in vda@tuesday/0 list 'vda@tuesday/1 vda@tuesday/0'; do
    maps $before vda
    diff alone.json vda.json || fail "after $before, vda is not whole"
  done
  maps vda@tuesday/0
  mv vda@tuesday-0.json part.json
  maps vda vda@tuesday/0
  diff part.json vda@tuesday-0.json || fail "after vda, its part is another"
done
