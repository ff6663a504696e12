"""The feed of the projector."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.polling import eventually
from tests.fakes.records import event, new_key
from workflow_operator.history import EventType, InstanceEvent, InstanceKey
from workflow_operator.history.errors import InvalidInput, Unavailable, UnknownFormat
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.headers import PREVIOUS_SEQUENCE
from workflow_operator.jetstream.connect.server import EmbeddedServer
from workflow_operator.jetstream.projection import ProjectedCommit, ProjectionFeed
from workflow_operator.jetstream.streams.topology import PROJECTION

pytestmark = pytest.mark.integration


async def pull_all(feed: ProjectionFeed) -> list[ProjectedCommit]:
    """One pull of every partition."""

    async def pull(number: int) -> list[ProjectedCommit]:
        try:
            return await feed.pull(number, 0.3)
        except Unavailable:
            return []

    return [each for batch in await asyncio.gather(*map(pull, range(feed.partitions))) for each in batch]


async def drain(feed: ProjectionFeed, sequences: set[int]) -> list[ProjectedCommit]:
    """Take and ack events until each of these was among them."""
    taken: dict[int, ProjectedCommit] = {}

    async def complete() -> bool:
        for each in await pull_all(feed):
            taken[each.sequence] = each
            await each.ack()
        return taken.keys() >= sequences

    await eventually(complete, deadline_seconds=20)
    return list(taken.values())


async def append(bus: JetStreamDataBus, count: int) -> set[int]:
    stored = await asyncio.gather(*(bus.push_instance_event(event(new_key()), 0) for _ in range(count)))
    return {each.sequence for each in stored}


async def chain(bus: JetStreamDataBus, key: InstanceKey) -> list[InstanceEvent]:
    events = [await bus.push_instance_event(event(key), 0)]
    for _ in range(4):
        events.append(await bus.push_instance_event(event(key, EventType.TRANSITION), events[-1].sequence))
    return events


async def test_gives_every_event_as_it_stands_in_the_history(connection: Connection, bus: JetStreamDataBus) -> None:
    keys = [new_key() for _ in range(20)]
    pushed = [each for key in keys for each in await chain(bus, key)]

    taken = await drain(ProjectionFeed(connection), {each.sequence for each in pushed})

    assert {each.sequence: each.events for each in taken} == {each.sequence: [each] for each in pushed}
    for key in keys:
        assert [each.events for each in taken if each.key == key] == [[each] for each in pushed if each.key == key]


async def test_an_instance_has_one_partition(connection: Connection, bus: JetStreamDataBus) -> None:
    await chain(bus, key := new_key())
    feed = ProjectionFeed(connection)

    pulled = await asyncio.gather(*(feed.pull(number, 1.0) for number in range(feed.partitions)))

    assert [[each.key for each in batch] for batch in pulled if batch] == [[key] * 5]


async def test_an_event_given_back_comes_again(connection: Connection, bus: JetStreamDataBus) -> None:
    (sequence,) = await append(bus, 1)
    feed = ProjectionFeed(connection)
    pulled = await asyncio.gather(*(feed.pull(number, 1.0) for number in range(feed.partitions)))
    ((partition, (first,)),) = [(number, batch) for number, batch in enumerate(pulled) if batch]
    await first.retry(0.1)

    (again,) = await feed.pull(partition, 5.0)

    assert again.sequence == first.sequence == sequence
    await again.ack()
    assert await feed.pull(partition, 0.3) == []


async def test_an_event_that_cannot_be_read_comes_with_its_error(connection: Connection, bus: JetStreamDataBus) -> None:
    key = new_key()
    await connection.request(key.history_subject, b'{"version": 2}')

    (taken,) = await drain(ProjectionFeed(connection), {1})

    assert (taken.key, taken.events, type(taken.error)) == (key, None, UnknownFormat)


@pytest.mark.parametrize(
    ("headers", "empty"),
    [
        ({PREVIOUS_SEQUENCE: "abc"}, False),
        # A message of the server itself has a status, and no data.
        ({"Status": "abc"}, True),
        ({"Status": "503"}, True),
        ({"Status": "404"}, True),
    ],
    ids=str,
)
async def test_an_event_with_a_bad_header_comes_with_its_error(
    connection: Connection, headers: dict[str, str], empty: bool
) -> None:
    key = new_key()
    await connection.request(key.history_subject, b"" if empty else event(key).to_json(), headers=headers)
    await connection.request(key.history_subject, event(key).to_json())

    bad, good = await drain(ProjectionFeed(connection), {1, 2})

    assert (bad.key, bad.events, type(bad.error)) == (key, None, InvalidInput)
    assert good.events is not None


async def test_an_event_of_another_instance_comes_with_its_error(connection: Connection) -> None:
    key, other = new_key(), new_key()
    await connection.request(key.history_subject, event(other).to_json())

    [held] = await drain(ProjectionFeed(connection), {1})

    assert (held.key, held.events, type(held.error)) == (key, None, InvalidInput)
    assert f"an event of instance {other} in the history of instance {key}" in str(held.error)


async def test_events_of_no_instance_are_removed_and_hold_up_no_other(
    connection: Connection, bus: JetStreamDataBus, caplog: pytest.LogCaptureFixture
) -> None:
    # Enough that every partition has some of both.
    for number in range(60):
        await connection.request(f"instances.history.default.nonsense-{number}", b"{}")
        await connection.request(new_key().history_subject.upper().replace("INSTANCES.HISTORY", "instances.history"))
    good = await append(bus, 60)

    assert {each.sequence for each in await drain(ProjectionFeed(connection), good)} == good

    async def nothing_left() -> bool:
        info = await connection.api(f"STREAM.INFO.{PROJECTION}", {})
        return bool(info["state"]["messages"] == 0)

    await eventually(nothing_left)
    assert "default.nonsense-0, HISTORY 1: removed" in caplog.text


@pytest.mark.parametrize("empty", [True, False], ids=["all folded", "some left"])
async def test_nothing_is_missing_after_the_server_was_killed(
    nats_server: EmbeddedServer, connection: Connection, bus: JetStreamDataBus, empty: bool
) -> None:
    feed = ProjectionFeed(connection)
    expected = await append(bus, 300)
    if empty:
        assert {each.sequence for each in await drain(feed, expected)} == expected
        expected = set()

    nats_server.kill()
    await nats_server.start()
    expected |= await append(bus, 200)

    # Events folded before may come again; none may be left out.
    await drain(feed, expected)


async def test_a_pull_ends_when_the_server_dies(nats_server: EmbeddedServer, connection: Connection) -> None:
    pulling = asyncio.create_task(ProjectionFeed(connection).pull(0, 600.0))
    await eventually(lambda: connection.connected)
    nats_server.kill()

    with pytest.raises(Unavailable):
        await asyncio.wait_for(pulling, 5)
