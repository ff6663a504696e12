"""One replay of one instance: asked for every host call of the script, it answers from the history or says "new".

Two kinds of script interface share it. A synchronous call is answered at once, by its own index. An asynchronous
one returns a promise: completions are delivered one at a time, only when the script is idle, in history order.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import msgspec

from workflow_operator.history import CallRecord, EventType, InstanceEvent, Json, arguments_json, digest, matches
from workflow_operator.history.arguments import Arguments
from workflow_operator.history.errors import NonDeterminism
from workflow_operator.history.events import LEFT_OUT
from workflow_operator.replay.index import ROOT, call_index

COMPLETIONS = frozenset({EventType.TIMER_FIRED, EventType.CALL_COMPLETED})
# Recorded when made and done with at once: the record is its own answer.
_MARKERS = frozenset({EventType.TRANSITION, EventType.OUTPUT})

_SHOWN_CHARACTERS = 80


class Mode(Enum):
    SYNC = "sync"  # the script is blocked until the answer
    ASYNC = "async"  # the script holds a promise
    FUNCTION = "function"  # asynchronous, and the script's own function is the work: a step


@dataclass(frozen=True, slots=True)
class New:
    """The history knows nothing of this call: do it and record it under ``call``."""

    call: CallRecord


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The call was recorded by ``event`` (a timer, a failed attempt) and has no completion yet."""

    call: CallRecord
    event: InstanceEvent


@dataclass(slots=True)
class Recorded:
    """The history holds the answer: ``event``. Of an asynchronous call it is delivered later, by :class:`Delivery`."""

    call: CallRecord
    event: InstanceEvent


@dataclass(frozen=True, slots=True)
class Delivery:
    """Settle the promise of ``index`` with the completion ``event``; a turn begins."""

    index: str
    event: InstanceEvent


@dataclass(frozen=True, slots=True)
class Start:
    """Run the function of the call ``index``: an attempt, which has the turn to itself."""

    index: str


class _Entry(msgspec.Struct, gc=False):
    """All that the history holds of one call, and whether the script has yet to pass it."""

    call: CallRecord
    opened: InstanceEvent | None = None
    failures: tuple[InstanceEvent, ...] = ()
    completed: InstanceEvent | None = None
    unopened: bool = False
    uncompleted: bool = False

    @property
    def events(self) -> list[InstanceEvent]:
        return [event for event in (self.opened, *self.failures, self.completed) if event is not None]

    @property
    def answer(self) -> InstanceEvent | None:
        """What answers the call: its completion, or the record itself where that is all there will be."""
        if self.completed is None and self.opened is not None and self.opened.type in _MARKERS:
            return self.opened
        return self.completed


