# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The one list of tests.  A test is a script named for the behaviour it shows,
# or a unit test of common/ in GLib's framework.  The longest stand first, so
# that make -j ends sooner.

script_tests = \
	tests/test-example-month.sh \
	tests/test-example-killed.sh \
	tests/test-example-live.sh \
	tests/test-example-restore.sh \
	tests/test-tool-libvirt-thawed.sh \
	tests/test-tool-libvirt-quiesce.sh \
	tests/test-tool-libvirt-killed.sh \
	tests/test-qmp-silent.sh \
	tests/test-qmp-killed.sh \
	tests/test-rogue-options.sh \
	tests/test-rogue-status.sh \
	tests/test-rogue-handshake.sh \
	tests/test-rogue-reads.sh \
	tests/test-rogue-tls.sh \
	tests/test-property-subclusters.sh \
	tests/test-property-views.sh \
	tests/test-base-formats.sh \
	tests/test-network-backing.sh \
	tests/test-luks.sh \
	tests/test-data-file.sh \
	tests/test-killed.sh \
	tests/test-far-server.sh \
	tests/test-slow-server.sh \
	tests/test-libvirt-killed.sh \
	tests/test-libvirt-aborted.sh \
	tests/test-stalled-daemon.sh \
	tests/test-libvirt-lost.sh \
	tests/test-libvirt-guest-id.sh \
	tests/test-libvirt-hangs.sh \
	tests/test-libvirt-live-guest.sh \
	tests/test-libvirt-many-checkpoints.sh \
	tests/test-libvirt-merge.sh \
	tests/test-libvirt-session.sh \
	tests/test-libvirt-whole-disk.sh \
	tests/test-libvirt-start-fails.sh \
	tests/test-libvirt-silent-qemu.sh \
	tests/test-libvirt-silent-connecting.sh \
	tests/test-libvirt-silent-start.sh \
	tests/test-libvirt-silent-daemon.sh \
	tests/test-cookbook-after.sh \
	tests/test-cookbook-daily.sh \
	tests/test-cookbook-elsewhere.sh \
	tests/test-cookbook-guestfish.sh \
	tests/test-cookbook-kinds.sh \
	tests/test-cookbook-look.sh \
	tests/test-cookbook-moved.sh \
	tests/test-cookbook-nbdsh.sh \
	tests/test-cookbook-restore.sh \
	tests/test-cookbook-retention.sh \
	tests/test-cookbook-tls.sh \
	tests/test-cookbook-verify.sh \
	tests/test-cookbook-virtnbdbackup.sh \
	tests/test-libvirt-exits.sh \
	tests/test-kubevirt-disk.sh \
	tests/test-libvirt-iothread.sh \
	tests/test-qmp-iothread.sh \
	tests/test-qmp-layers.sh \
	tests/test-qmp-aborted.sh \
	tests/test-qmp-property.sh \
	tests/test-qmp-chain.sh \
	tests/test-libvirt-luks.sh \
	tests/test-libvirt-monitor.sh \
	tests/test-property-bitmaps.sh \
	tests/test-property-merge.sh \
	tests/test-property-verify.sh \
	tests/test-idle-client.sh \
	tests/test-map-ahead.sh \
	tests/test-merge-many-parts.sh \
	tests/test-raw-whole.sh \
	tests/test-read-ahead.sh \
	tests/test-short-answers.sh \
	tests/test-refuses-uri.sh \
	tests/test-disks-renamed.sh \
	tests/test-cache-none.sh \
	tests/test-bitmap-by-name.sh \
	tests/test-chain-surgery.sh \
	tests/test-clean-exit.sh \
	tests/test-common-alone.sh \
	tests/test-bitmaps-full.sh \
	tests/test-bitmaps-killed.sh \
	tests/test-bitmaps-refused.sh \
	tests/test-bitmaps-written.sh \
	tests/test-block-status-4g.sh \
	tests/test-client-vanishes-busy.sh \
	tests/test-client-vanishes.sh \
	tests/test-coalesce.sh \
	tests/test-convert.sh \
	tests/test-cookbook-covered.sh \
	tests/test-descriptors.sh \
	tests/test-empty-disk.sh \
	tests/test-export-cache.sh \
	tests/test-far-question.sh \
	tests/test-far-connections.sh \
	tests/test-thread-model.sh \
	tests/test-read-orders.sh \
	tests/test-first-checkpoint.sh \
	tests/test-folders-left.sh \
	tests/test-huge-disk.sh \
	tests/test-libvirt-block.sh \
	tests/test-libvirt-chain.sh \
	tests/test-libvirt-create-outcome.sh \
	tests/test-libvirt-crash-left.sh \
	tests/test-libvirt-folders.sh \
	tests/test-libvirt-forgotten.sh \
	tests/test-libvirt-killed-connecting.sh \
	tests/test-libvirt-lab.sh \
	tests/test-libvirt-keeper-words.sh \
	tests/test-libvirt-live-full.sh \
	tests/test-libvirt-look.sh \
	tests/test-libvirt-network-disk.sh \
	tests/test-libvirt-not-told.sh \
	tests/test-libvirt-on-missing.sh \
	tests/test-libvirt-refuses.sh \
	tests/test-libvirt-remote.sh \
	tests/test-libvirt-run-command.sh \
	tests/test-libvirt-scratch.sh \
	tests/test-libvirt-stopped.sh \
	tests/test-libvirt-stopped-whole.sh \
	tests/test-libvirt-take-over.sh \
	tests/test-libvirt-told-chain.sh \
	tests/test-libvirt-void-bitmaps.sh \
	tests/test-libvirt-volumes.sh \
	tests/test-file-changes.sh \
	tests/test-filter-version.sh \
	tests/test-nbdkit-upgraded.sh \
	tests/test-release.sh \
	tests/test-manual-live.sh \
	tests/test-locks.sh \
	tests/test-lying-server.sh \
	tests/test-log-lines.sh \
	tests/test-manual-recipes.sh \
	tests/test-manual.sh \
	tests/test-manual-pages.sh \
	tests/test-many-checkpoints.sh \
	tests/test-merge-exports.sh \
	tests/test-merge-gaps.sh \
	tests/test-merge.sh \
	tests/test-no-leaks.sh \
	tests/test-nothing-contacted.sh \
	tests/test-odd-names.sh \
	tests/test-paths-not-utf8.sh \
	tests/test-odd-sizes.sh \
	tests/test-open-without-locks.sh \
	tests/test-parts.sh \
	tests/test-pull-job.sh \
	tests/test-read-error.sh \
	tests/test-readme.sh \
	tests/test-refuses-backing.sh \
	tests/test-refuses-bitmap.sh \
	tests/test-refuses-branch.sh \
	tests/test-refuses-encrypted.sh \
	tests/test-refuses-export.sh \
	tests/test-refuses-file.sh \
	tests/test-refuses-parameters.sh \
	tests/test-refuses-tree.sh \
	tests/test-refuses-unknown.sh \
	tests/test-refuses-uri-bitmap.sh \
	tests/test-replaced-server.sh \
	tests/test-server-gone-file.sh \
	tests/test-server-gone-uri.sh \
	tests/test-secret-memory.sh \
	tests/test-server-beside.sh \
	tests/test-disks-without-files.sh \
	tests/test-server-replaced.sh \
	tests/test-qmp-create-outcome.sh \
	tests/test-qmp-exits.sh \
	tests/test-qmp-iothread-ends.sh \
	tests/test-qmp-left.sh \
	tests/test-qmp-live-guest.sh \
	tests/test-qmp-lost.sh \
	tests/test-qmp-merge.sh \
	tests/test-qmp-of-libvirt.sh \
	tests/test-qmp-others.sh \
	tests/test-qmp-refuses.sh \
	tests/test-qmp-scratch.sh \
	tests/test-run-command.sh \
	tests/test-several-disks.sh \
	tests/test-shared-map.sh \
	tests/test-start-fails.sh \
	tests/test-symbols.sh \
	tests/test-tool-create.sh \
	tests/test-tool-delete.sh \
	tests/test-tool-legacy.sh \
	tests/test-tool-documents.sh \
	tests/test-tool-edit.sh \
	tests/test-tool-estimate-libvirt.sh \
	tests/test-tool-estimate-qmp.sh \
	tests/test-tool-estimate.sh \
	tests/test-tool-check-agrees.sh \
	tests/test-tool-check-fix.sh \
	tests/test-tool-check-qmp.sh \
	tests/test-tool-check-running.sh \
	tests/test-tool-check.sh \
	tests/test-tool-files-broken.sh \
	tests/test-tool-files-guest.sh \
	tests/test-tool-files-property.sh \
	tests/test-tool-files-xfs.sh \
	tests/test-tool-info.sh \
	tests/test-tool-killed-writing.sh \
	tests/test-tool-killed.sh \
	tests/test-tool-libvirt-create.sh \
	tests/test-tool-libvirt-delete.sh \
	tests/test-tool-libvirt-off.sh \
	tests/test-tool-libvirt-redefine.sh \
	tests/test-tool-libvirt.sh \
	tests/test-tool-list.sh \
	tests/test-tool-odd-names.sh \
	tests/test-tool-qmp.sh \
	tests/test-tool-qmp-busy.sh \
	tests/test-tool-qmp-changes.sh \
	tests/test-tool-qmp-property.sh \
	tests/test-tool-qmp-killed.sh \
	tests/test-tool-qmp-legacy.sh \
	tests/test-tool-qmp-refuses.sh \
	tests/test-tool-quiesce.sh \
	tests/test-tool-quiesce-refuses.sh \
	tests/test-tool-manual.sh \
	tests/test-tool-map-dies.sh \
	tests/test-tool-map-memory.sh \
	tests/test-tool-map-property.sh \
	tests/test-tool-map-qmp.sh \
	tests/test-tool-map-running.sh \
	tests/test-tool-map.sh \
	tests/test-tool-pictures.sh \
	tests/test-tool-redefine.sh \
	tests/test-tool-verify.sh \
	tests/test-tool-verify-live.sh \
	tests/test-tool-verify-qmp.sh \
	tests/test-tool-progress.sh \
	tests/test-tool-property.sh \
	tests/test-tool-quit-libvirt.sh \
	tests/test-tool-recipes.sh \
	tests/test-tool-reading-words.sh \
	tests/test-tool-remedies.sh \
	tests/test-tool-revert.sh \
	tests/test-tool-shared-base.sh \
	tests/test-tool-show.sh \
	tests/test-tool-symptoms-disks.sh \
	tests/test-tool-symptoms.sh \
	tests/test-tool-virsh.sh \
	tests/test-tool-xml-create.sh \
	tests/test-tool-xml-redefine.sh \
	tests/test-tool-zsh.sh \
	tests/test-tree.sh \
	tests/test-uri-iothread.sh \
	tests/test-uri-layers.sh \
	tests/test-uri-parts.sh \
	tests/test-uri-tls-authority.sh \
	tests/test-uri-tls-late.sh \
	tests/test-uri-tls.sh \
	tests/test-wrong-words.sh \
	tests/test-uri.sh \
	tests/test-user.sh \
	tests/test-view-guard.sh \
	tests/test-views-by-uri.sh \
	tests/test-whole-disk.sh \
	tests/test-whole-disk-uri.sh \
	tests/test-wrong-clients.sh \
	tests/test-void-bitmaps.sh \
	tests/test-view-overlay.sh \
	tests/test-view-sparse.sh

