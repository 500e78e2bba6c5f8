# SPDX-License-Identifier: Apache-2.0
"""What the tests of the ssh transport share: the client's results, and a rig for each class."""

import base64
import json
import os
import subprocess
import sys
import tempfile
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

    def scratch(self, text, name="file"):
        path = os.path.join(tempfile.mkdtemp(dir=self.rig.dir), name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o600)
        return path


def main():
    """TEST.py CLIENT [TEST...]"""
    global CLIENT
    if not rig.available():
        print("sshd is not installed, skipped (./dev setup installs it)", file=sys.stderr)
        sys.exit(77)
    CLIENT = os.path.abspath(sys.argv.pop(1))
    unittest.main(module="__main__", verbosity=2)
