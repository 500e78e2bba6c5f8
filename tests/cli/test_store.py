# SPDX-License-Identifier: Apache-2.0
"""When the database cannot be written in the middle of a run: what is said, what is stopped, what is
kept. The disk is `full` by a limit on the size of files, which is raised again from outside."""
import os
import resource
import signal
import sys
import unittest

from lib import Case, until

FULL = 400 * 1024


class Store(Case):
    def start_full(self, command, *flags):
        """A run that soon meets the limit."""
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, resource.RLIM_INFINITY))
        p = self.start('run', '-f', '1', '-w', 'n[001-003]', *flags, '--', command,
                       preexec_fn=limit)
        os.set_blocking(p.stderr.fileno(), False)
        self.said = b''
        until(lambda: self.hear(p) or b'Nothing more is started' in self.said,
              'the word that the database fails')
        return p

    def hear(self, p):
        self.said += p.stderr.read() or b''
        return False

    def rows(self):
        return self.sql('SELECT status, reason, count(*) FROM executions GROUP BY 1, 2')

    # The first node's output does not fit; one that is larger than what is held keeps it running.
    LARGE = 'head -c 600000 /dev/urandom | base64; echo end'

    def test_goes_on_when_there_is_room_again(self):
        p = self.start_full(self.LARGE)
        self.assertIn(b'failed', self.said)
        self.assertIsNone(p.poll(), 'it waits')
        resource.prlimit(p.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        out = p.stdout.read()
        p.wait(30)
        self.hear(p)
        self.assertEqual(p.returncode, 0, self.said)
        self.assertIn(b'going on', self.said)
        self.assertEqual(out.count(b': end\n'), 3)
        self.assertEqual(self.rows(), [('success', '', 3)] if self.rows()[0][1] == ''
                         else [('success', None, 3)])

    def test_cancel_stops_what_runs(self):
        p = self.start_full(self.LARGE + '; sleep 300')
        until(lambda: len(self.processes()) > 1, 'the command')
        p.send_signal(signal.SIGINT)
        until(lambda: self.hear(p) or b'being stopped' in self.said, 'the answer to Ctrl-C')
        until(lambda: self.processes() in ([], [p.pid]), 'the end of the command')
        p.stdout.read()
        p.wait(60)
        self.hear(p)
        self.assertEqual(p.returncode, 1, self.said)
        self.assertIn(b'stays undone', self.said)
        # The next one that can write settles what was left.
        self.ok('run', '-q', '-w', 'localhost', '--', 'true')
        self.assertEqual(self.sql("SELECT count(*) FROM executions WHERE status IN "
                                  "('queued', 'running')"), [(0,)])
        self.assertEqual(self.sql("SELECT count(*) FROM executions WHERE batch_number = 1 AND "
                                  "status = 'success'"), [(0,)])


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
