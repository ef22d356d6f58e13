# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced first by every test script.  Gives it a temporary folder as its
# current one, $plugin, and a trap that ends what the test started.
# Timed waits are bounded; nothing is assumed of the machine but the programs
# that ./check installs.

set -eu -o pipefail
: "${srcdir:=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}"
: "${builddir:=$srcdir}"
# Tests change to a folder of their own.
srcdir=$(cd "$srcdir" && pwd) builddir=$(cd "$builddir" && pwd)
. "$builddir/tests/config.sh"
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1

plugin=$builddir/plugin/.libs/nbdkit-checkpoint-plugin.so
filter=$builddir/filters/bitmap-merge/.libs/nbdkit-bitmap-merge-filter.so
tool=$builddir/tool/qemu-checkpoint
test_name=$(basename "$0" .sh)
tmpdir=$(mktemp -d "${TMPDIR:-/tmp}/checkpoint-test.XXXXXX")
cd "$tmpdir"
pids=()
nbdkit_options=()               # before the plugin
as_user=()                      # for serve and refuses…, before nbdkit

# With a sanitizer in the plugin, nbdkit must load its runtime first: what
# tests/bin/nbdkit does.
sanitized ()
{
  local library libraries=(libasan.so libubsan.so)
  sanitizer_preload=
  [ "$sanitizers" != thread ] || libraries=(libtsan.so)
  for library in "${libraries[@]}"; do
    sanitizer_preload+=$(gcc -print-file-name=$library):
  done
  sanitizer_preload+=$builddir/tests/sanitizers/.libs/preload.so
  # The runtimes wrap XDR, and must find the real one, which libvirt uses, when
  # they start: not only when the plugin is loaded.
  library=$(gcc -print-file-name=libtirpc.so.3)
  [ ! -e "$library" ] || sanitizer_preload+=:$library
  export sanitizer_preload
}

# nbdkit is tests/bin/nbdkit, from a place that other users reach where they reach
# the test's files.  (A test may run another.)
[ -n "${real_nbdkit:-}" ] || real_nbdkit=$(command -v nbdkit)
private_socket=$tmpdir/.nbdkit
mkdir "$private_socket"
chmod 1777 "$private_socket"
cp "$srcdir/tests/bin/nbdkit" "$private_socket"
export real_nbdkit private_socket sanitizers PATH=$private_socket:$PATH

if [ -n "$sanitizers" ]; then
  [ -n "${sanitizer_preload:-}" ] || sanitized
  export ASAN_OPTIONS="log_path=$tmpdir/sanitizer"
  # At its end it waits a second for threads, by default: nbdkit has none then.
  export TSAN_OPTIONS="log_path=$tmpdir/sanitizer atexit_sleep_ms=50
    suppressions=$srcdir/tests/sanitizers/thread.supp"
  export UBSAN_OPTIONS="log_path=$tmpdir/sanitizer:print_stacktrace=1"
fi

