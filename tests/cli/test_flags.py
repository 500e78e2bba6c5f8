# SPDX-License-Identifier: Apache-2.0
"""Every flag of every verb, by its long and its short name, against what the help says there is. A
flag that the help shows and no row here tries is a failure."""
import os
import re

from lib import LOGIN, Case, main

RUN = ['--', 'echo hi']

# verb, long flag, the words after the verb ("@" stands for the flag), exit status, what is seen.
# A host that nothing answers on: what ssh is told is on record all the same.
AFAR = ['-w', '127.0.0.1', '--any-host', '-F', 'none', '--retries', '0']

ROWS = [
    ('run', 'targets', ['@', 'n001', *RUN], 0, 'n001: hi'),
    ('run', 'exclude', ['-w', 'n[001-002]', '@', 'n001', *RUN], 0, 'batch #.*: 1 target\n'),
    ('run', 'group', ['@', 'db', *RUN], 0, 'db2: hi'),
    ('run', 'exclude-group', ['-g', 'both', '@', 'web', *RUN], 0, ': 2 targets'),
    ('run', 'all', ['@', '-x', 'n*,key1', *RUN], 0, ': 2 targets'),
    ('run', 'any-host', ['-w', 'zz', '@', '--dry-run', *RUN], 0, '1 node: zz'),
    ('run', 'request', ['@', 'request.json'], 0, 'n007: asked'),
    ('run', 'fanout', ['-w', 'n001', '@', '7', '--dry-run', *RUN], 0, 'fanout 7'),
    ('run', 'max-queue', ['-w', 'n[001-009]', '-f', '1', '@', '3', *RUN], 7, 'limit 3'),
    ('run', 'user', ['-w', 'n001', '@', LOGIN, '--json', *RUN], 0, '"user":"%s"' % LOGIN),
    ('run', 'port', [*AFAR, '@', '1', '--json', *RUN], 4, '"port":"1"'),
    ('run', 'identity', [*AFAR, '-p', '1', '@', '/key', '@', '/other', '--json', *RUN], 4,
     r'"identity":\["/key","/other"\]'),
    ('run', 'ssh-config', ['@', 'sshconf', '-w', 'viaconf', '--dry-run', *RUN], 0, '1 node: viaconf'),
    ('run', 'option', ['-w', 'n001', '@', 'UserKnownHostsFile=/kh', '@', 'Compression=yes', '--json',
                       *RUN], 0, r'"known_hosts":\["/kh"\].*"Compression=yes"'),
    ('run', 'transport', ['-w', 'n001', '@', 'local', '--json', *RUN], 0, '"transport":"local"'),
    ('run', 'jump', [*AFAR, '@', 'ops@127.0.0.1:1', '--json', *RUN], 4,
     '"jump":"ops@127.0.0.1:1"'),
    ('run', 'ask-password', ['-w', 'n001', '@', *RUN], 2, 'no terminal.*--password-fd N'),
    ('run', 'password-fd', ['-w', 'n001', '@', '0', *RUN], 2, 'its line is empty'),
    ('run', 'sudo', ['-w', 'n001', '@', '--dry-run', *RUN], 0, 'become: +sudo'),
    ('run', 'become', ['-w', 'n001', '@', 'doas', '--dry-run', *RUN], 0, 'become: +doas'),
    ('run', 'become-user', ['-w', 'n001', '@', 'app', '--dry-run', *RUN], 0, 'become: +sudo.* app'),
    ('run', 'ask-sudo-password', ['-w', 'n001', '@', *RUN], 2, 'no terminal.*--sudo-password-fd N'),
    ('run', 'sudo-password-fd', ['-w', 'n001', '@', '0', *RUN], 2, 'its line is empty'),
    ('run', 'env', ['-w', 'n001', '@', 'A=b', '@', 'C=', '--json', *RUN], 0, r'"env":\["A=b","C="\]'),
    ('run', 'chdir', ['-w', 'n001', '@', '/tmp', '--json', *RUN], 0, '"chdir":"/tmp"'),
    ('run', 'stdin', ['-w', 'n001', '@', 'plain', '--json', *RUN], 0, '"stdin":"/.*/plain"'),
    ('run', 'pty', ['-w', 'n001', '@', '--json', *RUN], (0, 4), '"pty":true'),
    ('run', 'connect-timeout', ['-w', 'n001', '@', '7', '--json', *RUN], 0, '"connect_timeout":"7'),
    ('run', 'command-timeout', ['-w', 'n001', '@', '100ms', '--', 'exec sleep 60'], 3, 'timed out'),
    ('run', 'retries', ['-w', 'n001', '@', '0', '--json', *RUN], 0, '"retries":0'),
    ('run', 'max-output', ['-w', 'n001', '@', '1', *RUN], 0, 'truncated: the first 1 B'),
    ('run', 'canary', ['-w', 'n[001-009]', '@', '2', *RUN], 2, 'no terminal to ask on.*--canary-ok'),
    ('run', 'canary-ok', ['-w', 'n[001-003]', '--canary', '1', '@', '100', '--json', *RUN], 0,
     '"canary":1,"canaryOk":100'),
    ('run', 'waves', ['-w', 'n[001-003]', '@', '1', '--dry-run', *RUN], 0, 'in waves of 1, 3'),
    ('run', 'pause', ['-w', 'n[001-003]', '--waves', '1', '@', '10ms', '--json', *RUN], 0, '"pause":10'),
    ('run', 'probe', ['-w', 'n[001-003]', '--waves', '1', '@', 'exit 7', *RUN], 3,
     r'the probe after wave 1 ended with 7.*skipped 2: n\[002-003\]'),
    ('run', 'max-fail', ['-w', 'n[001-003]', '-f', '1', '@', '1', '--', 'false'], 3,
     '2 failures exceed --max-fail 1.*skipped 1: n003'),
    ('run', 'serial-by', ['-w', '@both', '@', 'dc:2', '--dry-run', *RUN], 0, 'at most 2 at once by dc'),
    ('run', 'label', ['-w', 'n001', '@', 'a note', '--json', *RUN], 0, '"label":"a note"'),
    ('run', 'detach', ['-w', 'n001', '@', '--json', *RUN], 0, '"targetCount":1'),
    ('run', 'dry-run', ['-w', 'n001', '@', *RUN], 0, 'would run on 1 node: n001'),
    ('run', 'yes', ['-w', 'n001', '@', '--', 'echo careful'], 0, 'n001: careful'),
    ('run', 'expect', ['-w', 'key1', '@', '1', *RUN], 0, 'key1: hi'),
    ('run', 'fold', ['-w', 'n[001-002]', '@', *RUN], 0, r'n\[001-002\] \(2\)'),
    ('run', 'live', ['-w', 'n001', '@', *RUN], 0, 'n001: hi'),
    ('run', 'no-label', ['-w', 'n001', '@', *RUN], 0, '^hi'),
    ('run', 'max-rc', ['-w', 'n001', '@', '--', 'exit 9'], 9, r'exit code 9 \(1\): n001'),
    ('run', 'format', ['-w', 'n001', '@', 'csv', *RUN], 0, '^Node Name,'),
    ('run', 'json', ['-w', 'n001', '@', *RUN], 0, '"progress":100'),
    ('run', 'quiet', ['-w', 'n001', '@', *RUN], 0, '^n001: hi\n$'),
    ('run', 'verbose', ['-w', 'n001', '@', '@', *RUN], 0, 'n001: hi'),
    ('run', 'inventory', ['@', 'other.yaml', '-w', 'o1', *RUN], 0, 'o1: hi'),
    ('run', 'db', ['@', 'other.db', '-w', 'n001', *RUN], 0, 'batch #[12]: '),
    ('run', 'read-only', ['@', '-w', 'n001', *RUN], 2, 'read-only'),
    ('run', 'help', ['@'], 0, 'Usage: muster run'),

    ('status', 'status', ['1', '@', 'failed', '--json'], 0, r'"executions":\[\{[^]]*"n002"[^{]*\{[^{]*\]'),
    ('status', 'sort', ['1', '@', 'finished'], 0, 'n001'),
    ('status', 'page', ['1', '@', '2', '--page-size', '2'], 0, 'n003'),
    ('status', 'page-size', ['1', '@', '1'], 0, 'n001'),
    ('status', 'json', ['1', '@'], 0, '"progress":100'),

    ('watch', 'fold', ['1', '@'], 5, r'n\[001,003\] \(2\)'),
    ('watch', 'live', ['1', '@'], 5, 'n001: out'),
    ('watch', 'no-label', ['1', '@'], 5, '^out'),
    ('watch', 'max-rc', ['1', '@'], 4, r'exit code 4 \(1\): n002'),
    ('watch', 'quiet', ['1', '@'], 5, 'n001: out'),

    ('results', 'fold', ['1', '@'], 0, r'n\[001,003\] \(2\)'),
    ('results', 'no-label', ['1', '@'], 0, '^out'),
    ('results', 'diff', ['1', '@'], 0, r'\+extra'),
    ('results', 'node', ['1', '@', 'n002'], 0, 'extra'),

    ('cancel', 'json', ['1', '@'], 0, '"cancelledCount":0'),
    ('cancel', 'quiet', ['1', '@'], 0, '^$'),
    ('pause', 'json', ['1', '@'], 0, '"paused":false'),
    ('pause', 'quiet', ['1', '@'], 0, '^$'),
    ('resume', 'json', ['1', '@'], 0, '"message":".*ended already'),
    ('resume', 'quiet', ['1', '@'], 0, '^$'),

    ('rerun', 'failed', ['1', '@', '--dry-run'], 0, '1 node: n002'),
    ('rerun', 'skipped', ['1', '@'], 2, 'no skipped node'),
    ('rerun', 'reason', ['1', '@', 'exit', '--dry-run'], 0, '1 node: n002'),
    ('rerun', 'all', ['1', '@', '--dry-run'], 0, r'3 nodes: n\[001-003\]'),
    ('rerun', 'fanout', ['1', '--all', '@', '2', '--dry-run'], 0, 'fanout 2'),
    ('rerun', 'max-queue', ['1', '--all', '-f', '1', '@', '1'], 7, 'limit 1'),
    ('rerun', 'ssh-config', ['1', '--failed', '@', 'sshconf', '--json'], 5, '"sshConfig":"sshconf"'),
    ('rerun', 'transport', ['1', '--failed', '@', 'local', '--json'], 5, '"transport":"local"'),
    ('rerun', 'jump', ['1', '--failed', '@', 'b1'], 2, 'n002: --jump has no effect'),
    ('rerun', 'ask-password', ['1', '--failed', '@'], 2, 'no terminal.*--password-fd N'),
    ('rerun', 'password-fd', ['1', '--failed', '@', '0'], 2, 'its line is empty'),
    ('rerun', 'sudo', ['1', '--failed', '@', '--dry-run'], 0, 'become: +sudo'),
    ('rerun', 'become', ['1', '--failed', '@', 'su', '--dry-run'], 0, 'become: +su'),
    ('rerun', 'become-user', ['1', '--failed', '@', 'app', '--dry-run'], 0, 'become: .* app'),
    ('rerun', 'ask-sudo-password', ['1', '--failed', '@'], 2, 'no terminal.*--sudo-password-fd'),
    ('rerun', 'sudo-password-fd', ['1', '--failed', '@', '0'], 2, 'its line is empty'),
    ('rerun', 'env', ['1', '--failed', '@', 'A=b', '--json'], 5, r'"env":\["A=b"\]'),
    ('rerun', 'chdir', ['1', '--failed', '@', '/tmp', '--json'], 5, '"chdir":"/tmp"'),
    ('rerun', 'stdin', ['1', '--failed', '@', 'plain', '--json'], 5, '"stdin":"/.*/plain"'),
    ('rerun', 'pty', ['1', '--failed', '@', '--json'], (4, 5), '"pty":true'),
    ('rerun', 'canary', ['1', '--all', '@', '2'], 2, 'no terminal to ask on'),
    ('rerun', 'canary-ok', ['1', '--all', '--canary', '1', '@', '0', '--dry-run'], 0, 'when 0% of them'),
    ('rerun', 'waves', ['1', '--all', '@', '2', '--dry-run'], 0, 'in waves of 2, 3'),
    ('rerun', 'pause', ['1', '--all', '--waves', '1', '@', '1s', '--dry-run'], 0, '1.0s between them'),
    ('rerun', 'probe', ['1', '--all', '--waves', '1', '@', 'true', '--dry-run'], 0, 'here: true'),
    ('rerun', 'max-fail', ['1', '--all', '@', '50%', '--dry-run'], 0, 'more than 1 failure'),
    ('rerun', 'serial-by', ['1', '--all', '@', 'web', '--dry-run'], 0, 'at most 1 at once by web'),
    ('rerun', 'label', ['1', '--failed', '@', 'L', '--json'], 5, '"label":"L"'),
    ('rerun', 'detach', ['1', '--failed', '@', '--json'], 0, '"targetCount":1'),
    ('rerun', 'dry-run', ['1', '--failed', '@'], 0, 'would run'),
    ('rerun', 'yes', ['2', '--all', '@'], 0, 'careful'),
    ('rerun', 'expect', ['1', '--failed', '@', '2'], 2, 'the number of targets is 1'),
    ('rerun', 'fold', ['1', '--all', '@'], 5, r'n\[001,003\] \(2\)'),
    ('rerun', 'live', ['1', '--failed', '@'], 5, 'n002: out'),
    ('rerun', 'no-label', ['1', '--failed', '@'], 5, '^out'),
    ('rerun', 'max-rc', ['1', '--failed', '@'], 4, 'exit code 4'),
    ('rerun', 'format', ['1', '--failed', '@', 'jsonl'], 5, '^{"id":'),
    ('rerun', 'json', ['1', '--failed', '@'], 5, '"rerunOf":1'),
    ('rerun', 'quiet', ['1', '--failed', '@'], 5, '^n002: out'),
    ('rerun', 'inventory', ['1', '--failed', '@', 'other.yaml'], 2,
     'no inventory has any of these nodes now: n002'),

    ('history', 'node', ['@', 'n003', '--json'], 0, '"number":1,'),
    ('history', 'type', ['@', 'command'], 0, r'#\d+ '),
    ('history', 'kind', ['@', 'batch'], 0, r'#\d+ '),
    ('history', 'status', ['@', 'partial'], 0, r'#\d+ '),
    ('history', 'user', ['@', 'nobody-at-all'], 0, '^BATCH[^#]*$'),
    ('history', 'since', ['@', '3d'], 0, r'#\d+ '),
    ('history', 'until', ['@', '3d'], 0, '^BATCH[^#]*$'),
    ('history', 'text', ['@', 'extra'], 0, r'#\d+ '),
    ('history', 'page', ['@', '1'], 0, 'BATCH'),
    ('history', 'page-size', ['@', '1'], 0, 'BATCH'),
    ('history', 'json', ['@'], 0, '"total":'),

    ('node', 'page', ['n002', '@', '1'], 0, r'#\d+ '),
    ('node', 'page-size', ['n002', '@', '1'], 0, 'BATCH'),
    ('node', 'json', ['n002', '@'], 0, '"batchNumber":1'),
    ('node', 'ssh-config', ['viaconf', '@', 'sshconf'], 0, 'viaconf'),
    ('node', 'inventory', ['o1', '@', 'other.yaml'], 0, 'local'),

    ('nodes', 'exclude', ['n[001-003]', '@', 'n002'], 0, '^n001\nn003\n$'),
    ('nodes', 'group', ['@', 'db'], 0, '^db1\ndb2\n$'),
    ('nodes', 'exclude-group', ['@both', '@', 'web'], 0, '^db1\ndb2\n$'),
    ('nodes', 'all', ['@', '-x', 'n*'], 0, '^db1\ndb2\nkey1\n$'),
    ('nodes', 'any-host', ['zz', '@'], 0, '^zz\n$'),
    ('nodes', 'ssh-config', ['viaconf', '@', 'sshconf'], 0, '^viaconf\n$'),
    ('nodes', 'fold', ['n[001-003]', '@'], 0, r'^n\[001-003\]\n$'),
    ('nodes', 'sources', ['@'], 0, 'SOURCE'),
    ('nodes', 'refresh', ['@', '-i', 'command:echo fresh', '-a'], 0, '^fresh\n$'),
    ('nodes', 'json', ['@'], 0, '"sources":'),
    ('nodes', 'inventory', ['@', 'hosts:plain', '-a'], 0, '^h1\nh2\n$'),

    ('export', 'output', ['1', '@', '-'], 0, '"exportedAt"'),
    ('export', 'format', ['1', '-o', '-', '@', 'csv'], 0, '^Node Name,'),
    ('export', 'quiet', ['1', '-o', 'x', '@'], 0, '^$'),

    ('doctor', 'json', ['@'], 0, '"verdict"'),
    ('doctor', 'ssh-config', ['@', 'sshconf'], 0, 'inventory +ok +205 nodes'),
    ('doctor', 'inventory', ['@', 'other.yaml'], 0, 'inventory +ok +2 nodes'),

    ('demo', 'headless', ['@'], 0, '2 of 2 nodes ended as planned'),
    ('demo', 'db', ['--headless', '@', 'demo.db'], 0, 'as planned'),
    ('demo', 'verbose', ['--headless', '@'], 0, 'as planned'),
    ('demo', 'read-only', ['--headless', '@'], 2, 'read-only'),

    ('help', 'db', ['@', 'x'], 0, 'Usage: muster '),
    ('help', 'verbose', ['@'], 0, 'Usage: muster '),
    ('help', 'read-only', ['@', 'run'], 0, 'Usage: muster run'),

    ('', 'version', ['@'], 0, '^muster 0.1.0\n'),
    ('', 'help', ['@'], 0, 'Verbs '),
    ('', 'verbose', ['@', 'history'], 0, r'#\d+ '),
    ('', 'db', ['@', 'none.db', 'history', '--json'], 0, '"total":0'),
    ('', 'read-only', ['@', 'cancel'], 2, 'read-only'),
    ('', 'inventory', ['@', 'other.yaml', 'nodes', '-a'], 0, '^o1\n$'),
    ('', 'ssh-config', ['@', 'sshconf', 'nodes', 'viaconf'], 0, '^viaconf\n$'),
    ('', 'fanout', ['@', '3', 'run', '-w', 'n001', '--dry-run', *RUN], 0, 'fanout 3'),
    ('', 'max-queue', ['@', '1', '-f', '1', 'run', '-w', 'n[001-005]', *RUN], 7, 'limit 1'),
]

