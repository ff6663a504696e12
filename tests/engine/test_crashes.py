"""An executor that is lost at any operation whatever, and another that continues."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import pytest

from tests.fakes.events import KEY, plain
from tests.fakes.sandbox import ScriptBody, fetch, finish, log, sleep, transition
from tests.fakes.world import HandDelivery, Wire, World, check
from workflow_operator.engine.driving.drive import drive
from workflow_operator.engine.driving.holding import Holding
from workflow_operator.history import EventType, InstanceEvent

T = EventType
LINES = ["one", "two", "three"]
SLEPT = [T.TIMER_STARTED, T.TIMER_FIRED]
WORK = [T.TRANSITION, *SLEPT, T.CALL_COMPLETED, *SLEPT, T.OUTPUT, T.TRANSITION]


def script(given: Any) -> ScriptBody:
    yield log("one")
    yield transition("first", {"n": 1})
    yield sleep(3)
    yield log("two")
    answer = yield fetch("POST", body="{}")
    yield sleep(60)
    yield finish({"total": answer.load()["status"] - 193})
    yield log("three")
    yield transition("last")
    return "not this"


async def lose(wire: Wire) -> World:
    world = World(script)
    await world.start()
    held = await world.pull()
    while held is not None and not (await world.history())[-1].terminal:
        try:
            await world.drive_once("a", wire, held)
        except asyncio.CancelledError:
            break
        held = await world.pull()
    return world


async def operations() -> int:
    wire = Wire()
    world = await lose(wire)
    assert (await world.types())[-1] is T.SUCCEEDED
    return wire.count


async def test_an_undisturbed_run_records_each_step_once_and_parks_once() -> None:
    world = await lose(Wire())
    assert await world.types() == [T.STARTED, *WORK[:5], T.WAITING, T.CLAIMED, *WORK[5:], T.SUCCEEDED]
    events = await world.history()
    check(events)
    assert plain(events[-1].output) == {"total": 7}
    assert world.lines == LINES
    assert len(world.http.requests) == 1
    assert world.sandboxes.open == 0
    assert not world.queue.entries
    assert not world.queue.timers


@pytest.mark.parametrize("answered", [False, True], ids=["before its effect", "after its effect"])
async def test_an_executor_lost_at_any_operation_loses_and_repeats_nothing(answered: bool) -> None:
    last = await operations()
    assert last > 30
    for cut_at in range(1, last + 1):
        world = await lose(Wire(cut_at, answered=answered))
        await world.drive_to_the_end()
        events = await world.history()
        check(events)
        assert [event.type for event in events if event.call is not None] == WORK, cut_at
        assert (events[-1].type, plain(events[-1].output)) == (T.SUCCEEDED, {"total": 7}), cut_at
        # A line may be printed twice around a crash, and never gets lost.
        assert set(world.lines) == set(LINES), cut_at
        assert len(world.lines) <= len(LINES) + 1, cut_at
        # Nor is a request; and who gets it twice is told that it is the same.
        keys = [request.headers["Idempotency-Key"] for request in world.http.requests]
        assert (len(keys) in (1, 2), set(keys)) == (True, {f"{KEY.instance_id}-0.3"}), cut_at
        assert world.sandboxes.open == 0


async def test_two_losses_in_one_run() -> None:
    last = await operations()
    random = Random(7)
    for _ in range(10):
        world = await lose(Wire(random.randint(1, last)))
        for _ in range(3):
            held = None if (await world.history())[-1].terminal else await world.pull()
            if held is not None:
                wire = Wire(random.randint(1, 30), answered=random.random() < 0.5)
                try:
                    await world.drive_once("b", wire, held)
                except asyncio.CancelledError:
                    continue
        await world.drive_to_the_end(["c"])
        events = await world.history()
        check(events)
        assert [event.type for event in events if event.call is not None] == WORK
        assert plain(events[-1].output) == {"total": 7}


async def test_a_cancel_request_at_any_operation_ends_the_run_once() -> None:
    last = await operations()
    ends: list[EventType] = []
    for place in range(1, last + 1):
        world = World(script)
        accepted: list[bool] = []
        wire = Wire(before=_at(place, partial(_cancel, world, accepted)))
        await world.start()
        while not (await world.history())[-1].terminal:
            held = await world.pull()
            assert held is not None, place
            await world.drive_once("a", wire, held)
        events = await world.history()
        check(events)
        ends.append(events[-1].type)
        requested = [event for event in events if event.type is T.CANCEL_REQUESTED]
        assert len(requested) == sum(accepted)
        if events[-1].type is T.CANCELLED:
            assert events[-1].reason == "deleted"
            assert (events[-1].time - requested[0].time).total_seconds() <= 2 * world.limits.heartbeat_seconds
        assert world.sandboxes.open == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}
    # Only a run that was about to end anyway may still end well.
    assert set(ends[:-12]) == {T.CANCELLED}
    assert T.SUCCEEDED in ends


def _at(place: int, action: Callable[[], Awaitable[None]]) -> Callable[[int, str], Awaitable[None]]:
    async def before(count: int, _: str) -> None:
        if count == place:
            await action()

    return before


async def _cancel(world: World, accepted: list[bool]) -> None:
    events = await world.history()
    if not events[-1].terminal:
        accepted.append(await world.runner.cancel(events[0].key, "deleted"))


@pytest.mark.parametrize(
    "attempts", [(1, 1), (1, 2), (2, 3), (2, 2)], ids=["both first", "redelivered", "both later", "equals"]
)
@pytest.mark.parametrize("names", [("a", "b"), ("a", "a")], ids=["two replicas", "one replica"])
async def test_two_executors_at_once_record_each_step_once(attempts: tuple[int, int], names: tuple[str, str]) -> None:
    for seed in range(5):
        random = Random(seed)

        async def jitter(count: int, name: str, random: Random = random) -> None:
            for _ in range(random.choice([0, 0, 0, 1, 5, 20])):
                await asyncio.sleep(0)

        world = World(script, park_after_seconds=1000.0)
        await world.start()
        deliveries = [HandDelivery(attempt=attempt) for attempt in attempts]
        drives = [
            drive(world.context(name, Wire(before=jitter)), Holding(delivery))
            for name, delivery in zip(names, deliveries, strict=True)
        ]
        await world.clock.until(asyncio.gather(*drives))
        events = await world.history()
        check(events)
        if not events[-1].terminal:
            # Each may have seen the other; a redelivery goes on.
            await world.drive_once("c", delivery=HandDelivery(attempt=4))
            events = await world.history()
            check(events)
        assert [event.type for event in events if event.call is not None] == WORK, seed
        assert events[-1].type is T.SUCCEEDED
        acks = [delivery for delivery in deliveries if "ack" in delivery.fate]
        assert len(acks) <= 1


async def test_a_late_append_of_the_lost_executor_is_seen_before_the_claim() -> None:
    lost = World(script)
    await lost.start()
    await lost.drive_once("lost", Wire(), HandDelivery())
    recorded = next(event for event in await lost.history() if event.type is T.TRANSITION)
    sent = recorded.replace(event_id=UUID(int=2**64))

    world = World(script)
    await world.start()
    arrived: list[InstanceEvent] = []

    async def late(count: int, name: str) -> None:
        if name == "append" and not arrived:
            # What the lost executor had sent arrives between the look at the history and the claim.
            arrived.append(await world.bus.push_instance_event(sent, expected=1))

    await world.drive_once("b", Wire(before=late), HandDelivery(attempt=2))
    assert (await world.types())[-1] is T.WAITING, "it looked again, and went on at once"
    await world.drive_to_the_end()
    events = await world.history()
    check(events)
    assert [event.type for event in events][:3] == [T.STARTED, T.TRANSITION, T.CLAIMED]
    assert [event.type for event in events if event.call is not None] == WORK
