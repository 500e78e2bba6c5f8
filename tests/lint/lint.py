#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks of the source tree that a compiler does not make.

    lint.py [--top FOLDER] [--lib LIBRARY...]

Each check is a function that takes the tree and yields (path, line, text); selftest.py plants a
violation of each and expects it to be found. With --lib, the static libraries of the layers are
looked through for writable globals too.
"""

import argparse
import os
import re
import subprocess
import sys

MAX_LINES = 700
MAX_COLUMNS = 110       # the house style says 100; a word that hangs over is no reason to fail

# What each layer may include, besides itself.
BELOW = {
    "base": set(),
    "core": {"base"},
    "inventory": {"core", "base"},
    "store": {"core", "base"},
    "exec": {"core", "base"},
    "service": {"inventory", "store", "exec", "core", "base"},
    "ui": {"service", "core", "base"},
    "cli": {"service", "core", "base"},
}
# The one door through the layers: whoever shows batches reads them where they are.
READER = "muster/store/reader.h"
READERS = {"ui", "cli"}

# Header pattern -> the only files that may include it.
THIRD_PARTY = {
    r"openssl/.*": r"src/base/hash\.c|src/exec/.*",
    r"json-c/.*|json\.h": r"src/core/json\.c",
    r"yaml\.h": r"src/core/yaml\.c",
    r"archive(_entry)?\.h": r"src/service/copy_archive\.c",
    r"sqlite3\.h": r"src/store/.*",
    r"libssh2.*": r"src/exec/.*",
    r"(n?curses|ncursesw/.*|term|panel|form|menu)(\.h)?": r"src/ui/tty_curses\.c",
    r"cmocka\.h": r"tests/.*",
}

BANNED = ("strcpy", "strcat", "gets", "strtok", "alloca")
# In tests, where the input is known and a shell does no harm, these are of use.
BANNED_IN_PROGRAM = ("sprintf", "vsprintf", "atoi", "atol", "system", "popen")

# In two parts, or this file would hold what it forbids.
LEFT_OVER = "|".join(a + b for a, b in (("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("HA", "CK")))
MACHINE_PATH = re.compile(r"/(?:wo" + r"rk/|ro" + r"ot/|Us" + r"ers/|tmp/bu" + r"ild)")

# library -> symbols that may be written, each for a reason.
MUTABLE = {
    # The log is one a process by nature; the user's name is looked up once.
    "libmuster-base.a": r"log_\w+|the_log|user_name|once",
    # A crash handler finds nothing but globals; the terminal is one a process as well.
    "libmuster-ui.a": r"reset|reset_len|crash_fd|modes|old_actions|old_stack|stack",
}

SKIPPED_FOLDERS = re.compile(r"^(\.git|build.*|\..*cache|__pycache__|subprojects)$")
C_FILE = re.compile(r".*\.(c|h|def)$")
SOURCE_FILE = re.compile(r".*\.(c|h|def|py|sh|build)$|(^|/)(dev|demo-fleet|run)$")
TEXT_FILE = re.compile(r".*\.(c|h|def|py|sh|build|md|txt|yaml|yml|json|1)$"
                       r"|(^|/)(dev|demo-fleet|run|\.gitignore)$")


class Tree:
    """The files below TOP, read once."""

    def __init__(self, top):
        self.top = top
        self.texts = {}
        for folder, names, files in os.walk(top):
            names[:] = sorted(n for n in names if not SKIPPED_FOLDERS.match(n) or n == ".ci")
            for name in sorted(files):
                path = os.path.relpath(os.path.join(folder, name), top)
                if TEXT_FILE.match(path):
                    with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                        self.texts[path] = f.read()

    def files(self, pattern):
        for path, text in self.texts.items():
            if pattern.match(path):
                yield path, text

    def lines(self, pattern):
        for path, text in self.files(pattern):
            for number, line in enumerate(text.split("\n"), 1):
                yield path, number, line


def blank(match):
    """The same number of lines, and nothing on them."""
    return re.sub(r"[^\n]", " ", match.group(0))


def code_only(text):
    """C text without comments, and with empty strings and characters."""
    token = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return token.sub(lambda m: blank(m) if m.group(0)[0] == "/" else m.group(0)[0] * 2, text)


def layer_of(path):
    m = re.match(r"(?:src|include/muster)/([a-z]+)/", path)
    return m.group(1) if m and m.group(1) in BELOW else None


def check_layers(tree):
    for path, number, line in tree.lines(re.compile(r"(src|include)/.*\.(c|h|def)$")):
        m = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        layer = layer_of(path)
        if not m or layer is None:
            continue
        header = m.group(1)
        if ".." in header.split("/"):
            yield path, number, f"includes {header}: no way up the tree"
        elif header.startswith("muster/"):
            wanted = header.split("/")[1]
            if wanted == layer or wanted in BELOW[layer]:
                continue
            if header == READER and layer in READERS:
                continue
            yield path, number, f"{layer} must not include {header}"
        elif '"' in line:
            local = os.path.join(os.path.dirname(path), header)
            if path.startswith("include/") or local not in tree.texts:
                yield path, number, f"includes {header}, which is no private header of its layer"


def check_third_party(tree):
    for path, number, line in tree.lines(C_FILE):
        m = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if not m or path.startswith("tests/"):
            continue
        if os.path.join(os.path.dirname(path), m.group(1)) in tree.texts:
            continue    # a private header that happens to have such a name
        for header, places in THIRD_PARTY.items():
            if re.fullmatch(header, m.group(1)) and not re.fullmatch(places, path):
                yield path, number, f"{m.group(1)} belongs in {places} only"


def check_length(tree):
    for path, text in tree.files(SOURCE_FILE):
        count = text.count("\n")
        if count > MAX_LINES:
            yield path, count, f"{count} lines; the limit is {MAX_LINES}"


def check_style(tree):
    for path, number, line in tree.lines(SOURCE_FILE):
        # A .def file is a table of one row a line.
        if len(line) > MAX_COLUMNS and not path.endswith(".def"):
            yield path, number, f"{len(line)} columns; the limit is {MAX_COLUMNS}"
        if line != line.rstrip():
            yield path, number, "white space at the end"
        if "\t" in line:
            yield path, number, "a tab"
    for path, text in tree.files(C_FILE):
        # A string may hold two slashes: take the strings out first, the comments stay.
        bare = re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)
        for number, line in enumerate(bare.split("\n"), 1):
            if "//" in line:
                yield path, number, "a // comment; write /* */"


def check_left_over(tree):
    for path, number, line in tree.lines(TEXT_FILE):
        m = re.search(rf"\b({LEFT_OVER})\b", line)
        if m:
            yield path, number, f"{m.group(1)}: do it, or open an issue"


def check_banned(tree):
    for path, text in tree.files(C_FILE):
        names = BANNED if path.startswith("tests/") else BANNED + BANNED_IN_PROGRAM
        for number, line in enumerate(code_only(text).split("\n"), 1):
            m = re.search(rf"(?<![\w.>])({'|'.join(names)})\s*\(", line)
            if m:
                yield path, number, f"{m.group(1)}() is banned"


def check_spdx(tree):
    for path, text in tree.files(SOURCE_FILE):
        if "SPDX-License-Identifier: Apache-2.0" not in "\n".join(text.split("\n")[:3]):
            yield path, 1, "no SPDX line at the top"


def check_machine_paths(tree):
    for path, number, line in tree.lines(TEXT_FILE):
        m = MACHINE_PATH.search(line)
        if m:
            yield path, number, f"{m.group(0)}: a path of one machine"


def check_globals(libraries):
    """Symbols in writable sections; constant tables of pointers (.data.rel.ro) are not writable."""
    for library in libraries:
        name = os.path.basename(library)
        allowed = MUTABLE.get(name, r"(?!)")
        dump = subprocess.run(["objdump", "-t", library], check=True, capture_output=True,
                              text=True, errors="replace").stdout
        for line in dump.split("\n"):
            m = re.match(r"[0-9a-f]{8,} (.{7}) (\S+)\s+[0-9a-f]+ (?:\.hidden )?(\S+)$", line)
            if not m or "d" in m.group(1) or m.group(3).startswith("."):
                continue
            section, symbol = m.group(2), m.group(3)
            writable = re.match(r"\.(data|bss|tdata|tbss)\b|\*COM\*", section)
            if writable and not section.startswith(".data.rel.ro"):
                if not re.fullmatch(allowed, re.sub(r"\.\d+$", "", symbol)):
                    yield name, 0, f"writable global {symbol} (in {section})"


CHECKS = {
    "layers": check_layers,
    "third-party": check_third_party,
    "length": check_length,
    "style": check_style,
    "left-over": check_left_over,
    "banned": check_banned,
    "spdx": check_spdx,
    "machine-paths": check_machine_paths,
}


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--top", default=os.path.dirname(os.path.dirname(here)))
    parser.add_argument("--lib", action="append", default=[])
    args = parser.parse_args()
    tree = Tree(args.top)
    problems = 0
    for name, check in CHECKS.items():
        for path, line, text in check(tree):
            print(f"{path}:{line}: {text} [{name}]")
            problems += 1
    for path, line, text in check_globals(args.lib):
        print(f"{path}: {text} [globals]")
        problems += 1
    print(f"{len(tree.texts)} files, {problems} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
