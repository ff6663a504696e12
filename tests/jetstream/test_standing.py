"""A request that waits at the server: counted, for what nobody needs is asked for again and again otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.fakes.polling import eventually
from tests.fakes.records import event, new_key
from workflow_operator.history import EventType, InstanceKey
from workflow_operator.history.errors import Unavailable
from workflow_operator.jetstream import projection, standing
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.login import ConnectionOptions
from workflow_operator.jetstream.connect.server import EmbeddedServer
from workflow_operator.jetstream.projection import ProjectedCommit, ProjectionFeed
from workflow_operator.jetstream.pulling import nak, send
from workflow_operator.jetstream.standing import StandingPull
from workflow_operator.jetstream.streams.topology import PROJECTION

pytestmark = pytest.mark.integration

STREAM, CONSUMER, SUBJECT = "NUMBERS", "reader", "numbers"


class CountingConnection(Connection):
    """Keeps the subjects of what is sent without an answer."""

    def __init__(self, options: ConnectionOptions) -> None:
        super().__init__(options)
        self.sent: list[str] = []

    async def publish(self, subject: str, data: bytes = b"", *, reply: str = "") -> None:
        self.sent.append(subject)
        await super().publish(subject, data, reply=reply)

    @property
    def pulls(self) -> int:
        return sum(subject.startswith("$JS.API.CONSUMER.MSG.NEXT.") for subject in self.sent)


@pytest.fixture
async def counting(nats_server: EmbeddedServer) -> AsyncIterator[CountingConnection]:
    connection = await CountingConnection.open(ConnectionOptions(servers=(nats_server.url,), name="counting"))
    stream = {"name": STREAM, "subjects": [SUBJECT], "retention": "workqueue", "storage": "memory"}
    await connection.api(f"STREAM.CREATE.{STREAM}", stream)
    config = {"durable_name": CONSUMER, "ack_policy": "explicit", "ack_wait": 60_000_000_000, "max_deliver": -1}
    request = {"stream_name": STREAM, "config": config}
    assert "error" not in await connection.api(f"CONSUMER.CREATE.{STREAM}.{CONSUMER}", request)
    yield connection
    await connection.close()


async def put(connection: Connection, *numbers: int, size: int = 1) -> None:
    for number in numbers:
        await connection.request(SUBJECT, str(number).ljust(size).encode())


async def take(pull: StandingPull, count: int) -> list[int]:
    """So many numbers, acked."""
    taken: list[int] = []
    while len(taken) < count:
        messages = await pull.take(5)
        assert messages, f"nothing more came behind {taken}"
        for message in messages:
            taken.append(int(message.data))
            await send(pull._connection, message, b"+ACK")
    return taken


async def test_one_request_brings_what_comes_one_after_another(counting: CountingConnection) -> None:
    pull = StandingPull(counting, STREAM, CONSUMER, batch=100, max_bytes=10_000)
    for number in range(20):
        assert await pull.take(0.001) == []
        await put(counting, number)
        assert await take(pull, 1) == [number]
    assert counting.pulls == 1


async def test_a_request_is_made_anew_once_it_has_brought_all_that_it_may(counting: CountingConnection) -> None:
    pull = StandingPull(counting, STREAM, CONSUMER, batch=10, max_bytes=10_000)
    await put(counting, *range(35))
    assert await take(pull, 35) == list(range(35))
    assert counting.pulls == 4
    assert await pull.take(0.001) == []
    assert counting.pulls == 4


async def test_what_nobody_took_is_bounded_in_bytes(counting: CountingConnection) -> None:
    pull = StandingPull(counting, STREAM, CONSUMER, batch=100, max_bytes=5000)
    await put(counting, *range(6), size=1500)
    first = await pull.take(5)
    await put(counting, *range(6, 12), size=1500)
    # The second request waits for who takes: no more than the first may bring has come.
    assert len(first) + len(pull._inbox.rest() if pull._inbox else []) <= 4


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_message_larger_than_a_request_may_bring_comes_alone(counting: CountingConnection, place: int) -> None:
    pull = StandingPull(counting, STREAM, CONSUMER, batch=100, max_bytes=5000)
    for number in range(3):
        await put(counting, number, size=20_000 if number == place else 10)
    batches = [await pull.take(5)]
    while sum(map(len, batches)) < 3:
        batches.append(await pull.take(5))
    assert sorted(int(message.data) for batch in batches for message in batch) == [0, 1, 2]
    assert [len(batch) for batch in batches if any(int(message.data) == place for message in batch)] == [1]


async def test_what_came_and_was_not_taken_is_given_back(counting: CountingConnection) -> None:
    pull = StandingPull(counting, STREAM, CONSUMER, batch=100, max_bytes=10_000)
    assert await pull.take(0.001) == []
    await put(counting, 1, 2, 3)
    assert pull._inbox is not None
    await eventually(lambda: pull._inbox is not None and pull._inbox._messages.qsize() == 3)
    await pull.leave()
    other = StandingPull(counting, STREAM, CONSUMER, batch=100, max_bytes=10_000)
    assert sorted(await take(other, 3)) == [1, 2, 3]


async def test_nothing_comes_to_who_has_left(counting: CountingConnection) -> None:
    left = StandingPull(counting, STREAM, CONSUMER, batch=100, max_bytes=10_000)
    assert await left.take(0.001) == []
    await left.leave()
    await left.leave()
    await put(counting, 1)
    other = StandingPull(counting, STREAM, CONSUMER, batch=100, max_bytes=10_000)
    assert await take(other, 1) == [1]


async def test_what_is_given_back_comes_again_by_the_same_request(counting: CountingConnection) -> None:
    pull = StandingPull(counting, STREAM, CONSUMER, batch=100, max_bytes=10_000)
    await put(counting, 1)
    (message,) = await pull.take(5)
    await nak(counting, message, 0.05)
    assert await take(pull, 1) == [1]
    assert counting.pulls == 1


async def test_a_request_that_expired_is_made_anew(
    counting: CountingConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "EXPIRES_SECONDS", 0.1)
    pull = StandingPull(counting, STREAM, CONSUMER, batch=100, max_bytes=10_000)

    async def asked_again() -> bool:
        assert await pull.take(0.2) == []
        return counting.pulls > 2

    await eventually(asked_again)
    await put(counting, 1)
    assert await take(pull, 1) == [1]


async def test_a_request_that_the_server_lost_is_made_anew(
    counting: CountingConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "EXPIRES_SECONDS", 0.1)
    monkeypatch.setattr(standing, "GRACE_SECONDS", 0.1)
    pull = StandingPull(counting, STREAM, CONSUMER, batch=100, max_bytes=10_000)
    whole, sent = counting.publish, 0

    async def lost(subject: str, data: bytes = b"", *, reply: str = "") -> None:
        nonlocal sent
        sent += 1
        if sent > 1:
            await whole(subject, data, reply=reply)

    monkeypatch.setattr(counting, "publish", lost)
    await put(counting, 1)
    assert await take(pull, 1) == [1]


async def test_the_loss_of_the_consumer_is_told_and_overcome(counting: CountingConnection) -> None:
    pull = StandingPull(counting, STREAM, CONSUMER, batch=100, max_bytes=10_000)
    assert await pull.take(0.001) == []
    await counting.api(f"CONSUMER.DELETE.{STREAM}.{CONSUMER}", {})
    with pytest.raises(Unavailable, match="Consumer Deleted"):
        await pull.take(5)
    with pytest.raises(Unavailable):
        await pull.take(5)


async def test_a_projector_that_waits_sends_nothing(
    nats_server: EmbeddedServer, connection: Connection, bus: JetStreamDataBus
) -> None:
    counting = await CountingConnection.open(ConnectionOptions(servers=(nats_server.url,), name="counting"))
    feed = ProjectionFeed(counting)

    async def come() -> list[ProjectedCommit]:
        batches = await asyncio.gather(*(feed.pull(number, 0.05) for number in range(feed.partitions)))
        return [each for batch in batches for each in batch]

    async def folded(keys: set[InstanceKey]) -> None:
        seen: set[InstanceKey] = set()
        while seen < keys:
            for each in await come():
                seen.add(each.key)
                await each.ack()

    for _ in range(3):
        await folded({(await bus.append([event(new_key())], 0))[0].key for _ in range(5)})
    await come()
    # One request for each partition, and one ack for each commit.
    await eventually(lambda: len(counting.sent) == feed.partitions + 15)
    assert counting.pulls == feed.partitions
    await counting.close()


async def test_acks_are_sent_together_and_not_later_than_a_partition_is_left(
    nats_server: EmbeddedServer, connection: Connection, bus: JetStreamDataBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "ACK_SECONDS", 1000)
    counting = await CountingConnection.open(ConnectionOptions(servers=(nats_server.url,), name="counting"))
    feed, key = ProjectionFeed(counting), new_key()
    (started,) = await bus.append([event(key)], 0)
    await bus.append([event(key, EventType.TRANSITION)], started.sequence)
    taken: list[tuple[int, ProjectedCommit]] = []
    while len(taken) < 2:
        for number in range(feed.partitions):
            taken += [(number, each) for each in await feed.pull(number, 0.02)]
    for _, each in taken:
        await each.ack()
    assert not [subject for subject in counting.sent if subject.startswith("$JS.ACK.")]
    await feed.leave(taken[0][0])
    assert len([subject for subject in counting.sent if subject.startswith("$JS.ACK.")]) == 2

    async def nothing_left() -> bool:
        info = await connection.api(f"STREAM.INFO.{PROJECTION}", {})
        return bool(info["state"]["messages"] == 0)

    await eventually(nothing_left)
    await counting.close()
