"""A clock that stands still until it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from tests.fakes.events import EPOCH

T = TypeVar("T")


class FakeClock:
    def __init__(self, start: datetime = EPOCH) -> None:
        self._now = start
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + timedelta(seconds=seconds), future))
        await future

    def call_later(self, seconds: float, call: Callable[[], None]) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: None if done.cancelled() else call())
        self._sleepers.append((self._now + timedelta(seconds=seconds), future))
        return future

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking sleepers in order, each at its own time."""
        end = self._now + timedelta(seconds=seconds)
        await settle()
        while (due := self._next()) is not None and due <= end:
            self._now = max(self._now, due)
            self._wake()
            await settle()
        self._now = end

    async def until(self, work: Awaitable[T], *, limit_seconds: float = 10_000) -> T:
        """The result of the work, with as much time passing as it takes."""
        task = asyncio.ensure_future(work)
        try:
            await self.pass_until(task.done, limit_seconds=limit_seconds)
            return await task
        finally:
            task.cancel()

    async def pass_until(self, condition: Callable[[], bool], *, limit_seconds: float = 10_000) -> None:
        """Let as much time pass as it takes."""
        end = self._now + timedelta(seconds=limit_seconds)
        await settle()
        while not condition():
            await self.step(end)

    async def step(self, end: datetime) -> None:
        """Let time pass until something is due, before ``end``."""
        due = self._next()
        if due is None or due > end:
            raise AssertionError(f"not so at {self._now}, and time brings it no further (next: {due})")
        self._now = max(self._now, due)
        self._wake()
        await settle()

    def _next(self) -> datetime | None:
        self._sleepers = [(due, future) for due, future in self._sleepers if not future.done()]
        return min((due for due, _ in self._sleepers), default=None)

    def _wake(self) -> None:
        for due, future in self._sleepers:
            if due <= self._now and not future.done():
                future.set_result(None)


class SkewedClock:
    """Shows the time of another clock, wrongly; waits by that one."""

    def __init__(self, clock: FakeClock, error: Callable[[], float]) -> None:
        self._clock = clock
        self._error = error

    def now(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self._error())

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def call_later(self, seconds: float, call: Callable[[], None]) -> asyncio.Future[None]:
        return self._clock.call_later(seconds, call)


async def settle() -> None:
    """Let every task run until all of them wait."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    for _ in range(100_000):
        await asyncio.sleep(0)
        if not ready:
            return
    raise AssertionError("a task runs without end and never waits")
