# SPDX-License-Identifier: Apache-2.0
"""A fleet of many names on one real sshd (tests/ssh/rig.py), and muster run on it, for the tests of
tasks and plans."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "ssh"), os.path.join(TESTS, "tools")]
import rig                              # noqa: E402
from waiting import DEADLINE, until     # noqa: E402, F401

MUSTER = os.environ["MUSTER"]


class Fleet(unittest.TestCase):
    """nodes: n001 to n100, all one sshd. Tasks lie in self.modules, and write below self.seen."""

    @classmethod
    def setUpClass(cls):
        cls.rig = rig.Rig(keys=["ed25519"])
        cls.rig.start()
        cls.addClassCleanup(cls.rig.stop)

    def setUp(self):
        r = self.rig
        self.home = tempfile.mkdtemp(prefix="muster-tasks-")
        self.addCleanup(shutil.rmtree, self.home, True)
        self.modules = self.path("modules")
        self.seen = self.path("seen")
        self.tmp = self.path("tmp")
        for folder in (self.modules, self.seen, self.tmp):
            os.mkdir(folder)
        self.write("inventory.yaml",
                   "groups:\n  all:\n    nodes: \"n[001-100]\"\n    host: 127.0.0.1\n"
                   f"    port: {r.env['RIG_PORT']}\n    user: {r.env['RIG_USER']}\n"
                   f"    identity: {r.env['RIG_KEY']}\n    known_hosts: {r.env['RIG_KNOWN_HOSTS']}\n")
        self.env = dict(os.environ, HOME=self.home, XDG_STATE_HOME=self.home, XDG_CONFIG_HOME=self.home,
                        XDG_CACHE_HOME=self.home, MUSTER_INVENTORY=self.path("inventory.yaml"))
        for name in ("SSH_AUTH_SOCK", "MUSTER_DB", "MUSTER_CONFIG"):
            self.env.pop(name, None)

    def path(self, *parts):
        return os.path.join(self.home, *parts)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text if isinstance(text, str) else json.dumps(text))
        os.chmod(path, mode)
        return path

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return f.read()

    def marks(self, name):
        """The nodes that wrote their names into this file, in their order."""
        try:
            return self.read(os.path.join("seen", name)).split()
        except FileNotFoundError:
            return []

    def argv(self, verb, *args):
        more = ["-F", "none"] if verb in ("run", "rerun") else []
        return [MUSTER, verb, *more, *args]

    def start(self, *args, **more):
        more.setdefault("stdout", subprocess.PIPE)
        p = subprocess.Popen(self.argv(*args), env=self.env, cwd=self.home, stdin=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, **more)
        self.addCleanup(self.end, p)
        return p

    @staticmethod
    def end(p):
        if p.poll() is None:
            p.kill()
        p.communicate()

    def muster(self, *args, rc=0, stdin=""):
        """Standard output; what it says on standard error is in self.err."""
        p = subprocess.run(self.argv(*args), env=self.env, cwd=self.home, input=stdin.encode(),
                           capture_output=True, timeout=2 * DEADLINE, check=False)
        self.err = p.stderr.decode()
        self.assertEqual(p.returncode, rc, p.stdout.decode()[-3000:] + self.err)
        return p.stdout.decode()

    def run_json(self, *args, rc=0):
        return json.loads(self.muster("run", "--task-path", self.modules, "--json", *args, rc=rc))

    def connections(self):
        with open(self.rig.env["RIG_LOG"], encoding="utf-8", errors="replace") as f:
            return len(re.findall(r"^Connection from ", f.read(), re.M))

    def left(self):
        return [x for x in os.listdir(self.tmp) if x.startswith(".muster")]
