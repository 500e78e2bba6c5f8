# SPDX-License-Identifier: Apache-2.0
"""Signals, lost terminals, closed pipes, two processes on one database, and kill -9."""
import json
import os
import pty
import resource
import signal
import sqlite3
import subprocess

from lib import Case, main, until

WAIT = 'while [ ! -e go ]; do sleep 0.02; done; echo went'


class Signals(Case):
    def test_interrupt_once(self):
        p = self.start('run', '-w', 'n[001-020]', '-f', '5', '--json', '--', 'exec sleep 60')
        self.wait_running(5)
        p.send_signal(signal.SIGINT)
        r = self.end(p)
        self.assertEqual(r.rc, 130, str(r))
        self.assertIn('15 queued cancelled, 5 running are being stopped', r.err)
        self.assertIn('cancelled 20: n[001-020]', r.err)
        self.assertEqual(self.processes(), [])
        d = r.json
        self.assertEqual((d['batch']['status'], d['progress']), ('cancelled', 100))
        for x in d['executions']:
            self.assertEqual((x['status'], x['reason'], x['error'], x['remoteProcess']),
                             ('failed', 'cancelled', 'Cancelled by user',
                              'stopped' if x['batchPosition'] < 5 else None))

    def test_terminate_is_the_same(self):
        p = self.start('run', '-w', 'n001', '--', 'exec sleep 60')
        self.wait_running()
        p.send_signal(signal.SIGTERM)
        r = self.end(p)
        self.assertEqual(r.rc, 130, str(r))
        self.assertIn('0 queued cancelled, 1 running is being stopped', r.err)
        self.assertEqual(self.status()['batch']['status'], 'cancelled')
        self.assertEqual(self.processes(), [])

    def test_a_command_that_refuses_to_end_is_killed(self):
        p = self.start('run', '-w', 'n001', '-L', '--', 'trap "" TERM; echo set; while :; do sleep 1; done')
        self.assertEqual(p.stdout.readline(), b'n001: set\n')
        p.send_signal(signal.SIGINT)
        self.assertEqual(self.end(p).rc, 130)
        self.assertEqual(self.status()['executions'][0]['remoteProcess'], 'stopped')
        until(lambda: not self.processes(), 'the end of the processes')

    def test_interrupt_twice(self):
        p = self.start('run', '-w', 'n[001-006]', '-f', '2', '--json', '--',
                       'trap "" TERM; touch up.$MUSTER_NODE; while :; do sleep 1; done')
        until(lambda: os.path.exists(self.path('up.n001')) and os.path.exists(self.path('up.n002')))
        p.send_signal(signal.SIGINT)
        until(lambda: self.status()['batch']['cancelRequested'])
        p.send_signal(signal.SIGINT)
        r = self.end(p, timeout=5)
        self.assertEqual(r.rc, 130, str(r))
        self.assertIn('leaving at once', r.err)
        self.assertIn('lost 2: n[001-002]', r.err)
        for d in (r.json, self.status()):
            self.assertEqual(d['batch']['stats']['reasons']['lost'], 2)
            self.assertEqual(d['batch']['stats']['reasons']['cancelled'], 4)
            self.assertEqual((d['batch']['stats']['running'], d['batch']['stats']['queued']), (0, 0))

    def test_results_before_an_interrupt_stay(self):
        p = self.start('run', '-w', 'n[001-004]', '-f', '1', '--format', 'jsonl', '--',
                       'echo $MUSTER_NODE; : >"$MUSTER_TEST/up-$MUSTER_NODE"; '
                       '[ $MUSTER_NODE = n001 ] || exec sleep 60')
        first = json.loads(p.stdout.readline())
        self.assertEqual(first['result']['stdout'], 'n001\n')
        until(lambda: os.path.exists(self.path('up-n002')), 'the line of n002')
        p.send_signal(signal.SIGINT)
        r = self.end(p)
        d = self.by_node(self.status())
        self.assertEqual(d['n001'], first)
        self.assertEqual({d[n]['reason'] for n in ('n002', 'n003', 'n004')}, {'cancelled'})
        self.assertEqual(len(r.lines), 3)
        self.assertEqual(d['n002']['result']['stdout'], 'n002\n')

    def test_hangup_with_a_file(self):
        with open(self.path('out'), 'wb') as out:
            p = self.start('run', '-w', 'n[001-004]', '-f', '2', '--', WAIT, stdout=out)
            self.wait_running(2)
            p.send_signal(signal.SIGHUP)
            self.write('go', '')
            self.assertEqual(self.end(p).rc, 0)
        self.assertEqual(sorted(self.read('out').decode().split('\n')),
                         [''] + ['n%03d: went' % i for i in range(1, 5)])
        self.assertEqual(self.status()['batch']['status'], 'success')

    def test_hangup_of_the_terminal(self):
        master, slave = pty.openpty()
        p = self.start('run', '-w', 'n[001-004]', '-f', '2', '--', WAIT, stdin=slave, stdout=slave,
                       stderr=slave, start_new_session=True)
        os.close(slave)
        self.wait_running(2)
        os.close(master)
        p.send_signal(signal.SIGHUP)
        # Any other process still sees it live.
        self.assertEqual(self.status()['batch']['owner']['state'], 'alive')
        self.write('go', '')
        self.assertEqual(p.wait(timeout=20), 0)
        d = self.status()
        self.assertEqual((d['batch']['status'], d['executions'][3]['result']['stdout']),
                         ('success', 'went\n'))


