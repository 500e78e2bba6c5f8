# SPDX-License-Identifier: Apache-2.0
"""A small world of its own for tests that need accounts, passwords, sudo and PAM: private mounts, a
private network that is only the loopback, and private processes. Nothing of the machine's own
/etc, /run or /var is written.

    import world
    sys.exit(world.run(main))       # main(w) runs inside, with w a World

Needs root and unshare(1). The first process inside reaps what others leave; when it ends, the kernel
kills the rest, so that nothing is left behind in whatever way a test ends.
"""

import base64
import ctypes
import fcntl
import grp
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))
from waiting import until as wait_until   # noqa: E402

INSIDE = "MUSTER_WORLD"
PR_SET_PDEATHSIG = 1
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40
PROGRAMS = ("unshare", "mount", "sshd", "ssh", "ssh-keygen", "ssh-agent", "ssh-add", "sudo", "doas",
            "su", "dropbear", "openssl")

# name: (login shell, what it stands for)
ACCOUNTS = {
    "ops": ("/bin/bash", "who runs muster; may sudo with a password"),
    "plain": ("/bin/bash", "logs in with a key"),
    "dashy": ("/bin/dash", "the same with dash"),
    "pw": ("/bin/bash", "logs in with a password"),
    "su1": ("/bin/bash", "sudo without a password"),
    "su2": ("/bin/bash", "sudo and doas with a password"),
    "su3": ("/bin/dash", "not in sudoers"),
    "su4": ("/bin/bash", "sudo without a password, with requiretty"),
    "su5": ("/bin/bash", "sudo with a password, with requiretty"),
    "deploy": ("/bin/dash", "who else is become"),
}
CODE = "424242"
PASSPHRASE = "world pass-phrase 7"

SUDOERS = """Defaults lecture=never, timestamp_timeout=0, !fqdn
Defaults secure_path="/usr/sbin:/usr/bin:/sbin:/bin"
Defaults:su4 requiretty
Defaults:su5 requiretty
root ALL=(ALL:ALL) NOPASSWD: ALL
ops ALL=(ALL:ALL) ALL
su1 ALL=(ALL:ALL) NOPASSWD: ALL
su2 ALL=(ALL:ALL) ALL
su4 ALL=(ALL:ALL) NOPASSWD: ALL
su5 ALL=(ALL:ALL) ALL
"""
DOAS = "permit su2 as root\npermit nopass su1 as root\n"
PAM = {
    "sshd": "auth required pam_unix.so nodelay\n",
    "sshd-code": "auth requisite pam_unix.so nodelay\nauth required {code} code=" + CODE + "\n",
    "sudo": "auth required pam_unix.so nodelay\n",
    "sudo-i": "auth required pam_unix.so nodelay\n",
    "su": "auth sufficient pam_rootok.so\nauth required pam_unix.so nodelay\n",
    "doas": "auth required pam_unix.so nodelay\n",
    "other": "auth required pam_deny.so\n",
}
PAM_REST = "account required pam_permit.so\nsession required pam_permit.so\n" \
           "password required pam_deny.so\n"

KEY_TYPES = {
    "ed25519": ["-t", "ed25519"],
    "ecdsa256": ["-t", "ecdsa", "-b", "256"],
    "ecdsa384": ["-t", "ecdsa", "-b", "384"],
    "ecdsa521": ["-t", "ecdsa", "-b", "521"],
    "rsa": ["-t", "rsa", "-b", "2048"],
}


def password(user):
    """The password of an account: one that no other text of a test holds by chance."""
    return f"Pw-{user}-x7Qz"


def find_program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        raise SystemExit(f"world: {name} is not installed (./dev setup installs it)")
    return os.path.abspath(path)


