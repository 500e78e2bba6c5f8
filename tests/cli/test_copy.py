#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""push and pull from end to end, over the transport `local`: the script runs in this machine's sh."""
import filecmp
import os
import re
import select
import shutil
import signal
import subprocess
import unittest

import lib

ODD = ["plain", "two words", "quote's", 'double"', "dollar$(id)", "back\\slash", "bang!", "-dash",
       "*star?[x]", "tab\there", "é文", "semi;colon & more", " lead", "cr\rname"]


def same(case, a, b):
    """Two trees are alike: names, contents, links, permissions of files."""
    seen = []
    for top in (a, b):
        found = {}
        for folder, dirs, files in os.walk(top):
            for name in dirs + files:
                path = os.path.join(folder, name)
                key = os.path.relpath(path, top)
                if os.path.islink(path):
                    found[key] = 'link ' + os.readlink(path)
                elif os.path.isdir(path):
                    found[key] = 'folder'
                else:
                    with open(path, 'rb') as f:
                        found[key] = (oct(os.stat(path).st_mode & 0o777), f.read())
        seen.append(found)
    case.assertEqual(seen[0], seen[1])


class Base(lib.Case):
    def tree(self):
        for name in ODD:
            self.write('tree/' + name, 'this is ' + name)
        self.write('tree/sub/deep/er/file', b'\0\1\2' * 1000)
        self.write('tree/.hidden', 'h')
        self.write('tree/..twodots', 't')
        self.write('tree/empty', '')
        self.write('tree/script', '#!/bin/sh\n')
        os.chmod(self.path('tree/script'), 0o755)
        os.chmod(self.path('tree/plain'), 0o640)
        os.makedirs(self.path('tree/no files'))
        os.symlink('plain', self.path('tree/link'))
        os.symlink('nowhere', self.path('tree/broken'))
        return self.path('tree')

    def leftovers(self, top=None):
        found = []
        for folder, dirs, files in os.walk(top or self.dir):
            found += [os.path.join(folder, n) for n in dirs + files
                      if n.startswith('.muster-') or '.part-' in n]
        return found

    def tearDown(self):
        left = self.leftovers()
        super().tearDown()
        self.assertEqual(left, [])


