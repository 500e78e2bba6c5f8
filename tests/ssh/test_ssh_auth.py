#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proving who the user is, against a real sshd: RSA, keys with a passphrase, agents, several steps."""

import base64
import os
import shutil
import socket
import subprocess
import threading

import harness


class AuthTest(harness.SshTest):
    """Questions are answered by the client's -P; each is a line in a file."""

    def setUp(self):
        self.asked = self.scratch("", "questions")
        self.log = self.scratch("", "log")

    def ask(self, *args, answers=(), **kw):
        env = {"CLIENT_QUESTIONS": self.asked, "CLIENT_LOG": self.log, **kw.pop("env", {})}
        return self.client(*[x for a in answers for x in ("-P", a)], *args, env=env, **kw)

    def client(self, *args, env=None, **kw):
        return super().client(*args, env={**harness.LIBRARY_LEAKS, **(env or {})}, **kw)

    def questions(self):
        with open(self.asked, encoding="utf-8") as f:
            return f.read().splitlines()

    def decryptions(self):
        with open(self.log, encoding="utf-8") as f:
            return f.read().count("decrypted ")

    def make_key(self, *args, authorise=True):
        path = os.path.join(os.path.dirname(self.scratch("")), "key")
        subprocess.run(["ssh-keygen", "-q", "-f", path, "-C", "test", *args], check=True,
                       stdin=subprocess.DEVNULL)
        if authorise:
            with open(path + ".pub", encoding="ascii") as f:
                line = f.read()
            with open(os.path.join(self.rig.dir, "authorized_keys"), "a", encoding="ascii") as f:
                f.write(line)
        return path

    def agent(self, path=None):
        return {"SSH_AUTH_SOCK": path or self.e["RIG_AGENT_SOCK"]}


class Rsa(AuthTest):
    rig_options = {"agent": True}

    def test_each_form(self):
        for args in ([], ["-m", "PEM"], ["-m", "PKCS8"], ["-b", "4096"]):
            with self.subTest(args):
                key = self.make_key("-t", "rsa", "-N", "", *args)
                r = self.one("-i", key)
                self.assertTrue(r.ok, r)

    def test_signed_by_sha2(self):
        r = self.one("-i", self.e["RIG_KEY_RSA"], "-o", "PubkeyAcceptedAlgorithms=rsa-sha2-256")
        self.assertTrue(r.ok, r)
        # A server of today takes no SHA-1, and that is all that is left here.
        r = self.one("-i", self.e["RIG_KEY_RSA"], "-o", "PubkeyAcceptedAlgorithms=ssh-rsa")
        self.check_failed(r, "auth", self.e["RIG_KEY_RSA"], "ssh itself")

    def test_left_out(self):
        r = self.one("-i", self.e["RIG_KEY_RSA"], "-o", "PubkeyAcceptedAlgorithms=ssh-ed25519")
        self.check_failed(r, "auth", "PubkeyAcceptedAlgorithms leaves out")

    def test_too_small(self):
        r = self.one("-i", self.e["RIG_KEY_RSA"], "-o", "RequiredRSASize=3072")
        self.check_failed(r, "auth", "2048 bits", "RequiredRSASize is 3072")

    def test_agent(self):
        subprocess.run(["ssh-add", "-q", self.e["RIG_KEY_RSA"]], check=True,
                       env={**os.environ, **self.agent()}, stderr=subprocess.DEVNULL)
        public = self.scratch("")
        shutil.copy(self.e["RIG_KEY_RSA"] + ".pub", public + ".pub")
        with open(public, "w", encoding="utf-8") as f:
            f.write("")
        # Only the public half is here: it names which of the agent's keys it is.
        results = self.client("-A", "-i", public, "-o", "IdentitiesOnly=yes", "-n", "20",
                              env=self.agent())
        self.assertTrue(all(r.ok for r in results), results[:1])

    def test_refused(self):
        key = self.make_key("-t", "rsa", "-N", "", authorise=False)
        self.check_failed(self.one("-i", key), "auth", "tried: " + key, "the server accepts",
                          "ssh itself may do better")


