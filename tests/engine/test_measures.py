"""What the engine counts, and that no script can make a series of its own."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.counted import Moved, sample
from tests.fakes.events import EPOCH, KEY, at
from tests.fakes.sandbox import does, finish, raises, returns, sleep, transition
from tests.fakes.world import HandDelivery, World, driven
from workflow_operator.engine import Executor
from workflow_operator.engine.measures import Fate, first_waits, follow_queue_depth, follow_stored_bytes
from workflow_operator.history import EventType, QueueDepth
from workflow_operator.history.errors import (
    EngineCrash,
    MemoryLimit,
    ScriptError,
    Thrown,
    Unavailable,
    UnknownFormat,
)
from workflow_operator.metrics import ALL

T = EventType


async def executed(world: World, until: float = 100.0) -> Moved:
    """How the metrics move while an executor works for some time on what is queued."""
    moved = Moved()
    task = asyncio.create_task(Executor(world.context()).run())
    await world.clock.advance(until)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return moved


def test_the_fates_are_the_outcomes_that_are_shown() -> None:
    (metric,) = [each for each in ALL if each.name == "workflow_operator_executions_total"]
    assert set(metric.labels["outcome"]) == set(Fate)


@pytest.mark.parametrize(
    ("script", "fates"),
    [
        (returns, {Fate.SUCCEEDED: 1}),
        (raises(Thrown("Error", "no")), {Fate.FAILED: 1}),
        (raises(MemoryLimit("too much")), {Fate.FAILED: 1}),
        (does(sleep(50)), {Fate.PARKED: 1, Fate.SUCCEEDED: 1}),
        (raises(EngineCrash("died")), {Fate.CRASHED: 6, Fate.FAILED: 1}),
    ],
)
async def test_each_time_in_a_slot_is_counted_by_what_became_of_it(script: Any, fates: dict[Fate, float]) -> None:
    world = World(script)
    await world.start()
    moved = await executed(world, until=500)
    if Fate.CRASHED in fates:
        # The first drive has no claim, so the limit counts from the second. After each one there is a pause.
        limit = world.limits.crash_limit
        fates = {Fate.CRASHED: limit + 1, Fate.RETURNED: limit, Fate.FAILED: 1}
    assert moved.each("executions_total", "outcome") == fates
    assert moved.by("execution_duration_seconds_count") == sum(fates.values())
    assert sample("executor_slots_used") == 0
    assert sample("executor_slots") == world.limits.slots


async def test_a_cancelled_one_an_ended_one_and_one_that_is_overtaken() -> None:
    world = World(returns)
    await world.start()
    await world.runner.cancel(KEY, "deleted")
    moved = await executed(world)
    await world.queue.enqueue(KEY)
    await executed(world)
    assert moved.each("executions_total", "outcome") == {Fate.CANCELLED: 1, Fate.NOTHING: 1}

    world = World(does(sleep(4)))
    await world.start()
    moved = Moved()
    task = asyncio.create_task(Executor(world.context()).run())
    await world.clock.advance(1)
    await world.append(T.CLAIMED)
    await world.clock.advance(2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert moved.each("executions_total", "outcome") == {Fate.OVERTAKEN: 1}


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (Unavailable("no answer"), Fate.UNAVAILABLE),
        (UnknownFormat("newer"), Fate.RETURNED),
        (KeyError("a fault of our own"), Fate.CRASHED),
    ],
)
async def test_a_drive_that_fails(error: Exception, fate: Fate) -> None:
    world = World(returns)
    world.queue.carries = False
    await world.start()

    async def failing(*_: Any, **__: Any) -> Any:
        raise error

    world.bus.query_history = failing  # type: ignore[method-assign]
    moved = await executed(world, until=0.5)
    assert moved.each("executions_total", "outcome") == {fate: 1}


async def test_what_a_shutdown_interrupts_is_returned() -> None:
    world = World(does(sleep(4)))
    await world.start()
    moved = Moved()
    task = asyncio.create_task(Executor(world.context()).run())
    await world.clock.advance(1)
    assert sample("executor_slots_used") == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sample("executor_slots_used") == 0
    assert moved.each("executions_total", "outcome") == {Fate.RETURNED: 1}


def waiting(attempt: int, seconds: float) -> HandDelivery:
    delivery = HandDelivery(attempt=attempt)
    delivery.queued_at = at(seconds)
    return delivery


@pytest.mark.parametrize(
    ("deliveries", "waits"),
    [
        ([], []),
        ([waiting(1, -3)], [3]),
        ([waiting(2, -30), waiting(1, -1)], [1]),
        ([waiting(1, 0.5)], [0]),
    ],
)
def test_the_wait_in_the_queue_ends_with_the_first_delivery(deliveries: list[HandDelivery], waits: list[float]) -> None:
    assert first_waits(deliveries, EPOCH) == waits


async def test_waits_are_observed() -> None:
    world = World(returns)
    await world.start()
    await world.clock.advance(7)
    moved = await executed(world)
    assert (moved.by("queue_wait_seconds_count"), moved.by("queue_wait_seconds_sum")) == (1, 7)


async def test_calls_are_counted_once_as_new_and_then_as_replayed() -> None:
    world = World(does(transition("a"), sleep(60), finish(1), transition("b")))
    moved = Moved()
    await driven(world)
    assert moved.each("host_calls_total", "call") == {"transition": 1, "sleep": 1}
    assert (moved.by("replays_total"), moved.by("replayed_calls_total")) == (0, 0)
    await world.clock.advance(60)
    await world.drive_once("b", delivery=HandDelivery())
    assert moved.each("host_calls_total", "call") == {"transition": 2, "sleep": 1, "finish": 1}
    assert (moved.by("replays_total"), moved.by("replayed_calls_total")) == (1, 2)


@pytest.mark.parametrize("error", [MemoryLimit("too much"), EngineCrash("died")])
async def test_a_limit_is_counted_by_its_class(error: ScriptError) -> None:
    moved = Moved()
    world = World(raises(error))
    await world.start()
    await executed(world, until=0.5)
    assert moved.each("sandbox_kills_total", "reason") == {type(error).__name__: 1}


@pytest.mark.parametrize("name", ["Timeout", "x" * 200, 'a",b="'])
async def test_what_a_script_throws_names_no_series(name: str) -> None:
    moved = Moved()
    await driven(World(raises(Thrown(name, "as if"))))
    assert moved.each("sandbox_kills_total", "reason") == {}
    assert name not in {reason for metric in ALL for f in metric.collector.collect() for s in f.samples
                        for reason in s.labels.values()} - {"Timeout"}  # fmt: skip


async def test_the_depth_of_the_queue_is_shown_and_its_failures_hurt_nobody() -> None:
    world, clock = World(returns), FakeClock()
    depths: list[QueueDepth | Exception] = [QueueDepth(3, 2, 1), Unavailable("no answer"), QueueDepth(0, 0, 4)]

    async def depth() -> QueueDepth:
        found = depths.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def shown() -> list[float]:
        return [sample("queue_depth", state=state) for state in ("waiting", "held", "scheduled")]

    world.queue.depth = depth  # type: ignore[method-assign]
    async with followed(world, clock):
        assert shown() == [3, 2, 1]
        await clock.advance(15)
        assert shown() == [3, 2, 1]
        await clock.advance(15)
        assert shown() == [0, 0, 4]


@asynccontextmanager
async def followed(world: World, clock: FakeClock) -> Any:
    task = asyncio.create_task(follow_queue_depth(world.queue, clock))
    await settle()
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_streams_hold_is_shown_and_failures_hurt_nobody() -> None:
    clock = FakeClock()
    found: list[dict[str, int] | Exception] = [{"HISTORY": 7, "STATUS": 2}, Unavailable("no answer"), {"HISTORY": 9}]

    async def read() -> dict[str, int]:
        each = found.pop(0)
        if isinstance(each, Exception):
            raise each
        return each

    task = asyncio.create_task(follow_stored_bytes(read, clock))
    await settle()
    for history in (7, 7, 9):
        assert (sample("nats_stored_bytes", stream="HISTORY"), sample("nats_stored_bytes", stream="STATUS")) == (
            history,
            2,
        )
        await clock.advance(60) if found else None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
