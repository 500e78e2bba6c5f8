#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Questions on the terminal while a batch runs against a real sshd: how often, what an interrupt makes
of them, and what is printed meanwhile."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "cli")]
import rig                              # noqa: E402
from lib import Case, Terminal, until   # noqa: E402

# Both kinds of a locked node, and one that needs no passphrase.
INVENTORY = """
defaults:
  host: 127.0.0.1
  port: {RIG_PORT}
  user: {RIG_USER}
  known_hosts: {RIG_KNOWN_HOSTS}
nodes:
  "native[1-3]": {{identity: {RIG_KEY_LOCKED}}}
  "program[1-3]": {{identity: {RIG_KEY_LOCKED}, transport: openssh}}
  "open[1-3]": {{identity: {RIG_KEY}}}
"""


class Questions(Case):
    @classmethod
    def setUpClass(cls):
        cls.rig = rig.Rig().start()
        cls.e = cls.rig.env
        cls.question = b"Passphrase for " + cls.e["RIG_KEY_LOCKED"].encode() + b": "
        cls.again = b"Wrong passphrase, again: for " + cls.e["RIG_KEY_LOCKED"].encode() + b": "
        cls.answer = cls.e["RIG_KEY_LOCKED_PASSPHRASE"].encode() + b"\n"

    @classmethod
    def tearDownClass(cls):
        cls.rig.stop()

    def setUp(self):
        super().setUp()
        self.write("inventory.yaml", INVENTORY.format(**self.e))

    def run_on(self, nodes, command="echo fine", *flags):
        return Terminal(self, "run", "-o", "IdentitiesOnly=yes", *flags, "-w", nodes, "--", command)

    def reasons(self):
        return {x["nodeName"]: x.get("reason") for x in self.status()["executions"]}

    def test_asked_once_by_both_transports(self):
        t = self.run_on("native[1-3],program[1-3]")
        t.expect(self.question)
        t.type(self.answer)
        self.assertEqual(t.end(), 0, t.seen)
        self.assertEqual(t.seen.count(b"assphrase"), 1, t.seen)
        for name in (b"native3: fine", b"program3: fine"):
            self.assertIn(name, t.seen)

    def test_wrong_twice(self):
        for nodes in ("native1", "program1", "native[1-2],program[1-2]"):
            with self.subTest(nodes):
                t = self.run_on(nodes)
                for n in range(2):
                    t.expect(self.again if n else self.question)
                    t.seen = b""
                    t.type(b"wrong\n")
                t.expect(self.again)
                t.type(self.answer)
                self.assertEqual(t.end(), 0, t.seen)

    def test_interrupted(self):
        for nodes in ("native[1-3]", "program[1-3]", "native[1-3],program[1-3]"):
            with self.subTest(nodes):
                t = self.run_on(nodes)
                t.expect(self.question)
                t.type(b"\x03")
                self.assertEqual(t.end(), 130, t.seen)
                self.assertEqual(set(self.reasons().values()), {"cancelled"}, self.reasons())

    def test_declined(self):
        t = self.run_on("native[1-2],program[1-2]")
        t.expect(self.question)
        t.type(b"\n")
        self.assertEqual(t.end(), 4, t.seen)
        self.assertEqual(set(self.reasons().values()), {"auth"}, self.reasons())
        self.assertEqual(t.seen.count(b"passphrase was not given"), 4, t.seen)

    def test_output_waits_for_the_answer(self):
        t = self.run_on("open[1-3],native1")
        t.expect(self.question)
        until(lambda: t.read(0) and
              sum(x["status"] == "success" for x in self.status()["executions"]) == 3, "the others")
        for _ in range(10):
            t.read()
        self.assertEqual(t.seen[t.seen.index(self.question):], self.question)
        t.type(self.answer)
        self.assertEqual(t.end(), 0, t.seen)
        after = t.seen[t.seen.index(self.question) + len(self.question):]
        for name in (b"open1: fine", b"open2: fine", b"open3: fine", b"native1: fine"):
            self.assertEqual(after.count(name + b"\r\n"), 1, after)

    def test_output_that_waited_comes_after_an_interrupt(self):
        t = self.run_on("open1,native1")
        t.expect(self.question)
        until(lambda: t.read(0) and
              any(x["status"] == "success" for x in self.status()["executions"]), "the other")
        t.type(b"\x03")
        self.assertEqual(t.end(), 130, t.seen)
        self.assertIn(b"open1: fine", t.seen)
        self.assertEqual(self.reasons()["native1"], "cancelled")


if __name__ == "__main__":
    if not rig.available():
        print("sshd is not installed, skipped (./dev setup installs it)", file=sys.stderr)
        sys.exit(77)
    unittest.main(verbosity=2)