EXPLAIN = ['-F', 'sshconf', 'viaconf']
ROWS += [
    ('explain', 'any-host', ['@', *EXPLAIN], 0, 'node +viaconf'),
    ('explain', 'user', ['@', 'bob', *EXPLAIN], 0, 'user +bob'),
    ('run', 'task', ['-w', 'n001', '@', 'say', 'x=1'], 0, 'n001: said 1'),
    ('run', 'plan', ['-w', 'n001', '@', './p.yaml', 'x=2'], 0, 'n001: planned 2'),
    ('run', 'params', ['-w', 'n001', '--task', 'say', '@', 'params.json'], 0, 'n001: said 3'),
    ('run', 'ask-param', ['-w', 'n001', '--task', 'say', '@', 'key'], 2, 'key: sensitive.*--params FILE'),
    ('run', 'on-failure', ['-w', 'n001', '--plan', './p.yaml', '@', 'stop', '--dry-run'], 0, 'fails: stop'),
    ('run', 'task-path', ['@', 'more', '-w', 'n001', '--task', 'other'], 0, 'n001: other'),
    ('rerun', 'user', ['1', '--all', '@', LOGIN, '--json'], 5, '"user":"%s"' % LOGIN),
    ('rerun', 'port', ['1', '--all', '@', '99'], 2, '--port has no effect'),
    ('rerun', 'identity', ['1', '--all', '@', '/key'], 2, '--identity has no effect'),
    ('rerun', 'option', ['1', '--all', '@', 'Compression=yes', '--json'], 5,
     r'"sshOptions":\["Compression=yes"\]'),
    ('rerun', 'max-output', ['1', '--all', '@', '2M', '--json'], 5, '"maxOutput":2097152'),
    ('rerun', 'connect-timeout', ['1', '--all', '@', '7', '--json'], 5, '"connect_timeout":"7'),
    ('rerun', 'command-timeout', ['1', '--all', '@', '61', '--json'], 5, '"command_timeout":"61'),
    ('rerun', 'retries', ['1', '--all', '@', '1', '--json'], 5, '"retries":1'),
    ('rerun', 'expand', ['1', '--failed', '@'], 2, '--expand goes with --all only'),
    ('rerun', 'from-start', ['1', '--all', '@'], 2, 'no task and no plan'),
    ('rerun', 'on-failure', ['1', '--all', '@', 'stop'], 2, 'no task and no plan'),
    ('rerun', 'params', ['1', '--all', '@', 'params.json'], 2, 'no task and no plan'),
    ('rerun', 'ask-param', ['1', '--all', '@', 'key'], 2, 'no task and no plan'),
    ('rerun', 'task-path', ['1', '--all', '@', 'more'], 2, 'no task and no plan'),
    ('results', 'step', ['1', '@', '1'], 2, 'batch #1 is no plan'),
    ('nodes', 'targets', ['@', 'db1', '@', 'db2', 'n001', '-b'], 0, '^db\\[1-2\\],n001\n$'),
    ('nodes', 'save', ['@both', '@', 'most'], 0, 'db1'),
    ('nodes', 'saved', ['@', '--json'], 0, '"saved":'),
    ('nodes', 'forget', ['@', 'nothing'], 6, 'nothing'),
    ('note', 'inventory', ['@', 'other.yaml', 'o1', 'some words'], 0, None),
    ('tasks', 'json', ['@', 'say'], 0, '"sensitive":true'),
    ('tasks', 'task-path', ['@', 'more'], 0, 'other'),
    ('plans', 'json', ['@', './p.yaml'], 0, '"steps":'),
    ('plans', 'task-path', ['@', 'none'], 2, 'none: No such file'),
    ('', 'task-path', ['@', 'none'], 2, 'terminal'),
    ('explain', 'port', ['@', '99', *EXPLAIN], 0, 'port 99'),
    ('explain', 'identity', ['@', '/key', *EXPLAIN], 0, '/key does not exist'),
    ('explain', 'transport', ['@', 'openssh', *EXPLAIN], 0, 'transport +openssh'),
    ('explain', 'jump', ['@', 'b1', '--json', *EXPLAIN], 0, '"jump":"b1"'),
    ('explain', 'ssh-config', ['@', 'sshconf', 'viaconf'], 0, 'sshconf:2; honoured'),
    ('explain', 'option', ['@', 'Compression=yes', *EXPLAIN], 0, 'Compression'),
    ('explain', 'connect-timeout', ['@', '7', '--json', *EXPLAIN], 0,
     '"keyword":"connect_timeout","value":"7s"'),
    ('explain', 'ask-password', ['@', '--connect', *EXPLAIN], 2, 'no terminal'),
    ('explain', 'password-fd', ['@', '77', '--connect', *EXPLAIN], 2, '--password-fd 77'),
    ('explain', 'ask-sudo-password', ['@', *EXPLAIN], 2, 'only with --connect'),
    ('explain', 'sudo-password-fd', ['@', '77', '--connect', *EXPLAIN], 2, '--sudo-password-fd 77'),
    ('explain', 'sudo', ['@', *EXPLAIN], 0, 'become: sudo\n +flag'),
    ('explain', 'become', ['@', 'doas', *EXPLAIN], 0, 'become: doas\n +flag'),
    ('explain', 'become-user', ['@', 'app', *EXPLAIN], 0, 'become_user: app\n +flag'),
    ('explain', 'connect', ['@', '-p', '1', '--json', *EXPLAIN], 4, '"reason":"unreachable"'),
    ('explain', 'all', ['@', *EXPLAIN], 0, 'Ciphers'),
    ('explain', 'json', ['@', *EXPLAIN], 0, '"verdict":"honoured"'),
    ('explain', 'inventory', ['@', 'other.yaml', 'o1'], 0, 'transport +local'),
    ('explain', 'verbose', ['@', *EXPLAIN], 0, 'node +viaconf'),
    ('explain', 'read-only', ['@', *EXPLAIN], 0, 'node +viaconf'),
    ('explain', 'db', ['@', 'none.db', *EXPLAIN], 0, 'node +viaconf'),
]

