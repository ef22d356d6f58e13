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

# The libvirt= measurement starts a libvirtd of its own (see tests/).
.PHONY: bench-libvirt
bench-libvirt: all
	srcdir='$(abs_srcdir)' builddir='$(abs_builddir)' \
	  $(srcdir)/bench/libvirt-start.sh
EXTRA_DIST += bench/libvirt-start.py bench/libvirt-start.sh
