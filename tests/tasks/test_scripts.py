#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scripts of data/tasks as they are built, run directly by each shell that is here, against false
programs in a PATH of their own: what they answer, what they change, and that a second run changes
nothing."""

import glob
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = os.path.join(TOP, "data", "tasks")
# Beside the program, where it finds them too.
TASKS = os.path.join(os.path.dirname(os.path.dirname(os.environ["MUSTER"])), "data", "tasks")
SHELLS = [[path, *more] for name, more in (("dash", []), ("bash", ["--posix"]), ("busybox", ["sh"]))
          if (path := shutil.which(name))]
TOOLS = ("sh awk cat chmod cmp cp cut date env grep head ls mkdir mktemp mv nohup readlink rm sed setsid "
         "sleep tail tr umask uname wc").split()
HOSTILE = ["", " ", "a'b\"c", "$(touch /nowhere) `id` $HOME", "back\\slash \\n \\1 & /", "*", "-n", "--",
           "#!", "é ü €", "tab\there", "trailing ", "%s %d", "{\"a\": 1}", "[x]^$.*+?()|"]

# An installed package is a file that holds its version; what can be had lies in repo.
MANAGER = r"""#!/bin/sh
self=${0##*/}
echo "$self $*" >>"$FAKE/log"
case $self:$* in
*dpkg-query*|rpm:*|'apk:info '*|'pacman:-Q '*) asked=1 ;;
*) asked= ;;
esac
for last; do :; done
name=$last v=
case $self in
dnf|yum) name=${last%%-[0-9]*}; [ "$name" = "$last" ] || v=${last#"$name"-} ;;
*) name=${last%%=*}; [ "$name" = "$last" ] || v=${last#*=} ;;
esac
file=$FAKE/installed/$name
if [ "$asked" ]; then
    [ -f "$file" ] || { echo "no $name"; exit 1; }
    case $self in
    dpkg-query) echo "install ok installed $(cat "$file")" ;;
    rpm) cat "$file" ;;
    apk) echo "$name-$(cat "$file")" ;;
    pacman) echo "$name $(cat "$file")" ;;
    esac
    exit 0
fi
if [ -s "$FAKE/locked" ]; then
    sed -i 1d "$FAKE/locked"
    echo 'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1'
    exit 100
fi
verb=
for a; do
    case $a in
    install|add|-S) verb=${verb:-add} ;;
    --upgrade|update|-Sy|makecache|refresh) verb=update ;;
    downgrade|--oldpackage) verb=down ;;
    remove|del|-R) verb=remove ;;
    esac
done
case $last in update|makecache|refresh|--noconfirm) exit 0 ;; esac
if [ "$verb" = remove ]; then rm -f "$file"; exit 0; fi
[ -f "$FAKE/repo/$name" ] || { echo; echo "E: Unable to locate package $name"; exit 100; }
if [ -z "$v" ]; then
    # apt, zypper and pacman take the newest for `install`; dnf, yum and apk keep what is there.
    case $self:$verb in dnf:add|yum:add|apk:add) [ -f "$file" ] && exit 0 ;; esac
    cp "$FAKE/repo/$name" "$file"
else
    case $self:$verb in dnf:add|yum:add) [ -f "$file" ] && exit 0 ;; esac
    echo "$v" >"$file"
fi
"""
MANAGERS = {"apt": ["apt-get", "dpkg-query"], "dnf": ["dnf", "rpm"], "yum": ["yum", "rpm"],
            "zypper": ["zypper", "rpm"], "apk": ["apk"], "pacman": ["pacman"]}

SERVICES = r"""#!/bin/sh
self=${0##*/}
echo "$self $*" >>"$FAKE/log"
is() { [ -e "$FAKE/$1" ]; }
case $self:$* in
systemctl:show*) if is known; then echo LoadState=loaded; else echo LoadState=not-found; fi ;;
systemctl:is-active*) is failed && { echo failed; exit 3; }
    is running && { echo active; exit 0; }; echo inactive; exit 3 ;;
