# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced after functions.sh by tests of disks that are more than qcow2 over raw:
# makes block devices and secrets, and compares what is served with what QEMU
# itself says.

# Before the test's own cleanup, which ends the shell.
loops=()
release_loops ()
{
  local status=$? loop then=cleanup
  set +e
  trap - EXIT
  for loop in "${loops[@]}"; do losetup -d "$loop"; done
  [ -z "${lab:-}" ] || then=lab_cleanup
  (exit $status)
  $then
}
trap release_loops EXIT

# An ordinary user can make no block device; all else is tested.
file_kinds=(file)
[ "$(id -u)" -ne 0 ] || file_kinds+=(block)

# place KIND NAME SIZE: $place is a new regular file of that name, or a block
# device in its stead.
place ()
{
  place=$PWD/$2
  rm -f "$place"
  truncate -s "$3" "$place"
  [ "$1" = block ] || return 0
  place=$(losetup -f --show "$place")
  loops+=("$place")
}

# Objects for QEMU's programs, such as --object secret,…
qemu_secrets=()

# raw_copy TO ARGS…: as QEMU reads it.  ARGS name the image to qemu-img.
raw_copy ()
{
  local to=$1
  shift
  qemu-img convert "${qemu_secrets[@]}" -O raw "$@" "$to"
}

# bitmap_ranges BITMAP ARGS…: "offset length" of what is dirty in it, as QEMU
# serves it.
bitmap_ranges ()
{
  local bitmap=$1 pid
  shift
  rm -f truth.sock
  qemu-nbd -r -t -B "$bitmap" -k "$PWD/truth.sock" "${qemu_secrets[@]}" "$@" &
  pid=$!
  pids+=($pid)
  wait_until 20 nbdinfo --size "nbd+unix:///?socket=$PWD/truth.sock" \
    >/dev/null 2>&1
  nbdinfo --json --map="qemu:dirty-bitmap:$bitmap" \
    "nbd+unix:///?socket=$PWD/truth.sock" \
    | jq -r '.[] | select(.type == 1) | "\(.offset) \(.length)"'
  kill $pid
  wait $pid || :
}

# view_ranges MAP.json: of what the view "overlay" shows as dirty.
view_ranges ()
{
  jq -r '.[] | select(.type != 1) | "\(.offset) \(.length)"' "$1" \
    | join_ranges
}

# covers OUTER INNER: files of ranges.
covers ()
{
  "$python" - "$1" "$2" <<'EOF'
import sys
def read(name):
    with open(name) as f:
        return [(int(a), int(a) + int(b)) for a, b in map(str.split, f)]
outer = sorted(read(sys.argv[1]))
for start, end in read(sys.argv[2]):
    for low, high in outer:
        if low <= start < high:
            start = high
    if start < end:
        sys.exit("clean is what is dirty from %d to %d" % (start, end))
EOF
}

# served_right WHAT TRUTH.raw DIRTY SINCE.raw PARAMETERS…: with these the disk has
# TRUTH's bytes; at the least the ranges in the file DIRTY have changed since it
# was SINCE, and an increment makes it of that.
served_right ()
{
  local what=$1 truth=$2 dirty=$3
  export since=$4
  shift 4
  rm -f got.raw map.json inc.qcow2
  nbdkit_options+=(--filter="$filter")
  serve "$@" -- '
    nbdcopy "nbd+unix:///vda@?socket=$unixsocket" got.raw
    nbdinfo --json --map "$uri" >map.json
    qemu-img convert -f raw -B "$since" -F raw -O qcow2 "$uri" inc.qcow2' \
    || fail "$what: not served"
  unset "nbdkit_options[-1]"
  cmp "$truth" got.raw || fail "$what: other bytes"
  view_ranges map.json >got
  covers got "$dirty" || fail "$what: $(paste -sd, got)"
  qemu-img compare -q -f raw -F qcow2 "$truth" inc.qcow2 \
    || fail "$what: the increment makes another disk"
  [ "$(qemu-img info --output=json inc.qcow2 | jq '."virtual-size"')" \
    -eq "$(stat -c %s "$truth")" ] || fail "$what: another size"
}

# reads_alone OFFSET BYTE PARAMETERS…: what is there is read without the storage
# daemon, which is stopped meanwhile.
reads_alone ()
{
  local offset=$1 byte=$2
  shift 2
  start_nbdkit alone.sock "$@"
  find_daemon "$nbdkit_pid"
  timeout 30 "$python" - "$daemon" "$offset" "$byte" <<'EOF' \
    || fail "not read directly: $*"
import nbd, os, signal, sys
daemon, offset, byte = map(int, sys.argv[1:])
h = nbd.NBD()
h.set_export_name("vda@")
h.connect_unix("alone.sock")
os.kill(daemon, signal.SIGSTOP)
# Bounded, should it be asked.
signal.signal(signal.SIGALRM, lambda *_: os.kill(daemon, signal.SIGCONT)
              or sys.exit("the storage daemon was asked"))
signal.alarm(5)
got = h.pread(65536, offset)
signal.alarm(0)
os.kill(daemon, signal.SIGCONT)
assert set(got) == {byte}, set(got)
EOF
  stop_nbdkit
}
