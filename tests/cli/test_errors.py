# SPDX-License-Identifier: Apache-2.0
"""What is refused: the text, the exit status, the JSON, and that no row is left behind."""
import os
import shutil
import stat

from lib import Case, main


class Refused(Case):
    """Each is tried for people and as JSON; both must leave nothing in the database."""

    def nothing_run(self, args, rc, code, *words, **more):
        self.refused(self.muster('run', *args, **more), rc, *words)
        args = list(args)
        at = args.index('--') if '--' in args else len(args)
        r = self.muster('run', *args[:at], '--json', *args[at:], **more)
        self.refused(r, rc, *words, code=code)
        self.assertEqual(self.rows(), (0, 0))
        return r.json['error']

    def test_unknown_nodes_are_all_listed(self):
        e = self.nothing_run(['-w', 'n001,zz2,aa', '--', 'true'], 2, 'INVALID_NODES', 'aa', 'zz2',
                             '--any-host')
        self.assertEqual(sorted(e['details']), ['aa', 'zz2'])

    def test_unknown_group(self):
        self.nothing_run(['-w', '@nosuch', '--', 'true'], 2, 'VALIDATION_ERROR', '@nosuch')
        self.nothing_run(['-g', 'nosuch', '--', 'true'], 2, 'VALIDATION_ERROR', '@nosuch')

    def test_empty_selection(self):
        self.nothing_run(['-w', 'n001!n001', '--', 'true'], 2, 'VALIDATION_ERROR', 'no target')
        self.nothing_run(['--', 'true'], 2, 'VALIDATION_ERROR', 'no target', '-w')
        self.nothing_run(['-w', 'n001', '-x', 'n001', '--', 'true'], 2, 'VALIDATION_ERROR',
                         'no target')
        self.nothing_run(['-w', '', '--', 'true'], 2, 'VALIDATION_ERROR', 'empty')

    def test_no_command(self):
        self.nothing_run(['-w', 'n001'], 2, 'VALIDATION_ERROR', 'no command')
        self.nothing_run(['-w', 'n001', '--', '  '], 2, 'VALIDATION_ERROR', 'no command')
        self.nothing_run(['-w', 'n001', '--', 'x' * 120001], 2, 'VALIDATION_ERROR', '120001', '120000')
        self.nothing_run(['-w', 'n001', '--', b'echo \xff'], 2, 'VALIDATION_ERROR', 'UTF-8')

    def test_full_queue(self):
        e = self.nothing_run(['-w', 'n[001-020]', '-f', '2', '--max-queue', '17', '--', 'true'], 7,
                             'QUEUE_FULL', '0 running', '0 queued', '17', '--max-queue')
        self.assertIsNone(e['details'])
        # The fanout's free places count: 18 fit.
        self.run_on('n[001-019]', 'true', '-f', '2', '--max-queue', '17')

    def test_too_many_targets(self):
        self.write('many.yaml', 'nodes: {"m[00001-10001]": {transport: local}}\n')
        self.nothing_run(['-i', 'many.yaml', '-a', '--', 'true'], 2, 'VALIDATION_ERROR', '10001',
                         '10000')

    def test_broken_inventory_that_was_named(self):
        self.write('bad.yaml', 'nodes:\n  a: {host: [}\n')
        self.nothing_run(['-i', 'bad.yaml', '-w', 'localhost', '--', 'true'], 2,
                         'VALIDATION_ERROR', 'bad.yaml', 'line 2')
        self.write('key.yaml', 'nodes:\n  a: {hots: x}\n')
        self.nothing_run(['-i', 'key.yaml', '-w', 'localhost', '--', 'true'], 2,
                         'VALIDATION_ERROR', 'key.yaml', 'hots', 'host')
        self.nothing_run(['-i', 'absent.yaml', '-w', 'localhost', '--', 'true'], 2,
                         'VALIDATION_ERROR', 'absent.yaml', 'No such file')

    def test_broken_inventory_by_environment(self):
        self.write('inventory.yaml', 'nodes: [a: {]')
        self.nothing_run(['-w', 'localhost', '--', 'true'], 2, 'VALIDATION_ERROR',
                         'inventory.yaml', 'line 1')

    def test_broken_default_inventory(self):
        self.write('config/muster/inventory.yaml', 'nodes: [a: {]')
        del self.env['MUSTER_INVENTORY']
        self.nothing_run(['-w', 'localhost', '--', 'true'], 2, 'VALIDATION_ERROR',
                         'default inventory', 'inventory.yaml', 'line 1')
        # doctor says so too, and goes on.
        r = self.ok('doctor', rc=1)
        self.assertRegex(r.text, r'inventory +BAD .*inventory.yaml: line 1')
        self.assertIn('database       ok', r.text)

    def test_broken_config(self):
        self.config('fanout: many\n')
        r = self.muster('run', '-w', 'n001', '--', 'true')
        self.refused(r, 2, 'config.yaml', 'line 1', 'fanout', 'many')
        self.config('fanuot: 3\n')
        self.refused(self.muster('history'), 2, 'config.yaml', 'fanuot', 'fanout')
        self.assertEqual(self.rows(), (0, 0))

    def test_named_config_must_exist(self):
        r = self.muster('history', env={'MUSTER_CONFIG': self.path('none.yaml')})
        self.refused(r, 2, 'none.yaml', 'No such file')

    def test_bad_expressions(self):
        for expr, words in (('n[001', ['[', ']']), ('/(/', ['/(/']), ('n[5-1]', ['5', '1']),
                            ('^none', ['none', 'No such file']), ('@last:what', ['what']),
                            ('n001,,', []), ('n[001-999999999]', [])):
            r = self.muster('run', '-w', expr, '--', 'true')
            self.assertIn(r.rc, (2, 6), str(r))
            for word in words:
                if r.rc == 2:
                    self.assertIn(word, r.err, str(r))
        self.assertEqual(self.rows(), (0, 0))

    def test_one_reader_of_standard_input(self):
        self.nothing_run(['-w', '-', '-x', '-', '--', 'true'], 2, 'VALIDATION_ERROR',
                         'standard input', input=b'n001\n')
        self.nothing_run(['-w', '-,-', '--', 'true'], 2, 'VALIDATION_ERROR', 'standard input',
                         input=b'n001\n')
        self.refused(self.muster('run', '-w', '-', '--request', '-', input=b'{}'), 2, '--request')
        self.assertEqual(self.rows(), (0, 0))


