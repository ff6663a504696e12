from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes.records import new_key
from tests.fakes.records import status as made
from workflow_operator.history import Json
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.membership import Membership, living_operators
from workflow_operator.jetstream.recent import RecentStatuses

pytestmark = pytest.mark.integration


async def test_each_status_that_was_written_lately_is_read_once_without_values(
    connection: Connection, bus: JetStreamDataBus
) -> None:
    first, second = new_key(), new_key()
    sequence = await bus.write_status(made(first, 1))
    await bus.write_status(made(second, 2, memory=Json.of("m" * 1000)))
    recent = RecentStatuses(connection)
    now = datetime.now(UTC)
    found = await recent.read(now)
    assert [(each.key, each.history_sequence, each.memory) for each in found] == [(first, 1, None), (second, 2, None)]
    assert await recent.read(now) == []
    await bus.write_status(made(first, 3).replace(sequence=sequence))
    assert [each.history_sequence for each in await recent.read(now)] == [3]


async def test_what_was_written_long_ago_and_what_is_no_status_are_left_out(
    connection: Connection, bus: JetStreamDataBus
) -> None:
    await bus.write_status(made(new_key(), 1))
    # As seen from ten minutes later.
    assert await RecentStatuses(connection).read(datetime.now(UTC) + timedelta(minutes=10)) == []
    await connection.request(new_key().status_subject, b"no status")
    assert len(await RecentStatuses(connection).read(datetime.now(UTC))) == 1


async def test_operators_of_any_group_are_found_and_nobody_else(connection: Connection) -> None:
    assert await living_operators(connection) == frozenset()
    executor, operator = Membership(connection, "executors", "one"), Membership(connection, "operators.group", "two")
    await executor.refresh()
    await operator.refresh()
    assert await living_operators(connection) == {"two"}
    await operator.close()
    assert await living_operators(connection) == frozenset()
