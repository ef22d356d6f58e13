#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# uri=: a server that breaks the protocol before the first option is refused, in
# bounded time and memory, and in one line; one that does so to all connections
# but the first is served by that.
. "$(dirname "$0")/functions.sh"
export PYTHONPATH=$srcdir/tests sanitizers

bounded "$python" "$srcdir/tests/rogue-cases.py" "$plugin" handshake
