#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Leaving the screen in a real terminal brings back what stood there before, after any resize too.

    test_leave.py MUSTER [unittest arguments]
"""

import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib      # noqa: E402

muster = ""


def only_the_shell(screen):
    return "as before" in screen and "History" not in screen and "|" not in screen


class Leave(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.mkdtemp(prefix="muster-leave-test-")
        self.addCleanup(shutil.rmtree, self.work, True)

    def start(self, t):
        t.shell(env={"HOME": self.work, "MUSTER_DB": os.path.join(self.work, "m.db")},
                cwd=self.work)
        t.text("echo as before")
        t.keys("Enter")
        t.wait_for("\nas before")
        t.text(muster)
        t.keys("Enter")
        t.wait_for("No batch yet")

    def test_resized(self):
        for sizes in ((120, 35),), ((120, 35), (60, 20)), ((44, 12), (100, 30)):
            with self.subTest(sizes=sizes), lib.Tmux(80, 24) as t:
                self.start(t)
                for columns, rows in sizes:
                    t.resize(columns, rows)
                    t.wait_for(lambda _, w=columns: any(
                        line.endswith("q quit") and len(line) <= w for line in t.lines()[-1:]))
                t.keys("q")
                t.wait_for(only_the_shell)

    def test_suspended(self):
        with lib.Tmux(80, 24) as t:
            self.start(t)
            t.resize(120, 35)
            t.wait_for("[1] Targets")
            t.keys("C-z")
            t.wait_for("Stopped")
            t.wait_for(only_the_shell)
            t.text("fg")
            t.keys("Enter")
            t.wait_for("[1] Targets")
            t.keys("q")
            t.wait_for(only_the_shell)


if __name__ == "__main__":
    if not lib.available():
        print("tmux is not installed", file=sys.stderr)
        sys.exit(77)
    muster = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
