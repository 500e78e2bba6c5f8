#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes pictures of the real screen on the demo fleet: screenshots.py MUSTER FOLDER

For each size one run of `muster demo` in tmux: pick, compose, run, look, and a picture of each.
MUSTER_DEMO_FLEET must name the fleet's script, as for `muster demo` from the source tree.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tmux")]
import ansi2svg     # noqa: E402
import lib          # noqa: E402

SIZES = [(120, 35), (80, 24), (40, 12)]
SLOW_CHECK = "sleep $((RANDOM % 4)); node-check"
PLAN = """description: Takes machines out, updates them, and puts them in again
parameters:
  targets: {type: TargetSpec}
steps:
  - description: Take it out of the pool
    command: 'echo "$MUSTER_NODE: no new sessions"; sleep 0.$((RANDOM % 9))'
    targets: $targets
  - description: Check the machine
    command: node-check
    targets: $targets
  - description: Update the packages
    command: sleep $((1 + RANDOM % 3)); echo 12 packages are new
    targets: $targets
  - description: Put it in again
    command: 'echo "$MUSTER_NODE: back in the pool"'
    targets: $targets
"""
# What earlier days left in the history.
EARLIER = ["uname -sr", "test -e /var/run/reboot-required", "df -h / | tail -n 1", "nproc"]


def as_bastion(argv):
    """ARGV with a neutral host name in its title line, where we may set one."""
    script = 'printf bastion >/proc/sys/kernel/hostname && exec "$@"'
    wrapped = ["unshare", "--uts", "sh", "-c", script, "sh"]
    if shutil.which("unshare") and subprocess.run([*wrapped, "true"], check=False,
                                                  stderr=subprocess.DEVNULL).returncode == 0:
        return [*wrapped, *argv]
    return argv


class Session:
    """One size: the terminal, and where its pictures go."""

    def __init__(self, terminal, folder):
        self.t, self.folder = terminal, folder

    def press(self, *keys):
        for key in keys:
            self.t.keys(key)
        self.t.wait_stable()

    def picture(self, view, settle=True):
        if settle:
            self.t.wait_stable(0.4)
        path = os.path.join(self.folder, f"{view}-{self.t.columns}x{self.t.rows}.svg")
        svg = ansi2svg.convert(self.t.ansi(), self.t.columns, self.t.rows,
                               f"muster, {view}, {self.t.columns}x{self.t.rows}")
        with open(path, "w", encoding="utf-8") as f:
            f.write(svg)
        print(path)

    def compose(self, command):
        self.press("2", "g", "j", "e")
        self.press("C-u")
        self.t.text(command)
        self.press("Enter")

    def turn(self, kind, name):
        """The form to a task or a plan of this name; the cursor is on its first parameter."""
        self.press("2", "g")
        while f"[{kind}]" not in self.t.screen():
            self.press("l")
        self.press("j", "Enter", "/")
        self.t.text(name)
        self.t.wait_for(re.compile(r"\b1 of \d"))
        self.press("Enter", "Enter")

    def run(self, targets):
        """Through the review; the answer is the number of nodes when it is many."""
        self.press("x")
        self.t.wait_for("nothing runs before you agree")
        if re.search(r"type (\d+)", self.t.screen()):
            self.t.text(str(targets))
        self.t.keys("Enter")
        self.t.wait_gone("nothing runs before you agree")

    def wait_done(self, targets):
        self.press("3")
        self.t.wait_for(re.compile(rf"{targets}/{targets}\b"))


def work_pictures(s):
    """The fields of a task, the steps of a plan as they end, and what they wrote on a node."""
    s.turn("task", "package")
    s.press("e")
    s.t.text("openssl")
    s.t.wait_for(re.compile(r">name\* +openssl"))
    s.press("Enter")
    s.press("l", "j", "j", "j", "e")
    s.t.text("soon")
    s.t.wait_for(re.compile(r">lock_tim.* +soon"))
    s.press("Escape")
    s.picture("task")
    s.turn("plan", "refresh")
    s.run(26)
    s.t.keys("3")
    s.t.wait_for(re.compile(r"(?<!\d)([3-9]|1\d)/26\b"))
    s.picture("plan", settle=False)
    s.wait_done(26)
    s.press("!", "g", "Enter")
    if s.t.rows < 20:
        s.press("G")
    s.t.wait_for("== step")
    s.picture("steps")
    s.press("Escape", "!")


def take(muster, folder, columns, rows, work):
    database = os.path.join(work, "fleet.db")
    env = {"MUSTER_DB": database, "HOME": work, "XDG_STATE_HOME": work,
           "XDG_DATA_HOME": os.path.join(work, "data"), "LC_ALL": "C.UTF-8",
           "MUSTER_DEMO_FLEET": os.path.abspath(os.environ["MUSTER_DEMO_FLEET"])}
    plans = os.path.join(work, "data", "muster", "plans")
    os.makedirs(plans)
    with open(os.path.join(plans, "refresh.yaml"), "w", encoding="ascii") as f:
        f.write(PLAN)
    for command in EARLIER:
        subprocess.run(as_bastion([muster, "run", "-w", "localhost", "--db", database, "--",
                                   command]), env={**os.environ, **env}, check=False,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with lib.Tmux(columns, rows) as terminal:
        s = Session(terminal, folder)
        terminal.start(as_bastion([muster, "demo", "--db", database]), env=env)
        terminal.wait_for("#4")
        # A first batch on one group, so that the picker has something to say about its nodes.
        s.press("1", "j", "Space")
        s.compose("node-check")
        s.run(12)
        s.wait_done(12)
        s.press("1", "u", "g", "Space")
        s.compose(SLOW_CHECK)
        s.press("1", "g", "j", "j")
        s.picture("picker")
        s.run(26)
        s.press("3")
        terminal.wait_for(re.compile(r"1[2-9]/26\b"))
        s.picture("progress", settle=False)
        s.wait_done(26)
        s.press("4", "g")
        s.picture("results")
        work_pictures(s)
        s.press("5", "g")
        s.picture("history")
        s.press("q")


def main():
    muster, folder = os.path.abspath(sys.argv[1]), sys.argv[2]
    os.makedirs(folder, exist_ok=True)
    for columns, rows in SIZES:
        work = tempfile.mkdtemp(prefix="muster-pictures-")
        try:
            take(muster, folder, columns, rows, work)
        finally:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
