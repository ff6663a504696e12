"""The work queue when consumers and servers go away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes.polling import eventually
from tests.fakes.records import new_key
from workflow_operator.history import Delivery, InstanceKey
from workflow_operator.history.errors import Unavailable
from workflow_operator.jetstream.connection import Connection
from workflow_operator.jetstream.queue import JetStreamWorkQueue
from workflow_operator.jetstream.server import EmbeddedServer
from workflow_operator.jetstream.topology import EXECUTION, EXECUTORS

pytestmark = pytest.mark.integration


async def pull_over_outage(queue: JetStreamWorkQueue) -> list[Delivery]:
    try:
        return await queue.pull(10, 0.5)
    except Unavailable:
        return []


async def test_what_was_queued_and_scheduled_outlives_the_server(
    nats_server: EmbeddedServer, queue: JetStreamWorkQueue
) -> None:
    queued, scheduled = new_key(), new_key()
    await queue.enqueue(queued)
    await queue.enqueue_at(scheduled, datetime.now(UTC) + timedelta(seconds=1), 1)

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
    await queue.enqueue_at(key, at, 1)
    nats_server.kill()
    await eventually(lambda: datetime.now(UTC) > at)
    await nats_server.start()

    assert [each.key for each in await eventually(lambda: pull_over_outage(queue))] == [key]


async def test_a_waiting_pull_ends_when_the_server_dies(
    nats_server: EmbeddedServer, connection: Connection, queue: JetStreamWorkQueue
) -> None:
    pulling = asyncio.create_task(queue.pull(10, 600.0))
    await eventually(lambda: consumer_waiting(connection))
    nats_server.kill()

    with pytest.raises(Unavailable, match="disconnected"):
        await asyncio.wait_for(pulling, 5)
    with pytest.raises(Unavailable):
        await queue.enqueue(new_key())
    with pytest.raises(Unavailable):
        await queue.enqueue_at(new_key(), datetime.now(UTC), 1)


async def test_a_waiting_pull_ends_when_its_consumer_is_deleted(
    connection: Connection, queue: JetStreamWorkQueue
) -> None:
    pulling = asyncio.create_task(queue.pull(10, 600.0))
    await eventually(lambda: consumer_waiting(connection))
    await connection.api(f"CONSUMER.DELETE.{EXECUTION}.{EXECUTORS}", {})

    with pytest.raises(Unavailable, match="Consumer Deleted"):
        await asyncio.wait_for(pulling, 5)
    with pytest.raises(Unavailable):
        await queue.pull(10, 600.0)


async def test_a_cancelled_pull_takes_nothing_with_it(connection: Connection, queue: JetStreamWorkQueue) -> None:
    pulling = asyncio.create_task(queue.pull(10, 600.0))
    await eventually(lambda: consumer_waiting(connection))
    pulling.cancel()
    await asyncio.gather(pulling, return_exceptions=True)
    await queue.enqueue(key := new_key())

    # At once, not after the ack wait of one second.
    assert [each.key for each in await queue.pull(10, 0.5)] == [key]


async def test_answers_to_a_delivery_are_silent_while_the_server_is_away(
    nats_server: EmbeddedServer, connection: Connection, queue: JetStreamWorkQueue
) -> None:
    await queue.enqueue(key := new_key())
    (held,) = await queue.pull(1, 5)
    nats_server.kill()
    await eventually(lambda: not connection.connected)

    await held.extend()
    await held.retry(1)
    await held.ack()

    await nats_server.start()
    (again,) = await eventually(lambda: pull_over_outage(queue))
    assert again.key == key


async def test_a_message_that_names_no_instance_is_removed(connection: Connection, queue: JetStreamWorkQueue) -> None:
    await connection.request("execution.queue.default.nonsense")
    await queue.enqueue(key := new_key())

    assert [each.key for each in await queue.pull(10, 5)] == [key]
    await eventually(lambda: messages_left(connection, 1))


@pytest.mark.parametrize("status_header", ["abc", "404", "503"])
async def test_a_message_with_a_status_is_an_instance_like_any_other(
    connection: Connection, queue: JetStreamWorkQueue, status_header: str
) -> None:
    await connection.request((odd := new_key()).subject("execution.queue"), headers={"Status": status_header})
    await queue.enqueue(key := new_key())

    assert [each.key for each in await queue.pull(10, 5)] == [odd, key]


async def consumer_waiting(connection: Connection) -> bool:
    info = await connection.api(f"CONSUMER.INFO.{EXECUTION}.{EXECUTORS}", {})
    return bool(info["num_waiting"])


async def messages_left(connection: Connection, count: int) -> bool:
    info = await connection.api(f"STREAM.INFO.{EXECUTION}", {})
    return bool(info["state"]["messages"] == count)
