#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tasks in Bolt's format on the nodes of a real sshd: in the forms of Bolt's documentation, refused
when a parameter is wrong, their secrets nowhere, and their folders gone however they end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import unittest

import lib
from lib import MUSTER, until

SECRET = "s3cret-Pa55-of-the-test"

# What Bolt's documentation shows of each: metadata, and a script beside it.
SQL = {
    "description": "Allows you to execute arbitrary SQL",
    "input_method": "stdin",
    "parameters": {
        "database": {"description": "Database to connect to", "type": "Optional[String[1]]"},
        "user": {"description": "The user", "type": "Optional[String[1]]"},
        "password": {"description": "The password", "type": "Optional[String[1]]", "sensitive": True},
        "sql": {"description": "The SQL you want to execute", "type": "String[1]"},
        "limit": {"description": "How many", "type": "Integer[1, 100]", "default": 10},
        "tags": {"type": "Optional[Hash[String, Array[Enum[a, b]]]]"},
    },
    "files": ["kitchensink/files/", "mysql/lib/helper.py"],
}
SQL_PY = """#!/usr/bin/env python3
import json
import os
import sys

params = json.load(sys.stdin)
sys.path.append(os.path.join(params['_installdir'], 'kitchensink', 'files'))
sys.path.append(os.path.join(params['_installdir'], 'mysql', 'lib'))
from rooms import kitchen
from helper import shout

result = {"room": kitchen(), "sql": shout(params['sql']), "limit": params['limit'],
          "user": params.get('user'), "tags": params.get('tags'), "length": len(params['password']),
          "task": params['_task'], "node": os.environ['MUSTER_NODE'],
          "environment": sorted(x for x in os.environ if x.startswith('PT_')),
          "mode": oct(os.stat(params['_installdir']).st_mode & 0o777)}
if params['sql'] == 'fail':
    result = {"_error": {"msg": "no such table", "kind": "mysql/sql", "details": {"exitcode": 1}}}
    print(json.dumps(result))
    sys.exit(1)
print(json.dumps(result))
"""
# Stays until the file `go` is there, and tells where it lies before.
STAY = """#!/bin/sh
umask 022
echo "${0%/*}" >>"$PT_seen/folders"
echo "$MUSTER_NODE" >>"$PT_seen/running"
while [ ! -e "$PT_seen/go" ]; do
    case $PT_how in kill) kill -9 0 ;; esac
    sleep 0.05
done
echo "{\\"_output\\": \\"done with ${#PT_secret}\\"}"
exit "${PT_code:-0}"
"""


