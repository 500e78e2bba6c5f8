# SPDX-License-Identifier: Apache-2.0
"""Output that is odd or large: the exact bytes come back, and memory stays flat."""
import base64
import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys

from lib import MUSTER, Case, main

MEMORY_MAX_KB = 60 * 1024

MEASURE = '''
import resource, subprocess, sys
rc = subprocess.call(sys.argv[2:])
with open(sys.argv[1], 'w') as f:
    f.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(rc)
'''

ODD = {
    'n001': b'\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J\n',
    'n002': b'a\0b\0\n\0',
    'n003': b'bad \xff\xfe\x80 utf-8 \xc3',
    'n004': b'x' * (1 << 20) + b'\n' + b'y' * 10,
    'n005': b'',
    'n006': b'\n\n\n',
    'n007': 'é 漢字 🙂 \u202e\u200b "quoted" \\ \t \r\n'.encode(),
    'n008': bytes(range(256)) * 300,
    'n009': b'\xe6\xbc\xa2' * 400000 + b'\xe6\xbc',  # a sequence that is cut, past many pieces
    'n010': b'\xf0\x9f\x99\x82' * 300001,
}


def stream(result, name='stdout'):
    if result.get(name + 'Encoding') == 'base64':
        return base64.b64decode(result[name], validate=True)
    return result[name].encode()


