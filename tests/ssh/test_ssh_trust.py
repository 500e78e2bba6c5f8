#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ssh transport against a real sshd: who trusts whom, and what ssh_config says."""

import base64
import os
import socket
import subprocess
import tempfile
import threading
import time

import harness


class HostKeys(harness.SshTest):
    def test_unknown(self):
        r = self.one("-k", self.e["RIG_KNOWN_HOSTS_EMPTY"])
        self.check_failed(r, "hostkey", "unknown", self.e["RIG_KNOWN_HOSTS_EMPTY"],
                          "accept-new", f"[127.0.0.1]:{self.e['RIG_PORT']}", "SHA256:")

    def test_a_file_that_cannot_be_read_is_named(self):
        r = self.one("-k", self.rig.dir)
        self.check_failed(r, "hostkey", "unknown", self.rig.dir + ": is not a file")

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

    def public_keys(self):
        """The server's own, one a line as RevokedHostKeys has them."""
        with open(self.e["RIG_KNOWN_HOSTS"], encoding="utf-8") as f:
            return "".join(line.split(" ", 1)[1] for line in f)

    def test_revoked_by_a_list(self):
        path = self.scratch("# gone\n" + self.public_keys())
        for args in ([], ["-s", "accept-new", "-k", self.scratch("")]):
            r = self.one("-o", f"RevokedHostKeys={path}", *args)
            self.check_failed(r, "hostkey", "REVOKED", path + ":", "RevokedHostKeys")
        config = self.scratch(f"Host *\n  RevokedHostKeys {path}\n")
        for r in self.client("-F", config, "-n", "3"):
            self.check_failed(r, "hostkey", "REVOKED")

    def test_another_key_is_revoked(self):
        with open(self.e["RIG_KEY_STRANGER"] + ".pub", encoding="utf-8") as f:
            path = self.scratch(f.read())
        self.assertTrue(self.one("-o", f"RevokedHostKeys={path}").ok)
        self.assertTrue(self.one("-o", "RevokedHostKeys=none").ok)

    def test_the_list_of_revoked_keys_is_read_anew(self):
        path = self.scratch("")
        self.assertTrue(self.one("-o", f"RevokedHostKeys={path}").ok)
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.public_keys())
        self.check_failed(self.one("-o", f"RevokedHostKeys={path}"), "hostkey", "REVOKED")

    def test_no_list_of_revoked_keys_trusts_nothing(self):
        """As ssh: what may be revoked is not known then."""
        for path, word in (("/nonexistent/revoked", "does not exist"), ("/tmp", "not a file"),
                           (self.scratch("rubbish\n" + self.public_keys()), ":1:")):
            r = self.one("-o", f"RevokedHostKeys={path}")
            self.check_failed(r, "hostkey", "RevokedHostKeys", path, word)

    def test_revocation_list_is_for_ssh_itself(self):
        path = self.scratch("")
        with open(path + ".pub", "w", encoding="utf-8") as f:
            f.write(self.public_keys())
        subprocess.run(["ssh-keygen", "-q", "-k", "-f", path, path + ".pub"], check=True)
        r = self.one("-o", f"RevokedHostKeys={path}")
        self.check_failed(r, "unsupported", "RevokedHostKeys", path, "revocation list", "only ssh itself")

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


class HostKeyTypes(harness.SshTest):
    rig_options = {"host_keys": ("rsa",)}

    def test_only_rsa(self):
        r = self.one("-k", self.e["RIG_KNOWN_HOSTS_EMPTY"])
        self.check_failed(r, "unsupported", "no common host key type", "rsa-sha2-512")


