"""What a projector counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.fakes.clock import settle
from tests.fakes.counted import Moved, sample
from tests.fakes.events import KEY, event
from tests.fakes.feed import HeldCommit, MemoryFeed
from tests.fakes.memory import MemoryDataBus
from tests.projector.world import T, held, now, project, record
from workflow_operator.history.errors import Unavailable
from workflow_operator.projector import Projector
from workflow_operator.projector.statuses import lag


async def test_what_is_folded_is_counted_once_and_how_late_it_was() -> None:
    bus = MemoryDataBus()
    events = await record(bus, KEY)
    moved = Moved()
    # The second half comes before the first, and all of it twice.
    await project(bus, MemoryFeed({0: [held(events[3:]), held(events), held(events)]}))
    assert moved.by("projected_events_total") == len(events)
    assert moved.by("projection_refolds_total") == 1
    lag = (now() - events[-1].time).total_seconds()
    assert (moved.by("projection_lag_seconds_count"), moved.by("projection_lag_seconds_sum")) == (1, lag)


async def test_an_event_that_comes_again_with_new_ones_is_not_counted_again() -> None:
    bus = MemoryDataBus()
    events = await record(bus, KEY)
    moved = Moved()
    await project(bus, MemoryFeed({0: [held(events[:2]), held(events)]}))
    assert moved.by("projected_events_total") == len(events)
    assert moved.by("projection_lag_seconds_count") == 2


async def test_a_clock_behind_that_of_the_writer_makes_no_negative_lag() -> None:
    bus = MemoryDataBus()
    events = await record(bus, KEY)
    assert lag(events[-1].time, events[0].time) == 0


async def test_what_waits_in_its_own_partitions_is_shown() -> None:
    feed = MemoryFeed({number: [held([event(T.STARTED)] * 2)] for number in range(4)}, partitions=4)
    shown: list[float] = []

    class Odd:
        def owns(self, key: str) -> bool:
            return key in ("partition-1", "partition-3")

    async def pull(*_: object) -> Sequence[HeldCommit]:
        await asyncio.Event().wait()
        raise AssertionError

    async def sleep(seconds: float) -> None:
        if seconds == 15:
            shown.append(sample("projection_pending_events"))
            feed.fail_pending = Unavailable("no answer")
        await (asyncio.sleep(0) if len(shown) < 2 else asyncio.Event().wait())

    feed.pull = pull  # type: ignore[method-assign]
    task = asyncio.create_task(Projector(MemoryDataBus(), feed, Odd(), sleep, now).start())
    await settle()
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert shown == [4, 4]
