from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.events import KEY, at, history
from tests.fakes.memory import MemoryWorkQueue
from workflow_operator.engine import Sweeper
from workflow_operator.engine.sweep import due
from workflow_operator.history import EventType, InstanceStatus, Json, fold
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


class World:
    def __init__(self) -> None:
        self.clock = FakeClock(at(0))
        self.queue = MemoryWorkQueue(self.clock)
        self.sweeper = Sweeper(self.queue, self.clock, period_seconds=15.0)


def test_neither_values_nor_labels_are_kept() -> None:
    world = World()
    large = {"script": "1" * 65_000, "metadata": {f"a{number}": "" for number in range(10_000)}}
    world.sweeper.observe(status().replace(memory=Json.of("m" * 9000), **large))
    [(_, kept)] = world.sweeper._pending.values()
    assert len(kept.to_json()) < 1000


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


async def test_it_sweeps_every_period_and_survives_an_outage() -> None:
    world = World()
    world.sweeper.observe(status(PARKED))
    enqueue = world.queue.enqueue
    tries: list[float] = []

    async def failing(key: Any) -> bool:
        tries.append((world.clock.now() - at(0)).total_seconds())
        if len(tries) == 1:
            raise Unavailable("no answer")
        return await enqueue(key)

    world.queue.enqueue = failing  # type: ignore[method-assign]
    task = asyncio.create_task(world.sweeper.run())
    await world.clock.advance(121)
    task.cancel()
    assert tries == [105, 120]
    assert list(world.queue.entries) == [KEY]
