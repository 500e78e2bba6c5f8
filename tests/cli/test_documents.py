# SPDX-License-Identifier: Apache-2.0
"""Documents that must be whole and of one moment, text that must be harmless, requests and flags of
which nothing is ignored."""
import collections
import json
import sqlite3

from lib import Case, main, until

HOSTILE = 'x\u202ey'


class Whole(Case):
    def clone(self, copies):
        """As many more batches like the last one as are asked for, by SQL."""
        db = sqlite3.connect(self.db_path)

        def columns(table, **other):
            names = [r[1] for r in db.execute('PRAGMA table_info(%s)' % table)]
            return ', '.join(names), ', '.join(other.get(n, n) for n in names)

        with db:
            number, first, size = db.execute(
                'SELECT number, first_execution, stats_total FROM batch_executions'
                ' ORDER BY number DESC').fetchone()
            step = 'WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < %d) ' % copies
            for table, where, other in (
                    ('batch_executions', 'number = %d' % number,
                     {'number': 'number + i', 'first_execution': 'first_execution + i * %d' % size,
                      'id': "substr(id, 1, 24) || printf('%012x', i)"}),
                    ('executions', 'batch_number = %d' % number,
                     {'id': 'id + i * %d' % size, 'batch_number': 'batch_number + i'})):
                into, what = columns(table, **other)
                db.execute('INSERT INTO %s (%s) %sSELECT %s FROM %s, k WHERE %s'
                           % (table, into, step, what, table, where))
        db.close()

    def test_nothing_is_left_out_of_long_lists(self):
        self.run_on('n001,n002', 'true')
        self.clone(10999)
        numbers = list(range(11000, 0, -1))
        d = self.ok('node', 'n002', '--json').json
        self.assertEqual([x['batchNumber'] for x in d['executions']], numbers)
        self.assertEqual(d['total'], 11000)
        self.assertEqual(len({x['id'] for x in d['executions']}), 11000)
        d = self.ok('node', 'n002', '--json', '--page', '3', '--page-size', '250').json
        self.assertEqual([x['batchNumber'] for x in d['executions']], numbers[500:750])
        d = self.ok('history', '--json').json
        self.assertEqual([b['number'] for b in d['batches']], numbers)
        self.assertEqual(d['total'], 11000)
        for b in d['batches'][:300]:
            self.assertEqual(b['executionIds'], ['%s-%04d' % (b['id'], i) for i in (1, 2)])
            self.assertEqual(b['targetNodes'], ['n001', 'n002'])
        d = self.ok('history', '--json', '--page', '3', '--page-size', '250').json
        self.assertEqual([b['number'] for b in d['batches']], numbers[500:750])
        for argv in (['history', '--json'], ['node', 'n002', '--json']):
            # A reader that has seen enough is no error; a disk that is full is one.
            p = self.start(*argv)
            p.stdout.read(1)
            p.stdout.close()
            self.assertEqual((p.stderr.read(), p.wait(timeout=30)), (b'', 0))
            with open('/dev/full', 'wb') as full:
                p = self.start(*argv, stdout=full)
                self.assertIn(b'No space left', p.stderr.read())
                self.assertEqual(p.wait(timeout=30), 1)

    def test_rows_and_statistics_are_of_one_moment(self):
        names = sorted(['n%03d' % i for i in range(1, 201)])
        # The last ones wait for a word, so that there is always something to look at while it runs.
        p = self.start('run', '-w', 'n[001-200]', '-f', '20', '-q', '--', 'case $MUSTER_NODE in n19*) '
                       'while [ ! -e $MUSTER_TEST/go ]; do sleep 0.05; done;; esac; sleep 0.02')
        until(lambda: self.rows()[0] == 1, 'the batch')
        seen = 0
        while True:
            flags = ['--sort', 'status'] if seen % 2 else []
            d = self.status('1', *flags)
            self.assertEqual(sorted(x['nodeName'] for x in d['executions']), names)
            stats = d['batch']['stats']
            count = collections.Counter(x['status'] for x in d['executions'])
            self.assertEqual({k: count[k] for k in ('queued', 'running', 'success', 'failed')},
                             {k: stats[k] for k in ('queued', 'running', 'success', 'failed')})
            running = self.status('1', '--status', 'success')
            self.assertEqual(len(running['executions']), running['batch']['stats']['success'])
            d = json.loads(self.ok('export', '1', '-o', '-').out)
            done = sum(x['result'] is not None for x in d['executions'])
            self.assertEqual(done, d['batch']['stats']['success'])
            seen += 1
            if seen == 4:
                self.write('go', '')
            if d['batch']['status'] != 'running':
                break
        self.assertGreater(seen, 3)
        self.assertEqual(self.end(p).rc, 0)

    def test_a_comparison_that_is_cut_says_so(self):
        self.run_on('n[001-002]', "echo $MUSTER_NODE; yes $(printf %01000d 0) | head -c 10490000",
                    '--max-output', '12M', '-q')
        r = self.ok('results', '--diff')
        self.assertEqual(r.err.count('only the first 10 MiB of its 10,490,005 bytes are compared'), 2, r.err)
        self.assertIn('+n002', r.lines)
        self.run_on('n[001-002]', 'echo $MUSTER_NODE')
        self.assertEqual(self.ok('results', '--diff').err, '')