unit_tests = \
	tests/unit/afterwards \
	tests/unit/collector \
	tests/unit/backup-xml \
	tests/unit/checkpoint \
	tests/unit/child \
	tests/unit/child-saves \
	tests/unit/direct-entries \
	tests/unit/direct-read \
	tests/unit/dirty-map \
	tests/unit/dirty-map-union \
	tests/unit/export-name \
	tests/unit/fleece \
	tests/unit/folder-access \
	tests/unit/forest \
	tests/unit/forest-random \
	tests/unit/go-ahead \
	tests/unit/guest-xml \
	tests/unit/keeper \
	tests/unit/map-answer \
	tests/unit/map-lines \
	tests/unit/message \
	tests/unit/nbd-handshake \
	tests/unit/nbd-life \
	tests/unit/nbd-read \
	tests/unit/nbd-turnstile \
	tests/unit/nbd-witness \
	tests/unit/nbd-witness-death \
	tests/unit/nearest \
	tests/unit/offer \
	tests/unit/parts \
	tests/unit/parts-legacy \
	tests/unit/parts-simulation \
	tests/unit/plan \
	tests/unit/plan-simulation \
	tests/unit/qcow2-bitmaps \
	tests/unit/qcow2-header \
	tests/unit/remedy \
	tests/unit/remote-name \
	tests/unit/roster \
	tests/unit/sample \
	tests/unit/told-chain \
	tests/unit/tree-load

