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
lab_kind=libvirt lab_pid= lab_small=

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
  lab_small_fuse "$2"
}

. "$srcdir/tests/lab-keeper.sh"
. "$srcdir/tests/lab-guest.sh"
. "$srcdir/tests/lab-boot.sh"
