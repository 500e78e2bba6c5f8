#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The transport openssh: the system's ssh against a real sshd.

    test_openssh.py CLIENT [CLASS...]
"""

import glob
import os
import shutil
import subprocess
import tempfile
import threading
import time

import harness
import rig


class OpenSsh(harness.SshTest):
    """Every run has a folder for sockets of its own, which must be empty when it has ended."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.mkdtemp(prefix="mr", dir="/tmp")

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.folder)

    def client(self, *args, env=None, **kw):
        results = super().client("-X", "openssh", *args,
                                 env={"XDG_RUNTIME_DIR": self.folder, **(env or {})}, **kw)
        self.assertEqual(glob.glob(self.folder + "/*"), [])
        return results


class Running(OpenSsh):
    def test_exit_codes(self):
        for code in (0, 1, 7, 127, 254, 255):
            r = self.one(command=f"echo out; echo err >&2; exit {code}")
            self.assertEqual((r.exit, r.out, r.err), (code, b"out\n", b"err\n"), r)
            self.assertEqual(r.reason, "exit" if code else "", r)

    def test_environment_and_quotes(self):
        r = self.one(command="printf '%s|%s|%s|%s' "
                             "\"$MUSTER_NODE\" \"$MUSTER_HOST\" 'a b' \"it's\"")
        self.assertEqual(r.out, b"n1|127.0.0.1|a b|it's")

    def test_exact_bytes(self):
        r = self.one(command="head -c 3000000 /dev/zero; head -c 100000 /dev/zero >&2")
        self.assertTrue(r.ok, r)
        self.assertEqual((r.out, r.err), (bytes(3000000), bytes(100000)))

    def test_stdin_is_at_its_end(self):
        self.assertEqual(self.one(command="cat; echo done").out, b"done\n")

    def test_stdin(self):
        text = os.urandom(500000)
        path = os.path.join(self.rig.dir, "input")
        with open(path, "wb") as f:
            f.write(text)
        r = self.one("-I", path, command="cat")
        self.assertEqual(r.out, text)
        r = self.one("-I", path, command="head -c 10 >/dev/null; echo enough")
        self.assertEqual((r.exit, r.out), (0, b"enough\n"))

    def test_long_command(self):
        r = self.one(command=": " + "x" * 60000 + "; echo long; exit 3")
        self.assertEqual((r.exit, r.out), (3, b"long\n"), r)

    def test_terminal(self):
        r = self.one("-Y", command="test -t 0 && test -t 1 && stty size; exit 5")
        self.assertEqual((r.exit, r.err), (5, b""), r)
        self.assertNotIn(b"muster-", r.out)

    def test_server_dies(self):
        with rig.Rig() as other:
            marker = os.path.join(other.dir, "started")
            killer = threading.Thread(target=self.kill_server, args=(other, marker))
            killer.start()
            r = self.one("-p", other.env["RIG_PORT"], "-i", other.env["RIG_KEY"], "-k",
                         other.env["RIG_KNOWN_HOSTS"], command=f"touch {marker}; sleep 100")
            killer.join()
        self.check_failed(r, "lost", "lost")
        self.assertEqual(r.attempts, 1)

    @staticmethod
    def kill_server(server, marker):
        rig.wait_until(lambda: os.path.exists(marker), "the command")
        for pid in rig.descendants(int(server.env["RIG_SSHD_PID"])):
            with open(f"/proc/{pid}/comm", encoding="ascii") as f:
                if f.read().startswith("sshd"):
                    os.kill(pid, 9)

    def test_many_under_the_cap(self):
        """Three times as many as may run at once on two cores."""
        results = self.client("-n", "96", "-f", "96", "-t", "60000", "-r", "4",
                              command="echo $MUSTER_NODE; exit 7")
        self.assertEqual(len(results), 96)
        for r in results:
            self.assertEqual((r.exit, r.out), (7, f"n{r.position + 1}\n".encode()), r)

    def test_a_terminal_by_ssh_config(self):
        for value, want in (("force", b"tty"), ("yes", b"tty"), ("auto", b"none"), ("no", b"none")):
            config = self.scratch(f"Host *\n  RequestTTY {value}\n")
            r = self.one("-F", config, command="test -t 0 && echo tty || echo none; exit 3")
            self.assertEqual((r.exit, r.out.strip()), (3, want), r)

    def test_nothing_goes_into_the_background(self):
        config = self.scratch("Host *\n  ForkAfterAuthentication yes\n  StdinNull yes\n")
        r = self.one("-F", config, "-I", self.scratch("some input"), command="cat")
        self.assertEqual((r.ok, r.out), (True, b"some input"), r)

    def test_an_ssh_of_before_8_7(self):
        """It has neither of those keywords."""
        ssh = self.scratch("""#!/bin/sh
case "$*" in *ForkAfter*|*StdinNull*)
    echo "command-line: line 0: Bad configuration option: forkafterauthentication" >&2
    exit 255;;
esac
case "$*" in *-G*)
    /usr/bin/ssh "$@" | grep -v '^forkafter\\|^stdinnull'
    exit 0;;
esac
exec /usr/bin/ssh "$@"
""", "ssh")
        os.chmod(ssh, 0o700)
        env = {"PATH": os.path.dirname(ssh) + ":" + os.environ["PATH"]}
        r = self.one(command="echo fine", env=env)
        self.assertEqual((r.ok, r.out), (True, b"fine\n"), r)

    def test_match_by_the_inventorys_user(self):
        config = self.scratch("Match user nobody-d\n  Port 1\n")
        r = self.client("-F", config, "-H", "127.0.0.1", "-d", "user=nobody-d", plain=True)[0]
        self.assertEqual((r.user, r.port), ("nobody-d", 1))

    def test_own_keys_go_first_and_replace_none(self):
        config = self.scratch(f"Host *\n  IdentityFile {self.e['RIG_KEY']}\n"
                              "  IdentitiesOnly yes\n")
        for args in (["-F", config], ["-o", f"IdentityFile={self.e['RIG_KEY']}"]):
            r = self.one(*args, "-i", self.e["RIG_KEY_STRANGER"])
            self.assertTrue(r.ok, r)

    def test_bind_address(self):
        r = self.one("-o", "BindAddress=192.0.2.7")
        self.check_failed(r, "unreachable", "192.0.2.7")

    def test_what_ssh_does_not_say(self):
        r = self.one("-k", self.rig.dir)
        self.check_failed(r, "hostkey", f"not read: {self.rig.dir}: is not a file")
        r = self.one("-o", "PreferredAuthentications=password")
        self.check_failed(r, "auth", "PreferredAuthentications): password")

    def test_a_circle_of_jump_hosts(self):
        config = self.scratch("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
        r = self.one("-F", config, "-J", "a")
        self.check_failed(r, "unreachable", "circle: a would be reached through itself")

    def test_ssh_config_that_hangs(self):
        config = self.scratch('Match host 127.0.0.1 exec "sleep 300.4375"\n  User nobody\n')
        r = self.one("-F", config, "-t", "1000")
        self.check_failed(r, "timeout", "ssh -G")
        self.assertEqual(rig.named("300.4375"), set())

    def test_no_ssh_program(self):
        r = self.one(env={"PATH": "/nowhere"})
        self.check_failed(r, "unsupported", "no ssh program in PATH")

    def test_settings_that_leave_no_room(self):
        r = self.one("-o", "RemoteCommand=date")
        self.check_failed(r, "unsupported", "RemoteCommand")


class Reaching(OpenSsh):
    def test_refused(self):
        r = self.one("-p", self.e["RIG_PORT_REFUSED"])
        self.check_failed(r, "unreachable", "Connection refused", self.e["RIG_PORT_REFUSED"])
        self.assertEqual((r.attempts, r.err), (1, b""))

    def test_silent(self):
        r = self.one("-p", self.e["RIG_PORT_SILENT"], "-t", "700")
        self.check_failed(r, "timeout", "connect", "0.7")
        self.assertLess(r.ms, 3000)

    def test_closing_is_tried_again(self):
        r = self.one("-p", self.e["RIG_PORT_CLOSING"], "-r", "2")
        self.check_failed(r, "unreachable", "ssh: ")
        self.assertEqual(r.attempts, 3)

    def test_no_such_name(self):
        r = self.one("-H", "no-such-host.invalid", "-t", "8000")
        self.check_failed(r, "unreachable", "no-such-host.invalid")

    def test_command_limit_is_the_commands(self):
        """The time to connect is not on it."""
        r = self.one("-p", self.e["RIG_PORT_SILENT"], "-t", "900", "-u", "100")
        self.check_failed(r, "timeout", "connect", "0.9")

    def test_cancel_while_connecting(self):
        r = self.one("-p", self.e["RIG_PORT_SILENT"], "-c", "300")
        self.check_failed(r, "cancelled")
        self.assertIsNone(r.remote)
        self.assertLess(r.ms, 2000)

    def test_jump(self):
        config = self.scratch(
            f"Host *\n  User {self.e['RIG_USER']}\n  IdentityFile {self.e['RIG_KEY']}\n"
            f"  UserKnownHostsFile {self.e['RIG_KNOWN_HOSTS']}\n  GlobalKnownHostsFile none\n"
            f"Host bastion\n  HostName 127.0.0.1\n  Port {self.e['RIG_PORT']}\n"
            f"Host n1\n  HostName 127.0.0.1\n  Port {self.e['RIG_PORT']}\n  ProxyJump bastion\n")
        r = self.one("-F", config, plain=True, command="echo over; exit 255")
        self.assertEqual((r.reason, r.exit, r.out), ("exit", 255, b"over\n"), r)
        r = self.one("-F", config, "-o", f"ProxyJump=127.0.0.1:{self.e['RIG_PORT_REFUSED']}",
                     plain=True)
        self.check_failed(r, "unreachable", "Connection refused", self.e["RIG_PORT_REFUSED"])


class HostKeys(OpenSsh):
    def test_changed(self):
        r = self.one("-k", self.e["RIG_KNOWN_HOSTS_WRONG"])
        self.check_failed(r, "hostkey", "has changed", self.e["RIG_KNOWN_HOSTS_WRONG"] + ":1")
        self.assertEqual((r.attempts, r.err), (1, b""))
        self.assertNotIn("@@@", r.error)

    def test_changed_is_refused_by_accept_new(self):
        r = self.one("-k", self.e["RIG_KNOWN_HOSTS_WRONG"], "-s", "accept-new")
        self.check_failed(r, "hostkey", "has changed")

    def test_switching_off_is_accept_new(self):
        r = self.one("-k", self.e["RIG_KNOWN_HOSTS_WRONG"], "-o", "StrictHostKeyChecking=no")
        self.check_failed(r, "hostkey", "has changed")

    def test_revoked(self):
        r = self.one("-k", self.e["RIG_KNOWN_HOSTS_REVOKED"])
        self.check_failed(r, "hostkey", "revoked")
        self.assertEqual(r.attempts, 1)

    def test_unknown(self):
        r = self.one("-k", self.e["RIG_KNOWN_HOSTS_EMPTY"], "-o", "GlobalKnownHostsFile=none")
        self.check_failed(r, "hostkey", "host key is known for")

    def test_accept_new(self):
        path = os.path.join(self.rig.dir, "with a blank \"and\" quotes")
        for _ in range(2):
            r = self.one("-k", path, "-s", "accept-new", "-o", "GlobalKnownHostsFile=none",
                         command="echo err >&2")
            self.assertEqual((r.ok, r.err), (True, b"err\n"), r)
        with open(path, encoding="ascii") as f:
            self.assertIn(self.e["RIG_PORT"], f.read())


class Signing(OpenSsh):
    rig_options = {"config": ["Banner none"]}

    def test_refused_key(self):
        r = self.one("-i", self.e["RIG_KEY_STRANGER"], "-o", "IdentitiesOnly=yes")
        self.check_failed(r, "auth", "Permission denied (publickey)")
        self.assertEqual((r.attempts, r.err), (1, b""))

    def test_rsa(self):
        self.assertTrue(self.one("-i", self.e["RIG_KEY_RSA"], "-o", "IdentitiesOnly=yes").ok)

    def test_certificate(self):
        """Only the certificate lets the stranger's key in."""
        ca = os.path.join(self.rig.dir, "ca")
        key = os.path.join(self.rig.dir, "certified")
        for path in (ca, key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        subprocess.run(["ssh-keygen", "-q", "-s", ca, "-I", "id", "-n", self.e["RIG_USER"],
                        key + ".pub"], check=True)
        with rig.Rig(config=[f"TrustedUserCAKeys {ca}.pub"]) as other:
            args = ["-p", other.env["RIG_PORT"], "-k", other.env["RIG_KNOWN_HOSTS"], "-i", key]
            self.assertTrue(self.one(*args).ok)
            os.rename(key + "-cert.pub", key + "-cert.away")
            self.check_failed(self.one(*args), "auth", "Permission denied")

    def test_passphrase_is_asked_once_for_all(self):
        log = os.path.join(self.rig.dir, "questions")
        results = self.client("-n", "6", "-i", self.e["RIG_KEY_LOCKED"], "-o",
                              "IdentitiesOnly=yes", "-P", self.e["RIG_KEY_LOCKED_PASSPHRASE"],
                              env={"CLIENT_QUESTIONS": log})
        self.assertTrue(all(r.ok for r in results), results)
        with open(log, encoding="utf-8") as f:
            asked = f.read().splitlines()
        self.assertEqual(len(asked), 1, asked)
        self.assertIn(self.e["RIG_KEY_LOCKED"], asked[0])

    def asked(self, *answers, n=1):
        """Results, and the questions, with a key that has a passphrase."""
        log = os.path.join(tempfile.mkdtemp(dir=self.rig.dir), "questions")
        results = self.client("-n", str(n), "-i", self.e["RIG_KEY_LOCKED"], "-o",
                              "IdentitiesOnly=yes", *[x for a in answers for x in ("-P", a)],
                              env={"CLIENT_QUESTIONS": log})
        with open(log, encoding="utf-8") as f:
            return results, f.read().splitlines()

    def test_wrong_passphrase_is_asked_again(self):
        key = self.e["RIG_KEY_LOCKED"]
        results, asked = self.asked("wrong", "wrong too", self.e["RIG_KEY_LOCKED_PASSPHRASE"], n=3)
        self.assertTrue(all(r.ok for r in results), results)
        self.assertEqual(asked, [f"|Passphrase for {key}|"] +
                         [f"|Wrong passphrase, again: for {key}|"] * 2)

    def test_wrong_passphrase_for_good(self):
        results, asked = self.asked("wrong", n=4)
        for r in results:
            self.check_failed(r, "auth", "Permission denied", self.e["RIG_KEY_LOCKED"],
                              "passphrase was wrong 3 times")
        self.assertEqual(len(asked), 3)

    def test_cancelled_while_asked(self):
        r = self.one("-i", self.e["RIG_KEY_LOCKED"], "-o", "IdentitiesOnly=yes", "-P", "-",
                     "-c", "1500")
        self.check_failed(r, "cancelled", "Cancelled by user")
        self.assertIsNone(r.remote)

    def test_passphrase_declined(self):
        r = self.one("-i", self.e["RIG_KEY_LOCKED"], "-o", "IdentitiesOnly=yes", "-P", "")
        self.check_failed(r, "auth", "Permission denied", self.e["RIG_KEY_LOCKED"],
                          "passphrase was not given")

    def test_no_secret_is_to_be_seen(self):
        """Not in what the child was started with; ssh is replaced by one that tells."""
        folder = tempfile.mkdtemp(dir=self.rig.dir)
        seen = os.path.join(folder, "seen")
        with open(os.path.join(folder, "ssh"), "w", encoding="ascii") as f:
            f.write(f"#!/bin/sh\n[ \"$1\" = -G ] && exec /usr/bin/ssh \"$@\"\n"
                    f"case \" $* \" in *\" -G \"*) exec /usr/bin/ssh \"$@\";; esac\n"
                    f"{{ cat /proc/$$/environ /proc/$$/cmdline; }} >>{seen}\n"
                    "exec /usr/bin/ssh \"$@\"\n")
        os.chmod(os.path.join(folder, "ssh"), 0o755)
        r = self.one("-W", "s3cret-of-the-test",
                     env={"PATH": folder + ":" + os.environ["PATH"]})
        self.assertTrue(r.ok, r)
        with open(seen, "rb") as f:
            text = f.read()
        self.assertIn(b"MUSTER_ASKPASS=", text)
        self.assertNotIn(b"s3cret-of-the-test", text)


class Stopping(harness.StopTests, OpenSsh):
    stop_nodes = 20
    cancel_at_ms = (1, 20, 60, 120, 200, 300, 450)
    cancel_nodes = 10

    def test_cancel_with_a_terminal(self):
        r = self.one("-Y", "-w", command="echo ready; sleep 300.5625")
        self.assertEqual((r.reason, r.remote), ("cancelled", "stopped"), r)
        self.check_gone("300.5625")


class OneSession(OpenSsh):
    rig_options = {"max_sessions": 1}

    def test_by_a_new_connection(self):
        r = self.one("-w", command="echo ready; sleep 300.1875")
        self.assertEqual((r.reason, r.remote), ("cancelled", "stopped"), r)
        self.check_gone("300.1875")


class Sharing(OpenSsh):
    def test_the_users_own_master(self):
        """A live one is used, and outlives the run."""
        path = os.path.join(self.folder, "master")
        base = ["ssh", "-F", self.e["RIG_SSH_CONFIG"], "-o", f"ControlPath={path}"]
        master = subprocess.Popen([*base, "-M", "-N", "127.0.0.1"], stdin=subprocess.DEVNULL)
        try:
            rig.wait_until(lambda: os.path.exists(path), "the master")
            before = self.accepted()
            # The key is one that nobody would let in.
            args = ["-X", "openssh", "-i", self.e["RIG_KEY_STRANGER"], "-o",
                    f"ControlPath={path}"]
            r = harness.SshTest.client(self, *args, command="echo by; exit 9")[0]
            self.assertEqual((r.exit, r.out), (9, b"by\n"), r)
            r = harness.SshTest.client(self, *args, "-w", command="echo by; sleep 300.0625")[0]
            self.assertEqual((r.reason, r.remote), ("cancelled", "stopped"), r)
            self.check_gone("300.0625")
            self.assertEqual(self.accepted(), before)
            self.assertIsNone(master.poll())
        finally:
            master.terminate()
            master.wait()

    def accepted(self):
        with open(self.e["RIG_LOG"], encoding="utf-8", errors="replace") as f:
            return f.read().count("Accepted ")


if __name__ == "__main__":
    harness.main()
