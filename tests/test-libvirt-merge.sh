#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The filter with what a real libvirt and QEMU made: two disks, two checkpoints,
# random writes, and external snapshots between them, until a chain has five
# layers, one of which was made larger.  The increments since each checkpoint
# make the copies of that time the disks of now, and are what QEMU itself
# unites.  Also: the command that is given without the filter, a bitmap that
# was left in an abandoned overlay, one that is broken in a lower layer.
# SEED=n repeats a run.
. "$(dirname "$0")/libvirt-lab.sh"

seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
echo "repeat with: SEED=$seed $0"
RANDOM=$seed
random () { echo $(((RANDOM * 32768 + RANDOM) % $1)); }

mebi=1048576
declare -A top=([vda]=$PWD/vda.1.qcow2 [vdb]=$PWD/vdb.1.qcow2)
declare -A layers=([vda]=1 [vdb]=1) size=([vda]=16 [vdb]=12)
for disk in vda vdb; do
  guest_disk ${top[$disk]} ${size[$disk]}M
done
lab_start
guest_define web1 ${top[vda]} ${top[vdb]}
guest_start web1
documents=$lab_config/qemu/checkpoint/web1
[ "$(id -u)" -ne 0 ] || documents=/var/lib/libvirt/qemu/checkpoint/web1

# A clean end: QEMU saves the bitmaps.
guest_quit ()
{
  virsh qemu-monitor-command web1 '{"execute": "quit"}' >/dev/null || :
  wait_until 20 guest_is_off
}
guest_is_off () { [ "$(virsh domstate web1 | head -n 1)" = "shut off" ]; }

# checkpoint NAME: $disk.NAME.raw are the disks at that instant.  Nothing is
# written meanwhile.
checkpoint ()
{
  local disk
  virsh checkpoint-create-as web1 "$1"
  cat >backup.xml <<END
<domainbackup mode='pull'>
  <server transport='unix' socket='$tmpdir/backup.sock'/></domainbackup>
END
  virsh backup-begin web1 backup.xml
  for disk in vda vdb; do
    full_copy_of_job web1 $disk $disk.$1.raw
  done
  virsh domjobabort web1
  wait_until 10 no_job web1
}

# snapshot DISK…: a new overlay on these, in which libvirt makes the bitmaps.
snapshot ()
{
  local disk specs=()
  for disk in vda vdb; do
    if [[ " $* " = *" $disk "* ]]; then
      layers[$disk]=$((layers[$disk] + 1))
      top[$disk]=$PWD/$disk.${layers[$disk]}.qcow2
      specs+=(--diskspec "$disk,file=${top[$disk]}")
    else
      specs+=(--diskspec "$disk,snapshot=no")
    fi
  done
  virsh snapshot-create-as web1 --disk-only --no-metadata "${specs[@]}"
}

# writes DISK…: some of each kind, anywhere, in sectors.
writes ()
{
  local disk command start length
  for disk; do
    for command in "write -P $((1 + RANDOM % 255))" "write -z" discard \
                   "write -P $((1 + RANDOM % 255))"; do
      start=$(random $((size[$disk] * 2048 - 1024)))
      length=$((1 + $(random 1024)))
      guest_write web1 $disk "$command $((start * 512)) $((length * 512))"
    done
  done >/dev/null
}

# parts DISK CHECKPOINT N: the next check looks at this view, and N is how many
# parts it must have.
checks=() grown=
parts () { checks+=("$1 $2 $3"); }

# layer_list DISK CHECKPOINT: the layers with that bitmap, top first.
layer_list ()
{
  qemu-img info --backing-chain --output=json "${top[$1]}" \
    | jq -r --arg name "$2" '.[] | select(."format-specific".data.bitmaps //
        [] | any(.name == $name)) | .filename'
}

