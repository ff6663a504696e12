"""The turns of a script that makes calls which give it a promise: what an idle script goes on with.

In this order: what the history holds, one completion at a time; what came of attempts and requests, which is recorded
first; attempts of steps, each in a turn of its own; the end; timers. So a replay delivers what the first execution
delivered, in its order, before anything is done anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, Protocol

from workflow_operator.engine.calls import (
    ASYNC_CALLS,
    EFFECTS,
    Function,
    Request,
    Run,
    Timer,
    Wait,
    identity,
    must_give_way,
)
from workflow_operator.engine.clock import shown_ms
from workflow_operator.engine.driving.attempts import Attempts, call_key
from workflow_operator.engine.driving.errands import Errands, cancelled
from workflow_operator.engine.driving.pending import Dates, Pending, answered_ms, settled, thrown
from workflow_operator.engine.driving.waits import Waits
from workflow_operator.engine.measures import count_call
from workflow_operator.engine.outcome import Parked, parks
from workflow_operator.history import EventType, InstanceEvent, Json, WaitedFor, rfc3339
from workflow_operator.javascript.host import AsyncCall, Effect, GivenUp, HostCall, Result, Turn, never_sent
from workflow_operator.replay import Mode, Replay

MOST_PENDING = 1000
# Of the arguments of calls that are under way: what the prelude lets through, all of it in the longest characters.
_MOST_HELD_BYTES = 3 * 8 * 1024 * 1024
_SHOWN_NAMES = 8
# For an attempt that is late because the machine is: it may become idle yet.
_BLOCKED_GRACE_SECONDS = 1.0


class Idler(Protocol):
    """The side of a session that takes turns."""

    async def turn(self, turn: Turn) -> None: ...

    async def answer(self, value: Json | None, time_ms: int) -> None: ...

    async def throw(self, name: str, message: str, time_ms: int) -> None: ...


class Turns:
    """What one execution of a script waits for; ``told`` takes a line for its log. To be closed."""

    def __init__(self, run: Run, replay: Replay, told: Callable[[str], None]) -> None:
        self._run = run
        self._replay = replay
        self._told = told
        self._pending: dict[int, Pending] = {}
        self._by_index: dict[str, Pending] = {}
        self._holding = 0
        self._unopened: dict[Pending, None] = {}
        self._attempts = Attempts(run, replay)
        self._timers = Dates()
        self._waits = Waits(run, replay)
        self._news = asyncio.Event()
        # Two: a script that is blocked lets no effect go on, and must not keep requests from ending.
        self._requests: Errands[Pending] = Errands(run, self._news.set)
        self._effects: Errands[int] = Errands(run, self._news.set)
        # Whose each of them is, and what its arguments take.
        self._effects_of: dict[int, tuple[Pending, int]] = {}
        self._held_bytes = 0
        self._owner: Pending | None = None
        self._made = 0

    def received(self, event: InstanceEvent) -> None:
        """An event from outside, as it stands in the history."""
        self._waits.received(event)
        self._news.set()

    def woken(self) -> None:
        """Something has come that it must look at."""
        self._news.set()

    def taken(self, event: InstanceEvent) -> None:
        """An event of the history that may say who got one."""
        self._waits.taken(event)

    # --- what the script says

    def called(self, call: AsyncCall) -> None:
        """A call that gave it a promise."""
        kind = ASYNC_CALLS.get(call.name)
        self._made += 1
        if kind is None or self.in_attempt or call.number != self._made or len(self._pending) >= MOST_PENDING:
            raise never_sent(f"the call {call.name[:64]} with number {call.number}")
        self._hold(_size(call.arguments))
        mode = Mode.FUNCTION if isinstance(kind, Function) else Mode.ASYNC
        found = self._replay.call(call.name, identity(kind, call.arguments), mode)
        count_call(call.name, found)
        pending = Pending(call.number, kind, call, found.call)
        self._pending[call.number] = self._by_index[pending.index] = pending
        self._holding += pending.holds
        if isinstance(kind, Function):
            self._attempts.added(pending)
        else:
            self._unopened[pending] = None
        if isinstance(kind, Wait):
            self._waits.added(pending)

    def asked(self, effect: Effect) -> None:
        """An attempt has the executor do something; it is done at once."""
        owner = self._attempting(effect.attempt)
        kind = EFFECTS.get(effect.name)
        if kind is None or effect.number in self._effects_of or len(self._effects_of) >= MOST_PENDING:
            raise never_sent(f"the effect {effect.name[:64]} with number {effect.number}")
        size = _size(effect.arguments)
        self._effects_of[effect.number] = owner, size
        self._hold(size)
        self._effects.begin(effect.number, kind, effect.arguments, self._attempts.effect_key(owner))

    async def answer(self, call: HostCall, session: Idler) -> None:
        """The same, for an attempt that waits without a promise."""
        owner = self._attempting(call.attempt or 0)
        if (kind := EFFECTS.get(call.name)) is None:
            raise never_sent(f"the effect {call.name[:64]}")
        fields = await kind.send(self._run, call.arguments, self._attempts.effect_key(owner))
        now_ms = shown_ms(self._run.now())
        if (error := fields.get("error")) is not None:
            await session.throw(error.name, error.message, now_ms)
        else:
            await session.answer(fields.get("result"), now_ms)

    def given_up(self, what: GivenUp) -> None:
        if what.effect:
            self._forget_effect(what.number)
            self._effects.drop(what.number)
        elif (pending := self._pending.get(what.number)) is not None:
            self._forget(pending)
            self._replay.give_up(pending.index)

    def resulted(self, result: Result) -> None:
        self._attempts.resulted(self._attempting(result.number), result)

    @property
    def in_attempt(self) -> bool:
        """Whether an attempt of a step has the word, in which nothing else may be done."""
        return self._owner is not None

    @property
    def busy(self) -> bool:
        """Whether attempts or requests are under way."""
        return bool(len(self._attempts) or len(self._requests) or len(self._effects))

    def _attempting(self, number: int) -> Pending:
        found = self._pending.get(number)
        if found is None or found not in self._attempts:
            raise never_sent(f"something of an attempt of call {number}, which is not under way")
        return found

    # --- what it goes on with

    async def idle(self, session: Idler, returned: bool) -> Parked | None:
        """Answer a script that is idle; ``returned``: its entry has. Where it parks there is no answer."""
        self._owner = None
        while True:
            self._news.clear()
            if self._run.suspending:
                return await self._suspend(session)
            if await self._deliver(session):
                return None
            if await self._attempts.record() or await self._record_requests():
                continue
            if (returned and not self._holding) or not self._pending:
                # Or nothing will settle anything.
                await self._end(session)
                return None
            if await self._go_on_in_attempt(session):
                return None
            if await self._waits.match():
                continue
            await self._open()
            if await self._record_due():
                continue
            if (parked := await self._wait()) is not None:
                return parked

    async def _suspend(self, session: Idler) -> Parked | None:
        """Let what is under way end, and be recorded; begin nothing, and settle nothing."""
        while True:
            self._news.clear()
            if await self._attempts.record() or await self._record_requests():
                continue
            if not self.busy:
                return await self._run.suspend(self._waited_for())
            if await self._go_on_in_attempt(session):
                return None
            await self._run.flush()
            await self._pause(self._attempts.deadline())

    async def _go_on_in_attempt(self, session: Idler) -> bool:
        """With an attempt that begins, with what one asked for, or without one that is late."""
        self._attempts.let_due_begin(self._now())
        while not self._attempts.full and not must_give_way(self._run) and not self._run.suspending:
            if (start := self._replay.next_start()) is None:
                break
            pending = self._by_index[start.index]
            if (told := await self._attempts.begin(pending)) is None:
                # It is at its end without one.
                return await self._deliver(session)
            await self._attempt_turn(session, pending, "start", told)
            return True
        if (done := self._effects.take()) is not None:
            number, fields = done
            told = {"number": number} | settled(fields)
            await self._attempt_turn(session, self._effects_of[number][0], "effect", told)
            self._forget_effect(number)
            return True
        if (late := self._attempts.late()) is not None:
            error = await self._attempts.time_out(late)
            await self._attempt_turn(session, late, "timeout", {"number": late.number, "error": thrown(error)})
            return True
        return False

    async def _deliver(self, session: Idler) -> bool:
        """Settle what the history holds the end of, if there is anything."""
        if (delivery := self._replay.next_delivery()) is None:
            return False
        event, pending = delivery.event, self._by_index[delivery.index]
        self._forget(pending)
        fields: dict[str, Any] = {"number": pending.number}
        if event.error is not None:
            of_step = {"step": pending.name, "attempts": event.attempt} if isinstance(pending.kind, Function) else {}
            fields["error"] = thrown(event.error, event.result) | of_step
        elif event.signal_sequence is not None:
            fields["value"] = self._waits.value(event.signal_sequence)
        elif event.result is not None:
            fields["value"] = event.result
        answered = [answered_ms(each) for each in self._replay.answers(ASYNC_CALLS)]
        await session.turn(self._main_turn("settle", fields, answered))
        return True

    async def _end(self, session: Idler) -> None:
        if self._pending:
            names = ", ".join(pending.name for pending in list(self._pending.values())[:_SHOWN_NAMES])
            self._told(f"ended without waiting for {len(self._pending)} sleeps or events that are open: {names}")
        await session.turn(self._main_turn("end", {}, ()))

    def ended(self) -> None:
        """The run is over: say what nobody took, which shows a type that is misspelt."""
        if left := self._waits.left():
            self._told(f"ended without taking all events that came: {', '.join(left[:_SHOWN_NAMES])}")

    def _main_turn(self, kind: Literal["settle", "end"], fields: dict[str, Any], answered: Any) -> Turn:
        return Turn(kind, shown_ms(self._replay.time), shown_ms(self._run.now()), fields, answered)

    async def _attempt_turn(
        self, session: Idler, owner: Pending, kind: Literal["start", "effect", "timeout"], fields: dict[str, Any]
    ) -> None:
        self._owner = owner
        now_ms = shown_ms(self._run.now())
        await session.turn(Turn(kind, now_ms, now_ms, fields))

    def seconds_left(self) -> float | None:
        """For how long a script may compute before an attempt of it is late; None if none is under way."""
        if not len(self._attempts) or (date := self._attempts.next_date()) is None:
            return None
        return max(0.0, (date - self._run.now()).total_seconds()) + _BLOCKED_GRACE_SECONDS

    async def blocked(self) -> Parked | None:
        """The script has been computing for that long. If an attempt keeps it from becoming idle, that is recorded, and
        the run is to be taken up in another sandbox."""
        if self._attempts.late() is None:
            return None
        await self._attempts.record()
        while (late := self._attempts.late()) is not None:
            await self._attempts.time_out(late)
        return await self._run.park(self._run.now())

    # --- requests and timers

    async def _open(self) -> None:
        """Begin what the history does not know: timers get their time, requests are sent."""
        unopened, self._unopened = self._unopened, {}
        for pending in unopened:
            if isinstance(pending.kind, Timer):
                begun = self._replay.opened(pending.index)
                if begun is None:
                    at = pending.kind.due(pending.call.arguments, self._run.now())
                    told = {"fire_at": at, "function": pending.name}
                    begun = await self._run.record(EventType.TIMER_STARTED, pending.record, **told)
                self._timers.add(pending, begun.fire_at or begun.time)
            elif isinstance(pending.kind, Wait):
                await self._waits.begin(pending)
            elif isinstance(pending.kind, Request):
                self._run.check_room(EventType.CALL_COMPLETED)
                self._requests.begin(pending, pending.kind, pending.call.arguments, call_key(self._run, pending))

    async def _record_requests(self) -> bool:
        found = False
        while (done := self._requests.take()) is not None:
            found = True
            await self._run.record(EventType.CALL_COMPLETED, done[0].record, **done[1])
        if found:
            await self._run.flush()
        return found

    async def finish_requests(self) -> None:
        """Record what comes of the requests that are under way: whoever parks would send them again."""
        while len(self._requests):
            await self._requests.wait()
            await self._record_requests()

    async def _record_due(self) -> bool:
        found = False
        while (due := self._timers.take(self._now())) is not None:
            found = True
            told: dict[str, Any] = {"function": due[0].name, "not_before": due[1]}
            await self._run.record(EventType.TIMER_FIRED, due[0].record, **told)
        found |= await self._waits.end_due(self._now())
        if found:
            await self._run.flush()
        return found

    # --- waiting

    async def _wait(self) -> Parked | None:
        """Until something falls due, or comes of what is under way."""
        run = self._run
        found = (self._timers.first(), self._waits.next_date(), self._attempts.next_date())
        dates = [date for date in found if date is not None]
        if not self.busy and must_give_way(run):
            return await run.park(run.now())
        seconds = [(date - self._now()).total_seconds() for date in dates]
        if not self.busy and not dates:
            return await run.park(None, self._waited_for())
        if not self.busy and parks(min(seconds), run.held_seconds(), run.limits, run.slot.contended()):
            return await run.park(max(min(dates), run.now()), self._waited_for())
        await run.flush()
        await self._pause(min(dates, default=None))
        return None

    async def _pause(self, until: datetime | None) -> None:
        """Until there is news, or to that time."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._news.wait())]
        if until is not None:
            waits.append(asyncio.ensure_future(self._run.clock.sleep((until - self._now()).total_seconds())))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancelled(waits)

    def _waited_for(self) -> tuple[WaitedFor, ...]:
        """The first few things that it waits for, those that end first before the others."""
        dated: list[tuple[datetime | None, WaitedFor]] = []
        for kind, dates in (("timer", self._timers.all()), ("retry", self._attempts.pauses())):
            dated += [(at, WaitedFor(kind=kind, name=each.name, until=rfc3339(at))) for each, at in dates]
        dated += self._waits.waited_for()
        dated.sort(key=lambda each: (each[0] is None, each[0] or self._run.now()))
        return tuple(each for _, each in dated[:_SHOWN_NAMES])

    def _now(self) -> datetime:
        """What times are compared with: that of the queue counts where this machine's clock is behind."""
        return max(self._run.now(), self._run.slot.due)

    # --- the rest

    async def close(self) -> None:
        """Stop what is under way."""
        await self._requests.close()
        await self._effects.close()

    def _hold(self, size: int) -> None:
        self._held_bytes += size
        if self._held_bytes > _MOST_HELD_BYTES:
            raise never_sent(f"{self._held_bytes} bytes of arguments")

    def _forget_effect(self, number: int) -> None:
        if (found := self._effects_of.pop(number, None)) is not None:
            self._held_bytes -= found[1]

    def _forget(self, pending: Pending) -> None:
        """The script waits for it no longer."""
        del self._pending[pending.number], self._by_index[pending.index]
        self._holding -= pending.holds
        self._held_bytes -= _size(pending.call.arguments)
        self._unopened.pop(pending, None)
        self._timers.drop(pending)
        self._waits.drop(pending)
        self._attempts.drop(pending)
        self._requests.drop(pending)


def _size(arguments: dict[str, Any]) -> int:
    return sum(len(value) for value in arguments.values() if isinstance(value, Json))
