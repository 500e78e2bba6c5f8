#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plans over a real sshd: a hundred nodes of which some fail in the middle, and go on from there;
facts that are kept and found by; machines that reboot and are waited for."""

import collections
import json
import os
import shutil
import subprocess
import sys
import unittest

import lib
import test_scripts
from lib import rig, until

BROKEN = ["n020", "n040", "n060", "n080", "n100"]
# What a node did, in the order it did it, is seen on the server.
THREE = """description: Three steps, the second of which some nodes cannot do
parameters:
  targets: {{type: TargetSpec}}
  seen: {{type: "String[1]"}}
steps:
  - name: one
    command: echo "$MUSTER_NODE" >>$seen/one; echo "made for $MUSTER_NODE"
    targets: $targets
  - name: two
    task: {task}
    targets: $targets
    parameters:
      seen: $seen
      made: ${{one['stdout']}}
  - name: three
    command: echo "$MUSTER_NODE" >>$seen/three; echo three has $two
    targets: $targets
return: $two
"""
TWO_SH = """#!/bin/sh
echo "$MUSTER_NODE" >>"$PT_seen/two"
[ "$PT_made" = "made for $MUSTER_NODE
" ] || {
    echo '{"_error": {"msg": "not mine", "kind": "two/mine", "details": {}}}'
    exit 3
}
case $MUSTER_NODE in
*[02468]0)
    if [ ! -e "$PT_seen/mended" ]; then
        echo '{"_error": {"msg": "it is broken", "kind": "two/broken", "details": {}}}'
        exit 0
    fi
    ;;
