#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The plugin exports nbdkit's entry symbol only, and what -D sets; and it is
# never unloaded.
. "$(dirname "$0")/functions.sh"
requires nm
requires readelf

symbols=$(nm -D --defined-only "$plugin" | awk '{ print $NF }' \
  | grep -v '^__\(asan\|odr_asan\|ubsan\)' | paste -sd' ')
[ "$symbols" = "checkpoint_debug_patience plugin_init" ] || fail "exported: $symbols"
readelf -d "$plugin" | grep -q NODELETE || fail "not linked -z nodelete"
