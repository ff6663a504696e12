"""JetStream refuses to store, while the connection is well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fakes.polling import eventually
from tests.fakes.records import event, new_key
from workflow_operator.history import EventType
from workflow_operator.history.errors import Unavailable
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.login import ConnectionOptions
from workflow_operator.jetstream.connect.refusals import STALE_SECONDS, Refusals, refusal_of
from workflow_operator.jetstream.connect.server import EmbeddedServer
from workflow_operator.jetstream.streams.topology import ensure

FULL = b'{"error":{"code":503,"err_code":10047,"description":"insufficient storage resources available"},"seq":0}'


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (FULL, "insufficient storage resources available (10047)"),
        (b'{"error":{"code":503,"description":"insufficient resources"}}', "insufficient resources (503)"),
        (
            b'{"error":{"code":400,"err_code":10077,"description":"maximum bytes exceeded"}}',
            "maximum bytes exceeded (10077)",
        ),
        pytest.param(
            b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence"}}', None, id="outdated"
        ),
        pytest.param(b'{"error":{"code":400,"err_code":10054,"description":"too large"}}', None, id="too large"),
        (b'{"stream":"HISTORY","seq":7}', None),
        (b"", None),
        (b'{"error', None),
        (b'{"error":7}', None),
        (b'{"error":' + b"[" * 20_000, None),
    ],
)
def test_what_is_a_refusal_to_store(answer: bytes, words: str | None) -> None:
    assert refusal_of(answer) == words


def test_a_refusal_lasts_until_something_of_its_kind_is_stored() -> None:
    refusals = Refusals()
    assert refusals.words(0.0) is None
    refusals.refused("instances.history.a.b", "full (10047)", 0.0)
    refusals.stored("members.operators.x")
    assert refusals.words(1.0) == "JetStream refuses messages on instances.history.>: full (10047)"
    refusals.stored("instances.history.c.d")
    assert refusals.words(1.0) is None


def test_what_nobody_tries_again_is_not_known_any_more() -> None:
    refusals = Refusals()
    refusals.refused("execution.queue.a.b", "full", 0.0)
    assert [refusals.words(at) is None for at in (STALE_SECONDS - 1, STALE_SECONDS)] == [False, True]
    refusals.refused("execution.queue.a.b", "full", 100.0)
    refusals.forget()
    assert refusals.words(100.0) is None


def test_words_are_bounded_and_name_no_user() -> None:
    refusals = Refusals()
    refusals.refused("instances.history.team-a.secret", "x" * 10_000, 0.0)
    words = refusals.words(0.0)
    assert words is not None
    assert (len(words) < 400, "team-a" in words) == (True, False)


MIB = 1024 * 1024


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[tuple[EmbeddedServer, Connection]]:
    """A server with little room, with all of it used."""
    server = EmbeddedServer(tmp_path, sync_always=False)
    server.storage_bytes = 3 * MIB
    await server.start()
    connection = await Connection.open(ConnectionOptions(servers=(server.url,), name="test"))
    await ensure(connection)
    bus = JetStreamDataBus(connection)
    with suppress(TimeoutError):
        async with asyncio.timeout(20):
            while connection.storage_refusal is None:
                async with asyncio.timeout(5):
                    await bus.push_instance_event(event(new_key(), script="x" * 60_000), 0)
    assert connection.storage_refusal is not None
    yield server, connection
    await connection.close()
    server.kill()


@pytest.mark.integration
async def test_a_full_server_is_told_of_and_goes_on_when_there_is_room(
    full: tuple[EmbeddedServer, Connection],
) -> None:
    server, connection = full
    assert connection.problem is None
    words = connection.storage_refusal
    assert words is not None
    assert words.startswith("JetStream refuses messages on instances.history.>: ")
    key = new_key()
    waiting = asyncio.create_task(
        JetStreamDataBus(connection).push_instance_event(event(key, EventType.STARTED, script="x" * 60_000), 0)
    )
    await asyncio.sleep(0)
    server.storage_bytes = 100 * MIB
    await server.restart()
    stored = await asyncio.wait_for(waiting, 30)
    assert stored.sequence > 0
    await eventually(lambda: connection.storage_refusal is None)


@pytest.mark.integration
async def test_a_stream_that_is_gone_is_told_of(connection: Connection) -> None:
    await connection.api("STREAM.DELETE.HISTORY", {})
    with pytest.raises(Unavailable):
        await connection.request(new_key().history_subject, b"{}")
    assert connection.storage_refusal == "JetStream refuses messages on instances.history.>: nobody answers"