class Output(Case):
    def measured(self, *args, rc=0):
        """Runs muster; returns the path of its output, and the peak of its memory in KiB (and of
        what it waited for, none of which is large here). A small process stands between: a peak
        is handed on by fork, and ours is not small."""
        path = self.path('measured.out')
        with open(path, 'wb') as f:
            p = subprocess.run([sys.executable, '-S', '-c', MEASURE, self.path('peak'), MUSTER, *args],
                               stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.PIPE,
                               env=self.env, cwd=self.dir, timeout=120)
        self.assertEqual(p.returncode, rc, p.stderr[:2000])
        return path, int(self.read('peak'))

    def check_memory(self, kib, what):
        if os.environ.get('MUSTER_SANITIZE', 'none') == 'none':
            self.assertLess(kib, MEMORY_MAX_KB, what)

    def test_odd_bytes_come_back(self):
        for name, data in ODD.items():
            self.write('in/' + name, data)
        command = 'cat in/$MUSTER_NODE; cat in/$MUSTER_NODE >&2'
        r = self.run_on('n[001-010]', command, '--json')
        jsonl = self.run_on('n[001-010]', command, '--format', 'jsonl')
        self.ok('export', '1', '-o', 'x.json')
        documents = {'run': r.json['executions'], 'status': self.status('1')['executions'],
                     'jsonl': [json.loads(line) for line in jsonl.out.splitlines()],
                     'export': json.loads(self.read('x.json'))['executions']}
        for where, executions in documents.items():
            self.assertEqual(len(executions), 10)
            for x in executions:
                want = ODD[x['nodeName']]
                for name in ('stdout', 'stderr'):
                    self.assertTrue(stream(x['result'], name) == want, (where, x['nodeName'], name))
                    try:
                        want.decode()
                        utf8 = True
                    except UnicodeDecodeError:
                        utf8 = False
                    self.assertEqual(x['result'].get(name + 'Encoding'), None if utf8 else 'base64')
        # The documents themselves are plain UTF-8 with no control character in them.
        self.assertIsNone(re.search(rb'[\x00-\x09\x0b-\x1f\x7f]', self.read('x.json').rstrip(b'\n')
                                    .replace(b'\x7f', b'')))

    def test_odd_bytes_in_a_pipe_are_raw(self):
        for name, data in ODD.items():
            self.write('in/' + name, data)
        for name in ('n001', 'n002', 'n003', 'n008'):
            r = self.run_on(name, 'cat in/$MUSTER_NODE', '-N')
            self.assertEqual(r.out, ODD[name] + (b'' if ODD[name].endswith(b'\n') else b'\n'))
            self.assertEqual(self.ok('results', '-N').out, r.out)
            self.assertEqual(self.run_on(name, 'cat in/$MUSTER_NODE', '-N', '-L').out, r.out)

    def test_odd_bytes_on_a_terminal_are_made_harmless(self):
        for name, data in ODD.items():
            self.write('in/' + name, data)
        self.run_on('n[001-003],n[006-008]', 'cat in/$MUSTER_NODE')
        for args in (['results'], ['results', '-b'], ['watch'], ['results', '--diff']):
            r = self.on_terminal(*args, out_too=True)
            text = re.sub(r'\r\x1b\[K', '', r.err)
            self.assertEqual(r.rc, 0)
            self.assertNotIn('\x1b', text, args)
            for bad in '\0\x07\x08\x9b\u202e\u200b':
                self.assertNotIn(bad, text, args)
        self.ok('export', '--format', 'csv')
        text = self.read('batch-1-results.csv').decode()
        self.assertIsNone(re.search('[\x00-\x09\x0b\x0c\x0e-\x1f\x7f\u202e\u200b]', text))
        csv.field_size_limit(1 << 30)
        self.assertEqual(len(list(csv.reader(io.StringIO(text, newline='')))), 7)

    def test_a_remote_name_and_error_are_harmless(self):
        r = self.muster('nodes', 'a\x1b[31mb')
        self.assertEqual(r.rc, 2)
        self.assertNotIn('\x1b', r.err)
        r = self.muster('run', '-w', 'n001', '--label', 'x\x1b[2Jy', '-q', '--', 'echo "\x1b[1m"')
        self.assertEqual(r.rc, 0)
        for args in (['history'], ['status'], ['node', 'n001']):
            self.assertNotIn(b'\x1b', self.ok(*args).out, args)

    def test_truncated(self):
        r = self.run_on('n001', 'seq 1 100000', '--max-output', '1k', '--json')
        x = r.json['executions'][0]
        self.assertEqual((len(x['result']['stdout']), x['result']['truncated'], x['status']),
                         (1024, True, 'success'))
        r = self.run_on('n[001-002]', 'seq 1 100000 >&2', '--max-output', '2000')
        self.assertEqual(r.err.count('stderr was truncated'), 2)
        self.assertIn('--max-output', r.err)
        self.assertIn('truncated', self.ok('results', '1').err)
        d = self.run_on('n001', 'seq 1 10', '--max-output', '1k', '--json').json
        self.assertFalse(d['executions'][0]['result']['truncated'])

    def test_fifty_megabytes(self):
        # Text, so that nothing may be base64, and unlike at every place.
        command = 'seq -f "%012.0f line of text and more of it" 1 1300000 | head -c 52428800'
        want = hashlib.sha256()
        size = 0
        for start in range(1, 1300001, 10000):
            piece = ''.join('%012d line of text and more of it\n' % i
                            for i in range(start, start + 10000)).encode()[:52428800 - size]
            want.update(piece)
            size += len(piece)
        self.assertEqual(size, 52428800)

        path, kib = self.measured('run', '-w', 'n001', '--json', '--max-output', '100M', '--',
                                     command)
        self.check_memory(kib, 'run --json')
        with open(path) as f:
            result = json.load(f)['executions'][0]['result']
        self.assertFalse(result['truncated'])
        self.assertEqual(hashlib.sha256(result['stdout'].encode()).hexdigest(), want.hexdigest())
        del result

        _, kib = self.measured('export', '-o', 'big.json')
        self.check_memory(kib, 'export')
        with open(self.path('big.json')) as f:
            out = json.load(f)['executions'][0]['result']['stdout']
        self.assertEqual(hashlib.sha256(out.encode()).hexdigest(), want.hexdigest())
        del out

        for args in (['results', '-N'], ['results', '-b', '-N'], ['watch', '-N'],
                     ['watch', '-L', '-N']):
            path, kib = self.measured(*args)
            self.check_memory(kib, args)
            with open(path, 'rb') as f:
                self.assertEqual(hashlib.sha256(f.read(size)).hexdigest(), want.hexdigest(), args)
                self.assertEqual(f.read(), b'\n')
        _, kib = self.measured('export', '--format', 'csv')
        self.check_memory(kib, 'export --format csv')
        self.assertIn(b'[cut here', self.read('batch-1-results.csv')[-2000:])

    def test_fifty_megabytes_of_bytes_without_the_flag(self):
        path, kib = self.measured('run', '-w', 'n001', '--json', '--',
                                     'head -c 52428800 /dev/zero')
        self.check_memory(kib, 'run')
        with open(path) as f:
            x = json.load(f)['executions'][0]
        self.assertEqual((x['status'], x['result']['truncated']), ('success', True))
        self.assertEqual(stream(x['result']), bytes(10 << 20))
        r = self.ok('results', '-N')
        self.assertIn('10 MiB', r.err)

    def test_one_line_without_an_end(self):
        path, kib = self.measured('run', '-w', 'n001', '-L', '-N', '--max-output', '100M', '--',
                                     'head -c 30000000 /dev/zero | tr "\\0" x')
        self.check_memory(kib, 'run -L')
        with open(path, 'rb') as f:
            text = f.read()
        self.assertEqual(text.count(b'x'), 30000000)
        self.assertEqual(text.strip(b'x\n'), b'')

    def test_equal_outputs_are_stored_once(self):
        self.run_on('n[001-100]', 'head -c 200000 /dev/zero | tr "\\0" x', '-q', '-b')
        self.assertEqual(self.sql('SELECT count(DISTINCT stdout_id) FROM executions'), [(1,)])
        (pages,), (free,), (size,) = (self.sql('PRAGMA ' + what)[0] for what in
                                      ('page_count', 'freelist_count', 'page_size'))
        self.assertLess((pages - free) * size, 1 << 20)  # of the 20 MB that came


if __name__ == '__main__':
    main()
