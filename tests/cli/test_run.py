# SPDX-License-Identifier: Apache-2.0
"""muster run: targets, forms of output, exit statuses, requests."""
import json
import os
import socket

from lib import LOGIN, Case, main

MIXED = '''case $MUSTER_NODE in
n001) exit 3;;
n002) echo err >&2; exit 4;;
n003) kill -KILL $$;;
n004) echo both; echo both >&2;;
*) echo same;;
esac'''


class Targets(Case):
    def targets(self, *flags, **more):
        return self.ok('nodes', *flags, **more).lines

    def test_expressions(self):
        for expr, names in (
                ('n[001-003]', 'n001 n002 n003'), ('n[001-007/3]', 'n001 n004 n007'),
                ('n002,n001', 'n002 n001'), ('@db', 'db1 db2'), ('@both&@db', 'db1 db2'),
                ('@both!@web', 'db1 db2'), ('db1^@db', 'db2'), ('db?', 'db1 db2'),
                ('/^db[12]$/', 'db1 db2'), ('n001,@db,n001,db1', 'n001 db1 db2'),
                ('@db,n001', 'n001 db1 db2'), ('localhost', 'localhost')):
            self.assertEqual(self.targets(expr), names.split(), expr)

    def test_target_flags(self):
        self.assertEqual(self.targets('-g', 'db', '-X', 'prod'), ['db1', 'db2'])
        self.assertEqual(self.targets('-g', 'db,web', '-x', 'n*', '-x', 'db2'), ['db1'])
        self.assertEqual(self.targets('-a', '-b'), ['db[1-2],key1,n[001-200]'])
        self.assertEqual(self.targets('-a', '-X', 'web', '-x', 'n[011-200]', '-x', '@prod'),
                         ['db1', 'db2'])
        self.assertEqual(self.targets('--any-host', 'far.example.com,n001'),
                         ['far.example.com', 'n001'])
        self.config('any_host: true\n')
        self.assertEqual(self.targets('far.example.com'), ['far.example.com'])

    def test_repeated_flags_add_up(self):
        r = self.ok('run', '-w', 'n001', '-w', 'n002,n003', '-x', 'n003', '-g', 'db', '-X', 'prod',
                    '-x', 'db2', '--json', '--', 'true')
        self.assertEqual(r.json['expandedNodeIds'], ['n001', 'n002', 'db1'])
        self.assertEqual(r.json['batch']['targetGroups'], ['db'])

    def test_files_and_standard_input(self):
        self.write('list', '# mine\nn003\n\nn[001-002]\n')
        self.assertEqual(self.targets('^list'), ['n003', 'n001', 'n002'])
        self.assertEqual(self.targets('-', input=b'n005\n@db\n'), ['n005', 'db1', 'db2'])
        r = self.run_on('-', 'cat; echo end', '-N', input=b'n005\n')
        self.assertEqual(r.text, 'end\n')  # the command reads nothing of ours

    def test_unknown_group_is_a_warning_where_targets_are_left(self):
        r = self.run_on('n001,@nosuch', 'true', '--json')
        self.assertIn('@nosuch', r.err)
        self.assertIn('@nosuch', r.json['warnings'][0])
        self.assertIn('@nosuch', r.json['batch']['warnings'][0])

    def test_results_are_targets(self):
        self.run_on('n[001-006]', MIXED, rc=5)
        for what, names in (('last', 'n001 n002 n003 n004 n005 n006'), ('last:failed', 'n001 n002 n003'),
                            ('1:exit', 'n001 n002'), ('1:rc=4', 'n002'), ('1:signal', 'n003'),
                            ('1:success', 'n004 n005 n006')):
            self.assertEqual(self.targets('@' + what), names.split(), what)
        r = self.run_on('@1:failed!n003', 'echo again')
        self.assertEqual(sorted(r.lines), ['n001: again', 'n002: again'])


