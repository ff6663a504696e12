"""What is pulled at once is bounded in bytes, and nothing is too large to come."""

from __future__ import annotations

import pytest

from tests.fakes.records import event, new_key
from workflow_operator.history import EventType
from workflow_operator.jetstream import projection
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.projection import ProjectedCommit, ProjectionFeed

SIZES = [10, 3000, 3000, 3000, 20_000, 10, 20_000, 3000]


@pytest.mark.parametrize("max_bytes", [1, 500, 5000, 8000, 1024 * 1024])
async def test_a_batch_has_so_many_bytes_or_is_one_larger_message(
    max_bytes: int, connection: Connection, bus: JetStreamDataBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "_BATCH_BYTES", max_bytes)
    last, key = 0, new_key()
    for size in SIZES:
        kind = EventType.TRANSITION if last else EventType.STARTED
        last = (await bus.push_instance_event(event(key, kind, memory="x" * size), last)).sequence
    feed = ProjectionFeed(connection)
    batches: list[list[ProjectedCommit]] = []
    empty = 0
    while sum(map(len, batches)) < len(SIZES) and empty < 200:
        for partition in range(feed.partitions):
            batch = await feed.pull(partition, 0.02)
            empty += not batch
            batches += [batch] if batch else []
            for each in batch:
                await each.ack()
    events = [each for batch in batches for held in batch for each in held.events or []]
    assert [len(each.memory) - 2 for each in events if each.memory] == SIZES
    for batch in batches:
        assert len(batch) == 1 or sum(each.events[0].size for each in batch if each.events) <= max_bytes
