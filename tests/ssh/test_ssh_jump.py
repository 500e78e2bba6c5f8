#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hosts behind jump hosts, and by ProxyCommand, against real sshds on the loopback."""

import os
import signal
import socket
import sys
import threading
import time

import harness
import rig


def full_listener():
    """A listener whose queue is full: the kernel drops what comes, like a host that is switched off."""
    s = socket.create_server(("127.0.0.1", 0), backlog=0)
    full = []
    for _ in range(4):
        c = socket.socket()
        c.setblocking(False)
        c.connect_ex(s.getsockname())
        full.append(c)
    return s, full


class JumpTest(harness.SshTest):
    """`rig` is the bastion, `target` what is behind it."""
    rig_options = {"max_startups": "10:30:100"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.target = rig.Rig(max_startups="500:30:1000", ports=6).start()

    @classmethod
    def tearDownClass(cls):
        cls.target.stop()
        super().tearDownClass()

    def host(self, pattern, server, port=None, *lines):
        e = server.env
        return (f"Host {pattern}\n  HostName 127.0.0.1\n  Port {port or e['RIG_PORT']}\n"
                f"  User {e['RIG_USER']}\n  IdentityFile {e['RIG_KEY']}\n"
                f"  UserKnownHostsFile {e['RIG_KNOWN_HOSTS']}\n"
                + "".join(f"  {line}\n" for line in lines))

    def config(self, *hosts):
        """The bastion, the hosts n1, n2, ... over the target's ports, and what comes before them."""
        text = "".join(hosts) + self.host("bastion", self.rig)
        for i, port in enumerate(self.target.ports):
            text += self.host(" ".join(f"n*{d}" for d in range(10) if d % 6 == i), self.target,
                              port)
        return self.scratch(text + "Host *\n  IdentitiesOnly yes\n  GlobalKnownHostsFile none\n",
                            "config")

    def behind(self, *args, config=None, command="echo $MUSTER_NODE", **kw):
        return self.client("-F", config or self.config(), *args, command=command, plain=True, **kw)

    def sign_ins(self, server=None):
        with open((server or self.rig).env["RIG_LOG"], encoding="utf-8", errors="replace") as f:
            return f.read().count("Accepted publickey")

    def check_ok(self, results, count):
        self.assertEqual(len(results), count)
        for r in results:
            self.assertTrue(r.ok, r)
            self.assertEqual(r.out, f"n{r.position + 1}\n".encode())


class Jumping(JumpTest):
    def test_by_flag(self):
        before = self.sign_ins()
        self.check_ok(self.behind("-n", "20", "-J", "bastion"), 20)
        self.assertEqual(self.sign_ins() - before, 1)

    def test_endpoint_is_the_host_itself(self):
        r = self.behind("-J", "bastion")[0]
        self.assertEqual((r.host, r.port), ("127.0.0.1", self.target.ports[1]))

    def test_from_ssh_config(self):
        before = self.sign_ins()
        self.check_ok(self.behind("-n", "3", config=self.config("Host n*\n  ProxyJump bastion\n")), 3)
        self.assertEqual(self.sign_ins() - before, 1)

    def test_none_goes_straight(self):
        before = self.sign_ins()
        config = self.config("Host n*\n  ProxyJump bastion\n")
        self.check_ok(self.behind("-J", "none", config=config), 1)
        self.assertEqual(self.sign_ins() - before, 0)

    def test_as_a_default_of_the_inventory(self):
        before = self.sign_ins()
        self.check_ok(self.behind("-d", "jump=bastion"), 1)
        self.assertEqual(self.sign_ins() - before, 1)

    def test_user_and_port_of_a_hop(self):
        config = self.config(f"Host b2\n  HostName 127.0.0.1\n  Port 1\n  User nobody-here\n"
                             f"  IdentityFile {self.e['RIG_KEY']}\n"
                             f"  UserKnownHostsFile {self.e['RIG_KNOWN_HOSTS']}\n")
        hop = f"{self.e['RIG_USER']}@b2:{self.e['RIG_PORT']}"
        for text in (hop, "ssh://" + hop):
            self.check_ok(self.behind("-J", text, config=config), 1)

    def test_two_hops(self):
        with rig.Rig() as second:
            config = self.config(self.host("inner", second))
            before = self.sign_ins()
            self.check_ok(self.behind("-n", "12", "-J", "bastion,inner", config=config), 12)
            self.assertEqual((self.sign_ins() - before, self.sign_ins(second)), (1, 1))
            before = self.sign_ins()
            config = self.config(self.host("inner", second, None, "ProxyJump bastion"))
            self.check_ok(self.behind("-n", "12", "-J", "inner", config=config), 12)
            self.assertEqual((self.sign_ins() - before, self.sign_ins(second)), (1, 2))

    def test_a_circle(self):
        config = self.config("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
        began = time.monotonic()
        r = self.behind("-J", "a", config=config)[0]
        self.check_failed(r, "unreachable", "jump host a", "circle")
        self.assertLess(time.monotonic() - began, 8)

    def test_no_jump_host(self):
        r = self.behind("-J", "bastion,-oX=1")[0]
        self.check_failed(r, "unsupported", "-oX=1", "not a jump host")

    def test_a_name_that_only_the_bastion_resolves(self):
        config = self.config("Host n1\n  HostName no-such-name.invalid\n")
        self.check_failed(self.behind("-J", "bastion", config=config)[0], "unreachable",
                          "through bastion", "no-such-name.invalid")

    def test_much_output(self):
        results = self.behind("-n", "4", "-J", "bastion", command="head -c 5000000 /dev/zero; exit 3")
        for r in results:
            self.assertEqual((r.exit, len(r.out), r.out.count(b"\0")), (3, 5000000, 5000000))

    def test_much_input(self):
        data = os.urandom(3 << 20)
        path = self.scratch("", "input")
        with open(path, "wb") as f:
            f.write(data)
        r = self.behind("-J", "bastion", "-I", path, command="cat")[0]
        self.assertTrue(r.ok and r.out == data, r)

    def test_300_behind_one_bastion(self):
        before = self.sign_ins()
        self.check_ok(self.behind("-n", "300", "-f", "300", "-J", "bastion", "-t", "60000"), 300)
        self.assertEqual(self.sign_ins() - before, 1)

    def test_drops_behind_a_bastion_are_tried_again(self):
        """MaxStartups of the host itself: two ports of one server get more at once than it takes."""
        with rig.Rig(max_startups="10:30:100", ports=2) as narrow:
            config = self.config(self.host("n1 n2 n3 n4 n5 n6 n7 n8 n9 n1?", narrow),
                                 self.host("n2? n3?", narrow, narrow.ports[1]))
            results = self.behind("-n", "39", "-J", "bastion", "-r", "9", config=config)
        self.check_ok(results, 39)

    def test_ipv6(self):
        with rig.Rig(config=["ListenAddress ::1"]) as six:
            names = self.scratch("".join(
                f"[::1]:{six.env['RIG_PORT']} {line.split(None, 1)[1]}"
                for line in open(six.env["RIG_KNOWN_HOSTS"], encoding="ascii")))
            common = ["-i", six.env["RIG_KEY"], "-k", names, "-l", six.env["RIG_USER"]]
            for way in ([], ["-J", "bastion"]):
                r = self.behind("-H", f"[::1]:{six.env['RIG_PORT']}", *common, *way)[0]
                self.assertTrue(r.ok, r)
                r = self.behind("-H", "::1", "-p", six.env["RIG_PORT"], *common, *way)[0]
                self.assertTrue(r.ok, r)
            r = self.behind("-H", "localhost", "-p", six.env["RIG_PORT"], "-o", "AddressFamily=inet",
                            "-o", "BindAddress=::1", *common)[0]
            self.check_failed(r, "unreachable", "127.0.0.1", "assign")


class JumpFailing(JumpTest):
    def test_refused_port_behind_it(self):
        config = self.config(f"Host n1\n  Port {self.e['RIG_PORT_REFUSED']}\n")
        results = self.behind("-n", "3", "-J", "bastion", config=config)
        bad = [r for r in results if not r.ok]
        self.assertEqual(len(bad), 1)
        self.check_failed(bad[0], "unreachable", "through bastion: cannot connect to 127.0.0.1 port "
                          + self.e["RIG_PORT_REFUSED"], "connect failed: Connection refused")
        self.assertEqual(bad[0].attempts, 1)

    def test_forwarding_prohibited(self):
        with rig.Rig(config=["AllowTcpForwarding no"]) as strict:
            r = self.behind("-J", "strict", config=self.config(self.host("strict", strict)))[0]
        self.check_failed(r, "unreachable", "through strict", "prohibited", "AllowTcpForwarding")

    def test_key_refused_by_the_bastion(self):
        config = self.config(f"Host stranger\n  HostName 127.0.0.1\n  Port {self.e['RIG_PORT']}\n"
                             f"  IdentityFile {self.e['RIG_KEY_STRANGER']}\n"
                             f"  UserKnownHostsFile {self.e['RIG_KNOWN_HOSTS']}\n")
        results = self.behind("-n", "40", "-J", "stranger", config=config)
        for r in results:
            self.check_failed(r, "auth", "jump host stranger:", "refused")
        self.assertEqual(len({r.error for r in results}), 1)
        with open(self.e["RIG_LOG"], encoding="utf-8", errors="replace") as f:
            self.assertEqual(f.read().count("Failed publickey"), 1)

    def test_host_key_of_the_bastion_changed(self):
        config = self.config(f"Host changed\n  HostName 127.0.0.1\n  Port {self.e['RIG_PORT']}\n"
                             f"  IdentityFile {self.e['RIG_KEY']}\n"
                             f"  UserKnownHostsFile {self.e['RIG_KNOWN_HOSTS_WRONG']}\n")
        for r in self.behind("-n", "5", "-J", "changed", config=config):
            self.check_failed(r, "hostkey", "jump host changed:", "differs from",
                              self.e["RIG_KNOWN_HOSTS_WRONG"])

    def test_bastion_down(self):
        config = self.config(f"Host down\n  HostName 127.0.0.1\n  Port {self.e['RIG_PORT_REFUSED']}\n")
        began = time.monotonic()
        for r in self.behind("-n", "100", "-J", "down", config=config):
            self.check_failed(r, "unreachable", "jump host down:", "Connection refused")
            self.assertEqual(r.attempts, 1)
        self.assertLess(time.monotonic() - began, 5)

    def test_bastion_silent(self):
        config = self.config(f"Host silent\n  HostName 127.0.0.1\n  Port {self.e['RIG_PORT_SILENT']}\n")
        for r in self.behind("-n", "3", "-J", "silent", "-t", "2000", config=config):
            self.check_failed(r, "unreachable", "jump host silent:", "connect timed out")

    def test_dead_hosts_hold_back_nobody(self):
        dead, keep = full_listener()
        port = dead.getsockname()[1]
        config = self.config(f"Host n1 n2 n3 n4 n5\n  Port {port}\n")
        began = time.monotonic()
        results = self.behind("-n", "45", "-J", "bastion", "-t", "8000", config=config)
        for c in keep:
            c.close()
        dead.close()
        for r in results:
            if r.position < 5:
                self.check_failed(r, "timeout", "while the jump host was connecting")
            else:
                self.assertTrue(r.ok, r)
                self.assertLess(r.ms, 7000)
        self.assertLess(time.monotonic() - began, 12)

    def test_bastion_killed(self):
        with rig.Rig() as other:
            config = self.config(self.host("other", other))
            marks = [os.path.join(self.target.dir, f"began-{i + 1}") for i in range(5)]
            killer = threading.Thread(target=self.kill_when, args=(other, marks))
            killer.start()
            results = self.behind("-n", "5", "-J", "other", config=config,
                                  command=f"touch {self.target.dir}/began-${{MUSTER_NODE#n}}; sleep 60")
            killer.join()
        for r in results:
            self.check_failed(r, "lost", "the connection through other was lost")
            self.assertEqual(r.attempts, 1)

    @staticmethod
    def kill_when(server, marks):
        rig.wait_until(lambda: all(os.path.exists(m) for m in marks), "the commands")
        server.stop_sshd()

    def test_cancel_behind_a_bastion(self):
        mark = os.path.join(self.target.dir, "cancelled")
        began = time.monotonic()
        results = self.behind("-n", "5", "-J", "bastion", "-w",
                              command=f"echo $$ >> {mark}; echo here; sleep 300")
        self.assertLess(time.monotonic() - began, 10)
        for r in results:
            self.assertEqual((r.reason, r.remote), ("cancelled", "stopped"), r)
        with open(mark, encoding="ascii") as f:
            pids = [int(line) for line in f]
        self.assertEqual(len(pids), 5)
        rig.wait_until(lambda: not any(rig.alive(p) for p in pids), "the commands' end")


class ProxyCommand(JumpTest):
    RELAY = ("import os,socket,sys,threading\n"
             "s=socket.create_connection((sys.argv[1],int(sys.argv[2])))\n"
             "def up():\n"
             "  while (b:=os.read(0,65536)): s.sendall(b)\n"
             "  s.shutdown(1)\n"
             "threading.Thread(target=up,daemon=True).start()\n"
             "while (b:=s.recv(65536)): os.write(1,b)\n")

    def proxied(self, line, *args, **kw):
        return self.behind(*args, config=self.config(f"Host n*\n  ProxyCommand {line}\n"), **kw)

    def test_relay(self):
        relay = self.scratch(self.RELAY, "relay.py")
        self.check_ok(self.proxied(f"{sys.executable} {relay} %h %p", "-n", "10"), 10)
        rig.wait_until(lambda: not rig.named(relay), "the end of the relays")

    def test_ssh_w(self):
        config = self.config(f"Host n*\n  ProxyCommand ssh -F {self.config()} -W [%h]:%p bastion\n")
        self.check_ok(self.behind("-n", "2", config=config), 2)

    def test_complaint(self):
        r = self.proxied("echo no way there >&2; exit 3")[0]
        self.check_failed(r, "unreachable", "ProxyCommand failed: no way there")

    def test_not_there(self):
        r = self.proxied("/no/such/program %h")[0]
        self.check_failed(r, "unreachable", "ProxyCommand failed:", "/no/such/program")

    def test_one_that_hangs_is_ended(self):
        mark = f"{os.getpid()}.25"
        r = self.proxied(f"sleep 300{mark}", "-t", "1000")[0]
        self.check_failed(r, "timeout", "banner")
        rig.wait_until(lambda: not rig.named(f"300{mark}"), "the end of the program")

    def test_tokens(self):
        line = "echo %n,%h,%p,%r,%k,%% >&2; exit 1"
        want = f"n1,127.0.0.1,{self.target.ports[1]},{self.target.env['RIG_USER']},"
        self.check_failed(self.proxied(line, "-r", "0")[0], "unreachable", want + "n1,%")
        r = self.proxied(line + "\n  HostKeyAlias other", "-r", "0")[0]
        self.check_failed(r, "unreachable", want + "other,%")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    harness.main()
