"""Events and statuses for tests that care about few of their fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tests.fakes.events import carried
from workflow_operator.history import EventType, InstanceEvent, InstanceKey, InstanceStatus, fold

MOMENT = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def new_key(namespace: str = "default") -> InstanceKey:
    return InstanceKey(namespace, uuid4())


def event(key: InstanceKey, type: EventType = EventType.STARTED, **fields: Any) -> InstanceEvent:  # noqa: A002
    return InstanceEvent(
        version=1,
        event_id=uuid4(),
        instance_id=key.instance_id,
        namespace=key.namespace,
        type=type,
        time=MOMENT,
        **carried(fields),
    )


def status(key: InstanceKey, history_sequence: int = 1, **fields: Any) -> InstanceStatus:
    return fold(None, event(key).replace(sequence=history_sequence)).replace(**carried(fields))
