"""How far an instance is, is written now and then; that it began, parked or ended, at once. Nothing is acked before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.events import KEY, at, by, commit, event
from tests.fakes.feed import Everything, HeldCommit, MemoryFeed
from tests.fakes.memory import MemoryDataBus
from tests.projector.world import OTHER, T, folded, record, stored
from workflow_operator.history import Commit, InstanceEvent, InstanceKey, InstanceStatus, fold
from workflow_operator.history.errors import Unavailable
from workflow_operator.projector import Projector
from workflow_operator.projector.partition import PROGRESS_SECONDS
from workflow_operator.projector.plan import is_progress

E1, E2 = by("one"), by("two", 1)
BEGUN = [(T.STARTED, {"script": "1"}), (T.CLAIMED, E1)]
STEP = (T.TRANSITION, {"memory": 1} | E1)


class CountedBus(MemoryDataBus):
    """Counts the statuses that are asked for, and keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[InstanceKey] = []
        self.written: list[InstanceStatus] = []

    async def read_statuses(self, keys: Sequence[InstanceKey]) -> AsyncIterator[Any]:
        self.read += keys
        async for found in super().read_statuses(keys):
            yield found

    async def query_statuses(self, keys: Sequence[InstanceKey]) -> dict[InstanceKey, InstanceStatus]:
        self.read += keys
        return await super().query_statuses(keys)

    async def write_status(self, status: InstanceStatus) -> int:
        sequence = await super().write_status(status)
        self.written.append(status)
        return sequence


class Live(MemoryFeed):
    """Batches come while the projector waits."""

    async def give(self, *commits: Commit) -> list[HeldCommit]:
        batch = [HeldCommit(each) for each in commits]
        self.batches.setdefault(0, []).append(batch)
        self.came.set()
        await settle()
        return batch

    async def pull(self, partition: int, timeout_seconds: float) -> Sequence[HeldCommit]:
        while not self.batches.get(partition):
            self.came.clear()
            await self.came.wait()
        return await super().pull(partition, timeout_seconds)

    @property
    def came(self) -> asyncio.Event:
        return self.__dict__.setdefault("_came", asyncio.Event())


@asynccontextmanager
async def projecting(bus: MemoryDataBus) -> AsyncIterator[tuple[Live, FakeClock, Projector]]:
    feed, clock = Live({}), FakeClock()
    projector = Projector(bus, feed, Everything(), clock.sleep, clock.now)
    task = asyncio.create_task(projector.start())
    await settle()
    try:
        yield feed, clock, projector
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_steps_are_written_together_and_acked_then() -> None:
    bus = CountedBus()
    events = await record(bus, KEY, steps=[*BEGUN, STEP, STEP, STEP])
    async with projecting(bus) as (feed, clock, _):
        begun = await feed.give([events[0]], [events[1]])
        assert {each.fate for each in begun} == {"ack"}
        steps = [(await feed.give([one]))[0] for one in events[2:]]
        await clock.advance(PROGRESS_SECONDS * 0.9)
        assert [each.fate for each in steps] == [None] * 3
        assert len(bus.written) == 1
        await clock.advance(PROGRESS_SECONDS * 0.1)
        assert [each.fate for each in steps] == ["ack"] * 3
        assert len(bus.written) == 2
    assert bus.read == []
    assert await stored(bus) == (await folded(bus)).replace(sequence=2)


async def test_steps_go_on_being_written_every_tenth_of_a_second() -> None:
    bus = CountedBus()
    events = await record(bus, KEY, steps=[*BEGUN, *[STEP] * 20])
    async with projecting(bus) as (feed, clock, _):
        await feed.give([events[0]], [events[1]])
        for one in events[2:]:
            await feed.give([one])
            await clock.advance(0.025)
        await clock.advance(1)
    assert len(bus.written) == 1 + 20 * 0.025 / PROGRESS_SECONDS
    assert {each.fate for each in feed.given} == {"ack"}