def processes():
    """(pid, argument list) of all that lives in the world."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                argv = f.read().split(b"\0")[:-1]
            with open(f"/proc/{pid}/stat", "rb") as f:
                if argv and f.read().rsplit(b")", 1)[1].split()[0] != b"Z":
                    found.append((int(pid), argv))
        except (OSError, IndexError):
            pass
    return found


def running(*argv):
    """The processes with exactly these arguments."""
    wanted = [a.encode() for a in argv]
    return [pid for pid, args in processes() if args == wanted]


class World:
    """The folder of the world, and where its accounts and keys are. Made inside, by run()."""

    def __init__(self, top):
        self.dir = top
        self.muster = os.path.join(top, "bin", "muster")
        self.keys = os.path.join(top, "keys")

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def home(self, user):
        return self.path("home", user)

    def key(self, name="ed25519"):
        return os.path.join(self.keys, name)

    def sanitizer_env(self):
        """What a sanitizer is told; the leaks of the libraries are not ours."""
        env = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
        env.setdefault("LSAN_OPTIONS", f"print_suppressions=0:suppressions={self.leaks}")
        return env

    def write(self, path, text, mode=0o644, owner=None):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        if owner:
            self.own(path, owner)
        return path

    @staticmethod
    def own(path, user):
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)

    def as_user(self, user):
        """What subprocess needs to start a process as USER."""
        entry = pwd.getpwnam(user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    # -- making it -------------------------------------------------------------------------------

    def make(self):
        for name in ("bin", "home", "keys", "etc", "log", "known"):
            os.mkdir(self.path(name), 0o755)
        self._mounts()
        self._accounts()
        self._keys()
        shutil.copy2(os.environ["MUSTER"], self.muster)
        leaks = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "ssh", "lsan.supp")
        self.leaks = self.muster + ".lsan"
        shutil.copyfile(leaks, self.leaks)
        os.chmod(self.leaks, 0o644)

    def _mounts(self):
        """A copy of /etc over /etc; and nothing of the system's own in what daemons write to."""
        etc = self.path("etc")
        subprocess.run(["cp", "-a", "/etc/.", etc], check=True)
        shutil.rmtree(os.path.join(etc, "pam.d"), ignore_errors=True)
        shutil.rmtree(os.path.join(etc, "sudoers.d"), ignore_errors=True)
        for name in ("pam.d", "sudoers.d"):
            os.mkdir(os.path.join(etc, name), 0o755)
        code = os.environ.get("MATRIX_PAM_CODE", "pam_deny.so")
        if os.path.exists(code):
            code = shutil.copy2(code, self.path("bin", "pam_code.so"))
        for name, text in PAM.items():
            self.write(os.path.join(etc, "pam.d", name), text.format(code=code) + PAM_REST)
        for name, text, mode in (
                ("sudoers", SUDOERS, 0o440), ("doas.conf", DOAS, 0o600),
                ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n", 0o644),
                ("hosts", f"127.0.0.1 localhost {socket.gethostname()}\n::1 localhost\n", 0o644),
                ("environment", "", 0o644), ("nologin", "", 0o644)):
            path = os.path.join(etc, name)
            if os.path.lexists(path):
                os.unlink(path)     # it may be a link to where the real one is
            if name != "nologin":
                self.write(path, text, mode)
        shutil.rmtree(os.path.join(etc, "ssh"), ignore_errors=True)
        os.mkdir(os.path.join(etc, "ssh"), 0o755)
        subprocess.run([find_program("mount"), "--bind", etc, "/etc"], check=True)
        for folder in ("/run", "/var/log", "/var/lib/sudo", "/var/mail"):
            if os.path.isdir(folder):
                subprocess.run([find_program("mount"), "-t", "tmpfs", "-o", "mode=755", "tmpfs",
                                folder], check=True)
        for folder in ("/run/sshd", "/run/sudo", "/run/lock"):
            os.mkdir(folder, 0o755)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING))

    def _accounts(self):
        names = ["root", *ACCOUNTS]
        hashes = subprocess.run(
            [find_program("openssl"), "passwd", "-6", "-stdin"],
            input="".join(password(n) + "\n" for n in names), check=True, capture_output=True,
            text=True).stdout.split()
        lines = {}
        for name in ("passwd", "shadow", "group"):
            with open(f"/etc/{name}", encoding="utf-8", errors="replace") as f:
                lines[name] = [x for x in f.read().splitlines() if x.split(":")[0] not in names]
        for i, (name, digest) in enumerate(zip(names, hashes)):
            uid = 0 if name == "root" else 61000 + i
            shell = ACCOUNTS.get(name, ("/bin/bash",))[0]
            lines["passwd"].append(f"{name}:x:{uid}:{uid}::{self.home(name)}:{shell}")
            lines["shadow"].append(f"{name}:{digest}:19000:0:99999:7:::")
            lines["group"].append(f"{name}:x:{uid}:")
        for name, text in lines.items():
            self.write(f"/etc/{name}", "\n".join(text) + "\n", 0o640 if name == "shadow" else 0o644)
        os.chown("/etc/shadow", 0, grp.getgrnam("shadow").gr_gid)
        for name in names:
            for folder in (self.home(name), os.path.join(self.home(name), ".ssh")):
                os.mkdir(folder, 0o700)
                self.own(folder, name)

    def keygen(self, *args):
        subprocess.run([find_program("ssh-keygen"), "-q", *args], check=True,
                       input=b"", capture_output=True)

    def _keys(self):
        """One key a type in each form: NAME, NAME_pem, NAME_pkcs8, and each with _locked."""
        publics = []
        for name, flags in KEY_TYPES.items():
            self.keygen("-N", "", "-C", name, "-f", self.key(name), *flags)
            with open(self.key(name) + ".pub", encoding="ascii") as f:
                publics.append(f.read())
            self._forms(name)
        self.keygen("-N", "", "-C", "stranger", "-f", self.key("stranger"), "-t", "ed25519")
        for name in ("user_ca", "host_ca"):
            self.keygen("-N", "", "-C", name, "-f", self.key(name), "-t", "ed25519")
        # Not the key of the others: only its certificate opens the door.
        self.keygen("-N", "", "-C", "certified", "-f", self.key("certified"), "-t", "ed25519")
        self.keygen("-s", self.key("user_ca"), "-I", "test", "-n", "plain", self.key("certified.pub"))
        publics.append(self._fido_key(self.key("fido")))
        for user in ACCOUNTS:
            path = os.path.join(self.home(user), ".ssh", "authorized_keys")
            self.write(path, "" if user == "pw" else "".join(publics), 0o600, user)
        for name in os.listdir(self.keys):
            if not name.endswith("_ca"):
                self.own(self.key(name), "ops")

    def _fido_key(self, path):
        """A key that only a piece of hardware which nobody has can sign with; its public line."""
        def text(data):
            return len(data).to_bytes(4, "big") + data
        kind = b"sk-ssh-ed25519@openssh.com"
        with open(self.key("stranger") + ".pub", encoding="ascii") as f:
            public = base64.b64decode(f.read().split()[1])[-32:]
        blob = text(kind) + text(public) + text(b"ssh:")
        private = b"checkchk"[:4] * 2 + blob + b"\1" + text(b"handle" * 8) + text(b"") + text(b"fido")
        private += bytes(range(1, 9))[:-len(private) % 8]
        whole = (b"openssh-key-v1\0" + text(b"none") + text(b"none") + text(b"")
                 + (1).to_bytes(4, "big") + text(blob) + text(private))
        body = base64.encodebytes(whole).decode()
        self.write(path, "-----BEGIN OPENSSH PRIVATE KEY-----\n" + body
                   + "-----END OPENSSH PRIVATE KEY-----\n", 0o600)
        line = f"{kind.decode()} {base64.b64encode(blob).decode()} fido\n"
        self.write(path + ".pub", line)
        return line

    def _forms(self, name):
        for form in ("", "_pem", "_pkcs8"):
            if name == "ed25519" and form == "_pem":
                continue    # there is no such form of it
            plain, locked = self.key(name + form), self.key(name + form + "_locked")
            if form and name == "ed25519":
                self._ed25519_pkcs8(plain, locked)
            else:
                flags = ["-m", form[1:].upper()] if form else []
                for path, phrase in ((plain, ""), (locked, PASSPHRASE)):
                    if path != self.key(name):
                        shutil.copy2(self.key(name), path)
                        self.keygen("-p", "-P", "", "-N", phrase, "-a", "4", "-f", path, *flags)
            for path in (plain, locked):
                if path != self.key(name):
                    shutil.copy2(self.key(name) + ".pub", path + ".pub")

    def _ed25519_pkcs8(self, plain, locked):
        """ssh-keygen 9.2 writes no such file; the seed is found behind the public key."""
        with open(self.key("ed25519"), encoding="ascii") as f:
            blob = base64.b64decode("".join(f.read().splitlines()[1:-1]))
        public = blob[blob.index(b"ssh-ed25519") + 15:][:32]
        seed = blob[blob.rindex(public) - 32:][:32]
        der = bytes.fromhex("302e020100300506032b657004220420") + seed
        body = base64.encodebytes(der).decode()
        self.write(plain, f"-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\n", 0o600)
        subprocess.run([find_program("openssl"), "pkcs8", "-topk8", "-in", plain, "-out", locked,
                        "-passout", "stdin"], input=PASSPHRASE + "\n", text=True, check=True)
        os.chmod(locked, 0o600)