class Push(Base):
    def test_file_into_folder_and_as_name(self):
        self.write('a.conf', 'a')
        os.mkdir(self.path('dst'))
        r = self.ok('push', '-w', 'n001', 'a.conf', self.path('dst'))
        self.assertEqual(r.text, 'n001: 1 file, 1 B\n')
        self.assertEqual(self.read('dst/a.conf'), b'a')
        self.ok('push', '-w', 'n001', 'a.conf', self.path('dst/b.conf'))
        self.assertEqual(self.read('dst/b.conf'), b'a')
        self.assertEqual(sorted(os.listdir(self.path('dst'))), ['a.conf', 'b.conf'])
        # It is replaced, not written into: who has it open reads on.
        with open(self.path('dst/b.conf')) as old:
            self.write('a.conf', 'new')
            self.ok('push', '-w', 'n001', 'a.conf', self.path('dst/b.conf'))
            self.assertEqual(old.read(), 'a')
        self.assertEqual(self.read('dst/b.conf'), b'new')

    def test_tree(self):
        tree = self.tree()
        os.mkdir(self.path('dst'))
        self.ok('push', '-w', 'n001', tree, self.path('dst/'))
        same(self, tree, self.path('dst/tree'))
        # As a new name, then merged into by a second one.
        self.ok('push', '-w', 'n001', tree, self.path('dst/other'))
        same(self, tree, self.path('dst/other'))
        self.write('dst/tree/mine', 'stays')
        self.write('dst/tree/plain', 'old')
        self.ok('push', '-w', 'n001', tree, self.path('dst'))
        self.assertEqual(self.read('dst/tree/mine'), b'stays')
        self.assertEqual(self.read('dst/tree/plain'), b'this is plain')

    def test_every_name(self):
        os.mkdir(self.path("d's $x"))
        for name in ODD:
            self.write(name, name)
        self.ok('push', '-w', 'n001', '--', *ODD, self.path("d's $x"))
        for name in ODD:
            self.assertEqual(self.read("d's $x/" + name), name.encode())
        self.write('a', 'a')
        for name in ODD:
            self.ok('push', '-w', 'n001', 'a', self.path("d's $x", name + '.new'))
            self.assertEqual(self.read("d's $x/" + name + '.new'), b'a')

    def test_relative_and_home(self):
        self.write('a', 'a')
        os.mkdir(self.path('home/x'))
        self.ok('push', '-w', 'n001', 'a', '~/x/', env={'HOME': self.path('home')})
        self.assertEqual(self.read('home/x/a'), b'a')

    def test_refused_here(self):
        self.write('a', 'a')
        os.mkfifo(self.path('pipe'))
        for name in (b'bad\xff', b'new\nline'):
            r = self.muster('push', '-w', 'n001', name, self.path('dst/'))
            self.refused(r, 2, 'LOCAL ', 'what is not UTF-8, cannot stand in a name given here')
        r = self.muster('push', '-w', 'n001', 'a', 'gone', 'pipe', self.path('dst/'))
        self.refused(r, 2, 'gone: No such file', 'pipe: a device')
        self.refused(self.muster('push', '-w', 'n001', 'a'), 2, 'LOCAL... REMOTE')
        self.assertEqual(self.rows(), (0, 0))
        r = self.ok('push', '-w', 'n001', 'a', '/x', '--dry-run')
        self.assertIn('push a /x', r.text)
        self.assertEqual(self.rows(), (0, 0))

    def test_refused_there(self):
        self.write('a', 'a')
        self.write('file', '')
        os.makedirs(self.path('dst/a'))
        for remote, rc, words in ((self.path('no/x'), 71, 'no such folder'),
                                  (self.path('no/'), 71, 'no such folder'),
                                  (self.path('file/x'), 71, 'no such folder'),
                                  (self.path('dst'), 71, 'in the way'),
                                  ('/proc', 72, 'cannot write')):
            r = self.ok('push', '-w', 'n001', 'a', remote, rc=5)
            self.assertIn('exit code %d' % rc, r.err, str(r))
            self.assertIn(words, r.err, str(r))
        self.assertFalse(os.path.exists(self.path('no')))
        self.assertEqual(os.listdir(self.path('dst')), ['a'])

    def test_tool_is_missing(self):
        self.write('a', 'a')
        os.mkdir(self.path('bin'))
        for name in ('sh', 'rm', 'tar', 'mktemp', 'cat', 'mv'):
            os.symlink(shutil.which(name), self.path('bin', name))
        r = self.ok('push', '-w', 'n001', 'a', self.path('b'), rc=5, env={'PATH': self.path('bin')})
        self.assertIn('neither sha256sum nor shasum', r.err)
        self.assertIn('exit code 70', r.err)

    def test_content_differs(self):
        """A tar that spoils what it unpacks: the sums tell."""
        self.write('a', 'a')
        os.mkdir(self.path('dst'))
        self.write('bin/tar', '#!/bin/sh\n%s "$@" && echo spoiled >"$4/a"\n' % shutil.which('tar'))
        os.chmod(self.path('bin/tar'), 0o755)
        r = self.ok('push', '-w', 'n001', 'a', self.path('dst'), rc=5,
                    env={'PATH': self.path('bin') + ':' + os.environ['PATH']})
        self.assertIn('exit code 74', r.err, str(r))
        self.assertEqual(os.listdir(self.path('dst')), [])

    @unittest.skipUnless(os.geteuid() == 0, 'mounts a file system')
    def test_disk_full(self):
        self.write('big', b'x' * (4 << 20))
        self.write('small', 's')
        os.mkdir(self.path('tiny'))
        script = ('mount -t tmpfs -o size=1m none "$1" && '
                  '{ "$2" push -w n001 "$3" "$4" "$1"; echo "rc=$?"; ls -A "$1"; '
                  '"$2" push -w n001 "$4" "$1"; echo "rc=$?"; ls -A "$1"; }')
        p = subprocess.run(['unshare', '-m', 'sh', '-c', script, 'sh', self.path('tiny'), lib.MUSTER,
                            self.path('big'), self.path('small')],
                           env=self.env, capture_output=True, timeout=60)
        text = p.stdout.decode()
        self.assertIn('rc=5\nn001: 1 file, 1 B\nrc=0\nsmall\n', text, p.stderr)
        self.assertIn(b'exit code 73', p.stderr)
        self.assertIn(b'No space left', p.stderr)

    def test_cancel_in_the_middle(self):
        self.write('big', b'x' * (8 << 20))
        os.mkdir(self.path('dst'))
        # A tar that reads some and then waits for ever.
        self.write('bin/tar', '#!/bin/sh\nhead -c 100000 >"$4/half"; : >"$MUSTER_TEST/held"; '
                              'exec sleep 1000\n')
        os.chmod(self.path('bin/tar'), 0o755)
        self.env['PATH'] = self.path('bin') + ':' + os.environ['PATH']
        p = self.start('push', '-w', 'n001', 'big', self.path('dst'))
        lib.until(lambda: os.path.exists(self.path('held')), 'the half of it')
        p.send_signal(signal.SIGINT)
        r = self.end(p)
        self.assertEqual(r.rc, 130, str(r))
        self.assertNotIn('Terminated', r.err)  # of the shell, before what is to be said
        self.assertEqual(os.listdir(self.path('dst')), [])
        x = self.status()['executions'][0]
        self.assertEqual((x['reason'], x['remoteProcess']), ('cancelled', 'stopped'))

    def test_large_with_progress(self):
        with open(self.path('big'), 'wb') as f:
            for i in range(50):
                f.write(os.urandom(1 << 20))
        os.mkdir(self.path('dst'))
        self.ok('push', '-w', 'n001', 'big', self.path('dst'))
        self.assertTrue(filecmp.cmp(self.path('big'), self.path('dst/big'), shallow=False))
        x = self.status()['executions'][0]
        self.assertGreater(x['bytesTotal'], 50 << 20)
        self.assertEqual(x['bytesDone'], x['bytesTotal'])

    def test_progress_is_told(self):
        self.write('big', b'x' * (30 << 20))
        os.mkdir(self.path('dst'))
        self.write('bin/tar', '#!/bin/sh\nuntil [ -e "$MUSTER_TEST/go" ]; do head -c 1000000 >/dev/null; '
                              'sleep 0.3; done; cat >/dev/null; exit 2\n')
        os.chmod(self.path('bin/tar'), 0o755)
        self.env['PATH'] = self.path('bin') + ':' + os.environ['PATH']
        master, slave = os.openpty()
        p = self.start('push', '-w', 'n001', 'big', self.path('dst'), stderr=slave)
        os.close(slave)
        seen = b''
        try:
            while b'MiB of 30' not in seen:
                ready = select.select([master], [], [], 20)[0]
                self.assertTrue(ready, seen)
                seen += os.read(master, 4096)
            x = self.status()['executions'][0]
            self.assertEqual(x['status'], 'running')
            self.assertGreater(x['bytesDone'], 0)
            self.assertLess(x['bytesDone'], x['bytesTotal'])
            while not re.search(rb'0/1 ([1-9]|[1-8][0-9])%[^\r]* MiB of 30', seen):
                ready = select.select([master], [], [], 20)[0]
                self.assertTrue(ready, seen)
                seen += os.read(master, 4096)
        finally:
            self.write('go', '')
            try:
                while os.read(master, 4096):
                    pass
            except OSError:
                pass
            os.close(master)
        self.assertEqual(self.end(p).rc, 5)
        self.assertEqual(os.listdir(self.path('dst')), [])

    def test_many_nodes(self):
        self.write('a', b'x' * 100000)
        os.mkdir(self.path('dst'))
        # All are this machine: each puts its own file in the place of the last one's.
        r = self.ok('push', '-w', 'n[001-100]', 'a', self.path('dst'), '-b')
        self.assertIn('n[001-100]', r.text)
        self.assertEqual(self.read('dst/a'), self.read('a'))

    def test_rerun(self):
        self.write('a', 'a')
        self.ok('push', '-w', 'n001', 'a', self.path('later/'), rc=5)
        os.mkdir(self.path('later'))
        os.mkdir(self.path('cwd'))
        self.write('a', 'changed')
        r = self.ok('rerun', 'last', '--failed', cwd=self.path('cwd'))
        self.assertIn('1 file, 7 B', r.text)
        self.assertEqual(self.read('later/a'), b'changed')
        os.unlink(self.path('a'))
        self.refused(self.muster('rerun', 'last', '--all'), 2, 'No such file')
        self.assertEqual(self.status()['batch']['type'], 'task')

    def test_protected_and_rules(self):
        self.write('a', 'a')
        self.refused(self.muster('push', '-w', '@prod', 'a', '/tmp/'), 2, '--expect 1')
        self.config('deny: ["^push .*/etc"]\n')
        self.refused(self.muster('push', '-w', 'n001', 'a', '/etc/x'), 2, 'denies')


