"""What a script does is stored in commits: when, how much at once, and what others see of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.fakes.events import KEY, at, plain
from tests.fakes.memory import MemoryDataBus
from tests.fakes.sandbox import compute, does, finish, raises, sleep, transition
from tests.fakes.world import HandDelivery, Wire, World, check, driven
from workflow_operator.engine.driving.drive import drive
from workflow_operator.engine.driving.gathering import first_commit, is_full, smaller
from workflow_operator.engine.driving.holding import Holding
from workflow_operator.engine.driving.tail import Overtaken, Tail
from workflow_operator.history import Commit, EventType, ExecutorRef, InstanceEvent
from workflow_operator.history.errors import EngineCrash, PayloadTooLarge, Unavailable

T = EventType
KIB = 1024


def commits(events: Sequence[InstanceEvent]) -> list[list[EventType]]:
    check(events)
    found: dict[int, list[EventType]] = {}
    for each in events:
        found.setdefault(each.sequence, []).append(each.type)
    return list(found.values())


# --- the rules ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "size", "full"),
    [(0, 0, False), (249, 0, False), (250, 0, True), (1, 256 * KIB - 1, False), (1, 256 * KIB, True)],
)
def test_so_much_is_held(held: int, size: int, full: bool) -> None:
    assert is_full(held, size) is full


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ([1], 1),
        ([1] * 250, 250),
        ([1] * 251, 250),
        ([256 * KIB, 256 * KIB], 2),
        ([256 * KIB, 256 * KIB, 1], 2),
        ([600 * KIB], 1),
        ([600 * KIB, 1], 1),
        ([1, 600 * KIB], 1),
    ],
)
def test_so_much_is_stored_at_once(sizes: list[int], count: int) -> None:
    assert first_commit(sizes) == count


@pytest.mark.parametrize(("count", "left"), [(250, 125), (3, 1), (2, 1), (1, 0)])
def test_what_is_too_large_is_halved(count: int, left: int) -> None:
    assert smaller(count) == left


# --- when -----------------------------------------------------------------------------------------------------------


async def test_a_run_without_an_effect_is_one_commit() -> None:
    events, _ = await driven(World(does(transition("a"), transition("b"), finish(7))))
    assert commits(events) == [[T.STARTED], [T.TRANSITION, T.TRANSITION, T.OUTPUT, T.SUCCEEDED]]
    assert plain(events[-1].output) == 7


async def begun(world: World) -> asyncio.Task[Any]:
    await world.start()
    task = asyncio.create_task(drive(world.context(), Holding(HandDelivery())))
    await world.clock.advance(0)
    return task


async def test_a_timer_is_stored_before_it_is_waited_for_and_its_end_before_the_script_goes_on() -> None:
    world = World(does(transition("a"), sleep(1), compute(0.02), transition("b")))
    task = await begun(world)
    assert (await world.types())[1:] == [T.TRANSITION, T.TIMER_STARTED]
    await world.clock.advance(1)
    assert (await world.types())[3:] == [T.TIMER_FIRED]
    await world.clock.until(task)
    assert commits(await world.history())[1:] == [
        [T.TRANSITION, T.TIMER_STARTED],
        [T.TIMER_FIRED],
        [T.TRANSITION, T.SUCCEEDED],
    ]


async def test_what_parks_is_stored_with_what_came_before_and_before_its_timer_is_set() -> None:
    world = World(does(transition("a"), sleep(600)))
    order: list[str] = []

    async def before(_: int, name: str) -> None:
        order.append(name)

    await world.start()
    await world.drive_once("a", Wire(before=before), HandDelivery())
    assert commits(await world.history())[1:] == [[T.TRANSITION, T.TIMER_STARTED, T.WAITING]]
    assert order.index("append") < order.index("enqueue_at")


async def test_a_script_that_computes_is_seen_to_have_come_so_far() -> None:
    world = World(does(transition("a"), compute(0.01), transition("b"), compute(), transition("c"), compute()))
    task = await begun(world)
    await world.clock.advance(0.24)
    assert await world.types() == [T.STARTED]
    await world.clock.advance(0.01)
    assert commits(await world.history())[1:] == [[T.TRANSITION, T.TRANSITION]]
    await world.clock.until(task)
    assert commits(await world.history())[2:] == [[T.TRANSITION], [T.SUCCEEDED]]


async def test_many_steps_are_stored_in_commits_of_250() -> None:
    events, _ = await driven(World(does(*[transition("next", number) for number in range(600)])))
    assert [len(commit) for commit in commits(events)] == [1, 250, 250, 101]
    assert [plain(each.memory) for each in events[1:-1]] == list(range(600))


async def test_large_steps_are_stored_after_256_kib() -> None:
    events, _ = await driven(World(does(*[transition("next", "x" * 100 * KIB)] * 7)))
    assert [len(commit) for commit in commits(events)] == [1, 3, 3, 2]


async def test_what_a_script_did_before_its_sandbox_died_is_stored() -> None:
    world = World(raises(EngineCrash("the process died"), transition("a"), transition("b")))
    await world.start()
    with pytest.raises(EngineCrash):
        await world.drive_once(delivery=HandDelivery())
    assert commits(await world.history())[1:] == [[T.TRANSITION, T.TRANSITION]]


# --- what does not fit ----------------------------------------------------------------------------------------------


def small(script: Any) -> World:
    world = World(script)
    world.bus = MemoryDataBus(max_payload=2000)
    world.runner._bus = world.bus
    return world


async def test_what_is_too_large_for_one_message_is_stored_in_several() -> None:
    events, _ = await driven(small(does(*[transition("next", str(number) * 500) for number in range(7)])))
    assert [plain(each.memory)[0] for each in events if each.type is T.TRANSITION] == list("0123456")
    assert len(commits(events)) < len(events)
    assert events[-1].type is T.SUCCEEDED


@pytest.mark.parametrize(
    "script",
    [
        does(transition("a"), transition("b", "x" * 3000), transition("c"), finish(7)),
        does(transition("a"), transition("b", "x" * 3000), compute(), transition("c"), finish(7)),
        raises(EngineCrash("no"), transition("a"), transition("b", "x" * 3000), finish(7)),
    ],
    ids=["at the end", "while it computes", "when the sandbox dies"],
)
async def test_a_step_that_no_message_holds_ends_the_run_behind_the_steps_before(script: Any) -> None:
    events, fate = await driven(small(script))
    assert [each.type for each in events] == [T.STARTED, T.TRANSITION, T.FAILED]
    assert events[1].function == "a"
    assert events[-1].error is not None
    assert events[-1].error.name == "PayloadTooLarge"
    assert fate == ["ack"]


async def test_a_run_that_is_cancelled_behind_a_step_that_no_message_holds_is_cancelled() -> None:
    world = small(does(transition("b", "x" * 3000), compute(0.001), sleep(600)))
    task = await begun(world)
    await world.runner.cancel(KEY, "deleted")
    await world.clock.until(task)
    assert (await world.types())[-1] in (T.CANCELLED, T.FAILED)
    check(await world.history())


# --- others ---------------------------------------------------------------------------------------------------------


async def test_a_cancel_request_in_between_is_followed_by_what_was_done_and_then_obeyed() -> None:
    world = World(does(transition("a"), transition("b"), compute(60), transition("c")))
    task = await begun(world)
    await world.runner.cancel(KEY, "deleted")
    await world.clock.until(task)
    assert commits(await world.history()) == [
        [T.STARTED],
        [T.CANCEL_REQUESTED],
        [T.TRANSITION, T.TRANSITION],
        [T.CANCELLED],
    ]


async def test_a_script_that_ends_before_anybody_knows_of_a_request_has_ended() -> None:
    world = World(does(transition("a")))

    async def before(_: int, name: str) -> None:
        if name == "append" and T.CANCEL_REQUESTED not in await world.types():
            await world.runner.cancel(KEY, "deleted")

    await world.start()
    await world.drive_once("a", Wire(before=before), HandDelivery())
    assert commits(await world.history()) == [[T.STARTED], [T.CANCEL_REQUESTED], [T.TRANSITION, T.SUCCEEDED]]


@pytest.mark.parametrize("kind", [T.CLAIMED, T.TRANSITION, T.CANCELLED])
async def test_who_was_overtaken_drops_what_it_holds(kind: EventType) -> None:
    world = World(does(transition("a"), compute(60), transition("b")))
    task = await begun(world)
    await world.append(kind, executor=ExecutorRef(id="b", epoch=1))
    await world.clock.advance(0.25)
    assert task.done(), "and at once"
    await task
    assert await world.types() == [T.STARTED, kind]


async def test_who_is_stopped_drops_what_it_holds() -> None:
    world = World(does(transition("a"), compute(60)))
    task = await begun(world)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.clock.advance(10)
    assert await world.types() == [T.STARTED]


class Doubtful(MemoryDataBus):
    """Stores the first commit, and does not say so."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Commit] = []

    async def append(self, events: Commit, expected: int) -> list[InstanceEvent]:
        self.sent.append(events)
        stored = await super().append(events, expected)
        if len(self.sent) == 2:
            raise Unavailable("no answer")
        return stored


