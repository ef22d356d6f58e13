# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# One fuzz target per parser.  make check replays the corpus and mutations of
# it; ./configure --enable-libfuzzer CC=clang links libFuzzer instead:
#   fuzz/fuzz-checkpoint -max_total_time=60 fuzz/corpus/checkpoint

fuzz_programs = \
	fuzz/fuzz-backup \
	fuzz/fuzz-checkpoint \
	fuzz/fuzz-export-name \
	fuzz/fuzz-guest \
	fuzz/fuzz-l2-entries \
	fuzz/fuzz-qcow2-header \
	fuzz/fuzz-remote-name

fuzz_fuzz_backup_SOURCES = fuzz/fuzz-backup.c
fuzz_fuzz_checkpoint_SOURCES = fuzz/fuzz-checkpoint.c
fuzz_fuzz_export_name_SOURCES = fuzz/fuzz-export-name.c
fuzz_fuzz_guest_SOURCES = fuzz/fuzz-guest.c
fuzz_fuzz_l2_entries_SOURCES = fuzz/fuzz-l2-entries.c
fuzz_fuzz_qcow2_header_SOURCES = fuzz/fuzz-qcow2-header.c
fuzz_fuzz_remote_name_SOURCES = fuzz/fuzz-remote-name.c

fuzz_fuzz_backup_CFLAGS = $(AM_CFLAGS) $(FUZZER_CFLAGS)
fuzz_fuzz_checkpoint_CFLAGS = $(AM_CFLAGS) $(FUZZER_CFLAGS)
fuzz_fuzz_export_name_CFLAGS = $(AM_CFLAGS) $(FUZZER_CFLAGS)
fuzz_fuzz_guest_CFLAGS = $(AM_CFLAGS) $(FUZZER_CFLAGS)
fuzz_fuzz_l2_entries_CFLAGS = $(AM_CFLAGS) $(FUZZER_CFLAGS)
fuzz_fuzz_qcow2_header_CFLAGS = $(AM_CFLAGS) $(FUZZER_CFLAGS)
fuzz_fuzz_remote_name_CFLAGS = $(AM_CFLAGS) $(FUZZER_CFLAGS)

if LIBFUZZER
FUZZER_CFLAGS = -fsanitize=fuzzer
libcommon_la_CFLAGS += -fsanitize=fuzzer-no-link
fuzz_fuzz_backup_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_checkpoint_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_export_name_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_guest_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_l2_entries_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_qcow2_header_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_remote_name_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
else
FUZZER_CFLAGS =
fuzz_fuzz_backup_SOURCES += fuzz/replay.c
fuzz_fuzz_checkpoint_SOURCES += fuzz/replay.c
fuzz_fuzz_export_name_SOURCES += fuzz/replay.c
fuzz_fuzz_guest_SOURCES += fuzz/replay.c
fuzz_fuzz_l2_entries_SOURCES += fuzz/replay.c
fuzz_fuzz_qcow2_header_SOURCES += fuzz/replay.c
fuzz_fuzz_remote_name_SOURCES += fuzz/replay.c
fuzz_tests = fuzz/replay.sh
endif

EXTRA_DIST += fuzz/corpus fuzz/replay.sh fuzz/replay.c
