"""The frames between executor, sandbox process and zygote: a four-byte big-endian length, then JSON in UTF-8.

A message is an object with a ``kind``; a reader refuses kinds that it does not know, so kinds can be added.

    executor -> sandbox   job     {script, entrypoint, input, instance_id, seed: [low, high], time_ms, limits}
                          answer  {value, time_ms}
                          throw   {name, message}
    sandbox -> executor   ready   {pid}                         the process is confined and has an isolate
                          call    {name, stack, arguments}      the script is blocked until answer or throw
                          log     {level, text}
                          returned {output}
                          failed  {error, name, message, stack, report}; report is the engine's own text, if any,
                                  and then name is empty where only that text is known
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from typing import Any

HEADER = struct.Struct(">I")
MAX_FRAME_BYTES = 16 * 1024 * 1024
SCRIPT_NAME = "workflow.js"
PRELUDE_NAME = "prelude.js"


class ProtocolError(Exception):
    """The other side sent something that is no frame."""


def encode(message: Mapping[str, Any]) -> bytes:
    """The message as one frame. ASCII only, so that lone surrogates survive as escapes."""
    body = json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii")
    return HEADER.pack(len(body)) + body


def frame(body: bytes) -> bytes:
    return HEADER.pack(len(body)) + body


class Decoder:
    """Cuts a byte stream into frames, whatever pieces it arrives in."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self._max_frame_bytes = max_frame_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """The frames completed by ``data``. Raises ProtocolError for one that is over the cap."""
        self._buffer += data
        frames: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= HEADER.size:
            (length,) = HEADER.unpack_from(self._buffer, start)
            if length > self._max_frame_bytes:
                raise ProtocolError(f"frame of {length} bytes, at most {self._max_frame_bytes} are allowed")
            end = start + HEADER.size + length
            if len(self._buffer) < end:
                break
            frames.append(bytes(self._buffer[start + HEADER.size : end]))
            start = end
        del self._buffer[:start]
        return frames


def read_frame(descriptor: int) -> bytes | None:
    """The next frame of a blocking descriptor; None at its end."""
    header = _read_exactly(descriptor, HEADER.size)
    if header is None:
        return None
    (length,) = HEADER.unpack(header)
    return _read_exactly(descriptor, length)


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _read_exactly(descriptor: int, length: int) -> bytes | None:
    parts: list[bytes] = []
    while length:
        part = os.read(descriptor, min(length, 1 << 20))
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
