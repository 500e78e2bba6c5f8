# SPDX-License-Identifier: Apache-2.0
"""Inventories that programs give: refreshed behind the back of whoever asks, and what of them fails."""
import json
import os

from lib import Case, main, until


class Inventories(Case):
    def source(self, *args):
        return json.loads(self.ok('nodes', '--json', *args).out)['sources'][0]

    def runs(self):
        path = self.path('runs')
        return len(self.read('runs').split()) if os.path.exists(path) else 0

    def test_refreshed_in_the_background(self):
        self.config('inventory_ttl: 1\n')
        spec = 'command:echo x >> %s; echo h$(wc -l < %s)' % (self.path('runs'), self.path('runs'))
        self.assertEqual(self.ok('nodes', '-a', '-i', spec).lines, ['h1'])
        self.assertEqual(self.ok('nodes', '-a', '-i', spec).lines, ['h1'])
        # Whoever comes later is answered at once by the copy, and starts its refresh.
        until(lambda: self.ok('nodes', '-a', '-i', spec).lines != ['h1'], 'the refreshed copy')
        self.assertGreater(self.runs(), 1)

    def test_stale(self):
        spec = 'command:test ! -e %s && echo h1' % self.path('down')
        self.assertEqual(self.source('-i', spec)['state'], 'ok')
        self.write('down', '')
        s = self.source('--refresh', '-i', spec)
        self.assertEqual((s['state'], s['nodes']), ('stale', 1))
        self.assertIn('exit code 1', s['error'])
        self.assertRegex(self.ok('nodes', '--sources', '--refresh', '-i', spec).text,
                         r'(?m)^command +stale +\S+ +1 +0 +the copy of \S+ ago serves: ')
        r = self.ok('nodes', '-a', '-i', spec)
        self.assertRegex(r.err, r'is stale: the copy of \S+ ago serves: .*exit code 1')
        r = self.ok('run', '-i', spec, '-w', 'h1', '--transport', 'local', '--', 'true')
        self.assertRegex(r.err, r'is stale: the copy of \S+ ago serves: .*exit code 1')
        # without a copy there is nothing to serve
        r = self.muster('nodes', '-i', spec + ' ')
        self.refused(r, 2, 'exit code 1')

    def test_who_waits_shares_a_failure(self):
        """A program that hangs is not run by one after the other."""
        spec = ('command:echo x >> %s; [ ! -e %s ] || { until [ -e %s ]; do sleep 0.02; done; exit 3; }; '
                'echo h1' % (self.path('runs'), self.path('down'), self.path('go')))
        self.ok('nodes', '-a', '-i', spec)
        self.write('down', '')
        all_of_them = [self.start('nodes', '-a', '--refresh', '-i', spec) for _ in range(4)]

        def waits(p):
            fds = '/proc/%d/fd/' % p.pid
            return any(os.readlink(fds + fd).endswith('.lock') for fd in os.listdir(fds)
                       if os.path.lexists(fds + fd))
        until(lambda: all(waits(p) for p in all_of_them), 'all to wait for the lock')
        self.write('go', '')
        for p in all_of_them:
            r = self.end(p)
            self.assertEqual((r.rc, r.lines), (0, ['h1']), str(r))
            self.assertIn('ended with exit code 3', r.err)
        self.assertEqual(self.runs(), 2)

    def test_unknown_transport_fails_by_its_name(self):
        script = self.write('inv', '#!/bin/sh\necho \'{"g": {"hosts": ["w"], "vars": '
                                   '{"ansible_connection": "winrm"}}}\'\n')
        os.chmod(script, 0o755)
        r = self.muster('run', '-i', script, '-w', '@g', '--', 'true')
        self.assertEqual(r.rc, 4, str(r))
        self.assertIn('there is no transport "winrm"', r.err)
        self.assertIn('unsupported 1', r.text + r.err)

    def test_bolt(self):
        self.write('bolt.yaml', 'version: 2\ntargets: [{name: here, alias: me, uri: "local://"}]\n')
        r = self.ok('run', '-i', self.path('bolt.yaml'), '-w', 'me', '--', 'echo $MUSTER_NODE')
        self.assertIn('here', r.text)


if __name__ == '__main__':
    main()