systemctl:is-enabled*) is enabled && { echo enabled; exit 0; }; echo disabled; exit 1 ;;
systemctl:enable*|rc-update:add*|update-rc.d:*enable) : >"$FAKE/enabled"; : >"$FAKE/rc/rc3.d/S01web" ;;
systemctl:disable*|rc-update:del*|update-rc.d:*disable) rm -f "$FAKE/enabled" "$FAKE/rc/rc3.d/S01web" ;;
rc-update:show*) if is enabled; then echo "  web | default"; else echo " web |"; fi ;;
rc-service:--exists*) is known ;;
*status*) is running ;;
*start*)
    is refuses && { echo; echo "Job failed: no $FAKE"; exit 6; }
    is dies && { : >"$FAKE/failed"; exit 0; }
    : >"$FAKE/running"; sleep 300 & ;;
*stop*) rm -f "$FAKE/running" ;;
*reload*) is running ;;
*) exit 64 ;;
esac
"""
PROVIDERS = {"systemd": ["systemctl"], "openrc": ["rc-service", "rc-update"],
             "sysv": ["service", "update-rc.d"]}


class Scripts(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="muster-tasks-")
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.bin = os.path.join(self.dir, "bin")
        self.fake = os.path.join(self.dir, "fake")
        for folder in ("bin", "tmp", "fake/installed", "fake/repo", "fake/rc/rc3.d", "fake/init.d"):
            os.makedirs(os.path.join(self.dir, folder))
        for name in TOOLS:
            path = shutil.which(name)
            if path:
                os.symlink(path, os.path.join(self.bin, name))
        self.program("id", "#!/bin/sh\necho 0\n")

    def program(self, name, text):
        path = os.path.join(self.bin, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o755)
        return path

    def write(self, name, text, mode=None):
        path = os.path.join(self.fake, name)
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        if mode is not None:
            os.chmod(path, mode)
        return path

    def read(self, path):
        with open(os.path.join(self.fake, path), "rb") as f:
            return f.read()

    def run_task(self, shell, name, params=None, env=None):
        """(exit code, answer); an answer has _error exactly when the code is not 0."""
        environ = {"PATH": self.bin, "FAKE": self.fake, "TMPDIR": os.path.join(self.dir, "tmp"),
                   "INIT_D": os.path.join(self.fake, "init.d"), "RC_D": os.path.join(self.fake, "rc"),
                   "HOME": self.dir, **(env or {})}
        for key, value in (params or {}).items():
            environ["PT_" + key] = value if isinstance(value, str) else json.dumps(value)
        p = subprocess.run([*shell, os.path.join(TASKS, name + ".sh")], env=environ, cwd=self.dir,
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=100)
        self.assertEqual(p.stderr, b"", f"{shell[0]} {name} {params}")
        answer = json.loads(p.stdout.decode("utf-8"))
        self.assertIsInstance(answer, dict)
        self.assertEqual("_error" in answer, p.returncode != 0, answer)
        if "_error" in answer:
            self.assertEqual(set(answer["_error"]), {"msg", "kind", "details"}, answer)
            self.assertTrue(answer["_error"]["kind"].startswith(name + "/"), answer)
            self.assertTrue(answer["_error"]["msg"], answer)
        self.assertEqual(os.listdir(os.path.join(self.dir, "tmp")), [], "it leaves nothing behind")
        return p.returncode, answer

    def good(self, shell, name, params=None, env=None):
        code, answer = self.run_task(shell, name, params, env)
        self.assertEqual(code, 0, answer)
        return answer

    def bad(self, shell, name, params=None, env=None):
        code, answer = self.run_task(shell, name, params, env)
        self.assertNotEqual(code, 0, answer)
        return answer["_error"]


class Common(Scripts):
    def test_each_is_whole(self):
        """A script travels alone: the part that all share is in each, in place of its mark."""
        texts = {}
        for path in glob.glob(os.path.join(SOURCES, "*.sh")):
            with open(path, encoding="ascii") as f:
                texts[os.path.basename(path)] = f.read()
        common = texts.pop("json.sh")
        self.assertEqual(set(texts), set(map(os.path.basename, glob.glob(os.path.join(TASKS, "*.sh")))))
        for name, text in texts.items():
            self.assertEqual(len(re.findall(r"^# @JSON@$", text, re.M)), 1, f"{name} needs one mark")
            path = os.path.join(TASKS, name)
            with open(path, encoding="ascii") as f:
                self.assertEqual(f.read(), text.replace("# @JSON@\n", common), name)
            for shell in SHELLS:
                subprocess.run([*shell, "-n", path], check=True, timeout=100)

    def test_each_has_metadata_and_reads_all_of_it(self):
        for path in glob.glob(os.path.join(TASKS, "*.sh")):
            with open(path[:-3] + ".json", encoding="utf-8") as f:
                meta = json.load(f)
            with open(path, encoding="ascii") as f:
                text = f.read()
            for name in meta.get("parameters", {}):
                if name == meta.get("muster", {}).get("retry_for"):
                    continue
                self.assertIn(f"PT_{name}", text, f"{path} does not read {name}")
            for name in set(re.findall(r"\$\{PT_([a-z_]+)", text)):
                self.assertIn(name, meta["parameters"], f"{path} reads {name}, which it has not")

    def test_any_bytes_make_json(self):
        """By file_line's refusal, which quotes what it was given."""
        for shell in SHELLS:
            for value in HOSTILE[1:]:
                error = self.bad(shell, "file_line", {"path": value, "line": "x"})
                self.assertEqual(error["details"]["path"], value)
            raw = b"a\xff\xc3(\xe2\x82\xac\xf0\x9f\x98\x80\xed\xa0\x80\x01\x7fz\xc3"
            p = subprocess.run([*shell, os.path.join(TASKS, "file_line.sh")],
                               env={"PATH": self.bin, b"PT_path": raw}, capture_output=True)
            self.assertEqual(json.loads(p.stdout)["_error"]["details"]["path"],
                             "a\ufffd\ufffd(\u20ac\U0001f600\ufffd\ufffd\ufffd\x01\x7fz\ufffd")


