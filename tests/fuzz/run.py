#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs each fuzz target for a while from a new seed: run.py BUILD-FOLDER SECONDS

A crash leaves its input as fuzz-TARGET.crash in BUILD-FOLDER; the seed is printed with each run.
"""

import os
import random
import re
import subprocess
import sys


def main():
    build, seconds = sys.argv[1], sys.argv[2]
    fuzz = os.path.abspath(os.path.join(build, "tests", "fuzz", "fuzz"))
    usage = subprocess.run([fuzz], capture_output=True, text=True, check=False).stderr
    targets = re.search(r"targets: (.*)", usage).group(1).split()
    env = {"ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1", **os.environ,
           "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_stacktrace=1"}
    failed = []
    for target in targets:
        seed = str(random.getrandbits(32))
        print(f"{target}, seed {seed}", flush=True)
        if subprocess.run([fuzz, target, "seconds", seconds, seed], cwd=build, env=env,
                          check=False).returncode != 0:
            failed.append(f"{target}: {fuzz} {target} file {build}/fuzz-{target}.crash")
    for line in failed:
        print("failed:", line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
