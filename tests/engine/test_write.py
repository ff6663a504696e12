"""Events are made without validating their values once more, and are the same as if they had been."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from pydantic import JsonValue, ValidationError

from tests.fakes.clock import FakeClock
from tests.fakes.events import EPOCH, KEY, by, call
from workflow_operator.engine import write
from workflow_operator.engine.write import EventWriter
from workflow_operator.history import (
    FORMAT_VERSION,
    ErrorInfo,
    EventType,
    InstanceEvent,
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


def validated(**fields: Any) -> InstanceEvent:
    return InstanceEvent(
        version=FORMAT_VERSION,
        event_id=ID,
        instance_id=KEY.instance_id,
        namespace=KEY.namespace,
        type=EventType.TRANSITION,
        time=FakeClock().now(),
        **fields,
    )


@pytest.mark.parametrize("fields", FIELDS, ids=lambda fields: "+".join(fields))
def test_an_event_is_the_same_as_one_whose_values_were_validated(fields: dict[str, Any]) -> None:
    event, expected = written(**fields), validated(**fields)
    assert event == expected
    assert event.model_fields_set == expected.model_fields_set
    assert repr(event) == repr(expected)
    assert encode_event(event) == encode_event(expected)
    assert decode_event(encode_event(event)).model_copy(update={"size": 0}) == event


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_not_validated_again(name: str) -> None:
    # Validation would make a copy.
    assert getattr(written(**{name: VALUE}), name) is VALUE


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_cannot_be_stored_is_refused(name: str) -> None:
    for value in (EPOCH, [EPOCH], (1,)):
        with pytest.raises(NotSerializable):
            written(**{name: value})
    assert getattr(written(**{name: ["\ud800"]}), name) == ["\ufffd"]


def test_every_field_that_holds_any_json_is_known() -> None:
    assert sorted(write._VALUES) == VALUES


@pytest.mark.parametrize(
    "fields",
    [
        {"wake_at": datetime(2026, 1, 1)},  # noqa: DTZ001
        {"attempt": "many"},
        {"metadata": {"a": 1}},
        {"call": {"index": "0"}},
        {"script": 1},
    ],
    ids=lambda fields: "+".join(fields),
)
def test_every_other_field_is_validated(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        written(**fields, memory=VALUE)


def test_a_time_is_kept_in_utc() -> None:
    wake_at = written(wake_at=datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))).wake_at
    assert wake_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert wake_at.tzinfo is UTC


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(written(memory=VALUE), "memory", None)  # noqa: B010
