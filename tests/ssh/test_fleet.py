#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program on 200 nodes of a real sshd: how long each took, what a cancel leaves behind, and what a
kill -9 leaves on record."""

import collections
import json
import os
import signal
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools")]
import rig                  # noqa: E402
from waiting import until   # noqa: E402

MUSTER = os.environ["MUSTER"]
NODES = 200
FANOUT = 20


def sleepers(seconds):
    """The processes `sleep SECONDS` on this machine."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().split(b"\0")[:2] == [b"sleep", seconds.encode()]:
                    found.append(int(pid))
        except OSError:
            pass
    return found


class Fleet(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rig = rig.Rig()
        r = cls.rig.__enter__()
        cls.home = os.path.join(r.dir, "client")
        os.makedirs(cls.home)
        with open(os.path.join(cls.home, "inventory.yaml"), "w", encoding="ascii") as f:
            f.write(f"groups:\n  all:\n    nodes: \"n[001-{NODES}]\"\n    host: 127.0.0.1\n"
                    f"    port: {r.env['RIG_PORT']}\n    user: {r.env['RIG_USER']}\n"
                    f"    identity: {r.env['RIG_KEY']}\n"
                    f"    known_hosts: {r.env['RIG_KNOWN_HOSTS']}\n")
        cls.env = dict(os.environ, HOME=cls.home, XDG_STATE_HOME=cls.home,
                       XDG_CONFIG_HOME=cls.home,
                       MUSTER_INVENTORY=os.path.join(cls.home, "inventory.yaml"))

    @classmethod
    def tearDownClass(cls):
        cls.rig.__exit__(None, None, None)

    def argv(self, *args):
        return [MUSTER, *args]

    def run_all(self, command, *flags, **more):
        return subprocess.Popen(self.argv("run", "-F", "none", "-a", "-f", str(FANOUT), *flags, "--",
                                          command),
                                env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, **more)

    def status(self):
        out = subprocess.run(self.argv("status", "--json"), env=self.env, check=True,
                             stdin=subprocess.DEVNULL, capture_output=True).stdout
        return json.loads(out)

    def test_durations_hold_no_waiting(self):
        p = self.run_all("sleep 2; hostname", "--json")
        seen = set()
        until(lambda: p.poll() is not None or seen.add(self.progress()) or len(seen) > 4,
              "progress", 120)
        out = p.stdout.read()
        p.stdout.close()
        self.assertEqual(p.wait(), 0)
        durations = [x["duration"] for x in json.loads(out)["executions"]]
        self.assertEqual(len(durations), NODES)
        self.assertGreaterEqual(min(durations), 1900)
        # A sanitizer makes everything several times slower, but no duration holds a round's wait.
        self.assertLessEqual(max(durations), 4500 if not os.environ.get("SANITIZED") else 9000)
        self.assertGreater(len(seen), 3, "progress moves")

    def progress(self):
        try:
            return self.status()["progress"]
        except subprocess.CalledProcessError:
            return None  # before the first batch

    def test_a_cancel_leaves_nothing_behind(self):
        seconds = "3%d" % os.getpid()
        p = self.run_all(f"sleep {seconds}; hostname")
        until(lambda: len(sleepers(seconds)) == FANOUT, "the commands")
        answer = subprocess.run(self.argv("cancel", "--json"), env=self.env, check=True,
                                stdin=subprocess.DEVNULL, capture_output=True).stdout
        self.assertEqual(json.loads(answer)["cancelledCount"], NODES)
        p.stdout.close()
        self.assertEqual(p.wait(60), 3)
        until(lambda: not sleepers(seconds), "the end of the commands", 10)
        d = self.status()
        self.assertEqual(d["batch"]["status"], "cancelled")
        states = collections.Counter((x["status"], x["reason"], x["remoteProcess"])
                                     for x in d["executions"])
        self.assertEqual(states, {("failed", "cancelled", None): NODES - FANOUT,
                                  ("failed", "cancelled", "stopped"): FANOUT})

    def test_waves_stop_in_time(self):
        """Every 20th fails: at most two may, so the third stops it, within the third wave."""
        touched = os.path.join(self.home, "touched")
        p = subprocess.Popen(
            self.argv("run", "-F", "none", "-a", "-f", str(FANOUT), "--waves", "5,25%", "--max-fail", "2",
                      "--json", "--", f'echo "$MUSTER_NODE" >>{touched}; '
                      'case $MUSTER_NODE in *[02468]0) exit 7;; esac'),
            env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = p.communicate(timeout=120)
        self.assertEqual(p.returncode, 3, err)
        self.assertRegex(err, rb"stops: \d failures exceed --max-fail 2")
        d = json.loads(out)
        self.assertEqual(d["batch"]["status"], "partial")
        reasons = collections.Counter(x["reason"] for x in d["executions"])
        self.assertEqual(set(reasons), {None, "exit", "skipped"})
        # The third failure is n060: what was in flight then is all that may have come after it.
        ran = {x["nodeName"] for x in d["executions"] if x["reason"] != "skipped"}
        with open(touched, encoding="ascii") as f:
            seen = f.read().split()
        self.assertEqual(sorted(seen), sorted(ran))
        self.assertGreaterEqual(len(ran), 60)
        self.assertLessEqual(len(ran), 60 + 2 * FANOUT)
        self.assertGreaterEqual(reasons["exit"], 3)
        # The waves came one after the other.
        place = {node: i for i, node in enumerate(seen)}
        order = [place[f"n{i:03d}"] for i in range(1, 51)]
        self.assertLess(max(order[:5]), min(order[5:]))
        self.assertLess(max(order), min(i for n, i in place.items() if n > "n050"))
        for x in d["executions"]:
            if x["reason"] == "skipped":
                self.assertRegex(x["error"], r"^skipped: \d failures exceed --max-fail 2$")
        # The rest is taken up again, under the same budget.
        again = subprocess.run(self.argv("rerun", "--skipped", "-F", "none", "--max-fail", "100%", "--json",
                                         "-f", str(FANOUT)),
                               env=self.env, stdin=subprocess.DEVNULL, capture_output=True)
        self.assertEqual(again.returncode, 5, again.stderr)
        with open(touched, encoding="ascii") as f:
            seen = f.read().split()
        self.assertEqual(sorted(seen), [f"n{i:03d}" for i in range(1, NODES + 1)])

    def test_kill_9_loses_nothing_that_was_reported(self):
        p = self.run_all("sleep 0.2; hostname", "--format", "jsonl")
        lines = [p.stdout.readline() for _ in range(2 * FANOUT)]
        p.send_signal(signal.SIGKILL)
        lines += p.stdout.readlines()
        p.stdout.close()
        p.wait()
        told = [json.loads(line) for line in lines if line.endswith(b"}\n")]
        self.assertGreaterEqual(len(told), 2 * FANOUT)
        d = self.status()
        kept = {x["id"]: x for x in d["executions"]}
        for x in told:
            self.assertEqual(kept[x["id"]], x)
        states = collections.Counter(x["status"] for x in d["executions"])
        self.assertEqual(set(states), {"success", "failed"})
        self.assertEqual({x["reason"] for x in d["executions"] if x["status"] == "failed"},
                         {"lost", "skipped"})


if __name__ == "__main__":
    unittest.main()
