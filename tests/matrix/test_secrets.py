#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No secret is found where it has no business: not in the arguments or the environment of any
process from the start of a run to its end, not in any file that it leaves, not in a core. Each is
looked for as it is, in base64 and in hex."""

import base64
import os
import resource
import signal
import subprocess
import sys
import threading
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


def processes_with(secrets, askpass=()):
    """Of the private processes of this world. askpass: a list that gets those that ssh asks by."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as f:
                    data = f.read()
            except OSError:
                continue
            found += look(f"/proc/{pid}/{name}", data, secrets)
            if name == "environ" and b"MUSTER_ASKPASS=" in data and \
                    isinstance(askpass, list) and is_muster(pid):
                askpass.append(pid)
    return found


def is_muster(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe") == W.muster
    except OSError:
        return False


class Watch(threading.Thread):
    """Looks at all processes, every 50 ms from its start to stop()."""

    def __init__(self, secrets):
        super().__init__(daemon=True)
        self.secrets, self.found, self.askpass, self.rounds = secrets, [], [], 0
        self.ended = threading.Event()
        self.start()

    def run(self):
        while True:
            self.found += processes_with(self.secrets, self.askpass)
            self.rounds += 1
            if self.ended.wait(0.05):
                return

    def stop(self):
        self.ended.set()
        self.join(10)


class Secrets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.servers = servers.Servers(W, {"stock", "password"}).start()
        cls.agents = servers.Agents(W).start()

    def begin(self, kind, watched=False, env=()):
        """A trial whose command runs, and its secrets; watched: from before its start."""
        row = KINDS[kind]
        secrets = {row.login, row.become, *(a for _, a in row.asked)} - {""}
        row.command = "sleep {sleep}; echo after"
        trial = runner.Trial(W, self.servers, self.agents, 9000 + list(KINDS).index(kind)
                             + 100 * (self._testMethodName != "test_a_run"), row)
        self.addCleanup(trial.end)
        trial.prepare()
        trial.env.update(env)
        self.watch = Watch(secrets) if watched else None
        if self.watch:
            self.addCleanup(self.watch.stop)
        trial.start()
        if self.watch and kind == "openssh, encrypted key":
            self.see_askpass(trial.program)
        trial.wait_for_sleep()
        return trial, secrets

    def see_askpass(self, program):
        """The question is answered once the process that asks it has been looked at."""
        program.asked, held = [], program.asked

        def seen():
            program.turn()
            return self.watch.askpass
        worlds.wait_until(seen, "the program that asks")
        rounds = self.watch.rounds
        worlds.wait_until(lambda: self.watch.rounds > rounds + 1, "another look")
        program.asked = held
        program.answer()

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
        self.assertEqual(processes_with({secret}), [])
        with subprocess.Popen(["sleep", "60"], env={"HIDDEN": raw.hex()}) as p:
            worlds.wait_until(lambda: processes_with({secret}), "the planted secret")
            p.kill()
        os.makedirs(W.path("planted", "deep"))
        W.write(W.path("planted", "deep", "file"), raw.hex())
        self.assertEqual(len(self.files_with(W.path("planted"), {secret})[0]), 1)

    def test_a_run(self):
        for kind in KINDS:
            with self.subTest(kind):
                trial, secrets = self.begin(kind, watched=True)
                self.assertTrue(secrets)
                worlds.wait_until(lambda: self.watch.rounds > 3, "some looks")
                for pid in trial.sleepers():
                    os.kill(pid, signal.SIGTERM)
                trial.program.wait(30)
                self.watch.stop()
                self.assertEqual(self.watch.found, [])
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

    def allow_cores(self):
        limit = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (limit[1], limit[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_CORE, limit)

    def cores_are_written(self):
        """Whether a program with nothing to hide leaves a core in its folder, as muster would."""
        folder = W.path("control")
        os.makedirs(folder, exist_ok=True)
        W.own(folder, "ops")
        with subprocess.Popen(["sleep", "60"], cwd=folder, **W.as_user("ops")) as p:
            worlds.wait_until(lambda: os.readlink(f"/proc/{p.pid}/exe").endswith("sleep"), "the exec")
            p.send_signal(signal.SIGSEGV)
        if self.cores(folder):
            return True
        print("cores cannot be written here: only the mapping flags were checked", file=sys.stderr)
        return False

    @staticmethod
    def cores(folder):
        return [os.path.join(folder, n) for n in os.listdir(folder) if n.startswith("core")
                and os.path.getsize(os.path.join(folder, n))]

    def crash(self, kind, number, env=()):
        """The folder of a run that this signal has ended, and its secrets."""
        trial, secrets = self.begin(kind, env=env)
        pid = trial.program.process.pid
        locked = self.locked(pid)
        self.assertTrue(locked, "secrets are in locked memory")
        self.assertTrue(all("dd" in flags for flags in locked), locked)
        os.kill(pid, number)
        self.assertEqual(trial.program.wait(20), -number)
        trial.end()
        # The next of this kind begins in a folder of its own.
        home = f"{trial.home}-{number}-{len(env)}"
        os.rename(trial.home, home)
        return home, secrets

    def test_a_core(self):
        """None is written; and one that is forced out of it holds much, but no secret."""
        self.allow_cores()
        written = self.cores_are_written()
        for kind in ("-A and -K", "encrypted key"):
            for number in (signal.SIGABRT, signal.SIGSEGV):
                with self.subTest(kind, signal=number):
                    home, secrets = self.crash(kind, number)
                    self.assertEqual(self.cores(home), [])
                    self.assertEqual(self.files_with(home, secrets)[0], [])
            if not written:
                continue
            with self.subTest(kind, forced=True):
                home, secrets = self.crash(kind, signal.SIGSEGV,
                                           {"LD_PRELOAD": os.environ["MATRIX_DUMPABLE"]})
                cores = self.cores(home)
                self.assertEqual(len(cores), 1, "no core, though it may write one")
                with open(cores[0], "rb") as f:
                    self.assertIn(KINDS[kind].user.encode(), f.read())
                self.assertEqual(self.files_with(home, secrets)[0], [])

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
