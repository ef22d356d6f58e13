# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced after libvirt-lab.sh by tests of examples/: the scripts find what is not
# installed; days pass; what is written to a guest is written to a model, too, a raw
# file of each disk, which is the truth.

# program NAME COMMAND: backup-guest execs it.  COMMAND makes $words of its arguments.  If
# there is a file orphan.NAME, who started it is killed first.
program ()
{
  cat >"$tmpdir/bin/$1" <<END
#!/bin/bash
[ ! -e "$tmpdir/orphan.$1" ] || { rm "$tmpdir/orphan.$1"; kill -KILL \$PPID; sleep 1; }
$2
exec $(printf %q "$(command -v "$1")") "\${words[@]}"
END
  chmod 755 "$tmpdir/bin/$1"
}
mkdir "$tmpdir/bin"
program nbdkit 'by_file "$@"'
program setpriv 'words=("$@")'
export PATH=$tmpdir/bin:$builddir/tool:$PATH CONNECT=$connect plugin filter
export -f by_file

# day NUMBER: of this month; two o'clock, and a minute later with each call of
# backup.  The scripts' clock is this one.
day () { today=$1 now=$(($(command date -u -d 2027-03-01T02:00Z +%s) + ($1 - 1) * 86400)); }
date ()
{
  case " $* " in
    *" -d "*) command date "$@" ;;
    *) command date -d "@$now" "$@" ;;
  esac
}
export now
export -f date

kept=$tmpdir/kept               # the folder of backups
guest=web1
declare -A model=()             # TARGET: the raw file that is the truth
SEED=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
echo "repeat with: SEED=$SEED $0"
RANDOM=$SEED
random () { echo $(((RANDOM * 32768 + RANDOM) % $1)); }

# model_disk TARGET FILE SIZE: an image with something in it, and its model.
model_disk ()
{
  guest_disk "$2" "$3"
  model[$1]=$tmpdir/model.$(basename "$2" .qcow2).raw
  qemu-img convert -O raw "$2" "${model[$1]}"
}

is_off () { guest_is_off "$guest"; }
in_second=()    # before a command that is run at the daemon to which the guest has gone

# image_of TARGET: the file that it writes to.
image_of () { virsh domblklist "$guest" | awk -v t="$1" '$1 == t { print $2 }'; }

# change TARGET QEMU-IO-COMMAND…: in the guest, running or off, and in the model.
change ()
{
  local target=$1 command commands=() of_model=()
  shift
  for command; do
    commands+=(-c "$command")
    case $command in
      discard*) of_model+=(-c "write -z${command#discard}") ;;
      *) of_model+=(-c "$command") ;;
    esac
  done
  if is_off; then
    qemu-io -f qcow2 "${commands[@]}" "$(image_of "$target")"
  else
    for command; do
      guest_write "$guest" "$target" "$command"
    done
  fi >/dev/null
  qemu-io -f raw "${of_model[@]}" "${model[$target]}" >/dev/null
}

# changes [TARGET…]: a day's writes of every kind, anywhere on these disks, or on all.  No
# byte is over 200, as those are that do damage.
changes ()
{
  local target size at length zero
  [ $# -gt 0 ] || set -- "${!model[@]}"
  for target; do
    size=$(($(stat -c %s "${model[$target]}") / 65536))
    at=$(random $((size - 8))) length=$((1 + $(random 8)))
    zero="write -z"
    is_off || [ $((RANDOM % 2)) = 0 ] || zero=discard
    change "$target" \
      "write -P $((1 + RANDOM % 200)) $((at * 65536 + 512)) $((length * 65536 - 1024))" \
      "write -P $((1 + RANDOM % 200)) $(($(random $((size * 128 - 8))) * 512)) 4096" \
      "$zero $(($(random $size) * 65536)) 65536"
  done
}

# backup STATUS REGEX: the day's backup, its line, and what it must leave.  $point is
# the newest backup; the truth of that day is kept as truth/POINT.TARGET.raw.
runs=0
backup ()
{
  local status=0 line expected=$1 target
  now=$((now + 60))
  runs=$((runs + 1))
  bounded "${in_second[@]}" bash "$srcdir/examples/backup-guest" "$guest" "$kept" \
    >line 2>err || status=$?
  cat line err
  [ "$status" = "$expected" ] \
    || { cat "$kept/details"; fail "day $today: status $status, not $expected"; }
  line=$(cat line)
  [ "$(wc -l <line)" = 1 ] && [ ! -s err ] || fail "day $today: more than a line"
  [ "$(tail -n 1 "$kept/log")" = "$line" ] || fail "day $today: not in the log"
  case $status in 0) status=OK ;; 1) status=WARNING ;; *) status=CRITICAL ;; esac
  [[ $line =~ ^BACKUP\ $status\ -\ $guest,\ [0-9] && $line =~ $2 ]] \
    || { cat "$kept/details"; fail "day $today: its line has no '$2'"; }
  point=$(cd "$kept" && echo backup-* | xargs -n 1 | tail -n 1)
  left_over=$(find "$kept" -name '.*' -mindepth 1)
  [ -z "$left_over" ] || fail "day $today: left: $left_over"
  # No checkpoint but those of backups.
  (cd "$kept" && ls -d backup-*) >kept.names
  virsh checkpoint-list "$guest" --name | { grep . || :; } | sort >guest.names
  [ -z "$(comm -13 kept.names guest.names)" ] || fail "left in the guest: $(cat guest.names)"
  is_off || wait_until 10 no_job "$guest"
  [ "$expected" = 2 ] || remember
}
remember ()
{
  local target
  mkdir -p truth
  for target in "${!model[@]}"; do
    cp --sparse=always "${model[$target]}" "truth/$point.$target.raw"
  done
}