class Output(Case):
    def test_plain_lines(self):
        r = self.run_on('n[001-002]', 'printf "a\\nb"; echo e >&2')
        self.assertEqual(sorted(r.lines), ['n001: a', 'n001: b', 'n002: a', 'n002: b'])
        self.assertEqual(sorted(r.err.splitlines()),
                         ['batch #1: 2 targets', 'n001: e', 'n002: e'])
        self.assertNotIn('\033', r.err)

    def test_the_last_lines_name_reasons_and_nodes(self):
        r = self.run_on('n[001-006]', MIXED, rc=5)
        self.assertEqual(r.err.splitlines()[-2:], ['exit code 4 (1): n002', 'signal 1: n003'])
        self.assertIn('n001: exit code 3', r.err)
        self.assertIn('n003: ended by signal KILL', r.err)

    def test_another_user_is_refused_here(self):
        r = self.muster('run', '-w', 'n001', '-l', 'nosuchuser', '--', 'id -un')
        self.refused(r, 2, 'n001: user nosuchuser is asked for')
        self.write('inventory.yaml', 'nodes: {n001: {transport: local, user: nosuchuser}}\n')
        r = self.run_on('n001', 'id -un', rc=4)
        self.assertEqual(r.text, '')
        self.assertIn('user nosuchuser is asked for', r.err)
        self.assertEqual(self.status()['executions'][0]['reason'], 'unsupported')

    def test_folded_outputs_that_were_cut_say_so(self):
        r = self.run_on('n001', 'echo 0123456789', '-b', '--max-output', '5')
        self.assertIn('truncated', r.text)

    def test_folded(self):
        r = self.run_on('n[001-009]', MIXED, '-b', rc=5)
        rule = '---------------\n'
        self.assertTrue(r.text.startswith(rule + 'n[005-009] (5)\n' + rule + 'same\n'), str(r))
        self.assertIn(rule + 'n004 (1)\n' + rule + 'both\n', r.text)
        self.assertIn('n002 (1) exit 4', r.err)
        self.assertEqual(r.text.count('same'), 1)

    def test_no_label(self):
        self.assertEqual(self.run_on('n[001-002]', 'echo x', '-N').text, 'x\nx\n')
        self.assertEqual(self.run_on('n[001-002]', 'echo x', '-b', '-N').text, 'x\n')

    def test_quiet(self):
        r = self.run_on('n[001-002]', 'echo x', '-q')
        self.assertEqual(r.err, '')
        r = self.run_on('n001', 'exit 1', '-q', rc=5)
        self.assertIn('exit code 1 (1): n001', r.err)

    def test_live_comes_before_the_end(self):
        os.mkfifo(self.path('fifo'))
        p = self.start('run', '-w', 'n001', '-L', '--', 'echo first; echo warn >&2; cat fifo')
        self.assertEqual(p.stdout.readline(), b'n001: first\n')
        self.assertIsNone(p.poll())
        self.write('fifo', 'last')
        r = self.end(p)
        self.assertEqual((r.rc, r.text), (0, 'n001: last\n'), str(r))
        self.assertIn('n001: warn', r.err)

    def test_live_prints_the_whole(self):
        r = self.run_on('n[001-002]', 'seq 1 300000; exit 1', '-L', '-N', rc=5)
        self.assertEqual(len(r.out), 2 * len(''.join('%d\n' % i for i in range(1, 300001))))
        self.assertEqual(r.err.count(': exit code 1'), 2)

    def test_the_largest_code(self):
        self.run_on('n[001-006]', MIXED, '-S', rc=137)
        self.run_on('n[001-002]', MIXED, '-S', rc=4)
        self.run_on('n009', MIXED, '-S')
        self.run_on('n001', 'exec sleep 60', '-S', '-u', '50ms', rc=255)

    def test_jsonl_is_flushed_as_each_ends(self):
        p = self.start('run', '-w', 'n[001-003]', '-f', '1', '--format', 'jsonl', '--',
                       'echo $MUSTER_NODE; while [ $MUSTER_NODE = n003 ] && [ ! -e go ]; do '
                       'sleep 0.02; done')
        first = [json.loads(p.stdout.readline()) for _ in range(2)]
        self.assertIsNone(p.poll())
        # What was reported is committed.
        done = {x['nodeId'] for x in self.status('1', '--status', 'success')['executions']}
        self.write('go', '')
        rest = self.end(p)
        self.assertEqual(rest.rc, 0, str(rest))
        self.assertEqual([x['nodeId'] for x in first], ['n001', 'n002'])
        self.assertEqual(done, {'n001', 'n002'})
        self.assertEqual(first[0]['result']['stdout'], 'n001\n')
        self.assertEqual(len(rest.lines), 1)

    def test_csv(self):
        r = self.run_on('n[001-002]', 'echo "=1+1"; exit 1', '--format', 'csv', rc=5)
        self.assertTrue(r.out.startswith(b'Node Name,Status,Reason,Duration (ms),Exit Code,'))
        self.assertEqual(r.out.count(b"\"'=1+1"), 2)

    def test_environment_of_the_command(self):
        r = self.run_on('n001,db1', 'echo $MUSTER_NODE $MUSTER_HOST $MUSTER_USER', '-N')
        for line in r.lines:
            node, host, user = line.split()
            self.assertIn(node, ('n001', 'db1'))
        # Its signals are as a shell expects them.
        r = self.run_on('n001', 'yes | head -1; trap "echo got" TERM; kill -TERM $$; trap', '-N')
        self.assertEqual(r.lines[:2], ['y', 'got'], str(r))

    def test_words_of_the_command_are_joined(self):
        r = self.ok('run', '-w', 'n001', 'echo', '-n', 'a  b', '$HOME')
        self.assertEqual(r.text, 'n001: a b %s\n' % self.path('home'))

    def test_terminal(self):
        r = self.on_terminal('run', '-w', 'n[001-002]', '-f', '1', '--',
                             'printf "\\033[31mred\\033]0;title\\007\\n"; sleep 0.4', out_too=True)
        self.assertEqual(r.rc, 0, str(r))
        self.assertIn('\r\033[K#1 ', r.err)  # the live line
        self.assertIn('n001: ^[[31mred^[]0;title^G', r.err)
        self.assertNotIn('\033[31m', r.err)
        self.assertNotIn('\007', r.err)


