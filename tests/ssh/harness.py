# SPDX-License-Identifier: Apache-2.0
"""What the tests of the ssh transport share: the client's results, and a rig for each class."""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

import rig

CLIENT = None
TIME_LIMIT = 120
LIBRARY_LEAKS = {"LSAN_OPTIONS": "print_suppressions=0:suppressions=" +
                 os.path.join(os.path.dirname(os.path.abspath(__file__)), "lsan.supp")}


class Result:
    """One line of the client's."""

    def __init__(self, line):
        self.__dict__.update(json.loads(line))
        self.out = base64.b64decode(self.out)
        self.err = base64.b64decode(self.err)

    def __repr__(self):
        return repr({k: v for k, v in self.__dict__.items() if k not in ("out", "err")} |
                    {"out": self.out[:200], "err": self.err[:200]})


class SshTest(unittest.TestCase):
    rig_options = {}

    @classmethod
    def setUpClass(cls):
        cls.rig = rig.Rig(**cls.rig_options).start()
        cls.e = cls.rig.env

    @classmethod
    def tearDownClass(cls):
        cls.rig.stop()

    def client(self, *args, command="true", plain=False, env=None):
        """Runs the client; `plain` leaves out the options that make it reach the rig."""
        usual = [] if plain else ["-F", "none", "-H", "127.0.0.1", "-p", self.e["RIG_PORT"],
                                  "-l", self.e["RIG_USER"]]
        if not plain and "-i" not in args and "-A" not in args:
            usual += ["-i", self.e["RIG_KEY"]]
        if not plain and "-k" not in args:
            usual += ["-k", self.e["RIG_KNOWN_HOSTS"]]
        environ = {k: v for k, v in os.environ.items() if k != "SSH_AUTH_SOCK"}
        environ.update(env or {})
        done = subprocess.run([CLIENT, *usual, *[a for a in args if a != "-A"], "--", command],
                              stdout=subprocess.PIPE, timeout=TIME_LIMIT, env=environ, check=True)
        return [Result(line) for line in done.stdout.splitlines()]

    def one(self, *args, **kw):
        results = self.client(*args, **kw)
        self.assertEqual(len(results), 1)
        return results[0]

    def check_failed(self, result, reason, *words):
        self.assertEqual(result.reason, reason, result)
        for word in words:
            self.assertIn(word, result.error)

    def pids(self, mark):
        """Processes of the rig's with this on their command line."""
        found = []
        for pid in rig.descendants(int(self.e["RIG_SSHD_PID"])):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if mark.encode() in f.read():
                        found.append(pid)
            except OSError:
                pass
        return found

    def check_gone(self, mark):
        rig.wait_until(lambda: not self.pids(mark), f"the end of {mark}", 5)

    def scratch(self, text, name="file"):
        path = os.path.join(tempfile.mkdtemp(dir=self.rig.dir), name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o600)
        return path


class StopTests:
    """What holds for stopping over every transport; to be mixed in."""
    stop_nodes = 50
    cancel_at_ms = (1, 10, 30, 60, 100, 150, 250)
    cancel_nodes = 40

    def test_cancel_kills(self):
        began = time.monotonic()
        r = self.one("-w", command="echo ready; sleep 300.125; echo not reached")
        self.check_failed(r, "cancelled", "Cancelled by user")
        self.assertEqual((r.remote, r.out), ("stopped", b"ready\n"))
        self.assertLess(time.monotonic() - began, 10)
        self.check_gone("sleep\x00300.125")

    def test_cancel_kills_what_ignores_term(self):
        r = self.one("-w", "-g", "300",
                     command="trap '' TERM; echo ready; while :; do sleep 0.225; done")
        self.assertEqual((r.reason, r.remote), ("cancelled", "stopped"))
        self.check_gone("0.225")

    def test_children_of_the_group_go_too(self):
        r = self.one("-w", "-g", "300", command=
                     "(trap '' TERM; exec sleep 300.375) >/dev/null 2>&1 & "
                     "echo ready; sleep 300.25")
        self.assertEqual((r.reason, r.remote), ("cancelled", "stopped"))
        self.check_gone("300.375")
        self.check_gone("300.25")

    def test_command_timeout(self):
        r = self.one("-u", "400", command="echo begun; sleep 300.5")
        self.check_failed(r, "timeout", "command", "0.4")
        self.assertEqual((r.remote, r.out), ("stopped", b"begun\n"))
        self.check_gone("300.5")

    def test_cancel_of_many(self):
        results = self.client("-n", str(self.stop_nodes), "-t", "60000", "-w",
                              command="echo ready; sleep 300.625")
        for r in results:
            self.assertEqual((r.reason, r.remote), ("cancelled", "stopped"), r)
        self.check_gone("300.625")

    def test_cancel_at_any_time(self):
        """In every phase of connecting: all end at once as cancelled, nothing stays behind."""
        n = str(self.cancel_nodes)
        for ms in self.cancel_at_ms:
            results = self.client("-n", n, "-f", n, "-c", str(ms), command="sleep 300.875",
                                  env=LIBRARY_LEAKS)
            for r in results:
                self.assertEqual(r.reason, "cancelled", r)
                self.assertIn(r.remote, (None, "stopped"), r)
        self.check_gone("300.875")


def main():
    """TEST.py CLIENT [TEST...]"""
    global CLIENT
    if not rig.available():
        print("sshd is not installed, skipped (./dev setup installs it)", file=sys.stderr)
        sys.exit(77)
    CLIENT = os.path.abspath(sys.argv.pop(1))
    unittest.main(module="__main__", verbosity=2)