async def test_a_commit_in_doubt_is_sent_again_as_it_was() -> None:
    world = World(does())
    bus = Doubtful()
    world.bus = world.runner._bus = bus  # type: ignore[assignment]
    await world.start()
    tail = Tail(bus, world.writer, KEY, ExecutorRef(id="a", epoch=0), await world.history())
    tail.gather(T.TRANSITION, function="a")
    tail.gather(T.TRANSITION, function="b")
    with pytest.raises(Unavailable):
        await tail.flush()
    tail.gather(T.TRANSITION, function="c")
    await tail.flush()
    await tail.aclose()
    assert [len(sent) for sent in bus.sent] == [1, 2, 2, 1]
    assert bus.sent[1] == bus.sent[2]
    assert [each.function for each in await world.history()] == [None, "a", "b", "c"]


async def test_a_commit_of_our_own_that_is_seen_before_its_answer_is_not_somebody_elses() -> None:
    world = World(does())
    await world.start()
    stored, answer = asyncio.Event(), asyncio.Event()

    class Slow(MemoryDataBus):
        async def append(self, events: Commit, expected: int) -> list[InstanceEvent]:
            appended = await world.bus.append(events, expected)
            stored.set()
            await answer.wait()
            return appended

        async def query_history(self, *given: Any, **named: Any) -> list[InstanceEvent]:
            return await world.bus.query_history(*given, **named)

    tail = Tail(Slow(), world.writer, KEY, ExecutorRef(id="a", epoch=0), await world.history())
    tail.gather(T.TRANSITION)
    tail.gather(T.TRANSITION)
    flushing = asyncio.create_task(tail.flush())
    await stored.wait()
    tail.gather(T.TRANSITION)
    await tail.look()
    answer.set()
    await flushing
    await tail.flush()
    await tail.aclose()
    assert commits(await world.history()) == [[T.STARTED], [T.TRANSITION] * 2, [T.TRANSITION]]


