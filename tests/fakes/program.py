"""Generated programs, and a model of their execution: JavaScript's promises and microtasks, without JavaScript.

A program is a block: a tuple of statements. A model executor runs it against a history, live or again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random
from typing import Any, Literal, TypeAlias

from tests.fakes.events import KEY, event, plain
from workflow_operator.history import CallRecord, EventType, InstanceEvent
from workflow_operator.replay import Delivery, Mode, New, Recorded, Replay, Start

Kind: TypeAlias = Literal["sync", "mark", "syncTimer", "async", "timer", "step", "await", "race", "all", "log"]
CALLS = frozenset({"sync", "mark", "syncTimer", "async", "timer", "step"})
PROMISES = frozenset({"async", "timer", "step"})


@dataclass(frozen=True)
class Statement:
    """``label`` is unique in its program, and the name of the call that it makes."""

    kind: Kind
    label: str = ""
    argument: int = 0


Block: TypeAlias = tuple[Statement, ...]


def labelled(block: Block, prefix: str = "call") -> Block:
    """Give every statement a name of its own."""
    return tuple(replace(item, label=f"{prefix}{place}") for place, item in enumerate(block))


class Promise:
    def __init__(self) -> None:
        self.settled = False
        self.value: Any = None
        self.reactions: list[Callable[[Any], None]] = []

    def resolve(self, value: Any) -> None:
        if not self.settled:
            self.settled, self.value = True, value
            for reaction in self.reactions:
                reaction(value)


Pick: TypeAlias = Callable[[list[str], str | None], list[str]]
Body: TypeAlias = Generator[Promise, Any, Any]


@dataclass
class Made:
    """One call that the program made."""

    index: str
    label: str


@dataclass
class Run:
    """Everything that can be seen of one execution."""

    events: list[InstanceEvent]
    made: list[Made] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)  # sequences
    done: list[str] = field(default_factory=list)  # calls whose work was done, by index
    started: list[tuple[str, int]] = field(default_factory=list)  # functions that were run, and how much was delivered
    logged: list[tuple[str, bool, set[int]]] = field(default_factory=list)  # label, replaying, sequences passed
    clock: list[tuple[datetime, datetime]] = field(default_factory=list)  # shown, expected
    result: Any = None


class Model:
    """Runs a program against a history. ``pick`` decides which calls in flight are completed, and when.

    ``pick(indexes, blocking)`` returns those to complete now, in order: before the sync call ``blocking`` is
    answered, or at an idle moment (None), when at least one must be given.
    """

    def __init__(
        self, program: Block, events: Iterable[InstanceEvent], pick: Callable[[list[str], str | None], list[str]]
    ):
        self.run = Run(list(events))
        self._program = program
        self._pick = pick
        self._replay = Replay(self.run.events)
        self._microtasks: deque[Callable[[], None]] = deque()
        self._promises: dict[str, Promise] = {}
        self._calls: dict[str, CallRecord] = {}
        self._flying: dict[str, EventType] = {}
        self._passed: set[int] = set()
        self._time = self.run.events[0].time

    def execute(self) -> Run:
        ended = Promise()
        self._spawn(self._block(self._program), ended.resolve)
        self._drain()
        while not ended.settled:
            match self._replay.next_delivery() or self._replay.next_start():
                case Start(index):
                    self.run.started.append((index, len(self.run.events)))
                    self._flying[index] = EventType.CALL_COMPLETED
                case Delivery(index, delivered):
                    self.run.delivered.append(delivered.sequence)
                    self._pass(delivered)
                    self._promises[index].resolve(plain(delivered.result))
                case None:
                    self._passed |= {past.sequence for past in self.run.events}
                    picked = self._pick(sorted(self._flying), None)
                    assert picked, "the program waits, and nothing is in flight"
                    for index in picked:
                        self._complete(index, f"result of {index}")
            self._drain()
        self._replay.check_finished()
        self.run.result = ended.value
        return self.run

    def _drain(self) -> None:
        while self._microtasks:
            self._microtasks.popleft()()

    def _spawn(self, body: Body, end: Callable[[Any], None]) -> None:
        def step(value: Any) -> None:
            try:
                awaited = body.send(value)
            except StopIteration as stop:
                end(stop.value)
                return

            def react(value: Any) -> None:
                self._microtasks.append(lambda: step(value))

            if awaited.settled:
                react(awaited.value)
            else:
                awaited.reactions.append(react)

        self._microtasks.append(lambda: step(None))

    def _block(self, block: Block) -> Body:
        results: list[Any] = []
        pending: list[Promise] = []
        for item in block:
            match item.kind:
                case "log":
                    self.run.logged.append((item.label, self._replay.replaying, set(self._passed)))
                case "await" if pending:
                    results.append((yield pending[item.argument % len(pending)]))
                case "race" if pending:
                    first = Promise()
                    for promise in pending:
                        if promise.settled:
                            first.resolve(promise.value)
                        promise.reactions.append(first.resolve)
                    results.append((yield first))
                case "all":
                    for promise in pending:
                        results += [(yield promise)]
                case "await" | "race":
                    pass
                case kind:
                    made = self._make(item)
                    (pending if kind in PROMISES else results).append(made)
        return results

    def _make(self, item: Statement) -> Any:
        self.run.clock.append((self._replay.time, self._time))
        mode = {"step": Mode.FUNCTION, "async": Mode.ASYNC, "timer": Mode.ASYNC}.get(item.kind, Mode.SYNC)
        found = self._replay.call(item.label, item.argument, mode)
        index = found.call.index
        self._calls[index] = found.call
        self.run.made.append(Made(index, item.label))
        recorded = [past for past in self.run.events if past.call is not None and past.call.index == index]
        for past in recorded:
            if past.type not in _COMPLETIONS and (mode is Mode.SYNC or recorded[-1].type in _COMPLETIONS):
                self._pass(past, answers=item.kind == "mark")
        if item.kind == "mark" and isinstance(found, New):
            self._append(EventType.TRANSITION, found.call, f"result of {index}")
        if item.kind in ("timer", "syncTimer") and isinstance(found, New):
            self._append(EventType.TIMER_STARTED, found.call, None)
        if item.kind not in ("mark", "step") and not isinstance(found, Recorded):
            self._flying[index] = EventType.TIMER_FIRED if "imer" in item.kind else EventType.CALL_COMPLETED
        if mode is not Mode.SYNC:
            return self._promises.setdefault(index, Promise())
        if index in self._flying:
            self._answer(index, f"result of {index}")
        answer = [past for past in self.run.events if past.call is not None and past.call.index == index][-1]
        self._pass(answer)
        return plain(answer.result)

    def _answer(self, index: str, value: Any) -> None:
        """Complete a call that the script itself waits or works for; others may come first."""
        for other in self._pick(sorted(set(self._flying) - {index}), index):
            self._complete(other, f"result of {other}")
        self._complete(index, value)

    def _complete(self, index: str, value: Any) -> None:
        kind = self._flying.pop(index, None)
        if kind is not None:
            self.run.done.append(index)
        self._append(kind or EventType.CALL_COMPLETED, self._calls[index], value)

    def _append(self, kind: EventType, call: CallRecord, value: Any) -> None:
        last = self.run.events[-1].sequence
        stored = event(kind, sequence=last + 1, previous=last, key=KEY, call=call, result=value)
        self.run.events.append(stored)
        self._replay.record(stored)

    def _pass(self, event: InstanceEvent, *, answers: bool = True) -> None:
        self._passed.add(event.sequence)
        if answers:
            self._time = event.time
            self.run.clock.append((self._replay.time, self._time))


_COMPLETIONS = frozenset({EventType.TIMER_FIRED, EventType.CALL_COMPLETED})


def at_random(random: Random) -> Pick:
    """Completions arrive in any order, and also while the script is blocked."""

    def pick(flying: list[str], blocking: str | None) -> list[str]:
        least = 0 if blocking else 1
        return random.sample(flying, random.randint(min(least, len(flying)), len(flying)))

    return pick


def as_recorded(events: Iterable[InstanceEvent]) -> Pick:
    """Completions arrive in the order of another history."""
    order = [past.call.index for past in events if past.call is not None and past.type in _COMPLETIONS]

    def pick(flying: list[str], blocking: str | None) -> list[str]:
        if blocking is not None:
            return [index for index in order[: order.index(blocking)] if index in flying]
        return [index for index in order if index in flying][:1]

    return pick
