#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""push and pull over real sshds: by libssh2 and by the ssh program, a server that runs no commands, a
copy that is cancelled, many nodes at once."""

import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rig      # noqa: E402

MUSTER = os.environ["MUSTER"]
LARGE = 50 << 20


class Copy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rig = rig.Rig()
        r = cls.rig.__enter__()
        cls.home = os.path.join(r.dir, "client")
        os.makedirs(cls.home)
        with open(os.path.join(cls.home, "inventory.yaml"), "w", encoding="ascii") as f:
            f.write("groups:\n  all:\n    nodes: \"n[001-100]\"\n    host: 127.0.0.1\n"
                    f"    port: {r.env['RIG_PORT']}\n    user: {r.env['RIG_USER']}\n"
                    f"    identity: {r.env['RIG_KEY']}\n"
                    f"    known_hosts: {r.env['RIG_KNOWN_HOSTS']}\n")
        cls.env = dict(os.environ, HOME=cls.home, XDG_STATE_HOME=cls.home, XDG_CONFIG_HOME=cls.home,
                       MUSTER_INVENTORY=os.path.join(cls.home, "inventory.yaml"))
        cls.env.pop("SSH_AUTH_SOCK", None)
        cls.large = os.path.join(cls.home, "large")
        with open(cls.large, "wb") as f:
            for _ in range(LARGE >> 20):
                f.write(os.urandom(1 << 20))

    @classmethod
    def tearDownClass(cls):
        cls.rig.__exit__(None, None, None)

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="muster-copy-")
        os.mkdir(self.path("dst"))

    def tearDown(self):
        shutil.rmtree(self.dir)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def muster(self, *args, rc=0):
        p = subprocess.run([MUSTER, *args], env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL,
                           capture_output=True, timeout=120)
        text = p.stdout.decode() + p.stderr.decode()
        self.assertEqual(p.returncode, rc, text)
        return text

    def status(self):
        return json.loads(self.muster("status", "--json"))

    def tree(self):
        for name in ("tree/a b", "tree/it's", "tree/sub/é!\\x", "tree/empty"):
            os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
            with open(self.path(name), "w", encoding="utf-8") as f:
                f.write("" if name.endswith("empty") else name)
        os.symlink("a b", self.path("tree/link"))
        return self.path("tree")

    def alike(self, a, b):
        p = subprocess.run(["diff", "-r", "--no-dereference", a, b], capture_output=True, check=False)
        self.assertEqual((p.returncode, p.stdout), (0, b""))

    def there_and_back(self, *flags):
        tree = self.tree()
        self.muster("push", "-F", "none", "-w", "n001", *flags, tree, self.path("dst"))
        self.alike(tree, self.path("dst/tree"))
        self.muster("pull", "-F", "none", "-w", "n001", *flags, self.path("dst/tree"), "out")
        self.alike(tree, self.path("out/n001/tree"))
        self.muster("push", "-F", "none", "-w", "n001", *flags, self.large, self.path("dst/copy"))
        self.assertTrue(filecmp.cmp(self.large, self.path("dst/copy"), shallow=False))
        x = self.status()["executions"][0]
        self.assertEqual(x["bytesDone"], x["bytesTotal"])
        self.assertGreater(x["bytesTotal"], LARGE)
        self.muster("pull", "-F", "none", "-w", "n001", *flags, self.large, "out")
        self.assertTrue(filecmp.cmp(self.large, self.path("out/n001/large"), shallow=False))
        return self.status()["executions"][0]["transport"]

    def test_ssh(self):
        self.assertEqual(self.there_and_back(), "ssh")

    @unittest.skipUnless(shutil.which("ssh"), "there is no ssh program")
    def test_openssh(self):
        self.assertEqual(self.there_and_back("--transport", "openssh"), "openssh")

    def test_refused_there(self):
        text = self.muster("push", "-F", "none", "-w", "n001", self.large, self.path("no/x"), rc=5)
        self.assertIn("exit code 71", text)
        self.assertIn("no such folder", text)
        # It ends before it has read anything of what is sent.
        text = self.muster("push", "-F", "none", "-w", "n001", self.large, "/proc/", rc=5)
        self.assertIn("exit code 72", text)

    def test_many(self):
        tree = self.tree()
        self.muster("pull", "-F", "none", "-a", "-f", "30", tree, "out")
        self.assertEqual(len(os.listdir(self.path("out"))), 100)
        self.alike(tree, self.path("out/n100/tree"))
        one = self.path("tree/a b")
        text = self.muster("push", "-F", "none", "-a", "-f", "30", "-b", one, self.path("dst"))
        self.assertIn("n[001-100]", text)
        self.assertTrue(filecmp.cmp(one, self.path("dst/a b"), shallow=False))

    def cancelled(self, *argv):
        p = subprocess.Popen([MUSTER, *argv], env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                d = self.status()
            except AssertionError:
                continue            # before there is a database
            if d["batch"]["action"].startswith(argv[0]) and d["executions"][0].get("bytesDone"):
                break
        p.send_signal(signal.SIGINT)
        p.wait(60)
        return self.status()["executions"][0]

    def test_cancel_leaves_nothing(self):
        # Large enough to last; a sparse file costs no disk.
        with open(self.path("sparse"), "wb") as f:
            f.truncate(400 << 20)
        x = self.cancelled("push", "-F", "none", "-w", "n001", self.path("sparse"), self.path("dst"))
        self.assertEqual((x["reason"], x["remoteProcess"]), ("cancelled", "stopped"))
        os.mkdir(self.path("out"))
        x = self.cancelled("pull", "-F", "none", "-w", "n001", "--max-output", "10G",
                           self.path("sparse"), "out")
        self.assertEqual(x["reason"], "cancelled")
        self.assertEqual(os.listdir(self.path("out")), [])
        self.assertEqual(os.listdir(self.path("dst")), [])

    def test_server_that_runs_nothing(self):
        """Only sftp: it is said, and nothing is taken for a file."""
        with rig.Rig(config=["ForceCommand internal-sftp"]) as r:
            with open(self.path("one.yaml"), "w", encoding="ascii") as f:
                f.write(f"nodes:\n  only:\n    host: 127.0.0.1\n    port: {r.env['RIG_PORT']}\n"
                        f"    user: {r.env['RIG_USER']}\n    identity: {r.env['RIG_KEY']}\n"
                        f"    known_hosts: {r.env['RIG_KNOWN_HOSTS']}\n")
            on = ("-F", "none", "-i", self.path("one.yaml"), "-w", "only", "-u", "20")
            text = self.muster("pull", *on, self.large, "out", rc=5)
            self.assertIn("sftp", text)
            text = self.muster("push", *on, self.path("one.yaml"), self.path("dst"), rc=5)
            self.assertIn("sftp", text)
            self.assertEqual(os.listdir(self.path("dst")), [])


if __name__ == "__main__":
    unittest.main()
