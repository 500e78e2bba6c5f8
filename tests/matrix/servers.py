# SPDX-License-Identifier: Apache-2.0
"""The servers of the matrix: one row each with its address, port and what its sshd_config says; and
agents, good and bad."""

import os
import shutil
import socket
import struct
import subprocess
import threading

from world import find_program, wait_until
from waiting import listening

ETM = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com"
KEY_ONLY = ["PasswordAuthentication no"]

# name: (address, port, lines of sshd_config, options of ours)
#   program   the name sshd goes by, and with it its PAM service
#   hosts     lines of /etc/hosts that only this server sees: names that only lead on from it
#   keys      its host keys
SERVERS = {
    "stock": ("127.0.0.1", 2201, [], {}),
    "hardened": ("127.0.0.1", 2202, KEY_ONLY + [
        "Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com", f"MACs {ETM}",
        "KexAlgorithms curve25519-sha256"], {}),
    "etm": ("127.0.0.1", 2203, KEY_ONLY + ["Ciphers aes256-ctr", f"MACs {ETM}"], {}),
    "sntrup": ("127.0.0.1", 2204, KEY_ONLY + [
        "KexAlgorithms sntrup761x25519-sha512@openssh.com"], {}),
    "rsahost": ("127.0.0.1", 2205, KEY_ONLY, {"keys": ["rsa"]}),
    "classic": ("127.0.0.1", 2206, KEY_ONLY + [
        "Ciphers aes256-ctr", "MACs hmac-sha2-512",
        "KexAlgorithms diffie-hellman-group14-sha256"], {}),
    "password": ("127.0.0.1", 2207, ["PubkeyAuthentication no"], {}),
    "kbd": ("127.0.0.1", 2208, ["PubkeyAuthentication no", "PasswordAuthentication no",
                                "KbdInteractiveAuthentication yes"], {}),
    "code": ("127.0.0.1", 2209, ["PubkeyAuthentication no", "PasswordAuthentication no",
                                 "KbdInteractiveAuthentication yes"], {"program": "sshd-code"}),
    "key+password": ("127.0.0.1", 2210, ["AuthenticationMethods publickey,password"], {}),
    "key+kbd": ("127.0.0.1", 2211, ["KbdInteractiveAuthentication yes",
                                    "AuthenticationMethods publickey,keyboard-interactive"], {}),
    "key+code": ("127.0.0.1", 2212, ["KbdInteractiveAuthentication yes",
                                     "AuthenticationMethods publickey,keyboard-interactive"],
                 {"program": "sshd-code"}),
    "usercert": ("127.0.0.1", 2213, KEY_ONLY + ["TrustedUserCAKeys {keys}/user_ca.pub"], {}),
    "hostcert": ("127.0.0.1", 2214, KEY_ONLY + ["HostCertificate {keys}/host_ed25519-cert.pub"],
                 {"keys": ["ed25519"]}),
    "onesession": ("127.0.0.1", 2215, KEY_ONLY + ["MaxSessions 1"], {}),
    "startups": ("127.0.0.1", 2216, KEY_ONLY + ["MaxStartups 2:100:2"], {}),
    "nopty": ("127.0.0.1", 2217, KEY_ONLY + ["PermitTTY no"], {}),
    "sftponly": ("127.0.0.1", 2218, KEY_ONLY + ["ForceCommand internal-sftp"], {}),
    "late": ("127.0.0.1", 2228, KEY_ONLY + [   # the output ends before the command does
        'ForceCommand sh -c "$SSH_ORIGINAL_COMMAND"; s=$?; exec >&- 2>&-; sleep 0.3; exit $s'], {}),
    "nosftp": ("127.0.0.1", 2219, KEY_ONLY + ["Subsystem sftp /bin/false"], {}),
    "tries": ("127.0.0.1", 2220, KEY_ONLY + ["MaxAuthTries 3"], {}),
    "bastion": ("127.0.0.2", 2221, KEY_ONLY + ["PermitOpen inner.test:2223 bastion2.test:2222"],
                {"hosts": ["127.0.0.3 inner.test bastion2.test"]}),
    "bastion2": ("127.0.0.3", 2222, KEY_ONLY + ["PermitOpen deep.test:2224"],
                 {"hosts": ["127.0.0.4 deep.test"]}),
    "inner": ("127.0.0.3", 2223, KEY_ONLY + ["MaxStartups 1000", "MaxSessions 10"], {}),
    "deep": ("127.0.0.4", 2224, KEY_ONLY, {}),
    "ipv6": ("::1", 2225, KEY_ONLY, {}),
    "master": ("127.0.0.1", 2226, KEY_ONLY, {}),
    "gate": ("127.0.0.2", 2227, KEY_ONLY + ["PermitOpen inner.test:2223"],
             {"hosts": ["127.0.0.3 inner.test"], "startups": None}),
    "gss": ("127.0.0.1", 2229, KEY_ONLY + ["GSSAPIAuthentication yes"], {}),
    "dropbear": ("127.0.0.1", 2230, [], {"dropbear": True}),
    # These have no server: nobody listens, silence, another protocol.
    "refused": ("127.0.0.1", 2240, [], {"none": True}),
    "silent": ("127.0.0.1", 2241, [], {"none": True}),
    "garbage": ("127.0.0.1", 2242, [], {"none": True}),
}
# By what name a server is reached; the others by their address.
NAMES = {"inner": "inner.test", "bastion2": "bastion2.test", "deep": "deep.test"}
HOST_KEYS = ("ed25519", "ecdsa256", "rsa")