# push and pull, tried on the same two words each; n001 has both.
COPY = [
    ('targets', ['@', 'n001'], 0, 'batch #.*: 1 target\n'),
    ('exclude', ['-w', 'n[001-002]', '@', 'n002'], 0, ': 1 target\n'),
    ('group', ['@', 'db', '--dry-run'], 0, '2 nodes: db'),
    ('exclude-group', ['-g', 'both', '@', 'web', '--dry-run'], 0, '2 nodes: db'),
    ('all', ['@', '-x', 'n*,key1', '--dry-run'], 0, '2 nodes: db'),
    ('any-host', ['-w', 'zz', '@', '--dry-run'], 0, '1 node: zz'),
    ('fanout', ['-w', 'n001', '@', '7', '--dry-run'], 0, 'fanout 7'),
    ('max-queue', ['-w', 'n[001-009]', '-f', '1', '@', '3'], 7, 'limit 3'),
    ('user', ['-w', 'n001', '@', LOGIN, '--json'], 0, '"user":"%s"' % LOGIN),
    ('port', [*AFAR, '@', '1', '--json'], 4, '"port":"1"'),
    ('identity', [*AFAR, '-p', '1', '@', '/key', '--json'], 4, r'"identity":\["/key"\]'),
    ('transport', ['-w', 'n001', '@', 'local', '--json'], 0, '"transport":"local"'),
    ('jump', [*AFAR, '@', '127.0.0.1:1', '--json'], 4, '"jump":"127.0.0.1:1"'),
    ('ssh-config', ['@', 'sshconf', '-w', 'viaconf', '--dry-run'], 0, '1 node: viaconf'),
    ('option', ['-w', 'n001', '@', 'Compression=yes', '--json'], 0, '"Compression=yes"'),
    ('ask-password', ['-w', 'n001', '@'], 2, 'no terminal.*--password-fd N'),
    ('password-fd', ['-w', 'n001', '@', '0'], 2, 'its line is empty'),
    ('sudo', ['-w', 'n001', '@', '--dry-run'], 0, 'become: +sudo'),
    ('become', ['-w', 'n001', '@', 'doas', '--dry-run'], 0, 'become: +doas'),
    ('become-user', ['-w', 'n001', '@', 'app', '--dry-run'], 0, 'become: .* app'),
    ('ask-sudo-password', ['-w', 'n001', '@'], 2, 'no terminal.*--sudo-password-fd N'),
    ('sudo-password-fd', ['-w', 'n001', '@', '0'], 2, 'its line is empty'),
    ('chdir', ['-w', 'n001', '@', '/tmp', '--dry-run'], 0, 'would run'),
    ('connect-timeout', ['-w', 'n001', '@', '7', '--json'], 0, '"connect_timeout":"7'),
    ('command-timeout', ['-w', 'n001', '@', '60', '--json'], 0, '"command_timeout":"60'),
    ('retries', ['-w', 'n001', '@', '0', '--json'], 0, '"retries":0'),
    ('canary', ['-w', 'n[001-009]', '@', '2'], 2, 'no terminal to ask on'),
    ('canary-ok', ['-w', 'n[001-003]', '--canary', '1', '@', '9', '--dry-run'], 0, 'when 9% of them'),
    ('waves', ['-w', 'n[001-003]', '@', '1', '--dry-run'], 0, 'in waves of 1, 3'),
    ('pause', ['-w', 'n[001-003]', '--waves', '1', '@', '1s', '--dry-run'], 0, '1.0s between them'),
    ('probe', ['-w', 'n[001-003]', '--waves', '1', '@', 'true', '--dry-run'], 0, 'here: true'),
    ('max-fail', ['-w', 'n[001-003]', '@', '0', '--dry-run'], 0, 'more than 0 failures'),
    ('serial-by', ['-w', '@db', '@', 'dc', '--dry-run'], 0, 'at most 1 at once by dc'),
    ('label', ['-w', 'n001', '@', 'a note', '--json'], 0, '"label":"a note"'),
    ('detach', ['-w', 'n001', '@', '--json'], 0, '"targetCount":1'),
    ('dry-run', ['-w', 'n001', '@'], 0, 'would run on 1 node: n001'),
    ('yes', ['-w', 'n001', '@'], 0, ': 1 target\n'),
    ('expect', ['-w', 'key1', '@', '1'], 0, ': 1 target\n'),
    ('fold', ['-w', 'n001', '@'], 0, ': 1 target\n'),
    ('no-label', ['-w', 'n001', '@'], 0, ': 1 target\n'),
    ('max-rc', ['-w', 'n001', '@'], 0, ': 1 target\n'),
    ('format', ['-w', 'n001', '@', 'csv'], 0, '^Node Name,'),
    ('json', ['-w', 'n001', '@'], 0, '"type":"task"'),
    ('quiet', ['-w', 'n001', '@'], 0, '^[^#]*$'),
    ('inventory', ['@', 'other.yaml', '-w', 'o1'], 0, ': 1 target\n'),
    ('read-only', ['@', '-w', 'n001'], 2, 'read-only'),
    ('db', ['@', 'other.db', '-w', 'n001'], 0, 'batch #'),
    ('verbose', ['@', '-w', 'n001'], 0, ': 1 target\n'),
]
ROWS += [(verb, long, words + ['plain', 'copied/'], rc, seen) for verb in ('push', 'pull')
         for long, words, rc, seen in COPY]
