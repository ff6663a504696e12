"""A queue of keys as controllers use it: a key is there once, is worked on by one worker at a time, and comes back
later when asked, sooner or later with back-off after failures.

The semantics are those of client-go's util/workqueue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

Key = TypeVar("Key")

_FIRST_BACKOFF_SECONDS = 0.2
_LAST_BACKOFF_SECONDS = 60.0


def backoff_seconds(failures: int) -> float:
    """How long to wait after so many failures in a row: doubled each time, up to a minute."""
    return min(_LAST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 30))


class LoopClock(Protocol):
    """What the queue needs of an event loop."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> asyncio.Handle: ...


class KeyQueue(Generic[Key]):
    """The queue; ``clock`` is the event loop."""

    def __init__(self, clock: LoopClock) -> None:
        self._clock = clock
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._queued: set[Key] = set()
        self._working: set[Key] = set()
        self._again: set[Key] = set()
        # When each is due, which not every loop's handle tells.
        self._timers: dict[Key, tuple[float, asyncio.Handle]] = {}
        self._failures: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self._queued)

    def add(self, key: Key) -> None:
        """Queue the key now. One that is being worked on is queued when that is done."""
        self._drop_timer(key)
        if key in self._working:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Queue the key after that time, unless it is to come sooner."""
        due, timer = self._clock.time() + seconds, self._timers.get(key)
        if timer is None or timer[0] > due:
            self._drop_timer(key)
            self._timers[key] = due, self._clock.call_later(seconds, self.add, key)

    def retry(self, key: Key, at_least_seconds: float = 0.0) -> None:
        """Queue the key after a failure, with back-off, and not sooner."""
        self._drop_timer(key)
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self.add_after(key, max(at_least_seconds, backoff_seconds(failures)))

    async def get(self) -> Key:
        """The next key; the caller owes a :meth:`done`."""
        key = await self._ready.get()
        self._queued.discard(key)
        self._working.add(key)
        return key

    def done(self, key: Key) -> None:
        """The work on the key has ended, well or not."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def forget_failures(self, key: Key) -> None:
        """The work went well: the next failure is the first again."""
        self._failures.pop(key, None)

    def _drop_timer(self, key: Key) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer[1].cancel()
