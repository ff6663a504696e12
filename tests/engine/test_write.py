"""Events carry the values that they are given, and read back the same."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from pydantic import JsonValue

from tests.fakes.clock import FakeClock
from tests.fakes.events import EPOCH, KEY, by, call
from workflow_operator.engine.driving.write import EventWriter, random_ids
from workflow_operator.history import (
    ErrorInfo,
    EventType,
    InstanceEvent,
    Json,
    Origin,
    decode_event,
    encode_event,
)
from workflow_operator.history.errors import NotSerializable

ID = UUID(int=1)
VALUE: JsonValue = {"a": [1, 2.5, -0.0, 10**30, True, None, "é\U0001f600", {}], "": []}
SAMPLES: list[JsonValue] = [VALUE, [], None, "x", 0, False]
VALUES = ["input", "memory", "output", "result"]
FIELDS: list[dict[str, Any]] = [
    {},
    *({name: value} for name in VALUES for value in SAMPLES),
    {
        "script": "s",
        "entrypoint": "main",
        "metadata": {"b": "2", "a": "1"},
        "input": VALUE,
        "origin": Origin(cluster="c", name="n"),
    },
    {"result": VALUE, "function": "f", "memory": [], "call": call("0.1"), "attempt": 3, **by("x", 2)},
    {"wake_at": EPOCH, "fire_at": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))},
    {"error": ErrorInfo(name="E", message="m"), "reason": "why"},
]


def written(**fields: Any) -> InstanceEvent:
    return EventWriter(FakeClock(), lambda: ID).event(KEY, EventType.TRANSITION, **fields)


@pytest.mark.parametrize("fields", FIELDS, ids=lambda fields: "+".join(fields))
def test_an_event_reads_back_as_it_was_made(fields: dict[str, Any]) -> None:
    event = written(**fields)
    assert decode_event(encode_event(event)).replace(size=0) == event
    for name, value in fields.items():
        assert getattr(event, name) == (Json.of(value) if name in VALUES else value)


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_is_json_is_carried_as_it_is(name: str) -> None:
    value = Json(b"[1, 2]")
    assert getattr(written(**{name: value}), name) is value


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_cannot_be_stored_is_refused(name: str) -> None:
    for value in (EPOCH, [EPOCH], float("nan")):
        with pytest.raises(NotSerializable):
            written(**{name: value})
    assert getattr(written(**{name: ["\ud800"]}), name) == Json.of(["\ufffd"])


def test_half_a_surrogate_pair_in_any_text_can_be_stored() -> None:
    event = written(function="\ud800", metadata={"\udc00": "\ud83d\ude00"}, reason="\ud800x")
    assert (event.function, event.metadata, event.reason) == ("\ufffd", {"\ufffd": "\U0001f600"}, "\ufffdx")
    assert encode_event(event)


def test_an_event_that_an_older_release_would_misread_has_a_version_that_it_leaves_alone() -> None:
    assert written(call=call("0.1", arguments="x" * 5000)).version == 2
    assert written(call=call("0.1", arguments="x" * 4000)).version == written().version == 1


def test_a_time_is_stored_in_utc() -> None:
    event = written(wake_at=datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    assert b'"wakeAt":"2026-01-01T00:00:00.000000Z"' in encode_event(event)


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        setattr(written(memory=VALUE), "memory", None)  # noqa: B010


@pytest.mark.parametrize("fields", FIELDS, ids=lambda fields: "+".join(fields))
@pytest.mark.parametrize("fraction", [0, 1, 123_000, 999_999])
def test_an_event_is_written_alike_whatever_the_transport_knows_of_it(fields: dict[str, Any], fraction: int) -> None:
    """The quick way to write, and the other one."""
    event = written(**fields).replace(time=EPOCH.replace(microsecond=fraction))
    known = event.replace(sequence=7, previous=6, place=1, size=5)
    assert encode_event(event) == encode_event(known)
    assert f'"time":"2026-01-02T03:04:05.{fraction:06}Z"'.encode() in encode_event(event)


def test_identities_are_fresh_and_drawn_many_at_a_time() -> None:
    draws: list[int] = []

    def draw(count: int) -> bytes:
        draws.append(count)
        return os.urandom(count)

    new_id = random_ids(os.urandom)
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {(each.version, each.variant) for each in ids} == {(4, RFC_4122)}
    counted = random_ids(draw)
    for _ in range(65):
        counted()
    assert draws == [1024, 1024]
