#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# libvirt's daemon takes connections and does not answer.  The start is refused in
# bounded time, or ends when it is told to, or killed; no process stays.
. "$(dirname "$0")/libvirt-lab.sh"

lab_with_guest
lab_state web1 >before
kill -STOP "$lab_pid"

# Told to end while it waits.
for signal in TERM KILL; do
  nbdkit -f -U n.sock "$plugin" libvirt="$connect" domain=web1 \
    checkpoint=monday 2>ended.log &
  nbdkit_pid=$!
  pids+=("$nbdkit_pid")
  find_keeper
  kill -$signal "$nbdkit_pid"
  wait "$nbdkit_pid" || :
  wait_until 10 lab_no_keeper
done

refuses "libvirt at $connect: its daemon did not answer within 55 s" \
  libvirt="$connect" domain=web1 checkpoint=monday
wait_until 10 lab_no_keeper
kill -CONT "$lab_pid"
lab_state web1 | diff -u before - || fail "something is left"
