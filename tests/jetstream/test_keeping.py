"""Consumers that went, and those that an earlier release left."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.workqueue import anybody
from tests.fakes.polling import eventually
from tests.fakes.records import new_key
from workflow_operator.history import Delivery
from workflow_operator.history.errors import Unavailable
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.login import ConnectionOptions
from workflow_operator.jetstream.connect.server import EmbeddedServer
from workflow_operator.jetstream.queue import JetStreamWorkQueue
from workflow_operator.jetstream.streams.topology import QUEUE, TopologyOptions, consumers, ensure, lane_consumer

pytestmark = pytest.mark.integration


async def info(connection: Connection, stream: str, consumer: str) -> dict[str, Any]:
    return await connection.api(f"CONSUMER.INFO.{stream}.{consumer}", {})


async def taken(queue: JetStreamWorkQueue) -> list[Delivery]:
    try:
        return await queue.pull(10, 0.5, anybody)
    except Unavailable:
        return []


async def test_a_consumer_that_somebody_deleted_is_there_again_while_the_connection_lasts(
    connection: Connection, queue: JetStreamWorkQueue
) -> None:
    for lane in range(16):
        await connection.api(f"CONSUMER.DELETE.{QUEUE}.{lane_consumer(lane)}", {})
    await queue.enqueue(key := new_key())

    assert [each.key for each in await eventually(lambda: taken(queue))] == [key]


async def test_what_was_held_is_delivered_again_as_for_the_first_time_by_a_server_that_restarts(
    nats_server: EmbeddedServer, connection: Connection, queue: JetStreamWorkQueue
) -> None:
    held, done = new_key(), new_key()
    for key in (held, done):
        await queue.enqueue(key)
    deliveries: dict[Any, Delivery] = {}
    while len(deliveries) < 2:
        deliveries |= {each.key: each for each in await queue.pull(10, 5, anybody)}
    await deliveries[done].ack()
    nats_server.kill()
    await nats_server.start()

    again = await eventually(lambda: taken(queue))
    assert [(each.key, each.attempt) for each in again] == [(held, 1)]
    await again[0].ack()
    assert (await connection.api(f"STREAM.INFO.{QUEUE}", {}))["state"]["messages"] == 0


async def test_the_consumers_of_an_earlier_release_stay_as_they_are(nats_server: EmbeddedServer) -> None:
    """In a file: the server changes that for none."""
    connection = await Connection.open(ConnectionOptions(servers=(nats_server.url,), name="tests"))
    await ensure(connection)
    for declared in consumers(TopologyOptions()):
        path = f"{declared.stream}.{declared.consumer}"
        await connection.api(f"CONSUMER.DELETE.{path}", {})
        config = {**declared.config, "mem_storage": False}
        request = {"stream_name": declared.stream, "config": config, "action": "create"}
        created = await connection.api(f"CONSUMER.CREATE.{path}.{config['filter_subject']}", request)
        assert "error" not in created

    await ensure(connection)

    for declared in consumers(TopologyOptions()):
        found = await info(connection, declared.stream, declared.consumer or "")
        assert not found["config"].get("mem_storage", False)
    queue = JetStreamWorkQueue(connection)
    await queue.enqueue(key := new_key())
    assert [each.key for each in await eventually(lambda: taken(queue))] == [key]
    await queue.stop_pulling()
    await connection.close()
