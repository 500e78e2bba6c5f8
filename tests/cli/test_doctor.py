#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""muster doctor in odd places: each line good or with its remedy, soon, and the right exit status."""
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import time
import unittest

from lib import Case, until

SOON = 20


class Doctor(Case):
    def judged(self, *args, **more):
        """Every check is told, each that is not good with what to do; 1 when one is BAD."""
        begin = time.monotonic()
        d = self.muster('doctor', '--json', *args, **more)
        self.assertLess(time.monotonic() - begin, SOON)
        self.assertEqual(len(d.json), 11, str(d))
        for x in d.json:
            self.assertEqual(bool(x['remedy']), x['verdict'] != 'ok', x)
        self.assertEqual(d.rc, int(any(x['verdict'] == 'BAD' for x in d.json)), str(d))
        return {x['check']: x for x in d.json}

    def check(self, name, verdict, text, remedy, *args, **env):
        x = self.judged(*args, env=env)[name]
        self.assertEqual(x['verdict'], verdict, x)
        self.assertIn(text, x['text'])
        self.assertIn(remedy, x['remedy'] or '')

    def test_no_ssh(self):
        self.check('ssh', 'advice', 'no ssh program', 'openssh-client', PATH='/nonexistent')

    def test_an_ssh_that_hangs(self):
        ssh = self.write('bin/ssh', '#!/bin/sh\nsleep 60\n')
        os.chmod(ssh, 0o755)
        self.judged(env={'PATH': self.path('bin') + ':' + self.env['PATH']})

    def test_a_dead_agent(self):
        sock = self.path('dead')
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(sock)
        self.check('agent', 'BAD', sock + ': Connection refused', 'ssh-agent', SSH_AUTH_SOCK=sock)
        self.check('agent', 'BAD', 'gone', 'ssh-agent', SSH_AUTH_SOCK=self.path('gone'))

    def test_a_hung_agent(self):
        sock = self.path('agent')
        p = subprocess.Popen(['ssh-agent', '-D', '-a', sock], stdout=subprocess.DEVNULL)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        until(lambda: subprocess.run(['ssh-add', '-l'], env={**self.env, 'SSH_AUTH_SOCK': sock},
                                     capture_output=True, check=False).returncode == 1)
        p.send_signal(signal.SIGSTOP)
        self.check('agent', 'BAD', 'does not answer', 'unset SSH_AUTH_SOCK', SSH_AUTH_SOCK=sock)

    def test_known_hosts_that_is_no_file(self):
        path = self.path('kh')
        config = self.write('own_config', 'UserKnownHostsFile %s\nGlobalKnownHostsFile none\n' % path)
        os.mkdir(path)
        self.check('known_hosts', 'BAD', path + ' is not a file', 'move ' + path, '-F', config)
        os.rmdir(path)
        os.mkfifo(path)
        self.check('known_hosts', 'BAD', path + ' is not a file', 'move ' + path, '-F', config)
        os.unlink(path)
        os.symlink('/dev/null', path)
        self.check('known_hosts', 'advice', 'no known host', 'ssh-keyscan', '-F', config)

    def test_a_key_that_others_may_read(self):
        key = self.write('home/.ssh/id', '-----BEGIN OPENSSH PRIVATE KEY-----\n')
        os.chmod(self.path('home', '.ssh'), 0o700)
        os.chmod(key, 0o644)
        self.check('keys', 'BAD', key, 'chmod 600 ' + key)

    def test_terminals(self):
        self.check('terminal', 'advice', 'TERM is not set', 'set TERM', TERM='')
        self.check('terminal', 'advice', 'TERM is dumb', 'set TERM', TERM='dumb')
        self.check('terminal', 'advice', 'no description', 'TERM=xterm-256color', TERM='fancy99')
        self.check('terminal', 'advice', 'no description', 'TERM=xterm-256color', TERM='../x/xterm')
        self.check('terminal', 'advice', 'not UTF-8', 'LANG=C.UTF-8', TERM='xterm', LANG='C', LC_ALL='C')
        self.check('terminal', 'ok', 'xterm, UTF-8', '', TERM='xterm', LANG='C.UTF-8', LC_ALL='C.UTF-8')

    def test_a_database_of_another_version(self):
        self.ok('run', '-y', '-w', 'localhost', '--', 'true')
        db = sqlite3.connect(self.db_path)
        db.execute('PRAGMA user_version = 999')
        db.commit()
        db.close()
        self.check('database', 'BAD', 'newer muster (schema 999', 'Use that muster')

    def test_databases_that_are_none(self):
        self.check('database', 'BAD', 'not a file', '--db', '--db', self.dir)
        path = self.write('text', 'ssh-ed25519 no database at all\n' * 100)
        self.check('database', 'BAD', 'not a database', 'Move it away', '--db', path)
        self.check('database', 'BAD', 'cannot be made', 'right to write', '--db',
                   os.path.join(path, 'below', 'x.db'))
        self.check('database', 'ok', 'made by the first run', '', '--db', self.path('new', 'deep', 'x.db'))
        self.assertFalse(os.path.exists(self.path('new')))

    @unittest.skipUnless(os.geteuid() != 0 or os.path.exists('/usr/bin/setpriv'), 'root may do all')
    def test_a_database_that_is_read_only(self):
        """Its file, its folder, and a home in which nothing can be made."""
        ro = self.path('ro')
        os.mkdir(ro)
        self.ok('run', '-y', '-w', 'localhost', '--db', os.path.join(ro, 'x.db'), '--', 'true')
        for name in os.listdir(ro):
            os.chmod(os.path.join(ro, name), 0o444)
        os.chmod(self.dir, 0o755)
        drop = [] if os.geteuid() else ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
        if drop and subprocess.run([*drop, 'test', '-r', os.path.join(ro, 'x.db')],
                                   check=False).returncode:
            self.skipTest('nobody does not get to the folder of the tests')
        for args, env, text in ((['--db', os.path.join(ro, 'x.db')], {}, 'cannot be written'),
                                ([], {'HOME': ro, 'XDG_STATE_HOME': '', 'MUSTER_DB': ''}, 'cannot be made')):
            if os.geteuid():
                os.chmod(ro, 0o555)
                self.addCleanup(os.chmod, ro, 0o755)
            p = subprocess.run([*drop, os.environ['MUSTER'], 'doctor', *args], capture_output=True,
                               text=True, timeout=SOON, check=False, stdin=subprocess.DEVNULL,
                               cwd='/', env={**self.env, **env})
            if drop and 'ermission denied' in p.stderr:
                self.skipTest('nobody may not start the program where it is built')
            self.assertEqual(p.returncode, 1, p)
            self.assertRegex(p.stdout, r'database +BAD +.*' + text)
            self.assertIn('-> give yourself the right to write it', p.stdout)

    def test_few_open_files(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        for limit, verdict in ((64, 'BAD'), (20, 'BAD'), (hard, 'ok')):
            p = subprocess.run(['sh', '-c', 'ulimit -n %d && exec "$@"' % limit, 'sh',
                                os.environ['MUSTER'], 'doctor'], capture_output=True, text=True,
                               timeout=SOON, check=False, stdin=subprocess.DEVNULL, env=self.env)
            self.assertRegex(p.stdout, r'limits +%s +\d+ open files' % verdict)
            self.assertEqual(p.returncode, int('BAD' in p.stdout), p)


if __name__ == '__main__':
    unittest.main()
