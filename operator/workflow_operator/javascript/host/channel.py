"""Frames over a socket, read when somebody asks for them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque

from workflow_operator.javascript.worker.wire import Decoder, ProtocolError

_READ_BYTES = 64 * 1024
_LOOK_SECONDS = 1.0
# Of wakings in a row that bring no frame. One that brings this many bytes of one does not count.
_MOST_HOLLOW, _HOLLOW_BYTES = 16, 4096


class Channel:
    """The executor's end of a sandbox's socket, and of the bell that it rings. One reader at a time.

    What the sandbox tells lies in the socket, also after its death, until the bell rings, which it does where the
    executor has to act, or until somebody looks. So many messages are one read, and who is not read has to wait.
    Who rings while nobody waits, or again and again for nothing, is not heard until somebody looks.
    """

    def __init__(self, end: socket.socket, bell: int) -> None:
        end.setblocking(False)
        os.set_blocking(bell, False)
        self._end = end
        self._bell = bell
        self._loop = asyncio.get_running_loop()
        self._decoder = Decoder()
        self._frames: deque[bytes] = deque()
        self._unsent = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._listening = False
        self._watched = False
        self._hollow = 0
        # Without a ring or a reason of our own nothing is read: there will be more to read then.
        self._due = False
        self._hung_up = False
        self.closed = False
        self.reads = 0
        self.error: ProtocolError | None = None
        self._listen(True)

    @property
    def pending(self) -> bool:
        """Whether something has arrived that nobody has taken."""
        if not self._frames:
            self._read()
        return bool(self._frames) or self._decoder.partial

    def take_frames_of(self, max_bytes: int) -> None:
        """Refuse larger frames from now on."""
        self._decoder.max_frame_bytes = max_bytes

    @property
    def ready(self) -> bool:
        """Whether a frame has been read that nobody has taken."""
        return bool(self._frames)

    def look(self, at_once: bool = False) -> bool:
        """Read what has arrived, if it is time for that; whether there is a frame to take."""
        self._due |= at_once
        while not self._frames and self._due and self._read():
            pass
        return bool(self._frames)

    def take(self) -> bytes | None:
        """The next frame, if it has arrived and it is time to read it."""
        if not self.look():
            return None
        self._hollow = 0
        return self._frames.popleft()

    async def wait(self, seconds: float) -> None:
        """Return after that time; before, if there may be something to take, or it was closed.

        Call it where ``take`` had nothing. After it something that was told without a ring is taken, too.
        """
        if self.closed:
            return
        attended = self._hollow < _MOST_HOLLOW
        self._listen(attended)
        self._watch(attended and self._decoder.partial)
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._look_and_wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None
            self._watch(False)

    async def receive(self) -> bytes | None:
        """The next frame; None at the end. A cancelled one loses nothing."""
        while (frame := self.take()) is None and not self.closed:
            await self.wait(_LOOK_SECONDS)
        return frame

    def send(self, data: bytes) -> None:
        """Queue frames; after the end it goes nowhere, and ``take`` says so."""
        if self.closed:
            return
        self._unsent += data
        self._write()

    def close(self) -> None:
        if self.closed:
            return
        self._listen(False)
        self._watch(False)
        self._loop.remove_writer(self._end.fileno())
        self.closed = True
        self._end.close()
        os.close(self._bell)
        self._wake()

    def _read(self) -> bool:
        """Read once; False if there was nothing."""
        if self.closed:
            return False
        try:
            data = self._end.recv(_READ_BYTES)
        except BlockingIOError:
            self._due = self._hung_up
            return False
        except OSError:
            data = b""
        self._due = len(data) == _READ_BYTES or self._hung_up
        if not data:
            self.close()
            return False
        self.reads += 1
        self._hollow = max(0, self._hollow - len(data) // _HOLLOW_BYTES)
        try:
            self._frames.extend(self._decoder.feed(data))
        except ProtocolError as error:
            self.error = error
            self.close()
        return True

    def _write(self) -> None:
        try:
            sent = self._end.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            # The sandbox has ended: what it told before is still to be read.
            self._unsent.clear()
            sent = 0
        del self._unsent[:sent]
        if self._unsent:
            self._loop.add_writer(self._end.fileno(), self._write)
        else:
            self._loop.remove_writer(self._end.fileno())

    def _rung(self) -> None:
        try:
            rings = os.read(self._bell, _READ_BYTES)
        except BlockingIOError:
            return
        if not rings:
            # It has ended, or closed the bell: the socket tells which.
            self._listen(False)
            self._hung_up = True
        if self._waiter is None:
            self._listen(False)
        self._arrived()

    def _arrived(self) -> None:
        self._hollow += 1
        self._look_and_wake()

    def _listen(self, on: bool) -> None:
        if on == self._listening or self.closed or self._hung_up:
            return
        self._listening = on
        if on:
            self._loop.add_reader(self._bell, self._rung)
        else:
            self._loop.remove_reader(self._bell)

    def _watch(self, on: bool) -> None:
        # Of a message that is longer than what the socket holds, the rest comes without a ring.
        if on == self._watched or self.closed:
            return
        self._watched = on
        if on:
            self._loop.add_reader(self._end.fileno(), self._arrived)
        else:
            self._loop.remove_reader(self._end.fileno())

    def _look_and_wake(self) -> None:
        self._due = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
