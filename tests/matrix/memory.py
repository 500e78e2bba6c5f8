# SPDX-License-Identifier: Apache-2.0
"""Where in the memory of a process something is."""

import base64
import re

# Which field of the secret part of a key file nobody else knows.
SECRET_FIELD = {b"ssh-ed25519": 2, b"ecdsa-sha2-nistp256": 3, b"ssh-rsa": 5}


def fields(data):
    while len(data) >= 4:
        n = int.from_bytes(data[:4], "big")
        yield data[4:4 + n]
        data = data[4 + n:]


def secret_of(path):
    """Of a key file in OpenSSH's form, without a passphrase."""
    with open(path, encoding="ascii") as f:
        blob = base64.b64decode("".join(f.read().splitlines()[1:-1]))
    # The cipher, the derivation and its salt, one key; then the public and the secret part.
    rest = blob[len(b"openssh-key-v1\0"):]
    for _ in range(3):
        rest = rest[4 + int.from_bytes(rest[:4], "big"):]
    secret = list(fields(rest[4:]))[1][8:]
    parts = list(fields(secret))
    found = parts[SECRET_FIELD[parts[0]]]
    return (found[:32] if parts[0] == b"ssh-ed25519" else found).lstrip(b"\0")


def mappings(pid):
    """(start, end, name, flags) of those that can be read."""
    found = []
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as f:
        for line in f:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (r\S*) \S+ \S+ \S+ *(.*)", line)
            if head:
                start, end, _, name = head.groups()
                found.append([int(start, 16), int(end, 16), name or "memory without a name", []])
            elif re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                found.append([0, 0, "", []])
            elif line.startswith("VmFlags:"):
                found[-1][3] = line.split()[1:]
    return [m for m in found if m[1]]


def places_of(pid, needles):
    """(name, flags) of each mapping that has one of the needles in it."""
    places = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as f:
        for start, end, name, flags in mappings(pid):
            try:
                f.seek(start)
                data = f.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue    # a device, or the kernel's own
            if any(n in data for n in needles):
                places.append((name, flags))
    return places
