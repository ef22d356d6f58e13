# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced after libvirt-lab.sh: qemu-checkpoint that waits at an instant of
# held-call.c's.

held=$tmpdir/held

# hold INSTANT WORDS…: starts it, and returns at that instant; $tool_pid, what it
# says in held.said.
hold ()
{
  touch "$held.$1"
  env LD_PRELOAD="$(realpath "$builddir")/tests/.libs/held-call.so" \
    ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" HELD="$held" \
    "$tool" "${@:2}" >"$held.said" 2>&1 &
  tool_pid=$!
  pids+=("$tool_pid")
  wait_until 20 test -e "$held.met"
}

go_on () { rm "$held.met"; }

# ended STATUS REGEX: it has ended so, and said that.
ended ()
{
  local status=0
  wait "$tool_pid" || status=$?
  [ "$status" -eq "$1" ] || fail "status $status: $(cat "$held.said")"
  grep -Eq -- "$2" "$held.said" || fail "no '$2': $(cat "$held.said")"
}

# A keeper is called as the tool was.
no_keeper ()
{
  local pid
  for pid in $(pgrep -f '[q]emu-checkpoint '); do
    ! is_ours "$pid" || return 1
  done
}