class Facts(Scripts):
    def test_facts(self):
        seen = []
        for shell in SHELLS:
            facts = self.good(shell, "facts", env={"PATH": os.environ["PATH"]})
            self.assertEqual(facts["kernel"], os.uname().sysname)
            self.assertEqual(facts["arch"], os.uname().machine)
            self.assertEqual(facts["cpus"], os.sysconf("SC_NPROCESSORS_ONLN"))
            self.assertGreater(facts["memory_mb"], 10)
            self.assertEqual(set(facts["os"]), {"name", "family", "release", "distro"})
            self.assertIsInstance(facts["reboot_required"], bool)
            del facts["uptime_s"]
            seen.append(facts)
        self.assertTrue(all(x == seen[0] for x in seen), seen)

    def test_with_hardly_any_programs(self):
        for shell in SHELLS:
            facts = self.good(shell, "facts")
            self.assertEqual(facts["kernel"], os.uname().sysname)
            self.assertIsNone(facts["python"])
            self.assertIsNone(facts["package_manager"])


class FileLine(Scripts):
    def line(self, shell, want, changed, **params):
        path = params.setdefault("path", os.path.join(self.fake, "file"))
        for expected in (changed, False):
            answer = self.good(shell, "file_line", params)
            self.assertEqual(answer["changed"], expected, answer)
            self.assertEqual(self.read(path), want)
        self.assertEqual([x for x in os.listdir(self.fake) if x.startswith(".muster")], [])

    def test_present(self):
        for shell in SHELLS:
            self.write("file", "a\nb\n")
            self.line(shell, b"a\nb\n", False, line="b")
            self.line(shell, b"a\nb\nc\n", True, line="c")
            self.write("file", "a\nb")
            self.line(shell, b"a\nb\nc\n", True, line="c")
            self.write("file", "")
            self.line(shell, b"c\n", True, line="c")
            self.write("file", "Port 22\n#Port 2\nother\n")
            self.line(shell, b"Port 22\nPort 99\nother\n", True, line="Port 99", match="^#?Port ")
            self.line(shell, b"Port 22\nPort 99\nother\nnew\n", True, line="new", match="^nothing$")

    def test_what_selinux_knows_is_kept(self):
        self.program("chcon", '#!/bin/sh\nprintf "%s\\n" "$@" >"$FAKE/chcon"\nexit 1\n')
        for shell in SHELLS:
            path = self.write("file", "a\n")
            self.line(shell, b"a\nb\n", True, line="b")
            self.assertIn(f"--reference={path}", self.read("chcon").decode().splitlines())

    def test_absent(self):
        for shell in SHELLS:
            self.write("file", "a\nb\na\nab\n")
            self.line(shell, b"b\nab\n", True, line="a", state="absent")
            self.line(shell, b"b\n", True, match="^a", state="absent")
            self.line(shell, b"", True, line="b", state="absent")
            os.unlink(os.path.join(self.fake, "file"))
            answer = self.good(shell, "file_line", {"path": f"{self.fake}/file", "line": "x",
                                                    "state": "absent"})
            self.assertFalse(answer["changed"])

    def test_hostile_lines_and_paths(self):
        for shell in SHELLS:
            for i, value in enumerate(HOSTILE):
                path = os.path.join(self.fake, f"f {value.replace('/', '_')}")
                self.line(shell, f"{value}\n".encode(), True, path=path, line=value, create=True)
                self.write(path, f"one\n{value}\nmarked\n")
                self.line(shell, f"one\n{value}\n{value}\n".encode(), True, path=path, line=value,
                          match="^marked$")
                self.line(shell, b"one\n", True, path=path, line=value, state="absent")
                os.unlink(path)
            raw = b"caf\xe9 \xff"
            self.write("file", b"x\n" + raw + b"\n")
            self.line(shell, raw + b"\n", True, line="x", state="absent")

    def test_keeps_mode_owner_link_and_backup(self):
        for shell in SHELLS:
            path = self.write("file", "a\n", 0o640)
            if os.geteuid() == 0:
                os.chown(path, 12, 34)
            link = os.path.join(self.fake, "link")
            os.symlink("file", link)
            answer = self.good(shell, "file_line", {"path": link, "line": "b", "backup": True})
            st = os.lstat(path)
            self.assertEqual(stat.S_IMODE(st.st_mode), 0o640)
            if os.geteuid() == 0:
                self.assertEqual((st.st_uid, st.st_gid), (12, 34))
            self.assertTrue(os.path.islink(link))
            self.assertEqual(self.read("file"), b"a\nb\n")
            self.assertEqual(self.read(answer["backup"]), b"a\n")
            os.unlink(link)
            os.unlink(answer["backup"])
            path = os.path.join(self.fake, "made")
            self.line(shell, b"b\n", True, path=path, line="b", create=True)
            mask = os.umask(0)
            os.umask(mask)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o666 & ~mask)
            os.unlink(path)

    def test_refusals(self):
        self.write("binary", b"a\0b\nx\n")
        file = self.write("file", "a\n")
        cases = [("path", {"path": "relative", "line": "x"}),
                 ("no-file", {"path": f"{self.fake}/none", "line": "x"}),
                 ("no-file", {"path": f"{self.fake}/none/none", "line": "x", "create": True}),
                 ("no-file", {"path": self.fake, "line": "x"}),
                 ("no-file", {"path": f"{self.fake}/binary", "line": "x"}),
                 ("line", {"path": file, "line": "a\nb"}), ("line", {"path": file}),
                 ("line", {"path": file, "state": "absent"}),
                 ("match", {"path": file, "line": "x", "match": "("}),
                 ("state", {"path": file, "line": "x", "state": "maybe"})]
        for shell in SHELLS:
            for kind, params in cases:
                self.assertEqual(self.bad(shell, "file_line", params)["kind"], f"file_line/{kind}", params)
        self.assertEqual(self.read("file"), b"a\n")
        self.assertEqual(self.read("binary"), b"a\0b\nx\n")


