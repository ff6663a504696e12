"""What of a run's waits and events its object shows, beside conditions. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from workflow_operator.history import InstanceStatus, WaitedFor
from workflow_operator.resources.run import MAX_WAIT_NAME_CHARS, MAX_WAIT_TYPES, MAX_WAITS, SignalCounts, Waited

_MOST_KIND = 64
# Of all names and types together: an operator keeps the statuses of thousands of runs.
_MOST_CHARACTERS = 2048


def waits(waited_for: Iterable[WaitedFor]) -> tuple[Waited, ...] | None:
    """The first few; None if there are none."""
    shown: list[Waited] = []
    left = _MOST_CHARACTERS
    for each in waited_for:
        types = tuple(kind[:MAX_WAIT_NAME_CHARS] for kind in each.types[:MAX_WAIT_TYPES])
        name = each.name[:MAX_WAIT_NAME_CHARS]
        left -= len(name) + sum(map(len, types))
        if left < 0 or len(shown) == MAX_WAITS:
            break
        kind = each.kind[:_MOST_KIND].capitalize()
        shown.append(Waited(kind=kind, name=name, until=_moment(each.until), types=types or None))
    return tuple(shown) or None


def counts(instance: InstanceStatus) -> SignalCounts | None:
    """None if no event has come."""
    received = instance.signals_received
    if not received:
        return None
    return SignalCounts(received=received, unconsumed=max(0, received - instance.signals_taken))


def _moment(text: str | None) -> datetime | None:
    """A time of the history in whole seconds; None for what is none, which only somebody else can have written."""
    try:
        moment = datetime.fromisoformat(text or "").replace(microsecond=0)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
