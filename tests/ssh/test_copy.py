#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""push and pull over real sshds: by libssh2 and by the ssh program, a server that runs no commands, a
copy that is cancelled, many nodes at once."""

import ctypes
import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rig      # noqa: E402

MUSTER = os.environ["MUSTER"]
LARGE = 50 << 20
SFTP_SERVER = "/usr/lib/openssh/sftp-server"


class Copy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rig = rig.Rig()
        r = cls.rig.__enter__()
        cls.home = os.path.join(r.dir, "client")
        os.makedirs(cls.home)
        with open(os.path.join(cls.home, "inventory.yaml"), "w", encoding="ascii") as f:
            f.write("groups:\n  all:\n    nodes: \"n[001-100]\"\n    host: 127.0.0.1\n"
                    f"    port: {r.env['RIG_PORT']}\n    user: {r.env['RIG_USER']}\n"
                    f"    identity: {r.env['RIG_KEY']}\n"
                    f"    known_hosts: {r.env['RIG_KNOWN_HOSTS']}\n")
        cls.env = dict(os.environ, HOME=cls.home, XDG_STATE_HOME=cls.home, XDG_CONFIG_HOME=cls.home,
                       MUSTER_INVENTORY=os.path.join(cls.home, "inventory.yaml"))
        cls.env.pop("SSH_AUTH_SOCK", None)
        cls.large = os.path.join(cls.home, "large")
        with open(cls.large, "wb") as f:
            for _ in range(LARGE >> 20):
                f.write(os.urandom(1 << 20))

    @classmethod
    def tearDownClass(cls):
        cls.rig.__exit__(None, None, None)

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="muster-copy-")
        os.mkdir(self.path("dst"))

    def tearDown(self):
        shutil.rmtree(self.dir)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def muster(self, *args, rc=0):
        p = subprocess.run([MUSTER, *args], env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL,
                           capture_output=True, timeout=120)
        text = p.stdout.decode() + p.stderr.decode()
        self.assertEqual(p.returncode, rc, text)
        return text

    def status(self):
        return json.loads(self.muster("status", "--json"))

    def tree(self):
        for name in ("tree/a b", "tree/it's", "tree/sub/é!\\x", "tree/empty"):
            os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
            with open(self.path(name), "w", encoding="utf-8") as f:
                f.write("" if name.endswith("empty") else name)
        os.symlink("a b", self.path("tree/link"))
        return self.path("tree")

    def alike(self, a, b):
        p = subprocess.run(["diff", "-r", "--no-dereference", a, b], capture_output=True, check=False)
        self.assertEqual((p.returncode, p.stdout), (0, b""))

    def there_and_back(self, *flags, config="none"):
        tree = self.tree()
        self.muster("push", "-F", config, "-w", "n001", *flags, tree, self.path("dst"))
        self.alike(tree, self.path("dst/tree"))
        self.muster("pull", "-F", config, "-w", "n001", *flags, self.path("dst/tree"), "out")
        self.alike(tree, self.path("out/n001/tree"))
        self.muster("push", "-F", config, "-w", "n001", *flags, self.large, self.path("dst/copy"))
        self.assertTrue(filecmp.cmp(self.large, self.path("dst/copy"), shallow=False))
        x = self.status()["executions"][0]
        self.assertEqual(x["bytesDone"], x["bytesTotal"])
        self.assertGreater(x["bytesTotal"], LARGE)
        self.muster("pull", "-F", config, "-w", "n001", *flags, self.large, "out")
        self.assertTrue(filecmp.cmp(self.large, self.path("out/n001/large"), shallow=False))
        return self.status()["executions"][0]["transport"]

    def test_ssh(self):
        self.assertEqual(self.there_and_back(), "ssh")

    @unittest.skipUnless(shutil.which("ssh"), "there is no ssh program")
    def test_openssh(self):
        self.assertEqual(self.there_and_back("--transport", "openssh"), "openssh")

    @unittest.skipUnless(shutil.which("ssh"), "there is no ssh program")
    def test_no_terminal_in_between(self):
        """Whatever ssh_config says of a terminal: it would change what passes through it."""
        config = self.path("config")
        with open(config, "w", encoding="utf-8") as f:
            f.write("Host *\n  RequestTTY force\n")
        for transport in ("ssh", "openssh"):
            with self.subTest(transport):
                shutil.rmtree(self.path("dst"), ignore_errors=True)
                os.makedirs(self.path("dst"))
                for name in ("out", "tree"):
                    shutil.rmtree(self.path(name), ignore_errors=True)
                self.there_and_back("--transport", transport, config=config)

    def test_refused_there(self):
        text = self.muster("push", "-F", "none", "-w", "n001", self.large, self.path("no/x"), rc=5)
        self.assertIn("exit code 71", text)
        self.assertIn("no such folder", text)
        # It ends before it has read anything of what is sent.
        text = self.muster("push", "-F", "none", "-w", "n001", self.large, "/proc/", rc=5)
        self.assertIn("exit code 72", text)

    def test_many(self):
        tree = self.tree()
        self.muster("pull", "-F", "none", "-a", "-f", "30", tree, "out")
        self.assertEqual(len(os.listdir(self.path("out"))), 100)
        self.alike(tree, self.path("out/n100/tree"))
        one = self.path("tree/a b")
        text = self.muster("push", "-F", "none", "-a", "-f", "30", "-b", one, self.path("dst"))
        self.assertIn("n[001-100]", text)
        self.assertTrue(filecmp.cmp(one, self.path("dst/a b"), shallow=False))

    def cancelled(self, *argv):
        p = subprocess.Popen([MUSTER, *argv], env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                d = self.status()
            except AssertionError:
                continue            # before there is a database
            if d["batch"]["action"].startswith(argv[0]) and d["executions"][0].get("bytesDone"):
                break
        p.send_signal(signal.SIGINT)
        p.wait(60)
        return self.status()["executions"][0]

    def test_cancel_leaves_nothing(self):
        # Large enough to last; a sparse file costs no disk.
        with open(self.path("sparse"), "wb") as f:
            f.truncate(400 << 20)
        x = self.cancelled("push", "-F", "none", "-w", "n001", self.path("sparse"), self.path("dst"))
        self.assertEqual((x["reason"], x["remoteProcess"]), ("cancelled", "stopped"))
        os.mkdir(self.path("out"))
        x = self.cancelled("pull", "-F", "none", "-w", "n001", "--max-output", "10G",
                           self.path("sparse"), "out")
        self.assertEqual(x["reason"], "cancelled")
        self.assertEqual(os.listdir(self.path("out")), [])
        self.assertEqual(os.listdir(self.path("dst")), [])


    def sessions(self):
        """The processes of our sshd that serve somebody."""
        for pid in rig.descendants(int(self.rig.env["RIG_SSHD_PID"])):
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().startswith(b"sshd: "):
                    yield pid

    def killed(self, how, *flags):
        with open(self.path("sparse"), "wb") as f:
            f.truncate(800 << 20)
        with open(self.path("dst/sparse"), "w", encoding="ascii") as f:
            f.write("old")
        p = subprocess.Popen([MUSTER, "push", "-F", "none", "-w", "n001", *flags, self.path("sparse"),
                              self.path("dst")], env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        rig.wait_until(lambda: any(os.path.getsize(os.path.join(top, "sparse")) > 1000 for top, _, names
                                   in os.walk(self.path("dst")) if "sparse" in names), "the push", 60)
        if how == "muster":
            p.kill()
        else:
            for pid in self.sessions():
                os.kill(pid, signal.SIGKILL)
        p.wait(60)
        rig.wait_until(lambda: os.listdir(self.path("dst")) == ["sparse"], "the folder to go", 60)
        self.assertEqual(os.path.getsize(self.path("dst/sparse")), 3)
        self.assertEqual(self.status()["executions"][0]["reason"], "lost")

    def test_killed_here(self):
        self.killed("muster")

    def test_killed_there(self):
        self.killed("sshd")

    @unittest.skipUnless(shutil.which("ssh"), "there is no ssh program")
    def test_openssh_killed(self):
        for how in ("muster", "sshd"):
            with self.subTest(how):
                self.killed(how, "--transport", "openssh")


class SftpTest(unittest.TestCase):
    """A server of its own for each test, that runs no commands."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="muster-copy-")
        self.addCleanup(shutil.rmtree, self.dir)
        os.mkdir(self.path("dst"))
        self.env = dict(os.environ, HOME=self.dir, XDG_STATE_HOME=self.dir, XDG_CONFIG_HOME=self.dir)
        self.env.pop("SSH_AUTH_SOCK", None)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def serve(self, *config):
        r = rig.Rig(config=list(config)).start()
        self.addCleanup(r.stop)
        with open(self.path("one.yaml"), "w", encoding="ascii") as f:
            f.write(f"nodes:\n  only:\n    host: 127.0.0.1\n    port: {r.env['RIG_PORT']}\n"
                    f"    user: {r.env['RIG_USER']}\n    identity: {r.env['RIG_KEY']}\n"
                    f"    known_hosts: {r.env['RIG_KNOWN_HOSTS']}\n")
        return r

    def argv(self, verb, *args):
        return [MUSTER, verb, "-F", "none", "-i", self.path("one.yaml"), "-w", "only", "-u", "50", *args]

    def go(self, verb, *args, rc=0):
        p = subprocess.run(self.argv(verb, *args), env=self.env, cwd=self.dir, timeout=120,
                           stdin=subprocess.DEVNULL, capture_output=True, check=False)
        text = p.stdout.decode() + p.stderr.decode()
        self.assertEqual(p.returncode, rc, text)
        return text

    def status(self):
        p = subprocess.run([MUSTER, "status", "--json"], env=self.env, capture_output=True, check=False)
        return json.loads(p.stdout)["executions"][0] if p.returncode == 0 else {}

    def write(self, name, size):
        with open(self.path(name), "wb") as f:
            f.write(os.urandom(size))
        return self.path(name)

    def tree(self):
        for name in ("tree/a b", "tree/it's", "tree/sub/é!\\x", "tree/sub/" + "n" * 200, "tree/empty"):
            os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
            self.write(name, 0 if name.endswith("empty") else 70000)
        os.symlink("a b", self.path("tree/link"))
        os.symlink("no/" + "t" * 150, self.path("tree/dangling"))
        os.chmod(self.path("tree/a b"), 0o751)
        os.utime(self.path("tree/a b"), (10 ** 9, 10 ** 9))
        return self.path("tree")

    def alike(self, a, b):
        p = subprocess.run(["diff", "-r", "--no-dereference", a, b], capture_output=True, check=False)
        self.assertEqual((p.returncode, p.stdout), (0, b""))

    def same(self, a, b):
        self.assertTrue(filecmp.cmp(a, b, shallow=False))


