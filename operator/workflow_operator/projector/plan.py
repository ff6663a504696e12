"""What a batch of events means for the status of one instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import TypeAlias

from workflow_operator.history import Commit, InstanceStatus, fold


@dataclass(frozen=True, slots=True)
class Stale:
    """The status holds all of it already."""


@dataclass(frozen=True, slots=True)
class Gap:
    """An event in between is missing: fold again from the whole history."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Write this status over the one it was folded from: ``events`` are new in it, the last of them of ``time``.

    It holds whole commits only: what was stored at once is seen at once.
    """

    status: InstanceStatus
    events: int
    time: datetime


Plan: TypeAlias = Stale | Gap | Fold


def follow(before: Fold | InstanceStatus | None, commit: Commit) -> Plan:
    """Fold one more commit into a status, or into what commits before it made of one.

    Raises:
        InvalidInput: the history is damaged.
    """
    status, events = (before.status, before.events) if isinstance(before, Fold) else (before, 0)
    known = status.history_sequence if status else 0
    if commit[0].sequence <= known:
        return Stale()
    if commit[0].previous != known:
        return Gap()
    folded = reduce(fold, commit, status)
    assert folded is not None
    return Fold(folded, events + len(commit), commit[-1].time)


def plan(before: Fold | InstanceStatus | None, commits: Sequence[Commit]) -> Plan:
    """Fold commits of one instance into its status, or into what commits before them made of it.

    Each names the sequence of the one before it, so a missing one is seen. They may come twice and in any order.

    Raises:
        InvalidInput: the history is damaged.
    """
    folded: Fold | None = None
    for commit in sorted(commits, key=_sequence):
        match follow(folded or before, commit):
            case Gap() as gap:
                return gap
            case Fold() as more:
                folded = more
    return folded or Stale()


def is_progress(before: InstanceStatus | None, after: InstanceStatus) -> bool:
    """Whether the instance only went on: who drives it, and what it waits for, is as before."""
    return before is not None and all(getattr(before, field) == getattr(after, field) for field in _STANDING)


_STANDING = ("status", "executor", "parked", "wake_at", "cancel_requested")


def without_values(status: InstanceStatus) -> InstanceStatus:
    """The status without what its history holds too, for a transport that does not carry all of it at once."""
    return status.replace(script=None, input=None, memory=None, metadata={})


def _sequence(commit: Commit) -> int:
    return commit[0].sequence
