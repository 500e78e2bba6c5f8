#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The real program in a pseudo-terminal under a shell: the terminal is restored on every way out,
Ctrl-Z frees it while a batch goes on, and a batch outlives its screen.

usage: test_terminal.py MUSTER"""
import fcntl, json, os, pty, re, select, shutil, signal, struct, subprocess, sys, tempfile
import termios, time

MUSTER = os.path.abspath(sys.argv.pop(1))
DEADLINE = 20


class Shell:
    """An interactive bash in a pty, with job control."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='muster-tty-')
        with open(self.dir + '/inv.yaml', 'w') as f:
            f.write('nodes: {"n[1-3]": {transport: local}}\ngroups: {all3: {nodes: "n[1-3]"}}\n')
        with open(self.dir + '/inputrc', 'w') as f:
            f.write('set enable-bracketed-paste off\n')
        self.env = dict(os.environ, INPUTRC=self.dir + '/inputrc', HOME=self.dir, PS1='$ ',
                        TERM='xterm-256color', LC_ALL='C.UTF-8', LINES='99', COLUMNS='10',
                        MUSTER_DB=self.dir + '/m.db', MUSTER_CONFIG='/dev/null',
                        MUSTER_INVENTORY=self.dir + '/inv.yaml')
        self.env.pop('TMUX', None)
        self.out = b''
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe('bash', ['bash', '--norc', '--noprofile', '-i'], self.env)
        self.resize(80, 24)
        self.expect(r'\$ ')

    def resize(self, cols, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, cols, 0, 0))

    def send(self, text):
        os.write(self.fd, text.encode())

    def read(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                self.out += os.read(self.fd, 65536)
            except OSError:
                pass

    def expect(self, pattern):
        """Waits until what came since the last match has this, and forgets it up to there."""
        end = time.monotonic() + DEADLINE
        while True:
            text = self.out.decode('utf-8', 'replace')
            plain = re.sub(r'\x1b\[[0-?]*[ -/]*[@-~]|\x1b[()][0-9A-B]|[\x0e\x0f]', '', text)
            if re.search(pattern, plain):
                self.last, self.out = text, b''
                return plain
            if time.monotonic() > end:
                raise AssertionError('never saw %r in %r' % (pattern, plain[-2000:]))
            self.read(0.1)

    def start(self):
        self.send(MUSTER + '; echo ended=$?\n')
        self.expect(r'\? help')

    def processes(self):
        """The parent and the child, by their process ids."""
        out = subprocess.run(['ps', '-eo', 'pid,ppid,args'], stdout=subprocess.PIPE, text=True).stdout
        rows = [line.split(None, 2) for line in out.splitlines()]
        mine = [(int(p), int(pp)) for p, pp, args in rows[1:] if args == MUSTER]
        parent = [p for p, pp in mine if pp == self.pid]
        child = [p for p, pp in mine if parent and pp == parent[0]]
        return (parent or [None])[0], (child or [None])[0]

    def ended(self, status):
        self.expect(r'(?s)ended=%d\r\n.{0,80}\$ ' % status)

    def check_restored(self, text):
        """Alternate screen, paste mode and cursor as before, in the order of what was written."""
        for on, off in (('\x1b[?1049h', '\x1b[?1049l'), ('\x1b[?2004h', '\x1b[?2004l'),
                        ('\x1b[?25l', '\x1b[?25h')):
            assert text.rfind(off) > text.rfind(on), (off, text[-500:])
        self.send('stty -a\n')
        modes = self.expect(r'(?s)stty -a\r\n.*\$ $')
        assert re.search(r' icanon', modes) and re.search(r' echo ', modes), modes

    def muster(self, *args):
        return subprocess.run([MUSTER, *args], env=self.env, stdout=subprocess.PIPE,
                              text=True, timeout=DEADLINE)

    def run_batch(self, command):
        self.send('c')
        self.expect(r'all3')
        self.send(' 2e')
        self.expect(r'editing')
        self.send(command + '\r')
        self.send('x')
        self.expect(r'y runs it')
        self.send('y')
        self.expect(r'RUNNING')

    def wait_status(self, status):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            r = self.muster('status', '--json')
            if r.returncode == 0 and json.loads(r.stdout)['batch']['status'] == status:
                return json.loads(r.stdout)
            time.sleep(0.1)
        raise AssertionError('never %s: %s' % (status, r.stdout))

    def close(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except ProcessLookupError:
            pass
        if self.fd >= 0:
            os.close(self.fd)
        shutil.rmtree(self.dir, ignore_errors=True)


def restored_by_quit(s):
    s.start()
    s.send('q')
    s.ended(0)
    s.check_restored(s.last)


def restored_by_signals(s):
    for sig, to_child, status in ((signal.SIGTERM, True, 143), (signal.SIGTERM, False, 143),
                                  (signal.SIGQUIT, True, 131), (signal.SIGSEGV, True, 139),
                                  (signal.SIGABRT, True, 134), (signal.SIGKILL, True, 137)):
        s.start()
        parent, child = s.processes()
        os.kill(child if to_child else parent, sig)
        s.ended(status)
        s.check_restored(s.last)


def resizes(s):
    s.start()
    for cols, rows in ((100, 30), (41, 11), (20, 5), (120, 35), (80, 24)):
        s.resize(cols, rows)
        s.expect(r'too small 20x5' if cols == 20 else r'help')
    s.send('q')
    s.ended(0)


def suspends(s):
    s.start()
    s.run_batch('sleep 2')
    s.send('\x1a')
    s.expect(r'Stopped[^$]*\$ ')
    s.check_restored(s.last)
    s.send('echo typed\n')
    s.expect(r'typed\r\n\$ ')
    s.wait_status('success')  # while it is stopped
    s.send('fg\n')
    s.expect(r'3/3')
    s.send('5q')
    s.expect(r'\$ ')
    s.check_restored(s.last)


def left_running(s):
    s.start()
    s.run_batch('sleep 2')
    s.send('5q')
    s.expect(r'l leave.*Esc stay')
    s.send('l')
    s.ended(0)
    assert s.wait_status('success')['batch']['stats']['success'] == 3


def hung_up(s):
    s.start()
    s.run_batch('sleep 2')
    os.close(s.fd)
    s.fd = -1
    assert s.wait_status('success')['batch']['stats']['success'] == 3


def parent_killed(s):
    s.start()
    s.run_batch('sleep 2')
    os.kill(s.processes()[0], signal.SIGKILL)
    s.ended(137)
    s.send('echo typed\n')
    s.expect(r'\ntyped')
    assert s.wait_status('success')['batch']['stats']['success'] == 3


def quits_with_the_last_batch(s):
    """The question closes itself once there is nothing left to ask about."""
    s.start()
    s.run_batch('sleep 2')
    s.send('5q')
    s.expect(r'l leave')
    s.expect(r'all batches of this muster have ended')
    s.send('q')
    s.ended(0)


def leaves_an_empty_screen(s):
    s.start()
    s.send('q')
    s.ended(0)
    before = s.last[:s.last.rindex('\x1b[?1049l')]
    assert re.search(r'\x1b\[H\x1b\[2?J', before), before
    assert 'History' not in before[before.rindex('\x1b[H'):], before


def told_before_the_screen(s):
    """What keeps the screen from opening is told as an error, with no terminal taken over."""
    with open(s.dir + '/m.db', 'w') as f:
        f.write('this is no database, however long it is' * 100)
    for prefix, said, status in (('', r'm\.db', 1), ('TERM=dumb', 'TERM=dumb', 2),
                                 ('TERM=', 'TERM is not set', 2),
                                 ('TERM=no-such', 'no terminal description', 2)):
        s.send('%s %s 2>%s/err; echo ended=$?\n' % (prefix, MUSTER, s.dir))
        s.ended(status)
        assert '\x1b[?1049h' not in s.last, s.last
        with open(s.dir + '/err') as f:
            err = f.read()
        assert re.search('^muster: .*' + said, err), err


def pasted(s):
    s.start()
    s.send('/\x1b[200~a\rb\x1b[201~')
    s.expect(r'a\^Jb')
    s.send('\x1b')
    s.send('q')
    s.ended(0)


def pasted_unbracketed(s):
    """A terminal that does not bracket pastes: lines are text all the same, and agree to nothing."""
    s.start()
    s.send('c')
    s.expect(r'all3')
    s.send(' 2e')
    s.expect(r'editing')
    s.send('false\rxy\rq\r')
    s.expect(r'(?s)false\^Jxy\^Jq.*e edit')
    s.send('ke\x15true\x1b')
    s.expect(r'true')
    s.send('xy')
    s.expect(r'press it again, alone')
    assert s.muster('history', '--json').stdout.count('"number"') == 0
    s.send('y')
    s.wait_status('success')
    s.send('5q')
    s.ended(0)


def main():
    tests = (restored_by_quit, restored_by_signals, resizes, suspends, left_running, hung_up,
             parent_killed, quits_with_the_last_batch, leaves_an_empty_screen,
             told_before_the_screen, pasted, pasted_unbracketed)
    chosen = [t for t in tests if not sys.argv[1:] or t.__name__ in sys.argv[1:]]
    print('1..%d' % len(chosen), flush=True)
    failed = False
    for i, test in enumerate(chosen, 1):
        shell = Shell()
        try:
            test(shell)
            print('ok %d %s' % (i, test.__name__), flush=True)
        except Exception as e:
            failed = True
            print('not ok %d %s\n# %s' % (i, test.__name__, str(e).replace('\n', '\n# ')), flush=True)
        finally:
            shell.close()
    return failed


if __name__ == '__main__':
    sys.exit(main())
