# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition with a deadline, for all tests in Python: no test sleeps for luck."""

import socket
import time

# What a slow machine needs under a sanitizer, and less than meson grants a test.
DEADLINE = 100


def until(condition, what="the condition", deadline=DEADLINE):
    """Waits for a condition; returns its value."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come within {deadline} s")
        time.sleep(0.02)


def listening(path):
    """Whether a process accepts at this socket. Its file is there a moment before that."""
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(path) == 0
