"""The format of events and statuses is frozen: what version 1 wrote must be read, and written, the same for ever."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from tests.fakes.events import EPOCH, KEY, event
from workflow_operator.history import (
    CallRecord,
    EventType,
    InstanceEvent,
    InstanceKey,
    InstanceStatus,
    Json,
    StatusValue,
    decode_event,
    decode_status,
    encode_event,
    encode_status,
    fold,
)
from workflow_operator.history.errors import InvalidInput, UnknownFormat

GOLDEN = Path(__file__).parent / "golden"
EVENTS = sorted(GOLDEN.glob("event-*.json"))
STATUSES = sorted(GOLDEN.glob("status-*.json"))
STARTED = (GOLDEN / "event-started.json").read_bytes()


@pytest.mark.parametrize("file", EVENTS, ids=lambda file: file.stem)
def test_an_event_of_version_1_is_read_and_written_byte_for_byte(file: Path) -> None:
    data = file.read_bytes().rstrip(b"\n")
    assert encode_event(decode_event(data, sequence=7, previous=6)) == data


@pytest.mark.parametrize("file", STATUSES, ids=lambda file: file.stem)
def test_a_status_of_version_1_is_read_and_written_byte_for_byte(file: Path) -> None:
    data = file.read_bytes().rstrip(b"\n")
    assert encode_status(decode_status(data, sequence=7)) == data


def test_every_type_and_every_field_is_frozen_by_a_golden_file() -> None:
    events = [json.loads(file.read_bytes()) for file in EVENTS]
    statuses = [json.loads(file.read_bytes()) for file in STATUSES]
    assert {item["type"] for item in events} == {str(kind) for kind in EventType}
    assert {item["status"] for item in statuses} == {str(value) for value in StatusValue}
    for model, items in ((InstanceEvent, events), (InstanceStatus, statuses)):
        stored = {field.encode_name for field in fields(model)} - {"~sequence", "~previous", "~place", "~size"}
        assert {name for item in items for name in item} == stored


def test_sequences_are_the_transports_and_not_stored() -> None:
    read = decode_event(STARTED, sequence=7, previous=6)
    assert (read.sequence, read.previous) == (7, 6)
    assert b"equence" not in encode_event(read)
    assert b'"previous"' not in encode_event(read)


def changed(**changes: object) -> bytes:
    return json.dumps(json.loads(STARTED) | changes).encode()


@pytest.mark.parametrize(
    "data",
    [
        changed(version=3),
        changed(version=3, type="paused", time="some new way to say it"),
        changed(type="paused"),
    ],
    ids=["newer version", "newer version of everything", "unknown type"],
)
def test_an_event_of_a_newer_release_is_told_apart(data: bytes) -> None:
    with pytest.raises(UnknownFormat, match=f"{KEY.instance_id}.*reads versions up to 2.*Upgrade"):
        decode_event(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'"started"',
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"{}",
        changed(version=None),
        changed(version=[]),
        changed(type=[]),
        changed(type={}),
        changed(instanceID="17"),
        changed(time="2026-01-02T03:04:05"),
        changed(time=None),
        changed(namespace="a.b"),
        changed(namespace=""),
        changed(metadata={"a": 1}),
        b'{"version": 1e999}',
    ],
    ids=lambda data: repr(data[-40:]),
)
def test_a_broken_event_is_invalid_input_and_nothing_else(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode_event(data)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"version": 2}, UnknownFormat), ({"status": "lost"}, InvalidInput), ({"namespace": "a.b"}, InvalidInput)],
)
def test_a_status_that_cannot_be_read(changes: dict[str, object], expected: type[Exception]) -> None:
    status = json.loads((GOLDEN / "status-pending.json").read_bytes()) | changes
    with pytest.raises(expected):
        decode_status(json.dumps(status).encode())


@pytest.mark.parametrize(("namespace", "instance"), [(None, UUID(int=1)), ("other", None)], ids=str)
def test_what_belongs_to_another_instance_is_invalid_input(namespace: str | None, instance: UUID | None) -> None:
    for read, name in ((decode_event, "event-started.json"), (decode_status, "status-pending.json")):
        data = (GOLDEN / name).read_bytes()
        own = read(data).key
        assert read(data, key=own).key == own
        with pytest.raises(InvalidInput, match=str(own)):
            read(data, key=InstanceKey(namespace or own.namespace, instance or own.instance_id))


def test_a_field_of_a_newer_release_within_the_version_is_ignored() -> None:
    assert decode_event(changed(colour="red")).replace(size=0) == decode_event(changed()).replace(size=0)


@pytest.mark.parametrize("field", ["input", "memory", "output", "result"])
def test_null_is_told_from_absent(field: str) -> None:
    absent = event(EventType.STARTED)
    given: dict[str, Any] = {field: None}
    null = event(EventType.STARTED, **given)
    assert not decode_event(encode_event(absent)).has(field)
    assert decode_event(encode_event(null)).has(field)
    assert field not in json.loads(encode_event(absent))
    assert json.loads(encode_event(null))[field] is None


def test_null_output_reaches_the_status_and_absent_does_not() -> None:
    started = event(EventType.STARTED, sequence=1)
    null = fold(fold(None, started), event(EventType.SUCCEEDED, sequence=2, output=None))
    absent = fold(fold(None, started), event(EventType.CANCELLED, sequence=2))
    assert decode_status(encode_status(null)).has("output")
    assert not decode_status(encode_status(absent)).has("output")


@pytest.mark.parametrize(
    "text", ["2026-01-02T03:04:05Z", "2026-01-02T05:04:05+02:00", "2026-01-02T03:04:05.000000000Z"]
)
def test_one_instant_has_one_spelling(text: str) -> None:
    read = decode_event(changed(time=text))
    assert read.time == EPOCH
    assert json.loads(encode_event(read))["time"] == "2026-01-02T03:04:05.000000Z"


def test_values_are_carried_and_not_looked_into() -> None:
    value = b'{"z": [[],[] ], "a":1e5, "a":"\\u00e9"}'
    data = STARTED.replace(b'"input":{', b'"input":' + value + b',"colour":{')
    read = decode_event(data)
    assert read.input == Json(value)
    assert value in encode_event(read)
    assert value in encode_status(fold(None, read))


def test_a_value_does_not_keep_the_message_that_it_came_in() -> None:
    read = decode_event(STARTED)
    assert read.input is not None
    assert type(read.input.data) is bytes


POISON = [
    b"",
    b"null",
    b"[" * 2**20,
    changed(time="9999-12-31T23:59:59-14:00"),
    changed(time="0001-01-01T00:00:00+14:00"),
    changed(time="2026-02-30T00:00:00Z"),
    changed(time=10**30),
    changed(fireAt="9999-12-31T23:59:59-14:00"),
    changed(attempt=10**40),
    changed(attempt=1.5),
    changed(executor={"id": "x", "epoch": 10**30}),
    changed(executor={"id": [], "epoch": 1}),
    changed(call="0.1"),
    changed(error={"name": "E"}),
    changed(version=1.5, type="started"),
    changed(version=True),
    changed(eventID=None),
    changed(metadata=[]),
    STARTED.replace(b'"script":"', b'"script":"\\ud800'),
    STARTED.replace(b'"script":"', b'"script":"\xff'),
    STARTED.replace(b'"input":{', b'"input":{"\xff":1,'),
    STARTED.replace(b'"input":{', b'"input":' + b"[" * 100_000 + b'{"x":'),
    STARTED[:-5],
    STARTED + b"}",
]


@pytest.mark.parametrize("data", POISON, ids=lambda data: repr(data[-60:]))
@pytest.mark.parametrize("read", [decode_event, decode_status])
def test_whatever_is_stored_is_read_or_refused_by_type(read: Callable[[bytes], Any], data: bytes) -> None:
    with pytest.raises(InvalidInput):
        read(data)


FIELDS = sorted({"version", "type", "time", "instanceID", "call", "error", "executor", "attempt", "metadata", "steps"})
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text('a0 \x00"\\é世\U0001f600', max_size=5)
    | st.sampled_from(["9999-12-31T23:59:59-14:00", "started", "1", str(KEY.instance_id), 2**64, 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FIELDS, "index"]), inner, max_size=3),
    max_leaves=5,
)


@given(
    name=st.sampled_from(["event-started.json", "event-transition.json", "event-failed.json", "status-failed.json"]),
    changes=st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=3),
    cut=st.integers(0, 400) | st.none(),
    noise=st.binary(max_size=3),
)
def test_no_record_ends_its_reader(name: str, changes: dict[str, Any], cut: int | None, noise: bytes) -> None:
    data = json.dumps(json.loads((GOLDEN / name).read_bytes()) | changes).encode()
    if cut is not None:
        data = data[:cut] + noise + data[cut:]
    for read, write in ((decode_event, encode_event), (decode_status, encode_status)):
        with contextlib.suppress(InvalidInput, UnknownFormat):
            record: Any = read(data)
            assert read(write(record)).to_dict() == record.to_dict()


def test_a_slim_event_is_read_without_a_large_payload() -> None:
    large = encode_event(event(EventType.TRANSITION, memory=["x" * 5000], function="next"))
    read = decode_event(large, slim=True)
    assert (read.memory, read.function, read.size) == (Json.of("…"), "next", len(large))
    small = encode_event(event(EventType.TRANSITION, memory=["x"]))
    assert decode_event(small, slim=True).memory == Json.of(["x"])


def test_an_event_of_version_2_is_as_one_of_version_1_but_for_how_its_call_is_digested() -> None:
    read = decode_event((GOLDEN / "event-transition-large.json").read_bytes().rstrip(b"\n"))
    assert (read.version, read.call) == (2, CallRecord(index="0.2", name="transition", digest="sha256:" + "0" * 32))
    # An object's status is made of both.
    assert fold(fold(None, decode_event(STARTED)), read).version == 1
