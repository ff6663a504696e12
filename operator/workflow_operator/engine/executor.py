"""The executor: takes queued instances and drives them, as many at once as it has slots."""

from __future__ import annotations

import asyncio
import logging

from workflow_operator import metrics
from workflow_operator.engine.drive import DriveContext, drive
from workflow_operator.engine.measures import Fate, first_waits, measured_execution
from workflow_operator.history import Delivery
from workflow_operator.history.errors import EngineCrash, Unavailable, UnknownFormat

logger = logging.getLogger(__name__)

_PULL_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_MOST_DOUBLINGS = 6
_FAILED_RETRY_SECONDS = 10.0


class Executor:
    """Pulls and drives until it is stopped. Every replica runs one."""

    def __init__(self, context: DriveContext) -> None:
        self._context = context
        self._slots = asyncio.Semaphore(context.limits.slots)
        self._running: dict[asyncio.Task[None], Delivery] = {}

    @property
    def running(self) -> int:
        """How many instances are driven now."""
        return len(self._running)

    async def run(self) -> None:
        """Work until cancelled. Then hand over: what was held is given back to the queue at once, and goes on
        elsewhere from its last recorded step."""
        metrics.EXECUTOR_SLOTS.set(self._context.limits.slots)
        try:
            while True:
                await self._slots.acquire()
                self._slots.release()
                await self._pull_once()
        finally:
            held = dict(self._running)
            for task in held:
                task.cancel()
            await asyncio.gather(*held, return_exceptions=True)
            await asyncio.gather(*(delivery.retry(0) for task, delivery in held.items() if task.cancelled()))

    async def _pull_once(self) -> None:
        free = self._context.limits.slots - len(self._running)
        try:
            deliveries = await self._context.queue.pull(free, _PULL_SECONDS)
        except Unavailable as error:
            logger.warning("cannot pull queued instances: %s", error)
            await self._context.writer.clock.sleep(_RETRY_SECONDS)
            return
        for seconds in first_waits(deliveries, self._context.writer.clock.now()):
            metrics.QUEUE_WAIT.observe(seconds)
        for delivery in deliveries:
            await self._slots.acquire()
            task = asyncio.create_task(self._hold(delivery), name=f"drive {delivery.key}")
            self._running[task] = delivery
            task.add_done_callback(self._release)

    def _release(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._slots.release()

    async def _hold(self, delivery: Delivery) -> None:
        with measured_execution() as execution:
            execution.fate = await self._drive(delivery)

    async def _drive(self, delivery: Delivery) -> Fate:
        try:
            return await drive(self._context, delivery)
        except (Unavailable, EngineCrash) as error:
            logger.warning("instance %s: %s; the queue delivers it again", delivery.key, error)
            # Tries are counted, and a machine that is short of something needs time.
            await delivery.retry(_RETRY_SECONDS * 2 ** min(delivery.attempt - 1, _MOST_DOUBLINGS))
            return Fate.UNAVAILABLE if isinstance(error, Unavailable) else Fate.CRASHED
        except UnknownFormat as error:
            logger.warning("instance %s: %s It is left to a newer replica", delivery.key, error)
            await delivery.retry(_FAILED_RETRY_SECONDS)
            return Fate.RETURNED
        except Exception:
            logger.exception("instance %s: the drive failed; the queue delivers it again", delivery.key)
            await delivery.retry(_FAILED_RETRY_SECONDS)
            return Fate.CRASHED
