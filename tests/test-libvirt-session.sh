#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# As root: the tests of a chain and of the exits once more, with the daemon
# of an ordinary user's session.  (An ordinary user's tests all use that one.)
srcdir=${srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
export srcdir
set -eu
for test in test-libvirt-chain test-libvirt-exits; do
  if [ "$(id -u)" -eq 0 ]; then
    LAB_SESSION=1 "$srcdir/tests/$test.sh" || exit
  fi
done