@pytest.mark.parametrize(
    "change",
    [
        (T.SUCCEEDED, {"output": 1} | E1),
        (T.WAITING, {"wake_at": at(60)} | E1),
        (T.CANCEL_REQUESTED, {"reason": "enough"}),
        (T.CLAIMED, E2),
    ],
    ids=["ended", "parked", "to be cancelled", "another executor"],
)
async def test_what_changes_how_it_stands_takes_along_what_waits(change: Any) -> None:
    bus = CountedBus()
    events = await record(bus, KEY, steps=[*BEGUN, STEP, STEP, change])
    async with projecting(bus) as (feed, clock, _):
        await feed.give([events[0]], [events[1]])
        waiting = await feed.give(events[2:3], events[3:4])
        assert {each.fate for each in waiting} == {None}
        (last,) = await feed.give(events[4:])
        assert {each.fate for each in [*waiting, last]} == {"ack"}
        # The timer of what waited finds nothing to do.
        await clock.advance(1)
    assert len(bus.written) == 2
    assert bus.read == []
    assert await stored(bus) == (await folded(bus)).replace(sequence=2)


async def test_the_first_word_of_an_executor_is_more_than_progress() -> None:
    bus = CountedBus()
    events = await record(bus, KEY, steps=[BEGUN[0], STEP])
    async with projecting(bus) as (feed, _, _):
        await feed.give(events[:1])
        (step,) = await feed.give(events[1:])
        assert step.fate == "ack"


async def test_what_waits_is_bounded_in_bytes() -> None:
    bus = CountedBus()
    large = (T.TRANSITION, {"memory": "x" * 100_000} | E1)
    events = await record(bus, KEY, OTHER, steps=[*BEGUN, large, large])
    mine = [one for one in events if one.key == KEY]
    others = [one for one in events if one.key == OTHER]
    async with projecting(bus) as (feed, clock, _):
        await feed.give(*([one] for one in events[:4]))
        (first,) = await feed.give(mine[2:3])
        (second,) = await feed.give(others[2:3])
        assert (first.fate, second.fate) == (None, None)
        (third,) = await feed.give(others[3:4])
        assert (first.fate, second.fate, third.fate) == (None, "ack", "ack"), "the room is over"
        await clock.advance(1)
        assert first.fate == "ack"


async def test_what_comes_twice_while_it_waits_is_folded_once() -> None:
    bus = CountedBus()
    events = await record(bus, KEY, steps=[*BEGUN, STEP, STEP])
    async with projecting(bus) as (feed, clock, _):
        await feed.give([events[0]], [events[1]])
        await feed.give(events[2:3])
        await feed.give(events[2:3], events[3:4])
        await feed.give(events[3:4])
        await clock.advance(1)
    assert {each.fate for each in feed.given} == {"ack"}
    assert await stored(bus) == (await folded(bus)).replace(sequence=2)


async def test_a_gap_behind_what_waits_is_filled_from_the_history() -> None:
    bus = CountedBus()
    events = await record(bus, KEY, steps=[*BEGUN, STEP, STEP, STEP])
    async with projecting(bus) as (feed, _, _):
        await feed.give([events[0]], [events[1]])
        await feed.give(events[2:3])
        await feed.give(events[4:5])
        assert {each.fate for each in feed.given} == {"ack"}
        assert await stored(bus) == (await folded(bus)).replace(sequence=2)


async def test_what_another_replica_wrote_meanwhile_is_kept() -> None:
    bus = CountedBus()
    events = await record(bus, KEY, steps=[*BEGUN, STEP, STEP])
    async with projecting(bus) as (feed, clock, _):
        await feed.give([events[0]], [events[1]])
        await feed.give(events[2:3])
        theirs = await folded(bus)
        await bus.write_status(theirs.replace(sequence=1))
        await clock.advance(1)
        assert {each.fate for each in feed.given} == {"ack"}
        assert await stored(bus) == theirs.replace(sequence=2)


