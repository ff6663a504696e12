"""Streams and consumers."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from workflow_operator.history.errors import InvalidInput, TopologyMismatch, Unavailable
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.login import ConnectionOptions
from workflow_operator.jetstream.connect.server import EmbeddedServer
from workflow_operator.jetstream.streams.topology import (
    HISTORY,
    QUEUE,
    TopologyOptions,
    ensure,
    lane_consumer,
    mismatches,
    stored_bytes,
    streams,
)

pytestmark = pytest.mark.integration


async def test_many_replicas_may_start_at_once(nats_server: EmbeddedServer) -> None:
    replicas = [
        await Connection.open(ConnectionOptions(servers=(nats_server.url,), name=str(number))) for number in range(8)
    ]
    await asyncio.gather(*map(ensure, replicas))

    for declared in streams(TopologyOptions()):
        found = await replicas[0].api(f"STREAM.INFO.{declared.stream}", {})
        assert mismatches(declared, found["config"]) == []
    for replica in replicas:
        await replica.close()


async def test_what_exists_is_left_as_it_is(connection: Connection) -> None:
    before = await connection.api(f"STREAM.INFO.{HISTORY}", {})
    config = before["config"] | {"description": "edited", "max_msg_size": 500_000}
    assert "error" not in await connection.api(f"STREAM.UPDATE.{HISTORY}", config)

    await ensure(connection, TopologyOptions(replicas=3, member_ttl_seconds=60))

    after = await connection.api(f"STREAM.INFO.{HISTORY}", {})
    assert after["config"]["description"] == "edited"
    assert after["config"]["num_replicas"] == 1


async def test_a_stream_that_differs_is_named_with_what_to_do(connection: Connection) -> None:
    config = (await connection.api(f"STREAM.INFO.{HISTORY}", {}))["config"]
    assert "error" not in await connection.api(f"STREAM.UPDATE.{HISTORY}", config | {"max_age": 3_600_000_000_000})

    with pytest.raises(
        TopologyMismatch, match=r"stream HISTORY .* max_age is 3600000000000, expected -1.*`nats stream edit`"
    ):
        await ensure(connection)


async def test_a_consumer_that_differs_is_named_with_what_to_do(connection: Connection) -> None:
    await connection.api(f"CONSUMER.DELETE.{QUEUE}.{lane_consumer(0)}", {})
    config = {"durable_name": lane_consumer(0), "filter_subject": "execution.queue.0.a.*", "ack_policy": "explicit"}
    await connection.api(
        f"CONSUMER.DURABLE.CREATE.{QUEUE}.{lane_consumer(0)}", {"stream_name": QUEUE, "config": config}
    )

    with pytest.raises(
        TopologyMismatch,
        match=r'stream QUEUE, consumer lane-00 .* filter_subject is "execution.queue.0.a.\*", '
        r'expected "execution.queue.0.>".*`nats consumer edit`',
    ):
        await ensure(connection)


async def test_a_refusal_of_the_server_is_passed_on(nats_server: EmbeddedServer) -> None:
    connection = await Connection.open(ConnectionOptions(servers=(nats_server.url,), name="tests"))
    with pytest.raises(InvalidInput, match=r"stream HISTORY cannot be created: .*replicas"):
        await ensure(connection, TopologyOptions(replicas=3))
    await connection.close()


async def test_what_streams_hold_is_what_is_published(connection: Connection) -> None:
    before = await stored_bytes(connection)
    assert set(before) == {declared.stream for declared in streams(TopologyOptions())}
    # It is counted as it was before its compression.
    await connection.request(f"instances.history.size.{uuid.uuid4()}", b"x" * 100_000)
    assert 100_000 <= (await stored_bytes(connection))[HISTORY] - before[HISTORY] < 101_000


async def test_a_stream_that_is_missing_is_no_size(nats_server: EmbeddedServer) -> None:
    connection = await Connection.open(ConnectionOptions(servers=(nats_server.url,), name="empty"))
    with pytest.raises(Unavailable, match="stream not found"):
        await stored_bytes(connection)
    await connection.close()
