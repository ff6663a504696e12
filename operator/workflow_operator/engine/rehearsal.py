"""A run once more, from its history and with nothing else: does the script make of it what it made before?

Whatever a script keeps from one call to the next has to come out the same in each replay. What does not, such as a
variable that the function of a step sets, shows here, and otherwise only behind a crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NoReturn

from workflow_operator.engine.clock import Clock
from workflow_operator.engine.driving.script import Host, Sandboxes, Script
from workflow_operator.engine.limits import EngineLimits
from workflow_operator.engine.outcome import Failed, Outcome, Slot, Succeeded
from workflow_operator.history import EventType, InstanceEvent, Json
from workflow_operator.history.errors import (
    CpuLimit,
    EngineCrash,
    HistoryLimit,
    HostLimit,
    MemoryLimit,
    NonDeterminism,
    Timeout,
)
from workflow_operator.http import Answer, Request

_SHOWN_CHARACTERS = 200
# What depends on the machine, or on what others did.
_LIMITS = frozenset(
    kind.__name__ for kind in (Timeout, CpuLimit, MemoryLimit, HostLimit, EngineCrash, HistoryLimit, NonDeterminism)
)


class Beyond(Exception):
    """The script has come to what the history does not hold."""


class _Past:
    """The end of a history that nothing is added to."""

    cancelled = None
    full = False

    def __init__(self, events: Sequence[InstanceEvent]) -> None:
        self._last = max(event.time for event in events)
        self.lock = asyncio.Lock()

    def now(self) -> datetime:
        return self._last

    def gather(self, kind: EventType, **fields: Any) -> NoReturn:
        call = fields.get("call")
        raise Beyond(f"{kind}" if call is None else f"{call.name} ({kind}, call {call.index})")

    async def append(self, kind: EventType, **fields: Any) -> NoReturn:
        self.gather(kind, **fields)

    async def flush(self) -> None:
        """There is nothing to store."""

    def lost(self, event: InstanceEvent) -> bool:
        return False


class _NoHttp:
    async def send(self, request: Request, namespace: str, max_bytes: int) -> Answer:
        raise Beyond(f"{request.method} {request.url.host}")


async def rehearse(
    events: Sequence[InstanceEvent], sandboxes: Sandboxes, clock: Clock, limits: EngineLimits
) -> str | None:
    """Run the script of a history again; what is different then, or None.

    Of a run that goes on, was cancelled or ran into a limit only its calls are compared. Functions of steps that have
    no recorded end may be run; nothing is sent, and nothing is recorded.

    Raises:
        EngineCrash: the sandbox process died.
    """
    last = events[-1]
    known = [event for event in events if not event.terminal]
    past: Any = _Past(known)
    host = Host(clock, limits, lambda *_: None, _NoHttp())
    script = Script(known, past, host, Slot(past.now(), lambda: False))
    try:
        outcome: Outcome | Beyond = await script.run(sandboxes)
    except Beyond as beyond:
        outcome = beyond
    return difference(last, outcome)


def difference(last: InstanceEvent, outcome: Outcome | Beyond) -> str | None:
    """What a replay made otherwise. Pure."""
    if isinstance(outcome, Failed) and isinstance(outcome.error, NonDeterminism):
        return outcome.error.message
    if last.type is EventType.SUCCEEDED:
        match outcome:
            case Succeeded(output) if _same(output, last.output):
                return None
            case Succeeded(output):
                return f"the output is {_shown(last.output)}, and {_shown(output)} when the script runs again"
            case Failed(error):
                return f"the run succeeded, and fails when the script runs again: {error.name}: {error.message}"
            case Beyond():
                return f"the run ended, and asks for more when the script runs again: {outcome}"
    if last.type is EventType.FAILED and last.error is not None and last.error.name not in _LIMITS:
        match outcome:
            case Failed(error) if error.name != last.error.name and error.name not in _LIMITS:
                return f"the run failed with {last.error.name}, and with {error.name} when the script runs again"
            case Succeeded():
                return f"the run failed with {last.error.name}, and succeeds when the script runs again"
    return None


def _same(one: Any, other: Json | None) -> bool:
    return isinstance(one, Json) and other is not None and one.load() == other.load()


def _shown(value: Any) -> str:
    return (value if isinstance(value, Json) else Json.of(value)).text(_SHOWN_CHARACTERS)
