"""What a sandbox process says to its executor."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from workflow_operator.javascript.worker.wire import frame, write_all

# Of what the executor may not have read yet: far below the 208 KiB that the kernel keeps for a socket, where a small
# message takes about a KiB.
_UNREAD_BYTES = 48 * 1024
_FRAME_COSTS_BYTES = 1024
# Far below what anybody counts of the time between two messages.
_KEPT_SECONDS = 0.01
_MOST_KEPT_BYTES = 4096


class Outbox:
    """Writes each message at once, so that the death of the process takes none along; rings where it must be read.

    Args:
        monotonic: seconds of a clock that is never set.
    """

    def __init__(self, descriptor: int, bell: int, monotonic: Callable[[], float]) -> None:
        self._descriptor = descriptor
        self._bell = bell
        self._monotonic = monotonic
        self._unread = 0
        self._kept = bytearray()
        self._kept_since = 0.0

    def keep(self, message: bytes) -> None:
        """Write it with others, if they come at once: for what the executor knows already."""
        if len(message) > _MOST_KEPT_BYTES:
            self.tell(message)
            return
        now = self._monotonic()
        if not self._kept:
            self._kept_since = now
        self._kept += frame(message)
        if now - self._kept_since >= _KEPT_SECONDS or self._unread + len(self._kept) >= _UNREAD_BYTES:
            self._write_kept()
            if self._unread >= _UNREAD_BYTES:
                self._ring()

    def tell(self, message: bytes) -> None:
        """The executor reads it with the next message for which the bell rings, or when it looks."""
        if self._kept:
            self._write_kept()
        data = memoryview(frame(message))
        self._unread += _FRAME_COSTS_BYTES + len(data)
        first = data[:_UNREAD_BYTES]
        write_all(self._descriptor, first)
        if self._unread >= _UNREAD_BYTES:
            self._ring()
            write_all(self._descriptor, data[len(first) :])

    def ask(self, message: bytes) -> None:
        """The executor must act."""
        self.tell(message)
        if self._unread:
            self._ring()

    def _write_kept(self) -> None:
        self._unread += len(self._kept)
        write_all(self._descriptor, memoryview(self._kept))
        self._kept = bytearray()

    def _ring(self) -> None:
        self._unread = 0
        # As many rings as fill the bell tell no less than one more.
        with suppress(BlockingIOError):
            os.write(self._bell, b"\0")