class Database(Case):
    def prefix(self):
        """Root may write anything: the capability is dropped, so that the bits count."""
        if os.getuid() != 0:
            return []
        if not shutil.which('setpriv'):
            self.skipTest('root without setpriv')
        return ['setpriv', '--inh-caps=-all', '--bounding-set=-all']

    def test_unwritable_folder(self):
        os.mkdir(self.path('ro'), 0o500)
        db = self.path('ro', 'x.db')
        r = self.muster('run', '-w', 'n001', '--db', db, '--json', '--', 'true',
                        prefix=self.prefix())
        self.refused(r, 1, self.path('ro'), '--db', code='STORE_ERROR')
        self.assertEqual(os.listdir(self.path('ro')), [])

    def test_unwritable_file(self):
        self.run_on('n001', 'true')
        before = self.rows()
        for name in os.listdir(os.path.dirname(self.db_path)):
            os.chmod(os.path.join(os.path.dirname(self.db_path), name), 0o400)
        os.chmod(os.path.dirname(self.db_path), 0o500)
        try:
            r = self.muster('run', '-w', 'n001', '--', 'true', prefix=self.prefix())
            self.refused(r, 1, os.path.dirname(self.db_path), '--db')
            # What is there can still be read.
            self.ok('status', 'last', prefix=self.prefix())
        finally:
            os.chmod(os.path.dirname(self.db_path), 0o700)
        self.assertEqual(self.rows(), before)

    def test_a_file_where_a_folder_must_be(self):
        self.write('file', 'x')
        r = self.muster('run', '-w', 'n001', '--db', self.path('file', 'x.db'), '--', 'true')
        self.refused(r, 1, 'file', '--db')
        r = self.muster('run', '-w', 'n001', '--db', self.dir, '--', 'true')
        self.refused(r, 1, self.dir)

    def test_not_a_database(self):
        self.write('state/muster/muster.db', 'this is a text file, and a long one\n' * 200)
        for args in (['run', '-w', 'n001', '--', 'true'], ['status'], ['history'], ['cancel', '1']):
            self.refused(self.muster(*args), 1, 'muster.db')
        self.assertTrue(self.read('state/muster/muster.db').startswith(b'this is a text file'))

    def test_files_are_private(self):
        self.run_on('n001', 'true')
        folder = os.path.dirname(self.db_path)
        self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o700)
        for name in os.listdir(folder):
            mode = stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode)
            self.assertEqual(mode & 0o077, 0, name)

    def test_no_batch(self):
        for verb in ('status', 'results', 'watch', 'cancel', 'export'):
            self.refused(self.muster(verb), 6, 'no batch')
        self.refused(self.muster('rerun', '--all'), 6, 'no batch')
        self.run_on('n001', 'true')
        for which in ('99', '#99', 'x', '00000000-0000-0000-0000-000000000000', '-1', '0'):
            for verb in ('status', 'results', 'watch', 'cancel', 'export'):
                self.refused(self.muster(verb, '--', which), 6, which)
            # Behind -- stands a command for rerun, so that -1 is an option there.
            self.refused(self.muster('rerun', '--all', which), 2 if which == '-1' else 6, which)
        r = self.muster('status', '99', '--json')
        self.refused(r, 6, code='BATCH_NOT_FOUND')
        self.refused(self.muster('cancel', '99', '--json'), 6, code='BATCH_NOT_FOUND')
        self.refused(self.muster('run', '-w', '@99:failed', '--', 'true'), 6, '99')
        self.assertEqual(self.rows(), (1, 1))
        self.assertEqual([f for f in os.listdir(self.dir) if f.startswith('batch-')], [])


