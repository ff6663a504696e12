"""The format of events and statuses is frozen: what version 1 wrote must be read, and written, the same for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from tests.fakes.events import EPOCH, KEY, event
from workflow_operator.history import (
    EventType,
    InstanceEvent,
    InstanceStatus,
    StatusValue,
    decode_event,
    decode_status,
    digest,
    encode_event,
    encode_status,
    fold,
    storable,
    well_formed,
)
from workflow_operator.history.errors import InvalidInput, NotSerializable, UnknownFormat

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
        stored = {field.alias for field in model.model_fields.values() if not field.exclude}
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
        changed(version=2),
        changed(version=2, type="paused", time="some new way to say it"),
        changed(type="paused"),
    ],
    ids=["newer version", "newer version of everything", "unknown type"],
)
def test_an_event_of_a_newer_release_is_told_apart(data: bytes) -> None:
    with pytest.raises(UnknownFormat, match=f"{KEY.instance_id}.*reads version 1.*Upgrade"):
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


def test_a_field_of_a_newer_release_within_the_version_is_ignored() -> None:
    assert encode_event(decode_event(changed(colour="red"))) == encode_event(decode_event(STARTED))


@pytest.mark.parametrize("field", ["input", "memory", "output", "result"])
def test_null_is_told_from_absent(field: str) -> None:
    absent = event(EventType.STARTED)
    fields: dict[str, Any] = {field: None}
    null = event(EventType.STARTED, **fields)
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


def nested(levels: int) -> JsonValue:
    value: JsonValue = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_whatever_is_storable_can_be_read_again() -> None:
    deepest = storable(nested(100))
    assert decode_event(encode_event(event(EventType.STARTED, input=deepest))).input == deepest


@pytest.mark.parametrize("levels", [101, 198, 900])
def test_a_value_that_no_reader_could_follow_is_refused(levels: int) -> None:
    with pytest.raises(NotSerializable, match="deeper than 100 levels"):
        storable(nested(levels))


@pytest.mark.parametrize(
    ("text", "stored"),
    [("a\ud800b", "a\ufffdb"), ("\udc00", "\ufffd"), ("\ud83d\ude00", "\U0001f600"), ("é\U0001f600", "é\U0001f600")],
    ids=ascii,
)
def test_half_a_surrogate_pair_can_be_stored(text: str, stored: str) -> None:
    assert well_formed(text) == stored
    value = storable({text: [text]})
    assert value == {stored: [stored]}
    assert decode_event(encode_event(event(EventType.STARTED, input=value))).input == value


def test_a_digest_is_of_the_value_and_not_of_its_spelling() -> None:
    assert digest({"a": 1, "b": [None]}) == digest({"b": [None], "a": 1})
    different: list[JsonValue] = [None, 0, False, "", "0", [], {}, [0], {"a": 0}]
    assert len({digest(value) for value in different}) == 9
    # Recorded in histories: another algorithm would make every recorded call look changed.
    assert digest({"seconds": 60}) == "0a83743df76ef1aa1031491a04e8d73d"
