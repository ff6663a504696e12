"""The format of events and statuses is frozen: what version 1 wrote must be read, and written, the same for ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from tests.fakes.events import EPOCH, KEY, event
from workflow_operator.history import (
    EventType,
    InstanceEvent,
    InstanceKey,
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
from workflow_operator.history import events as events_module
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


@pytest.mark.parametrize("levels", [101, 198, 900, 5000])
def test_a_value_that_no_reader_could_follow_is_refused(levels: int) -> None:
    with pytest.raises(NotSerializable, match="deeper than 100 levels"):
        storable(nested(levels))


@pytest.mark.parametrize("name", ["", "]", '"', "\\", '\\"', '"\\', "\ud800"], ids=ascii)
def test_no_name_hides_how_deep_a_value_is(name: str) -> None:
    value: JsonValue = {}
    for _ in range(99):
        value = {name: value}
    assert outcome(storable, value) == outcome(storable_item_by_item, value) != "refused"
    assert outcome(storable, {name: value}) == "refused"


def storable_item_by_item(value: Any, levels: int = 100) -> Any:
    """What ``storable`` has to do, said plainly."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list | dict) and levels == 0:
        raise NotSerializable("too deep")
    if isinstance(value, list):
        return [storable_item_by_item(item, levels - 1) for item in value]
    if isinstance(value, dict):
        return {well_formed(name): storable_item_by_item(item, levels - 1) for name, item in value.items()}
    return value


# What could be taken for a bracket, or for the end of a string; halves of pairs; pieces of escapes.
TEXTS = st.text(st.sampled_from('[]{}"\\,:nu0\n\0é\u2028\U0001f600\ud83d\ude00'), max_size=6)
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def outcome(function: Callable[[Any], Any], value: Any) -> str:
    try:
        return repr(function(value))
    except NotSerializable:
        return "refused"


@given(
    value=JSON_VALUES, around=st.lists(TEXTS | st.none(), max_size=4), levels=st.integers(0, 3) | st.integers(92, 103)
)
def test_a_value_is_stored_as_if_item_by_item(value: Any, around: list[str | None], levels: int) -> None:
    for level in range(levels):
        name = around[level % len(around)] if around else None
        value = [name, value] if name is None else {name: value, "[": []}
    assert outcome(storable, value) == outcome(storable_item_by_item, value)


@pytest.mark.parametrize("value", [[1, {"a": ["]", '"[', "\\", '\\"[' * 200, "[{" * 200]}], [nested(99)] * 300])
def test_a_large_value_is_not_walked_item_by_item(value: JsonValue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(events_module, "_mended")
    assert storable(value) is value


@pytest.mark.parametrize("value", [EPOCH, [EPOCH], {"a": {1, 2}}, b"a", (1,)], ids=repr)
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(NotSerializable, match="JSON has no form for"):
        storable(value)


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
