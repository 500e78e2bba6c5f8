#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each check of lint.py must be able to fail: plants one violation a case and expects just that."""

import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lint     # noqa: E402

SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
CLEAN = {
    "include/muster/base/strbuf.h": SPDX + "#include <stddef.h>\n",
    "include/muster/store/reader.h": SPDX + '#include "muster/core/batch.h"\n',
    "include/muster/store/writer.h": SPDX,
    "include/muster/core/batch.h": SPDX + '#include "muster/base/strbuf.h"\n',
    "include/muster/exec/engine.h": SPDX,
    "include/muster/service/service.h": SPDX,
    "include/muster/cli/cli.h": SPDX,
    "src/base/hash.c": SPDX + "#include <openssl/evp.h>\n",
    "src/core/json.c": SPDX + '#include "muster/base/strbuf.h"\n#include <json-c/json.h>\n',
    "src/store/db.h": SPDX,
    "src/store/db.c": SPDX + '#include "db.h"\n#include <sqlite3.h>\n',
    "src/service/service.c": SPDX + '#include "muster/store/writer.h"\n',
    "src/ui/view.c": SPDX + '#include "muster/store/reader.h"\n'
                            'const char *fine = "no atoi(x) here // nor here";\n'
                            "int x = the_atoi(1) + a->system(2);\n",
    "tests/core/test_json.c": SPDX + "#include <cmocka.h>\nint x = system(command);\n",
    "dev": "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\nmktemp /tmp/a.XXXXXX\n",
}


def plant(path, text):
    """The problems that the checks find once TEXT stands at the end of PATH."""
    with tempfile.TemporaryDirectory() as top:
        for name, content in CLEAN.items():
            content += text if name == path else ""
            write(top, name, content)
        if path and path not in CLEAN:
            write(top, path, text)
        tree = lint.Tree(top)
        return [(name, where, line) for name, check in lint.CHECKS.items()
                for where, line, _ in check(tree)]


def write(top, name, content):
    full = os.path.join(top, name)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w", encoding="utf-8") as f:
        f.write(content)


class Checks(unittest.TestCase):
    def expect(self, check, path, text):
        problems = plant(path, text)
        self.assertEqual({(check, path)}, {p[:2] for p in problems}, text)

    def test_clean_tree(self):
        self.assertEqual([], plant("", ""))

    def test_layers(self):
        for path, header in (
                ("include/muster/base/strbuf.h", "muster/core/batch.h"),     # upward
                ("src/core/json.c", "muster/store/reader.h"),                # upward
                ("src/store/db.c", "muster/exec/engine.h"),                  # sideways
                ("src/ui/view.c", "muster/cli/cli.h"),                       # sideways
                ("src/ui/view.c", "muster/exec/engine.h"),                   # skipping
                ("src/ui/view.c", "muster/store/writer.h"),                  # not the reader
                ("src/service/service.c", "muster/cli/cli.h"),               # upward
                ("src/service/service.c", "db.h"),                           # another's private
                ("src/service/service.c", "../store/db.h"),                  # by the back door
                ("include/muster/store/reader.h", "db.h")):                  # private in public
            self.expect("layers", path, f'#include "{header}"\n')

    def test_third_party(self):
        for path, header in (
                ("src/ui/view.c", "curses.h"), ("src/ui/view.c", "ncursesw/curses.h"),
                ("src/core/json.c", "sqlite3.h"), ("src/core/json.c", "yaml.h"),
                ("src/store/db.c", "json-c/json.h"), ("src/store/db.c", "openssl/sha.h"),
                ("src/service/service.c", "libssh2.h"), ("src/base/hash.c", "cmocka.h")):
            self.expect("third-party", path, f"#include <{header}>\n")

    def test_length(self):
        self.expect("length", "src/base/hash.c", "int x;\n" * 700)

    def test_style(self):
        for text in ("int " + "x" * 120 + ";\n", "int x; \n", "\tint x;\n", "int x; // why\n"):
            self.expect("style", "src/base/hash.c", text)

    def test_left_over(self):
        for word in lint.LEFT_OVER.split("|"):
            self.expect("left-over", "src/base/hash.c", f"/* {word}: later */\n")

    def test_banned(self):
        for name in lint.BANNED + lint.BANNED_IN_PROGRAM:
            self.expect("banned", "src/base/hash.c", f"int x = {name} (y);\n")
        self.expect("banned", "tests/core/test_json.c", "int x = strcpy(y, z);\n")

    def test_spdx(self):
        for path in ("src/base/new.c", "include/muster/base/new.h", "tests/new.py", "src/meson.build"):
            self.expect("spdx", path, "\n")

    def test_machine_paths(self):
        for path in ("/wo" + "rk/main", "/ro" + "ot/.ssh"):
            self.expect("machine-paths", "src/base/hash.c", f'const char *p = "{path}";\n')

    def test_globals(self):
        source = ("static int counter; int shared = 1; static _Thread_local int each;\n"
                  "static const int fixed = 3; static const char *const names[] = {\"a\"};\n"
                  "int next(void) { static int kept; each++;\n"
                  "    return counter++ + kept++ + fixed + names[0][0]; }\n")
        with tempfile.TemporaryDirectory() as top:
            write(top, "x.c", source)
            library = os.path.join(top, "libmuster-core.a")
            subprocess.run(["cc", "-fPIC", "-c", "x.c", "-o", "x.o"], cwd=top, check=True)
            subprocess.run(["ar", "rcs", library, "x.o"], cwd=top, check=True)
            found = {text.split()[2] for _, _, text in lint.check_globals([library])}
        self.assertEqual({"counter", "shared", "each", "kept.0"}, found)


if __name__ == "__main__":
    unittest.main()