# same_as_merged DISK CHECKPOINT: what the filter calls dirty is what QEMU has
# united of the layers' bitmaps.
same_as_merged ()
{
  local layer
  qemu-img create -q -f qcow2 merged.qcow2 ${size[$1]}M
  qemu-img bitmap --add --disable merged.qcow2 all
  while read -r layer; do
    qemu-img bitmap --merge "$2" -b "$layer" -F qcow2 merged.qcow2 all
  done < <(layer_list $1 $2)
  qemu_dirty merged.qcow2 all | join_ranges >want
  [ -s want ] || fail "QEMU says that nothing is dirty"
  jq -r '.[] | select(.type != 1) | "\(.offset) \(.length)"' $1.$2.map \
    | join_ranges | diff -u want - \
    || fail "$1 since $2: dirty is not what QEMU unites"
}

# tail_is_dirty DISK CHECKPOINT: instead, where layers differ in size and QEMU
# does not merge their bitmaps.  The smaller ones know nothing of what is beyond
# their ends, at 16 MiB.
tail_is_dirty ()
{
  jq -e --argjson from $((16 * mebi)) 'map(select(.type != 1)
      | [.offset + .length - $from, .length] | min | select(. > 0)) | add
      == '$(((size[$1] - 16) * mebi)) $1.$2.map >/dev/null \
    || fail "$1 since $2: clean beyond the end of a layer"
}

# The guest is stopped for a moment, and its views are looked at, of both
# sources.
check ()
{
  local source arguments disk name count
  guest_quit
  # Which were all saved.
  for disk in vda vdb; do
    ! qemu-img info --backing-chain "${top[$disk]}" | grep in-use \
      || fail "a bitmap of $disk was not saved"
  done
  sha256sum ./vd?.*.qcow2 >sums
  printf '%s\n' "${checks[@]}" >checks
  for source in libvirt file; do
    arguments=(libvirt="$connect" domain=web1)
    [ $source = libvirt ] \
      || arguments=(vda:"${top[vda]}" vdb:"${top[vdb]}" tree="$documents")
    mkdir now
    nbdkit_options=(--filter="$filter")
    serve "${arguments[@]}" checkpoint=monday -- '
      set -e
      while read disk name parts; do
        uri="nbd+unix:///$disk@$name?socket=$unixsocket"
        [ $name != monday ] || uri="nbd+unix:///$disk?socket=$unixsocket"
        nbdinfo --json "$uri" >$disk.$name.info
        nbdinfo --map --json "$uri" >$disk.$name.map
        qemu-img convert -f raw -O qcow2 -B $PWD/$disk.$name.raw -F raw \
          "$uri" now/$disk.$name.qcow2
      done <checks'
    nbdkit_options=()
    while read -r disk name count; do
      echo "$source: $disk since $name, $count parts"
      qemu-img compare -q -f qcow2 -F qcow2 "${top[$disk]}" \
        now/$disk.$name.qcow2 \
        || fail "$source: $disk since $name is not the disk"
      case $count in
        1) ! grep 'parts united' $disk.$name.info ;;
        *) jq -r '.exports[0].description' $disk.$name.info \
             | grep -q "^$count parts united, " ;;
      esac || fail "$source: not $count parts: $(cat $disk.$name.info)"
      [ "$(layer_list $disk $name | grep -c .)" -eq "$count" ] \
        || fail "libvirt did not make bitmap $name in each overlay of $disk"
      if [ $disk = "$grown" ]; then tail_is_dirty $disk $name
      else same_as_merged $disk $name; fi
    done <checks
    rm -r now
  done
  checks=()
  sha256sum -c --quiet sums || fail "an image was changed"
}

# One layer.
checkpoint monday
writes vda vdb
parts vda monday 1
parts vdb monday 1
check

# Two.  The copies at the checkpoint that is made in the second one.
guest_start web1
snapshot vda vdb
writes vda vdb
checkpoint tuesday
writes vda vdb
parts vda monday 2
parts vdb monday 2
parts vda tuesday 1
parts vdb tuesday 1
check

# Three, of one disk.
guest_start web1
writes vda vdb
snapshot vda
writes vda
parts vda monday 3
parts vda tuesday 2
parts vdb monday 2
check

# Four, and the disk becomes larger.
guest_start web1
snapshot vda vdb
writes vda
virsh blockresize web1 vda 20M
size[vda]=20
grown=vda
guest_write web1 vda "write -P 7 $((17 * mebi)) 100k"
writes vda vdb
parts vda monday 4
parts vda tuesday 3
parts vdb monday 3
parts vdb tuesday 2
check

