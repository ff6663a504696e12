"""Builds events and histories for tests: fixed identities, one second between events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from workflow_operator.history import (
    FORMAT_VERSION,
    CallRecord,
    EventType,
    ExecutorRef,
    InstanceEvent,
    InstanceKey,
    Json,
    digest,
)

EPOCH = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = InstanceKey("team-a", UUID("11111111-1111-4111-8111-111111111111"))


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def event(
    kind: EventType, *, sequence: int = 0, previous: int = 0, key: InstanceKey = KEY, **fields: Any
) -> InstanceEvent:
    fields.setdefault("time", at(sequence))
    fields = carried(fields)
    return InstanceEvent(
        version=FORMAT_VERSION,
        event_id=UUID(int=sequence + 1),
        instance_id=key.instance_id,
        namespace=key.namespace,
        type=kind,
        sequence=sequence,
        previous=previous,
        **fields,
    )


def carried(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, with values as they are carried."""
    values = {name: value for name, value in fields.items() if name in InstanceEvent.VALUES}
    made = {name: value if isinstance(value, Json) else Json.of(value) for name, value in values.items()}
    return fields | made


def plain(value: Json | None) -> Any:
    """The value that is carried; None where there is none, too."""
    return None if value is None else value.load()


def history(
    *steps: EventType | tuple[EventType, dict[str, Any]], key: InstanceKey = KEY, first: int = 1
) -> list[InstanceEvent]:
    """Events in a row, with the sequences ``first``, ``first + 1``, ..."""
    events: list[InstanceEvent] = []
    for sequence, step in enumerate(steps, first):
        kind, fields = step if isinstance(step, tuple) else (step, {})
        events.append(event(kind, sequence=sequence, previous=sequence - 1 if events else 0, key=key, **fields))
    return events


def commit(
    *steps: EventType | tuple[EventType, dict[str, Any]], sequence: int, previous: int = 0, key: InstanceKey = KEY
) -> list[InstanceEvent]:
    """Events that were stored at once. Their IDs differ from those of other commits and events."""
    events = history(*steps, key=key, first=1000 * sequence)
    return [
        each.replace(sequence=sequence, previous=previous, place=place, time=at(sequence))
        for place, each in enumerate(events)
    ]


def call(index: str, name: str = "sleep", arguments: Any = None) -> CallRecord:
    return CallRecord(index=index, name=name, digest=digest(arguments))


def by(name: str, epoch: int = 0) -> dict[str, Any]:
    return {"executor": ExecutorRef(id=name, epoch=epoch)}
