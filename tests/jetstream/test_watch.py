"""Following the statuses."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from nats.aio.msg import Msg

from tests.fakes.events import EPOCH
from tests.fakes.polling import eventually
from tests.fakes.records import new_key, status
from workflow_operator.history import InstanceKey, InstanceStatus, StatusValue, encode_status
from workflow_operator.history.errors import Unavailable
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.inbox import Inbox
from workflow_operator.jetstream.connect.server import EmbeddedServer
from workflow_operator.jetstream.streams.topology import STATUS, ensure
from workflow_operator.jetstream.watch import StatusWatcher

pytestmark = pytest.mark.integration


class Watch:
    """A reader that keeps what it was given."""

    def __init__(self, connection: Connection) -> None:
        self.watcher = StatusWatcher(connection, JetStreamDataBus(connection))
        self.seen: list[InstanceStatus] = []
        self.found: list[InstanceStatus] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Returns once nothing can be missed."""
        self.tasks.append(asyncio.create_task(self._read(self.watcher.statuses(), self.seen.append)))
        await asyncio.wait_for(self.watcher.begun.wait(), 10)

    async def scan(self) -> None:
        """Returns once all that goes on has been found."""
        self.tasks.append(asyncio.create_task(self._read(self.watcher.pending(), self.found.append)))
        await asyncio.wait_for(self.watcher.scanned.wait(), 30)

    async def _read(self, statuses: AsyncIterator[InstanceStatus], take: Callable[[InstanceStatus], None]) -> None:
        async for each in statuses:
            take(each)

    @property
    def last(self) -> dict[InstanceKey, int]:
        return {each.key: each.sequence for each in self.seen}


@pytest.fixture
async def watch(connection: Connection) -> AsyncIterator[Watch]:
    """For the test to start."""
    watch = Watch(connection)
    yield watch
    for task in watch.tasks:
        task.cancel()
    await asyncio.gather(*watch.tasks, return_exceptions=True)


async def write(bus: JetStreamDataBus, count: int) -> dict[InstanceKey, int]:
    keys = [new_key() for _ in range(count)]
    sequences = await asyncio.gather(*(bus.write_status(status(key)) for key in keys))
    return dict(zip(keys, sequences, strict=True))


def over(key: InstanceKey, **fields: Any) -> InstanceStatus:
    return status(key, status=StatusValue.COMPLETE, ended_at=EPOCH, **fields)


