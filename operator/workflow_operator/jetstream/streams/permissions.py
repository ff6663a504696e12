"""What each role asks of NATS, as the permissions of its login. Pure.

Every subject that `jetstream` publishes to is here, by its name in :mod:`workflow_operator.jetstream.streams.topology`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from workflow_operator.history import subjects
from workflow_operator.jetstream.streams import older, topology
from workflow_operator.jetstream.streams.topology import (
    FIRED,
    HISTORY,
    MEMBERS,
    PROJECTION,
    QUEUE,
    STATUS,
    TIMERS,
    TopologyOptions,
)

_API = "$JS.API"


class Role(StrEnum):
    """A login. Two are for people: ``READER`` for the commands `history` and `status`, ``BACKUP`` for
    `nats stream backup` and `nats stream restore`."""

    OPERATOR = "operator"
    PROJECTOR = "projector"
    EXECUTOR = "executor"
    READER = "reader"
    BACKUP = "backup"


@dataclass(frozen=True, slots=True)
class Grant:
    """Subjects that some roles may publish to, and what for."""

    purpose: str
    roles: frozenset[Role]
    subjects: tuple[str, ...]


def inbox_prefix(role: Role) -> str:
    """Where the answers to a role come, and nobody else may listen."""
    return f"_INBOX_{role}"


def _api(call: str, streams: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{_API}.{call}.{stream}" for stream in streams)


def _pull(stream: str, *consumers: str) -> tuple[str, ...]:
    return tuple(
        subject
        for consumer in consumers
        for subject in (
            f"{_API}.CONSUMER.MSG.NEXT.{stream}.{consumer}",
            # By domain and account, or without: a server may use either form.
            f"$JS.ACK.*.*.{stream}.{consumer}.>",
            f"$JS.ACK.{stream}.{consumer}.>",
        )
    )


def _list(stream: str) -> tuple[str, ...]:
    """A throw-away consumer, whose name the server draws."""
    return (f"{_API}.CONSUMER.CREATE.{stream}", f"{_API}.CONSUMER.MSG.NEXT.{stream}.*")


_STREAMS = tuple(each.name for each in topology.streams(TopologyOptions()))
_QUEUES = tuple(dict.fromkeys(each.stream for each in topology.consumers(TopologyOptions())))
_PROJECTED = tuple(dict.fromkeys(each.stream for each in topology.projection(TopologyOptions())))
_SERVING = frozenset({Role.OPERATOR, Role.PROJECTOR, Role.EXECUTOR})
_READING = _SERVING | {Role.READER}
_EXECUTING = frozenset({Role.OPERATOR, Role.EXECUTOR})
_OPERATOR, _PROJECTOR = frozenset({Role.OPERATOR}), frozenset({Role.PROJECTOR})
_EXECUTOR = frozenset({Role.EXECUTOR})
_BACKUP = frozenset({Role.BACKUP})

GRANTS = (
    Grant("read histories", _READING, (*_api("DIRECT.GET", [HISTORY]), *_api("STREAM.MSG.GET", [HISTORY]))),
    Grant("read statuses", _READING, _api("DIRECT.GET", [STATUS])),
    Grant("follow statuses", _OPERATOR | _PROJECTOR, _list(STATUS)),
    Grant("append to histories", _EXECUTING, (f"{subjects.HISTORY}.*.*",)),
    Grant("queue instances and set timers", _EXECUTING, (topology.QUEUE_SUBJECTS, topology.TIMER_SUBJECTS)),
    Grant("take what is queued or due", _EXECUTING, (*_pull(QUEUE, "*"), *_pull(TIMERS, FIRED))),
    Grant("see timers that did not go", _EXECUTING, _api("DIRECT.GET", [TIMERS])),
    Grant(
        "take what release 0.2 left in the queue",
        _EXECUTING,
        (
            *_pull(older.EXECUTION, older.EXECUTORS, older.TIMERS),
            older.QUEUE_SUBJECTS,
            older.TIMER_SUBJECTS,
        ),
    ),
    Grant("take events to fold", _PROJECTOR, _pull(PROJECTION, "*")),
    Grant("write statuses", _PROJECTOR, (f"{subjects.STATUS}.*.*",)),
    Grant("list histories", _PROJECTOR, _list(HISTORY)),
    # Which group of operators depends on what they watch.
    Grant("show that it lives, as an operator", _OPERATOR, (topology.member_subject("operators.*", "*"),)),
    Grant("show that it lives, as an executor", _EXECUTOR, (topology.member_subject("executors", "*"),)),
    Grant("show that it lives, as a projector", _PROJECTOR, (topology.member_subject("projectors", "*"),)),
    Grant("see who lives", _SERVING, _api("DIRECT.GET", [MEMBERS])),
    Grant(
        "check streams and consumers",
        _SERVING,
        (*_api("STREAM.INFO", _PROJECTED), f"{_API}.CONSUMER.INFO.{PROJECTION}.*"),
    ),
    Grant(
        "check those of the queue and the timers",
        _EXECUTING,
        (*_api("STREAM.INFO", [QUEUE, TIMERS]), *(f"{each}.*" for each in _api("CONSUMER.INFO", [QUEUE, TIMERS]))),
    ),
    Grant(
        "start as release 0.2, while both run side by side or after a rollback",
        _SERVING,
        (*_api("STREAM.INFO", [older.EXECUTION]), f"{_API}.CONSUMER.INFO.{older.EXECUTION}.*"),
    ),
    Grant(
        "create streams and consumers",
        _OPERATOR,
        (*_api("STREAM.CREATE", _STREAMS), *(f"{each}.*.>" for each in _api("CONSUMER.CREATE", _QUEUES))),
    ),
    Grant(
        "back up histories",
        _BACKUP,
        (*_api("STREAM.INFO", [HISTORY]), *_api("STREAM.SNAPSHOT", [HISTORY]), f"$JS.SNAPSHOT.ACK.{HISTORY}.>"),
    ),
    Grant(
        "restore histories where there are none",
        _BACKUP,
        (*_api("STREAM.RESTORE", [HISTORY]), f"$JS.SNAPSHOT.RESTORE.{HISTORY}.>"),
    ),
)


def permissions(role: Role) -> dict[str, dict[str, list[str]]]:
    """The ``permissions`` of a user in the server's configuration; whatever is not in them is denied."""
    publish = [subject for grant in GRANTS if role in grant.roles for subject in grant.subjects]
    return {"publish": {"allow": publish}, "subscribe": {"allow": [f"{inbox_prefix(role)}.>"]}}
