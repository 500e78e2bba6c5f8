#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo fleet: the planned outcome, and that nothing of it is left, however it ends.

    test_demo.py DEMO-FLEET MUSTER [unittest arguments]
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

DEADLINE = 60
fleet, muster = "", ""


def processes(mark):
    """Live processes with MARK on their command line or in their environment, but ourselves."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", "rb") as f:
                if f.read().rsplit(b")", 1)[1].split()[0] == b"Z":
                    continue
            text = b""
            for name in ("cmdline", "environ"):
                with open(f"/proc/{pid}/{name}", "rb") as f:
                    text += f.read()
        except OSError:
            continue
        if mark.encode() in text and int(pid) != os.getpid():
            found.append((int(pid), text.split(b"\0")[0].decode(errors="replace")))
    return found


def wait_until(condition, what):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {DEADLINE} s for {what}")
        time.sleep(0.02)


def heed_hangups():
    """A shell cannot trap what was ignored when it began, as under nohup(1)."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Fleet(unittest.TestCase):
    """The script alone."""

    def setUp(self):
        self.parent = tempfile.mkdtemp(prefix="muster-fleet-test-")
        self.addCleanup(shutil.rmtree, self.parent, True)
        self.dir = os.path.join(self.parent, "fleet")

    def start(self):
        process = subprocess.Popen([fleet, "run", self.dir], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, start_new_session=True,
                                   preexec_fn=heed_hangups)
        self.addCleanup(lambda: (process.stdin.close(), process.wait(), process.stdout.close()))
        self.assertEqual(b"ready\n", process.stdout.readline())
        return process

    def ssh(self, node, address, command):
        port = next(line.split()[1] for line in self.read("inventory.yaml").splitlines()
                    if line.strip().startswith("port:"))
        options = ["-F", f"{self.dir}/ssh_config", "-i", f"{self.dir}/id_demo", "-n", "-p", port,
                   "-o", f"UserKnownHostsFile={self.dir}/known_hosts", "-o", "BatchMode=yes",
                   "-o", "KexAlgorithms=curve25519-sha256"]
        return subprocess.run(["ssh", *options, address, f"MUSTER_NODE={node}; export MUSTER_NODE;"
                               + command], capture_output=True, text=True, check=False)

    def read(self, name):
        with open(os.path.join(self.dir, name), encoding="utf-8") as f:
            return f.read()

    def leave_a_process(self):
        """One that outlives its session."""
        self.ssh("db01", "127.77.2.1", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & exit 0")
        wait_until(lambda: any("sleep" in name for _, name in processes(self.dir)), "the sleep")

    def assert_gone(self):
        wait_until(lambda: not os.path.exists(self.dir), "the folder to go")
        wait_until(lambda: not processes(self.dir), f"an end of {processes(self.dir)}")

    def test_nodes_are_as_planned(self):
        process = self.start()
        self.assertEqual(0o700, os.stat(self.dir).st_mode & 0o777)
        plan = dict(line.split(" ", 1) for line in self.read("expected").splitlines())
        self.assertGreaterEqual(len(plan), 24)
        self.assertLessEqual({"success 0", "exit 3", "signal", "hostkey", "auth", "unreachable"},
                             set(plan.values()))
        expect = subprocess.run([fleet, "expect", self.dir], capture_output=True, text=True,
                                check=True)
        self.assertEqual(self.read("expected"), expect.stdout)
        command = self.read("command").rstrip("\n")
        good = self.ssh("web04", "127.77.1.4", command)
        self.assertEqual((0, "nginx 1.22.1: active\ndisk: ok\n"), (good.returncode, good.stdout))
        self.assertEqual("exit 3", plan["web05"])
        self.assertEqual(3, self.ssh("web05", "127.77.1.5", command).returncode)
        self.assertEqual("hostkey", plan["db04"])
        self.assertIn("verification failed", self.ssh("db04", "127.77.2.4", command).stderr)
        self.assertEqual("unreachable", plan["edge03"])
        self.assertIn("refused", self.ssh("edge03", "127.77.4.3", command).stderr)
        process.stdin.close()
        self.assertEqual(0, process.wait(DEADLINE))
        self.assert_gone()

    def test_end_by_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                process = self.start()
                self.leave_a_process()
                process.send_signal(number)
                self.assertEqual(0, process.wait(DEADLINE))
                self.assert_gone()

    def test_end_by_kill(self):
        process = self.start()
        self.leave_a_process()
        process.kill()
        process.wait(DEADLINE)
        self.assert_gone()

    def test_end_of_the_guard(self):
        process = self.start()
        self.leave_a_process()
        guards = [pid for pid, _ in processes(self.dir) if self.is_guard(pid)]
        self.assertEqual(1, len(guards))
        os.kill(guards[0], signal.SIGKILL)
        process.wait(DEADLINE)
        self.assert_gone()

    @staticmethod
    def is_guard(pid):
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().split(b"\0")[2:3] == [b"guard"]

    def test_other_peoples_folders_stay(self):
        os.mkdir(self.dir)
        precious = os.path.join(self.dir, "precious")
        with open(precious, "w", encoding="ascii"):
            pass
        result = subprocess.run([fleet, "run", self.dir], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, check=False)
        self.assertEqual(2, result.returncode)
        self.assertIn("empty folder", result.stderr)
        self.assertTrue(os.path.exists(precious))


class Demo(unittest.TestCase):
    """`muster demo --headless`."""

    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix="muster-demo-test-")
        self.addCleanup(shutil.rmtree, self.tmp, True)
        self.env = {**os.environ, "TMPDIR": self.tmp, "HOME": self.tmp,
                    "MUSTER_DEMO_FLEET": fleet, "LC_ALL": "C.UTF-8"}

    def assert_gone(self):
        wait_until(lambda: not os.listdir(self.tmp), f"{self.tmp} to be empty")
        wait_until(lambda: not processes(self.tmp), f"an end of {processes(self.tmp)}")

    def test_headless(self):
        result = subprocess.run([muster, "demo", "--headless"], env=self.env, capture_output=True,
                                text=True, stdin=subprocess.DEVNULL, timeout=180, check=False)
        self.assertEqual(0, result.returncode, result.stderr)
        self.assertIn("web[04,06-10,12]", result.stdout)
        self.assertIn("26 of 26", result.stderr)
        self.assert_gone()

    def test_killed(self):
        process = subprocess.Popen([muster, "demo", "--headless"], env=self.env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        wait_until(lambda: any("sshd" in name for _, name in processes(self.tmp)), "an sshd")
        process.kill()
        process.wait()
        self.assert_gone()

    def test_unplanned_outcome(self):
        """The check must be able to fail: one node of the plan is wrong."""
        wrapper = os.path.join(self.tmp, "wrapper")
        with open(wrapper, "w", encoding="ascii") as f:
            f.write(f'#!/bin/bash\n"{fleet}" run "$2" | while read -r line; do\n'
                    '    sed -i "s/^web01 .*/web01 exit 7/" "$2/expected"; echo "$line"\ndone\n')
        os.chmod(wrapper, 0o755)
        result = subprocess.run([muster, "demo", "--headless"], capture_output=True, text=True,
                                env={**self.env, "MUSTER_DEMO_FLEET": wrapper},
                                stdin=subprocess.DEVNULL, timeout=180, check=False)
        self.assertNotEqual(0, result.returncode)
        self.assertIn("web01", result.stderr)
        os.unlink(wrapper)
        self.assert_gone()


if __name__ == "__main__":
    if not shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"):
        print("sshd is not installed, skipped")
        sys.exit(77)
    fleet, muster = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