# -- going inside --------------------------------------------------------------------------------

def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _outside():
    if os.geteuid() != 0:
        keep = [f"{k}={os.environ[k]}" for k in ("MUSTER", "MATRIX_PAM_CODE") if k in os.environ]
        argv = ["sudo", "-n", "env", *keep, sys.executable, "-B"]
        if shutil.which("sudo") and subprocess.run([*argv, "-c", ""], capture_output=True,
                                                   check=False).returncode == 0:
            os.execvp("sudo", [*argv, *sys.argv])
        print("world: needs root, for mounts of its own (sudo ./dev matrix)", file=sys.stderr)
        return 1
    for name in PROGRAMS:
        find_program(name)
    if not os.path.exists(os.environ.get("MUSTER", "")):
        print("world: the variable MUSTER names no program (./dev matrix sets it)", file=sys.stderr)
        return 1
    top = tempfile.mkdtemp(prefix="muster-world-")
    os.chmod(top, 0o755)
    argv = [find_program("unshare"), "--mount", "--propagation", "private", "--net", "--pid", "--fork",
            "--kill-child", "--mount-proc", "--", sys.executable, "-B", "-W", "ignore", *sys.argv]
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("SSH_", "XDG_", "MUSTER_"))}
    keep.update({k: os.environ[k] for k in ("MUSTER_TEST_SANITIZER",) if k in os.environ})
    keep[INSIDE] = top
    p = None
    try:
        p = subprocess.Popen(argv, env=keep, preexec_fn=_die_with_parent)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: p.kill())
        return p.wait()
    except KeyboardInterrupt:
        p.kill()
        p.wait()
        return 130
    finally:
        os.rmdir(top)   # what was in it was a mount of the world's own


def _inside(main):
    """The first process of the world: it reaps, and ends with the status of the one that works."""
    top = os.environ.pop(INSIDE)
    child = os.fork()
    if child:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == child:
                return os.waitstatus_to_exitcode(status) & 0xff
    subprocess.run([find_program("mount"), "-t", "tmpfs", "-o", "mode=755", "tmpfs", top], check=True)
    os.chdir(top)
    w = World(top)
    w.make()
    return main(w)


def run(main):
    """Runs main(World) in a world of its own and returns its exit status."""
    return _inside(main) if INSIDE in os.environ else _outside()
