"""Makes events, with a time and identities that are passed in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from workflow_operator.engine.clock import Clock
from workflow_operator.history import (
    FORMAT_VERSION,
    INPUTS,
    CallRecord,
    EventType,
    InstanceEvent,
    InstanceKey,
    Json,
    well_formed,
)
from workflow_operator.history.arguments import version_of
from workflow_operator.history.format import NEWER_CALLS_VERSION

_DRAWN_AT_ONCE = 64
_NEWER = INPUTS | {EventType.CALL_STARTED, EventType.ATTEMPT_FAILED, EventType.CALL_COMPLETED}


def random_ids(draw: Callable[[int], bytes]) -> Callable[[], UUID]:
    """Draws UUIDs of version 4 (RFC 9562), many at a time: a system call for each would cost a third of an event.

    ``draw``: gives so many random bytes.
    """
    left: list[UUID] = []

    def new_id() -> UUID:
        if not left:
            data = draw(16 * _DRAWN_AT_ONCE)
            left.extend(UUID(bytes=data[at : at + 16], version=4) for at in range(0, len(data), 16))
        return left.pop()

    return new_id


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
        self,
        key: InstanceKey,
        kind: EventType,
        *,
        not_before: datetime | None = None,
        at: datetime | None = None,
        **fields: Any,
    ) -> InstanceEvent:
        """An event with these fields. A value is carried as it is if it is Json, and otherwise made JSON.

        ``not_before`` is the time of the event before it: clocks differ and are set back, and a history does not.
        ``at`` is the very time of the event, where the clock's does not count.

        Raises:
            NotSerializable: a value cannot be stored.
        """
        call: CallRecord | None = fields.get("call")
        return InstanceEvent(
            version=_version(kind, call),
            event_id=self.new_id(),
            instance_id=key.instance_id,
            namespace=key.namespace,
            type=kind,
            time=at or self._now(not_before),
            **{name: _storable(name, value) for name, value in fields.items()},
        )

    def _now(self, not_before: datetime | None) -> datetime:
        return self.clock.now() if not_before is None else max(self.clock.now(), not_before)


def _version(kind: EventType, call: CallRecord | None) -> Literal[1, 2]:
    if kind in _NEWER or (call is not None and call.name.startswith("step.")):
        # Of a call that 0.2.0 does not have: it would fail the run, and so leaves it alone.
        return NEWER_CALLS_VERSION
    return FORMAT_VERSION if call is None else version_of(call.digest)


def _storable(name: str, value: Any) -> Any:
    if name in InstanceEvent.VALUES:
        return value if isinstance(value, Json) else Json.of(value)
    match value:
        case str():
            return well_formed(value)
        case dict():
            return {well_formed(key): well_formed(text) for key, text in value.items()}
    return value
