"""Following the statuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.fakes.polling import eventually
from tests.fakes.records import new_key, status
from workflow_operator.history import InstanceKey, InstanceStatus
from workflow_operator.history.errors import Unavailable
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connection import Connection
from workflow_operator.jetstream.server import EmbeddedServer
from workflow_operator.jetstream.topology import STATUS, ensure
from workflow_operator.jetstream.watch import StatusWatcher

pytestmark = pytest.mark.integration


class Watch:
    """A reader that keeps what it was given."""

    def __init__(self, connection: Connection) -> None:
        self.watcher = StatusWatcher(connection)
        self.seen: list[InstanceStatus] = []
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for each in self.watcher.statuses():
            self.seen.append(each)

    @property
    def last(self) -> dict[InstanceKey, int]:
        return {each.key: each.sequence for each in self.seen}


@pytest.fixture
async def watch(connection: Connection) -> AsyncIterator[Watch]:
    """For the test to start."""
    watch = Watch(connection)
    yield watch
    if watch.task is not None:
        watch.task.cancel()
        with suppress(asyncio.CancelledError):
            await watch.task


async def write(bus: JetStreamDataBus, count: int) -> dict[InstanceKey, int]:
    keys = [new_key() for _ in range(count)]
    sequences = await asyncio.gather(*(bus.write_status(status(key)) for key in keys))
    return dict(zip(keys, sequences, strict=True))


async def test_begins_with_the_last_status_of_every_instance(bus: JetStreamDataBus, watch: Watch) -> None:
    written = await write(bus, 1200)
    rewritten = next(iter(written))
    written[rewritten] = await bus.write_status(status(rewritten, sequence=written[rewritten]))

    watch.start()
    await asyncio.wait_for(watch.watcher.caught_up.wait(), 10)

    assert watch.last == written
    assert len(watch.seen) == 1200


async def test_is_caught_up_at_once_when_there_is_nothing(watch: Watch) -> None:
    watch.start()
    await asyncio.wait_for(watch.watcher.caught_up.wait(), 10)
    assert watch.seen == []


async def test_follows_what_is_written_later(bus: JetStreamDataBus, watch: Watch) -> None:
    watch.start()
    await asyncio.wait_for(watch.watcher.caught_up.wait(), 10)
    written = await write(bus, 50)

    await eventually(lambda: watch.last == written)


async def test_is_not_caught_up_before_the_last_one_was_handled(bus: JetStreamDataBus, connection: Connection) -> None:
    await write(bus, 3)
    watcher = StatusWatcher(connection)
    statuses = watcher.statuses()
    for _ in range(3):
        await anext(statuses)
        assert not watcher.caught_up.is_set()
    following = asyncio.ensure_future(anext(statuses))
    await asyncio.wait_for(watcher.caught_up.wait(), 10)
    following.cancel()


async def test_resumes_when_the_server_was_killed(
    nats_server: EmbeddedServer, bus: JetStreamDataBus, watch: Watch
) -> None:
    watch.start()
    written = await write(bus, 20)
    await eventually(lambda: watch.last == written)

    nats_server.kill()
    await nats_server.start()
    key = new_key()

    async def write_again() -> bool:
        with suppress(Unavailable):
            written[key] = await bus.write_status(status(key))
        return key in written

    await eventually(write_again)
    await eventually(lambda: watch.last == written)
    assert len(watch.seen) == 21


async def test_resumes_when_its_consumer_was_deleted(
    connection: Connection, bus: JetStreamDataBus, watch: Watch
) -> None:
    watch.start()
    written = await write(bus, 5)
    await eventually(lambda: watch.last == written)

    for name in (await connection.api(f"CONSUMER.NAMES.{STATUS}", {}))["consumers"]:
        await connection.api(f"CONSUMER.DELETE.{STATUS}.{name}", {})
    written |= await write(bus, 5)

    await eventually(lambda: watch.last == written)
    assert len(watch.seen) == 10


async def test_begins_anew_with_a_stream_that_was_made_again(
    connection: Connection, bus: JetStreamDataBus, watch: Watch
) -> None:
    watch.start()
    written = await write(bus, 5)
    await eventually(lambda: watch.last == written)

    await connection.api(f"STREAM.DELETE.{STATUS}", {})
    await ensure(connection)
    again = await write(bus, 1)

    await eventually(lambda: watch.last == written | again)


async def test_leaves_out_what_a_newer_release_wrote(
    connection: Connection, bus: JetStreamDataBus, watch: Watch
) -> None:
    await connection.request(new_key().status_subject, b'{"version": 2}')
    written = await write(bus, 1)
    watch.start()

    await eventually(lambda: watch.last == written)


async def test_leaves_out_the_status_of_another_instance(
    connection: Connection, bus: JetStreamDataBus, watch: Watch
) -> None:
    await connection.request(new_key().status_subject, status(new_key()).to_json())
    written = await write(bus, 1)
    watch.start()

    await eventually(lambda: watch.last == written)


@pytest.mark.parametrize("headers", [{}, {"Status": "abc"}, {"Status": "503"}], ids=str)
async def test_a_bad_header_or_subject_stops_nothing(
    connection: Connection, bus: JetStreamDataBus, watch: Watch, headers: dict[str, str]
) -> None:
    for subject in (new_key().status_subject, "instances.status.default.nonsense"):
        await connection.request(subject, headers=headers)
    written = await write(bus, 1)
    watch.start()
    await asyncio.wait_for(watch.watcher.caught_up.wait(), 10)

    assert watch.last == written
