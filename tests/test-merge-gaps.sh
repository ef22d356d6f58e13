#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Where a union could be too small without a word: disabled bitmaps whose
# successors are in another layer, or are offered by a server that cannot tell;
# a server replaced after its map was read; names that look like parts'.
. "$(dirname "$0")/functions.sh"
nbdkit_options=(--filter="$filter")

# tree NAME…: documents of checkpoints that follow one another.
tree ()
{
  local parent= time=1 name
  rm -rf tree
  mkdir tree
  for name; do
    cat >tree/$name.xml <<END
<domaincheckpoint><name>$name</name><creationTime>$((time++))</creationTime>
  ${parent:+<parent><name>$parent</name></parent>}
  <disks><disk name='vda' checkpoint='bitmap' bitmap='$name'/></disks>
</domaincheckpoint>
END
    parent=$name
  done
}
# dirty EXPORT ARGS…: the dirty offsets in KiB
dirty ()
{
  export export_name=$1
  shift
  serve "$@" -- 'nbdinfo --map --json "nbd+unix:///$export_name?socket=$unixsocket"' \
    | jq -r '.[] | select(.type != 1) | "\(.offset / 1024)+\(.length / 1024)"' \
    | paste -sd' '
}
is () { [ "$1" = "$2" ] || fail "not '$2' but '$1'"; }

# A disabled bitmap in a layer in which no later one goes on: what was written
# there after it is unknown.
qemu-img create -q -f qcow2 lower.qcow2 4M
qemu-img bitmap --add lower.qcow2 a
qemu-img bitmap --disable lower.qcow2 a
qemu-io -f qcow2 -c 'write -q -P 1 1M 64k' lower.qcow2
qemu-img create -q -f qcow2 -b lower.qcow2 -F qcow2 upper.qcow2
qemu-img bitmap --add upper.qcow2 b
tree a b
refuses "bitmap of checkpoint a in .*lower.qcow2 is not recording .*, and no later checkpoint's bitmap is there, either" \
  upper.qcow2 tree=tree checkpoint=a
# With the next one in the same layer, it does.
qemu-img create -q -f qcow2 lower.qcow2 4M
qemu-img bitmap --add lower.qcow2 a
qemu-io -f qcow2 -c 'write -q -P 1 1M 64k' lower.qcow2
qemu-img bitmap --disable lower.qcow2 a
qemu-img bitmap --add lower.qcow2 b
qemu-io -f qcow2 -c 'write -q -P 1 2M 64k' lower.qcow2
qemu-io -f qcow2 -c 'write -q -P 1 3M 64k' upper.qcow2
is "$(dirty vda@a upper.qcow2 tree=tree)" "1024+64 2048+64 3072+64"

# A server does not tell that bitmaps are disabled.
qemu-img create -q -f qcow2 disk.qcow2 4M
for i in 1 2 3; do
  qemu-img bitmap --add disk.qcow2 c$i
  qemu-io -f qcow2 -c "write -q -P $i ${i}M 64k" disk.qcow2
  [ $i -eq 3 ] || qemu-img bitmap --disable disk.qcow2 c$i
done
tree c1 c2 c3
qemu-nbd -r -f qcow2 -t -e 90 -k "$PWD/one.sock" --pid-file=one.pid \
  -B c1 -B c2 -B c3 disk.qcow2 &
one=$!
pids+=("$one")
wait_until 10 test -s one.pid
uri="uri=nbd+unix:///?socket=$PWD/one.sock"
is "$(dirty vda@c1 disk.qcow2 tree=tree)" "1024+64 2048+64 3072+64"
is "$(dirty vda@c1 "$uri" tree=tree)" "1024+64 2048+64 3072+64"
is "$(dirty vda@c2 "$uri" tree=tree)" "2048+64 3072+64"
is "$(dirty vda "$uri" tree=tree bitmap=c1)" "1024+64"
nbdkit_options=()
refuses_export 'spread over 3 parts' vda@c1 "$uri" tree=tree
nbdkit_options=(--filter="$filter")

# A server that is replaced after its maps were read.
kill "$one"
wait "$one" || :
cp disk.qcow2 other.qcow2
qemu-io -f qcow2 -c 'write -q -P 9 0 64k' other.qcow2
for i in 4 5 6 7 8 9 10 11 12 13 14; do
  for disk in disk other; do qemu-img bitmap --add $disk.qcow2 c$i; done
done
bitmaps=()
for i in $(seq 14); do bitmaps+=(-B c$i); done
serve_disk ()
{
  rm -f two.sock two.pid
  qemu-nbd -r -f qcow2 -t -e 200 -k "$PWD/two.sock" --pid-file=two.pid \
    "${bitmaps[@]}" "$1" 2>/dev/null &
  server=$!
  pids+=("$server")
  wait_until 10 test -s two.pid
}
serve_disk disk.qcow2
start_nbdkit n.sock uri="nbd+unix:///?socket=$PWD/two.sock"
cat >client.py <<'EOT'
import nbd, sys
h = nbd.NBD()
h.set_export_name(sys.argv[1])
h.add_meta_context("base:allocation")
h.connect_unix("n.sock")
h.block_status(h.get_size(), 0, lambda *a: 0)
h.pread(65536, 0)
EOT
for i in $(seq 14); do "$python" client.py vda@c$i; done
kill "$server"
wait "$server" || :
serve_disk other.qcow2
for i in $(seq 14); do
  ! "$python" client.py vda@c$i 2>/dev/null \
    || fail "vda@c$i is read from another server than its map"
done
stop_nbdkit

# A bitmap whose name ends as a part's does.
qemu-img create -q -f qcow2 base.qcow2 4M
qemu-img bitmap --add base.qcow2 a/1
qemu-io -f qcow2 -c 'write -q -P 1 1M 64k' base.qcow2
is "$(dirty vda@a/1 base.qcow2)" "1024+64"
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
qemu-img bitmap --add top.qcow2 a/1
qemu-io -f qcow2 -c 'write -q -P 1 2M 64k' top.qcow2
is "$(dirty vda@a/1 top.qcow2)" "1024+64 2048+64"
is "$(dirty vda@a/1/1 top.qcow2)" "1024+64"
serve top.qcow2 -- 'nbdinfo --list --json "$uri"' >list.json
is "$(jq -r '[.exports[]["export-name"]] | join(",")' list.json)" "vda,vda@a/1,vda@"
