# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# For rogue_server.py and its faults: the NBD protocol's numbers (doc/proto.md)
# and messages, and the disk that the server has.

import struct

KIB, MIB = 1024, 1024 * 1024
BLOCK = 64 * KIB

GREETING = b"NBDMAGICIHAVEOPT"
OPTION_MAGIC = int.from_bytes(b"IHAVEOPT", "big")
REPLY_MAGIC, CHUNK_MAGIC, SIMPLE_MAGIC = 0x3e889045565a9, 0x668e33ef, 0x67446698
OPT_EXPORT_NAME, OPT_ABORT, OPT_STARTTLS = 1, 2, 5
OPT_INFO, OPT_GO, OPT_STRUCTURED, OPT_LIST_META, OPT_SET_META = 6, 7, 8, 9, 10
REP_ACK, REP_INFO, REP_META = 1, 3, 4
ERRORS = {"UNSUP": 0x80000001, "POLICY": 0x80000002, "INVALID": 0x80000003,
          "TLS_REQD": 0x80000005, "UNKNOWN": 0x80000006,
          "SHUTDOWN": 0x80000007, "BLOCK_SIZE_REQD": 0x80000008,
          "TOO_BIG": 0x80000009, "unheard-of": 0x8000ffff}
INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE = 0, 1, 2, 3
HAS_FLAGS, READ_ONLY, MULTI_CONN = 1, 2, 256
READ, DISCONNECT, STATUS = 0, 2, 7
DONE = 1
NONE, OFFSET_DATA, OFFSET_HOLE, BLOCK_STATUS = 0, 1, 2, 5
ERROR, ERROR_OFFSET = 32769, 32770
EIO, EINVAL = 5, 22

ALLOCATION = b"base:allocation"
BITMAP = b"qemu:dirty-bitmap:"
MONDAY, TUESDAY = BITMAP + b"monday", BITMAP + b"tuesday"


def reply(option, kind, data=b"", magic=REPLY_MAGIC, length=None):
    return struct.pack(">QIII", magic, option, kind,
                       len(data) if length is None else length) + data


def chunk(cookie, kind, data=b"", flags=0, magic=CHUNK_MAGIC, length=None):
    return struct.pack(">IHHQI", magic, flags, kind, cookie,
                       len(data) if length is None else length) + data


def simple(cookie, error=0, data=b""):
    return struct.pack(">IIQ", SIMPLE_MAGIC, error, cookie) + data


def u32(*numbers):
    return struct.pack(">%dI" % len(numbers), *numbers)


def u64(number):
    return struct.pack(">Q", number)


# The disk: a letter for each block of 64 KiB.  D: dirty data, Z: dirty zeroes,
# C: clean data, z: clean zeroes.
MAP = ("DDDDDDDDDDDDDDDD" "CCDDDDDDZZDDDDCz"
       "DCDCDCDCDDDDDDDD" "DDDDDDDDZZCCCCDD")
SIZE = len(MAP) * BLOCK


def make_disk():
    """Each sector tells where it is."""
    disk = bytearray()
    for number in range(SIZE // 512):
        letter = MAP[number * 512 // BLOCK]
        disk += b"\0" * 512 if letter in "Zz" \
            else u64(number * 0x9e3779b97f4a7c15 % 2 ** 64 | 1) * 64
    return bytes(disk)


DISK = make_disk()


def contents(offset, count):
    """Beyond SIZE, the disk goes on with the same again."""
    offset %= SIZE
    if offset + count <= SIZE:
        return DISK[offset:offset + count]
    return (DISK * (2 + count // SIZE))[offset:offset + count]


def runs(offset, count, flag_of):
    """The extents of a range: [length, flags]…; flag_of knows the letters."""
    found, end = [], offset + count
    while offset < end:
        step = min(end, (offset // BLOCK + 1) * BLOCK) - offset
        flags = flag_of(MAP[offset // BLOCK % len(MAP)])
        if found and found[-1][1] == flags:
            found[-1][0] += step
        else:
            found.append([step, flags])
        offset += step
    return found


def allocation_flags(letter):
    return 3 if letter in "Zz" else 0


def dirty_flags(letter):
    return 1 if letter in "DZ" else 0


def tuesday_flags(letter):
    """Of the other bitmap: just the other way round."""
    return 0 if letter in "DZ" else 1


CONTEXTS = {ALLOCATION: (1, allocation_flags), MONDAY: (2, dirty_flags),
            TUESDAY: (3, tuesday_flags)}


def descriptor(context, offset, count, context_id=None):
    """What a chunk of block status says."""
    number, flag_of = CONTEXTS[context]
    data = [u32(number if context_id is None else context_id)]
    data += [u32(*run) for run in runs(offset, count, flag_of)]
    return b"".join(data)
