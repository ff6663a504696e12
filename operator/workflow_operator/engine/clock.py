"""Time, passed in: the history records it, and tests own it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shown_ms(time: datetime) -> int:
    """What a script's Date shows at that time: milliseconds since 1970.

    A whole millisecond may show as the one before it: all releases have counted so, and a replay must show the same.
    """
    return int(time.timestamp() * 1000)


@lru_cache(maxsize=16)
def time_of(shown: int) -> datetime:
    """The first time, to the microsecond, at which a script's Date shows these milliseconds."""
    time = _EPOCH + timedelta(milliseconds=shown)
    return time if shown_ms(time) == shown else time + _MICROSECOND


class Timer(Protocol):
    def cancel(self) -> None:
        """Call nothing."""


class Clock(Protocol):
    def now(self) -> datetime:
        """The time of day, with a zone."""

    async def sleep(self, seconds: float) -> None:
        """Return after that time; at once where it is not positive."""

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call it after that time."""


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, call)
