"""What must hold at every moment, whoever dies: told of all that is stored and of all that has an effect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

from tests.fakes.sandbox import FakeSession
from tests.fakes.world import check
from tests.simulation.program import Program
from workflow_operator.engine.driving.gathering import HELD_SECONDS
from workflow_operator.history import TOGGLES, EventType, InstanceEvent, InstanceKey, InstanceStatus, fold
from workflow_operator.javascript.host import HostCall, LogLine, Returned
from workflow_operator.replay import Suspensions

T = EventType

_OPENS = {
    "transition": T.TRANSITION,
    "sleep": T.TIMER_STARTED,
    "finish": T.OUTPUT,
    "fetchSync": T.CALL_COMPLETED,
}
_ENDS = (T.SUCCEEDED, T.FAILED, T.CANCELLED)
_INPUTS = TOGGLES | {T.CANCEL_REQUESTED}


class Record:
    """One instance, as NATS holds it: ``commits`` in the order in which they were stored."""

    def __init__(self, key: InstanceKey, program: Program) -> None:
        self.key = key
        self.program = program
        self.commits: list[Sequence[InstanceEvent]] = []
        self.recorded: set[tuple[str, EventType]] = set()
        self.lines: set[str] = set()
        # Its object is gone.
        self.deleted = False
        # The generation of its object, and whether that asks for the run to be suspended.
        self.wanted = 1, False

    @property
    def events(self) -> list[InstanceEvent]:
        return [event for commit in self.commits for event in commit]

    @property
    def over(self) -> bool:
        """Nothing is to be expected of it any more."""
        return self.ended or (self.deleted and not self.commits)

    @property
    def ended(self) -> bool:
        return bool(self.commits) and self.commits[-1][-1].terminal

    def store(self, commit: Sequence[InstanceEvent]) -> None:
        """A commit that is known to be stored; it may be told more than once."""
        if self.commits and commit[0].sequence <= self.commits[-1][0].sequence:
            assert commit in self.commits, "an answer names a commit that was never stored"
            return
        assert not self.ended, f"{commit[0].type} follows the end"
        self.commits.append(commit)
        for event in commit:
            if event.type is T.CLAIMED:
                assert self._suspended_since() is None, "claimed while it is suspended"
            if event.call is not None:
                entry = event.call.index, event.type
                assert entry not in self.recorded, f"recorded twice: {entry}"
                self.recorded.add(entry)

    def _suspended_since(self) -> datetime | None:
        return Suspensions(self.events).since

    def acked(self) -> None:
        types = {event.type for event in self.events}
        assert not types or types & {T.WAITING, T.SUSPENDED, *_ENDS}, "let go of a run that neither ended nor parked"

    def timer_set(self, at: datetime, crashed: bool) -> None:
        parked = any(event.type is T.WAITING and event.wake_at == at for event in self.events)
        resumed = any(event.type is T.RESUMED for event in self.events)
        assert parked or resumed or (crashed and self.commits), "a timer is set for what is not stored"

    def told(self, status: InstanceStatus) -> None:
        """A status was shown: it must be that of whole commits."""
        behind = [event for event in self.events if event.sequence <= status.history_sequence]
        expected: InstanceStatus | None = reduce(fold, behind, None)
        assert expected is not None
        assert status.replace(sequence=0) == expected, f"no history makes the status at {status.history_sequence}"

    def finished(self, deaths: int, crash_limit: int) -> None:
        """At the end of everything."""
        events, program = self.events, self.program
        check(events)
        assert len({event.event_id for event in events}) == len(events)
        _check_times(events)
        _check_drivers(events)
        opened = [event.call.name for event in events if event.call and event.type in _OPENS.values()]
        assert opened == program.calls[: len(opened)], "other calls are recorded than the script makes"
        end = events[-1]
        match end.type:
            case T.CANCELLED:
                assert self.deleted, "cancelled, and nobody asked for it"
            case T.FAILED if end.error is not None and end.error.name == "EngineCrash":
                assert deaths >= crash_limit, f"given up after {deaths} deaths"
            case T.FAILED:
                assert program.fails, end.error
                assert opened == program.calls, "calls are missing"
            case _:
                assert not program.fails, "it ended well"
                assert opened == program.calls, "calls are missing"
                assert end.output is not None
                assert end.output.load() == program.output, "another output"
                assert self.lines >= program.lines, "a line was lost"


def _check_drivers(events: Sequence[InstanceEvent]) -> None:
    """Who goes on with what another one may be driving has claimed it. Ends need no claim: there is one only."""
    driver = events[0].executor
    for event in events[1:]:
        if event.executor is not None and not event.terminal:
            if event.type is T.CLAIMED or driver is None:
                driver = event.executor
            assert event.executor == driver, f"{event.type} at {event.sequence} without a claim"


def _check_times(events: Sequence[InstanceEvent]) -> None:
    """What a script saw stays, also behind an input that was dated later by another clock."""
    calls = [event.time for event in events if event.call is not None]
    assert calls == sorted(calls), "Date went back"
    latest = events[0].time
    for event in events:
        late = event.call is not None and bool(_INPUTS & {each.type for each in events})
        assert event.time >= latest or late, f"{event.type} at {event.sequence} is dated before the one before it"
        latest = max(latest, event.time)
    due = {event.call.index: event.fire_at for event in events if event.type is T.TIMER_STARTED and event.call}
    for event in events:
        if event.type is T.TIMER_FIRED:
            assert event.call is not None
            fire_at = due[event.call.index]
            assert fire_at is not None
            assert event.time >= fire_at, "a sleep was short"


class WatchedSession(FakeSession):
    """A sandbox that knows what it told, and when."""

    def __init__(self, record: Record, clock: Any, replica: str) -> None:
        super().__init__(record.program.script, clock.sleep)
        self.record = record
        self.replica = replica
        self.begun = len(record.commits)
        self._clock = clock
        self._calls = 0
        self._asked: str | None = None
        self._outside = False
        self._told: list[tuple[str, EventType, datetime]] = []

    async def next(self) -> HostCall | LogLine | Returned:
        message = await super().next()
        if isinstance(message, HostCall):
            self._calls += 1
            index = f"0.{self._calls}"
            self._told.append((index, _OPENS[message.name], self._clock.now()))
            self._asked = index if message.wants_answer else None
            self._outside = message.name == "fetchSync"
        return message

    def asks_outside(self, index: str) -> None:
        """A request is sent for a call: others will see it."""
        if self._fenced():
            return
        assert (index, T.CALL_COMPLETED) not in self.record.recorded, "asked again for what is recorded"
        missing = [entry[:2] for entry in self._told[:-1] if entry[:2] not in self.record.recorded]
        assert not missing, f"others see what comes behind {missing}, which is not stored"

    async def answer(self, value: Any, time_ms: int) -> None:
        ended = T.TIMER_FIRED if value is None else T.CALL_COMPLETED
        assert (self._asked, ended) in self.record.recorded, "a script knows of an end that is not stored"
        self._asked = None
        await super().answer(value, time_ms)

    def at_rest(self, idle_since: datetime) -> None:
        """Time is to pass, and nothing is on its way from this replica, or was since then."""
        if self._fenced():
            return
        if self._asked is not None and not self._outside:
            assert (self._asked, T.TIMER_STARTED) in self.record.recorded, "a sleep is waited for that is not stored"
        self._told = [each for each in self._told if each[:2] not in self.record.recorded]
        waits = self._asked if self._outside else None
        for index, _, time in self._told:
            if index == waits:
                continue
            held = self._clock.now() - max(time, idle_since)
            assert held < timedelta(seconds=HELD_SECONDS), f"call {index} was told {held} ago, and is not stored"

    def _fenced(self) -> bool:
        later = [event for commit in self.record.commits[self.begun :] for event in commit]
        return any(event.executor is not None and event.executor.id != self.replica for event in later)