class Package(Scripts):
    def manager(self, provider):
        for names in MANAGERS.values():
            for name in names:
                if os.path.exists(os.path.join(self.bin, name)):
                    os.unlink(os.path.join(self.bin, name))
        for name in MANAGERS[provider]:
            self.program(name, MANAGER)
        for folder in ("installed", "repo"):
            for name in os.listdir(os.path.join(self.fake, folder)):
                os.unlink(os.path.join(self.fake, folder, name))
        self.write("repo/web", "2.0-1\n")

    def state(self, shell, want, changed, **params):
        answer = self.good(shell, "package", {"name": "web", **params})
        self.assertEqual((answer["version"], answer["changed"]), (want, changed), answer)
        self.assertEqual(answer["status"], "installed" if want else "absent")
        return answer

    def test_every_manager(self):
        for shell in SHELLS:
            for provider in MANAGERS:
                with self.subTest(shell=shell[0], provider=provider):
                    self.manager(provider)
                    self.assertEqual(self.state(shell, None, False)["provider"], provider)
                    self.state(shell, None, False, action="absent")
                    self.state(shell, "2.0-1", True, action="present", refresh=True)
                    self.state(shell, "2.0-1", False, action="present")
                    self.state(shell, "2.0-1", False, action="latest")
                    if provider == "pacman":
                        self.assertEqual(self.bad(shell, "package", {"name": "web", "action": "present",
                                                                     "version": "1.0-1"})["kind"],
                                         "package/version")
                    else:
                        answer = self.state(shell, "1.0-1", True, action="present", version="1.0-1")
                        self.assertEqual(answer["old_version"], "2.0-1")
                        self.state(shell, "1.0-1", False, action="present", version="1.0")
                        self.state(shell, "1.0-1", False, action="present")
                        self.state(shell, "2.0-1", True, action="latest")
                    self.state(shell, None, True, action="absent")
                    error = self.bad(shell, "package", {"name": "none", "action": "present"})
                    self.assertEqual(error["kind"], "package/failed")
                    self.assertIn("Unable to locate package none", error["msg"])
                    self.assertEqual(error["details"]["exit_code"], 100)

    def test_a_name_is_no_expression(self):
        self.manager("apt")
        self.state(SHELLS[0], "2.0-1", True, action="present")
        calls = [x for x in self.read("log").splitlines() if x.startswith(b"apt-get")]
        self.assertTrue(calls)
        for x in calls:
            self.assertIn(b"APT::Cmd::Pattern-Only=true", x)

    def test_an_epoch(self):
        """rpm leaves it out of what it tells."""
        for shell in SHELLS:
            self.manager("dnf")
            self.write("installed/web", "2.0-1\n")
            self.state(shell, "2.0-1", False, action="present", version="1:2.0")

    def test_a_lock_is_waited_for_so_long(self):
        shell = SHELLS[0]
        self.manager("apt")
        self.write("locked", "once\n")
        self.state(shell, "2.0-1", True, action="present")
        self.write("locked", "more\n" * 99)
        error = self.bad(shell, "package", {"name": "web", "action": "absent", "lock_timeout": 1})
        self.assertEqual(error["kind"], "package/locked")

    def test_refusals(self):
        self.manager("apt")
        for shell in SHELLS:
            for name in ("", "-y", "a b", "a;id", "$(id)", "*", "a\nb", "web-"):
                self.assertEqual(self.bad(shell, "package", {"name": name})["kind"], "package/name")
            for kind, params in (("version", {"action": "present", "version": "1 2"}),
                                 ("version", {"action": "present", "version": "1.0-"}),
                                 ("version", {"action": "latest", "version": "1"}),
                                 ("action", {"action": "purge"}), ("no-manager", {"provider": "brew"}),
                                 ("no-manager", {"provider": "apk"}),
                                 ("lock-timeout", {"lock_timeout": "x"})):
                self.assertEqual(self.bad(shell, "package", {"name": "web", **params})["kind"],
                                 f"package/{kind}", params)
            self.program("id", "#!/bin/sh\necho 1000\n")
            self.state(shell, None, False, action="absent")
            self.assertEqual(self.bad(shell, "package", {"name": "web", "action": "present"})["kind"],
                             "package/not-root")
            self.program("id", "#!/bin/sh\necho 0\n")
        self.assertNotIn(b"apt-get", self.read("log"))


