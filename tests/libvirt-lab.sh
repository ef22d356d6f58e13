# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced first, instead of functions.sh, by tests that need a real libvirt
# and a real QEMU.  As root, the test gets a system daemon in mount, network
# and process namespaces of its own, which end with it: neither the machine's
# libvirt nor another test sees it.  An ordinary user gets a session daemon,
# whose files are all in $tmpdir.
#
# Set before:
#   LAB_SESSION=1    root, too, tests a session daemon, as user nobody
#   LAB_ROOT_ONLY=1  the test is of a system daemon; nothing to do for others
# Gives $connect (the daemon's URI) and the functions below.  What a test may
# add to before lab_start: lab_qemu_conf and lab_libvirtd_conf, lines of these
# files; lab_libvirtd_options, an array.

set -eu -o pipefail

# In namespaces first, before there is anything to clean up.  "unshare" ignores
# signals while it waits, so the shell that waits for it passes them on; and if
# this shell is killed, the kernel kills the rest.
lab_in_namespaces ()
{
  local child status=0
  unshare --mount --net --pid --fork --kill-child --mount-proc \
    --propagation unchanged true 2>/dev/null \
    || { echo "$(basename "$0" .sh): skipped: no namespaces for root here"
         exit 77; }
  LAB_STAGE=mounts setpriv --pdeathsig KILL \
    unshare --mount --net --pid --fork --kill-child --mount-proc \
    --propagation unchanged bash "$0" "$@" &
  child=$!
  trap 'kill $(pgrep -P "$child") 2>/dev/null' INT TERM HUP
  wait "$child" || status=$?
  while kill -0 "$child" 2>/dev/null; do
    status=0
    wait "$child" || status=$?
  done
  exit $status
}

# Empty folders where a system libvirt keeps what is its own.
lab_mounts ()
{
  local dir file

  # In a chroot, "/" is no mount, and cannot be made private: see below.
  mount --make-rprivate / 2>/dev/null || :
  mount -t tmpfs -o mode=755 tmpfs /run
  if grep -q '^[^-]* /run [^-]* shared:' /proc/self/mountinfo; then
    umount /run
    echo "$(basename "$0" .sh): skipped: mounts are shared with the outside"
    exit 77
  fi
  mkdir /run/lab
  for dir in /etc /var/lib /var/log /var/cache; do
    mkdir -p $dir/libvirt
    mount -t tmpfs -o mode=755 tmpfs $dir/libvirt
  done
  [ -e /sys/devices ] || mount -t sysfs sysfs /sys
  busybox ip link set lo up

  # libvirtd's QEMU driver does not start without this user, which only
  # libvirt-daemon-system adds on Debian 12.
  if ! getent passwd libvirt-qemu >/dev/null; then
    cp /etc/passwd /etc/group /run/lab
    echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin' \
      >>/run/lab/passwd
    echo 'libvirt-qemu:x:64055:' >>/run/lab/group
    for file in passwd group; do
      mount --bind /run/lab/$file /etc/$file
    done
  fi
}

# As nobody, in the namespaces.  The source may be where only root can read.
lab_as_nobody ()
{
  local script=$0 name dir nobody

  nobody=(setpriv --reuid nobody --regid nogroup --clear-groups)
  : "${srcdir:=$(cd "$(dirname "$0")/.." && pwd)}"
  : "${builddir:=$srcdir}"
  script=tests/$(basename "$0")
  for name in srcdir builddir; do
    dir=${!name}
    if ! "${nobody[@]}" test -r "$dir/tests" -a -x "$dir/tests"; then
      mkdir /run/lab/$name
      mount --bind "$dir" /run/lab/$name
      declare -g $name=/run/lab/$name
    fi
  done
  export srcdir builddir LAB_STAGE=session
  cd /
  exec "${nobody[@]}" env -u TMPDIR USER=nobody LOGNAME=nobody HOME=/ \
    bash "$srcdir/$script" "$@"
}

PATH=$PATH:/usr/sbin:/sbin
if [ "$(id -u)" -eq 0 ]; then
  case ${LAB_STAGE:-} in
    '') lab_in_namespaces "$@" ;;
    mounts)
      lab_mounts
      [ -z "${LAB_SESSION:-}" ] || lab_as_nobody "$@" ;;
  esac
elif [ -n "${LAB_ROOT_ONLY:-}" ]; then
  echo "$(basename "$0" .sh): nothing to test for an ordinary user"
  exit 0
fi

