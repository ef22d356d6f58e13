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
[ "$symbols" = "checkpoint_debug_parallel checkpoint_debug_patience plugin_init" ] || fail "exported: $symbols"
readelf -d "$plugin" | grep -q NODELETE || fail "not linked -z nodelete"

# One file opens and closes connections, so that none of a job is closed before
# it (nbd/life.h).  plugin.c asks for libnbd's version.
while read -r object; do
  case $object in */nbd/*-connect.o) continue ;; esac
  used=$(nm -u "$object" | awk '
    $NF ~ /^nbd_(close|shutdown|aio_disconnect)$/ { print $NF }
    $NF ~ /^nbd_(aio_)?connect_(uri|unix|tcp|vsock|socket|command|systemd)/ { print $NF }' \
    | paste -sd' ')
  case $object:$used in
    *:'' | *plugin.o:nbd_close) ;;
    # nbds:, for connect.c alone.
    */nbd/*-tls.o:'nbd_aio_connect_socket'*) ;;
    *) fail "$object needs $used" ;;
  esac
done < <(find "$builddir/common" "$builddir/plugin" -path '*/.libs/*.o')
