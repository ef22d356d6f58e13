/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The one place that knows which parameter of nbdkit's helps against what.
 */
#include <config.h>

#include "plugin/remedies.h"

/* Without -U, nbdkit would listen on all networks. */
#define NBDKIT "nbdkit -U ./nbd.sock "

const char *const nbdkit_remedies[REMEDY_COUNT] = {
  [REMEDY_NAME_SOURCE]
    = "add file=PATH for a stopped guest's disk, libvirt=URI for a guest of "
      "libvirt's, qmp=SOCKET for another QEMU that runs, or uri=NBD-URI for an "
      "export of one",
  [REMEDY_ONE_SOURCE]
    = "one of them is the source, remove the other (a word without = is "
      "file=; a guest is named with domain=)",
  [REMEDY_NAME_GUEST]
    = "add domain= with the name or, where they share it, the UUID of one: "
      "{0}",
  [REMEDY_NAME_TARGET]
    = "write file=TARGET:{q0}",
  [REMEDY_NO_TARGET]
    = "for the file {0} write file=./{q0}",
  [REMEDY_ASK_FOR_DISK]
    = "start the server with checkpoint= and ask for disk {0}",
  [REMEDY_CHOOSE_DISK]
    = "ask for one of the exports {0}, or start with disk=TARGET",
  [REMEDY_CHOOSE_REST]
    = "for what is left, ask for the export {0}, or start with disk={q0}; "
      "{1}",
  [REMEDY_CHOOSE_CHECKPOINT]
    = "start with checkpoint=NAME, or ask for the export {0}@NAME",
  [REMEDY_OTHER_BASE]
    = "for another, start with checkpoint={q0}",
  [REMEDY_UNITE]
    = "start with: " NBDKIT "--filter=bitmap-merge checkpoint{0}",
  [REMEDY_LEAVE_TREE_OUT]
    = "without tree=, it is a checkpoint by itself",
  [REMEDY_GIVE_TREE]
    = "give tree= if there is a checkpoint tree, else make a full backup (a "
      "copy made by hand is served as it stood with file= and bitmap=)",

  [REMEDY_NAME_BITMAP]
    = "if the job was begun since {1}, add bitmap={q0}",
  [REMEDY_CHOOSE_BITMAP]
    = "choose with bitmap=, or export it (qemu-nbd -B {q0})",
  [REMEDY_EXPORT_LAYER]
    = "export it there, too (qemu-nbd -B {q0}), or leave out this uri= if the "
      "layer was in no use any more when the bitmap was made",
  [REMEDY_CERTIFICATES]
    = "put it there, or name its folder with tls-certificates=DIR in uri=, or "
      "nbd-tls=DIR with libvirt=",
  [REMEDY_START_AGAIN]
    = "start nbdkit again if it is to be read",
  [REMEDY_LET_US_BEGIN]
    = "with libvirt= and domain=, nbdkit begins the backup itself, and ends it "
      "before it leaves",

  [REMEDY_FULL_BACKUP]
    = "make a full backup{0}",
  [REMEDY_READ_AS]
    = "make a full backup of it, with a new checkpoint, or, once no guest runs "
      "from it, read it as {0}: " NBDKIT "checkpoint {q0}:{q1} "
      "checkpoint={q2}",
  [REMEDY_BACKING_FORMAT]
    = "say it with backing-format=FORMAT (mostly qcow2 or raw), or to record "
      "it, {0}",
  [REMEDY_NAME_BACKING]
    = "if it may, add backing={q0}",
  [REMEDY_GIVE_SECRET]
    = "name the file that holds its passphrase: secret={0}:FILE",
  [REMEDY_EXPORT_DISK]
    = "export the disk (qemu-nbd -r -t -B BITMAP IMAGE, or of a chain with "
      "qemu-storage-daemon) and use uri=",
  [REMEDY_NOT_QCOW2]
    = "name the guest's qcow2 disk, or use uri= for a running QEMU; if it is a "
      "raw disk, format=raw on-missing=full serves it whole (format=TARGET:raw "
      "if there are several disks; vmdk and others likewise)",
  [REMEDY_GUEST_RUNS]
    = "use libvirt=, qmp= or uri= for a running guest, or stop it",
  [REMEDY_GUEST_OR_BITMAP]
    = "if a guest runs, use libvirt= or qmp=; if not, make a full backup, and then, to "
      "remove the bitmap, {0}",

  [REMEDY_BEGIN_BACKUP]
    = "to read, start with checkpoint=NAME, or for a full view with "
      "create=NAME or on-missing=full",
  [REMEDY_FIRST_CHECKPOINT]
    = "create=NAME makes the first with a full backup, and on-missing=full "
      "serves all without one",
  [REMEDY_FIRST_OF_ALL]
    = "make the first with qemu-checkpoint create {q0}, and a full backup",
  [REMEDY_FIRST_OFF]
    = "make the first, and a full backup: qemu-checkpoint create {q0} "
      "--libvirt={q1} --domain={q2}",
  [REMEDY_FIRST_RUNNING]
    = "begin with a full backup, which makes it at the same instant: say "
      "create={q0} instead of checkpoint={q0}",
  [REMEDY_RECORD_DISK]
    = "make a full backup with create=NAME, which records it from then on if "
      "it is qcow2; one that is not, on-missing=full serves whole",
  [REMEDY_UNRECORDED]
    = "a backup since {0} has it only with on-missing=full",
  [REMEDY_FULL_VIEW]
    = "add on-missing=full for a full view (without create= if none is qcow2)",
  [REMEDY_FULL_ALONE]
    = "on-missing=full alone serves all without one{0}",
  [REMEDY_SERVE_WHOLE]
    = "on-missing=full serves it whole",
  [REMEDY_OTHER_NAME]
    = "choose another name with create=, or {0}",
  [REMEDY_LEAVE_DISK_OUT]
    = "make one of the others, {0}, with virsh",
  [REMEDY_FORGET]
    = "to forget it, type: virsh -c {q0} checkpoint-delete --metadata {q1} {q2}",
  [REMEDY_DELETE_LEFTOVERS]
    = "choose another name with create=, or, if nobody needs that record, delete "
      "it with: qemu-checkpoint delete --leftovers --libvirt={q0} --domain={q1} "
      "-- {q2}",
  [REMEDY_DELETE_AT_QEMU]
    = "choose another name with create=, or, if nobody needs that record, delete "
      "it with: qemu-checkpoint delete --qmp={q0} -- {q1}",
  [REMEDY_DELETE_IN_TREE]
    = "choose another name with create=, or, if nobody needs that record, delete "
      "it with: qemu-checkpoint delete --qmp={q0} --tree={q2} -- {q1}",
  [REMEDY_NO_QUIESCE]
    = "have qemu-guest-agent running in it",
  [REMEDY_NO_CHECKPOINT]
    = "start it, or leave create= out",
  [REMEDY_SOCKET_DIR]
    = "socket-dir=FOLDER chooses where the socket is",
  [REMEDY_SOCKET_DIR_BY_GROUP]
    = "run nbdkit as root, or choose with socket-dir= one whose group both users "
      "have, and that hands it down (chmod g+s)",
  [REMEDY_SCRATCH_DIR]
    = "scratch-dir=FOLDER chooses where scratch files are",
  [REMEDY_CONFINEMENT]
    = "if AppArmor or SELinux confine QEMU, they must allow it socket-dir= and "
      "scratch-dir=",
  [REMEDY_NO_TLS]
    = "leave nbd-tls= out",
  [REMEDY_SAY_TLS]
    = "add nbd-tls=yes (its /etc/libvirt/qemu.conf needs "
      "backup_tls_x509_cert_dir), or nbd-tls=no to send it unencrypted, "
      "readable for anyone who can connect",
  [REMEDY_TAKE_OVER]
    = "start with take-over=yes, or end it with: {0} && rm -r {q1}",
  [REMEDY_SEE_OTHERS]
    = "to see it, type pgrep -a nbdkit",

  [REMEDY_MONITOR_HELD]
    = "for a guest of libvirt's, use libvirt=URI domain=NAME",
  [REMEDY_NAME_AGENT]
    = "name its socket",


  /* nbdkit's plugin changes nothing. */
  [REMEDY_STRAY_BITMAP]
    = "choose another name",
  [REMEDY_DOCUMENT_ONLY]
    = "delete the document",
  [REMEDY_NAME_DISKS]
    = "name a source",
  [REMEDY_NAME_ALL_DISKS]
    = "name disk {0}, too",
  [REMEDY_NAME_TREE]
    = "add tree=DIR",
  [REMEDY_COVER_OTHERS]
    = "name the others alone",

  [REMEDY_TYPE_DELETE]
    = "qemu-checkpoint delete {0} -- {q1}",
  [REMEDY_TYPE_FORGET]
    = "qemu-checkpoint delete --metadata {0} -- {q1}",
  [REMEDY_TYPE_REDEFINE]
    = "qemu-checkpoint redefine {0} -- {q1}",
  [REMEDY_TYPE_CHANGE]
    = "qemu-checkpoint show {0} -- {q1} | sed -z {q2} | qemu-checkpoint redefine "
      "{0} -- /dev/stdin",
};
