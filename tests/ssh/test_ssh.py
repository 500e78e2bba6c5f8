#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ssh transport against a real sshd on the loopback: reaching, running, stopping."""

import os
import socket
import sys
import tempfile
import threading
import time

import harness
import rig


class Running(harness.SshTest):
    """What comes back from a command."""

    def test_ok(self):
        r = self.one(command="echo out; echo err >&2")
        self.assertTrue(r.ok, r)
        self.assertEqual((r.out, r.err, r.exit), (b"out\n", b"err\n", 0))
        self.assertEqual((r.host, r.user, r.port),
                         ("127.0.0.1", self.e["RIG_USER"], int(self.e["RIG_PORT"])))

    def test_exit_codes(self):
        for code in (1, 2, 126, 255):
            r = self.one(command=f"exit {code}")
            self.assertEqual((r.reason, r.exit), ("exit", code))

    def test_signal(self):
        r = self.one(command="kill -KILL $$")
        self.assertEqual((r.reason, r.signal), ("signal", "KILL"))

    def test_environment_and_quotes(self):
        r = self.one(command="printf '%s|%s|%s|%s' "
                             "\"$MUSTER_NODE\" \"$MUSTER_HOST\" 'a b' \"it's\"")
        self.assertEqual(r.out, b"n1|127.0.0.1|a b|it's")

    def test_stdin_is_at_its_end(self):
        r = self.one(command="cat; echo done")
        self.assertEqual(r.out, b"done\n")

    def test_a_megabyte_each_exact(self):
        program = ("import os,hashlib\n"
                   "b=bytes(range(256))*4096\n"
                   "for i in range(0,len(b),5000):\n"
                   "  os.write(1,b[i:i+5000]); os.write(2,b[i:i+5000][::-1])\n")
        r = self.one("-n", "1", command=f"{sys.executable} -c '{program}'")
        whole = bytes(range(256)) * 4096
        self.assertTrue(r.ok, r)
        self.assertEqual(r.out, whole)
        self.assertEqual(r.err, b"".join(whole[i:i + 5000][::-1]
                                         for i in range(0, len(whole), 5000)))

    def test_much_output_is_cut_at_the_cap(self):
        r = self.one("-m", "100000", command="head -c 30000000 /dev/zero; echo end >&2")
        self.assertTrue(r.ok, r)
        self.assertEqual((len(r.out), r.out_cut, r.err, r.err_cut), (100000, True, b"end\n", False))

    def test_floods_again_and_again(self):
        """A byte that comes between the reads of the two streams must not be left lying."""
        for _ in range(5):
            results = self.client("-n", "4", "-m", "1000",
                                  command="head -c 5000000 /dev/zero; echo end >&2; exit 3")
            for r in results:
                self.assertEqual((r.exit, len(r.out), r.err), (3, 1000, b"end\n"), r)

    def test_nul_bytes(self):
        self.assertEqual(self.one(command=r"printf 'a\000b\000'").out, b"a\0b\0")

    def test_a_child_that_holds_the_stream(self):
        r = self.one(command="(sleep 0.3; echo late) & echo early; exit 4")
        self.assertEqual((r.exit, r.out), (4, b"early\nlate\n"))

    def test_streams_closed_before_the_end(self):
        r = self.one(command="exec >&- 2>&-; sleep 0.3; exit 5")
        self.assertEqual((r.reason, r.exit), ("exit", 5))

    @staticmethod
    def kill_sessions(server, marker):
        """Only sshd's own processes: it must not live to tell how the command ended."""
        rig.wait_until(lambda: os.path.exists(marker), "the command")
        for pid in rig.descendants(int(server.env["RIG_SSHD_PID"])):
            with open(f"/proc/{pid}/comm", encoding="ascii") as f:
                if f.read().startswith("sshd"):
                    os.kill(pid, 9)

    def test_server_dies(self):
        with rig.Rig() as other:
            args = ["-p", other.env["RIG_PORT"], "-i", other.env["RIG_KEY"], "-k",
                    other.env["RIG_KNOWN_HOSTS"]]
            marker = os.path.join(other.dir, "started")
            killer = threading.Thread(target=self.kill_sessions, args=(other, marker))
            killer.start()
            r = self.one(*args, command=f"touch {marker}; sleep 100")
            killer.join()
        self.check_failed(r, "lost", "lost")
        self.assertEqual(r.attempts, 1)

    def test_many(self):
        results = self.client("-n", "200", "-f", "64", command="echo $MUSTER_NODE; exit 7")
        self.assertEqual(len(results), 200)
        for r in results:
            self.assertEqual((r.exit, r.out), (7, f"n{r.position + 1}\n".encode()), r)


