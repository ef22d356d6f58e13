#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# uri=: whatever a server answers to block status, no dirty block is called clean
# that it did not call so; what is within the protocol is served.
. "$(dirname "$0")/functions.sh"
export PYTHONPATH=$srcdir/tests sanitizers

bounded "$python" "$srcdir/tests/rogue-cases.py" "$plugin" status
