"""The executor's loop: slots, handing over, and what a failed drive leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from tests.fakes.clock import settle
from tests.fakes.events import KEY
from tests.fakes.sandbox import FakeSandboxes, FakeSession, ScriptBody, log, returns, sleep, transition
from tests.fakes.world import HandDelivery, Wire, World, check
from workflow_operator.engine import Executor
from workflow_operator.history import Delivery, EventType, InstanceKey
from workflow_operator.history.errors import EngineCrash, InvalidInput, Unavailable, UnknownFormat

T = EventType
Admits = Callable[[InstanceKey], bool]


def script(given: Any) -> ScriptBody:
    yield transition("a")
    yield sleep(60)
    return 1


class Crashing(FakeSandboxes):
    @asynccontextmanager
    async def session(self, namespace: str) -> AsyncIterator[Any]:
        raise EngineCrash("the process died")
        yield None


def keys(count: int) -> list[InstanceKey]:
    return [InstanceKey(KEY.namespace, UUID(int=1000 + number)) for number in range(count)]


async def started(world: World, count: int) -> list[InstanceKey]:
    for key in keys(count):
        await world.runner.execute(key.namespace, "source", instance_id=key.instance_id)
    return keys(count)


@asynccontextmanager
async def running(world: World, wire: Wire | None = None, name: str = "a") -> AsyncIterator[Executor]:
    executor = Executor(world.context(name, wire))
    task = asyncio.create_task(executor.run())
    try:
        yield executor
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert executor.running == 0
        left = [one for one in asyncio.all_tasks() if one is not asyncio.current_task() and "drive" in one.get_name()]
        assert not left


async def ended(world: World, of: list[InstanceKey]) -> bool:
    histories = [await world.bus.query_history(key) for key in of]
    return all(events[-1].terminal for events in histories)


async def test_it_never_drives_more_than_it_has_slots_and_drives_all() -> None:
    world = World(script, slots=3, namespace_slots_share=1.0, park_after_seconds=1000.0)
    started_keys = await started(world, 8)
    asked: list[int] = []
    pull = world.queue.pull

    async def counted(limit: int, timeout_seconds: float, admits: Admits) -> list[Delivery]:
        asked.append(limit)
        return await pull(limit, timeout_seconds, admits)

    world.queue.pull = counted  # type: ignore[method-assign]
    most = 0
    async with running(world) as executor:
        for _ in range(200):
            await world.clock.advance(1)
            most = max(most, executor.running)
            if await ended(world, started_keys):
                break
    assert await ended(world, started_keys)
    assert most == 3
    assert min(asked) >= 1
    assert max(asked) <= 3
    for key in started_keys:
        check(await world.bus.query_history(key))


async def test_it_parks_and_wakes_without_any_help() -> None:
    world = World(script)
    (key,) = await started(world, 1)
    async with running(world):
        await world.clock.advance(30)
        assert not world.queue.entries
        await world.clock.advance(31)
    assert [event.type for event in await world.bus.query_history(key)][-1] is T.SUCCEEDED
    assert not world.queue.entries


async def test_stopping_gives_everything_back_at_once() -> None:
    world = World(script, slots=2, namespace_slots_share=1.0, park_after_seconds=1000.0)
    held = await started(world, 2)
    async with running(world):
        await world.clock.advance(3)
    assert sorted(world.queue.entries) == sorted(held)
    assert all(entry.visible_at <= world.clock.now() for entry in world.queue.entries.values())
    assert world.sandboxes.open == 0
    async with running(world, name="b"):
        await world.clock.advance(70)
    for key in held:
        events = await world.bus.query_history(key)
        check(events)
        assert [event.type for event in events] == [
            T.STARTED, T.TRANSITION, T.TIMER_STARTED, T.CLAIMED, T.TIMER_FIRED, T.SUCCEEDED,
        ]  # fmt: skip


async def test_stopping_gives_back_what_was_pulled_and_not_begun() -> None:
    world = World(script)
    delivery = HandDelivery()

    class Once:
        async def pull(self, limit: int, timeout_seconds: float, admits: Admits) -> list[Delivery]:
            asyncio.get_running_loop().call_soon(task.cancel)
            return [delivery]

        async def stop_pulling(self) -> None:
            pass

    world.queue = Once()  # type: ignore[assignment]
    executor = Executor(world.context())
    task = asyncio.create_task(executor.run())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert delivery.fate == ["retry 0"]


async def test_stopping_while_a_run_waits_for_its_sandbox_gives_it_back() -> None:
    world = World(script)

    class Full(FakeSandboxes):
        @asynccontextmanager
        async def session(self, namespace: str) -> AsyncIterator[Any]:
            await asyncio.Event().wait()
            yield None

    world.sandboxes = Full(script)
    (key,) = await started(world, 1)
    async with running(world):
        await world.clock.advance(30)
        # It waits long, and holds its message all the while.
        assert world.queue.entries[key].attempt == 1
        assert world.queue.entries[key].visible_at > world.clock.now()
    assert world.queue.entries[key].visible_at <= world.clock.now()


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (EngineCrash("the process died"), 1),
        (Unavailable("no answer"), 1),
        (UnknownFormat("written by a newer release."), 10),
        (InvalidInput("damaged"), 10),
        (KeyError("a fault of our own"), 10),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_failed_drive_is_given_back_and_the_others_go_on(error: Exception, seconds: int) -> None:
    world = World(script, park_after_seconds=1000.0)
    world.queue.carries = False
    bad, good = await started(world, 2)
    query = world.bus.query_history

    async def failing(key: InstanceKey, **options: Any) -> Any:
        if key == bad and world.clock.now() == start:
            raise error
        return await query(key, **options)

    start = world.clock.now()
    world.bus.query_history = failing  # type: ignore[method-assign]
    async with running(world):
        await settle()
        assert (world.queue.entries[bad].visible_at - start).total_seconds() == seconds
        await world.clock.advance(90)
    assert await ended(world, [bad, good])


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 2), (4, 8), (7, 64), (5000, 64)])
async def test_each_failed_drive_waits_longer(attempt: int, seconds: int) -> None:
    world = World(script)

    async def failing(*_: Any, **__: Any) -> Any:
        raise Unavailable("no answer")

    world.bus.query_history = failing  # type: ignore[method-assign]
    world.queue.carries = False
    (key,) = await started(world, 1)
    world.queue.entries[key].attempt = attempt - 1
    async with running(world):
        await settle()
        assert (world.queue.entries[key].visible_at - world.clock.now()).total_seconds() == seconds


async def test_a_run_whose_sandbox_always_dies_fails_in_the_end() -> None:
    world = World(script)

    world.sandboxes = Crashing(script)
    (key,) = await started(world, 1)
    async with running(world):
        await world.clock.advance(200)
    events = await world.bus.query_history(key)
    check(events)
    assert [event.type for event in events] == [T.STARTED, *[T.CLAIMED] * world.limits.crash_limit, T.FAILED]


async def test_it_does_not_take_a_run_from_itself() -> None:
    world = World(script, park_after_seconds=1000.0)
    (key,) = await started(world, 1)
    async with running(world):
        for _ in range(6):
            await world.clock.advance(5)
            # As when NATS heard nothing of it for the whole of the ack wait.
            world.queue.entries[key].visible_at = world.clock.now()
            world.queue.changed()
        await world.clock.advance(40)
    assert [event.type for event in await world.bus.query_history(key)] == [
        T.STARTED, T.TRANSITION, T.TIMER_STARTED, T.TIMER_FIRED, T.SUCCEEDED,
    ]  # fmt: skip
    assert len(world.sandboxes.sessions) == 1
    assert not world.queue.entries


async def test_any_number_of_executors_may_hand_a_run_on() -> None:
    world = World(script, park_after_seconds=1000.0)
    (key,) = await started(world, 1)
    for number in range(9):
        async with running(world, name=f"executor-{number}"):
            await world.clock.advance(1)
    async with running(world):
        await world.clock.advance(100)
    events = await world.bus.query_history(key)
    check(events)
    assert events[-1].type is T.SUCCEEDED
    assert [event.predecessor for event in events if event.type is T.CLAIMED] == ["handOver"] * 9


async def test_executors_that_are_killed_in_a_row_end_a_run_at_the_limit() -> None:
    world = World(script, park_after_seconds=1000.0)
    (key,) = await started(world, 1)
    pull = world.queue.pull
    for number in range(20):
        wire = Wire()

        async def over_the_wire(
            limit: int, timeout_seconds: float, admits: Admits, wire: Wire = wire
        ) -> list[Delivery]:
            return [wire.over(each) for each in await pull(limit, timeout_seconds, admits)]

        world.queue.pull = over_the_wire  # type: ignore[method-assign]
        async with running(world, wire, name=f"executor-{number}"):
            await world.clock.advance(1)
            wire.cut = True
        await world.clock.advance(7)
    events = await world.bus.query_history(key)
    check(events)
    limit = world.limits.crash_limit
    assert [event.type for event in events[3:]] == [*[T.CLAIMED] * limit, T.FAILED]


async def test_a_queue_that_does_not_answer_is_asked_again() -> None:
    world = World(script, park_after_seconds=1000.0)
    (key,) = await started(world, 1)

    async def before(_: int, name: str) -> None:
        if name == "pull" and (world.clock.now() - start).total_seconds() < 10:
            raise Unavailable("no answer")

    start = world.clock.now()
    async with running(world, Wire(before=before)):
        await world.clock.advance(80)
    assert await ended(world, [key])


async def test_two_executors_share_the_work() -> None:
    world = World(script, slots=2, namespace_slots_share=1.0, park_after_seconds=1000.0)
    all_keys = await started(world, 4)
    async with running(world, name="a") as a, running(world, name="b") as b:
        await world.clock.advance(1)
        assert (a.running, b.running) == (2, 2)
        await world.clock.advance(70)
        assert await ended(world, all_keys)
        await settle()
        assert (a.running, b.running) == (0, 0)


# --- sharing among namespaces -------------------------------------------------------------------------------------


async def queued(world: World, namespace: str, count: int) -> list[InstanceKey]:
    return [
        InstanceKey(namespace, await world.runner.execute(namespace, "source", instance_id=UUID(int=number)))
        for number in range(1, count + 1)
    ]


def napping(seconds: float) -> Callable[[Any], ScriptBody]:
    def script(_: Any) -> ScriptBody:
        for _ in range(50):
            yield sleep(seconds)
        return "done"

    return script


class ByNamespace(FakeSandboxes):
    """Each namespace has a script of its own; one that has none computes for ever."""

    def __init__(self, **scripts: Callable[[Any], ScriptBody]) -> None:
        super().__init__(returns)
        self._scripts = scripts

    @asynccontextmanager
    async def session(self, namespace: str) -> AsyncIterator[Any]:
        if namespace not in self._scripts:
            await asyncio.Event().wait()
        yield FakeSession(self._scripts[namespace])


async def test_a_namespace_that_takes_all_it_can_leaves_room_for_the_next() -> None:
    world = World(returns, slots=4)
    world.sandboxes = ByNamespace(hello=returns)
    await queued(world, "hog", 64)
    async with running(world) as executor:
        await world.clock.advance(5)
        assert executor.running == 2
        (hello,) = await queued(world, "hello", 1)
        await world.clock.advance(0.1)
        assert (await world.bus.query_history(hello))[-1].type is T.SUCCEEDED
        assert executor.running == 2


async def test_any_sleep_gives_up_its_slot_while_others_of_its_namespace_wait() -> None:
    world = World(napping(4), slots=4)
    waiting = await queued(world, "hog", 6)
    async with running(world):
        await world.clock.advance(60)
    for key in waiting:
        events = await world.bus.query_history(key)
        check(events)
        assert sum(event.type is T.TIMER_FIRED for event in events) >= 4, "everybody got on"
        assert any(event.type is T.WAITING for event in events)


async def test_a_single_slot_is_given_up_for_another_namespace() -> None:
    world = World(returns, slots=1)
    world.sandboxes = ByNamespace(hog=napping(4), hello=returns)
    await queued(world, "hog", 1)
    async with running(world):
        await world.clock.advance(1)
        (hello,) = await queued(world, "hello", 1)
        await world.clock.advance(8)
        assert (await world.bus.query_history(hello))[-1].type is T.SUCCEEDED


async def test_a_run_without_sleeps_gives_up_its_slot_at_a_step_and_gets_further_each_time() -> None:
    world = World(returns, slots=1, slice_seconds=5.0)

    def stepping(_: Any) -> ScriptBody:
        for number in range(20):
            yield transition("step", number)
            yield log("work")
        return "done"

    class Slow(FakeSandboxes):
        @asynccontextmanager
        async def session(self, namespace: str) -> AsyncIterator[Any]:
            async with super().session(namespace) as session:
                proceed = session.next

                async def work() -> Any:
                    await world.clock.sleep(1)
                    return await proceed()

                session.next = work  # type: ignore[method-assign]
                yield session

    world.sandboxes = Slow(stepping)
    (first,) = await queued(world, "one", 1)
    (second,) = await queued(world, "two", 1)
    async with running(world):
        await world.clock.advance(400)
    for key in (first, second):
        events = await world.bus.query_history(key)
        check(events)
        assert events[-1].type is T.SUCCEEDED
        assert any(event.type is T.WAITING for event in events)
