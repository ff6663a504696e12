"""Makes events, with a time and identities that are passed in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from workflow_operator.engine.clock import Clock
from workflow_operator.history import (
    FORMAT_VERSION,
    CallRecord,
    EventType,
    InstanceEvent,
    InstanceKey,
    Json,
    well_formed,
)
from workflow_operator.history.arguments import version_of


class EventWriter:
    """Makes events.

    Args:
        clock: the time that events record.
        new_id: draws a fresh UUID.
    """

    def __init__(self, clock: Clock, new_id: Callable[[], UUID]) -> None:
        self.clock = clock
        self.new_id = new_id

    def event(
        self, key: InstanceKey, kind: EventType, *, not_before: datetime | None = None, **fields: Any
    ) -> InstanceEvent:
        """An event with these fields. A value is carried as it is if it is Json, and otherwise made JSON.

        ``not_before`` is the time of the event before it: clocks differ and are set back, and a history does not.

        Raises:
            NotSerializable: a value cannot be stored.
        """
        call: CallRecord | None = fields.get("call")
        return InstanceEvent(
            version=FORMAT_VERSION if call is None else version_of(call.digest),
            event_id=self.new_id(),
            instance_id=key.instance_id,
            namespace=key.namespace,
            type=kind,
            time=self.clock.now() if not_before is None else max(self.clock.now(), not_before),
            **{name: _storable(name, value) for name, value in fields.items()},
        )


def _storable(name: str, value: Any) -> Any:
    if name in InstanceEvent.VALUES:
        return value if isinstance(value, Json) else Json.of(value)
    match value:
        case str():
            return well_formed(value)
        case dict():
            return {well_formed(key): well_formed(text) for key, text in value.items()}
    return value
