# SPDX-License-Identifier: Apache-2.0
"""Passwords: asked for on the terminal without echo, read from a descriptor, never kept, never seen."""
import os
import pty
import signal
import subprocess

from lib import MUSTER, Case, Terminal, main, until

# What sudo is to muster: -S reads the password from standard input after the prompt of -p.
SUDO = r"""#!/bin/sh
echo "$@" >>"$MUSTER_TEST/sudo.args"
prompt= user=root
while [ $# -gt 0 ]; do
    case $1 in
    -p) prompt=$2; shift 2;;
    --prompt=*) prompt=${1#*=}; shift;;
    -u) user=$2; shift 2;;
    --) shift; break;;
    -*) shift;;
    *) break;;
    esac
done
printf %s "$prompt" >&2
IFS= read -r got
[ "$got" = "Sesame!" ] || { echo "Sorry, try again." >&2; printf %s "$prompt" >&2; exit 1; }
echo "$user" >>"$MUSTER_TEST/sudo.users"
exec "$@"
"""


class Passwords(Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path('bin'))
        with open(self.path('bin', 'sudo'), 'w') as f:
            f.write(SUDO)
        os.chmod(self.path('bin', 'sudo'), 0o755)
        self.env['PATH'] = self.path('bin') + ':' + self.env['PATH']

    def nowhere(self, *secrets):
        """None of the files that muster has written holds any of these."""
        for folder, _, names in os.walk(self.dir):
            for name in names:
                with open(os.path.join(folder, name), 'rb') as f:
                    text = f.read()
                for secret in secrets:
                    if name != 'sudo':
                        self.assertNotIn(secret, text, os.path.join(folder, name))

    def test_asked_once_without_echo(self):
        t = Terminal(self, 'run', '-A', '--become', 'none', '-w', 'n[001-003]', '--', 'echo fine')
        t.expect(b'SSH password: ')
        self.assertFalse(t.echo())
        self.assertEqual(self.rows(), (0, 0))  # before anything is written
        t.type(b'Sesame!\n')
        t.expect(b'n003: fine')
        self.assertEqual(t.end(), 0)
        self.assertEqual(t.seen.count(b'password'), 1)
        self.assertNotIn(b'Sesame', t.seen)
        self.nowhere(b'Sesame!')
        self.assertTrue(self.status()['batch']['parameters']['password'])

    def test_interrupted(self):
        for key, ends in ((b'\x03', -signal.SIGINT), (b'\x1c', -signal.SIGQUIT)):
            t = Terminal(self, 'run', '-A', '-w', 'n001', '--', 'echo fine')
            t.expect(b'SSH password: ')
            self.assertFalse(t.echo())
            t.type(b'Ses' + key)
            self.assertEqual(t.end() if key != b'\x03' else self.end_with_echo(t), ends)
        self.assertEqual(self.rows(), (0, 0))

    def end_with_echo(self, t):
        """The end, with a look at the terminal before it goes: the echo is on again."""
        until(lambda: t.read(0) and t.echo(), 'the echo')
        return t.end()

    def test_no_answer(self):
        t = Terminal(self, 'run', '-A', '-w', 'n001', '--', 'echo fine')
        t.expect(b'SSH password: ')
        t.type(b'\n')
        self.assertEqual(t.end(), 2)
        self.assertIn(b'nothing was run', t.seen)
        self.assertEqual(self.rows(), (0, 0))

    def test_stopped_and_continued(self):
        shell = Terminal.__new__(Terminal)
        shell.seen, shell.status = b'', None
        shell.pid, shell.master = pty.fork()
        if shell.pid == 0:
            os.chdir(self.dir)
            os.execve('/bin/bash', ['bash', '--norc', '--noediting', '-i'], dict(self.env, PS1='$ '))
        shell.expect(b'$ ')
        shell.type(MUSTER.encode() + b' run -A --become none -w n001 -- echo fine\n')
        shell.expect(b'SSH password: ')
        shell.type(b'\x1a')
        shell.expect(b'Stopped')
        until(lambda: shell.read(0) and shell.echo(), 'the echo')
        shell.seen = b''
        shell.type(b'fg\n')
        shell.expect(b'SSH password: ')
        self.assertFalse(shell.echo())
        shell.type(b'Sesame!\n')
        shell.expect(b'n001: fine')
        shell.expect(b'$ ')
        shell.type(b'exit\n')
        self.assertEqual(shell.end(), 0)

    def test_from_a_descriptor(self):
        r, w = os.pipe()
        os.write(w, b'Sesame!\nSecond!\n')
        os.close(w)
        p = subprocess.run([MUSTER, 'run', '--password-fd', str(r), '-w', 'n001', '--json', '--',
                            'cat /proc/self/environ; ls -l /proc/self/fd'],
                           env=self.env, pass_fds=[r], capture_output=True, start_new_session=True)
        # One line of it: the rest is still there for whoever reads on.
        self.assertEqual(os.read(r, 100), b'Second!\n')
        os.close(r)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertNotIn(b'Sesame', p.stdout + p.stderr)
        self.nowhere(b'Sesame!')

    def test_a_rerun_asks_again(self):
        p = self.muster('run', '--password-fd', '0', '-w', 'n001', '--', 'true', input=b'Sesame!\n')
        self.assertEqual(p.rc, 0, str(p))
        self.refused(self.muster('rerun', '--all'), 2, 'no terminal', '--password-fd N')
        self.ok('rerun', '--all', '--password-fd', '0', input=b'Sesame!\n')
        t = Terminal(self, 'rerun', '--all')
        t.expect(b'SSH password: ')
        t.type(b'Sesame!\n')
        self.assertEqual(t.end(), 0)
        self.assertEqual(self.rows()[0], 3)

    def test_one_reader_of_standard_input(self):
        for flags, words in ((['-w', 'n001', '--stdin', '-', '--password-fd', '0'],
                              ['--stdin -', '--password-fd 0']),
                             (['-w', '-', '--stdin', '-'], ['standard input']),
                             (['-w', '-', '--sudo-password-fd', '0'], ['standard input'])):
            self.refused(self.muster('run', *flags, '--', 'true', input=b'n001\n'), 2, *words)
        self.write('request.json', '{}')
        self.refused(self.muster('run', '--request', '-', '--stdin', '-', input=b'{"action": "true"}'), 2,
                     '--request -', '--stdin -')
        self.assertEqual(self.rows(), (0, 0))

    def test_what_does_not_go_together(self):
        for flags, words in ((['-A', '--password-fd', '5'], ['--ask-password', '--password-fd']),
                             (['-K', '--sudo-password-fd', '5'], ['--sudo-password-fd']),
                             (['--sudo', '--become', 'su'], ['--sudo and --become']),
                             (['--sudo=a', '--become-user', 'b'], ['--sudo=a and --become-user']),
                             (['--become', 'none', '-K'], ['--become none', '--ask-sudo-password']),
                             (['--become', 'pseudo'], ['sudo|su|doas|none']),
                             (['--sudo='], ['--sudo=', 'empty']),
                             (['--env', 'A'], ['NAME=VALUE']), (['--env', 'A B=c'], ['no name']),
                             (['--transport', 'telnet'], ['ssh|openssh|local|exec']),
                             (['--stdin', '/no/such'], ['/no/such', 'No such file']),
                             (['--stdin', '.'], ['a folder']),
                             (['--stdin', 'in.%n'], ['2 of 2 input files', 'in.n002']),
                             (['--password-fd', '77'], ['--password-fd 77', 'Bad file descriptor'])):
            r = self.muster('run', '-w', 'n[001-002]', *flags, '--', 'true')
            self.refused(r, 2, *words)
        self.assertEqual(self.rows(), (0, 0))

    def test_nodes_without_a_way(self):
        self.write('inventory.yaml', 'defaults: {transport: local}\nnodes:\n'
                   '  "box[1-2]": {transport: exec}\n  box3: {transport: exec, exec: "sh -c {command}"}\n'
                   '  far1: {transport: ssh, jump: "b1,-oX"}\n  near1: {}\n')
        r = self.muster('run', '-w', 'box[1-3],near1,far1', '--json', '--', 'true')
        self.assertEqual(r.rc, 2, str(r))
        error = r.json['error']
        for text in ('box1, box2, far1: ', 'command template'):
            self.assertIn(text, error['message'])
        self.assertEqual([x.split(':')[0] for x in error['details']], ['box1', 'box2', 'far1'])
        self.assertIn('"-oX" is not a jump host', error['details'][2])
        self.refused(self.muster('run', '--transport', 'exec', '-w', 'near1', '--', 'true'), 2,
                     'near1: ', 'command template')
        for chain in ('a b', 'b1,', 'b1:99999'):
            r = self.muster('run', '--transport', 'ssh', '-J', chain, '-w', 'near1', '--', 'true')
            self.refused(r, 2, 'near1: ', 'is not a jump host')
        self.assertEqual(self.rows(), (0, 0))
        self.ok('run', '-J', 'none', '-w', 'box3,near1', '--', 'true')

    def test_flags_that_would_be_lost(self):
        self.write('inventory.yaml', 'defaults: {transport: local}\nnodes:\n'
                   '  box1: {transport: exec, exec: "sh -c {command}"}\n'
                   '  box2: {transport: exec, exec: "env A={user} sh -c {command}"}\n'
                   '  near1: {port: 2222, jump: b1}\n')
        for flags, nodes, words in (
                (['-p', '99'], 'near1,box1', ['near1, box1: ', '--port has no effect', 'local uses no ssh']),
                (['-J', 'bast'], 'near1', ['near1: ', '--jump has no effect']),
                (['--identity', '/key'], 'box1', ['box1: ', '--identity has no effect', 'exec uses no']),
                (['-l', 'eve'], 'box1,box2', ['box1: ', '--user has no effect', '{user}']),
                (['-l', 'eve'], 'near1', ['near1: ', 'user eve', '--sudo=eve']),
                (['-p', '9'], 'box2', ['box2: ', '--port has no effect'])):
            self.refused(self.muster('run', *flags, '-w', nodes, '--', 'true'), 2, *words)
        self.assertEqual(self.rows(), (0, 0))
        r = self.ok('run', '-l', 'eve', '-w', 'box2', '--', 'echo by $A')
        self.assertEqual(r.text, 'box2: by eve\n')
        self.ok('run', '-w', 'near1', '--', 'true')  # what the inventory says is not asked for

    def test_sudo_by_its_own_protocol(self):
        t = Terminal(self, 'run', '-K', '-w', 'n[001-002]', '--', 'echo by sudo')
        t.expect(b'sudo password: ')
        self.assertFalse(t.echo())
        t.type(b'Sesame!\n')
        t.expect(b'n002: by sudo')
        self.assertEqual(t.end(), 0)
        self.assertEqual(self.read('sudo.users'), b'root\nroot\n')
        self.assertIn(b'-S', self.read('sudo.args'))
        self.assertNotIn(b'Sesame', self.read('sudo.args') + t.seen)
        self.nowhere(b'Sesame!')

    def test_sudo_takes_the_ssh_password(self):
        t = Terminal(self, 'run', '-A', '-K', '--sudo=app', '-w', 'n001', '--', 'echo by sudo')
        t.expect(b'SSH password: ')
        t.type(b'Sesame!\n')
        t.expect(b'[defaults to SSH password]: ')
        t.type(b'\n')
        t.expect(b'n001: by sudo')
        self.assertEqual(t.end(), 0)
        self.assertEqual(self.read('sudo.users'), b'app\n')

    def test_explain_tells_whether_sudo_works(self):
        t = Terminal(self, 'explain', '-K', '--connect', 'n001')
        t.expect(b'sudo password: ')
        t.type(b'Sesame!\n')
        self.assertEqual(t.end(), 0)
        self.assertIn(b'reached, and by sudo as root', t.seen)
        wrong = ['--sudo=app', '--sudo-password-fd', '0']
        for flags, given, words in ((wrong, b'Wrong!\n', 'wrong password'), (['--sudo'], b'', 'sudo')):
            r = self.muster('explain', '--connect', *flags, 'n001', input=given)
            self.assertEqual(r.rc, 4, str(r))
            self.assertIn(words, r.text)
        self.assertEqual(self.rows(), (0, 0))

    def test_detached(self):
        t = Terminal(self, 'run', '-K', '--detach', '-w', 'n001', '--', 'echo by sudo')
        t.expect(b'sudo password: ')
        t.type(b'Sesame!\n')
        self.assertEqual(t.end(), 0)
        d = self.wait_ended()
        self.assertEqual(d['executions'][0]['result']['stdout'], 'by sudo\n')


if __name__ == '__main__':
    main()