# Five; as made while the guest ran without a break.
guest_start web1
writes vda
snapshot vda
writes vda vdb
snapshot vdb
guest_write web1 vda "write -z $((19 * mebi)) 64k"
parts vda monday 5
parts vda tuesday 4
parts vdb monday 4
parts vdb tuesday 3
check

# pasted ARGUMENTS…: what is said without the filter, typed as it is said, gives
# the disk.  This "nbdkit" finds plugin and filter, which are not installed.
mkdir bin
cat >bin/nbdkit <<'END'
#!/bin/bash
for word; do
  shift
  case $word in
    checkpoint) word=$plugin ;;
    --filter=bitmap-merge) word=--filter=$filter; echo filtered >>filtered ;;
  esac
  set -- "$@" "$word"
done
PATH=$path exec "$nbdkit" "$@"
END
chmod 755 bin/nbdkit
pasted ()
{
  local line
  refuses_export 'disk vda since monday is spread over 5 parts .*qcow2 .bitmap monday., .*vda.4.qcow2 .*vda.1.qcow2 .bitmap monday.; start with: ' \
    vda "$@" checkpoint=monday
  line=$(sed -n 's/.*; start with: //p' refused.log)
  rm -f now.qcow2 filtered
  nbdkit=$(command -v nbdkit) path=$PATH plugin=$plugin filter=$filter \
    PATH=$PWD/bin:$PATH bounded bash -c "$line"' -U - --run "
      qemu-img convert -f raw -O qcow2 -B $PWD/vda.monday.raw -F raw \
        nbd+unix:///vda?socket=\$unixsocket now.qcow2"' \
    || fail "does not work: $line"
  [ -s filtered ] || fail "no filter: $line"
  qemu-img compare -q -f qcow2 -F qcow2 "${top[vda]}" now.qcow2 \
    || fail "is not the disk: $line"
}
pasted libvirt="$connect" domain=web1
odd="a tree; it's \$HOME"
mkdir "$odd"
cp "$documents"/*.xml "$odd"
ln -s "${top[vda]}" "odd name.qcow2"
pasted "vda:./odd name.qcow2" vdb:"${top[vdb]}" tree="$odd"

# alternate FILE: the guest's vda is another file.  A definition that goes on
# saying what is below would have the guest read something else.
alternate ()
{
  virsh dumpxml --inactive web1 | sed "s,${top[vda]},$1," >alternate.xml
  virsh define alternate.xml
  refuses "$1 names $PWD/vda.1.qcow2 as .*the guest's definition ${top[vda]%.5*}" \
    libvirt="$connect" domain=web1 checkpoint=tuesday disk=vda
  top[vda]=$1
  "$python" - alternate.xml <<'END'
import re, sys
with open(sys.argv[1]) as f:
    text = f.read()
with open(sys.argv[1], "w") as f:
    f.write(re.sub("<backingStore.*?</backingStore>(?=\\s*<target)", "", text,
                   flags=re.S))
END
  virsh define alternate.xml
}
# both REGEX ARGUMENTS…: refused with and without the filter.
both ()
{
  refuses "$@"
  nbdkit_options=(--filter="$filter")
  refuses "$@"
  nbdkit_options=()
}

# An older layer goes on in another overlay, and what was recorded since
# tuesday is in the abandoned ones.
qemu-img create -q -f qcow2 -b "$PWD/vda.1.qcow2" -F qcow2 alternate.qcow2
alternate "$PWD/alternate.qcow2"
size[vda]=16
guest_start web1
writes vda
guest_quit
both "NOT in this backup .on-missing=full serves it whole.: disk vda: bitmap tuesday is not in $PWD/alternate.qcow2 nor below it .there are: monday., so what changed since checkpoint tuesday is lost; make a full backup of all disks; once no other disk needs the checkpoint, forget it with: virsh -c $connect checkpoint-delete --metadata web1 tuesday\$" \
  libvirt="$connect" domain=web1 checkpoint=tuesday disk=vda
both "bitmap tuesday is not in $PWD/alternate.qcow2 nor below it .there are: monday., .*virsh checkpoint-delete --metadata web1 tuesday\$" \
  vda:alternate.qcow2 tree="$documents" checkpoint=tuesday
nbdkit_options=(--filter="$filter")
serve libvirt="$connect" domain=web1 checkpoint=monday disk=vda -- '
  nbdinfo --json "$uri" >info
  qemu-img convert -f raw -O qcow2 -B vda.monday.raw -F raw "$uri" now.qcow2'
jq -r '.exports[0].description' info | grep '^2 parts united'
qemu-img compare -q -f qcow2 -F qcow2 alternate.qcow2 now.qcow2 \
  || fail "the increment since monday is not the alternate disk"
# The other disk, which has it, is served.
refuses_export 'bitmap tuesday is not in' vda \
  libvirt="$connect" domain=web1 checkpoint=tuesday
serve libvirt="$connect" domain=web1 checkpoint=tuesday -- \
  'nbdinfo --json "nbd+unix:///vdb?socket=$unixsocket"' >info
grep -q 'description.*3 parts united' info
nbdkit_options=()

# Somebody writes to a lower layer, and is killed.  A bitmap that only the
# others have is good all the same.
[ "$(layer_list vdb monday | paste -sd' ')" \
  = "$PWD/vdb.4.qcow2 $PWD/vdb.3.qcow2 $PWD/vdb.2.qcow2 $PWD/vdb.1.qcow2" ]
kill_writer vdb.1.qcow2
broken="disk vdb: bitmap monday in $PWD/vdb.1.qcow2 is inconsistent .in-use.*; if not, make a full backup, and then, to remove the bitmap, .*, type: qemu-img bitmap --remove $PWD/vdb.4.qcow2 monday && .*vdb.3.qcow2 monday && .*vdb.2.qcow2 monday && qemu-img bitmap --remove $PWD/vdb.1.qcow2 monday(\$|; on-missing=full)"
both "$broken" libvirt="$connect" domain=web1 checkpoint=monday disk=vdb
both "$broken" vdb:"${top[vdb]}" tree="$documents" checkpoint=monday
remedy=$(sed -n 's/.*, type: qemu-img/qemu-img/p' refused.log)
nbdkit_options=(--filter="$filter")
refuses_export "$broken" vdb libvirt="$connect" domain=web1 checkpoint=monday
serve libvirt="$connect" domain=web1 checkpoint=tuesday disk=vdb -- \
  'nbdinfo --size "$uri"'
nbdkit_options=()

bash -e -c "$remedy" || fail "the remedy failed: $remedy"
[ -z "$(layer_list vdb monday)" ] || fail "the remedy left a bitmap"
both "disk vdb: bitmap monday is not in $PWD/vdb.4.qcow2 nor below it .there are: tuesday" \
  libvirt="$connect" domain=web1 checkpoint=monday disk=vdb
type_printed ' forget it with: '
both 'there is no checkpoint monday; known are: tuesday$' \
  libvirt="$connect" domain=web1 checkpoint=monday disk=vdb
# The full backup, and a record that begins with it.
guest_start web1
checkpoint wednesday
writes vdb
snapshot vdb
writes vdb
guest_quit
nbdkit_options=(--filter="$filter")
serve libvirt="$connect" domain=web1 checkpoint=wednesday disk=vdb -- '
  nbdinfo --json "$uri" >info
  qemu-img convert -f raw -O qcow2 -B vdb.wednesday.raw -F raw "$uri" now.qcow2'
jq -r '.exports[0].description' info | grep '^2 parts united'
qemu-img compare -q -f qcow2 -F qcow2 vdb.5.qcow2 now.qcow2 \
  || fail "the increment since the record was begun again is not the disk"
# Without libvirt=, virsh is left to find the daemon.
nbdkit_options=()
for layer in $(layer_list vdb tuesday); do
  qemu-img bitmap --remove "$layer" tuesday
done
refuses 'bitmap tuesday is not in .* forget it with: virsh checkpoint-delete ' \
  vdb:"${top[vdb]}" tree="$documents" checkpoint=tuesday
type_printed ' forget it with: '
[ "$(virsh checkpoint-list web1 --name | grep .)" = wednesday ] \
  || fail "not forgotten: $(virsh checkpoint-list web1)"
leaves_nothing
