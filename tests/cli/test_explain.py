#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""muster explain: each setting with its source and verdict, and a real attempt on demand."""
import os
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'ssh'))

import lib
import rig

CONFIG = '''Host web*
  User deploy
  HostName 127.0.0.1
  LocalForward 8080 localhost:80
  Compression yes
Host agent*
  HostName 127.0.0.1
  ForwardAgent yes
Host odd*
  HostName 127.0.0.1
  RemoteCommand uptime
Match originalhost late*
  Port 2200
Host inner*
  HostName 10.9.9.9
  ProxyJump second
Host second
  HostName 10.9.9.8
  User hopper
  Port 2022
  ProxyJump ann@first:2021
Host first
  HostName 127.0.0.1
Host *
  ConnectTimeout 5
'''

# The keywords of ssh_config(5) of OpenSSH 9.2 with Debian's, each with a value that is not its
# default; Host, Match and Include are no settings.
MANUAL = dict((item.strip() + '|yes').split('|')[:2] for item in '''
AddKeysToAgent; AddressFamily|inet; BatchMode; BindAddress|127.0.0.1; BindInterface|lo;
CanonicalDomains|example; CanonicalizeFallbackLocal; CanonicalizeHostname|no;
CanonicalizeMaxDots|2; CanonicalizePermittedCNAMEs|none; CASignatureAlgorithms|ssh-ed25519;
CertificateFile|/c.pub; CheckHostIP|yes; Ciphers|aes128-ctr; ClearAllForwardings; Compression;
ConnectionAttempts|3; ConnectTimeout|7; ControlMaster|auto; ControlPath|/cp; ControlPersist|9;
DynamicForward|1080; EnableEscapeCommandline; EnableSSHKeysign; EscapeChar|none;
ExitOnForwardFailure; FingerprintHash|md5; ForkAfterAuthentication|no; ForwardAgent; ForwardX11;
ForwardX11Timeout|9; ForwardX11Trusted; GatewayPorts; GlobalKnownHostsFile|/g;
GSSAPIAuthentication; GSSAPIClientIdentity|x; GSSAPIDelegateCredentials; GSSAPIKeyExchange;
GSSAPIRenewalForcesRekey; GSSAPIServerIdentity|x; GSSAPITrustDns;
GSSAPIKexAlgorithms|gss-group14-sha256-; HashKnownHosts;
HostbasedAcceptedAlgorithms|ssh-ed25519; HostbasedAuthentication;
HostKeyAlgorithms|ssh-ed25519; HostKeyAlias|a; HostName|h; IdentitiesOnly; IdentityAgent|/a;
IdentityFile|/i; IgnoreUnknown|x; IPQoS|lowdelay; KbdInteractiveAuthentication|no;
KbdInteractiveDevices|pam; KexAlgorithms|curve25519-sha256; KnownHostsCommand|/bin/true;
LocalCommand|true; LocalForward|81 h:82; LogLevel|DEBUG; LogVerbose|kex.c:*:*;
MACs|hmac-sha2-256; NoHostAuthenticationForLocalhost; NumberOfPasswordPrompts|1;
PasswordAuthentication|no; PermitLocalCommand; PermitRemoteOpen|none; PKCS11Provider|/p.so;
Port|23; PreferredAuthentications|publickey; ProxyCommand|nc; ProxyJump|j; ProxyUseFdpass;
PubkeyAcceptedAlgorithms|ssh-ed25519; PubkeyAuthentication|no; RekeyLimit|1G;
RemoteCommand|true; RemoteForward|83 h:84; RequestTTY|force; RequiredRSASize|3072;
RevokedHostKeys|/r; SecurityKeyProvider|/s.so; SendEnv|X; ServerAliveCountMax|9;
ServerAliveInterval|9; SessionType|none; SetEnv|A=b; StdinNull; StreamLocalBindMask|0111;
StreamLocalBindUnlink; StrictHostKeyChecking|accept-new; SyslogFacility|DAEMON;
TCPKeepAlive|no; Tunnel; TunnelDevice|1:1; UpdateHostKeys|ask; User|u; UserKnownHostsFile|/k;
VerifyHostKeyDNS; VisualHostKey; XAuthLocation|/x
'''.split(';'))


