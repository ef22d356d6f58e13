#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A backing chain that is broken, endless, remote or of unknown format is
# refused at start-up; nothing is guessed, and no server contacted.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

guest_disk base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
qemu-img bitmap --add top.qcow2 monday
serve top.qcow2 -- 'nbdinfo --size "$uri"'

# Only bitmaps need version 3: below the top an old image is as good.
qemu-img create -q -f qcow2 -o compat=0.10 old.qcow2 64M
qemu-io -f qcow2 -c 'write -q -P 7 9M 64k' old.qcow2
qemu-img create -q -f qcow2 -b old.qcow2 -F qcow2 over-old.qcow2
qemu-img bitmap --add over-old.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 8 1M 64k' over-old.qcow2
serve over-old.qcow2 -- 'nbdcopy "$uri" over-old.raw'
qemu-img compare -f raw -F qcow2 over-old.raw over-old.qcow2

mv base.qcow2 away.qcow2
refuses "backing file of $PWD/top.qcow2: .*$PWD/base.qcow2: No such file or directory; ." \
  top.qcow2
grep -q ';' refused.log || fail "no remedy"
mv away.qcow2 base.qcow2

cp top.qcow2 unknown.qcow2
forget_format unknown.qcow2
! qemu-img info --output=json unknown.qcow2 \
  | jq -e '."backing-filename-format"' || fail "the format is still known"
refuses "unknown.qcow2 does not record the format.*$PWD/base.qcow2.*qemu-img rebase -u .*FORMAT" \
  unknown.qcow2
cp refused.log unknown.log
# Both remedies work.
serve unknown.qcow2 backing-format=qcow2 -- 'nbdcopy "$uri" unknown.raw'
qemu-img compare -f raw -F qcow2 unknown.raw top.qcow2
refuses 'unknown.qcow2: .*has format vm, and only qcow2, raw' \
  unknown.qcow2 backing-format=vm
printed ', type: ' '' unknown.log
type_it "${printed/FORMAT/qcow2}"
serve unknown.qcow2 -- 'nbdinfo --size "$uri"'

# Layers of different formats, which one word cannot tell.
truncate -s 64M base.raw
qemu-io -f raw -c 'write -q -P 9 1M 64k' base.raw
qemu-img create -q -f qcow2 -b base.raw -F raw over-raw.qcow2
qemu-img create -q -f qcow2 -b over-raw.qcow2 -F qcow2 mixed.qcow2
qemu-img bitmap --add mixed.qcow2 monday
forget_format over-raw.qcow2
forget_format mixed.qcow2
refuses "backing file of $PWD/over-raw.qcow2: $PWD/base.raw is not a qcow2 image" \
  mixed.qcow2 backing-format=qcow2
serve mixed.qcow2 backing-format=raw -- 'nbdinfo --size "$uri"' 2>log
grep "error: disk vda: $PWD/over-raw.qcow2 is read as raw, as was said, but begins as a qcow2 image" \
  log || fail "the wrong format is not noticed: $(cat log)"
for words in 'over-raw.qcow2:qcow2 backing-format=raw' \
             'base.raw:raw backing-format=qcow2' \
             'base.raw:raw backing-format=over-raw.qcow2:qcow2'; do
  serve mixed.qcow2 backing-format=$words -- \
    'nbdcopy "nbd+unix:///vda@?socket=$unixsocket" mixed.raw' 2>log
  ! grep 'begins as' log || fail "read with a wrong format"
  cmp base.raw mixed.raw
done
refuses 'is not NAME:FORMAT' mixed.qcow2 backing-format=base.raw:

# QEMU guesses no format where a json: name has a protocol's driver only: it
# takes the bytes as they are, whatever a person thinks.
qemu-img create -q -f qcow2 -u -F raw \
  -b "json:{\"driver\":\"file\",\"filename\":\"$PWD/base.qcow2\"}" bytes.qcow2 64M
forget_format bytes.qcow2
qemu-img bitmap --add bytes.qcow2 monday
qemu-img convert -f qcow2 -O raw bytes.qcow2 wanted.raw
for words in '' backing-format=qcow2 backing-format=raw; do
  serve bytes.qcow2 $words -- \
    'nbdcopy "nbd+unix:///vda@?socket=$unixsocket" bytes.raw'
  cmp wanted.raw bytes.raw || fail "other bytes than QEMU's with $words"
done

# Formats that the plugin does not read.
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 over-iso.qcow2
"$python" - over-iso.qcow2 <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    at = f.read(65536).index(b"\xe2\x79\x2a\xca")
    f.seek(at + 8)
    f.write(b"cloop")
END
refuses 'over-iso.qcow2: .*format cloop, .*; .*use uri=' over-iso.qcow2

cp base.qcow2 away.qcow2
# A loop, of two and of one.
qemu-img rebase -u -f qcow2 -b top.qcow2 -F qcow2 base.qcow2
refuses "$PWD/top.qcow2: the backing chain comes back to $PWD/top.qcow2; ." \
  top.qcow2
qemu-img rebase -u -f qcow2 -b top.qcow2 -F qcow2 top.qcow2
refuses "$PWD/top.qcow2: the backing chain comes back to $PWD/top.qcow2; ." \
  top.qcow2

# Remote: a server that notes who comes.
note_who_comes server.sock
for backing in "nbd+unix:///?socket=$PWD/server.sock" \
               "nbd:unix:$PWD/server.sock" \
               "json:{\"driver\":\"nbd\",\"server\":{\"type\":\"unix\",\"path\":\"$PWD/server.sock\"}}"
do
  for format in raw qcow2; do
    qemu-img rebase -u -f qcow2 -b "$backing" -F $format top.qcow2
    refuses 'top.qcow2: its backing file .* is not a local file.*; .* backing=' \
      top.qcow2
  done
done
! [ -e contacted ] || fail "the remote backing file was contacted"
# The server does note it.
qemu-img info "nbd+unix:///?socket=$PWD/server.sock" 2>/dev/null || :
wait_until 10 test -e contacted

# A storage daemon that finds a backing file below the last layer is asked no
# further: what it reads is not what was looked at.  (None does: it is made up.)
mkdir fake
cat >fake/qemu-storage-daemon <<END
#!$(command -v "$python")
import json, sys
print ('{"QMP": {}}', flush=True)
nodes = []
for line in sys.stdin:
    command, answer = json.loads(line), {}
    if command["execute"] == "blockdev-add":
        nodes.append({"node-name": command["arguments"]["node-name"],
                      "image": {"virtual-size": 1 << 20,
                                "backing-filename": "secret.qcow2"}})
    elif command["execute"] == "query-named-block-nodes":
        answer = nodes
    print(json.dumps({"return": answer, "id": command["id"]}), flush=True)
END
chmod +x fake/qemu-storage-daemon
PATH=$PWD/fake:$PATH refuses 'away.qcow2: QEMU finds a backing file where .* none' \
  away.qcow2
type_printed '; check it with: ' >typed
grep -q '^image: .*/away.qcow2' typed || fail "$(cat typed)"

[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
