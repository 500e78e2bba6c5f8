#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What commands read over the ssh transport: nothing, little, a lot, slowly, or not to its end; with
and without a terminal."""

import hashlib
import os
import subprocess
import threading
import time
import unittest

import harness
import rig

MIB = 1 << 20


def resident(pid):
    """Its largest size so far, in KiB. (What wait4 tells counts the parent's before exec.)"""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            found = [line.split()[1] for line in f if line.startswith("VmHWM")]
    except OSError:
        found = []
    return int(found[0]) if found else 0


class Input(harness.SshTest):
    def file(self, size):
        path = os.path.join(self.rig.dir, f"input-{size}")
        if not os.path.exists(path):
            with open("/dev/urandom", "rb") as source, open(path, "wb") as f:
                block = source.read(min(size, MIB))
                for at in range(0, size, MIB):
                    f.write(block[:size - at])
        return path

    def check_sum(self, size, command="sha256sum", n=1):
        path = self.file(size)
        with open(path, "rb") as f:
            want = hashlib.file_digest(f, "sha256").hexdigest()
        results = self.client("-n", str(n), "-I", path, command=command)
        self.assertEqual(len(results), n)
        for r in results:
            self.assertTrue(r.ok, r)
            self.assertEqual(r.out.split()[0].decode(), want)

    def test_nothing(self):
        self.check_sum(0)

    def test_no_input_is_an_end_of_file(self):
        r = self.one(command="cat; echo done")
        self.assertEqual((r.ok, r.out), (True, b"done\n"))

    def test_sizes_around_the_window(self):
        for size in (1, 16384, 16385, 65536, 2 * MIB, 2 * MIB + 1):
            with self.subTest(size):
                self.check_sum(size)

    def test_large(self):
        self.check_sum(50 * MIB)

    def test_many_nodes_at_once(self):
        self.check_sum(MIB, n=20)

    def test_slow_reader(self):
        self.check_sum(4 * MIB, "python3 -c 'import hashlib, sys, time\n"
                       "h = hashlib.sha256()\n"
                       "while True:\n"
                       "    piece = sys.stdin.buffer.read(65536)\n"
                       "    if not piece: break\n"
                       "    h.update(piece)\n"
                       "    time.sleep(0.01)\n"
                       "print(h.hexdigest())'")

    def peak(self, path, command):
        """The client's largest size, in KiB, and what it printed."""
        argv = [harness.CLIENT, "-F", "none", "-H", "127.0.0.1", "-p", self.e["RIG_PORT"], "-l",
                self.e["RIG_USER"], "-i", self.e["RIG_KEY"], "-k", self.e["RIG_KNOWN_HOSTS"], "-I",
                path, "--", command]
        peak = 0
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as p:
            while p.poll() is None:
                peak = max(peak, resident(p.pid))
                time.sleep(0.01)
            return peak, harness.Result(p.stdout.read())

    def test_memory_stays_flat(self):
        """200 MB to one that reads as fast as it can, and to one that sleeps first."""
        big = self.file(200 * MIB)
        for command in ("wc -c", "sleep 1; wc -c"):
            peak, r = self.peak(big, command)
            self.assertEqual((r.ok, r.out.strip()), (True, str(200 * MIB).encode()), r)
            if not os.environ.get("SANITIZED"):
                self.assertLess(peak, 20 * 1024, f"{peak} KiB")

    def test_reader_that_ends_early(self):
        began = time.monotonic()
        r = self.one("-I", self.file(50 * MIB), command="head -c 3 >/dev/null; echo enough; exit 4")
        self.assertEqual((r.reason, r.exit, r.out), ("exit", 4, b"enough\n"), r)
        self.assertLess(time.monotonic() - began, 20)

    def test_reader_that_closes_its_input_and_goes_on(self):
        r = self.one("-I", self.file(50 * MIB), command="exec <&-; sleep 0.5; echo still here")
        self.assertEqual((r.ok, r.out), (True, b"still here\n"), r)

    def test_output_closed_before_the_input_is_read(self):
        mark = os.path.join(self.rig.dir, "count")
        r = self.one("-I", self.file(4 * MIB),
                     command=f"exec >&- 2>&-; sleep 0.3; wc -c > {mark}; exit 6")
        self.assertEqual((r.reason, r.exit), ("exit", 6), r)
        with open(mark, encoding="ascii") as f:
            self.assertEqual(int(f.read()), 4 * MIB)

    def test_both_ways_at_once(self):
        r = self.one("-I", self.file(8 * MIB), "-m", str(20 * MIB), command="cat")
        self.assertTrue(r.ok, r)
        with open(self.file(8 * MIB), "rb") as f:
            self.assertEqual(r.out, f.read())

    def test_cancel_while_it_is_fed(self):
        r = self.one("-I", self.file(50 * MIB), "-w", command="echo ready; sleep 300.0625")
        self.assertEqual((r.reason, r.remote), ("cancelled", "stopped"), r)

    def test_no_such_file(self):
        r = self.one("-I", "/nonexistent/input", command="cat")
        self.assertFalse(r.ok)
        self.assertIn("/nonexistent/input", r.error)


class Terminal(harness.SshTest):
    def test_it_is_one(self):
        r = self.one("-Y", command="test -t 0 && test -t 1 && stty size && echo \"$TERM\"",
                     env={"TERM": "vt220"})
        self.assertTrue(r.ok, r)
        self.assertEqual(r.out, b"24 80\r\nvt220\r\n")
        self.assertEqual(r.err, b"")

    def test_its_end_of_input(self):
        r = self.one("-Y", command="cat; echo done")
        self.assertEqual((r.ok, r.out), (True, b"done\r\n"), r)

    def test_lines(self):
        r = self.one("-Y", "-I", self.scratch("one\ntwo"), command="stty -echo; cat; echo; echo done")
        self.assertTrue(r.ok, r)
        self.assertTrue(r.out.endswith(b"two\r\ndone\r\n"), r)

    def test_request_tty_of_ssh_config(self):
        r = self.one("-o", "RequestTTY=yes", command="test -t 1 && echo tty")
        self.assertEqual((r.ok, r.out), (True, b"tty\r\n"), r)

    def test_cancel(self):
        r = self.one("-Y", "-w", command="echo ready; sleep 300.03125")
        self.assertEqual((r.reason, r.remote), ("cancelled", "stopped"), r)


class Refusing(harness.SshTest):
    rig_options = {"config": ["PermitTTY no"]}

    def test_no_terminal(self):
        r = self.one("-Y", command="true")
        self.check_failed(r, "unsupported", "PermitTTY")

    def test_ssh_config_only_wishes(self):
        r = self.one("-o", "RequestTTY=yes", command="test -t 1 || echo none")
        self.assertEqual((r.ok, r.out), (True, b"none\n"), r)


class Settings(harness.SshTest):
    """Settings of ssh_config that show on the wire."""
    rig_options = {"config": ["ListenAddress ::1", "AcceptEnv *"]}

    def test_bind_address(self):
        r = self.one("-o", "BindAddress=127.0.0.5", command="echo $SSH_CONNECTION")
        self.assertEqual(r.out.split()[0], b"127.0.0.5")
        r = self.one("-o", "BindAddress=192.0.2.1", command="true", )
        self.check_failed(r, "unreachable")

    def test_address_family(self):
        r = self.one("-o", "AddressFamily=inet6", command="true")
        self.check_failed(r, "unreachable", "127.0.0.1")
        r = self.one("-o", "AddressFamily=inet", "-H", "::1", command="true")
        self.check_failed(r, "unreachable", "::1")

    def ipv6_known(self):
        with open(self.e["RIG_KNOWN_HOSTS"], encoding="utf-8") as f:
            return self.scratch(f.read().replace("[127.0.0.1]", "[::1]"))

    def test_ipv6_literals(self):
        known = self.ipv6_known()
        for host in ("::1", "[::1]"):
            with self.subTest(host):
                r = self.one("-H", host, "-k", known, command="echo $SSH_CONNECTION")
                self.assertTrue(r.ok, r)
                self.assertEqual((r.out.split()[2], r.host), (b"::1", "::1"))

    def test_port_and_user_in_the_host(self):
        port, user = self.e["RIG_PORT"], self.e["RIG_USER"]
        usual = ["-F", "none", "-i", self.e["RIG_KEY"]]
        for host, known in ((f"[::1]:{port}", self.ipv6_known()),
                            (f"127.0.0.1:{port}", self.e["RIG_KNOWN_HOSTS"]),
                            (f"ssh://{user}@127.0.0.1:{port}", self.e["RIG_KNOWN_HOSTS"])):
            with self.subTest(host):
                r = self.client("-H", host, "-k", known, *usual, plain=True)[0]
                self.assertTrue(r.ok, r)
                self.assertEqual((str(r.port), r.user), (port, user))
        r = self.client("-H", "nobody-at-all@127.0.0.1", "-p", port, "-k",
                        self.e["RIG_KNOWN_HOSTS"], *usual, plain=True)[0]
        self.assertEqual((r.reason, r.user), ("auth", "nobody-at-all"), r)

    def test_host_key_alias(self):
        with open(self.e["RIG_KNOWN_HOSTS"], encoding="utf-8") as f:
            keys = f.read().replace(f"[127.0.0.1]:{self.e['RIG_PORT']}", "fleet")
        known = self.scratch(keys)
        self.check_failed(self.one("-k", known), "hostkey")
        self.assertTrue(self.one("-k", known, "-o", "HostKeyAlias=fleet").ok)

    def test_connect_timeout(self):
        began = time.monotonic()
        r = self.one("-p", self.e["RIG_PORT_SILENT"], "-o", "ConnectTimeout=1")
        self.check_failed(r, "timeout", "connect")
        self.assertLess(time.monotonic() - began, 8)

    def test_without_an_ssh_program(self):
        config = self.scratch(
            "Host other\n  Port 1\n"
            "Host 127.*\n"
            f"  Port {self.e['RIG_PORT']}\n"
            f"  IdentityFile \"{self.e['RIG_KEY']}\"\n"
            f"  UserKnownHostsFile {self.e['RIG_KNOWN_HOSTS']}  # and no other\n"
            "  SetEnv RIG_A=one \"RIG_B=two words\"\n"
            "Match all\n  Port 2\n")
        r = self.client("-F", config, "-H", "127.0.0.1", plain=True,
                        env={"PATH": "/nonexistent"}, command="echo $RIG_A $RIG_B")[0]
        self.assertEqual((r.ok, r.out), (True, b"one two words\n"), r)
        config = self.scratch("Match exec true\n  Port 2\n")
        r = self.client("-F", config, "-H", "127.0.0.1", plain=True,
                        env={"PATH": "/nonexistent"})[0]
        self.check_failed(r, "unsupported", config + ":1", "Match")

    def test_a_live_control_master(self):
        import socket
        path = os.path.join(self.rig.dir, "cm-127.0.0.1-" + self.e["RIG_PORT"])
        option = ["-o", f"ControlPath={self.rig.dir}/cm-%h-%p"]
        self.assertTrue(self.one(*option).ok)
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            self.assertTrue(self.one(*option).ok)  # nobody listens
            s.listen(5)
            self.assertTrue(self.one(*option).ok)  # a master that hangs is passed by

            def greet():
                kept = []
                try:
                    while True:
                        kept.append(s.accept()[0])
                        kept[-1].send(b"\0\0\0\x08\0\0\0\1\0\0\0\4")
                except OSError:
                    pass    # the end of the test
            s.accept()[0].close()   # the one that got no answer
            threading.Thread(target=greet, daemon=True).start()
            self.check_failed(self.one(*option), "unsupported", "ControlMaster", path)
        os.unlink(path)


if __name__ == "__main__":
    harness.main()