class Passphrases(AuthTest):
    rig_options = {"agent": True}
    secret = "a pass phrase"

    def locked(self, *args):
        return self.make_key("-N", self.secret, "-a", "4", *args)

    def test_each_kind(self):
        for args in (["-t", "ed25519"], ["-t", "ecdsa"], ["-t", "rsa"],
                     ["-t", "ecdsa", "-m", "PEM"], ["-t", "rsa", "-m", "PKCS8"],
                     ["-t", "ed25519", "-Z", "aes256-gcm@openssh.com"],
                     ["-t", "ed25519", "-Z", "chacha20-poly1305@openssh.com"]):
            with self.subTest(args):
                key = self.locked(*args)
                before = len(self.questions())
                r = self.ask("-i", key, answers=[self.secret])[0]
                self.assertTrue(r.ok, r)
                self.assertEqual(self.questions()[before:], [f"|Passphrase for {key}|"])

    def test_asked_and_decrypted_once(self):
        key = self.locked("-t", "ed25519")
        results = self.ask("-n", "30", "-i", key, answers=[self.secret])
        self.assertTrue(all(r.ok for r in results), [r for r in results if not r.ok][:1])
        self.assertEqual(len(self.questions()), 1)
        self.assertEqual(self.decryptions(), 1)
        self.assert_nowhere(self.log)

    def assert_nowhere(self, path):
        with open(path, encoding="utf-8") as f:
            self.assertNotIn(self.secret, f.read())

    def test_wrong_and_again(self):
        key = self.locked("-t", "ecdsa")
        r = self.ask("-i", key, answers=["wrong", self.secret])[0]
        self.assertTrue(r.ok, r)
        self.assertEqual(self.questions(), [f"|Passphrase for {key}|",
                                            f"|Wrong passphrase, again: for {key}|"])

    def test_wrong_for_good(self):
        key = self.locked("-t", "ed25519")
        results = self.ask("-n", "5", "-i", key, answers=["wrong"])
        for r in results:
            self.check_failed(r, "auth", key, "wrong 3 times")
        self.assertEqual(len(self.questions()), 3)
        self.assertEqual(self.decryptions(), 0)

    def test_forgotten_when_nothing_runs(self):
        """The next batch of the same process asks again, and what was declined is asked again too."""
        key = self.locked("-t", "ed25519")
        results = self.ask("-n", "4", "-2", "", "-i", key, answers=[self.secret])
        self.assertEqual([r.ok for r in results], [True] * 8, results)
        self.assertEqual((len(self.questions()), self.decryptions()), (2, 2))
        results = self.ask("-2", "", "-i", key, answers=["", self.secret])
        self.assertEqual([r.ok for r in results], [False, True], results)

    def test_declined(self):
        key = self.locked("-t", "ed25519")
        results = self.ask("-n", "10", "-i", key, answers=[""])
        for r in results:
            self.check_failed(r, "auth", "passphrase was not given", "ssh-add " + key)
        self.assertEqual(len(self.questions()), 1)

    def test_declined_and_another_key(self):
        key = self.locked("-t", "ed25519")
        r = self.ask("-i", key, "-i", self.e["RIG_KEY"], answers=[""])[0]
        self.assertTrue(r.ok, r)

    def test_not_asked_for_a_key_that_is_refused(self):
        key = self.make_key("-N", self.secret, "-t", "ed25519", authorise=False)
        r = self.ask("-i", key, answers=[self.secret])[0]
        self.check_failed(r, "auth", "tried: " + key)
        self.assertEqual(self.questions(), [])

    def test_the_agent_has_it(self):
        key = self.locked("-t", "ed25519")
        askpass = self.scratch(f"#!/bin/sh\necho '{self.secret}'\n")
        os.chmod(askpass, 0o700)
        env = {**os.environ, **self.agent(), "SSH_ASKPASS": askpass,
               "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "x"}
        subprocess.run(["ssh-add", "-q", key], env=env, check=True, stdin=subprocess.DEVNULL)
        r = self.ask("-A", "-i", key, answers=[""], env=self.agent())[0]
        self.assertTrue(r.ok, r)
        self.assertEqual(self.questions(), [])

    def test_nobody_to_ask(self):
        key = self.locked("-t", "ed25519")
        self.check_failed(self.one("-i", key), "auth", "passphrase", "nobody can be asked here")
        r = self.ask("-i", key, "-o", "BatchMode=yes", answers=[self.secret])[0]
        self.check_failed(r, "auth", "passphrase", "ssh-add " + key)
        self.assertEqual(self.questions(), [])

    def test_public_half_is_hidden(self):
        key = self.locked("-t", "ecdsa", "-m", "PEM")
        os.unlink(key + ".pub")
        results = self.ask("-n", "12", "-i", key, answers=[self.secret])
        self.assertTrue(all(r.ok for r in results), results[:1])
        self.assertEqual((len(self.questions()), self.decryptions()), (1, 1))

    def test_cancelled_while_asked(self):
        """Nobody answers, and the batch is cancelled: it ends at once, and nothing is left."""
        key = self.locked("-t", "ed25519")
        results = self.ask("-n", "3", "-c", "600", "-i", key, answers=["-"])
        self.assertEqual({r.reason for r in results}, {"cancelled"}, results)


class Offers(AuthTest):
    rig_options = {"agent": True}

    def test_beyond_what_is_offered(self):
        keys = [self.make_key("-t", "ed25519", "-N", "", authorise=False) for _ in range(6)]
        r = self.one(*[x for k in keys for x in ("-i", k)])
        self.check_failed(r, "auth", "tried: " + keys[0], keys[5] + " comes after the 5")

    def test_no_key_at_all(self):
        r = self.one("-o", "PubkeyAuthentication=no", "-o", "PasswordAuthentication=yes")
        self.check_failed(r, "auth", "PubkeyAuthentication is off")

    def test_public_key_names_one_of_the_agents(self):
        """The private half is in the agent alone, as with hardware tokens."""
        key = self.make_key("-t", "ed25519", "-N", "")
        env = self.agent()
        only = ["-A", "-o", "IdentitiesOnly=yes", "-o"]
        subprocess.run(["ssh-add", "-q", key], check=True, env={**os.environ, **env},
                       stderr=subprocess.DEVNULL)
        os.remove(key)
        os.chmod(key + ".pub", 0o644)
        for name in (key + ".pub", key):
            r = self.one(*only, "IdentityFile=" + name, env=env)
            self.assertTrue(r.ok, (name, r))
        subprocess.run(["ssh-add", "-q", "-d", key + ".pub"], check=True,
                       env={**os.environ, **env}, stderr=subprocess.DEVNULL)
        r = self.one(*only, "IdentityFile=" + key + ".pub", env=env)
        self.check_failed(r, "auth", key + ".pub is a public key, and the agent does not hold its "
                                           "private half")
        r = self.one(*only, "IdentityFile=" + key, env=env)
        self.check_failed(r, "auth", "the agent does not hold its private half")
        r = self.one(*only, "IdentityFile=" + key + ".pub")
        self.check_failed(r, "auth", "is a public key, and there is no agent")

    def serve(self, path, listing):
        """An agent that lists this, and signs nothing."""
        def turn(conn):
            with conn:
                while True:
                    head = conn.recv(4)
                    if len(head) < 4:
                        return
                    kind = conn.recv(int.from_bytes(head, "big"))[:1]
                    answer = listing if kind == b"\x0b" else b"\x05"
                    conn.sendall(len(answer).to_bytes(4, "big") + answer)

        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(64)
        self.addCleanup(listener.close)

        def accept():
            while True:
                try:
                    conn = listener.accept()[0]
                except OSError:
                    return
                threading.Thread(target=turn, args=(conn,), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
        self.addCleanup(listener.shutdown, socket.SHUT_RDWR)

    @staticmethod
    def listing(*blobs):
        out = b"\x0c" + len(blobs).to_bytes(4, "big")
        for blob in blobs:
            out += len(blob).to_bytes(4, "big") + blob + b"\0" * 4
        return out

    @staticmethod
    def blob(kind):
        return len(kind).to_bytes(4, "big") + kind + b"\0\0\0\4rest"

    def test_security_key_in_the_agent(self):
        """First what works here; only when that was refused it is for ssh itself."""
        path = os.path.join(self.rig.dir, "sk.sock")
        self.serve(path, self.listing(self.blob(b"sk-ssh-ed25519@openssh.com")))
        self.assertTrue(self.one(env=self.agent(path)).ok)
        r = self.one("-i", self.e["RIG_KEY_STRANGER"], env=self.agent(path))
        self.check_failed(r, "auth", "tried: " + self.e["RIG_KEY_STRANGER"],
                          "only ssh itself can offer agent sk-ssh-ed25519@openssh.com")
        r = self.one("-i", self.e["RIG_KEY_STRANGER"], "-o", "IdentitiesOnly=yes",
                     env=self.agent(path))
        self.assertNotIn("ssh itself", r.error)

    def test_certificate_in_the_agent(self):
        path = os.path.join(self.rig.dir, "cert.sock")
        self.serve(path, self.listing(self.blob(b"ssh-ed25519-cert-v01@openssh.com")))
        r = self.one(env=self.agent(path))
        self.check_failed(r, "unsupported", "certificate", "only ssh itself", path)
        # It belongs to no file that is named: ssh would not offer it either.
        self.assertTrue(self.one("-o", "IdentitiesOnly=yes", env=self.agent(path)).ok)

    def test_agent_that_knows_no_sha2(self):
        """It signs, by whatever it likes: what is not what was asked for is not sent."""
        with open(self.e["RIG_KEY_RSA"] + ".pub", encoding="ascii") as f:
            blob = base64.b64decode(f.read().split()[1])
        path = os.path.join(self.rig.dir, "refuses.sock")
        self.serve(path, self.listing(blob))
        r = self.one("-i", self.e["RIG_KEY_STRANGER"], env=self.agent(path))
        self.check_failed(r, "auth", "agent rsa SHA256:", "refused to sign")


class TwoKeys(AuthTest):
    rig_options = {"config": ["AuthenticationMethods publickey,publickey"]}

    def test_one_after_the_other(self):
        r = self.one("-i", self.e["RIG_KEY"], "-i", self.e["RIG_KEY_ECDSA384"])
        self.assertTrue(r.ok, r)

    def test_one_is_not_enough(self):
        r = self.one("-i", self.e["RIG_KEY"])
        self.check_failed(r, "auth", "tried: " + self.e["RIG_KEY"], "the server accepts: publickey")


class OnlyPassword(AuthTest):
    rig_options = {"config": ["PubkeyAuthentication no", "PasswordAuthentication yes"]}

    def test_not_given(self):
        r = self.ask(answers=["never asked for"])[0]
        self.check_failed(r, "auth", "the server accepts: password", "give -A")
        self.assertEqual(self.questions(), [])

    def test_refused_once(self):
        """Nobody's password: it is shown once, and no second time."""
        r = self.one("-W", "not-the-password", "-l", "nobody-of-that-name", "-r", "2")
        self.check_failed(r, "auth", "password refused")
        self.assertEqual(r.attempts, 1)
        with open(self.e["RIG_LOG"], encoding="utf-8") as f:
            self.assertEqual(f.read().count("Failed password for invalid user nobody-of-that"), 1)


class OneTry(AuthTest):
    """A server that hangs up on the first wrong password. Each one that it is shown counts."""
    rig_options = {"config": ["PubkeyAuthentication no", "PasswordAuthentication yes",
                              "MaxAuthTries 1"]}

    def shown(self, user):
        with open(self.e["RIG_LOG"], encoding="utf-8") as f:
            return f.read().count(f"Failed password for invalid user {user} ")

    def test_shown_once(self):
        for transport in ("ssh", "openssh"):
            with self.subTest(transport):
                user = f"nobody-by-{transport}"
                r = self.one("-X", transport, "-W", "not-the-password", "-l", user, "-r", "2")
                self.check_failed(r, "auth", "Too many" if transport == "openssh" else "refused")
                self.assertEqual((r.attempts, self.shown(user)), (1, 1))

    def jump(self, *args, user):
        config = self.scratch(f"Host bastion\n  HostName 127.0.0.1\n  Port {self.e['RIG_PORT']}\n"
                              f"  User {user}\n  UserKnownHostsFile {self.e['RIG_KNOWN_HOSTS']}\n"
                              "  GlobalKnownHostsFile none\n", "config")
        return self.client("-F", config, "-J", "bastion", "-r", "2", *args, plain=True)

    def test_shown_once_to_a_bastion(self):
        for r in self.jump("-n", "20", "-W", "not-the-password", user="nobody-there"):
            self.check_failed(r, "auth", "jump host bastion", "refused")
            self.assertEqual(r.attempts, 1)
        self.assertEqual(self.shown("nobody-there"), 1)

    def test_another_password_is_another_try(self):
        """Two batches of one process: the failure of the first is not the answer to the second."""
        results = self.jump("-n", "3", "-W", "wrong", "-2", "corrected", user="nobody-twice")
        self.assertEqual(len(results), 6)
        self.assertEqual(self.shown("nobody-twice"), 2)


class TwoTries(AuthTest):
    """It hangs up when it is asked what else it would take."""
    rig_options = {"config": ["PubkeyAuthentication no", "PasswordAuthentication yes",
                              "MaxAuthTries 2"]}

    def test_shown_once(self):
        r = self.one("-W", "not-the-password", "-l", "nobody-here", "-r", "2")
        self.check_failed(r, "auth", "password refused")
        with open(self.e["RIG_LOG"], encoding="utf-8") as f:
            self.assertEqual(f.read().count("Failed password"), 1)


if __name__ == "__main__":
    harness.main()
