"""Histories are compared with statuses: what was missed is folded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import reduce
from typing import Any
from uuid import UUID

from tests.fakes.clock import settle
from tests.fakes.events import KEY
from tests.fakes.feed import Everything, HeldCommit, MemoryFeed
from tests.fakes.memory import MemoryDataBus
from tests.projector.world import LIFE, OTHER, folded, held, now, record, stored
from workflow_operator.history import InstanceEvent, InstanceKey, fold
from workflow_operator.history.errors import Unavailable
from workflow_operator.projector import Projector


async def test_histories_are_compared_with_statuses_at_the_start_and_when_asked() -> None:
    bus = MemoryDataBus()
    await record(bus, KEY)
    await record(bus, OTHER, steps=[*LIFE, LIFE[1]])
    gone = InstanceKey("team-c", UUID(int=5))
    feed = MemoryFeed({}, behind=[gone, OTHER, KEY])

    async def sleep(_: float) -> None:
        await asyncio.Event().wait()

    projector = Projector(bus, feed, Everything(), sleep, now)
    task = asyncio.create_task(projector.start())
    await settle()
    # The damaged one before it holds nobody up.
    assert await stored(bus, OTHER) is None
    first = await stored(bus)
    assert first is not None
    assert first.terminal
    bus._statuses.clear()
    projector.compare_tails()
    await settle()
    assert await stored(bus) is not None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_was_read_before_nats_came_back_with_less_is_forgotten() -> None:
    before, after = MemoryDataBus(), MemoryDataBus()
    await record(before, OTHER)
    read = await record(before, KEY, steps=LIFE[:4])
    restored = await record(after, KEY)
    assert restored[-1].sequence < read[-1].sequence
    back = asyncio.Event()
    feed = MemoryFeed({0: [held(read)]})
    pull = feed.pull

    async def pull_when_back(*args: Any) -> Sequence[HeldCommit]:
        if feed.given and not back.is_set():
            await back.wait()
            feed.batches[0].append(held(restored[-1:]))
        return await pull(*args)

    async def sleep(_: float) -> None:
        await asyncio.Event().wait()

    feed.pull = pull_when_back  # type: ignore[method-assign]
    projector = Projector(before, feed, Everything(), sleep, now)
    task = asyncio.create_task(projector.start())
    await settle()
    assert await stored(before) == (await folded(before)).replace(sequence=1)
    # Another projector has folded the rest already.
    status = reduce(fold, restored[:-1], None)
    assert status is not None
    await after.write_status(status)
    projector.statuses.bus = after
    projector.compare_tails()
    back.set()
    await settle()
    assert await stored(after) == (await folded(after)).replace(sequence=2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_comparison_that_is_interrupted_is_done_again() -> None:
    bus = MemoryDataBus()
    await record(bus, KEY)
    read, failures = bus.read_history, 1

    async def failing(key: InstanceKey, *, after: int = 0) -> AsyncIterator[InstanceEvent]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise Unavailable("no answer")
        async for one in read(key, after=after):
            yield one

    async def sleep(seconds: float) -> None:
        await (asyncio.sleep(0) if seconds <= 10 else asyncio.Event().wait())

    bus.read_history = failing  # type: ignore[method-assign, assignment]
    projector = Projector(bus, MemoryFeed({}, behind=[KEY]), Everything(), sleep, now)
    task = asyncio.create_task(projector.start())
    await settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert failures < 0
    assert await stored(bus) is not None
