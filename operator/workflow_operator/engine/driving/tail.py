"""The end of one instance's history, as the executor that drives it holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from workflow_operator.engine.clock import Timer, shown_ms
from workflow_operator.engine.driving.gathering import HELD_SECONDS, first_commit, is_full, rough_bytes, smaller
from workflow_operator.engine.driving.write import EventWriter
from workflow_operator.history import (
    INPUTS,
    DataBus,
    EventType,
    ExecutorRef,
    InstanceEvent,
    InstanceKey,
    LetGo,
)
from workflow_operator.history.errors import Conflict, PayloadTooLarge
from workflow_operator.replay import cancel_request, overtaken_by


class Overtaken(Exception):
    """Someone else has the instance now: stop at once, and neither ack nor extend the message."""


class NotBegun(Overtaken):
    """What the instance begins with cannot be stored, so nothing may be: whoever starts it once more is told why."""


def sized(event: InstanceEvent) -> InstanceEvent:
    """The event with about the bytes that it takes, which the transport sets only once it is stored."""
    return event.replace(size=rough_bytes(event))


class Tail:
    """Appends to a history on behalf of one executor, and learns what others appended in between.

    ``sequence`` is the last commit that it knows, and no event before it is later than ``time``; ``cancelled`` is the
    cancel request, once there is one. What is gathered follows it: nobody was told of that, and it is stored in order,
    or dropped. It must be closed, unless nothing was gathered.
    """

    def __init__(
        self,
        bus: DataBus,
        writer: EventWriter,
        key: InstanceKey,
        executor: ExecutorRef,
        events: Sequence[InstanceEvent],
    ) -> None:
        """``events``: the history. What has no sequence is not stored, and gathered first."""
        self._bus = bus
        self._writer = writer
        self._key = key
        self.executor = executor
        self.sequence = events[-1].sequence
        # The latest of all: a release that did not clamp may have written them.
        self.time = max(event.time for event in events)
        self._held: list[InstanceEvent] = []
        self._sizes: list[int] = []
        self._bytes = 0
        # What was sent, and may be stored or not; and what was stored last.
        self._sent: Sequence[InstanceEvent] = ()
        self._last = events[-1]
        self._mine: frozenset[UUID] = frozenset()
        self._seen: set[UUID] = set()
        # What could not be stored for its size, and what the script did after it.
        self._dropped: frozenset[UUID] = frozenset()
        # Held during an append, so that whoever stops the script never leaves one half done.
        self.lock = asyncio.Lock()
        self._timer: Timer | None = None
        self._storing: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        # Called when the script is overtaken while it asks for nothing.
        self.stop: Callable[[], object] = lambda: None
        self.cancelled: InstanceEvent | None = None
        # Called with each signal and each toggle of a suspension that somebody else has appended.
        self.received: Callable[[InstanceEvent], object] = lambda event: None
        # The history was told and not read, and nothing was appended to it: if there is more, it is to be read first.
        self.unread = False
        if self.sequence == 0:
            for event in events:
                self._hold(event.replace(size=0), event.size)
            self._set_timer()

    def now(self) -> datetime:
        """The time in this history: that of the clock, and never before the last event."""
        return max(self._writer.clock.now(), self.time)

    async def claim(self, predecessor: LetGo) -> bool:
        """Append ``claimed`` behind the history that was read; False if there is more of it by now.

        Raises:
            Overtaken: another executor claimed the instance meanwhile.
            Unavailable: NATS does not answer.
        """
        event = self._writer.event(
            self._key, EventType.CLAIMED, not_before=self.time, executor=self.executor, predecessor=str(predecessor)
        )
        try:
            stored = await self._bus.append([event], expected=self.sequence)
        except Conflict:
            for other in await self._bus.query_history(self._key, after=self.sequence, slim=True):
                if other.type is EventType.CLAIMED:
                    raise Overtaken(f"instance {self._key}: {other.type} by {other.executor}") from None
            return False
        self._take(stored)
        return True

    @property
    def full(self) -> bool:
        """Whether what is gathered is to be stored before the script goes on."""
        return is_full(len(self._held), self._bytes)

    def gather(
        self, kind: EventType, *, not_before: datetime | None = None, at: datetime | None = None, **fields: Any
    ) -> InstanceEvent:
        """An event that is stored with those around it: before long, or by flush.

        It is not dated before ``not_before``; ``at`` is its very time, which the script has seen already.

        Raises:
            Overtaken, PayloadTooLarge: what was gathered before could not be stored.
            NotSerializable: a value cannot be stored.
        """
        event = self._made(kind, not_before=not_before, at=at, **fields)
        self._set_timer()
        return event

    async def append(self, kind: EventType, **fields: Any) -> InstanceEvent:
        """Store one event together with what is gathered, behind whatever inputs others appended meanwhile.

        Raises:
            Overtaken: another executor claimed the instance, or it has ended.
            PayloadTooLarge, NotSerializable: a value cannot be stored.
        """
        made = self._made(kind, **fields)
        await self.flush()
        # Nothing was gathered behind it.
        stored = self._last
        assert stored.event_id == made.event_id
        return stored

    async def flush(self) -> None:
        """Store all that is gathered.

        Raises:
            Overtaken: another executor claimed the instance, or it has ended.
            PayloadTooLarge: an event cannot be stored. What was gathered before it is, what was after it is dropped.
        """
        async with self.lock:
            self.check()
            while self._held:
                await self._store()

    def lost(self, event: InstanceEvent) -> bool:
        """Whether the gathered event was dropped, because it or one before it is too large."""
        return event.event_id in self._dropped

    @property
    def untouched(self) -> bool:
        """Whether nothing is in the history, nor can have got there without an answer."""
        return self.sequence == 0 and not self._sent

    def give_up(self) -> None:
        """Drop what is gathered, and take nothing more. For who holds the lock."""
        self._stop_timer()
        self._drop()
        self._failure = Overtaken(f"instance {self._key}: nothing of it is to be stored")

    async def aclose(self) -> None:
        """Drop what is gathered and was not stored."""
        self._stop_timer()
        if self._storing is not None:
            self._storing.cancel()
            await asyncio.gather(self._storing, return_exceptions=True)

    def _made(
        self, kind: EventType, *, not_before: datetime | None = None, at: datetime | None = None, **fields: Any
    ) -> InstanceEvent:
        self.check()
        if at is not None and at < self.time and shown_ms(at) == shown_ms(self.time):
            # A script sees milliseconds only.
            at = self.time
        earliest = max(self.time, not_before or self.time)
        event = self._writer.event(self._key, kind, not_before=earliest, at=at, executor=self.executor, **fields)
        shown = sized(event)
        self._hold(event, shown.size)
        return shown

    def _hold(self, event: InstanceEvent, size: int) -> None:
        self._held.append(event)
        self._sizes.append(size)
        self._bytes += size
        self.time = max(self.time, event.time)

    def check(self) -> None:
        """Raise what went wrong while nobody waited for it."""
        failure = self._failure
        if isinstance(failure, Overtaken):
            raise failure
        if failure is not None:
            self._failure = None
            raise failure

    def _set_timer(self) -> None:
        if self._timer is None and self._storing is None:
            self._timer = self._writer.clock.call_later(HELD_SECONDS, self._store_soon)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _store_soon(self) -> None:
        self._timer = None
        self._storing = asyncio.create_task(self._store_in_time())

    async def _store_in_time(self) -> None:
        try:
            async with self.lock:
                due = len(self._held)
                while due > 0:
                    due -= await self._store()
        except Exception as error:
            # For whoever comes next: the script that goes on meanwhile, or its end.
            self._failure = error
            if isinstance(error, Overtaken):
                self.stop()
        else:
            self._storing = None
            if self._held:
                self._set_timer()

    async def _store(self) -> int:
        """Store the first commit of what is held, which goes on growing meanwhile; how many events it has."""
        self._stop_timer()
        # If there was no answer to the last one, it must be the very same: it is recognised by its first event.
        commit = self._sent or self._held[: first_commit(self._sizes)]
        while True:
            self._sent = commit
            self._mine = frozenset(event.event_id for event in commit)
            try:
                stored = await self._bus.append(commit, expected=self.sequence)
            except Conflict:
                await self._look_anew()
                commit = self._held[: len(commit)]
            except PayloadTooLarge as error:
                commit = commit[: smaller(len(commit))]
                if not commit:
                    self._drop()
                    if self.sequence == 0:
                        raise NotBegun(str(error)) from error
                    raise
            else:
                self._sent = ()
                del self._held[: len(stored)], self._sizes[: len(stored)]
                self._bytes = sum(self._sizes)
                self._take(stored)
                return len(stored)

    async def _look_anew(self) -> None:
        """Somebody appended before us."""
        known = self.sequence
        try:
            await self.look()
            if self.sequence == known:
                history = await self._bus.query_history(self._key, slim=True)
                if not history or history[-1].sequence < known:
                    # NATS came back with less than it had, or what came with a message was not true.
                    raise Overtaken(f"instance {self._key}: its history is gone, or the end of it") from None
        except Overtaken:
            self._drop()
            raise
        # The script may have seen the times of its calls: these stay, also behind a later input.
        self._held = [event if event.call else event.replace(time=max(event.time, self.time)) for event in self._held]

    def _drop(self) -> None:
        self._dropped = frozenset(event.event_id for event in self._held)
        self._sent = ()
        self._held, self._sizes, self._bytes = [], [], 0

    def _take(self, commit: Sequence[InstanceEvent]) -> None:
        self._last = commit[-1]
        self.unread = False
        self.sequence = self._last.sequence
        self.time = max(self.time, *(event.time for event in commit))

    async def look(self) -> None:
        """Read what others appended.

        Raises:
            Overtaken: another executor claimed the instance, or it has ended.
            Unavailable: NATS does not answer.
        """
        self._learn(await self._bus.query_history(self._key, after=self.sequence, slim=True))

    def _learn(self, events: Sequence[InstanceEvent]) -> None:
        # An append of our own may be stored before its answer arrives, or have returned since the query began.
        news = [event for event in events if event.sequence > self.sequence]
        foreign = [event for event in news if event.event_id not in self._mine]
        if foreign and self.unread:
            raise Overtaken(f"instance {self._key}: its history is longer than what came with its message")
        if (overtaking := overtaken_by(foreign)) is not None:
            whom = f"executor {overtaking.executor.id}" if overtaking.executor else "somebody else"
            raise Overtaken(f"instance {self._key}: {overtaking.type} by {whom}")
        self.cancelled = self.cancelled or cancel_request(foreign)
        for event in foreign:
            if event.type in INPUTS and event.event_id not in self._seen:
                self._seen.add(event.event_id)
                self.received(event)
        if foreign and len(foreign) == len(news):
            self._take(foreign)
