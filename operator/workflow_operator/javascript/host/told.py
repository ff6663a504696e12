"""What a sandbox tells without waiting for an answer: which calls, and at what time. Pure; a sandbox is not trusted."""

from __future__ import annotations

from collections.abc import Collection

from workflow_operator.javascript.host.messages import ASKED, HostCall, Job, Turn

_AHEAD_MS = 1000


class NotExpected(Exception):
    """The sandbox told what it never tells at this point."""


class Told:
    """Follows one run, call by call. ``now`` is in seconds, of the executor's clock that is never set.

    ``markers``: the calls that a sandbox never waits for.
    """

    def __init__(self, job: Job, markers: Collection[str], now: float) -> None:
        self._markers = markers
        self._recorded = iter(job.answered_ms)
        self._shown_ms = job.time_ms
        self._finished = False
        # How far the last time that was told lay ahead of what had passed.
        self._lead_ms = 0
        self._go_on_at(job.now_ms, now)

    def check(self, call: HostCall, now: float) -> None:
        """The script has made this call.

        Raises:
            NotExpected: it should have waited for an answer, or should not have; its time is not the recorded one, goes
                back, or lies ahead of what can have passed; or it is a second ``finish``.
        """
        if call.attempt is not None:
            if call.time_ms is not None:
                raise NotExpected(f"{call.name} of an attempt, without waiting for an answer")
            return
        if call.name == "finish":
            if self._finished:
                raise NotExpected("a second finish")
            self._finished = True
        recorded = next(self._recorded, None)
        waits = recorded == ASKED or (recorded is None and call.name not in self._markers)
        if (call.time_ms is None) != waits:
            raise NotExpected(
                f"{call.name} {'without waiting' if call.time_ms is not None else 'waiting'} for an answer"
            )
        if call.time_ms is None:
            return
        least = self._shown_ms if recorded is None else recorded
        passed = self._passed_ms(now)
        most = max(least, passed + _AHEAD_MS) if recorded is None else recorded
        if not least <= call.time_ms <= most:
            raise NotExpected(f"{call.name} at {call.time_ms} ms; expected {least} to {most}")
        self._shown_ms = call.time_ms
        if recorded is None:
            self._lead_ms = min(max(0, call.time_ms - passed), _AHEAD_MS)

    def answered(self, time_ms: int, now: float) -> None:
        """The script goes on with this time. It is not before what was told: a lead is in it, and not had anew."""
        self._shown_ms = time_ms
        self._go_on_at(time_ms - self._lead_ms, now)

    def turned(self, turn: Turn, now: float) -> None:
        """The script goes on with that turn."""
        self._recorded = iter(turn.answered_ms)
        self._shown_ms = turn.time_ms
        self._lead_ms = 0
        self._go_on_at(turn.now_ms, now)

    def _passed_ms(self, now: float) -> int:
        return self._from_ms + int((now - self._from) * 1000)

    def _go_on_at(self, now_ms: int, now: float) -> None:
        self._from_ms, self._from = now_ms, now
