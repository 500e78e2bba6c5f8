# SPDX-License-Identifier: Apache-2.0
"""One row of the matrix: a home of its own, the program run in it as a user, its answer judged."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import termios
import time

import memory
import servers
from world import find_program, running, wait_until

NODE = "target"
SANITIZED = os.environ.get("MUSTER_TEST_SANITIZER")
SLOW = 3 if SANITIZED else 1
GONE_WITHIN = 5     # seconds from the cancel to the end of the process on the server


def pipe_with(text):
    """A descriptor from which TEXT and a newline are read."""
    r, w = os.pipe()
    os.write(w, (text + "\n").encode())
    os.close(w)
    return r


def comm(pid):
    with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
        return f.read().strip()


def parent(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return int(f.read().rsplit(")", 1)[1].split()[1])


class Program:
    """muster as the user ops, with a terminal of its own on which questions are answered."""

    def __init__(self, world, home, env, argv, fds=(), asked=(), user="ops", cwd=None):
        self.asked = list(asked)
        self.asked_all = len(self.asked)
        self.seen = b""
        self.out = open(os.path.join(home, f"out-{time.monotonic_ns()}"), "w+b")
        self.err = open(os.path.join(home, f"err-{time.monotonic_ns()}"), "w+b")
        self.master, slave = pty.openpty()

        def own_terminal():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        os.fchown(slave, 61001, -1)
        self.process = subprocess.Popen(
            [world.muster, *argv], env=env, cwd=cwd or home, stdin=subprocess.DEVNULL,
            stdout=self.out, stderr=self.err, preexec_fn=own_terminal, pass_fds=[slave, *fds],
            **world.as_user(user))
        os.close(slave)
        for fd in fds:
            os.close(fd)

    def turn(self, seconds=0.02):
        """Reads the terminal for a moment, and answers a question that stands there."""
        if not select.select([self.master], [], [], seconds)[0]:
            return
        try:
            self.seen += os.read(self.master, 65536)
        except OSError:
            # Nobody has it open now; do not spin until the process is gone.
            select.select([], [], [], seconds)
            return
        self.answer()

    def answer(self):
        if self.asked and self.asked[0][0].encode() in self.seen:
            os.write(self.master, self.asked.pop(0)[1].encode() + b"\n")
            self.seen = b""

    def wait(self, seconds):
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise TimeoutError(f"muster did not end within {seconds} s; it says: "
                                   f"{self.text(self.err)[-300:]!r}, on the terminal {self.seen!r}")
            self.turn()
        return self.process.returncode

    @staticmethod
    def text(f):
        return os.pread(f.fileno(), 1 << 26, 0).decode(errors="replace")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for f in (self.out, self.err):
            f.close()
        os.close(self.master)


class Trial:
    def __init__(self, world, s, agents, number, row):
        self.world, self.servers, self.agents, self.row = world, s, agents, row
        self.home = world.path("trials", str(number))
        self.sleep = f"300.{number:04d}"
        self.doc = None
        self.program = None
        self.transport = ""
        self.extra_faults = []
        self.others = []
        os.makedirs(self.home, 0o755)
        world.own(self.home, "ops")

    # -- setting up ------------------------------------------------------------------------------

    def path(self, name):
        return os.path.join(self.home, name)

    def fill(self, text):
        names = {"keys": self.world.keys, "home": self.home, "config": self.path("ssh_config"),
                 "known": self.known,
                 "knowns": self.world.path("known"), "stdin": self.path("stdin"), "sleep": self.sleep}
        for name, value in names.items():
            text = text.replace("{" + name + "}", value)
        return text

    def write(self, name, text):
        return self.world.write(self.path(name), text, 0o600, "ops")

    def prepare(self):
        row = self.row
        with open(self.world.path("known", row.known), encoding="ascii") as f:
            self.known = self.write("known_hosts", f.read())
        key = self.world.key(row.key) if row.key else ""
        lines = [f"Host {NODE}*", *[self.fill(x) for x in row.config],
                 f"HostName {servers.host_of(row.server)}", f"Port {servers.port_of(row.server)}",
                 f"User {row.user}", f"UserKnownHostsFile {self.known}",
                 "GlobalKnownHostsFile none"]
        lines += [f"IdentityFile {key}"] if key else []
        self.write("ssh_config", "\n  ".join(lines) + "\n" + self.fill(row.extra))
        node = {**row.node}
        if row.action == "run" and row.nodes > 1:
            names = f"{NODE}[01-{row.nodes}]"
        else:
            names = NODE
        self.write("inventory.yaml", json.dumps({"nodes": {names: node}}) + "\n")
        self.names = names
        if row.stdin:
            self.write("stdin", row.stdin)
        self.env = {"HOME": self.home, "XDG_CONFIG_HOME": self.path("config"),
                    "XDG_STATE_HOME": self.path("state"), "MUSTER_DB": self.path("muster.db"),
                    "MUSTER_INVENTORY": self.path("inventory.yaml"), "LANG": "C.UTF-8",
                    "TERM": "xterm", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "USER": "ops",
                    "LOGNAME": "ops", "SHELL": "/bin/sh", "TZ": "UTC"}
        self.env.update(self.world.sanitizer_env())
        if row.agent:
            self.env["SSH_AUTH_SOCK"] = self.agents.sock[row.agent]

    def start(self):
        row, fds, flags = self.row, [], []
        for text, flag in ((row.login, "--password-fd"), (row.become, "--sudo-password-fd")):
            if text:
                fds.append(pipe_with(text))
                flags += [flag, str(fds[-1])]
        argv = ["run", "-F", self.path("ssh_config"), "-w", self.names, "--json", "-y", *flags,
                *[self.fill(f) for f in row.flags], "--", self.fill(row.command)]
        self.program = Program(self.world, self.home, self.env, argv, fds, row.asked)

    def go(self):
        self.prepare()
        getattr(self, "do_" + self.row.action)()
        self.read()

    # -- actions ---------------------------------------------------------------------------------

    def do_run(self):
        self.start()
        self.program.wait(self.row.seconds * SLOW)

    def sleepers(self):
        return running("sleep", self.sleep)

    def wait_for_sleep(self):
        def come():
            self.program.turn()
            if self.program.process.poll() is not None:
                raise AssertionError("muster ended before the command ran")
            return self.sleepers()
        wait_until(come, "the command", 20 * SLOW)

    def wait_gone(self, what):
        begun = time.monotonic()

        def gone():
            self.program.turn()
            return not self.sleepers()
        wait_until(gone, f"the end of the process after {what}", GONE_WITHIN * SLOW)
        return time.monotonic() - begun

    def do_cancel(self):
        self.start()
        self.wait_for_sleep()
        subprocess.run([self.world.muster, "cancel", "--json"], env=self.env, cwd=self.home,
                       check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=20 * SLOW,
                       **self.world.as_user("ops"))
        self.wait_gone("the cancel")
        self.program.wait(10 * SLOW)

    def do_timeout(self):
        self.start()
        self.wait_for_sleep()
        self.program.wait(20 * SLOW)
        self.wait_gone("the timeout")

    def do_no_local_command(self):
        self.do_run()
        if os.path.exists(self.path("ran")):
            self.extra_faults.append("the LocalCommand has run")

    def do_stopped_server(self):
        """The server's process for this session is stopped: nothing comes from it any more."""
        self.start()
        self.wait_for_sleep()
        pid = self.sleepers()[0]
        while comm(pid) != "sshd":
            pid = parent(pid)
        os.kill(pid, signal.SIGSTOP)
        try:
            self.program.wait(20 * SLOW)
        finally:
            os.kill(pid, signal.SIGCONT)

    def do_locked_memory(self):
        """The secret half of the key is nowhere but in memory that is never swapped out, nor written
        to a core."""
        self.start()
        self.wait_for_sleep()
        pid = self.program.process.pid
        secret = memory.secret_of(self.world.key(self.row.key.removesuffix("_locked")))
        places = memory.places_of(pid, (secret, secret[::-1]))
        if not places:
            self.extra_faults.append("the key is not found in memory: this proves nothing")
        self.extra_faults += [f"the key is in {name}, with {flags}" for name, flags in places
                              if not {"lo", "dd"} <= set(flags)]
        for sleeper in self.sleepers():
            os.kill(sleeper, signal.SIGTERM)
        self.program.wait(20 * SLOW)

    def do_silent_master(self):
        """A ControlMaster that hangs: the kernel takes connections for it, and nobody answers."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path("master"))
            self.world.own(self.path("master"), "ops")
            listener.listen(16)
            self.do_run()

    def do_accept_new(self):
        self.do_run()
        with open(self.known, encoding="ascii") as f:
            if f"[{servers.host_of(self.row.server)}]:" not in f.read():
                self.extra_faults.append("known_hosts has no line for the host")

    def do_control_master(self):
        """A master of the test's own; the run must come by it, with no connection of its own."""
        argv = [find_program("ssh"), "-F", self.path("ssh_config"), "-o", "BatchMode=yes", "-M", "-N",
                NODE]
        self.others.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                            env=self.env, **self.world.as_user("ops")))
        wait_until(lambda: os.path.exists(self.path("master")), "the master's socket")
        before = self.servers.connections(self.row.server)
        self.do_run()
        after = self.servers.connections(self.row.server)
        if after != before:
            self.extra_faults.append(f"{after - before} connections beside the master's")

    # -- judging ---------------------------------------------------------------------------------

    def read(self):
        text = self.program.text(self.program.out)
        if not text.strip().startswith("{"):
            raise AssertionError(f"exit {self.program.process.returncode}, no answer: "
                                 f"{self.program.text(self.program.err)[-400:].strip()!r}")
        self.doc = json.loads(text)
        if "error" in self.doc:
            raise AssertionError(f"refused: {self.doc['error']}")
        self.transport = self.doc["executions"][0]["transport"] or ""

    def faults(self):
        err = self.program.text(self.program.err)
        found = list(self.extra_faults)
        if "Sanitizer" in err or "runtime error:" in err:
            found.append(err[:3000])
        if len(self.doc["executions"]) != self.row.nodes:
            found.append(f"{len(self.doc['executions'])} executions for {self.row.nodes} nodes")
        for x in self.doc["executions"]:
            found += self.faults_of(x)
        if self.program.asked and not self.row.reason:
            found.append(f"not asked: {self.program.asked[0][0]}")
        return found[:4]

    def faults_of(self, x):
        row, result = self.row, x["result"] or {}
        expected = {"transport": row.transport, "status": "failed" if row.reason else "success",
                    "reason": row.reason or None, "remoteProcess": row.remote}
        got = {**{k: x[k] for k in expected}, "reason": x["reason"] or None}
        found = [f"{k}: expected {v}, got {got[k]}" for k, v in expected.items() if got[k] != v]
        exit_code = 0 if not row.reason else row.exit
        if exit_code is not None and result.get("exitCode") != exit_code:
            found.append(f"exit code: expected {exit_code}, got {result.get('exitCode')}")
        if row.signal and result.get("signal") != row.signal:
            found.append(f"signal: expected {row.signal}, got {result.get('signal')}")
        out, error = result.get("stdout") or "", x["error"] or ""
        found += [f"stdout has no {t[:40]!r}: {out[:200]!r}" for t in row.out if t not in out]
        found += [f"error has no {t!r}" for t in row.err if not re.search(t, error, re.I)]
        if row.reason and row.reason not in ("exit", "signal") and not error:
            found.append("no error text")
        if found:
            found = ["; ".join(found) + f"; error: {error!r}; "
                     f"stderr: {(result.get('stderr') or '')[:300]!r}"]
        return found

    def outcome(self):
        if not self.doc or not self.doc.get("executions"):
            return "-"
        x = self.doc["executions"][0]
        text = x["reason"] or "ok"
        if text == "exit":
            text = f"exit {x['result']['exitCode']}"
        return f"{text}, {x['remoteProcess']}" if x["remoteProcess"] else text

    def all(self):
        if not self.program:
            return ""
        p = self.program
        return f"{self.program.process.args}\n{p.text(p.err)}\n{p.seen!r}\n{p.text(p.out)}"

    def end(self):
        for pid in self.sleepers():
            os.kill(pid, signal.SIGKILL)
        for p in self.others:
            p.terminate()
            p.wait()
        if self.program:
            # Its files are still read; the process is gone.
            if self.program.process.poll() is None:
                self.program.process.kill()
                self.program.process.wait()
