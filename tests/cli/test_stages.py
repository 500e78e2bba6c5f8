# SPDX-License-Identifier: Apache-2.0
"""Runs in stages: waves, a budget of failures, the question after a canary, probes; pause and resume."""
import os
import signal

from lib import Case, Terminal, main, until


class Stages(Case):
    def ran(self):
        return sorted(n[4:] for n in os.listdir(self.dir) if n.startswith('ran.'))

    def run_staged(self, targets, command, *flags, **more):
        return self.run_on(targets, ': >"$MUSTER_TEST/ran.$MUSTER_NODE"; ' + command, *flags, **more)

    def test_all_faults_at_once(self):
        r = self.muster('run', '-w', 'n[001-009]', '--waves', '1,x', '--max-fail', 'many', '--canary-ok', '5',
                        '--serial-by', 'rack', '--', 'true')
        self.assertEqual(r.rc, 2)
        for word in ('--waves 1,x', '--max-fail many', '--canary-ok', '--serial-by rack'):
            self.assertIn(word, r.err)
        self.assertIn('--pause', self.muster('run', '-w', 'n001', '--pause', '3', '--', 'true').err)
        # One that cannot be read hides no other, of the stages or not.
        r = self.muster('run', '-w', 'n[001-009]', '--pause', 'soon', '--waves', '1,x', '--canary', 'few',
                        '--canary-ok', '50', '--serial-by', 'rack', '--', 'true')
        for word in ('--pause soon: a time', '--waves 1,x', '--canary few: a whole number',
                     '--serial-by rack: there is no'):
            self.assertIn(word, r.err)
        self.assertEqual((r.rc, r.err.count('there is no canary')), (2, 0), str(r))
        r = self.muster('run', '-w', 'n001', '--pause', 'soon', '-f', 'x', '--retries', 'y', '--nosuch',
                        '--', 'true')
        for word in ('--pause soon', '-f x', '--retries y', 'unknown option --nosuch'):
            self.assertIn(word, r.err)
        self.assertEqual(r.rc, 2)
        self.write('r.json', '{"action": "true", "targetNodeIds": ["n001"], "pause": "soon", '
                   '"waves": "x"}')
        r = self.muster('run', '--request', 'r.json')
        self.refused(r, 2, '"pause" soon: a time', '--waves x')
        r = self.muster('push', '-w', 'n001', '--pause', 'soon', '--max-fail', 'x', 'r.json', '/tmp/')
        self.refused(r, 2, '--pause soon', '--max-fail x')
        self.assertFalse(os.path.exists(self.db_path))

    def test_max_fail(self):
        r = self.run_staged('n[001-100]', 'case $MUSTER_NODE in *[05]) exit 4;; esac', '--waves', '3,10%',
                            '--max-fail', '2', '-f', '1', rc=3)
        self.assertIn('batch #1 stops: 3 failures exceed --max-fail 2\n', r.err)
        self.assertIn('exit code 4 (3): n[005,010,015]', r.err)
        self.assertIn('skipped 85: n[016-100]', r.err)
        self.assertEqual(len(self.ran()), 15)
        d = self.ok('status', '--json').json
        self.assertEqual(d['batch']['status'], 'partial')
        self.assertEqual(d['executions'][99]['error'], 'skipped: 3 failures exceed --max-fail 2')
        self.assertEqual(d['batch']['parameters']['stages'], {'waves': '3,10%', 'maxFail': '2'})
        # The rest, with the same stages, and then without.
        r = self.ok('rerun', '--skipped', '-f', '1', rc=3)
        self.assertIn('3 failures exceed', r.err)
        self.assertEqual(len(self.ran()), 30)
        r = self.ok('rerun', '--skipped', '--max-fail', '100%', '--waves', '100%', rc=5)
        self.assertEqual(len(self.ran()), 100)
        r = self.run_staged('n[001-003]', 'exit 4', '--max-fail', '0', '-f', '1', '--format', 'jsonl', rc=3)
        self.assertEqual(len(r.lines), 3)
        self.assertIn('1 failure exceeds --max-fail 0', r.err)

    def test_canary_without_a_terminal(self):
        for flags in ([], ['--detach'], ['--detach', '--json']):
            r = self.muster('run', '-w', 'n[001-009]', '--canary', '2', *flags, '--', 'true')
            self.assertEqual(r.rc, 2, str(r))
            self.assertIn('--canary-ok', r.err + r.text)
        self.assertFalse(os.path.exists(self.db_path))
        self.run_staged('n[001-009]', '[ $MUSTER_NODE != n001 ]', '--canary', '2', '--canary-ok', '50', rc=5)
        self.assertEqual(len(self.ran()), 9)
        r = self.run_on('n[001-009]', '[ $MUSTER_NODE != n001 ]', '--canary', '2', '-y', rc=3)
        self.assertIn('1 of 2 canaries succeeded, less than --canary-ok 100', r.err)
        self.assertIn('skipped 7: n[003-009]', r.err)
        # As many as there are, or more: nothing is left to ask about.
        self.run_on('n[001-003]', 'true', '--canary', '3')
        d = self.ok('run', '-w', 'n[001-004]', '--canary', '1', '--canary-ok', '100', '--detach', '--json',
                    '--', 'true').json
        self.ok('watch', str(d['number']))

    def test_canary_yes_and_no(self):
        t = Terminal(self, 'run', '-w', 'n[001-009]', '--canary', '3', '--',
                     'echo seen; [ $MUSTER_NODE != n002 ]')
        t.expect(b'Go on with the other 6 nodes? [y/N] ')
        self.assertIn(b'the canary has ended: 2 of 3 succeeded', t.seen)
        self.assertIn(b'2 n[001,003]: ok: seen', t.seen)
        self.assertIn(b'1 n002: exit code 1: seen', t.seen)
        self.assertNotIn(b'n004: seen', t.seen)
        t.type(b'y\n')
        self.assertEqual(t.end(), 5)
        self.assertIn(b'n009: seen', t.seen)
        for answer in (b'\n', b'no\n', b'\x04'):
            t = Terminal(self, 'run', '-w', 'n[001-009]', '--canary', '3', '--', 'true')
            t.expect(b'[y/N] ')
            t.type(answer)
            self.assertEqual(t.end(), 3)
            self.assertIn(b'skipped 6: n[004-009]', t.seen)

    def test_canary_left_alone(self):
        """Ctrl-C cancels; without its terminal nobody answers, and the rest is skipped."""
        t = Terminal(self, 'run', '-w', 'n[001-009]', '--canary', '3', '--', 'true')
        t.expect(b'[y/N] ')
        t.type(b'\x03')
        self.assertEqual(t.end(), 130)
        self.assertIn(b'cancelled 6: n[004-009]', t.seen)
        t = Terminal(self, 'run', '-w', 'n[001-009]', '--canary', '3', '--', 'true')
        t.expect(b'[y/N] ')
        os.kill(t.pid, signal.SIGHUP)
        until(lambda: self.ok('status', '--json').json['batch']['status'] == 'partial')
        d = self.ok('status', '--json').json
        self.assertEqual(sum(x['reason'] == 'skipped' for x in d['executions']), 6)
        t.end()

    def test_probe(self):
        r = self.run_staged('n[001-009]', 'true', '--waves', '2,4', '--probe',
                            'echo "$MUSTER_BATCH $MUSTER_WAVE $MUSTER_NODES $MUSTER_FAILED" >>probes; '
                            'if [ $MUSTER_WAVE = 2 ]; then echo enough >&2; exit 6; fi', rc=3)
        self.assertIn('stops: the probe after wave 2 ended with 6 (enough)', r.err)
        self.assertEqual(self.read('probes'), b'1 1 n[001-002] 0\n1 2 n[003-004] 0\n')
        self.assertEqual(len(self.ran()), 4)
        self.assertIn('skipped 5: n[005-009]', r.err)

    def test_pause_from_elsewhere(self):
        self.ok('run', '-w', 'n[001-006]', '-f', '2', '--detach', '-v', '--',
                'while [ ! -e "$MUSTER_TEST/gate" ]; do sleep 0.02; done')
        until(lambda: self.ok('status', '--json').json['batch']['stats']['running'] == 2)
        self.assertEqual(self.ok('pause').text, 'batch #1: paused, 4 waiting; what runs goes on\n')
        d = self.ok('pause', '--json').json
        self.assertTrue(d['paused'])
        self.assertIn('paused, 4 waiting (muster resume 1)', self.ok('status').text)
        # The owner has seen it once nothing new starts while the first two end.
        until(lambda: 'asked to pause' in self.read('state/muster/muster.log').decode(), 'the request')
        self.write('gate', '')
        until(lambda: self.ok('status', '--json').json['batch']['stats']['success'] == 2)
        d = self.ok('status', '--json').json['batch']
        self.assertTrue(d['paused'])
        self.assertEqual((d['stats']['running'], d['stats']['queued']), (0, 4))
        self.assertEqual(self.ok('resume').text, 'batch #1: resumed, 4 waiting\n')
        self.ok('watch', '-q')
        d = self.ok('status', '--json').json['batch']
        self.assertEqual((d['status'], d['paused']), ('success', False))
        self.assertEqual(self.ok('resume').text, 'batch #1 has ended already: nothing was changed\n')
        self.assertEqual(self.muster('pause', '99').rc, 6)
        self.assertEqual(self.muster('pause', '--read-only').rc, 2)


if __name__ == '__main__':
    main()
