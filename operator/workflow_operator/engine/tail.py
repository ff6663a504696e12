"""The end of one instance's history, as the executor that drives it holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from workflow_operator.engine.write import EventWriter
from workflow_operator.history import DataBus, EventType, ExecutorRef, InstanceEvent, InstanceKey
from workflow_operator.history.errors import Conflict
from workflow_operator.replay import cancel_request, overtaken_by


class Overtaken(Exception):
    """Someone else has the instance now: stop at once, and neither ack nor extend the message."""


class Tail:
    """Appends to a history on behalf of one executor, and learns what others appended in between.

    ``sequence`` is the last event that it knows; ``cancelled`` the cancel request, once there is one.
    """

    def __init__(
        self, bus: DataBus, writer: EventWriter, key: InstanceKey, executor: ExecutorRef, sequence: int
    ) -> None:
        self._bus = bus
        self._writer = writer
        self._key = key
        self._executor = executor
        self.sequence = sequence
        self._mine: UUID | None = None
        # Held during an append, so that whoever stops the script never leaves one half done.
        self.lock = asyncio.Lock()
        self.cancelled: InstanceEvent | None = None

    async def claim(self) -> bool:
        """Append ``claimed`` behind the history that was read; False if there is more of it by now.

        Raises:
            Overtaken: another executor claimed the instance meanwhile.
            Unavailable: NATS does not answer.
        """
        event = self._writer.event(self._key, EventType.CLAIMED, executor=self._executor)
        try:
            stored = await self._bus.push_instance_event(event, expected=self.sequence)
        except Conflict:
            for other in await self._bus.query_history(self._key, after=self.sequence):
                if other.type is EventType.CLAIMED:
                    raise Overtaken(f"instance {self._key}: {other.type} by {other.executor}") from None
            return False
        self.sequence = stored.sequence
        return True

    async def append(self, kind: EventType, **fields: Any) -> InstanceEvent:
        """Append one event, behind whatever inputs others appended meanwhile.

        Raises:
            Overtaken: another executor claimed the instance, or it has ended.
            PayloadTooLarge, NotSerializable: a value cannot be stored.
        """
        event = self._writer.event(self._key, kind, executor=self._executor, **fields)
        async with self.lock:
            self._mine = event.event_id
            while True:
                try:
                    stored = await self._bus.push_instance_event(event, expected=self.sequence)
                except Conflict:
                    known = self.sequence
                    await self.look()
                    if self.sequence == known and not await self._bus.query_history(self._key):
                        raise Overtaken(f"instance {self._key}: its history is gone") from None
                    continue
                self.sequence = stored.sequence
                return stored

    async def look(self) -> None:
        """Read what others appended.

        Raises:
            Overtaken: another executor claimed the instance, or it has ended.
            Unavailable: NATS does not answer.
        """
        self._learn(await self._bus.query_history(self._key, after=self.sequence))

    def _learn(self, events: Sequence[InstanceEvent]) -> None:
        # An append of our own may be stored before its answer arrives, or have returned since the query began.
        news = [event for event in events if event.sequence > self.sequence]
        foreign = [event for event in news if event.event_id != self._mine]
        if (overtaking := overtaken_by(foreign)) is not None:
            raise Overtaken(f"instance {self._key}: {overtaking.type} by {overtaking.executor}")
        self.cancelled = self.cancelled or cancel_request(foreign)
        if foreign and len(foreign) == len(news):
            self.sequence = foreign[-1].sequence
