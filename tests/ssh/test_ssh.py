#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ssh transport against a real sshd on the loopback: test_ssh.py CLIENT [TEST...]"""

import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import rig

CLIENT = None
TIME_LIMIT = 120
LIBRARY_LEAKS = {"LSAN_OPTIONS": "print_suppressions=0:suppressions=" +
                 os.path.join(os.path.dirname(os.path.abspath(__file__)), "lsan.supp")}


class Result:
    """One line of the client's."""

    def __init__(self, line):
        self.__dict__.update(json.loads(line))
        self.out = base64.b64decode(self.out)
        self.err = base64.b64decode(self.err)

    def __repr__(self):
        return repr({k: v for k, v in self.__dict__.items() if k not in ("out", "err")} |
                    {"out": self.out[:200], "err": self.err[:200]})


class SshTest(unittest.TestCase):
    rig_options = {}

    @classmethod
    def setUpClass(cls):
        cls.rig = rig.Rig(**cls.rig_options).start()
        cls.e = cls.rig.env

    @classmethod
    def tearDownClass(cls):
        cls.rig.stop()

    def client(self, *args, command="true", plain=False, env=None):
        """Runs the client; `plain` leaves out the options that make it reach the rig."""
        usual = [] if plain else ["-F", "none", "-H", "127.0.0.1", "-p", self.e["RIG_PORT"],
                                  "-l", self.e["RIG_USER"]]
        if not plain and "-i" not in args and "-A" not in args:
            usual += ["-i", self.e["RIG_KEY"]]
        if not plain and "-k" not in args:
            usual += ["-k", self.e["RIG_KNOWN_HOSTS"]]
        environ = {k: v for k, v in os.environ.items() if k != "SSH_AUTH_SOCK"}
        environ.update(env or {})
        done = subprocess.run([CLIENT, *usual, *[a for a in args if a != "-A"], "--", command],
                              stdout=subprocess.PIPE, timeout=TIME_LIMIT, env=environ, check=True)
        return [Result(line) for line in done.stdout.splitlines()]

    def one(self, *args, **kw):
        results = self.client(*args, **kw)
        self.assertEqual(len(results), 1)
        return results[0]

    def check_failed(self, result, reason, *words):
        self.assertEqual(result.reason, reason, result)
        for word in words:
            self.assertIn(word, result.error)

    def scratch(self, text, name="file"):
        path = os.path.join(tempfile.mkdtemp(dir=self.rig.dir), name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o600)
        return path


class Running(SshTest):
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

    def test_too_long_a_command(self):
        self.check_failed(self.one(command=": " + "x" * 40000), "unsupported", "too long", "40")

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


