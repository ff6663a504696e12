"""What a host call is, for the registry; each is a file of its own beside this one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from workflow_operator.engine.calls.policy import Policy
from workflow_operator.engine.clock import Clock, time_of
from workflow_operator.engine.limits import EngineLimits
from workflow_operator.engine.outcome import Outcome, Parked, Slot, slice_is_over
from workflow_operator.history import CallRecord, EventType, InstanceEvent, InstanceKey, WaitedFor
from workflow_operator.http import Answer
from workflow_operator.http import Request as HttpRequest
from workflow_operator.javascript.host import Arguments, HostCall, Take
from workflow_operator.replay import New, Unanswered


class Http(Protocol):
    """Sends requests; see :class:`workflow_operator.http.HttpClient`."""

    async def send(self, request: HttpRequest, namespace: str, max_bytes: int) -> Answer: ...


class Run(Protocol):
    """The run in which a call is made."""

    clock: Clock
    limits: EngineLimits
    slot: Slot
    http: Http

    @property
    def key(self) -> InstanceKey: ...

    def now(self) -> datetime:
        """The time in this history: that of the clock, and never before the last event."""

    def held_seconds(self) -> float:
        """For how long it has held its slot."""

    def worked_seconds(self) -> float:
        """For how long it has done what is not in its history."""

    @property
    def busy(self) -> bool:
        """Whether attempts of steps or requests are under way, which a park would cut off."""

    def check_room(self, kind: EventType) -> None:
        """Whoever does something outside asks before, whether the event of it may be recorded.

        Raises:
            HistoryLimit: the run has recorded as much as it may.
        """

    async def record(self, kind: EventType, call: CallRecord, **fields: Any) -> InstanceEvent:
        """Gather what is to be recorded. Whoever does more than that for the script stores it first.

        Raises:
            HistoryLimit: the run has recorded as much as it may.
        """

    def moved(self, due: datetime, begun: datetime) -> datetime:
        """When a time that began at ``begun`` is over: it stood still while the run was suspended."""

    async def flush(self) -> None:
        """Store all that is gathered."""

    @property
    def suspending(self) -> bool:
        """Whether nothing new may begin, as the run is to be suspended."""

    async def suspend(self, on: tuple[WaitedFor, ...] = ()) -> Parked:
        """Park until it is resumed."""

    async def park(self, until: datetime | None, on: tuple[WaitedFor, ...] = ()) -> Parked:
        """Record that the run waits, and for what; it is to be queued again at that time, if there is one."""


Handle: TypeAlias = Callable[[Run, New | Unanswered, HostCall], Awaitable[Outcome | None]]


@dataclass(frozen=True, slots=True)
class Call:
    """A host call, by the name that the prelude gives it.

    ``take`` reads its arguments, which a script has written. ``handle`` does what the history does not hold, and
    records it; it returns an outcome where the script goes no further now. What answers the script is the event
    callCompleted that it recorded: its result, or its error; without one, undefined.
    ``marker``: the call only says where the script has got to. It is recorded as it is told, and nobody waits for it.
    """

    name: str
    take: Take
    handle: Handle
    marker: bool = False


@dataclass(frozen=True, slots=True)
class Timer:
    """A call that gives a promise, which is settled at a time: ``due(arguments, now)``."""

    name: str
    take: Take
    due: Callable[[Arguments, datetime], datetime]


@dataclass(frozen=True, slots=True)
class Request:
    """A call that gives a promise of what the executor does outside.

    ``send(run, arguments, key)`` does it, and gives the fields of what is recorded; ``key`` tells the call from every
    other one. It is also what an attempt of a step may do, and is not recorded then.
    """

    name: str
    take: Take
    send: Callable[[Run, Arguments, str], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Function:
    """A call that gives a promise of what a function of the script gives, in the attempts that ``policy`` allows."""

    name: str
    take: Take
    policy: Callable[[Arguments], Policy]


@dataclass(frozen=True, slots=True)
class Wait:
    """A call that gives a promise of an event from outside: of one of the arguments' ``types``, within ``timeout``
    milliseconds if there is one."""

    name: str
    take: Take


AsyncKind: TypeAlias = Timer | Request | Function | Wait


def identity(kind: AsyncKind, arguments: Arguments) -> Arguments:
    """What a replay must ask for again: of a step its name, for how it is done may depend on anything."""
    return {"name": arguments["name"]} if isinstance(kind, Function) else arguments


def must_give_way(run: Run) -> bool:
    """Whether a run has worked for its slice while others wait. A replay is no work: who was parked must get further
    the next time."""
    return run.slot.contended() and slice_is_over(run.worked_seconds(), run.limits, True)


async def gives_way(run: Run) -> Parked | None:
    """Park a run that must give way, where nothing is under way that this would cut off."""
    return await run.park(run.now()) if not run.busy and must_give_way(run) else None


def told(call: HostCall) -> dict[str, Any]:
    """What an event tells of its call besides what was asked: its very time, if the script did not wait for one."""
    return {"caught": call.caught, "at": None if call.time_ms is None else time_of(call.time_ms)}