async def test_a_failure_that_nobody_waited_for_is_told_to_whoever_comes_next() -> None:
    world = World(does())
    await world.start()
    tail = Tail(world.bus, world.writer, KEY, ExecutorRef(id="a", epoch=0), await world.history())
    tail.gather(T.TRANSITION)
    await world.append(T.CLAIMED, executor=ExecutorRef(id="b", epoch=1))
    await world.clock.advance(1)
    for _ in range(2):
        with pytest.raises(Overtaken):
            tail.gather(T.TRANSITION)
        with pytest.raises(Overtaken):
            await tail.flush()
    await tail.aclose()
    assert await world.types() == [T.STARTED, T.CLAIMED]


async def test_the_first_commit_may_begin_the_history() -> None:
    world = World(does())
    made = world.writer.event(KEY, T.STARTED, script="source", at=at(0))
    tail = Tail(world.bus, world.writer, KEY, ExecutorRef(id="a", epoch=0), [made])
    tail.gather(T.TRANSITION)
    await tail.append(T.SUCCEEDED)
    assert commits(await world.history()) == [[T.STARTED, T.TRANSITION, T.SUCCEEDED]]

    second = Tail(
        world.bus, world.writer, KEY, ExecutorRef(id="b", epoch=0), [made.replace(event_id=world.writer.new_id())]
    )
    with pytest.raises(Overtaken):
        await second.flush()
    await second.aclose()


async def test_bytes_are_counted_when_an_event_is_gathered() -> None:
    world = World(does())
    await world.start()
    tail = Tail(world.bus, world.writer, KEY, ExecutorRef(id="a", epoch=0), await world.history())
    gathered = [tail.gather(T.TRANSITION, memory="x" * size) for size in (10, 5000)]
    await tail.flush()
    stored = (await world.history())[1:]
    around = [each.size - size for each, size in zip(gathered, (10, 5000), strict=True)]
    assert around[0] == around[1], "it is not written to be counted"
    assert 0 < around[0] < 512
    assert abs(sum(each.size for each in stored) - sum(each.size for each in gathered)) < 512
    with pytest.raises(PayloadTooLarge):
        await tail.append(T.TRANSITION, memory="x" * 2**20)