class Settings(lib.Case):
    def setUp(self):
        super().setUp()
        self.config = os.path.join(self.dir, 'ssh_config')
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write(CONFIG)

    def explain(self, *args):
        return self.muster('explain', '-F', self.config, '--json', *args)

    def row(self, document, keyword):
        found = [r for r in document['settings'] if r['keyword'] == keyword]
        self.assertEqual(len(found), 1, (keyword, document['settings']))
        return found[0]

    def test_file_and_line(self):
        d = self.explain('web1').json
        self.assertEqual((d['node'], d['known'], d['host'], d['user'], d['port'], d['transport']),
                         ('web1', False, '127.0.0.1', 'deploy', 22, 'ssh'))
        self.assertEqual(self.row(d, 'User')['source'], self.config + ':2')
        self.assertEqual(self.row(d, 'User')['verdict'], 'honoured')
        self.assertEqual(self.row(d, 'LocalForward')['verdict'], 'left out')
        self.assertEqual(self.row(d, 'Compression')['verdict'], 'no difference')
        self.assertEqual(d['knownHosts'], [])

    def test_flags_and_options_come_first(self):
        d = self.explain('-l', 'root', '-o', 'ConnectTimeout=3', 'web1').json
        self.assertEqual(d['user'], 'root')
        self.assertEqual(self.row(d, 'user')['source'], 'flag')
        self.assertEqual(self.row(d, 'User')['verdict'], 'overridden')
        self.assertEqual(self.row(d, 'ConnectTimeout')['source'], 'flag')

    def test_an_option_is_told_once(self):
        d = self.explain('-o', 'UserKnownHostsFile=/kh', '-o', 'StrictHostKeyChecking=no', '-o',
                         'IdentityFile=/key', 'web1').json
        keywords = [r['keyword'] for r in d['settings']]
        for own, keyword in (('known_hosts', 'UserKnownHostsFile'), ('identity', 'IdentityFile'),
                             ('strict_host_key', 'StrictHostKeyChecking')):
            self.assertNotIn(own, keywords)
            row = self.row(d, keyword)
            self.assertEqual((row['source'], row['verdict']), ('flag', 'honoured'))
        d = self.explain('--identity', '/mine', '-o', 'IdentityFile=/key', 'web1').json
        self.assertEqual([self.row(d, k)['verdict'] for k in ('identity', 'IdentityFile')],
                         ['honoured', 'honoured'])
        d = self.explain('--identity', '/mine', '-o', 'IdentityFile=none', 'web1').json
        self.assertEqual(self.row(d, 'identity')['verdict'], 'overridden')

    def test_one_host(self):
        for name in ('web[1-2]', 'web1,web2', '@web', 'web*'):
            self.refused(self.muster('explain', name), 2, name + ': explain takes one host')
        d = self.explain('ann@[::1]:23').json
        self.assertEqual((d['host'], d['user'], d['port']), ('::1', 'ann', 23))

    def test_openssh_and_refused(self):
        done = self.explain('agent1')
        d = done.json
        self.assertEqual((done.rc, d['transport'], d['reason']), (0, 'openssh', None))
        self.assertIn('ForwardAgent', d['why'])
        self.assertEqual(self.row(d, 'ForwardAgent')['verdict'], 'openssh')
        done = self.explain('odd1')
        self.assertEqual((done.rc, done.json['reason']), (4, 'unsupported'))
        self.assertEqual(self.row(done.json, 'RemoteCommand')['verdict'], 'refused')

    def test_a_match_is_named(self):
        d = self.explain('late1').json
        self.assertEqual((d['port'], self.row(d, 'Port')['source']),
                         (2200, self.config + ':13 (Match)'))

    def sourced(self, text, host, keyword, *args):
        """(value, source) of a row, in the file with this text; the path is left out of the source."""
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write(text)
        row = self.row(self.explain(*args, host).json, keyword)
        return row['value'], row['source'].replace(self.config, 'F')

    def test_a_match_that_does_not_apply_is_not_the_source(self):
        text = ('Match host other\n  User wrong\n  ConnectTimeout 9\nHost web\n  User right\n'
                'Match host web\n  User late\n  ConnectTimeout 1m\n  ServerAliveInterval 5\n'
                'Host *\n  ServerAliveInterval 5\n  ConnectTimeout 7\n')
        self.assertEqual(self.sourced(text, 'web', 'User'), ('right', 'F:5'))
        self.assertEqual(self.sourced(text, 'web', 'ConnectTimeout'), ('60', 'F:8 (Match)'))
        self.assertEqual(self.sourced(text, 'else', 'ConnectTimeout'), ('7', 'F:12'))
        # Either line has the value: nobody but ssh knows which one it took.
        self.assertEqual(self.sourced(text, 'web', 'ServerAliveInterval'),
                         ('5', 'F:9 (Match) or F:11'))
        self.assertNotIn('User', [r['keyword'] for r in self.explain('else').json['settings']])

    def test_sources_of_what_adds_up_and_of_what_ssh_fills_in(self):
        text = ('Host web\n  IdentityFile ~/.ssh/a\n  HostName %h.example\n'
                'Match host *.example\n  IdentityFile ~/.ssh/b\nMatch host other\n'
                '  IdentityFile ~/.ssh/c\n  HostName x\nHost *\n  IdentityFile ~/.ssh/d\n')
        self.assertEqual(self.sourced(text, 'web', 'IdentityFile')[1], 'F:2, F:5 (Match), F:10')
        self.assertEqual(self.sourced(text, 'web', 'HostName'), ('web.example', 'F:3'))
        self.assertEqual(self.sourced('Host *\n  User a\n', 'web', 'User', '-o', 'User=b'),
                         ('b', 'flag'))
        self.assertEqual(self.sourced('Host *\n  ProxyJump j\n  ProxyCommand nc %h\n', 'web',
                                      'ProxyJump'), ('j', 'F:2'))
        row = self.row(self.explain('web').json, 'ProxyCommand')
        self.assertEqual((row['verdict'], row['note']), ('overridden', 'ProxyJump comes first'))

    def test_a_circle_of_jump_hosts(self):
        with open(self.config, 'a', encoding='utf-8') as f:
            f.write('Host c1\n  ProxyJump c2\nHost c2\n  ProxyJump c1\n')
        done = self.explain('c1')
        self.assertEqual((done.rc, done.json['reason']), (4, 'unreachable'))
        self.assertIn('circle: c2 would be reached through itself', done.json['error'])
        self.assertEqual([h['host'] for h in done.json['hops']], ['c1', 'c2'])
        self.assertEqual(self.explain('inner1').json['error'], None)

    def test_a_known_line_is_told_once(self):
        key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI' + 'A' * 43
        path = self.write('kh', '[127.0.0.1]:2200,127.0.0.1 %s\n' % key)
        d = self.explain('-p', '2200', '-o', 'UserKnownHostsFile=%s %s' % (path, path), '127.0.0.1')
        self.assertEqual(d.json['knownHosts'], [path + ':1 ssh-ed25519'])

    def test_keys_add_up(self):
        inventory = self.write('keys.yaml', 'groups:\n  g:\n    nodes: web1\n    host: 127.0.0.1\n'
                               '    identity: /of-node\n')
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write('Host *\n  IdentityFile /of-config\n')
        def keys(*args):
            d = self.explain('-i', inventory, *args, 'web1').json
            own = [(r['value'], r['source']) for r in d['settings'] if r['keyword'] == 'identity']
            return own, [i['text'].split()[0] for i in d['identities']]
        self.assertEqual(keys(), ([('/of-node', 'node or group')], ['/of-node', '/of-config']))
        self.assertEqual(keys('--identity', '/mine'),
                         ([('/mine, /of-node', 'flag, node or group')],
                          ['/mine', '/of-node', '/of-config']))
        self.assertEqual(keys('-o', 'IdentityFile="/an option"')[1],
                         ['/an', '/of-node', '/of-config'])
        self.assertEqual(keys('-o', 'IdentityFile=none')[1], [])

    def test_known_hosts_that_cannot_be_read(self):
        d = self.explain('-o', 'UserKnownHostsFile=' + self.dir, '127.0.0.1').json
        self.assertEqual((d['knownHosts'], d['knownHostsUnread']), ([], [self.dir + ': is not a file']))
        done = self.muster('explain', '-F', self.config, '-o', 'UserKnownHostsFile=' + self.dir,
                           '127.0.0.1')
        self.assertIn(b'not read', done.out)

    def test_what_becomes_of_request_tty(self):
        for value, words in (('force', 'as with --pty'), ('yes', 'as with --pty'),
                             ('no', 'unless --pty')):
            row = self.row(self.explain('-o', 'RequestTTY=' + value, 'web1').json, 'RequestTTY')
            self.assertEqual(row['verdict'], 'honoured')
            self.assertIn(words, row['note'])

    def test_control_masters(self):
        def control(path):
            d = self.explain('-o', 'ControlPath=' + path, '127.0.0.1').json
            return d['transport'], self.row(d, 'ControlPath')['note']
        path = self.path('cm')
        self.assertEqual(control(path)[0], 'ssh')
        self.assertIn('no ControlMaster runs', control(path)[1])
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(16)
            transport, note = control(path)
            self.assertEqual(transport, 'ssh')
            self.assertIn('does not answer', note)
        self.assertEqual(control(path)[0], 'ssh')
        self.assertIn('nobody answers there', control(path)[1])

    def test_every_keyword_of_the_manual_is_told(self):
        """Each that is set has a row with what becomes of it, whether `ssh -G` prints it or not."""
        printed = {line.split()[0].lower() for line in subprocess.run(
            ['ssh', '-F', 'none', '-G', 'localhost'], capture_output=True, text=True,
            check=True).stdout.splitlines() if line} - {'host', 'match'}
        values = {**MANUAL, **{k: 'no' for k in printed - {m.lower() for m in MANUAL}}}
        silent = []
        for keyword, value in sorted(values.items()):
            self.write('one', 'IgnoreUnknown LogVerbose\nHost web\n  %s %s\n' % (keyword, value))
            done = self.muster('explain', '-F', self.path('one'), '--json', 'web')
            rows = [r for r in done.json['settings'] if r['keyword'].lower() == keyword.lower()]
            if len(rows) != 1 or rows[0]['verdict'] == 'not known' or (
                    keyword != 'IgnoreUnknown' and ':3' not in rows[0]['source']):
                silent.append((keyword, rows, done.json['error']))
            elif rows[0]['verdict'] in ('left out', 'openssh', 'refused'):
                self.assertTrue(rows[0]['note'], rows)
        self.assertEqual(silent, [])

    def test_hops(self):
        d = self.explain('-l', 'root', 'inner1').json
        self.assertEqual((d['host'], d['user'], d['address'], d['jump']),
                         ('10.9.9.9', 'root', None, 'second'))
        self.assertEqual(d['hops'], [
            {'host': '127.0.0.1', 'port': 2021, 'user': 'ann', 'address': '127.0.0.1', 'error': None},
            {'host': '10.9.9.8', 'port': 2022, 'user': 'hopper', 'address': None, 'error': None}])
        self.assertEqual(self.explain('web1').json['hops'], [])
        done = self.muster('explain', '-F', self.config, '-J', 'first,bob@[::1]:23', 'web1')
        self.assertIn('  hop 1     127.0.0.1 port 22 (127.0.0.1), user ', done.text)
        self.assertIn('  hop 2     ::1 port 23, user bob\n', done.text)

    def test_all(self):
        few, many = self.explain('web1').json, self.explain('--all', 'web1').json
        self.assertGreater(len(many['settings']), len(few['settings']) + 40)
        self.assertNotIn('not known', [r['verdict'] for r in many['settings']])

    def test_destinations(self):
        d = self.explain('ssh://bob@127.0.0.1:2222').json
        self.assertEqual((d['host'], d['user'], d['port']), ('127.0.0.1', 'bob', 2222))
        d = self.explain('[::1]:2222').json
        self.assertEqual((d['host'], d['port'], d['address']), ('::1', 2222, '::1'))
        d = self.explain('ann@::1').json
        self.assertEqual((d['host'], d['user'], d['port']), ('::1', 'ann', 22))
        done = self.explain('-l', 'eve', 'ann@127.0.0.1')
        self.assertEqual(done.json['user'], 'eve')

    def test_a_local_node(self):
        d = self.explain('db1').json
        self.assertEqual((d['known'], d['transport'], d['host']), (True, 'local', None))

    def test_what_an_inventory_says_in_vain(self):
        inventory = os.path.join(self.dir, 'inventory.yaml')
        with open(inventory, 'w', encoding='utf-8') as f:
            f.write('version: 2\ntargets:\n- name: vain\n  uri: 127.0.0.1\n'
                    '  config: {ssh: {tmpdir: /x, tty: true, password: {_plugin: prompt}}}\n')
        said = self.ok('explain', 'vain', '-i', inventory, '-F', self.config)
        self.assertIn('not used    ssh.tmpdir, ssh.tty, ssh.password (a secret)\n', said.text)
        said = self.ok('node', 'vain', '-i', inventory)
        self.assertRegex(said.text, r'bolt\.not_used +ssh\.tmpdir, ssh\.tty, ssh\.password')

    def test_localhost_of_ssh_config_is_said_to_be_unused(self):
        said = 'what ssh_config says of localhost is not used'
        d = self.explain('localhost').json
        self.assertEqual(d['transport'], 'local')
        self.assertNotIn(said, d['why'])
        done = self.ok('run', '-F', self.config, '-w', 'localhost', '--', 'true')
        self.assertNotIn(said, done.err)
        with open(self.config, 'a', encoding='utf-8') as f:
            f.write('Host localhost\n  Port 2202\n  User plain\n')
        d = self.explain('localhost').json
        self.assertEqual(d['transport'], 'local')
        self.assertIn(said, d['why'])
        self.assertIn('--transport ssh', d['why'])
        done = self.ok('run', '-F', self.config, '-w', 'localhost', '--', 'true')
        self.assertEqual(done.err.count(said), 1, done.err)
        d = self.explain('--transport', 'ssh', 'localhost').json
        self.assertEqual((d['transport'], d['port'], d['user']), ('ssh', 2202, 'plain'))
        self.assertNotIn(said, d['why'])

    def test_for_people(self):
        done = self.muster('explain', '-F', self.config, 'web1')
        self.assertEqual(done.rc, 0, done)
        self.assertIn('transport   ssh\n', done.text)
        self.assertIn('unknown', done.text)
        for line in done.lines:
            if self.dir not in line:
                self.assertLessEqual(len(line), 80, line)

    def test_broken_config(self):
        """Nothing but the trouble: its cause, not whatever ssh said first."""
        with open(self.config, 'a', encoding='utf-8') as f:
            f.write('Nonsense yes\n')
        done = self.explain('web1')
        self.assertEqual((done.rc, done.json['settings'], done.json['port']), (4, [], None))
        self.assertIn('Bad configuration option: nonsense', done.json['error'])
        self.assertNotIn('terminating', done.json['error'])
        done = self.muster('explain', '-F', self.config, 'web1')
        self.assertIn('Bad configuration option', ' '.join(done.text.split()))
        self.assertNotIn('port 0', done.text)
        self.assertNotIn('honoured', done.text)
        self.assertNotIn('defaults', done.text)

    def test_the_cause_is_not_the_first_line(self):
        ssh = self.write('bin/ssh', '#!/bin/sh\n'
                         'echo "Pseudo-terminal will not be allocated because stdin is not" >&2\n'
                         'echo "the first cause" >&2; echo "the second" >&2\nexit 255\n')
        os.chmod(ssh, 0o755)
        path = self.path('bin') + ':' + self.env['PATH']
        d = self.muster('explain', '--json', 'web1', env={'PATH': path}).json
        self.assertTrue(d['error'].endswith('failed: the first cause; the second'), d['error'])

    def test_a_match_that_hangs_is_bounded(self):
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write('Match exec "sleep 60"\n  User x\n')
        begin = time.monotonic()
        done = self.explain('-t', '1', 'web1')
        self.assertLess(time.monotonic() - begin, 15)
        self.assertEqual(done.rc, 4, done)
        self.assertIn('took more than 1 s', done.json['error'])
        self.assertIn('Match exec', done.json['error'])

    def test_a_revocation_list_is_for_ssh_itself(self):
        with open(self.path('krl'), 'wb') as f:
            f.write(b'SSHKRL\n\0\0\0\0\1')
        done = self.explain('-o', 'RevokedHostKeys=' + self.path('krl'), 'web1')
        self.assertEqual((done.rc, done.json['transport']), (0, 'openssh'))
        self.assertIn('revocation list', done.json['why'])

    def test_usage(self):
        done = self.muster('explain')
        self.assertEqual(done.rc, 2, done)

    def test_nothing_is_written(self):
        self.explain('--connect', '-p', '1', 'web1')
        done = self.muster('history', '--json')
        self.assertEqual(done.json['total'], 0)


