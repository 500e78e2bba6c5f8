#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs in stages in a real terminal: from the form, the question after a canary, p pauses and resumes.

    test_stages.py MUSTER [unittest arguments]
"""

import os
import re
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib      # noqa: E402

muster = ""
# Leaves a file, and runs until the gate is open.
COMMAND = ": >$HOME/ran.$MUSTER_NODE; while [ ! -e $HOME/gate ]; do sleep 0.05; done"


class Stages(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.mkdtemp(prefix="muster-stages-test-")
        self.addCleanup(shutil.rmtree, self.work, True)
        self.write("inventory.yaml", 'defaults: {transport: local}\nnodes: {"n[1-6]": {}}\n')

    def write(self, name, text):
        with open(os.path.join(self.work, name), "w", encoding="ascii") as f:
            f.write(text)

    def ran(self):
        return len([n for n in os.listdir(self.work) if n.startswith("ran.")])

    def start(self, t, *flags):
        t.start([muster, *flags, "-i", os.path.join(self.work, "inventory.yaml")],
                env={"HOME": self.work, "MUSTER_DB": os.path.join(self.work, "m.db"),
                     "XDG_STATE_HOME": self.work})
        t.wait_for("No batch yet")
        t.keys("c")
        t.keys("a")
        t.wait_for("6 sel")
        t.keys("2")
        self.fill(t, "Command", COMMAND)

    # Keys that come in a heap are taken for a paste, so each is waited for.

    def fill(self, t, label, text):
        t.wait_for(">" + label)
        t.keys("e")
        t.text(text)
        t.wait_for(text[-20:])
        t.keys("Escape")
        t.wait_for("e edit")

    def run_it(self, t):
        t.keys("x")
        t.wait_for("y runs it")
        t.keys("y")

    def test_pause(self):
        with lib.Tmux(100, 30) as t:
            self.start(t, "-f", "2")
            self.run_it(t)
            t.wait_for(lambda _: self.ran() == 2)
            t.keys("3")
            t.wait_for("wait 4")
            t.keys("p")
            t.wait_for("paused, 4 waiting (p resumes)")
            self.write("gate", "")
            t.wait_for("ok 2 ")
            t.wait_for("paused, 4 waiting")
            self.assertEqual(self.ran(), 2)
            t.keys("p")
            t.wait_for("Success: the command succeeded on every node.")
            self.assertEqual(self.ran(), 6)

    def test_canary(self):
        with lib.Tmux(100, 30) as t:
            self.write("gate", "")
            self.start(t)
            t.keys("G")
            t.wait_for(">More")
            t.keys("Enter")
            t.wait_for("Enter closes")
            t.keys("G")
            t.wait_for(">Serial by")
            for label in ("Max fail", "Probe", "Pause", "Waves", "Canary ok", "Canary  "):
                t.keys("k")
                t.wait_for(">" + label)
            self.fill(t, "Canary  ", "2")
            t.keys("x")
            t.wait_for("2 first, then a question")
            t.keys("y")
            t.wait_for(re.compile("Canary of #1: 2 ok, 0 failed"))
            self.assertEqual(self.ran(), 2)
            # Put off, and asked again.
            t.keys("Escape")
            t.wait_for("p asks again")
            t.keys("3")
            t.wait_for("the canary waits for an answer")
            t.keys("p")
            t.wait_for("Go on with the other 4? y/n")
            t.keys("y")
            t.wait_for("Success: the command succeeded on every node.")
            self.assertEqual(self.ran(), 6)


if __name__ == "__main__":
    if not lib.available():
        print("tmux is not installed, skipped")
        sys.exit(77)
    muster = os.path.abspath(sys.argv[1])
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