class HostKeys(SshTest):
    def test_unknown(self):
        r = self.one("-k", self.e["RIG_KNOWN_HOSTS_EMPTY"])
        self.check_failed(r, "hostkey", "unknown", self.e["RIG_KNOWN_HOSTS_EMPTY"],
                          "accept-new", f"[127.0.0.1]:{self.e['RIG_PORT']}", "SHA256:")

    def test_changed(self):
        r = self.one("-k", self.e["RIG_KNOWN_HOSTS_WRONG"])
        self.check_failed(r, "hostkey", "differs", self.e["RIG_KNOWN_HOSTS_WRONG"] + ":1")

    def test_changed_is_refused_with_accept_new(self):
        for args in (["-s", "accept-new"], ["-o", "StrictHostKeyChecking=no"]):
            r = self.one("-k", self.e["RIG_KNOWN_HOSTS_WRONG"], *args)
            self.check_failed(r, "hostkey", "differs")

    def test_revoked(self):
        r = self.one("-k", self.e["RIG_KNOWN_HOSTS_REVOKED"], "-k", self.e["RIG_KNOWN_HOSTS"])
        self.check_failed(r, "hostkey", "REVOKED", self.e["RIG_KNOWN_HOSTS_REVOKED"])

    def test_nothing_was_shown_to_a_wrong_server(self):
        r = self.one("-k", self.e["RIG_KNOWN_HOSTS_WRONG"], "-l", "the-name-to-look-for")
        self.check_failed(r, "hostkey")
        self.assertTrue(self.one().ok)    # by now the log has what the server saw before
        with open(self.e["RIG_LOG"], encoding="utf-8") as f:
            self.assertNotIn("the-name-to-look-for", f.read())

    def test_hashed(self):
        self.assertTrue(self.one("-k", self.e["RIG_KNOWN_HOSTS_HASHED"]).ok)

    def test_accept_new(self):
        path = self.scratch("# kept")    # no newline at its end
        for args in (["-s", "accept-new"], []):
            r = self.one("-k", path, *args)
            self.assertTrue(r.ok, r)
        with open(path, encoding="utf-8") as f:
            lines = f.read().splitlines()
        self.assertEqual(len(lines), 2)
        self.assertEqual(lines[0], "# kept")
        name = f"[127.0.0.1]:{self.e['RIG_PORT']}"
        found = subprocess.run(["ssh-keygen", "-F", name, "-f", path],
                               stdout=subprocess.PIPE, check=True)
        self.assertIn(b"ssh-ed25519", found.stdout)

    def test_accept_new_by_many_at_once(self):
        path = os.path.join(os.path.dirname(self.scratch("")), "new", "known_hosts")
        results = self.client("-n", "20", "-k", path, "-s", "accept-new")
        self.assertTrue(all(r.ok for r in results), results)
        with open(path, encoding="utf-8") as f:
            self.assertEqual(len(f.read().splitlines()), 1)

    def test_hashed_when_asked(self):
        path = self.scratch("")
        r = self.one("-k", path, "-s", "accept-new", "-o", "HashKnownHosts=yes")
        self.assertTrue(r.ok, r)
        with open(path, encoding="utf-8") as f:
            self.assertTrue(f.read().startswith("|1|"))
        self.assertTrue(self.one("-k", path).ok)

    def test_authority_only(self):
        with open(self.e["RIG_KNOWN_HOSTS"], encoding="utf-8") as f:
            path = self.scratch("".join("@cert-authority " + line for line in f))
        self.check_failed(self.one("-k", path), "unsupported", "certificate authority", path)

    def test_only_rsa_known(self):
        with open(self.e["RIG_KEY_RSA"] + ".pub", encoding="utf-8") as f:
            path = self.scratch(f"[127.0.0.1]:{self.e['RIG_PORT']} {f.read()}")
        self.check_failed(self.one("-k", path), "unsupported", "ssh-rsa", path + ":1")

    def test_other_type_known(self):
        """Only the ecdsa key is known: it is asked for, though ed25519 would be preferred."""
        with open(self.e["RIG_KNOWN_HOSTS"], encoding="utf-8") as f:
            path = self.scratch("".join(line for line in f if "ecdsa" in line))
        self.assertTrue(self.one("-k", path).ok)

    def test_alias(self):
        with open(self.e["RIG_KNOWN_HOSTS"], encoding="utf-8") as f:
            path = self.scratch("".join("web1 " + line.split(" ", 1)[1] for line in f))
        self.check_failed(self.one("-k", path), "hostkey", "unknown")
        self.assertTrue(self.one("-k", path, "-o", "HostKeyAlias=web1").ok)


