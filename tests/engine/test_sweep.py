from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.events import KEY, at, by, history
from tests.fakes.memory import MemoryWorkQueue
from workflow_operator.engine import Sweeper
from workflow_operator.engine.sweep import due, patience
from workflow_operator.history import EventType, InstanceKey, InstanceStatus, Json, fold
from workflow_operator.history.errors import Unavailable

T = EventType
PARKED = (T.WAITING, {"wake_at": at(100)})


def status(*steps: Any) -> InstanceStatus:
    folded: InstanceStatus | None = None
    for event in history(T.STARTED, *steps):
        folded = fold(folded, event)
    assert folded is not None
    return folded


@pytest.mark.parametrize(
    ("steps", "now", "expected"),
    [
        ([], 0, True),
        ([T.CLAIMED], 0, True),
        ([PARKED], 99.9, False),
        ([PARKED], 100, True),
        ([PARKED, T.CANCEL_REQUESTED], 0, True),
        ([T.CANCEL_REQUESTED, PARKED], 0, True),
        ([PARKED, T.CLAIMED], 0, True),
        ([T.WAITING], 1000, False),
        *[([end], 1000, False) for end in (T.SUCCEEDED, T.FAILED, T.CANCELLED)],
        ([PARKED, T.CANCELLED], 1000, False),
    ],
)
def test_due(steps: list[Any], now: float, expected: bool) -> None:
    assert due(status(*steps), at(now)) == expected


@pytest.mark.parametrize(
    ("steps", "seconds"),
    [
        # Started, and nobody has begun: the queue has it.
        ([], 15),
        # Claimed by anybody: its message comes back by itself.
        *[([(T.CLAIMED, by(name, 1))], 15) for name in ("me", "lives", "gone")],
        # Driven where it started.
        ([(T.TRANSITION, by("me"))], 5),
        ([(T.TRANSITION, by("lives"))], 120),
        ([(T.TRANSITION, by("gone"))], 1),
        # Whoever it was, its timer may be missing.
        *[([(T.WAITING, {**by(name), "wake_at": at(100)})], 3) for name in ("me", "lives", "gone")],
        ([(T.WAITING, {**by("lives", 1), "wake_at": at(100)})], 15),
        # Asked to end, after that: who asked has queued it.
        ([(T.TRANSITION, by("lives")), T.CANCEL_REQUESTED], 120),
    ],
)
def test_patience(steps: list[Any], seconds: float) -> None:
    assert patience(status(*steps), "me", {"lives"}) == seconds


class Here:
    id = "me"

    def __init__(self) -> None:
        self.held: set[InstanceKey] = set()

    def holds(self, key: InstanceKey) -> bool:
        return key in self.held


class World:
    def __init__(self) -> None:
        self.clock = FakeClock(at(0))
        self.queue = MemoryWorkQueue(self.clock)
        self.here = Here()
        self.living = {"lives"}
        self.away = False
        self.looked_for: list[Collection[str]] = []
        self.spared: set[InstanceKey] = set()
        self.sweeper = Sweeper(self.queue, self.clock, self.here, self.alive, lambda status: status.key in self.spared)

    async def alive(self, executors: Collection[str]) -> Collection[str]:
        if self.away:
            raise Unavailable("no answer")
        self.looked_for.append(frozenset(executors))
        return self.living.intersection(executors)

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.sweeper.run())
        try:
            yield
        finally:
            task.cancel()

    async def queued_after(self, limit_seconds: int = 100) -> int | None:
        """Seconds until it is queued."""
        for second in range(limit_seconds):
            if self.queue.entries:
                return second
            await self.clock.advance(1)
        return None


def test_neither_values_nor_labels_are_kept() -> None:
    world = World()
    large = {"script": "1" * 65_000, "metadata": {f"a{number}": "" for number in range(10_000)}}
    world.sweeper.observe(status().replace(memory=Json.of("m" * 9000), **large))
    [kept] = world.sweeper._awake.values()
    assert len(kept.status.to_json()) < 1000


async def test_a_pending_instance_is_left_alone_for_one_period() -> None:
    world = World()
    world.sweeper.observe(status())
    await world.clock.advance(14.9)
    await world.sweeper.sweep()
    assert not world.queue.entries
    await world.clock.advance(0.1)
    await world.sweeper.sweep()
    assert list(world.queue.entries) == [KEY]