class Harmless(Case):
    def test_names_on_a_terminal(self):
        for flags in ([HOSTILE], [HOSTILE + '1,' + HOSTILE + '2', '-b']):
            r = self.on_terminal('nodes', '--any-host', *flags, out_too=True)
            self.assertEqual(r.rc, 0, str(r))
            self.assertNotIn('\u202e', r.err)
            self.assertIn('x<U+202E>y', r.err)
        # A pipe gets the very name, for the next program.
        self.assertEqual(self.ok('nodes', '--any-host', HOSTILE).lines, [HOSTILE])
        r = self.ok('nodes', 'n001,@' + HOSTILE)
        self.assertEqual(r.lines, ['n001'])
        self.assertNotIn('\u202e', r.err)
        self.assertIn('<U+202E>', r.err)
        self.refused(self.muster('nodes', HOSTILE), 2, '<U+202E>')

    def raw(self, out):
        return [c for c in out.decode() if c in '\u202e\u200b\u009b\x7f\U000e0041' or c < '\n']

    def test_documents_escape_what_is_hidden(self):
        text = 'a\u202eb\u009b2Jc\u200b\x7f\U000e0041é世\n'
        self.write('out', text)
        self.run_on('n001', 'cat out; cat out >&2; # ' + HOSTILE, '--label', HOSTILE)
        for argv in (['status', '--json'], ['export', '-o', '-'], ['history', '--json'],
                     ['node', 'n001', '--json']):
            r = self.ok(*argv)
            self.assertEqual(self.raw(r.out), [], argv)
            self.assertIn(b'\\u202e', r.out)
        self.assertEqual(self.status()['batch']['label'], HOSTILE)
        result = self.status()['executions'][0]['result']
        self.assertEqual((result['stdout'], result['stderr']), (text, text))
        self.assertIn('é世', self.ok('status', '--json').text)
        r = self.muster('nodes', HOSTILE, '--json')
        self.assertEqual((r.rc, self.raw(r.out)), (2, []))
        self.assertEqual(r.json['error']['details'], [HOSTILE])
        r = self.run_on('n001', 'cat out', '--format', 'jsonl')
        self.assertEqual((self.raw(r.out), r.json['result']['stdout']), ([], text))

    def test_characters_across_pieces_come_back(self):
        # Pieces have some power of two of bytes: sequences of 3 and 4 bytes straddle their borders.
        text = 'x' + '\u202e' * 200000 + '\U000e0041' * 100000 + 'é\u200b世' * 100000 + '\\"\t'
        self.write('out', text)
        self.run_on('n001', 'cat out', '-q')
        r = self.ok('export', '-o', '-')
        self.assertEqual(self.raw(r.out), [])
        self.assertEqual(r.json['executions'][0]['result']['stdout'], text)