class Pipes(Case):
    def test_a_reader_that_leaves_early(self):
        for flags in ([], ['-L'], ['--format', 'jsonl'], ['--format', 'csv'], ['--json'], ['-b']):
            with self.subTest(flags=flags):
                p = self.start('run', '-w', 'n[001-006]', '-f', '1', *flags, '--',
                               'echo x; [ $MUSTER_NODE != n006 ]')
                head = subprocess.run(['head', '-c', '1'], stdin=p.stdout, capture_output=True)
                p.stdout.close()
                p.stdout = None
                self.assertEqual(p.wait(timeout=20), 5)
                err = p.stderr.read().decode()
                self.assertEqual(len(head.stdout), 1)
                self.assertNotIn('Broken pipe', err)
                self.assertIn('exit code 1 (1): n006', err)
                stats = self.status()['batch']['stats']
                self.assertEqual((stats['success'], stats['failed']), (5, 1))

    def test_a_reader_that_was_never_there(self):
        for flags in ([], ['--json'], ['--format', 'jsonl']):
            read, write = os.pipe()
            os.close(read)
            p = self.start('run', '-w', 'n[001-003]', *flags, '--', 'echo x', stdout=write)
            os.close(write)
            self.assertEqual(self.end(p).rc, 0)
            self.assertEqual(self.status()['batch']['stats']['success'], 3)
        read, write = os.pipe()
        os.close(read)
        p = self.start('export', '-o', '-', stdout=write)
        os.close(write)
        self.assertEqual(self.end(p).err, '')


