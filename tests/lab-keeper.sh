# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced by libvirt-lab.sh and qmp-lab.sh: what is the same for every guest that runs.

# find_keeper: $keeper is the keeper of this test's only nbdkit.  Other tests of
# the same user may have theirs.
find_keeper () { wait_until 10 lab_find_keeper; }
lab_find_keeper ()
{
  for keeper in $(pgrep -u "$(id -u)" -x nbdkit-keeper); do
    ! { tr '\0' '\n' <"/proc/$keeper/environ"; } 2>/dev/null \
      | grep -x "LAB_TMPDIR=$tmpdir" >/dev/null || return 0
  done
  return 1
}

lab_no_keeper () { ! lab_find_keeper; }

# no_keeper: of the tool's, which is called as the tool was.
no_keeper ()
{
  local pid
  for pid in $(pgrep -f '[q]emu-checkpoint '); do
    ! is_ours "$pid" || return 1
  done
}

# lab_small_fuse SIZE: $lab_small, for who may not mount.  ext4 takes 64K, and
# fuse2fs keeps a tenth of all free.
lab_small_fuse ()
{
  requires fuse2fs
  [ -w /dev/fuse ] || skip "/dev/fuse is not there for this user"
  truncate -s "$((($(numfmt --from=iec "$1") + 65536) * 10 / 9))" \
    "$lab/small.img"
  mkfs.ext4 -q -F -b 4096 -m 0 -N 32 -O ^has_journal,^resize_inode \
    "$lab/small.img"
  fuse2fs -o fakeroot "$lab/small.img" "$lab_small" 2>"$lab/fuse2fs.log" \
    || fail "fuse2fs: $(cat "$lab/fuse2fs.log")"
  rmdir "$lab_small/lost+found"
}