class Requests(Case):
    def targets(self, **doc):
        self.write('request.json', json.dumps(dict({'action': 'true'}, **doc)))
        return self.muster('run', '--request', 'request.json', '--dry-run', '--json')

    def expanded(self, **doc):
        r = self.targets(**doc)
        self.assertEqual(r.rc, 0, str(r))
        return r.json['expandedNodeIds']

    def test_targets_by_their_long_names(self):
        self.assertEqual(self.expanded(targets='n[001-003]!n002'), ['n001', 'n003'])
        self.assertEqual(self.expanded(targets=['n003', 'n001']), ['n003', 'n001'])
        self.assertEqual(self.expanded(group='db', exclude='db1'), ['db2'])
        self.assertEqual(self.expanded(group=['db', 'web'], **{'exclude-group': ['web']}),
                         ['db1', 'db2'])
        self.assertEqual(len(self.expanded(all=True)), 203)
        self.assertEqual(self.expanded(all=True, exclude='n*,key1'), ['db1', 'db2'])

    def test_they_unite_with_the_ids(self):
        self.assertEqual(self.expanded(targetNodeIds=['n009', 'n001'], targets='n001,n005',
                                       targetGroupIds=['db']), ['n009', 'n001', 'n005', 'db1', 'db2'])
        # An exclusion holds for all of them: who asks for it never gets that node.
        self.assertEqual(self.expanded(targetNodeIds=['n009', 'db1'], targetGroupIds=['both'],
                                       exclude='db1,n[001-008]'), ['n009', 'n010', 'db2'])
        self.write('request.json', json.dumps({'action': 'true', 'targetGroupIds': ['db'],
                                               'group': 'web', 'exclude': 'n*', 'json': True}))
        d = self.ok('run', '--request', 'request.json').json
        self.assertEqual((d['expandedNodeIds'], sorted(d['batch']['targetGroups'])),
                         (['db1', 'db2'], ['db', 'web']))

    def test_refused(self):
        self.refused(self.targets(targetNodeIds=['n001'], exclude='n001'), 2, 'no target')
        self.refused(self.targets(), 2, 'no target', 'targetNodeIds')
        self.refused(self.targets(targetGroupIds=['nix']), 2, 'unknown group: @nix')
        r = self.targets(targetNodeIds=['n001', 'zz'], targets='n002')
        self.refused(r, 2, 'zz', code='INVALID_NODES')
        for name, value in (('db', 'x'), ('inventory', 'x'), ('read-only', True), ('verbose', True)):
            r = self.targets(targetNodeIds=['n001'], **{name: value})
            self.refused(r, 2, '"%s"' % name, 'command line only', '--' + name)
        doc = json.dumps({'action': 'true', 'targets': '-'}).encode()
        self.refused(self.muster('run', '--request', '-', input=doc), 2, 'standard input')
        self.assertEqual(self.rows(), (0, 0))


class Together(Case):
    def test_flags_of_which_one_would_be_ignored(self):
        self.run_on('n001', 'true')
        run = ['run', '-w', 'n001']
        for argv in (['nodes', '--sources', 'n001'], ['nodes', '--sources', '-a'],
                     ['nodes', '--sources', '-g', 'db'], ['nodes', '--sources', '--json'],
                     ['nodes', '-a', '-b', '--json'],
                     ['results', '--node', 'n001', '-b'], ['results', '--node', 'n001', '--diff'],
                     ['results', '-b', '--diff'], ['results', '-N', '--diff'],
                     [*run, '-b', '--json'], [*run, '-L', '--json'], [*run, '-N', '--json'],
                     [*run, '-b', '--format', 'jsonl'], [*run, '-L', '--format', 'csv'],
                     [*run, '-N', '--format', 'json'], [*run, '-b', '-L'], [*run, '--detach', '-b'],
                     [*run, '--json', '--format', 'csv'], [*run, '--detach', '-S'],
                     ['rerun', '--all', '-b', '--json'], ['watch', '-b', '-L']):
            words = ['--', 'true'] if argv[0] == 'run' else []
            self.refused(self.muster(*argv, *words), 2, 'one of them, please')
        for argv in ([*run, '-b', '--format', 'human'], [*run, '--json', '--format', 'json'],
                     [*run, '--detach', '-L', '-q'], [*run, '-b', '-N']):
            self.ok(*argv, '--', 'true')
        self.write('request.json', '{"targets": "n001", "action": "true", "fold": true}')
        r = self.muster('run', '--request', 'request.json', '--json')
        self.refused(r, 2, '--fold and --json', code='VALIDATION_ERROR')
        self.wait_ended()


if __name__ == '__main__':
    main()