class Pull(Base):
    def test_tree_and_file(self):
        tree = self.tree()
        r = self.ok('pull', '-w', 'n[001-003]', tree, 'out')
        self.assertEqual(len(r.lines), 3)
        for node in ('n001', 'n002', 'n003'):
            same(self, tree, self.path('out', node, 'tree'))
        self.assertIn('-> %s' % self.path('out/n001/tree'), r.text)
        self.ok('pull', '-w', 'n001', os.path.join(tree, 'plain'), 'out')
        self.assertEqual(self.read('out/n001/plain'), b'this is plain')
        # Again, over what is there.
        self.write('out/n001/tree/plain', 'old')
        self.write('out/n001/tree/mine', 'stays')
        self.ok('pull', '-w', 'n001', tree + '/', 'out/')
        self.assertEqual(self.read('out/n001/tree/plain'), b'this is plain')
        self.assertEqual(self.read('out/n001/tree/mine'), b'stays')

    def test_every_name(self):
        self.tree()
        for name in ODD:
            self.ok('pull', '-w', 'n001', self.path('tree', name), 'out')
            self.assertEqual(self.read('out/n001/' + name), ('this is ' + name).encode())

    def test_there_and_back(self):
        with open(self.path('big'), 'wb') as f:
            for i in range(50):
                f.write(os.urandom(1 << 20))
        self.ok('pull', '-w', 'n[001-004]', self.path('big'), 'out')
        for i in range(1, 5):
            self.assertTrue(filecmp.cmp(self.path('big'), self.path('out/n00%d/big' % i), shallow=False))
        x = self.status()['executions'][0]
        self.assertEqual(x['bytesDone'], 50 << 20)
        self.assertEqual(x['bytesTotal'], 50 << 20)

    def test_a_newline_in_a_name(self):
        """Also where the program for sums does not escape it."""
        tree = self.tree()
        for name in ('new\nline', 'tail\n', '\n', 'a\\b\nc', 'a\n\n\nb', 'fol\nder/in it',
                     'fol\nder/back\\slash', "fol\nder/q'\"$(id)*\n!"):
            self.write('tree/' + name, name)
        os.mkfifo(self.path('tree', 'a\npipe'))
        real = shutil.which('sha256sum')
        self.write('bin/sha256sum', '#!/bin/sh\n[ $# -gt 0 ] || exec %s\nfor f do h=$(%s <"$f") || exit 1\n'
                   'printf "%%s  %%s\\n" "${h%%%% *}" "$f"\ndone\n' % (real, real))
        os.chmod(self.path('bin/sha256sum'), 0o755)
        for shell in (None, 'bash', 'dash', 'tcsh', 'fish'):
            if shell and not shutil.which(shell):
                continue
            out = 'out-%s' % shell
            more = {'SHELL': shutil.which(shell)} if shell else {}
            r = self.ok('pull', '-w', 'n001', tree, out, env=dict(
                PATH=self.path('bin') + ':' + os.environ['PATH'], **more))
            self.assertIn('not taken: a^Jpipe', r.err)
            os.unlink(self.path('tree/a\npipe'))
            same(self, tree, self.path(out, 'n001/tree'))
            os.mkfifo(self.path('tree', 'a\npipe'))
        r = self.ok('pull', '-w', 'n001', tree, 'out')
        self.assertEqual(self.read('out/n001/tree/a\n\n\nb'), b'a\n\n\nb')

    def test_refused(self):
        self.write('file', '')
        self.refused(self.muster('pull', '-w', 'n001', '/etc/hostname', 'file'), 2, 'no folder')
        self.refused(self.muster('pull', '-w', 'n001', '/etc/hostname', '/proc/x'), 2, 'cannot')
        self.assertEqual(self.rows(), (0, 0))
        r = self.ok('pull', '-w', 'n001', self.path('gone'), 'out', rc=5)
        self.assertIn('exit code 71', r.err)
        r = self.ok('pull', '-w', 'n001', '/', 'out', rc=5)
        self.assertIn('whole file system', r.err)
        self.assertFalse(os.path.exists(self.path('out')))

    @unittest.skipUnless(os.geteuid() == 0, 'mounts a file system')
    def test_trouble_here(self):
        """A read-only folder is told before; a full disk fails the node, and leaves nothing."""
        self.write('big', b'x' * (4 << 20))
        os.mkdir(self.path('tiny'))
        script = ('mount -t tmpfs -o size=1m none "$1" && '
                  '{ "$2" pull -w n001 "$3" "$1"; echo "rc=$?"; ls -A "$1"; '
                  'mount -o remount,ro "$1"; "$2" pull -w n001 "$3" "$1"; echo "rc=$?"; }')
        p = subprocess.run(['unshare', '-m', 'sh', '-c', script, 'sh', self.path('tiny'), lib.MUSTER,
                            self.path('big')], env=self.env, capture_output=True, timeout=60)
        self.assertEqual(p.stdout, b'rc=1\nrc=2\n', p.stderr)
        self.assertIn(b'No space left', p.stderr)
        self.assertIn(b'Read-only file system', p.stderr)

    def test_too_much(self):
        self.write('big', b'x' * (2 << 20))
        r = self.ok('pull', '-w', 'n001', self.path('big'), 'out', '--max-output', '1M', rc=5)
        self.assertIn('more than 1', r.err)
        self.assertIn('--max-output', r.err)
        self.assertFalse(os.path.exists(self.path('out')))

    def test_hostile_node(self):
        """A node whose tar packs what was not asked for."""
        self.write('tree/a', 'a')
        self.write('bin/tar', '#!/bin/sh\nexec %s -cPf - -C / ../etc/hostname\n' % shutil.which('tar'))
        os.chmod(self.path('bin/tar'), 0o755)
        r = self.ok('pull', '-w', 'n001', self.path('tree'), 'out', rc=5,
                    env={'PATH': self.path('bin') + ':' + os.environ['PATH']})
        self.assertIn('leads out', r.err)
        self.assertFalse(os.path.exists(self.path('out')))

    def test_link_that_leads_out(self):
        self.write('tree/a', 'a')
        os.symlink('/etc', self.path('tree/etc'))
        os.mkfifo(self.path('tree/pipe'))
        r = self.ok('pull', '-w', 'n001', self.path('tree'), 'out')
        self.assertIn('not taken: etc', r.err)
        self.assertIn('not taken: pipe', r.err)
        self.assertEqual(os.listdir(self.path('out/n001/tree')), ['a'])

    def cut(self, how):
        self.write('tree/a', b'x' * (4 << 20))
        self.write('bin/tar', '#!/bin/sh\n%s "$@" | head -c 2000000; : >"$MUSTER_TEST/held"; '
                              'exec sleep 1000\n' % shutil.which('tar'))
        os.chmod(self.path('bin/tar'), 0o755)
        self.env['PATH'] = self.path('bin') + ':' + os.environ['PATH']
        p = self.start('pull', '-w', 'n001', self.path('tree'), 'out')
        lib.until(lambda: os.path.exists(self.path('held')), 'the half of it')
        p.send_signal(how)
        return self.end(p)

    def test_cancel_in_the_middle(self):
        r = self.cut(signal.SIGINT)
        self.assertEqual(r.rc, 130, str(r))
        self.assertFalse(os.path.exists(self.path('out')))  # it was made for this
        self.assertNotIn('Terminated', r.err)
        self.assertEqual(self.status()['executions'][0]['reason'], 'cancelled')

    def test_a_folder_that_was_there_stays(self):
        os.mkdir(self.path('out'))
        self.muster('pull', '-w', 'n001', '/no/such', 'out')
        self.assertTrue(os.path.isdir(self.path('out')))
        self.muster('pull', '-w', 'n001', '/no/such', 'made')
        self.assertFalse(os.path.exists(self.path('made')))

    def test_killed_in_the_middle(self):
        self.cut(signal.SIGKILL)
        self.assertEqual(os.listdir(self.path('out')), [])
        self.wait_ended()
        self.assertEqual(self.status()['executions'][0]['reason'], 'lost')

    def test_rerun(self):
        self.write('tree/a', 'one')
        self.ok('pull', '-w', 'n[001-002]', self.path('tree'), 'out')
        self.write('tree/a', 'two')
        os.mkdir(self.path('cwd'))
        self.ok('rerun', 'last', '--all', cwd=self.path('cwd'))
        self.assertEqual(self.read('out/n002/tree/a'), b'two')

    def test_many(self):
        tree = self.tree()
        self.ok('pull', '-w', 'n[001-200]', tree, 'out', '-f', '50', '-q')
        self.assertEqual(len(os.listdir(self.path('out'))), 200)
        same(self, tree, self.path('out/n200/tree'))


