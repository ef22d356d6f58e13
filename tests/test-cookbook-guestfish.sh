#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The cookbook's recipe for one file with guestfish, whose guest gets the kernel that is
# fetched for the tests: it is put where an installed one would be, in a mount namespace.
. "$(dirname "$0")/cookbook.sh"
requires guestfish
requires depmod

lab_kernel
tree=$(dirname "$guest_modules")/lib/modules
[ -d "$tree" ] || fail "the guest kernel in $tree has no modules; ./check fetches them"
version=$(ls "$tree")
if [ ! -d /lib/modules ]; then
  mkdir /run/lab/upper /run/lab/work
  mount -t overlay -o "lowerdir=$(realpath /lib),upperdir=/run/lab/upper,workdir=/run/lab/work" \
    overlay "$(realpath /lib)"
  mkdir /lib/modules
fi
mount -t tmpfs tmpfs /lib/modules
cp -r "$tree/$version" /lib/modules
depmod "$version"
mount -t tmpfs tmpfs /boot
cp "$lab/vmlinuz" "/boot/vmlinuz-$version"

# What it makes of them, 400 MB, is not for memory.  /dev/kvm may be there and not work.
export LIBGUESTFS_CACHEDIR=$tmpdir LIBGUESTFS_BACKEND=direct \
  LIBGUESTFS_BACKEND_SETTINGS=force_tcg
# Some 20 s of a processor that has nothing else to do.
recipe_bound=480
partitioned_disk web1
qemu-img convert -O qcow2 $images/web1.qcow2 vda-monday.qcow2
qemu-img create -q -f qcow2 -b vda-monday.qcow2 -F qcow2 vda-tuesday.qcow2
md5sum ./*.qcow2 >"$tmpdir/backups"
recipe restore-guestfish
diff -r etc "$tmpdir/content/etc" || fail "other files"
md5sum --quiet -c "$tmpdir/backups"
