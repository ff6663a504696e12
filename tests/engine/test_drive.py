"""What becomes of one delivered instance."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fakes.events import KEY, at
from tests.fakes.sandbox import compute, does, returns, sleep, transition
from tests.fakes.world import HandDelivery, Wire, World, check, driven
from workflow_operator.engine.driving.drive import drive
from workflow_operator.engine.driving.holding import Holding
from workflow_operator.engine.measures import Fate
from workflow_operator.history import CallRecord, EventType, ExecutorRef, Release, digest
from workflow_operator.history.errors import (
    Unavailable,
)

T = EventType
BY_B = {"executor": ExecutorRef(id="b", epoch=7)}
CLAIM_BY_B = {**BY_B, "predecessor": "silence"}


# --- without a script ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("attempt", "fate"), [(1, ["retry 1"]), (4, ["retry 1"]), (5, ["ack"])])
async def test_an_instance_without_history_is_waited_for_a_while(attempt: int, fate: list[str]) -> None:
    delivery = HandDelivery(attempt=attempt)
    await World(returns).drive_once(delivery=delivery)
    assert delivery.fate == fate


@pytest.mark.parametrize("end", [T.SUCCEEDED, T.FAILED, T.CANCELLED])
async def test_an_ended_instance_is_acked_and_left_alone(end: EventType) -> None:
    world = World(returns)
    await world.start()
    await world.append(end)
    delivery = HandDelivery()
    await world.drive_once(delivery=delivery)
    assert delivery.fate == ["ack"]
    assert await world.types() == [T.STARTED, end]
    assert not world.sandboxes.sessions


async def test_a_sleeping_instance_is_scheduled_again_and_acked() -> None:
    world = World(returns)
    await world.start()
    await world.append(T.WAITING, wake_at=at(100))
    delivery = HandDelivery(attempt=3)
    await world.drive_once(delivery=delivery)
    assert delivery.fate == ["ack"]
    assert world.queue.timers == {KEY: at(100)}
    assert not world.sandboxes.sessions


async def test_a_wake_up_that_comes_early_is_waited_for_and_not_parked_again() -> None:
    world = World(does(sleep(60)))
    await driven(world)
    await world.clock.advance(59.5)
    await world.drive_once("b", delivery=HandDelivery())
    assert (await world.types())[-4:] == [T.WAITING, T.CLAIMED, T.TIMER_FIRED, T.SUCCEEDED]
    assert world.clock.now() == at(60)


async def test_a_cancel_request_is_obeyed_without_a_sandbox() -> None:
    world = World(returns)
    await world.start()
    assert await world.runner.cancel(KEY, "deleted")
    delivery = HandDelivery()
    await world.drive_once(delivery=delivery)
    last = (await world.history())[-1]
    assert (last.type, last.reason, delivery.fate) == (T.CANCELLED, "deleted", ["ack"])
    assert not world.sandboxes.sessions


async def test_a_run_that_keeps_killing_its_executor_is_given_up() -> None:
    world = World(returns, crash_limit=3)
    await world.start()
    for _ in range(3):
        await world.append(T.CLAIMED, **CLAIM_BY_B)
    delivery = HandDelivery(attempt=4)
    await world.drive_once(delivery=delivery)
    last = (await world.history())[-1]
    assert (last.type, last.error and last.error.name, delivery.fate) == (T.FAILED, "EngineCrash", ["ack"])
    assert last.error is not None
    assert "3 executors in a row" in last.error.message
    assert "at 3 (setting crash_limit)" in last.error.message


async def test_executors_that_live_were_overtaken_and_did_not_crash() -> None:
    world = World(returns, crash_limit=3)
    await world.start()
    for _ in range(5):
        await world.append(T.CLAIMED, **CLAIM_BY_B)
    world.alive.add("b")
    await world.drive_once(delivery=HandDelivery(attempt=4))
    assert (await world.types())[-1] is T.SUCCEEDED


async def test_a_run_that_is_handed_over_again_and_again_goes_on() -> None:
    world = World(does(sleep(3)))
    await world.start()
    for number in range(12):
        held = await world.pull()
        assert held is not None
        holding = Holding(held)
        task = asyncio.create_task(drive(world.context(f"executor-{number}"), holding))
        await world.clock.advance(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await holding.give_back()
    await world.drive_to_the_end()
    events = await world.history()
    claims = [event.predecessor for event in events if event.type is T.CLAIMED]
    # Who drives it first records the sleep; its successors claim, and are told to end.
    assert claims == ["handOver"] * 12
    assert events[-1].type is T.SUCCEEDED


async def test_two_runs_that_ended_executors_are_not_driven_side_by_side() -> None:
    world = World(does(sleep(3)), park_after_seconds=1000.0)
    await world.start()
    for name in ("x", "y"):
        await world.append(T.CLAIMED, executor=ExecutorRef(id=name, epoch=1), predecessor="silence")
    context = world.context()
    await context.isolation.acquire()
    other = HandDelivery(attempt=2)
    assert await drive(context, Holding(other)) is Fate.RETURNED
    assert other.fate == ["retry 2"]
    assert len(await world.history()) == 3, "given back without a claim"
    context.isolation.release()
    await world.clock.until(drive(context, Holding(HandDelivery(attempt=3))))
    assert (await world.types())[-1] is T.SUCCEEDED
    assert not context.isolation.locked()


async def test_a_sandbox_that_died_is_tried_again_after_a_growing_pause() -> None:
    world = World(returns)
    await world.start()
    for seconds in (2, 4, 8):
        await world.append(T.CLAIMED, executor=ExecutorRef(id="x", epoch=1), predecessor="crash")
        delivery = HandDelivery(released=Release(ExecutorRef(id="x", epoch=1), crashed=True))
        await world.drive_once(delivery=delivery)
        assert delivery.fate == [f"retry {seconds}"]


async def test_a_message_is_held_while_its_history_is_read() -> None:
    world = World(returns)

    async def before(_: int, name: str) -> None:
        if name == "query_history":
            await world.clock.sleep(30)

    await world.start()
    delivery = HandDelivery()
    await world.drive_once("a", Wire(before=before), delivery)
    assert delivery.fate == ["extend"] * 15 + ["ack"]


async def test_a_message_that_comes_again_takes_the_place_of_the_old_one() -> None:
    world = World(does(sleep(10)), park_after_seconds=1000.0)
    await world.start()
    first, second = HandDelivery(), HandDelivery(attempt=2)
    holding = Holding(first)
    task = asyncio.create_task(drive(world.context(), holding))
    await world.clock.advance(5)
    holding.renew(second)
    await world.clock.until(task)
    assert first.fate == ["extend"] * 2
    assert second.fate[-1] == "ack"
    assert await world.types() == [T.STARTED, T.TIMER_STARTED, T.TIMER_FIRED, T.SUCCEEDED]


async def test_who_was_overtaken_and_gets_it_back_claims_it() -> None:
    world = World(does(sleep(10)), park_after_seconds=1000.0)
    await world.start()
    first, second = HandDelivery(), HandDelivery(attempt=3)
    holding = Holding(first)
    task = asyncio.create_task(drive(world.context(), holding))
    await world.clock.advance(1)
    await world.append(T.CLAIMED, **BY_B)
    holding.renew(second)
    await world.clock.until(task)
    assert first.fate == []
    assert second.fate[-1] == "ack"
    assert (await world.types())[2:] == [T.CLAIMED, T.CLAIMED, T.TIMER_FIRED, T.SUCCEEDED]


@pytest.mark.parametrize("attempt", [1, 2])
async def test_only_a_redelivery_is_claimed(attempt: int) -> None:
    events, fate = await driven(World(returns), attempt=attempt)
    claims = [T.CLAIMED] * (attempt - 1)
    assert [event.type for event in events] == [T.STARTED, *claims, T.SUCCEEDED]
    assert events[-1].executor == ExecutorRef(id="a", epoch=attempt - 1)
    assert fate == ["ack"]


async def test_a_claim_that_another_one_precedes_gives_the_instance_up() -> None:
    world = World(returns)
    await world.start()

    async def before(_: int, name: str) -> None:
        if name == "append" and len(await world.history()) == 1:
            await world.append(T.CLAIMED, **BY_B)

    delivery = HandDelivery(attempt=2)
    await world.drive_once("a", Wire(before=before), delivery)
    assert await world.types() == [T.STARTED, T.CLAIMED]
    assert delivery.fate == []


async def test_an_end_that_someone_else_writes_meanwhile_is_the_only_one() -> None:
    world = World(returns)
    await world.start()
    await world.runner.cancel(KEY, "deleted")

    async def before(_: int, name: str) -> None:
        if name == "append" and len(await world.history()) == 2:
            await world.append(T.CANCELLED, **BY_B)

    delivery = HandDelivery(attempt=2)
    await world.drive_once("a", Wire(before=before), delivery)
    assert await world.types() == [T.STARTED, T.CANCEL_REQUESTED, T.CANCELLED]
    assert delivery.fate == []


# --- sleeping and parking --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1, 5])
async def test_a_short_sleep_keeps_its_sandbox(seconds: int) -> None:
    events, fate = await driven(World(does(sleep(seconds)), park_after_seconds=5.0))
    assert [event.type for event in events] == [T.STARTED, T.TIMER_STARTED, T.TIMER_FIRED, T.SUCCEEDED]
    assert events[1].fire_at == events[2].time == at(seconds)
    assert fate == ["ack"]


async def test_a_long_sleep_gives_up_sandbox_and_message() -> None:
    world = World(does(sleep(6)), park_after_seconds=5.0)
    events, fate = await driven(world)
    assert [event.type for event in events] == [T.STARTED, T.TIMER_STARTED, T.WAITING]
    assert events[-1].wake_at == at(6)
    assert world.queue.timers == {KEY: at(6)}
    assert fate == ["ack"]
    assert world.sandboxes.open == 0


async def test_what_arrives_while_the_instance_is_parked_is_queued_after_the_ack() -> None:
    world = World(does(sleep(600)))
    await world.start()
    held = await world.pull()
    order: list[str] = []

    async def before(_: int, name: str) -> None:
        order.append(name)
        if name == "ack":
            # The message is still held, so the queue refuses another one.
            assert await world.runner.cancel(KEY, "deleted")
            assert list(world.queue.entries) == [KEY]

    await world.drive_once("a", Wire(before=before), held)
    assert order[order.index("enqueue_at") :] == ["enqueue_at", "ack", "query_history", "enqueue"]
    await world.drive_once("b")
    assert (await world.types())[-1] is T.CANCELLED


# --- heartbeats ------------------------------------------------------------------------------------------------------


async def _interrupted(world: World, act: Callable[[], Awaitable[Any]]) -> tuple[asyncio.Task[None], HandDelivery]:
    await world.start()
    delivery = HandDelivery()
    task = asyncio.create_task(drive(world.context(), Holding(delivery)))
    await world.clock.advance(20)
    assert delivery.fate == ["extend"] * 10
    await act()
    await world.clock.advance(2)
    return task, delivery


async def test_a_held_message_is_extended_and_a_cancel_request_stops_the_script() -> None:
    world = World(does(sleep(600)), park_after_seconds=1000.0)
    task, delivery = await _interrupted(world, lambda: world.runner.cancel(KEY, "deleted"))
    assert task.done()
    assert await world.types() == [T.STARTED, T.TIMER_STARTED, T.CANCEL_REQUESTED, T.CANCELLED]
    assert delivery.fate[-1] == "ack"
    assert world.sandboxes.open == 0


@pytest.mark.parametrize("kind", [T.CLAIMED, T.CANCELLED])
async def test_a_claim_or_end_by_someone_else_stops_the_script_without_ack_or_extension(kind: EventType) -> None:
    world = World(does(sleep(600)), park_after_seconds=1000.0)
    task, delivery = await _interrupted(world, lambda: world.append(kind, **BY_B))
    assert task.done()
    await task
    assert delivery.fate == ["extend"] * 10
    assert (await world.types())[-1] is kind
    assert world.sandboxes.open == 0


async def test_a_history_that_cannot_be_looked_at_for_a_while_stops_nothing() -> None:
    world = World(does(sleep(30)), park_after_seconds=1000.0)

    async def before(_: int, name: str) -> None:
        if name == "query_history" and world.clock.now() > at(3):
            raise Unavailable("no answer")

    await world.start()
    delivery = HandDelivery()
    await world.drive_once("a", Wire(before=before), delivery)
    assert (await world.types())[-1] is T.SUCCEEDED
    assert delivery.fate.count("extend") >= 14


async def test_a_finished_step_is_recorded_before_a_cancel_request_is_obeyed() -> None:
    world = World(does(transition("a"), compute(60), transition("b")))
    await world.start()
    appending = asyncio.Event()
    answer = asyncio.Event()

    async def before(_: int, name: str) -> None:
        if name == "append" and not appending.is_set():
            appending.set()
            await answer.wait()

    task = asyncio.create_task(drive(world.context("a", Wire(before=before)), Holding(HandDelivery())))
    await world.clock.pass_until(appending.is_set)
    await world.runner.cancel(KEY, "deleted")
    await world.clock.advance(10)
    assert not task.done()
    answer.set()
    await world.clock.until(task)
    assert await world.types() == [T.STARTED, T.CANCEL_REQUESTED, T.TRANSITION, T.CANCELLED]


async def test_a_first_delivery_twice_ends_in_one_record_of_each_call() -> None:
    world = World(does(transition("a")))
    await world.start()
    call = CallRecord(index="0.1", name="transition", digest=digest({"function": "a", "payload": None}))

    async def before(_: int, name: str) -> None:
        if name == "append" and len(await world.history()) == 1:
            # The same replica, the same epoch: only the event's own identity tells them apart.
            await world.append(T.TRANSITION, call=call, executor=ExecutorRef(id="a", epoch=0))

    delivery = HandDelivery()
    await world.drive_once("a", Wire(before=before), delivery)
    assert (await world.types(), delivery.fate) == ([T.STARTED, T.TRANSITION], [])
    await world.drive_to_the_end()
    check(await world.history())


async def test_an_executor_whose_history_is_gone_stops() -> None:
    def script(_: Any) -> Any:
        yield transition("next")
        world.bus.lose_everything()
        yield transition("last")

    world = World(script)
    await world.start()
    delivery = HandDelivery()
    await world.drive_once(delivery=delivery)
    assert delivery.fate == []
    assert await world.history() == []


@pytest.mark.parametrize("sequence", [2, 10**20 - 1])
async def test_a_start_that_says_to_be_behind_the_end_of_its_history_is_not_believed(sequence: int) -> None:
    world = World(returns)
    await world.start()
    delivery = HandDelivery()
    delivery.started = (await world.history())[0].replace(sequence=sequence)
    async with asyncio.timeout(10):
        await world.drive_once(delivery=delivery)
    assert await world.types() == [T.STARTED, T.SUCCEEDED]
    assert delivery.fate == ["ack"]


async def test_whose_history_has_lost_its_end_stops() -> None:
    world = World(does(transition("a"), sleep(1), transition("b")))
    await world.start()
    delivery = HandDelivery()
    task = asyncio.create_task(drive(world.context(), Holding(delivery)))
    await world.clock.advance(0.5)
    assert len(await world.types()) > 1
    world.bus._commits[KEY] = world.bus._commits[KEY][:1]
    async with asyncio.timeout(10):
        await world.clock.until(task)
    assert await world.types() == [T.STARTED]
    assert delivery.fate == []
