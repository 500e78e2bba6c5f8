#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tasks and plans in a real terminal: picked, their parameters given and mended, one of them never
shown; the steps of a plan as they end, what each wrote, and again from the step that failed.

    test_tasks.py MUSTER [unittest arguments]
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

META = """{"description": "Puts a version of a service there", "input_method": "environment",
 "parameters": {
  "service": {"type": "String[1]", "description": "Which one"},
  "port": {"type": "Integer[1, 65535]", "default": 8080},
  "mode": {"type": "Enum[rolling, all]", "default": "rolling"},
  "token": {"type": "String[4]", "sensitive": true}}}
"""
SCRIPT = """#!/bin/sh
[ "$PT_token" = "Sesame!" ] || exit 7
echo "{\\"_output\\":\\"put $PT_service on $PT_port, $PT_mode\\",\\"port\\":$PT_port}"
"""
PLAN = """description: Takes a service out, changes it, and puts it in again
parameters:
  targets: {type: TargetSpec}
steps:
  - name: drain
    description: Takes it out
    command: echo draining
    targets: $targets
  - name: change
    description: Changes it
    command: 'if [ $MUSTER_NODE = n2 ] && [ ! -e "$HOME/mended" ]; then echo disk full; exit 4; fi'
    targets: $targets
  - name: restore
    description: Puts it in again
    command: 'echo back: $MUSTER_NODE'
    targets: $targets
"""


class Tasks(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.mkdtemp(prefix="muster-tasks-test-")
        self.addCleanup(shutil.rmtree, self.work, True)
        self.write("inventory.yaml", 'defaults: {transport: local}\nnodes: {"n[1-3]": {}}\n')
        self.write("config/muster/config.yaml", f"task_path: {self.work}/ours\n")
        self.write("ours/tasks/deploy.json", META)
        self.write("ours/tasks/deploy.sh", SCRIPT)
        self.write("ours/plans/rollout.yaml", PLAN)

    def write(self, name, text):
        path = os.path.join(self.work, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)

    # Keys that come in a heap are taken for a paste, so each is waited for.

    def start(self, t, kind):
        """All nodes picked, and the type of the form turned to KIND."""
        t.start([muster, "-i", os.path.join(self.work, "inventory.yaml")],
                env={"HOME": self.work, "MUSTER_DB": os.path.join(self.work, "m.db"),
                     "XDG_STATE_HOME": self.work,
                     "XDG_CONFIG_HOME": os.path.join(self.work, "config")})
        t.wait_for("No batch yet")
        t.keys("c")
        t.wait_for(re.compile(r"[>.]\[ \]"))
        t.keys("a")
        t.wait_for("3 sel")
        t.keys("2")
        t.wait_for(">Command")
        t.keys("k")
        t.wait_for(">Type")
        for name in ("task", "plan"):
            t.keys("l")
            t.wait_for(f"[{name}]")
            if name == kind:
                break

    def pick(self, t, kind, name):
        t.keys("j")
        t.wait_for(re.compile(f">{kind} ", re.IGNORECASE))
        t.keys("Enter")
        t.wait_for("Enter picks it")
        t.keys("/")
        t.wait_for(re.compile(r"^.?/ ", re.MULTILINE))
        t.text(name)
        t.wait_for(re.compile(r"\b1 of \d"))
        t.keys("Enter")
        t.wait_for(">" + name)
        t.keys("Enter")
        t.wait_gone("Enter picks it")

    def give(self, t, label, text, then):
        """Types into the field under the cursor; THEN is what stands beside it afterwards."""
        t.wait_for(">" + label)
        t.keys("e")
        t.wait_for("editing")
        t.keys("C-u")
        t.text(text)
        t.wait_for(re.compile(re.escape(label) + " *" + re.escape(text) + then))
        t.keys("Escape")
        t.wait_for("e edit")

    def down(self, t, label):
        t.keys("j")
        t.wait_for(">" + label)

    def agree(self, t):
        t.wait_for("y runs it")
        t.keys("y")

    def check_task(self, columns, rows):
        with lib.Tmux(columns, rows) as t:
            self.start(t, "task")
            t.wait_for("no task (e picks one)")
            self.pick(t, "task", "deploy")
            t.wait_for(">service*")
            # What is required is told when it was to run; then the first that is missing is shown.
            t.keys("x")
            t.wait_for("is required")
            self.give(t, "service*", "web", "")
            self.down(t, "port")
            self.give(t, "port", "99999", " .*expects an Integer from 1 to")
            t.wait_for("cannot run yet: port")
            self.give(t, "port", "8443", "(?!.*expects)")
            self.down(t, "mode")
            for value in ("rolling", "all"):
                t.keys("l")
                t.wait_for(re.compile(rf">mode +{value}"))
            t.wait_for("x shows what will run")
            t.keys("x")
            t.wait_for("token:")
            t.text("Sesame!")
            t.wait_for(re.compile(r"token: \*{7}"))
            t.keys("Enter")
            t.wait_for("Review")
            t.wait_for(re.compile(r"token = \*+"))
            self.agree(t)
            t.wait_for("#1 ended (success)")
            t.keys("4")
            t.wait_for("put web on 8443, all")
            t.keys("Enter")
            t.keys("j")
            t.wait_for(re.compile(r">\s+n1"))
            t.keys("Enter")
            t.wait_for("J: as printed")
            t.keys("G")
            t.wait_for("port: 8443")
            self.assertNotIn("_output", t.screen())
            t.keys("J")
            t.wait_for('{"_output":"put web')
        self.assert_secret()

    def assert_secret(self):
        for folder, _, names in os.walk(self.work):
            for name in names:
                with open(os.path.join(folder, name), "rb") as f:
                    found = b"Sesame" in f.read()
                self.assertEqual(found, name == "deploy.sh", name)

    def test_task(self):
        self.check_task(80, 24)

    def test_task_wide(self):
        self.check_task(120, 35)

    def test_plan(self):
        with lib.Tmux(80, 24) as t:
            self.start(t, "plan")
            self.pick(t, "plan", "rollout")
            t.wait_for("x shows what will run")
            t.keys("x")
            t.wait_for(re.compile(r"Steps +1 Takes it out"))
            t.wait_for("3 Puts it in again")
            self.agree(t)
            t.wait_for("#1 ended (partial)")
            t.keys("3")
            t.wait_for(re.compile(r"2 Changes it +ok 2 +FAIL 1"))
            t.wait_for(re.compile(r"3 Puts it in again +ok 2"))
            t.keys("!")
            t.wait_for(re.compile(r">n2 +! FAIL +2/3"))
            t.keys("Enter")
            t.wait_for("== step 2: Changes it: ! FAIL, exit code 4")
            t.wait_for("disk full")
            t.wait_for("draining")
            t.keys("Escape")
            t.wait_gone("draining")
            self.write("mended", "")
            t.keys("r")
            t.wait_for("Rerun #1: a all 3, f failed 1")
            t.keys("f")
            t.wait_for("f from each node's failed step")
            t.keys("f")
            t.wait_for("Review")
            t.wait_for(re.compile(r"From +step 2"))
            self.agree(t)
            t.wait_for("#2 ended (success)")
            t.wait_for(re.compile(r"1 Takes it out +-"))
            t.wait_for("back: n2")


if __name__ == "__main__":
    if not lib.available():
        print("tmux is not installed, skipped")
        sys.exit(77)
    muster = os.path.abspath(sys.argv[1])
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
