#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# uri= over TLS with a pre-shared key, as libnbd reads such URIs.
. "$(dirname "$0")/functions.sh"
requires psktool

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' disk.qcow2
mkdir psk
psktool -u alice -p psk/keys.psk >/dev/null
qemu-nbd -r -f qcow2 -t -e 20 -k "$PWD/qemu.sock" -B monday \
  --object "tls-creds-psk,id=tls0,endpoint=server,dir=$PWD/psk" \
  --tls-creds tls0 disk.qcow2 &
pids+=($!)
wait_until 10 listens qemu.sock

uri="nbds+unix://alice@/?socket=$PWD/qemu.sock&tls-psk-file=$PWD/psk/keys.psk"
serve uri="$uri" checkpoint=monday -- 'nbdinfo --map "$uri"; nbdcopy "$uri" copy' \
  >map
cat map
awk '$4 == "data" { print $1, $2 }' map >got
echo '1048576 65536' | diff -u - got
qemu-img compare -f raw -F qcow2 copy disk.qcow2
# libnbd 1.14 cannot tell that TLS is what lacks.
refuses 'if it requires TLS, write nbds|requires TLS' uri="nbd+unix:///?socket=$PWD/qemu.sock" checkpoint=monday