async def test_each_change_begins_another_period() -> None:
    world = World()
    world.sweeper.observe(status())
    await world.clock.advance(10)
    world.sweeper.observe(status(T.CLAIMED))
    await world.clock.advance(10)
    await world.sweeper.sweep()
    assert not world.queue.entries


async def test_an_ended_instance_is_forgotten() -> None:
    world = World()
    world.sweeper.observe(status())
    world.sweeper.observe(status(T.SUCCEEDED))
    await world.clock.advance(100)
    await world.sweeper.sweep()
    assert not world.queue.entries


async def test_a_sweep_of_what_is_queued_changes_nothing() -> None:
    world = World()
    world.sweeper.observe(status())
    await world.queue.enqueue(KEY)
    (delivery,) = await world.queue.pull(1, 1, lambda _: True)
    await world.clock.advance(15)
    await delivery.extend()
    await world.sweeper.sweep()
    assert world.queue.entries[KEY].attempt == 1


async def test_a_sleeper_that_missed_its_time_is_found_and_an_outage_survived() -> None:
    world = World()
    world.sweeper.observe(status(PARKED))
    enqueue = world.queue.enqueue
    tries: list[float] = []

    async def failing(key: Any) -> bool:
        tries.append((world.clock.now() - at(0)).total_seconds())
        if len(tries) == 1:
            raise Unavailable("no answer")
        return await enqueue(key)

    world.queue.enqueue = failing  # type: ignore[method-assign,assignment]
    async with world.sweeping():
        await world.clock.advance(121)
    assert tries == [115, 120]
    assert list(world.queue.entries) == [KEY]


@pytest.mark.parametrize(
    ("driver", "seconds"),
    # Of a replica that died, and of one that goes on: until it is sure that it has had time to say so.
    [("gone", 4), ("lives", 120), ("me", 5)],
)
async def test_what_was_driven_where_it_started_is_queued_for_who_cannot(driver: str, seconds: int) -> None:
    world = World()
    world.sweeper.observe(status((T.TRANSITION, by(driver))))
    async with world.sweeping():
        assert await world.queued_after(200) == seconds
    assert list(world.queue.entries) == [KEY]


@pytest.mark.parametrize("driver", ["gone", "me"])
async def test_what_its_object_may_show_as_finished_is_left_alone_as_long_as_what_is_queued(driver: str) -> None:
    world = World()
    world.spared.add(KEY)
    world.sweeper.observe(status((T.TRANSITION, by(driver))))
    async with world.sweeping():
        assert await world.queued_after() == 15


async def test_what_is_driven_here_is_left_alone_however_long_and_what_others_hold_is_looked_up_once() -> None:
    world = World()
    world.here.held.add(KEY)
    world.sweeper.observe(status((T.TRANSITION, by("me"))))
    async with world.sweeping():
        assert await world.queued_after(300) is None
        world.here.held.clear()
        assert await world.queued_after() == 5
    assert world.looked_for == []


async def test_the_runs_of_a_dead_replica_are_queued_once_while_their_statuses_lag() -> None:
    world = World()
    for number in range(3):
        key = InstanceKey(KEY.namespace, UUID(int=number))
        world.sweeper.observe(status((T.TRANSITION, by("gone"))).replace(instance_id=key.instance_id))
    queued: list[InstanceKey] = []
    enqueue = world.queue.enqueue

    async def counted(key: InstanceKey) -> bool:
        queued.append(key)
        return await enqueue(key)

    world.queue.enqueue = counted  # type: ignore[method-assign,assignment]
    async with world.sweeping():
        await world.clock.advance(18)
    assert len(queued) == len(set(queued)) == 3
    assert set(world.looked_for) == {frozenset({"gone"})}


async def test_after_an_outage_everybody_has_time_to_show_that_it_lives() -> None:
    world = World()
    world.sweeper.observe(status((T.TRANSITION, by("lives"))))
    async with world.sweeping():
        await world.clock.advance(10)
        world.away = True
        await world.clock.advance(10)
        world.away, world.living = False, set()
        await world.clock.advance(2.5)
        world.living = {"lives"}
        await world.clock.advance(10)
        assert not world.queue.entries
        # Missed once, it may only be slow.
        world.living = set()
        await world.clock.advance(1)
        world.living = {"lives"}
        await world.clock.advance(1)
        world.living = set()
        assert await world.queued_after() == 2