class SftpOnly(SftpTest):
    def there_and_back(self):
        tree, dst = self.tree(), self.path("dst")
        text = self.go("push", tree, dst)
        self.assertRegex(text, "only: 5 files, .*, by sftp")
        self.assertNotIn("This service", text)
        self.alike(tree, os.path.join(dst, "tree"))
        st = os.stat(os.path.join(dst, "tree/a b"))
        self.assertEqual((st.st_mode & 0o777, st.st_mtime), (0o751, 10 ** 9))
        self.write("tree/a b", 5)               # over what is there: files, links
        os.unlink(self.path("tree/link"))
        os.symlink("empty", self.path("tree/link"))
        self.go("push", tree, dst)
        self.alike(tree, os.path.join(dst, "tree"))
        self.assertEqual(os.listdir(dst), ["tree"])
        self.assertIn("by sftp", self.go("pull", os.path.join(dst, "tree"), "out"))
        self.alike(tree, self.path("out/only/tree"))
        large = self.write("large", 20 << 20)
        self.go("push", large, os.path.join(dst, "other"))
        self.same(large, os.path.join(dst, "other"))
        x = self.status()
        self.assertEqual((x["bytesDone"], x["bytesTotal"], x["transport"]), (20 << 20, 20 << 20, "ssh"))
        self.go("pull", large, "out")
        self.same(large, self.path("out/only/large"))
        self.go("push", large, self.path("tree/a b"), dst + "/")
        self.assertEqual(sorted(os.listdir(dst)), ["a b", "large", "other", "tree"])

    def test_there_and_back(self):
        self.serve("ForceCommand internal-sftp")
        self.there_and_back()

    def test_without_a_rename_that_replaces(self):
        self.serve("ForceCommand internal-sftp -P posix-rename")
        self.there_and_back()

    def test_odd_names(self):
        self.serve("ForceCommand internal-sftp")
        for name in (b"new\nline", b"tail\n", b"\n", b"a\\b\nc", b"fol\nder/in it", b"bad\xff\xfe", b" lead",
                     b"-dash", b"empty dir/sub/", b"back\\slash"):
            path = os.path.join(os.fsencode(self.path("odd")), name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not name.endswith(b"/"):
                with open(path, "wb") as f:
                    f.write(name)
        os.symlink(".", self.path("odd/loop"))
        os.mkfifo(self.path("odd/pipe"))
        text = self.go("pull", self.path("odd"), "out")
        self.assertIn("not taken: pipe (a device or a pipe)", text)
        os.unlink(self.path("odd/pipe"))
        self.alike(self.path("odd"), self.path("out/only/odd"))
        text = self.go("push", self.path("odd"), self.path("dst"), rc=2)
        self.assertIn("a newline in a name cannot be sent", text)
        for name in os.listdir(self.path("odd")):
            if "\n" in name:
                shutil.rmtree(self.path("odd", name), ignore_errors=True)
                if os.path.lexists(self.path("odd", name)):
                    os.unlink(self.path("odd", name))
        self.go("push", self.path("odd"), self.path("dst"))
        self.alike(self.path("odd"), self.path("dst/odd"))

    @unittest.skipUnless(os.path.exists(SFTP_SERVER), "there is no sftp-server")
    def test_command_that_is_the_server(self):
        """Its command is forced on ours too, which it takes for broken sftp."""
        self.serve(f"ForceCommand {SFTP_SERVER}")
        self.there_and_back()

    @unittest.skipUnless(shutil.which("ssh"), "there is no ssh program")
    def test_openssh(self):
        self.serve("ForceCommand internal-sftp")
        text = self.go("push", "--transport", "openssh", self.write("one", 100), self.path("dst"), rc=5)
        self.assertIn("This service allows sftp connections only", text)

    def test_refused(self):
        self.serve("ForceCommand internal-sftp")
        one = self.write("one", 100)
        for to, code, why in ((self.path("no/x"), 71, "no such folder"), ("/proc/", 72, "sftp: /proc: "),
                              (self.path("dst/no/"), 71, "no such folder")):
            text = self.go("push", one, to, rc=5)
            self.assertIn(f"exit code {code}", text)
            self.assertIn(why, text)
        self.assertIn("is in the way: it is no folder", self.go("push", self.path("dst"), one, rc=5))
        self.assertIn("no such file", self.go("pull", self.path("gone"), "out", rc=5))
        self.assertIn("the whole file system", self.go("pull", "/", "out", rc=5))
        self.assertIn("neither a file nor", self.go("pull", "/dev/null", "out", rc=5))
        self.assertIn("no other user can be become", self.go("push", "--sudo", one, "/tmp", rc=5))
        self.assertEqual(os.listdir(self.path("dst")), [])

    def pushing(self):
        with open(self.path("sparse"), "wb") as f:
            f.truncate(800 << 20)
        p = subprocess.Popen(self.argv("push", self.tree(), self.path("sparse"), self.path("dst")),
                             env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        rig.wait_until(lambda: os.listdir(self.path("dst")) and self.status().get("bytesDone"),
                       "the push", 60)
        return p

    def test_lost(self):
        r = self.serve("ForceCommand internal-sftp")
        p = self.pushing()
        r.stop_sshd()
        p.wait(60)
        x = self.status()
        self.assertEqual((x["reason"], x["remoteProcess"]), ("lost", "unknown"))
        self.assertIn("lost during copying by sftp", x["error"])

    def test_cancel_leaves_nothing(self):
        self.serve("ForceCommand internal-sftp")
        p = self.pushing()
        self.assertTrue(os.listdir(self.path("dst"))[0].startswith(".muster-"))
        p.send_signal(signal.SIGINT)
        p.wait(60)
        x = self.status()
        self.assertEqual((x["reason"], x["remoteProcess"]), ("cancelled", "stopped"))
        self.assertEqual(os.listdir(self.path("dst")), [])

    def test_no_sftp_either(self):
        self.serve("ForceCommand /bin/false")
        text = self.go("push", self.write("one", 100), self.path("dst"), rc=5)
        self.assertIn("sftp was not to be had", text)

    def test_hostile_names(self):
        with open(self.path("fake"), "w", encoding="ascii") as f:
            f.write(FAKE)
        for name in ("a/b", "../up", "", "nul\0", "n" * 300):
            with self.subTest(name):
                with open(self.path("name"), "w", encoding="ascii", newline="") as f:
                    f.write(name)
                self.serve(f"ForceCommand {sys.executable} {self.path('fake')} {self.path('name')}")
                self.assertIn("a name in it that is none", self.go("pull", "/x", "out", rc=5))
                self.assertFalse(os.path.lexists(self.path("out")))


    def test_server_that_tells_little(self):
        """Nothing is left out, or cut, for what a server does not say."""
        with open(self.path("fake"), "w", encoding="ascii") as f:
            f.write(FAKE)
        with open(self.path("name"), "w", encoding="ascii") as f:
            f.write("x")
        for what, why in (("list", "does not say which of its names are folders"),
                          ("size", "does not say how large it is"),
                          ("hello", "sftp was not to be had")):
            with self.subTest(what):
                self.serve(f"ForceCommand {sys.executable} {self.path('fake')} {self.path('name')} "
                           + what)
                self.assertIn(why, self.go("pull", "/x", "out", rc=5))
                self.assertFalse(os.path.lexists(self.path("out")))


# Refuses commands; as the subsystem it knows one folder, with one name in it.
FAKE = """
import os, struct, sys
if "/bin/sh" in os.environ.get("SSH_ORIGINAL_COMMAND", ""):
    sys.exit(1)
name = open(sys.argv[1], "rb").read()
u32 = lambda n: struct.pack(">I", n)
text = lambda s: u32(len(s)) + s
what = "".join(sys.argv[2:])
attrs = u32(4) + u32(0o40755)
answers = {17: b"\x69" + (u32(4) + u32(0o100644) if what == "size" else attrs),
           11: b"\x66" + text(b"h"),
           12: b"\x68" + u32(1) + text(name) + text(b"") + (u32(0) if what == "list" else attrs)}
while True:
    head = sys.stdin.buffer.read(4)
    if len(head) < 4:
        break
    body = sys.stdin.buffer.read(struct.unpack(">I", head)[0])
    answer = answers.get(body[0], b"\x65" + u32(4) + text(b"") + text(b""))
    hello = (b"\x65" if what == "hello" else b"\x02") + u32(3)
    packet = hello if body[0] == 1 else answer[:1] + body[1:5] + answer[1:]
    sys.stdout.buffer.write(text(packet))
    sys.stdout.buffer.flush()
"""


def private_mounts():
    """From now on what this process mounts is its own. False: it may not."""
    libc = ctypes.CDLL(None, use_errno=True)
    return (os.geteuid() == 0 and libc.unshare(0x00020000) == 0 and
            subprocess.run(["mount", "--make-rprivate", "/"], check=False).returncode == 0)


# Refuses commands; else between the client and a server that replaces nothing by a rename. It answers some
# requests itself, or holds one until it may pass.
PROXY = """
import os, struct, subprocess, sys, threading, time
if "/bin/sh" in os.environ.get("SSH_ORIGINAL_COMMAND", ""):
    sys.exit(1)
what, here = sys.argv[2], sys.argv[3]
server = subprocess.Popen([sys.argv[1], "-P", "posix-rename"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
lock = threading.Lock()

def packet(f):
    head = f.read(4)
    return head + f.read(struct.unpack(">I", head)[0]) if len(head) == 4 else b""

def give(data):
    with lock:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

def answers():
    while True:
        data = packet(server.stdout)
        if not data:
            os._exit(0)
        give(data)

def texts(body):
    out, at = [], 5
    for _ in range(2):
        n = struct.unpack(">I", body[at:at + 4])[0]
        out.append(os.path.basename(body[at + 4:at + 4 + n].decode()))
        at += 4 + n
    return out

threading.Thread(target=answers, daemon=True).start()
old = False
while True:
    data = packet(sys.stdin.buffer)
    if not data:
        os._exit(0)
    body, status = data[4:], None
    if body[0] == 10 and "setstat" in what or body[0] == 9 and what == "setstat":
        status = 8
    if body[0] == 18:
        name, to = texts(body)
        old |= to.endswith(".old")
        if old and name.isdigit() and what in ("swap", "back"):
            status = 4
        if name.endswith(".old") and what == "back":
            status = 3
        if old and name.isdigit() and what == "kill":
            os._exit(1)
        if old and name.isdigit() and what == "hold":
            open(here + "/held", "w").close()
            while not os.path.exists(here + "/go"):
                time.sleep(0.01)
    if status is None:
        server.stdin.write(data)
        server.stdin.flush()
    else:
        packed = b"\\x65" + body[1:5] + struct.pack(">III", status, 0, 0)
        give(struct.pack(">I", len(packed)) + packed)
"""


@unittest.skipUnless(os.path.exists(SFTP_SERVER), "there is no sftp-server")
class SftpPlain(SftpTest):
    def proxy(self, what):
        with open(self.path("proxy"), "w", encoding="ascii") as f:
            f.write(PROXY)
        self.serve(f"ForceCommand {sys.executable} {self.path('proxy')} {SFTP_SERVER} {what} {self.dir}")

    def two(self):
        """A file that is there, and a new one; the bytes of the old one."""
        new, old = self.write("one", 70000), self.write("dst/one", 50000)
        with open(old, "rb") as f:
            return new, old, f.read()

    def content(self, *path):
        with open(self.path(*path), "rb") as f:
            return f.read()

    def test_replaced(self):
        self.proxy("nothing")
        new, old, _ = self.two()
        os.symlink("gone", self.path("dst/link"))
        os.mkdir(self.path("tree"))
        os.symlink("else", self.path("tree/link"))
        self.go("push", new, self.path("tree"), self.path("dst"))
        self.same(new, old)
        self.go("push", self.path("tree"), self.path("dst"))
        self.go("push", new, self.path("dst/link"))     # one that leads nowhere is replaced too
        self.same(new, self.path("dst/link"))
        self.assertFalse(os.path.islink(self.path("dst/link")))
        self.assertEqual(sorted(os.listdir(self.path("dst"))), ["link", "one", "tree"])

    def test_not_replaced(self):
        self.proxy("swap")
        new, _, bytes_before = self.two()
        text = self.go("push", new, self.path("dst"), rc=5)
        self.assertIn("exit code 75", text)
        self.assertIn("dst/one: failure", text)
        self.assertEqual(self.content("dst", "one"), bytes_before)
        self.assertEqual(os.listdir(self.path("dst")), ["one"])

    def test_not_brought_back_either(self):
        self.proxy("back")
        new, _, bytes_before = self.two()
        text = self.go("push", new, self.path("dst"), rc=5)
        self.assertRegex(text, r"what was there is now \S+/\.muster-[0-9a-f]+/0\.old")
        stage = os.listdir(self.path("dst"))
        self.assertEqual(len(stage), 1)
        self.assertEqual(self.content("dst", stage[0], "0.old"), bytes_before)

    def test_killed_in_between(self):
        self.proxy("kill")
        new, _, bytes_before = self.two()
        text = self.go("push", new, self.path("dst"), rc=3)
        self.assertRegex(text, r"what was there may be \S+/0\.old")
        stage = os.listdir(self.path("dst"))
        self.assertEqual(self.content("dst", stage[0], "0.old"), bytes_before)

    def test_cancelled_in_between(self):
        self.proxy("hold")
        new, old, _ = self.two()
        p = subprocess.Popen(self.argv("push", new, self.write("two", 10), self.path("dst")), env=self.env,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(p.stderr.close)
        rig.wait_until(lambda: os.path.exists(self.path("held")), "the rename", 60)
        p.send_signal(signal.SIGINT)
        for line in p.stderr:
            if b"(Ctrl-C again leaves at once)" in line:
                break
        with open(self.path("go"), "w", encoding="ascii"):
            pass
        p.wait(60)
        self.same(new, old)     # what was begun is brought to its end
        self.assertEqual(os.listdir(self.path("dst")), ["one"])
        self.assertEqual(self.status()["reason"], "cancelled")

    def test_attributes(self):
        new = self.write("one", 1000)
        os.chmod(new, 0o640)
        os.utime(new, (10 ** 9, 10 ** 9))
        self.proxy("fsetstat")
        self.assertNotIn("permissions", self.go("push", new, self.path("dst")))
        st = os.stat(self.path("dst/one"))
        self.assertEqual((st.st_mode & 0o777, st.st_mtime), (0o640, 10 ** 9))

    def test_no_attributes(self):
        self.proxy("setstat")
        os.mkdir(self.path("tree"))
        os.chmod(self.write("tree/one", 1000), 0o751)
        text = self.go("push", self.path("tree"), self.path("dst"))
        self.assertIn("the server sets no permissions and times: 2 that came have those it gives itself, the "
                      "first is tree/one", text)
        self.assertEqual(os.stat(self.path("dst/tree/one")).st_mode & 0o777, 0o751)     # as it was made
        self.assertEqual(os.listdir(self.path("dst")), ["tree"])


class SftpChroot(SftpTest):
    def test_small_disk(self):
        if not private_mounts():
            self.skipTest("needs mounts of its own")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", "/mnt"], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", "/mnt"], check=True)
        self.serve("ForceCommand internal-sftp", "ChrootDirectory /mnt")
        large = self.write("large", 5 << 20)
        self.go("push", large, "/")
        self.same(large, "/mnt/large")
        self.go("pull", "/large", "out")
        self.same(large, self.path("out/only/large"))
        # The old one stays until the new one is there, so there is no room.
        text = self.go("push", self.write("new", 5 << 20), "/large", rc=5)
        self.assertIn("exit code 73", text)
        self.assertIn("sftp: new: failure (no room", text)
        self.same(large, "/mnt/large")
        self.assertEqual(os.listdir("/mnt"), ["large"])


if __name__ == "__main__":
    unittest.main()