class Usage(Case):
    def bad(self, *args, words=()):
        r = self.muster(*args)
        self.refused(r, 2, *words)
        self.assertEqual(r.out, b'')
        self.assertEqual(len(r.err.splitlines()), 1, str(r))

    def test_words(self):
        self.bad('frobnicate', words=['frobnicate', 'muster help'])
        self.bad('stats', words=['did you mean status'])
        self.bad('hist', words=['did you mean history'])
        self.bad('history', 'x', words=['x', 'muster history'])
        self.bad('status', '1', '2', words=['2', 'muster status [BATCH]'])
        self.bad('help', 'x', words=['x'])
        self.bad('node', words=['NAME'])
        self.bad('node', 'nosuch', words=['nosuch', 'muster nodes'])
        self.bad('nodes', 'nosuch', words=['nosuch', '--any-host'])
        self.bad(words=['terminal'])
        self.bad('demo', words=['terminal', '--headless'])

    def test_options(self):
        self.bad('run', '--nope', words=['--nope', 'muster run -h'])
        self.bad('run', '-Z', words=['-Z', 'muster run -h'])
        self.bad('--nope', words=['--nope', 'muster -h'])
        self.bad('status', '-w', 'x', words=['-w', 'muster status -h'])
        self.bad('run', '-w', words=['-w', 'value'])
        self.bad('run', '--label', words=['--label', 'value'])

    def test_values(self):
        run = ['-w', 'n001', '--', 'true']
        for flag, value, words in (
                ('-f', '0', ['1 to 10000']), ('-f', '10001', ['10000']), ('-f', 'x', ['-f x']),
                ('-f', '3x', ['3x']), ('-p', '0', ['65535']), ('-p', '65536', ['65535']),
                ('-t', '0', ['-t 0', '1ms']), ('-t', 'soon', ['soon', '30s']),
                ('-t', '-1', ['-1']), ('-u', '31d', ['31d']), ('--retries', '101', ['100']),
                ('--max-output', '10q', ['10q', '10M']), ('--max-output', '0', ['1 B']),
                ('--max-queue', '0', ['1 to']), ('--expect', '0', ['1 to 10000']),
                ('--format', 'xml', ['human|json|jsonl|csv']), ('-o', 'Foo', ['-o Foo', 'KEY=VALUE']),
                ('-o', 'StrictHostKeyChecking=maybe', ['-o StrictHostKeyChecking=maybe: yes']),
                ('--label', '', ['empty']),
                ('--identity', '', ['empty'])):
            self.bad('run', flag, value, *run, words=words)
        self.bad('status', '--sort', 'x', words=['name|status|duration'])
        self.bad('status', '--status', 'lost', words=['queued|running|success|failed'])
        self.bad('status', '--page-size', '10001', words=['10000'])
        self.bad('history', '--since', 'then', words=['--since then', '3d'])
        self.bad('history', '--kind', 'x', words=['single|batch'])
        self.bad('history', '--page', '0', words=['from 1'])
        self.bad('export', '--format', 'xml', words=['json|csv'])
        self.bad('rerun', '--reason', 'x', words=['timeout'])
        self.bad('rerun', words=['--failed', '--skipped', '--reason', '--all'])
        self.bad('rerun', '--failed', '--all', words=['one of'])
        self.assertEqual(self.rows(), (0, 0))

    def test_a_word_that_was_meant_for_sudo(self):
        self.bad('run', '-w', 'n001', '--sudo', 'deploy', '--', 'id',
                 words=['--sudo takes its user as --sudo=deploy; put -- before the command'])
        self.assertEqual(self.rows(), (0, 0))
        for words in (['--sudo', '--', 'id', '--', 'x'], ['--sudo', 'id', '-un'], ['--sudo=a', 'id', '--']):
            self.ok('run', '-w', 'n001', '--dry-run', *words)

    def test_two_formats(self):
        r = self.muster('run', '--json', '--format', 'csv', '-w', 'n001', '--', 'true')
        self.refused(r, 2, '--json', 'csv')
        self.ok('run', '--json', '--format', 'json', '-w', 'n001', '--', 'true')


