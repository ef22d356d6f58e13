#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# uri=: answers to options that break the protocol are refused, in bounded time and
# memory, and in one line; odd ones within the protocol are borne.
. "$(dirname "$0")/functions.sh"
export PYTHONPATH=$srcdir/tests sanitizers

bounded "$python" "$srcdir/tests/rogue-cases.py" "$plugin" options