def host_of(server):
    return NAMES.get(server, SERVERS[server][0])


def port_of(server):
    return SERVERS[server][1]


class Servers:
    """Starts them all and writes the known_hosts of the tests."""

    def __init__(self, world, only=None):
        self.world = world
        self.names = [n for n in SERVERS if only is None or n in only]
        self.started = []
        self.sockets = []

    def start(self):
        w = self.world
        for kind in HOST_KEYS:
            bits = {"ecdsa256": ["-t", "ecdsa"], "rsa": ["-t", "rsa", "-b", "2048"]}
            w.keygen("-N", "", "-C", "host", "-f", w.key("host_" + kind),
                     *bits.get(kind, ["-t", kind]))
            w.keygen("-N", "", "-C", "other", "-f", w.key("other_" + kind),
                     *bits.get(kind, ["-t", kind]))
        w.keygen("-s", w.key("host_ca"), "-I", "host", "-h", "-n", "127.0.0.1",
                 w.key("host_ed25519.pub"))
        for name in self.names:
            options = SERVERS[name][3]
            if options.get("dropbear"):
                self._dropbear(name)
            elif not options.get("none"):
                self._sshd(name)
        if "silent" in self.names:
            self._strange("silent", b"")
        if "garbage" in self.names:
            self._strange("garbage", b"220 mail.example.com ready\r\n")
        for name in self.names:
            if not SERVERS[name][3].get("none"):
                wait_until(lambda n=name: self._answers(n), f"the server {name}")
        self._known_hosts()
        return self

    def log(self, name):
        """What the server wrote about its connections."""
        with open(self.world.path("log", name), encoding="utf-8", errors="replace") as f:
            return f.read()

    def connections(self, name):
        return self.log(name).count("Connection from ")

    @staticmethod
    def _answers(name):
        address, port = SERVERS[name][:2]
        try:
            with socket.create_connection((address, port), timeout=2) as s:
                return s.recv(4) == b"SSH-"
        except OSError:
            return False

    def _sshd(self, name):
        w = self.world
        address, port, lines, options = SERVERS[name]
        config = [f"ListenAddress [{address}]:{port}" if ":" in address
                  else f"ListenAddress {address}:{port}"]
        config += [f"HostKey {w.key('host_' + k)}" for k in options.get("keys", HOST_KEYS)]
        config += [line.format(keys=w.keys) for line in lines]
        if "startups" not in options:
            config.append("MaxStartups 200:30:400")     # the rows run side by side
        config += ["UsePAM yes", "KbdInteractiveAuthentication no", "PrintMotd no", "PidFile none",
                   "PrintLastLog no", "LogLevel VERBOSE", "UseDNS no"]
        if not any(line.startswith("Subsystem") for line in lines):
            config.append("Subsystem sftp internal-sftp")
        path = w.write(w.path("etc", f"sshd-{name}"), "\n".join(config) + "\n")
        program = w.path("bin", options.get("program", "sshd"))
        if not os.path.lexists(program):
            os.symlink(find_program("sshd"), program)   # its PAM service goes by its name
        argv = [program, "-D", "-f", path, "-E", w.path("log", name)]
        if "hosts" in options:
            hosts = w.write(w.path("etc", f"hosts-{name}"),
                            "127.0.0.1 localhost\n" + "\n".join(options["hosts"]) + "\n")
            argv = [find_program("unshare"), "--mount", "--", "/bin/sh", "-c",
                    'mount --bind "$1" /etc/hosts && shift && exec "$@"', "sh", hosts, *argv]
        self._start(argv)

    def _dropbear(self, name):
        w = self.world
        address, port = SERVERS[name][:2]
        argv = [find_program("dropbear"), "-F", "-E", "-p", f"{address}:{port}", "-P",
                w.path("bin", "dropbear.pid")]
        for kind in ("ed25519", "ecdsa256"):
            source, made = w.key("host_" + kind), w.path("bin", "dropbear_" + kind)
            subprocess.run([self._converter(), "openssh", "dropbear", source, made],
                           check=True, capture_output=True)
            argv += ["-r", made]
        with open(w.path("log", name), "ab") as log:
            self._start(argv, stderr=log)

    @staticmethod
    def _converter():
        path = shutil.which("dropbearconvert") or "/usr/lib/dropbear/dropbearconvert"
        if not os.path.exists(path):
            raise SystemExit("world: dropbearconvert is not installed (./dev setup installs it)")
        return path

    def _start(self, argv, stderr=subprocess.DEVNULL, **more):
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=stderr, start_new_session=True, **more)
        self.started.append(p)
        return p

    def _strange(self, name, greeting):
        listener = socket.create_server(SERVERS[name][:2], backlog=64)
        self.sockets.append(listener)
        kept = []

        def serve():
            while True:
                conn, _ = listener.accept()
                if greeting:
                    conn.sendall(greeting)
                kept.append(conn)
        threading.Thread(target=serve, daemon=True).start()

    # -- known_hosts -----------------------------------------------------------------------------

    def public(self, kind):
        with open(self.world.key(kind) + ".pub", encoding="ascii") as f:
            return " ".join(f.read().split()[:2])

    def _known_hosts(self):
        """known/NAME for each way in which a key is known, or is not."""
        places = [f"[{host_of(n)}]:{port_of(n)}" for n in SERVERS]
        right = [self.public("host_" + k) for k in HOST_KEYS]
        wrong = [self.public("other_" + k) for k in HOST_KEYS]
        everywhere = [f"{p} {k}" for p in places for k in right]
        stock = f"[{host_of('stock')}]:{port_of('stock')}"
        kinds = {
            "right": everywhere,
            "empty": [],
            "wildcard": [f"[127.0.0.*]:220? {k}" for k in right],
            "negated": [f"![127.0.0.1]:2201,[127.0.0.*]:* {k}" for k in right],
            "revoked": everywhere + [f"@revoked * {k}" for k in right],
            "changed": [f"{p} {k}" for p in places for k in wrong],
            "ecdsa": [f"{p} {right[1]}" for p in places],
            "rsa": [f"{p} {right[2]}" for p in places],
            "othertype": [f"{p} {wrong[1]}" for p in places],
            "authority": [f"@cert-authority [127.0.0.1]:* {self.public('host_ca')}"],
            "wrongbastion": [x for x in everywhere if "127.0.0.2" not in x]
            + [f"[127.0.0.2]:{port_of('bastion')} {k}" for k in wrong],
            "nobastion": [x for x in everywhere if "127.0.0.2" not in x],
            "nobastion2": [x for x in everywhere if "bastion2.test" not in x],
            "revokedbastion": everywhere
            + [f"@revoked [127.0.0.2]:{port_of('bastion')} {k}" for k in right],
            "port22": [f"127.0.0.1 {k}" for k in right],
            "alias": [f"alias.test {k}" for k in right],
            "several": [f"{stock} {wrong[0]}", f"{stock} {right[0]}", *everywhere],
        }
        for name, lines in kinds.items():
            self.world.write(self.world.path("known", name), "\n".join(["# " + name, *lines]) + "\n")
        hashed = self.world.write(self.world.path("known", "hashed"), "\n".join(everywhere) + "\n")
        self.world.keygen("-H", "-f", hashed)
        os.unlink(hashed + ".old")
        os.chmod(hashed, 0o644)