async def test_what_goes_on_is_found_by_the_side_and_what_is_over_is_not_read(
    bus: JetStreamDataBus, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = "x" * 10_000
    await asyncio.gather(*(bus.write_status(over(new_key(), output=large)) for _ in range(1500)))
    written = await write(bus, 40)
    ended = next(iter(written))
    await bus.write_status(over(ended, sequence=written.pop(ended)))
    received = Counter[str]()
    receive = Inbox.receive

    def count(inbox: Inbox, message: Msg) -> None:
        received["messages"] += 1
        received["bytes"] += len(message.data)
        receive(inbox, message)

    monkeypatch.setattr(Inbox, "receive", count)
    await watch.start()
    assert received["messages"] <= 1, "begun without a look at what is stored"
    await watch.scan()
    assert {each.key: each.sequence for each in watch.found} == written
    assert watch.seen == []
    assert received["bytes"] < 100_000


async def test_a_status_without_the_header_is_read(connection: Connection, bus: JetStreamDataBus, watch: Watch) -> None:
    pending, ended = status(new_key()), over(new_key())
    for each in (pending, ended):
        await connection.request(each.key.status_subject, encode_status(each))
    await watch.start()
    await watch.scan()
    assert [each.key for each in watch.found] == [pending.key]


async def test_what_is_written_during_the_scan_is_not_told_of_in_its_older_form(
    bus: JetStreamDataBus, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(key, sequence)] = (await write(bus, 1)).items()
    await watch.start()
    query = JetStreamDataBus.query_statuses

    async def end_meanwhile(self: JetStreamDataBus, keys: Any) -> Any:
        read = await query(self, keys)
        await bus.write_status(over(key, sequence=sequence))
        await eventually(lambda: bool(watch.seen))
        return read

    monkeypatch.setattr(JetStreamDataBus, "query_statuses", end_meanwhile)
    await watch.scan()
    assert ([each.terminal for each in watch.seen], watch.found) == ([True], [])


async def test_there_may_be_nothing(watch: Watch) -> None:
    await watch.start()
    await watch.scan()
    assert (watch.seen, watch.found) == ([], [])


async def test_follows_what_is_written_later(bus: JetStreamDataBus, watch: Watch) -> None:
    await watch.start()
    written = await write(bus, 50)

    await eventually(lambda: watch.last == written)


async def test_resumes_when_the_server_was_killed(
    nats_server: EmbeddedServer, bus: JetStreamDataBus, watch: Watch
) -> None:
    await watch.start()
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
    await watch.start()
    written = await write(bus, 5)
    await eventually(lambda: watch.last == written)

    for name in (await connection.api(f"CONSUMER.NAMES.{STATUS}", {}))["consumers"]:
        await connection.api(f"CONSUMER.DELETE.{STATUS}.{name}", {})
    written |= await write(bus, 5)

    await eventually(lambda: watch.last == written)
    assert len(watch.seen) == 10


async def test_looks_anew_for_what_goes_on_in_a_stream_that_was_made_again(
    connection: Connection, bus: JetStreamDataBus, watch: Watch
) -> None:
    await watch.start()
    written = await write(bus, 5)
    await eventually(lambda: watch.last == written)
    await watch.scan()

    await connection.api(f"STREAM.DELETE.{STATUS}", {})
    await ensure(connection)
    [again] = await write(bus, 1)

    await eventually(lambda: again in {each.key for each in [*watch.seen, *watch.found]})


async def test_leaves_out_what_a_newer_release_wrote(
    connection: Connection, bus: JetStreamDataBus, watch: Watch
) -> None:
    await connection.request(new_key().status_subject, b'{"version": 2}')
    before = await write(bus, 1)
    await watch.start()
    await connection.request(new_key().status_subject, b'{"version": 2}')
    written = await write(bus, 1)

    await eventually(lambda: watch.last == written)
    await watch.scan()
    assert {each.key for each in watch.found} >= before.keys()


async def test_leaves_out_the_status_of_another_instance(
    connection: Connection, bus: JetStreamDataBus, watch: Watch
) -> None:
    await watch.start()
    await connection.request(new_key().status_subject, status(new_key()).to_json())
    written = await write(bus, 1)

    await eventually(lambda: watch.last == written)
    await watch.scan()
    assert {each.key for each in watch.found} == written.keys()


@pytest.mark.parametrize("headers", [{}, {"Status": "abc"}, {"Status": "503"}], ids=str)
async def test_a_bad_header_or_subject_stops_nothing(
    connection: Connection, bus: JetStreamDataBus, watch: Watch, headers: dict[str, str]
) -> None:
    await watch.start()
    for subject in (new_key().status_subject, "instances.status.default.nonsense"):
        await connection.request(subject, headers=headers)
    written = await write(bus, 1)

    await eventually(lambda: watch.last == written)
    await watch.scan()
    assert {each.key for each in watch.found} == written.keys()


async def test_a_status_now_and_then_costs_no_request(
    connection: Connection, bus: JetStreamDataBus, watch: Watch
) -> None:
    await watch.start()
    await write(bus, 1)
    await eventually(lambda: len(watch.seen) == 1)
    sent = connection._client.stats["out_msgs"]
    for count in range(2, 7):
        await write(bus, 1)
        await eventually(lambda count=count: len(watch.seen) == count)
    assert connection._client.stats["out_msgs"] - sent == 5
