#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Every fuzz target takes its corpus, and mutations of it (FUZZ_SEED repeats
# a run).
set -e
for target in backup checkpoint export-name guest l2-entries qcow2-header \
              remote-name; do
  "$builddir/fuzz/fuzz-$target" "$srcdir/fuzz/corpus/$target"
done