. "$(dirname "${BASH_SOURCE[0]}")/functions.sh"
[ "$libvirt" = yes ] || skip "built without libvirt"
requires libvirtd
requires virsh
requires qemu-system-x86_64
unset LIBVIRT_DEFAULT_URI LIBVIRT_DEBUG LIBVIRT_LOG_OUTPUTS
export LIBVIRT_AUTOSTART=0      # a client must not start a session daemon

# Sockets in here have paths of up to 60 bytes more; 107 is the limit.
[ ${#tmpdir} -le 47 ] || fail "TMPDIR=$TMPDIR makes paths of sockets too long"
lab=$tmpdir/lab
mkdir "$lab"
export LAB_TMPDIR=$tmpdir       # by which a process of this test is known
if [ "$(id -u)" -eq 0 ]; then
  connect=qemu:///system
  lab_config=/etc/libvirt
  lab_sockets=/run
  lab_log=/var/log/libvirt/qemu
  lab_cache=/var/cache/libvirt/qemu/capabilities
else
  connect=qemu:///session
  export HOME=$lab XDG_RUNTIME_DIR=$lab/run XDG_CONFIG_HOME=$lab/config \
    XDG_CACHE_HOME=$lab/cache XDG_DATA_HOME=$lab/data
  lab_config=$XDG_CONFIG_HOME/libvirt
  lab_sockets=$XDG_RUNTIME_DIR
  lab_log=$XDG_CACHE_HOME/libvirt/qemu/log
  lab_cache=$XDG_CACHE_HOME/libvirt/qemu/cache/capabilities
  mkdir -m 700 "$XDG_RUNTIME_DIR"
  mkdir -p "$lab_config" "$XDG_CACHE_HOME" "$XDG_DATA_HOME"
fi
export connect
lab_qemu_conf= lab_libvirtd_conf= lab_libvirtd_options=()
lab_pid= lab_small=

# virsh COMMAND…: to our daemon, bounded and without titles.
virsh () { timeout -k 5 60 virsh -q -c "$connect" "$@"; }

# Guests of a session are in no namespace that ends.  They are known by their
# command lines: one that is just starting has no file for its pid yet.
lab_end_guests ()
{
  local pid
  [ "$(id -u)" -ne 0 ] || return 0
  for pid in $(pgrep -u "$(id -u)" -f "^[^ ]*qemu-system[^ ]* .*$lab/"); do
    kill -KILL "$pid" 2>/dev/null
    (wait_until 10 lab_is_gone "$pid") || return 1
  done
}
lab_cleanup ()
{
  local status=$?
  set +e
  trap - EXIT
  # "timeout" signals the whole group, and then we are told twice.
  trap '' INT TERM HUP
  case $status in 0 | 77) ;; *) lab_logs >&2 ;; esac
  # With "wait", the shell does not report it as killed.
  [ -z "$lab_pid" ] \
    || { kill -KILL "$lab_pid"; wait "$lab_pid"; } 2>/dev/null
  lab_end_guests || status=1
  if [ -n "$lab_small" ]; then
    if [ "$(id -u)" -eq 0 ]; then umount -l "$lab_small"
    else fusermount3 -u -z "$lab_small"; fi
  fi
  (exit $status)
  cleanup
}
lab_is_gone () { ! kill -0 "$1" 2>/dev/null; }
# Without QEMU's command lines: why a test failed is said before all this, and
# must not be pushed out of what a log of many tests keeps of each.
lab_logs ()
{
  local file
  for file in "$lab"/libvirtd.log "$lab_log"/*.log "$tmpdir"/*.console; do
    [ ! -s "$file" ] \
      || { echo "== $file"
           grep -v '\\$' "$file" | tail -n 6 | cut -c -300; }
  done
}
trap lab_cleanup EXIT

# lab_start [QEMU_USER]: a libvirtd that answers, and runs QEMU as that user
# (root if the daemon is root's).
lab_start ()
{
  local user=${1:-$(id -un)}

  # Without a manager of cgroups, of users' namespaces, of logs.
  cat >"$lab_config/qemu.conf" <<END
security_driver = "none"
namespaces = []
cgroup_controllers = []
user = "$user"
group = "$(id -gn "$user")"
stdio_handler = "file"
remember_owner = 0
$lab_qemu_conf
END
  cat >"$lab_config/libvirtd.conf" <<END
auth_unix_ro = "none"
auth_unix_rw = "none"
$lab_libvirtd_conf
END
  [ "$user" = root ] || chmod a+x "$tmpdir"
  mkdir -p "$lab_cache"
  cp "$lab_known"/*.xml "$lab_cache/" 2>/dev/null || :
  lab_daemon
}

# What libvirt found out about QEMU takes it 0.6 s, so tests hand it on.  It
# checks by itself whether that is still true.  Each user has its own, since
# users may differ in what they may open; renaming makes a file appear whole.
lab_known=$builddir/tests/libvirt-cache/$(id -u)
lab_hand_on ()
{
  local file known
  mkdir -p "$lab_known" 2>/dev/null || return 0
  for file in "$lab_cache"/*.xml; do
    known=$lab_known/${file##*/}
    cmp -s "$file" "$known" \
      || { cp "$file" "$known.$$" && mv "$known.$$" "$known"; } || :
  done
}

