#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# libvirt tells a connection of no events, as it rarely happens: the backup is begun
# again on another one.  If that one is told of none, either, nothing is served, for
# the end of the job would not be seen; and nothing is left.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/killed-connecting.sh"

lab_with_guest
guest_write web1 vda "write -P 2 1M 64k"
lab_state web1 >before
export "$preload=$late"

touch "$LATE.deaf"
serve libvirt="$connect" domain=web1 checkpoint=monday create=tuesday -- \
  'nbdinfo --map --json "$uri" | jq -c "[.[] | select(.type == 0) | .offset]"' >dirty
[ -e "$LATE.met" ] || fail "it was told of all"
[ "$(cat dirty)" = "[1048576]" ] || fail "dirty is $(cat dirty)"
virsh checkpoint-delete web1 tuesday
lab_state web1 | diff -u before - || fail "something is left"

# The second time, too.
rm "$LATE.met"
touch "$LATE.deaf" "$LATE.deaf-again"
refuses 'guest web1: the backup began, but that it lives cannot be seen, .*QEMU has not told' \
  libvirt="$connect" domain=web1 checkpoint=monday create=tuesday
[ ! -e "$LATE.deaf-again" ] || fail "the second connection was told"
lab_state web1 | diff -u before - || fail "a refusal left something"
