#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# With cache=none the images do not stay in the page cache, however they are
# read: in order or all over, from several layers, compressed ones by the
# storage daemon.  What is read is the same.

# A file on tmpfs is nowhere else.
for TMPDIR in "${TMPDIR:-/tmp}" /var/tmp "${builddir:-.}"; do
  case $(stat -f -c %T "$TMPDIR") in tmpfs | ramfs) ;; *) break ;; esac
done
TMPDIR=$(cd "$TMPDIR" && pwd)
export TMPDIR
. "$(dirname "$0")/functions.sh"
case $(stat -f -c %T .) in
  tmpfs | ramfs) skip "no folder for temporary files is on a disk" ;;
esac
requires fincore

MiB=$((1024 * 1024))

# cached FILE…: how many bytes of them are in the page cache.
fincore="fincore --noheadings --bytes --output RES"
total () { awk '{ sum += $1 } END { printf "%.0f\n", sum }'; }
cached () { $fincore "$@" | total; }

# forget FILE…: so that what is in the page cache later was read later.
forget ()
{
  local file
  sync "$@"
  for file; do dd if="$file" iflag=nocache count=0 status=none; done
  [ "$(cached "$@")" -lt $MiB ] || fail "$* cannot leave the page cache"
}

# read_all COMMAND IMAGE… -- PARAMETERS…: $during and $after are how much of the
# images is cached while the server still runs, and once it has ended.
read_all ()
{
  local command=$1 images=()
  shift
  while [ "$1" != -- ]; do images+=("$1"); shift; done
  shift
  forget "${images[@]}"
  serve "${images[0]}" "$@" -- "$command; $fincore ${images[*]} >during"
  during=$(total <during) after=$(cached "${images[@]}")
  echo "$command, $*: $during, then $after"
}

# at_most DURING AFTER: MiB.
at_most ()
{
  [ "$during" -le $(($1 * MiB)) ] || fail "$during bytes are cached"
  [ "$after" -le $(($2 * MiB)) ] || fail "$after bytes stay cached"
}

all='nbdcopy "$uri" null:'
in_order='nbdcopy --synchronous "$uri" - | md5sum >sum'
seq 100000000 | head -c 512M >truth || :
truth=$(md5sum <truth)

# Three layers, the lowest one raw.
head -c 192M truth >base.raw
truncate -s 512M base.raw
qemu-img create -q -f qcow2 -b base.raw -F raw middle.qcow2
dd if=truth of=piece bs=1M skip=192 count=64 status=none
qemu-io -f qcow2 -c 'write -q -s piece 192M 64M' middle.qcow2
qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 top.qcow2
qemu-img bitmap --add top.qcow2 monday
for ((at = 256; at < 512; at += 64)); do
  dd if=truth of=piece bs=1M skip=$at count=64 status=none
  qemu-io -f qcow2 -c "write -q -s piece ${at}M 64M" top.qcow2
done
images=(top.qcow2 middle.qcow2 base.raw)

# So that what follows proves something.
nbdkit_options=(--filter="$filter")
read_all "$all" "${images[@]}" --
[ "$during" -gt $((256 * MiB)) ] || fail "without cache= only $during bytes are cached"
read_all "$all" "${images[@]}" -- cache=default
[ "$during" -gt $((256 * MiB)) ] || fail "cache=default drops the cache"

read_all "$all" "${images[@]}" -- cache=none
at_most 64 1
read_all "$in_order" "${images[@]}" -- cache=none
at_most 64 1
[ "$(cat sum)" = "$truth" ] || fail "other bytes are read"
rm "${images[@]}"
nbdkit_options=()

# Compressed clusters through the storage daemon, which goes past the cache;
# subclusters directly.
head -c 96M truth >piece
truth=$(md5sum <piece)
for options in "-c" "-o extended_l2=on"; do
  # shellcheck disable=SC2086
  qemu-img convert -W $options -f raw -O qcow2 piece disk.qcow2
  qemu-img bitmap --add disk.qcow2 monday
  read_all "$in_order" disk.qcow2 --
  [ "$during" -gt $((8 * MiB)) ] \
    || fail "$options: without cache= only $during bytes are cached"
  read_all "$in_order" disk.qcow2 -- cache=none
  if [ "$options" = -c ]; then at_most 1 1
  else at_most 64 1
  fi
  [ "$(cat sum)" = "$truth" ] || fail "$options: other bytes are read"
done

# Where there is no way past the page cache, images are read all the same.
if [ "$(stat -f -c %T /dev/shm)" = tmpfs ]; then
  shm=$(mktemp -d /dev/shm/checkpoint-test.XXXXXX)
  trap 'status=$?; rm -rf "$shm"; (exit $status) && :; cleanup' EXIT
  qemu-img convert -c -f raw -O qcow2 piece "$shm/disk.qcow2"
  qemu-img bitmap --add "$shm/disk.qcow2" monday
  serve "$shm/disk.qcow2" cache=none -- "$in_order"
  [ "$(cat sum)" = "$truth" ] || fail "tmpfs: other bytes are read"
fi