class Replay:
    """The state of one replay. ``time`` is what the script's clock shows: that of the answer last delivered.

    Args:
        events: the history so far, beginning with ``started``.
    """

    def __init__(self, events: Iterable[InstanceEvent]) -> None:
        started, *rest = events
        self.time: datetime = started.time
        self._entries: dict[str, _Entry] = {}
        self._completions: list[InstanceEvent] = []
        self._delivered = 0
        self._awaited: set[str] = set()
        self._starts: dict[str, None] = {}
        self._parent = ROOT
        self._number = 0
        for event in rest:
            self._take(event)
        # Both shrink while the script makes its calls again.
        self._unmade = dict(self._entries)
        self._unseen = 0
        for entry in self._unmade.values():
            entry.unopened = entry.opened is not None or bool(entry.failures)
            entry.uncompleted = entry.completed is not None
            self._unseen += entry.unopened + entry.uncompleted

    @property
    def replaying(self) -> bool:
        """Whether the script has yet to pass an event of the history: its log lines were printed before."""
        return self._unseen > 0

    @property
    def awaited(self) -> frozenset[str]:
        """The asynchronous calls that the script has made and that were not delivered yet."""
        return frozenset(self._awaited)

    def answers(self, asynchronous: Collection[str] = ()) -> Iterator[InstanceEvent]:
        """What answers the first synchronous calls of the turn that has begun, one after the other, as long as the
        history knows it. ``asynchronous``: the names of the others."""
        for number in itertools.count(1):
            entry = self._entries.get(call_index(self._parent, number))
            if entry is None:
                return
            if entry.call.name in asynchronous:
                continue
            if (answer := entry.answer) is None:
                return
            yield answer

    def failures(self, index: str) -> Sequence[InstanceEvent]:
        """The attempts of a step that failed, in order."""
        return self._entries[index].failures

    def opened(self, index: str) -> InstanceEvent | None:
        """The event that says when a call began, if there is one."""
        return self._entries[index].opened

    def record(self, event: InstanceEvent) -> None:
        """Take in an event that answers or opens a call of the script, as it is appended."""
        entry = self._take(event)
        if entry is not None and event is entry.answer and entry.call.index not in self._awaited:
            self.time = event.time

    def call(self, name: str, arguments: Arguments, mode: Mode = Mode.SYNC) -> New | Unanswered | Recorded:
        """The script makes a host call.

        Raises:
            NonDeterminism: the history holds another call here; the message names both.
        """
        self._number += 1
        index = call_index(self._parent, self._number)
        entry = self._entries.get(index)
        if entry is None:
            entry = self._entries[index] = _Entry(CallRecord(index=index, name=name, digest=digest(arguments)))
        elif entry.call.name != name or not (_repeats(entry, arguments) or matches(entry.call.digest, arguments)):
            raise NonDeterminism(_mismatch(entry, index, name, arguments))
        self._unmade.pop(index, None)
        if entry.unopened and (mode is Mode.SYNC or entry.uncompleted):
            # What begins an asynchronous call is recorded when the script is idle: only then it is passed.
            entry.unopened = False
            self._unseen -= 1
        if mode is Mode.SYNC:
            self._see(entry)
            if entry.answer is None and self._unmade:
                # The script was blocked until the answer, so it cannot have made another call before there was one.
                raise NonDeterminism(_mismatch(next(iter(self._unmade.values())), index, name, arguments))
        else:
            self._awaited.add(index)
            if mode is Mode.FUNCTION and entry.completed is None and not entry.failures:
                self._starts[index] = None
        return _found(entry)

    def next_delivery(self) -> Delivery | None:
        """What to deliver to an idle script, or None when nothing of the history is left. A turn begins with it.

        Raises:
            NonDeterminism: the history holds a call that the script did not make.
        """
        while self._delivered < len(self._completions):
            event = self._completions[self._delivered]
            self._delivered += 1
            assert event.call is not None
            index = event.call.index
            if index in self._unmade:
                raise NonDeterminism(_not_made(self._unmade[index]))
            if index in self._awaited:
                self._awaited.remove(index)
                self._see(self._entries[index])
                self._turn(str(self._delivered))
                return Delivery(index, event)
        # All that led to the calls of the history was delivered; of calls that the script has given up nothing is.
        self.check_finished()
        self._unseen = 0
        return None

    def next_start(self) -> Start | None:
        """The next function to be run, in the order of the calls. Only where no delivery is left: what the history
        holds may lead the script to give the call up."""
        for index in self._starts:
            del self._starts[index]
            return Start(index)
        return None

    def start_again(self, index: str) -> None:
        """The function of the call, which failed before, is to be run once more."""
        self._starts[index] = None

    def give_up(self, index: str) -> None:
        """The script waits for the call no longer: nothing is delivered or started for it."""
        self._awaited.discard(index)
        self._starts.pop(index, None)

    def check_finished(self) -> None:
        """The script has ended: it must have made every call that the history holds.

        Raises:
            NonDeterminism: it did not; the message names the call.
        """
        if self._unmade:
            raise NonDeterminism(_not_made(next(iter(self._unmade.values()))))

    def _take(self, event: InstanceEvent) -> _Entry | None:
        if event.call is None:
            return None
        index = event.call.index
        entry = self._entries.setdefault(index, _Entry(event.call))
        if event.type in COMPLETIONS:
            entry.completed = event
            self._completions.append(event)
        elif event.type is EventType.ATTEMPT_FAILED:
            entry.failures = (*entry.failures, event)
        else:
            entry.opened = event
        return entry

    def _turn(self, parent: str) -> None:
        self._parent, self._number = parent, 0

    def _see(self, entry: _Entry) -> None:
        if entry.uncompleted:
            entry.uncompleted = False
            self._unseen -= 1
        if (answer := entry.answer) is not None:
            self.time = answer.time


def _repeats(entry: _Entry, arguments: Arguments) -> bool:
    """Whether the arguments of a transition are, byte for byte, what was recorded. Then so is their digest."""
    event = entry.opened
    return (
        event is not None
        and event.type is EventType.TRANSITION
        and event.memory is not LEFT_OUT
        and arguments == {"function": event.function, "payload": event.memory}
    )


def _found(entry: _Entry) -> New | Unanswered | Recorded:
    if (answer := entry.answer) is not None:
        return Recorded(entry.call, answer)
    if events := entry.events:
        return Unanswered(entry.call, events[-1])
    return New(entry.call)


def _mismatch(entry: _Entry, index: str, name: str, arguments: Arguments) -> str:
    what = f"{name}({_short(arguments)})"
    if entry.call.name == name and entry.call.index == index:
        what = f"the same call with other arguments, {what}"
    return (
        f"call {index}: the history holds {_describe(entry)}, but the script now asks for {what}. "
        "A script must make the same calls in the same order each time it runs: it may depend on its input, "
        "on results of calls, on Date and Math.random, and on nothing else."
    )


def _not_made(entry: _Entry) -> str:
    return (
        f"call {entry.call.index}: the history holds {_describe(entry)}, but the script went on without making it. "
        "A script must make the same calls in the same order each time it runs."
    )


def _describe(entry: _Entry) -> str:
    event = entry.events[0]
    made = {"function": event.function, "payload": event.memory or Json.NULL}
    detail = made if event.type is EventType.TRANSITION else {"output": event.output or Json.NULL}
    shown = f"({_short(detail)})" if event.type in _MARKERS else ""
    return f"{entry.call.name}{shown} (sequence {event.sequence}, arguments {entry.call.digest.rpartition(':')[2][:8]})"


def _short(arguments: Arguments) -> str:
    return arguments_json(arguments).text(_SHOWN_CHARACTERS)
