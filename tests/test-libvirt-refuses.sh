#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What cannot be right is refused before a job is begun, with what to do.
. "$(dirname "$0")/libvirt-lab.sh"

lab_with_guest
lab_state web1 >before
long=$tmpdir/$(printf 'a%.0s' {1..100})
mkdir "$long" closed
chmod 500 closed

refuses 'there is no guest web2 on .*; there are: web1' \
  libvirt="$connect" domain=web2 checkpoint=monday
refuses 'there is no guest [0-9a-f-]* on .*; there are: web1' \
  libvirt="$connect" domain=00000000-0000-4000-8000-000000000000
refuses 'libvirt at nosuch:///: .*' libvirt=nosuch:/// domain=web1
refuses 'libvirt at .*socket=.*: Failed to connect socket to .*/nosuch' \
  libvirt="qemu+unix://${connect#qemu://}?socket=$tmpdir/nosuch" domain=web1
refuses 'there is no checkpoint mondy; known are: monday' \
  libvirt="$connect" domain=web1 checkpoint=mondy
refuses "checkpoint monday cannot be made: guest web1 .* has one of that name; .* with: qemu-checkpoint delete --leftovers --libvirt=$connect --domain=web1 -- monday" \
  libvirt="$connect" domain=web1 checkpoint=monday create=monday
refuses 'guest web1 .* has no disk vdz' \
  libvirt="$connect" domain=web1 checkpoint=monday disk=vdz
refuses 'TLS goes with a remote libvirt.*; leave nbd-tls= out' \
  libvirt="$connect" domain=web1 checkpoint=monday nbd-tls=yes
for parameter in libvirt domain socket-dir scratch-dir; do
  case $parameter in libvirt) other=domain=a ;; *) other=libvirt="$connect" ;; esac
  case $parameter in *-dir) other+=" domain=web1" ;; esac
  refuses "$parameter= is not valid UTF-8" $other $parameter=$'/\xe9'
done
touch script
chmod +x script
ln -s script link
for dir in socket scratch; do
  refuses "/nonexistent does not exist; .*; $dir-dir=" \
    libvirt="$connect" domain=web1 checkpoint=monday $dir-dir=/nonexistent
  for file in vda.qcow2 script link; do
    refuses ": $PWD/$file is not a folder.*; choose another; $dir-dir=" \
      libvirt="$connect" domain=web1 checkpoint=monday $dir-dir=$file
  done
done
refuses 'the path of QEMU.s socket, .*, is too long for Unix; socket-dir=' \
  libvirt="$connect" domain=web1 checkpoint=monday socket-dir="$long"
if [ "$(id -u)" -ne 0 ]; then
  refuses 'cannot make the folder .*/closed/.*: Permission denied; .*socket-dir=' \
    libvirt="$connect" domain=web1 checkpoint=monday socket-dir=closed
  refuses 'scratch files: QEMU runs as user .*, which cannot .*closed; type "chmod u.wx ' \
    libvirt="$connect" domain=web1 checkpoint=monday scratch-dir=closed
  type_printed '; type "' '", or choose'
  serve libvirt="$connect" domain=web1 checkpoint=monday scratch-dir=closed -- true
fi
refuses 'checkpoint monday cannot be made: no disk in the backup is qcow2' \
  libvirt=test:///default domain=test create=monday scratch-dir=.
lab_state web1 | diff -u before - || fail "a refusal left something"
chmod 700 closed
