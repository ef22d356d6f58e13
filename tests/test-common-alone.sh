#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# common/ without nbdkit: nothing in it needs a symbol of nbdkit's or of the
# plugin's, and a program linked against it alone lists a disk's checkpoints and
# prints the map that the plugin serves.
. "$(dirname "$0")/functions.sh"
requires nm

mapfile -t objects < <(find "$builddir/common" -name '*.o' -path '*/.libs/*')
[ ${#objects[@]} -gt 50 ] || fail "only ${#objects[@]} objects"
nm -u "${objects[@]}" | grep -E '\<(nbdkit|plugin|settings|exports|handle)_' \
  && fail "common/ needs more than itself"

# Nor does the tool know nbdkit, or need its files.
requires ldd
nm "$tool" | grep -E '\<nbdkit_' && fail "the tool knows nbdkit"
! ldd "$tool" | grep nbdkit || fail "the tool needs nbdkit"

# What is typed is the front end's to say.  (libvirt's XML has quotes after =.)
common=$srcdir/common
[ -d "$common/base" ] || fail "$common is not there"
parameters=$(nbdkit "$plugin" --help | sed -n 's/^\([a-z-]*\)=.*/\1/p' \
  | sort -u | paste -sd'|')
case $parameters in *uri\|view*) ;; *) fail "--help has $parameters" ;; esac
! grep -rnE --include=*.c \
  '"[^"]*\<('"file|$parameters"')=([^'"'"'\]|$)' \
  "$common" || fail "common/ names a parameter of nbdkit's"
! grep -rnE --include=*.c '"[^"]*\<nbdkit\>[^-.]' "$common" \
  || fail "common/ names nbdkit in a message"

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' -c 'write -q -z 2M 64k' disk.qcow2
qemu-img bitmap --add disk.qcow2 tuesday
qemu-io -f qcow2 -c 'write -q -P 3 5M 128k' disk.qcow2
sum=$(sha256sum <disk.qcow2)
print_map=$builddir/tests/print-map
"$print_map" disk.qcow2 monday >printed
printf '%s\n' 'vda: 1' 'vda@monday: 1' 'vda@tuesday: 1' 'vda 0 0 1048576 clean' \
  'vda 0 1048576 65536 dirty' 'vda 0 1114112 983040 clean' \
  'vda 0 2097152 65536 zero' 'vda 0 2162688 3080192 clean' \
  'vda 0 5242880 131072 dirty' 'vda 0 5373952 61734912 clean' \
  | diff -u - printed
serve disk.qcow2 checkpoint=monday view=sparse -- \
  'nbdinfo --map --json "$uri" | jq -c ".[] | select(.type != 3) | .offset"' >served
awk '$5 == "dirty" || $5 == "zero" { print $3 }' printed | diff -u served -
! "$print_map" disk.qcow2 sunday 2>refused || fail "sunday was found"
grep -q 'sunday.*monday' refused || fail "it said: $(cat refused)"
truncate -s 1M raw
! "$print_map" raw monday 2>refused || fail "raw was read"
grep -q '^print-map: .*/raw is not .*; print-map takes a qcow2 image$' refused \
  || fail "it said: $(cat refused)"
[ "$sum" = "$(sha256sum <disk.qcow2)" ] || fail "the disk was changed"
