# SPDX-License-Identifier: Apache-2.0
"""The rows of the matrix: how a host is set up, and the one outcome that is right. Data only; the
README's table is made from it, so a row's name is written for readers."""

import dataclasses

from world import CODE, KEY_TYPES, PASSPHRASE, password


@dataclasses.dataclass
class Row:
    group: str
    name: str
    server: str = "stock"
    user: str = "plain"
    key: str = "ed25519"        # of the identity file; "": none
    known: str = "right"        # the known_hosts, by its name in servers.py
    config: tuple = ()          # lines of ssh_config, first in the host's block
    extra: str = ""             # whole blocks of ssh_config, after it
    node: dict = dataclasses.field(default_factory=dict)    # settings in the inventory
    flags: tuple = ()
    command: str = "echo in-$((40+2)); id -un"
    stdin: str = ""             # the content of the file {stdin}
    login: str = ""             # the password that -A gets, by a descriptor
    become: str = ""            # the password that -K gets, by a descriptor
    asked: tuple = ()           # (what a question has in it, the answer), typed on the terminal
    agent: str = ""             # of SSH_AUTH_SOCK
    nodes: int = 1
    action: str = "run"         # run, cancel, timeout, or a method of matrix.py
    # What is right:
    transport: str = "ssh"
    reason: str = ""            # "": success
    exit: int = None            # None: 0 when it succeeds, else it is not looked at
    signal: str = None
    remote: str = None
    out: tuple = ("in-42",)
    err: tuple = ()             # what the error has in it: expressions
    seconds: float = 30         # no row takes longer

    @property
    def outcome(self):
        """For people: `ok`, `exit 255`, `hostkey`, `cancelled, stopped`."""
        text = self.reason or "ok"
        if self.reason == "exit":
            text = f"exit {self.exit}"
        if self.reason == "signal":
            text = f"signal {self.signal}"
        return f"{text}, {self.remote}" if self.remote else text


ROWS = []
BOTH = ("ssh", "openssh")


def row(group, name, **more):
    ROWS.append(Row(group, name, **more))


def refused(group, name, reason, *err, **more):
    more.setdefault("out", ())
    row(group, name, reason=reason, err=err, **more)


def forced(transport):
    """The flags that choose it, where it is not the default."""
    return () if transport == "ssh" else ("--transport", transport)


def algorithms():
    g = "algorithms"
    row(g, "OpenSSH 9.2 as it comes")
    row(g, "DH group 14, AES-256-CTR, HMAC-SHA2-512 only", server="classic")
    row(g, "ChaCha20 and AES-GCM only", server="hardened", transport="openssh")
    row(g, "encrypt-then-MAC only", server="etm", transport="openssh")
    row(g, "sntrup761 only", server="sntrup", transport="openssh")
    row(g, "RSA host key only", server="rsahost", transport="openssh")
    row(g, "dropbear", server="dropbear")
    row(g, "IPv6", server="ipv6")


def keys():
    g = "keys"
    forms = {"": "OpenSSH", "_pem": "PEM", "_pkcs8": "PKCS#8"}
    for kind in KEY_TYPES:
        for form, what in forms.items():
            if kind == "ed25519" and form == "_pem":
                continue
            row(g, f"{kind} file, {what}", key=kind + form)
            row(g, f"{kind} file, {what}, encrypted", key=kind + form + "_locked",
                asked=(("assphrase", PASSPHRASE),))
        row(g, f"{kind} in the agent", key="", agent=kind)
    row(g, "rsa against dropbear", key="rsa", server="dropbear", transport="openssh")
    row(g, "passphrase on the transport openssh", key="ed25519_locked", flags=forced("openssh"),
        transport="openssh", asked=(("assphrase", PASSPHRASE),))
    refused(g, "wrong passphrase", "auth", "passphrase", server="tries", key="ed25519_locked",
            asked=(("assphrase", "wrong"),) * 3)
    refused(g, "a key that nobody has authorised", "auth", "stranger", server="tries", key="stranger")
    row(g, "IdentitiesOnly finds the one of nine in the agent", server="tries", agent="many",
        config=("IdentitiesOnly yes",))
    refused(g, "no agent and no key", "auth", server="tries", key="", agent="absent")
    row(g, "dead agent, key in a file", agent="dead")
    refused(g, "dead agent, no key", "auth", "agent", server="tries", key="", agent="dead")
    refused(g, "hung agent", "auth", "agent", server="tries", key="", agent="hung",
            flags=("-t", "6"), seconds=12)
    refused(g, "agent that refuses to sign", "auth", server="tries", key="", agent="refusing")
    row(g, "user certificate", server="usercert", key="certified",
        config=("CertificateFile {keys}/certified-cert.pub",), transport="openssh")


