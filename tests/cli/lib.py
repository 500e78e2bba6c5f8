# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command line share: a home of its own for each test, an inventory of nodes
on the transport `local`, and ways to run muster, to wait for things, and to look at what is left."""
import json
import os
import pty
import pwd
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import termios
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'tools'))
from waiting import until   # noqa: E402, F401

# What began the tests may ignore these (nohup, a shell's background), and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for heeded in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(heeded, signal.SIG_DFL)

MUSTER = os.environ.get('MUSTER') or sys.argv.pop(1)

# The transport `local` runs commands as this user and as no other.
LOGIN = pwd.getpwuid(os.geteuid()).pw_name

INVENTORY = '''
defaults: {transport: local}
nodes:
  "n[001-200]": {}
  db1: {vars: {dc: fra}, port: 2222}
  db2: {vars: {dc: ams}}
  key1: {}
groups:
  web: {nodes: "n[001-010]"}
  db: {nodes: [db1, db2]}
  both: {groups: [web, db]}
  prod: {nodes: [key1], protected: true}
'''


class Result:
    def __init__(self, argv, rc, out, err):
        self.argv, self.rc, self.out, self.err = argv, rc, out, err
        for fault in ('Sanitizer', 'runtime error:'):
            if fault in err:
                raise AssertionError(str(self))

    @property
    def text(self):
        return self.out.decode()

    @property
    def lines(self):
        return self.text.splitlines()

    @property
    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return '%s\nexit %s\n--- stdout\n%s\n--- stderr\n%s' % (
            ' '.join(map(str, self.argv)), self.rc, self.out[:4000].decode(errors='replace'), self.err[:4000])


class Terminal:
    """muster as the session leader of a terminal of its own."""

    def __init__(self, case, *args):
        self.seen = b''
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(case.dir)
            os.execve(MUSTER, [MUSTER, *args], case.env)
        self.status = None

    def read(self, gap=0.05):
        if select.select([self.master], [], [], gap)[0]:
            try:
                piece = os.read(self.master, 65536)
            except OSError:
                return False
            self.seen += piece
            return bool(piece)
        return True

    def expect(self, text, deadline=20):
        end = time.monotonic() + deadline
        while text not in self.seen:
            if time.monotonic() > end or not self.read():
                raise AssertionError('%r was not shown: %r' % (text, self.seen))

    def echo(self):
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def type(self, text):
        os.write(self.master, text)

    def end(self, deadline=30):
        """Its exit status, or minus the signal that ended it."""
        stop = time.monotonic() + deadline
        while self.status is None:
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > stop:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError('no end: %r' % self.seen)
        while select.select([self.master], [], [], 0)[0] and self.read():
            pass
        os.close(self.master)
        return self.status


class Case(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix='muster-cli-')
        self.env = {k: os.environ[k] for k in ('PATH', 'LD_LIBRARY_PATH', 'ASAN_OPTIONS',
                                               'UBSAN_OPTIONS', 'TSAN_OPTIONS')
                    if k in os.environ}
        self.env.update(HOME=self.path('home'), XDG_CONFIG_HOME=self.path('config'),
                        XDG_STATE_HOME=self.path('state'), TMPDIR=self.dir, SHELL='/bin/sh',
                        LANG='C.UTF-8', TZ='UTC', TERM='xterm', USER='tester',
                        MUSTER_TEST=self.dir, MUSTER_INVENTORY=self.path('inventory.yaml'))
        os.mkdir(self.path('home'))
        self.write('inventory.yaml', INVENTORY)
        self.db_path = self.path('state', 'muster', 'muster.db')
        self.started = []

    def tearDown(self):
        for p in self.started:
            if p.poll() is None:
                p.kill()
            p.wait()
            for f in (p.stdin, p.stdout, p.stderr):
                if f:
                    f.close()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.dir, ignore_errors=True)

    # --- files ---

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), 'wb') as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return self.path(name)

    def read(self, name):
        with open(self.path(name), 'rb') as f:
            return f.read()

    def config(self, text):
        return self.write('config/muster/config.yaml', text)

    # --- running ---

    def muster(self, *args, input=b'', timeout=60, prefix=(), cwd=None, env=None):
        """Without a terminal, whatever this test was started from."""
        argv = [*prefix, MUSTER, *args]
        p = subprocess.run(argv, input=input, capture_output=True, timeout=timeout,
                           start_new_session=True,
                           env=dict(self.env, **(env or {})), cwd=cwd or self.dir)
        return Result(argv, p.returncode, p.stdout, p.stderr.decode(errors='replace'))

    def ok(self, *args, rc=0, **more):
        r = self.muster(*args, **more)
        self.assertEqual(r.rc, rc, str(r))
        return r

    def run_on(self, targets, command, *flags, rc=0, **more):
        return self.ok('run', '-w', targets, *flags, '--', command, rc=rc, **more)

    def start(self, *args, **more):
        more.setdefault('stdin', subprocess.DEVNULL)
        more.setdefault('stdout', subprocess.PIPE)
        more.setdefault('stderr', subprocess.PIPE)
        p = subprocess.Popen([MUSTER, *args], env=self.env, cwd=self.dir, **more)
        self.started.append(p)
        return p

    def end(self, p, timeout=30):
        out, err = p.communicate(timeout=timeout)
        return Result(p.args, p.returncode, out or b'', (err or b'').decode(errors='replace'))

    def on_terminal(self, *args, answer=None, prompt=None, out_too=False, timeout=30):
        """Runs muster with a terminal as standard input and error (and output, when out_too)."""
        master, slave = pty.openpty()
        p = self.start(*args, stdin=slave, stderr=slave,
                       stdout=slave if out_too else subprocess.PIPE)
        os.close(slave)
        seen = b''
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if not select.select([master], [], [], 0.05)[0]:
                if p.poll() is not None:
                    break
                continue
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
            if answer is not None and prompt in seen:
                os.write(master, answer)
                answer = None
        out = p.stdout.read() if p.stdout else b''
        p.wait(timeout=timeout)
        os.close(master)
        return Result(p.args, p.returncode, out, seen.decode(errors='replace'))

    # --- looking ---

    def processes(self):
        """The processes of this test that still run."""
        found = []
        mark = b'MUSTER_TEST=' + self.dir.encode()
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open('/proc/%s/environ' % pid, 'rb') as f:
                    if mark not in f.read().split(b'\0'):
                        continue
                with open('/proc/%s/stat' % pid) as f:
                    if f.read().rsplit(')', 1)[1].split()[0] != 'Z':
                        found.append(int(pid))
            except (OSError, IndexError):
                pass
        return found

    def sql(self, query, *values, path=None):
        path = path or self.db_path
        if not os.path.exists(path):
            return []
        c = sqlite3.connect('file:%s?mode=ro' % path, uri=True, timeout=10)
        try:
            return c.execute(query, values).fetchall()
        finally:
            c.close()

    def rows(self):
        """How many batches and executions the database has."""
        if not self.sql("SELECT 1 FROM sqlite_master WHERE name = 'batch_executions'"):
            return 0, 0
        return (self.sql('SELECT count(*) FROM batch_executions')[0][0],
                self.sql('SELECT count(*) FROM executions')[0][0])

    def status(self, batch='last', *flags):
        return self.ok('status', batch, '--json', *flags).json

    def wait_running(self, n=1, batch=1):
        """Until this many executions run, as any other process sees it."""
        def enough():
            if self.rows()[0] < batch:
                return False
            return self.status(str(batch))['batch']['stats']['running'] >= n
        until(enough, '%d running' % n)

    def wait_ended(self, batch='last'):
        return until(lambda: (lambda d: d if d['batch']['status'] != 'running' else None)(
            self.status(batch)), 'the end of the batch')

    def by_node(self, doc):
        return {x['nodeName']: x for x in doc['executions']}

    def refused(self, r, rc, *words, code=None):
        """The command failed with this status, and its text has all of these words."""
        self.assertEqual(r.rc, rc, str(r))
        for word in words:
            self.assertIn(word, r.err, str(r))
        if code:
            self.assertEqual(r.json['error']['code'], code, str(r))
            self.assertTrue(r.json['error']['message'], str(r))


def main():
    unittest.main(verbosity=1)
