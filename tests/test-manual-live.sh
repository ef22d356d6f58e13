#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The manual's examples for running guests do what they say.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2
guest_disk vdb.qcow2
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1

place=
# recipe FILE PATTERN: the indented lines from the first after PATTERN on, for
# this daemon and the uninstalled plugin.
recipe ()
{
  local text
  text=$(awk -v pattern="$2" '
      $0 ~ pattern { on = 1 }
      on && /^ / { print; seen = 1; next }
      seen { exit }' "$srcdir/$1" \
    | sed -E "s,(nbdkit .*)\\bcheckpoint ,\\1$plugin ,; s,qemu:///system,$connect,;$place")
  [[ $text == *"$plugin"* ]] || fail "$1 has no example $2"
  echo "$text"
  local status=0
  bounded bash -eu -c "$text" || status=$?
  did_end $status "example $2"
  [ $status -eq 0 ] || fail "example $2 ended with status $status"
  case $text in
    *domjobabort*) wait_until 10 no_job web1 ;; # which returns before the job has ended
    *) no_job web1 || fail "example $2 leaves a job" ;;
  esac
}
pod=docs/nbdkit-checkpoint-plugin.pod
# The guest is paused: the disk is what it was when the job began.
same () { qemu-img compare -U -F qcow2 "$@"; }

recipe $pod '^=for test live-full$'
same -f qcow2 sunday.qcow2 vda.qcow2
guest_write web1 vda "write -P 2 1M 64k"
recipe $pod '^=for test live-incremental$'
same -f qcow2 monday.qcow2 vda.qcow2
[ "$(allocated monday.qcow2)" = "1048576 65536" ] || fail "not an increment"
recipe $pod '^=for test live-several$'
same -f raw vda.raw vda.qcow2
same -f raw vdb.raw vdb.qcow2

# The job that is begun by hand.
rm sunday.qcow2 monday.qcow2
virsh checkpoint-delete web1 tuesday
qemu-img convert -U -O qcow2 vda.qcow2 monday.qcow2
guest_write web1 vda "write -P 3 2M 64k"
place="s,/var/lib/libvirt/images,$PWD,"
[ "$(id -u)" -eq 0 ] || place+="; s,/run/web1.sock,$XDG_RUNTIME_DIR/web1.sock,"
for file in backup.xml checkpoint.xml; do
  awk -v name="=for test $file" '$0 == name { on = 1; next }
    on && /^ / { print; seen = 1; next }  seen { exit }' "$srcdir/$pod" \
    | sed "$place" >$file
  [ -s $file ] || fail "the manual has no $file"
done
recipe $pod '^=for test pull$'
same -f qcow2 tuesday.qcow2 vda.qcow2
[ "$(allocated tuesday.qcow2)" = "2097152 65536" ] || fail "not an increment"
[ "$(virsh checkpoint-list web1 --name | sort | xargs)" \
  = "monday sunday tuesday" ] || fail "other checkpoints"
[ ! -e web1.vda.scratch ] || fail "the scratch file is left"
