"""The attempts of the steps of one run: when each begins, and what is recorded of its end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from workflow_operator.engine.calls import Function, Policy, Run
from workflow_operator.engine.driving.errands import MOST_AT_ONCE
from workflow_operator.engine.driving.pending import Dates, Pending
from workflow_operator.history import ErrorInfo, EventType
from workflow_operator.javascript.host import Result
from workflow_operator.replay import Replay

_INTERRUPTED = ErrorInfo(
    name="Interrupted",
    message="the attempt was cut off, and whether it did what it does is not known (atMostOnce)",
)


@dataclass(slots=True)
class _Attempt:
    number: int
    begun: datetime
    deadline: datetime
    effects: int = 0


class Attempts:
    """All that are under way, have ended or are yet to begin.

    Of the history only what it holds of failed attempts counts: an attempt that was cut off by a crash is made again.
    """

    def __init__(self, run: Run, replay: Replay) -> None:
        self._run = run
        self._replay = replay
        self._running: dict[Pending, _Attempt] = {}
        self._ended: dict[Pending, tuple[_Attempt, Result]] = {}
        self._retries = Dates()

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, pending: Pending) -> bool:
        return pending in self._running

    @property
    def full(self) -> bool:
        return len(self._running) >= MOST_AT_ONCE

    def added(self, pending: Pending) -> None:
        """The script has made the call of a step; if attempts of it failed before, the next one may have to wait."""
        if failures := self._replay.failures(pending.index):
            last = failures[-1]
            self._retries.add(pending, self._run.moved(last.retry_at or last.time, last.time))

    def drop(self, pending: Pending) -> None:
        """The script waits for it no longer."""
        self._running.pop(pending, None)
        self._ended.pop(pending, None)
        self._retries.drop(pending)

    def let_due_begin(self, now: datetime) -> None:
        """Those whose pause is over are to be run again."""
        while (found := self._retries.take(now)) is not None:
            self._replay.start_again(found[0].index)

    def next_date(self) -> datetime | None:
        """When a pause or the time of an attempt is over."""
        return min((date for date in (self.deadline(), self._retries.first()) if date is not None), default=None)

    def deadline(self) -> datetime | None:
        """When the time of the first attempt is over."""
        return min((attempt.deadline for attempt in self._running.values()), default=None)

    def pauses(self) -> Iterator[tuple[Pending, datetime]]:
        """The steps that are to be tried again, and when."""
        return self._retries.all()

    async def begin(self, pending: Pending) -> dict[str, Any] | None:
        """Begin the next attempt: what its turn tells. None if it may not be made; that is recorded then."""
        policy = policy_of(pending)
        failures = self._replay.failures(pending.index)
        number = len(failures) + 1
        if policy.at_most_once:
            opened = self._replay.opened(pending.index)
            if opened is not None and opened.attempt >= number:
                await self._complete(pending, number, opened.time, error=_INTERRUPTED)
                await self._run.flush()
                return None
            named = {"function": pending.name, "attempt": number}
            await self._run.record(EventType.CALL_STARTED, pending.record, **named)
            await self._run.flush()
        begun = self._run.now()
        self._running[pending] = _Attempt(number, begun, begun + timedelta(milliseconds=policy.timeout_ms))
        told: dict[str, Any] = {"number": pending.number, "attempt": number, "key": call_key(self._run, pending)}
        told["seed"] = _words(f"{self._seed(pending)} {number}")
        if failures and (error := failures[-1].error) is not None:
            told["previous"] = {"name": error.name, "message": error.message}
        return told

    def effect_key(self, pending: Pending) -> str:
        """Tells what an attempt does outside from all else; the same each time that the attempt is made."""
        attempt = self._running[pending]
        attempt.effects += 1
        return f"{call_key(self._run, pending)}-{attempt.effects}"

    def resulted(self, pending: Pending, result: Result) -> None:
        self._ended[pending] = self._running.pop(pending), result

    async def record(self) -> bool:
        """Record what attempts gave. Whether there was anything."""
        ended, self._ended = self._ended, {}
        seen = False
        for pending, (attempt, result) in ended.items():
            seen |= attempt.effects > 0 or policy_of(pending).at_most_once or result.error is not None
            if result.error is None:
                await self._complete(pending, attempt.number, attempt.begun, result=result.output)
            else:
                await self._fail(pending, attempt, result)
        if seen:
            # What others have seen the effects of is not to be done again.
            await self._run.flush()
        return bool(ended)

    def late(self) -> Pending | None:
        """An attempt whose time is over."""
        now = self._run.now()
        return next((pending for pending, attempt in self._running.items() if attempt.deadline <= now), None)

    async def time_out(self, pending: Pending) -> ErrorInfo:
        """Record that the attempt took too long; what it gives from now on counts no more."""
        attempt = self._running.pop(pending)
        error = ErrorInfo(
            name="TimeoutError",
            message=f"step {pending.name}: attempt {attempt.number} took longer than "
            f"{policy_of(pending).timeout_ms} ms (timeout of the step)",
            line=pending.call.line,
        )
        await self._fail(pending, attempt, Result(pending.number, error=error))
        await self._run.flush()
        return error

    async def _fail(self, pending: Pending, attempt: _Attempt, result: Result) -> None:
        failures = self._replay.failures(pending.index)
        seed = f"{self._seed(pending)} {attempt.number} pause"
        policy = self._lengthened(policy_of(pending), (failures[0].started_at if failures else None) or attempt.begun)
        at = (
            None
            if result.final
            else policy.retry_at(failures, attempt.begun, self._run.now(), seed, result.retry_after_ms)
        )
        if at is None:
            await self._complete(pending, attempt.number, attempt.begun, error=result.error, result=result.details)
            return
        told = {"function": pending.name, "attempt": attempt.number, "started_at": attempt.begun}
        failed = {"error": result.error, "retry_at": at}
        await self._run.record(EventType.ATTEMPT_FAILED, pending.record, **told, **failed)
        self._retries.add(pending, at)

    def _lengthened(self, policy: Policy, first: datetime) -> Policy:
        """With a maxDuration that stood still while the run was suspended."""
        if policy.max_duration_ms is None:
            return policy
        over = self._run.moved(first + timedelta(milliseconds=policy.max_duration_ms), first)
        return replace(policy, max_duration_ms=round((over - first) / timedelta(milliseconds=1)))

    async def _complete(self, pending: Pending, number: int, begun: datetime, **fields: Any) -> None:
        given = {name: value for name, value in fields.items() if value is not None}
        told = {"function": pending.name, "attempt": number, "started_at": begun}
        await self._run.record(EventType.CALL_COMPLETED, pending.record, **told, **given)

    def _seed(self, pending: Pending) -> str:
        return f"{self._run.key.instance_id} {pending.index}"


def policy_of(pending: Pending) -> Policy:
    assert isinstance(pending.kind, Function)
    return pending.kind.policy(pending.call.arguments)


def call_key(run: Run, pending: Pending) -> str:
    """Tells this call from every other one, and is the same whenever it is made."""
    return f"{run.key.instance_id}-{pending.index}"


def _words(seed: str) -> tuple[int, int]:
    """Two words of 32 bits that depend on the text alone."""
    data = hashlib.sha256(seed.encode()).digest()
    return int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
