#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many hosts at once, in the world of world.py: behind one bastion with a stock MaxStartups, with
one encrypted key, and beside an agent that hangs."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import relay            # noqa: E402
import runner           # noqa: E402
import servers          # noqa: E402
import world as worlds  # noqa: E402

SLOW = runner.SLOW
W = None        # what main() gets from the world; unittest makes the cases itself


class Scale(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.servers = servers.Servers(W, {"gate", "inner", "stock"}).start()
        cls.agents = servers.Agents(W).start()

    def setUp(self):
        self.home = W.path("trials", self._testMethodName)
        os.makedirs(self.home)
        W.own(self.home, "ops")
        self.env = {"HOME": self.home, "XDG_CONFIG_HOME": self.home, "XDG_STATE_HOME": self.home,
                    "MUSTER_DB": os.path.join(self.home, "muster.db"), "LANG": "C.UTF-8",
                    "MUSTER_INVENTORY": os.path.join(self.home, "inventory.yaml"),
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "USER": "ops", "TERM": "xterm"}
        self.env.update(W.sanitizer_env())

    def write(self, name, text):
        return W.write(os.path.join(self.home, name), text, 0o600, "ops")

    def host(self, pattern, server, key="ed25519", more=(), port=None):
        lines = [f"Host {pattern}", *more, f"HostName {servers.host_of(server)}",
                 f"Port {port or servers.port_of(server)}", "User plain",
                 "UserKnownHostsFile " + W.path("known", "right"), "GlobalKnownHostsFile none"]
        lines += [f"IdentityFile {W.key(key)}"] if key else []
        return "\n  ".join(lines) + "\n"

    def run_on(self, names, command, *flags, asked=(), seconds=90, env=None):
        self.write("inventory.yaml", json.dumps({"nodes": {n: {} for n in names.split(",")}}))
        p = runner.Program(W, self.home, {**self.env, **(env or {})},
                           ["run", "-F", os.path.join(self.home, "ssh_config"), "-w", names,
                            "--json", "-y", *flags, "--", command], asked=asked)
        self.addCleanup(p.close)
        p.wait(seconds * SLOW)
        text = p.text(p.out)
        self.assertTrue(text.startswith("{"), p.text(p.err))
        return json.loads(text), p

    def all_reached(self, doc, count):
        bad = [(x["nodeName"], x["reason"], x["error"]) for x in doc["executions"]
               if x["status"] != "success"]
        self.assertEqual(bad[:3], [])
        self.assertEqual(len(doc["executions"]), count)

    def test_300_hosts_behind_one_bastion(self):
        gate = self.host("gate", "gate")
        self.write("ssh_config", gate + self.host("h*", "inner", more=["ProxyJump gate"]))
        before = self.servers.connections("gate")
        doc, _ = self.run_on("h[001-300]", "echo here", seconds=120)
        self.all_reached(doc, 300)
        self.assertEqual({x["transport"] for x in doc["executions"]}, {"ssh"})
        used = self.servers.connections("gate") - before
        self.assertGreaterEqual(used, 1)
        self.assertLessEqual(used, min(os.cpu_count(), 4), "connections to the bastion")
        print(f"300 hosts by {used} connections to the bastion in {doc['batch']['duration']} ms")

    def test_50_hosts_behind_a_slow_bastion(self):
        """With 40 ms each way the openings overlap: it does not take 50 times what one takes."""
        slow = relay.Relay(("127.0.0.2", 2299), servers.SERVERS["gate"][:2], 0.04)
        gate = self.host("gate", "gate", port=2299, more=["HostKeyAlias [127.0.0.2]:2227"])
        self.write("ssh_config", gate + self.host("h*", "inner", more=["ProxyJump gate"]))
        one, _ = self.run_on("h001", "echo here")
        self.all_reached(one, 1)
        before = slow.connections
        doc, _ = self.run_on("h[001-050]", "echo here")
        self.all_reached(doc, 50)
        self.assertLessEqual(slow.connections - before, min(os.cpu_count(), 4))
        self.assertLess(doc["batch"]["duration"], 25 * one["batch"]["duration"])
        print(f"behind 80 ms: one host {one['batch']['duration']} ms, "
              f"50 hosts {doc['batch']['duration']} ms")

    def test_one_question_for_200_hosts(self):
        self.write("ssh_config", self.host("h*", "stock", key="ed25519_locked"))
        doc, p = self.run_on("h[001-200]", "echo here", "-vv",
                             asked=[("assphrase", worlds.PASSPHRASE)] * 5)
        self.all_reached(doc, 200)
        self.assertEqual(len(p.asked), 4, "one question")
        log = ""
        for folder, _, names in os.walk(self.home):
            for name in names:
                if name.endswith(".log"):
                    with open(os.path.join(folder, name), encoding="utf-8") as f:
                        log += f.read()
        self.assertEqual(log.count("decrypted"), 1, log[-2000:])

    def test_a_hung_agent_is_nobody_elses(self):
        """20 hosts that want an agent that hangs, and 50 with key files, alone and beside them."""
        hung = self.host("a*", "stock", key="", more=[f"IdentityAgent {self.agents.sock['hung']}"])
        filed = self.host("h*", "stock", more=["IdentityAgent none", "IdentitiesOnly yes"])
        self.write("ssh_config", hung + filed)
        alone, _ = self.run_on("h[01-50]", "echo here", "-f", "80")
        self.all_reached(alone, 50)
        doc, _ = self.run_on("h[01-50],a[01-20]", "echo here", "-f", "80", "-t", "6")
        waits = [x for x in doc["executions"] if x["nodeName"].startswith("a")]
        others = [x for x in doc["executions"] if x["nodeName"].startswith("h")]
        self.all_reached({"executions": others}, 50)
        self.assertEqual({x["reason"] for x in waits} - {"auth", "timeout"}, set())
        self.assertLessEqual(max(x["duration"] for x in waits), 7000 * SLOW)
        slowest = max(x["duration"] for x in others)
        usual = max(x["duration"] for x in alone["executions"])
        print(f"slowest of 50 with key files: {usual} ms alone, {slowest} ms beside a hung agent")
        self.assertLess(slowest, 3 * usual + 500 * SLOW)
        self.assertLess(slowest, min(x["duration"] for x in waits))


def main(world):
    global W
    W = world
    return 0 if unittest.main(exit=False, verbosity=1).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(worlds.run(main))
