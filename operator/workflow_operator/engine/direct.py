"""An instance that is driven where it starts: no message stands for it, until somebody else has to go on with it."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

from workflow_operator.engine.clock import Clock
from workflow_operator.history import DataBus, ExecutorRef, InstanceEvent, InstanceKey, Release, WorkQueue
from workflow_operator.history.errors import Conflict, Unavailable, WorkflowError

logger = logging.getLogger(__name__)

# A server that does not answer must not keep a replica from ending.
_HAND_ON_SECONDS = 5.0


class DirectDelivery:
    """Implements :class:`workflow_operator.history.ports.Delivery`.

    Holding it and being done with it cost nothing. To give it back is to store what it begins with, if nothing of it
    is stored yet, and to queue it. A failure of that is silent: what is stored, the sweep finds; of what is not,
    whoever started it finds no status, and starts it again.
    """

    attempt = 1
    released: Release | None = None
    # What it begins with is not in the history yet.
    started: InstanceEvent | None = None

    def __init__(
        self, bus: DataBus, queue: WorkQueue, clock: Clock, started: InstanceEvent, driver: ExecutorRef
    ) -> None:
        """``started``: what it begins with, as it is stored if ``driver`` never drives it."""
        self._bus = bus
        self._queue = queue
        self._clock = clock
        self._untouched = started
        self._driven = started.replace(executor=driver)
        self.queued_at: datetime = clock.now()

    @property
    def key(self) -> InstanceKey:
        return self._untouched.key

    async def extend(self) -> None:
        pass

    async def ack(self, *, confirmed: bool = True) -> None:
        pass

    async def retry(self, delay_seconds: float) -> None:
        # Nothing of what was driven is stored, or all of it.
        await self._hand_on(delay_seconds, self._untouched)

    async def release(self, release: Release) -> None:
        await self._hand_on(0.0, self._driven, release)

    async def _hand_on(self, delay_seconds: float, started: InstanceEvent, release: Release | None = None) -> None:
        try:
            async with asyncio.timeout(_HAND_ON_SECONDS):
                stored = await self._store(started)
                if delay_seconds > 0:
                    await self._queue.enqueue_at(self.key, self._clock.now() + timedelta(seconds=delay_seconds))
                else:
                    await self._queue.enqueue(self.key, release, stored if release is None else None)
        except (Unavailable, TimeoutError) as error:
            logger.info("instance %s: not queued, the sweep will: %r", self.key, error)
        except WorkflowError as error:
            logger.error("instance %s: not queued: %s", self.key, error)

    async def _store(self, started: InstanceEvent) -> InstanceEvent | None:
        try:
            return await self._bus.push_instance_event(started, expected=0)
        except Conflict:
            # There is a history: whoever takes the message decides from it.
            return None
