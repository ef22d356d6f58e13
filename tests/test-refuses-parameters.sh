#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Parameters that are missing, empty, repeated, unknown or out of place are
# refused at start-up, in one line.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday

# No source, and two.
refuses 'no source is given; add file=PATH .* libvirt=URI .* qmp=SOCKET .* uri=NBD-URI'
refuses 'no source is given; add file=PATH' checkpoint=monday
refuses 'two sources are given, file and uri; .* remove' \
  disk.qcow2 uri=nbd://localhost
refuses 'two sources are given, file and uri; .* remove' \
  uri=nbd://localhost file=disk.qcow2
refuses 'two sources are given, file and qmp; .*a word without = is file=' \
  qmp=q.sock q2.sock
refuses 'two sources are given, uri and qmp; .* remove' \
  qmp=q.sock uri=nbd://localhost

# No value.
for key in file uri libvirt qmp tree domain checkpoint disk bitmap view coalesce cache \
           create on-missing socket-dir scratch-dir take-over nbd-tls; do
  refuses "error: $key= has no value" disk.qcow2 "$key="
done
refuses 'has no value' ""
refuses 'file=vda: names no file' file=vda:

# Twice, even with the same value: which one is meant cannot be known.
for pair in qmp=/a,/b tree=/a,/b domain=a,b checkpoint=a,b \
            disk=vda,vdb view=guard,sparse coalesce=64k,128k \
            view=guard,guard coalesce=0,0 cache=none,default checkpoint=a,a; do
  key=${pair%%=*} values=${pair#*=}
  refuses "error: $key= is given twice: .*${values#*,}" \
    "$key=${values%,*}" "$key=${values#*,}"
done

# One word only of each disk, and of each image.
for pair in format=vda:raw,vda:qcow2 format=raw,qcow2 format=vda:raw,vda:raw \
            backing-format=raw,qcow2 backing-format=a:raw,a:qcow2; do
  key=${pair%%=*} values=${pair#*=}
  first=${values%,*} second=${values#*,}
  refuses "error: $key=$second: ${first##*:} is said of the same (disk|image); leave" \
    disk.qcow2 "$key=$first" "$key=$second"
done

# These may be repeated, but not with the same value.
refuses 'error: uri=nbd://a/ is given twice' uri=nbd://a/ uri=nbd://a/
refuses 'error: bitmap=a is given twice' uri=nbd://a/ bitmap=a bitmap=b bitmap=a

# Unknown ones.
refuses 'unknown parameter chekpoint=; .*--help' disk.qcow2 chekpoint=monday
type_printed 'chekpoint=; ' ' lists them all' >typed
grep -q '^checkpoint=NAME' typed || fail "no list: $(cat typed)"
refuses 'no view=overlays; views are: overlay, sparse, guard' \
  disk.qcow2 view=overlays
refuses 'disk=a/b is not the name of a disk such as vda' disk.qcow2 disk=a/b
for size in x -1 64q 99999999999999999999E ' '; do
  refuses "coalesce=$size is not a size such as 64k" \
    disk.qcow2 coalesce="$size"
done

refuses 'cache=writeback is neither default nor none' disk.qcow2 cache=writeback

# Out of place.
refuses 'cache=none goes with file=; with uri= .*: qemu-nbd --cache=none$' \
  uri=nbd://localhost cache=none
refuses 'bitmap= goes with file= and uri=; with libvirt=, name a checkpoint' \
  libvirt=test:///default domain=test bitmap=monday
for parameter in format=raw backing=nbd://a/ backing-format=raw secret=key; do
  refuses "${parameter%%=*}= goes with file= and libvirt=; with uri= the server reads the images" \
    uri=nbd://localhost "$parameter"
  refuses "${parameter%%=*}= goes with file= and libvirt=; with qmp= the guest.s QEMU reads the images" \
    qmp=q.sock "$parameter"
done
refuses 'cache=none goes with file=; with qmp= the guest.s QEMU reads the disks' \
  qmp=q.sock cache=none
refuses 'bitmap= goes with file= and uri=; with qmp= .*, checkpoint=NAME is the bitmap' \
  qmp=q.sock bitmap=monday
refuses 'on-missing= goes with file=, libvirt= and qmp=; with uri=, ' \
  uri=nbd://localhost on-missing=full
refuses 'domain= says .* tree= .*; add tree=' disk.qcow2 domain=web1
refuses 'domain= says .* tree= .*; add tree=' qmp=q.sock domain=web1
for parameter in create=a socket-dir=/ scratch-dir=/ take-over=yes; do
  refuses "${parameter%%=*}= goes with libvirt= and qmp=" disk.qcow2 "$parameter"
done
for source in disk.qcow2 qmp=q.sock; do
  refuses 'nbd-tls= goes with libvirt=, which is not given' $source nbd-tls=no
done
for parameter in socket-dir scratch-dir; do
  refuses "$parameter= is not valid UTF-8, which QEMU requires" qmp=q.sock \
    $parameter=$'/\xe9'
done
for name in a/b 'a b' .a a@b ä -x; do
  refuses "create=.* is not a name for a checkpoint" \
    libvirt=test:///default domain=test create="$name"
  refuses "create=.* is not a name for a checkpoint" qmp=q.sock create="$name"
done
refuses 'on-missing=whole is neither refuse nor full' disk.qcow2 \
  on-missing=whole
refuses 'take-over=maybe is neither yes nor no' disk.qcow2 take-over=maybe
refuses 'nbd-tls=maybe is neither yes, no nor a folder' disk.qcow2 \
  nbd-tls=maybe
refuses 'libvirt=test:///default: which guest\?  Add domain=NAME; .* type virsh -c test:///default list --all$' \
  libvirt=test:///default
if command -v virsh >/dev/null; then
  type_printed 'to see their names, type ' >typed
  grep -q ' test  *running' typed || fail "no guests: $(cat typed)"
fi
refuses 'tree= goes with file=, uri= and qmp=; with libvirt= the tree is libvirt' \
  libvirt=test:///default domain=test tree=.
refuses 'two sources are given, file and libvirt; ' disk.qcow2 \
  libvirt=test:///default domain=test
refuses 'a word without = is file=; a guest is named with domain=' \
  libvirt=test:///default test

[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
# The same disk is served when nothing is wrong.
serve disk.qcow2 coalesce=64k view=guard checkpoint=monday disk=vda -- 'nbdinfo --size "$uri"'