lab_daemon ()
{
  local i name
  libvirtd "${lab_libvirtd_options[@]}" >>"$lab/libvirtd.log" 2>&1 </dev/null &
  lab_pid=$!
  pids+=("$lab_pid")
  for ((i = 0; i < 1500; i++)); do
    if virsh uri >/dev/null 2>&1; then break; fi
    kill -0 "$lab_pid" 2>/dev/null || fail "libvirtd did not start"
    sleep 0.02
  done
  [ $i -lt 1500 ] || fail "libvirtd did not answer in 30 s"
  # It answers before it has found its guests again, and a guest that is
  # destroyed meanwhile is "not running".  What needs the guest waits.
  virsh list --name | while read -r name; do
    [ -z "$name" ] \
      || virsh qemu-monitor-command "$name" --hmp 'info status' >/dev/null
  done
}

# lab_restart: ended with SIGTERM, and started again.  Guests go on.
lab_restart ()
{
  kill "$lab_pid"
  wait "$lab_pid" || :
  lab_daemon
}

# lab_kill: killed; nobody answers then.
lab_kill ()
{
  kill -KILL "$lab_pid"
  wait "$lab_pid" 2>/dev/null || :
}

# lab_small_folder NAME SIZE: $lab_small is an empty folder of its own file
# system, of that size.
lab_small_folder ()
{
  lab_small=$tmpdir/$1
  mkdir "$lab_small"
  if [ "$(id -u)" -eq 0 ]; then
    mount -t tmpfs -o mode=755,size="$2" tmpfs "$lab_small"
    return
  fi
  requires fuse2fs
  [ -w /dev/fuse ] || skip "/dev/fuse is not there for this user"
  # ext4 takes 64K, and fuse2fs keeps a tenth of all free.
  truncate -s "$((($(numfmt --from=iec "$2") + 65536) * 10 / 9))" \
    "$lab/small.img"
  mkfs.ext4 -q -F -b 4096 -m 0 -N 32 -O ^has_journal,^resize_inode \
    "$lab/small.img"
  fuse2fs -o fakeroot "$lab/small.img" "$lab_small" 2>"$lab/fuse2fs.log" \
    || fail "fuse2fs: $(cat "$lab/fuse2fs.log")"
  rmdir "$lab_small/lost+found"
}

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

guest_destroy () { virsh destroy "$1"; }

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

# find_keeper: $keeper is the keeper of this test's only nbdkit.  Other tests of
# the same user may have theirs.
find_keeper () { wait_until 10 lab_find_keeper; }
lab_find_keeper ()
{
  for keeper in $(pgrep -u "$(id -u)" -x nbdkit-keeper); do
    ! tr '\0' '\n' <"/proc/$keeper/environ" | grep -x "LAB_TMPDIR=$tmpdir" \
      >/dev/null || return 0
  done
  return 1
}

lab_no_keeper () { ! lab_find_keeper; }

# guest_pid NAME: of its QEMU.
guest_pid ()
{
  cat "$lab_sockets/libvirt/qemu/run/$1.pid" 2>/dev/null \
    || cat "$lab_sockets/libvirt/qemu/$1.pid"
}

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

# guest_ext4_disk FILE [SIZE]: a qcow2 disk with an empty ext4 in it.
guest_ext4_disk ()
{
  requires mkfs.ext4
  truncate -s "${2:-64M}" "$lab/ext4.raw"
  mkfs.ext4 -q -F "$lab/ext4.raw"
  qemu-img convert -f raw -O qcow2 "$lab/ext4.raw" "$1"
  rm "$lab/ext4.raw"
}