class Service(Scripts):
    def setUp(self):
        super().setUp()
        for names in PROVIDERS.values():
            for name in names:
                self.program(name, SERVICES)
        self.addCleanup(self.end_sleepers)

    def end_sleepers(self):
        """What the false managers started."""
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/environ", "rb") as f:
                    ours = f"FAKE={self.fake}".encode() in f.read().split(b"\0")
                if ours:
                    os.kill(int(entry), 9)
            except OSError:
                pass

    def fresh(self, *marks):
        for name in ("known", "running", "enabled", "failed", "dies", "refuses", "rc/rc3.d/S01web"):
            if os.path.exists(os.path.join(self.fake, name)):
                os.unlink(os.path.join(self.fake, name))
        for name in marks:
            self.write(name, "")
        self.write("init.d/web", "#!/bin/sh\n", 0o755)

    def state(self, shell, provider, action, status, enabled, changed):
        answer = self.good(shell, "service", {"name": "web", "action": action, "provider": provider})
        self.assertEqual((answer["status"], answer["enabled"], answer["changed"]),
                         (status, enabled, changed), (provider, action, answer))

    def test_every_manager(self):
        for shell in SHELLS:
            for provider in PROVIDERS:
                self.fresh("known")
                for step in (("status", "stopped", False, False), ("stop", "stopped", False, False),
                             ("start", "running", False, True), ("start", "running", False, False),
                             ("enable", "running", True, True), ("enable", "running", True, False),
                             ("restart", "running", True, True), ("reload", "running", True, True),
                             ("disable", "running", False, True), ("disable", "running", False, False),
                             ("stop", "stopped", False, True), ("stop", "stopped", False, False)):
                    self.state(shell, provider, *step)

    def test_what_changes_nothing(self):
        for shell in SHELLS:
            self.fresh("known", "failed")
            self.state(shell, "systemd", "stop", "failed", False, False)
            self.fresh("known")
            self.program("systemctl", SERVICES.replace("echo enabled", "echo static")
                         .replace("echo disabled", "echo static"))
            self.state(shell, "systemd", "enable", "stopped", None, False)
            self.program("systemctl", SERVICES)

    def test_failures(self):
        for shell in SHELLS:
            for provider in PROVIDERS:
                self.fresh("known", "refuses")
                error = self.bad(shell, "service", {"name": "web", "action": "start",
                                                    "provider": provider})
                self.assertEqual(error["kind"], "service/failed")
                self.assertIn("Job failed: no ", error["msg"])
                self.assertEqual(error["details"]["exit_code"], 6)
                self.fresh()
                error = self.bad(shell, "service", {"name": "nothing", "provider": provider})
                self.assertEqual(error["kind"], "service/not-found")
            self.fresh("known", "dies")
            error = self.bad(shell, "service", {"name": "web", "action": "start", "provider": "systemd"})
            self.assertEqual(error["kind"], "service/failed")
            for name in ("", "-H", "a b", "../x", "a;b"):
                self.assertEqual(self.bad(shell, "service", {"name": name})["kind"], "service/name")
            self.assertEqual(self.bad(shell, "service", {"name": "web", "action": "kill"})["kind"],
                             "service/action")
            self.fresh("known")
            self.program("id", "#!/bin/sh\necho 1000\n")
            self.state(shell, "systemd", "status", "stopped", False, False)
            error = self.bad(shell, "service", {"name": "web", "action": "start", "provider": "systemd"})
            self.assertEqual(error["kind"], "service/not-root")
            self.program("id", "#!/bin/sh\necho 0\n")