class Rules(Case):
    def test_deny(self):
        self.config('deny: ["rm +-rf"]\n')
        r = self.muster('run', '-w', 'n001', '--json', '-y', '--', 'echo; rm  -rf /x')
        self.refused(r, 2, 'rm +-rf', code='FORBIDDEN')
        self.refused(self.muster('run', '-w', 'n001', '--dry-run', '--', 'rm -rf x'), 2, 'rm +-rf')
        self.assertEqual(self.rows(), (0, 0))
        self.run_on('n001', 'echo rm')

    def test_confirm(self):
        self.config('confirm: ["^reboot"]\n')
        run = ['run', '-w', 'n001']
        self.refused(self.muster(*run, '--', 'reboot() { echo yes; }; reboot'), 2, '-y')
        self.assertEqual(self.rows(), (0, 0))
        r = self.ok(*run, '-y', '--', 'reboot() { echo yes; }; reboot')
        self.assertEqual(r.text, 'n001: yes\n')
        self.ok(*run, '--', 'echo reboot')

    def test_confirm_on_a_terminal(self):
        self.config('confirm: [danger]\n')
        run = ['run', '-w', 'n001', '--', 'echo danger']
        r = self.on_terminal(*run, answer=b'n\n', prompt=b'[y/N]')
        self.refused(r, 2, 'not confirmed')
        self.assertEqual(self.rows(), (0, 0))
        r = self.on_terminal(*run, answer=b'y\n', prompt=b'[y/N]')
        self.assertEqual((r.rc, r.text), (0, 'n001: danger\n'))

    def test_protected_group(self):
        for targets in ('@prod', 'key1', '@prod,n001'):
            r = self.muster('run', '-w', targets, '-y', '--json', '--', 'true')
            self.refused(r, 2, '@prod', '--expect', code='FORBIDDEN')
        r = self.muster('run', '-w', 'n[001-002],key1', '--expect', '2', '--', 'true')
        self.refused(r, 2, '2', '3')
        self.refused(self.muster('run', '-w', 'n001', '--expect', '2', '--', 'true'), 2)
        self.assertEqual(self.rows(), (0, 0))
        self.run_on('n[001-002],key1', 'true', '--expect', '3')
        r = self.muster('rerun', 'last', '--all')
        self.refused(r, 2, '@prod', '--expect 3')
        self.ok('rerun', 'last', '--all', '--expect', '3')

    def test_protected_group_on_a_terminal(self):
        run = ['run', '-w', 'key1,n001', '--', 'echo ran']
        r = self.on_terminal(*run, answer=b'1\n', prompt=b'run:')
        self.refused(r, 2, 'not confirmed')
        self.assertEqual(self.rows(), (0, 0))
        r = self.on_terminal(*run, answer=b'2\n', prompt=b'run:')
        self.assertEqual(r.rc, 0, str(r))
        self.assertEqual(self.rows(), (1, 2))

    def test_read_only(self):
        self.run_on('n001', 'true')
        for args in (['run', '-w', 'n001', '--', 'true'], ['rerun', '--all'], ['cancel']):
            self.refused(self.muster(args[0], '--read-only', *args[1:]), 2, 'read-only')
            self.refused(self.muster('--read-only', *args), 2, 'read-only')
        self.ok('status', '--read-only')
        self.config('read_only: true\n')
        r = self.muster('run', '-w', 'n001', '--json', '--', 'true')
        self.refused(r, 2, 'read_only', code='FORBIDDEN')
        r = self.muster('run', '-w', 'n001', '--detach', '--json', '--', 'true')
        self.refused(r, 2, code='FORBIDDEN')
        self.assertEqual(self.rows(), (1, 1))


class SshFlags(Case):
    def test_what_ssh_would_refuse_at_once_runs_nowhere(self):
        r = self.ok('run', '-w', 'n001', '-o', 'Foo=bar', '--', 'true', rc=2)
        self.assertIn('no keyword Foo', r.err)
        r = self.ok('run', '-w', 'n001', '-F', self.path('nowhere'), '--', 'true', rc=2)
        self.assertIn('nowhere: No such file', r.err)
        self.assertEqual(self.sql('SELECT count(*) FROM batch_executions'), [])


if __name__ == '__main__':
    main()
