#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# uri=: a server that breaks TLS, or the protocol within, is refused, or its
# requests fail, in bounded time and without a busy wait.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/rogue-certificates.sh"
export PYTHONPATH=$srcdir/tests sanitizers

bounded "$python" "$srcdir/tests/rogue-cases.py" "$plugin" tls
