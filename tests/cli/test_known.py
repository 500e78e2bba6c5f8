# SPDX-License-Identifier: Apache-2.0
"""What is learned and written down: saved targets, notes, facts; and targets that are named by them."""
from lib import Case, main


class Known(Case):
    def test_saved(self):
        self.assertEqual(self.ok('nodes', '@web!n003', '--save', 'most', '-b').text, 'n[001-002,004-010]\n')
        self.ok('nodes', 'db1,db2', '--save', 'dbs')
        r = self.ok('nodes', '--saved')
        self.assertRegex(r.text, r'@saved:most .* @web!n003')
        rows = {x['name']: x['targets'] for x in self.ok('nodes', '--saved', '--json').json['saved']}
        self.assertEqual(rows, {'most': '@web!n003', 'dbs': 'db1,db2'})
        self.assertEqual(self.ok('nodes', '@saved:most&n00[1-4]').lines, ['n001', 'n002', 'n004'])
        r = self.run_on('@saved:dbs', 'echo $MUSTER_NODE')
        self.assertEqual(sorted(r.lines), ['db1: db1', 'db2: db2'])
        self.ok('nodes', '--forget', 'most')
        self.refused(self.muster('nodes', '--forget', 'most'), 6, 'most')
        self.refused(self.muster('nodes', '@saved:most'), 2, 'most')

    def test_saved_stands_alone(self):
        for args in (['--saved', '-b'], ['--saved', '@web'], ['--saved', '--sources'],
                     ['--forget', 'x', '--json'], ['--forget', 'x', '@web'],
                     ['--saved', '--forget', 'x'], ['--saved', '@web', '--save', 'x']):
            self.refused(self.muster('nodes', *args), 2, 'one of them')
        for args in (['--save', 'x'], ['-g', 'web', '--save', 'x'], ['@web', '-x', 'n001', '--save', 'x']):
            self.refused(self.muster('nodes', *args), 2, 'write it all as one')
        self.refused(self.muster('nodes', '@web', '--save', 'no word'), 2, 'no word')
        self.assertEqual(self.ok('nodes', '--saved', '--json').json['saved'], [])

    def test_notes(self):
        self.run_on('db1', 'true')
        self.ok('note', '1', 'the', 'first')
        self.ok('note', 'db1', 'disk is swapped\x1b[31m on monday')
        self.assertRegex(self.ok('status', '1').text, r'(?m)^note, .* ago, \w+: the first$')
        text = self.ok('node', 'db1').text
        self.assertIn('disk is swapped', text)
        self.assertNotIn('\x1b', text)
        notes = self.ok('node', 'db1', '--json').json['node']['notes']
        self.assertEqual([n['text'] for n in notes], ['disk is swapped\x1b[31m on monday'])
        self.assertEqual([n['text'] for n in self.status('1')['notes']], ['the first'])
        self.refused(self.muster('note', '99', 'x'), 6, '99')
        self.refused(self.muster('note', 'nobody', 'x'), 2, 'nobody')
        self.refused(self.muster('note', 'db1'), 2, 'muster note')

    def test_facts(self):
        self.assertIsNone(self.ok('node', 'db1', '--json').json['node']['facts'])
        self.ok('run', '-w', 'db1,n001', '--task', 'facts')
        facts = self.ok('node', 'db1', '--json').json['node']['facts']
        self.assertEqual(facts['batch'], 1)
        kernel = facts['values']['kernel']
        self.assertRegex(self.ok('node', 'db1').text,
                         r'facts, learned .* ago by #1\n(.*\n)*kernel +' + kernel)
        self.assertEqual(self.ok('nodes', '@both&kernel=' + kernel).lines, ['db1', 'n001'])
        self.assertEqual(self.ok('nodes', '@db&dc=fra').lines, ['db1'])
        self.refused(self.muster('nodes', '@both&kernel=none'), 2, 'no target',
                     'no node has kernel "none"', kernel)
        self.refused(self.muster('nodes', 'cpus>1'), 2, 'there is no operator >', 'NAME=VALUE')
        self.refused(self.muster('nodes', 'dc=frA2'), 2, 'did you mean fra? values: ams, fra')

    def test_results(self):
        self.run_on('n[001-004]', 'case $MUSTER_NODE in n002) exit 3;; n003) exit 4;; esac', rc=5)
        self.assertEqual(self.ok('nodes', '@last:failed').lines, ['n002', 'n003'])
        self.assertEqual(self.ok('nodes', '@1:rc=3').lines, ['n002'])
        self.refused(self.muster('nodes', '@1:bogusclass'), 2, 'class1, class2', 'rc=N')
        self.assertEqual(self.ok('nodes', '@1:success', '-b').text, 'n[001,004]\n')


if __name__ == '__main__':
    main()