ROWS += [('pull', 'max-output', ['-w', 'n001', '@', '3', 'plain', 'copied/'], 5,
          'more than 3 B came')]

# What every verb has, where no row above tries it in a way of its own.
COMMON = [('db', ['@', 'none.db'], (0, 2, 6), None), ('verbose', ['@'], (0, 2, 5), None),
          ('read-only', ['@'], (0, 2, 5), None), ('help', ['@'], (0,), 'Usage: muster ')]
WORDS = {'node': ['n002'], 'rerun': ['--all', '1'], 'status': ['1'], 'watch': ['1'],
         'results': ['1'], 'cancel': ['1'], 'pause': ['1'],
         'resume': ['1'], 'export': ['1', '-o', '-']}

FLEET = '''#!/bin/sh
[ "$1" = run ] || exit 1
printf 'nodes: {a: {transport: local}, b: {transport: local}}\n' >"$2/inventory.yaml"
echo 'echo $MUSTER_NODE; [ $MUSTER_NODE = a ]' >"$2/command"
printf 'a success 0\nb exit ${PLANNED:-1}\n' | sed "s/\\${PLANNED:-1}/${PLANNED:-1}/" >"$2/expected"
: >"$2/ssh_config"
echo ready
cat >/dev/null
rm -rf "$2"
'''