class Reboot(Scripts):
    def test_reboot_begins_and_answers_before(self):
        for shell in SHELLS:
            done = os.path.join(self.fake, "done")
            answer = self.good(shell, "reboot", {"delay": 1, "message": "it's $HOME",
                                                 "command": 'printf %s "$REBOOT_MESSAGE" >"$FAKE/part"; '
                                                            'mv "$FAKE/part" "$FAKE/done"'})
            self.assertFalse(os.path.exists(done), "the answer leaves before it reboots")
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
                self.assertEqual(answer["boot_id"], f.read().strip())
            self.assertIs(answer["rebooting"], True)
            end = time.monotonic() + 60
            while not os.path.exists(done):
                self.assertLess(time.monotonic(), end, "the command did not run")
                time.sleep(0.02)
            self.assertEqual(self.read("done"), b"it's $HOME")
            os.unlink(done)
            self.assertEqual(self.bad(shell, "reboot", {"delay": "soon", "command": "true"})["kind"],
                             "reboot/delay")
            # Without a command of the test's own only a machine's user may not: that is refused.
            self.program("id", "#!/bin/sh\necho 1000\n")
            self.assertEqual(self.bad(shell, "reboot", {"delay": 3600})["kind"], "reboot/not-root")

    def test_wait_back(self):
        for shell in SHELLS:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
                now = f.read().strip()
            code, answer = self.run_task(shell, "wait_back", {"boot_id": now})
            self.assertEqual((code, answer["_error"]["kind"]), (75, "wait_back/not-yet"))
            self.assertIs(self.good(shell, "wait_back", {"boot_id": "another"})["rebooted"], True)
            self.assertIsNone(self.good(shell, "wait_back", {"boot_id": now, "check": False})["rebooted"])
            self.assertEqual(self.good(shell, "wait_back", {})["boot_id"], now)