# Where clients, the readers of maps and what reads ahead meet.  (unit-dirty-map
# takes three minutes.)
threaded_tests = \
	tests/test-libvirt-lost.sh \
	tests/test-libvirt-many-checkpoints.sh \
	tests/test-libvirt-merge.sh \
	tests/test-property-merge.sh \
	tests/test-idle-client.sh \
	tests/test-map-ahead.sh \
	tests/test-read-ahead.sh \
	tests/test-short-answers.sh \
	tests/test-client-vanishes-busy.sh \
	tests/test-client-vanishes.sh \
	tests/test-far-question.sh \
	tests/test-far-connections.sh \
	tests/test-read-orders.sh \
	tests/test-libvirt-aborted.sh \
	tests/test-libvirt-monitor.sh \
	tests/test-qmp-aborted.sh \
	tests/test-qmp-lost.sh \
	tests/test-rogue-reads.sh \
	tests/test-server-replaced.sh \
	tests/test-merge-many-parts.sh \
	tests/test-replaced-server.sh \
	tests/test-server-gone-file.sh \
	tests/test-server-gone-uri.sh \
	tests/test-several-disks.sh \
	tests/test-shared-map.sh \
	tests/test-uri-parts.sh \
	tests/test-uri-tls.sh \
	tests/unit/collector \
	tests/unit/message \
	tests/unit/nbd-handshake \
	tests/unit/nbd-life \
	tests/unit/nbd-turnstile \
	tests/unit/nbd-witness \
	tests/unit/nbd-witness-death

