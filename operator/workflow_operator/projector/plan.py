"""What a batch of events means for the status of one instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """Write this status over the one it was folded from. ``events`` are what is new in it, in order."""

    status: InstanceStatus
    events: Sequence[InstanceEvent]


Plan: TypeAlias = Stale | Gap | Fold


def plan(status: InstanceStatus | None, events: Sequence[InstanceEvent]) -> Plan:
    """Fold the events of one instance into its status.

    Each event names the sequence of the one before it, so a missing one is seen. Events may come twice and in any
    order.

    Raises:
        InvalidInput: the history is damaged.
    """
    known = status.history_sequence if status else 0
    news = sorted({event.sequence: event for event in events if event.sequence > known}.values(), key=_sequence)
    if not news:
        return Stale()
    folded = status
    for event in news:
        if event.previous != (folded.history_sequence if folded else 0):
            return Gap()
        folded = fold(folded, event)
    assert folded is not None
    return Fold(folded, news)


def without_values(status: InstanceStatus) -> InstanceStatus:
    """The status without what its history holds too, for a transport that does not carry all of it at once."""
    return status.replace(script=None, input=None, memory=None, metadata={})


def _sequence(event: InstanceEvent) -> int:
    return event.sequence
