"""Which runs are traced, and what an outage of the collector costs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from tests.fakes.counted import Moved
from tests.fakes.events import KEY, event
from tests.fakes.memory import MemoryDataBus
from tests.fakes.polling import eventually
from workflow_operator.history import EventType, InstanceKey, InstanceStatus, fold
from workflow_operator.history.errors import Unavailable
from workflow_operator.tracing import Tracer, tracer
from workflow_operator.tracing.spans import Span

T = EventType


class FakeExporter:
    def __init__(self) -> None:
        self.sent: list[int] = []
        self.calls = 0
        self.answer: bool | Exception = True
        self.go = threading.Event()
        self.go.set()
        self.closed = False

    def export(self, spans: Sequence[Span]) -> bool:
        self.calls += 1
        assert self.go.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer:
            self.sent += [span.trace_id for span in spans if span.parent_id is None]
        return self.answer

    def close(self) -> None:
        self.closed = True
        self.go.set()


class World:
    def __init__(self) -> None:
        self.bus = MemoryDataBus()
        self.exporter = FakeExporter()
        self.live = True
        self.owned = True
        self.tracer = Tracer(self.bus, self.exporter, lambda _: self.owned, lambda: self.live)
        self.moved = Moved()

    async def run(self, number: int, *kinds: EventType) -> InstanceStatus:
        """The status after a history of these events."""
        key, status, last = InstanceKey(KEY.namespace, UUID(int=number)), None, 0
        for kind in kinds:
            stored = await self.bus.push_instance_event(event(kind, key=key), last)
            last, status = stored.sequence, fold(status, stored)
        assert status is not None
        return status

    async def ended(self, number: int) -> InstanceStatus:
        return await self.run(number, T.STARTED, T.SUCCEEDED)

    def counts(self) -> dict[Any, float]:
        return self.moved.each("traces_total", "result")

    @asynccontextmanager
    async def exporting(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.tracer.run())
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_an_ended_run_is_exported() -> None:
    world = World()
    async with world.exporting():
        world.tracer.observe(await world.ended(1))
        await eventually(lambda: world.counts() == {"exported": 1})
    assert world.exporter.sent == [1]
    assert world.exporter.closed


@pytest.mark.parametrize("change", [{"live": False}, {"owned": False}])
async def test_what_ended_before_or_is_anothers_is_not(change: dict[str, bool]) -> None:
    world = World()
    vars(world).update(change)
    world.tracer.observe(await world.ended(1))
    vars(world).update(live=True, owned=True)
    world.tracer.observe(await world.run(2, T.STARTED))
    async with world.exporting():
        world.tracer.observe(await world.ended(3))
        await eventually(lambda: world.counts() == {"exported": 1})
    assert world.exporter.sent == [3]


async def test_what_ends_together_is_sent_together() -> None:
    world = World()
    for number in range(1, 61):
        world.tracer.observe(await world.ended(number))
    async with world.exporting():
        await eventually(lambda: world.counts() == {"exported": 60})
    assert sorted(world.exporter.sent) == list(range(1, 61))
    assert world.exporter.calls == 2


@pytest.mark.parametrize("answer", [False, RuntimeError("cannot be encoded")])
async def test_an_outage_of_the_collector_costs_traces_and_is_told_once(
    answer: bool | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.exporter.answer = answer
    async with world.exporting():
        for number in (1, 2):
            world.tracer.observe(await world.ended(number))
            await eventually(lambda expected=number: world.counts() == {"dropped": expected})
        world.exporter.answer = True
        world.tracer.observe(await world.ended(3))
        await eventually(lambda: world.counts() == {"dropped": 2, "exported": 1})
    told = [record.message for record in caplog.records if "the collector" in record.message]
    assert told == ["the collector does not take traces", "the collector takes traces"]


async def test_a_collector_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracer, "_WAITING_RUNS", 3)
    world = World()
    world.exporter.go.clear()
    async with world.exporting():
        world.tracer.observe(await world.ended(1))
        await eventually(lambda: world.exporter.calls == 1)
        for number in range(2, 7):
            world.tracer.observe(await world.ended(number))
        assert world.counts() == {"dropped": 2}
        world.exporter.go.set()
        await eventually(lambda: world.counts() == {"dropped": 2, "exported": 4})


async def test_a_history_that_cannot_be_read_costs_its_own_trace_only() -> None:
    world = World()
    query = world.bus.query_history

    async def failing(key: InstanceKey, **options: Any) -> Any:
        if key.instance_id.int == 1:
            raise Unavailable("no answer")
        if key.instance_id.int == 2:
            raise KeyError("a fault of our own")
        return await query(key, **options)

    world.bus.query_history = failing  # type: ignore[method-assign]
    for number in (1, 2, 3):
        world.tracer.observe(await world.ended(number))
    async with world.exporting():
        await eventually(lambda: world.counts() == {"dropped": 2, "exported": 1})
    assert world.exporter.sent == [3]
