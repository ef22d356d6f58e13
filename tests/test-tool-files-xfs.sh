#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# files tells of XFS what xfs_db tells: of both versions, small and large directories,
# and, where it can be mounted here, of files in many pieces, of shared blocks, and of
# a log that is not empty.
. "$(dirname "$0")/functions.sh"
PATH=$PATH:/usr/sbin:/sbin
requires mkfs.xfs
requires xfs_db

# ── Files that mkfs writes ──
mkdir -p tree/many tree/a/b
for ((i = 0; i < 1500; i++)); do : >"tree/many/a-name-that-takes-room-$i"; done
for ((i = 0; i < 40; i++)); do
  head -c $((i * 900)) /dev/urandom >"tree/a/b/$i"
done
head -c 3M /dev/urandom >tree/a/big
"$python" - >proto <<'END'
import os
def entries(folder, depth):
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            print("%s%s d--755 0 0" % (" " * depth, name))
            entries(path, depth + 1)
            print(" " * depth + "$")
        else:
            print("%s%s ---644 0 0 %s" % (" " * depth, name, path))
print("/dev/null\n0 0\nd--755 0 0")
entries("tree", 1)
print("$")
END
# names_of DISK: by xfs_db's own walk.
names_of ()
{
  echo "$(xfs_db -r -f -c 'sb 0' -c 'p rootino' "$1" | sed 's/.* //') /"
  xfs_db -r -f -c 'blockget -n' -c ncheck "$1" 2>/dev/null \
    | sed -E 's|^ *([0-9]+) +/?|\1 /|; s|/\.$||'
}
for options in '-m crc=1,rmapbt=1' '-m crc=0 -n size=8192'; do
  rm -f disk.raw
  truncate -s 320M disk.raw
  # shellcheck disable=SC2086
  mkfs.xfs -q $options -p proto disk.raw 2>mkfs.log || { cat mkfs.log; continue; }
  names_of disk.raw >names
  "$python" "$srcdir/tests/xfs-truth.py" "$tool" disk.raw names ${SEED:-} \
    || fail "$options"
done

# ── Files that Linux writes ──
mounted=
end_mount ()
{
  local status=$?
  [ -z "$mounted" ] || umount mnt || umount -l mnt
  mounted=
  return $status
}
trap 'end_mount && :; cleanup' EXIT
rm -rf disk.raw mnt
mkdir mnt
truncate -s 320M disk.raw
mkfs.xfs -q disk.raw
if ! mount -o loop disk.raw mnt 2>/dev/null; then
  echo "not mounted here: no files in many pieces"
  exit 0
fi
mounted=1
mkdir -p mnt/many/folders
for ((i = 0; i < 2000; i++)); do : >"mnt/many/a-name-that-takes-room-$i"; done
"$python" - <<'END'
import os
for name in ("one", "two"):
    fd = os.open("mnt/" + name, os.O_RDWR | os.O_CREAT)
    for i in range(1500):
        os.pwrite(fd, os.urandom(4096), i * 8192)
    os.fsync(fd)
END
cp --reflink=always mnt/one mnt/many/folders/shared || :
ln mnt/two mnt/many/two
ln -s "$(printf 'y%.0s' {1..900})" mnt/link
rm mnt/many/*77*
(cd mnt && find . -printf '%i %p\n' | sed 's| \./| /|; s| \.$| /|') >names
sync
# As it is after a crash.
cp --sparse=always disk.raw crashed.raw
end_mount
"$python" "$srcdir/tests/xfs-truth.py" "$tool" disk.raw names ${SEED:-} \
  || fail "what Linux wrote"
if "$python" "$srcdir/tests/xfs-truth.py" "$tool" crashed.raw names >crashed.log; then
  fail "a log that is not empty is not told of"
fi
grep 'its log is not empty' crashed.log || { cat crashed.log; fail "no note"; }
