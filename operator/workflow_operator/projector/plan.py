"""What a batch of events means for the status of one instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from workflow_operator.history import InstanceEvent, InstanceStatus, fold


@dataclass(frozen=True, slots=True)
class Stale:
    """The status holds all of it already."""


@dataclass(frozen=True, slots=True)
class Gap:
    """An event in between is missing: fold again from the whole history."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Write this status over the one it was folded from: ``events`` are new in it, the last of them of ``time``."""

    status: InstanceStatus
    events: int
    time: datetime


Plan: TypeAlias = Stale | Gap | Fold


def follow(before: Fold | InstanceStatus | None, event: InstanceEvent) -> Plan:
    """Fold one more event into a status, or into what events before it made of one.

    Raises:
        InvalidInput: the history is damaged.
    """
    status, events = (before.status, before.events) if isinstance(before, Fold) else (before, 0)
    known = status.history_sequence if status else 0
    if event.sequence <= known:
        return Stale()
    if event.previous != known:
        return Gap()
    return Fold(fold(status, event), events + 1, event.time)


def plan(status: InstanceStatus | None, events: Sequence[InstanceEvent]) -> Plan:
    """Fold the events of one instance into its status.

    Each event names the sequence of the one before it, so a missing one is seen. Events may come twice and in any
    order.

    Raises:
        InvalidInput: the history is damaged.
    """
    folded: Fold | None = None
    for event in sorted(events, key=_sequence):
        match follow(folded or status, event):
            case Gap() as gap:
                return gap
            case Fold() as more:
                folded = more
    return folded or Stale()


def without_values(status: InstanceStatus) -> InstanceStatus:
    """The status without what its history holds too, for a transport that does not carry all of it at once."""
    return status.replace(script=None, input=None, memory=None, metadata={})


def _sequence(event: InstanceEvent) -> int:
    return event.sequence
