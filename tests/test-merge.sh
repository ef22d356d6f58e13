#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The filter: a view of three parts under its plain name is whole.  It shows the
# union in every view, with the first part's bytes, hides the parts in the list,
# lets them be asked for all the same, and passes other views on unchanged.
. "$(dirname "$0")/functions.sh"

guest_layers
qemu-img bitmap --add top.qcow2 tuesday
qemu-io -f qcow2 -c 'write -q -P 5 6M 64k' top.qcow2
sha256sum ./*.qcow2 >sums

nbdkit_options=(--filter="$filter")

# map EXPORT VIEW: "offset+length=type" in KiB, of all that is not clean.
map ()
{
  local clean=1
  [ "$2" != sparse ] || clean=3
  export_name=$1 serve top.qcow2 view="$2" -- \
    'nbdinfo --map --json "nbd+unix:///$export_name?socket=$unixsocket"' \
    | jq -r --argjson clean $clean '.[] | select(.type != $clean)
        | "\(.offset / 1024)+\(.length / 1024)=\(.type)"' | paste -sd' '
}
is () { [ "$1" = "$2" ] || fail "not '$2' but '$1'"; }
export export_name

union="1024+64=0 2048+64=0 3072+64=3 5120+64=0 6144+64=0 16384+2048=3 18432+64=0 18496+1984=3"
is "$(map vda@monday overlay)" "$union"
is "$(map vda@monday guard)" "$union"
is "$(map vda@monday sparse)" \
  "1024+64=0 2048+64=0 3072+64=0 5120+64=0 6144+64=0 16384+4096=0"
# A view of one part, and a part by its name.
is "$(map vda@tuesday overlay)" "6144+64=0"
is "$(map vda@monday/0 overlay)" "5120+64=0 6144+64=0 18432+64=0"
is "$(map vda@monday/1 overlay)" \
  "2048+64=0 3072+64=3 5120+64=0 6144+64=0 18432+64=0"

# As a backup, in the views for it; guard lets it read all that is dirty.
for view in overlay guard; do
  serve top.qcow2 checkpoint=monday view=$view -- '
    qemu-img convert -f raw -O qcow2 -B monday.qcow2 -F qcow2 "$uri" now.qcow2'
  qemu-img compare -f qcow2 -F qcow2 top.qcow2 now.qcow2
done
qemu-img create -q -f qcow2 -b monday.qcow2 -F qcow2 now.qcow2
serve top.qcow2 checkpoint=monday view=sparse -- '
  nbdcopy --destination-is-zero -S 0 --request-size=65536 -- \
    "$uri" [ qemu-nbd -f qcow2 now.qcow2 ]'
qemu-img compare -f qcow2 -F qcow2 top.qcow2 now.qcow2
serve top.qcow2 checkpoint=monday view=guard -- \
  'qemu-io -r -f raw -c "read 1M 64k" -c "read 5M 64k" "$uri"'
! serve top.qcow2 checkpoint=monday view=guard -- \
  'qemu-io -r -f raw -c "read 1M 65k" "$uri"' || fail "guard let a clean read pass"

# One extent when one is asked for, clipped to the request; multi-conn, block
# sizes and read-only as of the part; what is refused is refused with its errno.
cat >client.py <<'EOT'
import nbd, os
def opened(name):
    h = nbd.NBD()
    h.set_export_name(name)
    h.add_meta_context("base:allocation")
    h.set_strict_mode(0)
    h.connect_unix(os.environ["unixsocket"])
    return h
whole, part = opened("vda@monday"), opened("vda@monday/0")
def status(h, length, offset, flags=0):
    seen = []
    h.block_status(length, offset, lambda c, o, e, err: seen.extend(e), flags)
    return seen
one = nbd.CMD_FLAG_REQ_ONE
assert status(whole, 5 << 20, 0, one) == [1 << 20, 1]
assert status(whole, 4096, 1 << 20, one) == [4096, 0]
assert status(whole, 1 << 20, (1 << 20) + 4096, one) == [61440, 0]
assert status(whole, 131072, (1 << 20) - 65536) == [65536, 1, 65536, 0]
for ask in ("can_multi_conn", "is_read_only", "can_df", "can_cache",
            "get_size"):
    assert getattr(whole, ask)() == getattr(part, ask)(), ask
for which in (nbd.SIZE_MINIMUM, nbd.SIZE_PREFERRED, nbd.SIZE_MAXIMUM):
    assert whole.get_block_size(which) == part.get_block_size(which)
assert whole.is_read_only()
for offset in (0, 1 << 20, 2 << 20, 18 << 20):
    assert whole.pread(65536, offset) == part.pread(65536, offset)
for h in (whole, part):
    try:
        h.pread(512, 20 << 20)
        raise AssertionError("read beyond the end")
    except nbd.Error as e:
        print(e.errno)
EOT
is "$(serve top.qcow2 -- 'export unixsocket; "$python" client.py')" "EINVAL
EINVAL"

# The list.
serve top.qcow2 checkpoint=monday -- \
  'nbdinfo --list --json "$uri"' >list.json
is "$(jq -r '[.exports[]["export-name"]] | join(",")' list.json)" \
  "vda,vda@monday,vda@tuesday,vda@"
is "$(jq -r '.exports[1].description' list.json)" "3 parts united; the top one: disk vda since checkpoint monday, to be united; in $PWD/top.qcow2; 196608 bytes dirty, granularity 65536; this part is healthy"
serve top.qcow2 checkpoint=monday -- 'nbdinfo --json "$uri"' \
  | jq -r '.exports[0].description' | grep '^3 parts united, 327680 bytes of data dirty, [0-9]* read as zeroes; the top one: disk vda since'
serve top.qcow2 checkpoint=tuesday -- 'nbdinfo --json "$uri"' \
  | jq -r '.exports[0].description' | grep '^disk vda since checkpoint tuesday; 65536 bytes dirty'

# Without the filter, who asks for the plain name is told what to type.
nbdkit_options=()
refuses_export 'start with: nbdkit -U ./nbd.sock --filter=bitmap-merge checkpoint file=top.qcow2 checkpoint=monday$' \
  vda top.qcow2 checkpoint=monday
sha256sum -c --quiet sums || fail "an image was changed"
leaves_nothing