class Agents:
    """Agents by name: socket paths in .sock."""

    def __init__(self, world):
        self.world = world
        self.sock = {}
        self.kept = []

    def path(self, name):
        self.sock[name] = self.world.path("agents", name)
        return self.sock[name]

    def start(self):
        w = self.world
        os.mkdir(w.path("agents"), 0o755)
        w.own(w.path("agents"), "ops")
        # One agent a type of key, one of them all, and one with more than a server hears out.
        for name in ("ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa"):
            self._agent(name, [name])
        self._agent("empty", [])
        for i in range(8):
            w.keygen("-N", "", "-C", f"more{i}", "-f", w.key(f"more{i}"), "-t", "ed25519")
            w.own(w.key(f"more{i}"), "ops")
        self._agent("many", [*[f"more{i}" for i in range(8)], "ed25519"])
        self.path("absent")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(self.path("dead"))   # closed at once: the file stays
        os.chmod(self.sock["dead"], 0o666)
        self._own_agent("hung", lambda conn: None)
        self._own_agent("refusing", self._refuse)
        return self

    def _agent(self, name, keys):
        sock = self.path(name)
        ops = self.world.as_user("ops")
        self.kept.append(subprocess.Popen([find_program("ssh-agent"), "-D", "-a", sock],
                                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **ops))
        wait_until(lambda: listening(sock), "the agent's socket")
        if keys:
            subprocess.run([find_program("ssh-add"), "-q", *[self.world.key(k) for k in keys]],
                           check=True, stdin=subprocess.DEVNULL,
                           env={"SSH_AUTH_SOCK": sock, "PATH": os.environ["PATH"]}, **ops)

    def _own_agent(self, name, serve):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path(name))
        os.chmod(self.sock[name], 0o666)
        listener.listen(512)

        def turn():
            while True:
                conn, _ = listener.accept()
                self.kept.append(conn)
                threading.Thread(target=serve, args=(conn,), daemon=True).start()
        threading.Thread(target=turn, daemon=True).start()

    def _refuse(self, conn):
        """Lists the right key, and fails to sign with it (as a locked or confirming agent does)."""
        import base64
        with open(self.world.key("ed25519.pub"), encoding="ascii") as f:
            blob = base64.b64decode(f.read().split()[1])
        listing = b"\x0c" + struct.pack(">II", 1, len(blob)) + blob + struct.pack(">I", 2) + b"me"
        with conn, conn.makefile("rb") as requests:
            while True:
                head = requests.read(4)
                if len(head) < 4:
                    return
                request = requests.read(struct.unpack(">I", head)[0])
                answer = listing if request[:1] == b"\x0b" else b"\x05"
                conn.sendall(struct.pack(">I", len(answer)) + answer)
