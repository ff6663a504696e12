"""The data bus when answers get lost and servers die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
from nats.aio.msg import Msg

from tests.fakes.counted import Moved
from tests.fakes.polling import eventually
from tests.fakes.records import event, new_key, status
from workflow_operator.history import EventType, InstanceEvent, InstanceKey
from workflow_operator.history.errors import Conflict, InvalidInput, Unavailable, UnknownFormat
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.headers import HISTORY_SEQUENCE, PREVIOUS_SEQUENCE
from workflow_operator.jetstream.connect.login import ConnectionOptions
from workflow_operator.jetstream.connect.server import EmbeddedServer

pytestmark = pytest.mark.integration


class LossyConnection(Connection):
    """Sends everything, and loses the answers to the next appends."""

    lose = 0
    after_loss: Callable[[], Awaitable[object]] | None = None

    async def request(
        self, subject: str, data: bytes = b"", *, headers: dict[str, str] | None = None, timeout: float = 5.0
    ) -> Msg:
        answer = await super().request(subject, data, headers=headers, timeout=timeout)
        if self.lose and subject.startswith("instances.history."):
            self.lose -= 1
            if self.after_loss is not None:
                await self.after_loss()
            raise Unavailable("the answer was lost")
        return answer


@pytest.fixture
async def lossy(nats_server: EmbeddedServer, connection: Connection) -> AsyncIterator[LossyConnection]:
    lossy = await LossyConnection.open(ConnectionOptions(servers=(nats_server.url,), name="lossy"))
    yield lossy
    await lossy.close()


async def test_an_append_whose_answer_was_lost_is_found(bus: JetStreamDataBus, lossy: LossyConnection) -> None:
    lossy.lose = 3
    stored = await JetStreamDataBus(lossy).push_instance_event(event(new_key()), 0)

    assert lossy.lose == 0
    assert await bus.query_history(stored.key) == [stored]


async def test_a_commit_whose_answer_was_lost_is_found(bus: JetStreamDataBus, lossy: LossyConnection) -> None:
    key = new_key()
    lossy.lose = 3
    events = [event(key), event(key, EventType.TRANSITION), event(key, EventType.SUCCEEDED)]
    stored = await JetStreamDataBus(lossy).append(events, 0)

    assert lossy.lose == 0
    assert [each.event_id for each in stored] == [each.event_id for each in events]
    assert await bus.query_history(key) == stored


async def test_it_is_found_with_others_behind_it(bus: JetStreamDataBus, lossy: LossyConnection) -> None:
    key = new_key()

    async def follow() -> None:
        (first,) = await bus.query_history(key)
        second = await bus.push_instance_event(event(key, EventType.CANCEL_REQUESTED), first.sequence)
        await bus.push_instance_event(event(key, EventType.TRANSITION), second.sequence)

    lossy.lose, lossy.after_loss = 1, follow
    stored = await JetStreamDataBus(lossy).push_instance_event(event(key), 0)

    history = await bus.query_history(key)
    assert len(history) == 3
    assert history[0] == stored


async def test_a_lost_refusal_is_a_conflict(bus: JetStreamDataBus, lossy: LossyConnection) -> None:
    key = new_key()
    await bus.push_instance_event(event(key), 0)
    lossy.lose = 1

    with pytest.raises(Conflict, match=str(key)):
        await JetStreamDataBus(lossy).push_instance_event(event(key), 0)
    assert len(await bus.query_history(key)) == 1


async def test_an_append_waits_for_the_server_to_come_back(
    nats_server: EmbeddedServer, connection: Connection, bus: JetStreamDataBus
) -> None:
    nats_server.kill()
    await eventually(lambda: not connection.connected)
    pushing = asyncio.create_task(bus.push_instance_event(event(new_key()), 0))
    with pytest.raises(Unavailable):
        await bus.query_history(new_key())
    with pytest.raises(Unavailable):
        await bus.write_status(status(new_key()))
    assert not pushing.done()

    await nats_server.start()
    stored = await asyncio.wait_for(pushing, 10)

    assert await bus.query_history(stored.key) == [stored]


async def test_nothing_is_lost_or_doubled_when_the_server_is_killed(
    nats_server: EmbeddedServer, connection: Connection, bus: JetStreamDataBus
) -> None:
    acked: dict[InstanceKey, list[InstanceEvent]] = {new_key(): [] for _ in range(16)}

    async def append(key: InstanceKey) -> None:
        for number in range(150):
            kind = EventType.TRANSITION if number else EventType.STARTED
            last = acked[key][-1].sequence if number else 0
            acked[key].append(await bus.push_instance_event(event(key, kind), last))

    def done(share: int) -> bool:
        return sum(map(len, acked.values())) >= share

    appending = [asyncio.create_task(append(key)) for key in acked]
    for share in (500, 1000, 1500):
        await eventually(partial(done, share))
        nats_server.kill()
        await nats_server.start()
    await asyncio.wait_for(asyncio.gather(*appending), 60)

    for key, events in acked.items():
        assert await bus.query_history(key) == events
        assert [each.previous for each in events] == [0, *(each.sequence for each in events[:-1])]


async def test_one_winner_over_several_connections(nats_server: EmbeddedServer, bus: JetStreamDataBus) -> None:
    connections = [
        await Connection.open(ConnectionOptions(servers=(nats_server.url,), name=str(number))) for number in range(5)
    ]
    buses = [JetStreamDataBus(each) for each in connections] * 10
    key, last = new_key(), 0
    for _ in range(20):
        outcomes = await asyncio.gather(
            *(each.push_instance_event(event(key), last) for each in buses), return_exceptions=True
        )
        (won,) = [each for each in outcomes if not isinstance(each, BaseException)]
        assert sum(isinstance(each, Conflict) for each in outcomes) == 49
        last = won.sequence
    assert len(await bus.query_history(key)) == 20
    for connection in connections:
        await connection.close()


async def test_an_event_of_a_newer_release_is_refused(connection: Connection, bus: JetStreamDataBus) -> None:
    key = new_key()
    stored = await bus.push_instance_event(event(key), 0)
    newer = b'{"version": 2, "type": "teleported", "instanceID": "x"}'
    await connection.request(key.history_subject, newer)

    with pytest.raises(UnknownFormat, match="Upgrade"):
        await bus.query_history(key)
    with pytest.raises(Conflict):
        await bus.push_instance_event(event(key, EventType.TRANSITION), stored.sequence)


async def test_one_status_of_a_newer_release_hides_no_other(connection: Connection, bus: JetStreamDataBus) -> None:
    key = new_key()
    await bus.write_status(status(key))
    await connection.request(new_key().status_subject, b'{"version": 2}')

    assert [each.key for each in await bus.query_instance_status()] == [key]


async def test_tails_names_the_instances_whose_status_lags(bus: JetStreamDataBus) -> None:
    folded, lagging, unfolded = new_key(), new_key(), new_key()
    for key in (folded, lagging, unfolded):
        started = await bus.push_instance_event(event(key), 0)
        if key is not unfolded:
            await bus.write_status(status(key, history_sequence=started.sequence))
        if key is lagging:
            await bus.push_instance_event(event(key, EventType.TRANSITION), started.sequence)

    assert {key async for key in bus.tails()} == {lagging, unfolded}


async def test_tails_leaves_out_what_names_no_instance(
    connection: Connection, bus: JetStreamDataBus, caplog: pytest.LogCaptureFixture
) -> None:
    await connection.request("instances.history.default.nonsense", b"{}")
    await connection.request(f"instances.history.default.{str(new_key().instance_id).upper()}", b"{}")
    await connection.request("instances.status.default.nonsense", b"{}")
    unfolded = await bus.push_instance_event(event(new_key()), 0)

    assert [key async for key in bus.tails()] == [unfolded.key]
    assert "history sequence 1: left out: subject 'instances.history.default.nonsense'" in caplog.text


BAD_HEADERS = [{HISTORY_SEQUENCE: "abc", PREVIOUS_SEQUENCE: "abc"}, {"Status": "abc"}, {"Status": "503"}]


@pytest.mark.parametrize("headers", BAD_HEADERS, ids=str)
async def test_tails_names_an_instance_with_a_bad_header(
    connection: Connection, bus: JetStreamDataBus, headers: dict[str, str]
) -> None:
    bad = new_key()
    for subject in (bad.status_subject, bad.history_subject):
        await connection.request(subject, b"{}", headers=headers)
    unfolded = await bus.push_instance_event(event(new_key()), 0)

    assert [key async for key in bus.tails()] == [bad, unfolded.key]


@pytest.mark.parametrize("headers", BAD_HEADERS, ids=str)
async def test_a_bad_header_or_subject_hides_no_other_status(
    connection: Connection, bus: JetStreamDataBus, headers: dict[str, str]
) -> None:
    for subject in (new_key().status_subject, "instances.status.default.nonsense"):
        await connection.request(subject, headers=headers)
    await bus.write_status(good := status(new_key()))

    assert [each.key for each in await bus.query_instance_status()] == [good.key]


async def test_an_event_with_a_bad_header_is_refused(connection: Connection, bus: JetStreamDataBus) -> None:
    key = new_key()
    await connection.request(key.history_subject, event(key).to_json(), headers={PREVIOUS_SEQUENCE: "abc"})

    with pytest.raises(InvalidInput, match=rf"{key.instance_id}, history sequence 1: header {PREVIOUS_SEQUENCE}"):
        await bus.query_history(key)


async def test_what_names_another_instance_than_its_subject_is_not_believed(
    connection: Connection, bus: JetStreamDataBus
) -> None:
    key, other, elsewhere = new_key(), new_key(), InstanceKey("elsewhere", new_key().instance_id)
    for subject, pretended in ((key, other), (elsewhere, InstanceKey("default", elsewhere.instance_id))):
        await connection.request(subject.history_subject, event(pretended).to_json())
        await connection.request(subject.status_subject, status(pretended).to_json())

    for subject in (key, elsewhere):
        with pytest.raises(InvalidInput, match=f"an event of instance default/.* in the history of instance {subject}"):
            await bus.query_history(subject)
        with pytest.raises(InvalidInput, match=f"as that of {subject}"):
            await bus.query_statuses([subject])
    assert await bus.query_instance_status() == []


@pytest.mark.parametrize("status_header", ["abc", "404", "503"])
async def test_a_stored_message_is_none_of_the_server(
    connection: Connection, bus: JetStreamDataBus, status_header: str
) -> None:
    key = new_key()
    for subject in (key.history_subject, key.status_subject):
        await connection.request(subject, headers={"Status": status_header})

    with pytest.raises(InvalidInput):
        await bus.query_history(key)
    with pytest.raises(InvalidInput):
        await bus.query_statuses([key])


async def test_lists_more_statuses_than_one_batch(bus: JetStreamDataBus) -> None:
    keys = [new_key() for _ in range(2500)]
    await asyncio.gather(*(bus.write_status(status(key)) for key in keys))

    assert {each.key for each in await bus.query_instance_status()} == set(keys)


async def test_attempts_to_append_are_counted_by_their_result(bus: JetStreamDataBus, lossy: LossyConnection) -> None:
    moved = Moved()
    lossy.lose = 2
    stored = await JetStreamDataBus(lossy).push_instance_event(event(new_key()), 0)
    assert moved.each("history_appends_total", "result") == {"repeated": 2, "stored": 1}
    with pytest.raises(Conflict):
        await bus.push_instance_event(event(stored.key), 0)
    assert moved.each("history_appends_total", "result") == {"repeated": 2, "stored": 1, "conflict": 1}