class Status(Case):
    def setUp(self):
        super().setUp()
        self.socket = socket.socket()
        self.socket.bind(('127.0.0.1', 0))  # bound and not listening: refused
        self.write('mixed.yaml', '''
nodes:
  dead: {host: 127.0.0.1, port: %d}
  odd: {transport: local, host: elsewhere}
  "l[1-4]": {transport: local}
''' % self.socket.getsockname()[1])

    def tearDown(self):
        self.socket.close()
        super().tearDown()

    def test_one_reason_each(self):
        run = ['run', '-i', 'mixed.yaml', '-q', '--retries', '0', '-u', '200ms']
        for targets, command, rc in (('l1', 'true', 0), ('l1', 'exec sleep 60', 3), ('dead', 'true', 4),
                                     ('l1', 'exit 1', 5), ('l1', 'kill -TERM $$', 5)):
            self.ok(*run, '-w', targets, '--', command, rc=rc)

    def test_the_weightiest_wins(self):
        command = 'case $MUSTER_NODE in l1) exec sleep 60;; l2) exit 7;; esac'
        run = ['run', '-i', 'mixed.yaml', '-q', '--retries', '0', '-u', '300ms']
        r = self.ok(*run, '-w', 'dead,l[1-3]', '--', command, rc=4)
        self.assertEqual(r.err.splitlines()[-4:],
                         ['exit code 7 (1): l2', 'timeout 1: l1', 'unreachable 1: dead',
                          'process on the node stopped (1): l1'])
        self.ok(*run, '-w', 'l[1-3]', '--', command, rc=3)
        self.ok(*run, '-w', 'l[2-3]', '--', command, rc=5)
        self.ok(*run, '-w', 'dead,l[1-3]', '-S', '--', command, rc=255)

    def test_a_failing_host_is_described(self):
        r = self.ok('run', '-i', 'mixed.yaml', '-w', 'dead', '--retries', '0', '--json', '--',
                    'true', rc=4)
        x = r.json['executions'][0]
        self.assertEqual((x['status'], x['reason'], x['attempts']), ('failed', 'unreachable', 1))
        self.assertIn('refused', x['error'])
        self.assertIsNone(x['result']['exitCode'])

    def test_a_full_disk_at_the_output(self):
        with open('/dev/full', 'wb') as full:
            for flags in ([], ['-b'], ['--json'], ['--format', 'jsonl'], ['--format', 'csv'], ['-L']):
                p = self.start('run', '-w', 'n[001-002]', '-q', *flags, '--', 'echo x', stdout=full)
                r = self.end(p)
                self.refused(r, 1, 'No space left')
                self.assertEqual(self.status()['batch']['status'], 'success')


class DryRun(Case):
    def test_says_what_would_run(self):
        r = self.ok('run', '-w', '@web,key1', '-f', '3', '--dry-run', '--', 'touch', 'ran')
        self.assertIn('would run on 11 nodes: key1,n[001-010]', r.text)
        self.assertIn('fanout 3', r.text)
        self.assertIn('command: touch ran', r.text)
        self.assertIn('--expect 11', r.text)
        d = self.ok('run', '-w', 'n001,@db', '--dry-run', '--json', '--', 'true').json
        self.assertEqual(d['expandedNodeIds'], ['n001', 'db1', 'db2'])
        self.assertEqual((d['dryRun'], d['targetCount'], d['targetGroups']), (True, 3, ['db']))
        self.assertEqual(self.rows(), (0, 0))

    def test_rerun(self):
        self.run_on('n[001-002]', 'exit 1', rc=5)
        r = self.ok('rerun', '--failed', '--dry-run')
        self.assertIn('would run on 2 nodes: n[001-002]', r.text)
        self.assertEqual(self.rows(), (1, 2))


