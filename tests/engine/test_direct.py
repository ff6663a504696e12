"""Instances that are driven where they start: what is stored, who goes on, and what is never begun twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from tests.fakes.clock import settle
from tests.fakes.events import KEY, by
from tests.fakes.memory import MemoryDataBus
from tests.fakes.sandbox import FakeSandboxes, ScriptBody, compute, does, raises, returns, sleep, transition
from tests.fakes.world import Wire, World, check
from workflow_operator.engine import Executor, WorkflowRunner
from workflow_operator.history import EventType, InstanceEvent, InstanceKey, Origin
from workflow_operator.history.errors import EngineCrash, PayloadTooLarge, Unavailable

T = EventType
ORIGIN = Origin(cluster="prod-1", name="nightly")


def script(given: Any) -> ScriptBody:
    yield transition("a")
    yield sleep(4)
    yield sleep(60)
    return 1


class Replica:
    """A runner and an executor in one process, at the end of one wire."""

    def __init__(self, world: World, name: str = "a", wire: Wire | None = None) -> None:
        self.world = world
        self.wire = wire or Wire()
        context = world.context(name, self.wire)
        self.executor = Executor(context)
        self.runner = WorkflowRunner(context.bus, context.queue, world.writer, world.limits, self.executor)

    async def start(self, key: InstanceKey = KEY, *, first: bool = True) -> None:
        await self.runner.execute(key.namespace, "source", instance_id=key.instance_id, origin=ORIGIN, first=first)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Replica]:
        task = asyncio.create_task(self.executor.run())
        await settle()
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert self.executor.running == 0


def counted(operations: list[str]) -> Wire:
    async def before(_: int, name: str) -> None:
        operations.append(name)

    return Wire(before=before)


async def test_a_run_that_starts_beside_a_free_slot_is_never_queued() -> None:
    world = World(returns)
    operations: list[str] = []
    async with Replica(world, wire=counted(operations)).running() as replica:
        await replica.start()
        await world.clock.advance(1)
        assert await world.types() == [T.STARTED, T.SUCCEEDED]
    assert not {"enqueue", "enqueue_at", "drop_timer", "query_history"} & set(operations)
    assert operations.count("append") == 1, "all of it is one message"
    started, end = await world.history()
    assert started.executor == end.executor
    assert started.executor is not None
    assert (started.executor.id, started.executor.epoch) == ("a", 0)


async def test_without_a_word_that_it_is_the_first_time_it_is_stored_and_queued() -> None:
    world = World(returns)
    operations: list[str] = []
    async with Replica(world, wire=counted(operations)).running() as replica:
        await replica.start(first=False)
        await world.clock.advance(1)
    assert await world.types() == [T.STARTED, T.SUCCEEDED]
    assert (await world.history())[0].executor is None
    assert "enqueue" in operations


async def _nothing(*_: Any) -> list[Any]:
    await asyncio.Event().wait()
    return []


async def test_before_it_runs_and_after_it_has_stopped_an_executor_takes_nothing() -> None:
    world = World(returns)
    replica = Replica(world)
    await replica.start()
    assert list(world.queue.entries) == [KEY]
    async with replica.running():
        await world.clock.advance(1)
    other = InstanceKey(KEY.namespace, UUID(int=7))
    await replica.start(other)
    assert list(world.queue.entries) == [other]


async def test_what_finds_no_slot_is_stored_and_queued() -> None:
    world = World(script, slots=2, namespace_slots_share=0.5, park_after_seconds=1000.0)
    keys = [InstanceKey(KEY.namespace, UUID(int=number)) for number in range(1, 6)]
    async with Replica(world).running() as replica:
        for key in keys:
            await replica.start(key)
        await world.clock.advance(0.3)
        assert list(world.queue.entries) == keys[1:]
        assert replica.executor.running == 1
        await world.clock.advance(500)
    for key in keys:
        events = await world.bus.query_history(key)
        check(events)
        assert events[-1].type is T.SUCCEEDED
        assert events[1].type is T.TRANSITION, "nobody drove it before, so nobody claims it"


async def test_it_parks_and_wakes_as_any_other() -> None:
    world = World(script)
    async with Replica(world).running() as replica:
        await replica.start()
        await world.clock.advance(10)
        assert list(world.queue.timers) == [KEY]
        await world.clock.advance(61)
    events = await world.history()
    check(events)
    assert [event.type for event in events[-4:]] == [T.WAITING, T.CLAIMED, T.TIMER_FIRED, T.SUCCEEDED]
    assert not world.queue.entries


async def test_stopping_hands_it_over_at_once_with_a_word() -> None:
    world = World(script, park_after_seconds=1000.0)
    async with Replica(world).running() as replica:
        await replica.start()
        await world.clock.advance(1)
    assert list(world.queue.entries) == [KEY]
    async with Replica(world, "b").running():
        await world.clock.advance(100)
    events = await world.history()
    check(events)
    claims = [(event.predecessor, event.executor and event.executor.id) for event in events if event.type is T.CLAIMED]
    assert claims == [("handOver", "b")]
    assert events[-1].type is T.SUCCEEDED


async def test_stopping_before_anything_is_stored_stores_it_and_queues_it() -> None:
    world = World(returns)
    begun = asyncio.Event()

    async def before(_: int, name: str) -> None:
        if name == "append" and not begun.is_set():
            begun.set()
            await asyncio.Event().wait()

    async with Replica(world, wire=Wire(before=before)).running() as replica:
        await replica.start()
        await begun.wait()
        assert await world.types() == []
    assert await world.types() == [T.STARTED]
    assert list(world.queue.entries) == [KEY]
    async with Replica(world, "b").running():
        await world.clock.advance(1)
    # Another one cannot know that the first did nothing.
    assert await world.types() == [T.STARTED, T.CLAIMED, T.SUCCEEDED]


@pytest.mark.parametrize("answers", [True, False])
async def test_a_queue_that_does_not_answer_keeps_no_replica_from_ending(answers: bool) -> None:
    world = World(script, park_after_seconds=1000.0)

    async def before(_: int, name: str) -> None:
        if name == "enqueue":
            raise Unavailable("no answer") if answers else TimeoutError

    async with Replica(world, wire=Wire(before=before)).running() as replica:
        await replica.start()
        await world.clock.advance(1)
    assert (await world.types())[0] is T.STARTED
    assert not world.queue.entries


async def test_a_sandbox_that_dies_each_time_is_counted_as_ever() -> None:
    world = World(script)

    class Crashing(FakeSandboxes):
        @asynccontextmanager
        async def session(self, namespace: str) -> AsyncIterator[Any]:
            raise EngineCrash("the process died")
            yield None

    world.sandboxes = Crashing(script)
    async with Replica(world).running() as replica:
        await replica.start()
        await world.clock.advance(200)
    events = await world.history()
    check(events)
    assert [event.type for event in events] == [T.STARTED, *[T.CLAIMED] * (world.limits.crash_limit - 1), T.FAILED]
    assert {event.predecessor for event in events if event.type is T.CLAIMED} == {"crash"}


async def test_two_replicas_that_start_the_same_run_drive_it_once() -> None:
    world = World(script, park_after_seconds=1000.0)
    async with Replica(world, "a").running() as a, Replica(world, "b").running() as b:
        await asyncio.gather(a.start(), b.start())
        await world.clock.advance(1)
        assert a.executor.running + b.executor.running == 1
        await world.clock.advance(100)
    events = await world.history()
    check(events)
    assert events[-1].type is T.SUCCEEDED
    assert not [event for event in events if event.type is T.CLAIMED]


async def test_what_another_one_drives_directly_is_claimed_before_it_is_driven() -> None:
    """As when a release that knows no better puts it into the queue meanwhile."""
    world = World(script, park_after_seconds=1000.0)
    async with Replica(world, "a").running() as a:
        await a.start()
        await world.clock.advance(1)
        world.queue.pull, pull = _nothing, world.queue.pull  # type: ignore[method-assign,assignment]
        await world.clock.advance(5)
        world.queue.pull = pull  # type: ignore[method-assign]
        await world.queue.enqueue(KEY)
        await world.drive_once("b")
        await world.clock.advance(10)
        assert a.executor.running == 0, "it was overtaken"
    events = await world.history()
    check(events)
    assert [event.executor.id for event in events if event.type is T.CLAIMED and event.executor] == ["b"]
    assert events[-1].type is T.SUCCEEDED


async def test_who_starts_what_another_one_drives_does_not_queue_it() -> None:
    world = World(script, park_after_seconds=1000.0)
    async with Replica(world, "a").running() as a:
        await a.start()
        await world.clock.advance(1)
        world.alive = {"a"}
        await Replica(world, "b").start(first=False)
        assert not world.queue.entries
        await world.clock.advance(100)
    assert [event.type for event in await world.history()][-1] is T.SUCCEEDED


async def test_who_starts_what_a_lost_executor_drove_queues_it() -> None:
    world = World(script, park_after_seconds=1000.0)
    replica = Replica(world, "a")
    async with replica.running():
        await replica.start()
        await world.clock.advance(1)
        replica.wire.cut = True
    assert not world.queue.entries
    await Replica(world, "b").start(first=False)
    assert list(world.queue.entries) == [KEY]


async def test_who_starts_what_was_claimed_since_queues_it() -> None:
    world = World(script, park_after_seconds=1000.0)
    async with Replica(world, "a").running() as a:
        await a.start()
        await world.clock.advance(1)
    async with Replica(world, "b").running():
        await world.clock.advance(1)
    assert T.CLAIMED in await world.types()
    world.queue.entries.clear()
    await Replica(world, "c").start(first=False)
    assert list(world.queue.entries) == [KEY]


async def test_a_message_for_what_is_driven_here_is_taken_along() -> None:
    world = World(script, park_after_seconds=1000.0)
    async with Replica(world).running() as replica:
        await replica.start()
        await world.clock.advance(1)
        await world.queue.enqueue(KEY)
        await world.clock.advance(100)
    events = await world.history()
    check(events)
    assert not [event for event in events if event.type is T.CLAIMED]
    assert events[-1].type is T.SUCCEEDED
    assert not world.queue.entries


async def test_it_is_not_started_or_queued_again_while_it_is_driven_here() -> None:
    world = World(script, park_after_seconds=1000.0)
    operations: list[str] = []
    async with Replica(world, wire=counted(operations)).running() as replica:
        await replica.start()
        await world.clock.advance(1)
        operations.clear()
        await replica.start(first=False)
        assert not await replica.runner.requeue(KEY)
        assert operations == []


async def test_who_is_cancelled_before_anything_was_stored_leaves_nothing_behind() -> None:
    world = World(returns)
    hang = asyncio.Event()

    class Full(FakeSandboxes):
        @asynccontextmanager
        async def session(self, namespace: str) -> AsyncIterator[Any]:
            await hang.wait()
            yield None

    world.sandboxes = Full(returns)
    async with Replica(world).running() as replica:
        # Not a moment passes in between: its drive has not begun.
        await replica.start()
        assert await replica.runner.cancel(KEY, "deleted")
        await world.clock.advance(10)
        assert replica.executor.running == 0
        assert not await replica.runner.cancel(KEY, "deleted")
    assert await world.types() == []
    assert not world.queue.entries


async def test_nothing_is_stored_of_what_is_being_cancelled() -> None:
    world = World(does(transition("a"), compute(10)))

    class SlowToEnd(FakeSandboxes):
        @asynccontextmanager
        async def session(self, namespace: str) -> AsyncIterator[Any]:
            async with super().session(namespace) as session:
                try:
                    yield session
                finally:
                    await world.clock.sleep(0.9)

    world.sandboxes = SlowToEnd(world.sandboxes.script, world.clock.sleep)
    async with Replica(world).running() as replica:
        await replica.start()
        await settle()
        cancel = asyncio.create_task(replica.runner.cancel(KEY, "deleted"))
        # What it holds is due while its sandbox is on its way out.
        await world.clock.advance(1)
        assert await cancel
    assert await world.types() == []
    assert not world.queue.entries


async def test_a_cancel_of_what_may_be_stored_looks_whether_it_is() -> None:
    world = World(does(transition("a"), sleep(1)))

    async def append(events: Sequence[InstanceEvent], expected: int) -> list[InstanceEvent]:
        await store(events, expected)
        raise Unavailable("stored, and the answer is lost")

    store, world.bus.append = world.bus.append, append  # type: ignore[method-assign]
    async with Replica(world).running() as replica:
        await replica.start()
        await settle()
        world.bus.append = store  # type: ignore[method-assign]
        assert await replica.runner.cancel(KEY, "deleted")
        await world.clock.advance(10)
    events = await world.history()
    check(events)
    assert [event.type for event in events if event.reason] == [T.CANCEL_REQUESTED, T.CANCELLED]


async def test_a_cancel_while_its_start_is_being_stored_goes_behind_it() -> None:
    world = World(script, park_after_seconds=1000.0)
    storing, go = asyncio.Event(), asyncio.Event()

    async def before(_: int, name: str) -> None:
        if name == "append" and not storing.is_set():
            storing.set()
            await go.wait()

    async with Replica(world, wire=Wire(before=before)).running() as replica:
        await replica.start()
        await storing.wait()
        cancel = asyncio.create_task(replica.runner.cancel(KEY, "deleted"))
        await settle()
        assert not cancel.done()
        go.set()
        assert await cancel
        await world.clock.advance(10)
    events = await world.history()
    check(events)
    assert [event.type for event in events if event.reason] == [T.CANCEL_REQUESTED, T.CANCELLED]


async def operations() -> int:
    world = World(script)
    wire = Wire()
    async with Replica(world, "a", wire).running() as replica:
        await replica.start()
        await world.clock.advance(100)
    assert (await world.types())[-1] is T.SUCCEEDED
    return wire.count


@pytest.mark.parametrize("answered", [False, True], ids=["before its effect", "after its effect"])
async def test_a_replica_lost_at_any_operation_loses_and_repeats_nothing(answered: bool) -> None:
    last = await operations()
    assert last > 15
    for cut_at in range(1, last + 1):
        world = World(script)
        async with Replica(world, "a", Wire(cut_at, answered=answered)).running() as lost:
            with suppress(asyncio.CancelledError):
                await lost.start()
            await world.clock.advance(100)
            lost.wire.cut = True
        async with Replica(world, "b").running() as owner:
            # What the object's next owner does, and what the sweep does.
            await owner.start(first=False)
            await world.clock.advance(100)
        events = await world.history()
        check(events)
        assert events[-1].type is T.SUCCEEDED, cut_at
        assert [event.type for event in events if event.call is not None] == [
            T.TRANSITION, T.TIMER_STARTED, T.TIMER_FIRED, T.TIMER_STARTED, T.TIMER_FIRED,
        ]  # fmt: skip


# --- what comes with the message ---------------------------------------------------------------------------------


async def test_a_first_delivery_reads_no_history() -> None:
    world = World(returns)
    operations: list[str] = []
    await world.start()
    async with Replica(world, wire=counted(operations)).running():
        await world.clock.advance(1)
    assert await world.types() == [T.STARTED, T.SUCCEEDED]
    assert "query_history" not in operations


@pytest.mark.parametrize("kind", [T.CANCEL_REQUESTED, T.CLAIMED, T.SUCCEEDED])
async def test_what_came_with_the_message_is_only_a_hint(kind: T) -> None:
    world = World(script)
    await world.start()
    await world.append(kind, **({} if kind is T.CANCEL_REQUESTED else by("other", 1)))
    async with Replica(world).running():
        await world.clock.advance(100)
    events = await world.history()
    check(events)
    expected = {
        T.CANCEL_REQUESTED: [T.STARTED, T.CANCEL_REQUESTED, T.CANCELLED],
        T.CLAIMED: [T.STARTED, T.CLAIMED, T.CLAIMED],
        T.SUCCEEDED: [T.STARTED, T.SUCCEEDED],
    }
    assert [event.type for event in events][: len(expected[kind])] == expected[kind]
    assert events[-1].terminal
    assert not world.queue.entries


@pytest.mark.parametrize("attempt", [1, 2])
async def test_what_came_with_a_message_is_not_believed_twice(attempt: int) -> None:
    world = World(returns)
    await world.start()
    world.queue.entries[KEY].attempt = attempt - 1
    operations: list[str] = []
    async with Replica(world, wire=counted(operations)).running():
        await world.clock.advance(1)
    assert operations.count("query_history") == attempt - 1


@pytest.mark.parametrize(
    "body",
    [does(), does(transition("a"), compute(), transition("b")), raises(EngineCrash("no"), transition("a"))],
    ids=["at the end", "while it computes", "when the sandbox dies"],
)
async def test_of_a_run_that_begins_with_more_than_a_message_holds_nothing_is_stored(body: Any) -> None:
    world = World(body)
    world.bus = MemoryDataBus(max_payload=1000)
    async with Replica(world).running() as replica:
        start = partial(replica.runner.execute, KEY.namespace, "x" * 1000, instance_id=KEY.instance_id)
        await start(first=True)
        await world.clock.advance(1)
        assert await world.history() == []
        assert not replica.executor.holds(KEY)
        # Whoever starts it again is told.
        with pytest.raises(PayloadTooLarge):
            await start()
    assert list(world.queue.entries) == []