class TwoProcesses(Case):
    def test_one_runs_the_other_watches_and_cancels(self):
        runner = self.start('run', '-w', 'n[001-020]', '-f', '4', '--', 'echo $MUSTER_NODE; '
                            'case $MUSTER_NODE in n00[1-8]) ;; *) exec sleep 60;; esac')
        until(lambda: self.rows()[0] == 1)
        watcher = self.start('watch')
        seen = [watcher.stdout.readline() for _ in range(8)]
        self.assertEqual(sorted(seen), [b'n%03d: n%03d\n' % (i, i) for i in range(1, 9)])
        self.wait_running(4)
        self.assertIsNone(runner.poll())
        d = self.ok('cancel', '--json').json
        self.assertEqual((d['cancelledCount'], d['number']), (12, 1))
        w, r = self.end(watcher), self.end(runner)
        self.assertEqual((w.rc, r.rc), (3, 3), str(w) + str(r))
        self.assertIn('cancelled 12: n[009-020]', w.err)
        self.assertIn('cancelled 12: n[009-020]', r.err)
        self.assertEqual(self.processes(), [])
        d = self.status()
        self.assertEqual((d['batch']['status'], d['batch']['stats']['success']), ('cancelled', 8))
        stopped = [x['remoteProcess'] for x in d['executions'] if x['startedAt'] and x['reason']]
        self.assertEqual(stopped, ['stopped'] * 4)
        self.assertIn('ended already', self.ok('cancel').text)

    def test_watch(self):
        self.run_on('n[001-003]', 'echo hi; [ $MUSTER_NODE != n002 ]', rc=5)
        r = self.ok('watch', '1', rc=5)
        self.assertEqual(sorted(r.lines), ['n001: hi', 'n002: hi', 'n003: hi'])
        self.assertIn('n[001,003] (2)', self.ok('watch', '-b', rc=5).text)
        self.assertEqual(self.ok('watch', '-N', '-q', rc=5).lines, ['hi'] * 3)
        self.ok('watch', '-S', rc=1)
        self.assertEqual(len(self.ok('watch', '-L', rc=5).lines), 3)

    def test_leaving_a_watch_leaves_the_batch(self):
        self.ok('run', '-w', 'n[001-002]', '-L', '--detach', '--', 'echo first; ' + WAIT)
        w = self.start('watch', '-L')
        self.assertIn(b'first', w.stdout.readline())
        w.send_signal(signal.SIGINT)
        r = self.end(w)
        self.assertEqual(r.rc, 130)
        self.assertIn('batch #1 goes on (muster cancel 1 stops it)', r.err)
        self.assertEqual(self.status()['batch']['status'], 'running')
        w = self.start('watch')
        self.write('go', '')
        r = self.end(w)
        self.assertEqual(r.rc, 0)
        self.assertEqual(sorted(r.lines),
                         ['n001: first', 'n001: went', 'n002: first', 'n002: went'])

    def test_live_in_another_process(self):
        self.ok('run', '-w', 'n001', '-L', '--detach', '--', 'echo first; ' + WAIT)
        w = self.start('watch', '-L')
        self.assertEqual(w.stdout.readline(), b'n001: first\n')
        self.assertIsNone(w.poll())
        self.write('go', '')
        r = self.end(w)
        self.assertEqual((r.rc, r.text), (0, 'n001: went\n'))

    def test_detached(self):
        r = self.ok('run', '-w', 'n[001-002]', '--detach', '--', WAIT)
        self.assertEqual((r.text, r.err), ('', 'batch #1: 2 targets\n'))
        self.write('go', '')
        self.wait_ended()
        until(lambda: not self.processes(), 'the end of the process')
        self.assertEqual(self.ok('results', '-b', '-N').text, 'went\n')
        self.ok('rerun', '--all', '--detach', '-q')
        self.assertEqual(self.wait_ended()['batch']['rerunOf'], 1)

    def test_two_runs_at_once(self):
        runs = [self.start('run', '-w', 'n[001-010]', '-f', '3', '-q', '--', 'echo %d' % i)
                for i in range(4)]
        for p in runs:
            self.assertEqual(self.end(p).rc, 0)
        d = self.ok('history', '--json').json
        self.assertEqual([b['number'] for b in d['batches']], [4, 3, 2, 1])
        self.assertEqual({b['stats']['success'] for b in d['batches']}, {10})

    def test_several_first_starts_at_once(self):
        for i in range(12):
            db = '--db=first%d' % i
            runs = [self.start('run', db, '-w', 'n001', '-q', '--', 'true') for _ in range(4)]
            for p in runs:
                r = self.end(p)
                self.assertEqual(r.rc, 0, str(r))
            self.assertEqual(self.ok('history', db, '--json').json['total'], 4)


