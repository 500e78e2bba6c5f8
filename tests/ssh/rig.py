#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real sshd on the loopback for tests: keys, known_hosts, and trouble on demand.

Everything lives in one temporary folder (0700) and nothing of the machine's own ssh set-up is read
or written. Works as root and as an ordinary user; sessions log in as whoever runs the rig.

As a test wrapper (what meson tests of C programs use):

    rig.py exec [options] -- ./tests/exec/test_ssh ARGS      # variables below in its environment

as a companion process, ended by the end of file on its standard input, or by INT, TERM, HUP:

    rig.py run [options]            # prints NAME=VALUE lines, then `ready`

and as a library:

    with rig.Rig(max_sessions=1) as r:
        subprocess.run(r.ssh_command("uname -n"))

Variables (a library user finds them in `r.env`):

    RIG_DIR RIG_HOST RIG_USER RIG_LOG      the folder, 127.0.0.1, the login name, sshd's log (-e)
    RIG_PORT RIG_PORTS                     the first port, and all of them with spaces between
    RIG_SSHD_PID                           the listening sshd
    RIG_KEY                                an authorised ed25519 key, no passphrase
    RIG_KEY_ED25519 RIG_KEY_ECDSA256 RIG_KEY_ECDSA384 RIG_KEY_ECDSA521 RIG_KEY_RSA
    RIG_KEY_ECDSA256_PEM RIG_KEY_ECDSA256_PKCS8           the same in other file formats
    RIG_KEY_LOCKED, RIG_KEY_LOCKED_PASSPHRASE             authorised, with a passphrase
    RIG_KEY_STRANGER                       a good key that nobody has authorised
    RIG_KNOWN_HOSTS                        every host key on every port, [host]:port form
    RIG_KNOWN_HOSTS_HASHED                 the same, hashed
    RIG_KNOWN_HOSTS_WRONG                  the same hosts with another key
    RIG_KNOWN_HOSTS_REVOKED                the right keys, and each marked @revoked
    RIG_KNOWN_HOSTS_EMPTY                  an empty file (accept-new may write into it)
    RIG_SSH_CONFIG                         a client configuration for the system's ssh (-F)
    RIG_PORT_REFUSED                       nobody listens here, and nobody else can take it
    RIG_PORT_SILENT                        takes connections and never says a word
    RIG_PORT_GARBAGE                       takes connections and speaks something else than SSH
    RIG_PORT_CLOSING                       takes connections and closes them at once
    RIG_AGENT_SOCK                         with --agent: an ssh-agent that holds the ed25519 and
                                           ecdsa256 keys

When the rig ends, for whatever reason, each process it started is killed, those that sessions left
behind included (it is their subreaper), and the folder is removed. If the rig itself is killed with
SIGKILL, sshd dies with it (PDEATHSIG) and a small guard process removes the rest.
"""

import argparse
import ctypes
import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))
from waiting import listening, until as wait_until   # noqa: E402

HOST = "127.0.0.1"
RUN_SSHD = "/run/sshd"
RUN_LOCK = "/run/sshd.muster-lock"
PASSPHRASE = "rig passphrase"
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)

KEY_KINDS = {
    "ed25519": ["-t", "ed25519"],
    "ecdsa256": ["-t", "ecdsa", "-b", "256"],
    "ecdsa384": ["-t", "ecdsa", "-b", "384"],
    "ecdsa521": ["-t", "ecdsa", "-b", "521"],
    "rsa": ["-t", "rsa", "-b", "2048"],
    "ecdsa256_pem": ["-t", "ecdsa", "-b", "256", "-m", "PEM"],
    "ecdsa256_pkcs8": ["-t", "ecdsa", "-b", "256", "-m", "PKCS8"],
    "locked": ["-t", "ed25519"],
    "stranger": ["-t", "ed25519"],
}


def find_program(name):
    """sshd insists on its absolute path, and /usr/sbin is not in every PATH."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        raise SystemExit(f"rig: {name} is not installed (./dev setup installs it)")
    return os.path.abspath(path)


def available():
    """True when the programs that the rig needs are there; tests skip (77) otherwise."""
    try:
        for name in ("sshd", "ssh-keygen"):
            find_program(name)
    except SystemExit:
        return False
    return True