# is_ours PID: where there are 32,768 of them, the number of a process that has
# ended is another's within a minute, such as that of another test's server.
is_ours ()
{
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  # shellcheck disable=SC2086
  set -- "$1" ${stat##*) }
  [ "$3" = $$ ] \
    || grep -qsaF "$tmpdir" "/proc/$1/environ" "/proc/$1/cmdline"
}

cleanup ()
{
  local status=$? pid
  trap - EXIT
  for pid in "${pids[@]}"; do
    ! is_ours "$pid" || kill "$pid" 2>/dev/null || :
    wait "$pid" 2>/dev/null || :
  done
  cd /
  # With --run, nobody else sees how the server ended.
  if ls "$tmpdir"/sanitizer.* >/dev/null 2>&1; then
    cat "$tmpdir"/sanitizer.* >&2
    status=1
  fi
  rm -rf "$tmpdir"
  exit $status
}
trap cleanup EXIT
trap 'exit 1' INT TERM

skip ()
{
  echo "$test_name: skipped: $*"
  exit 77
}

fail ()
{
  echo "$test_name: FAILED: $*" >&2
  exit 1
}

requires ()
{
  command -v "$1" >/dev/null || skip "$1 is not installed"
}

# A Python that has libnbd's binding, which Debian builds for its own one.
for python in python3 /usr/bin/python3 ""; do
  [ -n "$python" ] || skip "python3-libnbd is not installed"
  "$python" -c 'import nbd' 2>/dev/null && break
done
nbdsh () { "$python" -m nbd "$@"; }
export python

# rounds MANY [SANITIZED]: how many a random test has, with a sanitizer the latter.
# $ROUNDS repeats and sizes a run; $FEWER is for suites beside the one that has all.
rounds ()
{
  local normal=$1
  [ -z "$sanitizers" ] || normal=${2:-$1}
  echo "${ROUNDS:-$(((normal + ${FEWER:-1} - 1) / ${FEWER:-1}))}"
}

# wait_until SECONDS COMMAND…: until it succeeds.
wait_until ()
{
  local tries=$(($1 * 20)) i
  shift
  for ((i = 0; i < tries; i++)); do
    if "$@"; then return 0; fi
    sleep 0.05
  done
  fail "waited in vain for: $*"
}

# start_nbdkit SOCKET ARGS…: in the background; $nbdkit_pid, log in
# nbdkit.log.  Ended by the trap, or by stop_nbdkit.
start_nbdkit ()
{
  local socket=$1
  shift
  rm -f "$socket" nbdkit.pid
  nbdkit "${nbdkit_options[@]}" -f -U "$socket" -P nbdkit.pid "$plugin" \
    "$@" 2>>nbdkit.log &
  nbdkit_pid=$!
  pids+=("$nbdkit_pid")
  local i
  for ((i = 0; i < 600; i++)); do
    if [ -s nbdkit.pid ]; then return 0; fi
    if ! kill -0 "$nbdkit_pid" 2>/dev/null; then
      cat nbdkit.log >&2
      fail "nbdkit did not start"
    fi
    sleep 0.05
  done
  fail "nbdkit did not start in 30 s"
}

# our_errors LOG: prints them, if there are any; not those of nbdkit's own that say
# that a client has left, whatever was done for it just then.
our_errors ()
{
  grep error "$1" \
    | grep -Ev 'error: (write|reading|read request|read data|client)[ :]'
}

# find_daemon PID: $daemon is the private storage daemon of that nbdkit, whose
# child it need not be: each holds one end of a pipe.
find_daemon ()
{
  wait_until 10 eval "daemon=\$(daemon_of $1)"
}
daemon_of ()
{
  local pid guard
  for pid in $(pgrep qemu-storage); do
    guard=$(readlink "/proc/$pid/fd/4") || continue
    ! ls -l "/proc/$1/fd" | grep -qF "$guard" || { echo "$pid"; return; }
  done
  return 1
}

stop_nbdkit ()
{
  [ -n "$nbdkit_pid" ] || return 0
  kill "$nbdkit_pid"
  wait "$nbdkit_pid" || :
}

# says_once_lost [PATTERN]: nbdkit goes on after the loss of its server, ends in
# an orderly way, and then its log has said once that the server is lost.
# (A client may be answered before the thread that noticed has written.)
says_once_lost ()
{
  kill -0 "$nbdkit_pid" || fail "nbdkit ended"
  kill "$nbdkit_pid"
  wait "$nbdkit_pid" || fail "nbdkit ended badly"
  nbdkit_pid=
  [ "$(grep -c "${1:-lost the server}" nbdkit.log)" -eq 1 ] \
    || fail "the log does not say once that the server is lost: \
$(cat nbdkit.log)"
}

# bounded COMMAND…: with the status 124 or 137 if it does not end by itself;
# did_end STATUS WHAT… then fails.
bounded () { timeout -k 5 120 "$@"; }
did_end ()
{
  case $1 in 124 | 137) fail "did not end in 120 s: ${*:2}" ;; esac
}

