#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The main job in a real terminal, from key press to result, on the demo fleet.

    test_job.py DEMO-FLEET MUSTER [unittest arguments]
"""

import csv
import os
import re
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib      # noqa: E402

fleet, muster = "", ""
# On every second number it fails; on edge01 it always does, and says why.
COMMAND = ('echo "I am $MUSTER_NODE"; case $MUSTER_NODE in edge01) echo broken pipe >&2; exit 9;; '
           '*[13579]) exit 1;; esac')
NODES = ["cache02", "edge01"] + [f"web{i:02d}" for i in range(1, 13)]
FAILED = ["edge01"] + [f"web{i:02d}" for i in range(1, 13, 2)]


class Job(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.mkdtemp(prefix="muster-job-test-")
        self.addCleanup(shutil.rmtree, self.work, True)
        self.env = {"HOME": self.work, "TMPDIR": self.work, "XDG_STATE_HOME": self.work,
                    "MUSTER_DEMO_FLEET": fleet, "LC_ALL": "C.UTF-8"}
        self.argv = [muster, "demo", "--db", os.path.join(self.work, "job.db")]

    def start(self, t):
        t.start(self.argv, env=self.env, cwd=self.work)
        t.wait_for(re.compile(r"No batch|#1 "))

    def pick_by_filter(self, t, name):
        """Filter to one node, pick it, and take the filter off."""
        t.keys("/")
        t.text(name)
        t.wait_for(re.compile(rf"\[ \] +{name}"))
        t.keys("Enter", "Space")
        t.wait_for(re.compile(rf"\[x\] +{name}"))
        t.keys("/", "C-u", "Enter")
        t.wait_for("(no filter)")

    def check_size(self, columns, rows):
        with lib.Tmux(columns, rows) as t:
            self.start(t)
            t.keys("1")
            t.wait_for(re.compile(r"> *\[ \] v @demo"))
            t.keys("j")
            t.wait_for(re.compile(r"> *\[ \] +v @web"))
            t.keys("Space")
            t.wait_for(re.compile(r"\[x\] +v @web"))
            self.pick_by_filter(t, "edge01")
            self.pick_by_filter(t, "cache02")
            t.keys("2", "e")
            t.text(COMMAND)
            t.keys("Enter")
            t.wait_for("x shows what will run")
            t.keys("x")
            t.wait_for("nothing runs before you agree")
            t.wait_for(re.compile(r"Run on +14 nodes"))
            if "type 14" in t.screen():
                t.text("14")
            t.keys("Enter")
            t.keys("3")
            t.wait_for(re.compile(r"14/14 +100"))
            self.open_failed(t)
            self.export(t)
            t.keys("q", "q", "q", "q")
            self.assertEqual(0, t.wait_exit())
        self.assertEqual([], [n for n in os.listdir(self.work) if n.startswith("muster-demo")])
        # Another day: the batch is there, with the same results.
        with lib.Tmux(columns, rows) as t:
            self.start(t)
            t.keys("5", "g")
            t.wait_for(re.compile(r"> *#1 .*PART.*14/14"))
            t.keys("Enter")
            t.wait_for(re.compile(r"14 nodes.* ok 7"))
            t.keys("q", "q", "q", "q")
            self.assertEqual(0, t.wait_exit())

    def open_failed(self, t):
        t.keys("4")
        t.wait_for(re.compile(r"14 nodes.* ok 7 +failed 7"))
        t.keys("]", "!", "g")
        t.wait_for(re.compile(r"> *edge01 .*FAIL"))
        t.wait_for("failed only, by name")
        t.keys("Enter")
        t.wait_for("exit code 9")
        t.keys("G")
        t.wait_for("broken pipe")
        t.keys("Escape")
        t.wait_gone("broken pipe")
        t.keys("!")
        t.wait_gone("failed only, by name")

    def export(self, t):
        t.keys("E")
        t.wait_for("batch-1-results.csv")
        t.keys("Enter")
        path = os.path.join(self.work, "batch-1-results.csv")
        t.wait_for(lambda _: os.path.exists(path) and os.path.getsize(path) > 0)
        t.wait_gone("Enter done")

        def rows():
            with open(path, newline="", encoding="utf-8") as f:
                return list(csv.DictReader(f))
        t.wait_for(lambda _: len(rows()) == 14)
        self.assertEqual(sorted(NODES), sorted(r["Node Name"] for r in rows()))
        self.assertEqual(sorted(FAILED),
                         sorted(r["Node Name"] for r in rows() if r["Status"] == "failed"))
        edge = next(r for r in rows() if r["Node Name"] == "edge01")
        self.assertEqual("9", edge["Exit Code"])
        self.assertIn("broken pipe", edge["Stderr"])

    def test_normal(self):
        self.check_size(80, 24)

    def test_wide(self):
        self.check_size(120, 35)

    def test_cancel_from_the_screen(self):
        with lib.Tmux(80, 24) as t:
            self.start(t)
            t.keys("1", "j", "Space", "2", "e")
            t.text("sleep 600")
            t.keys("Enter", "x")
            t.wait_for("nothing runs before you agree")
            t.text("12")
            t.keys("Enter", "3")
            t.wait_for(re.compile(r"run 12 "))
            t.keys("X")
            t.wait_for(re.compile(r"Cancel #\d+ \("))
            t.keys("y")
            t.wait_for("CANCELLED")
            self.assertEqual([], sleepers(self.work))
            t.keys("q", "q", "q", "q")
            self.assertEqual(0, t.wait_exit())


def sleepers(mark):
    """Commands of sessions that still run: the fleet's sessions carry its folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                command = f.read()
            with open(f"/proc/{pid}/environ", "rb") as f:
                if command.startswith(b"sleep\0600") and mark.encode() in f.read():
                    found.append(pid)
        except OSError:
            continue
    return found


if __name__ == "__main__":
    if not lib.available() or not shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin"):
        print("tmux or sshd is not installed, skipped")
        sys.exit(77)
    fleet, muster = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
