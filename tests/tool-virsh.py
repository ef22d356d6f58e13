# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
#   tool-virsh.py TOOL SEED ROUNDS
#
# Random forests of checkpoints, told to libvirt's test driver and to the tool:
# the same questions to both have the same answers.  That driver is in virsh
# itself, so all is asked of one process.

import os
import random
import re
import subprocess
import sys
import tempfile

TOOL, SEED, ROUNDS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
LISTS = ["", "--leaves", "--no-leaves", "--roots", "--leaves --no-leaves",
         "--roots --leaves", "--roots --no-leaves"]


def forest(rng):
    """Names and their parents; parents first."""
    made = []
    for i in range(rng.randint(1, 14)):
        letters = rng.choice(["abc", "aAbB", "xyz0_-"])
        name = "".join(rng.choice(letters) for _ in range(3)) + str(i)
        if name[0] == "-":
            name = "_" + name[1:]
        parent = rng.choice(made)[0] if made and rng.random() < 0.8 else None
        made.append((name, parent))
    return made


def document(name, parent, when):
    return ("<domaincheckpoint><name>%s</name>%s<description>%s &amp; more"
            "</description><creationTime>%d</creationTime></domaincheckpoint>"
            % (name, "<parent><name>%s</name></parent>" % parent
               if parent else "", name, when))


def virsh(commands):
    """The answer to each, in order."""
    mark = "=====%s" % os.getpid()
    script = []
    for command in commands:
        script += [command, "echo " + mark]
    run = subprocess.run(["virsh", "-q", "-c", "test:///default",
                          "; ".join(script)], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    return run.stdout.split(mark)[:-1]


def tool(folder, words):
    run = subprocess.run([TOOL] + words + ["--tree=" + folder],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
    return run.returncode, run.stdout


def questions(rng, made):
    """(virsh's words, the tool's, how to compare)"""
    names = [name for name, _ in made]
    some = rng.sample(names, min(4, len(names)))
    for words in LISTS:
        yield ("checkpoint-list test --name " + words,
               ["list", "--name"] + words.split(), str)
        yield ("checkpoint-list test --topological --name " + words,
               ["list", "--name", "--topological"] + words.split(), sorted)
    yield "checkpoint-list test --tree", ["list", "--tree"], str
    yield "checkpoint-list test --parent", ["list", "--parent"], str.split
    for name in some:
        for words in ["", "--descendants", "--leaves",
                      "--descendants --no-leaves"]:
            yield ("checkpoint-list test --name --from %s %s" % (name, words),
                   ["list", "--name", "--from", name] + words.split(), str)
        for words in ["", "--descendants"]:
            yield ("checkpoint-list test --tree --from %s %s" % (name, words),
                   ["list", "--tree", "--from", name] + words.split(), str)


def compare(made, folder, answers, asked):
    parents = dict(made)
    for answer, (theirs, ours, how) in zip(answers, asked):
        status, said = tool(folder, ours)
        if status != 0:
            sys.exit("%s: status %d" % (ours, status))
        if "--parent" in ours:  # an empty parent is "-" here, and titles
            said = re.sub("^Name.*\n", "", said)
            said = re.sub("-$", "", said, flags=re.M)
        if "--topological" in ours:
            check_topological(parents, said.split())
        if how(said) != how(answer):
            sys.exit("%s\nvirsh %s:\n%s\ntool %s:\n%s"
                     % (made, theirs, answer, ours, said))


def check_topological(parents, names):
    seen = set()
    for name in names:
        if parents[name] in names and parents[name] not in seen:
            sys.exit("%s stands before its parent" % name)
        seen.add(name)


def one_round(seed):
    rng = random.Random(seed)
    made = forest(rng)
    with tempfile.TemporaryDirectory() as folder:
        commands = []
        for i, (name, parent) in enumerate(made):
            path = os.path.join(folder, name + ".xml")
            with open(path, "w") as file:
                file.write(document(name, parent, 1700000000 + i))
            commands.append("checkpoint-create test %s --redefine" % path)
        asked = list(questions(rng, made))
        answers = virsh(commands + [theirs for theirs, _, _ in asked])
        if len(answers) != len(commands) + len(asked):
            sys.exit("virsh gave %d answers: %s" % (len(answers), answers))
        compare(made, folder, answers[len(commands):], asked)


for round_ in range(ROUNDS):
    print("seed", SEED + round_, flush=True)
    one_round(SEED + round_)