class Keys(harness.SshTest):
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

    def tried(self, *args, **kw):
        """The keys that a user who has none is refused with, in order."""
        r = self.one("-l", "nobody-here", *args, **kw)
        self.check_failed(r, "auth", "tried: ")
        return r.error.split("tried: ")[1].split(";")[0].split(", ")

    def test_own_keys_go_first_and_replace_none(self):
        e = self.e
        config = self.scratch(f"Host *\n  IdentityFile {e['RIG_KEY_ECDSA256']}\n")
        self.assertTrue(self.one("-F", config, "-i", e["RIG_KEY_STRANGER"]).ok)
        self.assertTrue(self.one("-o", f"IdentityFile={e['RIG_KEY']}", "-i",
                                 e["RIG_KEY_STRANGER"]).ok)
        want = [e["RIG_KEY_STRANGER"], e["RIG_KEY_ECDSA256"]]
        self.assertEqual(self.tried("-F", config, "-i", e["RIG_KEY_STRANGER"]), want)
        # Before what the agent has, too; and what is named twice is offered once.
        tried = self.tried("-F", config, "-i", e["RIG_KEY_STRANGER"], "-i", e["RIG_KEY_STRANGER"],
                           env={"SSH_AUTH_SOCK": e["RIG_AGENT_SOCK"]})
        self.assertEqual([k.split(" SHA256")[0] for k in tried[:3]],
                         [e["RIG_KEY_STRANGER"], "agent ecdsa", "agent ed25519"])
        self.assertEqual(len(tried), len(set(tried)))

    def test_no_key_files_at_all(self):
        config = self.scratch(f"Host *\n  IdentityFile {self.e['RIG_KEY']}\n")
        r = self.one("-F", config, "-i", self.e["RIG_KEY"], "-o", "IdentityFile=none")
        self.check_failed(r, "auth", "no key to offer")

    def test_methods_that_leave_none(self):
        r = self.one("-o", "PreferredAuthentications=password")
        self.check_failed(r, "auth", "PreferredAuthentications password leaves out: publickey")

    def test_wrong_user(self):
        r = self.one("-l", "nobody-of-that-name")
        self.check_failed(r, "auth", "nobody-of-that-name@127.0.0.1", "tried")

    def test_second_key_is_taken(self):
        r = self.one("-i", self.e["RIG_KEY_STRANGER"], "-i", self.e["RIG_KEY_ECDSA384"])
        self.assertTrue(r.ok, r)

    def test_certificate_is_named(self):
        """ssh would offer it before the key: it is for ssh itself, which this client does without."""
        with open(self.e["RIG_KEY_STRANGER"], encoding="utf-8") as f:
            path = self.scratch(f.read())
        with open(path + "-cert.pub", "w", encoding="utf-8") as f:
            f.write("ssh-ed25519-cert-v01@openssh.com AAAA\n")
        self.check_failed(self.one("-i", path), "unsupported", path + "-cert.pub is a certificate")

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


class Methods(harness.SshTest):
    rig_options = {"config": ["AuthenticationMethods publickey,keyboard-interactive",
                              "KbdInteractiveAuthentication yes"]}

    def test_a_key_is_not_enough(self):
        r = self.one()
        self.check_failed(r, "auth", "the server accepts: keyboard-interactive")


class Config(harness.SshTest):
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

    def blanks(self):
        """A folder with blanks in its name that has what a connection needs."""
        folder = os.path.join(tempfile.mkdtemp(dir=self.rig.dir), "a b", "100% c")
        os.makedirs(folder)
        for name, what in (("key n1", "RIG_KEY"), ("known hosts", "RIG_KNOWN_HOSTS"),
                           ("global n", "RIG_KNOWN_HOSTS_EMPTY"),
                           ("revoked", "RIG_KNOWN_HOSTS_EMPTY")):
            os.symlink(self.e[what], os.path.join(folder, name))
        return folder

    def test_blanks_and_tokens_in_paths(self):
        folder = self.blanks()
        token = folder.replace("%", "%%")
        settings = {"UserKnownHostsFile": f'/x "{token}/known hosts"',
                    "GlobalKnownHostsFile": f'"{folder}/global n" /y',
                    "RevokedHostKeys": f'"{token}/revoked"',
                    "IdentityFile": f'"{token}/key %n"'}
        lines = [f"{k} {v}" for k, v in settings.items()]
        start = f"Host n1\n  HostName 127.0.0.1\n  Port {self.e['RIG_PORT']}\n"
        config = self.scratch(start + "".join(f"  {line}\n" for line in lines))
        bare = self.scratch(start)
        options = [word for line in lines for word in ("-o", line)]
        for args in (["-F", config], ["-F", bare, *options]):
            for env in ({}, {"PATH": "/nonexistent"}):
                with self.subTest(args=args, env=env):
                    r = self.plain(*args, env=env)[0]
                    self.assertTrue(r.ok, r)
        # Each of them was read: with another one in its place it fails by that.
        r = self.plain("-F", config, "-o", f'UserKnownHostsFile="{token}/global n"')[0]
        self.check_failed(r, "hostkey", f"{folder}/global n,")
        r = self.plain("-F", config, "-o", f'RevokedHostKeys="{token}/none"')[0]
        self.check_failed(r, "hostkey", f"{folder}/none: does not exist")

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

    def test_match_by_the_inventorys_user(self):
        config = self.config("Match user nobody-d\n  Port 1\n")
        bare = self.scratch(open(config, encoding="utf-8").read().replace(
            f"  User {self.e['RIG_USER']}\n", ""))
        r = self.plain("-F", bare, "-d", "user=nobody-d")[0]
        self.assertEqual((r.user, r.port), ("nobody-d", 1))
        # It is not to be the user where the file names another one.
        r = self.plain("-F", config, "-d", "user=nobody-d")[0]
        self.assertTrue(r.ok, r)

    def test_a_fork_is_none_of_ours(self):
        for quiet in ("", "  LogLevel QUIET\n"):
            r = self.plain("-F", self.config("Host *\n  ForkAfterAuthentication yes\n" + quiet))[0]
            self.assertTrue(r.ok, r)

    def test_a_terminal_by_ssh_config(self):
        for value, want in (("force", b"tty"), ("yes", b"tty"), ("auto", b"none"), ("no", b"none")):
            r = self.plain("-F", self.config(f"Host *\n  RequestTTY {value}\n"),
                           command="test -t 0 && echo tty || echo none")[0]
            self.assertEqual((r.ok, r.out.strip()), (True, want), r)

    def test_bind_address(self):
        r = self.plain("-F", self.config("Host *\n  BindAddress 192.0.2.7\n"))[0]
        self.check_failed(r, "unreachable", "from BindAddress 192.0.2.7: Cannot assign")
        r = self.plain("-F", self.config("Host *\n  BindAddress 127.0.0.1\n"))[0]
        self.assertTrue(r.ok, r)
        r = self.plain("-F", self.config("Host *\n  BindAddress localhost\n"))[0]
        self.check_failed(r, "unsupported", "BindAddress localhost", "ssh itself")

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
        for setting in ("KnownHostsCommand /bin/true", "VerifyHostKeyDNS yes",
                        "CertificateFile /x-cert.pub", "PKCS11Provider /x.so",
                        "RemoteCommand uptime", "SessionType none", "BindInterface lo"):
            with self.subTest(setting):
                began = self.connections()
                r = self.plain("-F", self.config(f"Host *\n  {setting}\n"))[0]
                self.check_failed(r, "unsupported", setting.split()[0])
                self.assertEqual(self.connections(), began)    # before connecting

    def test_the_way_round_is_named(self):
        config = self.config("Host *\n  ForwardAgent yes\n  SessionType none\n")
        r = self.plain("-F", config)[0]
        self.check_failed(r, "unsupported", "-o SessionType=default")
        r = self.plain("-F", config, "-o", "SessionType=default")[0]
        self.check_failed(r, "unsupported", "-o ForwardAgent=no")
        r = self.plain("-F", config, "-o", "SessionType=default", "-o", "ForwardAgent=no")[0]
        self.assertTrue(r.ok, r)

    def test_ipv6_is_resolved(self):
        r = self.one("-H", "::1", "-p", self.e["RIG_PORT_REFUSED"])
        self.check_failed(r, "unreachable", "::1")

    def test_all_addresses_are_tried(self):
        """localhost has two addresses, and sshd listens on one."""
        with open(self.e["RIG_KNOWN_HOSTS"], encoding="utf-8") as f:
            path = self.scratch(f.read().replace("[127.0.0.1]", "[localhost]"))
        r = self.one("-H", "localhost", "-k", path)
        self.assertTrue(r.ok, r)


