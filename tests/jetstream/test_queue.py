"""The work queue when consumers and servers go away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contracts.workqueue import anybody, pull_all
from tests.fakes.polling import eventually
from tests.fakes.records import new_key
from workflow_operator.history import Delivery, InstanceKey, QueueDepth
from workflow_operator.history.errors import Unavailable
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.server import EmbeddedServer
from workflow_operator.jetstream.lanes import admissible, passed_delay, pause_between_looks
from workflow_operator.jetstream.queue import JetStreamWorkQueue, timer_is_stale
from workflow_operator.jetstream.streams.topology import (
    FIRED,
    LANES,
    QUEUE,
    TIMERS,
    fired_subject,
    lane_consumer,
    queue_subject,
    timer_subject,
)

pytestmark = pytest.mark.integration


async def pull_over_outage(queue: JetStreamWorkQueue) -> list[Delivery]:
    try:
        return await queue.pull(10, 0.5, anybody)
    except Unavailable:
        return []


async def test_what_was_queued_and_scheduled_outlives_the_server(
    nats_server: EmbeddedServer, queue: JetStreamWorkQueue
) -> None:
    queued, scheduled = new_key(), new_key()
    await queue.enqueue(queued)
    await queue.enqueue_at(scheduled, datetime.now(UTC) + timedelta(seconds=1))

    nats_server.kill()
    await nats_server.start()

    taken: set[InstanceKey] = set()

    async def both() -> bool:
        taken.update(each.key for each in await pull_over_outage(queue))
        return taken == {queued, scheduled}

    await eventually(both)


async def test_a_timer_that_fell_due_while_the_server_was_away_fires(
    nats_server: EmbeddedServer, queue: JetStreamWorkQueue
) -> None:
    key = new_key()
    at = datetime.now(UTC) + timedelta(seconds=0.5)
    await queue.enqueue_at(key, at)
    nats_server.kill()
    await eventually(lambda: datetime.now(UTC) > at)
    await nats_server.start()

    assert [each.key for each in await eventually(lambda: pull_over_outage(queue))] == [key]


async def test_a_waiting_pull_ends_when_the_server_dies(
    nats_server: EmbeddedServer, connection: Connection, queue: JetStreamWorkQueue
) -> None:
    pulling = asyncio.create_task(queue.pull(10, 600.0, anybody))
    await eventually(lambda: consumer_waiting(connection))
    nats_server.kill()

    with pytest.raises(Unavailable, match="disconnected"):
        await asyncio.wait_for(pulling, 5)
    with pytest.raises(Unavailable):
        await queue.enqueue(new_key())
    with pytest.raises(Unavailable):
        await queue.enqueue_at(new_key(), datetime.now(UTC))


async def test_a_waiting_pull_ends_when_its_consumer_is_deleted(
    connection: Connection, queue: JetStreamWorkQueue
) -> None:
    pulling = asyncio.create_task(queue.pull(10, 600.0, anybody))
    await eventually(lambda: consumer_waiting(connection))
    await connection.api(f"CONSUMER.DELETE.{QUEUE}.{lane_consumer(0)}", {})

    with pytest.raises(Unavailable, match="Consumer Deleted"):
        await asyncio.wait_for(pulling, 5)
    with pytest.raises(Unavailable):
        await queue.pull(10, 600.0, anybody)


async def test_a_cancelled_pull_takes_nothing_with_it(connection: Connection, queue: JetStreamWorkQueue) -> None:
    pulling = asyncio.create_task(queue.pull(10, 600.0, anybody))
    await eventually(lambda: consumer_waiting(connection))
    pulling.cancel()
    await asyncio.gather(pulling, return_exceptions=True)
    await queue.enqueue(key := new_key())

    # At once, not after the ack wait of one second.
    assert [each.key for each in await queue.pull(10, 0.5, anybody)] == [key]


async def test_answers_to_a_delivery_are_silent_while_the_server_is_away(
    nats_server: EmbeddedServer, connection: Connection, queue: JetStreamWorkQueue
) -> None:
    await queue.enqueue(key := new_key())
    (held,) = await queue.pull(1, 5, anybody)
    nats_server.kill()
    await eventually(lambda: not connection.connected)

    await held.extend()
    await held.retry(1)
    await held.ack()

    await nats_server.start()
    (again,) = await eventually(lambda: pull_over_outage(queue))
    assert again.key == key


async def test_a_message_that_names_no_instance_is_removed(connection: Connection, queue: JetStreamWorkQueue) -> None:
    await connection.request("execution.queue.3.default.nonsense")
    await queue.enqueue(key := new_key())

    assert [each.key for each in await queue.pull(10, 5, anybody)] == [key]
    await eventually(lambda: messages_left(connection, 1))


@pytest.mark.parametrize("status_header", ["abc", "404", "503"])
async def test_a_message_with_a_status_is_an_instance_like_any_other(
    connection: Connection, queue: JetStreamWorkQueue, status_header: str
) -> None:
    await connection.request(queue_subject(odd := new_key()), headers={"Status": status_header})
    await queue.enqueue(key := new_key())

    assert [each.key for each in await pull_all(queue, 2)] == [odd, key]


async def consumer_waiting(connection: Connection) -> bool:
    infos = [await connection.api(f"CONSUMER.INFO.{QUEUE}.{lane_consumer(lane)}", {}) for lane in range(LANES)]
    return all(info["num_waiting"] for info in infos)


async def messages_left(connection: Connection, count: int) -> bool:
    info = await connection.api(f"STREAM.INFO.{QUEUE}", {})
    return bool(info["state"]["messages"] == count)


async def test_a_timer_that_fired_and_did_not_go_is_set_anew(connection: Connection, queue: JetStreamWorkQueue) -> None:
    stale, sleeping = new_key(), new_key()
    await queue.enqueue_at(sleeping, datetime.now(UTC) + timedelta(hours=1))
    # A message that no schedule moves: as a server kept it that lost its leader in that moment.
    await connection.request(timer_subject(stale))

    assert await queue.sweep_timers() == 1

    assert [each.key for each in await queue.pull(1, 10, anybody)] == [stale]

    async def only_the_other_is_left() -> bool:
        return (await queue.depth()).scheduled == 1

    await eventually(only_the_other_is_left)


@pytest.mark.parametrize("at", ["2261-12-31T23:59:59Z", "2262-06-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_a_timer_of_a_far_future_does_not_fire_now(
    connection: Connection, queue: JetStreamWorkQueue, at: str
) -> None:
    await queue.enqueue_at(new_key(), datetime.fromisoformat(at))
    # By then an earlier one has fired.
    await queue.enqueue_at(key := new_key(), datetime.now(UTC))
    assert [each.key for each in await queue.pull(16, 10, anybody)] == [key]
    assert await queue.pull(16, 0.5, anybody) == []
    assert (await queue.depth()).scheduled == 1


@pytest.mark.parametrize(
    ("schedule", "stale"),
    [
        ("@at 2026-01-01T12:00:00.000000Z", False),
        ("@at 2026-01-01T11:59:01.000000Z", False),
        ("@at 2026-01-01T11:58:59.000000Z", True),
        ("@at 2027-01-01T12:00:00Z", False),
        ("@at 2026-01-01T10:00:00", True),
        ("@at 9999-12-31T23:59:59Z", False),
        ("@at 9999-12-31T23:59:59-14:00", False),
        ("@at 0001-01-01T00:00:00+14:00", True),
        ("@every 5s", True),
        ("", True),
    ],
)
def test_which_timer_is_stale(schedule: str, stale: bool) -> None:
    assert timer_is_stale(schedule, datetime(2026, 1, 1, 12, 0, tzinfo=UTC)) is stale


async def test_an_idle_queue_costs_few_requests(connection: Connection, queue: JetStreamWorkQueue) -> None:
    assert await queue.pull(16, 0.2, anybody) == []
    before = await received(connection)
    for _ in range(8):
        assert await queue.pull(16, 0.2, anybody) == []
    # Every lane has asked, and waits; so does the one who looks for timers.
    assert await received(connection) - before < 4


async def test_a_run_costs_few_messages(connection: Connection, queue: JetStreamWorkQueue) -> None:
    assert await queue.pull(16, 0.2, anybody) == []
    before = await received(connection)
    for _ in range(20):
        await queue.enqueue(new_key())
        (held,) = await queue.pull(16, 5, anybody)
        await held.ack()
    # Queued, acked, and the lane asks for the next.
    assert await received(connection) - before <= 20 * 3 + 3


async def received(connection: Connection) -> int:
    """Messages that the server has had from us."""
    return connection._client.stats["out_msgs"]


async def test_what_nobody_takes_is_given_back_for_others(connection: Connection, queue: JetStreamWorkQueue) -> None:
    assert await queue.pull(16, 0.2, anybody) == []
    await queue.enqueue(key := new_key())
    # It is on offer to a replica that asks for no more.
    other = JetStreamWorkQueue(connection)
    assert [each.key for each in await other.pull(1, 10, anybody)] == [key]


async def test_who_stops_pulling_keeps_nothing(connection: Connection, queue: JetStreamWorkQueue) -> None:
    assert await queue.pull(16, 0.2, anybody) == []
    await queue.enqueue(key := new_key())
    await eventually(lambda: queue._lanes.offered)
    await queue.stop_pulling()
    # At once, not after a second.
    other = JetStreamWorkQueue(connection)
    assert [(each.key, each.attempt) for each in await other.pull(1, 0.8, anybody)] == [(key, 2)]


def test_what_is_passed_comes_again_after_the_whole_backlog() -> None:
    assert passed_delay(10) < 2
    assert passed_delay(10_000) == 11
    assert [pause_between_looks(10, passing) for passing in (True, False)] == [5, 5]
    # Who comes to a lane that nobody else was in is found soon.
    assert [pause_between_looks(10_000, passing) for passing in (True, False)] == [100, 10]
    key = new_key("held")
    assert not admissible({"team-a": 50}, lambda key: key.namespace != "team-a")
    assert admissible({"team-a": 50, "other": 1}, lambda key: key.namespace != "team-a")
    assert not admissible({"team-a": 50, "other": 1}, lambda other: other == key)
    # Whoever may publish can queue what names no namespace.
    assert not admissible({"Bad_Name": 1, "team-a": 50, "": 1}, lambda key: key.namespace != "team-a")
    assert admissible({"Bad_Name": 1, "team-a": 50, "other": 1}, lambda key: key.namespace != "team-a")


async def test_timers_are_read_by_the_mib(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, int]] = []
    publish = connection.publish

    async def spy(subject: str, data: bytes = b"", *, reply: str = "") -> None:
        if subject.endswith(f".{TIMERS}.{FIRED}"):
            asked.append(json.loads(data))
        await publish(subject, data, reply=reply)

    monkeypatch.setattr(connection, "publish", spy)
    keys = {new_key() for _ in range(5)}
    for key in keys:
        await connection.request(fired_subject(key), bytes(900_000))
    queue = JetStreamWorkQueue(connection)
    timers = asyncio.create_task(queue.run())
    assert {each.key for each in await pull_all(queue, 5)} == keys
    timers.cancel()
    await asyncio.gather(timers, return_exceptions=True)
    assert all(each["batch"] == 1 or each["max_bytes"] <= 1024 * 1024 for each in asked)
    assert any(each["batch"] > 1 for each in asked)


async def test_the_depth_of_an_empty_queue_takes_two_questions(
    queue: JetStreamWorkQueue, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    api = connection.api

    async def counted(path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        asked.append(path)
        return await api(path, body)

    monkeypatch.setattr(connection, "api", counted)
    assert await queue.depth() == QueueDepth(waiting=0, held=0, scheduled=0)
    assert len(asked) == 2
    await queue.enqueue(new_key())
    assert await queue.depth() == QueueDepth(waiting=1, held=0, scheduled=0)