# restored POINT: the whole guest, as a guest beside it, is what it was.
compared=0 compared_bytes=0
restored ()
{
  local target truth
  bounded "${in_second[@]}" bash "$srcdir/examples/restore-guest" --name=restored \
    "$kept" "$1" "$tmpdir/out" >restored.log 2>&1 \
    || { cat restored.log; fail "$1 is not restored"; }
  for truth in truth/"$1".*.raw; do
    target=${truth%.raw} target=${target##*.}
    qemu-img convert -f qcow2 -O raw "out/$target.qcow2" out/raw
    cmp "$truth" out/raw || fail "day $today: disk $target is not what it was at $1"
    rm out/raw
    [ "$(virsh domblklist restored | awk -v t=$target '$1 == t { print $2 }')" = "$tmpdir/out/$target.qcow2" ] \
      || fail "day $today: disk $target is not in the definition"
    compared=$((compared + 1))
    compared_bytes=$((compared_bytes + $(stat -c %s "$truth")))
  done
  [ "$(find out -name '*.qcow2' | wc -l)" = "$(find truth -name "$1.*" | wc -l)" ] \
    || fail "day $today: other disks"
  virsh undefine restored >/dev/null
  rm -r out
}

# kill_a_backup SIGNAL: at a random instant.  If it was done by then, it is good.
kill_a_backup ()
{
  local pid before
  now=$((now + 60))
  runs=$((runs + 1))
  before=$(ls "$kept")
  # It may be killed before it has made it.
  : >killed.log
  "${in_second[@]}" bash "$srcdir/examples/backup-guest" "$guest" "$kept" >killed.log 2>&1 &
  pid=$!
  sleep "$((RANDOM % 4)).$((RANDOM % 10))"
  kill -"$1" $pid 2>/dev/null || :
  wait $pid 2>/dev/null || :
  # What it had begun ends by itself, and has the lock until then.
  flock -w 25 "$kept/lock" true || fail "what it has left does not end"
  cat killed.log
  # A line is always said, but by who was killed outright, or before he could.  If the
  # signal comes while it reads a "$(…)", bash 5.2 cannot read the trap's words, and ends
  # with status 2 all the same.
  ! grep BACKUP killed.log | grep -vE ' - [^:]*:[^:]*:[^:]*: (no backup: (it was told to end|.*: trap: .*unexpected EOF)|backup-)' \
    || fail "it says something else"
  point=$(cd "$kept" && echo backup-* | xargs -n 1 | tail -n 1)
  [ "$(ls "$kept")" = "$before" ] || remember
}

# flip is TARGET, and a byte of today's copy of that disk is flipped once, before it is
# verified; or "TARGET always".
flip=
sync ()
{
  local image
  for image; do
    case "$image $flip" in
      *.part/"${flip%% *}".qcow2\ *\ always) rm -f "$kept/flipped" ;;
    esac
    case $image in
      *.part/"${flip%% *}".qcow2)
        [ -e "$kept/flipped" ] || qemu-io -f qcow2 -c 'write -q -P 201 5000001 1' "$image"
        touch "$kept/flipped" ;;
    esac
  done
  command sync "$@"
}
export flip kept
export -f sync
