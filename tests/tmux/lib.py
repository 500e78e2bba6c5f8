# SPDX-License-Identifier: Apache-2.0
"""Drives a program in a real terminal: a tmux server of our own, with one window of a fixed size.

    with lib.Tmux(80, 24) as t:
        t.start(["build/src/muster"], env={"MUSTER_DB": path})
        t.wait_for("History")
        t.keys("c")                      # names as tmux has them: Enter, Escape, C-c, PageDown, ..
        t.text("uname -n")               # literally
        t.wait_for(re.compile(r"exit +0"))
        t.resize(40, 12)
        t.keys("q")
        status = t.wait_exit()           # 0, or 128 + signal

Whatever waits has a deadline and says what the screen showed. Nothing ever sleeps for luck. The
server runs as our child (tmux -D) on a socket of its own and dies with us, its windows with it.
"""

import ctypes
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

DEADLINE = 20 * (4 if os.environ.get("MUSTER_TEST_SANITIZER") else 1)
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def available():
    return shutil.which("tmux") is not None


def _die_with_parent():
    os.setsid()
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class Timeout(AssertionError):
    """What was waited for did not come."""


class Tmux:
    def __init__(self, columns=80, rows=24, term="tmux-256color"):
        self.columns, self.rows, self.term = columns, rows, term
        self.dir = None
        self._server = None

    # -- life ----------------------------------------------------------------------------------

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="muster-tmux-")
        config = os.path.join(self.dir, "tmux.conf")
        with open(config, "w", encoding="ascii") as f:
            f.write("set -s exit-empty off\nset -g status off\nset -s escape-time 10\n"
                    f"set -g default-terminal {self.term}\nset -g remain-on-exit on\n"
                    "set -g remain-on-exit-format ''\n"
                    "set -g history-limit 2000\nset -s focus-events off\n"
                    "set -g default-shell /bin/sh\n")
        self._server = subprocess.Popen(
            [*self._tmux(), "-D", "-f", config], stdin=subprocess.DEVNULL, env=self._clean(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_die_with_parent)
        self._until(lambda: self._run("show", "-s", "exit-empty", check=False).returncode == 0,
                    "the tmux server")
        return self

    def __exit__(self, *exc):
        self._run("kill-server", check=False)
        try:
            self._server.wait(5)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def _tmux(self):
        return ["tmux", "-u", "-S", os.path.join(self.dir, "socket")]

    @staticmethod
    def _clean():
        """The surroundings every test starts from."""
        env = {k: v for k, v in os.environ.items()
               if k not in ("TMUX", "TMUX_PANE", "LINES", "COLUMNS", "NO_COLOR", "ESCDELAY")
               and not k.startswith("XDG_")}
        env.setdefault("LC_ALL", "C.UTF-8")
        return env

    def _run(self, *args, check=True):
        result = subprocess.run([*self._tmux(), *args], capture_output=True, text=True,
                                encoding="utf-8", errors="replace", env=self._clean(),
                                stdin=subprocess.DEVNULL, check=False)
        if check and result.returncode != 0:
            raise RuntimeError(f"tmux {args[0]}: {result.stderr.strip()}")
        return result

    # -- the program ---------------------------------------------------------------------------

    def start(self, argv, env=None, cwd=None):
        """Run ARGV in the window, in place of what ran there before."""
        self._run("kill-session", "-t", "muster", check=False)
        options = []
        for name, value in (env or {}).items():
            options += ["-e", f"{name}={value}"]
        if cwd:
            options += ["-c", cwd]
        self._run("new-session", "-d", "-s", "muster", "-x", str(self.columns),
                  "-y", str(self.rows), *options, "exec " + shlex.join(argv))

    def shell(self, env=None, cwd=None):
        """A plain shell with the prompt `$ `, to start programs from and to suspend them into."""
        self.start(["sh", "-i"], env={"PS1": "$ ", "ENV": "", **(env or {})}, cwd=cwd)
        self.wait_for("$")

    def keys(self, *names):
        self._run("send-keys", "-t", "muster", *names)

    def text(self, text):
        self._run("send-keys", "-t", "muster", "-l", text)

    def paste(self, text):
        """As a bracketed paste, when the program asked for such."""
        self._run("set-buffer", "--", text)
        self._run("paste-buffer", "-p", "-t", "muster")

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self._run("resize-window", "-t", "muster", "-x", str(columns), "-y", str(rows))

    def ask(self, form):
        """A value of the window, such as #{cursor_x},#{cursor_y} or #{pane_pid}."""
        return self._run("display-message", "-p", "-t", "muster", form).stdout.rstrip("\n")

    def pid(self):
        return int(self.ask("#{pane_pid}"))

    def cursor(self):
        x, y = self.ask("#{cursor_x},#{cursor_y}").split(",")
        return int(x), int(y)

    # -- the screen ----------------------------------------------------------------------------

    def lines(self):
        """The screen as it stands, a string a row, without spaces at the ends."""
        out = self._run("capture-pane", "-p", "-t", "muster").stdout
        rows = [row.rstrip() for row in out.split("\n")]
        return (rows + [""] * self.rows)[:self.rows]

    def screen(self):
        return "\n".join(self.lines())

    def ansi(self):
        """The same with colours, as escape sequences."""
        return self._run("capture-pane", "-e", "-p", "-N", "-t", "muster").stdout

    def row_of(self, wanted):
        for number, line in enumerate(self.lines()):
            if found(wanted, line):
                return number
        return None

    # -- waiting -------------------------------------------------------------------------------

    def _until(self, condition, what, seconds=None):
        deadline = time.monotonic() + (seconds or DEADLINE)
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                screen = "" if what == "the tmux server" else "\n" + self.framed()
                raise Timeout(f"waited {seconds or DEADLINE} s for {what}{screen}")
            time.sleep(0.02)

    def framed(self):
        rows = "\n".join(f"|{line.ljust(self.columns)}|" for line in self.lines())
        return f"{self.columns}x{self.rows}, cursor {self.cursor()}\n{rows}"

    def wait_for(self, wanted, seconds=None):
        """WANTED: a string, a compiled pattern, or a function of the screen's text. Returns what
        was found (True, the match, or the function's value)."""
        return self._until(lambda: found(wanted, self.screen()), describe(wanted), seconds)

    def wait_gone(self, wanted, seconds=None):
        self._until(lambda: not found(wanted, self.screen()), "no " + describe(wanted), seconds)

    def wait_stable(self, quiet=0.2, seconds=None):
        """Until the screen has not changed for a while; for pictures, not for assertions."""
        state = {"text": None, "since": time.monotonic()}

        def same():
            text = self.ansi()
            if text != state["text"]:
                state.update(text=text, since=time.monotonic())
            return time.monotonic() - state["since"] >= quiet

        self._until(same, "a screen at rest", seconds)

    def exited(self):
        """None while it runs; else its exit status, or 128 + signal."""
        dead, status, sig = self.ask(
            "#{pane_dead},#{pane_dead_status},#{pane_dead_signal}").split(",")
        if dead != "1":
            return None
        if not (status or sig):
            # The terminal closes a moment before the status is known; and while tmux takes the
            # terminal off utmp it misses a SIGCHLD that comes, so remind it.
            os.kill(self._server.pid, signal.SIGCHLD)
            return None
        return 128 + int(sig) if sig else int(status)

    def wait_exit(self, seconds=None):
        self._until(lambda: self.exited() is not None, "the program's end", seconds)
        return self.exited()


def found(wanted, text):
    if isinstance(wanted, re.Pattern):
        return wanted.search(text)
    if callable(wanted):
        return wanted(text)
    return wanted in text


def describe(wanted):
    if isinstance(wanted, re.Pattern):
        return f"/{wanted.pattern}/"
    return wanted.__name__ if callable(wanted) else repr(wanted)
