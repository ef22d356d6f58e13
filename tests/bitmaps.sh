# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced after functions.sh by tests that change bitmaps in images.

change=$builddir/tests/change-bitmaps

# bitmaps IMAGE…: those of all their layers, "FILE NAME GRANULARITY FLAG…" a line.
bitmaps ()
{
  local image
  for image; do
    qemu-img info --backing-chain --output=json "$image"
  done | python3 -c '
import json, os, sys
text, decoder, at, seen = sys.stdin.read(), json.JSONDecoder(), 0, set()
while at < len(text):
    layers, at = decoder.raw_decode(text, at)
    at += len(text) - at - len(text[at:].lstrip())
    for layer in layers:
        data = layer.get("format-specific", {}).get("data", {})
        for bitmap in data.get("bitmaps", []):
            seen.add("%s %s %d %s" % (
                os.path.basename(layer["filename"]), bitmap["name"],
                bitmap["granularity"], " ".join(sorted(bitmap["flags"]))))
print(*sorted(seen), sep="\n")'
}

# has LINES IMAGE…: these are its bitmaps.
has ()
{
  local lines=$1
  shift
  diff -u <(printf '%s' "$lines") <(bitmaps "$@" | sed '/^$/d') \
    || fail "the bitmaps of $* are others"
}

# changed ARGS…: it is done.
changed ()
{
  bounded "$change" "$@" 2>log || { cat log >&2; fail "not done: $*"; }
  [ ! -s log ] || fail "it said: $(cat log)"
  leaves_nothing
}

# refused ERRNO REGEX ARGS…: it is not, and why.
refused ()
{
  local number=$1 regex=$2
  shift 2
  ! bounded "$change" "$@" 2>log || fail "done: $*"
  cat log
  tail -n 1 log | grep -q "^change-bitmaps: error $number: " \
    || fail "not error $number for $*"
  tail -n 1 log | grep -Eq -- "$regex" || fail "no '$regex' for $*"
  leaves_nothing
}

# cut_short PROGRAM COMMAND…: kill it at any instant of the $took microseconds that it
# takes, in any way; $died counts those that did not end by themselves.
died=0
cut_short ()
{
  local signals=(KILL TERM INT HUP) program=$1 pid
  shift
  # As one types it: a command in the background ignores SIGINT.
  env --default-signal=INT "$@" 2>log &
  pid=$!
  sleep "$(printf '0.%06d' $((RANDOM * took / 32768 % 1000000)))"
  kill -"${signals[RANDOM % 4]}" $pid 2>/dev/null || :
  status=0
  wait $pid 2>/dev/null || status=$?
  [ $status -eq 0 ] || died=$((died + 1))
  [ $status -eq 0 ] || [ $status -gt 128 ] || fail "status $status: $(cat log)"
  leaves_nothing
  wait_until 10 no_reminder "$program"
}

# no_reminder PROGRAM: beside a daemon that writes, there is a process of its
# starter's that tells it to end.
no_reminder ()
{
  local pid
  for pid in $(pgrep -x "$1" || :); do
    ! is_ours "$pid" || return 1
  done
}

# locked IMAGE: by QEMU.  Who reads takes byte 100, and byte 201 against writers.
locked () { grep -qE ":$(stat -c %i "$1") (100|201) " /proc/locks; }
