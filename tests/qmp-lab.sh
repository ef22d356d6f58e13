# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced first, instead of functions.sh, by tests of qmp=: guests of a QEMU that
# runs without libvirt, by the words that libvirt-lab.sh has for guests of libvirt's,
# so that one test can serve both.
#
# A guest web1 has three monitors: web1.sock, which is nbdkit's; web1.see.sock, for
# the test; and web1.people, for people, through which the guest writes.  (Beside a
# second one in JSON that is busy, QEMU 7.2 at times forgets both.)

. "$(dirname "${BASH_SOURCE[0]}")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"
export LAB_TMPDIR=$tmpdir       # by which a process of this test is known
. "$srcdir/tests/lab-keeper.sh"
lab_kind=qmp lab_small= lab_log=$tmpdir
lab_sockets=$tmpdir/run
mkdir -m 700 "$lab_sockets"
export XDG_RUNTIME_DIR=$lab_sockets
lab_start () { :; }

qmp_cleanup ()
{
  local status=$?
  set +e
  trap - EXIT
  trap '' INT TERM HUP
  case $status in
    0 | 77) ;;
    *) tail -n 6 "$tmpdir"/*.log "$tmpdir"/*.console 2>/dev/null | cut -c -300 >&2 ;;
  esac
  # A stopped one would not be ended by others.
  for pid in "${pids[@]}"; do ! is_ours "$pid" || kill -CONT "$pid"; done 2>/dev/null
  if [ -n "$lab_small" ]; then
    for pid in "$lab"/*.pid; do kill -KILL "$(cat "$pid")"; done 2>/dev/null
    if [ "$(id -u)" -eq 0 ]; then umount -l "$lab_small"
    else fusermount3 -u -z "$lab_small"; fi
  fi
  (exit $status)
  cleanup
}
trap qmp_cleanup EXIT

# guest_define NAME FILE…: its disks vda, vdb… are these files in qcow2, or raw if
# named *.raw.  vdb is made by -blockdev, the others by -drive.  $guest_memory in MiB,
# $guest_options for more.  With $guest_iothread, virtio or scsi, they have an
# iothread; with scsi they are sda, sdb…
guest_memory=64 guest_iothread= guest_options=()
guest_define ()
{
  local name=$1 file format letter letters=abcdefghijklmnopqrstuvwxyz
  local options=("${guest_options[@]}") bus=v device=virtio-blk-pci
  shift
  case $guest_iothread in
    virtio)
      options+=(-object iothread,id=thread)
      device=virtio-blk-pci,iothread=thread ;;
    scsi)
      options+=(-object iothread,id=thread
        -device virtio-scsi-pci,id=scsi,iothread=thread)
      bus=s device=scsi-hd,bus=scsi.0 ;;
  esac
  for file; do
    letter=${letters:0:1}
    letters=${letters:1}
    case $file in /*) ;; *) file=$PWD/$file ;; esac
    case $file in *.raw) format=raw ;; *) format=qcow2 ;; esac
    case $letter in
      b)
        options+=(-blockdev "file,node-name=b-file,filename=$file,discard=unmap"
          -blockdev "$format,node-name=b-node,file=b-file,discard=unmap"
          -device "$device,drive=b-node,id=${bus}db") ;;
      *)
        options+=(-drive "file=$file,format=$format,if=none,id=${bus}d$letter,discard=unmap"
          -device "$device,drive=${bus}d$letter,id=disk-$letter") ;;
    esac
  done
  printf '%s\n' "${options[@]}" >"$lab/$name.options"
}

# guest_start NAME: paused, so that it takes no processor.
guest_start ()
{
  local options
  mapfile -t options <"$lab/$1.options"
  rm -f "$1.see.sock" "$1.people"
  qemu_start "$1" -m "$guest_memory" \
    -qmp "unix:$1.see.sock,server=on,wait=off" \
    -monitor "unix:$1.people,server=on,wait=off" "${options[@]}"
  echo "$qemu_pid" >"$lab/$1.pid"
}
guest_pid () { cat "$lab/$1.pid"; }
guest_resume () { qmp "$1.see" cont >/dev/null; }

# guest_boot NAME FILE…: a real Linux that writes to the ext4 on each of these disks
# without pause, as in lab-boot.sh.
guest_boot ()
{
  local name=$1 file
  shift
  for file; do guest_ext4_disk "$file"; done
  lab_kernel
  guest_initramfs "$lab/initramfs"
  guest_options+=(-kernel "$lab/vmlinuz" -initrd "$lab/initramfs"
    -append "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check disks=$#"
    -serial "file:$name.console")
  guest_define "$name" "$@"
  guest_memory=160 qemu_runs=-no-reboot guest_start "$name"
  wait_until 120 qemu_writes "$name"
}

lab_with_guest ()
{
  guest_disk vda.qcow2
  guest_define web1 vda.qcow2
  guest_start web1
  checkpoint_make web1 monday
}

# guest_destroy NAME: calmly, so that bitmaps are saved.
guest_destroy () { guest_quit "$1"; }
guest_quit ()
{
  qmp "$1.see" quit >/dev/null 2>&1 || :
  wait_until 120 qemu_has_ended "$(guest_pid "$1")"
  wait "$(guest_pid "$1")" || fail "QEMU did not end well"
}
# guest_quit_writing NAME: QEMU 7.2 may stand still for ever as it ends while its guest
# writes in an iothread, so that is stopped first.
guest_quit_writing ()
{
  qmp "$1.see" stop >/dev/null
  guest_quit "$1"
}
qemu_has_ended ()
{
  case $(ps -o stat= -p "$1") in '' | Z*) ;; *) return 1 ;; esac
}
guest_crash ()
{
  kill -KILL "$(guest_pid "$1")"
  wait "$(guest_pid "$1")" 2>/dev/null || :
}
# guest_runs NAME: it lives, and has not been stopped by an error.
guest_runs ()
{
  kill -0 "$(guest_pid "$1")" 2>/dev/null \
    && [ "$(qmp "$1.see" query-status | jq -r .status)" = running ]
}

# people NAME COMMAND: what the monitor for people says.
people ()
{
  PYTHONPATH=$srcdir/tests "$python" -c '
import sys
from guest_calls import Monitor
monitor = Monitor(sys.argv[1])
monitor.socket.settimeout(60)
print(monitor.ask(sys.argv[2]), end="")' "$1.people" "$2"
}

# guest_write NAME TARGET QEMU-IO-COMMAND: as if the guest itself had written.
guest_write ()
{
  local said
  said=$(people "$1" "qemu-io -d $(guest_device "$2") \"$3\"")
  [ -z "$said" ] || { echo "$said"; return 1; }
}
guest_device ()
{
  local device=/machine/peripheral/disk-${1: -1}
  [ "${1: -1}" != b ] || device=/machine/peripheral/$1
  [ "${1:0:1}" = s ] || device+=/virtio-backend
  echo "$device"
}

# source_of NAME: $source are nbdkit's parameters that mean this guest.
source_of () { source=(qmp="$1.sock" socket-dir="$lab_sockets"); }

# checkpoint_make NAME CHECKPOINT [DISK…]: of these, or of all.
checkpoint_make ()
{
  local name=$1 checkpoint=$2
  shift 2
  "$tool" create "$checkpoint" --qmp="$name.see.sock" "${@/#/--disk=}" >/dev/null
}
checkpoint_delete () { "$tool" delete "$2" --qmp="$1.see.sock" >/dev/null; }
# checkpoint_names NAME: one a line, sorted.
checkpoint_names () { "$tool" list --name --qmp="$1.see.sock" | sort; }
checkpoint_exists () { checkpoint_names "$1" | grep -xF -- "$2" >/dev/null; }

# full_copy_of_job NAME TARGET FILE.raw: what the running backup's own export holds,
# read from QEMU without us.
full_copy_of_job ()
{
  local sockets=("$lab_sockets"/nbdkit-checkpoint-*/nbd)
  [ -S "${sockets[0]}" ] || fail "no backup runs in $1"
  bounded qemu-img convert -f raw -O raw \
    "nbd+unix:///$2?socket=${sockets[0]}" "$3"
}