class Environment(harness.SshTest):
    """SendEnv and SetEnv, as far as the server's AcceptEnv goes."""
    rig_options = {"config": ["AcceptEnv RIG_T_* LANG"]}
    show = "printf '%s|' \"$RIG_T_A\" \"$RIG_T_B\" \"$RIG_U\" \"$LANG\""

    def test_set(self):
        r = self.one("-o", "SetEnv=RIG_T_A=1 'RIG_T_B=two  words' RIG_U=x", command=self.show)
        self.assertTrue(r.ok, r)
        self.assertEqual(r.out.split(b"|")[:3], [b"1", b"two  words", b""])

    def test_send(self):
        env = {"RIG_T_A": "a=b\nc", "RIG_T_B": "", "RIG_U": "refused", "LANG": "xx_XX"}
        r = self.one("-o", "SendEnv=RIG_* LANG", command=self.show, env=env)
        self.assertTrue(r.ok, r)
        self.assertEqual(r.out, b"a=b\nc|||xx_XX|")

    def test_nothing_is_sent_unasked(self):
        r = self.one(command=self.show, env={"RIG_T_A": "a", "LANG": "xx_XX"})
        self.assertEqual(r.out.split(b"|")[0], b"")
        self.assertNotIn(b"xx_XX", r.out)

    def test_set_goes_before_send(self):
        r = self.one("-o", "SendEnv=RIG_T_A", "-o", "SetEnv=RIG_T_A=set", command=self.show,
                     env={"RIG_T_A": "sent"})
        self.assertEqual(r.out.split(b"|")[0], b"set")

    def test_by_many(self):
        results = self.client("-n", "40", "-o", "SendEnv=RIG_*", command=self.show,
                              env={"RIG_T_A": "x" * 10000, "RIG_U": "refused", "RIG_T_B": "b"})
        for r in results:
            self.assertEqual(r.out.split(b"|")[:3], [b"x" * 10000, b"b", b""], r)

    def test_too_long_is_not_sent(self):
        r = self.one("-o", "SendEnv=RIG_*", command=self.show,
                     env={"RIG_T_A": "x" * 100000, "RIG_T_B": "b"})
        self.assertEqual(r.out.split(b"|")[:2], [b"", b"b"])


if __name__ == "__main__":
    harness.main()
