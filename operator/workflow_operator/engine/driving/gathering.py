"""When what a script has done must be stored. Pure.

A transition, a finish and the end have no effect outside, and a replay makes them again. So they are gathered, and
stored as one commit: before anything that has an effect, or at these limits.
"""

from __future__ import annotations

from collections.abc import Sequence

from workflow_operator.history import InstanceEvent

# For so long a status may not tell what a script has done; and so much of it is done again after a crash.
HELD_SECONDS = 0.25
HELD_EVENTS = 250
HELD_BYTES = 256 * 1024

# Beside what is held, one event may be larger: it goes alone then.
_COMMIT_BYTES = 512 * 1024


# What is around the values of an event: IDs, a time, a call and its digest.
_AROUND_BYTES = 256


def rough_bytes(event: InstanceEvent) -> int:
    """About what the event takes in a commit, without writing it: only values and scripts can be large."""
    return _AROUND_BYTES + len(event.script or "") + sum(map(len, event.values()))


def is_full(held: int, size: int) -> bool:
    """Whether so many gathered events, of so many bytes, are stored before the script goes on."""
    return held >= HELD_EVENTS or size >= HELD_BYTES


def first_commit(sizes: Sequence[int]) -> int:
    """How many of the gathered events of these sizes are stored first: at least one."""
    size = 0
    for place, each in enumerate(sizes[:HELD_EVENTS]):
        size += each
        if place > 0 and size > _COMMIT_BYTES:
            return place
    return min(len(sizes), HELD_EVENTS)


def smaller(events: int) -> int:
    """How many to try in place of a commit that is too large for one message: the first half, none of one event."""
    return events // 2
