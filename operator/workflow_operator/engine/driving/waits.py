"""The events from outside that a run has received, and the waits of its script for them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from workflow_operator.engine.calls import Run
from workflow_operator.engine.clock import shown_ms
from workflow_operator.engine.driving.pending import Dates, Pending
from workflow_operator.history import ErrorInfo, EventType, InstanceEvent, WaitedFor, rfc3339
from workflow_operator.replay import Replay, Signals


class Waits:
    """Which wait gets which event, and when a wait ends without one: recorded before the script learns of it."""

    def __init__(self, run: Run, replay: Replay) -> None:
        self._run = run
        self._replay = replay
        self._signals: Signals[Pending] = Signals()
        self._open: dict[Pending, None] = {}
        self._ends = Dates()

    def received(self, event: InstanceEvent) -> None:
        """An event from outside, as it stands in the history."""
        self._signals.received(event)

    def taken(self, event: InstanceEvent) -> None:
        """An event of the history that may say who got one."""
        if event.signal_sequence is not None:
            self._signals.taken(event.signal_sequence)

    def left(self) -> list[str]:
        """What nobody took, as ``2 approve``."""
        return [f"{count} {kind}" for kind, count in self._signals.left.items()]

    def added(self, pending: Pending) -> None:
        """The script has made the call of a wait."""
        self._open[pending] = None
        self._signals.wait(pending, _types(pending))
        if (opened := self._replay.opened(pending.index)) is not None and opened.fire_at is not None:
            self._signals.until(pending, self._run.moved(opened.fire_at, opened.time))

    def drop(self, pending: Pending) -> None:
        """The script waits no longer. It need not have waited."""
        self._open.pop(pending, None)
        self._signals.end(pending)
        self._ends.drop(pending)

    async def begin(self, pending: Pending) -> None:
        """Record when it ends, if it has a timeout."""
        if (timeout := pending.call.arguments["timeout"]) is None:
            return
        opened = self._replay.opened(pending.index)
        if opened is None:
            told: dict[str, Any] = {"fire_at": self._run.now() + timedelta(milliseconds=timeout)}
            told["function"] = pending.name
            opened = await self._run.record(EventType.CALL_STARTED, pending.record, **told)
        until = self._run.moved(opened.fire_at or opened.time, opened.time)
        self._signals.until(pending, until)
        self._ends.add(pending, until)

    async def match(self) -> bool:
        """Give the oldest event to the wait that it is for. Whether there was one."""
        if (found := self._signals.match()) is None:
            return False
        pending, event = found
        told = {"function": pending.name, "signal_sequence": event.sequence}
        await self._run.record(EventType.CALL_COMPLETED, pending.record, **told)
        self._signals.taken(event.sequence)
        self.drop(pending)
        return True

    async def end_due(self, now: datetime) -> bool:
        """Record those whose time is over. Whether there were any."""
        found = False
        while (due := self._ends.take(now)) is not None:
            found = True
            told = {"function": due[0].name, "error": _no_event(due[0])}
            await self._run.record(EventType.CALL_COMPLETED, due[0].record, **told)
        return found

    def next_date(self) -> datetime | None:
        return self._ends.first()

    def waited_for(self) -> Iterator[tuple[datetime | None, WaitedFor]]:
        """What the script waits for, and when each ends."""
        ends = dict(self._ends.all())
        for pending in self._open:
            at = ends.get(pending)
            until = None if at is None else rfc3339(at)
            yield at, WaitedFor(kind="event", name=pending.name, until=until, types=tuple(_types(pending)))

    def value(self, sequence: int) -> dict[str, Any]:
        """An event from outside, as a script gets it."""
        event = self._signals[sequence]
        signal = event.signal
        assert signal is not None
        told = {"type": signal.type, "payload": event.payload, "timestamp": shown_ms(event.time), "id": signal.id}
        return told if signal.sender is None else told | {"sender": signal.sender}


def _types(pending: Pending) -> list[str]:
    types: list[str] = pending.call.arguments["types"]
    return types


def _no_event(pending: Pending) -> ErrorInfo:
    return ErrorInfo(
        name="TimeoutError",
        message=f"step.waitForEvent: no event {', '.join(_types(pending))} came for {pending.name} within "
        f"{pending.call.arguments['timeout']} ms (timeout of the wait)",
        line=pending.call.line,
    )