def passwords():
    g = "passwords"
    pw = password("pw")
    for how in BOTH:
        more = {"user": "pw", "key": "", "transport": how, "flags": forced(how)}
        at = "" if how == "ssh" else " (openssh)"
        row(g, "password" + at, server="password", login=pw, **more)
        row(g, "password, asked on the terminal" + at, server="password",
            asked=(("assword", pw),), **{**more, "flags": (*forced(how), "-A")})
        refused(g, "wrong password" + at, "auth", "password", server="password", login="no", **more)
        row(g, "keyboard-interactive, PAM" + at, server="kbd", login=pw, **more)
        refused(g, "keyboard-interactive, wrong" + at, "auth", server="kbd", login="no", **more)
        row(g, "password and a one-time code" + at, server="code", login=pw,
            asked=(("code", CODE),), **more)
        refused(g, "a wrong one-time code" + at, "auth", server="code", login=pw,
                asked=(("code", "1"),) * 6, **more)
        refused(g, "interrupted at the question" + at, "cancelled", server="code", login=pw,
                asked=(("target: ", "\x03"),), **more)
        plain = {"login": password("plain"), "transport": how, "flags": forced(how)}
        row(g, "publickey, then password" + at, server="key+password", **plain)
        row(g, "publickey, then keyboard-interactive" + at, server="key+kbd", **plain)
        row(g, "publickey, then password and code" + at, server="key+code",
            asked=(("code", CODE),), **plain)
        refused(g, "password wanted, none given" + at, "auth", "-A", server="password", **more)


def host_keys():
    g = "host keys"
    for how in BOTH:
        at = "" if how == "ssh" else " (openssh)"
        more = {"transport": how, "flags": forced(how)}
        row(g, "hashed" + at, known="hashed", **more)
        row(g, "a pattern" + at, known="wildcard", **more)
        row(g, "several lines for one host" + at, known="several", **more)
        row(g, "HostKeyAlias" + at, known="alias", config=("HostKeyAlias alias.test",), **more)
        row(g, "another type is known: that one is asked for" + at, known="ecdsa", **more)
        refused(g, "a negated pattern" + at, "hostkey", known="negated", **more)
        row(g, "known without the port, as ssh takes it too" + at, known="port22", **more)
        refused(g, "unknown" + at, "hostkey", known="empty", **more)
        row(g, "unknown, accept-new" + at, known="empty", action="accept_new",
            config=("StrictHostKeyChecking accept-new",), **more)
        for policy, lines in (("", ()), (", accept-new", ("StrictHostKeyChecking accept-new",)),
                              (", StrictHostKeyChecking no", ("StrictHostKeyChecking no",))):
            refused(g, "changed" + policy + at, "hostkey", "differs|changed", known="changed", config=lines,
                    **more)
            refused(g, "revoked" + policy + at, "hostkey", "revoked", known="revoked", config=lines,
                    **more)
        refused(g, "only another key of a type it does not offer is known" + at, "hostkey",
                known="othertype", server="hostcert", **more)
    row(g, "only RSA known", known="rsa", transport="openssh")
    row(g, "host certificate", server="hostcert", known="authority", transport="openssh")