class Keys(SshTest):
    rig_options = {"agent": True}

    def test_each_kind(self):
        for kind in ("ED25519", "ECDSA256", "ECDSA384", "ECDSA521", "ECDSA256_PEM",
                     "ECDSA256_PKCS8"):
            with self.subTest(kind):
                r = self.one("-i", self.e[f"RIG_KEY_{kind}"])
                self.assertTrue(r.ok, r)

    def test_refused(self):
        r = self.one("-i", self.e["RIG_KEY_STRANGER"])
        self.check_failed(r, "auth", "tried: ", self.e["RIG_KEY_STRANGER"],
                          "the server accepts: publickey")

    def test_wrong_user(self):
        r = self.one("-l", "nobody-of-that-name")
        self.check_failed(r, "auth", "nobody-of-that-name@127.0.0.1", "tried")

    def test_second_key_is_taken(self):
        r = self.one("-i", self.e["RIG_KEY_STRANGER"], "-i", self.e["RIG_KEY_ECDSA384"])
        self.assertTrue(r.ok, r)

    def test_rsa_is_named(self):
        r = self.one("-i", self.e["RIG_KEY_RSA"])
        self.check_failed(r, "auth", "no key to offer", "RSA", self.e["RIG_KEY_RSA"])

    def test_passphrase_is_named(self):
        r = self.one("-i", self.e["RIG_KEY_LOCKED"])
        self.check_failed(r, "auth", "passphrase", "ssh-add", self.e["RIG_KEY_LOCKED"])

    def test_open_to_all(self):
        with open(self.e["RIG_KEY"], encoding="utf-8") as f:
            path = self.scratch(f.read())
        os.chmod(path, 0o644)
        self.check_failed(self.one("-i", path), "auth", "chmod 600", "0644")

    def test_absent_and_damaged(self):
        r = self.one("-i", "/nonexistent/key", "-i", self.scratch("rubbish"))
        self.check_failed(r, "auth", "/nonexistent/key does not exist", "not a private key")

    def agent(self, path=None):
        return {"SSH_AUTH_SOCK": path or self.e["RIG_AGENT_SOCK"]}

    def test_agent(self):
        r = self.one("-A", env=self.agent(), command="echo ok")
        self.assertTrue(r.ok, r)

    def test_agent_for_many(self):
        results = self.client("-A", "-n", "40", env=self.agent())
        self.assertTrue(all(r.ok for r in results), [r for r in results if not r.ok][:1])

    def test_agent_has_the_locked_key(self):
        """The file needs a passphrase, but tells which of the agent's keys it is."""
        env = {**os.environ, **self.agent(), "SSH_ASKPASS": self.scratch(
            "#!/bin/sh\necho 'rig passphrase'\n"), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "x"}
        os.chmod(env["SSH_ASKPASS"], 0o700)
        subprocess.run(["ssh-add", "-q", self.e["RIG_KEY_LOCKED"]], env=env, check=True,
                       stdin=subprocess.DEVNULL)
        r = self.one("-i", self.e["RIG_KEY_LOCKED"], "-o", "IdentitiesOnly=yes", env=self.agent())
        self.assertTrue(r.ok, r)

    def test_no_such_agent(self):
        r = self.one("-i", self.e["RIG_KEY_STRANGER"], env=self.agent("/nonexistent/agent"))
        self.check_failed(r, "auth", "agent /nonexistent/agent", "No such file")

    def test_agent_that_hangs(self):
        path = os.path.join(self.rig.dir, "hung.sock")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen(16)
            began = time.monotonic()
            r = self.one("-i", self.e["RIG_KEY_STRANGER"], "-t", "6000", env=self.agent(path))
            self.check_failed(r, "auth", "does not answer", path)
            self.assertLess(time.monotonic() - began, 6)
            # A file that works is not held up for ever.
            r = self.one("-t", "6000", env=self.agent(path))
            self.assertTrue(r.ok, r)

    def test_agent_that_lists_and_then_hangs(self):
        path = os.path.join(self.rig.dir, "half.sock")
        with open(self.e["RIG_KEY"] + ".pub", encoding="ascii") as f:
            blob = base64.b64decode(f.read().split()[1])
        answer = b"\x0c" + (1).to_bytes(4, "big") + len(blob).to_bytes(4, "big") + blob + b"\0" * 4
        kept = []

        def serve(listener):
            while True:
                try:
                    conn, _ = listener.accept()
                except OSError:
                    return
                kept.append(conn)
                if conn.recv(5)[4:] == b"\x0b":
                    conn.sendall(len(answer).to_bytes(4, "big") + answer)

        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen(16)
            threading.Thread(target=serve, args=(s,), daemon=True).start()
            r = self.one("-i", self.e["RIG_KEY_STRANGER"], "-t", "6000", env=self.agent(path))
            self.check_failed(r, "auth", "does not answer", "agent ed25519 SHA256:")
            s.shutdown(socket.SHUT_RDWR)

    def test_agent_that_closes(self):
        path = os.path.join(self.rig.dir, "closing.sock")

        def serve(listener):
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen(16)
            threading.Thread(target=serve, args=(s,), daemon=True).start()
            r = self.one("-i", self.e["RIG_KEY_STRANGER"], env=self.agent(path))
            self.check_failed(r, "auth", "closed the connection")
            s.shutdown(socket.SHUT_RDWR)


