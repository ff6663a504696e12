"""InstanceStatus, and how it is folded from events."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from pydantic import Field, JsonValue, ValidationError

from workflow_operator.history.errors import InvalidInput
from workflow_operator.history.events import (
    ErrorInfo,
    EventType,
    ExecutorRef,
    InstanceEvent,
    Origin,
    refuse_newer,
)
from workflow_operator.history.format import Instant, Record
from workflow_operator.history.subjects import InstanceKey


class StatusValue(StrEnum):
    PENDING = "pending"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


class InstanceStatus(Record):
    """The state of an instance after the event with ``history_sequence``.

    ``steps`` counts the transitions and the completed host calls. ``executor`` is who wrote last, None until an
    executor wrote anything. ``wake_at`` is set while the instance is parked for a time. ``sequence`` is the
    position in the status stream: the transport's, not part of the payload.
    """

    version: Literal[1]
    instance_id: UUID
    namespace: str
    metadata: dict[str, str] = {}
    script: str | None = None
    entrypoint: str | None = None
    input: JsonValue = None
    memory: JsonValue = None
    output: JsonValue = None
    error: ErrorInfo | None = None
    status: StatusValue
    created_at: Instant
    ended_at: Instant | None = None
    origin: Origin | None = None
    steps: int = 0
    executor: ExecutorRef | None = None
    parked: bool = False
    wake_at: Instant | None = None
    cancel_requested: bool = False
    history_sequence: int

    sequence: int = Field(default=0, exclude=True)

    @property
    def key(self) -> InstanceKey:
        return InstanceKey(self.namespace, self.instance_id)

    @property
    def terminal(self) -> bool:
        return self.status is not StatusValue.PENDING


_ENDS = {
    EventType.SUCCEEDED: StatusValue.COMPLETE,
    EventType.FAILED: StatusValue.FAILED,
    EventType.CANCELLED: StatusValue.CANCELLED,
}
_STEPS = frozenset({EventType.TRANSITION, EventType.TIMER_FIRED, EventType.CALL_COMPLETED})


def fold(status: InstanceStatus | None, event: InstanceEvent) -> InstanceStatus:
    """The status after one more event. Pure; the caller gives events in order and without a gap.

    Raises:
        InvalidInput: the first event is not ``started``, or anything follows a terminal event.
    """
    if status is None:
        return _begin(event)
    if status.terminal or event.type is EventType.STARTED:
        raise InvalidInput(
            f"instance {event.key}: {event.type} at sequence {event.sequence} cannot follow status "
            f"{status.status} of sequence {status.history_sequence}; the history is damaged"
        )
    changes: dict[str, Any] = {
        "history_sequence": event.sequence,
        "parked": event.type is EventType.WAITING,
        "wake_at": event.wake_at,
    }
    for field in ("memory", "output"):
        if event.has(field):
            changes[field] = getattr(event, field)
    if event.executor is not None:
        changes["executor"] = event.executor
    if event.type in _STEPS:
        changes["steps"] = status.steps + 1
    if event.type is EventType.CANCEL_REQUESTED:
        changes["cancel_requested"] = True
    if event.type in _ENDS:
        changes |= {"status": _ENDS[event.type], "ended_at": event.time}
        if event.error is not None:
            changes["error"] = event.error
    return status.model_copy(update=changes)


def _begin(event: InstanceEvent) -> InstanceStatus:
    if event.type is not EventType.STARTED:
        raise InvalidInput(
            f"instance {event.key}: the history begins with {event.type} at sequence {event.sequence}; "
            "expected started. Nothing is folded without it."
        )
    carried = ("metadata", "script", "entrypoint", "input", "origin")
    return InstanceStatus(
        version=event.version,
        instance_id=event.instance_id,
        namespace=event.namespace,
        status=StatusValue.PENDING,
        created_at=event.time,
        steps=0,
        history_sequence=event.sequence,
        **{field: getattr(event, field) for field in carried if event.has(field)},
    )


def encode_status(status: InstanceStatus) -> bytes:
    return status.to_json()


def decode_status(data: bytes, *, sequence: int = 0, key: InstanceKey | None = None) -> InstanceStatus:
    """Read a status; ``key`` is the instance under whose subject it stands.

    Raises:
        UnknownFormat: written by a newer release.
        InvalidInput: not a status at all, or that of another instance.
    """
    try:
        status = InstanceStatus.model_validate_json(data)
        _ = status.key
    except ValidationError as error:
        refuse_newer(data, "status")
        raise InvalidInput(f"status sequence {sequence}: not an InstanceStatus: {error}") from error
    if key is not None and status.key != key:
        raise InvalidInput(f"status sequence {sequence}: the status of instance {status.key} as that of {key}")
    return status.model_copy(update={"sequence": sequence})
