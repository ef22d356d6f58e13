# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced by libvirt-lab.sh: guests that do not boot, what is written in them,
# and what can be seen of their jobs.

# guest_define NAME FILE…: a persistent guest whose disks vda, vdb… are these
# files in qcow2, or raw if named *.raw.  $guest_memory in MiB, $guest_devices
# and $guest_os for more of its document.  $guest_monitor is a socket for a
# monitor of QEMU's beside libvirt's own, whose locks it does not wait for; it is
# for people: beside a second one in JSON, QEMU 7.2 at times forgets both.
# $guest_iothread is virtio or scsi: the disks have an iothread, as such; with
# scsi they are sda, sdb…
guest_memory=64 guest_devices= guest_os= guest_monitor= guest_iothread=
guest_define ()
{
  local name=$1 file format letter disks=() letters=abcdefghijklmnopqrstuvwxyz
  local monitor= bus=virtio driver= iothreads= controller=
  shift
  case $guest_iothread in
    virtio) driver="iothread='1'" ;;
    scsi) bus=scsi controller="<controller type='scsi' model='virtio-scsi'>
        <driver iothread='1'/></controller>" ;;
  esac
  [ -z "$guest_iothread" ] || iothreads='<iothreads>1</iothreads>'
  [ -z "$guest_monitor" ] || monitor="<q:commandline
      xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='-monitor'/>
    <q:arg value='unix:$guest_monitor,server=on,wait=off'/></q:commandline>"
  for file; do
    letter=${letters:${#disks[@]}:1}
    case $file in /*) ;; *) file=$PWD/$file ;; esac
    case $file in *.raw) format=raw ;; *) format=qcow2 ;; esac
    disks+=("<disk type='file' device='disk'>
        <driver name='qemu' type='$format' discard='unmap' $driver/>
        <source file='$file'/>
        <target dev='${bus:0:1}d$letter' bus='$bus'/></disk>")
  done
  # With "pc", a disk can be added to a paused guest; q35 has no slot for it.
  cat >"$lab/$name.xml" <<END
<domain type='qemu'><name>$name</name>
  <memory unit='MiB'>$guest_memory</memory><vcpu>1</vcpu>$iothreads
  <os><type arch='x86_64' machine='pc'>hvm</type>$guest_os</os>
  <features><acpi/></features>
  <on_reboot>destroy</on_reboot>
  <devices><controller type='usb' model='none'/><memballoon model='none'/>
    ${disks[*]} $controller
    $guest_devices
  </devices>
  $monitor
</domain>
END
  virsh define "$lab/$name.xml"
  lab_hand_on
}

# guest_start NAME: paused, so that it takes no processor.
guest_start () { virsh start --paused "$1"; }


# What most tests begin with: a daemon, and the running guest web1 with the disk
# vda.qcow2 and the checkpoint monday.
lab_with_guest ()
{
  guest_disk vda.qcow2
  lab_start
  guest_define web1 vda.qcow2
  guest_start web1
  virsh checkpoint-create-as web1 monday
}

guest_destroy () { virsh destroy "$1"; }
# guest_quit NAME: QEMU ends by itself, as when a guest is shut down.
guest_quit ()
{
  virsh qemu-monitor-command "$1" '{"execute": "quit"}' >/dev/null || :
  wait_until 20 guest_is_off "$1"
}
guest_crash ()
{
  local pid
  for pid in $(pgrep -f "guest=$1,"); do
    ! is_ours "$pid" || kill -KILL "$pid"
  done
  wait_until 20 guest_is_off "$1"
}
guest_is_off () { [ "$(virsh domstate "$1" | head -n 1)" = "shut off" ]; }
guest_resume () { virsh resume "$1"; }
guest_runs () { [[ $(virsh domstate "$1") == running* ]]; }

# source_of NAME: $source are nbdkit's parameters that mean this guest.
source_of () { source=(libvirt="$connect" domain="$1"); }

# checkpoint_make NAME CHECKPOINT
checkpoint_make () { virsh checkpoint-create-as "$1" "$2"; }
checkpoint_delete () { virsh checkpoint-delete "$1" "$2"; }
# checkpoint_names NAME: one a line, sorted.
checkpoint_names () { virsh checkpoint-list "$1" --name | { grep . || :; } | sort; }
checkpoint_exists () { virsh checkpoint-info "$1" "$2" >/dev/null 2>&1; }

# guest_write NAME TARGET QEMU-IO-COMMAND: as if the guest itself had written;
# prints what qemu-io prints, and fails if that is not of a success.
guest_write ()
{
  local name=$1 log=$lab_log/$1.log letters=abcdefghijklmnopqrstuvwxyz
  local before size device
  before=${letters%%"${2#?d}"*}
  device=virtio-disk${#before}/virtio-backend
  [ "${2:0:1}" = v ] || device=scsi0-0-0-${#before}
  # QEMU prints most of it on its own output, which is a file, line by line.
  size=$(stat -c %s "$log")
  {
    virsh qemu-monitor-command "$name" --hmp "qemu-io -d \
/machine/peripheral/$device \"$3\"" || echo failed
    tail -c "+$((size + 1))" "$log"
  } | tr -d '\r' | awk '
    /^$/ || /^[0-9-]+ [0-9:.+]+: Domain .* tainted/ { next }
    !/^(wrote|read|discard) [0-9]+\/[0-9]+ bytes at / && !/^[0-9.]+ [A-Za-z]+, [0-9]+ ops; / { bad = 1 }
    { print }
    END { exit bad }'
}

# guest_pid NAME: of its QEMU.
guest_pid ()
{
  cat "$lab_sockets/libvirt/qemu/run/$1.pid" 2>/dev/null \
    || cat "$lab_sockets/libvirt/qemu/$1.pid"
}

job_runs () { [[ $(virsh domjobinfo "$1") == *Backup* ]]; }
# no_job NAME: whether no job runs in it.
no_job ()
{
  local state
  state=$(virsh domstate "$1") || return
  [ "$(head -n 1 <<<"$state")" != "shut off" ] || return 0
  [[ $(virsh domjobinfo "$1") == 'Job type: '*None* ]]
}

# lab_qmp NAME COMMAND [ARGUMENTS]: what QEMU returns.
lab_qmp ()
{
  virsh qemu-monitor-command "$1" \
    "{\"execute\": \"$2\", \"arguments\": ${3:-{\}}}" | jq .return
}

# lab_state NAME: all that must be as it was when our program has ended: the
# guest's job, checkpoints, block nodes, bitmaps and exports; scratch files
# beside the images; sockets.  Other files of the test do not count.
lab_state ()
{
  local name=$1 state file
  state=$(virsh domstate --reason "$name" | head -n 1)
  echo "state: $state"
  virsh checkpoint-list "$name" | sort
  virsh domblklist --details "$name"
  case $state in
    "shut off"*) ;;
    *) virsh domjobinfo "$name" | grep '^Job type:'
       lab_qmp "$name" query-named-block-nodes '{"flat": true}' | jq -r '
         .[] | "node: \(."node-name") \(.drv) \(.file) \([."dirty-bitmaps"[]?.name] | sort)"' \
         | sort
       lab_qmp "$name" query-block-exports | jq -r '.[] | "export: \(.id)"'
       lab_qmp "$name" query-block-jobs | jq -r '.[] | "block job: \(.device)"'
       lab_qmp "$name" qom-list '{"path": "/objects"}' \
         | jq -r '.[] | "object: \(.name)"' ;;
  esac
  {
    virsh domblklist --details "$name" | awk '$4 != "-" { print $4 }' \
      | while read -r file; do
        find "$(dirname "$file")" -maxdepth 1 -name "$(basename "$file")*"
      done
    find "$tmpdir" -path "$lab" -prune -o \
      \( -name '*.scratch' -o -name 'nbdkit-checkpoint-*' \) -print
    find "$lab_sockets" -path "$lab_sockets/libvirt" -prune -o -print
    [ -z "$lab_small" ] || find "$lab_small"
  } | sort -u
}

# full_copy_of_job NAME TARGET FILE.raw: what the running backup's own export
# holds, read from QEMU without us: the truth at the time of the backup.  If
# it is encrypted, $lab_tls_dir has the client's certificates.
full_copy_of_job ()
{
  local node objects=()
  virsh backup-dumpxml "$1" >"$lab/backup.xml"
  node=$("$python" - "$lab/backup.xml" "$2" <<'END'
import sys, xml.etree.ElementTree
backup = xml.etree.ElementTree.parse(sys.argv[1]).getroot()
server = backup.find("server").attrib
disk = [d.attrib for d in backup.iterfind("disks/disk")
        if d.get("name") == sys.argv[2] and d.get("backup") != "no"][0]
options = {"driver": "nbd", "export": disk.get("exportname", sys.argv[2])}
if server.get("transport") == "unix":
    options |= {"server.type": "unix", "server.path": server["socket"]}
else:
    options |= {"server.type": "inet", "server.port": server["port"],
                "server.host": server.get("name", "127.0.0.1")}
if server.get("tls") == "yes":
    options["tls-creds"] = "tls"
print(",".join("%s=%s" % (k, v.replace(",", ",,")) for k, v in options.items()))
END
  ) || fail "no backup of disk $2 runs in $1"
  case $node in
    *,tls-creds=*)
      objects=(--object
        "tls-creds-x509,id=tls,endpoint=client,dir=$lab_tls_dir") ;;
  esac
  bounded qemu-img convert "${objects[@]}" --image-opts "$node" -O raw "$3"
}