# Nothing that is ours, while no others have any.
no_job ()
{
  kill -0 "$(guest_pid "$1")" 2>/dev/null || return 0
  [ "$(qmp "$1.see" query-block-exports)" = '[]' ] \
    && [ "$(qmp "$1.see" query-jobs)" = '[]' ] \
    && ! qmp "$1.see" query-named-block-nodes '{"flat": true}' \
      | grep -E '"drv": "(copy-before-write|snapshot-access)"' >/dev/null
}
job_runs () { ! no_job "$1"; }

# lab_state NAME: all that must be as it was when our program has ended: QEMU's
# block layer, objects and character devices; scratch files, sockets.  Other files of
# the test do not count.
lab_state ()
{
  ! kill -0 "$(guest_pid "$1")" 2>/dev/null || qmp "$1.see" --state
  lab_files
}
lab_files ()
{
  find "$tmpdir" -path "$lab" -prune -o \
    \( -name '*.scratch*' -o -name '*nbdkit-checkpoint*' \) -print | sort
  find "$lab_sockets"
  [ -z "$lab_small" ] || find "$lab_small"
}

# lab_small_folder NAME SIZE: $lab_small is an empty folder of its own file
# system, of that size.
lab_small_folder ()
{
  lab_small=$tmpdir/$1
  mkdir "$lab_small"
  if [ "$(id -u)" -eq 0 ]; then
    mount -t tmpfs -o mode=755,size="$2" tmpfs "$lab_small" \
      || skip "nothing can be mounted here"
    return
  fi
  lab_small_fuse "$2"
}
