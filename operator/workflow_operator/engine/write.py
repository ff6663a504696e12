"""Makes events, with a time and identities that are passed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from workflow_operator.engine.clock import Clock
from workflow_operator.history import FORMAT_VERSION, EventType, InstanceEvent, InstanceKey, storable

# The fields that hold any JSON.
_VALUES = frozenset(name for name, field in InstanceEvent.model_fields.items() if field.annotation == JsonValue)


class EventWriter:
    """Makes events.

    Args:
        clock: the time that events record.
        new_id: draws a fresh UUID.
    """

    def __init__(self, clock: Clock, new_id: Callable[[], UUID]) -> None:
        self.clock = clock
        self.new_id = new_id

    def event(self, key: InstanceKey, kind: EventType, **fields: Any) -> InstanceEvent:
        """An event with these fields. It holds the given values themselves: nobody may change them later.

        Raises:
            NotSerializable: a value cannot be stored.
        """
        values = {name: storable(value) for name, value in fields.items() if name in _VALUES}
        event = InstanceEvent(
            version=FORMAT_VERSION,
            event_id=self.new_id(),
            instance_id=key.instance_id,
            namespace=key.namespace,
            type=kind,
            time=self.clock.now(),
            **{
                name: storable(value) if isinstance(value, str | list | dict) else value
                for name, value in fields.items()
                if name not in _VALUES
            },
        )
        # What is storable is valid: to have it validated once more takes longer than to encode it.
        return event.model_copy(update=values)
