"""InstanceEvent: one thing that happened to an instance."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Literal, NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import force_setattr

from workflow_operator.history.errors import InvalidInput
from workflow_operator.history.format import BYTES_DIGEST_VERSION, Carried, Number, Record, decode
from workflow_operator.history.subjects import InstanceKey
from workflow_operator.history.values import Json


class EventType(StrEnum):
    """What happened. Readers must refuse a type that they do not know: see :func:`decode_event`."""

    STARTED = "started"  # the instance exists: script, input, entrypoint, labels, origin
    CLAIMED = "claimed"  # an executor now drives the instance
    TRANSITION = "transition"  # a marker: the script moved to a function; its payload is the memory
    TIMER_STARTED = "timerStarted"  # a sleep, and when it fires
    TIMER_FIRED = "timerFired"  # the completion of a sleep
    CALL_STARTED = "callStarted"  # an attempt of a step that must not be made twice begins, or a wait that has an end
    ATTEMPT_FAILED = "attemptFailed"  # an attempt of a step failed, and when the next one is due
    CALL_COMPLETED = "callCompleted"  # the completion of any other host call: result or error
    OUTPUT = "output"  # finish(value): recorded, not terminal
    WAITING = "waiting"  # parked: no sandbox and no message until it wakes
    SIGNAL = "signal"  # an input: an event from outside, for a script that waits for it, now or later
    SUSPENDED = "suspended"  # an input: nothing new is to begin until it is resumed
    RESUMED = "resumed"  # an input: it goes on
    CANCEL_REQUESTED = "cancelRequested"  # an input: someone wants the instance to end
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TOGGLES = frozenset({EventType.SUSPENDED, EventType.RESUMED})
INPUTS = TOGGLES | {EventType.SIGNAL}
"""What comes from outside at any time, and says nothing of who drives the instance."""


class LetGo(StrEnum):
    """How an executor let go of an instance that another one claims."""

    HAND_OVER = "handOver"  # it gave the instance back, and said so
    CRASH = "crash"  # the sandbox died under it, and it said so
    SILENCE = "silence"  # it was not heard of any more


# 0 is what 0.2.0 and older releases started: values lose what JSON loses, and nobody hears of rejections that are not
# awaited. A run keeps the rules that it began with, so that what is recorded of it is recorded again in a replay.
SCRIPT_RULES = 1

TYPE_CHARACTERS = 100
"""Of the type of an event from outside."""

NOBODY = UUID(int=0)
"""The instance of an event that does not tell it."""

SLIM_BYTES = 4096
LEFT_OUT = Json.of("…")

TERMINAL_TYPES = frozenset({EventType.SUCCEEDED, EventType.FAILED, EventType.CANCELLED})


class CallRecord(Record, frozen=True, kw_only=True):
    """Which host call an event belongs to.

    ``index`` is ``parent.number`` (see :mod:`workflow_operator.replay.index`), ``digest`` that of the arguments
    (see :mod:`workflow_operator.history.arguments`).
    """

    index: str
    name: str
    digest: str


class ExecutorRef(Record, frozen=True, kw_only=True):
    """Who wrote an event: the executor's identity, and how many claims the history held then."""

    id: str
    epoch: Number


class ErrorInfo(Record, frozen=True, kw_only=True):
    """What went wrong, as a user reads it; ``line`` and ``column`` count from 1 in the user's script.

    ``stack`` holds the script's own frames, one a line.
    """

    name: str
    message: str
    line: Number | None = None
    column: Number | None = None
    stack: str | None = None

    def text(self) -> str:
        """Name, message and as much of the place as is known: ``TypeError: x is not defined (line 3, column 5)``.

        Of a message of several lines the first is the error's own, and those below tell what is behind it.
        """
        place = ", ".join(f"{what} {at}" for what, at in (("line", self.line), ("column", self.column)) if at)
        own, *behind = self.message.split("\n")
        return "\n".join((f"{self.name}: {own}" + (f" ({place})" if place else ""), *behind))


class CaughtStep(Record, frozen=True, kw_only=True):
    """A transition whose function threw; ``error`` is name and message, where they are known."""

    function: str
    error: str | None = None


class Caught(Record, frozen=True, kw_only=True):
    """Transitions that threw since the call before, in this order, while the script went on; ``more``: how many further
    ones there were."""

    steps: tuple[CaughtStep, ...] = ()
    more: Number = 0

    def text(self) -> str:
        """``reserve threw TypeError: x is not defined, pay threw, and 2 more``."""
        told = [f"{step.function} threw" + (f" {step.error}" if step.error else "") for step in self.steps]
        return ", ".join(told + ([f"and {self.more} more"] if self.more else []))


class Origin(Record, frozen=True, kw_only=True):
    """The object that the instance was started for: the cluster's identity and the run's name and generation."""

    cluster: str
    name: str
    generation: Number = 1


class SignalInfo(Record, frozen=True, kw_only=True):
    """An event from outside: what tells it from every other one of its run, its type, and who sent it, if known."""

    id: str
    type: str
    sender: str | None = None


class WaitedFor(Record, frozen=True, kw_only=True):
    """What a parked run waits for: a ``timer``, a ``retry`` or an ``event`` of one of ``types``.

    ``until``: when it ends by itself, in RFC 3339.
    """

    kind: str
    name: str
    until: str | None = None
    types: tuple[str, ...] = ()