class Reaching(SshTest):
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


class Dropping(SshTest):
    rig_options = {"max_startups": "2:100:4"}

    def test_drops_are_tried_again(self):
        # More at once than the server takes: eight at a time, against two.
        results = self.client("-n", "24", "-r", "10", "-t", "60000")
        self.assertTrue(all(r.ok for r in results), [r for r in results if not r.ok][:3])


class Algorithms(SshTest):
    rig_options = {"config": ["Ciphers chacha20-poly1305@openssh.com"]}

    def test_nothing_in_common(self):
        r = self.one()
        self.check_failed(r, "unsupported", "no common cipher", "chacha20-poly1305@openssh.com",
                          "aes128-ctr")
        self.assertEqual(r.attempts, 1)

    def test_nothing_allowed(self):
        self.check_failed(self.one("-o", "MACs=umac-64@openssh.com"), "unsupported", "MACs",
                          "hmac-sha2-256")


class HostKeyTypes(SshTest):
    rig_options = {"host_keys": ("rsa",)}

    def test_only_rsa(self):
        r = self.one("-k", self.e["RIG_KNOWN_HOSTS_EMPTY"])
        self.check_failed(r, "unsupported", "no common host key type", "rsa-sha2-512")


class Config(SshTest):
    """ssh_config: what it says is asked of ssh, once for each class of hosts."""

    def config(self, text=""):
        return self.scratch(text + f"""
Host *
  HostName 127.0.0.1
  User {self.e['RIG_USER']}
  Port {self.e['RIG_PORT']}
  IdentityFile {self.e['RIG_KEY']}
  UserKnownHostsFile {self.e['RIG_KNOWN_HOSTS']}
""")

    def plain(self, *args, **kw):
        return self.client(*args, plain=True, **kw)

    def test_everything_from_config(self):
        results = self.plain("-F", self.config(), "-n", "5", command="echo $MUSTER_HOST")
        self.assertEqual([(r.ok, r.out) for r in results], [(True, b"127.0.0.1\n")] * 5, results)

    def test_ssh_runs_once_for_a_class(self):
        count = self.scratch("")
        folder = os.path.dirname(count)
        ssh = os.path.join(folder, "ssh")
        with open(ssh, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\necho x >> {count}\nexec /usr/bin/ssh \"$@\"\n")
        os.chmod(ssh, 0o700)
        env = {"PATH": folder + ":" + os.environ["PATH"]}
        config = self.config("Host n1*\n  ConnectTimeout 9\n")
        results = self.plain("-F", config, "-n", "30", env=env)
        self.assertTrue(all(r.ok for r in results), results[:1])
        with open(count, encoding="utf-8") as f:
            self.assertEqual(len(f.read().split()), 2)    # n1, n10-n19, and the others

    def test_tokens_by_host(self):
        keys = os.path.join(self.rig.dir, "by-host")
        os.makedirs(keys, exist_ok=True)
        for i in (1, 2, 3):
            name = os.path.join(keys, f"n{i}-{self.e['RIG_USER']}")
            if not os.path.exists(name):
                os.symlink(self.e["RIG_KEY" if i != 2 else "RIG_KEY_STRANGER"], name)
        config = self.scratch(f"""
Host *
  HostName 127.0.0.1
  Port {self.e['RIG_PORT']}
  IdentityFile {keys}/%n-%r
  UserKnownHostsFile {self.e['RIG_KNOWN_HOSTS']}
""")
        results = self.plain("-F", config, "-n", "3")
        self.assertEqual({r.position: r.reason for r in results}, {0: "", 1: "auth", 2: ""})

    def test_match_asks_for_each(self):
        config = self.config("Match host n2\n  Port 1\n")
        results = self.plain("-F", config, "-n", "3")
        self.assertEqual({r.position: r.ok for r in results}, {0: True, 1: False, 2: True})
        self.assertEqual([r.port for r in results if not r.ok], [1])

    def test_include(self):
        inner = self.scratch("Host n2\n  User nobody-at-all\n")
        results = self.plain("-F", self.config(f"Include {inner}\n"), "-n", "3")
        self.assertEqual({r.position: r.reason for r in results}, {0: "", 1: "auth", 2: ""})

    def test_broken(self):
        path = self.scratch("Host *\n  NoSuchWord yes\n")
        self.check_failed(self.plain("-F", path)[0], "unsupported", path, "line 2", "nosuchword")

    def test_order(self):
        """Inventory defaults, then ssh_config, then the node and the flags."""
        config = self.config()
        r = self.plain("-F", config, "-d", "user=nobody-d", "-d", "port=1")[0]
        self.assertTrue(r.ok, r)
        r = self.plain("-F", config, "-d", "user=nobody-d", "-l", "nobody-f")[0]
        self.assertEqual((r.reason, r.user), ("auth", "nobody-f"))
        bare = self.scratch(f"Host *\n  HostName 127.0.0.1\n  Port {self.e['RIG_PORT']}\n")
        r = self.plain("-F", bare, "-d", "user=nobody-d", "-d",
                       f"identity={self.e['RIG_KEY']}", "-d",
                       f"known_hosts={self.e['RIG_KNOWN_HOSTS']}")[0]
        self.assertEqual((r.reason, r.user), ("auth", "nobody-d"))

    def test_options_of_the_command_line(self):
        e = self.e
        config = self.scratch(f"Host *\n  HostName 127.0.0.1\n  Port {e['RIG_PORT']}\n")
        path = self.scratch("")
        r = self.plain("-F", config, "-o", f"IdentityFile={e['RIG_KEY']}", "-o",
                       f"UserKnownHostsFile={path}", "-o", "StrictHostKeyChecking=accept-new",
                       "-k", "/nonexistent", "-i", e["RIG_KEY_STRANGER"], "-s", "yes")[0]
        self.assertTrue(r.ok, r)
        self.assertGreater(os.path.getsize(path), 0)

    def test_without_an_ssh_program(self):
        e = self.e
        r = self.plain("-H", "127.0.0.1", "-p", e["RIG_PORT"], "-o", f"IdentityFile={e['RIG_KEY']}",
                       "-o", f"UserKnownHostsFile={e['RIG_KNOWN_HOSTS']}",
                       env={"PATH": "/nonexistent"})[0]
        self.assertTrue(r.ok, r)

    def connections(self):
        with open(self.e["RIG_LOG"], encoding="utf-8") as f:
            return f.read().count("Connection from")

    def test_unsupported_by_name(self):
        for setting in ("ProxyJump bastion", "ProxyCommand nc %h %p", "KnownHostsCommand /bin/true",
                        "VerifyHostKeyDNS yes", "CertificateFile /x-cert.pub",
                        "PKCS11Provider /x.so", "PubkeyAuthentication no",
                        "PreferredAuthentications password"):
            with self.subTest(setting):
                began = self.connections()
                r = self.plain("-F", self.config(f"Host *\n  {setting}\n"))[0]
                self.check_failed(r, "unsupported", setting.split()[0])
                self.assertEqual(self.connections(), began)    # before connecting

    def test_ipv6_is_resolved(self):
        r = self.one("-H", "::1", "-p", self.e["RIG_PORT_REFUSED"])
        self.check_failed(r, "unreachable", "::1")

    def test_all_addresses_are_tried(self):
        """localhost has two addresses, and sshd listens on one."""
        with open(self.e["RIG_KNOWN_HOSTS"], encoding="utf-8") as f:
            path = self.scratch(f.read().replace("[127.0.0.1]", "[localhost]"))
        r = self.one("-H", "localhost", "-k", path)
        self.assertTrue(r.ok, r)


