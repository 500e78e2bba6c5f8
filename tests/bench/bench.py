#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What muster costs, start to exit: bench.py MUSTER

Prints, beside the goal where there is one: one node on the local transport; nodes on one real sshd
on the loopback, CPU of muster alone (the servers' is not counted), wall time and peak memory.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "ssh"))
import rig      # noqa: E402


def timed(argv, env):
    """(wall seconds, CPU seconds, peak KiB) of one run that must succeed."""
    began = time.monotonic()
    process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode != 0:
        raise SystemExit(f"{argv} ended {process.returncode}:\n{message.decode()[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def one_node(muster, env):
    runs = [timed([muster, "run", "-w", "localhost", "--", "true"], env) for _ in range(40)]
    walls = sorted(1000 * r[0] for r in runs)
    print(f"run on localhost, start to exit: median {statistics.median(walls):.1f} ms, "
          f"best {walls[0]:.1f}, worst {walls[-1]:.1f} (goal: at most 30)")


def many_nodes(muster, env, server, work, count, fanout):
    inventory = os.path.join(work, f"inventory-{count}.yaml")
    with open(inventory, "w", encoding="ascii") as f:
        f.write("nodes:\n")
        ports = server.ports
        for i in range(count):
            f.write(f"  n{i + 1:04d}: {{host: 127.0.0.1, port: {ports[i % len(ports)]}}}\n")
        f.write(f"groups:\n  all:\n    nodes: \"n[0001-{count:04d}]\"\n    user: {server.user}\n"
                f"    identity: [{server.env['RIG_KEY']}]\n"
                f"    known_hosts: [{server.env['RIG_KNOWN_HOSTS']}]\n")
    argv = [muster, "run", "-i", inventory, "-F", server.env["RIG_SSH_CONFIG"], "-w", "@all", "-y",
            "-f", str(fanout), "-b", "--", "uname -n"]
    wall, cpu, peak = min(timed(argv, env) for _ in range(3))
    print(f"{count} nodes, fan-out {fanout}: CPU {1000 * cpu / count:.2f} ms a node, wall "
          f"{wall:.2f} s, peak {peak / 1024:.0f} MiB")


def main():
    muster = os.path.abspath(sys.argv[1])
    work = tempfile.mkdtemp(prefix="muster-bench-")
    env = {**os.environ, "XDG_STATE_HOME": work, "XDG_CONFIG_HOME": work, "HOME": work}
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        one_node(muster, env)
        with rig.Rig(ports=16, keys=["ed25519"], max_startups="1000:30:2000") as server:
            many_nodes(muster, env, server, work, 100, 64)
            many_nodes(muster, env, server, work, 400, 64)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
