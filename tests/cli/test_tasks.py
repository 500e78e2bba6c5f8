# SPDX-License-Identifier: Apache-2.0
"""Tasks on the command line: what they are given, what is refused, what is asked for and never kept."""
import glob
import json
import os

from lib import Case, Terminal, main

SECRET = 'hush-4711-hush'

GREET = '''#!/bin/sh
echo "hello $PT_name $PT_count"
[ -n "$PT_key" ] && echo "key of ${#PT_key}"
exit "${PT_code:-0}"
'''
GREET_JSON = {'description': 'Greets', 'input_method': 'environment', 'parameters': {
    'name': {'type': 'String[1]', 'description': 'whom'},
    'count': {'type': 'Integer[1,5]', 'default': 2},
    'code': {'type': 'Optional[Integer]'},
    'key': {'type': 'Optional[String]', 'sensitive': True}}}


class Tasks(Case):
    def setUp(self):
        super().setUp()
        self.task('greet', GREET, GREET_JSON)
        self.task('locked', '#!/bin/sh\ntr "\\0" " " </proc/$PPID/cmdline; cat >/dev/null\n'
                  'echo "${#PT_key}"\n',
                  {'parameters': {'key': {'type': 'String[1]', 'sensitive': True}}})
        self.task('bare', '#!/bin/sh\necho "x=$PT_x"\n')

    def task(self, name, script, metadata=None):
        self.write('config/muster/tasks/%s.sh' % name, script)
        if metadata is not None:
            self.write('config/muster/tasks/%s.json' % name,
                       metadata if isinstance(metadata, str) else json.dumps(metadata))

    def kept(self):
        """Every byte that is left of the runs: database, log."""
        found = b''
        for path in glob.glob(self.path('state', 'muster', '*')):
            if os.path.isfile(path):
                with open(path, 'rb') as f:
                    found += f.read()
        return found

    def test_run(self):
        r = self.ok('run', '-w', '@db', '--task', 'greet', 'name=Ann Lee', 'count=3')
        self.assertEqual(sorted(r.lines), ['db1: hello Ann Lee 3', 'db2: hello Ann Lee 3'])
        doc = self.status()
        self.assertEqual(doc['batch']['type'], 'task')
        self.assertEqual(doc['batch']['parameters']['work']['params'], {'name': 'Ann Lee', 'count': 3})
        r = self.ok('run', '-w', 'db1', '--task', 'greet', 'name=x', 'code=7', '-b', rc=5)
        self.assertIn('db1 (1) exit 7', r.text)
        r = self.ok('run', '-w', 'db1', '--task', 'bare', 'x=a=b')
        self.assertEqual(r.text, 'db1: x=a=b\n')
        path = self.write('own.sh', '#!/bin/sh\necho own $PT_x\n')
        self.assertEqual(self.ok('run', '-w', 'db1', '--task', path, 'x=1', '-L').text, 'db1: own 1\n')

    def test_parameters_from_a_file(self):
        self.write('p.json', json.dumps({'name': 'file', 'count': 1, 'key': SECRET}))
        r = self.ok('run', '-w', 'db1', '--task', 'greet', '--params', 'p.json', 'count=4')
        self.assertEqual(r.lines, ['db1: hello file 4', 'db1: key of %d' % len(SECRET)])
        r = self.ok('run', '-w', 'db1', '--task', 'greet', '--params', '-', input=b'{"name": "pipe"}')
        self.assertEqual(r.text, 'db1: hello pipe 2\n')
        for text, word in (('[]', 'JSON object'), ('{', 'line 1'), ('{"nme": 1}', 'nme')):
            self.write('p.json', text)
            self.refused(self.muster('run', '-w', 'db1', '--task', 'greet', 'name=x', '--params',
                                     'p.json'), 2, word)
        self.refused(self.muster('run', '-w', 'db1', '--task', 'greet', '--params', 'none.json'), 2,
                     'none.json')
        self.refused(self.muster('run', '-w', '-', '--task', 'bare', '--params', '-', input=b'{}'), 2,
                     'standard input')

    def test_null_is_as_in_bolt(self):
        """JSON in the environment too; a default takes the place of nothing."""
        self.task('both', '#!/bin/sh\necho "$PT_x $PT_y"; cat\n',
                  {'parameters': {'x': {'type': 'Optional[String]'},
                                  'y': {'type': 'Optional[Integer]', 'default': 3}}})
        self.write('p.json', '{"x": null, "y": null}')
        r = self.ok('run', '-w', 'db1', '--task', 'both', '--params', 'p.json')
        self.assertEqual(r.lines[0], 'db1: null 3')
        self.assertIn('"x":null', r.text.replace(' ', ''))
        r = self.ok('run', '-w', 'db1', '--task', 'bare', '--params', '-', input=b'{"x": null}')
        self.assertEqual(r.text, 'db1: x=null\n')

    def test_names_that_are_reserved(self):
        for value in ('5', '"root"', 'null', '{}'):
            for task in ('bare', 'greet'):
                self.write('p.json', '{"_run_as": %s, "_x": [1]}' % value)
                self.refused(self.muster('run', '-w', 'db1', '--task', task, '--params', 'p.json'), 2,
                             '_run_as: is a setting of the run', '_x: is a setting of the run')

    def test_files_that_are_not_there(self):
        self.task('lame', '#!/bin/sh\n', {'files': ['mod/files/none.sh', 'mod/lib/']})
        self.task('gone', '#!/bin/sh\n', {'implementations': [{'name': 'gone.py', 'requirements': []}]})
        text = self.ok('tasks').text
        self.assertRegex(text, r'(?m)^lame +cannot be used: .*mod/files/none.sh is in no folder of modules')
        self.assertRegex(text, r'(?m)^gone +cannot be used: .*gone.py cannot be read')
        for flags in ([], ['--dry-run']):
            self.refused(self.muster('run', '-w', 'db1', '--task', 'lame', *flags), 2, 'mod/files/none.sh')
            self.refused(self.muster('run', '-w', 'db1', '--task', 'gone', *flags), 2, 'gone.py')
        self.assertEqual(self.rows(), (0, 0))

    def test_folders(self):
        self.write('a/tasks/of_a.sh', '#!/bin/sh\necho a\n')
        self.write('b/tasks/of_b.sh', '#!/bin/sh\necho b\n')
        text = self.ok('tasks', '--task-path', 'a:b').text
        self.assertRegex(text, r'(?m)^of_a')
        self.assertRegex(text, r'(?m)^of_b')
        self.refused(self.muster('tasks', '--task-path', 'a:none'), 2, '--task-path none: No such file')
        self.refused(self.muster('tasks', '--task-path', ':'), 2, 'names no folder')

    def test_unknown_keys_are_told(self):
        self.task('odd', '#!/bin/sh\n', {'colour': 1, 'parameters': {}})
        r = self.ok('tasks', 'odd')
        self.assertRegex(r.text, r'(?m)^not known +colour$')
        self.assertEqual(r.err, '')
        self.assertNotIn('not known', self.ok('tasks', 'greet').text)

    def test_all_faults_at_once(self):
        words = ['name=', 'count=9', 'nme=1', 'alone', 'key=' + SECRET]
        r = self.muster('run', '-w', 'db1', '--task', 'greet', *words, '--json')
        self.refused(r, 2, code='VALIDATION_ERROR')
        details = '\n'.join(r.json['error']['details'])
        for word in ('name: expects', 'count: expects an Integer from 1 to 5', 'nme: there is no such',
                     'alone: is no parameter', 'key: is sensitive'):
            self.assertIn(word, details)
        self.assertNotIn(SECRET, r.text + r.err)
        for args, word in ((['--task', 'gret'], 'did you mean greet'), (['--task', './none.sh'], './none.sh'),
                           (['--task', 'greet', '--plan', 'greet'], '--task and --plan'),
                           (['--task', 'greet', 'name=x', '--pty'], '--task and --pty'),
                           (['--task', 'greet', 'name=x', '--stdin', 'f'], '--task and --stdin'),
                           (['--task', 'greet', 'name=x', '--on-failure', 'stop'], '--on-failure'),
                           (['--task', 'bare', '--ask-param', 'x'], 'no metadata'),
                           (['--task', 'greet', 'name=x', '--ask-param', 'count'], 'not sensitive'),
                           (['--task-path', 'nowhere', '--task', 'bare'], 'nowhere: No such file'),
                           (['--params', 'p.json', '--', 'true'], '--task and --plan')):
            self.refused(self.muster('run', '-w', 'db1', *args), 2, word)
        self.assertEqual(self.rows(), (0, 0))

    def test_sensitive_is_asked_for_and_never_kept(self):
        r = self.muster('run', '-w', 'db1', '--task', 'locked')
        self.refused(r, 2, 'key: sensitive', 'no terminal', '--params FILE')
        t = Terminal(self, 'run', '-w', 'db1', '--task', 'locked', '-vv')
        t.expect(b'Parameter key: ')
        self.assertFalse(t.echo())
        t.type(SECRET.encode() + b'\n')
        self.assertEqual(t.end(), 0)
        self.assertIn(b'%d' % len(SECRET), t.seen)
        self.assertNotIn(SECRET.encode(), t.seen)
        # The command line of what runs on the node was printed there.
        self.assertIn(b'sh', self.ok('results', '1').out)
        self.assertNotIn(SECRET.encode(), self.ok('results', '1').out)
        t = Terminal(self, 'run', '-w', 'db1', '--task', 'greet', 'name=x', '--ask-param', 'key')
        t.expect(b'Parameter key: ')
        t.type(SECRET.encode() + b'\n')
        self.assertEqual(t.end(), 0)
        self.assertIn(b'key of 14', t.seen)
        self.assertEqual(self.status()['batch']['action'], 'greet name=x key=***')
        # A rerun asks again.
        self.refused(self.muster('rerun', 'last', '--all'), 2, 'key', '--params FILE')
        t = Terminal(self, 'rerun', 'last', '--all', 'name=y')
        t.expect(b'Parameter key: ')
        t.type(b'abc\n')
        self.assertEqual(t.end(), 0)
        self.assertIn(b'hello y 2', t.seen)
        self.assertIn(b'key of 3', t.seen)
        t = Terminal(self, 'rerun', '1', '--all')
        t.expect(b'Parameter key: ')
        t.type(b'\n')
        self.assertEqual(t.end(), 2)
        self.assertIn(b'nothing was run', t.seen)
        kept = self.kept()
        self.assertIn(b'greet', kept)
        self.assertNotIn(SECRET.encode(), kept)

    def test_dry_run(self):
        self.write('p.json', json.dumps({'key': SECRET}))
        args = ['run', '-w', 'db1', '--task', 'greet', 'name=x', '--params', 'p.json', '--dry-run']
        r = self.ok(*args)
        for line in ('task: greet', 'parameters: name=x key=***', 'implementation: greet.sh'):
            self.assertIn(line, r.lines)
        d = self.ok(*args, '--json').json
        self.assertEqual((d['type'], d['name'], d['parameters']),
                         ('task', 'greet', {'name': 'x', 'key': '***'}))
        self.assertNotIn(SECRET, r.text)
        r = self.ok('run', '-w', 'db1', '--task', 'locked', '--dry-run')
        self.assertIn('parameters: key=*** (asked for)', r.lines)
        self.assertEqual(self.rows(), (0, 0))

    def test_request(self):
        self.write('r.json', json.dumps({'targetGroupIds': ['db'], 'type': 'task', 'action': 'greet',
                                         'parameters': {'name': 'doc', 'key': SECRET}}))
        d = self.ok('run', '--request', 'r.json', '--json').json
        self.assertEqual({x['result']['stdout'] for x in d['executions']}, {'hello doc 2\nkey of 14\n'})
        self.assertNotIn(SECRET.encode(), self.kept())
        self.write('r.json', json.dumps({'targetGroupIds': ['db'], 'task': 'greet',
                                         'parameters': {'nme': 1}}))
        self.refused(self.muster('run', '--request', 'r.json'), 2, 'nme', 'name: is required')
        self.write('r.json', json.dumps({'targetGroupIds': ['db'], 'action': 'true', 'onFailure': 'stop'}))
        self.refused(self.muster('run', '--request', 'r.json'), 2, '--on-failure')

    def test_rerun(self):
        self.ok('run', '-w', '@db', '--task', 'greet', 'name=a', 'code=3', rc=5)
        r = self.ok('rerun', 'last', '--failed', 'code=0', '--format', 'jsonl')
        self.assertEqual(len(r.lines), 2)
        self.assertEqual(self.status()['batch']['action'], 'greet name=a code=0')
        for args, words in ((['--', 'true'], ['KEY=VALUE']), (['count=9'], ['count: expects']),
                            (['--pty'], ['--pty', 'task']), (['--stdin', 'f'], ['--stdin', 'task']),
                            (['--on-failure', 'stop'], ['only a plan']), (['--from-start'], ['only a plan']),
                            (['two'], ['one word too many'])):
            self.refused(self.muster('rerun', '1', '--failed', *args), 2, *words)
        self.run_on('db1', 'echo old')
        self.assertEqual(self.ok('rerun', 'last', '--all', '--', 'echo', 'new').text, 'db1: new\n')
        self.refused(self.muster('rerun', 'last', '--all', 'a=b'), 2, 'no task and no plan')

    def test_list(self):
        self.task('broken', '#!/bin/sh\n', '{"parameters": [')
        r = self.ok('tasks')
        self.assertRegex(r.text, r'(?m)^greet +Greets$')
        self.assertRegex(r.text, r'(?m)^broken +cannot be used: .*broken\.json')
        self.assertRegex(r.text, r'(?m)^facts ')
        rows = {x['name']: x for x in self.ok('tasks', '--json').json}
        self.assertIn('broken.json', rows['broken']['error'])
        self.assertIsNone(rows['greet']['error'])
        self.refused(self.muster('tasks', 'broken'), 2, 'broken.json')
        text = self.ok('tasks', 'greet').text
        for words in ('String[1]  required', 'Integer[1,5]  default 2', 'Optional[String]  sensitive', GREET):
            self.assertIn(words, text)
        d = self.ok('tasks', 'greet', '--json').json
        self.assertEqual([p['name'] for p in d['parameters']], ['name', 'count', 'code', 'key'])
        self.assertIn('there is no metadata', self.ok('tasks', 'bare').text)
        self.refused(self.muster('tasks', 'grete'), 2, 'did you mean greet')


if __name__ == '__main__':
    main()
