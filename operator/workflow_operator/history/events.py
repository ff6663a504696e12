"""InstanceEvent: one thing that happened to an instance."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import Field, JsonValue, ValidationError

from workflow_operator.history.errors import InvalidInput, NotSerializable, UnknownFormat
from workflow_operator.history.format import FORMAT_VERSION, Instant, Record
from workflow_operator.history.subjects import InstanceKey
from workflow_operator.history.values import MAX_NESTING, nesting, well_formed


class EventType(StrEnum):
    """What happened. Readers must refuse a type that they do not know: see :func:`decode_event`."""

    STARTED = "started"  # the instance exists: script, input, entrypoint, labels, origin
    CLAIMED = "claimed"  # an executor now drives the instance
    TRANSITION = "transition"  # a marker: the script moved to a function; its payload is the memory
    TIMER_STARTED = "timerStarted"  # a sleep, and when it fires
    TIMER_FIRED = "timerFired"  # the completion of a sleep
    CALL_COMPLETED = "callCompleted"  # the completion of any other host call: result or error
    OUTPUT = "output"  # finish(value): recorded, not terminal
    WAITING = "waiting"  # parked: no sandbox and no message until it wakes
    CANCEL_REQUESTED = "cancelRequested"  # an input: someone wants the instance to end
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


SLIM_BYTES = 4096
LEFT_OUT = "…"

TERMINAL_TYPES = frozenset({EventType.SUCCEEDED, EventType.FAILED, EventType.CANCELLED})


class CallRecord(Record):
    """Which host call an event belongs to.

    ``index`` is ``parent.number`` (see :mod:`workflow_operator.replay.index`), ``digest`` that of the arguments.
    """

    index: str
    name: str
    digest: str


class ExecutorRef(Record):
    """Who wrote an event: the executor's identity, and how many claims the history held then."""

    id: str
    epoch: int


class ErrorInfo(Record):
    """What went wrong, as a user reads it; ``line`` and ``column`` count from 1 in the user's script."""

    name: str
    message: str
    line: int | None = None
    column: int | None = None

    def text(self) -> str:
        """Name, message and as much of the place as is known: ``TypeError: x is not defined (line 3, column 5)``."""
        place = ", ".join(f"{what} {at}" for what, at in (("line", self.line), ("column", self.column)) if at)
        return f"{self.name}: {self.message}" + (f" ({place})" if place else "")


class Origin(Record):
    """The object that the instance was started for: the cluster's identity and the run's name and generation."""

    cluster: str
    name: str
    generation: int = 1


class InstanceEvent(Record):
    """One event of the history. ``sequence``, ``previous`` and ``size`` are the transport's, not part of the payload.

    ``sequence`` is the position in the history stream; ``previous`` that of the event before it of the same
    instance (0 for ``started``), so that a reader sees a gap; ``size`` the bytes of the payload.
    """

    version: Literal[1]
    event_id: UUID
    instance_id: UUID
    namespace: str
    type: EventType
    time: Instant

    metadata: dict[str, str] = {}
    script: str | None = None
    entrypoint: str | None = None
    input: JsonValue = None
    memory: JsonValue = None
    output: JsonValue = None
    error: ErrorInfo | None = None
    origin: Origin | None = None

    call: CallRecord | None = None
    function: str | None = None
    result: JsonValue = None
    attempt: int = 1
    fire_at: Instant | None = None
    wake_at: Instant | None = None
    reason: str | None = None
    executor: ExecutorRef | None = None

    sequence: int = Field(default=0, exclude=True)
    previous: int = Field(default=0, exclude=True)
    size: int = Field(default=0, exclude=True)

    @property
    def key(self) -> InstanceKey:
        return InstanceKey(self.namespace, self.instance_id)

    @property
    def terminal(self) -> bool:
        return self.type in TERMINAL_TYPES

    def slim(self) -> InstanceEvent:
        """The event as a replay needs it: without the payload of a transition, where that is large.

        A value in memory can take twenty times its JSON, and a history holds one for each step.
        """
        if self.type is not EventType.TRANSITION or self.size <= SLIM_BYTES:
            return self
        return self.model_copy(update={"memory": LEFT_OUT})


def encode_event(event: InstanceEvent) -> bytes:
    return event.to_json()


def decode_event(data: bytes, *, sequence: int = 0, previous: int = 0, key: InstanceKey | None = None) -> InstanceEvent:
    """Read an event; ``key`` is the instance in whose history it stands.

    Raises:
        UnknownFormat: a newer version, or a type that this release does not know. The reader must not guess:
            it leaves the message to a newer replica.
        InvalidInput: not an event at all, or one of another instance.
    """
    try:
        event = InstanceEvent.model_validate_json(data)
        _ = event.key
    except ValidationError as error:
        refuse_newer(data, "event", {str(value) for value in EventType})
        raise InvalidInput(f"history sequence {sequence}: not an InstanceEvent: {error}") from error
    if key is not None and event.key != key:
        raise InvalidInput(
            f"history sequence {sequence}: an event of instance {event.key} in the history of instance {key}"
        )
    return event.model_copy(update={"sequence": sequence, "previous": previous, "size": len(data)})


def refuse_newer(data: bytes, what: str, types: set[str] | None = None) -> None:
    """Tell a record that a newer release wrote from one that is broken.

    Raises:
        UnknownFormat, InvalidInput: as :func:`decode_event`.
    """
    try:
        head = json.loads(data)
        version, kind = int(head["version"]), head.get("type")
        known = types is None or kind in types
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidInput(
            f"not a readable {what}: expected a JSON object with a version, got {data[:80]!r}"
        ) from error
    if version != FORMAT_VERSION or not known:
        raise UnknownFormat(
            f"{what} of instance {head.get('instanceID')}: format version {version}, type {kind}; this release "
            f"reads version {FORMAT_VERSION}. Upgrade every replica to the release that wrote it."
        )


def storable(value: JsonValue) -> JsonValue:
    """The value as a history can hold it: half of a surrogate pair has no UTF-8 form and becomes U+FFFD.

    Where nothing has to be mended it is the given value itself, not a copy: nobody may change that later.

    Raises:
        NotSerializable: nested deeper than readers can follow, so that once stored, it could never be read again;
            or not JSON at all.
    """
    if isinstance(value, list | dict) and _storable_as_it_is(value):
        return value
    return _mended(value, MAX_NESTING)


def _storable_as_it_is(value: JsonValue) -> bool:
    # A script decides how large a value is, and every other one waits meanwhile: no step in Python for each item.
    try:
        data = json.dumps(value, ensure_ascii=False, check_circular=False).encode()
    except (ValueError, TypeError, RecursionError):
        return False
    return nesting(data) <= MAX_NESTING


def _mended(value: JsonValue, levels: int) -> JsonValue:
    match value:
        case str():
            return well_formed(value)
        case list() | dict() if levels == 0:
            raise NotSerializable(
                f"a value is nested deeper than {MAX_NESTING} levels of arrays and objects, which no history holds; "
                "pass a flatter one"
            )
        case list():
            return [_mended(item, levels - 1) for item in value]
        case dict():
            return {well_formed(name): _mended(item, levels - 1) for name, item in value.items()}
        case None | bool() | int() | float():
            return value
        case _:
            raise NotSerializable(
                f"a value holds a {type(value).__name__}, which JSON has no form for; pass plain JSON"
            )


def digest(arguments: JsonValue) -> str:
    """SHA-256 of the canonical JSON of a call's arguments, first 128 bits as hex."""
    canonical = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