class Flags(Case):
    def setUp(self):
        super().setUp()
        self.write('sshconf', 'Host viaconf\n  HostName 127.0.0.1\n')
        self.write('other.yaml', 'nodes: {o1: {transport: local}}\n')
        self.write('plain', 'h1\nh2\n')
        os.mkdir(self.path('copied'))
        self.write('request.json', '{"targetNodeIds": ["n007"], "action": "echo asked"}')
        self.write('fleet', FLEET)
        self.write('config/muster/tasks/say.sh', '#!/bin/sh\necho "said $PT_x"\n')
        self.write('config/muster/tasks/say.json', '{"parameters": {"x": {"type": "Integer", "default": 0}, '
                   '"key": {"type": "String", "sensitive": true, "default": ""}}}')
        self.write('p.yaml', 'parameters: {targets: {type: TargetSpec}, x: {type: Integer, default: 0}}\n'
                   'steps: [{command: "echo planned $x", targets: $targets}]\n')
        self.write('params.json', '{"x": 3}')
        self.write('more/other/tasks/init.sh', '#!/bin/sh\necho other\n')
        os.chmod(self.path('fleet'), 0o755)
        self.env['MUSTER_DEMO_FLEET'] = self.path('fleet')
        self.config('confirm: [careful]\n')
        self.run_on('n[001-003]', 'echo out; [ $MUSTER_NODE = n002 ] && { echo extra; exit 4; }; true',
                    '--label', 'a label', rc=5)
        self.run_on('n001', 'echo careful', '-y')

    def help(self, verb):
        """The flags that the help shows: {long: short or None}."""
        text = self.ok(*([verb] if verb else []), '-h').text
        for line in text.splitlines():
            self.assertLessEqual(len(line), 85, line)
        return {long: letter for letter, long in
                re.findall(r'^  (?:-(\w),|   ) --([\w-]+)', text, re.M)}

    def verbs(self):
        text = self.ok('help').text
        part = text[text.index('\nVerbs'):text.index('\nOptions')]
        return re.findall(r'^  (\w+) ', part, re.M) + ['']

    def check(self, verb, name, words, rc, seen):
        at = words.index('--') if '--' in words else len(words)
        flags = [name if w == '@' else w for w in words[:at]] + words[at:]
        r = self.muster(*([verb] if verb else []), *flags)
        self.assertIn(r.rc, rc if isinstance(rc, tuple) else (rc,), str(r))
        for fault in ('unknown option', 'wants a value', 'is wanted'):
            self.assertNotIn(fault, r.err, str(r))
        if seen:
            where = (r.text, r.err, r.text + r.err)
            self.assertTrue(any(re.search(seen, w, re.S) for w in where), '%s\n%s' % (seen, r))

    def test_every_flag_of_the_help(self):
        tried = set()
        helps = {verb: self.help(verb) for verb in self.verbs()}
        self.assertGreaterEqual(len(helps), 14)
        for verb, long, words, rc, seen in ROWS:
            self.assertIn(long, helps[verb], verb)
            tried.add((verb, long))
            for name in ['--' + long] + ['-' + helps[verb][long]] * bool(helps[verb][long]):
                with self.subTest(verb=verb, flag=name):
                    self.check(verb, name, words, rc, seen)
        for verb, flags in helps.items():
            for long, words, rc, seen in COMMON:
                if (verb, long) in tried or not verb:
                    continue
                tried.add((verb, long))
                for name in ['--' + long] + ['-' + flags[long]] * bool(flags[long]):
                    with self.subTest(verb=verb, flag=name):
                        self.check(verb, name, WORDS.get(verb, []) + words, rc, seen)
        shown = {(verb, long) for verb, flags in helps.items() for long in flags}
        self.assertEqual(shown - tried, set(), 'flags that no row tries')

    def test_help(self):
        for verb in self.verbs():
            text = self.ok(*([verb] if verb else []), '--help').text
            self.assertEqual(self.ok('help', *([verb] if verb else [])).text, text)
            self.assertTrue(text.startswith('Usage: muster'), text)
        self.assertEqual(self.rows(), (2, 4))  # nothing was run by asking

    def test_equals_sign_and_order(self):
        r = self.ok('run', '--targets=n001', '--fanout=2', '--', 'echo', '-w')
        self.assertEqual(r.text, 'n001: -w\n')
        self.assertEqual(self.ok('run', '-wn001', '-bq', '-N', 'echo', '--json').text, '--json\n')
        self.assertEqual(self.ok('status', '--json', '1').json['batch']['number'], 1)
        self.assertEqual(self.ok('--db', 'new.db', 'run', '-q', '-w', 'n001', 'true').rc, 0)
        self.assertTrue(os.path.exists(self.path('new.db')))

    def test_the_log(self):
        self.run_on('n001', 'true', '-v', '-v')
        log = self.read('state/muster/muster.log').decode()
        self.assertIn('n001', log)
        self.assertEqual(os.stat(self.path('state/muster/muster.log')).st_mode & 0o777, 0o600)

    def test_demo(self):
        before = set(os.listdir(self.dir))
        r = self.ok('demo', '--headless')
        self.assertIn('a (1)', r.text)
        self.env['PLANNED'] = '2'
        r = self.ok('demo', '--headless', rc=1)
        self.assertIn('b: planned exit 2, got exit', r.err)
        self.assertIn('1 of 2 nodes ended as planned', r.err)
        self.assertEqual(set(os.listdir(self.dir)), before)
        self.env['MUSTER_DEMO_FLEET'] = '/bin/false'
        self.refused(self.muster('demo', '--headless'), 1, 'did not start')
        self.assertEqual(set(os.listdir(self.dir)), before)
        self.assertEqual(self.rows(), (2, 4))


if __name__ == '__main__':
    main()
