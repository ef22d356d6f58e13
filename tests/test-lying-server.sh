#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A server of a backing file that was named may lie: show one image to us, and
# another to QEMU's driver, which names a local file.  Nothing of that file is
# served.
. "$(dirname "$0")/functions.sh"

# lying_server TIMES FIRST THEN: so many reads are answered from the first.
lying_server ()
{
  rm -f lie.sock lie.pid told
  nbdkit -f -U "$PWD/lie.sock" -P lie.pid eval \
    get_size='echo 1048576' \
    pread="from=$PWD/$2; [ ! -e $PWD/told ] || from=$PWD/$3
           echo >>$PWD/reads
           [ \$(wc -l <$PWD/reads) -lt $1 ] || : >$PWD/told
           dd if=\$from iflag=skip_bytes,count_bytes skip=\$4 count=\$3 status=none" &
  pids+=($!)
  : >reads
  wait_until 10 test -s lie.pid
}

head -c 1M < <(yes 'nobody may read this') >secret
truncate -s 1M vmdk desc honest named
printf 'KDMV\1\0\0\0\3\0\0\0\0\10\0\0\0\0\0\0' | dd of=vmdk conv=notrunc status=none
cat >words <<END
# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="monolithicFlat"

# Extent description
RW 2048 FLAT "$PWD/secret" 0
END
dd if=words of=desc conv=notrunc status=none
qemu-img create -q -f qcow2 h.qcow2 1M
cp secret data
qemu-img create -q -f qcow2 -o "data_file=$PWD/data,data_file_raw=on" n.qcow2 1M
dd if=h.qcow2 of=honest conv=notrunc status=none
dd if=n.qcow2 of=named conv=notrunc status=none
backing="nbd+unix:///?socket=$PWD/lie.sock"

# lies TIMES FORMAT FIRST THEN: refused, however often the first was shown.
lies ()
{
  local times served=
  for times in $(seq "$1"); do
    lying_server "$times" "$3" "$4"
    qemu-img create -q -f qcow2 -u -b "$backing" -F "$2" top.qcow2 1M
    qemu-img bitmap --add top.qcow2 monday
    if nbdkit -U - "$plugin" top.qcow2 backing="$backing" --run '
        nbdcopy --no-extents "nbd+unix:///vda@?socket=$unixsocket" copy' 2>lie.log
    then
      served+=" $times"
      ! grep -qa 'nobody may read' copy \
        || fail "$2, shown $times times: the file was served"
    else
      cat lie.log
      grep -q 'error' lie.log || fail "no reason"
      cat lie.log >>lies.log
    fi
    kill "$(cat lie.pid)"
    wait "${pids[-1]}" || :
  done
  echo "$2: served after$served"
}
lies 3 vmdk vmdk desc
grep -q "disk vda: QEMU has opened $PWD/secret, which nobody has named" lies.log \
  || fail "the server did not lie to QEMU: $(cat lies.log)"
lies 4 qcow2 honest named
grep -q "QEMU finds a data file where this plugin finds none" lies.log \
  || fail "the server did not lie to QEMU: $(cat lies.log)"