JUMP = ("UserKnownHostsFile {known}\n  GlobalKnownHostsFile none\n  User plain\n"
        "  IdentityFile {keys}/ed25519\n")
BASTION = "Host b1\n  HostName 127.0.0.2\n  Port 2221\n  " + JUMP
BASTION2 = "Host b2\n  HostName bastion2.test\n  Port 2222\n  " + JUMP

PASSWORD_BASTION = ("Host pw\n  HostName 127.0.0.1\n  Port 2207\n  User pw\n"
                    "  UserKnownHostsFile {known}\n  GlobalKnownHostsFile none\n")


def jumps():
    g = "jump hosts"
    for how in BOTH:
        at = "" if how == "ssh" else " (openssh)"
        more = {"transport": how, "flags": forced(how)}
        row(g, "ProxyJump in ssh_config" + at, server="inner", config=("ProxyJump b1",),
            extra=BASTION, **more)
        row(g, "-J" + at, server="inner", extra=BASTION, transport=how,
            flags=(*forced(how), "-J", "b1"))
        row(g, "-J user@host:port" + at, server="inner", transport=how,
            flags=(*forced(how), "-J", "plain@127.0.0.2:2221"),
            extra="Host 127.0.0.2\n  " + JUMP)
        row(g, "jump in the inventory" + at, server="inner", node={"jump": "b1"}, extra=BASTION,
            **more)
        row(g, "two hops" + at, server="deep", config=("ProxyJump b1,b2",), extra=BASTION + BASTION2,
            **more)
        for policy, line in (("", ""), (", StrictHostKeyChecking no", "  StrictHostKeyChecking no\n")):
            trust = {"server": "inner", "config": ("ProxyJump b1",), "extra": BASTION + line, **more}
            refused(g, "bastion changed" + policy + at, "hostkey", "differs|changed",
                    known="wrongbastion", **trust)
            refused(g, "bastion revoked" + policy + at, "hostkey", "revoked",
                    known="revokedbastion", **trust)
        refused(g, "bastion unknown" + at, "hostkey", server="inner", known="nobastion",
                config=("ProxyJump b1",), extra=BASTION, **more)
        row(g, "bastion unknown, accept-new" + at, server="inner", known="nobastion",
            config=("ProxyJump b1",), extra=BASTION + "  StrictHostKeyChecking accept-new\n", **more)
        refused(g, "the second of two bastions unknown" + at, "hostkey", server="deep",
                known="nobastion2", config=("ProxyJump b1,b2",), extra=BASTION + BASTION2, **more)
        row(g, "a bastion with a ProxyJump of its own" + at, server="deep",
            config=("ProxyJump b2",), extra=BASTION + BASTION2 + "  ProxyJump b1\n", **more)
        refused(g, "that one is unknown" + at, "hostkey", server="deep", known="nobastion",
                config=("ProxyJump b2",), extra=BASTION + BASTION2 + "  ProxyJump b1\n", **more)
        refused(g, "the bastion wants a password, none given" + at, "auth",
                config=("ProxyJump pw",), extra=PASSWORD_BASTION, **more)
        row(g, "the bastion wants a password" + at, config=("ProxyJump pw",),
            extra=PASSWORD_BASTION, login=password("pw"), **more)
        refused(g, "the bastion is down" + at, "unreachable", server="inner",
                config=("ProxyJump b1",), extra=BASTION.replace("2221", "2240"), **more)
        refused(g, "the bastion may not open it" + at, "unreachable", server="deep",
                config=("ProxyJump b1",), extra=BASTION, **more)
        refused(g, "the bastion wants another key" + at, "auth", server="inner",
                config=("ProxyJump b1",), extra=BASTION.replace("ed25519", "stranger"), **more)
        row(g, "ProxyCommand" + at, server="inner", extra=BASTION,
            config=("ProxyCommand ssh -F {config} -W %h:%p b1",), **more)
        refused(g, "ProxyCommand that fails" + at, "unreachable", "no such luck",
                config=('ProxyCommand sh -c "echo no such luck >&2; exit 3"',), **more)
    refused(g, "ProxyCommand to an unknown bastion (openssh)", "hostkey", server="inner",
            known="nobastion", extra=BASTION, flags=forced("openssh"), transport="openssh",
            config=("ProxyCommand ssh -F {config} -W %h:%p b1",))
    row(g, "the target wants openssh, the bastion does not", server="inner", known="rsa",
        config=("ProxyJump b1",), extra=BASTION.replace("{known}", "{knowns}/right"),
        transport="openssh")


