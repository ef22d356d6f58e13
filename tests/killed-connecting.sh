# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced after libvirt-lab.sh: nbdkit is killed while it connects to a backup job
# of $guest, at an instant that late-ready.c knows: go or ready.

late=$(realpath "$builddir")/tests/.libs/late-ready.so
export LATE=$tmpdir/late
# A sanitizer's runtime must come first.
case $sanitizers in '') preload=LD_PRELOAD ;; *) preload=NBDKIT_PRELOAD ;; esac

kill_when_late ()
{
  wait_until 30 test -e "$LATE.met"
  kill -KILL "$nbdkit_pid"
  wait "$nbdkit_pid" || :
  rm "$LATE.met"
  wait_until 40 no_job "$guest"
  [[ $(virsh domstate "$guest") == running* ]] || fail "the guest died: $1"
  wait_until 20 lab_no_keeper
}

connecting=$connect

# killed_as_it_starts CHECKPOINT INSTANT PARAMETER…: by $connecting, or else $connect.
killed_as_it_starts ()
{
  touch "$LATE.$2"
  env "$preload=$late" nbdkit -f -U n.sock "$plugin" libvirt="$connecting" \
    domain="$guest" create="$1" "${@:3}" 2>start.log &
  nbdkit_pid=$!
  pids+=("$nbdkit_pid")
  kill_when_late "nbdkit was killed as it started ($2)"
  ! virsh checkpoint-info "$guest" "$1" 2>/dev/null \
    || fail "$1 is left, of a start that served nothing"
}
