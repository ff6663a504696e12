"""Learns of the ends of instances from the statuses as they are written, by a bare subscription.

It searches bytes in a thread of its own and decodes nothing; asking for statuses again and again would measure the
questions.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

_HEADER = re.compile(rb"MSG (instances\.status\.\S+) \S+ (?:\S+ )?(\d+)\r\n")


class Statuses:
    """Calls `ended(instance ID)` in its own thread for each status that says `complete`. Another end is a failure."""

    def __init__(self, url: str, ended: Callable[[str], None]) -> None:
        self.failures: list[bytes] = []
        self.written = 0
        """Statuses so far, of whatever state."""
        self.seconds = 0.0
        """Processor time of the thread so far."""
        parts = urlsplit(url)
        self._ended = ended
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.sendall(b'CONNECT {"verbose":false,"headers":false}\r\nSUB instances.status.> 1\r\nPING\r\n')
        self._subscribed = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()
        self._subscribed.wait(10)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)

    def _follow(self) -> None:
        held = b""
        while part := self._socket.recv(1 << 16):
            held = self._take(held + part)
            self.seconds = time.thread_time()

    def _take(self, held: bytes) -> bytes:
        """Handle what is whole; what is left."""
        while (end := held.find(b"\r\n")) >= 0:
            if found := _HEADER.match(held):
                begin, size = found.end(), int(found[2])
                if len(held) < begin + size + 2:
                    break
                self._status(found[1].rpartition(b".")[2].decode(), held[begin : begin + size])
                end = begin + size
            elif held.startswith(b"PING"):
                self._socket.sendall(b"PONG\r\n")
            elif held.startswith(b"PONG"):
                self._subscribed.set()
            held = held[end + 2 :]
        return held

    def _status(self, instance: str, status: bytes) -> None:
        self.written += 1
        if b'"status":"complete"' in status:
            self._ended(instance)
        elif b'"status":"pending"' not in status:
            self.failures.append(status[-1000:])
