"""What a queued instance needs, read off its history alone; and when an executor has lost it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from workflow_operator.history import INPUTS, EventType, ExecutorRef, InstanceEvent, LetGo, Release
from workflow_operator.replay.suspension import Suspensions


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no history."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A terminal event is there: nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Sleeping:
    """Parked or suspended, and not due before ``until``, or before somebody else appends something; ``cause`` is the
    sequence of the event that parked it, or of the last one of a history that is suspended."""

    until: datetime | None
    cause: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Someone asked for its end: append ``cancelled``."""

    epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """It ended ``crashes`` executors or sandboxes in a row: append ``failed``."""

    epoch: int
    crashes: int


@dataclass(frozen=True, slots=True)
class Drive:
    """Run the script. ``claim``: append ``claimed`` first, so that whoever drove it before is fenced off, with what
    is known of how that one let go. ``crashes`` in a row are behind it."""

    epoch: int
    claim: LetGo | None
    crashes: int = 0


NextAction: TypeAlias = Missing | Ended | Sleeping | Cancel | Abandon | Drive


@dataclass(frozen=True, slots=True)
class Sight:
    """What an executor knows of a delivered instance beside its history.

    Args:
        attempt: how many times the queue has delivered this message, from 1.
        now: the later of the executor's clock and the queue's time of the message, so that what a timer woke is due.
        crash_limit: crashes in a row without a new event after which the run is given up.
        released: what the holder that released the message said.
        alive: executors that are known to live.
        executor_id: who looks.
    """

    attempt: int
    now: datetime
    crash_limit: int
    released: Release | None = None
    alive: Collection[str] = ()
    executor_id: str = ""


def next_action(events: Sequence[InstanceEvent], sight: Sight) -> NextAction:
    """Decide for a delivered instance, from its whole history."""
    if not events:
        return Missing()
    last = events[-1]
    if last.terminal:
        return Ended()
    epoch = sum(event.type is EventType.CLAIMED for event in events)
    if (request := cancel_request(events)) is not None:
        return Cancel(epoch, request.reason or "")
    if Suspensions(events).since is not None:
        return Sleeping(None, last.sequence)
    if last.type is EventType.WAITING and (last.wake_at is None or last.wake_at > sight.now):
        return Sleeping(last.wake_at, last.sequence)
    crashes = crashes_in_a_row(events, sight.released, sight.alive)
    if crashes >= sight.crash_limit:
        return Abandon(epoch, crashes)
    if sight.attempt == 1 and sight.released is None and _is_untouched(last, sight.executor_id):
        return Drive(epoch, claim=None)
    return Drive(epoch + 1, claim=let_go(_last_driven(events), sight.released), crashes=crashes)


def _is_untouched(last: InstanceEvent, executor_id: str) -> bool:
    """Whether nobody but this executor can be driving it: whoever drives an instance where it starts says so in
    ``started``."""
    return last.type is EventType.STARTED and (last.executor is None or last.executor.id == executor_id)


def driver_without_queue(events: Sequence[InstanceEvent]) -> ExecutorRef | None:
    """The executor that drives the instance where it started, if nobody has claimed it since."""
    return None if any(event.type is EventType.CLAIMED for event in events) else events[0].executor


def let_go(last: InstanceEvent, released: Release | None) -> LetGo:
    """How the executor of the last event let go of the instance, as far as is known."""
    if released is None or last.executor is None or released.executor != last.executor:
        return LetGo.SILENCE
    return LetGo.CRASH if released.crashed else LetGo.HAND_OVER


def _last_driven(events: Sequence[InstanceEvent]) -> InstanceEvent:
    """The last event that is no input."""
    return next((event for event in reversed(events) if event.type not in INPUTS), events[-1])


def crashes_in_a_row(
    events: Sequence[InstanceEvent], released: Release | None = None, alive: Collection[str] = ()
) -> int:
    """The executors at the end of the history that claimed the instance, crashed, and recorded nothing in between.

    Whoever drives an instance where it starts has claimed it with ``started``.

    A crash is one that the executor told of, or its silence, unless it lives: it was only overtaken then. Who handed
    over did not crash, nor did an executor of a release that could not tell the one from the other.
    """
    count = 0
    for event, how in _last_claims(events, released):
        silent = how == LetGo.SILENCE and event.executor is not None and event.executor.id not in alive
        counts = event.predecessor is not None or event.type is EventType.STARTED
        if counts and (silent or how == LetGo.CRASH):
            count += 1
    return count


def silent_claimers(events: Sequence[InstanceEvent], released: Release | None) -> frozenset[str]:
    """The executors that :func:`crashes_in_a_row` counts unless they live."""
    claims = _last_claims(events, released)
    return frozenset(event.executor.id for event, how in claims if how == LetGo.SILENCE and event.executor)


def _last_claims(events: Sequence[InstanceEvent], released: Release | None) -> Iterable[tuple[InstanceEvent, str]]:
    """The claims at the end of the history, each with how its executor let go; the last one first.

    Inputs between them are passed over: who sends some cannot keep alive a run that ends its executors.
    """
    if not events:
        return
    how: str = let_go(_last_driven(events), released)
    for event in reversed(events):
        if event.type in INPUTS:
            continue
        if event.type is not EventType.CLAIMED and (event.type is not EventType.STARTED or event.executor is None):
            break
        yield event, how
        # What this one does not tell, its predecessor did not say.
        how = event.predecessor or LetGo.SILENCE


def open_timer(events: Sequence[InstanceEvent], now: datetime) -> int | None:
    """The sequence of the event that parked the instance last, if its timer has not fired by ``now``."""
    parked = next((event for event in reversed(events) if event.type is EventType.WAITING), None)
    if parked is None or parked.wake_at is None or parked.wake_at <= now:
        return None
    return parked.sequence


def cancel_request(events: Iterable[InstanceEvent]) -> InstanceEvent | None:
    return next((event for event in events if event.type is EventType.CANCEL_REQUESTED), None)


def overtaken_by(events: Iterable[InstanceEvent]) -> InstanceEvent | None:
    """Of events that someone else appended: the one that takes the instance from its executor, if any.

    A later claim, an end, or work of another executor, claimed or not. The executor stops at once, and neither acks
    nor extends its message, because its ack would delete the new holder's.
    """
    return next((event for event in events if event.executor is not None or _takes(event)), None)


def _takes(event: InstanceEvent) -> bool:
    return event.type in (EventType.CLAIMED, EventType.STARTED) or event.terminal