SUDO = ("--sudo",)


def become():
    g = "sudo, su, doas"
    root = ("root",)
    for how in BOTH:
        at = "" if how == "ssh" else " (openssh)"
        to = forced(how)

        def add(name, user, flags=SUDO, at=at, to=to, how=how, **more):
            make = refused if "reason" in more else row
            if make is refused:
                reason, err = more.pop("reason"), more.pop("err", ())
                refused(g, name + at, reason, *err, user=user, flags=(*to, *flags), transport=how,
                        **more)
            else:
                more.setdefault("out", root)
                row(g, name + at, user=user, flags=(*to, *flags), transport=how, **more)
        add("sudo, no password needed", "su1")
        add("sudo, no password needed, one given", "su1", become=password("su1"))
        add("sudo --user", "su1", flags=("--sudo=deploy",), out=("deploy",))
        add("sudo, password", "su2", become=password("su2"))
        add("sudo, password, asked on the terminal", "su2", flags=("--sudo", "-K"),
            asked=(("assword", password("su2")),))
        add("sudo, wrong password", "su2", become="wrong", reason="auth", err=("password",))
        add("sudo, password needed, none given", "su2", reason="auth", err=("-K",))
        add("sudo, not in sudoers", "su3", become=password("su3"), reason="auth", err=("sudo",))
        add("sudo, requiretty", "su4", reason="auth", err=("--pty",))
        add("sudo, requiretty, --pty", "su4", flags=("--sudo", "--pty"))
        add("sudo, requiretty, --pty, password", "su5", flags=("--sudo", "--pty"),
            become=password("su5"))
        add("sudo, the command's input is not the password", "su2", become=password("su2"),
            stdin="first line\n", flags=("--sudo", "--stdin", "{stdin}"),
            command="read -r l; echo got $l; id -un", out=("got first line", "root"))
        add("su, password", "plain", flags=("--become", "su"), become=password("root"))
        add("su to another user", "plain", flags=(), become=password("deploy"), out=("deploy",),
            node={"become": "su", "become_user": "deploy"})
        add("su, wrong password", "plain", flags=("--become", "su"), become="wrong", reason="auth")
        add("doas, no password needed", "su1", flags=("--become", "doas"))
        add("doas, password", "su2", flags=("--become", "doas"), become=password("su2"))
        add("doas, wrong password", "su2", flags=("--become", "doas"), become="wrong",
            reason="auth")
        add("doas, not permitted", "su3", flags=("--become", "doas"), become=password("su3"),
            reason="auth")
    row(g, "sudo on this machine (local)", flags=("--transport", "local", *SUDO), transport="local",
        become=password("ops"), out=root)
    row(g, "sudo behind a bastion", server="inner", user="su2", flags=SUDO, become=password("su2"),
        config=("ProxyJump b1",), extra=BASTION, out=root)
    row(g, "sudo on dropbear", server="dropbear", user="su2", flags=SUDO, become=password("su2"),
        out=root)


EXEC = {"transport": "exec", "exec": "env NODE={node} sh -c {command}"}


