# SPDX-License-Identifier: Apache-2.0
"""Plans on the command line: steps as they run, as they are shown, and as they are run again."""
import csv
import io
import json
import os

from lib import Case, main

PLAN = '''
description: Three steps
parameters:
  targets: {type: TargetSpec}
  fail: {type: String, default: none}
steps:
  - description: say one
    command: echo one
    targets: $targets
  - description: maybe fail
    command: if [ "$fail" = "$MUSTER_NODE" ]; then echo bad >&2; exit 3; fi; printf 'two\\nno end'
    env_vars: {fail: $fail}
    targets: $targets
  - description: say three
    command: echo three
    targets: $targets
'''


class Plans(Case):
    def setUp(self):
        super().setUp()
        self.write('config/muster/plans/three.yaml', PLAN)

    def plan(self, *args, **more):
        return self.ok('run', '-w', 'n[001-003]', '--plan', 'three', *args, **more)

    def test_run(self):
        r = self.plan('fail=n002', rc=5)
        self.assertEqual(sorted(r.lines), ['n001: three', 'n003: three'])
        for line in ('n002: bad', 'muster: n002: step 2 (maybe fail): exit code 3', 'step 1 say one: 3 ok',
                     'step 2 maybe fail: 2 ok, 1 failed: n002', 'step 3 say three: 2 ok',
                     'exit code 3 (1): n002'):
            self.assertIn(line, r.err.splitlines(), str(r))
        self.assertEqual(self.ok('history', '--type', 'plan', '--json').json['total'], 1)
        self.assertRegex(self.ok('status').text, r'n002 +failed +exit +3 .* 2 maybe fail')
        self.ok('note', 'last', 'to be looked at')
        self.assertRegex(self.ok('status').text, 'note, .* to be looked at')

    def test_results(self):
        self.plan('fail=n002', rc=5)
        text = self.ok('results').text
        self.assertIn('== step 1: say one\n---------------\nn[001-003] (3)\n---------------\none\n', text)
        self.assertIn('== step 3: say three\n---------------\nn[001,003] (2)\n', text)
        self.assertEqual(self.ok('results', '--step', '1').text, 'n001: one\nn002: one\nn003: one\n')
        r = self.ok('results', '--step', '2', '-b')
        self.assertIn('n[001,003] (2)', r.text)
        self.assertIn('bad', r.err)
        self.assertIn('one', self.ok('results', '--node', 'n002').lines)
        self.refused(self.muster('results', '--step', '4'), 2, 'steps 1 to 3: 1 say one, 2 maybe fail')
        self.assertEqual(self.ok('results', '--step', 'Say one').text, 'n001: one\nn002: one\nn003: one\n')
        self.refused(self.muster('results', '--step', 'say on'), 2, 'did you mean say one?')
        self.refused(self.muster('results', '--node', 'n009'), 2, 'n009')

    def test_lines_as_they_arrive(self):
        r = self.plan('-L')
        for node in ('n001', 'n002', 'n003'):
            mine = [line for line in r.lines if line.startswith(node)]
            self.assertEqual(mine, [node + ': ' + word for word in ('one', 'two', 'no end', 'three')])
        r = self.ok('run', '-w', 'n001', '--plan', 'three', '-v')
        self.assertEqual(r.lines, ['== step 1: say one', 'n001: one', '== step 2: maybe fail', 'n001: two',
                                   'n001: no end', '== step 3: say three', 'n001: three'])
        self.assertIn('== step 2: maybe fail', self.plan('-v', '-b').text)

    def test_what_env_vars_sets_is_the_shells(self):
        self.write('config/muster/plans/env.yaml', 'parameters: {said: {type: String}}\nsteps:\n'
                   '  - command: printf "%s|" "$said"\n    env_vars: {said: $said}\n')
        r = self.ok('run', '-w', 'n001', '--plan', 'env', 'said=a  b; echo INJECTED')
        self.assertEqual(r.lines, ['n001: a  b; echo INJECTED|'])

    def test_targets_of_its_own(self):
        self.write('config/muster/plans/own.yaml', 'steps:\n  - command: id\n    targets: n001\n')
        self.refused(self.muster('run', '-w', 'n002', '--plan', 'own'), 2, 'names the targets of each step')
        self.assertIn('n001', self.ok('run', '--plan', 'own').text)

    def test_no_fault_tells_a_secret(self):
        self.write('config/muster/tasks/num.json', '{"parameters": {"n": {"type": "Integer"}}}')
        self.write('config/muster/tasks/num.sh', '#!/bin/sh\n')
        self.write('config/muster/plans/leak.yaml',
                   'parameters:\n  targets: {type: TargetSpec}\n'
                   '  pw: {type: String, sensitive: true}\nsteps:\n'
                   '  - {name: a, command: id -u, targets: $targets}\n'
                   '  - {task: num, targets: $targets, parameters: {n: $pw, x: "$a"}}\n'
                   '  - {task: num, targets: $targets, parameters: {n: $pw}}\n')
        p = self.write('p.json', '{"pw": "T0PSECRET"}')
        r = self.muster('run', '-w', 'n001', '--plan', 'leak', '--params', p)
        self.assertNotEqual(r.rc, 0)
        self.assertIn('expects an Integer', r.err)
        self.assertNotIn('T0PSECRET', r.err + r.text + self.muster('status').text)

    def test_what_can_be_told_is_told_before(self):
        self.write('config/muster/tasks/num.json', '{"parameters": {"n": {"type": "Integer"}, "m": {}}}')
        self.write('config/muster/tasks/num.sh', '#!/bin/sh\n')
        ran = self.path('ran')
        self.write('config/muster/plans/early.yaml',
                   'parameters: {targets: {type: TargetSpec}}\nsteps:\n'
                   f"  - {{name: a, command: 'echo >>{ran}', targets: $targets}}\n"
                   '  - {task: num, targets: $targets, parameters: {m: $a, bogus: $a, n: many}}\n')
        r = self.muster('run', '-w', 'n001', '--plan', 'early')
        self.assertEqual(r.rc, 2, str(r))
        self.assertIn('2 parameters are wrong', r.err)
        self.assertFalse(os.path.exists(ran))

    def test_a_long_result_is_no_half_one(self):
        self.write('config/muster/plans/long.yaml',
                   'parameters: {targets: {type: TargetSpec}}\nsteps:\n'
                   "  - {name: a, command: 'head -c 100000 /dev/zero | tr \\\\0 x', targets: $targets}\n"
                   '  - {command: "echo ${a[\'stdout\']}", targets: $targets}\n')
        r = self.muster('run', '-w', 'n001', '--plan', 'long')
        self.assertEqual(r.rc, 5, str(r))
        self.assertIn('it said more than 64 KiB', r.err)

    def test_another_plan_by_now(self):
        self.plan('fail=n002', rc=5)
        self.write('config/muster/plans/three.yaml', PLAN + '# more\n')
        r = self.muster('rerun', '--failed', 'fail=none')
        self.assertIn('plan three has changed since #1 ran it', r.err)

    def test_documents(self):
        d = self.plan('fail=n002', '--json', rc=5).json
        self.assertEqual([s['title'] for s in d['batch']['steps']], ['say one', 'maybe fail', 'say three'])
        steps = self.by_node(d)['n002']['steps']
        self.assertEqual([(s['step'], s['status'], s['exitCode']) for s in steps],
                         [(1, 'success', 0), (2, 'failed', 3)])
        rows = [json.loads(line) for line in self.plan('--format', 'jsonl').lines]
        self.assertEqual({len(x['steps']) for x in rows}, {3})
        rows = list(csv.reader(io.StringIO(self.plan('--format', 'csv').text)))
        self.assertEqual(rows[0][-1], 'Step')
        self.assertEqual([(r[0], r[7], r[-1]) for r in rows[1:5]],
                         [('n001', 'three\n', ''), ('n001', 'one\n', '1 say one'),
                          ('n001', 'two\nno end', '2 maybe fail'), ('n001', 'three\n', '3 say three')])
        self.assertEqual(len(rows), 13)

    def test_on_failure(self):
        r = self.plan('fail=n001', '--on-failure', 'stop', '-f', '1', rc=3)
        self.assertIn('skipped 2: n[002-003]', r.err)
        self.write('r.json', json.dumps({'targetNodeIds': ['n001', 'n002'], 'plan': 'three', 'fanout': 1,
                                         'parameters': {'fail': 'n001'}, 'onFailure': 'stop'}))
        self.assertIn('skipped 1: n002', self.ok('run', '--request', 'r.json', rc=3).err)

    def test_rerun(self):
        self.plan('fail=n002', rc=5)
        self.assertIn('begin at step 2: 1 node', self.ok('rerun', 'last', '--failed', '--dry-run').lines)
        r = self.ok('rerun', 'last', '--failed', 'fail=none', '-L')
        self.assertEqual(r.lines, ['n002: two', 'n002: no end', 'n002: three'])
        self.assertNotIn('step 1', r.err)
        r = self.ok('rerun', '1', '--failed', '--from-start', '-L', rc=5)
        self.assertEqual(r.lines, ['n002: one'])
        self.refused(self.muster('rerun', '1', '--failed', '--expand'), 2, '--expand goes with --all only')
        self.refused(self.muster('rerun', '1', '--all', '--', 'true'), 2, 'KEY=VALUE')

    def test_refused(self):
        self.write('bad.yaml', 'parameters: {targets: {type: TargetSpec}}\nsteps:\n'
                   '  - {command: echo, targets: $nope}\n  - {resources: [], targets: $targets}\n')
        r = self.muster('run', '-w', 'n001', '--plan', './bad.yaml')
        self.refused(r, 2, 'bad.yaml:3: $nope', 'bad.yaml:4:', '`resources`')
        self.refused(self.muster('plans', './bad.yaml'), 2, '$nope')
        self.write('key.yaml', 'steps:\n  - {commnd: echo, targets: n001}\n')
        self.refused(self.muster('plans', './key.yaml'), 2, 'key.yaml:2:', 'did you mean command?')
        self.refused(self.muster('run', '--plan', 'three'), 2, 'step 1 (say one): no target', '-w TARGETS')
        self.refused(self.muster('run', '-w', 'n001', '--plan', 'three', 'fial=x'), 2, 'fial', 'fail')
        self.refused(self.muster('run', '-w', 'n001', '--plan', 'tree'), 2, 'did you mean three')
        self.assertEqual(self.rows(), (0, 0))

    def test_what_run_refuses_is_shown(self):
        self.config('deny: ["rm -rf"]\n')
        self.write('config/muster/tasks/num.json', '{"parameters": {"n": {"type": "Integer"}, "m": {}}}')
        self.write('config/muster/tasks/num.sh', '#!/bin/sh\n')
        self.write('bad.yaml', 'parameters:\n  targets: {type: TargetSpec}\n  x: {type: String}\n'
                   '  pw: {type: String, sensitive: true}\nsteps:\n'
                   '  - {task: nosuch, targets: $targets}\n'
                   '  - {script: nosuch.sh, targets: $targets}\n'
                   '  - {task: num, targets: $targets, parameters: {n: many, m: $x, bogus: $x}}\n'
                   '  - {command: echo $pw, targets: $targets}\n'
                   '  - {upload: ./none, destination: /tmp/x, targets: $targets}\n'
                   '  - {command: rm -rf /x, targets: $targets}\n'
                   '  - {task: num, targets: $targets, parameters: {n: 1, m: $x}}\n'
                   '  - {script: $x, targets: $targets}\n')
        r = self.muster('plans', './bad.yaml')
        self.refused(r, 2, '(and 5 more)', 'step 1 ', 'there is no task nosuch', 'step 2 ', 'nosuch.sh',
                     'step 3 ', '2 parameters are wrong', 'step 4 ', 'sensitive', 'step 5 ', 'step 6 ',
                     'denies')
        self.assertIn('Steps:', r.text)
        self.assertNotIn('step 7 ', r.err)
        r = self.muster('plans', './bad.yaml', '--json')
        self.assertEqual((r.rc, len(r.json['faults'])), (2, 6), str(r))
        self.assertEqual(self.ok('plans', 'three', '--json').json['faults'], [])

    def test_a_task_without_its_files(self):
        self.write('config/muster/tasks/lame.json', '{"files": ["mod/files/none.sh"]}')
        self.write('config/muster/tasks/lame.sh', '#!/bin/sh\n')
        self.write('config/muster/tasks/part.json', '{"implementations": [{"name": "lame.sh", '
                   '"requirements": ["shell"], "files": ["mod/lib/gone.sh"]}]}')
        self.write('config/muster/tasks/gone.json', '{"implementations": [{"name": "gone.py"}]}')
        self.write('config/muster/tasks/none.json', '{}')
        self.write('lame.yaml', 'parameters: {targets: {type: TargetSpec}}\nsteps:\n'
                   '  - {task: lame, targets: $targets}\n  - {task: gone, targets: $targets}\n'
                   '  - {task: none, targets: $targets}\n  - {task: part, targets: $targets}\n')
        words = ('step 1 ', 'mod/files/none.sh is in no folder of modules', 'step 2 ',
                 'gone.py cannot be read', 'step 3 ', 'there is no script beside its metadata')
        last = ('step 4 ', 'mod/lib/gone.sh is in no folder of modules')
        self.refused(self.muster('plans', './lame.yaml'), 2, *words, *last)
        for flags in ([], ['--dry-run']):
            self.refused(self.muster('run', '-w', 'n001', '--plan', './lame.yaml', *flags), 2, *words)
        self.assertEqual(self.rows(), (0, 0))
        # One of an implementation that no plain node takes is missed by nobody.
        self.write('config/muster/tasks/win.json', '{"implementations": [{"name": "lame.sh", '
                   '"requirements": ["powershell"], "files": ["mod/lib/gone.sh"]}, {"name": "none.sh"}]}')
        self.write('config/muster/tasks/none.sh', '#!/bin/sh\n')
        self.write('win.yaml', 'steps:\n  - {task: win, targets: n001}\n')
        self.ok('plans', './win.yaml')
        self.ok('run', '--plan', './win.yaml')
        # That one counts for the nodes that take this implementation.
        self.write('part.yaml', 'steps:\n  - {task: part, targets: n001}\n')
        self.refused(self.muster('plans', './part.yaml'), 2, 'step 1 ', last[1])
        self.refused(self.muster('run', '--plan', './part.yaml'), 2, last[1])

    def test_options_of_the_wrong_type(self):
        step = 'steps:\n  - {task: facts, targets: n001, parameters: {%s}}\n'
        for given, word in (('_run_as: 5', '_run_as has to be a text'), ('_run_as: yes', '_run_as has to be'),
                            ('_run_as: [a]', '_run_as has to be'), ('_run_as: $x', '_run_as has to be'),
                            ('_catch_errors: maybe', '_catch_errors has to be true or false'),
                            ('_catch_errors: 1', '_catch_errors has to be'), ('_noop: 5', '_noop: runs'),
                            ('_other: 5', '_other is not known here')):
            self.write('bad.yaml', step % given)
            self.refused(self.muster('plans', './bad.yaml'), 2, 'bad.yaml:2: ' + word)
        self.write('bad.yaml', 'steps:\n  - {command: id, targets: n001, run_as: 5}\n')
        self.refused(self.muster('plans', './bad.yaml'), 2, 'bad.yaml:2: run_as has to be a text')
        self.write('good.yaml', step % '_run_as: "5", _catch_errors: true')
        self.assertTrue(self.ok('plans', './good.yaml', '--json').json['steps'][0]['catchErrors'])
        # As a whole object, too, whether there is metadata or not.
        self.write('config/muster/tasks/bare.sh', '#!/bin/sh\n')
        self.write('ref.yaml', 'parameters: {targets: {type: TargetSpec}, all: {type: Hash}}\nsteps:\n'
                   '  - {task: bare, targets: $targets, parameters: $all}\n')
        self.refused(self.muster('run', '-w', 'n001', '--plan', './ref.yaml', 'all={"_run_as": 5}'), 2,
                     '_run_as: is a setting of the run')

    def test_rules_see_results(self):
        plan = ('parameters: {targets: {type: TargetSpec}}\nsteps:\n'
                '  - {name: say, command: printf /precious, targets: $targets}\n'
                '  - {name: wipe, command: "true -rf ${say[\'stdout\']}", targets: $targets}\n')
        self.write('wipe.yaml', plan)
        for rules, said in (('deny: ["-rf /precious"]\n', 'deny: -rf /precious'),
                            ("deny: [\"-rf '/precious'\"]\n", 'denies what this is with the results'),
                            ('confirm: ["-rf /precious"]\n', 'nobody can be asked any more')):
            self.config(rules)
            r = self.ok('run', '-w', 'n001', '--plan', './wipe.yaml', '-y', rc=5)
            self.assertIn('step 2 (wipe)', r.err)
            self.assertIn(said, r.err)
        # One that was asked about before goes on.
        self.config('confirm: ["true -rf"]\n')
        self.ok('run', '-w', 'n001', '--plan', './wipe.yaml', '-y')

    def test_rules_see_arguments(self):
        self.write('wipe.sh', '#!/bin/sh\necho wiped >>wiped\n')
        plan = ('parameters: {targets: {type: TargetSpec}}\nsteps:\n'
                '  - {name: say, command: printf /precious, targets: $targets}\n'
                '  - {name: wipe, script: ./wipe.sh, arguments: [-f, %s], targets: $targets}\n')
        self.config('deny: ["wipe.sh.* /precious"]\n')
        self.write('plain.yaml', plan % '/precious')
        r = self.muster('run', '-w', 'n001', '--plan', './plain.yaml', '-y')
        self.refused(r, 2, 'step 2 (wipe)', 'deny: wipe.sh')
        self.assertEqual(self.rows(), (0, 0))
        self.write('result.yaml', plan % "\"$say['stdout']\"")
        r = self.ok('run', '-w', 'n001', '--plan', './result.yaml', '-y', rc=5)
        self.assertIn('step 2 (wipe): a rule', r.err)
        self.assertFalse(os.path.exists(self.path('wiped')))
        self.config('confirm: ["wipe.sh.* /precious"]\n')
        self.refused(self.muster('run', '-w', 'n001', '--plan', './plain.yaml'), 2, 'confirm with -y')

    def test_targets_are_named_once(self):
        r = self.muster('run', '-w', 'n001', '--plan', 'three', 'targets=n002')
        self.refused(r, 2, 'given twice', 'leave out targets=')
        self.assertEqual(self.rows(), (0, 0))
        self.assertEqual(self.ok('run', '--plan', 'three', 'targets=n002').lines, ['n002: three'])

    def test_older_nodes(self):
        self.write('config/muster/plans/old.yaml', 'parameters: {nodes: {type: TargetSpec}}\nsteps:\n'
                   '  - {command: "echo on $nodes", targets: $nodes}\n')
        self.assertEqual(self.ok('run', '-w', 'n001', '--plan', 'old').lines, ['n001: on n001'])
        self.assertEqual(self.ok('run', '--plan', 'old', 'nodes=n002').lines, ['n002: on n002'])
        self.refused(self.muster('run', '-w', 'n001', '--plan', 'old', 'nodes=n002'), 2, 'given twice',
                     'leave out nodes=')
        self.refused(self.muster('run', '--plan', 'old'), 2, 'no target', '-w TARGETS')
        self.assertEqual(self.ok('rerun', '1', '--all').lines, ['n001: on n001'])

    def test_a_sensitive_type(self):
        self.write('config/muster/tasks/sec.json',
                   '{"parameters": {"p": {"type": "Optional[Sensitive[String]]"}}}')
        self.write('config/muster/tasks/sec.sh', '#!/bin/sh\n')
        self.refused(self.muster('run', '-w', 'n001', '--task', 'sec', 'p=x'), 2, 'p', '--ask-param')

    def test_narrower_targets(self):
        self.write('narrow.yaml', 'parameters: {targets: {type: TargetSpec}}\nsteps:\n'
                   '  - {name: one, command: echo 1, targets: n001}\n'
                   "  - {message: \"said ${one['stdout']}\"}\n"
                   '  - {name: two, eval: $one}\n'
                   "  - {command: \"echo ${one['stdout']}\", targets: $targets}\n"
                   '  - {command: echo 5, targets: $targets}\n')
        r = self.muster('run', '-w', 'n[001-003]', '--plan', './narrow.yaml')
        self.refused(r, 2, '(and 2 more)', '$one is the result of step 1 (one)',
                     'does not run on 2 of the nodes here: n[002-003]', 'step 3 (two)', 'step 4 ')
        self.assertEqual(self.rows(), (0, 0))
        self.ok('run', '-w', 'n001', '--plan', './narrow.yaml')
        self.write('ret.yaml', 'parameters: {targets: {type: TargetSpec}}\nsteps:\n'
                   '  - {name: one, command: echo 1, targets: n001}\n'
                   '  - {command: echo 5, targets: $targets}\nreturn: $one\n')
        self.refused(self.muster('run', '-w', 'n[001-002]', '--plan', './ret.yaml'), 2, 'return: $one')

    def test_values_have_a_limit(self):
        steps = ['  - {name: v0, eval: "%s"}\n' % ('x' * 30000)]
        steps += ['  - {name: v%d, eval: [%s]}\n' % (i, ', '.join(['$v%d' % (i - 1)] * 12)) for i in (1, 2)]
        self.write('bomb.yaml', 'parameters: {targets: {type: TargetSpec}}\nsteps:\n' + ''.join(steps) +
                   '  - {command: echo 1, targets: $targets}\nreturn: $v2\n')
        r = self.ok('run', '-w', 'n001', '--plan', './bomb.yaml', rc=5)
        self.assertIn('step 2 (v1): its value is larger than 64 KiB', r.err)
        self.write('wide.yaml', 'parameters: {targets: {type: TargetSpec}}\nsteps:\n' + steps[0] +
                   '  - {eval: [%s]}\n  - {command: echo 1, targets: $targets}\n' % ', '.join(['$v0'] * 200))
        r = self.ok('run', '-w', 'n001', '--plan', './wide.yaml', rc=5)
        self.assertIn('larger than 4 MiB', r.err)

    def test_in_the_puppet_language(self):
        self.write('config/muster/plans/foo.pp', 'plan foo() { }\n')
        self.write('config/muster/plans/both.pp', 'plan both() { }\n')
        self.write('config/muster/plans/both.yaml', 'steps:\n  - {command: echo both, targets: n001}\n')
        word = 'a plan in the Puppet language: muster runs YAML plans only'
        self.assertRegex(self.ok('plans').text, r'(?m)^foo +cannot be used: foo is ' + word)
        self.refused(self.muster('plans', 'foo'), 2, word)
        self.refused(self.muster('run', '-w', 'n001', '--plan', 'foo'), 2, word)
        self.assertEqual(self.ok('run', '--plan', 'both').lines, ['n001: both'])

    def test_private(self):
        self.write('config/muster/plans/inner.yaml',
                   'private: true\nsteps:\n  - {command: echo hidden, targets: n001}\n')
        self.assertNotRegex(self.ok('plans').text, r'(?m)^inner')
        self.assertIn('inner', self.ok('plans', 'inner').text)
        self.assertEqual(self.ok('run', '--plan', 'inner').lines, ['n001: hidden'])

    def test_quiet(self):
        self.assertEqual(self.plan('-q').err, '')
        self.assertNotIn('step 1', self.plan('-q', 'fail=n002', rc=5).err)

    def test_a_script_that_is_stopped(self):
        self.write('slow.sh', '#!/bin/sh\nsleep 100\necho b\n')
        self.write('slow.yaml', 'steps:\n  - {script: ./slow.sh, targets: n001}\n')
        p = self.start('run', '--plan', './slow.yaml')
        self.wait_running()
        self.ok('cancel')
        r = self.end(p)
        self.assertIn('Cancelled by user', r.err)
        self.assertNotIn('Terminated', r.err)

    def test_shown(self):
        self.assertRegex(self.ok('plans').text, r'(?m)^three +Three steps$')
        text = self.ok('plans', 'three').text
        self.assertIn('2  command   maybe fail', text)
        self.assertIn('                if [ "$fail" = "$MUSTER_NODE" ]; then', text)
        self.assertIn('default "none"', text)
        self.assertEqual([s['title'] for s in self.ok('plans', 'three', '--json').json['steps']],
                         ['say one', 'maybe fail', 'say three'])
        r = self.plan('fail=x', '--dry-run')
        for line in ('plan: three', 'parameters: fail=x', 'step 1: command: say one', '    echo one',
                     'step 2: command: maybe fail',
                     'when a node fails: continue'):
            self.assertIn(line, r.lines)
        d = self.plan('--on-failure', 'stop', '--dry-run', '--json').json
        self.assertEqual((d['type'], len(d['steps']), d['onFailure']), ('plan', 3, 'stop'))
        self.assertEqual(self.rows(), (0, 0))


if __name__ == '__main__':
    main()