esac
echo "{\\"node\\": \\"$MUSTER_NODE\\"}"
"""


class Plans(lib.Fleet):
    def setUp(self):
        super().setUp()
        self.write("modules/two/tasks/init.json",
                   {"input_method": "environment",
                    "parameters": {"seen": {"type": "String[1]"}, "made": {"type": "String"}}})
        self.write("modules/two/tasks/init.sh", TWO_SH)
        self.plan = self.write("modules/two/plans/init.yaml", THREE.format(task="two"))

    def steps_of(self, d):
        return collections.Counter((x["status"], x["reason"], len(x["steps"])) for x in d["executions"])

    def test_five_of_a_hundred_fail_in_the_middle_and_go_on_from_there(self):
        everyone = [f"n{i:03d}" for i in range(1, 101)]
        d = self.run_json("-w", "n[001-100]", "--plan", "two", f"seen={self.seen}", rc=5)
        self.assertEqual(self.steps_of(d), {("success", None, 3): 95, ("failed", "exit", 2): 5})
        for x in d["executions"]:
            broken = x["nodeName"] in BROKEN
            self.assertEqual(x["status"], "failed" if broken else "success")
            self.assertEqual([s["title"] for s in x["steps"]], ["one", "two", "three"][:len(x["steps"])])
            if broken:
                self.assertEqual(x["step"], 2)
                self.assertIn("it is broken", x["error"])
            else:
                self.assertEqual(json.loads(x["result"]["stdout"]), {"node": x["nodeName"]})
        self.assertEqual(sorted(self.marks("one")), everyone)
        self.assertEqual(sorted(self.marks("two")), everyone)
        self.assertEqual(sorted(self.marks("three")), [n for n in everyone if n not in BROKEN])
        text = self.muster("results", "last", "--step", "1", "--node", "n020")
        self.assertIn("made for n020", text)

        for name in ("one", "two", "three"):
            os.unlink(os.path.join(self.seen, name))
        self.write("seen/mended", "")
        again = json.loads(self.muster("rerun", "last", "--failed", "--task-path", self.modules, "--json"))
        self.assertEqual(sorted(x["nodeName"] for x in again["executions"]), BROKEN)
        self.assertEqual({x["status"] for x in again["executions"]}, {"success"})
        self.assertEqual(self.marks("one"), [], "step one was done already")
        self.assertEqual(sorted(self.marks("two")), BROKEN)
        self.assertEqual(sorted(self.marks("three")), BROKEN)
        for x in again["executions"]:
            self.assertEqual(json.loads(x["result"]["stdout"]), {"node": x["nodeName"]})

        os.unlink(os.path.join(self.seen, "two"))
        number = str(d["number"])
        self.muster("rerun", number, "--failed", "--from-start", "--task-path", self.modules)
        self.assertEqual(sorted(self.marks("one")), BROKEN)
        self.assertEqual(sorted(self.marks("two")), BROKEN)

    def test_stop_stops_all(self):
        d = self.run_json("-w", "n[018-100]", "-f", "1", "--on-failure", "stop", "--plan", "two",
                          f"seen={self.seen}", rc=3)
        reasons = collections.Counter(x["reason"] for x in d["executions"])
        self.assertEqual(reasons["exit"], 1)
        self.assertGreater(reasons["skipped"], 70)
        self.assertEqual([n for n in BROKEN if n in self.marks("two")], ["n020"])

    def test_what_muster_has_not_is_refused_by_name(self):
        plan = self.write("other.yaml", "steps:\n- name: x\n  plan: facts\n- name: y\n  commnd: ls\n"
                                        "  targets: $targets\n- name: z\n  task: nothing_of_it\n"
                                        "  targets: $targets\n")
        before = self.connections()
        self.muster("run", "-w", "n[001-100]", "--plan", plan, rc=2)
        self.assertIn("plans within plans are not known here", self.err)
        self.assertIn("a step has one of command", self.err)
        self.assertEqual(self.connections(), before)

    def found(self, expression):
        return self.muster("nodes", expression).split()

    def test_facts_are_kept_and_found_by(self):
        d = self.run_json("-w", "n[001-010]", "--task", "facts")
        facts = json.loads(d["executions"][0]["result"]["stdout"])
        name, kernel = facts["os"]["name"].lower(), facts["kernel"].lower()
        ten = [f"n{i:03d}" for i in range(1, 11)]
        ninety = [f"n{i:03d}" for i in range(11, 101)]
        self.assertEqual(self.found(f"@all&os.name={name}"), ten)
        self.assertEqual(self.found(f"@all&os={name}"), ten)
        self.assertEqual(self.found(f"@all&kernel={kernel}"), ten)
        self.assertEqual(self.found(f"@all!kernel={kernel}"), ninety)
        self.muster("nodes", "@all&os.name=plan9", rc=2)
        self.assertIn(facts["kernel_release"], self.muster("node", "n005"))
        d = json.loads(self.muster("run", "--json", "-w", f"@all&os.name={name}", "--", "echo here"))
        self.assertEqual(len(d["executions"]), 10)


class UpdateService(lib.Fleet):
    """The plan that comes along, with false managers on the node."""

    def test_update_service(self):
        fake, programs = self.path("fake"), self.path("bin")
        for folder in (programs, fake, *(os.path.join(fake, x) for x in ("installed", "repo", "rc/rc3.d"))):
            os.makedirs(folder)
        self.write("fake/repo/web", "2.0-1\n")
        self.write("fake/installed/web", "1.0-1\n")
        self.write("fake/known", "")
        managers = {x: test_scripts.MANAGER for x in ("apt-get", "dpkg-query")}
        managers |= {x: test_scripts.SERVICES for x in ("systemctl", "rc-service", "rc-update", "service")}
        managers["id"] = "#!/bin/sh\necho 0\n"
        for name, text in managers.items():
            self.write(f"bin/{name}", text, 0o755)
        for changed in (True, False):
            d = json.loads(self.muster("run", "-w", "n001", "--plan", "update_service", "package=web",
                                       "service=web", "--env", f"FAKE={fake}", "--env",
                                       f"PATH={programs}:/usr/bin:/bin", "--json"))
            x = d["executions"][0]
            answer = json.loads(x["result"]["stdout"])
            self.assertEqual((answer["version"], answer["changed"]), ("2.0-1", changed))
            self.assertEqual([json.loads(s["stdout"]).get("status") for s in x["steps"]],
                             ["installed", "running", "running"])
        log = [line.split() for line in self.read("fake/log").splitlines()]
        did = [w for line in log for w in line if w in ("update", "install", "restart")]
        self.assertEqual(did, ["update", "install", "restart"] * 2)


class Rebooting(unittest.TestCase):
    """A machine is an sshd in mounts of its own, with a boot_id of its own."""

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to mount")
    def test_reboot_and_wait_until_it_is_back(self):
        home = lib.tempfile.mkdtemp(prefix="muster-reboot-")
        self.addCleanup(shutil.rmtree, home, True)
        boot = os.path.join(home, "boot_id")
        mount = f"mount --bind {boot} /proc/sys/kernel/random/boot_id"
        self.boot(boot, "first")
        if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True,
                          check=False).returncode != 0:
            self.skipTest("no mounts can be made")
        os.mkdir(os.path.join(home, "bin"))
        program = os.path.join(home, "bin", "sshd")
        with open(program, "w", encoding="ascii") as f:
            f.write(f"#!/bin/sh\nexec unshare -m sh -c '{mount} && exec \"$0\" \"$@\"' "
                    f"{rig.find_program('sshd')} \"$@\"\n")
        os.chmod(program, 0o755)
        path = os.environ["PATH"]
        os.environ["PATH"] = os.path.dirname(program) + ":" + path
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        with rig.Rig(keys=["ed25519"]) as r:
            self.reboot(r, home, boot)

    @staticmethod
    def boot(path, name):
        with open(path, "w", encoding="ascii") as f:
            f.write(name + "\n")

    def reboot(self, r, home, boot):
        inventory = os.path.join(home, "inventory.yaml")
        with open(inventory, "w", encoding="ascii") as f:
            f.write("nodes:\n  \"n[1-3]\":\n    host: 127.0.0.1\n"
                    f"    port: {r.env['RIG_PORT']}\n    user: {r.env['RIG_USER']}\n"
                    f"    identity: {r.env['RIG_KEY']}\n    known_hosts: {r.env['RIG_KNOWN_HOSTS']}\n")
        env = dict(os.environ, HOME=home, XDG_STATE_HOME=home, XDG_CONFIG_HOME=home, XDG_CACHE_HOME=home,
                   MUSTER_INVENTORY=inventory)
        for name in ("SSH_AUTH_SOCK", "MUSTER_DB", "MUSTER_CONFIG"):
            env.pop(name, None)
        asked = os.path.join(home, "asked")
        go = os.path.join(home, "down")
        # The machine goes down when all three names of it have asked, as one that is rebooted does.
        p = subprocess.Popen([lib.MUSTER, "run", "-F", "none", "-w", "n[1-3]", "--plan", "reboot", "--json",
                              "delay=1", "limit=200", f"command=echo x >>{asked}; while [ ! -e {go} ]; do "
                              f"sleep 0.1; done; kill -9 {r.env['RIG_SSHD_PID']}"],
                             env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        self.addCleanup(lib.Fleet.end, p)
        until(lambda: os.path.exists(asked) and os.path.getsize(asked) == 6, "the three reboots")
        with open(go, "w", encoding="ascii"):
            pass
        until(lambda: r._sshd.poll() is not None, "the end of the sshd")
        # A moment in which nobody answers: muster has to have asked in vain before it is back.
        with rig.socket.create_server(("127.0.0.1", int(r.env["RIG_PORT"])), reuse_port=False) as s:
            s.settimeout(lib.DEADLINE)
            for _ in range(3):
                s.accept()[0].close()
        self.assertIsNone(p.poll())
        self.boot(boot, "second")
        r.start_sshd()
        out, err = p.communicate(timeout=2 * lib.DEADLINE)
        self.assertEqual(p.returncode, 0, out.decode() + err.decode())
        for x in json.loads(out)["executions"]:
            first, second = x["steps"]
            self.assertEqual(json.loads(first["stdout"])["boot_id"], "first")
            answer = json.loads(second["stdout"])
            self.assertEqual((answer["boot_id"], answer["rebooted"]), ("second", True))


if __name__ == "__main__":
    if not rig.available():
        sys.exit(77)
    unittest.main()
