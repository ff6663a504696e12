"""Commits: a message of the history holds one event of an instance, or several that were stored at once.

    one        as :func:`workflow_operator.history.events.encode_event` writes it, in every release
    several    {"version":3,"instanceID":...,"namespace":...,"type":"commit","executor":...,"events":[...]}

The events in it are written as they are alone, but for instanceID and namespace, and for an executor that is that of
all of them. They share a sequence, and ``place`` counts them from 0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

import msgspec
from msgspec.structs import force_setattr

from workflow_operator.history.errors import InvalidInput, UnknownFormat
from workflow_operator.history.events import (
    NOBODY,
    EventType,
    ExecutorRef,
    InstanceEvent,
    Within,
    decode_event,
    encode_event,
)
from workflow_operator.history.format import COMMIT_VERSION, Record, decode
from workflow_operator.history.subjects import InstanceKey

Commit: TypeAlias = Sequence[InstanceEvent]
"""The events of one message, in order: never none, all with the same sequence and previous."""

# A reader takes a commit whole, before anything else gets a turn: some milliseconds.
MAX_EVENTS: Final = 1000
_COMMIT = "commit"


class _Head(msgspec.Struct):
    type: str = ""


class _Envelope(Record, frozen=True, kw_only=True):
    version: Literal[3]
    instance_id: UUID
    namespace: str
    type: Literal["commit"]
    executor: ExecutorRef | None = None
    events: list[msgspec.Raw]


_HEAD = msgspec.json.Decoder(_Head)
_ENVELOPE = msgspec.json.Decoder(_Envelope)


class EncodedCommit(NamedTuple):
    """What is stored, and how many of its bytes are each event's."""

    data: bytes
    sizes: Sequence[int]

    def stored(self, events: Commit, *, sequence: int, previous: int) -> list[InstanceEvent]:
        """The events as they are read back."""
        return [
            event.replace(sequence=sequence, previous=previous, place=place, size=size)
            for place, (event, size) in enumerate(zip(events, self.sizes, strict=True))
        ]


def encode_commit(events: Commit) -> EncodedCommit:
    """Write 1 to MAX_EVENTS events as one message.

    Raises:
        ValueError: none, too many, or events of several instances.
    """
    if not 0 < len(events) <= MAX_EVENTS or len({(event.namespace, event.instance_id) for event in events}) > 1:
        raise ValueError(f"a commit of {len(events)} events; expected 1 to {MAX_EVENTS} of one instance")
    first = events[0]
    if len(events) == 1:
        return EncodedCommit(alone := encode_event(first), [len(alone)])
    head: dict[str, Any] = {
        "version": COMMIT_VERSION,
        "instanceID": first.instance_id,
        "namespace": first.namespace,
        "type": _COMMIT,
    }
    told: dict[str, Any] = {"instance_id": NOBODY, "namespace": ""}
    if first.executor is not None and all(event.executor == first.executor for event in events):
        head["executor"] = first.executor
        told["executor"] = None
    encoded = [encode_event(event.replace(**told)) for event in events]
    data = msgspec.json.encode(head)[:-1] + b',"events":[' + b",".join(encoded) + b"]}"
    return EncodedCommit(data, _shares([len(each) for each in encoded], len(data)))


def decode_commit(
    data: bytes, *, sequence: int = 0, previous: int = 0, key: InstanceKey | None = None, slim: bool = False
) -> list[InstanceEvent]:
    """Read a message of the history; ``key`` is the instance in whose history it stands, ``slim`` reads each event as a
    replay needs it.

    Raises:
        UnknownFormat: a newer version, or an event of a type that this release does not know. The reader must not
            guess: it leaves the message to a newer replica.
        InvalidInput: neither an event nor a commit, or of another instance.
    """
    if not _is_commit(data):
        return [decode_event(data, sequence=sequence, previous=previous, key=key, slim=slim)]
    what = f"history sequence {sequence}: commit"
    envelope = decode(_ENVELOPE, data, lambda: what, COMMIT_VERSION, _TYPES)
    key = key or InstanceKey(envelope.namespace, envelope.instance_id)
    if (envelope.namespace, envelope.instance_id) != (key.namespace, key.instance_id):
        whose = f"{envelope.namespace[:80]}/{envelope.instance_id}"
        raise InvalidInput(f"{what} of instance {whose} in the history of instance {key}")
    if not 0 < len(envelope.events) <= MAX_EVENTS:
        raise InvalidInput(f"{what} of instance {key}: {len(envelope.events)} events; expected 1 to {MAX_EVENTS}")
    within = Within(key, envelope.executor)
    events: list[InstanceEvent] = []
    for place, member in enumerate(envelope.events):
        if events and events[-1].terminal:
            raise InvalidInput(f"{what} of instance {key}: an event follows the end, which {events[-1].type} is")
        event = _member(
            bytes(member), sequence=sequence, previous=previous, place=place, key=key, slim=slim, within=within
        )
        if events and event.type is EventType.STARTED:
            raise InvalidInput(f"{what} of instance {key}: {event.type} at place {place}; expected it first")
        events.append(event)
    force_setattr(events[0], "size", _shares([event.size for event in events], len(data))[0])
    return events


def commit_ids(data: bytes) -> list[str]:
    """The IDs of the events in a message of any release; none if it cannot be read."""
    try:
        stored: dict[str, Any] = json.loads(data)
        events = stored["events"] if stored["type"] == _COMMIT else [stored]
        return [str(event["eventID"]) for event in events]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []


def named(events: Commit) -> str:
    """What it is, for errors and logs."""
    if len(events) == 1:
        return f"{events[0].type} event"
    return f"a commit of {len(events)} events, {events[0].type} to {events[-1].type},"


_TYPES = frozenset({_COMMIT})


def _is_commit(data: bytes) -> bool:
    try:
        return _HEAD.decode(data).type == _COMMIT
    except Exception:  # Whatever is wrong with it, who reads it as an event says so.
        return False


def _member(data: bytes, **where: Any) -> InstanceEvent:
    try:
        return decode_event(data, **where)
    except UnknownFormat as error:
        if _is_commit(data):
            raise InvalidInput(f"history sequence {where['sequence']}: a commit within a commit") from error
        raise


def _shares(sizes: list[int], total: int) -> list[int]:
    """What is around the events counts with the first of them."""
    return [total - sum(sizes[1:]), *sizes[1:]]