# serve ARGS… -- COMMAND…: run COMMAND against a captive server; it finds
# the server at $uri, and at $unixsocket.
serve ()
{
  local args=() status=0
  while [ "$1" != "--" ]; do args+=("$1"); shift; done
  shift
  bounded "${as_user[@]}" nbdkit "${nbdkit_options[@]}" -U - "$plugin" \
    "${args[@]}" --run "$*" \
    || status=$?
  did_end $status nbdkit "${args[@]}" --run "$*"
  return $status
}

# inherits_nothing ARGS…: --run's command has the descriptors that nbdkit itself
# leaves it, and no other.
inherits_nothing ()
{
  local name
  for name in null ours; do
    local from=(null)
    [ $name = null ] || from=("$plugin" "$@")
    bounded nbdkit "${nbdkit_options[@]}" -U - "${from[@]}" \
      --run '"$python" -c "$list_descriptors"' </dev/null >descriptors.$name \
      2>descriptors.log || { cat descriptors.log; fail "not served: $*"; }
  done
  grep -q '^1 ' descriptors.null || fail "no descriptors were listed"
  diff -u descriptors.null descriptors.ours \
    || fail "the command has descriptors of ours with: $*"
}
export list_descriptors='
import os, re
for fd in sorted(map(int, os.listdir("/proc/self/fd"))):
    try:
        name = os.readlink("/proc/self/fd/%d" % fd)
    except FileNotFoundError:           # the listing itself
        continue
    print(fd, re.sub("descriptors[.].*", "", re.sub(r"\[.*", "", name)))
'

# refuses REGEX ARGS…: nbdkit with ARGS must not start, and say so in one
# line that matches REGEX, and leave nothing behind.
refuses ()
{
  local regex=$1 status=0
  shift
  rm -f refused.log
  bounded "${as_user[@]}" nbdkit "${nbdkit_options[@]}" -U - "$plugin" \
    "$@" --run 'echo started' \
    >refused.log 2>&1 || status=$?
  cat refused.log
  did_end $status nbdkit "$@"
  [ "$status" -ne 0 ] || fail "nbdkit $* was accepted"
  [ "$status" -eq 1 ] || fail "nbdkit $* ended with status $status"
  ! grep -qx started refused.log || fail "nbdkit $* ran its command"
  [ "$(grep -c . refused.log)" -eq 1 ] || fail "not one line for nbdkit $*"
  grep -Eq -- "$regex" refused.log || fail "no '$regex' for nbdkit $*"
  leaves_nothing "$tmpdir"
}

# Daemons that hold a path of ours open, or were started for us, are gone.
leaves_nothing ()
{
  wait_until 10 no_daemon
}

no_daemon ()
{
  local pid
  for pid in $(pgrep -f '^qemu-storage-daemon --chardev stdio,id=qmp' || :)
  do
    ! ls -l "/proc/$pid/fd" 2>/dev/null | grep -qF "$tmpdir" || return 1
  done
}

# is_safe_list SIZE: map --json has printed nothing, or what it printed to whole, or
# calls all bytes dirty, as it could not read the map of a small disk.
is_safe_list ()
{
  [ ! -s printed ] || cmp -s printed whole || jq -e --argjson size "$1" \
    '. == [{offset: 0, length: $size, type: 0, description: "data"}]' printed >/dev/null
}

# tool_says STATUS REGEX ARGS…: the tool ends with that status, and says why in one
# line that matches.  What it printed is in printed.
tool_says ()
{
  local expected=$1 regex=$2 status=0
  shift 2
  bounded "$tool" "$@" >printed 2>refused.log || status=$?
  cat refused.log
  [ "$status" -eq "$expected" ] \
    || fail "qemu-checkpoint $* ended with status $status"
  [ "$(grep -c . refused.log)" -eq 1 ] || fail "not one line: qemu-checkpoint $*"
  grep -Eq -- "^qemu-checkpoint: .*($regex)" refused.log \
    || fail "no '$regex': qemu-checkpoint $*"
  leaves_nothing "$tmpdir"
}

