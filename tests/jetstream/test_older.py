"""What release 0.2 left in its stream: nothing of it is lost, and its replicas may run beside ours."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contracts.workqueue import anybody, pull_all
from tests.fakes.polling import eventually
from tests.fakes.records import new_key
from workflow_operator.history import InstanceKey
from workflow_operator.history.format import rfc3339
from workflow_operator.jetstream import ensure
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.login import ConnectionOptions
from workflow_operator.jetstream.connect.server import EmbeddedServer
from workflow_operator.jetstream.queue import JetStreamWorkQueue

pytestmark = pytest.mark.integration

EXECUTION = {
    "name": "EXECUTION",
    "description": "Instances that wait for an executor, and timers",
    "subjects": ["execution.queue.*.*", "execution.due.*.*", "execution.timer.*.*.*"],
    "retention": "workqueue",
    "max_msgs_per_subject": 1,
    "allow_msg_schedules": True,
    "storage": "file",
    "num_replicas": 1,
}
"""As release 0.2 makes it."""


async def make_older(connection: Connection) -> None:
    assert "error" not in await connection.api("STREAM.CREATE.EXECUTION", EXECUTION)
    for name, subject in (("executors", "execution.queue.>"), ("timers", "execution.due.>")):
        config = {
            "durable_name": name,
            "name": name,
            "filter_subject": subject,
            "ack_policy": "explicit",
            "deliver_policy": "all",
            "ack_wait": 6_000_000_000,
            "max_deliver": -1,
            "max_ack_pending": 100_000,
        }
        request = {"stream_name": "EXECUTION", "config": config, "action": "create"}
        assert "error" not in await connection.api(f"CONSUMER.CREATE.EXECUTION.{name}.{subject}", request)


async def older_enqueue(connection: Connection, key: InstanceKey) -> None:
    await connection.request(key.subject("execution.queue"), headers={"Nats-Expected-Last-Subject-Sequence": "0"})


async def older_timer(connection: Connection, key: InstanceKey, seconds: float, cause: int = 7) -> None:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    headers = {"Nats-Schedule": f"@at {rfc3339(at)}", "Nats-Schedule-Target": key.subject("execution.due")}
    await connection.request(f"{key.subject('execution.timer')}.{cause}", headers=headers)


async def left_in(connection: Connection, stream: str) -> int:
    state: dict[str, Any] = (await connection.api(f"STREAM.INFO.{stream}", {}))["state"]
    return int(state["messages"])


async def test_what_release_0_2_left_is_taken_from_its_stream(nats_server: EmbeddedServer) -> None:
    connection = await Connection.open(ConnectionOptions(servers=(nats_server.url,), name="tests"))
    await make_older(connection)
    queued = [new_key(f"team-{number % 7}") for number in range(100)]
    sleeping = [new_key() for _ in range(20)]
    for key in queued:
        await older_enqueue(connection, key)
    for key in sleeping:
        await older_timer(connection, key, 1.0)
    await older_timer(connection, new_key(), 1_000_000)
    before = (await connection.api("STREAM.INFO.EXECUTION", {}))["config"]

    await ensure(connection)
    queue = JetStreamWorkQueue(connection)
    running = asyncio.create_task(queue.run())
    taken = await pull_all(queue, 120)
    for each in taken:
        await each.ack()

    assert {each.key for each in taken} == {*queued, *sleeping}

    async def all_but_the_timer_that_is_not_due() -> bool:
        return await left_in(connection, "EXECUTION") == 1

    await eventually(all_but_the_timer_that_is_not_due)
    # A replica of that release starts beside us, and finds its stream as it was; what it queues is taken too.
    assert (await connection.api("STREAM.INFO.EXECUTION", {}))["config"] == before
    late = new_key()
    await older_enqueue(connection, late)
    assert [each.key for each in await queue.pull(1, 10, anybody)] == [late]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await connection.close()


async def test_a_timer_that_release_0_2_set_is_dropped_with_its_instance(nats_server: EmbeddedServer) -> None:
    connection = await Connection.open(ConnectionOptions(servers=(nats_server.url,), name="tests"))
    await make_older(connection)
    await ensure(connection)
    key = new_key()
    await older_timer(connection, key, 1_000_000, cause=12)
    queue = JetStreamWorkQueue(connection)
    running = asyncio.create_task(queue.run())

    await eventually(lambda: queue._older)
    await queue.drop_timer(key, 12)

    async def dropped() -> bool:
        return await left_in(connection, "EXECUTION") + await left_in(connection, "TIMERS") == 0

    await eventually(dropped)
    assert await queue.pull(1, 0.5, anybody) == []
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await connection.close()


async def test_nothing_is_made_of_what_a_new_installation_does_not_have(connection: Connection) -> None:
    queue = JetStreamWorkQueue(connection)
    running = asyncio.create_task(queue.run())
    await queue.enqueue(key := new_key())
    assert [each.key for each in await queue.pull(1, 5, anybody)] == [key]
    assert "error" in await connection.api("STREAM.INFO.EXECUTION", {})
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
