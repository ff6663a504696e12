"""The frames between executor, sandbox process and zygote: a four-byte big-endian length, then JSON in UTF-8.

A message is an object with a ``kind``. Texts of the sandbox are made by the prelude, which cuts them; the executor
refuses what is longer. Units are UTF-16 code units.

    executor -> sandbox   a job, see below
                          answer   {time_ms, value}
                          throw    {time_ms, name, message}
                          a turn, see below
    sandbox -> executor   ready    {pid}                          the process is confined and has an isolate; once
                          call     {time_ms?, name: at most 64 units, line, column, arguments, caught?}
                                                                  the script is blocked until answer or throw; with a
                                                                  time it has gone on, and Date shows that
                                   attempt: the call is made in that attempt of a step, and not recorded
                          async    {number, name, line, column, arguments}   a call that gives a promise; counted from 1
                          abort    {number}                       the script waits for that one no longer
                          effect   {number, attempt, name, line, column, arguments}   what an attempt of a step asks for
                          cut      {number}                       that effect is not waited for any longer
                          result   {number, output?} or {number, error, details, final, retryAfter?}   of an attempt
                          idle     {returned}                     nothing happens by itself: blocked until the next turn
                          log      {level, text}
                          spent    {}                             the process is to take no other job; before the end
                          returned {output, caught?}
                          failed   {error, name: 256, message: 8192, line, column, stack: 16384, cause: 4096};
                                   error is the class, stack the script's frames, one a line

    caught: {steps: [{function: 256, error?: 200}], more}: the functions of transitions that threw since the last call,
    at most 8, and how many further ones there were; absent if there were none

An attempt of a step is known by the number of its call. An error is {name: 256, message: 8192, line, column, stack:
2048}; details are {fields, cause?} with at most 16,384 units of JSON.

    a turn: {kind, time_ms, now_ms, answered_ms, ...}, where answered_ms is what a job has for the script's start
        settle   {number, value?} or {number, error}          that call
        start    {number, attempt, key, seed: [low, high], previous?}   run the function of that step
        effect   {number, value} or {number, error}
        timeout  {number, error}                              the attempt that runs has no more time
        end      {}                                           nothing else will come

A job is four parts, each behind its length: {entrypoint, time_ms, now_ms, limits, lenient}, for the process; {input,
instance_id, name, namespace, seed: [low, high], time_ms, limits, lenient}, for the prelude, ``input`` being a text of
JSON; the script; and for each of its first synchronous calls, which the history answers, what Date shows after it, as
64 bits in the machine's order.

A sandbox writes each message at once, and rings a bell, a byte in a pipe, where the executor has to read: with ready,
with a call that waits, with the end, and before the socket is full. What it told before is read along with it. Of calls
that the history answers, those that come within 10 ms are written together, but for the last one.

Both sides are states: a message that is not expected now ends the sandbox process. Before its first job it may send
64 KiB, then :func:`frame_cap`.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Mapping
from typing import Any

HEADER = struct.Struct(">I")
# What is around a value: names, places, and the frames that hold none.
FRAME_BYTES = 64 * 1024
# A failure's texts, each unit as six bytes of an escape.
_FAILURE_BYTES = 256 * 1024
SCRIPT_NAME = "workflow.js"
PRELUDE_NAME = "prelude.js"


class ProtocolError(Exception):
    """The other side sent something that is no frame."""


def frame_cap(payload_bytes: int) -> int:
    """The largest frame of a sandbox whose values have at most ``payload_bytes``: escapes can double a value."""
    return max(2 * payload_bytes, _FAILURE_BYTES) + FRAME_BYTES


def encode(message: Mapping[str, Any]) -> bytes:
    """The message as one frame. ASCII only, so that lone surrogates survive as escapes."""
    body = json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii")
    return HEADER.pack(len(body)) + body


def frame(body: bytes) -> bytes:
    return HEADER.pack(len(body)) + body


class Decoder:
    """Cuts a byte stream into frames, whatever pieces it arrives in. ``max_frame_bytes`` may be changed."""

    def __init__(self, max_frame_bytes: int = FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self.max_frame_bytes = max_frame_bytes

    @property
    def partial(self) -> bool:
        """Whether it holds the beginning of a frame."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames completed by ``data``. Raises ProtocolError for one that is over the cap."""
        self._buffer += data
        frames: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= HEADER.size:
            (length,) = HEADER.unpack_from(self._buffer, start)
            if length > self.max_frame_bytes:
                raise ProtocolError(f"frame of {length} bytes, at most {self.max_frame_bytes} are allowed")
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


def join(parts: Iterable[bytes]) -> bytes:
    """The parts as one body, each behind its length."""
    return b"".join(piece for part in parts for piece in (HEADER.pack(len(part)), part))


def split(body: bytes) -> list[bytes]:
    """The parts of a body."""
    parts: list[bytes] = []
    start = 0
    while start < len(body):
        (length,) = HEADER.unpack_from(body, start)
        start += HEADER.size
        parts.append(body[start : start + length])
        start += length
    return parts


def write_all(descriptor: int, data: bytes | memoryview) -> None:
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
