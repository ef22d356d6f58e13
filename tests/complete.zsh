# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
#   zsh -f complete.zsh FOLDER LINE
#
# What zsh offers at the end of LINE, typed at a terminal: one a line in the file
# offers, and what the line is then in the file line.  FOLDER has _qemu-checkpoint.
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "
fpath=(${(q)1} \$fpath)
autoload -Uz compinit && compinit -u -D
compadd () {
  local -a matching
  builtin compadd -O matching \"\$@\"
  print -rl -- \$matching >>offers
  builtin compadd \"\$@\"
}
probe () {
  zle complete-word
  print -r -- \"\$BUFFER\" >line.new && mv line.new line
}
zle -N probe && bindkey '^I' probe
: >ready"
while [[ ! -e ready ]]; do sleep 0.05; done
: >offers
zpty -w -n shell $2$'\t'
while [[ ! -e line ]]; do
  zpty -r -t shell drained '*'
  sleep 0.05
done
zpty -d shell