class Bolt(lib.Fleet):
    def setUp(self):
        super().setUp()
        self.write("modules/mysql/tasks/sql.json", SQL)
        self.write("modules/mysql/tasks/sql.py", SQL_PY)
        self.write("modules/mysql/lib/helper.py", "def shout(s):\n    return s.upper()\n")
        self.write("modules/kitchensink/files/rooms.py", "def kitchen():\n    return 'kitchen'\n")

    def test_the_documentation_s_task_on_50_nodes(self):
        secret = self.write("params.json", {"password": SECRET, "user": "it's \"me\"\n$HOME"})
        before = self.connections()
        d = self.run_json("-w", "n[001-050]", "--task", "mysql::sql", "--params", secret,
                          "sql=select 1; -- é", "tags={\"x\": [\"a\", \"b\"]}", "--env", f"TMPDIR={self.tmp}")
        self.assertEqual(self.connections() - before, 50)
        self.assertEqual(len(d["executions"]), 50)
        for x in d["executions"]:
            self.assertEqual(x["status"], "success", x)
            answer = json.loads(x["result"]["stdout"])
            self.assertEqual(answer, {
                "room": "kitchen", "sql": "SELECT 1; -- É", "limit": 10, "user": "it's \"me\"\n$HOME",
                "tags": {"x": ["a", "b"]}, "length": len(SECRET), "task": "mysql::sql",
                "node": x["nodeName"], "environment": [], "mode": "0o700"})
        self.assertEqual(self.left(), [])
        self.assertNotIn(SECRET, json.dumps(d))

    def test_an_error_is_shown_as_such(self):
        d = self.run_json("-w", "n001", "--task", "mysql::sql", "sql=fail",
                          "--params", self.write("params.json", {"password": "x"}), rc=5)
        x = d["executions"][0]
        self.assertEqual((x["reason"], x["error"], x["result"]["exitCode"]),
                         ("exit", "no such table (mysql/sql)", 1))
        text = self.muster("results", "last")
        self.assertIn("no such table", self.err)
        self.assertNotIn("_error", text + self.err)

    def test_by_the_environment_in_sh_and_by_both_in_perl(self):
        self.write("modules/world/tasks/init.json",
                   {"input_method": "environment",
                    "parameters": {"message": {"type": "String"}, "list": {"type": "Array[Integer]"}}})
        self.write("modules/world/tasks/init.sh",
                   "#!/bin/sh\nprintf '%s|%s|%s|%s' \"$(cat)\" \"$PT_message\" \"$PT_list\" \"$PT__task\"\n")
        self.write("modules/world/tasks/both.json", {"parameters": {"message": {"type": "String"}}})
        self.write("modules/world/tasks/both.pl",
                   "#!/usr/bin/perl -w\nuse strict;\nlocal $/;\nmy $in = <STDIN>;\n"
                   "print \"$ENV{PT_message}|$in\";\n")
        message = "a 'b' \"c\" $(id) `id` \\ * \t\nend\n"
        params = self.write("params.json", {"message": message, "list": [1, 2]})
        d = self.run_json("-w", "n[001-003]", "--task", "world", "--params", params)
        for x in d["executions"]:
            self.assertEqual(x["result"]["stdout"], f"|{message}|[1,2]|world")
        d = self.run_json("-w", "n[001-003]", "--task", "world::both", "--params",
                          self.write("params.json", {"message": message}))
        for x in d["executions"]:
            env, _, text = x["result"]["stdout"].rpartition("|")
            self.assertEqual(env, message)
            self.assertEqual(json.loads(text)["message"], message)

    def test_implementations_by_features(self):
        self.write("modules/impl/tasks/init.json",
                   {"implementations": [{"name": "impl_puppet.sh", "requirements": ["puppet-agent"]},
                                        {"name": "impl_shell.sh", "requirements": ["shell"],
                                         "input_method": "environment"}],
                    "parameters": {}})
        self.write("modules/impl/tasks/impl_puppet.sh", "#!/bin/sh\necho puppet\n")
        self.write("modules/impl/tasks/impl_shell.sh", "#!/bin/sh\necho shell\n")
        with open(self.path("inventory.yaml"), "a", encoding="ascii") as f:
            f.write("nodes:\n  n002: {vars: {feature.puppet-agent: \"true\"}}\n")
        d = self.run_json("-w", "n[001-003]", "--task", "impl")
        self.assertEqual([x["result"]["stdout"] for x in d["executions"]],
                         ["shell\n", "puppet\n", "shell\n"])

    def test_all_faults_before_any_connection(self):
        before = self.connections()
        out = self.muster("run", "--task-path", self.modules, "-w", "n[001-050]", "--task", "mysql::sql",
                          "limit=1000", "databse=x", "tags={\"x\": [\"c\"]}", rc=2)
        self.assertEqual(out, "")
        for part in ("4 parameters are wrong", "limit: ", "databse: there is no such parameter",
                     "did you mean database?", "tags", "sql: is required"):
            self.assertIn(part, self.err)
        self.muster("run", "--task-path", self.modules, "-w", "n[001-050]", "--task", "mysql::sqll", rc=2)
        self.assertIn("did you mean mysql::sql?", self.err)
        self.assertEqual(self.connections(), before)
        self.muster("status", rc=6)

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("sudo"), "needs root, and sudo")
    def test_with_sudo(self):
        if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("sudo of this machine asks")
        self.write("modules/who/tasks/init.sh", "#!/bin/sh\nid -un\necho \"$PT_x|$SUDO_USER\"\n")
        d = self.run_json("-w", "n[001-003]", "--task", "who", "--sudo", "x=it's")
        for x in d["executions"]:
            self.assertEqual(x["result"]["stdout"], f"root\nit's|{self.rig.env['RIG_USER']}\n")


