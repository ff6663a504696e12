"""How a drive of a script ends, and what it is driven in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from workflow_operator.engine.limits import EngineLimits
from workflow_operator.history import Caught, Json
from workflow_operator.history.errors import ScriptError

if TYPE_CHECKING:
    from pydantic import JsonValue

_CONTENDED_SLICE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Succeeded:
    output: Json | JsonValue
    caught: Caught | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    error: ScriptError


@dataclass(frozen=True, slots=True)
class Cancelled:
    reason: str


@dataclass(frozen=True, slots=True)
class Parked:
    """``waiting`` is recorded; the instance is to be queued again at ``until``, or when somebody appends something."""

    until: datetime | None
    cause: int


Outcome: TypeAlias = Succeeded | Failed | Cancelled | Parked


@dataclass(frozen=True, slots=True)
class Slot:
    """What a script is driven in.

    ``due`` is the later of the clock's time and the queue's time of the message: a sleep that ends before it is over,
    also where this machine's clock is behind. ``contended``: whether somebody waits for the slot.
    """

    due: datetime
    contended: Callable[[], bool]


def parks(remaining_seconds: float, held_seconds: float, limits: EngineLimits, contended: bool = False) -> bool:
    """Whether a sleep gives up the sandbox: a long one, or any one of a run that has held its slot for long, or that
    others wait for. Pure."""
    if contended:
        return remaining_seconds > 0 or slice_is_over(held_seconds, limits, contended)
    return remaining_seconds > (0.0 if slice_is_over(held_seconds, limits, contended) else limits.park_after_seconds)


def slice_is_over(held_seconds: float, limits: EngineLimits, contended: bool) -> bool:
    """Whether a run has held its slot for long, which is shorter while others wait. Pure."""
    return held_seconds > (min(limits.slice_seconds, _CONTENDED_SLICE_SECONDS) if contended else limits.slice_seconds)