# refuses_export REGEX EXPORT ARGS…: the server starts, but a client that
# asks for EXPORT is refused with a line in the log that matches.
refuses_export ()
{
  local regex=$1 export=$2 status=0
  shift 2
  rm -f refused.log
  export_name="$export" bounded "${as_user[@]}" nbdkit \
    "${nbdkit_options[@]}" -U - "$plugin" "$@" \
    --run '
    "$python" - "$unixsocket" "$export_name" <<"EOF"
import nbd, sys
h = nbd.NBD()
h.set_export_name(sys.argv[2])
try:
    h.connect_unix(sys.argv[1])
except nbd.Error:
    sys.exit(0)
sys.exit("the export was opened")
EOF' >refused.log 2>&1 || status=$?
  cat refused.log
  did_end $status nbdkit "$@" and its client
  [ "$status" -eq 0 ] || fail "export '$export' was not refused"
  grep -Eq -- "$regex" refused.log || fail "no '$regex' for export '$export'"
}

# printed BEFORE [AFTER [LOG]]: $printed is the command that the last such message
# prints between these regular expressions; without AFTER, up to its end.
printed ()
{
  local log=${3:-refused.log} cut=
  [ -z "${2:-}" ] || cut=$'s\a'"$2"$'.*\a\a;T;'
  printed=$(sed -nE $'s\a.*'"$1"$'\a\a;T;'"${cut}p" "$log" | tail -n 1)
  [ -n "$printed" ] || fail "nothing to type after '$1': $(cat "$log")"
}

# type_printed BEFORE [AFTER [LOG]]: types it as it is printed.
type_printed ()
{
  printed "$@"
  type_it "$printed"
}

# by_file WORD…: $words, with the files of what nbdkit does not know by name, as it
# is not installed.
by_file ()
{
  local word
  words=()
  for word; do
    case $word in
      checkpoint) word=$plugin ;;
      --filter=bitmap-merge) word=--filter=$filter ;;
    esac
    words+=("$word")
  done
}

# type_it COMMAND: in a shell of its own, where plugin and filter, which are not
# installed, are found all the same.
type_it ()
(
  echo "typed: $1" >&2
  nbdkit () { local words; by_file "$@"; command nbdkit "${words[@]}"; }
  export -f by_file nbdkit
  export plugin filter
  PATH=$builddir/tool:$PATH bounded bash -c "$1" </dev/null
)

# finds CODE ARGS…: qemu-checkpoint check finds that, among what is in found.json.
# $command is what it prints to mend it, if anything.
finds ()
{
  local code=$1 status=0
  shift
  bounded "$tool" check --json "$@" >found.json || status=$?
  jq -e --arg code "$code" '.findings[] | select(.code == $code)' found.json \
    >found || fail "no $code: $(cat found.json)"
  cat found
  command=$(jq -rs '.[0].command // ""' found)
  checked=$status
}

# finds_none CODE ARGS…: not any more.
finds_none ()
{
  local code=$1
  shift
  bounded "$tool" check --json "$@" >found.json || :
  ! jq -e --arg code "$code" '.findings[] | select(.code == $code)' found.json \
    || fail "$code is still found"
}

# type_against CODE ARGS…: what is printed against it.
type_against ()
{
  finds "$@"
  [ -n "$command" ] || fail "nothing to type against $1"
  type_it "$command" || fail "it fails: $command"
}

# mends CODE ARGS…: what is printed against it is typed, and it is found no more.
mends ()
{
  type_against "$@"
  finds_none "$@"
}

# is_ok ARGS…: nothing is wrong.
is_ok ()
{
  bounded "$tool" check "$@" >found || fail "check $*: $(cat found)"
  head -n 1 found
  grep -q '^CHECKPOINTS OK - ' found || fail "its first line: $(cat found)"
}

# guest_disk FILE [SIZE]: a qcow2 disk with data in it.
guest_disk ()
{
  qemu-img create -q -f qcow2 "$1" "${2:-64M}"
  qemu-io -f qcow2 -c 'write -q -P 1 0 8M' "$1"
}