class InstanceEvent(Record, frozen=True, kw_only=True):
    """One event of the history. ``sequence``, ``previous``, ``place`` and ``size`` are the transport's, not part of it.

    ``sequence`` is the position of its commit in the history stream; ``previous`` that of the commit before it of the
    same instance (0 for ``started``), so that a reader sees a gap; ``place`` counts the events of the commit from 0;
    ``size`` is the bytes of the payload, and adds up to those of the commit.
    """

    VALUES: ClassVar = ("input", "memory", "output", "payload", "result")
    TIMES: ClassVar = ("time", "started_at", "fire_at", "retry_at", "wake_at")

    version: Literal[1, 2]
    event_id: UUID
    # Absent in a commit, which tells them once; in what is read neither is.
    instance_id: UUID = NOBODY
    namespace: str = ""
    type: EventType
    time: datetime

    metadata: dict[str, str] = {}
    script: str | None = None
    entrypoint: str | None = None
    input: Carried = None
    memory: Carried = None
    output: Carried = None
    error: ErrorInfo | None = None
    origin: Origin | None = None

    call: CallRecord | None = None
    function: str | None = None
    result: Carried = None
    attempt: Number = 1
    # Of what was done outside of the script's main line: when that began.
    started_at: datetime | None = None
    fire_at: datetime | None = None
    retry_at: datetime | None = None
    wake_at: datetime | None = None
    # Of `waiting`: the first few things that it waits for.
    on: tuple[WaitedFor, ...] = ()
    # Of `signal`: which it is; of a completion: the sequence of the signal that is its result.
    signal: SignalInfo | None = None
    signal_sequence: Number | None = None
    payload: Carried = None
    # Of `suspended` and `resumed`: that of the object that asks for it; a lower one than before does not count.
    generation: Number = 0
    reason: str | None = None
    executor: ExecutorRef | None = None
    # Of `started`: what the script runs by; see SCRIPT_RULES.
    rules: Number = 0
    # Of a claim: a LetGo, or a word of a newer release. Claims of releases before this field have none.
    predecessor: str | None = None
    # Of what a script does after transitions that threw.
    caught: Caught | None = None

    sequence: int = 0
    previous: int = 0
    place: int = 0
    size: int = 0

    @property
    def key(self) -> InstanceKey:
        return InstanceKey(self.namespace, self.instance_id)

    def values(self) -> list[Json]:
        """Those that it carries."""
        return [value for name in self.VALUES if (value := getattr(self, name)) is not None]

    @property
    def terminal(self) -> bool:
        return self.type in TERMINAL_TYPES

    def slim(self) -> InstanceEvent:
        """The event as a replay needs it: without the payload of a transition, where that is large.

        A history holds one for each step, and whether the script passes the same again is known by its digest.
        """
        if self.type is not EventType.TRANSITION or self.size <= SLIM_BYTES:
            return self
        return self.replace(memory=LEFT_OUT)


def encode_event(event: InstanceEvent) -> bytes:
    return event.to_json()


_DECODER = msgspec.json.Decoder(InstanceEvent)
_TYPES = frozenset(map(str, EventType))


class Within(NamedTuple):
    """What a commit tells of all events in it."""

    key: InstanceKey
    executor: ExecutorRef | None


def decode_event(
    data: bytes,
    *,
    sequence: int = 0,
    previous: int = 0,
    place: int = 0,
    key: InstanceKey | None = None,
    slim: bool = False,
    within: Within | None = None,
) -> InstanceEvent:
    """Read an event; ``key`` is the instance in whose history it stands, ``slim`` reads it as a replay needs it.

    ``within``: what the commit that it is in tells of it.

    Raises:
        UnknownFormat: a newer version, or a type that this release does not know. The reader must not guess:
            it leaves the message to a newer replica.
        InvalidInput: not an event at all, or one of another instance.
    """
    event = decode(_DECODER, data, lambda: f"{_where(sequence, place)}: event", BYTES_DIGEST_VERSION, _TYPES)
    if within is not None:
        if event.instance_id is NOBODY:
            force_setattr(event, "instance_id", within.key.instance_id)
        if not event.namespace:
            force_setattr(event, "namespace", within.key.namespace)
        if event.executor is None:
            force_setattr(event, "executor", within.executor)
    elif event.instance_id is NOBODY or not event.namespace:
        raise InvalidInput(f"{_where(sequence, place)}: an event that does not tell its instance")
    if key is None:
        _ = event.key
    elif event.namespace != key.namespace or event.instance_id.int != key.instance_id.int:
        raise InvalidInput(
            f"{_where(sequence, place)}: an event of instance {event.namespace[:80]}/{event.instance_id} in the "
            f"history of instance {key}"
        )
    else:
        # One for all that are read with this key.
        force_setattr(event, "instance_id", key.instance_id)
    force_setattr(event, "sequence", sequence)
    force_setattr(event, "previous", previous)
    if place:
        force_setattr(event, "place", place)
    force_setattr(event, "size", len(data))
    return event.slim() if slim and len(data) > SLIM_BYTES else event


def _where(sequence: int, place: int) -> str:
    return f"history sequence {sequence}" + (f", place {place}" if place else "")