class Others(Scripts):
    def test_ansible_playbook(self):
        for shell in SHELLS:
            self.program("ansible-playbook", r"""#!/bin/sh
printf '%s\n' "$@" >"$FAKE/args"
for a; do case $a in @*) cat "${a#@}" >>"$FAKE/vars" ;; esac; last=$a; done
cat "$last" >"$FAKE/playbook"
env >"$FAKE/env"
umask >"$FAKE/umask"
grep -q fails "$last" && {
    echo 'fatal: [localhost]: FAILED! => {"msg": "no"}'
    echo 'localhost                  : ok=1    changed=0    unreachable=0    failed=1    skipped=0'
    exit 2; }
echo 'localhost                  : ok=3    changed=1    unreachable=0    failed=0    skipped=2'
""")
            self.write("vars", "")
            answer = self.good(shell, "ansible_playbook",
                               {"playbook": "- hosts: all\n  tasks: []", "extra_vars": {"a": "é'"},
                                "secret_vars": {"b": "s3cret"}, "tags": "x y", "check": True})
            self.assertIs(answer["changed"], True)
            self.assertEqual([answer[x + "_tasks"] for x in ("ok", "changed", "skipped")], [3, 1, 2])
            self.assertNotIn(b"s3cret", self.read("args") + self.read("env"))
            self.assertEqual([json.loads(x) for x in self.read("vars").splitlines()],
                             [{"a": "é'"}, {"b": "s3cret"}])
            self.assertEqual(self.read("playbook"), b"- hosts: all\n  tasks: []\n")
            self.assertIn(b"x y\n", self.read("args"))
            umask = subprocess.run(["sh", "-c", "umask"], capture_output=True, check=True).stdout
            self.assertEqual(int(self.read("umask"), 8), int(umask, 8))
            self.assertIn(b"--check\n", self.read("args"))
            error = self.bad(shell, "ansible_playbook", {"playbook": "fails"})
            self.assertEqual(error["kind"], "ansible_playbook/failed")
            self.assertIn('"msg": "no"', error["msg"])
            self.assertEqual(error["details"]["failed_tasks"], 1)
            for params in ({}, {"playbook": "x", "path": "/y"}, {"path": "/nowhere.yaml"}):
                self.assertEqual(self.bad(shell, "ansible_playbook", params)["kind"],
                                 "ansible_playbook/playbook")
            os.unlink(os.path.join(self.bin, "ansible-playbook"))
            if not os.path.exists("/usr/local/bin/ansible-playbook"):
                self.assertEqual(self.bad(shell, "ansible_playbook", {"playbook": "x"})["kind"],
                                 "ansible_playbook/not-installed")

    @unittest.skipUnless(shutil.which("ansible-playbook") and
                         os.access(pwd.getpwuid(os.geteuid()).pw_dir, os.W_OK),
                         "ansible-playbook is not installed, or has no home to put files into")
    def test_the_real_ansible_playbook(self):
        play = ("- hosts: localhost\n  gather_facts: false\n  tasks:\n"
                "    - copy: {dest: '{{ to }}', content: '{{ what }}'}\n")
        params = {"playbook": play, "extra_vars": {"to": f"{self.fake}/made"}, "secret_vars": {"what": "x"}}
        env = {"PATH": os.environ["PATH"]}
        self.assertIs(self.good(SHELLS[0], "ansible_playbook", params, env)["changed"], True)
        self.assertEqual(self.read("made"), b"x")
        self.assertIs(self.good(SHELLS[0], "ansible_playbook", params, env)["changed"], False)

    def test_puppet_agent(self):
        for shell in SHELLS:
            self.program("puppet", '#!/bin/sh\nprintf "%s\\n" "$@" >"$FAKE/args"\n'
                                   'cat "$FAKE/says"\nexit "$(cat "$FAKE/code")"\n')
            for code, changed in (("0", False), ("2", True)):
                self.write("code", code)
                self.write("says", "Notice: Applied catalog in 1.2 seconds\n")
                answer = self.good(shell, "puppet_agent", {"noop_run": True, "environment": "test",
                                                           "tags": "a,b"})
                self.assertIs(answer["changed"], changed)
                self.assertIn("Applied catalog", answer["_output"])
            args = self.read("args").splitlines()
            for want in (b"agent", b"--onetime", b"--noop", b"--environment=test", b"--tags=a,b"):
                self.assertIn(want, args)
            for code, says, kind, part in (
                    ("1", "Error: Could not retrieve catalog", "failed", "Could not retrieve"),
                    ("4", "Error: x", "failed", "some resources failed"),
                    ("6", "Error: x", "failed", "there were changes"),
                    ("1", "Skipping run of Puppet; administratively disabled (why)", "disabled", "--enable"),
                    ("1", "Notice: Run of Puppet already in progress; skipping", "running", "another")):
                self.write("code", code)
                self.write("says", says + "\n")
                error = self.bad(shell, "puppet_agent")
                self.assertEqual(error["kind"], f"puppet_agent/{kind}")
                self.assertIn(part, error["msg"])
                self.assertEqual(error["details"]["exit_code"], int(code))
            self.program("id", "#!/bin/sh\necho 1000\n")
            self.assertEqual(self.bad(shell, "puppet_agent")["kind"], "puppet_agent/not-root")
            self.program("id", "#!/bin/sh\necho 0\n")
            os.unlink(os.path.join(self.bin, "puppet"))
            if not os.path.exists("/opt/puppetlabs/bin/puppet"):
                self.assertEqual(self.bad(shell, "puppet_agent")["kind"], "puppet_agent/not-installed")


if __name__ == "__main__":
    if not SHELLS:
        sys.exit(77)
    unittest.main()
