/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The one place that knows which option of the tool's helps against what.
 * Where none does, since a backup is needed, nbdkit's plugin makes one.
 */
#include <config.h>

#include "tool/say.h"

/* Without -U, nbdkit would listen on all networks. */
#define NBDKIT "nbdkit -U ./nbd.sock "

const char *const tool_remedies[REMEDY_COUNT] = {
  [REMEDY_NAME_SOURCE]
    = "add --file=IMG for a stopped guest's disk, --libvirt=URI for a guest of "
      "libvirt's, --qmp=SOCKET for another QEMU that runs, or --tree=DIR for "
      "documents",
  [REMEDY_ONE_SOURCE]
    = "leave out one of the two",
  [REMEDY_NAME_GUEST]
    = "add --domain= with the name or, where they share it, the UUID of one: "
      "{0}",
  [REMEDY_NAME_TARGET]
    = "write --file=TARGET:{q0}",
  [REMEDY_NO_TARGET]
    = "for the file {0} write --file=./{q0}",
  [REMEDY_ASK_FOR_DISK]
    = "name the checkpoint, and disk {0}",
  [REMEDY_CHOOSE_DISK]
    = "add --disk= with one of {1}",
  [REMEDY_CHOOSE_REST]
    = "for what is left, name disk {0}; {1}",
  [REMEDY_CHOOSE_CHECKPOINT]
    = "name one of them",
  [REMEDY_OTHER_BASE]
    = "for another, end the backup and begin one since {0}",
  [REMEDY_UNITE]
    = "to read it, start " NBDKIT "--filter=bitmap-merge checkpoint{0}",
  [REMEDY_LEAVE_TREE_OUT]
    = "without --tree, it is a checkpoint by itself",
  [REMEDY_GIVE_TREE]
    = "add --tree=DIR if there is a checkpoint tree, else make a full backup",

  [REMEDY_NAME_BITMAP]
    = "if the job was begun since {1}, its bitmap is {0}",
  [REMEDY_CHOOSE_BITMAP]
    = "choose another, or export it (qemu-nbd -B {q0})",
  [REMEDY_EXPORT_LAYER]
    = "export it there, too (qemu-nbd -B {q0}), or leave out the layer if it "
      "was in no use any more when the bitmap was made",
  [REMEDY_CERTIFICATES]
    = "put it there",
  [REMEDY_START_AGAIN]
    = "try again",
  [REMEDY_LET_US_BEGIN]
    = "nbdkit's checkpoint plugin begins a backup itself, and ends it before "
      "it leaves",

  [REMEDY_FULL_BACKUP]
    = "make a full backup{0}",
  [REMEDY_READ_AS]
    = "make a full backup of it, with a new checkpoint, or, once no guest runs "
      "from it, look at it as {0}: qemu-checkpoint show --size "
      "--file={q0}:{q1} -- {q2}",
  [REMEDY_BACKING_FORMAT]
    = "say it with --backing-format=FORMAT (mostly qcow2 or raw), or to record "
      "it, {0}",
  [REMEDY_NAME_BACKING]
    = "if it may, add --backing={q0}",
  [REMEDY_GIVE_SECRET]
    = "name the file that holds its passphrase: --secret={0}:FILE",
  [REMEDY_EXPORT_DISK]
    = "export the disk with qemu-storage-daemon",
  [REMEDY_NOT_QCOW2]
    = "name the guest's qcow2 disk; others hold no checkpoints",
  [REMEDY_GUEST_RUNS]
    = "use --libvirt or --qmp for a running guest, or stop it",
  [REMEDY_GUEST_OR_BITMAP]
    = "if a guest runs, use --libvirt or --qmp; if not, make a full backup, and then, "
      "to remove the bitmap, {0}",

  [REMEDY_BEGIN_BACKUP]
    = "to read, begin a backup: " NBDKIT "checkpoint libvirt=URI domain=GUEST "
      "checkpoint=NAME",
  [REMEDY_FIRST_CHECKPOINT]
    = "virsh checkpoint-create-as GUEST NAME makes the first",
  [REMEDY_FIRST_OF_ALL]
    = "make the first with: qemu-checkpoint create {q0} {1}",
  [REMEDY_FIRST_OFF]
    = "make the first with: qemu-checkpoint create {q0} --libvirt={q1} "
      "--domain={q2}",
  [REMEDY_FIRST_RUNNING]
    = "make the first with: qemu-checkpoint create {q0} {1}",
  [REMEDY_RECORD_DISK]
    = "make a full backup with a new checkpoint, which records it from then on "
      "if it is qcow2",
  [REMEDY_UNRECORDED]
    = "a backup since {0} has none of its changes",
  [REMEDY_FULL_VIEW]
    = "make a full backup",
  [REMEDY_FULL_ALONE]
    = "make a full backup{0}",
  [REMEDY_SERVE_WHOLE]
    = "a backup has it whole, or not at all",
  [REMEDY_OTHER_NAME]
    = "choose another name, or {0}",
  [REMEDY_LEAVE_DISK_OUT]
    = "name those that can have one, {0}, each with --disk=TARGET",
  [REMEDY_FORGET]
    = "nothing records it any more there; to forget it, and leave what bitmaps "
      "other disks have, type: qemu-checkpoint delete --metadata "
      "--libvirt={q0} --domain={q1} -- {q2}",
  [REMEDY_DELETE_LEFTOVERS]
    = "choose another name, or, if nobody needs that record, delete it with: "
      "qemu-checkpoint delete --leftovers --libvirt={q0} --domain={q1} -- {q2}",
  /* Only nbdkit makes one with a backup of its own. */
  [REMEDY_DELETE_AT_QEMU]
    = "choose another name",
  [REMEDY_DELETE_IN_TREE]
    = "choose another name",
  [REMEDY_NO_QUIESCE]
    = "it needs a channel org.qemu.guest_agent.0, and qemu-guest-agent running in "
      "it; or leave --quiesce out",
  [REMEDY_NO_CHECKPOINT]
    = "start it, or make none",
  [REMEDY_SOCKET_DIR]
    = "choose another folder for the socket",
  [REMEDY_SOCKET_DIR_BY_GROUP]
    = "be root, or choose a folder whose group both users have, and that hands "
      "it down (chmod g+s)",
  [REMEDY_SCRATCH_DIR]
    = "choose another folder for scratch files",
  [REMEDY_CONFINEMENT]
    = "if AppArmor or SELinux confine QEMU, they must allow it both folders",
  [REMEDY_NO_TLS]
    = "ask for no encryption",
  [REMEDY_SAY_TLS]
    = "say whether the data is to be encrypted",
  [REMEDY_TAKE_OVER]
    = "end it with: {0} && rm -r {q1}",
  [REMEDY_SEE_OTHERS]
    = "to see it, type pgrep -a nbdkit",

  [REMEDY_MONITOR_HELD]
    = "for a guest of libvirt's, use --libvirt=URI --domain=NAME",
  [REMEDY_NAME_AGENT]
    = "add --agent=SOCKET, of the -chardev of the virtserialport "
      "org.qemu.guest_agent.0",


  [REMEDY_STRAY_BITMAP]
    = "choose another name, or type qemu-checkpoint check with the same "
      "options, which says how bitmap {0} is made known or removed",
  [REMEDY_DOCUMENT_ONLY]
    = "to delete the document alone, and no bitmap, add --metadata",
  [REMEDY_NAME_DISKS]
    = "add --file=IMG for each of a stopped guest's disks, or --qmp=SOCKET for "
      "a running QEMU (delete --metadata and redefine need none)",
  [REMEDY_NAME_ALL_DISKS]
    = "add --file={q0}:IMG; if that disk is gone for good, delete the bitmaps "
      "alone first, without --tree, and then the document with --metadata",
  [REMEDY_NAME_TREE]
    = "add --tree=DIR, the folder where documents are kept",
  [REMEDY_COVER_OTHERS]
    = "to make a checkpoint of the others alone, name each of them with "
      "--disk=TARGET",

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
