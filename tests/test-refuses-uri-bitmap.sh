#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# uri= of a server that offers no bitmap, another one or several, or that lets
# clients write, is refused, and the message lists what is offered.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

guest_disk disk.qcow2
for name in monday tuesday backup-vda libvirt-x; do
  qemu-img bitmap --add disk.qcow2 $name
done

n=0
# server ARGS…: a QEMU export of the disk; $export is its URI.
server ()
{
  local socket=$PWD/$((++n)).sock
  qemu-nbd -f qcow2 -t -e 16 -k "$socket" "$@" disk.qcow2 2>/dev/null &
  server=$!
  pids+=("$server")
  wait_until 10 listens "$socket"
  export="nbd+unix:///?socket=$socket"
}
stop_server ()
{
  kill "$server"
  wait "$server" || :
}

# None: QEMU's, and another program's.
server -r
refuses 'offers no .*bitmap.*; .*(qemu-nbd.* -B|backup-begin)' "uri=$export"
refuses 'not offer bitmap monday.*(none).*; .' "uri=$export" bitmap=monday
stop_server
nbdkit -f -r -U "$PWD/memory.sock" memory 1M &
pids+=($!)
wait_until 10 listens memory.sock
memory="nbd+unix:///?socket=$PWD/memory.sock"
refuses 'offers no .*bitmap.*; .*(qemu-nbd.* -B|backup-begin)' "uri=$memory"
refuses 'not offer bitmap monday.*(none).*; .' "uri=$memory" checkpoint=monday

# Others.
server -r -B tuesday -B monday
refuses 'not offer bitmap mondy; it offers: monday, tuesday' \
  "uri=$export" bitmap=mondy
refuses 'not offer bitmap tuesda; it offers: tuesday, monday' \
  "uri=$export" checkpoint=tuesda
cat >tree.xml <<END
<domaincheckpoint><name>sunday</name><creationTime>1</creationTime><disks>
  <disk name='vda' bitmap='sunday'/></disks></domaincheckpoint>
END
refuses 'not offer bitmap sunday; it offers: ' \
  "uri=$export" tree=tree.xml checkpoint=sunday
refuses 'no checkpoint sundy; known are: sunday' \
  "uri=$export" tree=tree.xml checkpoint=sundy

# Several, and none chosen: each can be had by its name.
refuses_export 'monday, tuesday; start with (bitmap|checkpoint)=|tuesday, monday; start with (bitmap|checkpoint)=' \
  '' "uri=$export"
refuses_export 'no disk vdb; disks are: vda' vdb "uri=$export"
serve "uri=$export" -- 'nbdinfo --size "nbd+unix:///vda@tuesday?socket=$unixsocket"'
serve "uri=$export" bitmap=tuesday -- 'nbdinfo --size "$uri"'
stop_server

# What a pull-mode backup job of libvirt offers.
server -r -B backup-vda
pull='not offer bitmap monday, but backup-vda, .*pull-mode.*; .* add bitmap=backup-vda'
refuses "$pull" "uri=$export" checkpoint=monday
refuses 'bitmap sunday, but backup-vda, .*; .* add bitmap=backup-vda' \
  "uri=$export" tree=tree.xml checkpoint=sunday
refuses 'not offer bitmap backup-vdb; it offers: backup-vda; choose with bitmap=' \
  "uri=$export" checkpoint=monday bitmap=backup-vdb
serve "uri=$export" checkpoint=monday bitmap=backup-vda -- 'nbdinfo --size "$uri"'
serve "uri=$export" -- 'nbdinfo --size "$uri"'
stop_server

# Writable: QEMU's, and another program's.
server -B backup-vda
for more in disk=vda bitmap=backup-vda checkpoint=monday; do
  refuses 'exported writable.*; export it read-only .*--read-only' \
    "uri=$export" $more
done
stop_server

[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