# guest_layers: base.qcow2, of 16M, and on it middle.qcow2 and top.qcow2, of 20M;
# monday.qcow2 is a copy of the time when base got the bitmap monday.  The middle
# layer has none, the top one has.
guest_layers ()
{
  qemu-img create -q -f qcow2 base.qcow2 16M
  qemu-io -f qcow2 -c 'write -q -P 1 0 4M' base.qcow2
  qemu-img convert -O qcow2 base.qcow2 monday.qcow2
  qemu-img resize -q monday.qcow2 20M
  qemu-img bitmap --add base.qcow2 monday
  qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' base.qcow2
  qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 middle.qcow2 20M
  qemu-io -f qcow2 -c 'write -q -P 3 2M 64k' -c 'write -q -z 3M 64k' \
    middle.qcow2
  qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 top.qcow2
  qemu-img bitmap --add top.qcow2 monday
  qemu-io -f qcow2 -c 'write -q -P 4 5M 64k' -c 'write -q -P 4 18M 64k' \
    top.qcow2
}

# The dirty ranges of a bitmap as QEMU itself serves them, one "offset
# length" a line: the truth that views are compared with.
qemu_dirty ()
{
  local image=$1 bitmap=$2 pid
  qemu-nbd -r -f qcow2 -B "$bitmap" -k "$tmpdir/truth.sock" --fork \
    --pid-file="$tmpdir/truth.pid" "$image"
  pid=$(cat "$tmpdir/truth.pid")
  nbdinfo --json --map="qemu:dirty-bitmap:$bitmap" \
    "nbd+unix:///?socket=$tmpdir/truth.sock" \
    | jq -r '.[] | select(.type == 1) | "\(.offset) \(.length)"'
  # As it ends, it removes its socket, which may be the next one's by then.
  kill "$pid" 2>/dev/null || :
  wait_until 20 has_ended "$pid" >/dev/null
}

# listens SOCKET: its file is there before anybody listens.
listens ()
{
  local flags path
  [ -S "$1" ] || return 1
  while read -r _ _ _ flags _ _ _ path; do
    [ "$flags" = 00010000 ] || continue
    case $path in "$1" | "$PWD/$1" | "$(pwd -P)/$1") return 0 ;; esac
  done </proc/net/unix
  return 1
}

has_ended () { ! kill -0 "$1" 2>/dev/null; }

# settled COMMAND…: what it prints does not change.
settled () { local now; now=$("$@"); sleep 0.3; [ "$("$@")" = "$now" ]; }

# is_written FILE: QEMU has it open for writing, by its locks at these bytes of it.
is_written () { grep -qE ":$(stat -c %i "$1") [0-9]+ 10[1-3]$" /proc/locks; }

# The ranges allocated in the top layer of an image, in the same form.
allocated ()
{
  qemu-img map -f qcow2 --output=json "$1" \
    | jq -r '.[] | select(.depth == 0 and .present) | "\(.start) \(.length)"' \
    | join_ranges
}

# Adjacent ranges as one.  printf, as mawk prints large sums with an exponent.
join_ranges ()
{
  awk 'NR > 1 && $1 == end { end += $2; next }
       NR > 1 { printf "%.0f %.0f\n", start, end - start }
       { start = $1; end = $1 + $2 }
       END { if (NR) printf "%.0f %.0f\n", start, end - start }'
}

# create_slowly ARGS…: qemu-img create of an encrypted image, for which QEMU measures
# how fast this processor is.  Where the measuring took no time that the kernel
# counts yet, it gives up (releases of QEMU 7.2 to 9.2).
create_slowly ()
{
  local tries
  for ((tries = 0; tries < 10; tries++)); do
    if qemu-img create -q "$@" 2>create.log; then return 0; fi
    grep -q 'accurate CPU usage' create.log || break
  done
  cat create.log >&2
  fail "qemu-img create $*"
}

. "$srcdir/tests/scenes.sh"
