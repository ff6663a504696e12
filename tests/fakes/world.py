"""One instance, the transport in memory, and as many executors as a test wants to lose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from tests.fakes.clock import FakeClock
from tests.fakes.events import EPOCH, KEY
from tests.fakes.http import FakeHttp
from tests.fakes.memory import MemoryDataBus, MemoryWorkQueue
from tests.fakes.sandbox import FakeSandboxes, Script
from workflow_operator.engine import EngineLimits, WorkflowRunner
from workflow_operator.engine.driving.drive import DriveContext, drive
from workflow_operator.engine.driving.holding import Holding
from workflow_operator.engine.driving.write import EventWriter
from workflow_operator.history import Delivery, EventType, InstanceEvent, InstanceKey, Release

Hook = Callable[[int, str], Awaitable[None]]
"""Called with the number and the name of an operation, before it takes effect."""


class Wire:
    """Between one executor and the rest of the world: counts every operation that crosses it, and may be cut.

    Args:
        cut_at: the operation at which the executor is gone, as after SIGKILL: nothing it does has an effect.
        answered: whether that last operation still takes effect.
        before: called before each operation.
    """

    def __init__(self, cut_at: int | None = None, *, answered: bool = False, before: Hook | None = None) -> None:
        self.count = 0
        self.cut = False
        self._cut_at = cut_at
        self._answered = answered
        self._before = before

    async def cross(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        if self.cut:
            raise asyncio.CancelledError
        self.count += 1
        if self._before is not None:
            await self._before(self.count, name)
        await asyncio.sleep(0)
        if self.count == self._cut_at:
            self.cut = True
            if self._answered:
                await work()
            raise asyncio.CancelledError
        return await work()

    def over(self, target: Any) -> Any:
        return _Proxy(self, target)


class _Proxy:
    def __init__(self, wire: Wire, target: Any) -> None:
        self._wire = wire
        self._target = target

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if name == "session":
            return self._session
        if not asyncio.iscoroutinefunction(attribute):
            return attribute
        return lambda *args, **named: self._wire.cross(name, lambda: attribute(*args, **named))

    @asynccontextmanager
    async def _session(self, namespace: str) -> Any:
        async with self._target.session(namespace) as session:
            yield _Proxy(self._wire, session)


class World:
    def __init__(self, script: Script, **limits: Any) -> None:
        self.clock = FakeClock()
        self.bus = MemoryDataBus()
        self.queue = MemoryWorkQueue(self.clock)
        self.sandboxes = FakeSandboxes(script, self.clock.sleep)
        self.limits = EngineLimits(**limits)
        self.http = FakeHttp()
        self.lines: list[str] = []
        self.alive: set[str] = set()
        self._drawn = 0
        self.writer = EventWriter(self.clock, self._new_id)
        self.runner = WorkflowRunner(self.bus, self.queue, self.writer, self.limits)

    def _new_id(self) -> UUID:
        self._drawn += 1
        return UUID(int=self._drawn)

    def context(self, name: str = "a", wire: Wire | None = None) -> DriveContext:
        wire = wire or Wire()
        return DriveContext(
            bus=wire.over(self.bus),
            queue=wire.over(self.queue),
            sandboxes=wire.over(self.sandboxes),
            writer=self.writer,
            limits=self.limits,
            executor_id=name,
            log=lambda _, line: None if wire.cut else self.lines.append(line.text),
            alive=self._living,
            http=wire.over(self.http),
        )

    async def _living(self, executors: Collection[str]) -> Collection[str]:
        return self.alive.intersection(executors)

    async def start(self, **given: Any) -> InstanceKey:
        await self.runner.execute(KEY.namespace, "source", instance_id=KEY.instance_id, **given)
        return KEY

    async def history(self) -> list[InstanceEvent]:
        return await self.bus.query_history(KEY)

    async def types(self) -> list[EventType]:
        return [event.type for event in await self.history()]

    async def append(self, kind: EventType, **fields: Any) -> InstanceEvent:
        events = await self.history()
        event = self.writer.event(KEY, kind, **fields)
        return await self.bus.push_instance_event(event, expected=events[-1].sequence if events else 0)

    async def pull(self) -> Delivery | None:
        """What the queue delivers next, after as much time as it takes; None if nothing will come."""
        found = await self.clock.until(self.queue.pull(1, 5_000, lambda _: True))
        return found[0] if found else None

    async def drive_once(self, name: str = "a", wire: Wire | None = None, delivery: Delivery | None = None) -> None:
        held = delivery or await self.pull()
        assert held is not None, "nothing is queued"
        wire = wire or Wire()
        await self.clock.until(drive(self.context(name, wire), Holding(wire.over(held))))

    async def drive_to_the_end(self, names: Sequence[str] = ("b", "c")) -> None:
        """Other executors take over, with the sweep at the end of everything, until there is a terminal event."""
        for turn in range(20):
            if (await self.history())[-1].terminal:
                return
            held = await self.pull()
            if held is None:
                await self.queue.enqueue(KEY)
                continue
            await self.drive_once(names[turn % len(names)], delivery=held)
        raise AssertionError(f"no end after many drives: {await self.types()}")


class HandDelivery:
    """A delivery made by hand, that writes down what became of it."""

    def __init__(self, key: InstanceKey = KEY, attempt: int = 1, released: Release | None = None) -> None:
        self.key = key
        self.attempt = attempt
        self.released = released
        self.queued_at = EPOCH
        self.started: InstanceEvent | None = None
        self.fate: list[str] = []

    async def extend(self) -> None:
        self.fate.append("extend")

    async def ack(self, *, confirmed: bool = True) -> None:
        self.fate.append("ack")

    async def retry(self, delay_seconds: float) -> None:
        self.fate.append(f"retry {delay_seconds:g}")

    async def release(self, release: Release) -> None:
        self.fate.append("release after a crash" if release.crashed else "release")


async def driven(world: World, *, attempt: int = 1, **started: Any) -> tuple[list[InstanceEvent], list[str]]:
    await world.start(**started)
    delivery = HandDelivery(attempt=attempt)
    await world.drive_once(delivery=delivery)
    events = await world.history()
    check(events)
    return events, [fate for fate in delivery.fate if fate != "extend"]


def check(events: Sequence[InstanceEvent]) -> None:
    """What holds for every history, whatever happened to its executors."""
    previous, commit, places = 0, 0, 0
    for event in events:
        if event.sequence != commit:
            previous, commit, places = commit, event.sequence, 0
        assert event.previous == previous, f"the chain breaks at {event.sequence}"
        assert event.place == places, f"commit {event.sequence} has a hole"
        places += 1
    recorded = [(event.call.index, event.type) for event in events if event.call is not None]
    assert len(set(recorded)) == len(recorded), f"recorded twice: {recorded}"
    ends = [event for event in events if event.terminal]
    assert len(ends) <= 1
    assert not ends or ends == [events[-1]]


def when(moment: datetime) -> int:
    """As a script sees it: milliseconds since 1970."""
    return int(moment.timestamp() * 1000)
