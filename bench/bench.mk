# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Measurements, never part of make check.  make bench runs them.

EXTRA_PROGRAMS = bench/bench-dirty-map
bench_bench_dirty_map_SOURCES = bench/bench-dirty-map.c
bench_bench_dirty_map_CFLAGS = $(common_cflags)
bench_bench_dirty_map_LDADD = libcommon.la $(common_libs)
CLEANFILES += bench/bench-dirty-map

.PHONY: bench
bench: bench/bench-dirty-map
	bench/bench-dirty-map
