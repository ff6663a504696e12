"""The end of one instance's history, as the executor that drives it holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from workflow_operator.engine.write import EventWriter
from workflow_operator.history import DataBus, EventType, ExecutorRef, InstanceEvent, InstanceKey, LetGo
from workflow_operator.history.errors import Conflict
from workflow_operator.replay import cancel_request, overtaken_by


class Overtaken(Exception):
    """Someone else has the instance now: stop at once, and neither ack nor extend the message."""


class Tail:
    """Appends to a history on behalf of one executor, and learns what others appended in between.

    ``sequence`` is the last event that it knows, and no event before it is later than ``time``; ``cancelled`` is the
    cancel request, once there is one.
    """

    def __init__(
        self,
        bus: DataBus,
        writer: EventWriter,
        key: InstanceKey,
        executor: ExecutorRef,
        events: Sequence[InstanceEvent],
    ) -> None:
        self._bus = bus
        self._writer = writer
        self._key = key
        self.executor = executor
        self.sequence = events[-1].sequence
        # The latest of all: a release that did not clamp may have written them.
        self.time = max(event.time for event in events)
        self._mine: UUID | None = None
        # Held during an append, so that whoever stops the script never leaves one half done.
        self.lock = asyncio.Lock()
        self.cancelled: InstanceEvent | None = None

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
            stored = await self._bus.push_instance_event(event, expected=self.sequence)
        except Conflict:
            for other in await self._bus.query_history(self._key, after=self.sequence, slim=True):
                if other.type is EventType.CLAIMED:
                    raise Overtaken(f"instance {self._key}: {other.type} by {other.executor}") from None
            return False
        self._take(stored)
        return True

    async def append(self, kind: EventType, *, not_before: datetime | None = None, **fields: Any) -> InstanceEvent:
        """Append one event, behind whatever inputs others appended meanwhile, and not dated before ``not_before``.

        Raises:
            Overtaken: another executor claimed the instance, or it has ended.
            PayloadTooLarge, NotSerializable: a value cannot be stored.
        """
        earliest = max(self.time, not_before or self.time)
        event = self._writer.event(self._key, kind, not_before=earliest, executor=self.executor, **fields)
        async with self.lock:
            self._mine = event.event_id
            while True:
                try:
                    stored = await self._bus.push_instance_event(event, expected=self.sequence)
                except Conflict:
                    known = self.sequence
                    await self.look()
                    if self.sequence == known and not await self._bus.query_history(self._key, slim=True):
                        raise Overtaken(f"instance {self._key}: its history is gone") from None
                    event = event.replace(time=max(event.time, self.time))
                    continue
                self._take(stored)
                return stored

    def _take(self, event: InstanceEvent) -> None:
        self.sequence = event.sequence
        self.time = max(self.time, event.time)

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
        foreign = [event for event in news if event.event_id != self._mine]
        if (overtaking := overtaken_by(foreign)) is not None:
            raise Overtaken(f"instance {self._key}: {overtaking.type} by {overtaking.executor}")
        self.cancelled = self.cancelled or cancel_request(foreign)
        if foreign and len(foreign) == len(news):
            for event in foreign:
                self._take(event)
