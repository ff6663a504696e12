"""The real transport and its twin in memory keep to the same contracts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.contracts.databus import DataBusContract
from tests.contracts.workqueue import WorkQueueContract
from tests.fakes.memory import MemoryDataBus, MemoryWorkQueue
from workflow_operator.history import DataBus, WorkQueue
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.queue import JetStreamWorkQueue


class TestMemoryDataBus(DataBusContract):
    @pytest.fixture
    def data_bus(self) -> DataBus:
        return MemoryDataBus()


@pytest.mark.integration
class TestJetStreamDataBus(DataBusContract):
    @pytest.fixture
    def data_bus(self, bus: JetStreamDataBus) -> DataBus:
        return bus


class _Clock:
    """Real time, ``factor`` times as fast."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._start = datetime.now(UTC)

    def now(self) -> datetime:
        return self._start + (datetime.now(UTC) - self._start) * self._factor

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._factor)


@pytest.mark.integration
class TestMemoryWorkQueue(WorkQueueContract):
    @pytest.fixture
    def clock(self) -> _Clock:
        return _Clock(5)

    @pytest.fixture
    def work_queue(self, clock: _Clock) -> WorkQueue:
        return MemoryWorkQueue(clock, ack_wait=timedelta(seconds=1))


@pytest.mark.integration
class TestJetStreamWorkQueue(WorkQueueContract):
    @pytest.fixture
    def clock(self) -> _Clock:
        return _Clock(1)

    @pytest.fixture
    def work_queue(self, queue: JetStreamWorkQueue) -> WorkQueue:
        return queue
