# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Measurements, never part of make check.  make bench runs them.

EXTRA_PROGRAMS = bench/bench-dirty-map
CLEANFILES += bench/bench-dirty-map

.PHONY: bench
bench: bench/bench-dirty-map
	bench/bench-dirty-map

# The libvirt= measurement starts a libvirtd of its own (see tests/).
.PHONY: bench-libvirt
bench-libvirt: all
	srcdir='$(abs_srcdir)' builddir='$(abs_builddir)' \
	  $(srcdir)/bench/libvirt-start.sh
EXTRA_DIST += bench/first_byte.py bench/libvirt-start.py bench/libvirt-start.sh

# What bench/run needs.  -rpath makes libtool build a module that is not
# installed as a shared one.
EXTRA_PROGRAMS += bench/bench-client
bench_bench_client_SOURCES = bench/bench-client.c
bench_bench_client_LDADD = $(LIBNBD_LIBS)
bench_bench_client_LDFLAGS = $(AM_LDFLAGS) -pthread
EXTRA_PROGRAMS += bench/random-client
bench_random_client_SOURCES = bench/random-client.c
bench_random_client_LDADD = $(LIBNBD_LIBS)
bench_random_client_LDFLAGS = $(AM_LDFLAGS) -pthread
EXTRA_PROGRAMS += bench/map-client
bench_map_client_SOURCES = bench/map-client.c
bench_map_client_LDADD = $(LIBNBD_LIBS)
EXTRA_LTLIBRARIES = bench/nbdkit-bench-plugin.la
bench_nbdkit_bench_plugin_la_SOURCES = bench/synthetic-plugin.c
bench_nbdkit_bench_plugin_la_CFLAGS = $(AM_CFLAGS) $(NBDKIT_CFLAGS)
bench_nbdkit_bench_plugin_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version \
	-shared -rpath /nowhere
CLEANFILES += bench/bench-client bench/map-client bench/random-client \
	bench/nbdkit-bench-plugin.la

.PHONY: bench-programs bench-run
bench-programs: bench/bench-client bench/map-client bench/random-client \
	bench/nbdkit-bench-plugin.la tests/delay-relay

# RUNFLAGS: options and names of loads, see bench/run --help.
bench-run: all bench-programs
	$(srcdir)/bench/run --build '$(abs_builddir)' $(RUNFLAGS)
bench_modules = \
	bench/images.py \
	bench/lab.py \
	bench/live.py \
	bench/live.sh \
	bench/loads_cache.py \
	bench/loads_data.py \
	bench/loads_far.py \
	bench/loads_frag.py \
	bench/loads_growth.py \
	bench/far-link.py \
	bench/libvirt-far.py \
	bench/libvirt-far.sh \
	bench/loads_libvirt_far.py \
	bench/loads_live.py \
	bench/loads_map.py \
	bench/loads_map_far.py \
	bench/loads_memory.py \
	bench/loads_random.py \
	bench/loads_runs.py \
	bench/loads_slow.py \
	bench/loads_tool_map.py \
	bench/loads_verify.py \
	bench/measure.py \
	bench/nbdkit-one-send.patch \
	bench/one-send.sh \
	bench/plot.py \
	bench/report.py
EXTRA_DIST += bench/RESULTS.md bench/RESULTS-far.svg \
	bench/RESULTS-far-qemu-img.svg bench/RESULTS-far-random.svg \
	bench/RESULTS-fragmentation.svg bench/RESULTS-size.svg bench/run $(bench_modules)
