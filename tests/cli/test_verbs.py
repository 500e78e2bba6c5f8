# SPDX-License-Identifier: Apache-2.0
"""The verbs that look at batches and nodes, and the shapes of their JSON answers."""
import csv
import io
import json
import os
import re
import subprocess
import sqlite3
import time

from lib import LOGIN, Case, main, until
from waiting import listening

TIME = re.compile(r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$')
UUID = re.compile(r'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')
REASONS = {'exit', 'signal', 'timeout', 'unreachable', 'unsupported', 'hostkey', 'auth', 'lost',
           'cancelled', 'skipped', 'internal'}
CREATED = {'batchId', 'number', 'executionIds', 'targetCount', 'expandedNodeIds', 'warnings'}
BATCH = {'id', 'number', 'type', 'action', 'parameters', 'targets', 'targetGroups', 'targetNodes',
         'executionIds', 'status', 'createdAt', 'startedAt', 'completedAt', 'duration', 'userId',
         'label', 'single', 'rerunOf', 'cancelRequested', 'paused', 'owner', 'warnings', 'stats'}
EXECUTION = {'id', 'batchId', 'batchPosition', 'nodeId', 'nodeName', 'status', 'reason', 'error',
             'startedAt', 'completedAt', 'duration', 'attempts', 'transport', 'host', 'port', 'user',
             'remoteProcess', 'result'}
RESULT = {'exitCode', 'signal', 'stdout', 'stderr', 'truncated'}


class Shapes(Case):
    def check_batch(self, b):
        self.assertEqual(set(b), BATCH)
        self.assertRegex(b['id'], UUID)
        for key in ('createdAt', 'startedAt', 'completedAt'):
            self.assertRegex(b[key], TIME)
        self.assertEqual(set(b['stats']), {'total', 'queued', 'running', 'success', 'failed',
                                           'reasons'})
        self.assertEqual(set(b['stats']['reasons']), REASONS)
        self.assertIsInstance(b['duration'], int)

    def check_execution(self, x):
        self.assertEqual(set(x), EXECUTION)
        self.assertEqual(set(x['result']), RESULT)
        self.assertEqual(x['nodeId'], x['nodeName'])
        self.assertRegex(x['startedAt'], TIME)
        self.assertRegex(x['completedAt'], TIME)
        self.assertEqual((x['transport'], x['attempts']), ('local', 1))

    def test_run(self):
        r = self.run_on('n010,n002,@db', 'echo $MUSTER_NODE; echo e >&2; [ $MUSTER_NODE != db2 ]',
                        '--json', rc=5)
        d = r.json
        self.assertEqual(r.out.count(b'\n'), 1)
        self.assertEqual(set(d), CREATED | {'batch', 'notes', 'executions', 'progress'})
        self.check_batch(d['batch'])
        for x in d['executions']:
            self.check_execution(x)
        # Ids and names in target order, executions by name in natural order.
        self.assertEqual(d['expandedNodeIds'], ['n010', 'n002', 'db1', 'db2'])
        self.assertEqual(d['executionIds'], ['%s-%04d' % (d['batchId'], i) for i in range(1, 5)])
        self.assertEqual([x['nodeName'] for x in d['executions']], ['db1', 'db2', 'n002', 'n010'])
        self.assertEqual(d['batch']['executionIds'], d['executionIds'])
        self.assertEqual(d['batch']['targetNodes'], d['expandedNodeIds'])
        self.assertEqual([x['batchPosition'] for x in d['executions']], [2, 3, 1, 0])
        self.assertEqual(d['executions'][0]['id'], d['executionIds'][2])
        self.assertEqual((d['number'], d['targetCount'], d['progress']), (1, 4, 100))
        b = d['batch']
        self.assertEqual((b['id'], b['number'], b['type']), (d['batchId'], 1, 'command'))
        self.assertEqual((b['status'], b['targetGroups'], b['single'], b['label'], b['rerunOf']),
                         ('partial', ['db'], False, None, None))
        self.assertEqual((b['stats']['success'], b['stats']['failed']), (3, 1))
        self.assertEqual(b['stats']['reasons']['exit'], 1)
        bad = self.by_node(d)['db2']
        self.assertEqual((bad['status'], bad['reason'], bad['result']['exitCode']),
                         ('failed', 'exit', 1))
        self.assertEqual((bad['result']['stdout'], bad['result']['stderr']), ('db2\n', 'e\n'))
        good = self.by_node(d)['db1']
        self.assertEqual((good['status'], good['reason'], good['error'], good['result']['exitCode'],
                          good['result']['signal'], good['result']['truncated']),
                         ('success', None, None, 0, None, False))
        # The status answer says the same.
        again = self.status('1')
        self.assertEqual(set(again), {'batch', 'notes', 'executions', 'progress'})
        self.assertEqual(again['batch'], d['batch'])
        self.assertEqual(again['executions'], d['executions'])

    def test_a_signal(self):
        x = self.run_on('n001', 'kill -TERM $$', '--json', rc=5).json['executions'][0]
        self.assertEqual((x['reason'], x['result']['signal'], x['result']['exitCode']),
                         ('signal', 'TERM', None))

    def test_detach_answers_at_once(self):
        r = self.ok('run', '-w', 'n[001-002]', '--detach', '--json', '--',
                    'while [ ! -e go ]; do sleep 0.02; done')
        self.assertEqual(set(r.json), CREATED)
        self.assertEqual(r.json['targetCount'], 2)
        d = self.status(r.json['batchId'])
        self.assertEqual(d['batch']['status'], 'running')
        self.assertEqual(d['batch']['owner']['state'], 'alive')
        self.assertRegex(d['batch']['owner']['process'], r'^pid \d+ on ')
        self.write('go', '')
        d = self.wait_ended()
        self.assertEqual(d['batch']['status'], 'success')
        self.assertIsNone(d['batch']['owner'])

    def test_history(self):
        self.run_on('n001', 'echo one', '--label', 'first')
        self.run_on('n[001-002]', 'exit 1', rc=5)
        d = self.ok('history', '--json').json
        self.assertEqual(set(d), {'batches', 'total'})
        self.assertEqual([b['number'] for b in d['batches']], [2, 1])
        for b in d['batches']:
            self.check_batch(b)
        self.assertEqual((d['batches'][1]['label'], d['batches'][1]['single']), ('first', True))
        b = d['batches'][0]
        self.assertEqual((b['targets'], b['targetNodes'], b['executionIds']),
                         ('n[001-002]', ['n001', 'n002'], [b['id'] + '-0001', b['id'] + '-0002']))
        self.assertEqual(b, self.status('2')['batch'])

    def test_nodes(self):
        d = self.ok('nodes', '--json').json
        self.assertEqual(set(d), {'nodes', 'groups', 'sources'})
        self.assertEqual(len(d['nodes']), 204)
        groups = {g['name']: g for g in d['groups']}
        self.assertEqual(set(groups), {'web', 'db', 'both', 'prod'})
        self.assertEqual(groups['db'], {'name': 'db', 'protected': False, 'nodes': ['db1', 'db2']})
        self.assertTrue(groups['prod']['protected'])
        self.assertEqual(len(groups['both']['nodes']), 12)
        self.assertEqual([s['type'] for s in d['sources']], ['muster', 'ssh_config', 'localhost'])
        self.assertEqual((d['sources'][0]['state'], d['sources'][0]['nodes']), ('ok', 203))
        d = self.ok('nodes', '@db', '--json').json
        self.assertEqual([n['name'] for n in d['nodes']], ['db1', 'db2'])
        self.assertEqual(set(d['nodes'][0]['groups']), {'db', 'both'})

    def test_node(self):
        self.run_on('db1,n001', 'exit 2', rc=5)
        self.run_on('db1', 'true')
        d = self.ok('node', 'db1', '--json').json
        self.assertEqual(set(d), {'node', 'executions', 'total'})
        self.assertEqual((d['node']['name'], d['node']['vars']), ('db1', {'dc': 'fra'}))
        self.assertEqual(d['node']['settings'], {'transport': 'local', 'port': '2222'})
        self.assertEqual(d['node']['sources'], ['muster'])
        self.assertEqual([x['batchNumber'] for x in d['executions']], [2, 1])
        self.assertEqual(d['total'], 2)
        text = self.ok('node', 'db1').text
        for words in (r'port +2222', r'dc +fra', r'#1 .*exit +2 ', r'#2 .*success +0 '):
            self.assertRegex(text, words)
        d = self.ok('node', 'db1', '--json', '--page', '2', '--page-size', '1').json
        self.assertEqual(([x['batchNumber'] for x in d['executions']], d['total']), ([1], 2))

    def test_a_node_that_left_the_inventory_keeps_its_history(self):
        self.write('old.yaml', 'nodes: {gone: {transport: local}}\n')
        self.ok('run', '-i', 'old.yaml', '-w', 'gone', '--', 'true')
        self.assertIn('#1', self.ok('node', 'gone').text)

    def test_cancel(self):
        self.run_on('n001', 'true')
        d = self.ok('cancel', 'last', '--json').json
        self.assertEqual((set(d), d['cancelledCount']),
                         ({'batchId', 'number', 'cancelledCount', 'message'}, 0))
        self.assertIn('ended already', d['message'])
        self.assertIn('ended already', self.ok('cancel').text)
        self.assertEqual(self.ok('cancel', '-q').text, '')
        self.assertEqual(self.status()['batch']['status'], 'success')

    def test_doctor(self):
        d = self.ok('doctor', '--json').json
        self.assertEqual({x['check'] for x in d} & {'inventory', 'database', 'ssh', 'limits'},
                         {'inventory', 'database', 'ssh', 'limits'})
        for x in d:
            self.assertIn(x['verdict'], ('ok', 'advice', 'BAD'))
            self.assertEqual(x['remedy'] is None, x['verdict'] == 'ok', x)
        self.assertRegex(self.ok('doctor').text, r'inventory +ok +204 nodes, 4 groups')

    def findings(self, **env):
        return self.judged(env=env)

    def judged(self, *args, **more):
        """Its exit status is 1 when something is BAD."""
        d = self.muster('doctor', '--json', *args, **more)
        self.assertEqual(d.rc, int(any(x['verdict'] == 'BAD' for x in d.json)), str(d))
        return {x['check']: x for x in d.json}

    def test_doctor_finds_a_broken_ssh_config(self):
        config = self.write('own_config', 'Nonsense yes\n')
        ssh = self.judged('-F', config)['ssh']
        self.assertEqual(ssh['verdict'], 'BAD')
        self.assertIn('Bad configuration option: nonsense', ssh['text'])
        self.assertIn('mend', ssh['remedy'])
        self.write('own_config', 'Match exec "sleep 60"\n  User x\n')
        begin = time.monotonic()
        ssh = self.judged('-F', config)['ssh']
        self.assertLess(time.monotonic() - begin, 30)
        self.assertEqual(ssh['verdict'], 'BAD')
        self.assertIn('Match exec', ssh['text'])
        until(lambda: not self.processes())
        self.write('own_config', 'User x\n')
        self.assertEqual(self.judged('-F', config)['ssh']['verdict'], 'ok')

    def test_doctor_remedies(self):
        ssh = self.path('home', '.ssh')
        os.mkdir(ssh, 0o700)
        self.write('home/.ssh/known_hosts', '# none\n\nh1 ssh-ed25519 AAAA\n|1|x|y ssh-ed25519 AAAA\n')
        self.write('home/.ssh/work', '-----BEGIN OPENSSH PRIVATE KEY-----\n')
        self.write('home/.ssh/work.pub', 'ssh-ed25519 AAAA\n')
        os.chmod(os.path.join(ssh, 'work'), 0o640)
        d = self.findings()
        self.assertEqual(d['keys']['verdict'], 'BAD')
        self.assertIn('chmod 600 ' + os.path.join(ssh, 'work'), d['keys']['remedy'])
        # ssh itself knows no HOME but that of the account.
        d = self.findings(PATH='/nonexistent')
        self.assertIn(os.path.join(ssh, 'known_hosts') + ': 2 host keys', d['known_hosts']['text'])
        os.chmod(os.path.join(ssh, 'work'), 0o600)
        self.assertIn('1 private key file,', self.findings()['keys']['text'])
        os.chmod(ssh, 0o770)
        self.assertIn('chmod 700', self.findings()['keys']['remedy'])
        d = self.findings(SSH_AUTH_SOCK=self.path('no-agent'), TERM='dumb', PATH='/nonexistent')
        self.assertEqual((d['agent']['verdict'], d['terminal']['verdict'], d['ssh']['verdict']),
                         ('BAD', 'advice', 'advice'))

    def test_doctor_finds_a_damaged_database(self):
        self.run_on('n[001-050]', 'seq 1000')
        self.assertIn('whole', self.findings()['database']['text'])
        db = sqlite3.connect(self.db_path)
        db.execute('PRAGMA wal_checkpoint(TRUNCATE)')
        size, page = (db.execute('PRAGMA ' + p).fetchone()[0] for p in ('page_count', 'page_size'))
        db.close()
        with open(self.db_path, 'r+b') as f:
            f.seek(size // 2 * page)
            f.write(b'\xff' * page * (size - size // 2))
        d = self.muster('doctor', '--json')
        self.assertEqual({x['check']: x for x in d.json}['database']['verdict'], 'BAD', str(d))

    def test_doctor_asks_the_agent(self):
        sock = self.path('agent')
        p = subprocess.Popen(['ssh-agent', '-D', '-a', sock], stdout=subprocess.DEVNULL)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        until(lambda: listening(sock))
        self.assertIn('holds no key', self.findings(SSH_AUTH_SOCK=sock)['agent']['text'])
        key = self.path('k')
        subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key], check=True)
        subprocess.run(['ssh-add', '-q', key], check=True, env=dict(os.environ, SSH_AUTH_SOCK=sock))
        text = self.findings(SSH_AUTH_SOCK=sock)['agent']['text']
        self.assertIn('1 key, 1 usable as ed25519, ECDSA or RSA', text)
        self.assertNotIn('through openssh', text)
        rsa = self.path('rsa')
        subprocess.run(['ssh-keygen', '-q', '-t', 'rsa', '-N', '', '-f', rsa], check=True)
        subprocess.run(['ssh-keygen', '-q', '-s', key, '-I', 'me', '-n', LOGIN, rsa + '.pub'], check=True)
        subprocess.run(['ssh-add', '-q', rsa], check=True, env=dict(os.environ, SSH_AUTH_SOCK=sock))
        self.assertIn('3 keys, 2 usable as ed25519, ECDSA or RSA, 1 through openssh',
                      self.findings(SSH_AUTH_SOCK=sock)['agent']['text'])

    def test_doctor_reads_the_keys_of_ssh_config(self):
        config = self.write('own_config', 'Host *\n  IdentityFile %s\n' % self.path('mine'))
        keys = {x['check']: x for x in self.ok('doctor', '--json', '-F', config).json}['keys']
        self.assertEqual(keys['verdict'], 'advice')
        self.assertIn('none that ssh_config has', keys['text'])
        self.write('mine', '-----BEGIN OPENSSH PRIVATE KEY-----\n')
        os.chmod(self.path('mine'), 0o600)
        keys = {x['check']: x for x in self.ok('doctor', '--json', '-F', config).json}['keys']
        self.assertIn('1 private key file,', keys['text'])

    def test_doctor_reads_the_known_hosts_of_ssh_config(self):
        config = self.write('own_config', 'UserKnownHostsFile %s\nGlobalKnownHostsFile %s\n'
                            % (self.path('mine'), self.path('all')))
        self.write('mine', 'h1 ssh-ed25519 AAAA\nh2 ssh-ed25519 AAAA\n')
        self.write('all', 'h3 ssh-ed25519 AAAA\n')
        found = {x['check']: x for x in self.ok('doctor', '--json', '-F', config).json}
        for told in (self.path('mine') + ': 2 host keys', self.path('all') + ': 1 host key'):
            self.assertIn(told, found['known_hosts']['text'])
        self.write('home/.ssh/known_hosts', 'h1 ssh-ed25519 AAAA\n')
        self.assertIn('known_hosts: 1', self.findings(PATH='/nonexistent')['known_hosts']['text'])

    def test_version(self):
        text = self.ok('--version').text
        self.assertTrue(text.startswith('muster 0.1.0\n'), text)
        self.assertEqual([line.split()[0] for line in text.splitlines()],
                         ['muster', 'libssh2', 'SQLite', 'json-c', 'libyaml', 'libcrypto', 'ncurses'])
        for line in text.splitlines():
            self.assertRegex(line, r'^[\w-]+ \d+\.\d+')
        self.assertEqual(self.ok('-V').text, text)
        self.assertGreaterEqual(len(text.splitlines()), 4)


class Status(Case):
    def setUp(self):
        super().setUp()
        self.run_on('n[001-012]', 'sleep 0.0${MUSTER_NODE#n0}; '
                    'case $MUSTER_NODE in *1) exit 1;; esac', '-f', '12', rc=5)

    def names(self, *flags):
        return [x['nodeName'] for x in self.status('last', *flags)['executions']]

    def test_filter(self):
        d = self.status('last', '--status', 'failed')
        self.assertEqual([x['nodeName'] for x in d['executions']], ['n001', 'n011'])
        self.assertEqual((d['batch']['stats']['total'], d['batch']['stats']['success']), (12, 10))
        self.assertEqual(d['progress'], 100)
        self.assertEqual(self.names('--status', 'running'), [])

    def test_sort(self):
        d = self.status('last', '--sort', 'duration')
        times = [x['duration'] for x in d['executions']]
        self.assertIn(times, (sorted(times), sorted(times, reverse=True)))
        self.assertEqual(self.names('--sort', 'position'), self.names())
        d = self.status('last', '--sort', 'finished')
        ends = [x['completedAt'] for x in d['executions']]
        self.assertEqual(ends, sorted(ends))
        by_status = [x['status'] for x in self.status('last', '--sort', 'status')['executions']]
        self.assertIn(by_status, (['failed'] * 2 + ['success'] * 10,
                                  ['success'] * 10 + ['failed'] * 2))
        self.assertEqual(self.names('--sort', 'name')[0], 'n001')

    def test_pages(self):
        everything = self.names()
        self.assertEqual(len(everything), 12)
        pages = [self.names('--page', str(i), '--page-size', '5') for i in (1, 2, 3, 4)]
        self.assertEqual([len(p) for p in pages], [5, 5, 2, 0])
        self.assertEqual(sum(pages, []), everything)
        self.assertEqual(self.names('--page-size', '3'), everything[:3])
        lines = self.ok('status', '--page', '2', '--page-size', '5').lines
        self.assertEqual(lines[-5:][0].split()[0], 'n006')

    def test_for_people(self):
        r = self.ok('status')
        self.assertRegex(r.lines[0], r'^batch #1  partial  100%  ')
        for line in ('targets  n[001-012]', 'total 12  queued 0  running 0  success 10  failed 2',
                     'failed:  exit 2'):
            self.assertIn(line, r.lines)
        self.assertRegex(r.text, r'n001 +failed +exit +1 ')
        self.assertEqual(len(r.lines), 6 + 12)

    def test_names_of_a_batch(self):
        id = self.status()['batch']['id']
        for name in ('1', '#1', 'last', id, id[:8]):
            self.assertEqual(self.status(name)['batch']['number'], 1, name)


class Told(Case):
    def test_an_empty_history_names_its_database(self):
        r = self.ok('history', '--db', self.path('none', 'x.db'))
        self.assertIn('none/x.db: that file does not exist yet', r.err)
        self.run_on('n001', 'true', '--label', 'before the move')
        self.assertIn('no such page: there are 1 batches', self.ok('history', '--page', '9').err)
        self.assertRegex(self.ok('status').text, 'label +before the move')
        self.ok('rerun', '--all', '-q')
        self.assertIn('rerun of #1', self.ok('status').text)


class ExportNames(Case):
    def test_a_name_of_its_own_never_replaces_a_file(self):
        self.run_on('n001', 'echo x')
        self.write('batch-1-results.csv', 'precious')
        r = self.ok('export', '--format', 'csv', rc=2)
        self.assertIn('is there already', r.err)
        self.assertEqual(self.read('batch-1-results.csv'), b'precious')
        self.ok('export', '-o', 'batch-1-results.csv')
        self.assertTrue(self.read('batch-1-results.csv').startswith(b'Node Name,'))
        self.ok('export', '--format', 'json', '-o', 'x.csv', rc=2)
        self.assertFalse(os.path.exists(self.path('x.csv')))


class Results(Case):
    def test_all(self):
        self.run_on('n[001-003]', 'echo out $MUSTER_NODE; echo err >&2; [ $MUSTER_NODE != n002 ]', rc=5)
        r = self.ok('results')
        self.assertEqual(r.lines, ['n%03d: out n%03d' % (i, i) for i in (1, 2, 3)])
        self.assertEqual(r.err.count(': err\n'), 3)
        self.assertIn('exit code 1 (1): n002', r.err)
        self.assertEqual(self.ok('results', '1', '-N').lines[0], 'out n001')
        r = self.ok('results', '--node', 'n002')
        self.assertEqual((r.text, 'exit code 1' in r.err), ('out n002\n', True))
        self.refused(self.muster('results', '--node', 'n009'), 2, 'n009', '#1')

    def test_folded_and_compared(self):
        self.run_on('n[001-005]', 'echo same; [ $MUSTER_NODE = n003 ] && echo more; true')
        r = self.ok('results', '-b')
        self.assertIn('n[001-002,004-005] (4)', r.text)
        self.assertIn('n003 (1)', r.text)
        r = self.ok('results', '--diff')
        self.assertEqual(r.lines[:2], ['--- n[001-002,004-005] (4)', '+++ n003 (1)'])
        self.assertIn('+more', r.lines)
        self.run_on('n[001-005]', 'echo same')
        r = self.ok('results', '--diff')
        self.assertEqual((r.text, 'same standard output' in r.err), ('', True))

    def test_a_running_batch_says_so(self):
        self.ok('run', '-w', 'n[001-002]', '--detach', '--',
                '[ $MUSTER_NODE = n001 ] && echo done || while [ ! -e go ]; do sleep 0.02; done')
        self.wait_running()
        r = self.ok('results')
        self.assertIn('still runs', r.err)
        self.write('go', '')
        self.wait_ended()


class History(Case):
    def numbers(self, *flags):
        d = self.ok('history', '--json', *flags).json
        return [b['number'] for b in d['batches']]

    def test_filters(self):
        self.run_on('n001', 'echo alpha', '--label', 'Weekly')
        self.run_on('n[001-003]', 'echo beta')
        self.run_on('db1,db2', 'exit 1', rc=5)
        self.run_on('db1,db2', '[ $MUSTER_NODE = db1 ]', rc=5)
        for flags, numbers in (
                ([], [4, 3, 2, 1]), (['--type', 'command'], [4, 3, 2, 1]),
                (['--kind', 'single'], [1]), (['--kind', 'batch'], [4, 3, 2]),
                (['--status', 'success'], [2, 1]), (['--status', 'failed'], [3]),
                (['--status', 'partial'], [4]), (['--status', 'cancelled'], []),
                (['--node', 'n001'], [2, 1]), (['--node', 'db2'], [4, 3]), (['--node', 'zz'], []),
                (['--text', 'beta'], [2]), (['--text', 'weekly'], [1]), (['--text', 'db'], [4, 3]),
                (['--text', '%'], []), (['--user', 'nobody'], []), (['--since', '1h'], [4, 3, 2, 1]),
                (['--since', 'today', '--until', '1h'], []), (['--until', '2001-01-01'], []),
                (['--since', '2001-01-01 10:00'], [4, 3, 2, 1]),
                (['--node', 'n001', '--kind', 'batch'], [2]), (['--page-size', '2'], [4, 3]),
                (['--page', '2', '--page-size', '3'], [1]), (['--page', '9'], [])):
            self.assertEqual(self.numbers(*flags), numbers, flags)
        d = self.ok('history', '--json', '--page-size', '1').json
        self.assertEqual((len(d['batches']), d['total']), (1, 4))
        user = d['batches'][0]['userId']
        self.assertEqual(self.numbers('--user', user), [4, 3, 2, 1])

    def test_for_people(self):
        for i in range(3):
            self.run_on('n001', 'echo %d' % i)
        r = self.ok('history', '--page-size', '2')
        self.assertEqual(len(r.lines), 3)
        self.assertRegex(r.lines[1], r'^#3 +\d{4}-.* success +1/1 .* n001 +echo 2$')
        self.assertIn('2 of 3 batches', r.err)

    def test_empty(self):
        self.assertEqual(self.ok('history', '--json').json, {'batches': [], 'total': 0})
        self.assertEqual(len(self.ok('history').lines), 1)
        self.assertFalse(os.path.exists(self.db_path))


class Rerun(Case):
    def test_which(self):
        self.run_on('n[001-006]', 'case $MUSTER_NODE in n001) exit 1;; n002) kill $$;; '
                    'n003) exec sleep 60;; esac', '-u', '1', '--label', 'x', '-f', '6', rc=3)
        for flags, nodes in ((['--failed'], ['n001', 'n002', 'n003']), (['--reason', 'exit'], ['n001']),
                             (['--reason', 'timeout'], ['n003']),
                             (['--all'], ['n00%d' % i for i in range(1, 7)])):
            d = self.ok('rerun', '1', *flags, '--dry-run', '--json').json
            self.assertEqual(d['expandedNodeIds'], nodes, flags)
        self.refused(self.muster('rerun', '1', '--skipped'), 2, 'skipped')
        self.refused(self.muster('rerun', '1', '--reason', 'auth'), 2, 'auth')
        d = self.ok('rerun', '1', '--reason', 'signal', '--json', rc=5).json
        self.assertEqual((d['batch']['rerunOf'], d['batch']['label'], d['batch']['number']),
                         (1, 'x', 2))
        self.assertIn('1', d['batch']['parameters']['command_timeout'])
        self.assertEqual(d['batch']['parameters']['fanout'], 6)
        d = self.ok('rerun', '1', '--reason', 'signal', '--json', '--label', 'y', '-f', '2', rc=5).json
        self.assertEqual((d['batch']['label'], d['batch']['parameters']['fanout']), ('y', 2))

    def test_a_running_batch(self):
        self.ok('run', '-w', 'n001', '--detach', '--', 'exec sleep 60')
        self.refused(self.muster('rerun', '--all'), 2, '#1', 'still runs')
        self.ok('cancel')
        self.wait_ended()
        self.ok('rerun', '--all', '--dry-run')

    def test_inventory_and_ssh_options_are_kept(self):
        self.write('other.yaml', 'nodes: {o1: {transport: local}}\n')
        os.mkdir(self.path('elsewhere'))
        self.ok('run', '-i', 'other.yaml', '-w', 'o1', '-o', 'Compression=yes', '--max-output', '1M',
                '--', 'echo $0')
        b = self.ok('rerun', '--all', '-o', 'ConnectTimeout=9', '--json',
                    cwd=self.path('elsewhere')).json['batch']
        self.assertEqual(b['targetNodes'], ['o1'])
        self.assertEqual(b['parameters'], {'inventories': [os.path.realpath(self.path('other.yaml'))],
                                           'maxOutput': 1 << 20,
                                           'sshOptions': ['ConnectTimeout=9', 'Compression=yes']})
        b = self.ok('rerun', '--all', '--max-output', '2M', '--json').json['batch']
        self.assertEqual((b['parameters']['maxOutput'], len(b['parameters']['sshOptions'])), (2 << 20, 2))
        self.refused(self.muster('rerun', '--all', '-i', 'inventory.yaml'), 2, 'o1')


class Export(Case):
    def test_json(self):
        self.run_on('n[001-002]', 'echo hi')
        r = self.ok('export')
        self.assertIn('batch-1-results.json', r.err)
        d = json.loads(self.read('batch-1-results.json'))
        self.assertEqual(set(d), {'batch', 'notes', 'executions', 'exportedAt'})
        self.assertRegex(d['exportedAt'], TIME)
        s = self.status()
        self.assertEqual((d['batch'], d['executions']), (s['batch'], s['executions']))
        self.assertEqual(self.ok('export', '-q', '-o', 'x').err, '')
        self.assertEqual(json.loads(self.read('x'))['batch'], s['batch'])
        self.assertEqual(json.loads(self.ok('export', '1', '-o', '-').out)['batch'], s['batch'])

    def test_csv(self):
        odd = ['=1+1', '+1', '-1', '@x', 'a "b", c', 'line1\nline2', ' =x', 'plain', '\t=x', 'é']
        names = ['n%03d' % (i + 1) for i in range(len(odd))]
        for name, text in zip(names, odd):
            self.write('in/' + name, text)
        self.run_on('n[001-010]', 'cat in/$MUSTER_NODE; printf "e\\033[1m" >&2; [ $MUSTER_NODE != n002 ]',
                    rc=5)
        self.ok('export', '--format', 'csv')
        raw = self.read('batch-1-results.csv')
        self.assertEqual(raw.count(b'\r\n'), 11)
        rows = list(csv.reader(io.StringIO(raw.decode(), newline='')))
        self.assertEqual(rows[0], ['Node Name', 'Status', 'Reason', 'Duration (ms)', 'Exit Code',
                                   'Started At', 'Completed At', 'Stdout', 'Stderr', 'Error'])
        by = {r[0]: r for r in rows[1:]}
        for name, text in zip(names, odd):
            got = by[name][7]
            if text.lstrip(' \t')[0] in '=+-@':
                self.assertTrue(got.startswith("'"), (text, got))
                self.assertTrue(got.endswith(text.lstrip(' \t')), (text, got))
            else:
                self.assertEqual(got, text)
        self.assertEqual(by['n001'][1:3] + by['n001'][4:5], ['success', '', '0'])
        self.assertEqual(by['n002'][1:3] + by['n002'][4:5], ['failed', 'exit', '1'])
        self.assertRegex(by['n001'][3], r'^\d+$')
        self.assertRegex(by['n001'][5], TIME)
        self.assertEqual(by['n001'][8], 'e^[[1m')
        self.assertNotIn(b'\033', raw)

    def test_where(self):
        self.run_on('n001', 'echo hi')
        self.refused(self.muster('export', '-o', 'no/such/x'), 2, 'no/such/x', 'No such file')
        os.mkdir(self.path('folder'))
        self.refused(self.muster('export', '-o', 'folder'), 2, 'folder', 'Is a directory')
        os.mkfifo(self.path('fifo'))
        reader = os.open(self.path('fifo'), os.O_RDONLY | os.O_NONBLOCK)
        self.ok('export', '-o', 'fifo')
        self.assertEqual(json.loads(os.read(reader, 65536))['batch']['number'], 1)
        os.close(reader)
        self.write('old', 'x')
        self.ok('export', '-o', 'old')
        json.loads(self.read('old'))
        self.refused(self.muster('export', '-o', '/dev/full'), 1, 'No space left')
        left = [f for f in os.listdir(self.dir) if '.' in f and 'yaml' not in f]
        self.assertEqual(left, [])


if __name__ == '__main__':
    main()
