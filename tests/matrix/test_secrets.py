#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No secret is found where it has no business: not in the arguments or the environment of any
process while a run is under way, not in any file that it leaves, not in a core. Each is looked for as
it is, in base64 and in hex."""

import base64
import os
import resource
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import runner           # noqa: E402
import rows             # noqa: E402
import servers          # noqa: E402
import world as worlds  # noqa: E402

W = None        # what main() gets from the world; unittest makes the cases itself

KINDS = {
    "-A and -K": rows.Row("secrets", "", server="password", user="su2", key="",
                          login=worlds.password("su2"), become=worlds.password("su2"),
                          flags=("--sudo",)),
    "asked on the terminal": rows.Row(
        "secrets", "", server="password", user="su2", key="", flags=("--sudo", "-A", "-K"),
        asked=(("assword", worlds.password("su2")),) * 2),
    "encrypted key": rows.Row("secrets", "", key="rsa_locked",
                              asked=(("assphrase", worlds.PASSPHRASE),)),
    "openssh, -A and -K": rows.Row(
        "secrets", "", server="password", user="su2", key="", transport="openssh",
        login=worlds.password("su2"), become=worlds.password("su2"),
        flags=("--transport", "openssh", "--sudo")),
    "openssh, encrypted key": rows.Row(
        "secrets", "", key="ed25519_locked", transport="openssh", flags=("--transport", "openssh"),
        asked=(("assphrase", worlds.PASSPHRASE),)),
    "doas on a terminal": rows.Row("secrets", "", user="su2", become=worlds.password("su2"),
                                   flags=("--become", "doas")),
}


def forms(secret):
    """SECRET as it is, in hex, and in base64 wherever it begins in a longer text."""
    raw = secret.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode()}
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        found.add(text[(shift * 8 + 5) // 6:-4])    # without what its neighbours have a part in
    return found


def look(what, data, secrets):
    return [f"{s!r} in {what}" for s in secrets for f in forms(s) if f in data]


class Secrets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.servers = servers.Servers(W, {"stock", "password"}).start()
        cls.agents = servers.Agents(W).start()

    def begin(self, kind):
        row = KINDS[kind]
        row.command = "sleep {sleep}; echo after"
        trial = runner.Trial(W, self.servers, self.agents, 9000 + list(KINDS).index(kind)
                             + 100 * (self._testMethodName != "test_a_run"), row)
        self.addCleanup(trial.end)
        trial.prepare()
        trial.start()
        trial.wait_for_sleep()
        secrets = {row.login, row.become, *(a for _, a in row.asked)} - {""}
        return trial, secrets

    @staticmethod
    def processes_with(secrets):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if int(pid) == os.getpid():
                continue
            for name in ("cmdline", "environ"):
                try:
                    with open(f"/proc/{pid}/{name}", "rb") as f:
                        found += look(f"/proc/{pid}/{name}", f.read(), secrets)
                except OSError:
                    pass
        return found

    @staticmethod
    def files_with(folder, secrets):
        found, count = [], 0
        for place, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(place, name)
                if os.path.isfile(path):
                    count += 1
                    with open(path, "rb") as f:
                        found += look(path, f.read(), secrets)
        return found, count

    def muster(self, trial, *args):
        return subprocess.run([W.muster, *args], env=trial.env, cwd=trial.home, check=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
                              **W.as_user("ops")).stdout

    def test_the_search_finds_what_is_there(self):
        secret = worlds.password("su2")
        raw = ("x:" + secret + ":y").encode()
        for data in (raw, base64.b64encode(raw), base64.b64encode(b"1" + raw),
                     base64.b64encode(b"22" + raw), raw.hex().encode()):
            self.assertEqual(len(look("here", data, {secret})), 1, data)
        self.assertEqual(self.processes_with({secret}), [])
        with subprocess.Popen(["sleep", "60"], env={"HIDDEN": raw.hex()}) as p:
            worlds.wait_until(lambda: self.processes_with({secret}), "the planted secret")
            p.kill()
        os.makedirs(W.path("planted", "deep"))
        W.write(W.path("planted", "deep", "file"), raw.hex())
        self.assertEqual(len(self.files_with(W.path("planted"), {secret})[0]), 1)

    def test_a_run(self):
        for kind in KINDS:
            with self.subTest(kind):
                trial, secrets = self.begin(kind)
                self.assertTrue(secrets)
                self.assertEqual(self.processes_with(secrets), [])
                for pid in trial.sleepers():
                    os.kill(pid, signal.SIGTERM)
                trial.program.wait(30)
                answers = [self.muster(trial, "history", "--json"),
                           self.muster(trial, "status", "--json"),
                           self.muster(trial, "export", "--format", "json", "-o", "export.json")]
                for i, answer in enumerate(answers):
                    self.assertEqual(look(f"answer {i}", answer, secrets), [])
                found, count = self.files_with(trial.home, secrets)
                self.assertEqual(found, [])
                # The database and the log are there, or this would prove nothing.
                self.assertGreater(count, 5)
                self.assertIn(b"sleep 300", self.muster(trial, "status", "--json"))
                self.assertEqual(look("the terminal", trial.program.seen, secrets), [])

    def test_a_core(self):
        """A core may hold much, but no secret. The machine says where cores go; where that is not a
        file in the folder, the program's own rule (no core at all, or locked memory left out) is
        what is looked at."""
        limit = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (limit[1], limit[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_CORE, limit)
        for number in (signal.SIGABRT, signal.SIGSEGV):
            for kind in ("-A and -K", "encrypted key"):
                with self.subTest(kind, signal=number):
                    trial, secrets = self.begin(kind)
                    pid = trial.program.process.pid
                    locked = self.locked(pid)
                    self.assertTrue(locked, "secrets are in locked memory")
                    self.assertTrue(all("dd" in flags for flags in locked), locked)
                    os.kill(pid, number)
                    trial.program.wait(20)
                    found, _ = self.files_with(trial.home, secrets)
                    self.assertEqual(found, [])
                    trial.end()
                    # The next of this kind begins in a folder of its own.
                    os.rename(trial.home, f"{trial.home}-{number}")

    @staticmethod
    def locked(pid):
        """VmFlags of the mappings that are locked into memory."""
        with open(f"/proc/{pid}/smaps", encoding="ascii") as f:
            flags = [line.split()[1:] for line in f if line.startswith("VmFlags:")]
        return [x for x in flags if "lo" in x]


def main(world):
    global W
    W = world
    return 0 if unittest.main(exit=False, verbosity=1).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(worlds.run(main))