async def test_what_waits_and_cannot_be_written_comes_again() -> None:
    bus = CountedBus()
    events = await record(bus, KEY, steps=[*BEGUN, STEP])
    write = bus.write_status

    async def unanswered(status: InstanceStatus) -> int:
        bus.write_status = write  # type: ignore[method-assign]
        raise Unavailable("no answer")

    async with projecting(bus) as (feed, clock, _):
        await feed.give([events[0]], [events[1]])
        bus.write_status = unanswered  # type: ignore[method-assign]
        (step,) = await feed.give(events[2:])
        await clock.advance(PROGRESS_SECONDS)
        assert step.fate == "retry 1"


async def test_what_waits_is_not_written_after_nats_came_back() -> None:
    bus = CountedBus()
    events = await record(bus, KEY, steps=[*BEGUN, STEP])
    async with projecting(bus) as (feed, clock, projector):
        await feed.give([events[0]], [events[1]])
        (step,) = await feed.give(events[2:])
        projector.compare_tails()
        await clock.advance(1)
        # It comes again once nobody has acked it for long enough.
        assert step.fate is None
        assert len(bus.written) == 1


async def test_a_run_of_one_commit_costs_one_write_and_no_read() -> None:
    bus = CountedBus()
    events = await bus.append(commit(*BEGUN, STEP, STEP, (T.SUCCEEDED, {"output": 7} | E1), sequence=1), 0)
    async with projecting(bus) as (feed, _, _):
        (held,) = await feed.give(events)
        assert held.fate == "ack"
    assert (len(bus.written), bus.read) == (1, [])
    status = await stored(bus)
    assert status is not None
    assert (status.terminal, status.steps, status.history_sequence) == (True, 2, 1)
    assert status.history_bytes == sum(each.size for each in events)


async def test_a_status_is_read_once_where_it_is_not_held() -> None:
    bus = CountedBus()
    events = await record(bus, KEY, steps=[*BEGUN, STEP, STEP])
    status: InstanceStatus | None = None
    for one in events[:2]:
        status = fold(status, one)
    assert status is not None
    await bus.write_status(status)
    async with projecting(bus) as (feed, clock, _):
        for one in events[2:]:
            await feed.give([one])
            await clock.advance(1)
    assert bus.read == [KEY]
    assert len(bus.written) == 3


async def test_the_beginning_of_what_is_folded_already_changes_nothing() -> None:
    bus = CountedBus()
    events = await record(bus, KEY, steps=[*BEGUN, STEP])
    await bus.write_status((await folded(bus)).replace(sequence=0))
    before = await stored(bus)
    async with projecting(bus) as (feed, _, _):
        (held,) = await feed.give(events[:1])
        assert held.fate == "ack"
    assert await stored(bus) == before


def status_of(*events: InstanceEvent) -> InstanceStatus:
    status: InstanceStatus | None = None
    for one in events:
        status = fold(status, one)
    assert status is not None
    return status


DRIVEN = [event(T.STARTED, sequence=1, script="1"), event(T.CLAIMED, sequence=2, **E1)]


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (T.TRANSITION, {"memory": 1} | E1, True),
        (T.OUTPUT, {"output": 1} | E1, True),
        (T.TIMER_STARTED, {"fire_at": at(9)} | E1, True),
        (T.TIMER_FIRED, E1, True),
        (T.CALL_COMPLETED, {"result": 1} | E1, True),
        (T.CLAIMED, E2, False),
        (T.WAITING, {"wake_at": at(9)} | E1, False),
        (T.CANCEL_REQUESTED, {"reason": "enough"}, False),
        (T.SUCCEEDED, {"output": 1} | E1, False),
        (T.FAILED, E1, False),
        (T.CANCELLED, E1, False),
    ],
)
def test_what_is_progress(kind: Any, fields: dict[str, Any], expected: bool) -> None:
    before = status_of(*DRIVEN)
    after = status_of(*DRIVEN, event(kind, sequence=3, **fields))
    assert is_progress(before, after) is expected
    assert not is_progress(None, after)