def descendants(root):
    """Every live process below ROOT, children first asked from /proc in one pass."""
    children = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as f:
                fields = f.read().rsplit(b")", 1)[1].split()
        except (OSError, IndexError):
            continue
        if fields[0] != b"Z":
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, todo = [], [root]
    while todo:
        for pid in children.get(todo.pop(), []):
            found.append(pid)
            todo.append(pid)
    return found


def account_is_locked(user):
    """sshd without PAM refuses an account whose shadow entry starts with `!`; root on some machines."""
    try:
        with open("/etc/shadow", encoding="utf-8", errors="replace") as f:
            return any(line.startswith(f"{user}:!") for line in f)
    except OSError:
        return False


def take_run_sshd():
    """As root sshd wants /run/sshd. Where the system has none we make it, and who made or uses ours
    holds a shared lock on a file beside it (the demo fleet does the same), so that the last one
    removes it and none loses it while in use. Returns the lock's descriptor, or None."""
    if os.geteuid() != 0 or (os.path.isdir(RUN_SSHD) and not os.path.exists(RUN_LOCK)):
        return None
    while True:
        fd = os.open(RUN_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(fd, fcntl.LOCK_SH)
        try:
            if os.stat(RUN_LOCK).st_ino == os.fstat(fd).st_ino:
                break
        except FileNotFoundError:
            pass
        os.close(fd)    # the last user removed it between our open and our lock
    os.makedirs(RUN_SSHD, 0o755, exist_ok=True)
    return fd


def drop_run_sshd(fds):
    """Remove /run/sshd when the lock shows that nobody else uses it and no system sshd started."""
    for fd in fds:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        try:
            if not os.path.exists("/run/sshd.pid"):
                os.rmdir(RUN_SSHD)
            os.unlink(RUN_LOCK)
        except OSError:
            pass


def free_ports(count):
    """COUNT free ports, all held until the last is known, so that they differ."""
    held = [socket.socket() for _ in range(count)]
    for s in held:
        s.bind((HOST, 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


class Rig:
    """One sshd with its folder. Use as a context manager, or call start() and stop()."""

    def __init__(self, ports=1, port=None, max_startups="100:30:200", max_sessions=None,
                 config=(), host_keys=("ed25519", "ecdsa256"), keys=None, agent=False):
        self.want_ports = ports
        self.fixed_port = port
        self.max_startups = max_startups
        self.max_sessions = max_sessions
        self.config = list(config)
        self.host_keys = list(host_keys)
        self.keys = list(keys) if keys else list(KEY_KINDS)
        self.agent = agent
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self.env = {}
        self.dir = None
        self.ports = []
        self._sshd = None
        self._children = []
        self._sockets = []
        self._guard = None
        self._run_lock = None

    # -- life ----------------------------------------------------------------------------------

    def start(self):
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.dir = tempfile.mkdtemp(prefix="muster-rig-")
        self._run_lock = take_run_sshd()
        self._start_guard()
        try:
            self._make_keys()
            self._open_trouble_ports()
            self.start_sshd()
            self._write_client_files()
            if self.agent:
                self._start_agent()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        """Kill what runs below us and remove the folder; callable twice."""
        for s in self._sockets:
            s.close()
        self._sockets = []
        if self._sshd is not None:
            ours = {self._sshd.pid} | set(descendants(self._sshd.pid))
            ours |= {p.pid for p in self._children}
            self._kill_all(ours)
            self._sshd = None
            self._children = []
        if self.dir is not None:
            shutil.rmtree(self.dir, ignore_errors=True)
            self.dir = None
        if self._guard is not None:
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None
        if self._run_lock is not None:
            os.close(self._run_lock)
            self._run_lock = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def _kill_all(self, pids):
        """Kill PIDS and whatever they leave to us as orphans, until nothing of it is left."""
        mark = f"MUSTER_RIG={self.dir}".encode()
        deadline = time.monotonic() + 10
        while pids and time.monotonic() < deadline:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self._reap()
            pids = {p for p in pids if alive(p)} | marked(mark)
            if pids:
                time.sleep(0.01)

    def _reap(self):
        for child in [self._sshd, *self._children]:
            if child is not None:
                child.poll()
        for pid in self._orphans():
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass

    def _orphans(self):
        """Zombies that became ours because we are the subreaper, not those of subprocess."""
        known = {p.pid for p in [self._sshd, self._guard, *self._children] if p is not None}
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) not in known:
                try:
                    with open(f"/proc/{entry}/stat", "rb") as f:
                        text = f.read()
                except OSError:
                    continue
                fields = text.rsplit(b")", 1)[1].split()
                if fields[0] == b"Z" and int(fields[1]) == os.getpid() and b"(sshd)" in text:
                    found.append(int(entry))
        return found

    def _start_guard(self):
        """Waits for our end, however it comes, and removes what we could not."""
        code = ("import sys,os,shutil,signal\n"
                "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
                f"sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})\n"
                "import rig\n"
                "sys.stdin.read()\n"
                f"mark = {('MUSTER_RIG=' + self.dir).encode()!r}\n"
                f"pids = rig.marked(mark) | rig.named({self.dir!r})\n"
                "[os.kill(p, 9) for p in pids]\n"
                f"shutil.rmtree({self.dir!r}, ignore_errors=True)\n")
        lock = [] if self._run_lock is None else [self._run_lock]
        code += f"rig.drop_run_sshd({lock!r})\n"
        self._guard = subprocess.Popen([sys.executable, "-B", "-c", code], stdin=subprocess.PIPE,
                                       start_new_session=True, pass_fds=lock)

    # -- the server ----------------------------------------------------------------------------

    def start_sshd(self):
        """Start (or start again) the server, on the ports it had before if it had some."""
        sshd = find_program("sshd")
        for attempt in range(5):
            if self.fixed_port:
                self.ports = [self.fixed_port]
            elif not self.ports or attempt:
                self.ports = free_ports(self.want_ports)
            self._write_sshd_config()
            log = open(os.path.join(self.dir, "sshd.log"), "ab")
            self._sshd = subprocess.Popen(
                [sshd, "-D", "-e", "-f", os.path.join(self.dir, "sshd_config")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)
            log.close()
            if self._wait_listening():
                self.env["RIG_SSHD_PID"] = str(self._sshd.pid)
                return
        with open(os.path.join(self.dir, "sshd.log"), encoding="utf-8", errors="replace") as f:
            raise SystemExit("rig: sshd does not start:\n" + f.read()[-2000:])

    def stop_sshd(self, sessions=True):
        """Kill the listening sshd, and with SESSIONS its sessions too (a machine that vanishes)."""
        pids = set(descendants(self._sshd.pid)) if sessions else set()
        self._kill_all(pids | {self._sshd.pid})

    def pause_sshd(self, on):
        """No new connection gets an answer; those that are there go on."""
        os.kill(self._sshd.pid, signal.SIGSTOP if on else signal.SIGCONT)

    def _wait_listening(self):
        deadline = time.monotonic() + 10
        for port in self.ports:
            while True:
                if self._sshd.poll() is not None or time.monotonic() > deadline:
                    return False
                try:
                    with socket.create_connection((HOST, port), timeout=2) as s:
                        if s.recv(4) == b"SSH-":
                            break
                except OSError:
                    pass
                time.sleep(0.01)
        return True

    def _write_sshd_config(self):
        pam = os.geteuid() == 0 and account_is_locked(self.user)
        lines = [f"Port {p}" for p in self.ports] + [f"ListenAddress {HOST}"]
        lines += [f"HostKey {self.dir}/host_{k}" for k in self.host_keys]
        # What a test gives comes first: sshd takes the first value it meets.
        lines += self.config
        lines += [
            f"AuthorizedKeysFile {self.dir}/authorized_keys",
            f"MaxStartups {self.max_startups}",
            "PidFile none", "StrictModes no", f"UsePAM {'yes' if pam else 'no'}",
            "PasswordAuthentication no", "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password", "PubkeyAuthentication yes",
            "PermitUserRC no", "PrintMotd no", "PrintLastLog no", "LogLevel VERBOSE",
            "Subsystem sftp internal-sftp",
            # How the processes of sessions are known for ours when the rig ends; and a home of the
            # rig's own, so that no .bashrc of the user's has a part in what a test sees or takes.
            f"SetEnv MUSTER_RIG={self.dir} HOME={self.dir}",
        ]
        if self.max_sessions is not None:
            lines.append(f"MaxSessions {self.max_sessions}")
        with open(os.path.join(self.dir, "sshd_config"), "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")

    # -- keys, and the files of the client ------------------------------------------------------

    def _keygen(self, path, kind, passphrase=""):
        subprocess.run([find_program("ssh-keygen"), "-q", "-N", passphrase, "-C", "rig",
                        "-f", path, *KEY_KINDS[kind]], check=True, stdin=subprocess.DEVNULL)

    def _read(self, name):
        with open(os.path.join(self.dir, name), encoding="ascii") as f:
            return f.read()

    def _make_keys(self):
        for kind in self.host_keys:
            self._keygen(os.path.join(self.dir, f"host_{kind}"), kind)
        self._keygen(os.path.join(self.dir, "host_other"), "ed25519")
        authorized = []
        for kind in self.keys:
            path = os.path.join(self.dir, f"key_{kind}")
            self._keygen(path, kind, PASSPHRASE if kind == "locked" else "")
            self.env[f"RIG_KEY_{kind.upper()}"] = path
            if kind != "stranger":
                authorized.append(self._read(f"key_{kind}.pub"))
        with open(os.path.join(self.dir, "authorized_keys"), "w", encoding="ascii") as f:
            f.writelines(authorized)
        self.env["RIG_KEY"] = os.path.join(self.dir, f"key_{self.keys[0]}")
        self.env["RIG_KEY_LOCKED_PASSPHRASE"] = PASSPHRASE

    def _write_known_hosts(self, name, publics, mark=""):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="ascii") as f:
            for port in self.ports:
                for public in publics:
                    f.write(f"{mark}[{HOST}]:{port} {public}\n")
        return path

    def _write_client_files(self):
        right = [" ".join(self._read(f"host_{k}.pub").split()[:2]) for k in self.host_keys]
        other = [" ".join(self._read("host_other.pub").split()[:2])]
        self.env["RIG_KNOWN_HOSTS"] = self._write_known_hosts("known_hosts", right)
        self.env["RIG_KNOWN_HOSTS_WRONG"] = self._write_known_hosts("known_hosts_wrong", other)
        self.env["RIG_KNOWN_HOSTS_REVOKED"] = self._write_known_hosts(
            "known_hosts_revoked", right, "@revoked ")
        self.env["RIG_KNOWN_HOSTS_EMPTY"] = self._write_known_hosts("known_hosts_empty", [])
        hashed = self._write_known_hosts("known_hosts_hashed", right)
        subprocess.run([find_program("ssh-keygen"), "-q", "-H", "-f", hashed], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.env["RIG_KNOWN_HOSTS_HASHED"] = hashed
        config = os.path.join(self.dir, "ssh_config")
        with open(config, "w", encoding="ascii") as f:
            f.write(f"Host *\n  User {self.user}\n  Port {self.ports[0]}\n"
                    f"  IdentityFile {self.env['RIG_KEY']}\n  IdentitiesOnly yes\n"
                    f"  UserKnownHostsFile {self.dir}/known_hosts\n"
                    "  GlobalKnownHostsFile none\n  BatchMode yes\n")
        self.env.update({
            "RIG_DIR": self.dir, "RIG_HOST": HOST, "RIG_USER": self.user,
            "RIG_LOG": os.path.join(self.dir, "sshd.log"), "RIG_SSH_CONFIG": config,
            "RIG_PORT": str(self.ports[0]), "RIG_PORTS": " ".join(map(str, self.ports)),
        })

    def _start_agent(self):
        sock = os.path.join(self.dir, "agent.sock")
        agent = subprocess.Popen([find_program("ssh-agent"), "-D", "-a", sock],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 preexec_fn=die_with_parent)
        self._children.append(agent)
        wait_until(lambda: listening(sock), "the agent's socket")
        keys = [os.path.join(self.dir, f"key_{k}") for k in ("ed25519", "ecdsa256")
                if k in self.keys]
        subprocess.run([find_program("ssh-add"), "-q", *keys], check=True,
                       stdin=subprocess.DEVNULL, env={**os.environ, "SSH_AUTH_SOCK": sock})
        self.env["RIG_AGENT_SOCK"] = sock

    def ssh_command(self, command, *options):
        """The argument list of the system's ssh that runs COMMAND on the rig."""
        return ["ssh", "-F", self.env["RIG_SSH_CONFIG"], *options, HOST, command]

    # -- ports that misbehave ---------------------------------------------------------------------

    def _open_trouble_ports(self):
        refused = socket.socket()
        refused.bind((HOST, 0))     # bound and not listening: the port is ours, connects are refused
        self._sockets.append(refused)
        self.env["RIG_PORT_REFUSED"] = str(refused.getsockname()[1])
        for name, action in (("SILENT", None), ("GARBAGE", b"220 mail.example.com ready\r\n"),
                             ("CLOSING", b"")):
            listener = socket.create_server((HOST, 0), backlog=64)
            self._sockets.append(listener)
            self.env[f"RIG_PORT_{name}"] = str(listener.getsockname()[1])
            threading.Thread(target=self._serve, args=(listener, action), daemon=True).start()

    @staticmethod
    def _serve(listener, action):
        kept = []
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            if action:
                try:
                    conn.sendall(action)
                except OSError:
                    pass
            if action == b"":
                conn.close()
            else:
                kept.append(conn)


def die_with_parent():
    """In a child before exec: a rig that is killed takes its servers along."""
    os.setsid()
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return f.read().rsplit(b")", 1)[1].split()[0] != b"Z"
    except OSError:
        return False


def marked(mark):
    """Processes that carry MARK in their environment: commands that sessions of ours started."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/environ", "rb") as f:
                    if mark in f.read().split(b"\0") and alive(int(entry)):
                        found.add(int(entry))
            except OSError:
                continue
    return found


def named(folder):
    """Processes with FOLDER on their command line; ssh-agent hides its environment."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as f:
                    if folder.encode() in f.read():
                        found.add(int(entry))
            except OSError:
                continue
    return found


class Stop(Exception):
    """A signal asked the rig to end."""


def parse_arguments(argv):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("verb", choices=["run", "exec"])
    p.add_argument("--ports", type=int, default=1, help="how many ports to listen on")
    p.add_argument("--port", type=int, help="one port, this one")
    p.add_argument("--max-startups", default="100:30:200")
    p.add_argument("--max-sessions", type=int)
    p.add_argument("--config", action="append", default=[], metavar="LINE",
                   help="a line of sshd_config; stands before the rig's own")
    p.add_argument("--host-keys", default="ed25519,ecdsa256")
    p.add_argument("--keys", help="client keys to make (" + ",".join(KEY_KINDS) + ")")
    p.add_argument("--agent", action="store_true", help="start an ssh-agent too")
    command = []
    if "--" in argv:
        command = argv[argv.index("--") + 1:]
        argv = argv[:argv.index("--")]
    args = p.parse_args(argv)
    if (args.verb == "exec") != bool(command):
        p.error("exec needs `-- COMMAND`, and run takes none")
    return args, command


def raise_stop(number, frame):
    raise Stop(number)


def main():
    args, command = parse_arguments(sys.argv[1:])
    if not available():
        print("rig: sshd is not installed, skipped (./dev setup installs it)", file=sys.stderr)
        return 77
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, raise_stop)
    rig = Rig(ports=args.ports, port=args.port, max_startups=args.max_startups,
              max_sessions=args.max_sessions, config=args.config, agent=args.agent,
              host_keys=args.host_keys.split(","), keys=args.keys.split(",") if args.keys else None)
    status, child = 0, None
    try:
        rig.start()
        if args.verb == "exec":
            child = subprocess.Popen(command, env={**os.environ, **rig.env})
            status = child.wait()
            status = 128 - status if status < 0 else status
        else:
            for name, value in sorted(rig.env.items()):
                print(f"{name}={value}")
            print("ready", flush=True)
            while os.read(0, 4096):
                pass
    except Stop as stop:
        status = 128 + stop.args[0]
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if child is not None and child.poll() is None:
            child.kill()
            child.wait()
        rig.stop()
    return status


if __name__ == "__main__":
    sys.exit(main())
