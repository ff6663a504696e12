"""Whatever goes wrong with one item costs the others nothing: no loop of the projector ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.clock import settle
from tests.fakes.events import KEY, at, event, history
from tests.fakes.feed import Everything, HeldCommit, MemoryFeed
from tests.fakes.memory import MemoryDataBus
from tests.fakes.records import new_key
from workflow_operator.history import EventType, InstanceEvent, InstanceKey
from workflow_operator.history.errors import InvalidInput, PayloadTooLarge, UnknownFormat
from workflow_operator.projector import Projector

T = EventType
OTHER = new_key()
ERRORS: list[Exception] = [
    OverflowError("date value out of range"),
    RecursionError("maximum recursion depth exceeded"),
    KeyError("Nats-Subject"),
    MemoryError(),
    InvalidInput("cannot be read"),
    UnknownFormat("newer"),
    PayloadTooLarge("too large"),
]


class Given(HeldCommit):
    """What is given back does not come again."""

    async def retry(self, delay_seconds: float) -> None:
        self.fate = "given back"


async def recorded(bus: MemoryDataBus, key: InstanceKey) -> list[InstanceEvent]:
    events: list[InstanceEvent] = []
    for one in history(T.STARTED, T.TRANSITION, T.SUCCEEDED, key=key):
        events.append(await bus.push_instance_event(one, events[-1].sequence if events else 0))
    return events


async def project(bus: MemoryDataBus, feed: MemoryFeed) -> None:
    async def sleep(seconds: float) -> None:
        await (asyncio.sleep(0) if seconds < 5 else asyncio.Event().wait())

    task = asyncio.create_task(Projector(bus, feed, Everything(), sleep, lambda: at(9)).start())
    await settle()
    assert not task.done(), task.exception()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Poisoned(MemoryDataBus):
    """Every ``operation`` on OTHER fails."""

    def __init__(self, operation: str, error: Exception) -> None:
        super().__init__()
        self._operation = operation
        self._error = error
        self.refused = 0

    def _check(self, operation: str, key: InstanceKey) -> None:
        if (operation, key) == (self._operation, OTHER):
            self.refused += 1
            raise self._error

    async def read_history(self, key: InstanceKey, **named: Any) -> AsyncIterator[InstanceEvent]:
        self._check("read", key)
        async for one in super().read_history(key, **named):
            yield one

    async def query_statuses(self, keys: Any) -> Any:
        for key in keys:
            self._check("query", key)
        return await super().query_statuses(keys)

    async def write_status(self, status: Any) -> int:
        self._check("write", status.key)
        return await super().write_status(status)


@pytest.mark.parametrize("operation", ["read", "query", "write"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_no_instance_keeps_another_from_being_projected(operation: str, error: Exception) -> None:
    bus = Poisoned(operation, error)
    poisoned, sound = await recorded(bus, OTHER), await recorded(bus, KEY)
    # The last event alone makes a gap, so that the history is read.
    batches = [[Given([poisoned[-1]]), *(Given([one]) for one in sound[:2])], [Given([sound[2]]), Given([poisoned[0]])]]
    feed = MemoryFeed({0: batches}, behind=[OTHER, KEY])
    await project(bus, feed)
    status = (await MemoryDataBus.query_statuses(bus, [KEY]))[KEY]
    assert status.terminal
    assert {one.fate for one in feed.given if one.events and one.events[0] in sound} == {"ack"}
    assert all(one.fate for one in feed.given)
    assert len(feed.given) == 5


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b"[" * 5000, b'{"version":1}', b"\xff"])
async def test_a_status_that_is_none_is_made_again_from_the_history(body: bytes) -> None:
    bus = MemoryDataBus()
    events = await recorded(bus, KEY)
    bus.forge_status(KEY, body)
    # The last event alone, and then a comparison that finds nothing to do.
    feed = MemoryFeed({0: [[Given([events[-1]])]]}, behind=[KEY])
    await project(bus, feed)
    status = (await bus.query_statuses([KEY]))[KEY]
    assert (status.history_sequence, status.terminal) == (events[-1].sequence, True)
    assert {one.fate for one in feed.given} == {"ack"}


async def test_a_status_too_large_in_every_form_is_written_twice_and_then_left() -> None:
    bus = Poisoned("write", PayloadTooLarge("too large"))
    started = await bus.push_instance_event(event(T.STARTED, key=OTHER, script="1"), 0)
    feed = MemoryFeed({0: [[Given([started])]]})
    await project(bus, feed)
    assert bus.refused == 2
    assert {one.fate for one in feed.given} == {"ack"}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("loop", ["pull", "pending", "tails"])
async def test_no_loop_ends(loop: str, error: Exception) -> None:
    bus = MemoryDataBus()
    events = await recorded(bus, KEY)
    failures = [error]

    class Failing(MemoryFeed):
        async def pull(self, *args: Any) -> Any:
            self._fail("pull")
            return await super().pull(*args)

        async def pending(self, *args: Any) -> int:
            self._fail("pending")
            return await super().pending(*args)

        async def tails(self) -> AsyncIterator[InstanceKey]:
            self._fail("tails")
            async for key in super().tails():
                yield key

        def _fail(self, where: str) -> None:
            if where == loop and failures:
                raise failures.pop()

    await project(bus, Failing({0: [[Given([one]) for one in events]]}))
    assert failures == []
    assert (await bus.query_statuses([KEY]))[KEY].terminal
