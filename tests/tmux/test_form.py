#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The form's folded fields in a real terminal: another user by a sudo of our own, its password asked
for, never shown, never kept.

    test_form.py MUSTER [unittest arguments]
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

# Reads the password after the prompt of -p, as sudo -S does.
SUDO = """#!/bin/sh
prompt=
while [ $# -gt 0 ]; do
    case $1 in
    -p) prompt=$2; shift 2;;
    -u) shift 2;;
    --) shift; break;;
    -*) shift;;
    *) break;;
    esac
done
printf %s "$prompt" >&2
IFS= read -r got
[ "$got" = "Sesame!" ] || exit 1
exec "$@"
"""


class Form(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.mkdtemp(prefix="muster-form-test-")
        self.addCleanup(shutil.rmtree, self.work, True)
        os.mkdir(os.path.join(self.work, "bin"))
        self.write("bin/sudo", SUDO)
        os.chmod(os.path.join(self.work, "bin/sudo"), 0o755)
        self.write("inventory.yaml", "nodes: {n1: {transport: local}, n2: {transport: local}}\n")
        self.db = os.path.join(self.work, "m.db")

    def write(self, name, text):
        with open(os.path.join(self.work, name), "w", encoding="ascii") as f:
            f.write(text)

    # Keys that come in a heap are taken for a paste, so each is waited for.

    def down(self, t, *labels):
        for label in labels:
            t.keys("j")
            t.wait_for(">" + label)

    def fill(self, t, key, label, text):
        if key:
            t.keys(key)
        t.text(text)
        t.wait_for(re.compile(label + " *" + re.escape(text)))
        t.keys("Escape")
        t.wait_for("e edit")

    def test_by_sudo(self):
        with lib.Tmux(80, 24) as t:
            t.start([muster, "-i", os.path.join(self.work, "inventory.yaml")],
                    env={"HOME": self.work, "MUSTER_DB": self.db, "XDG_STATE_HOME": self.work,
                         "PATH": os.path.join(self.work, "bin") + ":" + os.environ["PATH"]})
            t.wait_for("No batch yet")
            t.keys("c")
            t.keys("a")
            t.wait_for("2 sel")
            t.keys("2")
            self.fill(t, "e", "Command ", "echo by sudo")
            t.keys("G")
            t.wait_for(">More")
            t.keys("Enter")
            t.wait_for("Sudo pass")
            self.down(t, "Password", "Run as")
            self.fill(t, "e", "Run as ", "root")
            self.down(t, "By", "Sudo pass")
            t.keys("e")
            t.wait_for(re.compile("Sudo pass +yes"))
            self.down(t, "Folder", "Environ")
            self.fill(t, "e", "Environ ", "1=2")
            t.wait_for("a field under More is wrong")
            t.keys("e")
            t.keys("C-u")
            self.fill(t, None, "Environ ", "TZ=UTC")
            t.wait_for("x shows what will run")
            t.keys("x")
            t.wait_for("password asked next")
            t.text("2")
            t.wait_for("and Enter: 2")
            t.keys("Enter")
            t.wait_for("sudo password:")
            t.text("Sesame!")
            t.wait_for("*******")
            self.assertNotIn("Sesame", "\n".join(t.lines()))
            t.keys("Enter")
            t.wait_for("Success: the command succeeded on every node.")
            t.wait_for("by sudo")
            t.keys("r")
            t.wait_for("Rerun #1")
            t.keys("a")
            t.wait_for("password asked next")
            t.keys("Escape")
            t.wait_for("by sudo")
            t.keys("5")
            t.wait_for("[5] History")
            t.keys("q")
            self.assertEqual(t.wait_exit(), 0)
        for folder, _, names in os.walk(self.work):
            for name in names:
                with open(os.path.join(folder, name), "rb") as f:
                    found = b"Sesame" in f.read()
                self.assertEqual(found, name == "sudo", name)


if __name__ == "__main__":
    if not lib.available():
        print("tmux is not installed", file=sys.stderr)
        sys.exit(77)
    muster = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
