# SPDX-License-Identifier: Apache-2.0
"""A TCP relay that holds each piece back for some milliseconds each way: latency without netem."""

import collections
import selectors
import socket
import threading
import time


class Pipe:
    """One direction of a connection: what was read waits here until its time."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.held = collections.deque()     # (when it may go, bytes; b"" is the end)
        self.open = True

    def due(self):
        return self.held[0][0] if self.held else None


class Relay:
    """Listens on ADDRESS and relays to TARGET; `connections` counts what was accepted."""

    def __init__(self, address, target, delay):
        self.listener = socket.create_server(address, backlog=256)
        self.listener.setblocking(False)
        self.target, self.delay = target, delay
        self.connections = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.listener, selectors.EVENT_READ, None)
        self._pipes = []
        self._thread = threading.Thread(target=self._turn, daemon=True)
        self._thread.start()

    def _accept(self):
        near, _ = self.listener.accept()
        self.connections += 1
        try:
            far = socket.create_connection(self.target)
        except OSError:
            near.close()
            return
        for source, sink in ((near, far), (far, near)):
            pipe = Pipe(source, sink)
            self._pipes.append(pipe)
            self._selector.register(source, selectors.EVENT_READ, pipe)

    def _read(self, pipe):
        try:
            piece = pipe.source.recv(65536)
        except OSError:
            piece = b""
        pipe.held.append((time.monotonic() + self.delay, piece))
        if not piece:
            self._selector.unregister(pipe.source)

    @staticmethod
    def _send(pipe, now):
        while pipe.held and pipe.held[0][0] <= now:
            piece = pipe.held.popleft()[1]
            try:
                if piece:
                    pipe.sink.sendall(piece)
                else:
                    pipe.open = False
                    pipe.sink.shutdown(socket.SHUT_WR)
            except OSError:
                pipe.open = False

    def _turn(self):
        while True:
            now = time.monotonic()
            times = [p.due() for p in self._pipes if p.held]
            wait = max(0.0, min(times) - now) if times else None
            for key, _ in self._selector.select(wait):
                if key.data is None:
                    self._accept()
                else:
                    self._read(key.data)
            now = time.monotonic()
            for pipe in self._pipes:
                self._send(pipe, now)
            self._pipes = [p for p in self._pipes if p.open]
