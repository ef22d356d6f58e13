# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced by tests of clients that are killed while a server works for them.

# clients_vanish ROUNDS HOW…: in each round, one client per HOW (an argument
# of vanish.py) kills itself while another copies the disk; the one that stays
# and those that come next must be served well.  The server is start_nbdkit's
# at server.sock, over disk.qcow2 with the bitmap monday.
clients_vanish ()
{
  local rounds=$1 round how pid status stays vanishing
  local uri="nbd+unix:///?socket=$PWD/server.sock"
  shift

  nbdcopy "$uri" stays.raw &
  stays=$!
  for ((round = 0; round < rounds; round++)); do
    vanishing=()
    for how; do
      "$python" vanish.py "$how" &
      vanishing+=($!)
    done
    for pid in "${vanishing[@]}"; do
      status=0
      wait "$pid" 2>/dev/null || status=$?
      [ $status -eq 137 ] || fail "a client ended with $status"
    done
  done
  wait $stays || fail "the client that stayed failed"

  kill -0 "$nbdkit_pid" || fail "nbdkit ended"
  qemu-img convert -O raw disk.qcow2 disk.raw
  cmp disk.raw stays.raw || fail "wrong bytes for the client that stayed"
  timeout 60 nbdcopy "$uri" next.raw
  cmp disk.raw next.raw || fail "wrong bytes for the next client"
  timeout 10 nbdinfo --json --map "$uri" \
    | jq -r '.[] | select(.type != 1) | "\(.offset) \(.length)"' \
    | join_ranges >got
  qemu_dirty disk.qcow2 monday | join_ranges >want
  diff -u want got || fail "a wrong map for the next client"
  kill "$nbdkit_pid"
  wait "$nbdkit_pid" || fail "nbdkit ended badly"
  leaves_nothing
}