def running():
    g = "running"
    ways = {
        "ssh": {}, "openssh": {"flags": forced("openssh")},
        "local": {"flags": ("--transport", "local")}, "exec": {"node": EXEC},
        "dropbear": {"server": "dropbear"},
    }
    for how, base in ways.items():
        transport = "ssh" if how == "dropbear" else how

        def add(name, command, base=base, transport=transport, how=how, **more):
            both = (*base.get("flags", ()), *more.pop("flags", ()))
            row(g, f"{name} ({how})", command=command, transport=transport,
                **{**base, **more, "flags": both})
        add("exit 3", "exit 3", reason="exit", exit=3, out=())
        add("exit 255", "echo x; exit 255", reason="exit", exit=255, out=("x",))
        if how == "openssh":    # ssh itself ends with 255 for any signal, and says no more
            add("killed by TERM", "kill -TERM $$", reason="exit", exit=255, out=())
        else:
            add("killed by TERM", "kill -TERM $$", reason="signal", signal="TERM", out=())
        add("--env", 'echo "[$GREETING]"', flags=("--env", "GREETING=it's $HOME"),
            out=("[it's $HOME]",))
        add("--stdin", "wc -c; echo end", flags=("--stdin", "{stdin}"), stdin="x" * 300000,
            out=("300000", "end"))
        add("--chdir", "pwd", flags=("--chdir", "/usr/share"), out=("/usr/share",))
        if how == "exec":
            add("--pty", "true", flags=("--pty",), reason="unsupported", out=(), err=("template",))
        else:
            add("--pty", "test -t 0 && test -t 1 && echo terminal", flags=("--pty",),
                out=("terminal",))
        add("a line of 100 kB", "x=" + "a" * 100000 + "; echo ${#x}", out=("100000",))
        add("1 MB of output", "head -c 1000000 /dev/zero | tr '\\0' y; echo", out=("y" * 1000,))
    row(g, "-l, -p and --identity", user="nobody", key="stranger", config=("Port 2240",),
        flags=("-l", "plain", "-p", "2201", "--identity", "{keys}/ed25519"))
    row(g, "AddressFamily and BindAddress", config=("AddressFamily inet", "BindAddress 127.0.0.1"))
    row(g, "login shell dash", user="dashy", out=("in-42", "dashy"))
    row(g, "MaxSessions 1", server="onesession")
    row(g, "no pty allowed", server="nopty")
    refused(g, "no pty allowed, --pty", "unsupported", server="nopty", flags=("--pty",))
    row(g, "sftp only", server="sftponly", reason="exit", exit=1, out=("sftp",))
    row(g, "MaxStartups 2:100:2, 30 hosts", server="startups", nodes=30, seconds=60)
    row(g, "a live ControlMaster", server="master", action="control_master", transport="openssh",
        config=("ControlPath {home}/master",))
    refused(g, "nobody listens", "unreachable", "refused", server="refused")
    refused(g, "a server that is silent", "timeout", server="silent", flags=("-t", "2"))
    refused(g, "not an SSH server", "timeout", "banner", server="garbage", flags=("-t", "2"))
    for how in ("openssh",):
        refused(g, "nobody listens (openssh)", "unreachable", "refused", server="refused",
                flags=forced(how), transport=how)
        refused(g, "a server that is silent (openssh)", "timeout", server="silent",
                flags=(*forced(how), "-t", "2"), transport=how)


