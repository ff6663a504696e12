"""Executors whose clocks differ, and are set while they run: time in a history never falls, and no sleep is short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from tests.fakes.clock import SkewedClock
from tests.fakes.events import KEY, at
from tests.fakes.sandbox import ScriptBody, compute, log, sleep, transition
from tests.fakes.world import HandDelivery, Wire, World, check, driven, when
from workflow_operator.engine.clock import shown_ms, time_of
from workflow_operator.engine.driving.drive import drive
from workflow_operator.engine.driving.holding import Holding
from workflow_operator.engine.driving.write import EventWriter
from workflow_operator.history import EventType

T = EventType
NAPS = (1, 3, 60, 2, 600, 4)


def seen_by(dates: list[tuple[int, int]]) -> Callable[[Any], ScriptBody]:
    """A script that naps, and writes down the time that it saw, in milliseconds, before and after each nap."""

    def script(_: Any) -> ScriptBody:
        dates.clear()
        now = yield transition("begin")
        for nap in NAPS:
            before = now
            yield log(str(before))
            now = yield sleep(nap)
            dates.append((before, now))
        return len(dates)

    return script


@pytest.mark.parametrize("seed", range(30))
async def test_time_does_not_go_back_and_no_sleep_is_short_whatever_the_clocks_show(seed: int) -> None:
    random = Random(seed)
    dates: list[tuple[int, int]] = []
    world = World(seen_by(dates))
    await world.start()
    true_clock = world.clock
    for turn in range(200):
        if (await world.history())[-1].terminal:
            break
        held = await world.pull()
        if held is None:
            await world.queue.enqueue(KEY)
            continue
        error = {"now": random.uniform(-40, 40)}
        world.writer = EventWriter(SkewedClock(true_clock, lambda error=error: error["now"]), world.writer.new_id)
        task = asyncio.create_task(drive(world.context(f"executor-{turn}"), Holding(held)))
        for _ in range(random.randint(1, 30)):
            await true_clock.advance(random.uniform(0.1, 2))
            if random.random() < 0.2:
                error["now"] = random.uniform(-40, 40)
            if task.done():
                break
        # Killed, where it did not park or end.
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await true_clock.advance(7)
    events = await world.history()
    check(events)
    assert events[-1].type is T.SUCCEEDED
    times = [event.time for event in events]
    assert times == sorted(times)
    assert [now - before >= nap * 1000 for nap, (before, now) in zip(NAPS, dates, strict=True)] == [True] * len(NAPS)
    due = {event.call.index: event.fire_at for event in events if event.type is T.TIMER_STARTED and event.call}
    for event in events:
        if event.type is T.TIMER_FIRED:
            assert event.call is not None
            fire_at = due[event.call.index]
            assert fire_at is not None
            assert event.time >= fire_at


async def test_a_successor_whose_clock_is_behind_waits_as_long_as_it_should() -> None:
    world = World(seen_by([]))
    await world.start()
    first = asyncio.create_task(drive(world.context("first"), Holding(HandDelivery())))
    await world.clock.advance(2.5)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    world.writer = EventWriter(SkewedClock(world.clock, lambda: -30), world.writer.new_id)
    begun = world.clock.now()
    second = asyncio.create_task(drive(world.context("second"), Holding(HandDelivery(attempt=2))))
    await world.clock.until(second)
    # The nap of 3 s that it found begun, and nothing for what its clock lacks.
    assert world.clock.now() - begun <= timedelta(seconds=3)
    assert (await world.types())[-1] is T.WAITING


async def test_a_clock_that_is_set_back_during_a_sleep_neither_stretches_nor_shortens_it() -> None:
    world = World(lambda _: iter_sleep())
    error = {"now": 0.0}
    world.writer = EventWriter(SkewedClock(world.clock, lambda: error["now"]), world.writer.new_id)
    await world.start()
    task = asyncio.create_task(drive(world.context(), Holding(HandDelivery())))
    await world.clock.advance(2)
    error["now"] = -2.0
    await world.clock.until(task)
    assert world.clock.now() == at(4)
    events = await world.history()
    assert [event.time for event in events] == sorted(event.time for event in events)
    assert events[2].time == events[1].fire_at


def iter_sleep() -> ScriptBody:
    yield sleep(4)
    return "done"


async def test_what_the_queue_woke_is_due_by_the_queues_clock() -> None:
    world = World(seen_by([]))
    await driven(world)
    assert (await world.types())[-1] is T.WAITING
    woken = await world.pull()
    assert woken is not None
    # This machine's clock says that half a minute is missing: it does not park the run again and again until then.
    world.writer = EventWriter(SkewedClock(world.clock, lambda: -30), world.writer.new_id)
    await world.clock.until(drive(world.context("behind"), Holding(woken)))
    assert T.TIMER_FIRED in (await world.types())[-5:]
    assert when((await world.history())[-1].time) >= when(woken.queued_at) - 30_000


@pytest.mark.parametrize("around", [0, 1_700_000_000_000, 1_792_345_678_901, 4_102_444_800_000])
def test_what_a_script_saw_is_what_its_event_shows(around: int) -> None:
    random = Random(around)
    for shown in (around, *(around + random.randrange(10**9) for _ in range(5_000))):
        assert shown_ms(time_of(shown)) == shown
        assert time_of(shown) - time_of(shown - 1) <= timedelta(milliseconds=1, microseconds=1)


async def test_the_time_of_a_call_that_nobody_answers_is_the_one_that_the_script_saw() -> None:
    dates: list[int] = []

    def script(_: Any) -> ScriptBody:
        dates.append((yield replace(transition("a"), time_ms=when(at(0)) + 250)))

    world = World(script)
    events, _ = await driven(world)
    assert [shown_ms(event.time) for event in events if event.type is T.TRANSITION] == dates == [when(at(0)) + 250]


async def test_it_stays_behind_a_later_event_of_somebody_else() -> None:
    told = when(at(0)) + 250

    def script(_: Any) -> ScriptBody:
        yield replace(transition("a"), time_ms=told)
        yield compute(60)

    async def meddle(_: int, name: str) -> None:
        if name == "append" and T.CANCEL_REQUESTED not in await world.types():
            await world.append(T.CANCEL_REQUESTED, at=at(5))

    world = World(script)
    world.queue.carries = False
    await world.start()
    await world.drive_once(wire=Wire(before=meddle))
    assert [(event.type, event.time) for event in await world.history()][1:] == [
        (T.CANCEL_REQUESTED, at(5)),
        (T.TRANSITION, time_of(told)),
        (T.CANCELLED, at(5)),
    ]
