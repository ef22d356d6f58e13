# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced first by tests/test-cookbook-NAME.sh, which runs the recipes of one part of
# docs/cookbook.md: the part below "<!-- part: NAME -->".  Nothing in a recipe is
# replaced.  Instead the machine is what the recipes take it for: plugin and filter
# are where nbdkit looks for them, qemu:///system is this test's daemon, and the
# folders that are named are empty ones of the test's own.  That takes root; it all
# ends with the test's namespaces.

LAB_ROOT_ONLY=1
. "$(dirname "${BASH_SOURCE[0]}")/libvirt-lab.sh"

cookbook=$srcdir/docs/cookbook.md
part=${test_name#test-cookbook-}
images=/var/lib/libvirt/images

# as_installed LIST FILE: as if "make install" had put FILE among nbdkit's own.
as_installed ()
{
  local folder
  folder=$(nbdkit --dump-config | sed -n "s/^$1=//p")
  mkdir -p "/run/lab/$1"
  cp -a "$folder/." "/run/lab/$1"
  cp "$2" "/run/lab/$1"
  mount --bind "/run/lab/$1" "$folder"
}
as_installed plugindir "$plugin"
as_installed filterdir "$filter"
# Scripts of libnbd's say "python3", which may be one without libnbd's binding.
mkdir /run/lab/bin
ln -s "$(command -v "$python")" /run/lab/bin/python3
PATH=/run/lab/bin:$builddir/tool:$PATH
for folder in /srv /var/tmp; do mount -t tmpfs -o mode=755 tmpfs $folder; done
mkdir -p $images /srv/backup/web1
cd /srv/backup/web1
# virtnbdbackup leaves logs where temporary files are.
export HOME=$tmpdir TMPDIR=$tmpdir

# recipes: the names of this part's, one a line.
recipes ()
{
  awk -v part="<!-- part: $part -->" '
    /^<!-- part: / { on = $0 == part }
    on && /^<!-- recipe: / { print $3 }' "$cookbook"
}

# recipe_text NAME
recipe_text ()
{
  awk -v name="<!-- recipe: $1 -->" '
    $0 == name { on = 1; next }
    on == 2 && /^```$/ { exit }
    on == 2 { print }
    on == 1 && /^```sh$/ { on = 2 }' "$cookbook"
}

# recipe NAME [STATUS]: typed as it stands; what it prints is in $tmpdir/printed, and in
# $tmpdir/said what it says on standard error.  Each command of it must succeed.  With
# $recipe_status it must fail with that status, in a shell that goes on after a command
# that failed, as a person's does; that is not the scene by which it is covered.
# STATUS is for a recipe of which the cookbook says that it ends so.  $recipe_on is what
# takes it to another host.
recipe_on=() recipe_bound=120
: >"$tmpdir/ran"
recipe ()
{
  local text status=0 options=(-e) expected=${2:-0}
  [ -z "${recipe_status:-}" ] || { expected=$recipe_status; options=(); }
  text=$(recipe_text "$1")
  [ -n "$text" ] || fail "the cookbook has no recipe $1"
  recipes | grep -qxF -- "$1" || fail "recipe $1 is in another part"
  printf '── %s ──\n%s\n' "$1" "$text"
  timeout -k 5 "$recipe_bound" "${recipe_on[@]}" bash "${options[@]}" -o pipefail -c "$text" \
    </dev/null >"$tmpdir/printed" 2>"$tmpdir/said" || status=$?
  cat "$tmpdir/printed" "$tmpdir/said"
  case $status in 124 | 137) fail "recipe $1 did not end in $recipe_bound s" ;; esac
  [ $status -eq "$expected" ] || fail "recipe $1 ended with status $status"
  [ -n "${recipe_status:-}" ] || echo "$1" >>"$tmpdir/ran"
}

loops=()
# At the end: none of the part's recipes was left out.
cookbook_end ()
{
  local status=$? left loop
  if [ $status -eq 0 ]; then
    left=$(recipes | grep -vxFf "$tmpdir/ran" || :)
    if [ -n "$left" ]; then
      echo "$test_name: FAILED: no scene runs these recipes:" $left >&2
      status=1
    elif [ ! -s "$tmpdir/ran" ]; then
      echo "$test_name: FAILED: the cookbook has no part $part" >&2
      status=1
    fi
  fi
  cd "$tmpdir"
  for loop in "${loops[@]}"; do losetup -d "$loop"; done
  (exit $status)
  lab_cleanup
}
trap cookbook_end EXIT

# guest_web1: the guest of the cookbook's beginning, with data on its disks, paused.
guest_web1 ()
{
  local disk
  for disk in web1 web1-data; do
    guest_disk $images/$disk.qcow2 16M
    qemu-io -f qcow2 -c 'write -q -P 7 9M 1M' $images/$disk.qcow2
  done
  lab_start
  guest_define web1 $images/web1.qcow2 $images/web1-data.qcow2
  guest_start web1
}

# writes TARGET QEMU-IO-COMMAND: as if the guest had, and synced.
writes ()
{
  guest_write web1 "$1" "$2" >/dev/null
  guest_write web1 "$1" flush >/dev/null
}

# now DISK…: keeps what the images hold, in $tmpdir/DISK.now.  (The guest is paused,
# and writes only when the test has it write.)
now ()
{
  local disk
  for disk; do
    rm -f "$tmpdir/$disk.now"
    qemu-img convert -U -O raw "$images/$disk.qcow2" "$tmpdir/$disk.now"
  done
}

# same_as TRUTH FILE…: these images have the bytes of that raw file.
same_as ()
{
  local file
  for file in "${@:2}"; do
    qemu-img compare -U -q -f raw -F "${format:-qcow2}" "$1" "$file" \
      || fail "$file is not $1"
  done
}

# increment FILE WANT: that is all that it has of its own.
increment ()
{
  [ "$(allocated "$1" | xargs)" = "$2" ] \
    || fail "$1 has other blocks: $(allocated "$1" | xargs)"
}

# partitioned_disk DISK: with one partition, an ext4 in it, and in that the files of
# $tmpdir/content.
partitioned_disk ()
{
  requires sfdisk
  requires mkfs.ext4
  mkdir -p "$tmpdir/content/etc/default"
  echo "127.0.0.1 localhost web1" >"$tmpdir/content/etc/hosts"
  head -c 300000 /dev/urandom >"$tmpdir/content/etc/default/web1"
  truncate -s 30M "$lab/part.raw"
  mkfs.ext4 -q -F -d "$tmpdir/content" "$lab/part.raw"
  truncate -s 32M "$lab/disk.raw"
  echo 'start=2048, size=61440' | sfdisk -q --no-reread "$lab/disk.raw"
  dd status=none if="$lab/part.raw" of="$lab/disk.raw" bs=1M seek=1 conv=notrunc
  qemu-img convert -f raw -O qcow2 "$lab/disk.raw" "$images/$1.qcow2"
}