class Killed(Case):
    def test_in_the_middle_of_a_batch(self):
        p = self.start('run', '-w', 'n[001-200]', '-f', '10', '--format', 'jsonl', '--',
                       'echo $MUSTER_NODE; case $MUSTER_NODE in n0*) sleep 0.02;; '
                       '*) exec sleep 60;; esac')
        reported = [json.loads(p.stdout.readline()) for _ in range(40)]
        p.kill()
        reported += [json.loads(line) for line in p.stdout.read().splitlines()]
        p.wait()
        d = self.status()
        stats = d['batch']['stats']
        self.assertEqual((stats['total'], stats['running'], stats['queued']), (200, 0, 0))
        self.assertIn(d['batch']['status'], ('partial', 'failed'))
        self.assertEqual(d['progress'], 100)
        now = self.by_node(d)
        for x in reported:
            self.assertEqual(now[x['nodeName']], x)
        rest = [x for x in d['executions'] if x['status'] != 'success']
        self.assertEqual({x['reason'] for x in rest}, {'lost', 'skipped'})
        for x in rest:
            self.assertEqual(x['startedAt'] is None, x['reason'] == 'skipped')
            self.assertTrue(x['error'])
        lost = stats['reasons']['lost']
        self.assertTrue(1 <= lost <= 10, lost)
        self.assertEqual(stats['success'] + lost + stats['reasons']['skipped'], 200)
        # Counters and rows agree, and nothing was run again.
        self.assertEqual(self.sql("SELECT count(*) FROM executions WHERE reason IS NOT NULL"),
                         [(len(rest),)])
        self.assertEqual(self.rows(), (1, 200))
        r = self.ok('rerun', '--skipped', '--dry-run', '--json').json
        self.assertEqual(r['targetCount'], stats['reasons']['skipped'])
        self.ok('watch', rc=3)

    def test_a_watcher_settles_it(self):
        p = self.start('run', '-w', 'n[001-004]', '-f', '2', '-L', '--',
                       'echo up; exec sleep 60')
        self.wait_running(2)
        w = self.start('watch', '-L')
        for _ in range(2):
            self.assertIn(b': up', w.stdout.readline())
        # It has seen all there is: no commit tells it of the death.
        p.kill()
        p.wait()
        r = self.end(w)
        self.assertEqual(r.rc, 3, str(r))
        self.assertIn('lost 2: n[001-002]', r.err)
        self.assertIn('skipped 2: n[003-004]', r.err)

    def test_a_living_batch_is_left_alone(self):
        p = self.start('run', '-w', 'n001', '--', WAIT)
        self.wait_running()
        for _ in range(3):
            self.run_on('n002', 'true', '-q')
            self.assertEqual(self.status('1')['batch']['stats']['running'], 1)
        self.write('go', '')
        self.assertEqual(self.end(p).rc, 0)

    def test_cancelling_a_dead_batch(self):
        p = self.start('run', '-w', 'n[001-002]', '-f', '1', '--', 'exec sleep 60')
        self.wait_running()
        p.kill()
        p.wait()
        self.ok('cancel', '1')
        stats = self.status('1')['batch']['stats']
        self.assertEqual((stats['running'], stats['queued']), (0, 0))


class Store(Case):
    def test_a_full_disk(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))

        # With the signal ignored, a file that may not grow is like a disk that is full.
        p = self.start('run', '-w', 'n[001-200]', '-f', '4', '--format', 'jsonl', '--',
                       'seq 1 2000; echo $MUSTER_NODE', preexec_fn=limit, restore_signals=False)
        r = self.end(p)
        self.refused(r, 1, 'muster.db')
        reported = [json.loads(line) for line in r.lines if '"error":{' not in line[:10]]
        self.assertTrue(1 <= len(reported) < 200, len(reported))
        d = self.status()
        self.assertEqual((d['batch']['stats']['running'], d['batch']['stats']['queued']), (0, 0))
        self.assertGreater(d['batch']['stats']['reasons']['skipped'], 0)
        now = self.by_node(d)
        for x in reported:
            self.assertEqual(now[x['nodeName']], x)
        self.run_on('n001', 'true')

    def test_a_locked_database_is_waited_for(self):
        p = self.start('run', '-w', 'n[001-004]', '-f', '2', '--', WAIT)
        self.wait_running(2)
        other = sqlite3.connect(self.db_path, isolation_level=None)
        other.execute('BEGIN IMMEDIATE')
        self.write('go', '')
        try:
            p.wait(timeout=0.7)
            self.fail('it ended with nothing written')
        except subprocess.TimeoutExpired:
            pass
        other.execute('ROLLBACK')
        other.close()
        r = self.end(p)
        self.assertEqual(r.rc, 0, str(r))
        self.assertEqual(self.status()['batch']['stats']['success'], 4)


if __name__ == '__main__':
    main()