# LOG_COMPILER is for those without an extension.
TEST_EXTENSIONS = .sh

if THREAD_SANITIZER
TESTS = $(threaded_tests)
# For unit tests: see tests/bin/nbdkit.
LOG_COMPILER = setarch -R \
	env LD_PRELOAD=$(abs_builddir)/tests/sanitizers/.libs/preload.so
else
TESTS = $(script_tests) $(unit_tests) $(fuzz_tests)
# One after the other, since each runs some thirty servers at a time (so TESTS=
# of one of them runs those before it, too).
tests/test-rogue-status.log: tests/test-rogue-options.log
tests/test-rogue-handshake.log: tests/test-rogue-status.log
tests/test-rogue-reads.log: tests/test-rogue-handshake.log
tests/test-rogue-tls.log: tests/test-rogue-reads.log
endif
check_PROGRAMS = $(unit_tests) $(fuzz_programs) tests/print-map \
	tests/delay-relay tests/change-bitmaps
# Without a sanitizer, which would be the longer way.
tests_delay_relay_CFLAGS = -std=gnu11 $(WARN_CFLAGS) $(GLIB_CFLAGS)
tests_delay_relay_LDFLAGS =
tests_delay_relay_LDADD = $(GLIB_LIBS)
AM_TESTS_ENVIRONMENT = srcdir='$(abs_srcdir)' builddir='$(abs_builddir)'; \
	export srcdir builddir;
