"""What a queued instance needs, read off its history alone; and when an executor has lost it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from workflow_operator.history import EventType, InstanceEvent


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no history."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A terminal event is there: nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Sleeping:
    """Parked, and not due before ``until``; ``cause`` is the sequence of the event that parked it."""

    until: datetime
    cause: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Someone asked for its end: append ``cancelled``."""

    epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """It killed its executor ``crashes`` times in a row: append ``failed``."""

    epoch: int
    crashes: int


@dataclass(frozen=True, slots=True)
class Drive:
    """Run the script. ``claim``: append ``claimed`` first, so that whoever drove it before is fenced off."""

    epoch: int
    claim: bool


NextAction: TypeAlias = Missing | Ended | Sleeping | Cancel | Abandon | Drive


def next_action(events: Sequence[InstanceEvent], *, attempt: int, now: datetime, crash_limit: int) -> NextAction:
    """Decide for a delivered instance.

    Args:
        events: its whole history.
        attempt: how many times the queue has delivered this message, from 1.
        crash_limit: claims in a row without a new event after which the run is given up.
    """
    if not events:
        return Missing()
    last = events[-1]
    if last.terminal:
        return Ended()
    epoch = sum(event.type is EventType.CLAIMED for event in events)
    if (request := cancel_request(events)) is not None:
        return Cancel(epoch, request.reason or "")
    if last.type is EventType.WAITING and last.wake_at is not None and last.wake_at > now:
        return Sleeping(last.wake_at, last.sequence)
    crashes = crashes_in_a_row(events)
    if crashes >= crash_limit:
        return Abandon(epoch, crashes)
    fresh = attempt == 1 and last.type is EventType.STARTED
    return Drive(epoch if fresh else epoch + 1, claim=not fresh)


def crashes_in_a_row(events: Sequence[InstanceEvent]) -> int:
    """The claims at the end of the history: each one an executor that recorded nothing after it."""
    count = 0
    for event in reversed(events):
        if event.type is not EventType.CLAIMED:
            break
        count += 1
    return count


def cancel_request(events: Iterable[InstanceEvent]) -> InstanceEvent | None:
    return next((event for event in events if event.type is EventType.CANCEL_REQUESTED), None)


def overtaken_by(events: Iterable[InstanceEvent]) -> InstanceEvent | None:
    """Of events that someone else appended: the one that takes the instance from its executor, if any.

    A later claim, an end, or work of another executor, claimed or not. The executor stops at once, and neither acks
    nor extends its message, because its ack would delete the new holder's.
    """
    return next((event for event in events if event.executor is not None or _takes(event)), None)


def _takes(event: InstanceEvent) -> bool:
    return event.type is EventType.CLAIMED or event.terminal
