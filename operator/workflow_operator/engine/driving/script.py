"""One run of one script in a sandbox: every host call answered from the history, or done and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from workflow_operator import metrics
from workflow_operator.engine.calls import ASYNC_CALLS, CALLS, Http
from workflow_operator.engine.clock import Clock, shown_ms
from workflow_operator.engine.driving.pending import answered_ms
from workflow_operator.engine.driving.tail import Tail
from workflow_operator.engine.driving.turns import Turns
from workflow_operator.engine.limits import EngineLimits
from workflow_operator.engine.measures import count_call, counted_limits
from workflow_operator.engine.outcome import Cancelled, Failed, Outcome, Parked, Slot, Succeeded
from workflow_operator.history import TOGGLES, CallRecord, EventType, InstanceEvent, InstanceKey, Json, WaitedFor
from workflow_operator.history.errors import (
    CpuLimit,
    EngineCrash,
    HistoryLimit,
    HostLimit,
    MemoryLimit,
    NonDeterminism,
    ScriptError,
    Timeout,
)
from workflow_operator.javascript.host import (
    AsyncCall,
    Effect,
    GivenUp,
    HostCall,
    Idle,
    Job,
    LogLine,
    Result,
    Returned,
    Said,
    Turn,
    never_sent,
)
from workflow_operator.javascript.host.lines import ExecutionLines
from workflow_operator.replay import New, Recorded, Replay, Suspensions, Unanswered

T = TypeVar("T")


class Session(Protocol):
    """A sandbox process that runs one script; see :class:`workflow_operator.javascript.host.Session`."""

    async def guarded(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T: ...

    async def begin(self, job: Job) -> None: ...

    async def next(self) -> Said: ...

    async def turn(self, turn: Turn) -> None: ...

    async def answer(self, value: Json | None, time_ms: int) -> None: ...

    async def throw(self, name: str, message: str, time_ms: int) -> None: ...


class Sandboxes(Protocol):
    def session(self, namespace: str) -> AbstractAsyncContextManager[Session]: ...


LogSink: TypeAlias = Callable[[InstanceEvent, LogLine], None]
"""Takes a line that a script printed, and the ``started`` event of its instance."""


class Host(NamedTuple):
    """What scripts are driven with, all of one executor."""

    clock: Clock
    limits: EngineLimits
    log: LogSink
    http: Http


# To run into a limit during a replay is not another way taken; and what is found to be one names both calls already.
_SAYS_ALL = (Timeout, CpuLimit, MemoryLimit, HostLimit, HistoryLimit, NonDeterminism)


class Script:
    """Drives one script to its outcome; it is the Run of its host calls.

    It may be cancelled whenever the tail's lock is free.
    """

    def __init__(
        self,
        events: Sequence[InstanceEvent],
        tail: Tail,
        host: Host,
        slot: Slot,
    ) -> None:
        self._started = events[0]
        self._replay = Replay(events)
        self._output = next((event for event in events if event.type is EventType.OUTPUT), None)
        self._count = len(events)
        self._size = sum(event.size for event in events)
        self._answers_size = sum(event.size for event in events if event.type is EventType.CALL_COMPLETED)
        self._tail = tail
        self.clock = host.clock
        self.http = host.http
        self.slot = slot
        # When the script got to what is not in the history.
        self._working_since: datetime | None = None
        self._begun = host.clock.now()
        self.limits = host.limits
        self._answer: InstanceEvent | None = None
        self._received = 0
        self._suspensions = Suspensions()
        # It was told to: what it holds of dates may be wrong from here on, so it goes no further.
        self._suspending = False
        self._log = host.log
        self._lines = ExecutionLines(host.limits.sandbox.log_bytes)
        self._turns = Turns(self, self._replay, lambda text: self._print(LogLine("warn", text)))
        for event in events:
            # Most of a long history is neither.
            if event.signal is not None or event.signal_sequence is not None:
                self._input(event)
            elif event.type in TOGGLES:
                self._suspensions.take(event)
        tail.received = self._input

    async def run(self, sandboxes: Sandboxes) -> Outcome:
        """Run the script from its top.

        Raises:
            EngineCrash: the sandbox process died; another try may go well.
            Overtaken: another executor has the instance.
            Unavailable: NATS does not answer.
        """
        metrics.REPLAYS.inc(self._replay.replaying)
        try:
            async with sandboxes.session(self._started.namespace) as session:
                try:
                    with counted_limits():
                        return await session.guarded(lambda: self._run(session))
                except EngineCrash:
                    raise
                except ScriptError as error:
                    return self._failed(error)
        except EngineCrash as crash:
            return await self._crashed(crash)

    async def _run(self, session: Session) -> Outcome:
        await session.begin(self._job())
        try:
            while True:
                if (message := await self._next(session)) is None:
                    if (parked := await self._turns.blocked()) is not None:
                        return parked
                    continue
                if (ended := await self._do(session, message)) is not None:
                    return ended
        finally:
            await self._turns.close()

    async def _next(self, session: Session) -> Said | None:
        """What the script does next; None if it keeps an attempt of a step from ending."""
        if (seconds := self._turns.seconds_left()) is None:
            return await session.next()
        task, late = asyncio.current_task(), False
        assert task is not None

        def stop() -> None:
            nonlocal late
            late = True
            task.cancel()

        timer = self.clock.call_later(seconds, stop)
        try:
            return await session.next()
        except asyncio.CancelledError:
            if late and not task.uncancel():
                return None
            raise
        finally:
            timer.cancel()

    async def _do(self, session: Session, message: Said) -> Outcome | None:
        match message:
            case LogLine():
                self._print(message)
            case Returned():
                self._replay.check_finished()
                self._turns.ended()
                output = message.output if self._output is None else self._output.output
                return Succeeded(output, message.caught)
            case HostCall(attempt=None):
                return await self._called(session, message)
            case HostCall():
                await self._turns.answer(message, session)
            case AsyncCall():
                self._turns.called(message)
            case Effect():
                self._turns.asked(message)
            case GivenUp():
                self._turns.given_up(message)
            case Result():
                self._turns.resulted(message)
            case Idle(returned):
                return self._cancelled() or await self._turns.idle(session, returned) or self._cancelled()
        return None

    async def _called(self, session: Session, call: HostCall) -> Outcome | None:
        if self._turns.in_attempt:
            raise never_sent(f"{call.name} in an attempt of a step")
        found = self._found(call)
        if self._suspending and not isinstance(found, Recorded):
            return self._cancelled() or await self.suspend()
        ended = None if isinstance(found, Recorded) else await self._handle(found, call)
        if (ended := self._cancelled() or ended) is None and call.wants_answer:
            await self._reply(session, found.event if isinstance(found, Recorded) else self._answer)
        return ended

    def _cancelled(self) -> Cancelled | None:
        request = self._tail.cancelled
        return None if request is None else Cancelled(request.reason or "")

    def _job(self) -> Job:
        started = self._started
        return Job(
            script=started.script or "",
            entrypoint=started.entrypoint,
            input_json=None if started.input is None else started.input.data.decode(),
            instance_id=str(started.instance_id),
            seed=started.instance_id.int % 2**53,
            time_ms=shown_ms(started.time),
            now_ms=shown_ms(self._tail.now()),
            answered_ms=[answered_ms(event) for event in self._replay.answers(ASYNC_CALLS)],
            namespace=started.namespace,
            name=started.origin.name if started.origin else "",
            limits=self.limits.sandbox,
            lenient=started.rules < 1,
        )

    async def _reply(self, session: Session, answer: InstanceEvent | None) -> None:
        time_ms = shown_ms(self._replay.time)
        if answer is not None and answer.error is not None:
            await session.throw(answer.error.name, answer.error.message, time_ms)
        else:
            await session.answer(None if answer is None else answer.result, time_ms)

    def _print(self, line: LogLine) -> None:
        # What was printed before costs nothing.
        if not self._replay.replaying and (printed := self._lines.take(line)) is not None:
            self._log(self._started, printed)

    async def _crashed(self, crash: EngineCrash) -> Outcome:
        """Another one goes on behind what the script has done."""
        try:
            await self._tail.flush()
        except ScriptError as error:
            return self._failed(error)
        raise crash

    def _failed(self, error: ScriptError) -> Outcome:
        if not isinstance(error, _SAYS_ALL):
            try:
                self._replay.check_finished()
            except ScriptError as divergence:
                error = divergence
        if self._output is None or self._tail.lost(self._output):
            return Failed(error)
        self._log(self._started, LogLine("error", f"after finish(): {error.name}: {error.message}"))
        return Succeeded(self._output.output)

    def _found(self, call: HostCall) -> New | Unanswered | Recorded:
        found = self._replay.call(call.name, call.arguments)
        count_call(call.name, found)
        return found

    async def _handle(self, found: New | Unanswered, call: HostCall) -> Outcome | None:
        """Do one host call; the outcome if the script goes no further now."""
        self._working_since = self._working_since or self.clock.now()
        self._answer = None
        if (kind := CALLS.get(call.name)) is None:
            raise never_sent(f"a wait for {call.name}")
        return await kind.handle(self, found, call)

    # --- what calls do it with: see calls.Run

    @property
    def key(self) -> InstanceKey:
        return self._started.key

    def now(self) -> datetime:
        return self._tail.now()

    def held_seconds(self) -> float:
        return self._seconds_since(self._begun)

    def worked_seconds(self) -> float:
        return 0.0 if self._working_since is None else self._seconds_since(self._working_since)

    def _seconds_since(self, then: datetime) -> float:
        return (self.clock.now() - then).total_seconds()

    async def flush(self) -> None:
        await self._tail.flush()

    def check_room(self, kind: EventType) -> None:
        limits = self.limits
        if self._count >= limits.history_events or self._size >= limits.history_bytes:
            raise HistoryLimit(
                f"the run has recorded {self._count} events of {self._size} bytes in all; expected at most "
                f"{limits.history_events} events and {limits.history_bytes} bytes. Record less in each step, or split "
                "the work over several runs"
            )
        if kind is EventType.CALL_COMPLETED and self._answers_size >= limits.answers_bytes:
            raise HistoryLimit(
                f"the run has recorded answers of {self._answers_size} bytes in all; expected at most "
                f"{limits.answers_bytes} bytes. Ask for less, or split the work over several runs"
            )

    @property
    def busy(self) -> bool:
        return self._turns.busy

    async def park(self, until: datetime | None, on: tuple[WaitedFor, ...] = ()) -> Parked:
        await self._turns.finish_requests()
        received = self._received
        waiting = await self._tail.append(EventType.WAITING, wake_at=until, on=on)
        if self._received > received:
            # Who sent it relies on whoever drives the run, and that is nobody from here on.
            until = self.now()
            waiting = await self._tail.append(EventType.WAITING, wake_at=until, on=on)
        return Parked(until, waiting.sequence)

    @property
    def suspending(self) -> bool:
        return self._suspending

    async def suspend(self, on: tuple[WaitedFor, ...] = ()) -> Parked:
        """Park until somebody resumes it; at once if somebody has."""
        return await self.park(None if self._suspensions.since is not None else self.now(), on)

    def moved(self, due: datetime, begun: datetime) -> datetime:
        return self._suspensions.moved(due, begun)

    def _input(self, event: InstanceEvent) -> None:
        if event.type in TOGGLES:
            self._received += 1
            self._suspensions.take(event)
            self._suspending |= self._suspensions.since is not None
            self._turns.woken()
        elif event.type is EventType.SIGNAL:
            self._received += 1
            self._turns.received(event)
        else:
            self._turns.taken(event)

    async def record(self, kind: EventType, call: CallRecord, **fields: Any) -> InstanceEvent:
        self.check_room(kind)
        event = self._tail.gather(kind, call=call, **fields).slim()
        self._count += 1
        self._size += event.size
        self._replay.record(event)
        self._lines.renew()
        match kind:
            case EventType.OUTPUT:
                self._output = event
            case EventType.CALL_COMPLETED:
                self._answer = event
                self._answers_size += event.size
        if self._tail.full:
            await self._tail.flush()
        return event
