"""Frames over a socket, for asyncio."""

from __future__ import annotations

import asyncio
import socket
from collections import deque

from workflow_operator.javascript.worker.wire import Decoder, ProtocolError, encode

_PAUSE_AT = 16


class Channel(asyncio.Protocol):
    """The executor's end of a sandbox's socket. One reader at a time; a cancelled ``receive`` loses nothing."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._frames: deque[bytes] = deque()
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self.error: ProtocolError | None = None

    @classmethod
    async def open(cls, end: socket.socket) -> Channel:
        _, protocol = await asyncio.get_running_loop().create_unix_connection(cls, sock=end)
        return protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._frames.extend(self._decoder.feed(data))
        except ProtocolError as error:
            self.error = error
            self.close()
        if len(self._frames) >= _PAUSE_AT and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        self._wake()

    @property
    def pending(self) -> bool:
        """Whether something has arrived that nobody has received."""
        return bool(self._frames)

    def take_frames_of(self, max_bytes: int) -> None:
        """Refuse larger frames from now on."""
        self._decoder.max_frame_bytes = max_bytes

    async def receive(self) -> bytes | None:
        """The next frame; None at the end."""
        while not self._frames:
            if self._closed:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        frame = self._frames.popleft()
        if len(self._frames) < _PAUSE_AT and not self._closed and self._transport is not None:
            self._transport.resume_reading()
        return frame

    def send(self, message: dict[str, object]) -> None:
        """Queue a message; after the end it goes nowhere, and ``receive`` says so."""
        if self._transport is not None and not self._closed:
            self._transport.write(encode(message))

    def close(self) -> None:
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
