#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The same random sequence of operations through virsh, qemu-checkpoint --libvirt (of
# a guest that runs or is off), and qemu-checkpoint --file --tree ends in the same
# checkpoints and the same bitmaps: see tool-property.py.  SEED=n ROUNDS=m repeat
# and size a run.
. "$(dirname "$0")/libvirt-lab.sh"

seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
rounds=$(rounds 10)
echo "repeat with: SEED=$seed ROUNDS=$rounds $0"
lab_start
documents=/var/lib/libvirt/qemu/checkpoint
[ "$connect" = qemu:///system ] \
  || documents=$XDG_CONFIG_HOME/libvirt/qemu/checkpoint

# It has libvirtd restarted by us, who can.
mkfifo asked answered
cat >restart <<'END'
#!/bin/sh
echo >asked
read -r answer <answered
END
chmod +x restart
timeout 300 "$python" "$srcdir/tests/tool-property.py" "$tool" "$connect" \
  "$documents" "$PWD/restart" "$seed" "$rounds" >log 2>&1 &
pid=$!
pids+=("$pid")
(wait_until_gone () { while kill -0 $pid 2>/dev/null; do sleep 0.1; done; }
 wait_until_gone; echo end >asked) &
while read -r request <asked && [ "$request" != end ]; do
  lab_restart
  echo >answered
done
wait $pid || { cat log; fail "SEED=$seed"; }