class Request(Case):
    def request(self, doc, *flags, rc=0):
        self.write('request.json', doc if isinstance(doc, str) else json.dumps(doc))
        return self.ok('run', '--request', 'request.json', *flags, rc=rc)

    def test_members(self):
        r = self.request({'targetNodeIds': ['n003', 'n001', 'n003'], 'targetGroupIds': ['db', '@db'],
                          'type': 'command', 'action': 'echo hi', 'parameters': {}, 'fanout': 2,
                          'label': 'by request', 'command-timeout': '30s', 'user': LOGIN,
                          'option': ['StrictHostKeyChecking=accept-new'], 'json': True})
        d = r.json
        self.assertEqual(d['expandedNodeIds'], ['n003', 'n001', 'db1', 'db2'])
        self.assertEqual(d['batch']['targetGroups'], ['db'])
        self.assertEqual(d['batch']['label'], 'by request')
        p = d['batch']['parameters']
        self.assertEqual((p['fanout'], p['user'], p['strict_host_key']), (2, LOGIN, 'accept-new'))
        self.assertIn('30', p['command_timeout'])

    def test_host_key_checks_are_never_off(self):
        for word, kept in (('no', 'accept-new'), ('off', 'accept-new'), ('ask', 'yes')):
            r = self.request({'targetNodeIds': ['n001'], 'action': 'true', 'json': True,
                              'option': ['StrictHostKeyChecking=' + word]})
            self.assertEqual(r.json['batch']['parameters']['strict_host_key'], kept)
            self.assertEqual('is taken as accept-new' in r.err, kept == 'accept-new', r.err)

    def test_from_standard_input(self):
        doc = json.dumps({'targetNodeIds': ['n001'], 'action': 'echo hi'}).encode()
        r = self.ok('run', '--request', '-', '-N', input=doc)
        self.assertEqual(r.text, 'hi\n')

    def test_flags_stand_over_the_document(self):
        d = self.request({'targetNodeIds': ['n001'], 'action': 'true', 'label': 'a', 'fanout': 9},
                         '--label', 'b', '--json').json
        self.assertEqual(d['batch']['label'], 'b')
        self.assertEqual(d['batch']['parameters']['fanout'], 9)

    def test_all_its_options_count(self):
        r = self.request({'targetNodeIds': ['n%03d' % i for i in range(1, 11)], 'action': 'true',
                          'max-queue': 2, 'fanout': 3}, rc=7)
        self.assertIn('limit 2', r.err)
        self.assertEqual(self.rows(), (0, 0))

    def test_refused(self):
        ok = {'targetNodeIds': ['n001'], 'action': 'true'}
        for doc, words in (
                (dict(ok, wudo=True), ['"wudo"', 'did you mean "sudo"?']),
                (dict(ok, nonsense=1), ['targetNodeIds', 'onFailure']),
                (dict(ok, params={}), ['"parameters"', 'object']),
                (dict(ok, targetNodesIds=[]), ['did you mean "targetNodeIds"?']),
                (dict(ok, **{'password-fd': 3}), ['"password-fd"', 'command line only']),
                (dict(ok, **{'ask-sudo-password': True}), ['command line only']),
                (dict(ok, sudo=True, become='su'), ['--sudo and --become']),
                (dict(ok, env='1=2'), ['no name of a variable']), (dict(ok, db='x'), ['"db"']),
                (dict(ok, type='tusk'), ['"type"', '"command"']),
                (dict(ok, type='task'), ['no task true', 'muster tasks']),
                (dict(ok, type='plan'), ['no plan true', 'muster plans']),
                (dict(ok, task='facts'), ['"action" and "task"']),
                ({'targetNodeIds': ['n001'], 'task': 'facts', 'type': 'plan'}, ['"type" is "plan"']),
                ({'targetNodeIds': []}, ['"action"']),
                (dict(ok, action=1), ['"action"']), (dict(ok, targetNodeIds='n001'), ['array']),
                (dict(ok, targetNodeIds=[1]), ['item 1']), (dict(ok, fanout='x'), ['"fanout"']),
                (dict(ok, fanout=0), ['"fanout"', '1 to']), (dict(ok, detach='yes'), ['true or false']),
                (dict(ok, parameters={'a': 1}), ['"parameters"']), ([], ['object']),
                ('{"action": ', ['line 1']), ('', ['empty']),
                (dict(ok, targetNodeIds=['zz']), ['zz', '--any-host']),
                (dict(ok, targetNodeIds=[], targetGroupIds=['zz']), ['zz']),
                (dict(ok, targetNodeIds=[]), ['no target'])):
            r = self.request(doc, rc=2)
            for word in words:
                self.assertIn(word, r.err, str(doc))
        self.refused(self.muster('run', '--request', 'none.json'), 2, 'none.json', 'No such file')
        for more in (['-w', 'n001'], ['-a'], ['-g', 'db'], ['--', 'true']):
            self.refused(self.muster('run', '--request', 'request.json', *more), 2, 'leave out')
        self.assertEqual(self.rows(), (0, 0))


if __name__ == '__main__':
    main()
