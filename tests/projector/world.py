"""A history in memory, and projectors that follow it until they wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from tests.fakes.clock import settle
from tests.fakes.events import KEY, at, event
from tests.fakes.feed import Everything, HeldCommit, MemoryFeed
from tests.fakes.memory import MemoryDataBus
from workflow_operator.history import EventType, InstanceEvent, InstanceKey, InstanceStatus, fold
from workflow_operator.projector import Projector

T = EventType
OTHER = InstanceKey("team-b", UUID(int=77))
LIFE: list[Any] = [
    (T.STARTED, {"script": "1", "input": {"a": 1}}),
    (T.TRANSITION, {"memory": {"n": 1}}),
    (T.OUTPUT, {"output": None}),
    (T.TRANSITION, {"memory": None}),
    (T.SUCCEEDED, {"output": 7}),
]


async def record(bus: MemoryDataBus, *keys: InstanceKey, steps: Sequence[Any] = LIFE) -> list[InstanceEvent]:
    """The same life for each instance, in one stream."""
    last = dict.fromkeys(keys, 0)
    events: list[InstanceEvent] = []
    for place, (kind, fields) in enumerate(steps):
        for key in keys:
            number = 100 * place + keys.index(key)
            stored = await bus.push_instance_event(event(kind, sequence=number, key=key, **fields), last[key])
            last[key] = stored.sequence
            events.append(stored)
    return events


async def record_commits(bus: MemoryDataBus, key: InstanceKey, sizes: Sequence[int]) -> list[list[InstanceEvent]]:
    """LIFE, in commits of these sizes."""
    events = [event(kind, sequence=number, key=key, **fields) for number, (kind, fields) in enumerate(LIFE)]
    commits: list[list[InstanceEvent]] = []
    for size in sizes:
        commits.append(await bus.append(events[:size], commits[-1][0].sequence if commits else 0))
        del events[:size]
    assert not events
    return commits


async def folded(bus: MemoryDataBus, key: InstanceKey = KEY) -> InstanceStatus:
    status: InstanceStatus | None = None
    for past in await bus.query_history(key):
        status = fold(status, past)
    assert status is not None
    return status


async def stored(bus: MemoryDataBus, key: InstanceKey = KEY) -> InstanceStatus | None:
    return (await bus.query_statuses([key])).get(key)


def now() -> datetime:
    return at(1000)


async def project(bus: Any, *feeds: MemoryFeed, slept: list[float] | None = None) -> None:
    """Run one projector on each feed until all of them wait."""

    async def sleep(seconds: float) -> None:
        if slept is not None:
            slept.append(seconds)
        if seconds >= 10:
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    tasks = [asyncio.create_task(Projector(bus, feed, Everything(), sleep, now).start()) for feed in feeds]
    await settle()
    failed = [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not failed, [task.exception() for task in failed]


async def collect(read: Any, *args: Any, **named: Any) -> list[Any]:
    return [each async for each in read(*args, **named)]


def held(events: Sequence[InstanceEvent]) -> list[HeldCommit]:
    return [HeldCommit([one]) for one in events]