# guest_boot NAME FILE…: defines and starts a real Linux, and waits until it
# writes to the ext4 on each of these disks; those that do not exist are made.
# It writes without pause: new files, overwritten ones, deleted ones, of at
# most 12 MiB a disk.  What it says is in NAME.console.
guest_boot ()
{
  local name=$1 file i
  shift
  for file; do
    [ -e "$file" ] || guest_ext4_disk "$file"
  done
  lab_kernel
  # libvirt may change the owner of what it boots, so that is our own.
  guest_initramfs "$lab/initramfs"
  guest_memory=160 \
  guest_os="<kernel>$lab/vmlinuz</kernel><initrd>$lab/initramfs</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check disks=$#</cmdline>" \
  guest_devices="<serial type='file'><source path='$tmpdir/$name.console'/></serial>
    $guest_devices" \
    guest_define "$name" "$@"
  virsh start "$name"
  for ((i = 0; i < 1200; i++)); do
    [ "$(guest_rounds "$name")" -eq 0 ] || return 0
    case $(virsh domstate "$name") in
      running*) ;;
      *) fail "guest $name stopped while it booted" ;;
    esac
    sleep 0.1
  done
  fail "guest $name does not write"
}

# guest_rounds NAME: how many rounds of writes, each of about 10 files to one
# disk and a sync, it has done; 0 until it has done one on every disk.
guest_rounds ()
{
  awk '/^lab: writes/ { w = 1 } /^lab: round/ { n++ } END { print w ? n + 0 : 0 }' \
    "$tmpdir/$1.console" 2>/dev/null || echo 0
}

# lab_kernel: sets $guest_modules, and copies the kernel to $lab/vmlinuz.
# It is the one that scripts/setup.sh has fetched, or else an installed one.
lab_kernel ()
{
  local dir version
  for dir in "$builddir" "$srcdir" "$srcdir/build"; do
    if [ -r "$dir/guest-kernel/vmlinuz" ]; then
      cp "$dir/guest-kernel/vmlinuz" "$lab/vmlinuz"
      guest_modules=$dir/guest-kernel/modules
      return
    fi
  done
  for dir in /boot/vmlinuz-*-cloud-amd64; do
    version=${dir#/boot/vmlinuz-}
    if [ -r "$dir" ] && [ -d "/lib/modules/$version/kernel" ]; then
      cp "$dir" "$lab/vmlinuz"
      guest_modules=/lib/modules/$version/kernel
      return
    fi
  done
  skip "there is no kernel for a guest; ./check fetches one"
}

# guest_initramfs FILE: busybox, the modules of virtio disks, and what writes.
guest_initramfs ()
{
  local module file
  requires busybox
  mkdir -p "$lab/root/modules" "$lab/root/bin"
  cp "$(command -v busybox)" "$lab/root/bin/busybox"
  # In the order in which they need one another.  Some kernels have some of
  # them built in, and all have ext4.
  for module in $guest_module_names; do
    file=$(find "$guest_modules" -name "$module.ko*" | head -n 1)
    case $file in
      '') continue ;;
      *.xz) busybox xz -dc "$file" >"$lab/root/modules/$module.ko" ;;
      *) cp "$file" "$lab/root/modules/" ;;
    esac
  done
  cat >"$lab/root/init" <<'END'
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in @modules@; do
  [ ! -e /modules/$module.ko ] || insmod /modules/$module.ko
done
disks=$(sed 's/.*disks=//' /proc/cmdline)

# writer DISK: the numbers differ from round to round, but the sum of the
# files' sizes is bounded.
writer ()
{
  cd /$1
  while :; do
    for op in 0 1 2 3 4 5 6 7 8 9; do
      file=f$((RANDOM % 40))
      case $((RANDOM % 6)) in
        0) rm -f $file ;;
        1) dd if=/dev/urandom of=$file bs=4096 seek=$((RANDOM % 60)) \
             count=$((1 + RANDOM % 8)) conv=notrunc ;;
        2) mkdir -p d$((RANDOM % 5)); date >d$((RANDOM % 5))/$file ;;
        *) dd if=/dev/urandom of=$file bs=1024 count=$((RANDOM % 256)) ;;
      esac
    done 2>/dev/null
    sync
    touch /tmp/$1
    echo "lab: round on $1"
  done
}

for disk in a b c d e f g h; do
  [ $disks -gt 0 ] || break
  disks=$((disks - 1))
  mkdir /vd$disk
  mount -t ext4 -o commit=1 /dev/vd$disk /vd$disk || {
    echo "lab: vd$disk cannot be mounted"
    poweroff -f
  }
  writer vd$disk &
  all="$all /tmp/vd$disk"
done
for file in $all; do
  until [ -e $file ]; do sleep 0.1; done
done
echo "lab: writes"
wait
END
  sed -i "s/@modules@/$guest_module_names/" "$lab/root/init"
  chmod 755 "$lab/root/init"
  (cd "$lab/root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$1"
}
guest_module_names="virtio_ring virtio virtio_pci_legacy_dev \
virtio_pci_modern_dev virtio_pci virtio_blk"