class Shells(Base):
    """The line as other login shells and other /bin/sh read it."""
    def test_login_shells(self):
        tree = self.tree()
        for shell in ('bash', 'dash', 'zsh', 'fish', 'tcsh', 'csh', 'ksh'):
            path = shutil.which(shell)
            if not path:
                continue
            with self.subTest(shell=shell):
                os.mkdir(self.path('dst-' + shell))
                self.ok('push', '-w', 'n001', tree, self.path('dst-' + shell), env={'SHELL': path})
                same(self, tree, self.path('dst-' + shell, 'tree'))
                self.ok('pull', '-w', 'n001', tree, 'out-' + shell, env={'SHELL': path})
                same(self, tree, self.path('out-' + shell, 'n001/tree'))

    @unittest.skipUnless(os.geteuid() == 0, 'mounts over /bin/sh')
    def test_as_bin_sh(self):
        tree = self.tree()
        for shell in ('bash', 'dash', 'busybox', 'ksh', 'mksh'):
            path = shutil.which(shell)
            if not path:
                continue
            with self.subTest(shell=shell):
                os.mkdir(self.path('dst-' + shell))
                script = ('mount --bind "$1" "$(readlink -f /bin/sh)" && "$2" push -w n001 "$3" "$4" && '
                          '"$2" pull -w n001 "$3" "$5"')
                subprocess.run(['unshare', '-m', shutil.which('bash'), '-c', script, 'sh', path,
                                lib.MUSTER, tree, self.path('dst-' + shell), self.path('out-' + shell)],
                               env=self.env, check=True, capture_output=True, timeout=60)
                same(self, tree, self.path('dst-' + shell, 'tree'))
                same(self, tree, self.path('out-' + shell, 'n001/tree'))


if __name__ == '__main__':
    lib.main()