class Gone(lib.Fleet):
    """A task that stays until it is told to go, ended in every way."""

    def setUp(self):
        super().setUp()
        self.write("modules/stay/tasks/init.json", {
            "input_method": "environment",
            "parameters": {"seen": {"type": "String"}, "code": {"type": "Optional[Integer]"},
                           "how": {"type": "Optional[String]"},
                           "secret": {"type": "Optional[String]", "sensitive": True}}})
        self.write("modules/stay/tasks/init.sh", STAY)

    def begin(self, *args, nodes="n[001-005]"):
        return self.start("run", "--task-path", self.modules, "-w", nodes, "--task", "stay",
                          f"seen={self.seen}", "--env", f"TMPDIR={self.tmp}", *args)

    def running(self, n=5):
        until(lambda: len(self.marks("running")) == n, "the tasks")
        self.assertEqual(len(self.left()), n)
        self.assertEqual(sorted(self.marks("folders")),
                         sorted(os.path.join(self.tmp, x) for x in self.left()))

    def gone(self):
        until(lambda: not self.left(), "the end of the folders")

    def let_go(self):
        self.write("seen/go", "")

    def finish(self, p, rc):
        out, err = p.communicate(timeout=lib.DEADLINE)
        self.assertEqual(p.returncode, rc, out.decode() + err.decode())
        return out.decode()

    def test_after_success_and_failure(self):
        for code, rc in ((0, 0), (3, 5)):
            p = self.begin(f"code={code}")
            self.running()
            self.let_go()
            self.finish(p, rc)
            self.assertEqual(self.left(), [])
            shutil.rmtree(self.seen)
            os.mkdir(self.seen)

    def test_after_cancel(self):
        p = self.begin()
        self.running()
        self.muster("cancel")
        self.finish(p, 3)
        d = json.loads(self.muster("status", "--json"))
        self.assertEqual({(x["reason"], x["remoteProcess"]) for x in d["executions"]},
                         {("cancelled", "stopped")})
        self.gone()

    def test_after_a_timeout(self):
        p = self.begin("-u", "2")
        self.finish(p, 3)
        d = json.loads(self.muster("status", "--json"))
        self.assertEqual({x["reason"] for x in d["executions"]}, {"timeout"})
        self.gone()

    def test_without_setsid_too(self):
        """Then nothing watches, and the script's own traps do it."""
        bare = self.path("bare")
        os.mkdir(bare)
        for name in ("sh", "mktemp", "chmod", "rm", "cat", "wc", "sleep", "mkfifo"):
            os.symlink(shutil.which(name), os.path.join(bare, name))
        p = self.begin("--env", f"PATH={bare}")
        self.running()
        self.muster("cancel")
        self.finish(p, 3)
        self.gone()

    def test_after_the_task_s_group_was_killed(self):
        p = self.begin("how=kill")
        self.finish(p, 5)
        self.assertEqual(len(self.marks("running")), 5)
        self.gone()

    def test_after_kill_9_of_muster(self):
        """The tasks may go on, as nobody is left to stop them; the folders go when they end."""
        p = self.begin()
        self.running()
        p.send_signal(signal.SIGKILL)
        p.communicate()
        self.let_go()
        self.gone()
        d = json.loads(self.muster("status", "--json"))
        self.assertEqual({x["reason"] for x in d["executions"]}, {"lost"})

    @staticmethod
    def watch_command_lines(lines, over):
        while not over.is_set():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        lines.add(f.read())
                except OSError:
                    pass

    def test_a_secret_is_nowhere(self):
        params = self.write("params.json", {"secret": SECRET}, 0o600)
        lines, over = set(), threading.Event()
        watcher = threading.Thread(target=self.watch_command_lines, args=(lines, over))
        watcher.start()
        self.addCleanup(over.set)
        p = self.begin("--params", params, "-vv", "-b")
        self.running()
        until(lambda: [x for x in lines if b"muster" in x and b"mktemp" in x], "the script in the list")
        os.unlink(params)
        self.let_go()
        out = self.finish(p, 0)
        self.assertIn(f"done with {len(SECRET)}", out)
        over.set()
        watcher.join()
        self.assertEqual([x for x in lines if SECRET.encode() in x], [])
        found, read = [], 0
        for top, _, files in os.walk(self.home):
            for name in files:
                with open(os.path.join(top, name), "rb") as f:
                    data = f.read()
                read += name.endswith((".db", ".log")) and len(data) > 0
                if SECRET.encode() in data:
                    found.append(name)
        self.assertGreaterEqual(read, 2, "the store and the log were read")
        self.assertEqual(found, [])
        self.assertIn("secret", self.muster("status", "--json"))
        # A rerun has to ask again, and cannot here; with the value it runs.
        self.muster("rerun", "last", "--all", "--task-path", self.modules, rc=2)
        self.assertIn("secret", self.err)
        d = json.loads(self.muster("rerun", "last", "--all", "--task-path", self.modules, "--json",
                                   "--params", self.write("params.json", {"secret": "other"})))
        self.assertEqual({x["result"]["stdout"] for x in d["executions"]}, {'{"_output": "done with 5"}\n'})

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to mount")
    def test_where_folders_forbid_programs(self):
        """The first that is noexec is passed over; when all are, the interpreter runs the script."""
        self.let_go()
        own, temporary = self.path("own"), self.path("noexec")
        os.mkdir(own)
        os.mkdir(temporary)
        run = ('"$1/muster" run -F none --task-path "$2" -w localhost --task stay seen="$3" '
               '--env TMPDIR="$4" -N')
        mount = 'mount --bind "$5" "$6" && mount -t tmpfs -o noexec none "$4" && '
        all_of_them = ('for t in /tmp /var/tmp "$HOME"; do mount --rbind "$t" "$t" && '
                       'mount -o remount,bind,noexec "$t"; done && ')
        args = ["sh", own, self.modules, self.seen, temporary, os.path.dirname(os.path.abspath(MUSTER)), own]
        for script, where in ((mount, "/tmp/"), (mount + all_of_them, temporary + "/")):
            # What is bound to `own` lies below a folder that gets noexec; its own mount keeps exec.
            p = subprocess.run(["unshare", "-m", "sh", "-c", script + run, *args], env=self.env,
                               capture_output=True, timeout=lib.DEADLINE, check=False)
            text = p.stdout.decode() + p.stderr.decode()
            if "unshare" in text or "mount:" in text:
                self.skipTest(text)
            self.assertEqual((p.returncode, p.stdout), (0, b"done with 0\n"), text)
            folder = self.marks("folders")[-1]
            self.assertTrue(folder.startswith(where), folder)
            self.assertFalse(os.path.exists(folder))


if __name__ == "__main__":
    if not lib.rig.available():
        sys.exit(77)
    unittest.main()
