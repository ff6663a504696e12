"""However events arrive, and however many projectors race: the status is the fold of the history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.clock import settle
from tests.fakes.events import KEY, plain
from tests.fakes.feed import HeldCommit, MemoryFeed, Slow
from tests.fakes.memory import MemoryDataBus
from tests.projector.world import LIFE, OTHER, T, collect, folded, held, now, project, record, record_commits, stored
from workflow_operator.history import Commit, InstanceEvent, InstanceKey, InstanceStatus, decode_status, fold
from workflow_operator.history.errors import InvalidInput, Unavailable, UnknownFormat
from workflow_operator.projector import Projector


@settings(derandomize=True, deadline=None, max_examples=40, database=None)
@given(st.integers(1, 3), st.integers(0, 2**32))
def test_any_order_any_repetition_any_partition_and_any_race_end_in_the_fold(replicas: int, seed: int) -> None:
    async def run() -> None:
        random = Random(seed)
        bus = MemoryDataBus()
        sizes = [random.choice([[1] * 5, [2, 3], [1, 3, 1], [5]]) for _ in (KEY, OTHER)]
        commits = [
            one for key, of in zip((KEY, OTHER), sizes, strict=True) for one in await record_commits(bus, key, of)
        ]
        early: list[InstanceEvent] = []

        def acked(commit: Commit | None) -> None:
            # Acked is what the stored status holds, and nothing else.
            assert commit is not None
            one = commit[-1]
            kept = bus._statuses.get(one.key)
            statuses = {} if kept is None else {one.key: kept}
            if one.key not in statuses or _sequence(kept) < one.sequence:
                early.append(one)

        feeds = []
        given = [random.choice(commits) for _ in range(random.randint(0, 6))] + commits
        random.shuffle(given)
        shares: list[list[HeldCommit]] = [[] for _ in range(replicas)]
        for one in given:
            random.choice(shares).append(HeldCommit(one, on_ack=acked))
        for share in shares:
            batches: list[Sequence[HeldCommit]] = []
            while share:
                size = random.randint(1, len(share))
                batches.append(share[:size])
                del share[:size]
            feeds.append(MemoryFeed({0: batches}))
        await project(Slow(bus, lambda: random.choice([0, 0, 1, 7])), *feeds)

        for key in (KEY, OTHER):
            status = await stored(bus, key)
            assert status is not None
            assert status.replace(sequence=0) == await folded(bus, key)
        assert not any(feed.batches[0] for feed in feeds)
        assert not early
        assert {one.fate for feed in feeds for one in feed.given} <= {"ack"}

    asyncio.run(run())


def _sequence(kept: tuple[int, bytes] | None) -> int:
    assert kept is not None
    return decode_status(kept[1]).history_sequence


async def test_a_batch_becomes_one_write_for_each_instance() -> None:
    bus = MemoryDataBus()
    events = await record(bus, KEY, OTHER)
    await project(bus, MemoryFeed({0: [held(events)]}))
    assert bus._last_status == 2
    status = await stored(bus)
    assert status is not None
    assert (plain(status.output), plain(status.memory), status.steps) == (7, None, 2)


async def test_a_status_that_is_too_large_goes_without_what_the_history_holds() -> None:
    bus = MemoryDataBus(max_payload=1000)
    large = "x" * 700
    steps = [(T.STARTED, {"input": large}), (T.TRANSITION, {"memory": large}), (T.SUCCEEDED, {"output": large})]
    events = await record(bus, KEY, steps=steps)
    feed = MemoryFeed({0: [held(events[:2]), held(events[2:])]})
    await project(bus, feed)
    status = await stored(bus)
    assert status is not None
    assert (status.terminal, plain(status.output), status.history_sequence) == (True, large, events[-1].sequence)
    assert not status.has("input")
    assert not status.has("memory")
    assert {one.fate for one in feed.given} == {"ack"}


async def test_a_gap_is_filled_from_the_whole_history() -> None:
    bus = MemoryDataBus()
    events = await record(bus, KEY)
    feed = MemoryFeed({0: [held(events[3:4])]})
    await project(bus, feed)
    status = await stored(bus)
    assert status is not None
    assert status.history_sequence == events[-1].sequence
    assert [one.fate for one in feed.given] == ["ack"]


@pytest.mark.parametrize("sizes", [[2, 3], [1, 3, 1], [4, 1]], ids=str)
async def test_a_gap_is_filled_by_whole_commits(sizes: list[int]) -> None:
    bus = MemoryDataBus()
    commits = await record_commits(bus, KEY, sizes)
    feed = MemoryFeed({0: [[HeldCommit(commits[-1])]]})
    await project(bus, feed)
    status = await stored(bus)
    assert status is not None
    assert status.replace(sequence=0) == await folded(bus)
    assert status.history_bytes == sum(one.size for commit in commits for one in commit)
    assert [one.fate for one in feed.given] == ["ack"]


async def test_a_follower_that_lags_makes_an_event_come_again() -> None:
    bus = MemoryDataBus()
    events = await record(bus, KEY)
    lags = 3

    async def lagging(key: InstanceKey, *, after: int = 0) -> AsyncIterator[InstanceEvent]:
        nonlocal lags
        lags -= 1
        for one in (await bus.query_history(key, after=after))[: 2 if lags >= 0 else None]:
            yield one

    whole, bus.read_history = bus.read_history, lagging  # type: ignore[method-assign, assignment]
    bus.query_history = partial(collect, whole)  # type: ignore[method-assign, assignment]
    feed = MemoryFeed({0: [held(events[3:4])]})
    await project(bus, feed)
    assert lags < 0
    assert [one.fate for one in feed.given] == ["ack"]
    status = await stored(bus)
    assert status is not None
    assert status.terminal


@pytest.mark.parametrize("applied", [False, True], ids=["not stored", "stored"])
async def test_a_write_without_an_answer_is_not_acked_and_comes_right(applied: bool) -> None:
    bus = MemoryDataBus()
    events = await record(bus, KEY)
    write = bus.write_status
    fates: list[str | None] = []
    feed = MemoryFeed({0: [held(events)]})

    async def unanswered(status: InstanceStatus) -> int:
        bus.write_status = write  # type: ignore[method-assign]
        if applied:
            await write(status)
        fates.extend(one.fate for one in feed.given)
        raise Unavailable("no answer")

    bus.write_status = unanswered  # type: ignore[method-assign]
    await project(bus, feed)
    assert fates == [None] * len(events)
    assert {one.fate for one in feed.given} == {"ack"}
    assert bus._last_status == 1


async def test_an_event_of_a_newer_release_is_given_back_and_one_that_is_none_is_not() -> None:
    bus = MemoryDataBus()
    events = await record(bus, KEY)
    newer = HeldCommit(None, UnknownFormat("newer"))
    broken = HeldCommit(None, InvalidInput("broken"))
    feed = MemoryFeed({0: [[newer, broken, *held(events)]]})
    retried: list[str] = []

    async def watch(delay_seconds: float) -> None:
        retried.append(f"{delay_seconds:g}")
        newer.fate = "left to a newer replica"

    newer.retry = watch  # type: ignore[method-assign]
    await project(bus, feed)
    assert retried == ["10"]
    assert broken.fate == "ack"
    status = await stored(bus)
    assert status is not None
    assert status.terminal


async def test_what_follows_an_event_of_a_newer_release_waits_for_it() -> None:
    bus = MemoryDataBus()
    events = await record(bus, KEY)
    known = await record_status(bus, events[:2])

    async def newer(key: InstanceKey, *, after: int = 0) -> AsyncIterator[InstanceEvent]:
        raise UnknownFormat("newer")
        yield

    bus.read_history = newer  # type: ignore[method-assign, assignment]
    given = HeldCommit([events[3]])
    delays: list[float] = []

    async def retry(delay_seconds: float) -> None:
        delays.append(delay_seconds)
        given.fate = "given back"

    given.retry = retry  # type: ignore[method-assign]
    await project(bus, MemoryFeed({0: [[given]]}))
    # As an event that is itself of a newer release: thousands that no replica can fold must not keep it busy.
    assert delays == [10]
    assert given.fate == "given back"
    assert await stored(bus) == known


async def record_status(bus: MemoryDataBus, events: Sequence[InstanceEvent]) -> InstanceStatus:
    status: InstanceStatus | None = None
    for one in events:
        status = fold(status, one)
    assert status is not None
    await bus.write_status(status)
    found = await stored(bus, status.key)
    assert found is not None
    return found


async def test_a_damaged_history_does_not_hold_up_its_partition() -> None:
    bus = MemoryDataBus()
    damaged = await record(bus, OTHER, steps=[*LIFE, LIFE[1]])
    sound = await record(bus, KEY)
    feed = MemoryFeed({0: [held([*damaged, *sound[:2]]), held(sound[2:])]})
    await project(bus, feed)
    assert await stored(bus, OTHER) is None
    status = await stored(bus)
    assert status is not None
    assert status.terminal
    assert {one.fate for one in feed.given} == {"ack"}


async def test_a_status_that_this_release_cannot_read_holds_up_nobody_else() -> None:
    bus = MemoryDataBus()
    events = await record(bus, KEY, OTHER)
    bus._statuses[OTHER] = before = (7, b'{"version":9}')
    feed = MemoryFeed({0: [held(events)]})
    given_back: list[HeldCommit] = []
    for one in feed.batches[0][0]:

        async def retry(delay_seconds: float, one: HeldCommit = one) -> None:
            given_back.append(one)
            one.fate = "given back"

        one.retry = retry  # type: ignore[method-assign]
    await project(bus, feed)
    status = await stored(bus)
    assert status is not None
    assert status.terminal
    assert bus._statuses[OTHER] == before
    assert {one.events[0].key for one in given_back if one.events} == {OTHER}


@pytest.mark.parametrize("error", [Unavailable("no answer"), InvalidInput("not one of ours")])
async def test_a_pull_that_fails_is_tried_again(error: Exception) -> None:
    bus = MemoryDataBus()
    events = await record(bus, KEY)
    slept: list[float] = []
    await project(bus, MemoryFeed({0: [held(events)]}, fail_pull=error), slept=slept)
    assert 1 in slept
    assert await stored(bus) is not None


async def test_only_its_own_partitions_are_followed() -> None:
    bus = MemoryDataBus()
    events = await record(bus, KEY)
    feed = MemoryFeed({number: [held(events[number : number + 1])] for number in range(4)}, partitions=4)

    class Odd:
        def owns(self, key: str) -> bool:
            return key in ("partition-1", "partition-3")

    async def sleep(_: float) -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(Projector(bus, feed, Odd(), sleep, now).start())
    await settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sorted(number for number in range(4) if feed.batches[number]) == [0, 2]
