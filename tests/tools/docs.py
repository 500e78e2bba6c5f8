#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the parts of the documents that come from tables in the code.

    docs.py DOCGEN [--check] [FILE...]        default: the *.md files at the top

Between `<!-- NAME: made by ./dev docs -->` and `<!-- end of NAME -->` stands what `DOCGEN NAME`
prints; for the name `matrix`, what the rows of tests/matrix expect.
With --check nothing is written, and a part that is out of date is an error.
"""

import glob
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MATRIX = os.path.join(TOP, "tests", "matrix", "matrix.py")
PART = re.compile(r"(<!-- ([a-z-]+): made by \./dev docs -->\n).*?(<!-- end of \2 -->)", re.S)


def renew(text, docgen):
    def part(match):
        argv = [docgen, match.group(2)]
        if match.group(2) == "matrix":
            argv = [sys.executable, "-B", MATRIX, "--markdown"]
        made = subprocess.run(argv, check=True, capture_output=True,
                              text=True, encoding="utf-8").stdout
        return match.group(1) + made + match.group(3)
    return PART.sub(part, text)


def main():
    names = [a for a in sys.argv[2:] if a != "--check"]
    check = "--check" in sys.argv
    docgen, stale, parts = os.path.abspath(sys.argv[1]), 0, 0
    for name in names or sorted(glob.glob(os.path.join(TOP, "*.md"))):
        with open(name, encoding="utf-8") as f:
            old = f.read()
        new = renew(old, docgen)
        parts += len(PART.findall(old))
        if new == old:
            continue
        stale += 1
        print(f"{name}: {'out of date; run ./dev docs' if check else 'written'}")
        if not check:
            with open(name, "w", encoding="utf-8") as f:
                f.write(new)
    if parts == 0:
        print("no document has a part to make")
        return 1
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