def configured():
    g = "ssh_config"
    row(g, "GSSAPIAuthentication, a key is taken", server="gss", config=("GSSAPIAuthentication yes",))
    refused(g, "GSSAPIAuthentication, no key is taken", "auth", "gssapi", server="gss", key="stranger",
            config=("GSSAPIAuthentication yes",), transport="openssh")
    row(g, "KnownHostsCommand", known="empty", transport="openssh",
        config=("KnownHostsCommand /bin/cat {knowns}/right",))
    refused(g, "KnownHostsCommand that has another key", "hostkey", known="empty",
            transport="openssh", config=("KnownHostsCommand /bin/cat {knowns}/changed",))
    row(g, "PKCS11Provider, a key in a file is taken", transport="openssh",
        config=("PKCS11Provider /usr/lib/no-such-module.so",))
    refused(g, "a key on FIDO hardware that is not plugged in", "auth", server="tries", key="fido",
            transport="openssh")
    row(g, "CertificateFile", server="usercert", key="certified", transport="openssh",
        config=("CertificateFile {keys}/certified-cert.pub",))
    for how in BOTH:
        more = {"transport": how, "flags": forced(how)}
        at = "" if how == "ssh" else " (openssh)"
        row(g, "LocalCommand, which is not run" + at, action="no_local_command",
            config=("PermitLocalCommand yes", "LocalCommand touch {home}/ran"), **more)
        refused(g, "ServerAliveInterval, and a server that hangs" + at, "lost",
                action="stopped_server", command="sleep {sleep}; echo after", remote="unknown",
                config=("ServerAliveInterval 1", "ServerAliveCountMax 2"), **more)
        row(g, "a ControlMaster that hangs is passed by" + at, action="silent_master",
            config=("ControlPath {home}/master",), **more)
    # What libcrypto 3.0 makes of RSA and ed25519 keys lies outside of its locked heap.
    row(g, "ecdsa256 from a file is held in locked memory", key="ecdsa256", action="locked_memory",
        command="sleep {sleep}; echo in-42")
    row(g, "ecdsa256, encrypted, is held in locked memory", key="ecdsa256_locked",
        action="locked_memory", command="sleep {sleep}; echo in-42",
        asked=(("assphrase", PASSPHRASE),))


def stopping():
    ways = {
        "ssh": {}, "openssh": {"flags": forced("openssh"), "transport": "openssh"},
        "local": {"flags": ("--transport", "local"), "transport": "local"},
        "exec": {"node": EXEC, "transport": "exec"},
        "dropbear": {"server": "dropbear"},
        "MaxSessions 1": {"server": "onesession"},
        "output ends before the command": {
            "server": "late", "command": "trap '' TERM; "
            "yes & sleep {sleep}"},
        "behind a bastion": {"server": "inner", "config": ("ProxyJump b1",), "extra": BASTION},
        "behind a bastion, openssh": {
            "server": "inner", "config": ("ProxyJump b1",), "extra": BASTION,
            "flags": forced("openssh"), "transport": "openssh"},
        "sudo": {"user": "su2", "flags": SUDO, "become": password("su2")},
        "sudo, MaxSessions 1": {"user": "su2", "flags": SUDO, "become": password("su2"),
                                "server": "onesession"},
        "sudo without a password": {"user": "su1", "flags": SUDO},
        "sudo, openssh": {"user": "su2", "flags": (*forced("openssh"), *SUDO),
                          "become": password("su2"), "transport": "openssh"},
        "sudo behind a bastion": {"server": "inner", "user": "su2", "flags": SUDO,
                                  "become": password("su2"), "config": ("ProxyJump b1",),
                                  "extra": BASTION},
        "sudo, local": {"flags": ("--transport", "local", *SUDO), "become": password("ops"),
                        "transport": "local"},
        "--pty": {"flags": ("--pty",)},
        "su": {"flags": ("--become", "su"), "become": password("root")},
        "ignores TERM": {"command": "trap '' TERM; sleep {sleep}; sleep {sleep}"},
    }
    for name, more in ways.items():
        more = {"command": "sleep {sleep}; echo after", **more}
        row("cancel", name, action="cancel", reason="cancelled", remote="stopped", out=(), **more)
        if name in ("ssh", "openssh", "sudo", "local", "exec", "sudo behind a bastion"):
            flags = (*more.pop("flags", ()), "-u", "2")
            row("command timeout", name, action="timeout", reason="timeout", remote="stopped",
                out=(), flags=flags, **more)


for part in (algorithms, keys, passwords, host_keys, jumps, become, running, configured, stopping):
    part()
NOTES = ["No row signs with a key on FIDO hardware (sk-*), since a test has no such hardware."]