class Stopping(SshTest):
    def pids(self, mark):
        """Processes of the rig's with this on their command line."""
        found = []
        for pid in rig.descendants(int(self.e["RIG_SSHD_PID"])):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if mark.encode() in f.read():
                        found.append(pid)
            except OSError:
                pass
        return found

    def check_gone(self, mark):
        rig.wait_until(lambda: not self.pids(mark), f"the end of {mark}", 5)

    def test_cancel_kills(self):
        began = time.monotonic()
        r = self.one("-w", command="echo ready; sleep 300.125; echo not reached")
        self.check_failed(r, "cancelled", "Cancelled by user")
        self.assertEqual((r.remote, r.out), ("stopped", b"ready\n"))
        self.assertLess(time.monotonic() - began, 10)
        self.check_gone("sleep 300.125".replace(" ", "\0"))

    def test_cancel_kills_what_ignores_term(self):
        r = self.one("-w", "-g", "300",
                     command="trap '' TERM; echo ready; while :; do sleep 0.225; done")
        self.assertEqual((r.reason, r.remote), ("cancelled", "stopped"))
        self.check_gone("0.225")

    def test_children_of_the_group_go_too(self):
        r = self.one("-w", "-g", "300", command=
                     "(trap '' TERM; exec sleep 300.375) >/dev/null 2>&1 & "
                     "echo ready; sleep 300.25")
        self.assertEqual((r.reason, r.remote), ("cancelled", "stopped"))
        self.check_gone("300.375")
        self.check_gone("300.25")

    def test_command_timeout(self):
        r = self.one("-u", "400", command="echo begun; sleep 300.5")
        self.check_failed(r, "timeout", "command", "0.4")
        self.assertEqual((r.remote, r.out), ("stopped", b"begun\n"))
        self.check_gone("300.5")

    def test_cancel_of_many(self):
        results = self.client("-n", "50", "-w", command="echo ready; sleep 300.625")
        for r in results:
            self.assertEqual((r.reason, r.remote), ("cancelled", "stopped"), r)
        self.check_gone("300.625")

    def test_orphans_that_nobody_reaps(self):
        """The rig adopts them and lets them lie: dead, but still in the group."""
        r = self.one("-w", "-g", "20000", command="echo ready; case x in x) sleep 300.25;; esac")
        self.assertEqual((r.reason, r.remote), ("cancelled", "stopped"))
        self.assertLess(r.ms, 10000)

    def test_cancel_at_any_time(self):
        """In every phase of connecting: all end at once as cancelled, nothing stays behind."""
        for ms in (1, 10, 30, 60, 100, 150, 250):
            results = self.client("-n", "40", "-f", "40", "-c", str(ms), command="sleep 300.875",
                                  env=LIBRARY_LEAKS)
            for r in results:
                self.assertEqual(r.reason, "cancelled", r)
                self.assertIn(r.remote, (None, "stopped"), r)
        self.check_gone("300.875")

    def test_while_it_floods(self):
        r = self.one("-u", "500", "-m", "1000", command="yes 300.75")
        self.assertEqual((r.reason, r.remote, r.out_cut), ("timeout", "stopped", True))
        self.check_gone("300.75")


class StoppingWithOneSession(SshTest):
    rig_options = {"max_sessions": 1}

    def test_unknown(self):
        r = self.one("-w", "-g", "300", command="echo ready; sleep 30.125")
        self.check_failed(r, "cancelled")
        self.assertEqual(r.remote, "unknown")


class Methods(SshTest):
    rig_options = {"config": ["AuthenticationMethods publickey,keyboard-interactive",
                              "KbdInteractiveAuthentication yes"]}

    def test_a_key_is_not_enough(self):
        r = self.one()
        self.check_failed(r, "auth", "the server accepts: keyboard-interactive")


class Banner(SshTest):
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
        r = self.one(command="head -c 3000000 /dev/zero", env=LIBRARY_LEAKS)
        self.assertTrue(r.ok, r)
        self.assertEqual(r.out, bytes(3000000))


if __name__ == "__main__":
    if not rig.available():
        print("sshd is not installed, skipped (./dev setup installs it)", file=sys.stderr)
        sys.exit(77)
    CLIENT = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
