"""InstanceStatus, and how it is folded from events."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec.structs import force_setattr

from workflow_operator.history.errors import InvalidInput, UnreadableStatus
from workflow_operator.history.events import (
    TOGGLES,
    ErrorInfo,
    EventType,
    ExecutorRef,
    InstanceEvent,
    Origin,
    WaitedFor,
)
from workflow_operator.history.format import FORMAT_VERSION, Carried, Number, Record, always, decode
from workflow_operator.history.subjects import InstanceKey


class StatusValue(StrEnum):
    PENDING = "pending"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


class InstanceStatus(Record, frozen=True, kw_only=True):
    """The state of an instance after the event with ``history_sequence``.

    ``steps`` counts the transitions and the completed host calls. ``executor`` is who wrote last, None until an
    executor wrote anything. ``wake_at`` is set while the instance is parked for a time, ``waiting_for`` tells for what.
    ``signals_received`` counts events from outside, ``signals_taken`` those that a wait of the script got.
    ``suspended_at`` is set while it is suspended, ``suspend_generation`` is that of the last toggle that counted.
    ``history_bytes`` is the size of its events, None where a release that did not count them folded the first of them.
    ``sequence`` is the position in the status stream: the transport's, not part of the payload.
    """

    VALUES: ClassVar = ("input", "memory", "output")
    TIMES: ClassVar = ("created_at", "ended_at", "wake_at", "suspended_at")

    version: Literal[1]
    instance_id: UUID
    namespace: str
    metadata: dict[str, str] = {}
    script: str | None = None
    entrypoint: str | None = None
    input: Carried = None
    memory: Carried = None
    output: Carried = None
    error: ErrorInfo | None = None
    status: StatusValue
    created_at: datetime
    ended_at: datetime | None = None
    origin: Origin | None = None
    steps: Number = always(0)
    executor: ExecutorRef | None = None
    parked: bool = always(False)
    wake_at: datetime | None = always(None)
    waiting_for: tuple[WaitedFor, ...] = ()
    signals_received: Number = 0
    signals_taken: Number = 0
    cancel_requested: bool = False
    suspended_at: datetime | None = None
    suspend_generation: Number = 0
    history_sequence: Number
    history_bytes: Number | None = None

    sequence: int = 0

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
        "history_bytes": None if status.history_bytes is None else status.history_bytes + event.size,
        "parked": event.type is EventType.WAITING,
        "wake_at": event.wake_at,
        "waiting_for": event.on,
    }
    for field in ("memory", "output"):
        if event.has(field):
            changes[field] = getattr(event, field)
    if event.executor is not None:
        changes["executor"] = event.executor
    changes |= _counted(status, event) | _toggled(status, event)
    if event.type is EventType.CANCEL_REQUESTED:
        changes["cancel_requested"] = True
    if event.type in _ENDS:
        changes |= {"status": _ENDS[event.type], "ended_at": event.time}
        if event.error is not None:
            changes["error"] = event.error
    return status.replace(**changes)


def _counted(status: InstanceStatus, event: InstanceEvent) -> dict[str, int]:
    counts: dict[str, int] = {}
    if event.type in _STEPS:
        counts["steps"] = status.steps + 1
    if event.type is EventType.SIGNAL:
        counts["signals_received"] = status.signals_received + 1
    if event.signal_sequence is not None:
        counts["signals_taken"] = status.signals_taken + 1
    return counts


def _toggled(status: InstanceStatus, event: InstanceEvent) -> dict[str, Any]:
    if event.type not in TOGGLES:
        return {}
    # A run that is parked stays so while it is suspended.
    kept: dict[str, Any] = {}
    if event.type is EventType.SUSPENDED:
        kept = {"parked": status.parked, "wake_at": status.wake_at, "waiting_for": status.waiting_for}
    if event.generation <= status.suspend_generation:
        return kept
    since = (status.suspended_at or event.time) if event.type is EventType.SUSPENDED else None
    return kept | {"suspended_at": since, "suspend_generation": event.generation}


def _begin(event: InstanceEvent) -> InstanceStatus:
    if event.type is not EventType.STARTED:
        raise InvalidInput(
            f"instance {event.key}: the history begins with {event.type} at sequence {event.sequence}; "
            "expected started. Nothing is folded without it."
        )
    return InstanceStatus(
        version=FORMAT_VERSION,
        instance_id=event.instance_id,
        namespace=event.namespace,
        status=StatusValue.PENDING,
        created_at=event.time,
        metadata=event.metadata,
        script=event.script,
        entrypoint=event.entrypoint,
        input=event.input,
        origin=event.origin,
        # Named by whoever drives the instance where it starts.
        executor=event.executor,
        history_sequence=event.sequence,
        history_bytes=event.size,
    )


def encode_status(status: InstanceStatus) -> bytes:
    return status.to_json()


_DECODER = msgspec.json.Decoder(InstanceStatus)


def decode_status(data: bytes, *, sequence: int = 0, key: InstanceKey | None = None) -> InstanceStatus:
    """Read a status; ``key`` is the instance under whose subject it stands.

    Raises:
        UnknownFormat: written by a newer release.
        UnreadableStatus: not a status at all, or that of another instance.
    """
    try:
        status = decode(_DECODER, data, lambda: f"status sequence {sequence}: status", FORMAT_VERSION)
        _ = status.key
    except InvalidInput as error:
        raise UnreadableStatus(str(error), sequence) from error
    if key is not None and status.key != key:
        told = f"status sequence {sequence}: the status of instance {status.key} as that of {key}"
        raise UnreadableStatus(told, sequence)
    force_setattr(status, "sequence", sequence)
    return status
