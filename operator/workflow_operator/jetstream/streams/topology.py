"""The streams and consumers, declared once as data, and :func:`ensure`, which makes the server agree."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflow_operator.history import subjects
from workflow_operator.history.errors import InvalidInput, TopologyMismatch, Unavailable
from workflow_operator.history.subjects import InstanceKey
from workflow_operator.jetstream.connect.connection import Connection

PARTITIONS = 16

# Fewer servers than replicas; while a cluster forms, only for now.
_NO_PEERS = 10005

HISTORY = "HISTORY"
STATUS = "STATUS"
PROJECTION = "PROJECTION"
QUEUE = "QUEUE"
TIMERS = "TIMERS"
MEMBERS = "KV_members"

_OF_PROJECTORS = frozenset({HISTORY, STATUS, PROJECTION, MEMBERS})

LANES = 16
FIRED = "fired"

_QUEUE = "execution.queue"
_FIRED = "execution.fired"
_TIMER = "execution.timer"
_MEMBER = "$KV.members"

QUEUE_SUBJECTS = f"{_QUEUE}.*.*.*"
FIRED_SUBJECTS = f"{_FIRED}.*.*"
TIMER_SUBJECTS = f"{_TIMER}.*.*"

_NANOSECONDS = 1_000_000_000


def lane_of(namespace: str) -> int:
    """The lane of the queue in which the instances of a namespace wait. The same in every release."""
    return hashlib.blake2b(namespace.encode(), digest_size=8).digest()[-1] % LANES


def lane_consumer(lane: int) -> str:
    return f"lane-{lane:02}"


def lane_subjects(lane: int) -> str:
    return f"{_QUEUE}.{lane}.*.*"


def queue_subject(key: InstanceKey) -> str:
    """Where an instance waits for an executor."""
    return key.subject(f"{_QUEUE}.{lane_of(key.namespace)}")


def fired_subject(key: InstanceKey) -> str:
    """Where a timer that fired waits to be queued."""
    return key.subject(_FIRED)


def fired_subject_of(timer: str) -> str:
    """As :func:`fired_subject`, for whatever the subject of a timer names."""
    return _FIRED + timer.removeprefix(_TIMER)


def timer_subject(key: InstanceKey) -> str:
    """Where the timer of an instance waits for its time. It has one at most: a new one takes the place of the old."""
    return key.subject(_TIMER)


def member_subject(group: str, member: str) -> str:
    return f"{_MEMBER}.{group}.{member}"


def any_group_subjects(member: str) -> tuple[str, str]:
    """Where a member shows that it lives, whatever its group."""
    return member_subject("*", member), member_subject("operators.*", member)


def partition_consumer(partition: int) -> str:
    return f"partition-{partition:02}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyOptions:
    """What an administrator may choose. They count when a stream is created; an existing one is left as it is.

    ``replicas`` is 1, 3 or 5. ``execution_ack_wait_seconds`` is how long an executor that fell silent keeps an
    instance; ``projection_ack_wait_seconds`` the same for a projector and its batch.
    """

    replicas: int = 1
    execution_ack_wait_seconds: float = 6.0
    projection_ack_wait_seconds: float = 10.0
    member_ttl_seconds: float = 6.0


@dataclass(frozen=True, slots=True)
class Declared:
    """A stream or consumer: its full configuration when created, and the fields that correctness rests on.

    ``checked`` are compared with what the server has. Everything else (replicas, storage, placement, compression,
    limits of size, metadata, ack waits) is the administrator's to change.
    """

    stream: str
    config: Mapping[str, Any]
    checked: frozenset[str]
    consumer: str | None = None

    @property
    def name(self) -> str:
        return self.stream if self.consumer is None else f"{self.stream}, consumer {self.consumer}"


_STREAM_CHECKED = frozenset(
    {
        "subjects", "sources", "retention", "discard", "max_age", "max_msgs", "max_bytes", "max_msgs_per_subject",
        "allow_direct", "deny_delete", "allow_msg_schedules", "subject_transform", "mirror", "no_ack", "sealed",
    }
)  # fmt: skip
_CONSUMER_CHECKED = frozenset({"filter_subject", "ack_policy", "deliver_policy", "max_deliver", "deliver_subject"})

# What the server leaves out of its answer, or fills in, where a field was not given.
_DEFAULTS: Mapping[str, Any] = {
    "retention": "limits",
    "discard": "old",
    "max_age": 0,
    "max_msgs": -1,
    "max_bytes": -1,
    "max_msgs_per_subject": -1,
    "allow_direct": False,
    "deny_delete": False,
    "allow_msg_schedules": False,
    "no_ack": False,
    "sealed": False,
    "ack_policy": "explicit",
    "deliver_policy": "all",
    "max_deliver": -1,
}


def streams(options: TopologyOptions) -> list[Declared]:
    """Every stream, in the order in which they can be created."""
    ttl = int(options.member_ttl_seconds * _NANOSECONDS)
    projected = f"projection.{{{{partition({PARTITIONS},1,2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}"
    every_history = f"{subjects.HISTORY}.*.*"
    declared: list[dict[str, Any]] = [
        {
            "name": HISTORY,
            "description": "The events of every instance: the source of truth",
            "subjects": [every_history],
            "compression": "s2",
            "allow_direct": True,
            "deny_delete": True,
        },
        {
            "name": STATUS,
            "description": "The last status of every instance, folded from its history",
            "subjects": [f"{subjects.STATUS}.*.*"],
            "compression": "s2",
            "allow_direct": True,
            "max_msgs_per_subject": 1,
        },
        {
            "name": PROJECTION,
            "description": "Events that no projector has folded yet",
            "retention": "workqueue",
            "sources": [{"name": HISTORY, "subject_transforms": [{"src": every_history, "dest": projected}]}],
        },
        {
            "name": QUEUE,
            "description": "Instances that wait for an executor",
            "subjects": [QUEUE_SUBJECTS],
            "retention": "workqueue",
            "max_msgs_per_subject": 1,
        },
        # Apart from the queue: a timer of months, and before it the gaps that millions of short runs leave behind, make
        # every pull and every start of the server slow.
        {
            "name": TIMERS,
            "description": "The timers of sleeping instances",
            "subjects": [TIMER_SUBJECTS, FIRED_SUBJECTS],
            "retention": "workqueue",
            "max_msgs_per_subject": 1,
            "allow_direct": True,
            "allow_msg_schedules": True,
        },
        {
            "name": MEMBERS,
            "description": "The live replicas, one key each",
            "subjects": [f"{_MEMBER}.>"],
            "max_msgs_per_subject": 1,
            "discard": "new",
            "max_age": ttl,
            "duplicate_window": ttl,
            "allow_direct": True,
            "deny_delete": True,
            "allow_rollup_hdrs": True,
        },
    ]
    common = {"storage": "file", "num_replicas": options.replicas}
    return [
        # How long a member lives after its last sign is the administrator's choice.
        Declared(each["name"], common | each, _STREAM_CHECKED - ({"max_age"} if each["name"] == MEMBERS else set()))
        for each in declared
    ]


def consumers(options: TopologyOptions) -> list[Declared]:
    """Every durable consumer. Their streams exist already."""
    execution_wait = options.execution_ack_wait_seconds
    pulls = (
        [(QUEUE, lane_consumer(lane), f"{_QUEUE}.{lane}.>", execution_wait) for lane in range(LANES)]
        + [(TIMERS, FIRED, f"{_FIRED}.>", execution_wait)]
        + [
            (PROJECTION, partition_consumer(number), f"projection.{number}.>", options.projection_ack_wait_seconds)
            for number in range(PARTITIONS)
        ]
    )
    return [
        Declared(
            stream,
            {
                "durable_name": name,
                "name": name,
                "filter_subject": subject,
                "ack_policy": "explicit",
                "deliver_policy": "all",
                "ack_wait": int(wait * _NANOSECONDS),
                "max_deliver": -1,
                # The default of 1000 would stop the queue once that many instances are being driven.
                "max_ack_pending": 100_000,
                # What is acked is gone from the stream, so there is nothing to remember that would be worth a file
                # for every ack: a server that forgets delivers again what is held, counting from 1.
                "mem_storage": True,
            },
            _CONSUMER_CHECKED,
            name,
        )
        for stream, name, subject, wait in pulls
    ]


async def ensure(connection: Connection, options: TopologyOptions | None = None) -> None:
    """Create what is missing and check what exists. Any number of replicas may do so at the same time.

    Raises:
        TopologyMismatch: a stream or consumer exists and differs in a field that correctness rests on.
        InvalidInput: the server refuses the configuration (too old, too few servers for the replicas, no permission).
        Unavailable: JetStream does not answer.
    """
    options = options or TopologyOptions()
    for stream in streams(options):
        await _ensure(connection, stream)
    await asyncio.gather(*(_ensure(connection, consumer) for consumer in consumers(options)))


async def check(connection: Connection, options: TopologyOptions | None = None) -> None:
    """As :func:`ensure`, for those who may not create anything.

    Raises:
        TopologyMismatch: as there.
        Unavailable: something is missing, or JetStream does not answer.
    """
    options = options or TopologyOptions()
    await _check_all(connection, [*streams(options), *consumers(options)])


async def check_projection(connection: Connection, options: TopologyOptions | None = None) -> None:
    """As :func:`check`, of what a projector works with.

    So a projector of a release that adds streams for the others starts before any operator of that release.
    """
    options = options or TopologyOptions()
    await _check_all(connection, projection(options))


def projection(options: TopologyOptions) -> list[Declared]:
    """The streams and consumers that a projector works with. Pure."""
    return [each for each in [*streams(options), *consumers(options)] if each.stream in _OF_PROJECTORS]


async def stored_bytes(connection: Connection, options: TopologyOptions | None = None) -> dict[str, int]:
    """What each stream holds, in bytes as JetStream counts them against its limit: messages before compression.

    Raises:
        Unavailable: a stream is missing, or JetStream does not answer.
    """
    names = [declared.stream for declared in streams(options or TopologyOptions())]
    answers = await asyncio.gather(*(connection.api(f"STREAM.INFO.{name}", {}) for name in names))
    for name, answer in zip(names, answers, strict=True):
        if "error" in answer:
            raise Unavailable(f"JetStream: {name}: {answer['error'].get('description')}")
    return {name: answer["state"]["bytes"] for name, answer in zip(names, answers, strict=True)}


async def _check_all(connection: Connection, declared: Sequence[Declared]) -> None:
    await asyncio.gather(*(_check(connection, each) for each in declared))


async def _check(connection: Connection, declared: Declared) -> None:
    found = await _find(connection, declared)
    if found is None:
        raise Unavailable(f"stream {declared.name} is not there yet: an operator creates it")
    _compare(declared, found)


async def _ensure(connection: Connection, declared: Declared) -> None:
    found = await _find(connection, declared)
    if found is None:
        made = await _create(connection, declared)
        error: dict[str, Any] = made.get("error", {})
        refusal = error.get("description", "")
        if error.get("err_code") == _NO_PEERS:
            raise Unavailable(f"stream {declared.name} cannot be created yet: {refusal}; more NATS servers are needed")
        found = made.get("config") or await _find(connection, declared)
        if found is None:
            raise InvalidInput(
                f"stream {declared.name} cannot be created: {refusal}; check the server's version (2.14 or newer), "
                "its JetStream limits, the number of replicas and this user's permissions"
            )
    _compare(declared, found)


def _compare(declared: Declared, found: Mapping[str, Any]) -> None:
    if differences := mismatches(declared, found):
        raise TopologyMismatch(
            f"stream {declared.name} exists, but differs: {'; '.join(differences)}. Change it back with "
            f"`nats {'stream' if declared.consumer is None else 'consumer'} edit`, or use another NATS account. "
            "Never delete the stream HISTORY: it holds every run."
        )


def mismatches(declared: Declared, found: Mapping[str, Any]) -> list[str]:
    """The checked fields that differ, each as ``field is X, expected Y``. Pure."""

    def value(config: Mapping[str, Any], field: str) -> Any:
        given = config.get(field)
        if given is None:
            given = _DEFAULTS.get(field)
        if field == "subjects" and given is not None:
            return sorted(given)
        if field == "sources" and given is not None:
            return [{key: each.get(key) for key in ("name", "subject_transforms", "filter_subject")} for each in given]
        # Zero and minus one both mean "no limit".
        return -1 if field in _LIMITS and given == 0 else given

    return [
        f"{field} is {json.dumps(value(found, field))}, expected {json.dumps(value(declared.config, field))}"
        for field in sorted(declared.checked)
        if value(found, field) != value(declared.config, field)
    ]


_LIMITS = frozenset({"max_msgs", "max_bytes", "max_msgs_per_subject", "max_deliver", "max_age"})


async def _find(connection: Connection, declared: Declared) -> dict[str, Any] | None:
    kind = "STREAM" if declared.consumer is None else "CONSUMER"
    path = declared.stream if declared.consumer is None else f"{declared.stream}.{declared.consumer}"
    answer = await connection.api(f"{kind}.INFO.{path}", {})
    if "error" in answer:
        if answer["error"]["code"] == 404:
            return None
        raise Unavailable(f"JetStream: {declared.name}: {answer['error'].get('description')}")
    config: dict[str, Any] = answer["config"]
    return config


async def _create(connection: Connection, declared: Declared) -> dict[str, Any]:
    """Create it; the server's answer, with what was made or an error. That someone else was faster is none."""
    if declared.consumer is None:
        return await connection.api(f"STREAM.CREATE.{declared.stream}", declared.config)
    subject = f"CONSUMER.CREATE.{declared.stream}.{declared.consumer}.{declared.config['filter_subject']}"
    request = {"stream_name": declared.stream, "config": declared.config, "action": "create"}
    return await connection.api(subject, request)
