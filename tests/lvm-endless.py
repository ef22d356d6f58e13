# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A physical volume of LVM's, whose text takes hours to be looked through, if all of
# it is: 2,000 logical volumes with 128 stripes, each on what comes last.  Or "stripes":
# one volume of 16 GiB in stripes of 512 bytes.
#
#   lvm-endless.py IMAGE [stripes]

import struct
import sys

small = len(sys.argv) > 2
SIZE, TEXT_AT, TEXT_AREA = (17 << 30) if small else (64 << 20), 4096, 16 << 20
UUID = "A" * 32
ID = "-".join(["AAAAAA"] + ["AAAA"] * 5 + ["AAAAAA"])

stripes = ",".join(['"pv",0'] * 128)
volumes = "".join(
    f'l{i}{{status=["VISIBLE"] segment_count=1 segment1{{start_extent=0 '
    f'extent_count=128 type="striped" stripe_count=128 stripe_size=8 '
    f'stripes=[{stripes}]}}}}\n' for i in range(2000))
if small:
    volumes = ('l{status=["VISIBLE"] segment_count=1 segment1{start_extent=0 '
               'extent_count=4096 type="striped" stripe_count=2 stripe_size=1 '
               'stripes=["pv",0,"pv",2048]}}')
text = ('vg {id="x"\nseqno=1\nextent_size=8192\nphysical_volumes{'
        + "a{}" * (0 if small else 800000) + f'pv{{id="{ID}" pe_start=34816}}}}\n'
        + f"logical_volumes{{{volumes}}}}}\n").encode()

pairs = [(17 << 20, 0), (0, 0), (TEXT_AT, TEXT_AREA), (0, 0)]
label = b"LABELONE" + struct.pack("<QII", 1, 0, 32) + b"LVM2 001"
label += UUID.encode() + struct.pack("<Q", SIZE)
label += b"".join(struct.pack("<QQ", *pair) for pair in pairs)
area = (b"\0\0\0\0" + b" LVM2 x[5A%r0N*>" + struct.pack("<I", 1)
        + struct.pack("<QQQQ", TEXT_AT, TEXT_AREA, 512, len(text)))
with open(sys.argv[1], "wb") as f:
    f.truncate(SIZE)
    f.seek(512)
    f.write(label)
    f.seek(TEXT_AT)
    f.write(area.ljust(512, b"\0") + text)