class Reaching(harness.SshTest):
    def test_refused(self):
        began = time.monotonic()
        r = self.one("-p", self.e["RIG_PORT_REFUSED"])
        self.check_failed(r, "unreachable", "Connection refused", "127.0.0.1",
                          self.e["RIG_PORT_REFUSED"])
        self.assertLess(time.monotonic() - began, 2)

    def test_silent(self):
        r = self.one("-p", self.e["RIG_PORT_SILENT"], "-t", "500")
        self.check_failed(r, "timeout", "connect", "0.5", "SSH banner")
        self.assertLess(r.ms, 2000)

    def test_black_hole(self):
        """A backlog that is full: the kernel drops what comes."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as s:
            port = s.getsockname()[1]
            full = []
            for _ in range(4):
                c = socket.socket()
                c.setblocking(False)
                c.connect_ex(("127.0.0.1", port))
                full.append(c)
            r = self.one("-p", str(port), "-t", "500")
            for c in full:
                c.close()
        self.check_failed(r, "timeout", "connect", "while connecting")

    def test_closing_is_tried_again(self):
        r = self.one("-p", self.e["RIG_PORT_CLOSING"], "-r", "2")
        self.check_failed(r, "unreachable", "before its banner")
        self.assertEqual(r.attempts, 3)

    def test_garbage(self):
        r = self.one("-p", self.e["RIG_PORT_GARBAGE"], "-t", "800")
        self.assertIn(r.reason, ("timeout", "unreachable"), r)

    def test_no_such_name(self):
        r = self.one("-H", "no-such-host.invalid", "-t", "8000")
        self.check_failed(r, "unreachable", "no-such-host.invalid")

    def test_healthy_ones_do_not_wait_for_hung_ones(self):
        config = self.scratch(
            "Host n1 n2\n"
            f"  Port {self.e['RIG_PORT_SILENT']}\n"
            f"Host *\n  HostName 127.0.0.1\n  Port {self.e['RIG_PORT']}\n")
        results = self.client("-n", "30", "-F", config, "-t", "3000", "-i", self.e["RIG_KEY"], "-k",
                              self.e["RIG_KNOWN_HOSTS"], plain=True)
        late = [r for r in results if not r.ok]
        self.assertEqual(sorted(r.position for r in late), [0, 1], late)
        self.assertEqual(sorted(r.position for r in results[-2:]), [0, 1])


class Dropping(harness.SshTest):
    rig_options = {"max_startups": "2:100:4"}

    def test_drops_are_tried_again(self):
        # More at once than the server takes: eight at a time, against two.
        results = self.client("-n", "24", "-r", "10", "-t", "60000")
        self.assertTrue(all(r.ok for r in results), [r for r in results if not r.ok][:3])


class Algorithms(harness.SshTest):
    rig_options = {"config": ["Ciphers chacha20-poly1305@openssh.com"]}

    def test_nothing_in_common(self):
        r = self.one()
        self.check_failed(r, "unsupported", "no common cipher", "chacha20-poly1305@openssh.com",
                          "aes128-ctr")
        self.assertEqual(r.attempts, 1)

    def test_nothing_allowed(self):
        self.check_failed(self.one("-o", "MACs=umac-64@openssh.com"), "unsupported", "MACs",
                          "hmac-sha2-256")


class Stopping(harness.StopTests, harness.SshTest):
    def test_orphans_that_nobody_reaps(self):
        """The rig adopts them and lets them lie: dead, but still in the group."""
        r = self.one("-w", "-g", "20000", command="echo ready; case x in x) sleep 300.25;; esac")
        self.assertEqual((r.reason, r.remote), ("cancelled", "stopped"))
        self.assertLess(r.ms, 10000)

    def test_while_it_floods(self):
        r = self.one("-u", "500", "-m", "1000", command="yes 300.75")
        self.assertEqual((r.reason, r.remote, r.out_cut), ("timeout", "stopped", True))
        self.check_gone("300.75")


class StoppingWithOneSession(harness.SshTest):
    rig_options = {"max_sessions": 1}

    def test_a_second_connection_does_it(self):
        r = self.one("-w", "-g", "300", command="echo ready; sleep 30.125")
        self.check_failed(r, "cancelled")
        self.assertEqual(r.remote, "stopped")


class StoppingInDoubt(harness.SshTest):
    """The connection that would look for what the shell has left behind cannot be made."""
    rig_options = {"max_sessions": 1}

    def test_the_shell_ends_and_nobody_can_look(self):
        mark = os.path.join(self.rig.dir, "began")
        pauser = threading.Thread(target=self.pause_when, args=(mark,))
        pauser.start()
        try:
            r = self.one("-u", "1000", "-g", "20000",
                         command="sleep 300.1875 </dev/null >/dev/null 2>&1 & "
                                 f"touch {mark}; sleep 2.5")
        finally:
            pauser.join()
            self.rig.pause_sshd(False)
        self.assertTrue([p for p in rig.descendants(os.getpid()) if self.is_sleep(p)])
        self.assertEqual((r.reason, r.remote), ("timeout", "unknown"), r)

    @staticmethod
    def is_sleep(pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                return b"300.1875" in f.read()
        except OSError:
            return False

    def pause_when(self, mark):
        rig.wait_until(lambda: os.path.exists(mark), "the command")
        self.rig.pause_sshd(True)


class Banner(harness.SshTest):
    @classmethod
    def setUpClass(cls):
        with tempfile.NamedTemporaryFile("w", suffix=".banner", delete=False) as f:
            f.write("Authorised use only\n" * 20)
        cls.banner = f.name
        cls.rig_options = {"config": [f"Banner {f.name}", "RekeyLimit 256K"]}
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        os.unlink(cls.banner)

    def test_banner_and_rekeying(self):
        r = self.one(command="head -c 3000000 /dev/zero", env=harness.LIBRARY_LEAKS)
        self.assertTrue(r.ok, r)
        self.assertEqual(r.out, bytes(3000000))


if __name__ == "__main__":
    harness.main()
