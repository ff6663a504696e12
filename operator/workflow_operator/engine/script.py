"""One run of one script in a sandbox: every host call answered from the history, or done and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from workflow_operator import metrics
from workflow_operator.engine.clock import Clock
from workflow_operator.engine.limits import EngineLimits
from workflow_operator.engine.measures import count_call, counted_limits
from workflow_operator.engine.tail import Tail
from workflow_operator.history import CallRecord, Caught, EventType, InstanceEvent, Json
from workflow_operator.history.errors import (
    CpuLimit,
    EngineCrash,
    HistoryLimit,
    HostLimit,
    MemoryLimit,
    NonDeterminism,
    ScriptError,
    Thrown,
    Timeout,
)
from workflow_operator.javascript.host import HostCall, Job, LogLine, Returned
from workflow_operator.javascript.host.lines import ExecutionLines
from workflow_operator.replay import New, Recorded, Replay, Unanswered

if TYPE_CHECKING:
    from pydantic import JsonValue

T = TypeVar("T")


class Session(Protocol):
    """A sandbox process that runs one script; see :class:`workflow_operator.javascript.host.Session`."""

    async def guarded(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T: ...

    async def begin(self, job: Job) -> None: ...

    async def next(self) -> HostCall | LogLine | Returned: ...

    async def answer(self, value: JsonValue, time_ms: int, *, recorded: bool = True) -> None: ...


class Sandboxes(Protocol):
    def session(self, namespace: str) -> AbstractAsyncContextManager[Session]: ...


LogSink: TypeAlias = Callable[[InstanceEvent, LogLine], None]
"""Takes a line that a script printed, and the ``started`` event of its instance."""


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
    """``waiting`` is recorded; the instance is to be queued again at ``until``."""

    until: datetime
    cause: int


# To run into a limit during a replay is not another way taken; and what is found to be one names both calls already.
_SAYS_ALL = (Timeout, CpuLimit, MemoryLimit, HostLimit, HistoryLimit, NonDeterminism)
_CONTENDED_SLICE_SECONDS = 5.0
_LONGEST_SLEEP_SECONDS = 100 * 365 * 24 * 3600

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


class Script:
    """Drives one script to its outcome. It may be cancelled whenever the tail's lock is free."""

    def __init__(
        self,
        events: Sequence[InstanceEvent],
        tail: Tail,
        clock: Clock,
        limits: EngineLimits,
        log: LogSink,
        slot: Slot,
    ) -> None:
        self._started = events[0]
        self._replay = Replay(events)
        self._output = next((event for event in events if event.type is EventType.OUTPUT), None)
        self._finished = False
        self._count = len(events)
        self._size = sum(event.size for event in events)
        self._tail = tail
        self._clock = clock
        self._slot = slot
        # When the script got to what is not in the history.
        self._working_since: datetime | None = None
        self._begun = clock.now()
        self._limits = limits
        self._log = log
        self._lines = ExecutionLines(limits.sandbox.log_bytes)

    async def run(self, sandboxes: Sandboxes) -> Outcome:
        """Run the script from its top.

        Raises:
            EngineCrash: the sandbox process died; another try may go well.
            Overtaken: another executor has the instance.
            Unavailable: NATS does not answer.
        """
        metrics.REPLAYS.inc(self._replay.replaying)
        async with sandboxes.session(self._started.namespace) as session:
            try:
                with counted_limits():
                    return await session.guarded(lambda: self._run(session))
            except EngineCrash:
                raise
            except ScriptError as error:
                return self._failed(error)

    async def _run(self, session: Session) -> Outcome:
        await session.begin(self._job())
        while True:
            message = await session.next()
            if isinstance(message, LogLine):
                self._print(message)
                # Thousands of lines can be here already: without a pause, no other run's message would be extended.
                await asyncio.sleep(0)
            elif isinstance(message, Returned):
                self._replay.check_finished()
                output = message.output if self._output is None else self._output.output
                return Succeeded(output, message.caught)
            else:
                # Only a second finish is answered without an event.
                recorded = message.name != "finish" or not self._finished
                ended = await self._handle(message)
                if ended is not None:
                    return ended
                await session.answer(None, _milliseconds(self._replay.time), recorded=recorded)

    def _job(self) -> Job:
        started = self._started
        return Job(
            script=started.script or "",
            entrypoint=started.entrypoint,
            input_json=None if started.input is None else started.input.data.decode(),
            instance_id=str(started.instance_id),
            seed=started.instance_id.int % 2**53,
            time_ms=_milliseconds(started.time),
            limits=self._limits.sandbox,
            lenient=started.rules < 1,
        )

    def _print(self, line: LogLine) -> None:
        # What was printed before costs nothing.
        if not self._replay.replaying and (printed := self._lines.take(line)) is not None:
            self._log(self._started, printed)

    def _failed(self, error: ScriptError) -> Outcome:
        if not isinstance(error, _SAYS_ALL):
            try:
                self._replay.check_finished()
            except ScriptError as divergence:
                error = divergence
        if self._output is None:
            return Failed(error)
        self._log(self._started, LogLine("error", f"after finish(): {error.name}: {error.message}"))
        return Succeeded(self._output.output)

    async def _handle(self, call: HostCall) -> Outcome | None:
        """Do one host call; the outcome if the script goes no further now. Every call here answers undefined."""
        if call.name == "finish":
            if self._finished:
                # The first one counts; the others are not recorded.
                return None
            self._finished = True
        found = self._replay.call(call.name, call.arguments)
        handler = {"transition": self._transition, "sleep": self._sleep, "finish": self._finish}[call.name]
        count_call(call.name, found)
        if isinstance(found, Recorded):
            outcome = None
        else:
            self._working_since = self._working_since or self._clock.now()
            outcome = await handler(found, call)
        if self._tail.cancelled is not None:
            return Cancelled(self._tail.cancelled.reason or "")
        return outcome

    async def _park(self, until: datetime) -> Parked:
        waiting = await self._tail.append(EventType.WAITING, wake_at=until)
        return Parked(until, waiting.sequence)

    def _seconds_since(self, then: datetime) -> float:
        return (self._clock.now() - then).total_seconds()

    async def _transition(self, found: New | Unanswered, call: HostCall) -> Outcome | None:
        step = {"function": _text(call, "function"), "memory": _value(call, "payload")}
        await self._record(EventType.TRANSITION, found.call, **step, caught=call.caught)
        assert self._working_since is not None
        # A replay is no work: who was parked here must get further the next time.
        if self._slot.contended() and slice_is_over(self._seconds_since(self._working_since), self._limits, True):
            return await self._park(self._tail.now())
        return None

    async def _finish(self, found: New | Unanswered, call: HostCall) -> None:
        self._output = await self._record(
            EventType.OUTPUT, found.call, output=_value(call, "output"), caught=call.caught
        )

    async def _sleep(self, found: New | Unanswered, call: HostCall) -> Outcome | None:
        if isinstance(found, New):
            seconds = _value(call, "seconds")
            assert isinstance(seconds, int | float)
            if seconds > _LONGEST_SLEEP_SECONDS:
                raise Thrown(
                    "RangeError",
                    f"sleep: expected at most {_LONGEST_SLEEP_SECONDS} seconds (100 years), got {seconds}",
                    line=call.line,
                )
            fire_at = self._tail.now() + timedelta(seconds=seconds)
            timer = await self._record(EventType.TIMER_STARTED, found.call, fire_at=fire_at, caught=call.caught)
        else:
            timer = found.event
        assert timer.fire_at is not None
        now = self._tail.now() if isinstance(found, New) else max(self._tail.now(), self._slot.due)
        # From here on time passes by the clock that cannot be set back.
        remaining = (timer.fire_at - now).total_seconds()
        if parks(remaining, self._seconds_since(self._begun), self._limits, self._slot.contended()):
            return await self._park(timer.fire_at)
        await self._clock.sleep(remaining)
        await self._record(EventType.TIMER_FIRED, found.call, not_before=timer.fire_at)
        return None

    async def _record(self, kind: EventType, call: CallRecord, **fields: Any) -> InstanceEvent:
        limits = self._limits
        if self._count >= limits.history_events or self._size >= limits.history_bytes:
            raise HistoryLimit(
                f"the run has recorded {self._count} events of {self._size} bytes in all; expected at most "
                f"{limits.history_events} events and {limits.history_bytes} bytes. Record less in each step, or split "
                "the work over several runs"
            )
        event = (await self._tail.append(kind, call=call, **fields)).slim()
        self._count += 1
        self._size += event.size
        self._replay.record(event)
        return event


def _value(call: HostCall, name: str) -> Json | JsonValue:
    return call.arguments[name]


def _text(call: HostCall, name: str) -> str:
    value = _value(call, name)
    assert isinstance(value, str)
    return value


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)