@unittest.skipUnless(rig.available(), 'no sshd')
class Connecting(lib.Case):
    def test_stages_and_outcome(self):
        with rig.Rig() as r:
            usual = ['--connect', '--json', '-F', 'none', '-p', r.env['RIG_PORT'], '-l',
                     r.env['RIG_USER'], '--identity', r.env['RIG_KEY'], '-o',
                     'UserKnownHostsFile=' + r.env['RIG_KNOWN_HOSTS']]
            done = self.muster('explain', *usual, '127.0.0.1')
            d = done.json
            self.assertEqual((done.rc, d['outcome'], d['reason'], d['transport']),
                             (0, 'reached', None, 'ssh'))
            texts = ' / '.join(s['text'] for s in d['stages'])
            for stage in ('connecting to 127.0.0.1', 'host key', 'authenticated as', 'command runs'):
                self.assertIn(stage, texts)
            self.assertEqual(sorted(s['ms'] for s in d['stages']), [s['ms'] for s in d['stages']])
            self.assertTrue(d['knownHosts'][0].startswith(r.env['RIG_KNOWN_HOSTS'] + ':'))
            self.assertTrue(any(i['offered'] and r.env['RIG_KEY'] in i['text']
                                for i in d['identities']))
            locked = list(usual)
            locked[locked.index(r.env['RIG_KEY'])] = r.env['RIG_KEY_LOCKED']
            locked += ['-o', 'IdentitiesOnly=yes']
            done = self.muster('explain', *locked, '127.0.0.1')
            self.assertEqual((done.rc, done.json['reason']), (4, 'auth'))
            t = lib.Terminal(self, 'explain', *locked, '127.0.0.1')
            t.expect(b'Passphrase for ' + r.env['RIG_KEY_LOCKED'].encode())
            self.assertFalse(t.echo())
            t.type(r.env['RIG_KEY_LOCKED_PASSPHRASE'].encode() + b'\n')
            self.assertEqual(t.end(), 0, t.seen)
            self.assertIn(b'"outcome":"reached"', t.seen)
            t = lib.Terminal(self, 'explain', *locked, '127.0.0.1')
            t.expect(b'Passphrase for ')
            t.type(b'\x03')
            lib.until(lambda: t.read(0) and t.echo(), 'the echo')
            self.assertEqual(t.end(), -signal.SIGINT)
            usual[-1] = 'UserKnownHostsFile=' + r.env['RIG_KNOWN_HOSTS_EMPTY']
            done = self.muster('explain', *usual, '127.0.0.1')
            self.assertEqual((done.rc, done.json['reason'], done.json['knownHosts']),
                             (4, 'hostkey', []))


if __name__ == '__main__':
    unittest.main()
