#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ssh transport where looking up what hosts are takes for ever: the others do not notice, and the
process does not wait for it."""

import os
import time

import harness

FOR_EVER = "300.%d" % os.getpid()  # seconds; found again among the processes by its digits
HANGING = 80  # n10 to n89
ALL = 94


def sleepers():
    """Processes of ours that a Match line has started."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if FOR_EVER.encode() in f.read():
                    found.append(pid)
        except OSError:
            pass
    return found


class Hanging(harness.SshTest):
    def config(self):
        return self.scratch('Match host n1?,n2?,n3?,n4?,n5?,n6?,n7?,n8? exec "sleep %s"\n'
                            "    User nobody\n"
                            "Host *\n"
                            "    HostName 127.0.0.1\n" % FOR_EVER)

    def test_the_others_do_not_notice(self):
        began = time.monotonic()
        results = self.client("-F", self.config(), "-H", "%n", "-n", str(ALL), "-f", str(ALL),
                              "-t", "8000")
        self.assertLess(time.monotonic() - began, 60)
        hung = [r for r in results if not r.ok]
        self.assertEqual((len(results), len(hung)), (ALL, HANGING))
        for r in hung:
            self.check_failed(r, "timeout", "after 8s", "looked up")
        self.wait_for_none()

    def test_cancelled_while_it_hangs(self):
        results = self.client("-F", self.config(), "-H", "n10", "-n", "3", "-t", "200000", "-c",
                              "500")
        self.assertEqual([r.reason for r in results], ["cancelled"] * 3)
        self.wait_for_none()

    def wait_for_none(self):
        deadline = time.monotonic() + 20
        while sleepers() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(sleepers(), [])


if __name__ == "__main__":
    harness.main()