EXTRA_DIST += $(script_tests) \
	tests/functions.sh \
	tests/backups.sh \
	tests/cookbook.sh \
	tests/random_record.py \
	tests/scenes.sh \
	tests/bitmaps.sh \
	tests/lab-boot.sh \
	tests/lab-guest.sh \
	tests/lab-keeper.sh \
	tests/qmp-lab.sh \
	tests/create-outcome.sh \
	tests/start-fails.sh \
	tests/libvirt-lab.sh \
	tests/qemu-lab.sh \
	tests/qmp.py \
	tests/agent.py \
	tests/line-relay.py \
	tests/estimate-property.py \
	tests/shown-views.py \
	tests/terminal.py \
	tests/qmp-property.py \
	tests/qmp-views-property.py \
	tests/image-kinds.sh \
	tests/images.py \
	tests/property-bitmaps.py \
	tests/property-map.py \
	tests/map-dies.py \
	tests/map-memory.py \
	tests/property-merge.py \
	tests/property-subclusters.py \
	tests/property-verify.py \
	tests/property-views.py \
	tests/random-runs.py \
	tests/broken-files.py \
	tests/disk_layouts.py \
	tests/ext_truth.py \
	tests/files-truth.py \
	tests/lvm-endless.py \
	tests/property-files.py \
	tests/xfs-truth.py \
	tests/range-server.py \
	tests/read-orders.py \
	tests/bin/nbdkit \
	tests/sanitizers/thread.supp \
	tests/aborted-job.py \
	tests/carrying.py \
	tests/clients.py \
	tests/guest_calls.py \
	tests/huge-server.py \
	tests/slow-relay.py \
	tests/keeper_words.py \
	tests/monitor-latency.py \
	tests/read-ahead-clients.py \
	tests/rogue-cases.py \
	tests/rogue_client.py \
	tests/rogue_handshake.py \
	tests/rogue_kinds.py \
	tests/rogue_options.py \
	tests/rogue_reads.py \
	tests/rogue_server.py \
	tests/rogue_status.py \
	tests/rogue_tls.py \
	tests/rogue_wire.py \
	tests/kill-at-random.py \
	tests/killed-connecting.sh \
	tests/rogue-certificates.sh \
	tests/short-answers-server.py \
	tests/server-gone-clients.py \
	tests/servers.py \
	tests/complete.zsh \
	tests/tool-property.py \
	tests/tool-virsh.py \
	tests/two-servers.sh \
	tests/held-calls.sh \
	tests/example-lab.sh \
	tests/xml-rules.py \
	tests/xml-rules.sh \
	tests/vanishing-clients.sh

# Each unit test is one file, tests/unit/NAME.c, but for these.
parts_models = tests/unit/parts-models.c tests/unit/parts-models.h
tests_unit_parts_SOURCES = tests/unit/parts.c $(parts_models)
tests_unit_parts_legacy_SOURCES = tests/unit/parts-legacy.c $(parts_models)
simulation = tests/unit/simulation.c tests/unit/simulation.h $(parts_models)
tests_unit_parts_simulation_SOURCES = tests/unit/parts-simulation.c \
	$(simulation)
tests_unit_plan_simulation_SOURCES = tests/unit/plan-simulation.c $(simulation)
tests_unit_plan_simulation_LDADD = librecord.la libsource.la libremedies.la \
	$(common_libs) $(LIBVIRT_LIBS)
tests_unit_plan_SOURCES = tests/unit/plan.c $(parts_models)
tests_unit_plan_LDADD = librecord.la libsource.la libremedies.la \
	$(common_libs) $(LIBVIRT_LIBS)
EXTRA_DIST += tests/unit/qcow2-put.h tests/unit/refused.h \
	tests/unit/run-command.h
tests_unit_remedy_SOURCES = tests/unit/remedy.c tool/remedies.c
tests_unit_told_chain_LDADD = libsource.la $(common_libs) $(LIBVIRT_LIBS)
tests_unit_sample_LDADD = libsource.la $(common_libs) $(LIBVIRT_LIBS)
tests_unit_offer_LDADD = libsource.la $(common_libs) $(LIBVIRT_LIBS)

tests_print_map_LDADD = libsource.la $(common_libs) $(LIBVIRT_LIBS)
tests_change_bitmaps_LDADD = librecord.la libsource.la $(common_libs) \
	$(LIBVIRT_LIBS)

check_LTLIBRARIES = tests/late-ready.la tests/held-call.la
tests_held_call_la_SOURCES = tests/held-call.c
tests_held_call_la_LDFLAGS = -module -avoid-version -shared \
	-rpath /nowhere $(AM_LDFLAGS)
tests_held_call_la_LIBADD = -ldl
tests_late_ready_la_SOURCES = tests/late-ready.c
tests_late_ready_la_LDFLAGS = -module -avoid-version -shared \
	-rpath /nowhere $(AM_LDFLAGS)
# For dlsym to find the real ones.
tests_late_ready_la_LIBADD = $(LIBNBD_LIBS) -ldl

if SANITIZERS
check_LTLIBRARIES += tests/sanitizers/preload.la
tests_sanitizers_preload_la_SOURCES = tests/sanitizers/preload.c
tests_sanitizers_preload_la_LDFLAGS = -module -avoid-version -shared \
	-rpath /nowhere $(AM_LDFLAGS)
tests_sanitizers_preload_la_LIBADD = $(GLIB_LIBS)
endif
