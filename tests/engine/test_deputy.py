"""Executors without an operator: they sweep in its place, and for no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import datetime

from tests.engine.test_sweep import Here, status
from tests.fakes.clock import FakeClock
from tests.fakes.events import KEY, at, by
from tests.fakes.memory import MemoryWorkQueue
from workflow_operator.engine import Deputy, Sweeper
from workflow_operator.history import EventType, InstanceStatus
from workflow_operator.history.errors import Unavailable

LEFT = status((EventType.TRANSITION, by("operator-1")))


class World:
    def __init__(self) -> None:
        self.clock = FakeClock(at(0))
        self.queue = MemoryWorkQueue(self.clock)
        self.living: set[str] = {"operator-1"}
        self.away = False
        self.reads = 0
        self.begun = 0
        self.deputy = Deputy(self.operators, self.begin, self.clock)

    async def operators(self) -> Collection[str]:
        if self.away:
            raise Unavailable("no answer")
        return self.living

    def begin(self) -> tuple[Sweeper, Statuses]:
        self.begun += 1
        return Sweeper(self.queue, self.clock, Here(), self.alive), Statuses(self)

    async def alive(self, executors: Collection[str]) -> Collection[str]:
        return self.living.intersection(executors)


class Statuses:
    """Each of them once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._left = [LEFT]

    async def read(self, now: datetime) -> list[InstanceStatus]:
        self._world.reads += 1
        found, self._left = self._left, []
        return found


async def test_an_executor_reads_no_status_while_an_operator_lives() -> None:
    world = World()
    task = asyncio.create_task(world.deputy.run())
    await world.clock.advance(60)
    task.cancel()
    assert (world.reads, world.queue.entries) == (0, {})


async def test_what_the_last_operator_executed_is_queued_within_seconds() -> None:
    world = World()
    task = asyncio.create_task(world.deputy.run())
    await world.clock.advance(10)
    world.living.clear()
    await world.clock.advance(7)
    assert list(world.queue.entries) == [KEY]
    # The next one has it in view by itself.
    world.living.add("operator-2")
    reads = world.reads
    await world.clock.advance(60)
    assert (world.reads, world.begun) == (reads, 1)
    task.cancel()


async def test_before_an_operator_was_there_nothing_is_queued() -> None:
    """As after a restore of NATS: what an object shows as finished would be run again."""
    world = World()
    world.living.clear()
    task = asyncio.create_task(world.deputy.run())
    await world.clock.advance(60)
    assert (world.reads, world.queue.entries) == (0, {})
    world.living.add("operator-2")
    await world.clock.advance(3)
    world.living.clear()
    await world.clock.advance(2)
    world.deputy.reconnected()
    await world.clock.advance(60)
    assert not world.queue.entries, "NATS may be another one"
    task.cancel()


async def test_after_an_outage_it_begins_anew() -> None:
    world = World()
    task = asyncio.create_task(world.deputy.run())
    await world.clock.advance(3)
    world.living.clear()
    await world.clock.advance(3)
    world.away = True
    await world.clock.advance(10)
    world.away, world.living = False, {"operator-1"}
    await world.clock.advance(60)
    assert not world.queue.entries
    world.living.clear()
    await world.clock.advance(8)
    assert (list(world.queue.entries), world.begun) == ([KEY], 2)
    task.cancel()
