"""Whoever finds no slot where it starts: it waits a moment if slots turn over, and is queued otherwise."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from tests.engine.test_direct import Replica, counted
from tests.fakes.clock import settle
from tests.fakes.events import KEY
from tests.fakes.sandbox import compute, does, returns, sleep
from tests.fakes.world import HandDelivery, Wire, World, check
from workflow_operator.engine.driving.holding import Holding
from workflow_operator.engine.room import WaitingRoom, worth_waiting
from workflow_operator.history import Delivery, EventType, InstanceKey

T = EventType


def keys(count: int, namespace: str = KEY.namespace) -> list[InstanceKey]:
    return [InstanceKey(namespace, UUID(int=number)) for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("waiting", "slots", "unmoved_seconds", "worth"),
    [
        (0, 16, 0.0, True),
        (31, 16, 0.25, True),
        (32, 16, 0.0, False),
        (1, 1, 0.0, True),
        (2, 1, 0.0, False),
        # Long runs have the slots.
        (0, 16, 0.26, False),
        (0, 16, 1e9, False),
    ],
)
def test_worth_waiting(waiting: int, slots: int, unmoved_seconds: float, worth: bool) -> None:
    assert worth_waiting(waiting, slots, unmoved_seconds) is worth


async def test_a_burst_of_short_runs_never_meets_the_queue() -> None:
    world = World(returns, slots=4)
    operations: list[str] = []
    async with Replica(world, wire=counted(operations)).running() as replica:
        for key in keys(9):
            await replica.start(key)
        assert replica.executor.running == 2
        await settle()
        for key in keys(9):
            assert [event.type for event in await world.bus.query_history(key)] == [T.STARTED, T.SUCCEEDED]
    assert operations.count("append") == 9
    assert "enqueue" not in operations


async def test_behind_long_runs_one_waits_a_moment_and_the_next_not_at_all() -> None:
    world = World(does(sleep(4)), slots=2)
    first, second, third = keys(3)
    async with Replica(world).running() as replica:
        await replica.start(first)
        await replica.start(second)
        assert not world.queue.entries
        assert replica.executor.holds(second)
        await world.clock.advance(0.3)
        assert list(world.queue.entries) == [second]
        assert not replica.executor.holds(second)
        await replica.start(third)
        assert list(world.queue.entries) == [second, third]
        await world.clock.advance(30)
    for key in (first, second, third):
        events = await world.bus.query_history(key)
        check(events)
        assert events[-1].type is T.SUCCEEDED


async def test_whoever_waits_is_served_in_turn_and_before_who_comes_later() -> None:
    world = World(does(sleep(0.1)), slots=2)
    async with Replica(world).running() as replica:
        for key in keys(3):
            await replica.start(key)
        await world.clock.advance(0.25)
    starts = [(await world.bus.query_history(key))[-1].time for key in keys(2)]
    assert starts == sorted(starts)
    assert len(await world.bus.query_history(keys(3)[2])) >= 1


async def test_a_namespace_is_asked_for_once_however_many_of_it_wait() -> None:
    world = World(returns)
    room = WaitingRoom(world.clock)
    asked: list[str] = []

    def admits(namespace: str) -> bool:
        asked.append(namespace)
        return namespace == "b"

    waiting = [InstanceKey("a", UUID(int=number)) for number in range(20)] + [InstanceKey("b", UUID(int=20))]
    for key in waiting:
        room.enter(Holding(HandDelivery(key)))
    found = room.next(admits)
    assert found is not None
    assert (found.key, asked) == (waiting[-1], ["a", "b"])
    assert room.next(admits) is None
    await room.close()


async def test_stopping_queues_those_that_wait() -> None:
    world = World(does(sleep(4)), slots=2)
    async with Replica(world).running() as replica:
        for key in keys(4):
            await replica.start(key)
    assert sorted(world.queue.entries) == keys(4)
    async with Replica(world, "b").running():
        await world.clock.advance(60)
    for key in keys(4):
        assert (await world.bus.query_history(key))[-1].type is T.SUCCEEDED


async def test_whoever_waits_and_is_cancelled_leaves_nothing_behind() -> None:
    world = World(does(sleep(4)), slots=2)
    first, second = keys(2)
    async with Replica(world).running() as replica:
        await replica.start(first)
        await replica.start(second)
        assert await replica.runner.cancel(second, "deleted")
        await world.clock.advance(1)
        assert not world.queue.entries
        assert await world.bus.query_history(second) == []


async def test_a_cancel_while_it_is_being_stored_for_the_queue_goes_behind_that() -> None:
    world = World(does(sleep(4)), slots=2)
    first, second = keys(2)
    storing, go = asyncio.Event(), asyncio.Event()

    async def before(_: int, name: str) -> None:
        if name == "push_instance_event":
            storing.set()
            await go.wait()

    async with Replica(world, wire=Wire(before=before)).running() as replica:
        await replica.start(first)
        await replica.start(second)
        await world.clock.advance(0.3)
        assert storing.is_set()
        cancel = asyncio.create_task(replica.runner.cancel(second, "deleted"))
        await settle()
        assert not cancel.done()
        go.set()
        assert await cancel
        await world.clock.advance(10)
    assert (await world.bus.query_history(second))[-1].type is T.CANCELLED


class Scripted:
    """Deliveries that come when a test wants them to, whatever the slots."""

    def __init__(self, world: World) -> None:
        self.coming: asyncio.Queue[list[Delivery]] = asyncio.Queue()
        world.queue.pull = self.pull  # type: ignore[method-assign,assignment]

    async def pull(self, *_: object) -> list[Delivery]:
        return await self.coming.get()


async def test_what_is_delivered_as_a_start_takes_the_last_slot_is_given_back() -> None:
    world = World(does(sleep(4)), slots=1)
    queue, delivery = Scripted(world), HandDelivery(keys(1, "other")[0])
    async with Replica(world).running() as replica:
        queue.coming.put_nowait([delivery])
        await replica.start()
        await settle()
        assert (replica.executor.running, delivery.fate) == (1, ["retry 0"])


async def test_what_waits_here_and_is_delivered_is_driven_once() -> None:
    world = World(does(sleep(4)), slots=2)
    first, second = keys(2)
    queue = Scripted(world)
    async with Replica(world).running() as replica:
        await replica.start(first)
        await replica.start(second)
        await world.bus.push_instance_event(world.writer.event(second, T.STARTED, script="source"), 0)
        queue.coming.put_nowait([HandDelivery(second)])
        await settle()
        assert replica.executor.running == 2
        await world.clock.advance(1)
        assert not world.queue.entries, "it was not queued once more"
        await world.clock.advance(10)
    events = await world.bus.query_history(second)
    check(events)
    assert events[-1].type is T.SUCCEEDED


async def test_an_instance_is_taken_once() -> None:
    world = World(does(sleep(4)))
    started = world.writer.event(KEY, T.STARTED, script="source")
    async with Replica(world).running() as replica:
        assert [replica.executor.offer(started), replica.executor.offer(started)] == [True, False]


async def test_nobody_waits_here_while_one_of_its_namespace_waits_in_the_queue() -> None:
    world = World(does(compute(2)), slots=2)
    first, second, third = keys(3)
    async with Replica(world).running() as replica:
        await replica.start(first)
        await replica.start(second, first=False)
        await settle()
        await replica.start(third)
        assert list(world.queue.entries) == [second, third]
        await world.clock.advance(30)


async def test_a_full_replica_with_starts_without_end_serves_the_queue_as_well() -> None:
    world = World(does(sleep(0.1)), slots=1)
    (queued,) = keys(1, "other")
    async with Replica(world).running() as replica:
        for number, key in enumerate(keys(60)):
            await replica.start(key)
            if number == 2:
                await replica.start(queued, first=False)
            await world.clock.advance(0.05)
        assert (await world.bus.query_history(queued))[-1].type is T.SUCCEEDED
        await world.clock.advance(60)
    for key in keys(60):
        assert (await world.bus.query_history(key))[-1].type is T.SUCCEEDED


async def test_a_full_replica_asks_once_a_second_who_waits_in_the_queue() -> None:
    world = World(does(sleep(0.1)), slots=1)
    operations: list[str] = []
    async with Replica(world, wire=counted(operations)).running() as replica:
        # One is always waiting for the slot.
        await replica.start(InstanceKey(KEY.namespace, UUID(int=1000)))
        for key in keys(90):
            await replica.start(key)
            await world.clock.advance(0.1)
        assert "enqueue" not in operations
        # For four of the nine seconds: it waited for a message before.
        assert 3 <= operations.count("depth") <= 4
