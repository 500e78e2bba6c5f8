#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""push and pull in every way that a host is reached and another user is become: a tree goes there and
comes back, and belongs to who it should."""

import filecmp
import os
import pwd
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import runner           # noqa: E402
import rows             # noqa: E402
import servers          # noqa: E402
import world as worlds  # noqa: E402

W = None        # what main() gets from the world; unittest makes the cases itself
SECRET = worlds.password("su2")

# name: (its row, whose the files are then)
WAYS = {
    "a login": (rows.Row("copy", ""), "plain"),
    "dash": (rows.Row("copy", "", user="dashy"), "dashy"),
    "dropbear": (rows.Row("copy", "", server="dropbear"), "plain"),
    "one session": (rows.Row("copy", "", server="onesession"), "plain"),
    "password": (rows.Row("copy", "", server="password", user="su2", key="", login=SECRET), "su2"),
    "openssh": (rows.Row("copy", "", flags=("--transport", "openssh")), "plain"),
    "sftp only": (rows.Row("copy", "", server="sftponly"), "plain"),
    "a bastion": (rows.Row("copy", "", server="inner", node={"jump": "b1"}, extra=rows.BASTION), "plain"),
    "sudo, no password": (rows.Row("copy", "", user="su1", flags=("--sudo",)), "root"),
    "sudo, password": (rows.Row("copy", "", user="su2", become=SECRET, flags=("--sudo",)), "root"),
    "sudo to another": (rows.Row("copy", "", user="su1", flags=("--sudo=deploy",)), "deploy"),
    "openssh, sudo": (rows.Row("copy", "", user="su2", become=SECRET,
                               flags=("--sudo", "--transport", "openssh")), "root"),
    "dropbear, sudo": (rows.Row("copy", "", server="dropbear", user="su2", become=SECRET,
                                flags=("--sudo",)), "root"),
    "su, password": (rows.Row("copy", "", become=worlds.password("root"), flags=("--become", "su")),
                     "root"),
    "doas, no password": (rows.Row("copy", "", user="su1", flags=("--become", "doas")), "root"),
}


class Copy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.servers = servers.Servers(W, {r.server for r, _ in WAYS.values()} | {"bastion"}).start()
        cls.agents = servers.Agents(W).start()
        cls.tree = W.path("copied")
        os.makedirs(os.path.join(cls.tree, "sub dir"))
        os.chmod(W.path(), 0o755)
        for name, data in (("one", "1"), ("sub dir/it's", "2"), ("large", "x" * (6 << 20))):
            W.write(os.path.join(cls.tree, name), data)

    def go(self, number, row, verb, *names):
        trial = runner.Trial(W, self.servers, self.agents, number, row)
        self.addCleanup(trial.end)
        trial.prepare()
        fds, flags = [], []
        for text, flag in ((row.login, "--password-fd"), (row.become, "--sudo-password-fd")):
            if text:
                fds.append(runner.pipe_with(text))
                flags += [flag, str(fds[-1])]
        argv = [verb, "-F", trial.path("ssh_config"), "-w", trial.names, "--json", "-y", *flags,
                *row.flags, "--", *names]
        trial.program = runner.Program(W, trial.home, trial.env, argv, fds, row.asked)
        trial.program.wait(40)
        trial.read()
        x = trial.doc["executions"][0]
        self.assertEqual(x["status"], "success", trial.all())
        return trial

    def alike(self, other):
        seen = filecmp.dircmp(self.tree, other)
        self.assertEqual((seen.left_only, seen.right_only, seen.diff_files), ([], [], []))
        for name in ("sub dir/it's", "large"):
            self.assertTrue(filecmp.cmp(os.path.join(self.tree, name), os.path.join(other, name),
                                        shallow=False))

    def test_doas_with_a_password(self):
        """It wants a terminal, which files do not pass: refused before anything is sent."""
        row = rows.Row("copy", "", user="su2", become=SECRET, flags=("--become", "doas"))
        with self.assertRaisesRegex(AssertionError, "doas asks for its password on a terminal"):
            self.go(8200, row, "push", self.tree, "/tmp")

    def test_there_and_back(self):
        for number, (name, (row, owner)) in enumerate(WAYS.items()):
            with self.subTest(name):
                there = W.path("there", str(number))
                os.makedirs(there)
                W.own(there, owner)
                os.chmod(there, 0o755)
                self.go(8000 + number, row, "push", self.tree, there)
                self.alike(os.path.join(there, "copied"))
                self.assertEqual(os.listdir(there), ["copied"])
                large = os.path.join(there, "copied/large")
                self.assertEqual(pwd.getpwuid(os.stat(large).st_uid).pw_name, owner)
                trial = self.go(8100 + number, row, "pull", os.path.join(there, "copied"), "out")
                self.alike(os.path.join(trial.home, "out", trial.names, "copied"))


def main(world):
    global W
    W = world
    return 0 if unittest.main(exit=False, verbosity=1).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(worlds.run(main))
