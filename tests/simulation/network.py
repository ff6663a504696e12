"""What is between one replica and NATS: it takes time, loses requests and answers, is away, and may be cut for good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from random import Random
from typing import Any, Protocol, TypeVar

from tests.fakes.memory import MemoryDataBus
from workflow_operator.history import Commit, Delivery, InstanceEvent, InstanceKey, InstanceStatus
from workflow_operator.history.errors import Conflict

T = TypeVar("T")

_DELAYS = (0.0, 0.0, 0.0, 0.001, 0.004, 0.02, 0.06)
_AGAIN_SECONDS = 0.05
# Of one replica; a heartbeat is one every two seconds.
_MOST_OPERATIONS = 4000


class Clock(Protocol):
    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...


class Watcher(Protocol):
    """Told of what has an effect, at the moment at which it has."""

    def stored(self, commit: Sequence[InstanceEvent]) -> None: ...

    def acked(self, key: InstanceKey) -> None: ...

    def timer_set(self, replica: str, key: InstanceKey, at: datetime) -> None: ...


class Line:
    """``loses``: how likely a request or an answer is lost, until ``calm`` is set."""

    def __init__(self, name: str, random: Random, clock: Clock, loses: float) -> None:
        self.name = name
        self.loses = loses
        self.cut = False
        self.away = False
        self.busy = 0
        self.idle_since = clock.now()
        self.operations = 0
        # What happens before the operation with that number.
        self.strike: tuple[int, Callable[[], None]] | None = None
        self._random = random
        self._clock = clock

    async def cross(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it, some time later, and answer some time after that. Who is gone meanwhile may have done it."""
        self._check()
        self.busy += 1
        try:
            crossing = asyncio.ensure_future(self._crossed(work))
            crossing.add_done_callback(_heard)
            return await asyncio.shield(crossing)
        finally:
            self.busy -= 1
            self.idle_since = self._clock.now()
            if self.cut:
                raise asyncio.CancelledError

    async def _crossed(self, work: Callable[[], Awaitable[T]]) -> T:
        await self.delay()
        if self.cut and self._random.random() < 0.5:
            raise asyncio.CancelledError
        result = await work()
        await self.delay()
        return result

    def _check(self) -> None:
        self.operations += 1
        assert self.operations < _MOST_OPERATIONS, f"{self.name} asks NATS again and again"
        if self.strike is not None and self.operations >= self.strike[0]:
            (_, strike), self.strike = self.strike, None
            strike()
        if self.cut:
            raise asyncio.CancelledError

    async def delay(self) -> None:
        if seconds := self._random.choice(_DELAYS):
            await self._clock.sleep(seconds)
        while self.away and not self.cut:
            await self._clock.sleep(_AGAIN_SECONDS)

    def lost(self) -> bool:
        return self._random.random() < self.loses

    async def again(self) -> None:
        await self._clock.sleep(_AGAIN_SECONDS)


def _heard(crossing: asyncio.Future[Any]) -> None:
    """Whoever asked may be gone by now."""
    if not crossing.cancelled():
        crossing.exception()


class RemoteBus:
    """The data bus at the other end: an append without an answer is sent again, as it was."""

    def __init__(self, line: Line, bus: MemoryDataBus, watcher: Watcher) -> None:
        self._line = line
        self._bus = bus
        self._watcher = watcher

    async def append(self, events: Commit, expected: int) -> list[InstanceEvent]:
        return await self._line.cross(lambda: self._append(list(events), expected))

    async def push_instance_event(self, event: InstanceEvent, expected: int) -> InstanceEvent:
        (stored,) = await self.append([event], expected)
        return stored

    async def _append(self, events: Commit, expected: int) -> list[InstanceEvent]:
        while True:
            try:
                stored = None if self._line.lost() else await self._bus.append(events, expected)
            except Conflict:
                if not self._line.lost():
                    raise
            else:
                if stored is not None:
                    self._watcher.stored(stored)
                    if not self._line.lost():
                        return stored
            if self._line.cut:
                raise asyncio.CancelledError
            await self._line.again()

    async def query_history(self, key: InstanceKey, *, after: int = 0, slim: bool = False) -> list[InstanceEvent]:
        return await self._line.cross(lambda: self._bus.query_history(key, after=after, slim=slim))

    async def query_statuses(self, keys: Sequence[InstanceKey]) -> dict[InstanceKey, InstanceStatus]:
        return await self._line.cross(lambda: self._bus.query_statuses(keys))


class RemoteQueue:
    def __init__(self, line: Line, queue: Any, watcher: Watcher) -> None:
        self._line = line
        self._queue = queue
        self._watcher = watcher

    async def pull(self, limit: int, timeout_seconds: float, admits: Any) -> list[Delivery]:
        self._line._check()
        while self._line.away:
            await self._line.again()
        taken = await self._queue.pull(limit, timeout_seconds, admits)
        return [RemoteDelivery(self._line, each, self._watcher) for each in taken]

    async def enqueue_at(self, key: InstanceKey, at: datetime) -> None:
        async def set_timer() -> None:
            self._watcher.timer_set(self._line.name, key, at)
            await self._queue.enqueue_at(key, at)

        await self._line.cross(set_timer)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._queue, name)
        return lambda *args, **named: self._line.cross(lambda: attribute(*args, **named))


class RemoteDelivery:
    def __init__(self, line: Line, delivery: Delivery, watcher: Watcher) -> None:
        self._line = line
        self._delivery = delivery
        self._watcher = watcher

    async def ack(self, **given: Any) -> None:
        async def ack() -> None:
            self._watcher.acked(self._delivery.key)
            await self._delivery.ack(**given)

        await self._line.cross(ack)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._delivery, name)
        if not asyncio.iscoroutinefunction(attribute):
            return attribute
        return lambda *args, **named: self._line.cross(lambda: attribute(*args, **named))
