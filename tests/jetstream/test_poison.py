"""Nothing that anybody can publish ends a reader: each names the item, and goes on with the others."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

import pytest

from tests.fakes.polling import eventually
from tests.fakes.records import event, new_key, status
from workflow_operator.history import EventType, InstanceKey, encode_event, encode_status
from workflow_operator.history.errors import InvalidInput, UnknownFormat, UnreadableStatus
from workflow_operator.history.subjects import HISTORY, STATUS
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.headers import HISTORY_SEQUENCE, PREVIOUS_SEQUENCE
from workflow_operator.jetstream.membership import Membership
from workflow_operator.jetstream.projection import ProjectionFeed
from workflow_operator.jetstream.streams.topology import member_subject
from workflow_operator.jetstream.watch import StatusWatcher

OTHER = InstanceKey("team-z", UUID(int=99))


def changed(data: bytes, **changes: object) -> bytes:
    return json.dumps(json.loads(data) | changes).encode()


def commit(*members: bytes) -> bytes:
    head = {"version": 3, "instanceID": str(OTHER.instance_id), "namespace": OTHER.namespace, "type": "commit"}
    return json.dumps(head).encode()[:-1] + b',"events":[' + b",".join(members) + b"]}"


def bodies(sound: bytes) -> dict[str, bytes]:
    """What may stand where a record is expected; ``sound`` is a record of OTHER."""
    return {
        "nothing": b"",
        "null": b"null",
        "text": b"\xff\xfe",
        "cut": sound[:-9],
        "a MiB of brackets": b"[" * 1_000_000,
        "deep": sound[:-1] + b',"input":' + b"[" * 5000 + b"]" * 5000 + b"}",
        "an impossible date": changed(sound, time="9999-12-31T23:59:59-14:00", createdAt="9999-12-31T23:59:59-14:00"),
        "a huge number": changed(sound, version=10**400),
        "wrong types": changed(sound, version=1, type=[], status={}, metadata=[1]),
        "another's": changed(sound, instanceID=str(OTHER.instance_id), namespace=OTHER.namespace),
        "no namespace": changed(sound, namespace="a.b"),
        "a newer one": changed(sound, version=9),
        "an empty commit": commit(),
        "a commit in a commit": commit(commit(sound)),
        "a commit of another's": commit(sound),
        "a commit of too many": commit(*[b"{}"] * 100_000),
        "a newer commit": changed(commit(sound), version=9),
        "a commit of what is newer": commit(changed(sound, version=9)),
    }


HEADERS: dict[str, dict[str, str]] = {
    "none": {},
    "a bad previous sequence": {PREVIOUS_SEQUENCE: "x" * 500, HISTORY_SEQUENCE: "-1"},
    "of the server": {
        "Nats-Sequence": "x",
        "Nats-Last-Sequence": "7" * 50,
        "Nats-Subject": "a.b",
        "Nats-Num-Pending": "-",
    },
    "a status": {"Status": "404", "Description": "No Messages"},
    "no number": {"Status": "x"},
    "a deletion": {"KV-Operation": "x"},
}


async def publish(connection: Connection, subject: str, data: bytes, headers: dict[str, str]) -> None:
    answer = await connection.request(subject, data, headers=headers or None)
    assert "seq" in json.loads(answer.data), answer.data


async def poison(connection: Connection, prefix: str, sound: bytes) -> list[InstanceKey]:
    """Each body, and each header on a sound and on an empty one, for an instance of its own."""
    keys: list[InstanceKey] = []
    items = [(body, {}) for body in bodies(sound).values()]
    items += [(body, headers) for headers in HEADERS.values() for body in (sound, b"")]
    for body, headers in items:
        keys.append(new_key())
        await publish(connection, keys[-1].subject(prefix), body, headers)
    # Subjects that name no instance, where the stream takes them.
    for subject in (f"{prefix}.team-a.no-uuid", f"{prefix}.TEAM.{UUID(int=1)}"):
        await publish(connection, subject, sound, {})
    return keys


async def test_readers_of_histories(connection: Connection, bus: JetStreamDataBus) -> None:
    keys = await poison(connection, HISTORY, encode_event(event(OTHER)))
    sound = new_key()
    pushed = await bus.push_instance_event(event(sound), 0)
    refused = 0
    for key in keys:
        for slim in (False, True):
            try:
                await bus.query_history(key, slim=slim)
            except (InvalidInput, UnknownFormat):
                refused += 1
    assert refused == 2 * len(keys)
    assert await bus.query_history(sound) == [pushed]
    assert {sound, *keys} <= {key async for key in bus.tails()}
    # An append after poison is refused or stored, as after anything else.
    last = await bus.push_instance_event(event(sound, EventType.TRANSITION), pushed.sequence)
    assert last.previous == pushed.sequence


async def test_the_feed_of_the_projector(connection: Connection, bus: JetStreamDataBus) -> None:
    keys = await poison(connection, HISTORY, encode_event(event(OTHER)))
    sound = await bus.push_instance_event(event(new_key()), 0)
    feed = ProjectionFeed(connection)
    seen: dict[InstanceKey, object] = {}

    async def all_seen() -> bool:
        for partition in range(feed.partitions):
            for each in await feed.pull(partition, 0.05):
                seen[each.key] = each.events or each.error
                await each.ack()
        return {sound.key, *keys} <= seen.keys()

    await eventually(all_seen, deadline_seconds=60)
    assert seen[sound.key] == [sound]
    assert {type(seen[key]) for key in keys} == {InvalidInput, UnknownFormat}


async def test_readers_of_statuses(connection: Connection, bus: JetStreamDataBus) -> None:
    keys = await poison(connection, STATUS, encode_status(status(OTHER)))
    sound = status(new_key())
    await bus.write_status(sound)
    found = {key: each async for batch in bus.read_statuses([*keys, sound.key]) for key, each in batch.items()}
    assert found.keys() == {*keys, sound.key}
    assert {type(found[key]) for key in keys} == {UnreadableStatus, UnknownFormat}
    assert [each.key for each in await bus.query_instance_status()] == [sound.key]
    assert [key async for key in bus.tails()] == []


async def test_the_watch_of_statuses(connection: Connection, bus: JetStreamDataBus) -> None:
    watcher = StatusWatcher(connection, bus)
    first = asyncio.create_task(anext(watcher.statuses()))
    async with asyncio.timeout(30):
        await watcher.begun.wait()
        await poison(connection, STATUS, encode_status(status(OTHER)))
        sound = status(new_key())
        await bus.write_status(sound)
        assert (await first).key == sound.key


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_the_view_of_the_members(connection: Connection, headers: dict[str, str]) -> None:
    await publish(connection, member_subject("group", "stranger"), b"[" * 1000, headers)
    member = Membership(connection, "group", "me")
    await member.refresh()
    assert "me" in member.members
